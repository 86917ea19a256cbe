"""`berth capture`: what it takes, what it leaves out, what it is refused, and that it never asks for a Secret."""

import asyncio
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from cli.__main__ import main
from cli.capture import run as run_module
from cli.capture.choose import LOG_BYTES, PODS, containers, log_path, metrics_path
from cli.capture.clean import LEFT_OUT, cleaned, scrubbed
from cli.capture.run import Capture, take
from kube.errors import ServerError
from kube.io.client import Client
from kube.resource import EVENTS, SECRETS
from lab.apiserver.server import ApiServer
from tests.cli.setups import ADDRESS, BERTH, Setup

SECRET = "hunter2-do-not-show"


class TestClean:
    def test_annotations_of_others_keep_their_names_alone(self) -> None:
        mine = {"berth.dev/ips": ADDRESS, "metallb.io/address-pool": "edge"}
        one = {"metadata": {"annotations": {**mine, "k3s.io/node-args": SECRET}, "managedFields": [{}]}}
        assert cleaned(one) == {"metadata": {"annotations": {**mine, "k3s.io/node-args": LEFT_OUT}}}

    def test_of_templates_as_well(self) -> None:
        one = {"spec": {"template": {"metadata": {"annotations": {"vault/role": SECRET}}}}}
        assert SECRET not in json.dumps(cleaned(one))

    @pytest.mark.parametrize("name", ["env", "envFrom", "data", "stringData", "password", "token"])
    def test_fields_that_may_hold_a_secret_go(self, name: str) -> None:
        assert cleaned({"spec": {"a": [{name: SECRET}]}}) == {"spec": {"a": [{name: LEFT_OUT}]}}

    def test_arguments_of_other_containers_go_and_ours_stay(self) -> None:
        ours = {"name": "speaker", "image": "berth", "args": ["--log-level=info"]}
        strange = {"name": "mesh", "image": "mesh", "args": [SECRET], "command": [SECRET]}
        found = cleaned({"spec": {"containers": [ours, strange]}})
        assert found["spec"]["containers"] == [ours, {**strange, "args": LEFT_OUT, "command": LEFT_OUT}]

    def test_sharing_keys_can_be_told_apart_and_not_be_used(self) -> None:
        keys = [cleaned({"spec": {"sharingKey": key}})["spec"]["sharingKey"] for key in ("a", "a", "b")]
        assert keys[0] == keys[1] != keys[2]
        assert all(key.startswith(LEFT_OUT) for key in keys)
        annotated = {"metadata": {"annotations": {"berth.dev/sharing-key": SECRET}}}
        assert SECRET not in json.dumps(cleaned(annotated))

    @pytest.mark.parametrize(
        "line",
        [
            f"password={SECRET}",
            f"PASSWORD: '{SECRET}', next",
            f'{{"token": "{SECRET}", "a": 1}}',
            f'"{{\\"password\\": \\"{SECRET}\\"}}"',
            f"Authorization: Bearer {SECRET}",
            f"token eyJhbGciOiJSUzI1NiJ9.{SECRET}.c2ln",
            f"-----BEGIN RSA PRIVATE KEY-----\n{SECRET.replace('-', '/')}\n-----END RSA PRIVATE KEY-----",
        ],
    )
    def test_lines_lose_what_looks_like_a_secret(self, line: str) -> None:
        found = scrubbed(line)
        assert "hunter2" not in found
        assert LEFT_OUT in found

    def test_json_stays_json(self) -> None:
        one = {
            "spec": {"automountServiceAccountToken": True, "serviceAccountToken": {"path": "token"}, "a": "token: x"}
        }
        assert json.loads(json.dumps(cleaned(one)))["spec"]["a"] == f"token: {LEFT_OUT}"

    def test_other_lines_stay_as_they_are(self) -> None:
        line = "[info] address taken over   address=192.0.2.10 passwordSecretRef=berth-bgp"
        assert scrubbed(line) == line


def pod(name: str, node: str = "node1", *, restarts: int = 0) -> dict[str, Any]:
    component = name.split("-")[1]
    container = {
        "name": component,
        "image": "berth",
        "env": [{"name": "A", "value": SECRET}],
        "ports": [{"name": "metrics", "containerPort": 7472}],
    }
    return {
        "metadata": {"name": name, "labels": {"app.kubernetes.io/component": component}},
        "spec": {"nodeName": node, "containers": [container, {"name": "mesh", "image": "mesh"}]},
        "status": {"containerStatuses": [{"name": component, "restartCount": restarts}]},
    }


def test_allocators_come_first_and_containers_of_others_are_left_out() -> None:
    found = list(containers([pod("berth-speaker-a"), pod("berth-allocator-b", restarts=2)]))
    assert [(one.pod, one.name, one.restarted) for one in found] == [
        ("berth-allocator-b", "allocator", True),
        ("berth-speaker-a", "speaker", False),
    ]
    assert log_path(BERTH, found[0], previous=True) == (
        f"/api/v1/namespaces/{BERTH}/pods/berth-allocator-b/log?container=allocator&tailLines=10000"
        f"&limitBytes={LOG_BYTES}&timestamps=true&previous=true"
    )
    path = f"/api/v1/namespaces/{BERTH}/pods/https:berth-allocator-b:7472/proxy/metrics"
    assert metrics_path(BERTH, found[0], "https:") == path


class WithKubelets(Client):
    """The stand-in has no kubelets: these are what they answer. Allocators may be scraped by TLS alone, speakers not at
    all."""

    async def fetch(self, path: str, *, most: int, idle_seconds: float = 10.0) -> bytes:
        if "/log?" in path:
            return f"[info] serves password={SECRET} {path}\n".encode()
        if "https:berth-allocator" in path:
            return b"berth_leading 1\n"
        if "/proxy/" in path:
            raise ServerError(503, "ServiceUnavailable", "connection refused")
        return await super().fetch(path, most=most, idle_seconds=idle_seconds)


async def captured(client: Client, **how: Any) -> tuple[Capture, dict[str, str]]:
    """The capture, and its files."""
    into = io.BytesIO()
    with tarfile.open(fileobj=into, mode="w:gz") as archive:
        one = Capture(client, BERTH, archive, "fault")
        await take(one, **{"with_logs": True, "nodes": frozenset(), **how})
    into.seek(0)
    with tarfile.open(fileobj=into) as archive:
        files = {entry.name: archive.extractfile(entry).read().decode() for entry in archive}  # type: ignore[union-attr]
    return one, {name.removeprefix("fault/"): content for name, content in files.items()}


def items(files: dict[str, str], plural: str) -> list[str]:
    return [one["metadata"]["name"] for one in json.loads(files[f"objects/{plural}.json"])["items"]]


@pytest.mark.slow
@pytest.mark.asyncio(loop_scope="module")
class TestCapture:
    async def take(self, setup: Setup, api_server: ApiServer, **how: Any) -> tuple[Capture, dict[str, str]]:
        path = str(api_server.kubeconfig_path)
        async with await WithKubelets.connect(path, user_agent="test") as client:
            return await captured(client, **how)

    async def test_it_has_what_concerns_berth_and_nothing_else(self, setup: Setup, api_server: ApiServer) -> None:
        await setup.service("internal", type="ClusterIP")
        about = {"kind": "Service", "namespace": "default", "name": "web"}
        for name, involved in (("one", about), ("two", {**about, "name": "internal"})):
            event = {"metadata": {"name": name}, "involvedObject": involved, "reason": "Moved", "message": "m"}
            await setup.client.create(EVENTS, event, "default")
        try:
            one, files = await self.take(setup, api_server)
        finally:
            for name in ("one", "two"):
                await setup.client.delete(EVENTS, name, namespace="default")
        assert items(files, "services") == ["web"]
        assert items(files, "endpointslices") == ["web-1"]
        assert items(files, "events") == ["one"]
        assert items(files, "nodes") == ["node1", "node2"]
        assert items(files, "ippools") == ["edge"]
        assert "berth-speaker-node1" in items(files, "leases")
        assert json.loads(files["status.json"])["wrong"] == []
        assert "gitVersion" in files["version-server.json"]
        assert files["version-berth.txt"].startswith("berth ")
        assert one.refused == []

    async def test_logs_and_metrics_of_its_pods(self, setup: Setup, api_server: ApiServer) -> None:
        for name, node in (("berth-allocator-a", "node2"), ("berth-speaker-1", "node1"), ("berth-speaker-2", "node2")):
            body = pod(name, node)
            await setup.client.create(PODS, body, BERTH)
            await setup.client.merge_patch(
                PODS, name, {"status": body["status"]}, namespace=BERTH, subresource="status"
            )
        try:
            one, files = await self.take(setup, api_server, nodes=frozenset({"node1"}))
            _, without = await self.take(setup, api_server, with_logs=False)
        finally:
            for name in ("berth-allocator-a", "berth-speaker-1", "berth-speaker-2"):
                await setup.client.delete(PODS, name, namespace=BERTH)
        logs = [name for name in files if name.startswith("logs/")]
        assert sorted(logs) == ["logs/berth-allocator-a/allocator.log", "logs/berth-speaker-1/speaker.log"]
        assert files["metrics/berth-allocator-a.txt"] == "berth_leading 1\n"
        assert [name for name, _ in one.missing] == ["metrics/berth-speaker-1.txt"]
        assert not any(name.startswith("logs/") for name in without)
        assert not any(SECRET in content for content in (*files.values(), *without.values()))

    async def test_secrets_are_never_asked_for(self, setup: Setup, api_server: ApiServer) -> None:
        body = {"metadata": {"name": "berth-bgp"}, "stringData": {"tor1": SECRET}}
        await setup.client.create(SECRETS, body, BERTH)
        before = api_server.counters.total(resource="secrets")
        _, files = await self.take(setup, api_server)
        asked = api_server.counters.total(resource="secrets") - before
        await setup.client.delete(SECRETS, "berth-bgp", namespace=BERTH)
        assert asked == 0
        assert not any(SECRET in content for content in files.values())

    async def test_what_is_refused_is_told_and_the_rest_goes_on(self, setup: Setup, kubeconfig: str) -> None:
        async with await Client.connect(kubeconfig, user_agent="test", acts_as="nobody") as nobody:
            one, files = await captured(nobody)
        assert {"services", "pods", "nodes", "ippools"} <= {name for name, _ in one.refused}
        assert "you may not" in one.refused[0][1]
        assert "version-berth.txt" in files

    async def test_it_has_a_bound(self, setup: Setup, api_server: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(run_module, "MOST_OBJECTS", 1)
        one, files = await self.take(setup, api_server)
        assert len(items(files, "nodes")) == 1
        assert (
            "nodes",
            f"more than 1 objects, or {run_module.MOST_KIND_BYTES >> 20} MB: the first 1 are there",
        ) in one.missing
        monkeypatch.setattr(run_module, "MOST_BYTES", 1000)
        one, files = await self.take(setup, api_server)
        assert sum(map(len, files.values())) <= 1000
        assert any("would be larger" in why for _, why in one.missing)


@pytest.mark.slow
@pytest.mark.asyncio(loop_scope="module")
class TestFile:
    async def run(self, kubeconfig: str, path: Path) -> int:
        return await asyncio.to_thread(main, ["capture", "-o", str(path), "--kubeconfig", kubeconfig])

    async def test_it_is_its_owners_alone_and_says_what_is_in_it(
        self, setup: Setup, kubeconfig: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path = tmp_path / "fault.tar.gz"
        assert await self.run(kubeconfig, path) == 0
        assert path.stat().st_mode & 0o777 == 0o600
        with tarfile.open(path) as archive:
            assert "fault/contents.txt" in archive.getnames()
        out = capsys.readouterr().out
        assert "took     objects/ippools.json" in out
        assert "left out Secrets" in out
        assert await self.run(kubeconfig, path) == 2
        assert "is there already: name another file by -o" in capsys.readouterr().err

    async def test_nothing_is_left_where_the_api_server_does_not_answer(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        async with ApiServer(tmp_path) as gone:
            kubeconfig = str(gone.kubeconfig_path)
        path = tmp_path / "fault.tar.gz"
        assert await self.run(kubeconfig, path) == 2
        assert "the API server does not answer" in capsys.readouterr().err
        assert not path.exists()

    async def test_a_file_that_can_not_be_written_is_one_line(
        self, kubeconfig: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert await self.run(kubeconfig, Path("/nosuch/fault.tar.gz")) == 2
        assert capsys.readouterr().err.startswith("berth: /nosuch/fault.tar.gz can't be written: No such file")
