"""The classic BPF programs that decide in the kernel which ARP, NDP and echo requests wake the wire process.

A busy segment carries broadcasts for hundreds of hosts; the programs let through only what may concern an address in
force. They may let through too much (the responders judge each frame anyway), never too little. They attach nothing:
that is the shell's part.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import NamedTuple

from speaker.wire.neighbours.cover import Range

ETH_P_IP, ETH_P_ARP, ETH_P_IPV6 = 0x0800, 0x0806, 0x86DD

# linux/filter.h, linux/bpf_common.h
_INSTRUCTION = Struct("=HBBI")
_PAIR = Struct("=HBBIHBBI")
_LOAD_WORD, _LOAD_HALF, _LOAD_BYTE = 0x20, 0x28, 0x30  # BPF_LD | BPF_ABS | BPF_W, BPF_H, BPF_B
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

_TO_US, _TO_ALL, _TO_GROUP = 0, 1, 2  # PACKET_HOST, PACKET_BROADCAST, PACKET_MULTICAST
_VLAN_ID = 0x0FFF

ARP_SNAP_BYTES = 60  # what is copied of a frame: ARP and its padding
NDP_SNAP_BYTES = 0xFFFF  # all of it: the checksum covers the options, which have any length
PING_SNAP_BYTES = 0xFFFF  # all of it: the reply has the same data


class _Step(NamedTuple):
    """One instruction; jumps name the label they go to, "" is the next instruction."""

    code: int
    operand: int
    if_true: str = ""
    if_false: str = ""
    label: str = ""


# Frames of a VLAN (the tag is beside the frame by then) are for the VLAN's own interface; priority tags are not.
_UNTAGGED = (
    _Step(_LOAD_WORD, _VLAN_TAG_PRESENT, label="untagged?"),
    _Step(_EQUAL, 0, if_true="what?"),
    _Step(_LOAD_WORD, _VLAN_TAG),
    _Step(_ANY_BIT, _VLAN_ID, if_true="drop"),
)

_ARP_HEAD = (
    _Step(_LOAD_WORD, _PACKET_TYPE),
    _Step(_EQUAL, _TO_US, if_true="untagged?"),
    _Step(_EQUAL, _TO_ALL, if_false="drop"),
    *_UNTAGGED,
    _Step(_LOAD_WORD, 12, label="what?"),
    _Step(_EQUAL, 0x0806_0001, if_false="drop"),
    _Step(_LOAD_WORD, 16),
    _Step(_EQUAL, 0x0800_0604, if_false="drop"),
    _Step(_LOAD_HALF, 20),
    _Step(_EQUAL, 2, if_true="sender"),
    _Step(_EQUAL, 1, if_false="drop"),
    _Step(_LOAD_WORD, 38),
)
_ARP_SENDER = (_Step(_LOAD_WORD, 28),)

# All IPv6 that the machine receives passes here, so what is no NDP leaves by the third instruction.
_NDP_HEAD = (
    _Step(_LOAD_HALF, 20),
    _Step(_EQUAL, 0x3AFF, if_false="drop"),  # ICMPv6, 255 hops
    _Step(_LOAD_HALF, 54),
    _Step(_EQUAL, 0x8800, if_true="ours?"),  # advertisement, code 0
    _Step(_EQUAL, 0x8700, if_false="drop"),  # solicitation
    _Step(_LOAD_WORD, _PACKET_TYPE, label="ours?"),
    _Step(_GREATER, _TO_GROUP, if_true="drop"),
    *_UNTAGGED,
    _Step(_LOAD_HALF, 12, label="what?"),
    _Step(_EQUAL, 0x86DD, if_false="drop"),
    _Step(_LOAD_WORD, 74),  # the last 32 bits of the target
)
_NDP_SENDER = (
    _Step(_LOAD_HALF, 54),
    _Step(_EQUAL, 0x8700, if_false="drop"),
    _Step(_LOAD_WORD, 34),  # the last 32 bits of the source
)

# All that the machine receives passes here, too: what is no ICMP leaves by the second instruction. Fragments, and
# packets with options, leave here as well.
_PING_HEAD = (
    _Step(_LOAD_BYTE, 23),
    _Step(_EQUAL, 1, if_false="drop"),  # ICMP
    _Step(_LOAD_HALF, 34),
    _Step(_EQUAL, 0x0800, if_false="drop"),  # echo request, code 0
    _Step(_LOAD_BYTE, 14),
    _Step(_EQUAL, 0x45, if_false="drop"),
    _Step(_LOAD_HALF, 20),
    _Step(_ANY_BIT, 0xBFFF, if_true="drop"),
    _Step(_LOAD_WORD, _PACKET_TYPE),
    _Step(_EQUAL, _TO_US, if_false="drop"),
    *_UNTAGGED,
    _Step(_LOAD_HALF, 12, label="what?"),
    _Step(_EQUAL, 0x0800, if_false="drop"),
    _Step(_LOAD_WORD, 30),
)
_PING6_HEAD = (
    _Step(_LOAD_BYTE, 20),
    _Step(_EQUAL, 58, if_false="drop"),  # ICMPv6
    _Step(_LOAD_HALF, 54),
    _Step(_EQUAL, 0x8000, if_false="drop"),  # echo request, code 0
    _Step(_LOAD_WORD, _PACKET_TYPE),
    _Step(_EQUAL, _TO_US, if_false="drop"),
    *_UNTAGGED,
    _Step(_LOAD_HALF, 12, label="what?"),
    _Step(_EQUAL, 0x86DD, if_false="drop"),
    _Step(_LOAD_WORD, 50),  # the last 32 bits of the destination
)


def arp_program(ranges: list[Range]) -> bytes:
    """An array of `struct sock_filter` for a socket of type SOCK_RAW that is bound to ETH_P_ARP.

    Passes requests whose sender or target is in the ranges and replies whose sender is, addressed to us or to all.
    """
    return _program(_ARP_HEAD, _ARP_SENDER, ranges, ARP_SNAP_BYTES)


def ndp_program(ranges: list[Range]) -> bytes:
    """The same for ETH_P_IPV6. The ranges are of the last 32 bits of addresses.

    Passes advertisements whose target is in the ranges, and solicitations whose source or target is, addressed to us,
    to all or to a group. With no ranges nothing passes, by the first instruction.
    """
    if not ranges:
        return _INSTRUCTION.pack(_RETURN, 0, 0, 0)
    return _program(_NDP_HEAD, _NDP_SENDER, ranges, NDP_SNAP_BYTES)


def ping_program(ranges: list[Range]) -> bytes:
    """For ETH_P_IP: passes plain echo requests to the ranges, addressed to our MAC."""
    return _destination_program(_PING_HEAD, ranges)


def ping6_program(ranges: list[Range]) -> bytes:
    """The same for ETH_P_IPV6. The ranges are of the last 32 bits of addresses."""
    return _destination_program(_PING6_HEAD, ranges)


def _destination_program(head: tuple[_Step, ...], ranges: list[Range]) -> bytes:
    """`head` ends with the destination loaded, which is looked up in the ranges. Without any nothing passes."""
    if not ranges:
        return _INSTRUCTION.pack(_RETURN, 0, 0, 0)
    places = {"drop": len(head) + 2 * len(ranges) + 1}
    places |= {step.label: place for place, step in enumerate(head) if step.label}
    first = b"".join(_assemble(step, place, places) for place, step in enumerate(head))
    return first + _in_ranges(ranges, beyond_to_pass=1) + _INSTRUCTION.pack(_RETURN, 0, 0, 0) + _pass(PING_SNAP_BYTES)


def _program(head: tuple[_Step, ...], sender: tuple[_Step, ...], ranges: list[Range], snap_bytes: int) -> bytes:
    """`head` ends with the target loaded, `sender` with the sender; each is looked up in the ranges, then it drops."""
    block = 2 * len(ranges) + 1
    at_sender = len(head) + block
    places = {"sender": at_sender, "drop": at_sender + len(sender) + block}
    places |= {step.label: place for place, step in enumerate(head) if step.label}
    first = b"".join(_assemble(step, place, places) for place, step in enumerate(head))
    second = b"".join(_assemble(step, at_sender + place, places) for place, step in enumerate(sender))
    targets = _in_ranges(ranges, beyond_to_pass=len(sender) + block + 1)
    senders = _in_ranges(ranges, beyond_to_pass=1)
    return first + targets + second + senders + _INSTRUCTION.pack(_RETURN, 0, 0, 0) + _pass(snap_bytes)


def _pass(snap_bytes: int) -> bytes:
    return _INSTRUCTION.pack(_RETURN, 0, 0, snap_bytes)


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


PROGRAMS: dict[int, Callable[[list[Range]], bytes]] = {ETH_P_ARP: arp_program, ETH_P_IPV6: ndp_program}
"""By the EtherType that the socket is bound to."""

PING_PROGRAMS: dict[int, Callable[[list[Range]], bytes]] = {ETH_P_IP: ping_program, ETH_P_IPV6: ping6_program}
"""For echo requests, in the same way."""
