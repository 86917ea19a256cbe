"""The real Helm and the real kubectl against the API server stand-in: install, upgrade, uninstall, and the rights."""

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import helm_python
import pytest
import yaml

from allocator.heartbeatkey import KEY_BYTES, secret
from crds.names import FINALIZER
from kube.errors import ApiError
from kube.io.client import Client
from kube.resource import IPPOOLS, RELEASECONFIRMATIONS, SPEAKERREPORTS, SPEAKERS, Resource
from lab import chart
from lab.kubectl import Kubectl
from lab.net.netns import CommandFailed

pytestmark = pytest.mark.lab

NAMESPACE = "berth-system"
POOL = {
    "apiVersion": "berth.dev/v1beta1",
    "kind": "IPPool",
    "metadata": {"name": "office"},
    "spec": {"addresses": ["192.0.2.10-192.0.2.99"]},
}


@pytest.fixture
def helm(kubectl: Kubectl) -> Iterator[helm_python.Config]:
    """Keeps its releases in memory: Helm writes Secrets in protobuf, which the stand-in does not read."""
    with helm_python.Config(
        kubeconfig_path=kubectl.kubeconfig, namespace=NAMESPACE, storage_driver="memory"
    ) as configuration:
        yield configuration


WITHOUT_JOBS = {"uninstallCheck": {"enabled": False}, "image": {"repository": chart.IMAGE}}
"""Nobody runs Jobs here."""


def install(helm: helm_python.Config, values: dict[str, Any] | None = None) -> None:
    helm.install(str(chart.CHART), "berth", {**WITHOUT_JOBS, **(values or {})}, namespace=NAMESPACE)


def upgrade(helm: helm_python.Config, values: dict[str, Any] | None = None) -> None:
    helm.upgrade(str(chart.CHART), "berth", {**WITHOUT_JOBS, **(values or {})}, namespace=NAMESPACE)


def read(kubectl: Kubectl, *what: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(kubectl("get", *what, f"--namespace={NAMESPACE}", "--output=json"))
    return found


def test_a_release_from_install_to_uninstall(helm: helm_python.Config, kubectl: Kubectl) -> None:
    install(helm)
    kubectl("apply", "-f", "-", stdin=json.dumps(POOL))
    listing = kubectl("get", "berth")
    assert "ippool.berth.dev/office" in listing

    upgrade(helm, {"log": {"level": "debug"}})
    (container,) = read(kubectl, "deployment", "berth-allocator")["spec"]["template"]["spec"]["containers"]
    assert "--log-level=debug" in container["args"]

    helm.uninstall("berth")
    everything = kubectl("get", "deployments,daemonsets,clusterroles,roles,validatingadmissionpolicies", "-A", "-oname")
    assert "berth" not in everything
    assert kubectl("get", "ippools.berth.dev", "-oname").split() == ["ippool.berth.dev/office"]

    install(helm)  # takes over the definitions that were left
    assert kubectl("get", "ippools.berth.dev", "-oname").split() == ["ippool.berth.dev/office"]


EARLIER_SECRET = """
apiVersion: v1
kind: Secret
metadata: {name: berth-heartbeat, namespace: berth-system, labels: {app.kubernetes.io/managed-by: Helm}}
data: {key: b25lIG9mIGFuIGVhcmxpZXIgcmVsZWFzZQ==}
"""


def test_the_key_of_an_earlier_release_of_the_chart_stays(
    helm: helm_python.Config, kubectl: Kubectl, tmp_path: Path
) -> None:
    """That chart made the Secret. It lives through upgrades, with what a rotation added, and through an uninstall."""
    earlier = tmp_path / "berth"
    shutil.copytree(chart.CHART, earlier)
    (earlier / "templates/speaker/secret.yaml").write_text(EARLIER_SECRET)
    helm.install(str(earlier), "berth", WITHOUT_JOBS, namespace=NAMESPACE)
    first = read(kubectl, "secret", "berth-heartbeat")["data"]
    kubectl("patch", "secret", "berth-heartbeat", f"--namespace={NAMESPACE}", '--patch={"stringData": {"next": "n"}}')
    for level in ("debug", "info"):
        upgrade(helm, {"log": {"level": level}})
        assert read(kubectl, "secret", "berth-heartbeat")["data"] == first | {"next": "bg=="}
    helm.uninstall("berth")
    assert read(kubectl, "secret", "berth-heartbeat")["data"] == first | {"next": "bg=="}
    install(helm)
    assert read(kubectl, "secret", "berth-heartbeat")["data"] == first | {"next": "bg=="}


def test_a_secret_that_the_allocator_made_is_none_of_helms_business(helm: helm_python.Config, kubectl: Kubectl) -> None:
    install(helm)
    made = {"apiVersion": "v1", "kind": "Secret", **secret("berth-heartbeat", {}, b"x" * KEY_BYTES)}
    kubectl("create", f"--namespace={NAMESPACE}", "-f", "-", stdin=json.dumps(made))
    upgrade(helm, {"log": {"level": "debug"}})
    helm.uninstall("berth")
    assert read(kubectl, "secret", "berth-heartbeat")["data"] == made["data"]


def test_an_upgrade_brings_definitions_up_to_date(helm: helm_python.Config, kubectl: Kubectl, tmp_path: Path) -> None:
    older = tmp_path / "berth"
    shutil.copytree(chart.CHART, older)
    definition = older / "files/crds/ippools.yaml"
    manifest = yaml.safe_load(definition.read_text())
    del manifest["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["priority"]
    definition.write_text(yaml.safe_dump(manifest))

    helm.install(str(older), "berth", WITHOUT_JOBS, namespace=NAMESPACE)
    kubectl("apply", "-f", "-", stdin=json.dumps(POOL))
    assert "priority" not in read(kubectl, "ippool", "office")["spec"]
    upgrade(helm)
    assert "tried first" in kubectl("explain", "ippool.spec.priority")
    kubectl("annotate", "ippool.berth.dev", "office", "touched=yes")
    assert read(kubectl, "ippool", "office")["spec"]["priority"] == 0


def test_a_bad_object_is_refused_with_advice(helm: helm_python.Config, kubectl: Kubectl) -> None:
    install(helm)
    bad = POOL | {"spec": {"addresses": ["192.0.2.1", "192.0.2.99-192.0.2.10"]}}
    with pytest.raises(CommandFailed) as refusal:
        kubectl("apply", "-f", "-", stdin=json.dumps(bad))
    assert 'spec.addresses[1]: Invalid value: "192.0.2.99-192.0.2.10"' in str(refusal.value)
    assert "write the lower address first" in str(refusal.value)


def test_unknown_fields_warn_and_are_dropped(helm: helm_python.Config, kubectl: Kubectl) -> None:
    install(helm)
    misspelt = POOL | {"spec": {"addresses": ["192.0.2.1"], "autoasign": False}}
    done = kubectl.run("apply", "--validate=warn", "-f", "-", stdin=json.dumps(misspelt))
    assert done.returncode == 0
    assert 'unknown field "spec.autoasign"' in done.stderr
    assert "autoasign" not in read(kubectl, "ippool", "office")["spec"]


def test_fields_are_explained(helm: helm_python.Config, kubectl: Kubectl) -> None:
    install(helm)
    assert "rests before another Service may get it" in " ".join(
        kubectl("explain", "ippool.spec.reuseAfterSeconds").split()
    )


def test_the_lab_installs_all_but_workloads_and_may_repeat_it(kubectl: Kubectl) -> None:
    for _ in range(2):
        chart.install(kubectl.kubeconfig, NAMESPACE)
    accounts = kubectl("get", "serviceaccounts", f"--namespace={NAMESPACE}", "-oname")
    assert "serviceaccount/berth-allocator" in accounts
    assert "serviceaccount/berth-speaker" in accounts
    assert kubectl("get", "deployments,daemonsets", "-A", "-oname") == ""


def account(kubectl: Kubectl, component: str, directory: Path, bound_to: dict[str, Any] | None = None) -> Kubectl:
    """kubectl with a token of the component's service account."""
    spec: dict[str, Any] = {"audiences": [], "expirationSeconds": 3600} | (
        {"boundObjectRef": bound_to} if bound_to else {}
    )
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
    path = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/berth-{component}/token"
    token = json.loads(kubectl("create", f"--raw={path}", "-f", "-", stdin=json.dumps(request)))["status"]["token"]
    configuration = yaml.safe_load(kubectl.kubeconfig.read_text())
    configuration["users"][0]["user"] = {"token": token}
    of_account = directory / f"{component}.kubeconfig"
    of_account.write_text(yaml.safe_dump(configuration))
    return Kubectl(of_account)


async def patch_status(who: Kubectl, resource: Resource, name: str) -> None:
    """As our programs do it. kubectl would read the subresource first, for which they have no right."""
    async with await Client.connect(str(who.kubeconfig), user_agent="test") as client:
        await client.merge_patch(resource, name, {"status": {"conditions": []}}, subresource="status")


def refused(as_account: Kubectl, *command: str, stdin: str | None = None) -> bool:
    done = as_account.run(*command, stdin=stdin)
    return done.returncode != 0 and "forbidden" in done.stderr.lower()


def test_rights_of_the_speakers_account(kubectl: Kubectl, tmp_path: Path) -> None:
    chart.install(kubectl.kubeconfig, NAMESPACE)
    speaker = account(kubectl, "speaker", tmp_path)
    for readable in ("ipallocations", "speakers", "nodes", "endpointslices --all-namespaces"):
        speaker("get", *readable.split())
    assert refused(speaker, "get", "services", "--all-namespaces")
    by_name = "--field-selector=metadata.name="
    speaker("get", "secrets", f"--namespace={NAMESPACE}", f"{by_name}berth-bgp")  # passwords of BGPPeers
    assert refused(speaker, "get", "secrets", f"--namespace={NAMESPACE}", f"{by_name}berth-heartbeat")
    assert refused(speaker, "get", "secrets", f"--namespace={NAMESPACE}")
    assert refused(speaker, "get", "secrets", "--namespace=default")
    assert refused(speaker, "get", "namespaces")
    assert refused(speaker, "delete", "speaker", "node1")
    assert refused(speaker, "apply", "-f", "-", stdin=json.dumps(POOL))


@pytest.mark.asyncio
async def test_rights_of_the_allocators_account(kubectl: Kubectl, tmp_path: Path) -> None:
    chart.install(kubectl.kubeconfig, NAMESPACE)
    allocator = account(kubectl, "allocator", tmp_path)
    for readable in (
        "ippools",
        "speakers",
        "namespaces",
        "servicecidrs",
        "services --all-namespaces",
        "endpointslices",
    ):
        allocator("get", *readable.split())
    assert refused(allocator, "get", "secrets", f"--namespace={NAMESPACE}")
    assert refused(allocator, "get", "leases", "--namespace=default")
    assert refused(allocator, "apply", "-f", "-", stdin=json.dumps(POOL))
    kubectl("apply", "-f", "-", stdin=json.dumps(POOL))
    assert refused(allocator, "patch", "ippool", "office", "--type=merge", '--patch={"spec": {"paused": true}}')
    await patch_status(allocator, IPPOOLS, "office")


def test_the_allocator_makes_its_own_secret_and_no_other(kubectl: Kubectl, tmp_path: Path) -> None:
    """A token of another account of the namespace could be had by a Secret of another type."""
    chart.install(kubectl.kubeconfig, NAMESPACE)
    allocator = account(kubectl, "allocator", tmp_path)
    create = ("create", f"--namespace={NAMESPACE}", "-f", "-")
    token: dict[str, Any] = {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/service-account-token"}
    of_speaker = {"annotations": {"kubernetes.io/service-account.name": "berth-speaker"}}
    own = {"apiVersion": "v1", "kind": "Secret", **secret("berth-heartbeat", {}, b"x" * KEY_BYTES)}
    for refusable in (
        token | {"metadata": {"name": "berth-heartbeat"} | of_speaker},
        own | {"metadata": {"name": "another"}},
    ):
        said = allocator.run(*create, stdin=json.dumps(refusable)).stderr
        assert "the allocator makes the Secret berth-heartbeat and no other" in said
    allocator(*create, stdin=json.dumps(own))
    allocator("get", "secret", "berth-heartbeat", f"--namespace={NAMESPACE}")
    assert refused(allocator, "delete", "secret", "berth-heartbeat", f"--namespace={NAMESPACE}")
    assert refused(allocator, "patch", "secret", "berth-heartbeat", f"--namespace={NAMESPACE}", "--patch={}")


def speaker_object(name: str) -> str:
    return json.dumps({"apiVersion": "berth.dev/v1beta1", "kind": "Speaker", "metadata": {"name": name}})


def report(node: str, number: int = 0, *, named: str | None = None) -> str:
    metadata = {"name": f"{named or node}.{number}"}
    return json.dumps(
        {"apiVersion": "berth.dev/v1beta1", "kind": "SpeakerReport", "metadata": metadata, "spec": {"node": node}}
    )


def confirmation(node: str) -> str:
    return json.dumps({"apiVersion": "berth.dev/v1beta1", "kind": "ReleaseConfirmation", "metadata": {"name": node}})


def lease(name: str) -> str:
    metadata = {"name": name, "namespace": NAMESPACE}
    return json.dumps({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": {}})


@pytest.mark.asyncio
async def test_a_speaker_writes_for_its_own_node_only(kubectl: Kubectl, tmp_path: Path) -> None:
    chart.install(kubectl.kubeconfig, NAMESPACE)
    kubectl("apply", "-f", "-", stdin=speaker_object("node2"))
    speaker = account(kubectl, "speaker", tmp_path, bound_to=_pod_on(kubectl, "node1"))
    speaker("create", "-f", "-", stdin=speaker_object("node1"))
    await patch_status(speaker, SPEAKERS, "node1")
    speaker("create", "-f", "-", stdin=lease("berth-speaker-node1"))
    own_only = "a speaker writes the Speaker and the ReleaseConfirmation of its own node only"
    with pytest.raises(ApiError, match=own_only):
        await patch_status(speaker, SPEAKERS, "node2")
    assert own_only in speaker.run("create", "-f", "-", stdin=speaker_object("node3")).stderr
    for name in ("berth-speaker-node2", "berth-allocator"):
        foreign = speaker.run("create", "-f", "-", stdin=lease(name))
        assert foreign.returncode != 0
        assert "a speaker writes the Lease of its own node only" in foreign.stderr


@pytest.mark.asyncio
async def test_a_speaker_confirms_and_reports_for_its_own_node_only(kubectl: Kubectl, tmp_path: Path) -> None:
    chart.install(kubectl.kubeconfig, NAMESPACE)
    for other in (report("node2"), report("node1.x"), confirmation("node2")):
        kubectl("create", "-f", "-", stdin=other)
    speaker = account(kubectl, "speaker", tmp_path, bound_to=_pod_on(kubectl, "node1"))
    speaker("create", "-f", "-", stdin=confirmation("node1"))
    speaker("create", "-f", "-", stdin=report("node1"))
    await patch_status(speaker, RELEASECONFIRMATIONS, "node1")
    await patch_status(speaker, SPEAKERREPORTS, "node1.0")
    with pytest.raises(ApiError, match="of its own node only"):
        await patch_status(speaker, RELEASECONFIRMATIONS, "node2")
    assert "of its own node only" in speaker.run("create", "-f", "-", stdin=confirmation("node3")).stderr
    assert "of its own node only" in speaker.run("create", "-f", "-", stdin=report("node3")).stderr
    for name in ("node2.0", "node1.x.0"):
        with pytest.raises(ApiError, match="SpeakerReports of its own node only"):
            await patch_status(speaker, SPEAKERREPORTS, name)
        assert "of its own node only" in speaker.run("delete", "speakerreport", name).stderr
    speaker("delete", "speakerreport", "node1.0")


def test_a_token_that_names_no_node_is_let_through(kubectl: Kubectl, tmp_path: Path) -> None:
    chart.install(kubectl.kubeconfig, NAMESPACE)
    speaker = account(kubectl, "speaker", tmp_path)
    speaker("create", "-f", "-", stdin=speaker_object("node1"))
    speaker("create", "-f", "-", stdin=lease("berth-speaker-node1"))


def test_without_the_policy_nothing_keeps_speakers_apart(kubectl: Kubectl, tmp_path: Path) -> None:
    chart.install(kubectl.kubeconfig, NAMESPACE, {"admissionPolicy": {"enabled": False}})
    speaker = account(kubectl, "speaker", tmp_path, bound_to=_pod_on(kubectl, "node1"))
    speaker("create", "-f", "-", stdin=speaker_object("node2"))


def _pod_on(kubectl: Kubectl, node: str) -> dict[str, Any]:
    """A pod of the speaker's account on a node, as a token may be bound to."""
    container = {"name": "speaker", "image": "berth"}
    spec = {"serviceAccountName": "berth-speaker", "nodeName": node, "containers": [container]}
    metadata = {"name": "berth-speaker-x", "namespace": NAMESPACE}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
    kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}}))
    created = json.loads(kubectl("create", "-f", "-", "--output=json", stdin=json.dumps(pod)))
    return {"kind": "Pod", "apiVersion": "v1", "name": "berth-speaker-x", "uid": created["metadata"]["uid"]}


def test_an_uninstall_is_refused_while_services_are_held_and_what_is_left_can_be_let_go(
    helm: helm_python.Config, kubectl: Kubectl, tmp_path: Path
) -> None:
    """The check of the chart as Helm runs it, with the rights that it has; and what docs/install.md tells for the case
    that Berth is gone already."""
    install(helm, {"uninstallCheck": {"enabled": True}})
    for name, more in (("terminating", []), ("shared", ["example.org/other"])):
        served = _service(name, [FINALIZER, *more])
        kubectl("create", "-f", "-", stdin=json.dumps(served))
        kubectl("patch", "service", name, "--subresource=status", "--type=merge", f"--patch={json.dumps(SERVED)}")
    kubectl("create", "-f", "-", stdin=json.dumps(_service("of-another", [FINALIZER])))
    with JobRunner(kubectl, account(kubectl, "allocator", tmp_path)) as jobs:
        with pytest.raises(helm_python.HelmError):
            helm.uninstall("berth", timeout=60)
        assert "svc/default/shared" in jobs.said
        assert "berth uninstall --release" in jobs.said
        assert "of-another" not in jobs.said
    assert read(kubectl, "deployment", "berth-allocator")

    helm.rollback("berth", version=1)  # Helm calls the release uninstalling, and would upgrade it no more
    upgrade(helm)  # without the check, as --no-hooks
    helm.uninstall("berth")
    kubectl("delete", "service", "terminating", "--wait=false")
    assert "deletionTimestamp" in json.loads(kubectl("get", "service", "terminating", "-ojson"))["metadata"]
    released = berth(kubectl, "uninstall", "--release")
    assert released.returncode == 0, released.stdout + released.stderr
    assert kubectl("get", "service", "terminating", "--ignore-not-found") == ""
    left = json.loads(kubectl("get", "service", "shared", "-ojson"))
    assert left["metadata"]["finalizers"] == ["example.org/other"]
    assert not left["status"].get("conditions")
    other = json.loads(kubectl("get", "service", "of-another", "-ojson"))
    assert other["metadata"]["finalizers"] == [FINALIZER], "it may be another load balancer's"


def test_an_uninstall_goes_on_when_nothing_is_held(helm: helm_python.Config, kubectl: Kubectl, tmp_path: Path) -> None:
    install(helm, {"uninstallCheck": {"enabled": True}})
    with JobRunner(kubectl, account(kubectl, "allocator", tmp_path)) as jobs:
        helm.uninstall("berth", timeout=60)
        assert "Berth may go" in jobs.said
    assert kubectl("get", "deployments,jobs", "-A", "-oname") == ""


SERVED = {
    "status": {
        "conditions": [
            {
                "type": "berth.dev/Allocated",
                "status": "True",
                "reason": "Allocated",
                "message": "it has an address",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }
        ]
    }
}


def berth(kubectl: Kubectl, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """The command, in a process of its own."""
    command = [sys.executable, "-m", "cli", *arguments, f"--kubeconfig={kubectl.kubeconfig}"]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


class JobRunner:
    """Runs the first Job that comes, as its first container says: what a cluster's controllers and kubelets do.

    `said`: what it printed."""

    def __init__(self, kubectl: Kubectl, pod: Kubectl) -> None:
        """`pod`: with the token of the account that the Job names."""
        self._kubectl, self._pod = kubectl, pod
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._ends = threading.Event()
        self.said = ""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._thread.join(60)

    def _run(self) -> None:
        while not self._ends.wait(0.2):
            found = json.loads(self._kubectl("get", "jobs", f"--namespace={NAMESPACE}", "-ojson"))["items"]
            if found:
                self._do(found[0])
                return

    def _do(self, job: dict[str, Any]) -> None:
        pod = job["spec"]["template"]["spec"]
        assert pod["serviceAccountName"] == "berth-allocator"
        container = pod["containers"][0]
        assert container["command"] == ["python", "-m", "cli"]
        done = berth(self._pod, *container["args"])
        self.said = done.stdout + done.stderr
        kind = "Complete" if done.returncode == 0 else "Failed"
        conditions = [{"type": kind, "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]
        counts = {"succeeded": 1} if done.returncode == 0 else {"failed": 1}
        patch = json.dumps({"status": {"conditions": conditions, **counts}})
        which = (job["metadata"]["name"], f"--namespace={NAMESPACE}")
        self._kubectl("patch", "job", *which, "--subresource=status", "--type=merge", f"--patch={patch}")


def _service(name: str, finalizers: list[str]) -> dict[str, Any]:
    spec = {"type": "LoadBalancer", "ports": [{"port": 80}]}
    metadata = {"name": name, "finalizers": finalizers}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}
