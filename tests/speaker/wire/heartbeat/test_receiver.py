"""Who is heard, and what old, foreign and repeated packets change of that: nothing."""

import pytest

from speaker.wire.heartbeat.packets import BEHIND, GOODBYE, MEMBER, SERVING, Dropped, Packet, tag_of
from speaker.wire.heartbeat.receiver import (
    CANDIDATES_PER_PEER,
    GRACE_INTERVALS,
    MISSED_INTERVALS,
    OVERTAKEN_PACKETS,
    SEARCH_SECONDS,
    UNICAST,
    Roster,
)
from speaker.wire.messages import NEVER

NOW = 1000.0
SILENCE = (MISSED_INTERVALS + GRACE_INTERVALS) * 0.2


def beat(sequence: int, incarnation: str = "one", node: str = "b", **fields) -> Packet:
    given = {"interval_milliseconds": 200, "contact_age_milliseconds": 500, "flags": SERVING, "interfaces": ("eth0",)}
    return Packet(node, incarnation, sequence, echoes=b"", **given | fields)


@pytest.fixture
def roster() -> Roster:
    made = Roster()
    made.know({"b": ("192.0.2.2",), "c": ()}, NOW)
    return made


def heard(roster: Roster) -> set[str]:
    return {node for node, peer in roster.peers.items() if peer.heard_since is not None}


def hear(roster: Roster, sequence: int, now: float = NOW, via: str = "eth0", *, proof: int | None = 7, **fields):
    return roster.hear(beat(sequence, **fields), via, now, proof=proof)


def news(roster: Roster) -> list[str]:
    told = list(roster.news)
    roster.news.clear()
    return told


class TestBeingHeard:
    def test_a_peer_is_heard_once_it_has_proven_that_its_packet_is_of_today(self, roster):
        assert hear(roster, 1, proof=None) is Dropped.UNPROVEN
        assert (heard(roster), news(roster)) == (set(), [])
        assert hear(roster, 2) is True
        assert (heard(roster), news(roster)) == ({"b"}, ["b"])
        assert hear(roster, 3, proof=None) is False  # once is enough

    def test_what_it_says_is_known_and_only_changes_are_news(self, roster):
        hear(roster, 1, flags=SERVING | MEMBER, interfaces=("eth0", "eth1"))
        view = roster.peers["b"].view()
        assert (view.incarnation, view.is_serving, view.is_member, view.is_behind, view.is_leaving) == (
            "one", True, True, False, False,
        )  # fmt: skip
        assert (view.interfaces, view.via, view.since, view.heard) == (("eth0", "eth1"), ("eth0",), NOW, NOW)
        assert view.contact == NOW - 0.5
        news(roster)
        hear(roster, 2, NOW + 0.2, flags=SERVING | MEMBER, interfaces=("eth0", "eth1"))
        assert news(roster) == []
        hear(roster, 3, NOW + 0.4, flags=MEMBER | BEHIND, interfaces=("eth0",), contact_age_milliseconds=None)
        assert news(roster) == ["b"]
        view = roster.peers["b"].view()
        assert (view.is_serving, view.is_behind, view.contact, view.since) == (False, True, NEVER, NOW)

    def test_a_node_nobody_knows_leaves_nothing_behind(self, roster):
        for number in range(1000):
            assert hear(roster, 1, node=f"stranger{number}") is Dropped.UNKNOWN
        assert set(roster.peers) == {"b", "c"}

    def test_one_that_is_not_known_any_more_is_not_heard_any_more(self, roster):
        hear(roster, 1)
        news(roster)
        roster.know({"c": ()}, NOW)
        assert (heard(roster), news(roster)) == (set(), ["b"])
        assert hear(roster, 2) is Dropped.UNKNOWN

    def test_knowing_the_same_again_changes_nothing(self, roster):
        hear(roster, 1)
        news(roster)
        roster.know({"b": ("192.0.2.3",), "c": ()}, NOW + 1)
        assert (heard(roster), news(roster), roster.peers["b"].addresses) == ({"b"}, [], ("192.0.2.3",))


class TestBeingLost:
    def test_one_is_lost_after_three_missed_packets_and_not_before(self, roster):
        hear(roster, 1)
        news(roster)
        roster.expire(NOW + SILENCE - 0.01)
        assert (heard(roster), news(roster)) == ({"b"}, [])
        assert roster.deadline() <= NOW + SILENCE
        roster.expire(NOW + SILENCE)
        assert (heard(roster), news(roster), roster.peers["b"].view()) == (set(), ["b"], None)

    def test_a_slow_sender_has_more_time(self, roster):
        hear(roster, 1, interval_milliseconds=1000)
        roster.expire(NOW + 3.2)
        assert heard(roster) == {"b"}
        roster.expire(NOW + 3.25)
        assert heard(roster) == set()

    def test_the_deadline_is_early_rather_than_late(self, roster):
        hear(roster, 1, interval_milliseconds=1000)
        hear(roster, 2, NOW + 0.1, interval_milliseconds=100)
        assert roster.deadline() <= NOW + 0.1 + 0.325
        roster.expire(NOW + 0.5)
        assert heard(roster) == set()

    def test_a_goodbye_is_at_once_and_nothing_of_before_undoes_it(self, roster):
        hear(roster, 5)
        news(roster)
        assert hear(roster, 7, flags=GOODBYE, via="eth1") is False
        assert (heard(roster), news(roster)) == (set(), ["b"])
        assert hear(roster, 6) is Dropped.REPLAYED  # overtaken by the goodbye, on the other interface
        assert hear(roster, 7, flags=GOODBYE) is Dropped.DUPLICATE
        assert heard(roster) == set()
        assert hear(roster, 8) is True  # its agent has found its voice again
        assert heard(roster) == {"b"}

    def test_a_goodbye_of_one_that_is_not_heard_ends_the_search(self, roster):
        hear(roster, 1)
        roster.expire(NOW + 5)
        roster.know({"b": ()}, NOW + 5)
        assert roster.is_searching(NOW + 5)
        hear(roster, 2, NOW + 6, flags=GOODBYE, proof=None)
        assert not roster.is_searching(NOW + 6)

    def test_the_search_ends_by_itself(self, roster):
        hear(roster, 1)
        hear(roster, 1, node="c")
        assert not roster.is_searching(NOW)
        roster.expire(NOW + 1)
        assert roster.is_searching(NOW + SEARCH_SECONDS)
        assert not roster.is_searching(NOW + 1 + SEARCH_SECONDS)


class TestOldPackets:
    def test_what_was_seen_on_an_interface_does_not_count_again(self, roster):
        for sequence in (1, 2, 3):
            hear(roster, sequence)
        for sequence in (3, 2, 1):
            assert hear(roster, sequence) is Dropped.REPLAYED

    def test_a_copy_on_another_interface_is_another_path(self, roster):
        hear(roster, 1)
        assert hear(roster, 1, via="eth1") is False
        assert roster.peers["b"].view().via == ("eth0", "eth1")
        assert hear(roster, 1, via="eth1") is Dropped.REPLAYED

    def test_copies_may_overtake_each_other_a_little(self, roster):
        hear(roster, 10)
        assert hear(roster, 10 - OVERTAKEN_PACKETS, via="eth1") is False
        assert hear(roster, 10 - OVERTAKEN_PACKETS - 1, via="eth2") is Dropped.REPLAYED

    def test_an_overtaken_copy_does_not_bring_back_what_it_says(self, roster):
        hear(roster, 9, flags=0)
        hear(roster, 8, flags=SERVING, via="eth1")
        assert roster.peers["b"].view().is_serving is False

    def test_a_path_on_which_nothing_comes_any_more_is_gone(self, roster):
        hear(roster, 1)
        hear(roster, 1, via="eth1")
        for step in range(2, 8):
            hear(roster, step, NOW + step * 0.2)
        news(roster)
        roster.expire(NOW + 1.4)
        assert (roster.peers["b"].view().via, news(roster)) == (("eth0",), ["b"])

    def test_one_that_was_lost_has_to_prove_itself_again(self, roster):
        hear(roster, 1)
        roster.expire(NOW + 5)
        assert hear(roster, 2, NOW + 5, proof=None) is Dropped.UNPROVEN
        assert hear(roster, 2, NOW + 5) is Dropped.DUPLICATE
        assert hear(roster, 3, NOW + 5) is True


class TestIncarnations:
    def test_a_restarted_peer_takes_the_place_of_the_one_before_when_proven(self, roster):
        hear(roster, 500)
        news(roster)
        assert hear(roster, 1, incarnation="two", proof=None) is Dropped.UNPROVEN
        assert roster.peers["b"].view().incarnation == "one"
        assert hear(roster, 2, incarnation="two", proof=8) is True
        assert (roster.peers["b"].view().incarnation, news(roster)) == ("two", ["b"])

    def test_the_later_one_is_who_echoes_the_later_number(self, roster):
        hear(roster, 1, incarnation="two", proof=8)
        assert hear(roster, 501, proof=7) is Dropped.RETIRED  # came late
        assert hear(roster, 502, proof=8) is Dropped.RETIRED
        assert hear(roster, 503, proof=None) is Dropped.UNPROVEN  # older than what proves anything
        assert roster.peers["b"].view().incarnation == "two"
        hear(roster, 2, incarnation="two", proof=20)
        assert hear(roster, 1, incarnation="three", proof=19) is Dropped.RETIRED
        assert hear(roster, 1, incarnation="three", proof=21) is True

    def test_a_new_incarnation_that_says_goodbye_is_over(self, roster):
        hear(roster, 500)
        hear(roster, 1, incarnation="two", flags=GOODBYE, proof=8)
        assert heard(roster) == set()

    def test_candidates_are_echoed_first_and_for_a_while(self, roster):
        hear(roster, 1, node="c")
        hear(roster, 1)
        hear(roster, 4, incarnation="two", proof=None)
        assert roster.echoes(1, NOW) == [(tag_of("b", "two"), 4)]
        assert len(roster.echoes(10, NOW)) == 3
        assert roster.echoes(10, NOW + 6) == []

    def test_memory_is_bounded_whoever_replays_what(self, roster):
        for number in range(1000):
            for replay in range(9):
                hear(roster, number, incarnation=f"old{number}-{replay}", proof=None)
            assert len(roster.peers["b"].candidates) <= CANDIDATES_PER_PEER
            hear(roster, 1, incarnation=f"new{number}", proof=number)

    def test_the_same_unproven_packet_again_is_no_news(self, roster):
        hear(roster, 4, proof=None)
        assert hear(roster, 4, proof=None) is Dropped.DUPLICATE
        assert hear(roster, 3, proof=None) is Dropped.REPLAYED


class TestEchoes:
    def test_everybody_has_a_turn_when_there_is_no_room_for_all(self):
        roster = Roster()
        names = [f"n{number}" for number in range(100)]
        roster.know(dict.fromkeys(names, ()), NOW)
        for name in names:
            hear(roster, 1, node=name)
        echoed = [roster.echoes(30, NOW) for _ in range(4)]
        assert all(len(each) == 30 for each in echoed)
        assert len({tag for each in echoed for tag, _ in each}) == 100

    def test_unproven_ones_have_a_turn_too_when_they_alone_are_too_many(self):
        roster = Roster()
        names = [f"n{number}" for number in range(100)]
        roster.know(dict.fromkeys(names, ()), NOW)
        for name in names:
            hear(roster, 1, node=name, proof=None)
        echoed = {tag for _ in range(8) for tag, _ in roster.echoes(30, NOW)}
        assert len(echoed) == 100


class TestUnicast:
    def test_who_is_not_heard_by_multicast_is_written_to(self, roster):
        assert [peer.node for peer in roster.unicast(NOW, long_lost=False)] == ["b"]  # c has no address
        hear(roster, 1, via=UNICAST)
        assert [peer.node for peer in roster.unicast(NOW, long_lost=False)] == ["b"]
        hear(roster, 2)
        assert roster.unicast(NOW, long_lost=False) == []

    def test_who_has_been_gone_for_long_is_written_to_seldom(self, roster):
        late = NOW + SEARCH_SECONDS
        assert roster.unicast(late, long_lost=False) == []
        assert [peer.node for peer in roster.unicast(late, long_lost=True)] == ["b"]


class TestPauses:
    def test_after_a_pause_of_ours_nobody_is_dead_before_there_was_time_to_hear_him(self, roster):
        hear(roster, 1)
        woken = NOW + 100
        roster.resume(woken)
        roster.expire(woken)
        assert heard(roster) == {"b"}
        roster.expire(woken + SILENCE)
        assert heard(roster) == set()

    def test_a_pause_makes_nobody_heard(self, roster):
        hear(roster, 1)
        roster.expire(NOW + 5)
        roster.resume(NOW + 6)
        assert heard(roster) == set()
