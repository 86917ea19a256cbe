"""The stand-in as a process: it says where it serves, and ends when told to."""

from __future__ import annotations

import asyncio
import signal
import ssl
import sys
from pathlib import Path

import aiohttp
import pytest

pytestmark = [pytest.mark.asyncio, pytest.mark.lab]


async def test_the_process_serves_and_ends_on_sigterm(tmp_path: Path) -> None:
    command = ["-m", "lab.apiserver", "--dir", str(tmp_path), "--port-file", str(tmp_path / "port")]
    process = await asyncio.create_subprocess_exec(sys.executable, *command, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        async with asyncio.timeout(20):
            url = (await process.stdout.readline()).decode().strip()
        assert url.endswith((tmp_path / "port").read_text().strip())
        assert (tmp_path / "admin.kubeconfig").stat().st_mode & 0o077 == 0
        tls = ssl.create_default_context(cafile=str(tmp_path / "ca.crt"))
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls)) as session,
            session.get(f"{url}/readyz") as response,
        ):
            assert (response.status, await response.text()) == (200, "ok")
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            await process.communicate()  # to the end of its pipe: then nothing of it is left in the loop
        assert process.returncode == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
