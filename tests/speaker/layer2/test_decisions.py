"""The picture: incremental deciding equals deciding from nothing, and a change costs what it concerns."""

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from speaker.cluster.objects import PoolFacts
from speaker.layer2.decisions import Decided, Gone, Picture
from tests.speaker.make import advertisement, allocation, node, service, slice_of, speaker

ADDRESSES = ("192.0.2.1", "192.0.2.2", "2001:db8::1")
NODES = ("node-a", "node-b", "node-c")
POOL_FACTS = (None, PoolFacts({}), PoolFacts({"zone": "x"}, is_probed=True))


def drain(picture, limit=1000):
    seen = []
    while picture.has_work:
        seen += list(picture.next_decisions(limit))
    return seen


def decided(picture):
    return {each.allocation.address: each.decision for each in drain(picture) if isinstance(each, Decided)}


def settled_picture(own="node-a"):
    picture = Picture(own)
    for name in NODES:
        picture.set_node(name, node())
        picture.set_speaker(name, speaker())
    picture.set_alive(frozenset(NODES))
    picture.set_own_interfaces(("eth0",))
    picture.set_pool("edge", PoolFacts({}))
    picture.set_advertisement("all", advertisement())
    for address in ADDRESSES:
        picture.set_allocation(allocation(address).name, allocation(address))
    drain(picture)
    return picture


def changed(picture):
    return sorted(decided(picture))


def test_a_changed_allocation_costs_itself_only() -> None:
    picture = settled_picture()
    picture.set_allocation("v4-192-0-2-1", allocation("192.0.2.1", pool="core"))
    assert changed(picture) == ["192.0.2.1"]


def test_a_changed_slice_costs_only_addresses_of_its_service_with_the_policy_local() -> None:
    picture = settled_picture()
    picture.set_allocation("v4-192-0-2-1", allocation("192.0.2.1", services=("web",), is_local=True))
    picture.set_allocation("v4-192-0-2-2", allocation("192.0.2.2", services=("mail",), is_local=True))
    drain(picture)
    picture.set_slice("default/x", None, slice_of("web", ready=("node-a",)))
    assert changed(picture) == ["192.0.2.1"]
    picture.set_slice("default/x", slice_of("web", ready=("node-a",)), slice_of("mail", ready=("node-a",)))
    assert changed(picture) == ["192.0.2.1", "192.0.2.2"]
    picture.set_allocation("v4-192-0-2-1", allocation("192.0.2.1", services=("mail",), is_local=False))
    drain(picture)
    picture.set_slice("default/y", None, slice_of("web", ready=("node-a",)))
    assert changed(picture) == []


def test_what_says_the_same_again_costs_nothing() -> None:
    picture = settled_picture()
    picture.set_node("node-b", node())
    picture.set_speaker("node-b", speaker())
    picture.set_pool("edge", PoolFacts({}))
    picture.set_advertisement("all", advertisement())
    picture.set_alive(frozenset(NODES))
    picture.set_own_interfaces(("eth0",))
    picture.set_allocation("v4-192-0-2-1", allocation("192.0.2.1"))
    picture.set_speaker("unknown", None)
    assert not picture.has_work


def test_what_all_rest_on_costs_all() -> None:
    for change in (
        lambda p: p.set_node("node-b", None),
        lambda p: p.set_node("node-b", node({"a": "b"})),
        lambda p: p.set_speaker("node-b", speaker("eth1")),
        lambda p: p.set_alive(frozenset({"node-a"})),
        lambda p: p.set_own_interfaces(()),
        lambda p: p.set_pool("edge", PoolFacts({"a": "b"})),
        lambda p: p.set_advertisement("all", None),
    ):
        picture = settled_picture()
        change(picture)
        assert changed(picture) == sorted(ADDRESSES)


def test_releases_come_before_everything_else_that_waits() -> None:
    picture = settled_picture()
    picture.set_own_interfaces(("eth1",))
    picture.set_allocation("v4-192-0-2-2", allocation("192.0.2.2", generation=2, is_releasing=True))
    assert next(picture.next_decisions(1)).allocation.address == "192.0.2.2"


def test_deciding_in_slices_loses_nothing() -> None:
    picture = settled_picture()
    picture.set_own_interfaces(())
    assert len(list(picture.next_decisions(1))) == 1
    assert picture.has_work
    assert len(drain(picture, 1)) == 2


def test_a_deleted_allocation_is_told_as_gone_once() -> None:
    picture = settled_picture()
    picture.set_allocation("v4-192-0-2-1", None)
    assert [type(each) for each in drain(picture)] == [Gone]
    assert "v4-192-0-2-1" not in picture.allocations
    assert picture.uids == {"uid-192.0.2.2", "uid-2001:db8::1"}


def test_an_allocation_deleted_and_made_again_between_two_events_is_both() -> None:
    picture = settled_picture()
    picture.set_allocation("v4-192-0-2-1", allocation("192.0.2.1", uid="another"))
    seen = drain(picture)
    assert [type(each) for each in seen] == [Gone, Decided]
    assert [each.allocation.uid for each in seen] == ["uid-192.0.2.1", "another"]


def test_one_that_came_and_went_before_anybody_decided_is_only_gone() -> None:
    picture = settled_picture()
    picture.set_allocation("v4-192-0-2-9", allocation("192.0.2.9"))
    picture.set_allocation("v4-192-0-2-9", None)
    assert [type(each) for each in drain(picture)] == [Gone]


def test_a_speaker_that_said_goodbye_owns_nothing_though_its_lease_is_fresh() -> None:
    picture = settled_picture()
    for name in NODES[1:]:
        picture.set_speaker(name, speaker(said_goodbye=True))
    drain(picture)
    assert picture.silences() == {"Announced": 3}


def test_a_speaker_that_only_reads_yet_owns_nothing_for_others() -> None:
    """So an address does not leave its present owner before the next one answers."""
    picture = settled_picture()
    for name in NODES[1:]:
        picture.set_speaker(name, speaker(is_serving=False))
    drain(picture)
    assert picture.silences() == {"Announced": 3}


def test_arp_of_another_speaker_is_told_from_a_strangers() -> None:
    picture = settled_picture()
    assert picture.node_of("02:00:00:00:00:01") in NODES
    assert picture.is_speakers("02:00:00:00:00:01")
    assert not picture.is_speakers("02:00:00:00:00:99")


def test_addresses_are_counted_by_what_becomes_of_them() -> None:
    picture = settled_picture()
    picture.set_allocation("v4-192-0-2-1", allocation("192.0.2.1", generation=2, is_releasing=True))
    picture.set_allocation("v4-192-0-2-2", allocation("192.0.2.2", is_local=True))
    drain(picture)
    counts = picture.silences()
    assert counts["Releasing"] == counts["NoEndpoint"] == 1
    assert counts.total() == 3
    assert ["192.0.2.2" in fault.message for fault in picture.faults(5)] == [True]


def test_addresses_with_endpoints_without_a_node_are_listed_as_long_as_they_are() -> None:
    picture = settled_picture()
    picture.set_allocation("v4-192-0-2-1", allocation("192.0.2.1", is_local=True))
    picture.set_slice("default/x", None, slice_of(is_ready_unplaced=True))
    drain(picture)
    assert picture.unplaced() == ["192.0.2.1"]
    picture.set_slice("default/x", slice_of(is_ready_unplaced=True), slice_of(ready=("node-a",)))
    drain(picture)
    assert picture.unplaced() == []


CHANGES = st.one_of(
    st.tuples(st.just("node"), st.sampled_from(NODES), st.sampled_from([None, node(), node(is_excluded=True)])),
    st.tuples(st.just("speaker"), st.sampled_from(NODES), st.sampled_from([None, speaker(), speaker("eth0", "eth1")])),
    st.tuples(st.just("pool"), st.sampled_from(["edge", "core"]), st.sampled_from(POOL_FACTS)),
    st.tuples(
        st.just("advertisement"),
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
    """Applies changes to a picture and remembers the last state of everything."""

    def __init__(self) -> None:
        self.picture = Picture("node-a")
        self.last = {}
        self.decisions = {}

    def apply(self, change) -> None:
        match change:
            case "decide", limit, _:
                self.take(self.picture.next_decisions(limit))
            case "slice", name, facts:
                self.picture.set_slice(name, self.last.get(("slice", name)), facts)
                self.last["slice", name] = facts
            case "allocation", address, fields:
                new = None if fields is None else allocation(address, **fields | {"uid": fields["uid"] + address})
                self.picture.set_allocation(allocation(address).name, new)
                self.last["allocation", address] = fields
            case "alive", nodes, _:
                self.picture.set_alive(nodes)
                self.last["alive", ""] = nodes
            case "interfaces", names, _:
                self.picture.set_own_interfaces(names)
                self.last["interfaces", ""] = names
            case kind, name, value:
                getattr(self.picture, f"set_{kind}")(name, value)
                self.last[kind, name] = value

    def take(self, events) -> None:
        for event in events:
            match event:
                case Gone(gone):
                    self.decisions.pop(gone.uid + gone.address, None)
                case Decided(of, decision):
                    self.decisions[of.uid + of.address] = decision

    def finish(self):
        while self.picture.has_work:
            self.take(self.picture.next_decisions(2))
        return self.decisions


@settings(max_examples=150)
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
    assert feeder.picture.silences() == fresh.picture.silences()
    assert sorted(feeder.picture.unplaced()) == sorted(fresh.picture.unplaced())
    assert feeder.picture.uids == {one.uid for one in feeder.picture.allocations.values()}


def test_services_are_told_apart_by_namespace() -> None:
    assert service("web", "one") != service("web", "two")


def test_that_somebody_announces_it_is_no_work_unless_its_pool_is_probed() -> None:
    picture = Picture("node-a")
    picture.set_pool("edge", PoolFacts({}))
    one = allocation()
    picture.set_allocation(one.name, one)
    list(picture.next_decisions(99))
    picture.set_allocation(one.name, msgspec.structs.replace(one, was_announced=True))
    assert not picture.has_work
    assert picture.allocations[one.name].was_announced
    picture.set_pool("edge", PoolFacts({}, is_probed=True))
    list(picture.next_decisions(99))
    picture.set_allocation(one.name, one)
    assert picture.has_work
