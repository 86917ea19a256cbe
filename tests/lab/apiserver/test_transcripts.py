"""The stand-in answers as the real kube-apiserver v1.36.2 did, file by file of the recordings."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from lab.apiserver.server import ApiServer, Settings
from tests.lab.apiserver.replay import ORDER, Replay


async def _replay(directory: Path) -> dict[str, list[str]]:
    settings = Settings(future_version_seconds=0.1, seed=1)
    async with ApiServer(directory, settings=settings) as server:
        return await Replay(server.url, server.admin_token, server.ca_path).run()


@pytest.fixture(scope="module")
def differences(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    return asyncio.run(_replay(tmp_path_factory.mktemp("apiserver")))


@pytest.mark.parametrize("scenario", ORDER)
def test_every_answer_of_the_recording_is_given_again(differences: dict[str, list[str]], scenario: str) -> None:
    assert not differences[scenario], "\n".join(["differences:", *differences[scenario]])
