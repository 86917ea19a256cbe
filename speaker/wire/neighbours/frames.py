"""The frames that the wire process sends unasked, for an address of either family: ARP for IPv4, NDP for IPv6."""

from __future__ import annotations

from speaker.wire.neighbours import arp as packets
from speaker.wire.neighbours import ndp
from speaker.wire.neighbours.filter import ETH_P_ARP, ETH_P_IPV6
from speaker.wire.neighbours.schedule import Form
from speaker.wire.neighbours.table import Interface

IPV4_BYTES = 4


def protocol_of(address: bytes) -> int:
    """The EtherType of the frames that neighbours ask for it by."""
    return ETH_P_ARP if len(address) == IPV4_BYTES else ETH_P_IPV6


def announcement(interface: Interface, address: bytes, form: Form) -> bytes:
    """Tell all neighbours that the address is here. `form` matters for IPv4 only."""
    if len(address) != IPV4_BYTES:
        return ndp.unsolicited(interface.ndp_head, address)
    build = packets.gratuitous_request if form is Form.REQUEST else packets.gratuitous_reply
    return build(interface.mac, address)


def probe(interface: Interface, address: bytes) -> bytes:
    """Ask all neighbours whether one of them has the address, without claiming it (RFC 5227 §2.1.1, RFC 4862 §5.4)."""
    if len(address) != IPV4_BYTES:
        return ndp.probe(interface.mac, address)
    return packets.request(interface.mac, packets.UNSPECIFIED, address)


def question(interface: Interface, address: bytes, mac: bytes) -> bytes:
    """Ask that machine alone whether it uses the address, so that its answer comes to us alone."""
    if len(address) != IPV4_BYTES:
        return ndp.question(interface.mac, address, mac)
    return packets.request(interface.mac, packets.UNSPECIFIED, address, to=mac)
