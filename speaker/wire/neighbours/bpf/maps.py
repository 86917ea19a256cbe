"""What the program in the kernel looks up, as bytes: the keys and values of its maps.

No I/O: io/responder.py puts them in. All numbers are in the machine's own order, addresses in that of frames.

    map         key                        value
    permit      0                          until when it may answer, CLOCK_BOOTTIME nanoseconds
    interfaces  index                      MAC, which entry of `counters` is its, its table
    addresses   table, family, address     whether it is answered for
    own         MAC of this machine        1
    counters    entry of an interface      replies, for each CPU: ARP, NDP

A table is a number, another one each time that an interface comes into use. So nothing that was put in for an earlier
use, of the same interface or of another one with its index, can ever count in a later one.

An address that is not to be answered for is there too, where it is handed over or probed: a frame whose sender it is
tells of another machine that has it, so it is for the wire process, whoever it asks for.
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

ADDRESSES = 65536
"""Addresses, counted once on each interface, that are answered for in the kernel. More are left to the process."""
INTERFACES = 256
OWN_MACS = 16384

ANSWERED = 1

PERMIT = Struct("=Q")
INDEX = Struct("=I")
INTERFACE = Struct("=6s2xII")
ADDRESS = Struct("=II16s")
FLAGS = Struct("=I")
MAC = Struct("=6s2x")
COUNTS = Struct("=QQ")

IPV4, IPV6 = 4, 6  # families: ::ffff:192.0.2.10 is another address than 192.0.2.10

_NANOSECONDS = 1_000_000_000
_FAR_SECONDS = 9e9  # 64 bits hold twice as many nanoseconds


class Maps(NamedTuple):
    """The maps' descriptors."""

    permit: int
    interfaces: int
    addresses: int
    own: int
    counters: int


def address_key(table: int, address: bytes) -> bytes:
    """`address`: 4 bytes, followed by zeros in the key, or 16."""
    return ADDRESS.pack(table, IPV4 if len(address) == 4 else IPV6, address)


def nanoseconds(until: float) -> int:
    """Seconds on CLOCK_BOOTTIME as the program compares them; rather earlier than later. Infinity is far away."""
    return int(min(max(until, 0.0), _FAR_SECONDS) * _NANOSECONDS)
