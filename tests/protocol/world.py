"""Speakers and allocators on a virtual clock: the real decisions, with every request, watch and heartbeat in our hands.

Driven for real: the whole core of each speaker (speaker.core.NodeCore), and the allocator's LeaseBook, Mark, awaited.
Played here: the API server, the wire process's table, the renewals of Leases, and what an allocator does, as
docs/model/barrier.pml and fence.pml have it. One address that goes from Service to Service. Every speaker takes itself
for the only one that could announce it, and so each of them does.
"""

import contextlib
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from allocator.release import barrier as release
from allocator.release.confirmations import Confirmation, ConfirmationStatus
from allocator.release.speakers import Fencing, SpeakerState, SpeakerStatus
from crds.speakerreport import report_name
from kube.objects import Meta
from speaker import inputs
from speaker.batch import Batch
from speaker.bgp.routers import RouterReport
from speaker.cluster.objects import Allocation, SpeakerFacts
from speaker.cluster.state import Kind
from speaker.core import NodeCore
from speaker.members.heartbeats import HeartbeatOptions
from speaker.moment import Moment
from speaker.options import Options
from speaker.own.io.ownobjects import own_from
from speaker.own.requests import (
    Delete,
    Deleted,
    Failed,
    Failure,
    Found,
    Look,
    Own,
    Request,
    Target,
    Write,
    Wrote,
)
from speaker.own.requests import Kind as Object
from speaker.own.writer import SupersededError
from speaker.wire import messages
from tests.allocator.build import address
from tests.speaker import make
from tests.speaker.own.store import merge

F = 60
VIP = "192.0.2.10"
NAME = make.allocation(VIP).name
RENEW_SECONDS = 2
STEPS = 100
"""As many batches as a speaker may have in one second: more would never end."""


class Unanswered(Exception):
    """The request or its answer was lost."""


@dataclass
class Record:
    uid: str
    generation: int = 1
    releasing: bool = False


@dataclass
class Lease:
    version: int = 0
    text: str = ""


@dataclass
class Stored:
    """One object that a speaker writes of itself."""

    uid: str
    version: int = 1
    status: dict[str, Any] = field(default_factory=dict)

    def own(self) -> Own:
        metadata = {"uid": self.uid, "resourceVersion": str(self.version)}
        return own_from(json.dumps({"metadata": metadata, "status": self.status}).encode())

    def patch(self, status: dict[str, Any]) -> None:
        self.version += 1
        self.status = merge(self.status, status)


@dataclass
class Api:
    """`history` holds each version of the IPAllocation; a watch is a position in it."""

    history: list[Record | None] = field(default_factory=lambda: [None])
    speakers: dict[str, Stored] = field(default_factory=dict)
    confirmations: dict[str, Stored] = field(default_factory=dict)
    reports: dict[str, Stored] = field(default_factory=dict)
    leases: dict[str, Lease] = field(default_factory=dict)
    out_of_service: set[str] = field(default_factory=set)
    """The nodes that have this taint."""
    uids: itertools.count = field(default_factory=itertools.count)

    def of(self, node: str, target: Target) -> tuple[dict[str, Stored], str]:
        """Where that object is, and its name there."""
        match target.kind:
            case Object.SPEAKER:
                return self.speakers, node
            case Object.CONFIRMATION:
                return self.confirmations, node
            case Object.REPORT:
                return self.reports, report_name(node, target.number)

    @property
    def record(self) -> Record | None:
        return self.history[-1]


@dataclass
class Link:
    """`mode`: both; none; requests (they arrive, and their answers do not); stuck (they arrive when `let_go` says so,
    and are not answered); no leases (only those about Leases fail)."""

    mode: str = "both"
    held: list = field(default_factory=list)

    def let_go(self) -> None:
        held, self.held = self.held, []
        for effect in held:
            effect()

    def send(self, effect, *, of_lease: bool = False):
        if self.mode == "none" or (self.mode == "no leases" and of_lease):
            raise Unanswered
        if self.mode == "stuck":
            self.held.append(effect)
            raise Unanswered
        answer = effect()
        if self.mode == "requests":
            raise Unanswered
        return answer


class Speaker:
    """One node's speaker, in one process after the other. `on_wire`: the uid for which it would answer now."""

    def __init__(self, api: Api, node: str, machine: str = "machine") -> None:
        self.api, self.node, self.link = api, node, Link()
        self.machine = machine
        self.process = 0
        self.is_running = False
        self.frozen_until = 0.0
        self.is_lagging = False
        self.is_wire_slow = False
        self.is_blind = False
        """Its watch of Speakers tells it nothing more."""
        self.refuses: Callable[[Write], bool] | None = None
        """Which writes the API server refuses."""
        self.says: messages.OwnState | None = None
        self.heard: dict[str, messages.Member] = {}
        self.permit_until = 0.0
        self.table: dict[str, str] = {}

    def start(self, now: float) -> None:
        self.process += 1
        self.is_running, self.frozen_until = True, 0.0
        options = Options(
            self.node,
            self.incarnation,
            "berth-system",
            renew_seconds=RENEW_SECONDS,
            fence_after_seconds=F,
            failback_seconds=0,
            boot_id=self.machine,
            heartbeats=HeartbeatOptions("a folder of keys"),
        )
        self.core = NodeCore(options, _moment(now))
        self.core.take(inputs.KeysRead((b"0123456789abcdef",)), _moment(now))
        interfaces = (messages.Interface("eth0", 2, "02:00:00:00:00:01", True, True, ""),)
        self.core.take(messages.Interfaces(interfaces), _moment(now))
        self.reading: int | None = None
        self.seen: dict[str, SpeakerFacts] | None = None
        self.orders: list[tuple[messages.ConfirmedOrder, str]] = []
        self.lease_version: int | None = None
        self.unanswered: dict[str, float] = {}
        self.renew_at = now
        self.must_renew = self.has_renewed = False
        self.says = None
        self.heard.clear()

    @property
    def incarnation(self) -> str:
        return f"{self.machine} {self.process}"

    def crash(self) -> None:
        self.is_running = False
        self.permit_until = 0.0
        self.table.clear()

    def stop(self, now: float) -> None:
        """Off the wire, then goodbye."""
        self.core.take(inputs.Stop(), _moment(now))
        self._drive(now)

    def on_wire(self, now: float) -> str | None:
        return self.table.get(VIP) if now < self.permit_until else None

    def hear(self, others: list["Speaker"], now: float) -> None:
        """Heartbeats: sent by a wire process, which goes on while its agent is frozen. None of the others has an
        interface to announce on, as far as this one knows. It is never told of a loss: it has to
        notice by itself how old a word is."""
        for one in others:
            if one.says is not None and one.node != self.node:
                self.heard[one.node] = messages.Member(one.incarnation, (), one.says.contact, now, *one.says[1:])

    # What an agent does in a second

    def work(self, now: float) -> None:
        if not self.is_running or now < self.frozen_until:
            return
        try:
            self._work(now)
        except SupersededError:
            self.crash()

    def _work(self, now: float) -> None:
        self.core.take(messages.Members(self.heard), _moment(now))
        self._drive(now)
        with contextlib.suppress(Unanswered):
            if now >= self.renew_at or self.must_renew:
                self._renew(now)
        with contextlib.suppress(Unanswered):
            self._read(now)
        self._drive(now)

    def _drive(self, now: float) -> None:
        """Carry out batches until there is nothing to do."""
        moment = _moment(now)
        for _ in range(STEPS):
            self._use_wire(moment)
            batch = self.core.advance(moment)
            if not self._carry_out(batch, moment) and not batch.has_more:
                return
        raise AssertionError(f"{self.node} finds no rest")

    def _carry_out(self, batch: Batch, moment: Moment) -> bool:
        """Whether that told the core something new."""
        if batch.permit is not None:
            self.permit_until = batch.permit
        for order in batch.orders:
            if isinstance(order, messages.OwnState):
                self.says = order
            elif isinstance(order, messages.ConfirmedOrder):
                known = self.core.cluster.allocations.get(NAME)
                self.orders.append((order, "" if known is None else known.uid))
        if batch.routers is not None and (batch.routers.changes_routes or batch.routers.stops):
            self.core.take(RouterReport(has_stopped=batch.routers.stops), moment)
        for request in batch.requests:
            self.core.take(self._request(request), moment)
        if batch.gives_lease_back:
            self.core.take(inputs.LeaseReleased(), moment)
        self.must_renew = batch.renews_after is not None
        if batch.reading != self.reading:
            self.reading, self.seen = batch.reading, None
        is_news = bool(batch.requests) or batch.routers is not None or batch.gives_lease_back
        return is_news or bool(self.orders and not self.is_wire_slow)

    def _use_wire(self, moment: Moment) -> None:
        if self.is_wire_slow:
            return
        orders, self.orders = self.orders, []
        for order, uid in orders:
            match order:
                case messages.Announce(entries):
                    self.table.update({one: uid for one, _ in entries})
                case messages.Withdraw(addresses):
                    for one in addresses:
                        self.table.pop(one, None)
                case messages.Stop():
                    self.table.clear()
            self.core.take(inputs.OrderDone(order), moment)

    # Requests

    def _request(self, request: Request) -> inputs.Input:
        try:
            answer: inputs.Input = self.link.send(lambda: self._answer(request))
        except Unanswered:
            return Failed(request, Failure.OTHER, "no answer", randomness=0.0)
        return answer

    def _answer(self, request: Request) -> inputs.Input:
        """What the API server does, and says if it is heard. A write without preconditions has none."""
        objects, name = self.api.of(self.node, request.target)
        if isinstance(request, Look) and request.creates and name not in objects:
            objects[name] = Stored(f"{name}-{next(self.api.uids)}")
        stored = objects.get(name)
        if stored is None:
            return Failed(request, Failure.GONE, "gone")
        if self.refuses is not None and isinstance(request, Write) and self.refuses(request):
            return Failed(request, Failure.REFUSED, "invalid", randomness=0.0)
        match request:
            case Look(creates=creates):
                return Found(request, stored.own(), "node" if creates else "")
            case Write(uid=uid, resource_version=version, status=status):
                if (uid or stored.uid, version or str(stored.version)) != (stored.uid, str(stored.version)):
                    return Failed(request, Failure.CONFLICT, "another version")
                stored.patch(status)
                return Wrote(request, stored.own())
            case Delete():
                del objects[name]
                return Deleted(request)

    def _renew(self, now: float) -> None:
        """As kube.lease.io.renewer.LeaseRenewer."""
        self.renew_at = now + RENEW_SECONDS
        lease = self.api.leases.setdefault(self.node, Lease())
        if self.lease_version is None:
            holder = self.link.send(lambda: lease.text.rpartition(" ")[0])
            if self.has_renewed and holder != self.incarnation:
                raise Unanswered  # it has a successor
            self.lease_version = self.link.send(lambda: lease.version)
            if lease.text in self.unanswered:
                self._renewed(self.unanswered[lease.text], now)
        version, self.lease_version = self.lease_version, None
        text = f"{self.incarnation} {now}"
        self.unanswered[text] = now

        def write() -> int:
            if lease.version == version:
                lease.version, lease.text = version + 1, text
            return lease.version

        self.lease_version = self.link.send(write, of_lease=True)
        self._renewed(now, now)

    def _renewed(self, sent: float, now: float) -> None:
        self.unanswered.clear()
        self.has_renewed = True
        self.core.take(inputs.Renewed(sent), _moment(now))

    # Watches

    def _read(self, now: float) -> None:
        if self.reading is None or self.link.mode not in ("both", "no leases"):
            return
        if self.seen is None:
            self.position = self.link.send(lambda: len(self.api.history) - 1)
            self.seen = {}
            self._observe_node(now)
            self._observe(Kind.L2_ADVERTISEMENT, "all", make.advertisement(), now)
            self._observe_speakers(now)
            self._observe(Kind.ALLOCATION, NAME, _facts(self.api.history[self.position]), now)
            self.core.take(inputs.LeasesListed(self.reading, ()), _moment(now))
            self.core.take(inputs.AllRead(self.reading), _moment(now))
            return
        self._observe_speakers(now)
        if not self.is_lagging:
            self._observe_node(now)
        while not self.is_lagging and self.position < len(self.api.history) - 1:
            self.position += 1
            self._observe(Kind.ALLOCATION, NAME, _facts(self.api.history[self.position]), now)
            self._drive(now)

    def _observe_node(self, now: float) -> None:
        is_out_of_service = self.node in self.api.out_of_service
        self._observe(Kind.NODE, self.node, make.node(uid="node", is_out_of_service=is_out_of_service), now)

    def _observe_speakers(self, now: float) -> None:
        assert self.seen is not None
        if self.is_blind:
            return
        there = {node: _speaker_facts(stored) for node, stored in self.api.speakers.items()}
        for node in there.keys() | self.seen.keys():
            if there.get(node) != self.seen.get(node):
                self._observe(Kind.SPEAKER, node, there.get(node), now)
        self.seen = there

    def _observe(self, kind: Kind, name: str, new: object, now: float) -> None:
        assert self.reading is not None
        self.core.take(inputs.Observed(self.reading, kind, name, None, new), _moment(now))


def _moment(now: float) -> Moment:
    return Moment(now, now, now)


def _facts(record: Record | None) -> Allocation | None:
    if record is None:
        return None
    return make.allocation(VIP, uid=record.uid, generation=record.generation, is_releasing=record.releasing)


def _speaker_facts(stored: Stored) -> SpeakerFacts:
    return SpeakerFacts(
        uid=stored.uid,
        incarnation=stored.status.get("incarnation", ""),
        said_goodbye=stored.status.get("goodbye", False),
        is_serving=False,
        interfaces=(),
        macs=frozenset(),
    )


class Allocator:
    """Marks, judges and frees; a colleague may do so at the same time, and neither knows who leads."""

    def __init__(self, api: Api) -> None:
        self.api, self.link = api, Link()
        self.frozen_until = 0.0
        self.leases = release.LeaseBook()
        self.confirmations: dict[str, Confirmation] = {}
        """As a watch has them: always older than the list of Speakers that they are judged with."""
        self.position = 0
        self.mark: release.Mark | None = None
        self.polled = -10.0
        self.listed: release.Round | None = None

    @property
    def known(self) -> Record | None:
        return self.api.history[self.position]

    def work(self, now: float, *, releases: bool) -> None:
        if now < self.frozen_until:
            return
        with contextlib.suppress(Unanswered):
            self._work(now, releases)
        with contextlib.suppress(Unanswered):
            self.confirmations = self.link.send(self._list_confirmations)

    def _work(self, now: float, releases: bool) -> None:
        if self.position < self.link.send(lambda: len(self.api.history) - 1):
            self.position = len(self.api.history) - 1
        known = self.known
        if known is None:
            self.mark = None
            owner = sum(one is not None for one in self.api.history)
            self._write(Record(f"owner-{owner}"), now)
        elif not known.releasing and releases:
            self._write(Record(known.uid, known.generation + 1, releasing=True), now)
        self._note_mark(now)
        if now - self.polled >= (2 if self.mark is not None else 10):
            with contextlib.suppress(Unanswered):
                self.leases.observe(self.link.send(self._list_leases, of_lease=True), now, now)
                self.polled = now
                self._judge(now)
        if self.mark is not None:
            speakers = self.link.send(self._list_speakers)
            words = self.link.send(lambda: dict.fromkeys(self.api.out_of_service, now))
            self.listed = release.Round(speakers, now, now, {}, self.leases, F, out_of_service=words)
            self._judge(now)
            self.listed = replace(self.listed, out_of_service={})

    def _judge(self, now: float) -> None:
        """By the last list of the Speakers, and what is known by now."""
        if self.mark is None or self.listed is None or self.listed.sent < self.mark.known_at:
            return
        if not release.awaited(self.mark, replace(self.listed, confirmations=self.confirmations)):
            self._write(None, now)

    def _note_mark(self, now: float) -> None:
        known = self.known
        if known is None or not known.releasing:
            self.mark = None
        elif self.mark is None or (self.mark.uid, self.mark.generation) != (known.uid, known.generation):
            self.mark = release.Mark(address(VIP), known.uid, known.generation, now)

    def _write(self, record: Record | None, now: float) -> None:
        """With the preconditions of a create, a patch or a delete."""

        def write() -> None:
            if self.position == len(self.api.history) - 1:
                self.api.history.append(record)

        self.link.send(write)
        self.position = len(self.api.history) - 1
        self._note_mark(now)

    def _list_leases(self) -> dict[str, release.Renewed]:
        return {node: release.Renewed(node, one.text) for node, one in self.api.leases.items() if one.version}

    def _list_confirmations(self) -> dict[str, Confirmation]:
        return {node: _confirmation(node, stored) for node, stored in self.api.confirmations.items()}

    def _list_speakers(self) -> tuple[SpeakerState, ...]:
        return tuple(_state(node, status) for node, status in self.api.speakers.items())


def _state(node: str, stored: Stored) -> SpeakerState:
    fencing = stored.status.get("fencing") or {"promised": False, "witnesses": []}
    return SpeakerState(
        metadata=Meta(name=node),
        status=SpeakerStatus(
            incarnation=stored.status.get("incarnation", ""),
            goodbye=bool(stored.status.get("goodbye")),
            fencing=Fencing(fencing["promised"], F, tuple(fencing["witnesses"])),
        ),
    )


def _confirmation(node: str, stored: Stored) -> Confirmation:
    said = ConfirmationStatus(stored.status.get("incarnation", ""), dict(stored.status.get("released", {})))
    return Confirmation(metadata=Meta(name=node), status=said)
