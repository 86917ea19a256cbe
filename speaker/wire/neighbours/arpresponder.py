"""What to do with a received ARP frame: reply, ignore, or report that somebody else claims one of our addresses.

It sends nothing, knows no clock and no permit: the wire process asks the clock right before a reply leaves. Whether a
conflict is defended (RFC 5227 §2.4) is decided elsewhere, by those who know the other speakers.
"""

from __future__ import annotations

from speaker.wire.neighbours.arp import BROADCAST, FRAME_BYTES, HOT_FIELDS, REPLY, REQUEST, UNSPECIFIED, reply
from speaker.wire.neighbours.table import Conflict, Ignored, Interface, InUse, Table, is_host


class ArpResponder:
    """The decision for one frame at a time."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def answer(self, interface: Interface, frame: bytearray, length: int) -> bytes | Conflict | InUse | Ignored:
        """Decide about the first `length` bytes of `frame`. The hot path: no loops, few allocations."""
        if length < FRAME_BYTES:
            return Ignored.MALFORMED
        destination, kind, sender_mac, sender, target = HOT_FIELDS.unpack_from(frame)
        if kind != REQUEST and kind != REPLY:
            return Ignored.MALFORMED
        if self._table.probed:
            found = self._in_use(interface, kind, destination, sender_mac, sender, target)
            if found is not None:
                return found
        if sender in self._table.held and self._table.is_claim(interface, sender_mac, sender):
            answer: bytes | Ignored | None = None
            if kind == REQUEST and target != sender:
                answer = self._reply(interface, destination, sender_mac, sender, target)
            return Conflict(sender, sender_mac, answer if isinstance(answer, bytes) else None)
        if kind == REPLY:
            return Ignored.PLAIN_REPLY
        return self._reply(interface, destination, sender_mac, sender, target)

    def _in_use(
        self, interface: Interface, kind: bytes, destination: bytes, sender_mac: bytes, sender: bytes, target: bytes
    ) -> InUse | None:
        """RFC 5227 §2.1.1: any frame whose sender is the address, and a probe of another host for it."""
        if self._table.is_in_use(interface, sender_mac, sender):
            answer = self._reply(interface, destination, sender_mac, sender, target) if kind == REQUEST else None
            return InUse(sender, sender_mac, False, answer if isinstance(answer, bytes) else None)
        is_probe = kind == REQUEST and sender == UNSPECIFIED
        if is_probe and self._table.is_in_use(interface, sender_mac, target):
            return InUse(target, sender_mac, True, None)
        return None

    def _reply(
        self, interface: Interface, destination: bytes, sender_mac: bytes, sender: bytes, target: bytes
    ) -> bytes | Ignored:
        """A request, RFC 5227 probes included: to answer a probe for our address is to defend it (§2.1.1)."""
        table = self._table
        entry = table.held.get(target)
        if entry is None or interface.name not in entry.interfaces:
            return Ignored.NOT_OURS
        if destination != BROADCAST and destination != interface.mac:
            return Ignored.OTHER_HOST
        if sender_mac in table.own_macs:
            return Ignored.OWN
        if not is_host(sender_mac):
            return Ignored.BAD_SENDER
        table.count_reply(entry)
        return reply(interface.head, target, sender_mac, sender)
