"""Which nodes and interfaces are on the network of an address: those come first. Pure.

A neighbour asks for an address on the segment of its network, and nowhere else. So a node that is on another segment
can answer nobody, however well it is. Where no node is on the address's network, nothing is known, and all count alike:
a router may send it to the segment, or masks may be those of single hosts (/32).

All nodes see this alike, since they read it in the same Speakers. Which of its own interfaces on one network a node
answers on is its own business: the one that its kernel sends on.
"""

from collections.abc import Mapping
from typing import NamedTuple

from speaker.cluster.networks import Attached, Network

Site = int
"""The networks that an address lies in, as bits; 0 = no node is on a network with it."""

NOWHERE: Site = 0

Rank = tuple[int, int]
"""Of an interface on a network: the metric of the kernel's route there by it, and its index. Lower is better."""


class Way(NamedTuple):
    """An interface on a network that it is on."""

    interface: str
    network: Network


_UNKNOWN: Rank = (1 << 64, 0)


class Networks:
    """The networks of all nodes' interfaces, to look addresses up in."""

    def __init__(self, attached: Mapping[str, Mapping[str, Attached]]) -> None:
        """By node and interface."""
        self._attached = attached
        told = {one for each in attached.values() for its in each.values() for one in its.networks or ()}
        self._bits = {network: 1 << number for number, network in enumerate(sorted(told))}
        self._lengths: dict[bool, dict[int, dict[int, Site]]] = {False: {}, True: {}}
        for network, bit in self._bits.items():
            self._lengths[network.is_ipv6].setdefault(network.host_bits, {})[network.number] = bit

    def site(self, address: bytes) -> Site:
        """`address` in network byte order."""
        lengths = self._lengths[len(address) != 4]
        if not lengths:
            return NOWHERE
        value, site = int.from_bytes(address, "big"), NOWHERE
        for host_bits, known in lengths.items():
            site |= known.get(value >> host_bits, NOWHERE)
        return site

    def has_ipv6(self, node: str, interface: str) -> bool:
        """Whether IPv6 is switched on there, as far as is told."""
        return self._of(node, interface).has_ipv6

    def is_at(self, node: str, interface: str, site: Site) -> bool:
        """Whether that interface is on one of these networks. One that does not tell its networks counts as there."""
        networks = self._of(node, interface).networks
        return networks is None or any(self._bits[one] & site for one in networks)

    def best_way(self, node: str, interfaces: tuple[str, ...], site: Site, routes: Mapping[Way, Rank]) -> str:
        """Of interfaces of one node that are all at the site, the one that its kernel sends on: the longest prefix,
        the lowest metric, the lowest index."""

        def worth(interface: str) -> tuple[int, Rank, str]:
            here = [one for one in self._of(node, interface).networks or () if self._bits[one] & site]
            host_bits = min((one.host_bits for one in here), default=_UNKNOWN[0])
            ranks = (routes.get(Way(interface, one), _UNKNOWN) for one in here if one.host_bits == host_bits)
            return host_bits, min(ranks, default=_UNKNOWN), interface

        return min(interfaces, key=worth)

    def _of(self, node: str, interface: str) -> Attached:
        return self._attached.get(node, {}).get(interface, _NOT_TOLD_YET)


_NOT_TOLD_YET = Attached(frozenset())
"""Of an interface that heartbeats name and the Speaker does not: it comes with the next write of that Speaker."""
