"""Decisions of layer 2: incremental deciding equals deciding from nothing, and a change costs what it concerns."""

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from crds.bgpadvertisement import BGPAdvertisementSpec
from speaker.cluster.networks import network_of
from speaker.cluster.objects import Allocation, PoolFacts
from speaker.cluster.state import ClusterState
from speaker.layer2.decisions import Decided, Decisions, Gone
from speaker.layer2.desired import Announce
from speaker.layer2.nearness import Way
from speaker.wire.messages import Member
from tests.examples import examples
from tests.speaker.make import advertisement, allocation, node, on_networks, service, slice_of, speaker

ADDRESSES = ("192.0.2.1", "192.0.2.2", "2001:db8::1")
NODES = ("node-a", "node-b", "node-c")
POOL_FACTS = (None, PoolFacts({}), PoolFacts({"zone": "x"}, is_probed=True))


def drain(layer2, limit=1000):
    seen = []
    while layer2.has_work:
        seen += list(layer2.next_decisions(limit))
    return seen


def decided(layer2):
    return {each.allocation.address: each.decision for each in drain(layer2) if isinstance(each, Decided)}


def settled(own="node-a"):
    layer2 = Decisions(own, ClusterState())
    for name in NODES:
        layer2.cluster.set_node(name, node())
        layer2.cluster.set_speaker(name, speaker())
    layer2.set_alive(frozenset(NODES))
    layer2.set_own_interfaces(("eth0",))
    layer2.cluster.set_pool("edge", PoolFacts({}))
    layer2.cluster.set_l2_advertisement("all", advertisement())
    for address in ADDRESSES:
        layer2.cluster.set_allocation(allocation(address).name, allocation(address))
    drain(layer2)
    return layer2


def changed(layer2):
    return sorted(decided(layer2))


def test_a_changed_allocation_costs_itself_only() -> None:
    layer2 = settled()
    layer2.cluster.set_allocation("v4-192-0-2-1", allocation("192.0.2.1", pool="core"))
    assert changed(layer2) == ["192.0.2.1"]


def test_a_changed_slice_costs_only_addresses_of_its_service_with_the_policy_local() -> None:
    layer2 = settled()
    layer2.cluster.set_allocation("v4-192-0-2-1", allocation("192.0.2.1", services=("web",), is_local=True))
    layer2.cluster.set_allocation("v4-192-0-2-2", allocation("192.0.2.2", services=("mail",), is_local=True))
    drain(layer2)
    layer2.cluster.set_slice("default/x", None, slice_of("web", ready=("node-a",)))
    assert changed(layer2) == ["192.0.2.1"]
    layer2.cluster.set_slice("default/x", slice_of("web", ready=("node-a",)), slice_of("mail", ready=("node-a",)))
    assert changed(layer2) == ["192.0.2.1", "192.0.2.2"]
    layer2.cluster.set_allocation("v4-192-0-2-1", allocation("192.0.2.1", services=("mail",), is_local=False))
    drain(layer2)
    layer2.cluster.set_slice("default/y", None, slice_of("web", ready=("node-a",)))
    assert changed(layer2) == []


def test_what_says_the_same_again_costs_nothing() -> None:
    layer2 = settled()
    layer2.cluster.set_node("node-b", node())
    layer2.cluster.set_speaker("node-b", speaker())
    layer2.cluster.set_pool("edge", PoolFacts({}))
    layer2.cluster.set_l2_advertisement("all", advertisement())
    layer2.set_alive(frozenset(NODES))
    layer2.set_own_interfaces(("eth0",))
    layer2.cluster.set_allocation("v4-192-0-2-1", allocation("192.0.2.1"))
    layer2.cluster.set_speaker("unknown", None)
    assert not layer2.has_work


def test_what_all_rest_on_costs_all() -> None:
    for change in (
        lambda p: p.cluster.set_node("node-b", None),
        lambda p: p.cluster.set_node("node-b", node({"a": "b"})),
        lambda p: p.cluster.set_speaker("node-b", speaker("eth1")),
        lambda p: p.set_alive(frozenset({"node-a"})),
        lambda p: p.cluster.set_speaker("node-b", on_networks(eth0=("192.0.2.11/24",))),
        lambda p: p.cluster.set_speaker("node-b", on_networks(eth0=(), has_ipv6=False)),
        lambda p: p.set_own_interfaces(()),
        lambda p: p.set_own_interfaces(("eth0",), {Way("eth0", network_of("192.0.2.11/24")): (100, 2)}),
        lambda p: p.cluster.set_pool("edge", PoolFacts({"a": "b"})),
        lambda p: p.cluster.set_l2_advertisement("all", None),
    ):
        layer2 = settled()
        change(layer2)
        assert changed(layer2) == sorted(ADDRESSES)


def test_this_nodes_networks_count_as_its_speaker_says_like_those_of_the_others() -> None:
    """Others know no more than that: else this node would give up, or take, what nobody else takes or gives up."""
    layer2 = settled()
    for name in NODES:
        layer2.cluster.set_speaker(name, on_networks(eth0=("198.51.100.1/24",)))
    before = decided(layer2)
    layer2.set_own_interfaces(("eth0",), {Way("eth0", network_of("192.0.2.11/24")): (100, 2)})
    assert decided(layer2) == before
    layer2.cluster.set_speaker("node-a", on_networks(eth0=("192.0.2.11/24",)))
    after = decided(layer2)
    assert all(after[one] == Announce(("eth0",)) for one in ("192.0.2.1", "192.0.2.2"))


def test_an_interface_that_heartbeats_name_before_the_speaker_does_is_on_no_network_yet() -> None:
    layer2 = settled()
    for name in NODES:
        layer2.cluster.set_speaker(name, on_networks(eth0=("192.0.2.11/24",)))
    heard = {name: Member("one", ("eth7",)) for name in NODES[1:]}
    layer2.set_members(frozenset(NODES), heard)
    assert decided(layer2)["192.0.2.1"] == Announce(("eth0",))


def test_releases_come_before_everything_else_that_waits() -> None:
    layer2 = settled()
    layer2.set_own_interfaces(("eth1",))
    layer2.cluster.set_allocation("v4-192-0-2-2", allocation("192.0.2.2", generation=2, is_releasing=True))
    assert next(layer2.next_decisions(1)).allocation.address == "192.0.2.2"


def test_deciding_in_slices_loses_nothing() -> None:
    layer2 = settled()
    layer2.set_own_interfaces(())
    assert len(list(layer2.next_decisions(1))) == 1
    assert layer2.has_work
    assert len(drain(layer2, 1)) == 2


def test_a_deleted_allocation_is_told_as_gone_once() -> None:
    layer2 = settled()
    layer2.cluster.set_allocation("v4-192-0-2-1", None)
    assert [type(each) for each in drain(layer2)] == [Gone]
    assert "v4-192-0-2-1" not in layer2.cluster.allocations
    assert layer2.cluster.uids == {"uid-192.0.2.2", "uid-2001:db8::1"}


def test_an_allocation_deleted_and_made_again_between_two_events_is_both() -> None:
    layer2 = settled()
    layer2.cluster.set_allocation("v4-192-0-2-1", allocation("192.0.2.1", uid="another"))
    seen = drain(layer2)
    assert [type(each) for each in seen] == [Gone, Decided]
    assert [each.allocation.uid for each in seen] == ["uid-192.0.2.1", "another"]


def test_one_that_came_and_went_before_anybody_decided_is_only_gone() -> None:
    layer2 = settled()
    layer2.cluster.set_allocation("v4-192-0-2-9", allocation("192.0.2.9"))
    layer2.cluster.set_allocation("v4-192-0-2-9", None)
    assert [type(each) for each in drain(layer2)] == [Gone]


def test_a_speaker_that_said_goodbye_owns_nothing_though_its_lease_is_fresh() -> None:
    layer2 = settled()
    for name in NODES[1:]:
        layer2.cluster.set_speaker(name, speaker(said_goodbye=True))
    drain(layer2)
    assert layer2.silences() == {"Announced": 3}


def test_a_speaker_that_only_reads_yet_owns_nothing_for_others() -> None:
    """So an address does not leave its present owner before the next one answers."""
    layer2 = settled()
    for name in NODES[1:]:
        layer2.cluster.set_speaker(name, speaker(is_serving=False))
    drain(layer2)
    assert layer2.silences() == {"Announced": 3}


def test_arp_of_another_speaker_is_told_from_a_strangers() -> None:
    layer2 = settled()
    assert layer2.cluster.node_of("02:00:00:00:00:01") in NODES
    assert layer2.cluster.is_speakers("02:00:00:00:00:01")
    assert not layer2.cluster.is_speakers("02:00:00:00:00:99")


def test_addresses_are_counted_by_what_becomes_of_them() -> None:
    layer2 = settled()
    layer2.cluster.set_allocation("v4-192-0-2-1", allocation("192.0.2.1", generation=2, is_releasing=True))
    layer2.cluster.set_allocation("v4-192-0-2-2", allocation("192.0.2.2", is_local=True))
    drain(layer2)
    counts = layer2.silences()
    assert counts["Releasing"] == counts["NoEndpoint"] == 1
    assert counts.total() == 3
    assert ["192.0.2.2" in fault.message for fault in layer2.faults(5)] == [True]


def test_whether_an_address_is_announced_by_other_means_is_asked_once_until_that_may_have_changed() -> None:
    layer2 = settled()
    layer2.cluster.set_l2_advertisement("all", None)
    drain(layer2)
    asked: list[str] = []
    is_elsewhere = set(ADDRESSES)

    def ask(one: Allocation) -> bool:
        asked.append(one.address)
        return one.address in is_elsewhere

    def amiss() -> list[str]:
        asked.clear()
        return [fault.message.partition(":")[0] for fault in layer2.faults(5, ask)]

    assert amiss() == []
    assert sorted(asked) == sorted(ADDRESSES)
    assert amiss() == []
    assert asked == []
    is_elsewhere.discard("192.0.2.1")
    layer2.cluster.set_bgp_advertisement("all", None)
    layer2.cluster.set_bgp_advertisement("all", BGPAdvertisementSpec())
    assert amiss() == ["192.0.2.1"]
    is_elsewhere.discard("192.0.2.2")
    layer2.cluster.set_allocation("v4-192-0-2-2", allocation("192.0.2.2", generation=2))
    drain(layer2)
    assert sorted(amiss()) == ["192.0.2.1", "192.0.2.2"]


def test_addresses_with_endpoints_without_a_node_are_listed_as_long_as_they_are() -> None:
    layer2 = settled()
    layer2.cluster.set_allocation("v4-192-0-2-1", allocation("192.0.2.1", is_local=True))
    layer2.cluster.set_slice("default/x", None, slice_of(is_ready_unplaced=True))
    drain(layer2)
    assert layer2.unplaced() == ["192.0.2.1"]
    layer2.cluster.set_slice("default/x", slice_of(is_ready_unplaced=True), slice_of(ready=("node-a",)))
    drain(layer2)
    assert layer2.unplaced() == []


CHANGES = st.one_of(
    st.tuples(st.just("node"), st.sampled_from(NODES), st.sampled_from([None, node(), node(is_excluded=True)])),
    st.tuples(
        st.just("speaker"),
        st.sampled_from(NODES),
        st.sampled_from(
            [
                None,
                speaker(),
                speaker("eth0", "eth1"),
                on_networks(eth0=("192.0.2.9/31",), eth1=()),
                on_networks(eth0=("192.0.2.0/24",), eth1=("192.0.2.0/24",), has_ipv6=False),
            ]
        ),
    ),
    st.tuples(st.just("pool"), st.sampled_from(["edge", "core"]), st.sampled_from(POOL_FACTS)),
    st.tuples(
        st.just("l2_advertisement"),
        st.sampled_from(["one", "two"]),
        st.sampled_from([None, advertisement(), advertisement(ipPools=["core"]), advertisement(interfaces=["eth1"])]),
    ),
    st.tuples(st.just("alive"), st.frozensets(st.sampled_from(NODES)), st.none()),
    st.tuples(st.just("interfaces"), st.sampled_from([(), ("eth0",), ("eth0", "eth1")]), st.none()),
    st.tuples(
        st.just("allocation"),
        st.sampled_from(ADDRESSES),
        st.one_of(
            st.none(),
            st.fixed_dictionaries(
                {
                    "uid": st.sampled_from(["u1", "u2"]),
                    "pool": st.sampled_from(["edge", "core"]),
                    "services": st.sampled_from([("web",), ("mail",), ("web", "mail")]),
                    "is_local": st.booleans(),
                    "is_releasing": st.booleans(),
                }
            ),
        ),
    ),
    st.tuples(
        st.just("slice"),
        st.sampled_from(["default/s1", "default/s2"]),
        st.sampled_from([None, slice_of("web", ready=("node-a",)), slice_of("mail", ready=("node-b",)), slice_of()]),
    ),
    st.tuples(st.just("decide"), st.integers(1, 3), st.none()),
)


class Feeder:
    """Applies changes to the cluster and remembers the last state of everything."""

    def __init__(self) -> None:
        self.layer2 = Decisions("node-a", ClusterState())
        self.last = {}
        self.decisions = {}

    def apply(self, change) -> None:
        match change:
            case "decide", limit, _:
                self.take(self.layer2.next_decisions(limit))
            case "slice", name, facts:
                self.layer2.cluster.set_slice(name, self.last.get(("slice", name)), facts)
                self.last["slice", name] = facts
            case "allocation", address, fields:
                new = None if fields is None else allocation(address, **fields | {"uid": fields["uid"] + address})
                self.layer2.cluster.set_allocation(allocation(address).name, new)
                self.last["allocation", address] = fields
            case "alive", nodes, _:
                self.layer2.set_alive(nodes)
                self.last["alive", ""] = nodes
            case "interfaces", names, _:
                self.layer2.set_own_interfaces(names)
                self.last["interfaces", ""] = names
            case kind, name, value:
                getattr(self.layer2.cluster, f"set_{kind}")(name, value)
                self.last[kind, name] = value

    def take(self, events) -> None:
        for event in events:
            match event:
                case Gone(gone):
                    self.decisions.pop(gone.uid + gone.address, None)
                case Decided(of, decision):
                    self.decisions[of.uid + of.address] = decision

    def finish(self):
        while self.layer2.has_work:
            self.take(self.layer2.next_decisions(2))
        return self.decisions


@settings(max_examples=examples(150))
@given(st.lists(CHANGES, max_size=40))
def test_deciding_change_by_change_ends_like_deciding_once_at_the_end(changes) -> None:
    feeder, fresh = Feeder(), Feeder()
    for change in changes:
        feeder.apply(change)
    for (kind, name), value in feeder.last.items():
        if kind in ("alive", "interfaces"):
            fresh.apply((kind, value, None))
        elif value is not None:
            fresh.apply((kind, name, value))
    assert feeder.finish() == fresh.finish()
    assert feeder.layer2.silences() == fresh.layer2.silences()
    assert sorted(feeder.layer2.unplaced()) == sorted(fresh.layer2.unplaced())
    assert feeder.layer2.cluster.uids == {one.uid for one in feeder.layer2.cluster.allocations.values()}


def test_services_are_told_apart_by_namespace() -> None:
    assert service("web", "one") != service("web", "two")


def test_that_somebody_announces_it_is_no_work_unless_its_pool_is_probed() -> None:
    layer2 = Decisions("node-a", ClusterState())
    layer2.cluster.set_pool("edge", PoolFacts({}))
    one = allocation()
    layer2.cluster.set_allocation(one.name, one)
    list(layer2.next_decisions(99))
    layer2.cluster.set_allocation(one.name, msgspec.structs.replace(one, was_announced=True))
    assert not layer2.has_work
    assert layer2.cluster.allocations[one.name].was_announced
    layer2.cluster.set_pool("edge", PoolFacts({}, is_probed=True))
    list(layer2.next_decisions(99))
    layer2.cluster.set_allocation(one.name, one)
    assert layer2.has_work
