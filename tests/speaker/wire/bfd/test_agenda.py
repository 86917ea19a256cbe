"""Who is woken when: never late, and nobody twice for one plan."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from speaker.wire.bfd.agenda import Agenda
from speaker.wire.deadlines import is_due

SESSIONS = st.integers(1, 4)
TIMES = st.integers(0, 20).map(float)


def test_an_earlier_plan_replaces_a_later_one_and_not_the_other_way_round() -> None:
    agenda = Agenda()
    agenda.plan(1, 5.0)
    agenda.plan(1, 3.0)
    agenda.plan(1, 7.0)
    agenda.plan(1, None)
    assert agenda.deadline() == 3.0
    assert agenda.take_due(2.9, 8) == []
    assert agenda.take_due(9.0, 8) == [1]
    assert agenda.take_due(9.0, 8) == []
    assert agenda.deadline() is None


def test_so_many_at_a_time_and_the_first_first() -> None:
    agenda = Agenda()
    for session in range(5):
        agenda.plan(session, float(session))
    assert agenda.take_due(9.0, 2) == [0, 1]
    assert agenda.take_due(9.0, 2) == [2, 3]


class Plans(RuleBasedStateMachine):
    """Against a plain dict of plans."""

    def __init__(self) -> None:
        super().__init__()
        self.agenda = Agenda()
        self.plans: dict[int, float] = {}

    @rule(session=SESSIONS, at=TIMES)
    def plan(self, session: int, at: float) -> None:
        self.agenda.plan(session, at)
        self.plans[session] = min(at, self.plans.get(session, at))

    @rule(session=SESSIONS)
    def drop(self, session: int) -> None:
        self.agenda.drop(session)
        self.plans.pop(session, None)

    @rule(now=TIMES)
    def wake(self, now: float) -> None:
        woken = []
        while is_due(self.agenda.deadline(), now):
            woken += self.agenda.take_due(now, 2)
        assert sorted(woken) == sorted(session for session, at in self.plans.items() if at <= now)
        for session in woken:
            del self.plans[session]

    @invariant()
    def it_is_never_late(self) -> None:
        for at in self.plans.values():
            assert is_due(self.agenda.deadline(), at)


TestPlans = Plans.TestCase
