"""What to do with a received NDP frame: advertise, ignore, or report that somebody else claims one of our addresses.

The counterpart of arpresponder.py, with the same limits: it sends nothing and knows no clock and no permit.
Numbers of §: RFC 4861.
"""

from __future__ import annotations

from speaker.wire.neighbours import ndp
from speaker.wire.neighbours.arp import UNKNOWN_MAC
from speaker.wire.neighbours.ndp import (
    UNSPECIFIED,
    USUAL_BYTES,
    USUAL_FIELDS,
    USUAL_HEADER,
    USUAL_KIND,
    USUAL_OPTION,
    has_usual_checksum,
)
from speaker.wire.neighbours.table import Conflict, Held, Ignored, Interface, InUse, Table, is_host


class NdpResponder:
    """The decision for one frame at a time."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def answer(self, interface: Interface, frame: bytearray, length: int) -> bytes | Conflict | InUse | Ignored:
        """Decide about the first `length` bytes of `frame`.

        The hot path: a solicitation in its usual form, for an address of ours, that is to be answered. Whatever is
        otherwise about it is left to `_judge`.
        """
        if length >= USUAL_BYTES:
            destination, source, header, sender, kind, target, option, mac = USUAL_FIELDS.unpack_from(frame)
            table = self._table
            entry = table.held.get(target)
            if (
                entry is not None
                and header == USUAL_HEADER
                and kind == USUAL_KIND
                and option == USUAL_OPTION
                and interface.name in entry.interfaces
                and (destination[0] & 1 or destination == interface.mac)
                and not (mac[0] & 1 or mac in table.own_macs or source in table.own_macs or mac == UNKNOWN_MAC)
                and not (sender in table.held or sender == UNSPECIFIED)
                and not table.probed
                and has_usual_checksum(frame)
            ):
                return self._answer(interface, entry, mac, sender)
        return self._judge(interface, memoryview(frame)[:length])

    def _answer(self, interface: Interface, entry: Held, asker_mac: bytes, asker: bytes) -> bytes:
        self._table.count_reply(entry)
        prebuilt = entry.prebuilt
        if prebuilt is None or prebuilt[0] is not interface:
            prebuilt = entry.prebuilt = (interface, ndp.answer(interface.ndp_head, entry.address))
        return ndp.reply(prebuilt[1], asker_mac, asker)

    def _judge(self, interface: Interface, frame: memoryview) -> bytes | Conflict | InUse | Ignored:
        message = ndp.parse(frame)
        if message is None:
            return Ignored.MALFORMED
        if isinstance(message, ndp.Advertisement):
            return self._on_advertisement(interface, message)
        if message.is_probe:
            return self._on_probe(interface, message)
        return self._on_solicitation(interface, message, message.sender_mac or message.source)

    def _on_solicitation(
        self, interface: Interface, seen: ndp.Solicitation, asker_mac: bytes
    ) -> bytes | Conflict | InUse | Ignored:
        """The answer goes to the link-layer address that the asker told; without one, to where the frame came from.

        A sender that is our address is a claim: its hearers learn from the option (§7.2.3).
        """
        if self._table.is_in_use(interface, asker_mac, seen.sender):
            reply = self._reply(interface, seen, asker_mac)
            return InUse(seen.sender, asker_mac, False, reply if isinstance(reply, bytes) else None)
        if seen.sender in self._table.held and self._table.is_claim(interface, asker_mac, seen.sender):
            answer = self._reply(interface, seen, asker_mac) if seen.target != seen.sender else None
            return Conflict(seen.sender, asker_mac, answer if isinstance(answer, bytes) else None)
        return self._reply(interface, seen, asker_mac)

    def _reply(self, interface: Interface, seen: ndp.Solicitation, asker_mac: bytes) -> bytes | Ignored:
        fault = self._why_not(interface, seen, asker_mac)
        if fault is not None:
            return fault
        return self._answer(interface, self._table.held[seen.target], asker_mac, seen.sender)

    def _on_probe(self, interface: Interface, probe: ndp.Solicitation) -> bytes | InUse | Ignored:
        """RFC 4862 §5.4.3: a host that probes for our address learns, with all others, that it is in use.

        No conflict yet: a host that probes does not use the address, and will not after the answer.
        """
        if self._table.is_in_use(interface, probe.source, probe.target):
            return InUse(probe.target, probe.source, True, None)
        fault = self._why_not(interface, probe, probe.source)
        if fault is not None:
            return fault
        self._table.count_reply(self._table.held[probe.target])
        return ndp.unsolicited(interface.ndp_head, probe.target)

    def _why_not(self, interface: Interface, seen: ndp.Solicitation, asker_mac: bytes) -> Ignored | None:
        table = self._table
        entry = table.held.get(seen.target)
        if entry is None or interface.name not in entry.interfaces:
            return Ignored.NOT_OURS
        if not seen.destination[0] & 1 and seen.destination != interface.mac:
            return Ignored.OTHER_HOST
        if seen.source in table.own_macs or asker_mac in table.own_macs:
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
