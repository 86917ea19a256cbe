"""How often a weight that changes is advertised."""

from speaker.bgp.weights import QUIET_SECONDS, SMALL_QUIET_SECONDS, Weights


def test_a_weight_that_changes_much_waits_a_moment_and_one_that_hardly_changes_waits_long() -> None:
    weights = Weights()
    assert weights.settle("web", 10, 100.0) == 10
    assert weights.settle("web", 9, 100.0 + QUIET_SECONDS) == 10
    assert weights.deadline() == 100.0 + SMALL_QUIET_SECONDS
    assert weights.settle("web", 10, 102.0) == 10, "a rollout that is over: nothing was sent"
    assert weights.deadline() is None
    assert weights.settle("web", 7, 103.0) == 7
    assert weights.settle("web", 6, 103.0 + SMALL_QUIET_SECONDS) == 6, "it is right in the end"


def test_a_weight_that_comes_or_goes_is_no_small_change() -> None:
    weights = Weights()
    assert weights.settle("web", 10, 100.0) == 10
    assert weights.settle("web", None, 100.0 + QUIET_SECONDS) is None
    assert weights.settle("web", 10, 100.0 + 2 * QUIET_SECONDS) == 10
