"""Which addresses a node announces, on which interfaces, and why not the others."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crds.conditions import Reason
from speaker.cluster.endpoints import NOWHERE, Placement
from speaker.cluster.objects import Holder
from speaker.layer2.desired import Announce, Layer2View, Refrain, Silence
from speaker.members.election import owner
from tests.speaker.make import advertisement, allocation, node, service

NODES = ("node-a", "node-b", "node-c")


def view(own="node-a", **parts):
    nodes = parts.get("nodes", {name: node({"host": name}) for name in NODES})
    return Layer2View(
        own,
        nodes=nodes,
        speakers=parts.get("speakers", {name: ("eth0",) for name in NODES}),
        pools=parts.get("pools", {"edge": {"zone": "edge"}, "core": {"zone": "core"}}),
        advertisements=parts.get("advertisements", {"all": advertisement()}),
    )


def decisions(the_allocation, placement=NOWHERE, **parts):
    return {name: view(name, **parts).decide(the_allocation, placement) for name in NODES}


def announcers(the_allocation, placement=NOWHERE, **parts):
    made = decisions(the_allocation, placement, **parts)
    return {name: decision.interfaces for name, decision in made.items() if isinstance(decision, Announce)}


def silence(the_allocation, placement=NOWHERE, **parts):
    """The one reason that all nodes have."""
    reasons = {decision.silence for decision in decisions(the_allocation, placement, **parts).values()}
    assert len(reasons) == 1
    return reasons.pop()


def addresses(count=50):
    return [f"192.0.2.{number}" for number in range(1, count + 1)]


def test_each_address_is_announced_by_its_owner_alone_and_all_know_who_that_is() -> None:
    for address in addresses():
        made = decisions(allocation(address))
        expected = owner(address, NODES)
        for name, decision in made.items():
            assert decision == (Announce(("eth0",)) if name == expected else Refrain(Silence.OTHER_OWNER, expected))


def test_an_address_with_the_policy_cluster_needs_no_endpoints() -> None:
    """A refused connection is better than one that times out."""
    assert len(announcers(allocation(), NOWHERE)) == 1


def test_a_released_address_is_announced_by_nobody() -> None:
    assert silence(allocation(is_releasing=True)) is Silence.RELEASING


def test_a_malformed_allocation_is_announced_by_nobody_also_when_released() -> None:
    by_hand = allocation()
    assert silence(msgspec.structs.replace(by_hand, address="")) is Silence.MALFORMED
    assert silence(msgspec.structs.replace(by_hand, address="", is_releasing=True)) is Silence.RELEASING


@pytest.mark.parametrize(
    ("spec", "covers"),
    [
        ({}, True),
        ({"ipPools": ["edge"]}, True),
        ({"ipPools": ["core"]}, False),
        ({"ipPools": ["core", "edge"]}, True),
        ({"ipPoolSelector": {"matchLabels": {"zone": "edge"}}}, True),
        ({"ipPoolSelector": {"matchLabels": {"zone": "core"}}}, False),
        ({"ipPoolSelector": {}}, True),
        ({"ipPools": ["core"], "ipPoolSelector": {"matchLabels": {"zone": "edge"}}}, True),
        ({"serviceSelector": {"matchLabels": {"app": "web"}}}, True),
        ({"serviceSelector": {"matchLabels": {"app": "mail"}}}, False),
        ({"ipPools": ["core"], "serviceSelector": {"matchLabels": {"app": "web"}}}, False),
    ],
)
def test_an_advertisement_covers_what_it_selects(spec, covers) -> None:
    made = announcers(allocation(labels={"app": "web"}), advertisements={"one": advertisement(**spec)})
    assert bool(made) is covers


def test_without_an_advertisement_nobody_announces() -> None:
    assert silence(allocation(), advertisements={}) is Silence.NO_ADVERTISEMENT


def test_a_pool_that_is_unknown_here_is_covered_by_name_but_not_by_selector() -> None:
    lost = allocation(pool="deleted")
    assert announcers(lost, advertisements={"one": advertisement(ipPools=["deleted"])})
    assert silence(lost, advertisements={"one": advertisement(ipPoolSelector={})}) is Silence.NO_ADVERTISEMENT


def test_one_holder_of_a_shared_address_that_the_advertisement_selects_is_enough() -> None:
    shared = msgspec.structs.replace(
        allocation(), holders=(Holder(service("one"), {"app": "web"}), Holder(service("two"), {"app": "mail"}))
    )
    assert announcers(shared, advertisements={"one": advertisement(serviceSelector={"matchLabels": {"app": "mail"}})})


@pytest.mark.parametrize("lost", NODES)
def test_nodes_that_may_not_announce_have_no_address(lost) -> None:
    def all_but(**flags):
        return {name: node(**flags) if name == lost else node() for name in NODES}

    for parts in (
        {"nodes": all_but(is_excluded=True)},
        {"nodes": all_but(is_network_unavailable=True)},
        {"nodes": all_but(is_out_of_service=True)},
        {"nodes": {name: node() for name in NODES if name != lost}},
        {"speakers": {name: () if name == lost else ("eth0",) for name in NODES}},
        {"speakers": {name: ("eth0",) for name in NODES if name != lost}},
    ):
        rest = [name for name in NODES if name != lost]
        for address in addresses(20):
            assert list(announcers(allocation(address), **parts)) == [owner(address, rest)]


def test_a_node_selector_narrows_the_nodes() -> None:
    ads = {
        "one": advertisement(
            nodeSelector={"matchExpressions": [{"key": "host", "operator": "In", "values": ["node-b"]}]}
        )
    }
    assert all(list(announcers(allocation(address), advertisements=ads)) == ["node-b"] for address in addresses(20))


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        ([], ("eth0", "eth1", "ens3")),
        (["eth1"], ("eth1",)),
        (["eth"], None),
        (["eth[0-9]"], ("eth0", "eth1")),
        (["eth?"], ("eth0", "eth1")),
        (["e*"], ("eth0", "eth1", "ens3")),
        (["[!e]*"], None),
        (["eth.*"], None),
        (["/eth.*/"], None),
        (["eth0", "ens*"], ("eth0", "ens3")),
        (["["], None),
        (["[", "eth0"], ("eth0",)),
    ],
)
def test_interfaces_are_whole_names_or_patterns_for_whole_names(patterns, expected) -> None:
    made = announcers(
        allocation(),
        speakers={name: ("eth0", "eth1", "ens3") for name in NODES},
        advertisements={"one": advertisement(interfaces=patterns)},
    )
    assert list(made.values()) == ([] if expected is None else [tuple(sorted(expected))])


def test_a_node_without_the_named_interface_is_not_elected() -> None:
    speakers = {"node-a": ("eth0",), "node-b": ("eth0", "eth9"), "node-c": ("eth0",)}
    ads = {"one": advertisement(interfaces=["eth9"])}
    for address in addresses(20):
        assert announcers(allocation(address), speakers=speakers, advertisements=ads) == {"node-b": ("eth9",)}


def test_several_advertisements_unite_node_by_node() -> None:
    """Only node-a is on the second one: its eth1 is added there and nowhere else."""
    speakers = {name: ("eth0", "eth1") for name in NODES}
    ads = {
        "everywhere": advertisement(interfaces=["eth0"]),
        "more": advertisement(interfaces=["eth1"], nodeSelector={"matchLabels": {"host": "node-a"}}),
    }
    for address in addresses():
        elected = owner(address, NODES)
        expected = ("eth0", "eth1") if elected == "node-a" else ("eth0",)
        assert announcers(allocation(address), speakers=speakers, advertisements=ads) == {elected: expected}


def test_with_the_policy_local_only_nodes_with_an_endpoint_announce() -> None:
    placement = Placement(frozenset({"node-b", "node-c", "elsewhere"}))
    for address in addresses(20):
        made = announcers(allocation(address, is_local=True), placement)
        assert list(made) == [owner(address, ["node-b", "node-c"])]


def test_with_the_policy_local_and_no_endpoint_nobody_announces() -> None:
    assert silence(allocation(is_local=True), NOWHERE) is Silence.NO_ENDPOINT


def test_endpoints_on_nodes_that_can_not_announce_are_another_reason() -> None:
    assert silence(allocation(is_local=True), Placement(frozenset({"elsewhere"}))) is Silence.NO_NODE


def test_endpoints_without_a_node_count_for_every_node() -> None:
    for address in addresses(20):
        made = announcers(allocation(address, is_local=True), Placement(frozenset(), is_everywhere=True))
        assert list(made) == [owner(address, NODES)]


def test_ipv6_addresses_are_decided_alike() -> None:
    assert list(announcers(allocation("2001:db8::10"))) == [owner("2001:db8::10", NODES)]


@given(
    st.sets(st.sampled_from(NODES)),
    st.sets(st.sampled_from(NODES)),
    st.dictionaries(st.sampled_from(NODES), st.sets(st.sampled_from(["eth0", "eth1"])).map(sorted).map(tuple)),
    st.lists(st.sampled_from([{}, {"interfaces": ["eth1"]}, {"nodeSelector": {"matchLabels": {"host": "node-b"}}}])),
    st.booleans(),
    st.sets(st.sampled_from(NODES)),
    st.sampled_from(addresses(5)),
)
def test_nodes_that_agree_on_the_view_elect_at_most_one(
    excluded, known, speakers, specs, is_local, placed, address
) -> None:
    """And that one is alive, known, not excluded, and announces only on interfaces it has."""
    nodes = {name: node({"host": name}, is_excluded=name in excluded) for name in known}
    ads = {f"ad-{index}": advertisement(**spec) for index, spec in enumerate(specs)}
    alive = [name for name in NODES if name in speakers]
    made = {}
    for name in alive:
        decision = view(name, nodes=nodes, speakers=speakers, advertisements=ads).decide(
            allocation(address, is_local=is_local), Placement(frozenset(placed))
        )
        if isinstance(decision, Announce):
            made[name] = decision.interfaces
    assert len(made) <= 1
    for name, interfaces in made.items():
        assert name in known - excluded
        assert interfaces
        assert set(interfaces) <= set(speakers[name])
        assert not is_local or name in placed


def explained(the_allocation, placement=NOWHERE, **parts):
    fault = view(**parts).explain(the_allocation, placement)
    return (fault.reason, fault.message) if fault else None


def test_an_address_that_is_announced_or_released_needs_no_explanation() -> None:
    assert explained(allocation()) is None
    assert explained(allocation(is_releasing=True), advertisements={}) is None


def test_what_is_missing_is_named_for_each_node() -> None:
    reason, message = explained(
        allocation(),
        NOWHERE,
        nodes={
            "node-a": node(is_excluded=True, is_network_unavailable=True),
            "node-b": node(is_network_unavailable=True),
            "node-c": node(),
            "node-d": node(),
            "node-e": node(),
        },
        speakers={"node-a": ("eth0",), "node-b": ("eth0",), "node-c": ("eth0",), "node-d": ()},
        advertisements={"one": advertisement(interfaces=["eth9"])},
    )
    assert reason is Reason.NoEligibleNode
    assert message == (
        "192.0.2.10: node-a is excluded by the label and has the condition NetworkUnavailable; "
        "node-b has the condition NetworkUnavailable; node-c has none of the interfaces named; "
        "node-d has no usable interface; node-e has no live speaker"
    )


def test_under_local_only_nodes_with_an_endpoint_are_named() -> None:
    _, message = explained(
        allocation(is_local=True),
        Placement(frozenset({"node-d"})),
        nodes={name: node() for name in ("node-a", "node-b", "node-c", "node-d")},
        speakers={name: ("eth0",) for name in ("node-a", "node-b", "node-c")},
    )
    assert message == "192.0.2.10: its only ready endpoints are on node-d, which has no live speaker"


def test_nodes_that_the_advertisement_chooses_are_named_first() -> None:
    few = {f"node-{number:02}": node({"rack": str(number // 90)}) for number in range(91)}
    ads = {"one": advertisement(nodeSelector={"matchLabels": {"rack": "1"}})}
    _, message = explained(allocation(), nodes=few, speakers={}, advertisements=ads)
    assert message.startswith("192.0.2.10: node-90 has no live speaker; node-00 has no live speaker and is not chosen")
    assert message.endswith("; and 86 more")


def test_a_cause_goes_without_the_address_since_it_is_for_its_record() -> None:
    cause = view().cause(allocation(is_local=True), NOWHERE)
    assert cause is not None
    assert cause.message == "externalTrafficPolicy is Local, and its Services have no ready endpoint"
    uncovered = view(advertisements={})
    assert uncovered.cause(allocation(is_local=True), NOWHERE) == cause, "whatever covers it"
    assert uncovered.cause(allocation(), NOWHERE) is None
    assert view().cause(allocation(), NOWHERE) is None
    assert view().cause(allocation(is_releasing=True, is_local=True), NOWHERE) is None


def test_an_advertisement_that_chooses_no_node_or_none_that_can_says_so() -> None:
    def faults(**parts):
        return [(one.object, one.reason, one.message) for one in view(**parts).faults_in_advertisements()]

    nobody = {"one": advertisement(nodeSelector={"matchLabels": {"host": "nobody"}})}
    assert faults(advertisements=nobody) == [
        (
            "L2Advertisement/one",
            Reason.NoNodeSelected,
            "L2Advertisement one: no Node has the labels that its nodeSelector asks for",
        )
    ]
    unable = {"node-a": node(is_excluded=True), "node-b": node()}
    ((_, reason, message),) = faults(
        nodes=unable, speakers={"node-a": ("eth0",)}, advertisements={"one": advertisement()}
    )
    assert reason is Reason.NoEligibleNode
    assert message == (
        "L2Advertisement one: no node that it chooses can announce: "
        "node-a is excluded by the label; node-b has no live speaker"
    )


def test_all_that_is_wrong_with_an_advertisement_is_told_at_once() -> None:
    ads = {"one": advertisement(interfaces=["eth[9-0]", "eno1"], nodeSelector={"matchLabels": {"host": "nobody"}})}
    assert [one.reason for one in view(advertisements=ads).faults_in_advertisements()] == [
        Reason.NoNodeSelected,
        Reason.InvalidSpec,
    ]
    ads = {"one": advertisement(interfaces=["eth[9-0]", "eno1"])}
    assert [one.reason for one in view(advertisements=ads).faults_in_advertisements()] == [
        Reason.InvalidSpec,
        Reason.InterfaceNotFound,
    ]


def test_a_missing_advertisement_or_endpoint_is_named() -> None:
    assert explained(allocation(), advertisements={})[0] is Reason.NoAdvertisement
    assert "no ready endpoint" in explained(allocation(is_local=True), NOWHERE)[1]


def test_a_selector_that_chooses_no_node_and_a_missing_interface_are_named() -> None:
    nobody = {"one": advertisement(nodeSelector={"matchLabels": {"host": "nobody"}})}
    assert explained(allocation(), advertisements=nobody)[1] == (
        "192.0.2.10: no Node has the labels that the nodeSelector of L2Advertisement one asks for"
    )
    few = {"one": advertisement(nodeSelector={"matchLabels": {"host": "node-a"}}, interfaces=["eth9"])}
    assert "node-b is not chosen by the nodeSelector" in explained(allocation(), advertisements=few)[1]
    nothing = {"one": advertisement(interfaces=["eth9"])}
    assert "node-b has none of the interfaces named" in explained(allocation(), advertisements=nothing)[1]


def test_advertisements_are_told_what_is_wrong_with_their_interfaces() -> None:
    faults = view(
        advertisements={
            "good": advertisement(interfaces=["eth0", "eth*"]),
            "lost": advertisement(interfaces=["eth7", "eth0"]),
            "wrong": advertisement(interfaces=["eth[9-0]"]),
        }
    ).faults_in_advertisements()
    assert [(one.reason, one.message) for one in faults] == [
        (
            Reason.InterfaceNotFound,
            "L2Advertisement lost: no selected node has a usable interface eth7; they have eth0",
        ),
        (
            Reason.InvalidSpec,
            "L2Advertisement wrong: eth[9-0] is no name and no pattern: write eth0, or as in a shell "
            "ens*, eth? or bond[0-9]",
        ),
    ]
