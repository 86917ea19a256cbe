"""Programs of others at an interface's ingress: each counts the frames of a test that it meets, and passes or ends."""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from lab.net.segment import Host
from speaker.wire.neighbours.bpf import filters
from speaker.wire.neighbours.bpf.assembler import (
    NEXT_PROGRAM,
    R0,
    R1,
    R2,
    R10,
    WORD,
    Step,
    add_atomically,
    assemble,
    call,
    compute,
    copy,
    jump_if,
    jump_if_word,
    labelled,
    leave,
    load,
    load_map,
    set_value,
    store_value,
)
from speaker.wire.neighbours.bpf.filters import Filter
from speaker.wire.neighbours.bpf.io import attach, calls

ETHERTYPE = 0x88B5  # for experiments
ACCEPT = 0  # TC_ACT_OK: no program after this one is asked
MOST_LINKS = 63
"""Of tcx at one interface: BPF_MPROG_MAX of linux/bpf_mprog.h, less one."""
ALL = socket.htons(0x0003)
_PROTOCOL = 16  # of struct __sk_buff
_LOOKUP = 1  # the helper


def _steps(counter: int, verdict: int) -> list[Step]:
    return [
        load(WORD, R2, R1, _PROTOCOL),
        jump_if_word(R2, "!=", socket.htons(ETHERTYPE), "end"),
        store_value(WORD, R10, -4, 0),
        copy(R2, R10),
        compute(R2, "+", -4),
        load_map(R1, counter),
        call(_LOOKUP),
        jump_if(R0, "==", 0, "end"),
        set_value(R1, 1),
        add_atomically(R0, 0, R1),
        labelled("end", set_value(R0, verdict)),
        leave(),
    ]


class Counting:
    """A loaded program; `verdict` is what it returns of every frame."""

    def __init__(self, verdict: int = NEXT_PROGRAM) -> None:
        self._counter = calls.create_map(calls.ARRAY, 4, 8, 1, name="seen")
        self.descriptor = calls.load_program(assemble(_steps(self._counter, verdict)), name="counting")

    @property
    def seen(self) -> int:
        return int.from_bytes(calls.get(self._counter, bytes(4), 8) or b"", "little")

    def close(self) -> None:
        os.close(self._counter)
        os.close(self.descriptor)


class Ingress:
    """Of one interface, in a host's namespace, and who sends to it."""

    def __init__(self, host: Host, sender: Host, open_: ExitStack) -> None:
        self.host = host
        self._open = open_
        self._sender = sender.packet_socket(protocol=ETHERTYPE)
        open_.callback(self._sender.close)
        self._frame = b"\xff" * 6 + sender.mac + ETHERTYPE.to_bytes(2, "big") + bytes(46)
        with host.entered():
            self.index = socket.if_nametoindex("eth0")

    def program(self, verdict: int = NEXT_PROGRAM) -> Counting:
        made = Counting(verdict)
        self._open.callback(made.close)
        return made

    @contextmanager
    def link(self, program: Counting, flags: int = 0) -> Iterator[None]:
        """Somebody else's, by tcx. Without flags behind all others."""
        packed = attach._LINK.pack(program.descriptor, self.index, 46, flags, 0, 0)
        with self.host.entered():
            link = calls.bpf(28, calls.attributes(packed), "attach")
        yield
        os.close(link)

    def filter(self, program: Counting, priority: int, *, parent: int = filters.INGRESS) -> Filter:
        """Somebody else's, at clsact, which is made where it is missing."""
        one = Filter(priority, 1, ALL, "bpf", f"other-{priority}")
        with self.host.entered(), attach._rtnetlink() as kernel:
            kernel.order(filters.clsact_request(1, self.index))
            request = bytearray(filters.add_request(1, self.index, one, program.descriptor))
            request[28:32] = parent.to_bytes(4, "little")
            assert kernel.order(bytes(request)) == 0
        return one

    def names(self) -> list[str]:
        """Of all filters at ingress, as frames meet them."""
        with self.host.entered(), attach._rtnetlink() as kernel:
            return [one.name for one in kernel.filters(self.index, filters.INGRESS) if one.handle]

    def qdiscs(self) -> str:
        return self.host.run("tc", "qdisc", "show")

    def meets(self, *programs: Counting) -> bool:
        """Send one frame: whether all of these see it within 2 s, and each of them once."""
        before = [one.seen for one in programs]
        self._sender.send(self._frame)
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline:
            if all(one.seen == seen + 1 for one, seen in zip(programs, before, strict=True)):
                return True
            time.sleep(0.001)
        return False
