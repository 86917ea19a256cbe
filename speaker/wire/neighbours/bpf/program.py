"""The program at the entry of each interface that answers ARP and NDP in the kernel: one for both, and for all of them.

It answers exactly where the wire process would have nothing else to do with the frame. Everything else goes on as if it
were not there, to the process too, which then decides as it does where no program is. So each frame is answered by one
of the two, whichever of them is ready, and nothing has to be switched between them.
"""

from __future__ import annotations

from speaker.wire.neighbours.bpf import arp, ndp
from speaker.wire.neighbours.bpf.assembler import (
    NEXT_PROGRAM,
    R0,
    R1,
    R2,
    WORD,
    Step,
    assemble,
    copy,
    jump_if,
    labelled,
    leave,
    load,
    set_value,
)
from speaker.wire.neighbours.bpf.maps import Maps
from speaker.wire.neighbours.bpf.steps import CONTEXT, PROTOCOL, in_frame_order
from speaker.wire.neighbours.filter import ETH_P_ARP, ETH_P_IPV6


def program(maps: Maps) -> bytes:
    """An array of `struct bpf_insn` that looks into these maps."""
    return assemble(steps(maps))


def steps(maps: Maps) -> list[Step]:
    """The same by its instructions."""
    return [
        copy(CONTEXT, R1),
        load(WORD, R2, CONTEXT, PROTOCOL),
        jump_if(R2, "==", in_frame_order(ETH_P_ARP), "arp"),
        jump_if(R2, "==", in_frame_order(ETH_P_IPV6), "ndp"),
        labelled("next", set_value(R0, NEXT_PROGRAM)),
        leave(),
        *arp.steps(maps),
        *ndp.steps(maps),
    ]
