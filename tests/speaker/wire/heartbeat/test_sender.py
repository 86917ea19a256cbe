"""When heartbeats are sent, what they say, and that two ends of a bad line never believe what is not so."""

from random import Random

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from speaker.wire.heartbeat.packets import GOODBYE, LEAVING, SERVING, Dropped, Packet, decode, encode
from speaker.wire.heartbeat.receiver import GRACE_INTERVALS, MISSED_INTERVALS
from speaker.wire.heartbeat.sender import FRESH_SECONDS, Sender, Settings
from speaker.wire.messages import NEVER, OwnState
from tests.examples import examples
from tests.speaker.wire.heartbeat.talk import KEY, SAY_SECONDS, WELL, Talk

OTHER_KEY = b"another key that is as long......"
SILENCE = (MISSED_INTERVALS + GRACE_INTERVALS) * 0.2


def read(packet: bytes | None) -> Packet:
    assert packet is not None
    beat = decode(packet, [KEY])
    assert isinstance(beat, Packet)
    return beat


def flags_sent(talk: Talk, sender: str, since: float = 0.0) -> list[int]:
    return [read(packet).flags for at, by, packet in talk.recorded if by == sender and at >= since]


def sent(talk: Talk, sender: str, since: float) -> int:
    return len(flags_sent(talk, sender, since))


class TestMeeting:
    def test_two_hear_each_other_after_a_round_trip(self):
        talk = Talk("a", "b")
        talk.run(0.005)
        assert (talk.nodes["a"].heard, talk.nodes["b"].heard) == ({"b"}, {"a"})

    def test_ten_that_start_together_hear_each_other_soon_and_then_are_quiet(self):
        talk = Talk(*(f"n{number}" for number in range(10)))
        talk.run(0.5)
        assert all(len(node.heard) == 9 for node in talk.nodes.values())
        began = talk.now
        talk.run(2)
        assert all(10 <= sent(talk, name, began) <= 12 for name in talk.nodes)

    def test_a_restarted_one_hears_and_is_heard_at_once(self):
        talk = Talk("a", "b", "c")
        talk.run(1)
        talk.kill("c")
        talk.run(0.1)
        talk.start("c")
        talk.run(0.01)
        assert talk.nodes["c"].heard == {"a", "b"}
        assert talk.nodes["a"].sender.receiver.members["c"].view().incarnation == "c/2"

    @pytest.mark.slow
    def test_a_cluster_too_large_for_one_packets_echoes_meets_all_the_same(self):
        talk = Talk(*(f"node-with-a-name-{number}" for number in range(120)))
        talk.run(3)
        assert {len(node.heard) for node in talk.nodes.values()} == {119}

    def test_another_key_is_not_heard(self):
        talk = Talk("a", "b", start=False)
        talk.nodes["b"].keys = (OTHER_KEY,)
        talk.start("a")
        talk.start("b")
        talk.run(2)
        assert (talk.nodes["a"].heard, talk.nodes["b"].heard) == (set(), set())
        assert set(talk.nodes["a"].outcomes) == {Dropped.UNSIGNED}

    def test_a_key_is_replaced_one_node_after_the_other(self):
        talk = Talk("a", "b", "c")
        talk.run(1)
        for keys in ((KEY, OTHER_KEY), (OTHER_KEY, KEY), (OTHER_KEY,)):
            for node in talk.nodes.values():
                node.keys = keys
                talk.configure(node.name)
                talk.run(1)
                assert all(len(each.heard) == 2 for each in talk.nodes.values())

    def test_a_name_that_no_packet_can_carry_is_refused(self):
        with pytest.raises(ValueError, match="too long"):
            Sender().configure(Settings("n" * 254, "i", (KEY,), 0.2), {}, 0.0)


class TestLosing:
    def test_one_that_dies_is_lost_in_time_and_one_that_leaves_at_once(self):
        talk = Talk("a", "b", "c")
        talk.run(1)
        talk.kill("c")
        talk.run(SILENCE + 0.01)
        assert talk.nodes["a"].heard == {"b"}
        packet = talk.nodes["b"].sender.goodbye(talk.now)
        talk.send("b", packet)
        talk.kill("b")
        talk.run(0.001)
        assert talk.nodes["a"].heard == set()

    def test_a_healed_partition_is_noticed_within_50_ms(self):
        talk = Talk("a", "b", "c")
        talk.run(1)
        talk.loses = lambda sender, receiver: "c" in (sender, receiver)
        talk.run(60)
        assert (talk.nodes["a"].heard, talk.nodes["c"].heard) == ({"b"}, set())
        talk.loses = lambda _sender, _receiver: False
        talk.run(0.05)
        assert (talk.nodes["a"].heard, talk.nodes["c"].heard) == ({"b", "c"}, {"a", "b"})

    def test_one_lost_packet_or_two_lose_nobody(self):
        talk = Talk("a", "b")
        talk.run(1)
        for _ in range(5):
            lost_until = talk.now + 0.4
            talk.loses = lambda *_, until=lost_until: talk.now < until
            talk.run(1)
            assert (talk.nodes["a"].heard, talk.nodes["b"].heard) == ({"b"}, {"a"})


class TestWhatIsSaid:
    def test_nothing_before_the_agent_has_said_something(self):
        talk = Talk("a", "b", start=False)
        talk.nodes["a"].state = None
        talk.start("a")
        talk.start("b")
        talk.run(3)
        assert flags_sent(talk, "a") == []
        assert talk.nodes["b"].heard == set()

    def test_a_goodbye_three_seconds_after_the_agents_last_word(self):
        talk = Talk("a", "b")
        talk.run(1)
        talk.nodes["a"].state = None
        since = talk.now
        talk.run(3.1)
        assert flags_sent(talk, "a", since)[-1] == GOODBYE
        assert talk.nodes["b"].heard == set()
        spoken = len(talk.recorded)
        talk.run(3)
        assert [by for _, by, _ in talk.recorded[spoken:] if by == "a"] == []

    def test_the_agents_word_after_that_brings_it_back(self):
        talk = Talk("a", "b")
        talk.nodes["a"].state = None
        talk.run(5)
        talk.nodes["a"].state = WELL
        talk.run(SAY_SECONDS + 0.01)
        assert talk.nodes["b"].heard == {"a"}

    def test_serving_is_said_only_while_there_is_a_permit(self):
        sender = Sender()
        sender.configure(Settings("a", "1", (KEY,), 0.2), {}, 0.0)
        sender.set_state(WELL, 0.0)
        assert not read(sender.due(0.0)).flags & SERVING
        sender.permit(1.0, 0.1)
        assert read(sender.due(0.1)).flags & SERVING  # at once
        while sender.deadline() < 1.0:
            at = sender.deadline()
            assert read(sender.due(at)).flags & SERVING
        assert sender.deadline() == 1.0
        assert not read(sender.due(1.0)).flags & SERVING

    def test_a_permit_that_is_taken_away_is_told_at_once(self):
        talk = Talk("a", "b")
        talk.run(1)
        talk.nodes["a"].sender.permit(0.0, talk.now)
        talk.run(0.001)
        assert talk.nodes["b"].sender.receiver.members["a"].view().is_serving is False

    def test_a_change_of_the_word_is_told_at_once(self):
        talk = Talk("a", "b")
        talk.run(1)
        talk.nodes["a"].sender.set_state(WELL._replace(is_leaving=True), talk.now)
        talk.run(0.001)
        view = talk.nodes["b"].sender.receiver.members["a"].view()
        assert (view.is_leaving, view.is_serving) == (True, True)
        assert flags_sent(talk, "a")[-1] & LEAVING

    def test_interfaces_are_told_at_once(self):
        talk = Talk("a", "b")
        talk.run(1)
        talk.nodes["a"].sender.use(("eth1", "eth0"), talk.now)
        talk.run(0.001)
        assert talk.nodes["b"].sender.receiver.members["a"].view().interfaces == ("eth0", "eth1")

    def test_contact_comes_over_as_an_age_and_is_rather_later_than_earlier(self):
        sender = Sender()
        sender.configure(Settings("a", "1", (KEY,), 0.2), {}, 100.0)
        sender.set_state(WELL._replace(contact=98.2504), 100.0)
        assert read(sender.due(100.0)).contact_age_milliseconds == 1749
        sender.set_state(WELL._replace(contact=NEVER), 100.1)
        assert read(sender.due(101.0)).contact_age_milliseconds is None

    def test_without_keys_nothing_is_said_and_nothing_is_heard(self):
        talk = Talk("a", "b")
        talk.run(1)
        talk.nodes["a"].keys = ()
        talk.configure("a")
        since = talk.now + 0.001
        talk.run(5)
        assert sent(talk, "a", since) == 0
        assert (talk.nodes["a"].heard, talk.nodes["b"].heard) == (set(), set())


class TestHowOften:
    def paced(self, members: int, base: float = 0.2) -> Sender:
        sender = Sender()
        sender.configure(Settings("a", "1", (KEY,), base), {f"n{number}": () for number in range(members)}, 0.0)
        return sender

    @pytest.mark.parametrize(("members", "interval"), [(1, 0.2), (99, 0.2), (249, 0.498), (499, 0.998), (4999, 9.998)])
    def test_nobody_gets_more_than_500_packets_a_second(self, members, interval):
        assert self.paced(members).interval_seconds == pytest.approx(interval)

    def test_a_search_is_faster_within_the_same_bound(self):
        for members, most in ((3, 25.1 * 1.12), (99, 5.1 * 1.12), (499, 1.1 * 1.12)):
            sender, at, count = self.paced(members), 0.0, 0
            while at < 10:
                sender.set_state(WELL, at)
                count += sender.due(at) is not None
                at += 0.004
            assert count / 10 <= most
            assert count / 10 >= min(25, 500 / members) * 0.9

    def test_the_packet_promises_the_slow_pace_also_during_a_search(self):
        sender = self.paced(3)
        sender.set_state(WELL, 0.0)
        assert read(sender.due(0.0)).interval_milliseconds == 200
        assert sender.deadline() < 0.05

    def test_many_newcomers_at_once_do_not_make_it_talk_without_end(self):
        sender = self.paced(400)
        sender.set_state(WELL, 0.0)
        sender.due(0.0)
        count = 0
        for number in range(400):
            at = 0.001 * number
            beat = Packet(f"n{number}", "1", 1, 200, None, 0, (), b"")
            assert sender.receive(encode(beat, KEY), "eth0", at) is Dropped.UNPROVEN
            count += sender.due(at) is not None
        assert count <= 6

    def test_our_own_packets_are_known_whatever_process_sent_them(self):
        sender = self.paced(2)
        for incarnation in ("1", "another"):
            beat = Packet("a", incarnation, 1, 200, None, 0, (), b"")
            assert sender.receive(encode(beat, KEY), "eth0", 0.0) is Dropped.OWN


class TestReplays:
    def test_everything_that_was_ever_sent_is_worthless_to_a_restarted_one(self):
        talk = Talk("a", "b")
        talk.run(20)
        talk.kill("b")
        talk.kill("a")
        talk.run(1)
        talk.start("a")
        talk.run(0.01)
        for _, sender, packet in list(talk.recorded):
            if sender == "b":
                talk.deliver("a", packet)
                talk.run(0.001)
        assert talk.nodes["a"].heard == set()

    def test_what_an_incarnation_sent_that_we_never_got_is_worthless_once_it_was_lost(self):
        talk = Talk("a", "b")
        talk.run(5)
        talk.loses = lambda sender, receiver: (sender, receiver) == ("b", "a")
        cut = talk.now
        talk.run(5)
        hoard = [packet for at, by, packet in talk.recorded if by == "b" and at >= cut]
        talk.kill("b")
        talk.run(FRESH_SECONDS + 1)
        for packet in hoard:
            assert talk.deliver("a", packet) is Dropped.UNPROVEN
        assert talk.nodes["a"].heard == set()

    def test_an_earlier_incarnation_does_not_come_back(self):
        talk = Talk("a", "b")
        talk.run(2)
        talk.kill("b")
        last = next(packet for _, by, packet in reversed(talk.recorded) if by == "b")
        talk.start("b")
        talk.run(0.05)
        assert talk.deliver("a", last) is Dropped.RETIRED
        assert talk.nodes["a"].sender.receiver.members["b"].view().incarnation == "b/2"


@settings(max_examples=examples(30), deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(st.data())
def test_over_a_bad_line_a_heard_peer_is_alive_and_a_good_line_brings_all_together(data: st.DataObject) -> None:
    """Loss, delay up to half a second (so reordering) and silence in any mixture, then a good line."""
    talk = Talk("a", "b", "c")
    random = Random(data.draw(st.integers(0, 2**32)))
    loss = data.draw(st.sampled_from([0.0, 0.1, 0.5, 0.9]))
    talk.loses = lambda _sender, _receiver: random.random() < loss
    talk.delay = lambda: random.choice([0.0005, 0.0005, 0.01, 0.5])
    for _ in range(data.draw(st.integers(1, 25))):
        victim = data.draw(st.sampled_from(["a", "b", "c"]))
        if data.draw(st.booleans()) and talk.nodes[victim].is_alive:
            talk.kill(victim)
        elif not talk.nodes[victim].is_alive:
            talk.start(victim)
        talk.run(data.draw(st.sampled_from([0.01, 0.1, 0.7, 3.0])))
        for node in talk.nodes.values():
            if node.is_alive:
                assert all(talk.now - talk.nodes[member].last_sent <= SILENCE + 0.5 + 1e-6 for member in node.heard)
    talk.loses, talk.delay = lambda _sender, _receiver: False, lambda: 0.0005
    for name in talk.nodes:
        if not talk.nodes[name].is_alive:
            talk.start(name)
    talk.run(1.5)
    assert all(len(node.heard) == 2 for node in talk.nodes.values())


class Adversary(RuleBasedStateMachine):
    """Somebody on the segment without a key: repeats what was sent, when and to whom he likes, and forges packets."""

    def __init__(self) -> None:
        super().__init__()
        self.talk = Talk("a", "b")
        self.talk.run(1)

    @rule(seconds=st.sampled_from([0.01, 0.3, 1.0, 6.0]))
    def pass_time(self, seconds: float) -> None:
        self.talk.run(seconds)

    @rule(name=st.sampled_from("ab"))
    def kill_or_start(self, name: str) -> None:
        if self.talk.nodes[name].is_alive:
            self.talk.kill(name)
        else:
            self.talk.start(name)

    @rule(name=st.sampled_from("ab"))
    def silence_the_agent_or_not(self, name: str) -> None:
        node = self.talk.nodes[name]
        node.state = WELL if node.state is None else None

    @rule(receiver=st.sampled_from("ab"), via=st.sampled_from(["eth0", "eth1", ""]), data=st.data())
    @precondition(lambda self: any(self.talk.received.values()))
    def repeat(self, receiver: str, via: str, data: st.DataObject) -> None:
        """Only what this receiver got before: to keep packets from it altogether is to cut the cable."""
        got = self.talk.received[receiver]
        if got and self.talk.nodes[receiver].is_alive:
            packet = got[-1 - data.draw(st.integers(0, min(len(got), 300) - 1))]
            before = set(self.talk.nodes[receiver].heard)
            self.talk.deliver(receiver, packet, via)
            assert self.talk.nodes[receiver].heard <= before

    @rule(receiver=st.sampled_from("ab"), packet=st.binary(max_size=300), is_like_one=st.booleans())
    def forge(self, receiver: str, packet: bytes, is_like_one: bool) -> None:
        if is_like_one and self.talk.recorded:
            packet = self.talk.recorded[-1][2][: len(packet)] + packet
        if self.talk.nodes[receiver].is_alive:
            assert self.talk.deliver(receiver, packet) in (Dropped.MALFORMED, Dropped.UNSIGNED)

    @invariant()
    def nobody_is_heard_who_is_not_there(self) -> None:
        for node in self.talk.nodes.values():
            if node.is_alive:
                for member in node.heard:
                    assert self.talk.now - self.talk.nodes[member].last_sent <= SILENCE + 0.001


TestAdversary = Adversary.TestCase
TestAdversary.settings = settings(max_examples=examples(60), stateful_step_count=40, deadline=None)


def test_the_word_is_a_plain_value() -> None:
    assert OwnState(NEVER, False, True, False, False) == WELL._replace(contact=NEVER, is_serving=False)
