"""The addresses in force, IPv4 and IPv6 alike (4 or 16 bytes), and what all protocols' responders say about a frame.

No I/O and no clock. What a frame is answered is decided in arpresponder.py (ARP) and ndpresponder.py (NDP).
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import NamedTuple

from speaker.wire.neighbours import ndp
from speaker.wire.neighbours.arp import UNKNOWN_MAC, UNSPECIFIED, reply_head

_IPV6_LOOPBACK = bytes(15) + b"\x01"


class Ignored(Enum):
    """Why a frame gets no answer."""

    MALFORMED = "Malformed"
    """Not a packet of this protocol, or not a valid one."""
    NOT_OURS = "NotOurs"
    """About an address that we do not announce on this interface."""
    OWN = "Own"
    """Sent by this machine."""
    OTHER_HOST = "OtherHost"
    """To another MAC, or to a group of no concern to us."""
    BAD_SENDER = "BadSender"
    """The sender's MAC is a group address or zero: a reply there would be a broadcast, or lost."""
    PLAIN_REPLY = "PlainReply"
    """A reply that claims nothing of ours."""


class Conflict(NamedTuple):
    """A host other than us uses `address` as its own (RFC 5227 §2.4, RFC 4862 §5.4.4)."""

    address: bytes
    mac: bytes
    reply: bytes | None
    """The frame was also a request for another address of ours; this answers it."""


class InUse(NamedTuple):
    """A host uses an address that is being probed for, or (`is_probe`) probes for it too (RFC 5227 §2.1.1)."""

    address: bytes
    mac: bytes
    is_probe: bool
    reply: bytes | None
    """The frame was also a request for an address of ours; this answers it."""


class Interface(NamedTuple):
    """What the responders need to know of the interface a frame came from."""

    name: str
    mac: bytes
    head: bytes
    """Prebuilt part of every ARP reply."""
    ndp_head: ndp.Head
    """Prebuilt parts of every Neighbor Advertisement."""


def interface(name: str, mac: bytes) -> Interface:
    return Interface(name, mac, reply_head(mac), ndp.head(mac))


class Held:
    """One address that we announce. Counters are plain attributes: they are bumped on the hot path."""

    __slots__ = (
        "address",
        "answers_ping",
        "conflict_reported_at",
        "interfaces",
        "is_counted",
        "is_handed_over",
        "prebuilt",
        "replies",
    )

    def __init__(self, address: bytes, interfaces: tuple[str, ...]) -> None:
        self.address = address
        self.interfaces = interfaces
        self.answers_ping = False
        self.is_handed_over = False  # to another node: only this process answers, while it lives
        self.replies = 0
        self.is_counted = False  # stands in `Table.active` already
        self.conflict_reported_at = float("-inf")
        self.prebuilt: tuple[Interface, ndp.Answer] | None = None  # for the interface asked on last


class Table:
    """Which addresses are answered for, on which interfaces."""

    def __init__(self) -> None:
        self.held: dict[bytes, Held] = {}
        self.probed: dict[bytes, tuple[str, ...]] = {}
        """Addresses that are looked for, and where. Never one that is held. Mostly there are none."""
        self.own_macs: frozenset[bytes] = frozenset()
        """MACs of all interfaces of this machine: frames from them are neither requests to answer nor conflicts."""
        self.active: list[Held] = []
        """Addresses that replied since the caller last emptied this list, each once."""

    def hold(self, address: bytes, interfaces: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Announce `address` on exactly these interfaces; idempotent.

        Returns the names that are new, and those gone.
        """
        names = tuple(interfaces)
        entry = self.held.get(address)
        if entry is None:
            self.held[address] = Held(address, names)
            return names, ()
        before, entry.interfaces = entry.interfaces, names
        if before == names:
            return (), ()
        added = tuple(name for name in names if name not in before)
        return added, tuple(name for name in before if name not in names)

    def drop(self, address: bytes) -> tuple[str, ...]:
        """Stop answering for `address`, from the next frame on. Returns the interfaces it was on."""
        entry = self.held.pop(address, None)
        return () if entry is None else entry.interfaces

    def count_reply(self, entry: Held) -> None:
        """A reply for it is about to be sent."""
        entry.replies += 1
        if not entry.is_counted:
            entry.is_counted = True
            self.active.append(entry)

    def is_claim(self, interface: Interface, mac: bytes, address: bytes) -> bool:
        """Whether it is another host that uses this address of ours, on a segment where we hold it."""
        if mac in self.own_macs or not is_host(mac):
            return False
        return interface.name in self.held[address].interfaces

    def is_in_use(self, interface: Interface, mac: bytes, address: bytes) -> bool:
        """Whether this shows that another host has, or wants, an address that is being probed for there."""
        names = self.probed.get(address, ())
        return interface.name in names and mac not in self.own_macs and is_host(mac)


def is_host(mac: bytes) -> bool:
    """Whether this can be the MAC of one host: not a group address, not zero."""
    return not mac[0] & 1 and mac != UNKNOWN_MAC


def is_announceable(address: bytes) -> bool:
    """Whether an address may be held at all: not unspecified (every probe's sender), multicast, broadcast, loopback."""
    if len(address) == 4:
        return address != UNSPECIFIED and address[0] < 224
    return len(address) == 16 and address not in (ndp.UNSPECIFIED, _IPV6_LOOPBACK) and address[0] != 0xFF
