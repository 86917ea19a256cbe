"""The earliest of deadlines, some of which are not there."""

import pytest

from speaker.wire.deadlines import AT_ONCE, earliest, is_due


@pytest.mark.parametrize(
    ("deadlines", "first"),
    [((), None), ((None, None), None), ((None, 3.0, 2.0), 2.0), ((0.0, None), 0.0), ((5.0, AT_ONCE), AT_ONCE)],
)
def test_the_earliest_is_the_first_of_those_that_are_planned(deadlines, first) -> None:
    assert earliest(*deadlines) == first


def test_due_is_what_has_come_and_nothing_when_nothing_is_planned() -> None:
    assert [is_due(deadline, 2.0) for deadline in (None, AT_ONCE, 2.0, 2.1)] == [False, True, True, False]
