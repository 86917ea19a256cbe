"""Where on the network a BGPPeer is for this node: its address, and the link or VRF that it is on. Pure.

This is the one place that says which router a BGPPeer is; what else is agreed with it is speaker.bgp.peers' business.
"""

from ipaddress import IPv6Address, ip_address
from typing import NamedTuple

from crds.addresses import IPAddress, plain_address
from crds.bgppeer import BGPPeerSpec
from crds.conditions import Reason
from speaker.bgp.bynode import Gateway, Here, Nothing, peer_address
from speaker.wire.messages import RoutersOn


class Place(NamedTuple):
    """`interface`: the link that it is on, where the address says nothing without it. `vrf`: the VRF device that
    sessions run in; None = the default one."""

    address: IPAddress
    interface: str | None = None
    vrf: str | None = None

    @property
    def is_link_local(self) -> bool:
        """Whether the session is over link-local addresses (RFC 4291 §2.5.6; IPv4 has them on any link)."""
        return is_link_local(self.address)


def place_of(spec: BGPPeerSpec, here: Here) -> Place | Nothing:
    """For that node, as it stands now. Raises ValueError for what is no address."""
    if spec.peer_address_from is not None:
        return _ruled(spec, peer_address(spec.peer_address_from, here))
    if spec.peer_address is not None:
        return _given(spec, ip_address(spec.peer_address))
    if spec.interface is None:
        return Nothing(Reason.InvalidSpec, "peerAddress and interface are missing: set one of them")
    heard = here.around.routers.get(spec.interface, RoutersOn(()))
    if not heard.routers:
        return Nothing(Reason.NoRouter, _unheard(spec.interface, heard.fault))
    return Place(IPv6Address(heard.routers[0]), spec.interface, spec.vrf)


def remark(spec: BGPPeerSpec, here: Here) -> Nothing | None:
    """What is to be known though there is a session: that it could be with another router as well."""
    if spec.peer_address_from is not None:
        return _remark_on_gateways(peer_address(spec.peer_address_from, here), here)
    if spec.peer_address is not None or spec.interface is None:
        return None
    heard = here.around.routers.get(spec.interface, RoutersOn(())).routers
    if len(heard) < 2:
        return None
    message = (
        f"several routers are heard on {spec.interface}: {', '.join(heard)}. The session is with {heard[0]}, which was "
        "heard first; give the one that you mean as peerAddress, beside interface"
    )
    return Nothing(Reason.SeveralRouters, message)


def is_named(router: str, spec: BGPPeerSpec) -> bool:
    """Whether that BGPPeer may be this router, which is named as PeerConfig.router does. One whose address follows from
    the node may be any: what a node says is no operator's word about a router."""
    address, _, zone = router.partition("%")
    if spec.peer_address_from is not None:
        return True
    if spec.peer_address is None:
        return spec.interface is not None and spec.interface == zone
    named = plain_address(spec.peer_address)
    if named is None or str(named) != address:
        return False
    return zone == ((spec.interface if is_link_local(named) else spec.vrf) or "")


def is_link_local(address: IPAddress) -> bool:
    """fe80::/10."""
    return isinstance(address, IPv6Address) and address.is_link_local


def _ruled(spec: BGPPeerSpec, found: IPAddress | Gateway | Nothing) -> Place | Nothing:
    """A gateway's link matters where its address says nothing without it."""
    if isinstance(found, Nothing):
        return found
    if isinstance(found, Gateway):
        return Place(found.address, found.interface if is_link_local(found.address) else None, spec.vrf)
    return Place(found, None, spec.vrf)


def _remark_on_gateways(found: IPAddress | Gateway | Nothing, here: Here) -> Nothing | None:
    if not isinstance(found, Gateway) or not found.others:
        return None
    message = (
        f"node {here.name} has {found.others + 1} default gateways on {found.interface}; the session is with "
        f"{found.address}, the best one. Name the routers in annotations (peerAddressFrom.nodeAnnotation), with a "
        "BGPPeer for each router of a rack"
    )
    return Nothing(Reason.SeveralRouters, message)


def _given(spec: BGPPeerSpec, address: IPAddress) -> Place | Nothing:
    if is_link_local(address) and spec.interface is None:
        message = (
            f"{address} is a link-local address, which many links have: set interface, too, or a global peerAddress"
        )
        return Nothing(Reason.InvalidSpec, message)
    if not is_link_local(address) and spec.interface is not None:
        message = f"{address} is no link-local address: leave interface out, or write the router's fe80:: address"
        return Nothing(Reason.InvalidSpec, message)
    return Place(address, spec.interface, spec.vrf)


def _unheard(interface: str, fault: str) -> str:
    if fault:
        return f"no router can be heard on {interface}: {fault}"
    return (
        f"no router has been heard on {interface} so far: does it send Router Advertisements there? FRR does where it "
        f"has `neighbor IFACE interface remote-as ...`; else give the router's fe80:: address as peerAddress"
    )
