"""Waiting gives the first answer, and names what did not come true."""

import asyncio

import pytest

from lab.waiting import WaitExpired, until, wait_for


def test_waiting_ends_with_the_name_of_what_did_not_happen() -> None:
    with pytest.raises(WaitExpired, match="pigs fly"):
        wait_for("pigs fly", lambda: None, timeout_seconds=0.05)


def test_waiting_gives_the_first_answer_also_when_it_is_zero() -> None:
    answers = iter([None, False, 0, 7])
    assert wait_for("a number", lambda: next(answers), timeout_seconds=1, poll_seconds=0) == 0


def test_in_an_event_loop_others_go_on_meanwhile() -> None:
    async def main() -> None:
        happened = asyncio.Event()
        asyncio.get_running_loop().call_later(0.05, happened.set)
        await until("it happens", happened.is_set, timeout_seconds=5)

    asyncio.run(main())


def test_in_an_event_loop_too_what_did_not_happen_is_named() -> None:
    async def main() -> None:
        with pytest.raises(WaitExpired, match="pigs fly"):
            await until("pigs fly", lambda: False, timeout_seconds=0.05)

    asyncio.run(main())
