"""What the programs for ARP and NDP have in common: the frame's context, look-ups, and how an answer leaves.

Registers, from the first instruction on: r6 the context, r7 the frame's first byte, r8 its end, r9 the interface's
entry. Every label "next" lets the frame go on untouched, to the kernel, to other programs and to the wire process.

The stack holds the answer while it is built, so that the frame is written at the very end, by one call. (Written in
place, every frame of the node would be copied while somebody captures: the verifier sees to that before the first
instruction.)
"""

from __future__ import annotations

from collections.abc import Iterator

from speaker.wire.neighbours.bpf.assembler import (
    BYTE,
    DOUBLE,
    HALF,
    R0,
    R1,
    R2,
    R3,
    R4,
    R5,
    R6,
    R7,
    R8,
    R9,
    R10,
    WORD,
    Step,
    call,
    compute,
    compute_with,
    copy,
    jump_if,
    jump_if_than,
    jump_if_word,
    labelled,
    leave,
    load,
    load_map,
    load_map_value,
    set_value,
    store,
    store_value,
)
from speaker.wire.neighbours.bpf.maps import Maps

CONTEXT, DATA, END, INTERFACE = R6, R7, R8, R9

# struct __sk_buff, linux/bpf.h
LENGTH, PROTOCOL, VLAN_PRESENT, IFINDEX, DATA_AT, END_AT = 0, 16, 20, 40, 76, 80

# enum bpf_func_id
_LOOK_UP, _STORE_BYTES, _REDIRECT, _CHANGE_TAIL, _PULL_DATA, _BOOT_NANOSECONDS = 1, 9, 23, 38, 39, 125

# Network cards may have summed up what follows the Ethernet header (CHECKSUM_COMPLETE), and a machine behind a bridge
# on this node would be handed that sum with the answer.
_RECOMPUTE_CHECKSUM = 1  # BPF_F_RECOMPUTE_CSUM
_ETHERNET_BYTES = 14

# On the stack, below r10. The answer begins 2 bytes after a multiple of 8, as frames do in memory, so that what follows
# the Ethernet header is aligned.
MAC_KEY = -8
ANSWER = -102
ADDRESS_KEY = -128  # table, family, address; before the table is known, the key of the interface
KEY_ADDRESS = ADDRESS_KEY + 8

_SIZES = ((8, DOUBLE), (4, WORD), (2, HALF), (1, BYTE))


def load_frame() -> list[Step]:
    return [load(WORD, DATA, CONTEXT, DATA_AT), load(WORD, END, CONTEXT, END_AT)]


def bound(length: int, else_to: str) -> list[Step]:
    """Go there when fewer bytes can be read."""
    return [copy(R2, DATA), compute(R2, "+", length), jump_if_than(R2, ">", END, else_to)]


def reach(length: int, label: str) -> list[Step]:
    """Make so many bytes readable, which most are; "next" for a frame that has fewer."""
    return [
        copy(R2, DATA),
        compute(R2, "+", length),
        jump_if_than(R2, "<=", END, label),
        load(WORD, R2, CONTEXT, LENGTH),
        jump_if(R2, "<", length, "next"),
        copy(R1, CONTEXT),
        set_value(R2, length),
        call(_PULL_DATA),
        jump_if(R0, "!=", 0, "next"),
        *load_frame(),
        *bound(length, "next"),
        labelled(label, set_value(R0, 0)),
    ]


def move(to: int, source: int, offset: int, length: int) -> Iterator[Step]:
    """Copy bytes onto the stack, `to` bytes from its end, by way of r2: as many at a time as both ends allow."""
    end, shift = to + length, 2 if source == DATA else 0
    while to < end:
        fitting = (one for one in _SIZES if to % one[0] == (offset + shift) % one[0] == 0 and to + one[0] <= end)
        size, code = next(fitting)
        yield load(code, R2, source, offset)
        yield store(code, R10, to, R2)
        to, offset = to + size, offset + size


def look_up(descriptor: int, key: int) -> list[Step]:
    """r0 points to the value, or is 0. The key is on the stack."""
    return [load_map(R1, descriptor), copy(R2, R10), compute(R2, "+", key), call(_LOOK_UP)]


def find_interface(maps: Maps, family: int) -> list[Step]:
    """The interface's entry; its table and the family in ADDRESS_KEY.

    "next" where we do not answer, and for frames with a tag (it is beside the frame by then): they are for a VLAN's own
    interface, or carry a priority.
    """
    return [
        load(WORD, R2, CONTEXT, VLAN_PRESENT),
        jump_if(R2, "!=", 0, "next"),
        load(WORD, R2, CONTEXT, IFINDEX),
        store(WORD, R10, ADDRESS_KEY, R2),
        store_value(WORD, R10, ADDRESS_KEY + 4, family),
        *look_up(maps.interfaces, ADDRESS_KEY),
        jump_if(R0, "==", 0, "next"),
        copy(INTERFACE, R0),
        load(WORD, R2, INTERFACE, 12),
        store(WORD, R10, ADDRESS_KEY, R2),
    ]


def to_this_mac(label: str) -> list[Step]:
    """Go there when the frame's destination is the interface's MAC, else to "next"."""
    return [
        load(WORD, R2, DATA, 0),
        load(WORD, R3, INTERFACE, 0),
        jump_if_than(R2, "!=", R3, "next"),
        load(HALF, R2, DATA, 4),
        load(HALF, R3, INTERFACE, 4),
        jump_if_than(R2, "!=", R3, "next"),
        labelled(label, set_value(R0, 0)),
    ]


def mac_key(offset: int) -> list[Step]:
    """The MAC at that byte of the frame becomes the key."""
    return [*move(MAC_KEY, DATA, offset, 6), store_value(HALF, R10, MAC_KEY + 6, 0)]


def not_own(maps: Maps) -> list[Step]:
    """ "next" when the MAC in the key is one of this machine's."""
    return [*look_up(maps.own, MAC_KEY), jump_if(R0, "!=", 0, "next")]


def is_host() -> list[Step]:
    """ "next" when the MAC in the key is a group's or zero."""
    return [
        load(DOUBLE, R2, R10, MAC_KEY),
        jump_if(R2, "==", 0, "next"),
        jump_if(R2, "&", 1, "next"),
    ]


def answered(maps: Maps) -> list[Step]:
    """ "next" when the address in the key is not one that is answered for here."""
    return [
        *look_up(maps.addresses, ADDRESS_KEY),
        jump_if(R0, "==", 0, "next"),
        load(WORD, R2, R0, 0),
        jump_if(R2, "==", 0, "next"),
    ]


def nobodys(maps: Maps) -> list[Step]:
    """ "next" when the address in the key, that of the sender, is held or probed here: the process has to know."""
    return [*look_up(maps.addresses, ADDRESS_KEY), jump_if(R0, "!=", 0, "next")]


def send(maps: Maps, length: int, kind: int) -> list[Step]:
    """Compare the deadline, then send the answer out where the frame came in. Its padding and trailers are cut off.

    `kind`: the number of the count in the interface's counters.
    """
    sized, counted = f"sized {length}", f"counted {length}"
    return [
        call(_BOOT_NANOSECONDS),
        load_map_value(R1, maps.permit),
        load(DOUBLE, R1, R1, 0),
        jump_if_than(R0, ">=", R1, "next"),
        load(WORD, R2, CONTEXT, LENGTH),
        jump_if(R2, "==", length, sized),
        copy(R1, CONTEXT),
        set_value(R2, length),
        set_value(R3, 0),
        call(_CHANGE_TAIL),
        jump_if(R0, "!=", 0, "next"),
        labelled(sized, set_value(R0, 0)),
        *_write(0, _ETHERNET_BYTES, 0),
        *_write(_ETHERNET_BYTES, length - _ETHERNET_BYTES, _RECOMPUTE_CHECKSUM),
        load(WORD, R2, INTERFACE, 8),
        store(WORD, R10, MAC_KEY, R2),
        *look_up(maps.counters, MAC_KEY),
        jump_if(R0, "==", 0, counted),
        load(DOUBLE, R2, R0, 8 * kind),
        compute(R2, "+", 1),
        store(DOUBLE, R0, 8 * kind, R2),
        labelled(counted, load(WORD, R1, CONTEXT, IFINDEX)),
        set_value(R2, 0),
        call(_REDIRECT),
        leave(),
    ]


def _write(offset: int, length: int, flags: int) -> list[Step]:
    """That part of the answer into the frame."""
    return [
        copy(R1, CONTEXT),
        set_value(R2, offset),
        copy(R3, R10),
        compute(R3, "+", ANSWER + offset),
        set_value(R4, length),
        set_value(R5, flags),
        call(_STORE_BYTES),
        jump_if(R0, "!=", 0, "next"),
    ]


def words(source: int, offset: int, length: int) -> Iterator[Step]:
    """Add the 32-bit words there to r3, by way of r2."""
    for at in range(offset, offset + length, 4):
        yield load(WORD, R2, source, at)
        yield compute_with(R3, "+", R2)


def fold() -> Iterator[Step]:
    """Of r3, a sum of up to 32 words: the one's complement sum of its 16-bit words (RFC 1071 §2), never 0 of numbers
    that are not all 0."""
    for _ in range(3):
        yield copy(R2, R3)
        yield compute(R2, ">>", 16)
        yield compute(R3, "&", 0xFFFF)
        yield compute_with(R3, "+", R2)


def in_frame_order(two_bytes: int) -> int:
    """A 16-bit number of a frame, as a little-endian machine loads it."""
    return int.from_bytes(two_bytes.to_bytes(2, "big"), "little")


def word(four_bytes: bytes) -> int:
    """The same of four bytes."""
    return int.from_bytes(four_bytes, "little")


def expect_word(offset: int, four_bytes: bytes) -> list[Step]:
    """ "next" when the frame has something else there."""
    return [load(WORD, R2, DATA, offset), jump_if_word(R2, "!=", word(four_bytes), "next")]


def expect_half(offset: int, two_bytes: int) -> list[Step]:
    """ "next" when the frame has another number there."""
    return [load(HALF, R2, DATA, offset), jump_if(R2, "!=", in_frame_order(two_bytes), "next")]
