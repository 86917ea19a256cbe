"""Configurations of frr-k8s, the program by which MetalLB may speak BGP: whose they are, and what keeps them. Pure.

MetalLB writes one for each node from its own objects, which are converted themselves. Others were written by somebody
else: FRR goes on with those after MetalLB is gone. They ask for what Berth has not, routes that are learned and routes
that are no Service's, so none is converted. One that has a session with a router of ours would keep Berth's away.
"""

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_address
from typing import Any

from cli.migrate.told import Body
from kube.resource import Resource

FRR_CONFIGURATIONS = Resource("frrk8s.metallb.io", "v1beta1", "frrconfigurations", "FRRConfiguration", True)
PREFIX = "metallb-"
"""Of the names of those that MetalLB writes, before the node's."""
Router = tuple[str, str]
"""The VRF, empty for none, and the address or the interface that a session goes to."""


def is_of_metallb(name: str) -> bool:
    """Whether MetalLB writes the configuration of that name, and nobody is to convert it."""
    return name.startswith(PREFIX)


def routers_of_peers(specs: Iterable[Mapping[str, Any]]) -> set[Router]:
    """To whom our BGPPeers have sessions, by their specs."""
    return {_router(one.get("vrf"), one.get("peerAddress") or one.get("interface")) for one in specs}


def sessions_in_the_way(configuration: Body, ours: set[Router]) -> list[str]:
    """The neighbors of a configuration that are routers of ours, as they are written there."""
    found = [(vrf, named) for vrf, named in _neighbors(configuration) if _router(vrf, named) in ours]
    return [str(named) for _, named in found]


def _neighbors(configuration: Body) -> Iterator[tuple[Any, Any]]:
    bgp = _below(_below(configuration, "spec"), "bgp")
    for router in _all(bgp, "routers"):
        for neighbor in _all(router, "neighbors"):
            yield router.get("vrf"), neighbor.get("address") or neighbor.get("interface")


def _router(vrf: object, named: object) -> Router:
    try:
        return str(vrf or ""), str(ip_address(str(named)))
    except ValueError:
        return str(vrf or ""), str(named)


def _below(body: Body, key: str) -> Body:
    found = body.get(key)
    return found if isinstance(found, dict) else {}


def _all(body: Body, key: str) -> list[Body]:
    found = body.get(key)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
