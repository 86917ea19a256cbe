"""An allocator and a speaker on the API server stand-in, and a story in which they make each write that they may make.

What they may write is what the chart grants them: a write without a right is refused, so none can be forgotten here.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, NamedTuple

from crds.names import FINALIZER, speaker_lease
from kube.resource import BFDPROFILES, COMMUNITIES, LEASES, SERVICES, SPEAKERREPORTS, SPEAKERS
from lab.apiserver.faults import Fault
from lab.apiserver.server import ApiServer
from tests.allocator.cluster import NAMESPACE, allocating
from tests.charts import test_rights
from tests.speaker.agents import Cluster, cluster

PATIENCE_SECONDS = 120.0
"""Virtual."""

HEARTBEAT_SECRET = "berth-heartbeat"

WRITES = {"create", "patch", "update", "delete"}


class Right(NamedTuple):
    """A kind of write: who may make it, and which. `agent`: what the User-Agent begins with."""

    agent: str
    verb: str
    resource: str

    def __str__(self) -> str:
        return " ".join(self)


def all_rights() -> list[Right]:
    """Every write that the chart grants."""
    granted = {
        "allocator": (test_rights.ALLOCATOR_EVERYWHERE, test_rights.ALLOCATOR_AT_HOME),
        "speaker": (test_rights.SPEAKER_EVERYWHERE, test_rights.SPEAKER_AT_HOME),
    }
    return sorted(
        {
            Right(agent, verb, resource.partition(" ")[0])
            for agent, roles in granted.items()
            for role in roles
            for resource, verbs in role.items()
            for verb in verbs & WRITES
        }
    )


def made(server: ApiServer) -> set[Right]:
    """Every kind of write that a program made."""
    requests = server.counters.traffic()["requests"]
    found = {(one["agent"].partition("-")[0], one["verb"], one["resource"]) for one in requests}
    return {Right(*one) for one in found if one[0] in ("allocator", "speaker") and one[1] in WRITES}


@contextlib.asynccontextmanager
async def played(directory: Path, *faults: Fault) -> AsyncIterator[ApiServer]:
    """The whole story, with these faults from its begin on. Both programs go on running; each fault has struck."""
    async with cluster(directory, "node-a") as lab:
        await _prepare(lab)
        for fault in faults:
            lab.server.faults.add(fault)
        async with allocating(lab.server, heartbeat_secret=HEARTBEAT_SECRET), lab.speaker(wait=False):
            await _live(lab)
            await _until_all_are_made(lab.server)
            assert not lab.server.faults.all(), "a fault struck nothing"
            yield lab.server


async def _until_all_are_made(server: ApiServer) -> None:
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while missing := set(all_rights()) - made(server):
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise AssertionError(f"the story has none of {', '.join(map(str, missing))}") from None
    assert made(server) == set(all_rights())


async def _prepare(lab: Cluster) -> None:
    """Also what a speaker of before has left: an object that is needed no more, and routers that may keep routes."""
    await lab.add_peer("tor1")
    await lab.advertise_by_bgp()
    await lab.admin.create(BFDPROFILES, {"metadata": {"name": "fast"}, "spec": {}})
    blue = {"communities": [{"name": "blue", "value": "64512:100"}]}
    await lab.admin.create(COMMUNITIES, {"metadata": {"name": "colours"}, "spec": blue})
    for name in ("node-a.0", "node-a.1", "node-a.2"):
        await lab.admin.create(SPEAKERREPORTS, {"metadata": {"name": name}, "spec": {"node": "node-a"}})
    await lab.add_node("gone")
    await lab.admin.create(SPEAKERS, {"metadata": {"name": "gone"}, "spec": {}})
    ready = {"type": "Ready", "status": "True", "reason": "Serving", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    routers = [{"address": "192.0.2.249", "outlivesSeconds": 12}]
    left = {"incarnation": "gone-1", "routers": routers, "conditions": [ready]}
    lease = {"metadata": {"name": speaker_lease("gone")}, "spec": {"holderIdentity": "gone-1"}}
    await lab.admin.create(LEASES, lease, NAMESPACE)
    await lab.admin.merge_patch(SPEAKERS, "gone", {"status": left}, subresource="status")


async def _live(lab: Cluster) -> None:
    """Services come, are tampered with, change and go; a Speaker goes."""
    user = _User(lab)
    await user.add("web")
    await user.until(lambda: user.record("status", "announcedBy") == ["node-a"])
    for count in (1, 2):
        await user.edit("web", {"metadata": {"finalizers": None}})
        await user.until(lambda count=count: user.count_of_lost_finalizer() >= count)
        await user.until(lambda: user.stored("services", "web")["metadata"].get("finalizers") == [FINALIZER])
    await user.edit("web", {"metadata": {"labels": {"tier": "front"}}})
    await user.until(lambda: user.record("spec", "holders", 0, "labels") == {"tier": "front"})
    await lab.admin.delete(SPEAKERREPORTS, "node-a.1")
    await user.until(
        lambda: user.stored("speakers.berth.dev", "gone")["status"]["conditions"][0]["status"] == "Unknown"
    )
    await lab.admin.delete(SPEAKERS, "gone")
    await user.until(
        lambda: any(one.resource.startswith("departed") and one.verb == "delete" for one in made(lab.server))
    )
    await lab.admin.delete(SERVICES, "web", namespace="default")
    await user.until(lambda: not user.stored("services", "web") and not user.record())
    await user.add("next")
    await user.until(lambda: user.record("status", "announcedBy") == ["node-a"])


class _User:
    """Writes by the API, and looks at what the API server has while it answers nobody."""

    def __init__(self, lab: Cluster) -> None:
        self._lab = lab

    async def add(self, name: str) -> None:
        spec = {"type": "LoadBalancer", "selector": {"app": name}, "ports": [{"port": 80, "targetPort": 9376}]}
        await self._lab.admin.create(SERVICES, {"metadata": {"name": name}, "spec": spec}, "default")

    async def edit(self, name: str, change: dict[str, Any]) -> None:
        await self._lab.admin.merge_patch(SERVICES, name, change, namespace="default")

    async def until(self, check: Callable[[], Any]) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not check():
                await asyncio.sleep(0.05)

    def stored(self, table: str, name: str) -> dict[str, Any]:
        """Empty if there is no such object."""
        return next((one for one in _objects(self._lab.server, table) if one["metadata"]["name"] == name), {})

    def record(self, *path: Any) -> Any:
        """What is there in the one IPAllocation; None if there is nothing."""
        found: Any = next(iter(_objects(self._lab.server, "ipallocations.berth.dev")), None)
        for step in path:
            try:
                found = found[step]
            except (KeyError, IndexError, TypeError):
                return None
        return found

    def count_of_lost_finalizer(self) -> int:
        """How often the Event says so."""
        told = _objects(self._lab.server, "events")
        return sum(one["count"] for one in told if one["reason"] == "FinalizerRemoved")


# ---- what there is in the end

KEPT = (
    "services",
    "ippools.berth.dev",
    "ipallocations.berth.dev",
    "l2advertisements.berth.dev",
    "bgpadvertisements.berth.dev",
    "bgppeers.berth.dev",
    "bfdprofiles.berth.dev",
    "communities.berth.dev",
    "speakers.berth.dev",
    "speakerreports.berth.dev",
    "releaseconfirmations.berth.dev",
    "departedspeakers.berth.dev",
    "leases.coordination.k8s.io",
)
OF_THE_RUN = {
    *("uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "incarnation", "leaseTransitions"),
    *("lastTransitionTime", "since", "firstAnnounced", "renewTime", "acquireTime", "released", "routesSent"),
    *("clusterIP", "clusterIPs", "nodePort"),
}
"""Fields that differ from run to run."""


def state(server: ApiServer) -> dict[str, Any]:
    """Every object that the programs write, without what differs from run to run."""
    return {f"{table} {one['metadata']['name']}": _comparable(one) for table in KEPT for one in _objects(server, table)}


def events(server: ApiServer) -> set[tuple[str, str]]:
    """What Events are about, and why there are any."""
    return {(one["involvedObject"]["name"], one["reason"]) for one in _objects(server, "events")}


def _objects(server: ApiServer, table: str) -> list[dict[str, Any]]:
    return [record.value() for record in server.core.store.table(table).records()]


def _comparable(part: Any) -> Any:
    if isinstance(part, dict):
        return {name: _comparable(value) for name, value in part.items() if name not in OF_THE_RUN}
    return [_comparable(one) for one in part] if isinstance(part, list) else part
