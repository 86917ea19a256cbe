"""How we find the API server and say who we are; over TLS where that matters."""

import asyncio
import datetime
import os
import signal
import ssl
import stat
import sys
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml
from aiohttp import web

from kube.config.io import credentials
from kube.config.io.credentials import Credentials, CredentialsError
from kube.errors import Unauthorized, Unreachable
from kube.io.client import Client
from kube.resource import IPPOOLS
from tests.kube.server import Handler, reply, server_tls, serving, status, write_kubeconfig

pytestmark = pytest.mark.asyncio

EXEC_VERSION = "client.authentication.k8s.io/v1"


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(ca: trustme.CA, tmp_path: Path) -> str:
    ca.cert_pem.write_to_path(str(tmp_path / "ca.crt"))
    return str(tmp_path / "ca.crt")


def takes(*tokens: str) -> Handler:
    """200 for a request that bears one of these tokens, 401 for all others."""

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization") in [f"Bearer {token}" for token in tokens]:
            return web.json_response({})
        return await status(401, "Unauthorized")(request)

    return answer


async def ask(kubeconfig: str | None) -> bytes:
    async with await Client.connect(kubeconfig, user_agent="t") as client:
        return await client.get(IPPOOLS, "a")


async def test_the_ca_of_the_kubeconfig_is_the_one_that_counts(
    ca: trustme.CA, ca_file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other.crt"
    trustme.CA().cert_pem.write_to_path(str(other))
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, str(other))
    async with serving(reply({}), tls=server_tls(ca)) as (_, url):
        assert await ask(write_kubeconfig(tmp_path / "good", url, cluster={"certificate-authority": ca_file})) == b"{}"
        with pytest.raises(Unreachable) as caught:
            await ask(write_kubeconfig(tmp_path / "bad", url, cluster={"certificate-authority": str(other)}))
        assert caught.value.reason == "TLS"


async def test_a_ca_that_the_environment_trusts_is_not_trusted_for_it(
    ca: trustme.CA, ca_file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other direction: SSL_CERT_FILE knows the server's CA, the kubeconfig names another."""
    other = tmp_path / "other.crt"
    trustme.CA().cert_pem.write_to_path(str(other))
    monkeypatch.setenv("SSL_CERT_FILE", ca_file)
    async with serving(reply({}), tls=server_tls(ca)) as (_, url):
        with pytest.raises(Unreachable):
            await ask(write_kubeconfig(tmp_path / "c", url, cluster={"certificate-authority": str(other)}))


async def test_a_client_certificate_is_presented(ca: trustme.CA, ca_file: str, tmp_path: Path) -> None:
    cert = ca.issue_cert("somebody")
    cert.cert_chain_pems[0].write_to_path(str(tmp_path / "tls.crt"))
    cert.private_key_pem.write_to_path(str(tmp_path / "tls.key"))
    context = server_tls(ca)
    ca.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    async with serving(reply({}), tls=context) as (_, url):
        user = {"client-certificate": "tls.crt", "client-key": "tls.key"}  # relative to the kubeconfig
        kubeconfig = write_kubeconfig(tmp_path / "c", url, user=user, cluster={"certificate-authority": "ca.crt"})
        assert await ask(kubeconfig) == b"{}"
        with pytest.raises(Unreachable):
            await ask(write_kubeconfig(tmp_path / "d", url, cluster={"certificate-authority": "ca.crt"}))


async def test_a_rotated_token_in_the_kubeconfig_is_read_after_a_401(tmp_path: Path) -> None:
    async with serving(takes("t1"), takes("t2")) as (script, url):
        kubeconfig = write_kubeconfig(tmp_path / "c", url, user={"token": "t1"})
        async with await Client.connect(kubeconfig, user_agent="t") as client:
            await client.get(IPPOOLS, "a")
            write_kubeconfig(tmp_path / "c", url, user={"token": "t2"})
            await client.get(IPPOOLS, "a")
        tokens = [headers["Authorization"] for _, _, headers, _ in script.requests]
        assert tokens == ["Bearer t1", "Bearer t1", "Bearer t2"]


async def test_many_requests_refused_at_once_read_the_credentials_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads = 0
    load = credentials._load

    async def counted(kubeconfig: str | None, now: float, context: str | None) -> Any:
        nonlocal loads
        loads += 1
        await asyncio.sleep(0.05)
        return await load(kubeconfig, now, context)

    monkeypatch.setattr(credentials, "_load", counted)
    async with serving(takes("t2")) as (_, url):
        kubeconfig = write_kubeconfig(tmp_path / "c", url, user={"token": "t1"})
        async with await Client.connect(kubeconfig, user_agent="t") as client:
            write_kubeconfig(tmp_path / "c", url, user={"token": "t2"})
            await asyncio.gather(*(client.get(IPPOOLS, "a") for _ in range(20)))
    assert loads == 2


async def test_a_token_file_of_the_kubeconfig_is_read_again_each_minute(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t1\n")
    kubeconfig = write_kubeconfig(tmp_path / "c", "http://x", user={"tokenFile": "token"})
    one = await Credentials.load(kubeconfig, 1000.0)
    assert one.authorization == "Bearer t1"
    (tmp_path / "token").write_text("t2\n")
    assert not one.is_due(1059.0)
    assert one.is_due(1060.0)
    await one.renew(1060.0)
    assert one.authorization == "Bearer t2"
    assert not one.is_due(1061.0)


async def test_credentials_that_can_not_be_read_for_a_moment_stay_as_they_were(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t1")
    kubeconfig = write_kubeconfig(tmp_path / "c", "http://x", user={"tokenFile": "token"})
    one = await Credentials.load(kubeconfig, 1000.0)
    for broken in ("", None):
        (tmp_path / "token").unlink() if broken is None else (tmp_path / "token").write_text(broken)
        await one.renew(2000.0)
        assert one.authorization == "Bearer t1"


@pytest.fixture
def pod(tmp_path: Path, ca_file: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "token").write_text("t1")
    monkeypatch.setattr(credentials, "SERVICE_ACCOUNT_DIRECTORY", str(tmp_path))
    return tmp_path


def in_cluster(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _, host, port = url.replace("//", "").split(":")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", port)


async def test_in_a_pod_the_projected_token_is_followed_when_it_rotates(
    pod: Path, ca: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(takes("t1"), takes("t2"), takes("t2"), takes("t3"), tls=server_tls(ca)) as (script, url):
        in_cluster(url, monkeypatch)
        async with await Client.connect(None, user_agent="t") as client:
            await client.get(IPPOOLS, "a")
            (pod / "token").write_text("t2")
            await client.get(IPPOOLS, "a")  # refused first: the server knew before we looked
            (pod / "token").write_text("t3")
            monkeypatch.setattr(credentials, "TOKEN_FILE_PERIOD_SECONDS", 0.0)
            await client.get(IPPOOLS, "a")  # a minute later: looked before it was refused
        tokens = [headers["Authorization"] for _, _, headers, _ in script.requests]
        assert tokens == ["Bearer t1", "Bearer t1", "Bearer t2", "Bearer t3"]


async def test_in_a_pod_a_rotated_ca_is_followed(
    pod: Path, ca: trustme.CA, ca_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credentials, "RELOAD_PAUSE_SECONDS", 0.0)
    async with serving(reply({}), tls=server_tls(ca)) as (_, url):
        in_cluster(url, monkeypatch)
        trustme.CA().cert_pem.write_to_path(ca_file)
        async with await Client.connect(None, user_agent="t") as client:
            with pytest.raises(Unreachable):
                await client.get(IPPOOLS, "a")
            ca.cert_pem.write_to_path(ca_file)
            assert await client.get(IPPOOLS, "a") == b"{}"


async def test_outside_a_pod_there_is_no_service_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "SERVICE_ACCOUNT_DIRECTORY", str(tmp_path))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(CredentialsError):
        await Client.connect(None, user_agent="t")


def plugin(folder: Path, *, lives: float | None, code: int = 0) -> dict[str, Any]:
    """An exec plugin that gives token p1, then p2, ..."""
    script = folder / "plugin"
    status: dict[str, str] = {}
    if lives is not None:
        moment = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=lives)
        status["expirationTimestamp"] = moment.strftime("%Y-%m-%dT%H:%M:%SZ")
    script.write_text(
        f"""#!{sys.executable}
import json, pathlib, sys
count = pathlib.Path({str(folder / "count")!r})
number = int(count.read_text()) + 1 if count.exists() else 1
count.write_text(str(number))
status = {{**{status!r}, "token": f"p{{number}}"}}
print(json.dumps({{"apiVersion": {EXEC_VERSION!r}, "kind": "ExecCredential", "status": status}}))
sys.exit({code})
"""
    )
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return {"exec": {"apiVersion": EXEC_VERSION, "command": str(script)}}


async def test_an_exec_plugin_is_run_once_and_again_after_a_401(tmp_path: Path) -> None:
    async with serving(takes("p1"), takes("p1"), takes("p2")) as (script, url):
        kubeconfig = write_kubeconfig(tmp_path / "c", url, user=plugin(tmp_path, lives=None))
        async with await Client.connect(kubeconfig, user_agent="t") as client:
            for _ in range(3):
                await client.get(IPPOOLS, "a")
        tokens = [headers["Authorization"] for _, _, headers, _ in script.requests]
        assert tokens == ["Bearer p1", "Bearer p1", "Bearer p1", "Bearer p2"]


async def test_an_exec_token_is_renewed_before_it_expires(tmp_path: Path) -> None:
    kubeconfig = write_kubeconfig(tmp_path / "c", "http://x", user=plugin(tmp_path, lives=100.0))
    one = await Credentials.load(kubeconfig, 1000.0)
    assert one.authorization == "Bearer p1"
    assert not one.is_due(1070.0)
    assert one.is_due(1081.0)
    await one.renew(1081.0)
    assert one.authorization == "Bearer p2"


async def test_an_exec_plugin_that_fails_is_an_error_and_not_an_anonymous_client(tmp_path: Path) -> None:
    kubeconfig = write_kubeconfig(tmp_path / "c", "http://x", user=plugin(tmp_path, lives=None, code=3))
    with pytest.raises(CredentialsError, match="exec plugin"):
        await Credentials.load(kubeconfig, 0.0)


async def test_a_refused_token_that_stays_the_same_is_unauthorized(tmp_path: Path) -> None:
    async with serving(takes("other")) as (_, url):
        with pytest.raises(Unauthorized):
            await ask(write_kubeconfig(tmp_path / "c", url, user={"token": "t1"}))


async def test_a_request_is_sent_twice_at_most_however_often_credentials_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credentials, "RELOAD_PAUSE_SECONDS", 0.0)
    async with serving(takes("none")) as (script, url):
        with pytest.raises(Unauthorized):
            await ask(write_kubeconfig(tmp_path / "c", url, user=plugin(tmp_path, lives=None)))
        assert len(script.requests) == 2


async def test_name_and_password_still_work(tmp_path: Path) -> None:
    async with serving(reply({})) as (script, url):
        await ask(write_kubeconfig(tmp_path / "c", url, user={"username": "u", "password": "p"}))
        assert script.requests[0][2]["Authorization"] == "Basic dTpw"


@pytest.mark.parametrize("text", ["", "[]", "a: b", "{", "current-context: x\ncontexts: []\nclusters: []\nusers: []"])
async def test_what_is_no_kubeconfig_is_said_to_be_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "c").write_text(text)
    with pytest.raises(CredentialsError):
        await Client.connect(str(tmp_path / "c"), user_agent="t")


@pytest.mark.parametrize(
    ("text", "why"),
    [("a:\n  - [", "is no YAML in line 2"), ("", "is no kubeconfig: it has no fields"), ("[]", "is no kubeconfig")],
)
async def test_a_file_that_is_none_is_named_in_one_line(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "c").write_text(text)
    with pytest.raises(CredentialsError) as refused:
        await Client.connect(str(tmp_path / "c"), user_agent="t")
    assert str(refused.value).startswith(f"the kubeconfig {tmp_path / 'c'} {why}")
    assert "\n" not in str(refused.value)


async def test_a_missing_kubeconfig_is_named(tmp_path: Path) -> None:
    with pytest.raises(CredentialsError, match="nowhere"):
        await Client.connect(str(tmp_path / "nowhere"), user_agent="t")


async def test_the_proxy_of_the_environment_is_used_and_that_of_the_kubeconfig_goes_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(reply({})) as (script, url):
        monkeypatch.setenv("HTTP_PROXY", url)
        assert await ask(write_kubeconfig(tmp_path / "c", "http://api.example:6443")) == b"{}"
        assert script.requests[0][2]["Host"] == "api.example:6443"
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
        assert await ask(write_kubeconfig(tmp_path / "c", "http://api.example", cluster={"proxy-url": url})) == b"{}"
        monkeypatch.setenv("NO_PROXY", "127.0.0.0/8")
        assert await ask(write_kubeconfig(tmp_path / "c", url)) == b"{}"


@pytest.mark.slow
async def test_a_hung_exec_plugin_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "EXEC_TIMEOUT_SECONDS", 0.5)
    command = f"echo $$ > {tmp_path / 'new'}; mv {tmp_path / 'new'} {tmp_path / 'pid'}; exec sleep 60"
    user = {"exec": {"apiVersion": EXEC_VERSION, "command": "sh", "args": ["-c", command]}}
    with pytest.raises(CredentialsError):
        await Credentials.load(write_kubeconfig(tmp_path / "c", "http://x", user=user), 0.0)
    async with asyncio.timeout(30):
        await _ended_by_us(tmp_path / "pid")


async def _ended_by_us(file: Path) -> None:
    """The loop must live as long as the child that it has to reap, and until it has closed the pipes to it."""
    while not file.exists():
        await asyncio.sleep(0.01)
    pid = int(file.read_text())
    os.kill(pid, signal.SIGKILL)  # it runs still
    while Path(f"/proc/{pid}").exists():
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.2)


async def test_a_context_of_the_kubeconfig_may_be_chosen(tmp_path: Path) -> None:
    async with serving(takes("t1")) as (_, right), serving(takes("t2")) as (_, other):
        kubeconfig = write_kubeconfig(tmp_path / "c", other, user={"token": "t2"})
        document = yaml.safe_load(Path(kubeconfig).read_text())
        document["clusters"].append({"name": "second", "cluster": {"server": right}})
        document["users"].append({"name": "second", "user": {"token": "t1"}})
        document["contexts"].append({"name": "second", "context": {"cluster": "second", "user": "second"}})
        Path(kubeconfig).write_text(yaml.safe_dump(document))
        async with await Client.connect(kubeconfig, user_agent="t", context="second") as client:
            await client.get(IPPOOLS, "a")


async def test_acting_as_somebody_is_said_with_each_request(tmp_path: Path) -> None:
    seen = []

    async def answer(request: web.Request) -> web.StreamResponse:
        seen.append(request.headers.get("Impersonate-User"))
        return web.json_response({})

    async with serving(answer) as (_, url):
        kubeconfig = write_kubeconfig(tmp_path / "c", url, user={"token": "t1"})
        async with await Client.connect(kubeconfig, user_agent="t", acts_as="jane") as client:
            await client.get(IPPOOLS, "a")
    assert seen == ["jane"]
