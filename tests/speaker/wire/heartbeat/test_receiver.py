"""Who is heard, and what old, foreign and repeated packets change of that: nothing."""

import pytest

from speaker.wire.heartbeat.packets import BEHIND, GOODBYE, MEMBER, SERVING, Dropped, Packet, tag_of
from speaker.wire.heartbeat.receiver import (
    CANDIDATES_PER_MEMBER,
    GRACE_INTERVALS,
    MISSED_INTERVALS,
    OVERTAKEN_PACKETS,
    SEARCH_SECONDS,
    UNICAST,
    Receiver,
)
from speaker.wire.messages import NEVER

NOW = 1000.0
SILENCE = (MISSED_INTERVALS + GRACE_INTERVALS) * 0.2


def beat(sequence: int, incarnation: str = "one", node: str = "b", **fields) -> Packet:
    given = {"interval_milliseconds": 200, "contact_age_milliseconds": 500, "flags": SERVING, "interfaces": ("eth0",)}
    return Packet(node, incarnation, sequence, echoes=b"", **given | fields)


@pytest.fixture
def receiver() -> Receiver:
    made = Receiver()
    made.know({"b": ("192.0.2.2",), "c": ()}, NOW)
    return made


def heard(receiver: Receiver) -> set[str]:
    return {node for node, member in receiver.members.items() if member.heard_since is not None}


def hear(receiver: Receiver, sequence: int, now: float = NOW, via: str = "eth0", *, proof: int | None = 7, **fields):
    return receiver.hear(beat(sequence, **fields), via, now, proof=proof)


def news(receiver: Receiver) -> list[str]:
    told = list(receiver.news)
    receiver.news.clear()
    return told


class TestBeingHeard:
    def test_a_peer_is_heard_once_it_has_proven_that_its_packet_is_of_today(self, receiver):
        assert hear(receiver, 1, proof=None) is Dropped.UNPROVEN
        assert (heard(receiver), news(receiver)) == (set(), [])
        assert hear(receiver, 2) is True
        assert (heard(receiver), news(receiver)) == ({"b"}, ["b"])
        assert hear(receiver, 3, proof=None) is False  # once is enough

    def test_what_it_says_is_known_and_only_changes_are_news(self, receiver):
        hear(receiver, 1, flags=SERVING | MEMBER, interfaces=("eth0", "eth1"))
        view = receiver.members["b"].view()
        assert (view.incarnation, view.is_serving, view.is_member, view.is_behind, view.is_leaving) == (
            "one", True, True, False, False,
        )  # fmt: skip
        assert (view.interfaces, view.via, view.since, view.heard) == (("eth0", "eth1"), ("eth0",), NOW, NOW)
        assert view.contact == NOW - 0.5
        news(receiver)
        hear(receiver, 2, NOW + 0.2, flags=SERVING | MEMBER, interfaces=("eth0", "eth1"))
        assert news(receiver) == []
        hear(receiver, 3, NOW + 0.4, flags=MEMBER | BEHIND, interfaces=("eth0",), contact_age_milliseconds=None)
        assert news(receiver) == ["b"]
        view = receiver.members["b"].view()
        assert (view.is_serving, view.is_behind, view.contact, view.since) == (False, True, NEVER, NOW)

    def test_a_node_nobody_knows_leaves_nothing_behind(self, receiver):
        for number in range(1000):
            assert hear(receiver, 1, node=f"stranger{number}") is Dropped.UNKNOWN
        assert set(receiver.members) == {"b", "c"}

    def test_one_that_is_not_known_any_more_is_not_heard_any_more(self, receiver):
        hear(receiver, 1)
        news(receiver)
        receiver.know({"c": ()}, NOW)
        assert (heard(receiver), news(receiver)) == (set(), ["b"])
        assert hear(receiver, 2) is Dropped.UNKNOWN

    def test_knowing_the_same_again_changes_nothing(self, receiver):
        hear(receiver, 1)
        news(receiver)
        receiver.know({"b": ("192.0.2.3",), "c": ()}, NOW + 1)
        assert (heard(receiver), news(receiver), receiver.members["b"].addresses) == ({"b"}, [], ("192.0.2.3",))


class TestBeingLost:
    def test_one_is_lost_after_three_missed_packets_and_not_before(self, receiver):
        hear(receiver, 1)
        news(receiver)
        receiver.expire(NOW + SILENCE - 0.01)
        assert (heard(receiver), news(receiver)) == ({"b"}, [])
        assert receiver.deadline() <= NOW + SILENCE
        receiver.expire(NOW + SILENCE)
        assert (heard(receiver), news(receiver), receiver.members["b"].view()) == (set(), ["b"], None)

    def test_a_slow_sender_has_more_time(self, receiver):
        hear(receiver, 1, interval_milliseconds=1000)
        receiver.expire(NOW + 3.2)
        assert heard(receiver) == {"b"}
        receiver.expire(NOW + 3.25)
        assert heard(receiver) == set()

    def test_the_deadline_is_early_rather_than_late(self, receiver):
        hear(receiver, 1, interval_milliseconds=1000)
        hear(receiver, 2, NOW + 0.1, interval_milliseconds=100)
        assert receiver.deadline() <= NOW + 0.1 + 0.325
        receiver.expire(NOW + 0.5)
        assert heard(receiver) == set()

    def test_a_goodbye_is_at_once_and_nothing_of_before_undoes_it(self, receiver):
        hear(receiver, 5)
        news(receiver)
        assert hear(receiver, 7, flags=GOODBYE, via="eth1") is False
        assert (heard(receiver), news(receiver)) == (set(), ["b"])
        assert hear(receiver, 6) is Dropped.REPLAYED  # overtaken by the goodbye, on the other interface
        assert hear(receiver, 7, flags=GOODBYE) is Dropped.DUPLICATE
        assert heard(receiver) == set()
        assert hear(receiver, 8) is True  # its agent has found its voice again
        assert heard(receiver) == {"b"}

    def test_a_goodbye_of_one_that_is_not_heard_ends_the_search(self, receiver):
        hear(receiver, 1)
        receiver.expire(NOW + 5)
        receiver.know({"b": ()}, NOW + 5)
        assert receiver.is_searching(NOW + 5)
        hear(receiver, 2, NOW + 6, flags=GOODBYE, proof=None)
        assert not receiver.is_searching(NOW + 6)

    def test_the_search_ends_by_itself(self, receiver):
        hear(receiver, 1)
        hear(receiver, 1, node="c")
        assert not receiver.is_searching(NOW)
        receiver.expire(NOW + 1)
        assert receiver.is_searching(NOW + SEARCH_SECONDS)
        assert not receiver.is_searching(NOW + 1 + SEARCH_SECONDS)


class TestOldPackets:
    def test_what_was_seen_on_an_interface_does_not_count_again(self, receiver):
        for sequence in (1, 2, 3):
            hear(receiver, sequence)
        for sequence in (3, 2, 1):
            assert hear(receiver, sequence) is Dropped.REPLAYED

    def test_a_copy_on_another_interface_is_another_path(self, receiver):
        hear(receiver, 1)
        assert hear(receiver, 1, via="eth1") is False
        assert receiver.members["b"].view().via == ("eth0", "eth1")
        assert hear(receiver, 1, via="eth1") is Dropped.REPLAYED

    def test_copies_may_overtake_each_other_a_little(self, receiver):
        hear(receiver, 10)
        assert hear(receiver, 10 - OVERTAKEN_PACKETS, via="eth1") is False
        assert hear(receiver, 10 - OVERTAKEN_PACKETS - 1, via="eth2") is Dropped.REPLAYED

    def test_an_overtaken_copy_does_not_bring_back_what_it_says(self, receiver):
        hear(receiver, 9, flags=0)
        hear(receiver, 8, flags=SERVING, via="eth1")
        assert receiver.members["b"].view().is_serving is False

    def test_a_path_on_which_nothing_comes_any_more_is_gone(self, receiver):
        hear(receiver, 1)
        hear(receiver, 1, via="eth1")
        for step in range(2, 8):
            hear(receiver, step, NOW + step * 0.2)
        news(receiver)
        receiver.expire(NOW + 1.4)
        assert (receiver.members["b"].view().via, news(receiver)) == (("eth0",), ["b"])

    def test_one_that_was_lost_has_to_prove_itself_again(self, receiver):
        hear(receiver, 1)
        receiver.expire(NOW + 5)
        assert hear(receiver, 2, NOW + 5, proof=None) is Dropped.UNPROVEN
        assert hear(receiver, 2, NOW + 5) is Dropped.DUPLICATE
        assert hear(receiver, 3, NOW + 5) is True


class TestIncarnations:
    def test_a_restarted_peer_takes_the_place_of_the_one_before_when_proven(self, receiver):
        hear(receiver, 500)
        news(receiver)
        assert hear(receiver, 1, incarnation="two", proof=None) is Dropped.UNPROVEN
        assert receiver.members["b"].view().incarnation == "one"
        assert hear(receiver, 2, incarnation="two", proof=8) is True
        assert (receiver.members["b"].view().incarnation, news(receiver)) == ("two", ["b"])

    def test_the_later_one_is_who_echoes_the_later_number(self, receiver):
        hear(receiver, 1, incarnation="two", proof=8)
        assert hear(receiver, 501, proof=7) is Dropped.RETIRED  # came late
        assert hear(receiver, 502, proof=8) is Dropped.RETIRED
        assert hear(receiver, 503, proof=None) is Dropped.UNPROVEN  # older than what proves anything
        assert receiver.members["b"].view().incarnation == "two"
        hear(receiver, 2, incarnation="two", proof=20)
        assert hear(receiver, 1, incarnation="three", proof=19) is Dropped.RETIRED
        assert hear(receiver, 1, incarnation="three", proof=21) is True

    def test_a_new_incarnation_that_says_goodbye_is_over(self, receiver):
        hear(receiver, 500)
        hear(receiver, 1, incarnation="two", flags=GOODBYE, proof=8)
        assert heard(receiver) == set()

    def test_candidates_are_echoed_first_and_for_a_while(self, receiver):
        hear(receiver, 1, node="c")
        hear(receiver, 1)
        hear(receiver, 4, incarnation="two", proof=None)
        assert receiver.echoes(1, NOW) == [(tag_of("b", "two"), 4)]
        assert len(receiver.echoes(10, NOW)) == 3
        assert receiver.echoes(10, NOW + 6) == []

    def test_memory_is_bounded_whoever_replays_what(self, receiver):
        for number in range(1000):
            for replay in range(9):
                hear(receiver, number, incarnation=f"old{number}-{replay}", proof=None)
            assert len(receiver.members["b"].candidates) <= CANDIDATES_PER_MEMBER
            hear(receiver, 1, incarnation=f"new{number}", proof=number)

    def test_the_same_unproven_packet_again_is_no_news(self, receiver):
        hear(receiver, 4, proof=None)
        assert hear(receiver, 4, proof=None) is Dropped.DUPLICATE
        assert hear(receiver, 3, proof=None) is Dropped.REPLAYED


class TestEchoes:
    def test_everybody_has_a_turn_when_there_is_no_room_for_all(self):
        receiver = Receiver()
        names = [f"n{number}" for number in range(100)]
        receiver.know(dict.fromkeys(names, ()), NOW)
        for name in names:
            hear(receiver, 1, node=name)
        echoed = [receiver.echoes(30, NOW) for _ in range(4)]
        assert all(len(each) == 30 for each in echoed)
        assert len({tag for each in echoed for tag, _ in each}) == 100

    def test_unproven_ones_have_a_turn_too_when_they_alone_are_too_many(self):
        receiver = Receiver()
        names = [f"n{number}" for number in range(100)]
        receiver.know(dict.fromkeys(names, ()), NOW)
        for name in names:
            hear(receiver, 1, node=name, proof=None)
        echoed = {tag for _ in range(8) for tag, _ in receiver.echoes(30, NOW)}
        assert len(echoed) == 100


class TestUnicast:
    def test_who_is_not_heard_by_multicast_is_written_to(self, receiver):
        assert [member.node for member in receiver.unicast(NOW, long_lost=False)] == ["b"]  # c has no address
        hear(receiver, 1, via=UNICAST)
        assert [member.node for member in receiver.unicast(NOW, long_lost=False)] == ["b"]
        hear(receiver, 2)
        assert receiver.unicast(NOW, long_lost=False) == []

    def test_who_has_been_gone_for_long_is_written_to_seldom(self, receiver):
        late = NOW + SEARCH_SECONDS
        assert receiver.unicast(late, long_lost=False) == []
        assert [member.node for member in receiver.unicast(late, long_lost=True)] == ["b"]


class TestPauses:
    def test_after_a_pause_of_ours_nobody_is_dead_before_there_was_time_to_hear_him(self, receiver):
        hear(receiver, 1)
        woken = NOW + 100
        receiver.resume(woken)
        receiver.expire(woken)
        assert heard(receiver) == {"b"}
        receiver.expire(woken + SILENCE)
        assert heard(receiver) == set()

    def test_a_pause_makes_nobody_heard(self, receiver):
        hear(receiver, 1)
        receiver.expire(NOW + 5)
        receiver.resume(NOW + 6)
        assert heard(receiver) == set()
