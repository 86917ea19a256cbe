"""Which nodes announce an address, and which news of it is urgent."""

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from allocator.status.announcers import Announcers, Said, Source
from allocator.status.entries import Announcement
from tests.allocator.build import address

VIP = address("192.0.2.10")
ETH0, ETH1 = Announcement(("Layer2",), ("eth0",)), Announcement(("Layer2",), ("eth1",))
TOR1, TOR2 = Announcement(("BGP",), peers=("tor1",)), Announcement(("BGP",), peers=("tor2",))
BOTH = Announcement(("BGP", "Layer2"), ("eth0",), ("tor1",))


def said(**addresses: Announcement) -> Said:
    """`a10`: 192.0.2.10."""
    return Said(tuple(f"192.0.2.{name[1:]}" for name in addresses), tuple(addresses.values()))


def saying(**nodes: Announcement) -> Announcers:
    """Of VIP, by each of these nodes, and nothing is news any more."""
    made = Announcers()
    for node, how in nodes.items():
        made.update(Source(node, f"{node}.0"), said(a10=how))
    made.take_changed()
    return made


def news(made: Announcers, node: str, how: Announcement | None) -> str:
    made.update(Source(node, f"{node}.0"), Said() if how is None else said(a10=how))
    changed = made.take_changed()
    assert not (changed.at_once and changed.in_time)
    return "at once" if changed.at_once else "in time" if changed.in_time else "none"


def test_whether_an_address_is_announced_is_urgent() -> None:
    made = saying()
    assert news(made, "n1", TOR1) == "at once"
    assert news(made, "n2", TOR1) == "in time"
    assert news(made, "n1", None) == "in time"
    assert news(made, "n2", None) == "at once"
    assert made.of(VIP) == {}


def test_by_whom_on_layer_2_and_where_is_urgent() -> None:
    made = saying(n1=TOR1, n2=TOR1)
    assert news(made, "n2", BOTH) == "at once"
    assert news(made, "n2", ETH0) == "in time"
    assert news(made, "n2", ETH1) == "at once"
    assert news(made, "n2", None) == "at once"


def test_to_which_routers_is_not_urgent_and_the_same_again_is_no_news() -> None:
    made = saying(n1=TOR1, n2=TOR1)
    assert news(made, "n2", TOR1) == "none"
    assert news(made, "n2", TOR2) == "in time"
    assert made.of(VIP) == {"n1": TOR1, "n2": TOR2}


def test_an_address_that_moves_from_one_slice_to_another_is_announced_all_the_time() -> None:
    made = saying(n1=ETH0)
    made.update(Source("n1", "n1.1"), said(a10=ETH0, a11=ETH0))
    made.update(Source("n1", "n1.0"), Said())
    assert made.take_changed().at_once == {"192.0.2.11"}
    assert made.of(VIP) == {"n1": ETH0}
    made.update(Source("n1", "n1.1"), Said())
    assert made.of(VIP) == {}


def test_a_node_that_comes_in_the_place_of_another_is_not_taken_for_it() -> None:
    made = saying(n1=TOR1, n2=TOR1)
    assert news(made, "n1", None) == "in time"
    assert news(made, "n3", TOR2) == "in time"
    assert made.of(VIP) == {"n2": TOR1, "n3": TOR2}


ADDRESSES = st.dictionaries(st.sampled_from(["a10", "a11", "a12"]), st.sampled_from([ETH0, ETH1, TOR1, TOR2, BOTH]))
UPDATES = st.lists(st.tuples(st.sampled_from(["n1", "n2", "n3"]), st.sampled_from("01"), ADDRESSES), max_size=30)


@given(UPDATES)
def test_whatever_is_said_in_whatever_order_an_address_has_the_nodes_that_name_it(
    updates: list[tuple[str, str, dict[str, Announcement]]],
) -> None:
    made, objects = Announcers(), defaultdict[str, dict[str, dict[str, Announcement]]](dict)
    for node, number, addresses in updates:
        made.update(Source(node, number), said(**addresses))
        objects[node][number] = addresses
        for name in ("a10", "a11", "a12"):
            named = {node: [one[name] for one in objects[node].values() if name in one] for node in objects}
            found = made.of(f"192.0.2.{name[1:]}")
            assert found.keys() == {node for node, hows in named.items() if hows}
            assert all(how in named[node] for node, how in found.items())
    for node in list(objects):
        for number in objects[node]:
            made.update(Source(node, number), Said())
    left = (made._said, made._by_address, made._twice, made._numbers._numbers)
    assert left == ({}, {}, set(), {}), "nothing is left in memory"
