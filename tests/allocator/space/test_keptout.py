"""The index of addresses that are kept out of pools: what each source says, and what all of them say together."""

from hypothesis import given
from hypothesis import strategies as st

from allocator.space.keptout import KeptBy, KeptOut
from crds.addresses import IPAddress
from crds.ippool import KeptOutReason
from tests.allocator.build import address

NODE = KeptBy(KeptOutReason.NodeAddress, "node1")
END = KeptBy(KeptOutReason.NetworkEnd, "192.0.2.0/24")
GATEWAY = KeptBy(KeptOutReason.Gateway, "node1")
ONE, OTHER = address("192.0.2.1"), address("192.0.2.2")


def test_what_a_source_says_replaces_what_it_said_and_names_what_changed() -> None:
    kept = KeptOut()
    assert kept.put("Node/node1", {ONE: NODE}) == [ONE]
    assert kept.put("Node/node1", {ONE: NODE}) == []
    assert set(kept.put("Node/node1", {OTHER: NODE})) == {ONE, OTHER}
    assert (kept.of(ONE), kept.of(OTHER)) == (None, NODE)
    assert kept.put("Node/node1", {}) == [OTHER]
    assert list(kept) == []


def test_an_address_stays_kept_out_until_the_last_one_who_says_so_is_gone() -> None:
    kept = KeptOut()
    kept.put("Speaker/node1", {ONE: END})
    assert kept.put("Speaker/node2", {ONE: END}) == []
    assert kept.put("Speaker/node1", {}) == []
    assert kept.put("Speaker/node2", {}) == [ONE]


def test_the_strongest_reason_counts_whoever_came_first() -> None:
    for order in ((END, GATEWAY, NODE), (NODE, GATEWAY, END)):
        kept = KeptOut()
        for number, one in enumerate(order):
            kept.put(f"Speaker/{number}", {ONE: one})
        assert kept.of(ONE) == NODE


addresses = st.sampled_from([address(f"192.0.2.{number}") for number in range(4)])
said = st.dictionaries(addresses, st.sampled_from([NODE, END, GATEWAY]), max_size=4)


@given(st.lists(st.tuples(st.sampled_from("abc"), said), max_size=12))
def test_the_index_is_what_the_last_words_of_all_sources_amount_to(
    steps: list[tuple[str, dict[IPAddress, KeptBy]]],
) -> None:
    kept, last = KeptOut(), dict[str, dict[IPAddress, KeptBy]]()
    order = list(KeptOutReason)

    def expected(one: IPAddress) -> KeptBy | None:
        found = [entries[one] for entries in last.values() if one in entries]
        return min(found, key=lambda each: (order.index(each.reason), each.of), default=None)

    for source, entries in steps:
        before = {one: expected(one) for one in {*kept, *entries}}
        last[source] = entries
        changed = kept.put(source, entries)
        assert set(changed) == {one for one, was in before.items() if expected(one) != was}
        assert set(kept) == {one for each in last.values() for one in each}
        assert all(kept.of(one) == expected(one) for one in kept)


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abcdef"),
            st.none() | st.builds(KeptBy, st.sampled_from(KeptOutReason), st.sampled_from(["x", "y", "z"])),
        ),
        max_size=40,
    )
)
def test_of_many_who_name_one_address_the_strongest_counts_and_then_the_first_by_name(says) -> None:
    kept, said = KeptOut(), {}
    ranks = list(KeptOutReason)
    for source, what in says:
        kept.put(source, {} if what is None else {ONE: what})
        said[source] = what
        there = [one for one in said.values() if one is not None]
        for but in (None, *KeptOutReason):
            counted = [one for one in there if one.reason is not but]
            expected = min(counted, key=lambda one: (ranks.index(one.reason), one.of), default=None)
            assert kept.of(ONE, but) == expected
    assert (ONE in set(kept)) is bool([one for one in said.values() if one is not None])
