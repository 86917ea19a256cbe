"""How often one object is written."""

from hypothesis import given
from hypothesis import strategies as st

from allocator.status.writerate import WriteRate


@given(st.lists(st.floats(0.0, 3.0), max_size=200))
def test_a_flapping_object_is_written_as_often_as_is_said(gaps: list[float]) -> None:
    rate, now, written = WriteRate(burst=3, seconds=10.0), 0.0, []
    for number, gap in enumerate(gaps):
        now += gap
        if rate.admits("tor1", now):
            written.append(now)
        if number % 20 == 0:
            rate.sweep(now)
    for index, at in enumerate(written):
        assert len([one for one in written[index:] if one < at + 60.0]) <= 3 + 6
    assert rate.admits("tor2", now)


def test_an_object_that_rested_may_be_written_at_once_again() -> None:
    rate = WriteRate(burst=2, seconds=10.0)
    assert [rate.admits("a", at) for at in (0.0, 1.0, 2.0, 9.9)] == [True, True, False, False]
    assert [rate.admits("a", at) for at in (10.0, 10.1, 40.0, 40.1)] == [True, False, True, True]


def test_one_of_the_writes_at_once_is_kept_for_a_state_that_has_settled() -> None:
    rate = WriteRate(burst=3, seconds=10.0)
    assert [rate.admits("tor", 100.0, is_settled=False) for _ in range(3)] == [True, True, False]
    assert not rate.admits("tor", 109.0, is_settled=False)
    assert rate.admits("tor", 109.0)
    assert not rate.admits("tor", 109.5)
