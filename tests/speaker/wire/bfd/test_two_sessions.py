"""Two sessions joined by a link that loses, delays and reorders, in virtual time: what holds whatever happens."""

import heapq
from dataclasses import dataclass, field
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from speaker.wire.bfd.packets import Packet, State, parse
from speaker.wire.bfd.session import Parameters, Session
from speaker.wire.deadlines import earliest, is_due
from tests.examples import examples

INTERVALS = st.integers(20, 2000).map(lambda milliseconds: milliseconds * 1000)
PARAMETERS = st.builds(Parameters, INTERVALS, INTERVALS, st.integers(1, 10), st.just(False))
EITHER = st.builds(Parameters, INTERVALS, INTERVALS, st.integers(1, 10), st.booleans())


@dataclass
class Link:
    """Delays are in seconds. `changes`: when, at which end, to which state."""

    asked: tuple[Parameters, Parameters]
    dice: Random
    least_delay: float = 0.0001
    most_delay: float = 0.0001
    loss: float = 0.0
    is_cut: bool = False
    now: float = 0.0
    on_the_way: list[tuple[float, int, int, Packet]] = field(default_factory=list)
    changes: list[tuple[float, int, State]] = field(default_factory=list)
    count: int = 0

    def __post_init__(self) -> None:
        self.ends = (Session(11, self.asked[0], 0.0), Session(22, self.asked[1], 0.0))
        self.states = [State.DOWN, State.DOWN]

    def run(self, until: float) -> None:
        while True:
            arrival = self.on_the_way[0][0] if self.on_the_way else None
            following = earliest(arrival, *(end.deadline() for end in self.ends))
            if following is None or following > until:
                self.now = until
                return
            # As a shell does: a packet that is there is read before anybody is judged by its silence.
            self.now = max(self.now, following)
            if is_due(arrival, self.now):
                _, _, to, packet = heapq.heappop(self.on_the_way)
                self.ends[to].receive(packet, self.now)
            else:
                self._send()
            self._note()

    def _send(self) -> None:
        for number, end in enumerate(self.ends):
            while (datagram := end.due(self.now, self.dice.random())) is not None:
                packet = parse(datagram)
                assert isinstance(packet, Packet)
                self.count += 1
                if not self.is_cut and self.dice.random() >= self.loss:
                    at = self.now + self.dice.uniform(self.least_delay, self.most_delay)
                    heapq.heappush(self.on_the_way, (at, self.count, 1 - number, packet))

    def _note(self) -> None:
        for number, end in enumerate(self.ends):
            if end.state is not self.states[number]:
                self.states[number] = end.state
                self.changes.append((self.now, number, end.state))

    @property
    def is_up(self) -> bool:
        return self.states == [State.UP, State.UP]


BOTH = st.tuples(PARAMETERS, EITHER)  # two passive ones never meet
DICE = st.integers(0, 2**32).map(Random)


@given(BOTH, DICE)
@settings(deadline=None, max_examples=examples(20))
def test_they_come_up_agree_on_timers_and_never_lose_each_other_without_loss(asked, dice):
    link = Link(asked, dice)
    link.run(20.0)
    assert link.is_up
    assert sum(state is State.UP for _, _, state in link.changes) == 2
    assert sum(state is State.DOWN for _, _, state in link.changes) == 0
    for number in (0, 1):
        mine, others = asked[number], asked[1 - number]
        interval = max(mine.desired_min_tx, others.required_min_rx)
        assert link.ends[number].transmit_milliseconds == round(interval / 1000)
        incoming = max(others.desired_min_tx, mine.required_min_rx)
        assert link.ends[number].detect_milliseconds == round(others.detect_multiplier * incoming / 1000)


@given(BOTH, DICE)
@settings(deadline=None, max_examples=examples(20))
def test_a_cut_is_noticed_by_both_within_the_detection_time(asked, dice):
    link = Link(asked, dice)
    link.run(20.0)
    link.is_cut = True
    link.on_the_way.clear()
    times = [end.detect_milliseconds / 1000 for end in link.ends]
    cut_at = link.now
    link.run(cut_at + max(times) + 0.01)
    downs = {number: at for at, number, state in link.changes if state is State.DOWN}
    for number in (0, 1):
        assert link.ends[number].state is State.DOWN
        assert link.ends[number].has_failed
        assert downs[number] - cut_at <= times[number] + 0.001


@given(BOTH, DICE, st.floats(0.05, 0.4))
@settings(deadline=None, max_examples=examples(20))
def test_after_any_loss_delay_and_reordering_they_are_up_again(asked, dice, loss):
    link = Link(asked, dice, least_delay=0.0, most_delay=0.05, loss=loss)
    link.run(30.0)
    link.loss, link.most_delay = 0.0, 0.0001
    link.run(30.0 + 20.0 + 20.0)
    assert link.is_up


@given(BOTH, PARAMETERS, DICE)
@settings(deadline=None, max_examples=examples(20))
def test_new_timers_are_negotiated_without_losing_the_session(asked, changed, dice):
    link = Link(asked, dice)
    link.run(20.0)
    link.ends[0].configure(changed, link.now)
    link.run(60.0)
    assert link.is_up
    assert all(state is not State.DOWN for _, _, state in link.changes)
    interval = max(changed.desired_min_tx, asked[1].required_min_rx)
    assert link.ends[0].transmit_milliseconds == round(interval / 1000)
    detection = changed.detect_multiplier * interval
    assert link.ends[1].detect_milliseconds == round(detection / 1000)


@given(st.lists(st.binary(max_size=40), max_size=30), BOTH, DICE)
@settings(deadline=None)
def test_junk_and_strange_packets_never_break_a_session(junk, asked, dice):
    session = Session(5, asked[0], 0.0)
    for number, datagram in enumerate(junk):
        packet = parse(b"\x20" + bytes([dice.randrange(256) & 0xFA, 3, 24]) + datagram)
        if isinstance(packet, Packet):
            session.receive(packet, float(number))
        for _ in range(3):
            if session.due(float(number), 0.5) is None:
                break
        else:
            raise AssertionError("more than a Final and a packet of its own at once")
        assert not is_due(session.deadline(), number)
