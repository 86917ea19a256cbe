"""The API server as something that runs: listeners with TLS, a kubeconfig for the admin, restart and freeze.

For trying and testing only: everything is in memory, and gone with the process.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import trustme
import yaml
from aiohttp import web

from lab.apiserver.core import Core, Settings
from lab.apiserver.faults import Faults, RequestCounters
from lab.apiserver.http.api import HttpApi
from lab.apiserver.http.lab import LabCommands
from lab.apiserver.kinds.servicerules import is_ip
from lab.apiserver.timeline import Timeline

Json = dict[str, Any]
NAMES = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")
STOP_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Address:
    """Where a listener is. With port 0, until it listens."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """`127.0.0.1:6443`, `[::1]:0`; port 0 takes a free one."""
        host, _, port = text.rpartition(":")
        return cls(host.strip("[]") or "127.0.0.1", int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class ApiServer:
    """`async with ApiServer(directory) as server:` serves until the block is left.

    Writes `admin.kubeconfig` and `ca.crt` into the directory. `server.faults` breaks things, `server.counters` counts
    requests, `server.core` is for tests that want to look or write past the API.
    """

    def __init__(
        self,
        directory: Path | str,
        listen: Iterable[str] = ("127.0.0.1:0",),
        *,
        settings: Settings | None = None,
        tls: bool = True,
    ) -> None:
        self.directory = Path(directory)
        self.core = Core(settings or Settings())
        self.addresses = [Address.parse(one) for one in listen]
        self._tls = self._make_tls() if tls else None
        self._api = HttpApi(self.core, LabCommands(self))
        self._listeners: list[asyncio.Server] = []
        self._web: web.Server | None = None
        self._tasks = asyncio.TaskGroup()

    @property
    def faults(self) -> Faults:
        return self.core.faults

    @property
    def counters(self) -> RequestCounters:
        return self.core.counters

    @property
    def timeline(self) -> Timeline:
        return self.core.timeline

    @property
    def address(self) -> Address:
        """The first one, with the port that it really has."""
        return self.addresses[0]

    @property
    def url(self) -> str:
        """The first address as a URL."""
        return f"{'https' if self._tls else 'http'}://{self.address}"

    @property
    def admin_token(self) -> str:
        """The bearer token of a user of system:masters."""
        return self.core.admin_token

    @property
    def kubeconfig_path(self) -> Path:
        return self.directory / "admin.kubeconfig"

    @property
    def ca_path(self) -> Path:
        return self.directory / "ca.crt"

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()
        await self._tasks.__aexit__(kind, error, trace)

    async def start(self) -> None:
        """Listen, publish where, and write the kubeconfig of the admin. `async with` does it."""
        await self._listen()
        host = ip_address(self.address.host) if is_ip(self.address.host) else None
        if host is not None and not host.is_loopback and not host.is_unspecified:
            self.core.publish(self.address.host, self.address.port)
        self.write_kubeconfig(self.kubeconfig_path, self.admin_token)

    async def stop(self) -> None:
        """Close the listeners and every connection."""
        for listener in self._listeners:
            listener.close()
        self._api.streams.end(cut=True)
        if self._web is not None:
            for connection in list(self._web.connections):
                if connection.transport is not None:
                    connection.transport.abort()
            await self._web.shutdown(STOP_SECONDS)
        self._listeners = []
        self._web = None

    async def restart(self, down_seconds: float = 0.0) -> None:
        """As a restart looks to clients: connections break, and no answers come for a while; the objects stay."""
        await self.stop()
        await asyncio.sleep(down_seconds)
        await self._listen()

    def restart_soon(self, down_seconds: float) -> None:
        """For a client that asks over a connection which the restart will break."""
        self._tasks.create_task(self.restart(down_seconds))

    def drop_watches(self) -> None:
        """Break every watch off, as a dying connection would."""
        self._api.streams.end(cut=True)

    def end_watches(self) -> None:
        """End every watch properly, as the server does after some time."""
        self._api.streams.end(cut=False)

    def forget_history(self) -> None:
        """Watches that resume from an older version get 410."""
        self.core.store.forget_history()

    def freeze(self) -> None:
        """Answer no request, not even with an error, until `thaw`."""
        self._api.gate.freeze()

    def thaw(self) -> None:
        """Answer again, also what came since `freeze`."""
        self._api.gate.thaw()

    @property
    def watch_count(self) -> int:
        """How many watches are open."""
        return len(self._api.streams)

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()

        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            if self._web is not ours:  # the connection was being accepted while we stopped
                if request.transport is not None:
                    request.transport.abort()
                return web.Response()
            return await self._api.handle(request)

        # A client that goes away ends its watch at once.
        ours = self._web = web.Server(handle, access_log=None, keepalive_timeout=3600, handler_cancellation=True)
        for index, address in enumerate(self.addresses):
            listener = await loop.create_server(
                self._web, address.host, address.port, ssl=self._tls, reuse_address=True, backlog=1024
            )
            self._listeners.append(listener)
            port: int = listener.sockets[0].getsockname()[1]
            self.addresses[index] = Address(address.host, port)

    def _make_tls(self) -> ssl.SSLContext:
        self.directory.mkdir(parents=True, exist_ok=True)
        authority = trustme.CA()
        hosts = dict.fromkeys((*NAMES, "127.0.0.1", "::1", "10.96.0.1", *(one.host for one in self.addresses)))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(*(host for host in hosts if host not in ("0.0.0.0", "::"))).configure_cert(context)
        context.set_alpn_protocols(["http/1.1"])
        authority.cert_pem.write_to_path(str(self.ca_path))
        return context

    def kubeconfig(self, token: str, *, server: str | None = None, namespace: str = "default") -> Json:
        """A kubeconfig for a token; `server` where a client reaches this one under another name."""
        cluster: Json = {"server": server or self.url}
        if self._tls:
            cluster["certificate-authority"] = str(self.ca_path.resolve())
        context = {"cluster": "lab", "user": "lab", "namespace": namespace}
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "lab", "cluster": cluster}],
            "users": [{"name": "lab", "user": {"token": token}}],
            "contexts": [{"name": "lab", "context": context}],
            "current-context": "lab",
        }

    def write_kubeconfig(self, path: Path, token: str, *, server: str | None = None) -> Path:
        """Write a kubeconfig for a token, readable by its owner only; arguments as for `kubeconfig`."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(self.kubeconfig(token, server=server), sort_keys=False))
        return path
