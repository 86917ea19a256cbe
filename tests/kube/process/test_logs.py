"""What a line of the log looks like, and how many there are of one message."""

import json
from collections.abc import Iterator

import pytest
import structlog

from kube.process.io.logs import configure_logs
from kube.process.logbudget import BURST, MOST_MESSAGES, PER_SECOND, LogBudget


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_of_thousands_of_one_message_the_first_are_written_and_the_rest_is_counted() -> None:
    budget = LogBudget()
    assert [budget.admit("moved", 0.0) for _ in range(5000)] == [0] * BURST + [None] * (5000 - BURST)
    assert budget.admit("moved", 1 / PER_SECOND) == 5000 - BURST
    assert budget.admit("moved", 1 / PER_SECOND) is None


def test_messages_do_not_spend_each_others_lines() -> None:
    budget = LogBudget()
    for _ in range(5000):
        budget.admit("moved", 0.0)
    assert budget.admit("conflict", 0.0) == 0


def test_after_a_rest_there_is_room_for_many_again() -> None:
    budget = LogBudget()
    for _ in range(BURST):
        budget.admit("moved", 0.0)
    assert [budget.admit("moved", BURST / PER_SECOND) for _ in range(BURST + 1)] == [0] * BURST + [None]


def test_what_is_remembered_is_bounded() -> None:
    budget = LogBudget()
    for number in range(3 * MOST_MESSAGES):
        budget.admit(str(number), 0.0)
    assert len(budget._spent) <= MOST_MESSAGES


def test_a_line_says_how_many_were_left_out(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr("kube.process.io.logs.time.monotonic", lambda: now)
    configure_logs("json", "info")
    for number in range(BURST + 7):
        structlog.get_logger().info("moved", address=str(number))
    now += 1.0
    structlog.get_logger().info("moved", address="last")
    told = lines(capsys)
    assert len(told) == BURST + 1
    assert told[-1]["left_out"] == 7
    assert "left_out" not in told[0]


def test_at_level_debug_each_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("json", "debug")
    for _ in range(3 * BURST):
        structlog.get_logger().debug("frame")
    assert len(lines(capsys)) == 3 * BURST


def test_values_are_those_that_json_knows(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("json", "info")
    structlog.get_logger().info(
        "usable interfaces", names=("eth1", "eth0"), nodes=frozenset({"b", "a"}), error=OSError("e")
    )
    (told,) = lines(capsys)
    assert (told["names"], told["nodes"], told["error"]) == (["eth1", "eth0"], ["a", "b"], "e")
