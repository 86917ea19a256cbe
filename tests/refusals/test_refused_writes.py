"""Every write that the allocator or a speaker makes is made again when it is refused or lost: nothing is forgotten."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from allocator import rejections
from lab.apiserver.faults import Fault
from lab.apiserver.server import ApiServer
from speaker.own import refused, reporting
from tests.refusals.story import PATIENCE_SECONDS, all_rights, events, played, state
from tests.virtual import event_loop_policy as event_loop_policy  # virtual time

pytestmark = [pytest.mark.asyncio, pytest.mark.slow]

REFUSALS: dict[str, dict[str, Any]] = {
    "403": {"code": 403},
    "409": {"code": 409},
    "422": {"code": 422},
    "503": {"code": 503},
    "answer lost": {"code": 504, "after_commit": True},
    "no answer": {"code": 504, "latency_seconds": 30.0},
}
"""Once each. 429 is the client's business (tests/kube)."""

HINTS = {"403", "422"}
"""So an Event is dropped, as in client-go: it is a hint, and conditions carry the state."""

SETTLE_SECONDS = 10.0
"""Virtual. Until what is written at a limited rate is written."""

TOLD = {("web", "Allocated"), ("web", "FinalizerRemoved"), ("next", "Allocated")}
"""The Events where nothing is refused."""

BESIDES = {("web", "NotAnnounced"), ("web", "Announced"), ("tor1", "SessionsUp"), ("gone", "NodeSilent")}
"""Those that depend on when reports arrive: the story deletes one."""

FIRST_TOLD = ("web", "Allocated")
"""It goes by the answer to the write that it tells of."""


@pytest.fixture(autouse=True)
def short_pauses() -> Iterator[None]:
    """What is refused for its content is tried again after ten minutes, and what is empty kept for one."""
    with (
        mock.patch.object(refused, "FORGIVEN_AFTER_SECONDS", 5.0),
        mock.patch.object(rejections, "AGAIN_SECONDS", 5.0),
        mock.patch.object(reporting, "SPARE_SECONDS", 1.0),
    ):
        yield


@pytest.fixture(scope="module")
def undisturbed() -> dict[str, Any]:
    """What there is in the end where nothing is refused. Filled by the first test that needs it."""
    return {}


async def until_equal(server: ApiServer, expected: dict[str, Any]) -> None:
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while state(server) != expected:
                await asyncio.sleep(0.1)
    except TimeoutError:
        found = state(server)
        differences = {name: (found.get(name), expected.get(name)) for name in found | expected}
        raise AssertionError([two for two in differences.items() if two[1][0] != two[1][1]]) from None


@pytest.mark.parametrize("refusal", REFUSALS)
async def test_each_kind_of_write_that_is_refused_once_is_made_again(
    tmp_path: Path, undisturbed: dict[str, Any], refusal: str
) -> None:
    """The first of each kind. A kind that the story does not have, or that the chart does not grant, fails here too."""
    if not undisturbed:
        async with played(tmp_path / "undisturbed") as server:
            await asyncio.sleep(SETTLE_SECONDS)
            undisturbed |= state(server)
            assert TOLD <= events(server) <= TOLD | BESIDES
    rights = [one for one in all_rights() if not (refusal in HINTS and one.resource == "events")]
    faults = [
        Fault(agent=one.agent, method=one.verb, resource=one.resource, count=1, **REFUSALS[refusal]) for one in rights
    ]
    async with played(tmp_path, *faults) as server:
        await until_equal(server, undisturbed)
        assert events(server) >= (TOLD - {FIRST_TOLD} if refusal == "answer lost" else TOLD)
