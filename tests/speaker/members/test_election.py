"""The owner of an address: agreed on by all, evenly spread, and moved as little as can be."""

from hashlib import blake2b
from ipaddress import IPv4Address

from hypothesis import given
from hypothesis import strategies as st

from speaker.members.election import owner, ranking, weight

NODES = st.lists(st.text("abcdefgh-0123456789", min_size=1, max_size=20), unique=True, max_size=12)
ADDRESSES = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str)


def addresses(count: int) -> list[str]:
    return [str(IPv4Address("198.18.0.0") + index) for index in range(count)]


def test_the_weight_is_the_documented_hash() -> None:
    expected = blake2b(bytes([192, 0, 2, 10]) + b"node-a", digest_size=8).digest()
    assert weight("node-a", "192.0.2.10") == int.from_bytes(expected, "big")


def test_the_weight_never_changes_between_versions() -> None:
    """Speakers of two versions share a segment during an upgrade: they must agree."""
    assert ranking("192.0.2.10", ["node-a", "node-b", "node-c"]) == ["node-c", "node-b", "node-a"]
    assert ranking("2001:db8::10", ["node-a", "node-b", "node-c"]) == ["node-c", "node-a", "node-b"]


def test_nobody_owns_when_there_are_no_nodes() -> None:
    assert owner("192.0.2.10", []) is None


def test_spellings_of_one_address_have_one_owner() -> None:
    nodes = [f"node-{index}" for index in range(10)]
    assert owner("2001:db8::10", nodes) == owner("2001:0DB8:0:0:0:0:0:10", nodes)


@given(ADDRESSES, NODES, st.randoms())
def test_every_node_computes_the_same_owner_whatever_order_it_learned_the_nodes_in(address, nodes, random) -> None:
    shuffled = list(nodes)
    random.shuffle(shuffled)
    assert owner(address, nodes) == owner(address, shuffled)
    assert ranking(address, nodes) == ranking(address, shuffled)


@given(ADDRESSES, NODES)
def test_the_owner_is_the_first_in_rank_and_the_successor_the_second(address, nodes) -> None:
    order = ranking(address, nodes)
    assert sorted(order) == sorted(nodes)
    for position in range(len(order)):
        assert owner(address, order[position:]) == order[position]


@given(ADDRESSES, NODES, st.data())
def test_a_node_that_leaves_moves_only_what_it_owned(address, nodes, data) -> None:
    if not nodes:
        return
    leaver = data.draw(st.sampled_from(nodes))
    before, after = owner(address, nodes), owner(address, [node for node in nodes if node != leaver])
    assert after == before or before == leaver


@given(ADDRESSES, NODES, st.text("xyz", min_size=1, max_size=5))
def test_a_node_that_joins_takes_addresses_to_itself_only(address, nodes, joiner) -> None:
    before, after = owner(address, nodes), owner(address, [*nodes, joiner])
    assert after in (before, joiner)


def test_addresses_spread_evenly_over_nodes() -> None:
    """1,000 addresses on 10 nodes: 100 each, and none more than a third away from it (binomial: sigma is 9.5)."""
    nodes = [f"worker-{index}" for index in range(10)]
    owners = [owner(address, nodes) for address in addresses(1000)]
    assert all(67 <= owners.count(node) <= 133 for node in nodes)


def test_the_addresses_of_a_dead_node_spread_over_all_others() -> None:
    nodes = [f"worker-{index}" for index in range(5)]
    moved = [address for address in addresses(1000) if owner(address, nodes) == nodes[0]]
    heirs = [owner(address, nodes[1:]) for address in moved]
    assert all(heirs.count(node) > len(moved) / 8 for node in nodes[1:])
