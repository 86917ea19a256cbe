"""The door between agent and wire process: what goes in at one end comes out at the other, whole, or not at all."""

import itertools
import json
from ipaddress import IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speaker.members.io.keys import MOST_KEY_BYTES
from speaker.wire import messages
from speaker.wire.codec import MAX_MESSAGE_BYTES, MessageError, encode, joined, packets
from speaker.wire.messages import (
    ADDRESSES_PER_PACKET,
    ENTRIES_PER_PACKET,
    NEVER,
    AgeChanges,
    Announce,
    Answer,
    AnswerPing,
    Ask,
    Bfd,
    BfdChanges,
    BfdSession,
    BfdState,
    Conflict,
    Counters,
    Defend,
    Discover,
    Done,
    HandOver,
    Heartbeat,
    HeartbeatPort,
    Interface,
    Interfaces,
    LinkRouterChanges,
    Member,
    MemberChanges,
    Order,
    OwnState,
    Permit,
    PingFault,
    Probe,
    Probed,
    Reannounce,
    Refused,
    RoutersOn,
    Stop,
    UseInterfaces,
    WireReport,
    Withdraw,
    decode_order,
    decode_report,
)
from speaker.wire.neighbours.io.part import COUNTED_ADDRESSES_PER_REPORT
from speaker.wire.neighbours.io.port import Counters as PortCounters
from speaker.wire.neighbours.io.ports import REPORTED_INTERFACES

TEXTS = st.text(max_size=20)
NUMBERS = st.floats(allow_nan=False)
WHOLES = st.integers(-(2**40), 2**40)
NAMES = st.lists(TEXTS, max_size=4).map(tuple)
FLAGS = st.booleans()
TOTALS = st.dictionaries(TEXTS, WHOLES, max_size=4)


def many(each: st.SearchStrategy) -> st.SearchStrategy:
    return st.lists(each, max_size=5).map(tuple)


def by_name(each: st.SearchStrategy) -> st.SearchStrategy:
    return st.dictionaries(TEXTS, each, max_size=5)


SESSIONS = st.builds(BfdSession, TEXTS, TEXTS, TEXTS, TEXTS, FLAGS, WHOLES, WHOLES, WHOLES, WHOLES, FLAGS)
STATES = st.builds(BfdState, TEXTS, TEXTS, NUMBERS, FLAGS, TEXTS, WHOLES, WHOLES, TEXTS)
MEMBERS = st.builds(Member, TEXTS, NAMES, NUMBERS, NUMBERS, FLAGS, FLAGS, FLAGS, FLAGS, NAMES, NUMBERS)
ORDERS = {
    UseInterfaces: st.builds(UseInterfaces, NAMES),
    Announce: st.builds(Announce, many(st.tuples(TEXTS, NAMES))),
    Withdraw: st.builds(Withdraw, NAMES),
    Probe: st.builds(Probe, many(st.tuples(TEXTS, NAMES, WHOLES))),
    Heartbeat: st.builds(Heartbeat, TEXTS, TEXTS, many(st.binary()), NUMBERS, WHOLES, by_name(NAMES), FLAGS, FLAGS),
    Bfd: st.builds(Bfd, by_name(SESSIONS), FLAGS, FLAGS),
    Discover: st.builds(Discover, NAMES),
    Stop: st.builds(Stop),
    Permit: st.builds(Permit, NUMBERS),
    OwnState: st.builds(OwnState, NUMBERS, FLAGS, FLAGS, FLAGS, FLAGS),
    Reannounce: st.builds(Reannounce, NAMES),
    HandOver: st.builds(HandOver, NAMES),
    Defend: st.builds(Defend, TEXTS, TEXTS),
    Ask: st.builds(Ask, TEXTS, TEXTS, TEXTS),
    AnswerPing: st.builds(AnswerPing, NAMES, FLAGS),
}
REPORTS = {
    Done: st.builds(Done),
    Refused: st.builds(Refused, TEXTS),
    Interfaces: st.builds(Interfaces, many(st.builds(Interface, TEXTS, WHOLES, TEXTS, FLAGS, FLAGS, TEXTS))),
    Conflict: st.builds(Conflict, TEXTS, TEXTS, TEXTS),
    Answer: st.builds(Answer, TEXTS, WHOLES, TEXTS, TEXTS, FLAGS),
    Probed: st.builds(Probed, TEXTS, WHOLES, WHOLES),
    PingFault: st.builds(PingFault, TEXTS),
    Counters: st.builds(Counters, by_name(TOTALS), TOTALS, TOTALS, TOTALS),
    MemberChanges: st.builds(MemberChanges, by_name(st.none() | MEMBERS)),
    AgeChanges: st.builds(AgeChanges, by_name(st.tuples(NUMBERS, NUMBERS))),
    HeartbeatPort: st.builds(HeartbeatPort, FLAGS),
    BfdChanges: st.builds(BfdChanges, by_name(st.none() | STATES)),
    LinkRouterChanges: st.builds(LinkRouterChanges, by_name(st.none() | st.builds(RoutersOn, NAMES, TEXTS))),
}


def test_no_kind_of_message_is_left_out_here() -> None:
    assert set(ORDERS) == set(Order.__args__)
    assert set(REPORTS) == set(WireReport.__args__)


@given(st.one_of(*ORDERS.values()), st.integers(0))
def test_what_was_encoded_is_decoded_as_an_order(order, sequence) -> None:
    assert decode_order(encode(order, sequence)) == (sequence, order)
    with pytest.raises(MessageError):
        decode_report(encode(order, sequence))


@given(st.one_of(*REPORTS.values()), st.integers(0))
def test_what_was_encoded_is_decoded_as_a_report(report, sequence) -> None:
    assert decode_report(encode(report, sequence)) == (sequence, report)
    with pytest.raises(MessageError):
        decode_order(encode(report, sequence))


JUNK = st.recursive(
    st.none() | FLAGS | WHOLES | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
)


def decoded(packet: bytes) -> object:
    """The message; None when it is none. Whatever else is raised fails the test."""
    for decode in (decode_order, decode_report):
        try:
            return decode(packet)[1]
        except MessageError:
            continue
    return None


@given(st.binary(max_size=200))
def test_bytes_that_are_no_message_are_refused(packet) -> None:
    assert decoded(packet) is None


@given(
    st.sampled_from([kind.__name__ for kind in (*ORDERS, *REPORTS)]) | TEXTS, st.lists(JUNK, max_size=10), JUNK | WHOLES
)
def test_a_message_with_other_fields_than_its_own_is_refused_or_one(kind, fields, sequence) -> None:
    """What comes out has the types that it says, so it can be encoded and is the same again."""
    packet = json.dumps([sequence, kind, *fields]).encode()
    message = decoded(packet)
    if message is not None:
        assert decoded(encode(message)) == message


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"[]",
        b"{}",
        b"[1]",
        b'[1,"Nonsense"]',
        b'["1","Done"]',
        b'[1,"Done",1]',
        b'[1,"Permit"]',
        b'[1,"Permit","soon"]',
        b'[1,"Permit",true]',
        b'[1,"Withdraw",["192.0.2.1",2]]',
        b'[1,"Withdraw","192.0.2.1"]',
        b'[1,"Announce",null]',
        b'[1,"Announce",[["192.0.2.1"]]]',
        b'[1,"Announce",[["192.0.2.1","eth0"]]]',
        b'[1,"Announce",[["192.0.2.1",["eth0",1]]]]',
        b'[1,"Announce",[[1,["eth0"]]]]',
        b'[1,"Announce",["ab"]]',
        b'[1,"Announce",[["192.0.2.1",["eth0"],1]]]',
        b'[1,"Bfd",{"a":["192.0.2.1"]},true,true]',
        b'[1,"Heartbeat","n","i",["no hex"],0.2,7473,{},true,true]',
        b"[" * 100_000,
    ],
)
def test_what_is_nearly_a_message_is_refused(packet) -> None:
    assert decoded(packet) is None


def test_equal_are_messages_of_one_kind_only() -> None:
    assert Withdraw(("192.0.2.1",)) == Withdraw(("192.0.2.1",))
    assert Withdraw(("192.0.2.1",)) != Reannounce(("192.0.2.1",))
    assert Withdraw(("192.0.2.1",)) != (("192.0.2.1",),)
    assert len({Withdraw(("192.0.2.1",)), Reannounce(("192.0.2.1",)), Withdraw(("192.0.2.1",))}) == 2


def test_an_order_does_not_show_its_keys() -> None:
    assert "secret" not in repr(Heartbeat("n", "i", (b"secret",)))


class TestPackets:
    def cut(self, message):
        made = list(packets(message, itertools.count(7)))
        assert all(len(packet) <= MAX_MESSAGE_BYTES for _, packet in made)
        decoded = [decode_order(packet) for _, packet in made]
        assert [number for number, _ in made] == [sequence for sequence, _ in decoded]
        assert len({number for number, _ in made}) == len(made)
        return [order for _, order in decoded]

    def test_a_small_one_goes_as_it_is(self) -> None:
        assert self.cut(Permit(1.0)) == [Permit(1.0)]
        assert self.cut(Withdraw(())) == [Withdraw(())]
        assert self.cut(Bfd({})) == [Bfd({})]

    def test_items_are_counted(self) -> None:
        entries = tuple((f"192.0.2.{number}", ("eth0",)) for number in range(ENTRIES_PER_PACKET + 1))
        assert self.cut(Announce(entries)) == [Announce(entries[:-1]), Announce(entries[-1:])]
        addresses = tuple(str(number) for number in range(ADDRESSES_PER_PACKET + 1))
        assert self.cut(Withdraw(addresses)) == [Withdraw(addresses[:-1]), Withdraw(addresses[-1:])]

    @pytest.mark.parametrize(("extra", "pieces"), [(0, 1), (1, 2)])
    def test_bytes_are_counted_to_the_last(self, extra, pieces) -> None:
        fixed = len(encode(Announce((("", ("",)), ("", ("",)))), 7))
        long = Announce((("a", ("x" * (MAX_MESSAGE_BYTES - fixed - 2 + extra),)), ("b", ("",))))
        assert len(self.cut(long)) == pieces

    def test_what_takes_more_bytes_encoded_is_counted_as_encoded(self) -> None:
        """One character may take six bytes."""
        entries = tuple((f"192.0.2.{number}", ("ü" * 100,)) for number in range(ENTRIES_PER_PACKET))
        pieces = self.cut(Announce(entries))
        assert len(pieces) == 2
        assert tuple(entry for piece in pieces for entry in piece.entries) == entries

    def test_a_single_item_that_is_too_long_is_a_mistake(self) -> None:
        with pytest.raises(MessageError, match="longer than"):
            self.cut(Announce((("a", ("x" * MAX_MESSAGE_BYTES,)),)))
        with pytest.raises(MessageError, match="longer than"):
            self.cut(Refused("x" * MAX_MESSAGE_BYTES))

    @given(st.integers(0, 300), st.integers(1, 600))
    def test_the_parts_of_an_order_join_to_the_whole(self, count, length) -> None:
        """Also with long keys, and after parts of an order that never came to its end."""
        keys = (b"k" * MOST_KEY_BYTES,) * 3
        whole = Heartbeat("n", "i", keys, 0.2, 7473, {f"{at:0>{length}}": (f"a{at}",) for at in range(count)})
        before: Heartbeat | None = Heartbeat("n", "i", members={"other": ()}, is_last=False)
        parts = self.cut(whole)
        for part in parts:
            assert before is not None
            assert not before.is_last
            before = joined(before, part)
        assert before == whole
        assert [part.is_last for part in parts] == [False] * (len(parts) - 1) + [True]

    def test_a_part_without_the_first_one_is_a_mistake(self) -> None:
        with pytest.raises(MessageError, match="first part is missing"):
            joined(None, Bfd({}, is_first=False))

    def test_reports_are_cut_too(self) -> None:
        many = {f"eth{number}": dict.fromkeys((f"counter{at}" for at in range(20)), 2**40) for number in range(200)}
        made = [decode_report(packet)[1] for _, packet in packets(Counters(many, {}), itertools.repeat(0))]
        assert len(made) > 1
        assert {name: totals for report in made for name, totals in report.interfaces.items()} == many

    def test_counters_of_as_many_interfaces_and_addresses_as_a_report_has_fit(self) -> None:
        """With numbers of eight digits and IPv6 addresses without a zero they would be 34.5 KB in one packet."""
        counters = dict.fromkeys(
            [prefix + name for name in PortCounters.__slots__ for prefix in ("", "ndp_")], 12345678
        )
        interfaces = {f"bond{number:0>4}.{number:0>4}.1": counters for number in range(REPORTED_INTERFACES)}
        addresses = {str(IPv6Address(2**128 - 1 - number)): 12345678 for number in range(COUNTED_ADDRESSES_PER_REPORT)}
        packets_of = dict.fromkeys("abcdefghij", 12345678)
        whole = Counters(interfaces, addresses, packets_of, packets_of)
        assert len(encode(whole)) > MAX_MESSAGE_BYTES
        made = [decode_report(packet)[1] for _, packet in packets(whole, itertools.repeat(0))]
        assert {name: totals for report in made for name, totals in report.interfaces.items()} == interfaces
        assert {address: replies for report in made for address, replies in report.addresses.items()} == addresses


def test_changes_and_ages_make_a_new_mapping() -> None:
    known = {"a": Member("one"), "b": Member("two")}
    assert messages.updated(known, {"a": None, "c": Member("three"), "d": None}) == {
        "b": Member("two"),
        "c": Member("three"),
    }
    assert messages.aged(known, {"a": (NEVER, 7.0), "x": (1.0, 1.0)}) == {
        "a": Member("one", contact=NEVER, heard=7.0),
        "b": Member("two"),
    }
    assert known == {"a": Member("one"), "b": Member("two")}
