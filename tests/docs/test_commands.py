"""Each command that a document shows is run in a lab, or stands here with the reason why it is not."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.names import Repository
from tests.docs.shown import Shown, commands, strangers

ROOT = Path(__file__).parents[2]
DOCUMENTS = Repository(ROOT).documents
SHOWN = [one for name, text in DOCUMENTS.items() for one in commands(name, text)]
START = "docs/start.md"
"""Its commands are run as they stand, in their order; the others on the lab that it brings up."""

ELSEWHERE = {
    r"make .*": "what it is for runs it: tests/lab/test_demo.py has the demo, tests/model the models",
    r"tools/model .*": "tests/model",
    r"helm (install|upgrade|rollback|uninstall|history|get values) .*": "Helm itself, in tests/charts/test_install.py",
    r"buildah .*": "needs a registry; tests of the image build and run one",
    r"(kind|k3s|ctr|\./ctr|oc) .*": "needs that platform",
    r"curl -k .*": "of a program with metrics.secure: tests/e2e/test_scrapes.py",
    r"python -m lab\.apiserver .*": "tests/lab/apiserver starts it",
    r"python -m tests\.(mutations|sim).*": "minutes: tests/mutations/test_mutations.py and tests/sim/test_sim.py",
    r"kubectl get namespaces": "of that one",
    r"kubectl (label|annotate) \$definitions .*": "tests/charts/test_install.py, when a release takes definitions over",
    r"kubectl create namespace berth-system|kubectl label namespace berth-system .*": "is there in the lab",
    r"kubectl .*rollout .*|kubectl .*edit .*": "the lab has no controllers that would act on it",
    r"kubectl .*logs .*(deploy|job)/.*": "Berth is no Deployment in the lab, and the lab runs no Jobs",
    r"kubectl describe daemonset .*": "Berth is no DaemonSet in the lab",
    r"kubectl get configmap -n kube-system kube-proxy .*": "the lab has no kube-proxy of Kubernetes' own",
    r"kubectl get --raw '/readyz\?verbose'": "of a real API server",
    r"kubectl describe bgppeers\.berth\.dev PEER": "needs a router: tests/e2e/test_bgp.py",
    r"kubectl .*berth\.dev/dropped-routers=.*": "an operator's word: tests/allocator/test_cluster_releases.py",
    r"kubectl delete speaker\.berth\.dev .*|kubectl taint node .*": "an operator's word: tests/e2e/test_failures.py",
    r"kubectl label nodes --all .*": "tests/e2e/test_failover.py sets that label and takes it off",
    r"kubectl get (berth|crd) --output name \| .*": "removes all: tests/cli/test_uninstall.py and tests/charts",
    r"kubectl .*(delete|patch) secret berth-heartbeat.*": "tests/e2e/test_heartbeats.py",
    r"kubectl create --raw=/lab/faults .*": "tests/lab/test_faults.py",
    r"kubectl expose deployment example .*": f"as in {START}",
    r"(\.venv/bin/)?berth lab .*": f"as in {START}",
    r"berth status -w": "ends when it is told to: tests/cli/test_status.py",
    r"berth migrate metallb.*": "needs MetalLB's objects: tests/cli and tests/e2e/test_takeover.py",
    r"berth uninstall.*": "tests/cli/test_uninstall.py",
    r"berth check --wait.*": "of a cluster that just was installed: tests/cli/test_check.py",
    r"berth arping 192\.0\.2\.10.*": f"asks a segment: as in {START}",
}
"""By pattern of the whole command, and why it is not run here."""

PLUMBING = re.compile(r"(cd|export|echo|mkdir|time|pip install) |\w+=|\{")
"""Lines beside commands that are no commands of ours: they lead to the next one, or are its input."""

MEANT = {
    r"\bNODE\.0\b": "node1.0",
    r"\bNODE\b": "node1",
    r"(ipallocations?\.berth\.dev) NAME": r"\1 v4-192-0-2-10",
    r"\bPOD\b": "berth-speaker-node1",
    r"\bNAMESPACE\b": "default",
    r"\bNAME\b|\bSERVICE\b": "web",
    r"pool/edge": "pool/office",
    r" && kubectl drain .*": "",  # which wants pods of a controller's; the lab's have none
}
"""What stands for something of the reader's, and what it is in the lab."""
CODES = {"berth explain svc/web -n shop": 1}
"""Exit codes of those that tell something by them, 0 else: no pod runs in the namespace shop."""

SETUP = """
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Namespace
metadata: {name: web}
---
apiVersion: berth.dev/v1beta1
kind: IPPool
metadata: {name: inner}
spec: {addresses: ["172.30.0.180-172.30.0.189"], autoAssign: false}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default, annotations: {berth.dev/ips: 192.0.2.10}}
spec: {type: LoadBalancer, selector: {app: example}, ports: [{port: 80, targetPort: 9376}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop, annotations: {berth.dev/ips: 192.0.2.11}}
spec: {type: LoadBalancer, selector: {app: example}, ports: [{port: 80, targetPort: 9376}]}
"""
"""Beside the pool `office` of the README."""


def why_not_here(command: str) -> str | None:
    return next((why for pattern, why in ELSEWHERE.items() if re.fullmatch(pattern, command)), None)


HERE = sorted(
    dict.fromkeys(one.command for one in SHOWN if one.document != START and not why_not_here(one.command)),
    key=lambda command: bool(re.match("berth (move|drain|undrain)|kubectl (apply|label)", command)),
)
"""What moves addresses, or keeps people from moving them, comes last."""


def manifest(document: str) -> str:
    """All YAML of the document that is of our API, as one."""
    found = re.findall(r"^```yaml\n(.*?)^```", DOCUMENTS[document], re.MULTILINE | re.DOTALL)
    return "---\n".join(each for each in found if "berth.dev/v1beta1" in each)


def test_what_is_said_not_to_run_is_shown_somewhere() -> None:
    idle = [pattern for pattern in ELSEWHERE if not any(re.fullmatch(pattern, one.command) for one in SHOWN)]
    assert idle == []


def test_commands_are_found_in_blocks_of_every_form() -> None:
    text = "Text\n\n    kubectl a \\\n      --b   # why\n    key: value\n\n- item\n\n      berth c\n\n"
    text += "```sh\n$ helm d\n```\n```yaml\nkubectl: no\n```\nkubectl no\n"
    found = [(one.line, one.command) for one in commands("", text)]
    assert found == [(3, "kubectl a --b"), (9, "berth c"), (12, "helm d")]


@pytest.mark.parametrize("name", sorted({one.document for one in SHOWN}))
def test_no_line_beside_a_command_is_passed_over(name: str) -> None:
    found = [f"{name}:{number}: {line}" for number, line in strangers(DOCUMENTS[name]) if not PLUMBING.match(line)]
    assert found == [], "add the program to tests/docs/shown.py, or the line to what leads to the next one"


class Shell:
    """Runs lines as a reader does, in a folder of their own below the repository's root."""

    def __init__(self, home: Path) -> None:
        (home / ".venv").symlink_to(Path(sys.prefix))
        (home / "docs").symlink_to(ROOT / "docs")
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        kubeconfig = home / f"berth-lab-{os.geteuid()}" / "lab" / "admin.kubeconfig"
        self.home = home
        self._environment = {**os.environ, "TMPDIR": str(home), "PATH": path, "KUBECONFIG": str(kubeconfig)}
        self._environment["PYTHONPATH"] = str(ROOT)

    def run(self, command: str, stdin: str | None = None) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=self.home,
            env=self._environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )

    def must(self, command: str, stdin: str | None = None) -> str:
        done = self.run(command, stdin)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A reader who has gone through `docs/start.md` up to where the Service is let go."""
    shell = Shell(tmp_path_factory.mktemp("reader"))
    (shell.home / "first.yaml").write_text(manifest(START))
    try:
        yield shell
    finally:
        shell.run("berth lab down")


@pytest.fixture(scope="module")
def lab(shell: Shell) -> Shell:
    """With what the other pages speak of."""
    for one in story():
        if "delete service" in one.command:
            break
        shell.must(one.command)
    shell.must("kubectl apply -f -", manifest("README.md"))
    shell.must("kubectl apply -f -", SETUP)
    for namespace in ("default", "shop"):
        shell.must(f"kubectl wait service/web --for=condition=berth.dev/Announced --timeout=60s -n {namespace}")
    return shell


def story() -> list[Shown]:
    return [one for one in SHOWN if one.document == START and not one.command.startswith("make ")]


@pytest.mark.lab
@pytest.mark.root
@pytest.mark.slow
class TestInALab:
    def test_five_minutes_end_with_a_service_that_a_client_reaches(self, lab: Shell) -> None:
        assert "172.30.0.200" in lab.must("kubectl get service example-service")
        assert "example-node" in lab.must("berth lab exec client -- curl --silent http://172.30.0.200:8765/")

    @pytest.mark.parametrize("command", HERE)
    def test_what_a_document_shows_runs(self, lab: Shell, command: str) -> None:
        meant = command
        for pattern, instead in MEANT.items():
            meant = re.sub(pattern, instead, meant)
        done = lab.run(meant)
        assert done.returncode == CODES.get(command, 0), f"{meant}\n{done.stdout}{done.stderr}"

    def test_a_service_that_is_let_go_and_a_lab_that_goes_leave_nothing(self, lab: Shell) -> None:
        for one in story()[-2:]:
            lab.must(one.command)
        assert not list(lab.home.glob("berth-lab-*/lab"))
