"""What the rules of a BGPPeer (peerAddressFrom, myASNFrom, sourceAddressFrom) give for one node. Pure.

A rule points at an annotation or a label of the Node, or at an interface of the host. What stands there was written by
others: it is one address or one number, or it is nothing, and then the reason says which node has what.
"""

from typing import NamedTuple

from crds.addresses import Family, IPAddress, family_of, plain_address
from crds.bgppeer import ASNFrom, BGPPeerSpec, DefaultGateway, PeerAddressFrom, SourceAddressFrom
from crds.conditions import Reason
from speaker.bgp.surroundings import Surroundings
from speaker.cluster.objects import NodeFacts

MOST_ASN = 2**32 - 1
_MOST_ASN_DIGITS = 10
_SHOWN_CHARACTERS = 48


class Here(NamedTuple):
    """One node, as it stands now."""

    name: str
    node: NodeFacts
    around: Surroundings = Surroundings()


class Nothing(NamedTuple):
    """There is none, and why."""

    reason: Reason
    message: str


class Gateway(NamedTuple):
    """`others`: how many default gateways the interface has besides."""

    address: IPAddress
    interface: str
    others: int


def own_asn(spec: BGPPeerSpec, here: Here) -> int | Nothing:
    """The AS number of this node's side."""
    if spec.my_asn_from is None:
        if spec.my_asn is None:
            return Nothing(Reason.InvalidSpec, "myASN and myASNFrom are missing: set one of them")
        return spec.my_asn
    text = _text(spec.my_asn_from, here)
    if text is None or not (text.isascii() and text.isdecimal() and len(text) <= _MOST_ASN_DIGITS):
        return _unfit("myASNFrom", spec.my_asn_from, here, text, "an AS number from 1 to 4294967295")
    if not 1 <= int(text) <= MOST_ASN:
        return _unfit("myASNFrom", spec.my_asn_from, here, text, "an AS number from 1 to 4294967295")
    return int(text)


def peer_address(rule: PeerAddressFrom, here: Here) -> IPAddress | Gateway | Nothing:
    """The peer's."""
    if rule.default_gateway is not None:
        return _gateway(rule.default_gateway, here)
    address = _address(rule, here)
    if address is None or (address.version == 6 and address.is_link_local):
        what = "one IP address of a router (no link-local one of IPv6, which is on many links)"
        return _unfit("peerAddressFrom", rule, here, _text(rule, here), what)
    return address


def source_address(rule: SourceAddressFrom, family: Family, here: Here) -> IPAddress | Nothing:
    """The own one that sessions with a peer of that family are opened from."""
    if rule.interface is not None:
        found = here.around.address_on(rule.interface, family)
        if found is not None:
            return found
        message = (
            f"node {here.name} has no {family} address on {rule.interface} that others can reach (sourceAddressFrom): "
            "add one there, or exclude the node by nodeSelector"
        )
        return Nothing(Reason.NoNodeValue, message)
    address = _address(rule, here)
    if address is None or family_of(address) is not family:
        what = f"one {family} address of the node, as the peer has one"
        return _unfit("sourceAddressFrom", rule, here, _text(rule, here), what)
    return address


def _gateway(rule: DefaultGateway, here: Here) -> Gateway | Nothing:
    found = here.around.gateways_on(rule.interface, rule.family)
    if not found:
        message = (
            f"node {here.name} has no default gateway of {rule.family} on {rule.interface} (peerAddressFrom): is the "
            "interface called so there, is it among those that the speakers use, and does the main routing table have "
            "a default route by it? Else exclude the node by nodeSelector"
        )
        return Nothing(Reason.NoNodeValue, message)
    return Gateway(found[0], rule.interface, len(found) - 1)


def _address(rule: PeerAddressFrom | SourceAddressFrom, here: Here) -> IPAddress | None:
    text = _text(rule, here)
    return plain_address(text) if text is not None else None


def _text(rule: ASNFrom | PeerAddressFrom | SourceAddressFrom, here: Here) -> str | None:
    """What the Node says there; None = it has no such annotation or label."""
    if rule.node_annotation is not None:
        return here.node.annotations.get(rule.node_annotation)
    return here.node.labels.get(rule.node_label or "")


def _unfit(
    field: str, rule: ASNFrom | PeerAddressFrom | SourceAddressFrom, here: Here, text: str | None, what: str
) -> Nothing:
    """The node's word can't be used. `what`: what should be there."""
    kind = "annotation" if rule.node_annotation is not None else "label"
    key = rule.node_annotation or rule.node_label
    if text is None:
        message = (
            f"node {here.name} has no {kind} {key} ({field}): put {what} there, or exclude the node by nodeSelector"
        )
    else:
        message = f"{kind} {key} of node {here.name} is {text[:_SHOWN_CHARACTERS]!r} ({field}): put {what} there"
    return Nothing(Reason.NoNodeValue, message)
