"""Where our filter stands among those of others, whose filters are ours, and what the kernel is told."""

import socket
from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speaker.wire import netlink
from speaker.wire.neighbours.bpf.filters import (
    HANDLES,
    INGRESS,
    NAME,
    NAME_WITH_CLSACT,
    NEW_FILTER,
    PRIORITY,
    Filter,
    add_request,
    clsact_request,
    delete_request,
    filter_of,
    is_in_place,
    place,
)

ALL, IPV4 = socket.htons(0x0003), socket.htons(0x0800)
CILIUM = Filter(1, 1, ALL, "bpf", "cil_from_netdev-eth0")
CALICO = Filter(0xC000, 1, ALL, "bpf", "cali_tc_preambl")
FLOWER = Filter(1, 1, IPV4, "flower")

filters = st.builds(
    Filter,
    st.integers(1, 0xFFFF),
    st.one_of(st.integers(0, 20), st.sampled_from(HANDLES)),
    st.sampled_from([ALL, IPV4]),
    st.sampled_from(["bpf", "flower", "u32"]),
    st.sampled_from(["", "cil_from_netdev", NAME, NAME_WITH_CLSACT]),
    st.integers(0, 2),
)


def added(standing: list[Filter], one: Filter) -> list[Filter]:
    """As the kernel lists them then: by priority, and the last one first."""
    before = [each for each in standing if each.priority < one.priority]
    return [*before, one, *standing[len(before) :]]


@pytest.mark.parametrize(
    ("standing", "priority"),
    [
        ([], PRIORITY),
        ([CALICO], PRIORITY),
        ([CILIUM], 1),  # beside it, and before it
        ([CILIUM, CALICO], 1),
        ([FLOWER], 2),  # nothing may be beside it
        ([FLOWER, Filter(2, 5, ALL, "bpf", "other")], 2),
        ([FLOWER, Filter(2, 1, ALL, "u32")], 3),
        ([Filter(66, 1, ALL, "bpf", "other")], 33),
        ([Filter(1, 1, ALL, "bpf", "other", chain=7)], PRIORITY),  # met by those alone that are sent there
    ],
)
def test_ours_stands_before_the_others_and_in_nobodys_way(standing: list[Filter], priority: int) -> None:
    ours = place(standing, NAME)
    assert ours.priority == priority
    assert ours.is_ours
    assert is_in_place(added(standing, ours), ours)


def test_one_that_came_later_and_stands_before_ours_is_noticed() -> None:
    ours = place([], NAME)
    assert not is_in_place(added([ours], CILIUM), ours)
    assert not is_in_place([], ours)
    beside = place([CILIUM], NAME)
    assert is_in_place(added([CILIUM], beside), beside)
    assert not is_in_place([CILIUM, beside], beside)  # it was taken away and added anew
    assert is_in_place(added([ours], CALICO), ours)


def test_several_of_ours_stand_side_by_side_until_all_handles_are_taken() -> None:
    standing: list[Filter] = []
    for handle in HANDLES:
        ours = place(standing, NAME)
        assert (ours.priority, ours.handle) == (PRIORITY, handle)
        standing = added(standing, ours)
        assert all(is_in_place(standing, each) for each in standing)
    with pytest.raises(LookupError):
        place(standing, NAME)


@pytest.mark.parametrize(
    "foreign",
    [
        CILIUM,
        Filter(PRIORITY, HANDLES[0], ALL, "bpf", "other"),
        Filter(PRIORITY, 1, ALL, "bpf", NAME),
        Filter(PRIORITY, HANDLES[0], ALL, "u32", NAME),
        Filter(PRIORITY, 0, ALL, "bpf"),
    ],
)
def test_what_is_like_ours_in_part_is_none_of_ours(foreign: Filter) -> None:
    assert not foreign.is_ours


@given(st.lists(filters, max_size=12))
def test_wherever_ours_is_put_nobody_stands_there_whom_it_would_hinder(standing: list[Filter]) -> None:
    try:
        ours = place(standing, NAME)
    except LookupError:
        assert {one.handle for one in standing} >= set(HANDLES)
        return
    assert 1 <= ours.priority <= PRIORITY
    assert ours.handle not in {one.handle for one in standing}
    beside = [one for one in standing if one.priority == ours.priority and one.chain == 0 and not one.is_ours]
    assert all(one.takes_neighbours for one in beside if one.handle)


@given(
    st.builds(
        Filter,
        st.integers(1, 0xFFFF),
        st.integers(0, 2**32 - 1),
        st.just(ALL),
        st.just("bpf"),
        st.just(NAME),
        st.just(0),
    )
)
def test_what_the_kernel_is_told_of_a_filter_is_what_it_would_tell_us(one: Filter) -> None:
    (message,) = netlink.messages(add_request(7, 3, one, 9))
    kind, flags, sequence, body = message
    assert (kind, sequence) == (NEW_FILTER, 7)
    assert flags == 0x1 | netlink.ACKNOWLEDGE | netlink.CREATE | netlink.ONLY_NEW  # and never NLM_F_REPLACE
    assert filter_of(kind, body) == one


def test_a_filter_is_removed_by_all_that_tells_it_from_others() -> None:
    ours = place([], NAME)
    (message,) = netlink.messages(delete_request(1, 3, ours))
    assert message[3][:20] == pack("=BxxxiIII", 0, 3, ours.handle, INGRESS, ours.priority << 16 | ALL)


def test_clsact_is_only_made_where_there_is_nothing() -> None:
    (message,) = netlink.messages(clsact_request(1, 3))
    assert message[1] & netlink.ONLY_NEW


@given(st.integers(0, 100), st.binary(max_size=200))
def test_junk_is_no_filter_or_one_but_raises_nothing(kind: int, body: bytes) -> None:
    assert filter_of(kind, body) is None or kind == NEW_FILTER
