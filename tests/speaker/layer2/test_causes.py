"""Why no node announces an address: each address is told by one speaker alone."""

from crds.bgpadvertisement import BGPAdvertisementSpec
from crds.conditions import Reason
from speaker.cluster.faults import Fault
from speaker.cluster.state import Kind
from speaker.layer2.causes import MOST_TOLD, Causes
from tests.speaker.cores import World
from tests.speaker.make import advertisement, slice_of

NODES = ["node-a", "node-b", "node-c"]
ADDRESSES = [f"192.0.2.{number}" for number in range(50)]
CAUSE = Fault(Reason.NoEligibleNode, "why")


def test_of_the_nodes_that_live_one_tells_of_each_address_and_none_of_all() -> None:
    tellers = {address: [node for node in NODES if Causes(node).is_to_be_told(address, NODES)] for address in ADDRESSES}
    assert {len(one) for one in tellers.values()} == {1}
    assert {one for (one,) in tellers.values()} == set(NODES)
    assert all(Causes("node-a").is_to_be_told(address, ["node-a"]) for address in ADDRESSES)


def test_what_is_told_is_told_when_it_changes_and_only_then() -> None:
    causes = Causes("node-a")
    assert causes.take_changed() == []
    assert causes.take_changed() is None
    causes.note("192.0.2.1", CAUSE)
    assert causes.take_changed() == [{"address": "192.0.2.1", "reason": "NoEligibleNode", "message": "why"}]
    causes.note("192.0.2.1", CAUSE)
    causes.note("192.0.2.2", None)
    assert causes.take_changed() is None
    causes.note("192.0.2.1", None)
    assert causes.take_changed() == []


def test_a_node_tells_of_so_many_and_no_more() -> None:
    causes = Causes("node-a")
    for number in range(MOST_TOLD + 10):
        causes.note(f"10.0.{number // 250}.{number % 250}", CAUSE)
    assert len(causes.take_changed() or []) == MOST_TOLD


def told(world: World) -> dict[str, str]:
    world.run(70.0)
    every = [one for store in world.stores.slices for one in store.status.get("unannounced") or []]
    return {one["address"]: one["message"] for one in every}


def test_the_report_tells_it_until_the_address_is_announced() -> None:
    world = World()
    world.allocate("192.0.2.1", is_local=True)
    world.run(3.0)
    assert told(world) == {"192.0.2.1": "externalTrafficPolicy is Local, and its Services have no ready endpoint"}
    world.allocate("192.0.2.1", generation=2)
    assert told(world) == {}
    assert world.answers == {"192.0.2.1"}


def test_the_report_tells_it_no_more_of_an_address_that_is_gone() -> None:
    world = World()
    world.allocate("192.0.2.1", is_local=True)
    assert told(world)
    world.observe(Kind.ALLOCATION, "v4-192-0-2-1", None)
    assert told(world) == {}


def test_the_report_tells_what_is_wrong_with_an_advertisement() -> None:
    world = World()
    world.run(3.0)
    world.observe(Kind.L2_ADVERTISEMENT, "all", advertisement(interfaces=["eno1"]))
    world.run(70.0)
    (fault,) = world.stores.slice(0).status["faults"]
    assert (fault["object"], fault["reason"]) == ("L2Advertisement/all", "InterfaceNotFound")
    world.observe(Kind.L2_ADVERTISEMENT, "all", advertisement())
    world.run(70.0)
    assert world.stores.slice(0).status["faults"] == []


def test_what_bgp_alone_announces_is_told_too_and_follows_its_endpoints() -> None:
    world = World()
    world.run(3.0)
    world.observe(Kind.L2_ADVERTISEMENT, "all", None)
    world.observe(Kind.BGP_ADVERTISEMENT, "all", BGPAdvertisementSpec())
    world.allocate("192.0.2.1")
    world.run(3.0)
    assert "no ready endpoint" in told(world)["192.0.2.1"]
    world.observe(Kind.SLICE, "default/web-1", slice_of(ready=("node-a",)))
    assert told(world) == {}, "a route may be sent"
    world.observe(Kind.SLICE, "default/web-1", slice_of())
    assert "no ready endpoint" in told(world)["192.0.2.1"]
    world.observe(Kind.BGP_ADVERTISEMENT, "all", BGPAdvertisementSpec(advertise_without_endpoints=True))
    assert told(world) == {}
