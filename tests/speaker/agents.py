"""An API server stand-in and agents with a wire that is a plain table: a cluster as small as a speaker's tests need.

What happens is noted in one journal, so that tests can ask what came before what.
"""

import asyncio
import contextlib
import functools
import itertools
import os
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import msgspec
import yaml

from crds.names import allocation_name
from crds.schema import custom_resource_definition
from crds.speaker import BGPSessionState
from crds.speakerreport import report_name
from crds.types import KINDS
from kube.errors import NotFound
from kube.framing import WatchEvent
from kube.io.client import Client
from kube.resource import (
    BGPADVERTISEMENTS,
    BGPPEERS,
    ENDPOINTSLICES,
    IPALLOCATIONS,
    IPPOOLS,
    L2ADVERTISEMENTS,
    LEASES,
    NAMESPACES,
    NODES,
    RELEASECONFIRMATIONS,
    SPEAKERREPORTS,
    SPEAKERS,
    Resource,
)
from lab.apiserver.server import ApiServer
from lab.apiserver.store import Key
from speaker.bgp.exabgp.config import outlives_seconds
from speaker.bgp.model import EXABGP_PERMIT_SECONDS, PeerConfig, Prefix, Route, SessionView, whole_seconds
from speaker.bgp.paths import paths_of
from speaker.io.agent import Agent
from speaker.io.metrics import SpeakerMetrics
from speaker.members.heartbeats import HeartbeatOptions
from speaker.options import Options
from speaker.own.paths import PathAttributes
from speaker.wire.io.link import OrderRefusedError
from speaker.wire.messages import (
    Announce,
    Ask,
    Bfd,
    BfdSession,
    BfdState,
    Conflict,
    Defend,
    Heartbeat,
    Interface,
    Interfaces,
    Member,
    Members,
    OwnState,
    Permit,
    Probe,
    Reannounce,
    UseInterfaces,
    Withdraw,
)
from tests.virtual import turns

CRDS = Resource("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", False)
NAMESPACE = "berth-system"
PATIENCE_SECONDS = 10.0


async def eventually(check: Callable[[], Any], seconds: float = PATIENCE_SECONDS) -> Any:
    """Wait until `check` gives something true, and return that. In virtual time it is made after each turn of the loop.

    `check` may be asynchronous: then it is made every now and then.
    """
    async with contextlib.aclosing(turns(seconds)) as looks:
        async for _ in looks:
            found = check()
            if asyncio.iscoroutine(found):
                found = await found or await asyncio.sleep(0.01)
            if found:
                return found
    raise AssertionError(f"it did not come to that within {seconds} s")


async def always(check: Callable[[], bool], seconds: float) -> None:
    """Assert it for so long, in virtual time after each turn of the loop."""
    async with contextlib.aclosing(turns(seconds)) as looks:
        async for _ in looks:
            assert check()


class JournalingClient(Client):
    """Notes each list and write of a speaker, when it was sent and when it was answered; and what it watches."""

    journal: list[str]
    watching: Counter[str]

    async def _noted(self, what: str, sending: Any) -> Any:
        self.journal.append(f"send {what}")
        answer = await sending
        self.journal.append(f"done {what}")
        return answer

    async def create(self, res: Resource, body: dict[str, Any], namespace: str | None = None) -> bytes:
        return await self._noted(f"create {res.plural}", super().create(res, body, namespace))

    async def merge_patch(self, res: Resource, name: str, body: dict[str, Any], **options: Any) -> bytes:
        status = body.get("status", {})
        noted = f"patch {res.plural}"
        if res is SPEAKERS:
            noted += " goodbye" if status.get("goodbye") else " register" if "incarnation" in status else " status"
        if status.get("released"):
            noted += f" {sorted(status['released'])}"
        return await self._noted(noted, super().merge_patch(res, name, body, **options))

    async def watch(self, res: Resource, **options: Any) -> AsyncGenerator[WatchEvent, None]:
        self.watching[res.plural] += 1
        try:
            async with contextlib.aclosing(super().watch(res, **options)) as events:
                async for event in events:
                    yield event
        finally:
            self.watching[res.plural] -= 1

    async def list_page(self, res: Resource, **options: Any) -> Any:
        return await self._noted(f"list {res.plural}", super().list_page(res, **options))


class TableWire:
    """In the place of speaker.wire.io.link.WireLink. `table` is what would be answered for; `confirming` can be
    held."""

    def __init__(self, journal: list[str], mac: str = "02:00:00:00:00:01") -> None:
        self.journal = journal
        self.table: dict[str, tuple[str, ...]] = {}
        self.probes: dict[str, tuple[tuple[str, ...], int]] = {}
        self.permit_until = 0.0
        self.confirming = asyncio.Event()
        self.confirming.set()
        self.refused: set[str] = set()
        self.interfaces = (Interface("eth0", 2, mac, True, True, ""),)
        self.dead = asyncio.Event()
        self.heartbeats: Heartbeat | None = None
        self.members: dict[str, Member] = {}
        self.said: OwnState | None = None
        self.bfd_sessions: dict[str, BfdState] = {}
        self.bfd_wanted: dict[str, BfdSession] = {}
        self.on_say: Callable[[], None] = lambda: None
        self.on_announce: Callable[[str], None] = lambda _: None

    async def carry_out(self, order: Any) -> None:
        match order:
            case UseInterfaces(names):
                self.journal.append(f"interfaces {','.join(names)}")
            case Announce(entries):
                self._announce(entries)
            case Withdraw(addresses):
                await self.confirming.wait()
                self._withdraw(addresses)
            case Probe(entries):
                for address, interfaces, run in entries:
                    self.journal.append(f"probe {address}")
                    self.probes[address] = (interfaces, run)
            case Bfd(sessions):
                self.bfd_wanted = dict(sessions)
            case Heartbeat():
                self.heartbeats = order

    def send(self, order: Any) -> None:
        match order:
            case Permit(until):
                self._permit(until)
            case OwnState():
                self.said = order
                self.on_say()
            case Defend(address, interface):
                self.journal.append(f"defend {address} on {interface}")
            case Ask(address, interface, mac):
                self.journal.append(f"ask {mac} for {address} on {interface}")
            case Reannounce(addresses):
                for address in addresses:
                    self.journal.append(f"reannounce {address}")
                    self.on_announce(address)

    def _announce(self, entries: Any) -> None:
        refused = []
        for address, interfaces in entries:
            if address in self.refused:
                refused.append(address)
            else:
                self.journal.append(f"announce {address}")
                self.table[address] = interfaces
                self.on_announce(address)
        if refused:
            raise OrderRefusedError(", ".join(refused))

    def _withdraw(self, addresses: Any) -> None:
        for address in addresses:
            self.table.pop(address, None)
            self.probes.pop(address, None)
            self.journal.append(f"withdrawn {address}")

    def _permit(self, until: float) -> None:
        if (until > time.clock_gettime(time.CLOCK_BOOTTIME)) != self.is_permitted:
            self.journal.append("permit" if until else "silence")
        self.permit_until = until

    async def stop(self) -> None:
        self.journal.append("wire stopped")
        self.table.clear()
        self.permit_until = 0.0

    async def wait_dead(self) -> int:
        await self.dead.wait()
        return 1

    @property
    def is_permitted(self) -> bool:
        return time.clock_gettime(time.CLOCK_BOOTTIME) < self.permit_until

    @property
    def answers(self) -> set[str]:
        """The addresses that somebody asking for them now would find here."""
        return set(self.table) if self.is_permitted else set()


class TableDriver:
    """In the place of speaker.bgp.exabgp.io.driver.BgpDriver. `table` is what each router has; `confirming` can be
    held, and then withdrawals are on their way for ever. A peer has a session as soon as it is set."""

    def __init__(self, journal: list[str]) -> None:
        self.journal = journal
        self.on_change: Callable[[], None] = lambda: None
        self.peers: dict[str, PeerConfig] = {}
        self.wanted: dict[str, dict[Prefix, Route]] = {}
        self.table: dict[str, dict[Prefix, Route]] = {}
        self.is_confirming = True
        self.is_silent = self.is_draining = False
        self.permit_until = 0.0
        self.synced_routers: frozenset[Any] = frozenset()
        self.kept: dict[str, int] = {}
        """For how many seconds routers keep what sessions that are no more have left."""
        self.covered: dict[str, int] = {}
        self.covered_at_start: dict[str, int] = {}
        """What the API server knew of a peer's router when it got its session."""
        self.known_at_start: dict[str, int] = {}
        """How many routes were known for a peer when it got its session."""
        self._changed: set[Prefix] = set()

    async def run(self) -> None:
        await asyncio.Event().wait()

    @property
    def sessions(self) -> dict[str, SessionView]:
        return {
            name: SessionView(
                name, peer.peer_address, BGPSessionState.Established, 1.0, peer.families, len(self.table.get(name, {}))
            )
            for name, peer in self.peers.items()
        }

    @property
    def routers(self) -> dict[str, int]:
        live = {
            peer.router: whole_seconds(outlives_seconds(peer) + EXABGP_PERMIT_SECONDS) for peer in self.peers.values()
        }
        return {router: max(live.get(router, 0), self.kept.get(router, 0)) for router in {*live, *self.kept}}

    def cover(self, covered: Any) -> None:
        self.covered = dict(covered)

    def drop_kept(self, routers: Any) -> None:
        for router in routers:
            self.kept.pop(router, None)

    def set_peers(self, peers: Any) -> None:
        for name in peers.keys() - self.peers.keys():
            self.journal.append(f"session {name}")
            self.known_at_start[name] = len(self.wanted.get(name, {}))
            self.covered_at_start[name] = self.covered.get(peers[name].router, 0)
        self.peers = dict(peers)
        self.settle()

    def set_routes(self, peer: str, routes: Any) -> None:
        self.wanted[peer] = dict(routes)
        self.settle()

    def change_routes(self, peer: str, changes: Any) -> None:
        routes = self.wanted.setdefault(peer, {})
        for prefix, route in changes.items():
            if route is None:
                routes.pop(prefix, None)
            else:
                routes[prefix] = route
        self.settle()

    def settle(self) -> None:
        """What is wanted is at the routers; withdrawals only while `is_confirming`."""
        for name in self.peers.keys() | self.table.keys():
            has, wants = self.table.setdefault(name, {}), {} if self.is_silent else self.wanted.get(name, {})
            wants = wants if name in self.peers else {}
            for prefix in wants.keys() - has.keys():
                self.journal.append(f"route {prefix} to {name}")
            for prefix in (has.keys() - wants.keys()) if self.is_confirming else ():
                self.journal.append(f"withdrawn {prefix} from {name}")
            kept = {} if self.is_confirming else has
            self._changed |= {prefix for prefix in has.keys() | wants.keys() if has.get(prefix) != wants.get(prefix)}
            self.table[name] = {**kept, **wants}
        self.on_change()

    def permit(self, until: float) -> None:
        self.permit_until = until

    def silence(self) -> None:
        self.is_silent = True
        self.settle()

    def resume(self) -> None:
        self.is_silent = False
        self.settle()

    def drain(self, is_draining: bool = True, *, spare_graceful: bool = False) -> None:
        if is_draining != self.is_draining:
            self.journal.append("drain" if is_draining else "no drain")
        self.is_draining = is_draining

    def may_be_heard(self, prefix: Prefix) -> bool:
        return any(prefix in routes for routes in self.table.values())

    def sent_to(self, prefix: Prefix) -> tuple[str, ...]:
        return tuple(sorted(name for name, routes in self.table.items() if prefix in routes and name in self.peers))

    def paths_to(self, prefix: Prefix) -> tuple[PathAttributes, ...]:
        sent = {name: routes[prefix] for name, routes in self.table.items() if prefix in routes and name in self.peers}
        return paths_of(prefix, sent.items())

    def take_changed(self) -> set[Prefix]:
        changed, self._changed = self._changed, set()
        return changed

    async def stop(self, *, graceful: bool) -> None:
        self.journal.append("sessions stopped")
        for name, peer in self.peers.items():
            if graceful and peer.graceful_restart_seconds is not None and self.table.get(name):
                self.kept[peer.router] = whole_seconds(outlives_seconds(peer))
            else:
                self.table.pop(name, None)
        self.peers = {}

    @property
    def prefixes(self) -> dict[str, set[str]]:
        """What each router has, as text."""
        return {name: {str(prefix) for prefix in routes} for name, routes in self.table.items() if routes}


class TableBlackholes:
    """In the place of speaker.bgp.io.blackhole.Blackholes."""

    def __init__(self) -> None:
        self.prefixes: frozenset[Prefix] = frozenset()
        self.fault = ""

    async def run(self) -> None:
        await asyncio.Event().wait()

    def set(self, prefixes: frozenset[Prefix]) -> None:
        self.prefixes = prefixes


class Air:
    """A segment that carries heartbeats and gratuitous ARP at once between the speakers on it, unless it is cut."""

    def __init__(self) -> None:
        self.speakers: dict[str, Speaker] = {}
        self.deaf: set[str] = set()
        """Nodes that neither send nor hear heartbeats."""

    def join(self, speaker: "Speaker") -> None:
        self.speakers[speaker.node] = speaker
        speaker.wire.on_say = self.spread
        speaker.on_stopped = lambda: self.leave(speaker.node)
        speaker.wire.on_announce = lambda address: self._claim(speaker, address)

    def leave(self, node: str) -> None:
        self.speakers.pop(node, None)
        self.spread()

    def cut(self, *nodes: str) -> None:
        self.deaf.update(nodes)
        self.spread()

    def heal(self) -> None:
        self.deaf.clear()
        self.spread()

    def spread(self) -> None:
        """In a later turn of the loop, as packets would."""
        asyncio.get_running_loop().call_soon(self._spread)

    def _spread(self) -> None:
        for node, speaker in self.speakers.items():
            heard = {other: self._heard(other) for other in self.speakers if {node, other}.isdisjoint(self.deaf)}
            others = {other: peer for other, peer in heard.items() if other != node and peer is not None}
            said = {other: (peer.incarnation, self.speakers[other].wire.said) for other, peer in others.items()}
            if said != speaker.last_heard:
                speaker.last_heard = said
                speaker.wire.members = others
                speaker.agent.tell(Members(others))

    def _heard(self, node: str) -> Member | None:
        speaker = self.speakers[node]
        said = speaker.wire.said
        if said is None:
            return None
        now = time.clock_gettime(time.CLOCK_BOOTTIME)
        usable = tuple(one.name for one in speaker.wire.interfaces if one.usable)
        return Member(speaker.incarnation, usable, said.contact, now, *said[1:], via=usable)

    def _claim(self, claimant: "Speaker", address: str) -> None:
        for speaker in self.speakers.values():
            if speaker is not claimant and address in speaker.wire.table:
                mac = claimant.wire.interfaces[0].mac
                speaker.agent.tell(Conflict(address, "eth0", mac))


class Speaker:
    """One agent under test. `clock_offset_seconds` moves its CLOCK_BOOTTIME, as a suspended machine would."""

    def __init__(self, node: str, client: JournalingClient, incarnation: str, **options: Any) -> None:
        self.node = node
        self.journal: list[str] = []
        self.clock_offset_seconds = 0.0
        client.journal = self.journal
        self.watching = client.watching = Counter[str]()
        """How many watches are open, by plural."""
        self.incarnation = incarnation
        self.last_heard: dict[str, Any] = {}
        self.wire = TableWire(self.journal, f"02:00:00:00:00:{ord(node[-1]):02x}")
        defaults: dict[str, Any] = {
            "failback_seconds": 0,
            "lease_duration_seconds": 3,
            "renew_seconds": 0.5,
            "fence_after_seconds": 60,
            "bgp_drain_seconds": 0.2,
        }
        self.driver, self.blackholes = TableDriver(self.journal), TableBlackholes()
        self.agent = Agent(
            client,
            self.wire,  # type: ignore[arg-type]
            Options(node, incarnation, NAMESPACE, **defaults | options),
            SpeakerMetrics(),
            driver=self.driver,  # type: ignore[arg-type]
            blackholes=self.blackholes,  # type: ignore[arg-type]
            boottime=lambda: time.clock_gettime(time.CLOCK_BOOTTIME) + self.clock_offset_seconds,
        )
        self.driver.on_change = self.agent.routers_changed
        self.on_stopped: Callable[[], None] = lambda: None
        self.stopping = asyncio.Event()
        self.running: asyncio.Task[None] | None = None

    async def stop(self) -> None:
        """SIGTERM; raises what the agent raises."""
        self.stopping.set()
        assert self.running is not None
        await asyncio.wait_for(self.running, PATIENCE_SECONDS + 5)
        self.on_stopped()

    @property
    def is_ready(self) -> bool:
        return self.agent.snapshot().is_ready

    def position(self, entry: str) -> int:
        """Of the last such entry in the journal."""
        return len(self.journal) - 1 - self.journal[::-1].index(entry)


class Cluster:
    """Objects as operators and the allocator write them, by the admin's client."""

    def __init__(self, server: ApiServer, admin: Client, directory: Path) -> None:
        self.server = server
        self._keys = directory / "keys"
        self._keys.mkdir()
        (self._keys / "key").write_text("0123456789abcdef")
        self.admin = admin
        self._incarnations = 0
        self.air: Air | None = Air()
        """None, set before speakers are started: heartbeats are off, and nobody sees another's frames."""

    async def add_peer(self, name: str, address: str = "192.0.2.250", **spec: Any) -> None:
        body = {"metadata": {"name": name}, "spec": {"myASN": 64512, "peerASN": 64513, "peerAddress": address} | spec}
        await self.admin.create(BGPPEERS, body)

    async def advertise_by_bgp(self, name: str = "all", **spec: Any) -> None:
        await self.admin.create(BGPADVERTISEMENTS, {"metadata": {"name": name}, "spec": spec})

    async def add_node(self, name: str, labels: dict[str, str] | None = None) -> None:
        await self.admin.create(NODES, {"metadata": {"name": name, "labels": labels or {}}})

    async def allocate(self, address: str, **spec: Any) -> dict[str, Any]:
        holder = {"namespace": "default", "name": "web", "uid": "u", "ports": [{"protocol": "TCP", "port": 80}]}
        body = {
            "metadata": {"name": allocation_name(address)},
            "spec": {"address": address, "pool": "edge", "holders": [holder]} | spec,
        }
        return msgspec.json.decode(await self.admin.create(IPALLOCATIONS, body))

    async def release(self, address: str) -> tuple[str, int]:
        """The allocator's mark: the uid, and the generation to be confirmed."""
        patch = {"spec": {"releasing": True}}
        raw = await self.admin.merge_patch(IPALLOCATIONS, allocation_name(address), patch)
        meta = msgspec.json.decode(raw)["metadata"]
        return meta["uid"], meta["generation"]

    async def free(self, address: str) -> None:
        await self.admin.delete(IPALLOCATIONS, allocation_name(address))

    async def status(self, node: str) -> dict[str, Any]:
        """All that the node's speaker says of itself: in the Speaker, and in those slices of its report that count."""
        status = dict(self._stored(SPEAKERS, node).get("status", {}))
        for said in () if status.get("goodbye") else self._report(node, status.get("incarnation", "")):
            for name in said.keys() - {"incarnation"}:
                known = status.get(name)
                status[name] = said[name] if known is None else _both(known, said[name])
        return status

    def _report(self, node: str, incarnation: str) -> list[dict[str, Any]]:
        stored = (self._stored(SPEAKERREPORTS, report_name(node, number)) for number in itertools.count())
        every = (one.get("status", {}) for one in itertools.takewhile(bool, stored))
        return [one for one in every if one.get("incarnation") == incarnation]

    async def released(self, node: str) -> dict[str, int]:
        """What counts as confirmed by the node's speaker."""
        said = self._stored(RELEASECONFIRMATIONS, node).get("status", {})
        incarnation = self._stored(SPEAKERS, node).get("status", {}).get("incarnation")
        return said.get("released", {}) if said.get("incarnation") == incarnation else {}

    async def announced(self, node: str) -> set[str]:
        return set((await self.status(node)).get("announcements", {}))

    async def lease_holder(self, node: str) -> str:
        lease = self._stored(LEASES, f"berth-speaker-{node}", NAMESPACE)
        return lease["spec"].get("holderIdentity", "")

    def _stored(self, res: Resource, name: str, namespace: str = "") -> dict[str, Any]:
        """As the API server has it, also while it answers nobody; empty if it has none."""
        record = self.server.core.store.table(f"{res.plural}.{res.group}").get(Key(namespace, name))
        return record.value() if record else {}

    async def set_endpoints(self, *nodes: str, name: str = "web-1") -> None:
        """The Service `web` has a ready endpoint on each of these nodes."""
        endpoints = [{"addresses": ["10.0.0.1"], "conditions": {"ready": True}, "nodeName": node} for node in nodes]
        labels = {"kubernetes.io/service-name": "web"}
        body = {"metadata": {"name": name, "labels": labels}, "addressType": "IPv4", "endpoints": endpoints}
        try:
            await self.admin.merge_patch(ENDPOINTSLICES, name, {"endpoints": endpoints}, namespace="default")
        except NotFound:
            await self.admin.create(ENDPOINTSLICES, body, "default")

    @contextlib.asynccontextmanager
    async def speaker(self, node: str = "node-a", *, wait: bool = True, **options: Any) -> AsyncIterator[Speaker]:
        """Runs one agent; ends it hard, like a kill, unless it was told to stop."""
        self._incarnations += 1
        path = str(self.server.kubeconfig_path)
        async with await JournalingClient.connect(path, user_agent=f"speaker-{node}") as client:
            if self.air is not None:
                options["heartbeats"] = HeartbeatOptions(str(self._keys))
            speaker = Speaker(node, client, f"{node}-{self._incarnations}", **options)
            if self.air is not None:
                self.air.join(speaker)
            running = speaker.running = asyncio.create_task(speaker.agent.run(speaker.stopping))
            if self.air is not None:  # the wire process dies with its agent
                running.add_done_callback(lambda _, air=self.air: air.leave(node))
            speaker.agent.tell(Interfaces(speaker.wire.interfaces))
            try:
                if wait:
                    await eventually(lambda: speaker.is_ready or running.done())
                yield speaker
            finally:
                if not running.done():
                    running.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await running
                    if self.air is not None:
                        self.air.leave(node)
                elif not speaker.stopping.is_set() and not running.cancelled():
                    running.result()


def _both(one: Any, other: Any) -> Any:
    """Of what two objects say a part each."""
    return {**one, **other} if isinstance(one, dict) else [*one, *other]


@functools.cache
def definitions() -> list[dict[str, Any]]:
    return [custom_resource_definition(kind) for kind in KINDS]


@contextlib.contextmanager
def quick_connecting() -> Iterator[None]:
    """Each client would read all the authorities that the machine trusts, and talk without TLS then; and read its
    kubeconfig in pure Python."""
    with (
        mock.patch.dict(os.environ, SSL_CERT_FILE=os.devnull, SSL_CERT_DIR=os.devnull),
        mock.patch.object(yaml, "SafeLoader", yaml.CSafeLoader),
    ):
        yield


@contextlib.asynccontextmanager
async def cluster(directory: Path, *nodes: str) -> AsyncIterator[Cluster]:
    """With our CRDs, a pool, an advertisement of everything, and these nodes."""
    with quick_connecting():
        async with (
            ApiServer(directory, tls=False) as server,
            await Client.connect(str(server.kubeconfig_path), user_agent="admin") as admin,
        ):
            for definition in definitions():
                await admin.create(CRDS, definition)
            await admin.create(NAMESPACES, {"metadata": {"name": NAMESPACE}})
            await admin.create(IPPOOLS, {"metadata": {"name": "edge"}, "spec": {"addresses": ["192.0.2.0/24"]}})
            await admin.create(L2ADVERTISEMENTS, {"metadata": {"name": "all"}, "spec": {}})
            made = Cluster(server, admin, directory)
            for name in nodes or ("node-a",):
                await made.add_node(name)
            yield made
