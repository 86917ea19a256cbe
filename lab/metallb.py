"""A lab's past: MetalLB as it is seen from outside, with its kinds, statuses, workloads, ARP and BGP sessions.

Nothing of MetalLB runs: `oldspeaker.py` plays its speakers on the network, and this module the controllers of
Kubernetes that start and end them. What it did before is written down: Services with addresses in their statuses.
"""

import asyncio
import contextlib
import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from kube.errors import AlreadyExists, ApiError, NotFound
from kube.io.client import Client
from kube.resource import NAMESPACES, NODES, SERVICES, Resource
from lab.cluster import NAMESPACE as BERTH
from lab.cluster import Cluster
from lab.net.hosts import ROUTER
from lab.scripts import script

NAMESPACE = "metallb-system"
OURS = "berth-allocator"
WITHOUT = "berth.dev/without-metallb"
FOLLOW_SECONDS = 0.1
DEFINITIONS = Resource("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", False)
DEPLOYMENTS = Resource("apps", "v1", "deployments", "Deployment", True)
DAEMON_SETS = Resource("apps", "v1", "daemonsets", "DaemonSet", True)
PODS = Resource("", "v1", "pods", "Pod", True)
KINDS = {
    "IPAddressPool": "ipaddresspools",
    "L2Advertisement": "l2advertisements",
    "BGPAdvertisement": "bgpadvertisements",
    "BGPPeer": "bgppeers",
    "BFDProfile": "bfdprofiles",
    "Community": "communities",
}
VERSIONS = {"BGPPeer": "v1beta2"}
CONTROLLER = {"app": "metallb", "component": "controller"}
SPEAKER = {"app": "metallb", "component": "speaker"}
Body = dict[str, Any]


@dataclass(frozen=True)
class Announced:
    """Addresses by how they are announced; `single`: by BGP, from the first node alone."""

    arp: tuple[str, ...] = ()
    bgp: tuple[str, ...] = ()
    single: tuple[str, ...] = ()


@dataclass
class MetalLB:
    """`with MetalLB(cluster, announced, services) as past:` its speakers run until the block ends, or their nodes are
    taken from them. `objects`: of MetalLB's kinds, with their specs."""

    cluster: Cluster
    announced: Announced
    services: Sequence[Body]
    objects: Sequence[tuple[str, str, Body]]
    _running: dict[str, str] = field(default_factory=dict)
    """Names of processes, by node."""
    _stopped: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "MetalLB":
        asyncio.run(self._write_down())
        self._follower = threading.Thread(target=lambda: asyncio.run(self._follow()), daemon=True)
        self._follower.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._follower.join(timeout=10)
        for node in list(self._running):
            self._end(node)

    @property
    def nodes(self) -> set[str]:
        """Those that a speaker runs on."""
        return set(self._running)

    # What there is

    async def _write_down(self) -> None:
        async with await self._client() as client:
            for kind, plural in KINDS.items():
                await client.create(DEFINITIONS, _definition(kind, plural))
            with contextlib.suppress(AlreadyExists):
                await client.create(NAMESPACES, {"metadata": {"name": NAMESPACE}})
            for kind, name, spec in self.objects:
                await _created(client, _resource(kind), {"metadata": {"name": name}, "spec": spec})
            await client.create(DEPLOYMENTS, workload("controller", CONTROLLER, {"replicas": 1}), namespace=NAMESPACE)
            await client.create(DAEMON_SETS, workload("speaker", SPEAKER, {}), namespace=NAMESPACE)
            for one in self.services:
                name = one["metadata"]["name"]
                await client.create(SERVICES, {key: one[key] for key in ("metadata", "spec")}, namespace="default")
                status = {"status": one["status"]}
                await client.merge_patch(SERVICES, name, status, namespace="default", subresource="status")

    async def _client(self) -> Client:
        return await Client.connect(str(self.cluster.kubeconfig), user_agent="metallb")

    # What controllers of Kubernetes do

    async def _follow(self) -> None:
        async with await self._client() as client:
            while not self._stopped.is_set():
                with contextlib.suppress(ApiError):
                    await self._look(client)
                await asyncio.sleep(FOLLOW_SECONDS)

    async def _look(self, client: Client) -> None:
        deployment = json.loads(await client.get(DEPLOYMENTS, "controller", NAMESPACE))
        await _pod(client, "controller-1", "node1", CONTROLLER, is_wanted=bool(deployment["spec"]["replicas"]))
        goes_by_label = WITHOUT in json.dumps(json.loads(await client.get(DAEMON_SETS, "speaker", NAMESPACE))["spec"])
        raws, _ = await client.list(NODES)
        for node in (json.loads(raw)["metadata"] for raw in raws):
            is_wanted = not (goes_by_label and WITHOUT in (node.get("labels") or {}))
            if is_wanted and node["name"] not in self._running:
                self._start(node["name"])
            elif not is_wanted and node["name"] in self._running:
                self._end(node["name"])
            await _pod(client, f"speaker-{node['name']}", node["name"], SPEAKER, is_wanted=is_wanted)
        self._elect()
        await self._end_allocators(client)

    async def _end_allocators(self, client: Client) -> None:
        """Ours, where there is a Deployment of them without replicas."""
        with contextlib.suppress(NotFound):
            ours = json.loads(await client.get(DEPLOYMENTS, OURS, BERTH))
            names = [one for one in self.cluster.processes if one.startswith("allocator-")]
            for name in names if not ours["spec"]["replicas"] else ():
                self.cluster.processes.pop(name).stop()
                await client.delete(PODS, f"berth-{name}", namespace=BERTH)

    def _start(self, node: str) -> None:
        host = next(one for one in self.cluster.topology.nodes if one.name == node)
        name = f"metallb-{node}"
        self._file(node).write_text(json.dumps({"arp": [], "bgp": []}))
        router = self.cluster.routers.get(ROUTER)
        peer = [f"--peer={router.place.host.ipv4}"] if router else []
        self.cluster.start(name, node, [*script("oldspeaker.py"), str(self._file(node)), f"--own={host.ipv4}", *peer])
        self._running[node] = name

    def _end(self, node: str) -> None:
        """As its pod is ended: without a goodbye."""
        self.cluster.processes.pop(self._running.pop(node)).kill()

    def _file(self, node: str) -> Path:
        return self.cluster.settings.directory / f"metallb-{node}.json"

    def _elect(self) -> None:
        """On layer 2 the lowest hash of node and address; by BGP each node, but for what one alone announces."""
        first = min(node.name for node in self.cluster.topology.nodes)
        for node in self._running:
            owned = [
                one
                for one in self.announced.arp
                if node == min(self._running, key=lambda each: sha256(f"{each}#{one}".encode()).digest())
            ]
            routes = [*self.announced.bgp, *(self.announced.single if node == first else ())]
            text = json.dumps({"arp": owned, "bgp": routes})
            if self._file(node).read_text() != text:
                part = self._file(node).with_suffix(".part")
                part.write_text(text)
                part.replace(self._file(node))


async def _created(client: Client, res: Resource, body: Body) -> None:
    """Definitions are served a moment after they are there."""
    for _ in range(50):
        with contextlib.suppress(NotFound):
            await client.create(res, body, namespace=NAMESPACE)
            return
        await asyncio.sleep(0.1)
    raise TimeoutError(f"{res.kind} is not served")


async def _pod(client: Client, name: str, node: str, labels: Body, *, is_wanted: bool) -> None:
    if not is_wanted:
        with contextlib.suppress(NotFound):
            await client.delete(PODS, name, namespace=NAMESPACE)
        return
    with contextlib.suppress(AlreadyExists):
        containers = [{"name": "main", "image": "metallb"}]
        spec = {"nodeName": node, "automountServiceAccountToken": False, "containers": containers}
        await client.create(PODS, {"metadata": {"name": name, "labels": labels}, "spec": spec}, namespace=NAMESPACE)
        since = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        ready = {"type": "Ready", "status": "True", "lastTransitionTime": since}
        status = {"phase": "Running", "conditions": [ready]}
        await client.merge_patch(PODS, name, {"status": status}, namespace=NAMESPACE, subresource="status")


def _resource(kind: str) -> Resource:
    return Resource("metallb.io", VERSIONS.get(kind, "v1beta1"), KINDS[kind], kind, True)


def workload(name: str, labels: Body, spec: Body) -> Body:
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": "metallb"}]}}
    metadata = {"name": name, "labels": labels}
    return {"metadata": metadata, "spec": {"selector": {"matchLabels": labels}, "template": template, **spec}}


def _definition(kind: str, plural: str) -> Body:
    """Whatever its fields are."""
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {
        "name": VERSIONS.get(kind, "v1beta1"),
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
    }
    names = {"kind": kind, "plural": plural, "singular": kind.lower(), "listKind": f"{kind}List"}
    spec = {"group": "metallb.io", "scope": "Namespaced", "names": names, "versions": [version]}
    return {"metadata": {"name": f"{plural}.metallb.io"}, "spec": spec}
