import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from kube.io.client import Client
from tests.kube.server import Handler, Script, serving, write_kubeconfig

Connected = Callable[..., contextlib.AbstractAsyncContextManager[tuple[Client, Script]]]


@pytest.fixture
def connected(tmp_path: Path) -> Connected:
    """`async with connected(answer, ...) as (client, script)`: a client of a server that plays the answers."""

    @contextlib.asynccontextmanager
    async def connect(*answers: Handler, **options: Any) -> AsyncIterator[tuple[Client, Script]]:
        async with serving(*answers) as (script, url):
            kubeconfig = write_kubeconfig(tmp_path / "config", url, user={"token": "t0"})
            async with await Client.connect(kubeconfig, user_agent="berth-test", **options) as client:
                yield client, script

    return connect
