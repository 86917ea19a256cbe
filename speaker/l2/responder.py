"""What to do with a received ARP frame: reply, ignore, or report that somebody else claims one of our addresses.

It sends nothing, knows no clock and no permit: the wire process asks the clock right before a reply leaves. Whether a
conflict is defended (RFC 5227 §2.4) is decided elsewhere, by those who know the other speakers.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import NamedTuple

from speaker.l2.packets import (
    BROADCAST,
    FRAME_BYTES,
    HOT_FIELDS,
    REPLY,
    REQUEST,
    UNKNOWN_MAC,
    UNSPECIFIED,
    reply,
    reply_head,
)


class Ignored(Enum):
    """Why a frame gets no answer."""

    NOT_ARP = "NotArp"
    """Too short, another EtherType, another hardware or protocol type, neither request nor reply."""
    NOT_OURS = "NotOurs"
    """About an address that we do not announce on this interface."""
    OWN = "Own"
    """Sent by this machine."""
    OTHER_HOST = "OtherHost"
    """Unicast to another MAC, or multicast."""
    BAD_SENDER = "BadSender"
    """The sender's MAC is a group address or zero: a reply there would be a broadcast, or lost."""
    PLAIN_REPLY = "PlainReply"
    """A reply that claims nothing of ours."""


class Conflict(NamedTuple):
    """A host other than us uses `address` as its own (RFC 5227 §2.4)."""

    address: bytes
    mac: bytes
    reply: bytes | None
    """The frame was also a request for another address of ours; this answers it."""


class Interface(NamedTuple):
    """What the responder needs to know of the interface a frame came from."""

    name: str
    mac: bytes
    head: bytes
    """Prebuilt part of every reply."""


class Held:
    """One address that we announce. Counters are plain attributes: they are bumped on the hot path."""

    __slots__ = ("address", "conflict_reported_at", "interfaces", "is_counted", "replies")

    def __init__(self, address: bytes, interfaces: tuple[str, ...]) -> None:
        self.address = address
        self.interfaces = interfaces
        self.replies = 0
        self.is_counted = False  # stands in `Responder.active` already
        self.conflict_reported_at = float("-inf")


def interface(name: str, mac: bytes) -> Interface:
    return Interface(name, mac, reply_head(mac))


class Responder:
    """The table of addresses in force, and the decision for one frame at a time."""

    def __init__(self) -> None:
        self.held: dict[bytes, Held] = {}
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

    def answer(self, interface: Interface, frame: bytearray, length: int) -> bytes | Conflict | Ignored:
        """Decide about the first `length` bytes of `frame`. The hot path: no loops, few allocations."""
        if length < FRAME_BYTES:
            return Ignored.NOT_ARP
        destination, kind, sender_mac, sender, target = HOT_FIELDS.unpack_from(frame)
        if kind != REQUEST and kind != REPLY:
            return Ignored.NOT_ARP
        if sender in self.held and self._is_claim(interface, sender_mac, sender):
            answer: bytes | Ignored | None = None
            if kind == REQUEST and target != sender:
                answer = self._reply(interface, destination, sender_mac, sender, target)
            return Conflict(sender, sender_mac, answer if isinstance(answer, bytes) else None)
        if kind == REPLY:
            return Ignored.PLAIN_REPLY
        return self._reply(interface, destination, sender_mac, sender, target)

    def _reply(
        self, interface: Interface, destination: bytes, sender_mac: bytes, sender: bytes, target: bytes
    ) -> bytes | Ignored:
        """A request, RFC 5227 probes included: to answer a probe for our address is to defend it (§2.1.1)."""
        entry = self.held.get(target)
        if entry is None or interface.name not in entry.interfaces:
            return Ignored.NOT_OURS
        if destination != BROADCAST and destination != interface.mac:
            return Ignored.OTHER_HOST
        if sender_mac in self.own_macs:
            return Ignored.OWN
        if not _is_host(sender_mac):
            return Ignored.BAD_SENDER
        entry.replies += 1
        if not entry.is_counted:
            entry.is_counted = True
            self.active.append(entry)
        return reply(interface.head, target, sender_mac, sender)

    def _is_claim(self, interface: Interface, sender_mac: bytes, sender: bytes) -> bool:
        """Whether a frame whose sender is our address comes from another host, on a segment where we hold it."""
        if sender_mac in self.own_macs or not _is_host(sender_mac):
            return False
        return interface.name in self.held[sender].interfaces


def _is_host(mac: bytes) -> bool:
    """Whether this can be the MAC of one host: not a group address, not zero."""
    return not mac[0] & 1 and mac != UNKNOWN_MAC


def is_announceable(address: bytes) -> bool:
    """Whether an IPv4 address may be held at all: not 0.0.0.0 (every probe's sender), multicast, or broadcast."""
    return len(address) == 4 and address != UNSPECIFIED and address[0] < 224
