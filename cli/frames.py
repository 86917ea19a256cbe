"""The frames of `berth arping`: what asks for an address, and who says that it has it. Pure; sends nothing."""

from dataclasses import dataclass
from ipaddress import IPv6Address

from crds.addresses import IPAddress
from speaker.wire.neighbours import arp, ndp


@dataclass(frozen=True)
class Question:
    """Who has `address`? Asked on `interface`, from `mac`. `sender`: the asker's address; unspecified in a probe."""

    address: IPAddress
    interface: str
    mac: bytes
    sender: IPAddress

    @property
    def frame(self) -> bytes:
        """A request by ARP (RFC 826), or a Neighbor Solicitation (RFC 4861 §7.2.2)."""
        if self.address.version == 4:
            return arp.request(self.mac, self.sender.packed, self.address.packed)
        if self.sender.is_unspecified:
            return ndp.probe(self.mac, self.address.packed)
        return ndp.solicitation(self.mac, self.sender.packed, self.address.packed)


def answerer(frame: bytes, question: Question) -> bytes | None:
    """The MAC of the machine that says in this frame that it has the address; None when it says no such thing.

    An ARP frame with the address as its sender is such a word (RFC 5227 §2.1.1). An announcement is none: it answers
    nothing, and comes beside the answer of one and the same machine. By ARP it has the address as its target, too
    (RFC 5227 §1.1); by NDP its flag S is not set, as in the answer to a probe (RFC 4861 §7.2.4).
    """
    if question.address.version == 4:
        packet = arp.parse(frame)
        if packet is None or packet.source == question.mac or packet.sender != question.address.packed:
            return None
        if packet.target == packet.sender:
            return None
        return packet.sender_mac
    message = ndp.parse(frame)
    if not isinstance(message, ndp.Advertisement) or message.source == question.mac:
        return None
    if message.target != question.address.packed:
        return None
    if not message.is_solicited and not question.sender.is_unspecified:
        return None
    return message.target_mac or message.source


def link_local(mac: bytes) -> IPv6Address:
    """The link-local address that belongs to a MAC (RFC 4291, appendix A)."""
    return IPv6Address(b"\xfe\x80" + bytes(6) + bytes([mac[0] ^ 2]) + mac[1:3] + b"\xff\xfe" + mac[3:])
