"""What to do with a received NDP frame: advertise, ignore, or report that somebody else claims one of our addresses.

The counterpart of responder.py, with the same limits: it sends nothing and knows no clock and no permit.
Numbers of §: RFC 4861.
"""

from __future__ import annotations

from speaker.l2 import ndp
from speaker.l2.table import Conflict, Ignored, Interface, InUse, Table, is_host


class NdpResponder:
    """The decision for one frame at a time."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def answer(self, interface: Interface, frame: bytearray, length: int) -> bytes | Conflict | InUse | Ignored:
        """Decide about the first `length` bytes of `frame`. Quick for a solicitation in the form that stacks write."""
        plain = ndp.plain_solicitation(frame, length)
        if plain is not None:
            return self._on_solicitation(interface, *plain)
        message = ndp.parse(memoryview(frame)[:length])
        if message is None:
            return Ignored.MALFORMED
        if isinstance(message, ndp.Advertisement):
            return self._on_advertisement(interface, message)
        if message.is_probe:
            return self._on_probe(interface, message)
        mac = message.sender_mac or message.source
        return self._on_solicitation(
            interface, message.destination, message.source, message.sender, message.target, mac
        )

    def _on_solicitation(
        self, interface: Interface, destination: bytes, source: bytes, sender: bytes, target: bytes, sender_mac: bytes
    ) -> bytes | Conflict | InUse | Ignored:
        """The reply goes to the link-layer address that the asker told; without one, to where the frame came from.

        A sender that is our address is a claim: its hearers learn from the option (§7.2.3).
        """
        if self._table.probed and self._table.is_in_use(interface, sender_mac, sender):
            reply = self._reply(interface, destination, source, sender, target, sender_mac)
            return InUse(sender, sender_mac, False, reply if isinstance(reply, bytes) else None)
        if sender in self._table.held and self._table.is_claim(interface, sender_mac, sender):
            answer: bytes | Ignored | None = None
            if target != sender:
                answer = self._reply(interface, destination, source, sender, target, sender_mac)
            return Conflict(sender, sender_mac, answer if isinstance(answer, bytes) else None)
        return self._reply(interface, destination, source, sender, target, sender_mac)

    def _reply(
        self, interface: Interface, destination: bytes, source: bytes, sender: bytes, target: bytes, sender_mac: bytes
    ) -> bytes | Ignored:
        fault = self._why_not(interface, destination, source, target, sender_mac)
        if fault is not None:
            return fault
        self._table.count_reply(self._table.held[target])
        return ndp.reply(interface.ndp_head, target, sender_mac, sender)

    def _on_probe(self, interface: Interface, probe: ndp.Solicitation) -> bytes | InUse | Ignored:
        """RFC 4862 §5.4.3: whoever probes for our address is told, with all others, that it is in use.

        No conflict yet: a host that probes does not use the address, and will not after the answer.
        """
        if self._table.is_in_use(interface, probe.source, probe.target):
            return InUse(probe.target, probe.source, True, None)
        fault = self._why_not(interface, probe.destination, probe.source, probe.target, probe.source)
        if fault is not None:
            return fault
        self._table.count_reply(self._table.held[probe.target])
        return ndp.unsolicited(interface.ndp_head, probe.target)

    def _why_not(
        self, interface: Interface, destination: bytes, source: bytes, target: bytes, asker_mac: bytes
    ) -> Ignored | None:
        table = self._table
        entry = table.held.get(target)
        if entry is None or interface.name not in entry.interfaces:
            return Ignored.NOT_OURS
        if not destination[0] & 1 and destination != interface.mac:
            return Ignored.OTHER_HOST
        if source in table.own_macs or asker_mac in table.own_macs:
            return Ignored.OWN
        if not is_host(asker_mac):
            return Ignored.BAD_SENDER
        return None

    def _on_advertisement(self, interface: Interface, seen: ndp.Advertisement) -> Conflict | InUse | Ignored:
        """Somebody else's word that our address is at their MAC (RFC 4862 §5.4.4)."""
        mac = seen.target_mac or seen.source
        if self._table.is_in_use(interface, mac, seen.target) and seen.source not in self._table.own_macs:
            return InUse(seen.target, mac, False, None)
        if seen.target not in self._table.held:
            return Ignored.PLAIN_REPLY
        if seen.source in self._table.own_macs or not self._table.is_claim(interface, mac, seen.target):
            return Ignored.OWN if mac in self._table.own_macs else Ignored.PLAIN_REPLY
        return Conflict(seen.target, mac, None)
