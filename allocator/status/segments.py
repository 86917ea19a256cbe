"""Whether an address that is announced on layer 2 lies in a network of who announces it, as far as Speakers tell. Pure.

Neighbours ask for an address on the segment of its network. Where no node is on it, a router may still have a network
there that contains it, so this is told and nothing else follows from it.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_interface

from allocator.objects import StoredAllocation
from allocator.release.speakers import SeenInterface, SpeakerState
from allocator.status.entries import Announcement
from crds.addresses import IPAddress
from crds.conditions import ConditionType, Reason
from crds.observation import Observation
from crds.wording import listed

NAMED_NODES = 5
"""How many nodes a message names before it counts the rest."""

Networks = Mapping[str, frozenset[IPv4Network | IPv6Network]]
"""By interface."""


class Segments:
    """The networks of all nodes' interfaces."""

    def __init__(self) -> None:
        self._nodes: dict[str, Networks] = {}

    def speaker_seen(self, node: str, speaker: SpeakerState | None) -> bool:
        """What that Speaker says now; None = there is none. Whether that is news."""
        before, now = self._nodes.pop(node, {}), _networks(speaker.interfaces()) if speaker is not None else {}
        if now:
            self._nodes[node] = now
        return before != now

    def judge(self, stored: StoredAllocation, announcers: Mapping[str, Announcement]) -> Observation | None:
        """The condition OnNetwork; None while it is, and ever was, or that is not known."""
        off = {node: one.interfaces for node, one in announcers.items() if self._is_off(stored.address, node, one)}
        on_layer2 = [node for node, one in announcers.items() if "Layer2" in one.protocols]
        if off and len(off) == len(on_layer2):
            there = sorted(node for node, its in self._nodes.items() if _has(stored.address, its.values()))
            reason = Reason.OwnerOffNetwork if there else Reason.NoNodeOnNetwork
            return Observation(ConditionType.OnNetwork, False, reason, _message(stored, off, there))
        if on_layer2 and any(one.type == ConditionType.OnNetwork for one in stored.conditions):
            message = f"Who announces {stored.address} is on a network that contains it"
            return Observation(ConditionType.OnNetwork, True, Reason.OwnerOnNetwork, message)
        return None

    def _is_off(self, address: IPAddress, node: str, how: Announcement) -> bool:
        """Whether that node announces it on layer 2, and on none of its networks; it tells all of them."""
        networks = self._nodes.get(node, {})
        known = [networks[name] for name in how.interfaces if name in networks]
        is_told = bool(known) and len(known) == len(how.interfaces)
        return "Layer2" in how.protocols and is_told and not _has(address, known)


def _message(stored: StoredAllocation, off: Mapping[str, Iterable[str]], there: list[str]) -> str:
    who = listed([f"{node} (on {', '.join(names)})" for node, names in sorted(off.items())], NAMED_NODES)
    if not there:
        return (
            f"No node is on a network that contains {stored.address}; {who} announces it. Where a router on that "
            "segment has such a network, all is well. Else nobody asks for it there: put addresses of the nodes' "
            f"networks into pool {stored.claim.pool}, or announce it by BGP"
        )
    why = (
        "The policy is Local, and of the nodes with a ready endpoint none is: run one on these"
        if stored.claim.traffic_policy == "Local"
        else "Look whether the advertisement's nodeSelector and interfaces leave these out, and at their Speakers"
    )
    others = listed(there, NAMED_NODES)
    return f"{who} announces {stored.address}, and is on no network that contains it. On one is {others}. {why}"


def _networks(interfaces: Iterable[SeenInterface]) -> Networks:
    """Of those that tell: an earlier version's speaker does not."""
    return {
        one.name: frozenset(network for text in one.networks if (network := _network(text)) is not None)
        for one in interfaces
        if one.tells_networks
    }


@lru_cache(maxsize=4096)
def _network(text: str) -> IPv4Network | IPv6Network | None:
    """One with a single address is none: nobody else is there."""
    try:
        network = ip_interface(text).network
    except ValueError:
        return None
    return network if network.prefixlen < network.max_prefixlen else None


def _has(address: IPAddress, networks: Iterable[frozenset[IPv4Network | IPv6Network]]) -> bool:
    return any(address in network for of_one in networks for network in of_one)
