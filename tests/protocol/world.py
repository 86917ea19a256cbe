"""Speakers and allocators on a virtual clock: the real decisions, with every request, watch and heartbeat in our hands.

Driven for real: AnnouncementRight, Promise, promise_to_make, own_contact; Announcer with decisions, orders and status
draft; LeaseBook, Mark, awaited. Played here: the API server, the wire process's table, and the order in which agent and
barrier do things, as docs/model/barrier.pml and fence.pml have it. One address that goes from Service to Service.
"""

import contextlib
from dataclasses import dataclass, field

from allocator.release import barrier as release
from allocator.release.speakers import Fencing, SpeakerState, SpeakerStatus
from kube.objects import Meta
from speaker import fencing
from speaker.layer2 import course as announcer
from speaker.own import status as statusdraft
from tests.allocator.build import address
from tests.speaker import make

F = 60
LIMITS = fencing.Limits(fence_after_seconds=F, pause_seconds=6, margin_seconds=6)
VIP = "192.0.2.10"
NAME = make.allocation(VIP).name
RENEW_SECONDS = 2


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
class Api:
    """`history` holds each version of the IPAllocation; a watch is a position in it."""

    history: list[Record | None] = field(default_factory=lambda: [None])
    speakers: dict[str, dict[str, object]] = field(default_factory=dict)
    leases: dict[str, Lease] = field(default_factory=dict)

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

    def __init__(self, api: Api, node: str) -> None:
        self.api, self.node, self.link = api, node, Link()
        self.process = 0
        self.is_running = False
        self.frozen_until = 0.0
        self.is_lagging = False
        self.is_wire_slow = False
        self.heard: dict[str, fencing.Contact] = {}
        self.permit_until = 0.0
        self.table: dict[str, str] = {}

    def start(self, now: float) -> None:
        self.process += 1
        self.is_running, self.frozen_until, self.started = True, 0.0, now
        self.right = fencing.AnnouncementRight(self.node, LIMITS)
        self.promise = fencing.Promise()
        self.announcer = announcer.Announcer(self.node)
        self.witnesses: frozenset[str] | None = None
        self.renewal_sent: float | None = None
        self.says = fencing.own_contact(None, now)
        self.lease_version: int | None = None
        self.unanswered: dict[str, float] = {}
        self.renew_at = now
        self.heard.clear()
        self._begin(now)

    def crash(self) -> None:
        self.is_running = False
        self.permit_until = 0.0
        self.table.clear()

    def stop(self) -> None:
        """Off the wire, then goodbye."""
        own = self.api.speakers.get(self.node)
        self.crash()

        def write() -> None:
            if own is not None and self.api.speakers.get(self.node) is own:
                own["goodbye"] = True

        try:
            self.link.send(write)
        except Unanswered:
            return

    def on_wire(self, now: float) -> str | None:
        return self.table.get(VIP) if now < self.permit_until else None

    def hear(self, other: "Speaker", now: float) -> None:
        """A heartbeat: sent by a wire process, which goes on while its agent is frozen."""
        self.heard[other.node] = fencing.Contact(other.says, now)

    # What an agent does in a second

    def work(self, now: float) -> None:
        if not self.is_running or now < self.frozen_until:
            return
        self._tick(now)
        try:
            if now >= self.renew_at or self.stage == "starting":
                self._renew(now)
        except Unanswered:
            pass
        try:
            self._go_on(now)
        except Unanswered:
            return
        finally:
            self._use_wire()

    def _begin(self, now: float) -> None:
        self.stage, self.began = "starting", now
        cluster = self.announcer.begin()
        self.announcer.decisions.set_own_interfaces(("eth0",))
        cluster.set_node(self.node, make.node())
        cluster.set_l2_advertisement("all", make.advertisement())
        cluster.set_speaker(self.node, make.speaker())
        self.announcer.decisions.set_alive(frozenset({self.node}))
        self._use_wire()

    def peers(self) -> fencing.Peers:
        known = {node for node, status in self.api.speakers.items() if not status["goodbye"]}
        return fencing.Peers(frozenset(known) - {self.node}, dict(self.heard))

    def _tick(self, now: float) -> None:
        before = self.right.must_register
        answer = self.right.tick(
            now, renewal_sent=self.renewal_sent, promises=self.promise.take_binding(), peers=self.peers()
        )
        self.permit_until = answer.until if isinstance(answer, fencing.Permit) else 0.0
        if self.right.must_register and not before:
            self._begin(now)
        if self.link.mode in ("both", "no leases"):
            self.witnesses = fencing.promise_to_make(
                self.node, self.peers(), LIMITS, present=self.witnesses, renewal_sent=self.renewal_sent, now=now
            )
        fence = {"promised": self.witnesses is not None, "witnesses": sorted(self.witnesses or ())}
        self.announcer.draft.set("fencing", fence)

    def _renew(self, now: float) -> None:
        """As kube.lease.io.renewer.LeaseRenewer."""
        self.renew_at = now + RENEW_SECONDS
        lease = self.api.leases.setdefault(self.node, Lease())
        if self.lease_version is None:
            self.lease_version = self.link.send(lambda: lease.version)
            if lease.text in self.unanswered:
                self._renewed(self.unanswered[lease.text])
        version, self.lease_version = self.lease_version, None
        text = f"{self.process} {now}"
        self.unanswered[text] = now

        def write() -> int:
            if lease.version == version:
                lease.version, lease.text = version + 1, text
            return lease.version

        self.lease_version = self.link.send(write, of_lease=True)
        self._renewed(now)

    def _renewed(self, sent: float) -> None:
        self.unanswered.clear()
        self.renewal_sent = sent
        self.says = fencing.own_contact(sent, self.started)

    def _go_on(self, now: float) -> None:
        if self.stage == "starting" and self.renewal_sent is not None:  # an old one is refused in the end
            self.stage, self.registered_after = "renewed", self.renewal_sent
        if self.stage == "renewed":
            self._write(self.announcer.draft.registration(str(self.process)), is_registration=True)
            self.stage = "registered"
        if self.stage == "registered":
            self.position = self.link.send(lambda: len(self.api.history) - 1)
            self._see(self.api.history[self.position], None)
            self.stage = "serving"
            self._decide()
            self.right.registered(self.registered_after)
            if self.right.must_register:
                self._begin(now)
                return
            self._tick(now)
        if self.stage == "serving":
            self._serve()

    def _serve(self) -> None:
        if self.link.mode in ("both", "no leases") and not self.is_lagging:
            while self.position < len(self.api.history) - 1:
                self.position += 1
                self._see(self.api.history[self.position], self.api.history[self.position - 1])
                self._decide()
        self._decide()
        draft = self.announcer.draft.next(only_urgent=False, limit=100)
        if not draft.is_empty:
            self._write(draft.body())
            self.announcer.draft.confirm(draft)

    def _see(self, new: Record | None, old: Record | None) -> None:
        cluster = self.announcer.cluster
        if new is None:
            cluster.set_allocation(NAME, None)
        else:
            facts = make.allocation(VIP, uid=new.uid, generation=new.generation, is_releasing=new.releasing)
            cluster.set_allocation(NAME, facts)

    def _decide(self) -> None:
        while self.announcer.decisions.has_work:
            self.announcer.decide(10)
        self._use_wire()

    def _use_wire(self) -> None:
        orders = self.announcer.orders
        if self.is_wire_slow:
            return
        while addresses := orders.next_withdrawals(10):
            for one in addresses:
                self.table.pop(one, None)
            self.announcer.withdrawn(addresses)
        if self.right.hold is None and self.stage == "serving":
            entries = orders.next_announcements(10)
            known = self.announcer.cluster.allocations.get(NAME)
            for one, _ in entries:
                assert known is not None
                self.table[one] = known.uid
            if entries:
                self.announcer.announced(entries, make.NOW)

    def _write(self, patch: statusdraft.Patch, *, is_registration: bool = False) -> None:
        """As speaker.own.io.registration."""
        fence = patch.get("fencing")
        promised = frozenset(fence["witnesses"]) if fence and fence["promised"] else None
        if fence is not None:
            self.promise.sending(promised)

        def write() -> None:
            if is_registration:
                self.api.speakers[self.node] = {"released": {}, "goodbye": False, "fencing": None}
            status = self.api.speakers.get(self.node)
            if status is None:
                return
            if fence is not None:
                status["fencing"] = (promised, F)
            for uid, generation in (patch.get("released") or {}).items():
                if generation is None:
                    status["released"].pop(uid, None)  # type: ignore[attr-defined]
                else:
                    status["released"][uid] = generation  # type: ignore[index]

        self.link.send(write)
        if fence is not None:
            self.promise.confirmed(promised)
        if is_registration:
            self.announcer.draft.registered(patch)


class Allocator:
    """Marks, judges and frees; a colleague may do so at the same time, and neither knows who leads."""

    def __init__(self, api: Api) -> None:
        self.api, self.link = api, Link()
        self.frozen_until = 0.0
        self.leases = release.LeaseBook()
        self.position = 0
        self.mark: release.Mark | None = None
        self.polled = -10.0

    @property
    def known(self) -> Record | None:
        return self.api.history[self.position]

    def work(self, now: float, *, releases: bool) -> None:
        if now < self.frozen_until:
            return
        try:
            self._work(now, releases)
        except Unanswered:
            return

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
        if self.mark is not None:
            speakers = self.link.send(self._list_speakers)
            round_ = release.Round(speakers, now, {}, self.leases, F)
            if not release.awaited(self.mark, round_):
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

    def _list_speakers(self) -> tuple[SpeakerState, ...]:
        return tuple(_state(node, status) for node, status in self.api.speakers.items())


def _state(node: str, status: dict[str, object]) -> SpeakerState:
    promised, seconds = status["fencing"] or (None, F)  # type: ignore[misc]
    fence = Fencing(promised is not None, seconds, tuple(promised or ()))
    return SpeakerState(
        metadata=Meta(name=node),
        status=SpeakerStatus(goodbye=bool(status["goodbye"]), fencing=fence, released=dict(status["released"])),  # type: ignore[call-overload]
    )
