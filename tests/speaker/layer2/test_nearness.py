"""Owners and interfaces that are on the network of an address come first; where none is, all count alike."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crds.conditions import Reason
from speaker.cluster.endpoints import NOWHERE, Placement
from speaker.cluster.networks import Attached, Network, network_of
from speaker.layer2.desired import Announce, Layer2View, Refrain, Silence
from speaker.layer2.nearness import Way
from speaker.members.election import best_tier, owner
from tests.examples import examples
from tests.speaker.make import advertisement, allocation, attachment, node

NODES = ("node-a", "node-b", "node-c")
HERE, THERE = "192.0.2.11/24", "198.51.100.11/24"
NOT_TOLD = Attached()


def view(attached, own="node-a", **parts):
    """`attached`: by node and interface, networks or an Attached."""
    told = {
        name: {one: its if isinstance(its, Attached) else attachment(*its) for one, its in interfaces.items()}
        for name, interfaces in attached.items()
    }
    ads = parts.pop("advertisements", {"all": advertisement()})
    return Layer2View(
        own,
        nodes={name: node({"host": name}) for name in attached},
        speakers={name: tuple(sorted(interfaces)) for name, interfaces in attached.items()},
        pools={},
        advertisements=ads,
        attached=told,
        **parts,
    )


def announcer(attached, address="192.0.2.77", placement=NOWHERE, *, is_local=False, **parts):
    """The one node that announces it, and where; the others all name that node."""
    the_allocation = allocation(address, is_local=is_local)
    made = {name: view(attached, name, **parts).decide(the_allocation, placement) for name in attached}
    ((name, interfaces),) = ((name, one.interfaces) for name, one in made.items() if isinstance(one, Announce))
    assert all(one == Refrain(Silence.OTHER_OWNER, name) for other, one in made.items() if other != name)
    return name, interfaces


def owners(attached, addresses, **parts):
    return {announcer(attached, address, **parts)[0] for address in addresses}


def some(prefix="192.0.2", count=40):
    return [f"{prefix}.{number}" for number in range(20, 20 + count)]


def test_owners_are_the_nodes_on_the_network_of_the_address() -> None:
    attached = {"node-a": {"eth0": (HERE,)}, "node-b": {"eth0": (HERE,)}, "node-c": {"eth0": (THERE,)}}
    assert owners(attached, some()) == {"node-a", "node-b"}
    assert owners(attached, some("198.51.100")) == {"node-c"}
    for address in some():
        assert announcer(attached, address)[0] == owner(address, ["node-a", "node-b"])


@pytest.mark.parametrize("networks", [(), (THERE,), ("192.0.2.77/32",), ("0.0.0.0/0",), ("no network",)])
def test_where_no_node_is_on_it_all_count_alike(networks) -> None:
    """A routed address, nodes with link-local addresses alone, masks of single hosts: as if networks were not told."""
    attached = {name: {"eth0": networks, "eth1": ()} for name in NODES}
    for address in some():
        assert announcer(attached, address) == (owner(address, NODES), ("eth0", "eth1"))


def test_an_address_of_a_host_alone_elects_nobody() -> None:
    """kube-ipvs0, a loopback, another load balancer: they have the very address on some node."""
    attached = {"node-a": {"eth0": ("192.0.2.20/32", "2001:db8::20/128")}, "node-b": {"eth0": ()}}
    assert owners(attached, some()) == {"node-a", "node-b"}


def test_a_node_on_the_network_comes_before_a_better_one_that_is_not() -> None:
    """It came back lately, or is behind, or leaves: it serves better than one that nobody there can ask."""
    attached = {"node-a": {"eth0": (HERE,)}, "node-b": {"eth0": (HERE,)}, "node-c": {"eth0": (THERE,)}}
    assert owners(attached, some(), tiers={"node-a": 1}) == {"node-b"}
    assert owners(attached, some(), tiers={"node-a": 4, "node-b": 1}) == {"node-b"}


def test_with_the_policy_local_nodes_with_endpoints_come_first_and_of_these_those_on_the_network() -> None:
    attached = {"node-a": {"eth0": (HERE,)}, "node-b": {"eth0": (HERE,)}, "node-c": {"eth0": (THERE,)}}
    on_both = Placement(frozenset({"node-b", "node-c"}))
    assert owners(attached, some(), placement=on_both, is_local=True) == {"node-b"}
    only_there = Placement(frozenset({"node-c"}))
    assert owners(attached, some(), placement=only_there, is_local=True) == {"node-c"}


def test_an_interface_that_the_advertisement_does_not_name_does_not_put_its_node_on_the_network() -> None:
    attached = {"node-a": {"eth0": (HERE,), "eth1": ()}, "node-b": {"eth1": (HERE,)}}
    ads = {"one": advertisement(interfaces=["eth1"])}
    assert owners(attached, some(), advertisements=ads) == {"node-b"}
    alone = {"node-a": attached["node-a"]}
    assert announcer(alone, advertisements=ads) == ("node-a", ("eth1",))


def test_a_speaker_that_does_not_tell_its_networks_counts_as_on_each() -> None:
    """One of an earlier version, in a rolling update: it elects as it always did, and all must elect alike."""
    attached = {"node-a": {"eth0": (HERE,)}, "node-b": {"eth0": NOT_TOLD}, "node-c": {"eth0": NOT_TOLD}}
    for address in some():
        assert announcer(attached, address)[0] == owner(address, NODES)


def test_of_the_interfaces_of_a_node_the_one_on_the_network_is_used() -> None:
    attached = {"node-a": {"eth0": (THERE,), "eth1": (), "eth2": (HERE,)}}
    assert announcer(attached) == ("node-a", ("eth2",))
    assert announcer(attached, "198.51.100.7") == ("node-a", ("eth0",))
    assert announcer(attached, "203.0.113.7") == ("node-a", ("eth0", "eth1", "eth2"))


def route(interface, text, metric, index):
    return {Way(interface, network_of(text)): (metric, index)}


def test_of_two_interfaces_on_one_network_the_kernels_route_decides() -> None:
    attached = {"node-a": {"eth0": ("192.0.2.11/24",), "eth1": ("192.0.2.12/24",)}}
    better = route("eth0", HERE, 200, 2) | route("eth1", HERE, 100, 3)
    assert announcer(attached, own_routes=better) == ("node-a", ("eth1",))
    alike = route("eth0", HERE, 100, 7) | route("eth1", HERE, 100, 3)
    assert announcer(attached, own_routes=alike) == ("node-a", ("eth1",))
    assert announcer(attached, own_routes=route("eth1", HERE, 100, 3)) == ("node-a", ("eth1",))
    assert announcer(attached) == ("node-a", ("eth0",))


def test_the_longest_prefix_comes_before_the_metric() -> None:
    attached = {"node-a": {"eth0": ("192.0.0.1/16",), "eth1": ("192.0.2.1/24",)}}
    ranks = route("eth0", "192.0.0.1/16", 0, 2) | route("eth1", "192.0.2.1/24", 100, 3)
    assert announcer(attached, own_routes=ranks) == ("node-a", ("eth1",))
    assert announcer(attached, "192.0.3.1", own_routes=ranks) == ("node-a", ("eth0",))


def test_an_interface_without_ipv6_does_not_count_for_ipv6() -> None:
    off = attachment(HERE, has_ipv6=False)
    attached = {"node-a": {"eth0": off, "eth1": ()}, "node-b": {"eth0": off}}
    addresses = [f"2001:db8::{number}" for number in range(1, 20)]
    for address in addresses:
        assert announcer(attached, address) == ("node-a", ("eth1",))
    assert owners(attached, some()) == {"node-a", "node-b"}


def test_where_no_node_has_ipv6_that_is_told() -> None:
    seen = view({name: {"eth0": attachment(has_ipv6=False)} for name in NODES[:2]})
    address = allocation("2001:db8::1")
    assert seen.decide(address, NOWHERE) == Refrain(Silence.NO_NODE)
    fault = seen.explain(address, NOWHERE)
    assert fault is not None
    assert fault.reason is Reason.NoEligibleNode
    assert fault.message == (
        "2001:db8::1: node-a has IPv6 switched off (disable_ipv6) on all of its interfaces that may announce it; "
        "node-b has IPv6 switched off (disable_ipv6) on all of its interfaces that may announce it"
    )


def test_a_network_is_read_from_any_address_in_it() -> None:
    assert network_of("192.0.2.11/24") == network_of("192.0.2.0/24") == Network(False, 8, 0xC00002)
    assert network_of("2001:db8::5/64") == Network(True, 64, 0x20010DB800000000)


@pytest.mark.parametrize(
    "text", ["192.0.2.1/32", "2001:db8::1/128", "0.0.0.0/0", "::/0", "", "eth0", "192.0.2.1/99", "192.0.2.1"]
)
def test_what_makes_no_network(text) -> None:
    assert network_of(text) is None


CHOICES = [(), ("192.0.2.1/24",), ("192.0.2.1/25", "198.51.100.1/24"), ("192.0.0.1/16",), ("192.0.2.99/32",)]


@settings(max_examples=examples(300))
@given(
    st.dictionaries(
        st.sampled_from(NODES),
        st.dictionaries(st.sampled_from(["eth0", "eth1", "eth2"]), st.sampled_from(CHOICES), min_size=1),
        min_size=1,
    ),
    st.sampled_from(["192.0.2.7", "192.0.2.200", "192.0.9.9", "198.51.100.7", "203.0.113.1"]),
    st.dictionaries(st.sampled_from(NODES), st.integers(0, 4)),
    st.sampled_from([{}, {"interfaces": ["eth1"]}, {"interfaces": ["eth[01]"]}]),
    st.booleans(),
    st.sets(st.sampled_from(NODES)),
)
def test_all_elect_the_same_and_its_network_has_the_address_if_any_candidates_has(
    attached, address, tiers, spec, is_local, placed
) -> None:
    parts = {"tiers": tiers, "advertisements": {"one": advertisement(**spec)}}
    placement, the_allocation = Placement(frozenset(placed)), allocation(address, is_local=is_local)
    made = {name: view(attached, name, **parts).decide(the_allocation, placement) for name in attached}
    allowed = {
        name: [one for one in its if not spec or one in ("eth0", "eth1")[0 if "[" in spec["interfaces"][0] else 1 :]]
        for name, its in attached.items()
    }
    candidates = {
        name: interfaces for name, interfaces in allowed.items() if interfaces and (name in placed or not is_local)
    }
    announcers = {name: one.interfaces for name, one in made.items() if isinstance(one, Announce)}
    assert len(announcers) == bool(candidates)
    if not candidates:
        return
    ((elected, interfaces),) = announcers.items()
    assert {one.owner for one in made.values() if isinstance(one, Refrain)} <= {elected}
    near = {name for name, its in candidates.items() if any(has(attached[name][one], address) for one in its)}
    assert elected == owner(address, best_tier(sorted(near or candidates), tiers))
    if elected in near:
        (interface,) = interfaces
        assert has(attached[elected][interface], address)
    else:
        assert list(interfaces) == sorted(candidates[elected])


def has(networks, address):
    """By the library's own arithmetic; an address of a host alone has no network."""
    from ipaddress import ip_address, ip_interface

    made = [ip_interface(text).network for text in networks]
    return any(ip_address(address) in one for one in made if one.prefixlen < one.max_prefixlen)
