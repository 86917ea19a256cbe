"""What a line of the log looks like, and how many there are of one message."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

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


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_costs_lines_and_not_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log"
    with path.open("w") as log, open("/dev/full", "w") as full:
        monkeypatch.setattr("sys.stderr", log)
        configure_logs("json", "info")
        logger = structlog.get_logger()
        kept = os.dup(log.fileno())
        os.dup2(full.fileno(), log.fileno())
        logger.info("lost")
        logger.error("lost, too", exc_info=OSError("and why"))
        os.dup2(kept, log.fileno())
        os.close(kept)
        logger.info("written")
        logger.info("written again")
    first, second = map(json.loads, path.read_text().splitlines())
    assert (first["event"], first["lost"]) == ("written", 2)
    assert "lost" not in second


def test_a_reader_that_is_gone_or_does_not_read_neither_ends_nor_stalls_the_program(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reading, writing = os.pipe()
    with open(writing, "w") as log:
        monkeypatch.setattr("sys.stderr", log)
        configure_logs("json", "debug")
        for number in range(300):
            structlog.get_logger().info("x" * 1000, number=number)
        heard = b""
        while not heard.endswith(b"}\n") or len(heard) < 30_000:
            heard += os.read(reading, 1 << 20)
        structlog.get_logger().info("heard again")
        last = json.loads(os.read(reading, 1 << 20).splitlines()[-1])
        assert last["lost"] == 300 - len(heard.splitlines())
        os.close(reading)
        structlog.get_logger().info("nobody reads")


def test_a_line_that_was_torn_ends_before_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    with open(writing, "w") as log:
        monkeypatch.setattr("sys.stderr", log)
        configure_logs("json", "debug")
        for _ in range(3):
            structlog.get_logger().info("x" * 50_000)
        torn = os.read(reading, 1 << 20).splitlines()[-1]
        with pytest.raises(ValueError, match="Unterminated"):
            json.loads(torn)
        structlog.get_logger().info("whole")
        assert json.loads(os.read(reading, 1 << 20).splitlines()[-1])["event"] == "whole"
