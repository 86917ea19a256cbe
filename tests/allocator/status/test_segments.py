"""What an IPAllocation says where who announces it on layer 2 is on no network that contains it."""

from dataclasses import replace

import pytest

from allocator.objects import StoredAllocation
from allocator.release.speakers import SpeakerState, decode_speaker
from allocator.status.entries import Announcement
from allocator.status.segments import Segments
from crds.conditions import ConditionType, Reason
from crds.observation import Observation
from tests.allocator.status.records import status_of, stored
from tests.speaker.make import raw

NOW = "2026-03-01T00:00:00Z"
ETH0 = Announcement(("Layer2",), ("eth0",))
HERE, THERE = ["192.0.2.11/24"], ["198.51.100.11/24"]


def speaker(node: str, *networks: str, **others: object) -> SpeakerState:
    """On these networks by eth0, and what else is said of that interface."""
    eth0 = {"name": "eth0", "up": True, "usable": True, "networks": networks, "ipv6": True} | others
    return decode_speaker(raw(metadata={"name": node, "uid": node}, status={"interfaces": [eth0]}))


def segments(**nodes: list[str]) -> Segments:
    made = Segments()
    for node, networks in nodes.items():
        assert made.speaker_seen(node, speaker(node, *networks))
    return made


def reason(made: Segments, record: StoredAllocation, **announcers: Announcement) -> Reason | None:
    found = made.judge(record, announcers)
    return found.reason if found is not None else None


def test_nothing_is_said_of_an_address_whose_owner_is_on_its_network() -> None:
    assert segments(n1=HERE, n2=THERE).judge(stored(), {"n1": ETH0}) is None


def test_an_address_on_no_nodes_network_is_told_and_when_that_is_as_it_should_be() -> None:
    made = segments(n1=THERE, n2=THERE)
    assert made.judge(stored(), {"n1": ETH0}) == Observation(
        ConditionType.OnNetwork,
        False,
        Reason.NoNodeOnNetwork,
        "No node is on a network that contains 192.0.2.10; n1 (on eth0) announces it. Where a router on that segment "
        "has such a network, all is well. Else nobody asks for it there: put addresses of the nodes' networks into "
        "pool edge, or announce it by BGP",
    )


@pytest.mark.parametrize(
    ("policy", "advice"),
    [
        ("Local", "The policy is Local, and of the nodes with a ready endpoint none is: run one on these"),
        (
            "Cluster",
            "Look whether the advertisement's nodeSelector and interfaces leave these out, and at their Speakers",
        ),
    ],
)
def test_where_other_nodes_are_on_the_network_they_are_named(policy: str, advice: str) -> None:
    record = stored(traffic_policy=policy)
    found = segments(n1=HERE, n2=HERE, n3=THERE).judge(record, {"n3": ETH0})
    assert found is not None
    assert found.reason is Reason.OwnerOffNetwork
    assert found.message == (
        "n3 (on eth0) announces 192.0.2.10, and is on no network that contains it. On one is n1, n2. " + advice
    )


@pytest.mark.parametrize("networks", [[], ["192.0.2.10/32"], ["no network"]])
def test_an_address_of_a_host_alone_is_no_network(networks: list[str]) -> None:
    assert reason(segments(n1=networks), stored(), n1=ETH0) is Reason.NoNodeOnNetwork


def test_nothing_is_said_where_it_is_not_known() -> None:
    made = Segments()
    assert made.judge(stored(), {"n1": ETH0}) is None
    made.speaker_seen("n1", speaker("n1", ipv6=None))
    assert made.judge(stored(), {"n1": ETH0}) is None
    made.speaker_seen("n1", speaker("n1", *THERE))
    assert made.judge(stored(), {"n1": Announcement(("Layer2",), ("eth0", "eth7"))}) is None


def test_what_bgp_alone_announces_needs_no_network() -> None:
    made = segments(n1=THERE)
    assert made.judge(stored(), {"n1": Announcement(("BGP",), peers=("tor1",))}) is None
    both = Announcement(("BGP", "Layer2"), ("eth0",))
    assert reason(made, stored(), n1=both) is Reason.NoNodeOnNetwork


def test_during_a_hand_over_one_on_the_network_is_enough() -> None:
    made = segments(n1=HERE, n3=THERE)
    assert made.judge(stored(), {"n1": ETH0, "n3": ETH0}) is None


def test_the_end_of_it_is_said_too() -> None:
    made = segments(n1=THERE)
    status = status_of(stored(), {"n1": ETH0}, True, (), NOW, on_network=made.judge(stored(), {"n1": ETH0}))
    assert [(one.type, one.status) for one in status.conditions] == [("Announced", "True"), ("OnNetwork", "False")]
    after = replace(stored(), conditions=status.conditions)
    made.speaker_seen("n1", speaker("n1", *HERE))
    assert reason(made, after, n1=ETH0) is Reason.OwnerOnNetwork


def test_what_says_the_same_again_is_no_news() -> None:
    made = segments(n1=HERE)
    assert not made.speaker_seen("n1", speaker("n1", *HERE, gateways=["192.0.2.1"]))
    assert made.speaker_seen("n1", speaker("n1", *THERE))
    assert made.speaker_seen("n1", None)
    assert not made.speaker_seen("n1", None)
    assert not made.speaker_seen("n2", speaker("n2", ipv6=None))
