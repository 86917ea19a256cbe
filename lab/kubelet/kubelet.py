"""Runs pods on the lab's nodes as a kubelet does: objects and what they say of themselves, tokens, mounted Secrets.

A pod is a process on its node. With an image it runs in that image's root file system, as the user that the chart says.
Restarts nothing.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lab.kubectl import Access, Kubectl
from lab.kubelet import manifests, mounts, podspec
from lab.kubelet.image import Image
from lab.net.hosts import Node, Topology
from lab.process import Process, Starter
from lab.record import MARKER_VARIABLE
from lab.scripts import script

ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"


@dataclass(frozen=True)
class Kubelet:
    """One for all nodes."""

    topology: Topology
    kubectl: Kubectl
    access: Access
    """How pods reach the API server."""
    namespace: str
    """Of the chart's pods and their Secrets."""
    directory: Path
    """Keeps the pods' kubeconfigs and Secrets."""
    start: Starter
    marker: str = ""
    """By which the lab knows its processes again; those without an image have it from `start`."""
    image: Image | None = None
    """None = the chart's programs run as those of this repository, with its Python, as our user."""

    def register(self) -> None:
        """The Node objects, and a pod with a backend on each node, ready."""
        nodes = self.topology.nodes
        self.kubectl.apply(*(manifests.node_object(n) for n in nodes), *(manifests.pod_object(n) for n in nodes))
        for node in nodes:
            self._patch_status("node", node.name, manifests.node_status(node))
            self._start_backend(node)
            self.set_pod_ready(node.name, True)

    def set_pod_ready(self, node_name: str, ready: bool) -> None:
        """As if the readiness probe of the node's backend had changed its mind."""
        node = self.topology.node(node_name)
        pod, namespace = manifests.pod_name(node), manifests.POD_NAMESPACE
        started = self._started(pod, namespace, manifests.BACKEND_CONTAINER)
        self._patch_status("pod", pod, manifests.pod_status(node, ready=ready, started=started))

    def show_running(self, names: Sequence[str], container: str) -> None:
        """What `kubectl get pods` shows of pods of a chart's workload: that their processes were started, and no
        probe is asked."""
        pods = [f"berth-{name}" for name in names]
        started = max(self._started(pod, self.namespace, container) for pod in pods)
        patch = json.dumps({"status": manifests.started_status(container, started)})
        where = (f"--namespace={self.namespace}", "--subresource=status", "--type=merge")
        self.kubectl("patch", "pod", *pods, *where, f"--patch={patch}")

    def run(self, manifest: podspec.Manifest, name: str, node_name: str) -> None:
        """A pod of a chart's workload, as the process `name`, with the rights of its own token alone."""
        place = podspec.Place(f"berth-{name}", self.namespace, node_name)
        folders = {path: str(self._mounted(secret)) for path, secret in podspec.secret_mounts(manifest).items()}
        self.kubectl.apply(podspec.pod_of(manifest, place))
        if self.image is not None:
            process = self._run_contained(self.image, manifest, name, place, folders)
            self._show_log(place, podspec.container_of(manifest), process)
            return
        kubeconfig = self.directory / f"{name}.kubeconfig"
        program = podspec.program_of(manifest, place, extra_arguments=[f"--kubeconfig={kubeconfig}"], mounts=folders)
        token = self._token(program.service_account, place)
        self.access.as_user(token).write(kubeconfig)
        process = self.start(
            name, node_name, program.command, privileges=program.privileges, environment=program.environment
        )
        self._show_log(place, podspec.container_of(manifest), process)

    def _run_contained(
        self, image: Image, manifest: podspec.Manifest, name: str, place: podspec.Place, folders: Mapping[str, str]
    ) -> Process:
        """The way to the API server is a pod's: a token in a folder, and two variables."""
        program = podspec.program_of(manifest, place, python="python")
        confinement = podspec.confinement_of(manifest)
        server = urlsplit(self.access.server)
        variables = {
            **image.environment,
            "KUBERNETES_SERVICE_HOST": str(server.hostname),
            "KUBERNETES_SERVICE_PORT": str(server.port),
            **program.environment,
            MARKER_VARIABLE: self.marker,
        }
        account = str(self._account(name, program.service_account, place))
        options = [
            f"--root={image.root}",
            f"--user={image.user if confinement.user is None else confinement.user}",
            f"--group={image.group if confinement.group is None else confinement.group}",
            *[f"--capabilities={','.join(kept)}" for kept in [confinement.capabilities] if kept is not None],
            *["--no-new-privileges"] * confinement.no_new_privileges,
            *["--read-only"] * confinement.is_read_only,
            *[f"--memory={path}" for path in confinement.memory],
            *[f"--mount={source}:{path}" for path, source in {**folders, ACCOUNT: account}.items()],
            *[f"--environment={name}={value}" for name, value in variables.items()],
        ]
        return self.start(name, place.node_name, [*script("contained.py"), *options, "--", *program.command])

    def _account(self, name: str, service_account: str, place: podspec.Place) -> Path:
        """The folder with the token, as a kubelet mounts it: readable by the pod's user, whoever that is."""
        folder = self.directory / "accounts" / name
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        (folder / "token").write_text(self._token(service_account, place))
        (folder / "ca.crt").write_bytes(self.access.certificate_authority.read_bytes())
        (folder / "namespace").write_text(place.namespace)
        return folder

    def sync_secrets(self) -> None:
        """Show the mounted Secrets as they are now: what a kubelet does within a minute or so."""
        for folder in (self.directory / "secrets").glob("*"):
            self._show_secret(folder)

    def _start_backend(self, node: Node) -> None:
        ports = [f"--port={port}" for port in manifests.BACKEND_PORTS]
        backend = [*script("backend.py"), f"--pod-name={manifests.pod_name(node)}"]
        process = self.start(node.pod, node.pod, [*backend, f"--node-name={node.name}", *ports])
        place = podspec.Place(manifests.pod_name(node), manifests.POD_NAMESPACE, node.name)
        self._show_log(place, manifests.BACKEND_CONTAINER, process)

    def _show_log(self, place: podspec.Place, container: str, process: Process) -> None:
        """What it writes, under the name by which an API server looks for it."""
        folder = self.directory / manifests.POD_LOGS
        folder.mkdir(mode=0o700, exist_ok=True)
        shown = folder / manifests.log_name(place.pod_name, place.namespace, container)
        shown.unlink(missing_ok=True)
        shown.symlink_to(process.log_path)

    def _started(self, pod: str, namespace: str, container: str) -> str:
        """When its log began to be shown, in RFC 3339."""
        shown = self.directory / manifests.POD_LOGS / manifests.log_name(pod, namespace, container)
        return datetime.fromtimestamp(int(shown.lstat().st_mtime), UTC).isoformat().replace("+00:00", "Z")

    def _mounted(self, secret: str) -> Path:
        """The folder that shows the Secret, as far as there is one: all of Berth's mounts are optional."""
        folder = self.directory / "secrets" / secret
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._show_secret(folder)
        return folder

    def _show_secret(self, folder: Path) -> None:
        where = (f"--namespace={self.namespace}", "--ignore-not-found", "--output=json")
        found = self.kubectl("get", "secret", folder.name, *where)
        if found.strip():
            mounts.write_folder(folder, json.loads(found).get("data") or {})

    def _token(self, service_account: str, place: podspec.Place) -> str:
        """As a kubelet gets it for a pod: it names the pod and its node, and ends with the pod."""
        path = f"/api/v1/namespaces/{place.namespace}/serviceaccounts/{service_account}/token"
        request = json.dumps(podspec.token_request(place))
        answer = self.kubectl("create", f"--raw={path}", "--filename=-", stdin=request)
        return str(json.loads(answer)["status"]["token"])

    def _patch_status(self, kind: str, name: str, status: Mapping[str, Any]) -> None:
        patch = json.dumps({"status": status})
        self.kubectl("patch", kind, name, "--subresource=status", "--type=merge", f"--patch={patch}")
