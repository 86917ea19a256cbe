"""The part of the program that answers ARP requests, as arpresponder.py does. Offsets are those of neighbours/arp.py.

What it does not answer goes on untouched: replies, gratuitous ARP, whatever has an address of ours as its sender.
"""

from __future__ import annotations

from speaker.wire.neighbours import arp
from speaker.wire.neighbours.bpf.assembler import (
    HALF,
    R2,
    R10,
    WORD,
    Step,
    jump_if,
    jump_if_word,
    labelled,
    load,
    set_value,
    store_value,
)
from speaker.wire.neighbours.bpf.maps import IPV4, Maps
from speaker.wire.neighbours.bpf.steps import (
    ANSWER,
    DATA,
    INTERFACE,
    KEY_ADDRESS,
    answered,
    expect_half,
    expect_word,
    find_interface,
    in_frame_order,
    is_host,
    load_frame,
    mac_key,
    move,
    nobodys,
    not_own,
    reach,
    send,
    to_this_mac,
    word,
)

COUNT = 0


def steps(maps: Maps) -> list[Step]:
    """Begins at the label "arp", with the context in r6."""
    return [
        labelled("arp", set_value(R2, 0)),
        *load_frame(),
        *reach(arp.FRAME_BYTES, "arp frame"),
        # RFC 826: Ethernet, IPv4, their lengths; a request
        *expect_word(12, arp.REQUEST[:4]),
        *expect_word(16, arp.REQUEST[4:8]),
        *expect_half(20, 1),
        *find_interface(maps, IPV4),
        # to all, or to us
        load(WORD, R2, DATA, 0),
        jump_if_word(R2, "!=", 0xFFFFFFFF, "arp to one"),
        load(HALF, R2, DATA, 4),
        jump_if(R2, "==", 0xFFFF, "arp to us"),
        labelled("arp to one", set_value(R2, 0)),
        *to_this_mac("arp to us"),
        # the sender's MAC, to which the answer goes
        *mac_key(22),
        *is_host(),
        *not_own(maps),
        *_key(28),
        *nobodys(maps),
        *_key(38),
        *answered(maps),
        *_answer(),
        *send(maps, arp.FRAME_BYTES, COUNT),
    ]


def _key(offset: int) -> list[Step]:
    """The address at that byte becomes the key."""
    rest = [store_value(WORD, R10, KEY_ADDRESS + at, 0) for at in (4, 8, 12)]
    return [*move(KEY_ADDRESS, DATA, offset, 4), *rest]


def _answer() -> list[Step]:
    """RFC 826: the fields swapped, our MAC in place of the one that was asked for."""
    return [
        *move(ANSWER, DATA, 22, 6),
        *move(ANSWER + 6, INTERFACE, 0, 6),
        store_value(HALF, R10, ANSWER + 12, in_frame_order(0x0806)),
        store_value(WORD, R10, ANSWER + 14, word(arp.REPLY[2:6])),
        store_value(WORD, R10, ANSWER + 18, word(arp.REPLY[6:10])),
        *move(ANSWER + 22, INTERFACE, 0, 6),
        *move(ANSWER + 28, DATA, 38, 4),
        *move(ANSWER + 32, DATA, 22, 6),
        *move(ANSWER + 38, DATA, 28, 4),
    ]
