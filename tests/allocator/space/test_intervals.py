"""Free space against a set of numbers, and spans against sets."""

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

import allocator.space.intervals as intervals
from allocator.space.intervals import FreeSpace
from allocator.space.spans import Spans
from tests.examples import examples

numbers = st.integers(0, 200)
span_lists = st.lists(
    st.tuples(numbers, st.integers(0, 20)).map(lambda pair: (pair[0], pair[0] + pair[1])), max_size=12
)


def as_set(spans: Spans) -> set[int]:
    return {number for first, last in spans.spans for number in range(first, last + 1)}


@given(span_lists, span_lists)
def test_spans_are_sets(left: list[tuple[int, int]], right: list[tuple[int, int]]) -> None:
    one, other = Spans(left), Spans(right)
    assert as_set(one.minus(other)) == as_set(one) - as_set(other)
    assert as_set(one.common(other)) == as_set(one) & as_set(other)
    assert one.capacity == len(as_set(one))
    assert [one.nth(at) for at in range(one.capacity)] == sorted(as_set(one))
    assert all((number in one) == (number in as_set(one)) for number in range(-1, 225))


def test_spans_that_touch_are_joined() -> None:
    assert Spans([(5, 9), (1, 4), (20, 20)]).spans == ((1, 9), (20, 20))


class FreeSpaceMachine(RuleBasedStateMachine):
    """Taking and freeing in any order, with chunks so small that they split and vanish all the time."""

    def __init__(self) -> None:
        super().__init__()
        self._limit = intervals.CHUNK_LIMIT
        intervals.CHUNK_LIMIT = 4
        self.space = FreeSpace([(10, 120), (130, 130)])
        self.model = {*range(10, 121), 130}

    def teardown(self) -> None:
        intervals.CHUNK_LIMIT = self._limit

    @rule(number=st.integers(0, 140))
    def take(self, number: int) -> None:
        assert self.space.take(number) == (number in self.model)
        self.model.discard(number)

    @rule(start=st.integers(0, 120), step=st.integers(2, 4))
    def take_a_comb(self, start: int, step: int) -> None:
        for number in range(start, start + 30, step):
            assert self.space.take(number) == (number in self.model)
            self.model.discard(number)

    @rule(number=st.integers(0, 140))
    def free(self, number: int) -> None:
        assert self.space.free(number) == (number not in self.model)
        self.model.add(number)

    @rule(number=st.integers(-1, 141))
    def find(self, number: int) -> None:
        assert self.space.at_or_after(number) == min((one for one in self.model if one >= number), default=None)
        assert (number in self.space) == (number in self.model)

    @precondition(lambda self: self.model)
    @rule()
    def take_lowest(self) -> None:
        lowest = min(self.model)
        assert self.space.lowest == lowest
        assert self.space.take(lowest)
        self.model.remove(lowest)

    @invariant()
    def is_the_model(self) -> None:
        assert self.space.count == len(self.model)
        assert tuple(self.space) == Spans((number, number) for number in self.model).spans


FreeSpaceMachine.TestCase.settings = settings(max_examples=examples(60), stateful_step_count=40, deadline=None)
TestFreeSpace = FreeSpaceMachine.TestCase


def test_a_whole_ipv6_network_is_one_interval() -> None:
    space = FreeSpace([(0, 2**64 - 1)])
    assert space.take(2**63)
    assert space.count == 2**64 - 1
    assert space.free(2**63)
    assert list(space) == [(0, 2**64 - 1)]
