"""Metrics by HTTPS for those whom the API server lets read them, as real clients meet it; health for everybody.

The API server is the stand-in, with its RBAC.
"""

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
import trustme

from kube.io.client import Client
from kube.process.io import ports
from kube.process.io.certificate import Certificate
from kube.process.io.listener import Listener
from kube.process.listening import Listening
from kube.resource import Resource
from lab.apiserver.server import ApiServer

pytestmark = [pytest.mark.asyncio, pytest.mark.slow]

ROLES = Resource("rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole", False)
BINDINGS = Resource("rbac.authorization.k8s.io", "v1", "clusterrolebindings", "ClusterRoleBinding", False)
PAGE = b"# TYPE m gauge\nm 1.0\n"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


def write_pair(authority: trustme.CA, directory: Path, name: str = "localhost") -> None:
    directory.mkdir(exist_ok=True)
    made = authority.issue_cert(name)
    (directory / "tls.crt").write_bytes(b"".join(one.bytes() for one in made.cert_chain_pems))
    (directory / "tls.key").write_bytes(made.private_key_pem.bytes())


class Site:
    """A program's listener, the API server that it asks, and clients."""

    def __init__(self, server: ApiServer, client: Client, directory: Path) -> None:
        self.server, self.api, self.ready = server, client, ""
        self.directory = directory
        self.authority = trustme.CA()
        self.trusting = ssl.create_default_context()
        self.authority.configure_trust(self.trusting)
        self.metrics, self.health = free_port(), free_port()
        self.listener = Listener(why_not_ready=lambda: self.ready, metrics=lambda: PAGE)

    @contextlib.asynccontextmanager
    async def serving(self, **options: Any) -> AsyncIterator[None]:
        write_pair(self.authority, self.directory)
        given: dict[str, Any] = {
            "metrics": f"localhost:{self.metrics}",
            "health": f"127.0.0.1:{self.health}",
            "is_secure": True,
            "certificate_directory": str(self.directory),
        }
        task = asyncio.create_task(self.listener.serve(Listening(**given | options), self.api))
        try:
            for _ in range(500):
                with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                    async with asyncio.timeout(5), aiohttp.ClientSession() as session:
                        scheme = "https" if (given | options)["is_secure"] else "http"
                        async with session.get(f"{scheme}://localhost:{self.metrics}/metrics", ssl=False):
                            break
                await asyncio.sleep(0.05)
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def scrape(self, token: str | None = None, **more: Any) -> tuple[int, str]:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        async with aiohttp.ClientSession() as session:
            url = f"https://localhost:{self.metrics}/metrics"
            async with session.get(url, headers=headers, ssl=self.trusting, **more) as answer:
                return answer.status, await answer.text()

    async def health_of(self, path: str) -> tuple[int, str]:
        url = f"http://127.0.0.1:{self.health}{path}"
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            return answer.status, await answer.text()

    async def user(self, name: str, *, may_scrape: bool) -> str:
        """A token of a new user's."""
        if may_scrape:
            rule = {"nonResourceURLs": ["/metrics"], "verbs": ["get"]}
            await self.api.create(ROLES, {"metadata": {"name": name}, "rules": [rule]})
            reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}
            body = {"metadata": {"name": name}, "roleRef": reference, "subjects": [{"kind": "User", "name": name}]}
            await self.api.create(BINDINGS, body)
        return self.server.core.add_user(name, ())


@pytest_asyncio.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with contextlib.AsyncExitStack() as stack:
        server = await stack.enter_async_context(ApiServer(tmp_path))
        client = await Client.connect(str(server.kubeconfig_path), user_agent="berth-test")
        yield Site(server, await stack.enter_async_context(client), tmp_path / "tls")


async def test_the_api_server_says_who_may_read_metrics(site: Site) -> None:
    prometheus, eve = await site.user("prometheus", may_scrape=True), await site.user("eve", may_scrape=False)
    async with site.serving():
        assert await site.scrape(prometheus) == (200, PAGE.decode())
        status, said = await site.scrape(eve)
        assert status == 403
        assert "/metrics" in said
        status, said = await site.scrape("nonsense")
        assert status == 401
        assert "does not know this token" in said
        status, said = await site.scrape()
        assert status == 401
        assert "Bearer" in said


async def test_health_is_told_to_everybody_and_metrics_are_not_there(site: Site) -> None:
    async with site.serving():
        assert await site.health_of("/healthz") == (200, "ok\n")
        site.ready = "the first full lists are not in yet"
        assert await site.health_of("/readyz") == (503, "the first full lists are not in yet\n")
        assert (await site.health_of("/metrics"))[0] == 404


async def test_without_security_one_port_has_it_all(site: Site) -> None:
    async with site.serving(health="", is_secure=False), aiohttp.ClientSession() as session:
        for path in ("/metrics", "/healthz", "/readyz", "/livez"):
            async with session.get(f"http://localhost:{site.metrics}{path}") as answer:
                assert answer.status == 200
        async with session.post(f"http://localhost:{site.metrics}/metrics", data=b"x" * 100_000) as answer:
            assert answer.status == 405


async def test_who_was_allowed_reads_on_while_the_api_server_is_away(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kube.process.scrapers.ALLOWED_SECONDS", 0.0)
    prometheus = await site.user("prometheus", may_scrape=True)
    async with site.serving():
        assert (await site.scrape(prometheus))[0] == 200
        await site.server.__aexit__(None, None, None)
        assert (await site.scrape(prometheus))[0] == 200
        status, said = await site.scrape("another")
        assert status == 503
        assert "does not say who this is" in said


async def test_a_certificate_that_changes_is_served_and_one_that_does_not_fit_is_not(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Certificate.follow, "__defaults__", (0.05,))
    prometheus = await site.user("prometheus", may_scrape=True)
    async with site.serving():
        assert (await site.scrape(prometheus))[0] == 200
        (site.directory / "tls.key").write_bytes(b"no key at all")
        await asyncio.sleep(0.5)
        assert (await site.scrape(prometheus))[0] == 200
        other = trustme.CA()
        write_pair(other, site.directory)
        site.trusting = ssl.create_default_context()
        other.configure_trust(site.trusting)
        for _ in range(200):
            with contextlib.suppress(aiohttp.ClientError):
                assert (await site.scrape(prometheus))[0] == 200
                break
            await asyncio.sleep(0.05)
        else:
            pytest.fail("the new certificate is not served")


async def test_without_a_certificate_the_program_makes_one(site: Site) -> None:
    prometheus = await site.user("prometheus", may_scrape=True)
    async with site.serving(certificate_directory=""):
        site.trusting = ssl.create_default_context()
        site.trusting.check_hostname, site.trusting.verify_mode = False, ssl.CERT_NONE
        assert await site.scrape(prometheus) == (200, PAGE.decode())


async def test_a_folder_without_a_certificate_ends_nothing(site: Site, tmp_path: Path) -> None:
    task = asyncio.create_task(
        site.listener.serve(
            Listening(f"localhost:{site.metrics}", f"127.0.0.1:{site.health}", True, str(tmp_path / "none")), site.api
        )
    )
    await asyncio.sleep(0.2)
    with pytest.raises(aiohttp.ClientError):
        await site.scrape("t")
    assert await site.health_of("/healthz") == (200, "ok\n")
    task.cancel()
    await asyncio.wait([task])


STRANGER = "127.0.0.2"
"""All of 127.0.0.0/8 is this machine: another source than who scrapes."""


def stranger(port: int) -> socket.socket:
    """Connects, and does not wait for it."""
    made = socket.socket()
    made.bind((STRANGER, 0))
    made.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        made.connect(("127.0.0.1", port))
    return made


@contextlib.contextmanager
def idlers(port: int, number: int, said: bytes) -> Iterator[None]:
    """Connections of a stranger's that say something and then nothing."""
    with contextlib.ExitStack() as held:
        made = [held.enter_context(stranger(port)) for _ in range(number)]
        time.sleep(0.05)
        for one in made:
            with contextlib.suppress(OSError):
                one.send(said)
        yield


@pytest.mark.parametrize("said", [b"", b"GET /healthz HTTP/1.1\r\nA", b"\x16\x03\x01\x02\x00\x01"], ids=repr)
async def test_who_says_nothing_more_holds_nobody_up(site: Site, said: bytes) -> None:
    prometheus = await site.user("prometheus", may_scrape=True)
    async with site.serving():
        with idlers(site.metrics, 60, said), idlers(site.health, 60, said):
            assert (await site.scrape(prometheus))[0] == 200
            assert (await site.health_of("/healthz"))[0] == 200


async def test_a_stranger_who_connects_again_and_again_takes_no_scrape_away(site: Site) -> None:
    prometheus = await site.user("prometheus", may_scrape=True)

    async def connect_on_and_on(port: int) -> None:
        with contextlib.ExitStack() as held:
            while True:
                held.enter_context(stranger(port))
                await asyncio.sleep(0.005)

    async with site.serving():
        floods = [asyncio.create_task(connect_on_and_on(port)) for port in (site.metrics, site.health)]
        await asyncio.sleep(0.5)
        for _ in range(5):
            assert (await site.scrape(prometheus))[0] == 200
            assert (await site.health_of("/healthz"))[0] == 200
        for flood in floods:
            flood.cancel()
        await asyncio.wait(floods)


async def test_of_too_many_connections_the_oldest_is_dropped(site: Site) -> None:
    async with site.serving():
        oldest, *others = [
            await asyncio.open_connection("127.0.0.1", site.health) for _ in range(ports.MOST_CONNECTIONS + 1)
        ]
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(ports.CONNECTION_SECONDS / 2):
                assert await oldest[0].read() == b""
        others[-1][1].write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await others[-1][0].read()).startswith(b"HTTP/1.1 200 ")
        for _, writer in (oldest, *others):
            writer.close()


async def test_a_connection_has_its_seconds_and_no_more(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "CONNECTION_SECONDS", 0.3)
    async with site.serving():
        for port in (site.metrics, site.health):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET")
            with contextlib.suppress(ConnectionError):
                async with asyncio.timeout(5):
                    assert await reader.read() == b""
            writer.close()


async def test_what_is_no_request_is_answered_and_not_logged(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    async with site.serving(is_secure=False):
        caplog.clear()
        for said in (b"\0 x\r\n\r\n", b"GET / HTTP/1.1\r\nA: " + b"x" * 100_000 + b"\r\n\r\n", b"GET x y z\r\n\r\n"):
            reader, writer = await asyncio.open_connection("127.0.0.1", site.metrics)
            writer.write(said)
            with contextlib.suppress(ConnectionError):
                assert (await reader.read()).startswith(b"HTTP/1.0 400 ")
            writer.close()
    assert [one for one in caplog.records if one.levelname != "DEBUG"] == []
