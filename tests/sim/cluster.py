"""A cluster from a seed: the API server, machines, segments, routers and allocators, and what controllers of Kubernetes
do beside ours: kubelets, the garbage collector, endpoints."""

import contextlib
import random
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import structlog

import allocator.io.controller
import allocator.io.departurewriter
import allocator.io.reporter
import speaker.core
import speaker.io.agent
import speaker.members.io.leasewatch
import speaker.proxies.io.asker
from kube.resource import (
    ENDPOINTSLICES,
    LEASES,
    NAMESPACES,
    NODES,
    SERVICECIDRS,
    SERVICES,
    Resource,
)
from speaker.proxies.questions import Answer, Question
from tests.sim.api import Api, Body, Key, Refused, Stored, target_of
from tests.sim.clocks import Clock, World, in_the_place_of_time
from tests.sim.machines import FENCE_SECONDS, NAMESPACE, AllocatorPod, Machine
from tests.sim.routers import Router
from tests.sim.segment import Segment
from tests.sim.transport import Link

DRIFT = 0.02
"""The most by which a clock runs faster or slower than the true time; docs/model/README.md allows more."""
COLLECT_SECONDS = 1.0
KUBELET_SECONDS = 1.0


class Cluster:
    """`rng`: for what nobody chose, such as how long a packet takes."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(f"network {seed}")
        self.world = World()
        self.api = Api(self.world)
        self.segment = Segment(self.world)
        self.routers: dict[str, Router] = {}
        self.machines: dict[str, Machine] = {}
        """By node: the present one. Others of the same name, which were replaced, are in `replaced`."""
        self.replaced: list[Machine] = []
        self.allocators = [self._allocator(name) for name in ("one", "two")]
        self.by_hand: set[str] = set()
        """uids of IPAllocations that a hand deleted, and of Services whose finalizer a hand took off."""
        self.unwanted_leases: set[str] = set()
        """Those that a script deletes whenever they are there."""
        self.fence_seconds = FENCE_SECONDS
        self._macs = 0
        self.api.on_change += (self._collect_garbage, self._delete_unwanted)

    def _allocator(self, name: str) -> AllocatorPod:
        return AllocatorPod(self.world, name, self._link(), self._clock())

    def _link(self) -> Link:
        return Link(self.world, self.api, self.rng)

    def _clock(self) -> Clock:
        return Clock(self.world, 1.0 + self.rng.uniform(-DRIFT, DRIFT), self.rng.uniform(500, 5000))

    @property
    def links(self) -> list[Link]:
        return [
            *(one.link for one in self.machines.values()),
            *(one.link for one in self.replaced),
            *(one.link for one in self.allocators),
        ]

    @property
    def all_machines(self) -> list[Machine]:
        return [*self.machines.values(), *self.replaced]

    # ---- what administrators do; each is one request that arrives

    def do(self, method: str, resource: Resource, name: str, body: Body | None = None, namespace: str = "") -> bool:
        """Whether it was taken."""
        collection = name if method != "POST" else None
        path = resource.path(collection, namespace or None)
        if body is not None and method == "POST":
            body = {"apiVersion": resource.api_version, "kind": resource.kind, **body}
            body["metadata"] = {"name": name, **body.get("metadata", {})}
        try:
            self.api.answer(method, path, body)
        except Refused:
            return False
        return True

    def apply(self, resource: Resource, name: str, spec: Body, namespace: str = "", **metadata: Any) -> bool:
        """Create it, or replace what is in its spec."""
        stored = self.api.get(resource.plural, name, namespace)
        if stored is None:
            return self.do("POST", resource, name, {"metadata": metadata, "spec": spec}, namespace)
        gone = dict.fromkeys(stored.get("spec", {}).keys() - spec.keys())
        if resource is SERVICES:  # what the API server fills in
            gone = {name: None for name in gone if name not in ("clusterIPs", "healthCheckNodePort")}
        return self.do("PATCH", resource, name, {"metadata": metadata, "spec": {**gone, **spec}}, namespace)

    def delete(self, resource: Resource, name: str, namespace: str = "") -> bool:
        return self.do("DELETE", resource, name, None, namespace)

    # ---- nodes

    def add_node(self, node: str, labels: dict[str, str] | None = None) -> None:
        """A Node and its machine, with a speaker."""
        if node in self.machines:
            return
        self._macs += 1
        number = self._macs
        machine = self.machines[node] = Machine(
            self.world,
            node,
            f"{node}-machine-{number}",
            self._link(),
            self._clock(),
            self.segment,
            self.routers,
            f"02:00:00:00:00:{number:02x}",
            ((f"192.0.2.{200 + number % 50}/24", 100), ("2001:db8::ffff/64", 100)),
        )
        machine.fence_seconds = self.fence_seconds
        machine.on_boot = self._booted
        self._register_node(machine, labels or {})
        machine.start()

    def _register_node(self, machine: Machine, labels: dict[str, str]) -> None:
        """A kubelet tries until it is taken."""
        number = int(machine.mac[-2:], 16)
        addresses = [{"type": "InternalIP", "address": f"192.0.2.{200 + number % 50}"}]
        status = {"addresses": addresses, "nodeInfo": _node_info(machine)}
        labels = {"kubernetes.io/hostname": machine.node, **labels}
        body = {"metadata": {"labels": labels}, "spec": {}, "status": status}
        told = self.do("POST", NODES, machine.node, body) or self.do("PATCH", NODES, machine.node, body)
        if not told and self.machines.get(machine.node) is machine:
            self.world.after(KUBELET_SECONDS, self._register_node, machine, labels)

    def _booted(self, machine: Machine) -> None:
        """A kubelet says so until it is taken, or its Node is another machine's."""
        told = self.do("PATCH", NODES, machine.node, {"status": {"nodeInfo": _node_info(machine)}})
        if not told and self.machines.get(machine.node) is machine:
            self.world.after(KUBELET_SECONDS, self._booted, machine)

    def remove_node(self, node: str) -> None:
        """Its machine is shut down in order, then the Node is deleted."""
        machine = self.machines.pop(node, None)
        if machine is None:
            return
        machine.stop()
        self.replaced.append(machine)
        self.world.after(3.0, self._power_off, machine)
        self.world.after(3.5, self._delete_node, node)

    def _delete_node(self, node: str) -> None:
        """Until it is taken, unless the node is back."""
        if node not in self.machines and not self.delete(NODES, node) and self.api.get("nodes", node) is not None:
            self.world.after(KUBELET_SECONDS, self._delete_node, node)

    def _power_off(self, machine: Machine) -> None:
        machine.lose_power()

    def replace_machine(self, node: str, *, is_old_dead: bool) -> None:
        """Another machine under the same name: the kubelet uses the Node that is there."""
        old = self.machines.pop(node, None)
        if old is None:
            return
        labels = (self.api.get("nodes", node) or {"metadata": {}})["metadata"].get("labels", {})
        self.replaced.append(old)
        if is_old_dead:
            old.lose_power()
        old.is_wanted = False
        self.add_node(node, dict(labels))

    # ---- the controllers of Kubernetes

    def _collect_garbage(self, plural: str, key: Key, before: Stored | None, after: Stored | None) -> None:
        if plural == "nodes" and before is not None and after is None:
            self.world.after(COLLECT_SECONDS, self._collect, before.body["metadata"]["uid"])

    def _delete_unwanted(self, plural: str, key: Key, before: Stored | None, after: Stored | None) -> None:
        if after is not None and plural == "leases" and key.name in self.unwanted_leases:
            self.world.after(0.0, self._delete_lease, key.name)

    def _delete_lease(self, name: str) -> None:
        self.delete(LEASES, name, NAMESPACE)

    def _collect(self, owner: str) -> None:
        for plural in ("speakers", "releaseconfirmations", "speakerreports"):
            for body in list(self.api.all(plural)):
                owners = body["metadata"].get("ownerReferences") or ()
                if any(one["uid"] == owner for one in owners):
                    target = target_of(f"/apis/berth.dev/v1beta1/{plural}/{body['metadata']['name']}")
                    with contextlib.suppress(Refused):
                        self.api.delete(target, {"uid": body["metadata"]["uid"]})

    def set_endpoints(self, service: str, namespace: str, nodes: list[str]) -> None:
        """The Service has a ready endpoint on each of these nodes."""
        endpoints = [{"addresses": ["10.1.0.1"], "conditions": {"ready": True}, "nodeName": one} for one in nodes]
        metadata = {"labels": {"kubernetes.io/service-name": service}}
        for family in ("IPv4", "IPv6"):
            name = f"{service}-{family.lower()}"
            body = {"metadata": dict(metadata), "addressType": family, "endpoints": endpoints}
            if not self.do("POST", ENDPOINTSLICES, name, body, namespace):
                self.do("PATCH", ENDPOINTSLICES, name, {"endpoints": endpoints}, namespace)

    # ---- the routers

    def add_router(self, address: str) -> Router:
        return self.routers.setdefault(address, Router(self.world, address))

    # ---- to begin with

    def install(self) -> None:
        for name in ("default", "other", NAMESPACE):
            self.do("POST", NAMESPACES, name, {"metadata": {"labels": {"kubernetes.io/metadata.name": name}}})
        cidrs = {"cidrs": ["10.96.0.0/16", "fd00:10:96::/112"]}
        self.do("POST", SERVICECIDRS, "kubernetes", {"spec": cidrs})

    def start_allocators(self) -> None:
        for one in self.allocators:
            one.start()

    def end(self) -> None:
        """Nothing runs any more."""
        for machine in self.all_machines:
            machine.lose_power()
        for one in self.allocators:
            one.kill()


def _node_info(machine: Machine) -> Body:
    return {"machineID": machine.name, "systemUUID": machine.name, "bootID": machine.boot_id}


async def _keys(directory: Any, on_keys: Callable[[tuple[bytes, ...]], None], on_fault: Any) -> None:
    on_keys((b"0123456789abcdef",))


async def _ask(question: Question) -> Answer:
    return Answer.READY


class _Mute:
    """In the place of a logger."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def bind(self, **_: Any) -> "_Mute":
        return self

    def __getattr__(self, level: str) -> Callable[..., None]:
        return _say_nothing


def _say_nothing(*_: Any, **__: Any) -> None:
    pass


@contextlib.contextmanager
def surroundings(seed: int) -> Iterator[None]:
    """What the programs reach for beside their arguments is played, and some periods are longer, which costs less:
    none that a promise rests on."""
    configured = structlog.get_config()
    structlog.configure(wrapper_class=_Mute)
    with (
        in_the_place_of_time(seed),
        mock.patch.object(speaker.io.agent, "follow_keys", _keys),
        mock.patch.object(speaker.proxies.io.asker, "ask", _ask),
        mock.patch.object(speaker.proxies.io.asker, "PAUSE_SECONDS", 1.0),
        mock.patch.object(speaker.members.io.leasewatch, "LOOK_SECONDS", 1.0),
        mock.patch.object(speaker.members.io.leasewatch, "PACE_SECONDS", 1.0),
        mock.patch.object(allocator.io.reporter, "INTERVAL_SECONDS", 1.0),
        mock.patch.object(allocator.io.controller, "EVENT_SECONDS", 1.0),
        mock.patch.object(allocator.io.departurewriter, "REPEAT_SECONDS", 2.0),
        mock.patch.object(speaker.core, "TICK_SECONDS", 1.0),
    ):
        try:
            yield
        finally:
            structlog.configure(**configured)
