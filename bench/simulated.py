"""Many speakers in one process, as the API server sees them: their objects, Leases, watches and writes. No packets.

`python -m bench.simulated COUNT --kubeconfig FILE` obeys lines of JSON on standard input and answers each by one line:

    {"do": "register"}            Node, Speaker, ReleaseConfirmation, two slices of SpeakerReport and a Lease for each;
                                  the Leases are renewed from then on
    {"do": "follow"}              open the watches; an IPAllocation that is marked is confirmed at once, one that comes
                                  or goes is reported within the budget that all nodes share, and so is a BGPPeer
    {"do": "leave"}               close the watches
    {"do": "die", "node": 7}      no renewal and no write of that one any more
    {"do": "revive", "node": 7}   its next process, once the watches are opened again
    {"do": "roll", "pace": 10}    so many restarts a second, until all have had one: goodbye, then another incarnation
    {"do": "told"}                what was confirmed so far: by uid, by how many, and when the last answer came; and
                                  how many Leases were renewed

A speaker watches ten kinds; these watch those that change here: Speakers, IPAllocations and BGPPeers. A list is read
once for all of them. Slice 1 of each report is nearly full, so that its writes are as large as those of a node that
announces much; the other slices, which do not change, are left out.
"""

import argparse
import asyncio
import contextlib
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

from bench.measure import log_to_stderr
from bench.members import incarnation_of, name_of
from crds.ipallocation import IPAllocation
from crds.names import speaker_lease, speaker_lease_labels
from crds.speakerreport import WRITES_PER_SECOND, report_name
from kube.errors import ApiError, NotFound
from kube.io.client import Client
from kube.io.clock import micro_timestamp
from kube.resource import (
    BGPPEERS,
    IPALLOCATIONS,
    LEASES,
    NODES,
    RELEASECONFIRMATIONS,
    SPEAKERREPORTS,
    SPEAKERS,
    Resource,
)

AGENT = "berth-bench-simulated"
NAMESPACE = "berth-system"
FOLLOWED = (SPEAKERS, IPALLOCATIONS, BGPPEERS)
LEASE_DURATION_SECONDS = 6
RENEW_SECONDS = 2.0
OUTLIVES_SECONDS = 120
FULL = 95
"""Entries that slice 1 has beforehand; it takes 100."""
AT_ONCE = 16
RENEWERS = 20
STEADY_SECONDS = 0.5


class Allocated(NamedTuple):
    """What a speaker sees of an IPAllocation."""

    uid: str
    address: str
    marked: int | None  # the generation of the mark


@lru_cache(maxsize=4096)
def allocated(raw: bytes) -> Allocated:
    """Decoded once for all that see it."""
    found = IPAllocation.decode(raw)
    marked = found.metadata.generation if found.spec.releasing else None
    return Allocated(found.metadata.uid, str(found.spec.address), marked)


def timestamp() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def condition(kind: str, reason: str) -> dict[str, str]:
    return {"type": kind, "status": "True", "reason": reason, "message": "", "lastTransitionTime": timestamp()}


def announcement() -> dict[str, Any]:
    return {"protocols": ["BGP"], "peers": ["tor"], "since": timestamp()}


@dataclass
class Told:
    """Confirmations by the uid of the IPAllocation."""

    by: Counter[str] = field(default_factory=Counter)
    last: dict[str, float] = field(default_factory=dict)


class Node:
    """One simulated speaker."""

    def __init__(self, client: Client, number: int, count: int, told: Told) -> None:
        self.number, self.name = number, name_of(number)
        self._client = client
        self._spread = count / WRITES_PER_SECOND
        self._told = told
        self._starts = 0
        self._released: dict[str, int] = {}
        self._over: set[str] = set()
        self._report: dict[str, Any] = {}
        self._reporting: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self.watches: list[asyncio.Task[None]] = []
        self._has_lease = False
        self.is_dead = False

    @property
    def incarnation(self) -> str:
        return incarnation_of(self.number, self._starts)

    # --- its objects

    async def register(self) -> None:
        owner = json.loads(await self._client.create(NODES, {"metadata": {"name": self.name}}))["metadata"]["uid"]
        address = {"type": "InternalIP", "address": f"172.29.{self.number >> 8}.{self.number & 255}"}
        status = {"status": {"addresses": [address]}}
        await self._client.merge_patch(NODES, self.name, status, subresource="status")
        await self._make(SPEAKERS, self.name, owner, {}, self._speaker())
        confirmed = {"incarnation": self.incarnation, "released": {}}
        await self._make(RELEASECONFIRMATIONS, self.name, owner, {}, confirmed)
        for number, status in enumerate(self._reports()):
            await self._make(SPEAKERREPORTS, report_name(self.name, number), owner, {"node": self.name}, status)

    async def _make(
        self, resource: Resource, name: str, owner: str, spec: dict[str, Any], status: dict[str, Any]
    ) -> None:
        reference = {"apiVersion": "v1", "kind": "Node", "name": self.name, "uid": owner}
        await self._client.create(resource, {"metadata": {"name": name, "ownerReferences": [reference]}, "spec": spec})
        await self._client.merge_patch(resource, name, {"status": status}, subresource="status")

    def _speaker(self) -> dict[str, Any]:
        mac = f"02:00:00:01:{self.number >> 8:02x}:{self.number & 255:02x}"
        return {
            "incarnation": self.incarnation,
            "machine": f"machine-{self.number}",
            "goodbye": False,
            "interfaces": [{"name": "eth0", "mac": mac, "up": True, "usable": True}],
            "routers": [{"address": "172.30.0.250", "outlivesSeconds": OUTLIVES_SECONDS}],
            "fencing": {"promised": False, "fenceAfterSeconds": 60},
            "conditions": [condition("Ready", "Serving")],
        }

    def _reports(self) -> tuple[dict[str, Any], dict[str, Any]]:
        addresses = [f"10.{100 + self.number // 256}.{self.number % 256}.{one}" for one in range(FULL)]
        session = {"peer": "tor", "address": "172.30.0.250", "state": "Established", "since": timestamp()}
        first = {"incarnation": self.incarnation, "conditions": [condition("Announceable", "Announceable")]}
        second = {"incarnation": self.incarnation, "bgpSessions": [session]}
        return first, second | {"announcements": {one: announcement() for one in addresses}}

    async def renew(self) -> None:
        """Its Lease, as kube.lease writes it; made at first."""
        times = {"holderIdentity": self.incarnation, "renewTime": micro_timestamp()}
        body = {"spec": {"leaseDurationSeconds": LEASE_DURATION_SECONDS, **times}}
        name = speaker_lease(self.name)
        if self._has_lease:
            await self._client.merge_patch(LEASES, name, body, namespace=NAMESPACE)
        else:
            labels = speaker_lease_labels(self.name)
            await self._client.create(LEASES, {"metadata": {"name": name, "labels": labels}, **body}, NAMESPACE)
            self._has_lease = True

    # --- what it sees

    def sees_allocation(self, kind: str, raw: bytes) -> None:
        seen = allocated(raw)
        if kind == "DELETED":
            if self._released.pop(seen.uid, None) is not None:
                self._over.add(seen.uid)  # goes with the next confirmation
            return
        if seen.marked is not None and self._released.get(seen.uid) != seen.marked:
            self._released[seen.uid] = seen.marked
            self._do(self._confirm(seen))
            self._reports_soon(seen.address, None)
        elif kind == "ADDED":
            self._reports_soon(seen.address, announcement())

    def sees_peer(self) -> None:
        session = {"peer": "tor", "address": "172.30.0.250", "state": "Established", "since": timestamp()}
        self._report["bgpSessions"] = [session]
        self._report_within_budget()

    async def _confirm(self, seen: Allocated) -> None:
        released = {uid: None for uid in self._over} | {seen.uid: seen.marked}
        self._over.clear()
        body = {"status": {"incarnation": self.incarnation, "released": released}}
        await self._client.merge_patch(RELEASECONFIRMATIONS, self.name, body, subresource="status")
        self._told.by[seen.uid] += 1
        self._told.last[seen.uid] = time.time()

    def _reports_soon(self, address: str, entry: dict[str, Any] | None) -> None:
        self._report.setdefault("announcements", {})[address] = entry
        self._report_within_budget()

    def _report_within_budget(self) -> None:
        if self._reporting is None and not self.is_dead:
            self._reporting = self._do(self._write_report())

    async def _write_report(self) -> None:
        await asyncio.sleep(random.random() * self._spread)
        self._reporting = None
        status, self._report = {"incarnation": self.incarnation, **self._report}, {}
        await self._client.merge_patch(
            SPEAKERREPORTS, report_name(self.name, 1), {"status": status}, subresource="status"
        )

    def _do(self, work: Awaitable[None]) -> asyncio.Task[None]:
        async def carefully() -> None:
            with contextlib.suppress(ApiError):
                await work

        task = asyncio.create_task(carefully())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # --- how it ends

    def die(self) -> None:
        self.is_dead = True
        self._reporting = None
        for task in (*self.watches, *self._tasks):
            task.cancel()

    async def restart(self) -> None:
        """A goodbye, then a new process."""
        await self._write(SPEAKERS, self.name, {"goodbye": True, "incarnation": self.incarnation})
        await self.start()

    async def start(self) -> None:
        """Another process: it renews, registers, looks at its objects, and serves."""
        self.is_dead = False
        self._starts += 1
        await self._write(SPEAKERS, self.name, {"goodbye": False, "incarnation": self.incarnation})
        await self._client.get(RELEASECONFIRMATIONS, self.name)
        forgotten: dict[str, None] = dict.fromkeys(self._released)
        await self._write(RELEASECONFIRMATIONS, self.name, {"incarnation": self.incarnation, "released": forgotten})
        self._released.clear()
        await self._write(SPEAKERS, self.name, {"conditions": [condition("Ready", "Serving")]})
        self._do(self._report_anew())

    async def _report_anew(self) -> None:
        """Each slice counts for its incarnation only."""
        for number, status in enumerate(self._reports()):
            await asyncio.sleep(random.random() * self._spread)
            await self._write(SPEAKERREPORTS, report_name(self.name, number), status)

    async def _write(self, resource: Resource, name: str, status: dict[str, Any]) -> None:
        await self._client.merge_patch(resource, name, {"status": status}, subresource="status")


class Simulation:
    """All of them."""

    def __init__(self, client: Client, count: int) -> None:
        self._client = client
        self.told = Told()
        self.nodes = [Node(client, number, count, self.told) for number in range(count)]
        self._renewing: list[asyncio.Task[None]] = []
        self.renewals = 0

    async def obey(self, order: dict[str, Any]) -> dict[str, Any]:
        match order["do"]:
            case "register":
                await each(self.nodes, Node.register)
                self._renewing = [asyncio.create_task(self._renew(first)) for first in range(RENEWERS)]
            case "follow":
                await self._follow()
            case "leave":
                await self._leave()
            case "die":
                self.nodes[order["node"]].die()
            case "revive":
                await self.nodes[order["node"]].start()
            case "roll":
                await self._roll(order["pace"])
            case "told":
                return {"by": dict(self.told.by), "last": self.told.last, "renewals": self.renewals}
        return {"done": order["do"]}

    async def _renew(self, first: int) -> None:
        """The Leases of every so many nodes, in turn: a machine that is too slow renews late, and opens no more
        connections for it."""
        mine = self.nodes[first::RENEWERS]
        while True:
            began = time.monotonic()
            for number, node in enumerate(mine):
                await asyncio.sleep(began + number * RENEW_SECONDS / len(mine) - time.monotonic())
                if not node.is_dead:
                    with contextlib.suppress(ApiError):
                        await node.renew()
                        self.renewals += 1
            await asyncio.sleep(began + RENEW_SECONDS - time.monotonic())

    async def _follow(self) -> None:
        """Returns when all watches are open."""
        versions = {resource: (await self._client.list_page(resource, page_size=1)) for resource in FOLLOWED}
        for number, node in enumerate(self.nodes):
            if not node.is_dead:
                node.watches = [
                    asyncio.create_task(self._watch(node, resource, page.resource_version))
                    for resource, page in versions.items()
                ]
            if number % AT_ONCE == 0:
                await asyncio.sleep(STEADY_SECONDS)
        await asyncio.sleep(4 * STEADY_SECONDS)

    async def _leave(self) -> None:
        every = [task for node in self.nodes for task in node.watches]
        for task in every:
            task.cancel()
        await asyncio.gather(*every, return_exceptions=True)

    async def _watch(self, node: Node, resource: Resource, version: str) -> None:
        while True:
            try:
                async with contextlib.aclosing(self._client.watch(resource, resource_version=version)) as events:
                    async for event in events:
                        version = event.resource_version
                        if event.type != "BOOKMARK":
                            self._seen(node, resource, event.type, event.raw_object)
            except NotFound:
                raise
            except ApiError:
                await asyncio.sleep(1.0)

    def _seen(self, node: Node, resource: Resource, kind: str, raw: bytes) -> None:
        if resource is IPALLOCATIONS:
            node.sees_allocation(kind, raw)
        elif resource is BGPPEERS:
            node.sees_peer()

    async def _roll(self, pace: float) -> None:
        began = time.monotonic()
        for number, node in enumerate(self.nodes):
            await asyncio.sleep(began + number / pace - time.monotonic())
            if not node.is_dead:
                await node.restart()


async def each(nodes: Iterable[Node], action: Callable[[Node], Awaitable[None]]) -> None:
    """For all, some at a time."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(node: Node) -> None:
        async with gate:
            await action(node)

    await asyncio.gather(*(one(node) for node in nodes))


async def run(options: argparse.Namespace) -> None:
    async with await Client.connect(options.kubeconfig, user_agent=AGENT, max_connections=2 * AT_ONCE) as client:
        simulation = Simulation(client, options.count)
        while line := await asyncio.to_thread(sys.stdin.readline):
            print(json.dumps(await simulation.obey(json.loads(line))), flush=True)


def main() -> int:
    log_to_stderr()
    parser = argparse.ArgumentParser(prog="python -m bench.simulated")
    parser.add_argument("count", type=int)
    parser.add_argument("--kubeconfig", required=True)
    asyncio.run(run(parser.parse_args()))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
