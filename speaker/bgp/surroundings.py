"""What the host says of who a BGPPeer is for this node: routers on its links, default gateways, own addresses. Pure."""

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Interface, IPv6Interface
from types import MappingProxyType
from typing import NamedTuple

from crds.addresses import Family, IPAddress, family_of, plain_address
from speaker.wire.messages import Interface, RoutersOn

OwnAddress = IPv4Interface | IPv6Interface
"""With the length of the network's prefix."""
Addresses = Mapping[str, tuple[OwnAddress, ...]]
"""By interface, in the kernel's order: those that others may reach."""


class Surroundings(NamedTuple):
    """By interface. `routers`: those that are heard by router discovery, on the links where they are looked for.
    `gateways`: the default gateways of interfaces that can be used, the best one first. `addresses`: the node's own."""

    routers: Mapping[str, RoutersOn] = MappingProxyType({})
    gateways: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    addresses: Addresses = MappingProxyType({})

    def gateways_on(self, interface: str, family: Family) -> list[IPAddress]:
        """Of that family, the best one first."""
        found = map(plain_address, self.gateways.get(interface, ()))
        return [one for one in found if one is not None and family_of(one) is family]

    def address_on(self, interface: str, family: Family) -> IPAddress | None:
        """The interface's first one of that family."""
        return next((one.ip for one in self.addresses.get(interface, ()) if family_of(one.ip) is family), None)

    def interface_to(self, peer: IPAddress, source: IPAddress | None) -> str | None:
        """The one that a session with that peer goes over: it has the source address, or is on the peer's network.
        None: neither is known, as of a peer behind a gateway."""
        if source is not None:
            return next((name for name, own in self.addresses.items() if any(one.ip == source for one in own)), None)
        near = [
            (one.network.prefixlen, name)
            for name, own in self.addresses.items()
            for one in own
            if one.version == peer.version and peer in one.network
        ]
        return max(near)[1] if near else None


NOTHING_AROUND = Surroundings()


def gateways_of(interfaces: Iterable[Interface]) -> dict[str, tuple[str, ...]]:
    """As the wire process reports them."""
    return {one.name: one.gateways for one in interfaces if one.gateways}
