"""The API server stand-in with our CRDs, allocators run in this process, and speakers that only acknowledge."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from allocator.io.controller import Controller
from allocator.io.metrics import AllocatorMetrics
from allocator.options import Options
from crds.names import speaker_lease, speaker_lease_labels
from crds.schema import custom_resource_definition
from crds.types import KINDS
from kube.errors import AlreadyExists, ApiError, NotFound
from kube.io.client import Client
from kube.resource import (
    EVENTS,
    IPALLOCATIONS,
    IPPOOLS,
    LEASES,
    NAMESPACES,
    NODES,
    RELEASECONFIRMATIONS,
    SERVICES,
    SPEAKERREPORTS,
    SPEAKERS,
    Resource,
)
from lab.apiserver.server import ApiServer

CRDS = Resource("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", False)
NAMESPACE = "berth-system"
PATIENCE_SECONDS = 10.0
EDGE = "192.0.2.10-192.0.2.13"

Body = dict[str, Any]


async def install(client: Client) -> None:
    """CRDs and Berth's namespace."""
    for kind in KINDS:
        await client.create(CRDS, custom_resource_definition(kind))
    await client.create(NAMESPACES, {"metadata": {"name": NAMESPACE}})


@dataclass
class User:
    """What a user does and sees."""

    server: ApiServer
    client: Client

    async def pool(self, name: str, *addresses: str, **spec: Any) -> None:
        await self.client.create(IPPOOLS, {"metadata": {"name": name}, "spec": {"addresses": list(addresses), **spec}})

    async def service(self, name: str, *, annotations: dict[str, str] | None = None, **spec: Any) -> Body:
        body = {
            "metadata": {"name": name, "annotations": annotations or {}},
            "spec": {
                "type": "LoadBalancer",
                "selector": {"app": name},
                "ports": [{"port": 8765, "targetPort": 9376}],
                **spec,
            },
        }
        return await self._decoded(self.client.create(SERVICES, body, "default"))

    async def edit(self, name: str, change: Body) -> Body:
        return await self._decoded(self.client.merge_patch(SERVICES, name, change, namespace="default"))

    async def delete(self, name: str) -> None:
        await self.client.delete(SERVICES, name, namespace="default")

    async def get(self, resource: Resource, name: str, namespace: str | None = None) -> Body | None:
        try:
            return await self._decoded(self.client.get(resource, name, namespace))
        except NotFound:
            return None

    async def _decoded(self, answer: Any) -> Body:
        decoded: Body = json.loads(await answer)
        return decoded

    async def addresses(self, name: str) -> list[str]:
        body = await self.get(SERVICES, name, "default")
        return [] if body is None else [one["ip"] for one in body["status"]["loadBalancer"].get("ingress", [])]

    async def reason(self, name: str) -> str | None:
        body = await self.get(SERVICES, name, "default")
        conditions = [] if body is None else body["status"].get("conditions", [])
        return next((one["reason"] for one in conditions if one["type"] == "berth.dev/Allocated"), None)

    async def events(self, name: str) -> list[str]:
        raws, _ = await self.client.list(EVENTS, namespace="default")
        events = [json.loads(raw) for raw in raws]
        return [one["reason"] for one in events if one["involvedObject"]["name"] == name]

    async def until_event(self, name: str, reason: str) -> None:
        async def is_so() -> bool:
            return reason in await self.events(name)

        await self.until(is_so, f"an Event {reason} about {name}, there are {await self.events(name)}")

    async def allocations(self) -> dict[str, Body]:
        raws, _ = await self.client.list(IPALLOCATIONS)
        return {one["metadata"]["name"]: one for one in map(json.loads, raws)}

    async def is_releasing(self, name: str) -> bool:
        record = (await self.allocations()).get(name)
        return record is not None and bool(record["spec"].get("releasing"))

    async def until(self, condition: Callable[[], Any], what: str, seconds: float = PATIENCE_SECONDS) -> None:
        """Wait for an async condition; fails loudly."""
        deadline = time.monotonic() + seconds
        while not await condition():
            assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
            await asyncio.sleep(0.01)

    async def until_addresses(self, name: str, *expected: str) -> None:
        async def is_so() -> bool:
            return await self.addresses(name) == list(expected)

        await self.until(is_so, f"{name} has {expected}, it has {await self.addresses(name)}")

    async def until_reason(self, name: str, reason: str) -> None:
        async def is_so() -> bool:
            return await self.reason(name) == reason

        await self.until(is_so, f"{name} says {reason}, it says {await self.reason(name)}")

    async def until_gone(self, name: str, seconds: float = PATIENCE_SECONDS) -> None:
        async def is_so() -> bool:
            return await self.get(SERVICES, name, "default") is None

        await self.until(is_so, f"{name} is gone", seconds)


@contextlib.asynccontextmanager
async def allocating(server: ApiServer, *, identity: str = "one", **options: Any) -> AsyncIterator[Controller]:
    """One allocator with its own client, stopped cleanly at the end."""
    metrics = AllocatorMetrics()
    async with await Client.connect(str(server.kubeconfig_path), user_agent=f"allocator-{identity}") as client:
        controller = Controller(client, Options(NAMESPACE, identity, **options), metrics)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(controller.run())
            try:
                yield controller
            finally:
                running.cancel()


@dataclass
class AckingSpeaker:
    """A speaker without a network: registers, renews its Lease, and acknowledges releases while it is not frozen."""

    client: Client
    node: str
    fencing: Body | None = None
    frozen: bool = False
    confirms: bool = True
    labels_lease: bool = True
    incarnation: str = "one"
    seen: set[str] = field(default_factory=set)

    async def register(self, *, with_node: bool = True) -> None:
        if with_node:
            with contextlib.suppress(AlreadyExists):
                await self.client.create(NODES, {"metadata": {"name": self.node}})
        with contextlib.suppress(AlreadyExists):
            await self.client.create(SPEAKERS, {"metadata": {"name": self.node}, "spec": {}})
        await self.patch({"incarnation": self.incarnation, "goodbye": False, "fencing": self.fencing})

    async def report(self, *, number: int = 0, **status: Any) -> None:
        """Replace a slice of its report; `status` in camelCase."""
        name, written = f"{self.node}.{number}", {"status": {"incarnation": self.incarnation, **status}}
        with contextlib.suppress(NotFound):
            await self.client.delete(SPEAKERREPORTS, name)
        await self.client.create(SPEAKERREPORTS, {"metadata": {"name": name}, "spec": {"node": self.node}})
        await self.client.merge_patch(SPEAKERREPORTS, name, written, subresource="status")

    async def confirm(self, released: dict[str, int]) -> None:
        """Write its ReleaseConfirmation."""
        with contextlib.suppress(AlreadyExists):
            await self.client.create(RELEASECONFIRMATIONS, {"metadata": {"name": self.node}, "spec": {}})
        status = {"status": {"incarnation": self.incarnation, "released": released}}
        await self.client.merge_patch(RELEASECONFIRMATIONS, self.node, status, subresource="status")

    async def patch(self, status: Body) -> None:
        await self.client.merge_patch(SPEAKERS, self.node, {"status": status}, subresource="status")

    async def renew(self) -> None:
        labels = speaker_lease_labels(self.node) if self.labels_lease else None
        spec = {"holderIdentity": self.node, "renewTime": f"2026-01-01T00:00:00.{time.monotonic_ns() % 10**6:06d}Z"}
        body = {"metadata": {"name": speaker_lease(self.node), "labels": labels}, "spec": spec}
        try:
            await self.client.merge_patch(LEASES, body["metadata"]["name"], body, namespace=NAMESPACE)  # type: ignore[index]
        except NotFound:
            await self.client.create(LEASES, body, NAMESPACE)

    async def acknowledge(self) -> None:
        raws, _ = await self.client.list(IPALLOCATIONS)
        releasing = [one for one in map(json.loads, raws) if one["spec"].get("releasing")]
        news = {one["metadata"]["uid"]: one["metadata"]["generation"] for one in releasing}
        if self.confirms and news.keys() - self.seen:
            await self.confirm(news)
            self.seen |= news.keys()

    async def run(self) -> None:
        """Until cancelled: renews and acknowledges, often; an outage of the API server is waited out."""
        while True:
            if not self.frozen:
                with contextlib.suppress(ApiError):
                    await self.renew()
                    await self.acknowledge()
            await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def speaking(user: User, *nodes: str) -> AsyncIterator[list[AckingSpeaker]]:
    speakers = [AckingSpeaker(user.client, node) for node in nodes]
    for speaker in speakers:
        await speaker.register()
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(speaker.run()) for speaker in speakers]
        try:
            yield speakers
        finally:
            for task in running:
                task.cancel()


@contextlib.asynccontextmanager
async def settled(user: User, *nodes: str, addresses: str = EDGE, **options: Any) -> AsyncIterator[list[AckingSpeaker]]:
    """An allocator and speakers on these nodes, pool edge, and Service web that has its first address."""
    await user.pool("edge", addresses)
    async with allocating(user.server, **options), speaking(user, *nodes) as speakers:
        await user.service("web")
        await user.until_addresses("web", "192.0.2.10")
        yield speakers
