"""Multicast groups: shared by addresses, joined while an interface is in use, and all of them past a number."""

import ipaddress

from hypothesis import given
from hypothesis import strategies as st

from speaker.wire.neighbours.groups import MAX_GROUPS_BY_MAC, MAX_GROUPS_BY_MLD, Change, Groups, How
from speaker.wire.neighbours.ndp import solicited_node


def ip(text: str) -> bytes:
    return ipaddress.IPv6Address(text).packed


VIP, ALIKE, OTHER = ip("2001:db8::10"), ip("2001:db8:1::10"), ip("2001:db8::11")
GROUP, OTHER_GROUP = ip("ff02::1:ff00:10"), ip("ff02::1:ff00:11")


def both(is_join: bool, ifindex: int, group: bytes) -> list[Change]:
    """A group within both limits."""
    return [Change(is_join, ifindex, how, group) for how in (How.MAC, How.MLD)]


def many(count: int) -> list[bytes]:
    return [ip("2001:db8::")[:12] + number.to_bytes(4, "big") for number in range(count)]


def test_a_group_is_joined_once_for_all_addresses_that_share_it():
    groups = Groups()
    groups.open("eth0", 7)
    groups.hold("eth0", VIP)
    groups.hold("eth0", ALIKE)
    assert groups.take() == both(True, 7, GROUP)
    groups.drop("eth0", VIP)
    assert groups.take() == []
    groups.drop("eth0", ALIKE)
    assert groups.take() == both(False, 7, GROUP)


def test_an_interface_that_comes_into_use_joins_what_is_held_on_it():
    groups = Groups()
    groups.hold("eth0", VIP)
    groups.hold("eth1", OTHER)
    assert groups.take() == []
    groups.open("eth0", 7)
    groups.open("eth0", 7)  # its MAC has changed
    assert groups.take() == both(True, 7, GROUP)
    groups.close("eth0")
    assert groups.take() == both(False, 7, GROUP)


def test_another_interface_of_the_same_name_joins_anew():
    groups = Groups()
    groups.open("eth0", 7)
    groups.hold("eth0", VIP)
    groups.open("eth0", 8)
    assert groups.take() == both(True, 7, GROUP) + both(False, 7, GROUP) + both(True, 8, GROUP)


def test_past_the_limit_all_multicast_frames_are_let_in_until_no_group_is_beyond_it():
    groups = Groups()
    groups.open("eth0", 7)
    addresses = many(MAX_GROUPS_BY_MAC + 2)
    for address in addresses:
        groups.hold("eth0", address)
    last, all_frames = solicited_node(addresses[-1]), Change(True, 7, How.ALL_MACS)
    changes = groups.take()
    assert sum(change.how is How.MAC for change in changes) == MAX_GROUPS_BY_MAC
    assert [change for change in changes if change.how is How.ALL_MACS] == [all_frames]
    assert changes[-1] == Change(True, 7, How.MLD, last)
    groups.drop("eth0", addresses[0])
    groups.drop("eth0", addresses[-2])
    assert all(change.group for change in groups.take())
    groups.drop("eth0", addresses[-1])
    assert groups.take() == [Change(False, 7, How.ALL_MACS), Change(False, 7, How.MLD, last)]


def test_past_another_limit_a_group_is_reported_when_there_is_room_again():
    groups = Groups()
    groups.open("eth0", 7)
    addresses = many(MAX_GROUPS_BY_MLD + 2)
    for address in addresses:
        groups.hold("eth0", address)
    reported = [change.group for change in groups.take() if change.how is How.MLD]
    assert reported == [solicited_node(address) for address in addresses[:MAX_GROUPS_BY_MLD]]
    groups.drop("eth0", addresses[-2])  # it waited
    assert groups.take() == []
    groups.drop("eth0", addresses[500])
    assert groups.take() == [
        Change(False, 7, How.MLD, solicited_node(addresses[500])),
        Change(True, 7, How.MLD, solicited_node(addresses[-1])),
    ]


names = st.sampled_from(["eth0", "eth1"])
pools = st.sampled_from([VIP, ALIKE, OTHER])


@given(st.lists(st.tuples(st.sampled_from(["hold", "drop", "open", "close"]), names, pools), max_size=60))
def test_what_was_joined_and_not_left_is_what_is_held_on_interfaces_in_use(steps):
    """Against plain sets. Nothing is joined twice, or left without having been joined."""
    groups, held, in_use = Groups(), set(), set()
    joined: set[tuple[int, How, bytes]] = set()
    indexes = {"eth0": 7, "eth1": 8}
    for step, name, address in steps:
        match step:
            case "hold" if (name, address) not in held:
                held.add((name, address))
                groups.hold(name, address)
            case "drop" if (name, address) in held:
                held.discard((name, address))
                groups.drop(name, address)
            case "open":
                in_use.add(name)
                groups.open(name, indexes[name])
            case "close":
                in_use.discard(name)
                groups.close(name)
        for change in groups.take():
            key = (change.ifindex, change.how, change.group)
            assert change.is_join != (key in joined)
            joined ^= {key}
        groups_in_use = {(indexes[name], solicited_node(one)) for name, one in held if name in in_use}
        assert joined == {(ifindex, how, group) for ifindex, group in groups_in_use for how in (How.MAC, How.MLD)}
