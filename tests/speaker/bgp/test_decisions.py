"""BGP's decisions: deciding change by change equals deciding all at once, and a change costs what it concerns."""

from collections import defaultdict
from ipaddress import ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crds.bfdprofile import BFDProfileSpec
from crds.bgpadvertisement import BGPAdvertisementSpec
from crds.bgppeer import BGPPeerSpec
from crds.community import CommunitySpec
from crds.conditions import Reason
from speaker.bgp.decisions import Decisions
from speaker.bgp.desired import BGPView
from speaker.bgp.weights import QUIET_SECONDS
from speaker.cluster.objects import PoolFacts
from speaker.cluster.state import ClusterState
from tests.examples import examples
from tests.speaker.make import allocation, node, slice_of

OWN = "node-a"
ADDRESSES = ("192.0.2.1", "192.0.2.2", "2001:db8::1")


def ad(**spec):
    return BGPAdvertisementSpec.model_validate(spec)


def peer(**spec):
    return BGPPeerSpec.model_validate({"myASN": 64512, "peerASN": 64513, "peerAddress": "192.0.2.254"} | spec)


def community(**values):
    return CommunitySpec.model_validate({"communities": [{"name": n, "value": v} for n, v in values.items()]})


class Speaker:
    """What is observed, and what the peers were sent."""

    def __init__(self, drain_seconds=5.0):
        self.cluster = ClusterState()
        self.bgp = Decisions(OWN, self.cluster, drain_seconds=drain_seconds)
        self.sent = defaultdict(dict)
        self.slices = {}

    def node(self, new, name=OWN):
        self.cluster.set_node(name, new)

    def pool(self, name, new):
        self.cluster.set_pool(name, new)

    def allocation(self, address, **fields):
        self.set_allocation(address, allocation(address, **fields))

    def set_allocation(self, address, new):
        self.cluster.set_allocation(allocation(address).name, new)

    def slice(self, name, new):
        old = self.slices.pop(name, None)
        if new is not None:
            self.slices[name] = new
        self.cluster.set_slice(name, old, new)

    def update(self, now=0.0, limit=1000):
        self.bgp.update(now, limit)
        self.send()

    def send(self):
        for name, changes in self.bgp.take_changes().items():
            for prefix, route in changes.items():
                if route is None:
                    self.sent[name].pop(prefix, None)
                else:
                    self.sent[name][prefix] = route

    def settle(self, now=0.0, limit=1000):
        self.update(now, limit)
        while self.bgp.has_work:
            self.update(now, limit)
        return self

    def prefixes(self, name="tor"):
        return {str(prefix) for prefix in self.sent[name]}


def serving(*, ads=None, peers=None, **parts):
    speaker = Speaker(**parts)
    speaker.node(node({"rack": "1"}, addresses=("192.0.2.100", "2001:db8::100")))
    speaker.pool("edge", PoolFacts({"zone": "edge"}))
    for name, spec in (peers or {"tor": peer(families=["IPv4", "IPv6"])}).items():
        speaker.cluster.set_bgp_peer(name, spec)
    for name, spec in (ads or {"all": ad()}).items():
        speaker.cluster.set_bgp_advertisement(name, spec)
    speaker.slice("default/four", slice_of(ready=(OWN, "node-b")))
    speaker.slice("default/six", slice_of(ready=(OWN,), is_ipv6=True))
    for address in ADDRESSES:
        speaker.allocation(address)
    return speaker.settle()


def test_a_peer_gets_what_the_advertisements_give() -> None:
    speaker = serving()
    assert speaker.prefixes() == {"192.0.2.1/32", "192.0.2.2/32", "2001:db8::1/128"}
    assert speaker.bgp.routes("tor") == speaker.sent["tor"]
    assert list(speaker.bgp.peers) == ["tor"]
    assert not speaker.bgp.take_changes()


def test_a_changed_allocation_changes_its_own_route_only() -> None:
    speaker = serving()
    speaker.allocation("192.0.2.1", is_releasing=True)
    speaker.bgp.update(0.0, 1000)
    assert speaker.bgp.take_changes() == {"tor": {ip_network("192.0.2.1/32"): None}}


def test_a_deleted_allocation_has_no_route() -> None:
    speaker = serving()
    speaker.set_allocation("192.0.2.1", None)
    assert speaker.settle().prefixes() == {"192.0.2.2/32", "2001:db8::1/128"}


def test_only_addresses_of_a_service_are_looked_at_when_its_endpoints_change() -> None:
    speaker = serving()
    speaker.allocation("192.0.2.1", services=("mail",))
    speaker.settle()
    assert speaker.prefixes() == {"192.0.2.2/32", "2001:db8::1/128"}
    speaker.slice("default/mail", slice_of("mail", ready=("node-b",)))
    speaker.bgp.update(0.0, 1)
    assert not speaker.bgp.has_work
    assert list(speaker.bgp.take_changes()["tor"]) == [ip_network("192.0.2.1/32")]
    speaker.slice("default/four", None)
    speaker.slice("default/mail", None)
    assert speaker.settle().prefixes() == {"2001:db8::1/128"}


@pytest.mark.parametrize(
    "withdraw",
    [
        lambda speaker: speaker.allocation("2001:db8::1", is_releasing=True),
        lambda speaker: speaker.set_allocation("2001:db8::1", None),
        lambda speaker: speaker.slice("default/six", None),
    ],
)
def test_a_withdrawal_overtakes_everything_else_that_waits(withdraw) -> None:
    speaker = serving()
    speaker.allocation("192.0.2.1", services=("mail",))
    speaker.allocation("192.0.2.2", services=("mail",))
    speaker.settle()
    speaker.cluster.set_bgp_advertisement("all", ad(med=5, advertiseWithoutEndpoints=False))
    speaker.update(limit=1)
    withdraw(speaker)
    speaker.update(limit=1)
    assert "2001:db8::1/128" not in speaker.prefixes()
    assert speaker.bgp.has_work


def test_a_pool_that_changes_its_labels_is_chosen_anew() -> None:
    speaker = serving(ads={"some": ad(ipPoolSelector={"matchLabels": {"zone": "edge"}})})
    assert len(speaker.prefixes()) == 3
    assert speaker.bgp.covers(allocation())
    speaker.pool("edge", PoolFacts({"zone": "core"}))
    assert speaker.settle().prefixes() == set()
    assert not speaker.bgp.covers(allocation())
    speaker.pool("edge", None)
    speaker.settle()
    speaker.pool("edge", PoolFacts({"zone": "edge"}))
    assert len(speaker.settle().prefixes()) == 3


def test_routes_stay_what_they_were_until_their_turn_comes() -> None:
    speaker = serving()
    speaker.cluster.set_bgp_advertisement("all", ad(med=5))
    meds = []
    while speaker.bgp.has_work:
        speaker.update(limit=1)
        meds.append(sorted(str(route.med) for route in speaker.sent["tor"].values()))
    assert meds == [["5", "None", "None"], ["5", "5", "None"], ["5", "5", "5"]]


def test_a_new_peer_is_told_nothing_before_all_is_decided_and_then_everything() -> None:
    speaker = serving()
    speaker.cluster.set_bgp_peer("other", peer(peerAddress="192.0.2.253"))
    speaker.bgp.update(0.0, 1)
    assert "other" in speaker.bgp.peers
    assert "other" not in speaker.bgp.take_changes()
    speaker.settle(limit=1)
    assert speaker.prefixes("other") == {"192.0.2.1/32", "192.0.2.2/32"}


def test_a_peer_that_gets_nothing_is_told_so() -> None:
    speaker = serving(ads={"none": ad(ipPools=["core"])})
    speaker.cluster.set_bgp_peer("other", peer(peerAddress="192.0.2.253"))
    while speaker.bgp.has_work:
        speaker.bgp.update(0.0, 1000)
    assert speaker.bgp.take_changes() == {"other": {}}


def test_an_address_is_chosen_by_the_advertisements_that_are_there_though_nothing_was_decided_since() -> None:
    speaker = serving()
    one = next(iter(speaker.cluster.allocations.values()))
    assert speaker.bgp.covers(one)
    for name in list(speaker.cluster.bgp_advertisements):
        speaker.cluster.set_bgp_advertisement(name, None)
    assert not speaker.bgp.covers(one)


def test_a_peer_configured_differently_is_given_whole() -> None:
    speaker = serving()
    speaker.cluster.set_bgp_peer("tor", peer(families=["IPv4", "IPv6"], holdTimeSeconds=9))
    speaker.bgp.update(0.0, 1)
    assert not speaker.bgp.has_work
    assert speaker.bgp.take_changes() == {"tor": speaker.bgp.routes("tor")}
    assert speaker.bgp.peers["tor"].hold_time_seconds == 9


def test_a_peer_that_keeps_its_session_is_given_nothing_anew() -> None:
    speaker = serving()
    speaker.cluster.set_bgp_peer("tor", peer(families=["IPv4", "IPv6"], connectRetrySeconds=9))
    speaker.bgp.update(0.0, 1)
    assert not speaker.bgp.has_work
    assert speaker.bgp.take_changes() == {}
    assert speaker.bgp.peers["tor"].connect_retry_seconds == 9


def test_a_peer_that_is_gone_is_withdrawn_from() -> None:
    speaker = serving()
    speaker.cluster.set_bgp_peer("tor", None)
    speaker.bgp.update(0.0, 1)
    assert set(speaker.bgp.take_changes()["tor"].values()) == {None}
    assert not speaker.bgp.peers
    assert not speaker.bgp.has_work


def test_a_peer_that_went_and_came_has_no_more_than_is_wanted() -> None:
    speaker = serving()
    speaker.cluster.set_bgp_peer("tor", None)
    speaker.bgp.update(0.0, 1)
    speaker.cluster.set_bgp_peer("tor", peer(families=["IPv4"]))
    assert speaker.settle().prefixes() == {"192.0.2.1/32", "192.0.2.2/32"}


def test_peers_whose_bfd_has_failed_have_no_route_until_it_is_back() -> None:
    speaker = serving()
    speaker.bgp.set_failed(frozenset({"tor"}))
    speaker.send()
    assert speaker.prefixes() == set()
    assert speaker.bgp.routes("tor") == {}
    assert speaker.bgp.addresses_of(ip_network("192.0.2.1/32")) == ()
    speaker.bgp.set_failed(frozenset())
    speaker.send()
    assert len(speaker.prefixes()) == 3


def test_a_node_that_is_excluded_drains_and_then_advertises_nothing() -> None:
    speaker = serving()
    speaker.node(node({"rack": "1"}, is_excluded=True))
    speaker.settle(100.0)
    assert speaker.bgp.is_draining
    assert speaker.bgp.deadline() == 105.0
    assert {"192.0.2.1/32", "192.0.2.2/32"} <= speaker.prefixes()
    speaker.allocation("192.0.2.1", is_releasing=True)
    speaker.settle(104.0)
    assert "192.0.2.1/32" not in speaker.prefixes()
    speaker.settle(105.0)
    assert not speaker.bgp.is_draining
    assert speaker.bgp.deadline() is None
    assert speaker.prefixes() == set()
    speaker.node(node({"rack": "1"}))
    speaker.settle(106.0)
    assert not speaker.bgp.is_draining
    assert "192.0.2.2/32" in speaker.prefixes()


def test_a_node_that_was_excluded_from_the_beginning_advertises_nothing_at_once() -> None:
    speaker = Speaker()
    speaker.cluster.set_bgp_peer("tor", peer())
    speaker.cluster.set_bgp_advertisement("all", ad(advertiseWithoutEndpoints=True))
    speaker.node(node(is_excluded=True))
    speaker.allocation("192.0.2.1")
    speaker.settle()
    assert not speaker.bgp.is_draining
    assert speaker.prefixes() == set()
    speaker.node(node())
    assert speaker.settle(1.0).prefixes() == {"192.0.2.1/32"}


@pytest.mark.parametrize("flag", ["is_network_unavailable", "is_out_of_service"])
def test_a_node_without_network_or_pods_does_not_drain(flag) -> None:
    speaker = serving()
    speaker.node(node({"rack": "1"}, is_excluded=True, **{flag: True}))
    speaker.settle(100.0)
    assert not speaker.bgp.is_draining
    assert speaker.prefixes() == set()


def test_an_aggregate_stands_for_the_addresses_that_are_advertised_by_it() -> None:
    speaker = serving(ads={"wide": ad(aggregationLength=24)})
    wide = ip_network("192.0.2.0/24")
    assert speaker.bgp.aggregates == {wide}
    assert sorted(speaker.bgp.addresses_of(wide)) == ["192.0.2.1", "192.0.2.2"]
    assert speaker.bgp.addresses_of(ip_network("2001:db8::1/128")) == {"2001:db8::1"}
    speaker.allocation("192.0.2.1", is_releasing=True)
    speaker.settle()
    assert set(speaker.bgp.addresses_of(wide)) == {"192.0.2.2"}
    speaker.allocation("192.0.2.2", is_releasing=True)
    speaker.settle()
    assert speaker.bgp.aggregates == frozenset()
    assert speaker.bgp.addresses_of(wide) == ()
    assert speaker.prefixes() == {"2001:db8::1/128"}
    assert speaker.bgp.lengths(4) == {24}
    assert speaker.bgp.lengths(6) == {128}


def test_an_advertisement_for_no_peer_of_this_node_makes_no_aggregate() -> None:
    speaker = serving(ads={"wide": ad(aggregationLength=24, peers=["elsewhere"])})
    assert speaker.bgp.aggregates == frozenset()
    assert speaker.bgp.addresses_of(ip_network("192.0.2.0/24")) == ()
    assert speaker.bgp.lengths(4) == frozenset()


def test_secrets_are_wanted_when_a_peer_of_this_node_names_one() -> None:
    speaker = serving()
    assert speaker.bgp.secrets == frozenset()
    speaker.cluster.set_bgp_peer(
        "far", peer(passwordSecretRef={"name": "s"}, nodeSelector={"matchLabels": {"rack": "2"}})
    )
    assert speaker.bgp.secrets == frozenset()
    speaker.cluster.set_bgp_peer("tor", peer(passwordSecretRef={"name": "s"}))
    assert speaker.bgp.secrets == {"s"}
    speaker.settle()
    assert not speaker.bgp.peers
    assert [one.reason for one in speaker.bgp.faults(9)] == [Reason.PasswordUnavailable]
    speaker.cluster.set_secret("s", {"password": b"hush"})
    speaker.settle()
    assert speaker.bgp.peers["tor"].password == "hush"
    assert not speaker.bgp.faults(9)


def test_a_peer_with_a_profile_has_a_bfd_session() -> None:
    speaker = serving(peers={"tor": peer(bfdProfile="fast")})
    assert not speaker.bgp.bfd
    assert [(one.reason, one.object) for one in speaker.bgp.faults(9)] == [(Reason.UnknownProfile, "BGPPeer/tor")]
    speaker.cluster.set_bfd_profile("fast", BFDProfileSpec(detect_multiplier=7))
    speaker.settle()
    assert speaker.bgp.bfd["tor"].detect_multiplier == 7
    assert not speaker.bgp.faults(9)


def test_what_says_the_same_again_is_no_work() -> None:
    speaker = serving()
    speaker.node(node({"rack": "1"}, addresses=("192.0.2.100", "2001:db8::100")))
    speaker.node(node(), name="node-b")
    speaker.cluster.set_bgp_peer("tor", peer(families=["IPv4", "IPv6"]))
    speaker.cluster.set_bgp_advertisement("all", ad())
    speaker.cluster.set_secret("unknown", None)
    assert not speaker.bgp.has_work
    speaker.pool("edge", PoolFacts({"zone": "other"}))
    speaker.bgp.update(0.0, 1)
    assert not speaker.bgp.has_work


def test_without_peers_nothing_is_kept() -> None:
    speaker = serving(peers={"far": peer(nodeSelector={"matchLabels": {"rack": "2"}})})
    speaker.allocation("192.0.2.9")
    assert not speaker.bgp.has_work
    assert not speaker.bgp.peers


def test_whether_an_advertisement_covers_an_address_is_known_also_for_other_nodes() -> None:
    elsewhere = {"matchLabels": {"rack": "2"}}
    speaker = serving(ads={"far": ad(nodeSelector=elsewhere, ipPools=["edge"])})
    assert speaker.bgp.covers(allocation())
    assert not speaker.bgp.covers(allocation(pool="core"))


def weighted(here=1, **others):
    several = {OWN: here} | others
    return slice_of(ready=tuple(several), several={name: count for name, count in several.items() if count > 1})


def bandwidth(speaker):
    return speaker.sent["tor"][ip_network("192.0.2.1/32")].link_bandwidth


def weighing():
    speaker = serving(ads={"all": ad(weightByEndpoints=True)})
    speaker.slice("default/four", weighted(2, other=9))
    speaker.allocation("192.0.2.1", is_local=True)
    return speaker.settle(100.0)


def test_a_weight_counts_ready_endpoints_on_this_node() -> None:
    assert bandwidth(weighing()) == 2e6


def test_a_weight_that_changes_again_soon_waits_a_moment() -> None:
    speaker = weighing()
    speaker.slice("default/four", weighted(3))
    assert bandwidth(speaker.settle(100.1)) == 2e6
    assert speaker.bgp.deadline() == 100.0 + QUIET_SECONDS
    speaker.slice("default/four", weighted(4))
    assert bandwidth(speaker.settle(100.2)) == 2e6
    assert bandwidth(speaker.settle(100.0 + QUIET_SECONDS)) == 4e6
    assert speaker.bgp.deadline() is None


def test_a_weight_that_comes_back_before_it_was_told_waits_for_nothing() -> None:
    speaker = weighing()
    speaker.slice("default/four", weighted(3))
    speaker.settle(100.1)
    speaker.slice("default/four", weighted(2))
    speaker.settle(100.2)
    assert speaker.bgp.deadline() is None


def test_withdrawing_and_announcing_never_wait_for_a_weight() -> None:
    speaker = weighing()
    speaker.slice("default/four", weighted(3))
    speaker.settle(100.1)
    speaker.slice("default/four", slice_of(ready=("node-b",)))
    assert "192.0.2.1/32" not in speaker.settle(100.2).prefixes()
    assert speaker.bgp.deadline() is None
    speaker.slice("default/four", weighted(5))
    assert bandwidth(speaker.settle(100.3)) == 5e6


PEERS = {
    "tor": st.sampled_from(
        [
            None,
            peer(),
            peer(families=["IPv4", "IPv6"]),
            peer(peerASN=64512, families=["IPv4"]),
            peer(nodeSelector={"matchLabels": {"rack": "2"}}),
        ]
    ),
    "other": st.sampled_from([None, peer(peerAddress="2001:db8::fe", families=["IPv4", "IPv6"]), peer(vrf="red")]),
}
ADS = st.sampled_from(
    [
        None,
        ad(),
        ad(aggregationLength=24, med=5),
        ad(aggregationLength=31, aggregationLengthV6=64, communities=["gold"]),
        ad(ipPools=["core"], localPref=7),
        ad(ipPoolSelector={"matchLabels": {"zone": "x"}}, peers=["tor"]),
        ad(serviceSelector={"matchLabels": {"app": "web"}}, advertiseWithoutEndpoints=True),
        ad(nodeSelector={"matchLabels": {"rack": "1"}}, weightByEndpoints=True, asPathPrepend=2),
        ad(peers=["other"], communities=["1:2"]),
    ]
)
NODES = st.sampled_from(
    [
        node({"rack": "1"}, addresses=("192.0.2.100", "2001:db8::100")),
        node({"rack": "2"}, addresses=("192.0.2.100",)),
        node({"rack": "1"}, is_excluded=True),
        node(is_network_unavailable=True),
        None,
    ]
)
SLICES = st.sampled_from(
    [
        None,
        slice_of(ready=(OWN,)),
        slice_of(ready=("node-b",), draining=(OWN,)),
        weighted(3),
        slice_of("mail", ready=(OWN,)),
        slice_of("mail", ready=(OWN,), is_ipv6=True),
        slice_of(is_ready_unplaced=True),
    ]
)
ALLOCATIONS = st.one_of(
    st.none(),
    st.fixed_dictionaries(
        {
            "pool": st.sampled_from(["edge", "core"]),
            "services": st.sampled_from([("web",), ("mail",), ("web", "mail")]),
            "labels": st.sampled_from([{}, {"app": "web"}]),
            "is_local": st.booleans(),
            "is_releasing": st.booleans(),
        }
    ),
)
CHANGES = st.one_of(
    *(st.tuples(st.just("bgp_peer"), st.just(name), specs) for name, specs in PEERS.items()),
    st.tuples(st.just("bgp_advertisement"), st.sampled_from(["a", "b", "c"]), ADS),
    st.tuples(
        st.just("community"),
        st.sampled_from(["x", "y"]),
        st.sampled_from([None, community(gold="1:1"), community(gold="1:9")]),
    ),
    st.tuples(st.just("node"), st.just(OWN), NODES),
    st.tuples(
        st.just("pool"),
        st.sampled_from(["edge", "core"]),
        st.sampled_from([None, PoolFacts({}), PoolFacts({"zone": "x"})]),
    ),
    st.tuples(st.just("allocation"), st.sampled_from(ADDRESSES), ALLOCATIONS),
    st.tuples(st.just("slice"), st.sampled_from(["default/s1", "default/s2"]), SLICES),
    st.tuples(st.just("failed"), st.just(""), st.frozensets(st.sampled_from(["tor", "other"]))),
    st.tuples(st.just("update"), st.integers(1, 3), st.floats(0.0, 4.0)),
)


class Feeder(Speaker):
    """Applies changes, and says at the end what a decision in one piece comes to."""

    def __init__(self):
        super().__init__()
        self.now = 0.0
        self.last = defaultdict(dict)

    def apply(self, change):
        match change:
            case "update", limit, later:
                self.now += later
                self.update(self.now, limit)
                self.bgp.faults(99)  # what was found once must not stay for ever
            case "allocation", address, fields:
                self.set_allocation(address, None if fields is None else allocation(address, **fields))
            case "slice", name, facts:
                self.slice(name, facts)
            case "node", _, facts:
                self.node(facts)
            case "pool", name, facts:
                self.pool(name, facts)
            case "failed", _, names:
                self.bgp.set_failed(names)
                self.last["failed"][""] = names
            case kind, name, spec:
                getattr(self.cluster, f"set_{kind}")(name, spec)
                self.last[kind].pop(name, None)
                if spec is not None:
                    self.last[kind][name] = spec

    def finish(self):
        """Long enough for all that waits."""
        for later in (0.0, 10.0, 20.0):
            self.settle(self.now + later, limit=2)
        return {name: routes for name, routes in self.sent.items() if routes}

    def expected(self):
        view = BGPView(
            self.cluster.nodes.get(OWN),
            own_name=OWN,
            pools={name: facts.labels for name, facts in self.cluster.pools.items()},
            advertisements=self.last["bgp_advertisement"],
            communities=self.last["community"],
        )
        addresses = [(one, self._placement(one), self._weight(one)) for one in self.cluster.allocations.values()]
        failed = self.last["failed"].get("", frozenset())
        made = {name: view.desired(config, addresses) for name, config in self.bgp.peers.items() if name not in failed}
        return {name: routes for name, routes in made.items() if routes}

    def _placement(self, one):
        return self.cluster.endpoints.placement([each.service for each in one.holders], one.is_ipv6)

    def _weight(self, one):
        return self.cluster.endpoints.weight([each.service for each in one.holders], one.is_ipv6, OWN)


@settings(max_examples=examples(300), deadline=None)
@given(st.lists(CHANGES, max_size=50))
def test_deciding_change_by_change_ends_like_deciding_all_at_once(changes) -> None:
    feeder = Feeder()
    feeder.apply(("node", OWN, node({"rack": "1"}, addresses=("192.0.2.100", "2001:db8::100"))))
    feeder.apply(("bgp_peer", "tor", peer()))
    for change in changes:
        feeder.apply(change)
    sent = feeder.finish()
    assert sent == feeder.expected()
    assert feeder.bgp.deadline() is None
    every = {prefix for routes in sent.values() for prefix in routes}
    assert feeder.bgp.aggregates == {prefix for prefix in every if prefix.prefixlen < prefix.max_prefixlen}
    assert {prefix.prefixlen for prefix in every} <= feeder.bgp.lengths(4) | feeder.bgp.lengths(6)
    for prefix in every:
        within = {one for one in ADDRESSES if ip_network(one).version == prefix.version}
        assert feeder.bgp.addresses_of(prefix) <= {one for one in within if ip_network(one).subnet_of(prefix)} != set()
    fresh = Decisions(OWN, feeder.cluster, drain_seconds=0.0)
    fresh.update(0.0, 1000)
    assert feeder.bgp.faults(99) == fresh.faults(99)


def test_services_of_other_names_do_not_matter() -> None:
    speaker = serving()
    speaker.slice("default/other", slice_of("other", ready=(OWN,)))
    assert not speaker.bgp.has_work
