"""How fast the API server stand-in is: writes, reads, watch events, and memory with many objects.

`python -m bench.apiserver [--objects N]`. The server runs in a process of its own; the client's cost is not counted in
the server's CPU seconds, but both share the machine. One JSON object a line.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp

from bench.measure import cpu_seconds, memory_kib, tell

CONCURRENCY = 32
WATCHERS = 10
START_SECONDS = 20.0


def _service(name: str) -> bytes:
    body = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "type": "LoadBalancer",
            "allocateLoadBalancerNodePorts": False,
            "selector": {"app": name},
            "ports": [{"port": 8765, "targetPort": 9376}],
        },
    }
    return json.dumps(body).encode()


async def _spread(number: int, one: Callable[[int], Awaitable[None]]) -> None:
    """Run `one(i)` for each i, some at a time."""
    todo = iter(range(number))

    async def worker() -> None:
        for index in todo:
            await one(index)

    async with asyncio.TaskGroup() as group:
        for _ in range(CONCURRENCY):
            group.create_task(worker())


class Bench:
    """One client, and the server's process id for what it costs."""

    def __init__(self, url: str, token: str, ca: Path, pid: int) -> None:
        self._url = url
        self._pid = pid
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._tls = ssl.create_default_context(cafile=str(ca))
        self._events = 0

    async def run(self, objects: int) -> None:
        connector = aiohttp.TCPConnector(ssl=self._tls, limit=0)
        async with aiohttp.ClientSession(connector=connector, headers=self._headers) as session:
            base = f"{self._url}/api/v1/namespaces/default/services"

            async def create(index: int) -> None:
                async with session.post(base, data=_service(f"s{index}")) as response:
                    assert response.status == 201, await response.text()

            async def get(index: int) -> None:
                async with session.get(f"{base}/s{index % objects}") as response:
                    await response.read()

            async def patch(index: int, first: int = 192) -> None:
                ingress = {"ip": f"{first}.0.{index % 250}.{index // 250 % 250}"}
                body = {"metadata": {"finalizers": ["a.example/b"]}, "status": {"loadBalancer": {"ingress": [ingress]}}}
                headers = {"Content-Type": "application/merge-patch+json"}
                url = f"{base}/s{index % objects}/status"
                async with session.patch(url, data=json.dumps(body), headers=headers) as response:
                    assert response.status == 200, await response.text()

            async def list_all(_: int) -> None:
                async with session.get(base) as response:
                    await response.read()

            await self._timed("creates", objects, create)
            await self._timed("gets", objects, get)
            await self._timed("status patches", objects, patch)
            await self._timed(f"lists of {objects}", 20, list_all)
            watchers = [asyncio.ensure_future(self._watch(session, base)) for _ in range(WATCHERS)]
            await asyncio.sleep(1.0)
            self._events = 0
            await self._timed(f"status patches with {WATCHERS} watchers", objects, lambda index: patch(index, 193))
            await asyncio.sleep(0.5)
            tell("apiserver", what="watch events delivered", events=self._events, expected=objects * WATCHERS)
            for one in watchers:
                one.cancel()
            await asyncio.gather(*watchers, return_exceptions=True)

    async def _watch(self, session: aiohttp.ClientSession, base: str) -> None:
        async with session.get(f"{base}?watch=1&resourceVersion=0", timeout=aiohttp.ClientTimeout()) as response:
            async for chunk in response.content.iter_any():
                self._events += chunk.count(b"\n")

    async def _timed(self, what: str, number: int, one: Callable[[int], Awaitable[None]]) -> None:
        cpu = cpu_seconds(self._pid)
        start = time.monotonic()
        await _spread(number, one)
        took = time.monotonic() - start
        used = max(cpu_seconds(self._pid) - cpu, 0.01)
        tell(
            "apiserver",
            what=what,
            per_second=round(number / took),
            per_cpu_second_of_the_server=round(number / used),
            server_rss_mib=round(memory_kib(self._pid, "VmRSS") / 1024),
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=10_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        command = [sys.executable, "-m", "lab.apiserver", "--dir", directory]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            try:
                assert server.stdout is not None
                url = server.stdout.readline().strip()
                config = (Path(directory) / "admin.kubeconfig").read_text()
                token = next(line.split()[-1] for line in config.splitlines() if line.strip().startswith("token:"))
                asyncio.run(Bench(url, token, Path(directory) / "ca.crt", server.pid).run(arguments.objects))
            finally:
                server.terminate()


if __name__ == "__main__":
    main()
