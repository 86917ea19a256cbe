"""The stand-in answers as the real kube-apiserver v1.36.2 did, file by file of the recordings."""

from __future__ import annotations

import pytest
import pytest_asyncio

from lab.apiserver.server import ApiServer, Settings
from tests.lab.apiserver.replay import ORDER, Replay

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def differences(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    directory = tmp_path_factory.mktemp("apiserver")
    async with ApiServer(directory, settings=Settings(future_version_seconds=0.1, seed=1)) as server:
        return await Replay(server.url, server.admin_token, server.ca_path).run()


@pytest.mark.parametrize("scenario", ORDER)
async def test_every_answer_of_the_recording_is_given_again(differences: dict[str, list[str]], scenario: str) -> None:
    assert not differences[scenario], "\n".join(["differences:", *differences[scenario]])
