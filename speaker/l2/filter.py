"""The classic BPF program that decides in the kernel which ARP frames wake the wire process.

A busy segment carries broadcasts for hundreds of hosts; the program lets through only what may concern an address in
force. It may let through too much (the responder judges each frame anyway), never too little. It attaches nothing:
that is the shell's part.
"""

from __future__ import annotations

from bisect import bisect_right
from struct import Struct
from typing import NamedTuple

# Each range costs four instructions. Pools are mostly contiguous, so a few ranges cover them; past this many, the two
# closest are joined. Jumps of classic BPF reach 255 instructions ahead, which holds for this many.
MAX_RANGES = 24

# linux/filter.h, linux/bpf_common.h
_INSTRUCTION = Struct("=HBBI")
_PAIR = Struct("=HBBIHBBI")
_LOAD_WORD, _LOAD_HALF = 0x20, 0x28  # BPF_LD | BPF_ABS | BPF_W, BPF_H
_JUMP, _EQUAL, _GREATER, _GREATER_EQUAL, _ANY_BIT = (
    0x05,
    0x15,
    0x25,
    0x35,
    0x45,
)  # BPF_JMP | BPF_JA, JEQ, JGT, JGE, JSET
_RETURN = 0x06
_ANCILLARY = 0xFFFFF000  # SKF_AD_OFF
_PACKET_TYPE, _VLAN_TAG, _VLAN_TAG_PRESENT = _ANCILLARY + 4, _ANCILLARY + 44, _ANCILLARY + 48

_TO_US, _TO_ALL = 0, 1  # PACKET_HOST, PACKET_BROADCAST
_VLAN_ID = 0x0FFF

SNAP_BYTES = 60  # what is copied of a frame: ARP and its padding

Range = tuple[int, int]  # first and last address, both included


class AddressCover:
    """A few ranges of integers that contain all addresses added and not removed. Each step costs O(MAX_RANGES)."""

    def __init__(self, max_ranges: int = MAX_RANGES) -> None:
        self._max_ranges = max_ranges
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        self._counts: list[int] = []  # addresses inside each range

    def ranges(self) -> list[Range]:
        """Sorted and disjoint."""
        return list(zip(self._firsts, self._lasts, strict=True))

    def add(self, address: int) -> bool:
        """Cover an address that is not in yet. Returns whether the ranges changed."""
        at = bisect_right(self._firsts, address) - 1
        if at >= 0 and address <= self._lasts[at]:
            self._counts[at] += 1
            return False
        self._firsts.insert(at + 1, address)
        self._lasts.insert(at + 1, address)
        self._counts.insert(at + 1, 1)
        self._join_neighbours(at + 1)
        if len(self._firsts) > self._max_ranges:
            self._join(min(range(len(self._firsts) - 1), key=lambda i: self._firsts[i + 1] - self._lasts[i]))
        return True

    def remove(self, address: int) -> bool:
        """Undo one `add` of this address. A range goes when nothing in it is left; it does not shrink before."""
        at = bisect_right(self._firsts, address) - 1
        self._counts[at] -= 1
        if self._counts[at]:
            return False
        del self._firsts[at], self._lasts[at], self._counts[at]
        return True

    def _join_neighbours(self, at: int) -> None:
        if at + 1 < len(self._firsts) and self._firsts[at + 1] == self._lasts[at] + 1:
            self._join(at)
        if at and self._firsts[at] == self._lasts[at - 1] + 1:
            self._join(at - 1)

    def _join(self, at: int) -> None:
        self._lasts[at] = self._lasts[at + 1]
        self._counts[at] += self._counts[at + 1]
        del self._firsts[at + 1], self._lasts[at + 1], self._counts[at + 1]


class _Step(NamedTuple):
    """One instruction; jumps name the place they go to, "" is the next instruction."""

    code: int
    operand: int
    if_true: str = ""
    if_false: str = ""


def program(ranges: list[Range]) -> bytes:
    """An array of `struct sock_filter` for a socket of type SOCK_RAW that is bound to ETH_P_ARP.

    Passes requests whose sender or target is in the ranges and replies whose sender is, addressed to us or to all.
    Frames of a VLAN (the tag is beside the frame by then) are for the VLAN's own interface; priority tags are not.
    """
    block = 2 * len(ranges) + 1
    places = {"arp?": 7, "untagged?": 3, "sender": len(_HEAD) + block}
    places["drop"] = places["sender"] + 1 + block
    head = b"".join(_assemble(step, place, places) for place, step in enumerate(_HEAD))
    targets = _in_ranges(ranges, beyond_to_pass=1 + block + 1)
    senders = _in_ranges(ranges, beyond_to_pass=1)
    return head + targets + _LOAD_SENDER + senders + _DROP_AND_PASS


# Ends with the target loaded; the block for the targets follows, then the sender is loaded, the block for the senders,
# drop, and pass.
_HEAD = (
    _Step(_LOAD_WORD, _PACKET_TYPE),
    _Step(_EQUAL, _TO_US, if_true="untagged?"),
    _Step(_EQUAL, _TO_ALL, if_false="drop"),
    _Step(_LOAD_WORD, _VLAN_TAG_PRESENT),  # untagged?
    _Step(_EQUAL, 0, if_true="arp?"),
    _Step(_LOAD_WORD, _VLAN_TAG),
    _Step(_ANY_BIT, _VLAN_ID, if_true="drop"),
    _Step(_LOAD_WORD, 12),  # arp?
    _Step(_EQUAL, 0x0806_0001, if_false="drop"),
    _Step(_LOAD_WORD, 16),
    _Step(_EQUAL, 0x0800_0604, if_false="drop"),
    _Step(_LOAD_HALF, 20),
    _Step(_EQUAL, 2, if_true="sender"),
    _Step(_EQUAL, 1, if_false="drop"),
    _Step(_LOAD_WORD, 38),
)
_LOAD_SENDER = _INSTRUCTION.pack(_LOAD_WORD, 0, 0, 28)
_DROP_AND_PASS = _INSTRUCTION.pack(_RETURN, 0, 0, 0) + _INSTRUCTION.pack(_RETURN, 0, 0, SNAP_BYTES)


def _in_ranges(ranges: list[Range], beyond_to_pass: int) -> bytes:
    """Pass if the loaded word is in one of the sorted ranges, else go on behind this block.

    A word below a range is above the one before, so it is in none. `beyond_to_pass` counts from the block's end.
    """
    pairs = []
    left = 2 * len(ranges)  # instructions of the block after the one at hand
    for first, last in ranges:
        pairs.append(_PAIR.pack(_GREATER_EQUAL, 0, left, first, _GREATER, 0, left - 1 + beyond_to_pass, last))
        left -= 2
    return b"".join(pairs) + _INSTRUCTION.pack(_JUMP, 0, 0, 0)


def _assemble(step: _Step, place: int, places: dict[str, int]) -> bytes:
    def distance(label: str) -> int:
        return places[label] - place - 1 if label else 0

    return _INSTRUCTION.pack(step.code, distance(step.if_true), distance(step.if_false), step.operand)
