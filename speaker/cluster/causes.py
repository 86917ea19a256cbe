"""Why a node can announce nothing, and why no node sends a route to an address that only BGPAdvertisements cover. Pure.

What every speaker sees alike. Sessions are not looked at: who has which is known to the allocator, which gathers them.
"""

from collections.abc import Container, Iterator, Mapping

from crds.bgpadvertisement import BGPAdvertisementSpec
from crds.conditions import Reason
from crds.names import TAINT_OUT_OF_SERVICE
from crds.wording import listed
from speaker.cluster.endpoints import Placement
from speaker.cluster.faults import Fault
from speaker.cluster.objects import Allocation, Labels, NodeFacts

NAMED_NODES = 5
"""How many nodes a message names before it counts the rest."""

NO_ENDPOINT = Fault(Reason.NoReadyEndpoint, "externalTrafficPolicy is Local, and its Services have no ready endpoint")
"""Of an address with the policy Local, whatever covers it."""

NO_ENDPOINT_AT_ALL = Fault(
    Reason.NoReadyEndpoint,
    "its Services have no ready endpoint, and no BGPAdvertisement that covers it has advertiseWithoutEndpoints",
)


def faults_in_node(facts: NodeFacts | None) -> Iterator[str]:
    """Why it is to take no traffic, or can take none. None: there is no such Node."""
    if facts is None:
        yield "has no Node object"
        return
    if facts.is_excluded:
        yield f"is excluded by {' and '.join(facts.excluded_by)}"
    if facts.is_out_of_service:
        yield f"is out of service by the taint {TAINT_OUT_OF_SERVICE}"
    if facts.is_network_unavailable:
        yield "has the condition NetworkUnavailable"


def covering(
    allocation: Allocation, pool: Labels | None, advertisements: Mapping[str, BGPAdvertisementSpec]
) -> list[BGPAdvertisementSpec]:
    """Those that choose the address. `pool`: the labels of its IPPool; None where there is none."""
    services = allocation.service_labels()
    of_pool = [ad for ad in advertisements.values() if ad.covers_pool(allocation.pool, pool)]
    return [ad for ad in of_pool if ad.covers_services(services)]


def why_no_route(
    allocation: Allocation,
    placement: Placement,
    ads: list[BGPAdvertisementSpec],
    nodes: Mapping[str, NodeFacts],
    alive: Container[str],
) -> Fault | None:
    """None where some node may send a route, or none is to. `ads`: those that cover the address. `placement`: of its
    endpoints, whatever the policy. `alive`: the nodes whose speakers live."""
    if not ads or allocation.is_releasing:
        return None
    if placement.is_empty and allocation.is_local:
        return NO_ENDPOINT
    if placement.is_empty and not any(ad.advertise_without_endpoints for ad in ads):
        return NO_ENDPOINT_AT_ALL
    why = {node: list(_faults(node, nodes, alive, ads)) for node in nodes}
    if allocation.is_local and not placement.is_everywhere:
        placed = {node: why.get(node, ["has no Node object"]) for node in sorted(placement.nodes)}
        return _fault(placed, "its only ready endpoints are on ", ", which ")
    return _fault(dict(sorted(why.items())), "", " ")


def _faults(
    node: str, nodes: Mapping[str, NodeFacts], alive: Container[str], ads: list[BGPAdvertisementSpec]
) -> Iterator[str]:
    yield from faults_in_node(nodes[node])
    if node not in alive:
        yield "has no live speaker"
    if not any(ad.selects_node(nodes[node].labels) for ad in ads):
        yield "is not chosen by the nodeSelector"


def _fault(by_node: Mapping[str, list[str]], before: str, joint: str) -> Fault | None:
    if not all(by_node.values()):
        return None
    faults = [f"{node}{joint}{' and '.join(why)}" for node, why in by_node.items()]
    said = f"{before}{listed(faults, NAMED_NODES, '; ')}" if faults else "there is no node"
    return Fault(Reason.NoEligibleNode, said)
