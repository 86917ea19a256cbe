"""The real kubectl against the stand-in: what a user types, and what a user reads."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from lab.apiserver.server import ApiServer

pytestmark = [pytest.mark.lab, pytest.mark.asyncio]

ROOT = Path(__file__).parents[3]
KUBECTL = Path(sys.executable).with_name("kubectl")
PATIENCE_SECONDS = 30.0
Json = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[list[str]]:
        """The words of each line."""
        return [line.split() for line in self.out.splitlines()]


class Kubectl:
    """Runs kubectl with the admin's kubeconfig and a home of its own (its caches)."""

    def __init__(self, server: ApiServer, home: Path) -> None:
        self.server = server
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "KUBECONFIG": str(server.kubeconfig_path),
        }

    async def start(self, *arguments: str, stdin: bool = False, **environment: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            KUBECTL,
            *arguments,
            stdin=asyncio.subprocess.PIPE if stdin else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self._environment | environment,
        )

    async def run(self, *arguments: str, given: Any = None, **environment: str) -> Answer:
        """Whatever comes of it; `given` is an object (or several) for the standard input."""
        text = None
        if given is not None:
            text = yaml.safe_dump_all(given if isinstance(given, list) else [given]).encode()
        process = await self.start(*arguments, stdin=text is not None, **environment)
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                out, err = await process.communicate(text)
        except TimeoutError:
            process.kill()
            await process.communicate()
            raise
        return Answer(process.returncode or 0, out.decode(), err.decode())

    async def __call__(self, *arguments: str, given: Any = None, **environment: str) -> Answer:
        """It must succeed, and warn of nothing."""
        answer = await self.run(*arguments, given=given, **environment)
        assert answer.code == 0, answer.err
        assert "Warning" not in answer.err
        return answer

    async def json(self, *arguments: str) -> Any:
        return json.loads((await self("get", *arguments, "-o", "json")).out)


@pytest_asyncio.fixture
async def kubectl(tmp_path: Path) -> AsyncIterator[Kubectl]:
    async with ApiServer(tmp_path / "server") as server:
        yield Kubectl(server, tmp_path)


@pytest_asyncio.fixture
async def berth(kubectl: Kubectl) -> Kubectl:
    """With our definitions installed."""
    await kubectl("apply", "-f", str(ROOT / "crds" / "manifests"))
    return kubectl


SERVICE: Json = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "example-service"},
    "spec": {"selector": {"app": "example"}, "ports": [{"port": 8765, "targetPort": 9376}], "type": "LoadBalancer"},
}
POOL: Json = {
    "apiVersion": "berth.dev/v1beta1",
    "kind": "IPPool",
    "metadata": {"name": "lab"},
    "spec": {"addresses": ["192.0.2.0/24"]},
}


def with_port(port: int) -> Json:
    return SERVICE | {"spec": SERVICE["spec"] | {"ports": [{"port": port, "targetPort": 9376}]}}


async def give_address(kubectl: Kubectl, address: str = "192.0.2.1") -> None:
    patch = json.dumps({"status": {"loadBalancer": {"ingress": [{"ip": address}]}}})
    await kubectl("patch", "svc", "example-service", "--subresource=status", "--type=merge", "-p", patch)


async def test_the_service_of_the_documentation_by_its_own_commands(kubectl: Kubectl) -> None:
    await kubectl("create", "deployment", "example", "--image=x")
    answer = await kubectl(
        *("expose", "deployment", "example", "--port=8765", "--target-port=9376"),
        *("--name=example-service", "--type=LoadBalancer"),
    )
    assert answer.out == "service/example-service exposed\n"
    service = await kubectl.json("service", "example-service")
    assert service["spec"]["selector"] == {"app": "example"}
    assert service["spec"]["type"] == "LoadBalancer"
    answer = await kubectl("get", "deployments")
    assert answer.rows == [
        ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"],
        ["example", "0/1", "0", "0", answer.rows[1][4]],
    ]


async def test_applying_creates_then_changes_nothing_then_changes(kubectl: Kubectl) -> None:
    outcomes = [(await kubectl("apply", "-f", "-", given=each)).out for each in (SERVICE, SERVICE, with_port(80))]
    assert [each.split()[-1] for each in outcomes] == ["created", "unchanged", "configured"]
    answer = await kubectl("get", "svc", "example-service", "-o", "jsonpath={.spec.ports[*].port}")
    assert answer.out == "80"
    difference = await kubectl.run("diff", "-f", "-", given=with_port(81))
    assert difference.code == 1
    assert "+  - nodePort" in difference.out or "+    port: 81" in difference.out


async def test_a_service_is_shown_pending_and_then_with_its_address(kubectl: Kubectl) -> None:
    await kubectl("apply", "-f", "-", given=SERVICE)
    answer = await kubectl("get", "services", "example-service", "-o", "wide")
    assert answer.rows[0] == ["NAME", "TYPE", "CLUSTER-IP", "EXTERNAL-IP", "PORT(S)", "AGE", "SELECTOR"]
    assert answer.rows[1][3] == "<pending>"
    assert answer.rows[1][4].startswith("8765:")
    await give_address(kubectl)
    assert (await kubectl("get", "svc", "example-service")).rows[1][3] == "192.0.2.1"
    described = (await kubectl("describe", "services", "example-service")).out
    lines = {line.partition(":")[0]: line.partition(":")[2].strip() for line in described.splitlines()}
    assert lines["LoadBalancer Ingress"] == "192.0.2.1 (VIP)"
    assert lines["Type"] == "LoadBalancer"
    assert lines["TargetPort"] == "9376/TCP"
    assert lines["Events"] == "<none>"


async def test_watching_shows_each_change_in_the_same_columns(berth: Kubectl) -> None:
    await berth("apply", "-f", "-", given=SERVICE)
    process = await berth.start("get", "services", "example-service", "--watch", "--output-watch-events")
    assert process.stdout is not None

    async def row() -> list[str]:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return (await process.stdout.readline()).decode().split()  # type: ignore[union-attr]

    try:
        assert await row() == ["EVENT", "NAME", "TYPE", "CLUSTER-IP", "EXTERNAL-IP", "PORT(S)", "AGE"]
        first = await row()
        assert (first[0], first[4]) == ("ADDED", "<pending>")
        await give_address(berth)
        changed = await row()
        assert (changed[0], changed[4]) == ("MODIFIED", "192.0.2.1")
        await berth("delete", "service", "example-service")
        assert (await row())[0] == "DELETED"
    finally:
        process.kill()
        await process.communicate()


async def test_patch_label_and_annotate(kubectl: Kubectl) -> None:
    await kubectl("apply", "-f", "-", given=SERVICE)
    await kubectl("patch", "svc", "example-service", "-p", '{"spec":{"ports":[{"port":8765,"name":"web"}]}}')
    await kubectl(
        *("patch", "svc", "example-service", "--type=json"),
        *(
            "-p",
            '[{"op":"test","path":"/spec/ports/0/name","value":"web"},{"op":"remove","path":"/spec/ports/0/name"}]',
        ),
    )
    await kubectl("label", "svc", "example-service", "a=b")
    await kubectl("annotate", "svc", "example-service", "berth.dev/pool=lab")
    service = await kubectl.json("svc", "example-service")
    assert service["metadata"]["labels"] == {"a": "b"}
    assert service["metadata"]["annotations"]["berth.dev/pool"] == "lab"
    assert service["spec"]["ports"][0]["targetPort"] == 9376  # the strategic merge patch kept it
    assert "name" not in service["spec"]["ports"][0]
    assert "example-service" in (await kubectl("get", "svc", "-l", "a=b")).out
    refused = await kubectl.run("label", "svc", "example-service", "a=c")
    assert "already has a value (b), and --overwrite is false" in refused.err
    await kubectl("label", "svc", "example-service", "a-")
    assert "labels" not in (await kubectl.json("svc", "example-service"))["metadata"]


async def test_edit_opens_what_is_there_and_writes_what_was_saved(kubectl: Kubectl) -> None:
    await kubectl("apply", "-f", "-", given=SERVICE)
    await kubectl("edit", "svc", "example-service", EDITOR="sed -i s/9376/9377/")
    assert (await kubectl.json("svc", "example-service"))["spec"]["ports"][0]["targetPort"] == 9377


async def test_delete_waits_for_the_finalizer(kubectl: Kubectl) -> None:
    await kubectl("apply", "-f", "-", given=SERVICE)
    await kubectl("patch", "svc", "example-service", "-p", '{"metadata":{"finalizers":["a.example/b"]}}')
    process = await kubectl.start("delete", "svc", "example-service", "--wait")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1.5):
            await process.wait()
    assert (await kubectl.json("svc", "example-service"))["metadata"]["deletionTimestamp"]
    await kubectl(
        "patch", "svc", "example-service", "-p", '{"metadata":{"$deleteFromPrimitiveList/finalizers":["a.example/b"]}}'
    )
    async with asyncio.timeout(PATIENCE_SECONDS):
        await process.communicate()
    assert process.returncode == 0
    gone = await kubectl.run("get", "svc", "example-service")
    assert gone.err == 'Error from server (NotFound): services "example-service" not found\n'


async def test_server_side_apply_conflicts_and_forces(kubectl: Kubectl) -> None:
    changed = SERVICE | {"spec": {**SERVICE["spec"], "selector": {"app": "other"}}}
    await kubectl("apply", "--server-side", "-f", "-", given=SERVICE)
    await kubectl("apply", "--server-side", "-f", "-", given=SERVICE)
    before = await kubectl.json("svc", "example-service", "--show-managed-fields")
    [entry] = [each for each in before["metadata"]["managedFields"] if each["operation"] == "Apply"]
    assert (entry["manager"], entry["apiVersion"]) == ("kubectl", "v1")
    refused = await kubectl.run("apply", "--server-side", "--field-manager=other", "-f", "-", given=changed)
    assert refused.code == 1
    assert 'Apply failed with 1 conflict: conflict with "kubectl": .spec.selector' in refused.err
    await kubectl("apply", "--server-side", "--field-manager=other", "--force-conflicts", "-f", "-", given=changed)
    assert (await kubectl.json("svc", "example-service"))["spec"]["selector"] == {"app": "other"}


async def test_our_kinds_are_listed_described_and_explained(berth: Kubectl) -> None:
    await berth("apply", "-f", "-", given=POOL)
    assert (await berth("apply", "-f", "-", given=POOL)).out == "ippool.berth.dev/lab unchanged\n"
    assert "ippool.berth.dev/lab" in (await berth("get", "berth")).out
    columns = (await berth("get", "ipp")).rows[0]
    assert columns[0] == "NAME"
    assert {"READY", "AGE"} <= set(columns)
    wide = (await berth("get", "ippools", "-o", "wide")).rows
    assert len(wide[0]) > len(columns)
    assert "Addresses:\n    192.0.2.0/24" in (await berth("describe", "ippool", "lab")).out
    explained = (await berth("explain", "ippool.spec.strategy")).out
    assert "ENUM:\n    LowestFirst\n    Random\n    Sticky" in explained
    definitions = (ROOT / "crds" / "manifests").glob("*.yaml")
    plurals = [yaml.safe_load(path.read_text())["spec"]["names"]["plural"] for path in definitions]
    assert len(plurals) == 11
    for plural in plurals:
        assert "spec\t<Object>" in (await berth("explain", plural)).out
        assert "berth.dev" in (await berth("explain", f"{plural}.spec", "--recursive")).out


async def test_built_in_kinds_are_explained_too(kubectl: Kubectl) -> None:
    explained = (await kubectl("explain", "service.spec.ports")).out
    assert "KIND:       Service" in explained
    assert "targetPort\t<IntOrString>" in explained
    assert "loadBalancerClass" in (await kubectl("explain", "service.spec")).out


async def test_unknown_fields_are_refused_or_warned_of_as_asked(berth: Kubectl) -> None:
    odd = POOL | {"spec": POOL["spec"] | {"adresses": ["192.0.2.0/24"]}}
    refused = await berth.run("apply", "-f", "-", given=odd)
    assert refused.code == 1
    assert 'strict decoding error: unknown field "spec.adresses"' in refused.err
    warned = await berth.run("apply", "--validate=warn", "-f", "-", given=odd)
    assert (warned.code, warned.err) == (0, 'Warning: unknown field "spec.adresses"\n')
    assert "adresses" not in (await berth.json("ippool", "lab"))["spec"]
    warned = await berth.run("apply", "--server-side", "--validate=warn", "-f", "-", given=odd)
    assert (warned.code, warned.err) == (0, 'Warning: unknown field "spec.adresses"\n')


async def test_a_bad_object_is_refused_with_every_reason(berth: Kubectl) -> None:
    bad = POOL | {"spec": {"addresses": ["nonsense"], "strategy": "Best"}}
    refused = await berth.run("apply", "-f", "-", given=bad)
    assert refused.code == 1
    assert (
        'spec.strategy: Unsupported value: "Best": supported values: "LowestFirst", "Random", "Sticky"' in refused.err
    )
    refused = await berth.run("apply", "-f", "-", given=POOL | {"spec": {"addresses": ["nonsense"]}})
    assert 'spec.addresses[0]: Invalid value: "nonsense": write a network' in refused.err


async def test_events_are_listed_and_described(kubectl: Kubectl) -> None:
    await kubectl("apply", "-f", "-", given=SERVICE)
    service = await kubectl.json("svc", "example-service")
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "example-service.1", "namespace": "default"},
        "involvedObject": {
            "apiVersion": "v1",
            "kind": "Service",
            "namespace": "default",
            "name": "example-service",
            "uid": service["metadata"]["uid"],
        },
        "type": "Normal",
        "reason": "Allocated",
        "message": "192.0.2.1 from pool lab",
        "source": {"component": "berth-allocator"},
        "firstTimestamp": service["metadata"]["creationTimestamp"],
        "lastTimestamp": service["metadata"]["creationTimestamp"],
        "count": 1,
    }
    await kubectl("create", "-f", "-", given=event)
    words = ["Normal", "Allocated", "service/example-service", "192.0.2.1", "from", "pool", "lab"]
    assert (await kubectl("get", "events")).rows[1][1:] == words
    listed = (await kubectl("events", "--for", "service/example-service")).out
    assert "192.0.2.1 from pool lab" in listed
    described = (await kubectl("describe", "service", "example-service")).out
    assert "Allocated" in described.partition("Events:")[2]
    assert "berth-allocator" in described.partition("Events:")[2]


async def test_nodes_are_shown_described_and_cordoned(kubectl: Kubectl) -> None:
    node = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": "n1", "labels": {"node-role.kubernetes.io/worker": ""}},
    }
    await kubectl("apply", "-f", "-", given=node)
    status = {
        "status": {
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
            "addresses": [{"type": "InternalIP", "address": "172.30.0.11"}],
        }
    }
    await kubectl("patch", "node", "n1", "--subresource=status", "-p", json.dumps(status))
    row = (await kubectl("get", "nodes", "-o", "wide")).rows[1]
    assert row[:3] == ["n1", "Ready", "worker"]
    assert "172.30.0.11" in row
    await kubectl("cordon", "n1")
    assert (await kubectl("get", "nodes")).rows[1][1] == "Ready,SchedulingDisabled"
    described = (await kubectl("describe", "node", "n1")).out
    assert "InternalIP:  172.30.0.11" in described
    assert "KubeletReady" in described


async def test_namespaces_secrets_and_rights_are_created_by_their_own_commands(kubectl: Kubectl) -> None:
    await kubectl("create", "namespace", "berth-system")
    await kubectl("-n", "berth-system", "create", "serviceaccount", "speaker")
    await kubectl("-n", "berth-system", "create", "secret", "generic", "key", "--from-literal=a=b")
    await kubectl("-n", "berth-system", "create", "configmap", "c", "--from-literal=a=b")
    await kubectl("create", "clusterrole", "speaker", "--verb=get", "--resource=services")
    await kubectl(
        "create", "clusterrolebinding", "speaker", "--clusterrole=speaker", "--serviceaccount=berth-system:speaker"
    )
    rows = (await kubectl("get", "secrets,configmaps", "-n", "berth-system")).rows
    assert rows[1][:3] == ["secret/key", "Opaque", "1"]
    identity = "system:serviceaccount:berth-system:speaker"
    allowed = await kubectl("auth", "can-i", "get", "services", "--as", identity)
    assert allowed.out == "yes\n"
    denied = await kubectl.run("auth", "can-i", "delete", "services", "--as", identity)
    assert (denied.code, denied.out) == (1, "no\n")
    token = (await kubectl("-n", "berth-system", "create", "token", "speaker")).out.strip()
    by_token = await kubectl.run("get", "services", "-A", "--token", token, "--kubeconfig", str(await _bare(kubectl)))
    assert by_token.code == 1
    assert 'cannot list resource "services" in API group "" at the cluster scope' in by_token.err
    await kubectl("delete", "namespace", "berth-system")
    assert "berth-system" not in (await kubectl("get", "namespaces")).out


async def _bare(kubectl: Kubectl) -> Path:
    """A kubeconfig without credentials: the admin's would win over --token."""
    config = yaml.safe_load(kubectl.server.kubeconfig_path.read_text())
    config["users"] = [{"name": each["name"], "user": {}} for each in config["users"]]
    path = kubectl.server.directory / "bare.kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return path


async def test_waiting_for_a_condition(berth: Kubectl) -> None:
    await berth("apply", "-f", "-", given=POOL)
    process = await berth.start("wait", "--for=condition=Ready", "ippool/lab", "--timeout=20s")
    await asyncio.sleep(0.5)
    condition = {"type": "Ready", "status": "True", "reason": "Ready", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    patch = json.dumps({"status": {"conditions": [condition]}})
    await berth("patch", "ippool", "lab", "--subresource=status", "--type=merge", "-p", patch)
    out, err = await process.communicate()
    assert (process.returncode, err) == (0, b"")
    assert out == b"ippool.berth.dev/lab condition met\n"


async def test_a_definition_goes_with_its_objects(berth: Kubectl) -> None:
    await berth("apply", "-f", "-", given=POOL)
    await berth("delete", "crd", "ippools.berth.dev")
    gone = await berth.run("get", "ippools")
    assert "Error from server (NotFound)" in gone.err
    broken: Json = yaml.safe_load((ROOT / "crds" / "manifests" / "ippools.yaml").read_text())
    spec = broken["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    spec["x-kubernetes-validations"] = [{"rule": "self.adresses.size() > 0"}]
    refused = await berth.run("apply", "-f", "-", given=broken)
    assert refused.code == 1
    assert "undefined field 'adresses'" in refused.err


async def test_a_watch_ends_when_the_definition_is_deleted(berth: Kubectl) -> None:
    await berth("apply", "-f", "-", given=POOL)
    process = await berth.start("get", "ippools", "--watch-only", "--output-watch-events")
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while berth.server.watch_count == 0:
                await asyncio.sleep(0.02)
            await berth("delete", "crd", "ippools.berth.dev")
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
    assert (process.returncode, err.decode()) == (0, "")
    assert [line.split()[0] for line in out.decode().splitlines()] == ["EVENT", "DELETED"]


async def test_a_list_is_created_and_applied(berth: Kubectl) -> None:
    several = {"apiVersion": "v1", "kind": "List", "items": [SERVICE, POOL]}
    created = await berth("create", "-f", "-", "--save-config", given=several)
    assert created.out == "service/example-service created\nippool.berth.dev/lab created\n"
    applied = await berth("apply", "-f", "-", given=several)
    assert applied.out == "service/example-service unchanged\nippool.berth.dev/lab unchanged\n"


async def test_a_list_with_wrong_fields_is_refused_before_anything_is_created(berth: Kubectl) -> None:
    odd = POOL | {"spec": POOL["spec"] | {"adresses": ["192.0.2.0/24"]}}
    wrong = SERVICE | {"spec": SERVICE["spec"] | {"ports": [{"port": "http"}]}}
    refused = await berth.run("create", "-f", "-", given={"apiVersion": "v1", "kind": "List", "items": [wrong, odd]})
    assert refused.code == 1
    assert 'unknown field "adresses" in dev.berth.v1beta1.IPPool.spec' in refused.err
    assert 'invalid type for io.k8s.api.core.v1.ServicePort.port: got "string", expected "integer"' in refused.err
    assert "example-service" not in (await berth("get", "services")).out


async def test_a_kind_that_is_not_served_is_named_with_what_to_do(kubectl: Kubectl) -> None:
    for verb in ("apply", "create"):
        refused = await kubectl.run(verb, "-f", "-", given=POOL)
        assert refused.code == 1
        assert 'no matches for kind "IPPool" in version "berth.dev/v1beta1"' in refused.err
        assert "ensure CRDs are installed first" in refused.err


async def test_other_questions_that_users_ask(kubectl: Kubectl) -> None:
    assert "Server Version: v1.36.2" in (await kubectl("version")).out
    assert (await kubectl("get", "--raw", "/readyz")).out == "ok"
    assert "apps/v1" in (await kubectl("api-versions")).rows[2]
    resources = (await kubectl("api-resources", "--api-group=discovery.k8s.io")).rows
    assert resources[1] == ["endpointslices", "discovery.k8s.io/v1", "true", "EndpointSlice"]
    assert "kubernetes-admin" in (await kubectl("auth", "whoami")).out
    assert (await kubectl.run("get", "nothing")).err == 'error: the server doesn\'t have a resource type "nothing"\n'
    await kubectl("create", "deployment", "web", "--image=x")
    await kubectl("scale", "deployment", "web", "--replicas=3")
    assert (await kubectl("get", "deploy", "web")).rows[1][1] == "0/3"
    await kubectl("run", "pod", "--image=x")
    assert (await kubectl("get", "pods")).rows[1][:3] == ["pod", "0/1", "Pending"]
    await kubectl("delete", "pod", "pod", "--wait")
    assert "service/kubernetes" in (await kubectl("get", "all")).out
