"""Why no node sends a route to an address that BGPAdvertisements alone cover."""

from typing import Any

from crds.bgpadvertisement import BGPAdvertisementSpec
from crds.conditions import Reason
from speaker.cluster.causes import covering, why_no_route
from speaker.cluster.endpoints import NOWHERE, Placement
from speaker.cluster.faults import Fault
from speaker.cluster.objects import NodeFacts
from tests.speaker.make import allocation, node

NODES = {name: node({"host": name}) for name in ("node-a", "node-b")}
ON_A = Placement(frozenset({"node-a"}))


def ad(**spec: Any) -> BGPAdvertisementSpec:
    return BGPAdvertisementSpec.model_validate(spec)


def why(
    placement: Placement = ON_A,
    ads: tuple[BGPAdvertisementSpec, ...] = (ad(),),
    nodes: dict[str, NodeFacts] | None = None,
    alive: tuple[str, ...] = ("node-a", "node-b"),
    **fields: Any,
) -> Fault | None:
    return why_no_route(allocation(**fields), placement, list(ads), NODES if nodes is None else nodes, alive)


def message(**case: Any) -> str:
    found = why(**case)
    assert found is not None
    return found.message


def test_where_a_node_may_send_a_route_the_sessions_are_the_matter() -> None:
    assert why() is None
    assert why(is_local=True) is None
    assert why(alive=("node-b",)) is None


def test_what_no_bgp_advertisement_covers_has_no_cause_here() -> None:
    assert why(ads=()) is None
    assert why(placement=NOWHERE, is_releasing=True) is None
    assert covering(allocation(), None, {"ad": ad(ipPools=["other"])}) == []
    assert len(covering(allocation(), {"zone": "a"}, {"ad": ad(ipPools=["edge"])})) == 1


def test_without_a_ready_endpoint_there_is_no_route_whatever_the_policy() -> None:
    local, cluster = why(placement=NOWHERE, is_local=True), why(placement=NOWHERE)
    assert local is not None
    assert cluster is not None
    assert local.reason is cluster.reason is Reason.NoReadyEndpoint
    assert "Local" in local.message
    assert "advertiseWithoutEndpoints" in cluster.message
    assert why(placement=NOWHERE, ads=(ad(advertiseWithoutEndpoints=True),)) is None


def test_nodes_that_can_send_none_are_named_with_all_that_is_wrong() -> None:
    excluded = {name: node(is_excluded=True) for name in NODES}
    assert message(nodes=excluded) == "node-a is excluded by the label; node-b is excluded by the label"
    picky = (ad(nodeSelector={"matchLabels": {"host": "node-b"}}),)
    assert message(ads=picky, alive=("node-a",)) == (
        "node-a is not chosen by the nodeSelector; node-b has no live speaker"
    )
    assert message(nodes={}) == "there is no node"


def test_under_local_only_nodes_with_an_endpoint_are_named() -> None:
    assert message(is_local=True, alive=("node-b",)) == (
        "its only ready endpoints are on node-a, which has no live speaker"
    )
    assert message(is_local=True, placement=Placement(frozenset({"node-z"}))).endswith(
        "node-z, which has no Node object"
    )
