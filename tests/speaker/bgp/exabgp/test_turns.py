"""ExaBGP's loop does not rest while something is left to be done: else 10,000 routes take seconds of rests."""

from types import SimpleNamespace
from typing import Any

import pytest
from exabgp.bgp.fsm import FSM
from exabgp.reactor.asynchronous import ASYNC

from speaker.bgp.exabgp.io import changed

REST = 100


@pytest.fixture
def rests(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """For how long the loop waited for something to come, in milliseconds, turn by turn."""
    waits: list[int] = []
    monkeypatch.setattr(changed, "_wait_for_io", lambda _, milliseconds: waits.append(milliseconds))
    monkeypatch.setattr(changed._Turn, "has_worked", False)
    monkeypatch.setattr(changed._Turn, "spare", 0)
    return waits


def reactor(fsm: Any, *, pending: bool) -> Any:
    outgoing = SimpleNamespace(pending=lambda: pending)
    peer = SimpleNamespace(fsm=fsm, neighbor=SimpleNamespace(rib=SimpleNamespace(outgoing=outgoing)))
    return SimpleNamespace(_peers={"tor": peer})


def turn(queue: ASYNC, of: Any) -> None:
    changed._work_off(queue)
    changed._wait_when_all_is_done(of, REST)


def test_it_rests_when_nothing_is_left(rests: list[int]) -> None:
    idle = reactor(FSM.ESTABLISHED, pending=False)
    queue = ASYNC()
    queue._async.append(("berth", iter([True])))
    for _ in range(3):
        turn(queue, idle)
    assert rests == [0, REST, REST]


def test_it_does_not_rest_between_commands(rests: list[int]) -> None:
    queue = ASYNC()
    for _ in range(3):
        queue._async.append(("berth", iter([True] * ASYNC.LIMIT)))
    while queue._async:
        turn(queue, reactor(FSM.ESTABLISHED, pending=False))
    assert len(rests) >= 3
    assert not any(rests)


def test_it_does_not_rest_while_routes_are_to_be_sent_and_is_not_kept_busy_by_some_that_can_not(
    rests: list[int],
) -> None:
    queue = ASYNC()
    queue._async.append(("berth", iter([True])))
    for _ in range(1000):
        turn(queue, reactor(FSM.ESTABLISHED, pending=True))
    assert rests[:50] == [0] * 50
    assert rests[200:] == [REST] * 800


def test_routes_of_a_session_that_is_down_keep_nobody_busy(rests: list[int]) -> None:
    queue = ASYNC()
    queue._async.append(("berth", iter([True])))
    for _ in range(3):
        turn(queue, reactor(FSM.CONNECT, pending=True))
    assert rests == [0, REST, REST]
