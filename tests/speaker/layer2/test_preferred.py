"""Which of the nodes that could announce an address own it, where an advertisement or its Service prefers some."""

from typing import Any

import msgspec
import pytest

from speaker.cluster.endpoints import NOWHERE, Placement
from speaker.cluster.objects import Allocation
from speaker.layer2.desired import Announce, Layer2View, Refrain
from speaker.members.election import owner
from tests.speaker.make import advertisement, allocation, node

NODES = ("node-a", "node-b", "node-c")
ADDRESSES = [f"192.0.2.{number}" for number in range(1, 40)]
BEHIND = {"node-a": 1}


def preferring(*names: str) -> dict[str, Any]:
    """The first before the second, and so on."""
    return {"preferredNodeSelectors": [{"matchLabels": {"host": name}} for name in names]}


def wanting(name: str, address: str, **fields: Any) -> Allocation:
    plain = allocation(address, **fields)
    return msgspec.structs.replace(plain, holders=(msgspec.structs.replace(plain.holders[0], node=name),))


def elected(record: Allocation, placement: Placement = NOWHERE, alive: tuple[str, ...] = NODES, **parts: Any) -> str:
    """The one owner, as all nodes see it."""
    advertisements = parts.pop("advertisements", {"all": advertisement()})
    found = set()
    for name in alive:
        view = Layer2View(
            name,
            nodes={one: node({"host": one}) for one in NODES},
            speakers={one: ("eth0",) for one in alive},
            pools={"edge": {}},
            advertisements=advertisements,
            **parts,
        )
        match view.decide(record, placement):
            case Announce():
                found.add(name)
            case Refrain(owner=other):
                found.add(str(other))
    assert len(found) == 1, found
    return found.pop()


@pytest.mark.parametrize("address", ADDRESSES[:5])
def test_the_nodes_of_the_first_selector_come_first_and_then_those_of_the_second(address: str) -> None:
    ads = {"all": advertisement(**preferring("node-b", "node-c"))}
    assert elected(allocation(address), advertisements=ads) == "node-b"
    assert elected(allocation(address), alive=("node-a", "node-c"), advertisements=ads) == "node-c"
    assert elected(allocation(address), alive=("node-a",), advertisements=ads) == "node-a"


def test_addresses_spread_over_the_nodes_that_are_preferred_alike() -> None:
    both = {"matchExpressions": [{"key": "host", "operator": "In", "values": ["node-a", "node-b"]}]}
    ads = {"all": advertisement(preferredNodeSelectors=[both])}
    owners = {one: elected(allocation(one), advertisements=ads) for one in ADDRESSES}
    assert owners == {one: owner(one, ("node-a", "node-b")) for one in ADDRESSES}
    assert set(owners.values()) == {"node-a", "node-b"}


def test_of_several_advertisements_the_one_that_ranks_a_node_best_counts() -> None:
    ads = {
        "one": advertisement(**preferring("node-a", "node-b")),
        "other": advertisement(**preferring("node-c")),
        "plain": advertisement(),
    }
    owners = {elected(allocation(one), advertisements=ads) for one in ADDRESSES}
    assert owners == {"node-a", "node-c"}


def test_a_preferred_node_that_came_back_takes_nothing_before_it_is_a_member() -> None:
    ads = {"all": advertisement(**preferring("node-a"))}
    assert elected(allocation(), advertisements=ads) == "node-a"
    assert elected(allocation(), advertisements=ads, tiers=BEHIND) != "node-a"


@pytest.mark.parametrize("wanted", NODES)
def test_the_node_that_a_service_asks_for_is_the_owner_whatever_advertisements_prefer(wanted: str) -> None:
    ads = {"all": advertisement(**preferring("node-b"))}
    assert {elected(wanting(wanted, one), advertisements=ads) for one in ADDRESSES[:5]} == {wanted}


@pytest.mark.parametrize(("wanted", "tiers"), [("node-x", {}), ("", {}), ("node-a", BEHIND)])
def test_a_node_that_can_not_announce_now_is_not_waited_for(wanted: str, tiers: dict[str, int]) -> None:
    for address in ADDRESSES[:5]:
        able = [one for one in NODES if one not in tiers]
        assert elected(wanting(wanted, address), tiers=tiers) == owner(address, able)


def test_under_local_a_node_without_endpoints_is_preferred_by_nobody() -> None:
    record = wanting("node-a", ADDRESSES[0], is_local=True)
    ads = {"all": advertisement(**preferring("node-a", "node-c"))}
    assert elected(record, Placement(frozenset({"node-b", "node-c"})), advertisements=ads) == "node-c"
    assert elected(record, Placement(frozenset({"node-a", "node-c"})), advertisements=ads) == "node-a"
    assert elected(record, Placement(frozenset({"node-b"})), advertisements=ads) == "node-b"


def test_of_several_holders_the_first_that_asks_is_heard() -> None:
    record = allocation(ADDRESSES[0], services=("a", "b", "c"))
    first, second, third = record.holders
    holders = (first, msgspec.structs.replace(second, node="node-c"), msgspec.structs.replace(third, node="node-a"))
    assert elected(msgspec.structs.replace(record, holders=holders)) == "node-c"
