"""A node's core, and all that it talks to as a test plays it: API server, wire process, routers and the other speakers.

Everything is answered at once, but for what a test holds back. What happens is noted in one journal.
"""

from collections.abc import Set
from typing import Any

from speaker.batch import Batch
from speaker.bgp.model import Prefix
from speaker.bgp.routers import RouterOrders, RouterReport
from speaker.cluster.objects import PoolFacts, SpeakerFacts
from speaker.cluster.state import Kind
from speaker.core import NodeCore
from speaker.inputs import (
    AllRead,
    Input,
    KeysRead,
    LeaseReleased,
    Observed,
    OrderDone,
    Renewed,
    Stop,
)
from speaker.members.heartbeats import HeartbeatOptions
from speaker.options import Options
from speaker.own.requests import CONFIRMATION, SPEAKER, Look, Own, Request
from speaker.phases import Phase
from speaker.proxies.questions import Answer, ProxyAnswered, Question
from speaker.wire import messages
from speaker.wire.messages import Interface, Interfaces, Member
from tests.speaker.make import BOOTED_BEFORE_SECONDS, advertisement, allocation, at, node, speaker
from tests.speaker.own.store import Store, Stores

OWN, INCARNATION = "node-a", "one"
TURN_SECONDS = 0.0001
"""What one turn takes: what happens in two of them has a before and an after."""
STEP_SECONDS = 0.25
MANY_TURNS = 200


class World:
    """`held`: what is not answered, of renewals, lists, wire, routers, lease, and of requests look, register, status,
    goodbye (of the Speaker), confirm and report."""

    def __init__(self, *others: str, held: tuple[str, ...] = (), **options: Any) -> None:
        self.now = 100.0
        self.others = others
        self.held = set(held)
        self.journal: list[str] = []
        self.stores = Stores()
        self.store = self.stores.speaker
        self.options = Options(
            OWN,
            INCARNATION,
            "berth-system",
            failback_seconds=0,
            heartbeats=HeartbeatOptions("/keys" if others else ""),
            **options,
        )
        self.node_uid = "node"
        self.allocations: dict[str, Any] = {}
        self.permit = 0.0
        self.table: set[str] = set()
        self.waiting: list[messages.Order] = []
        self.requests: list[Request] = []
        self.routes: set[Prefix] = set()
        self.asks: Set[Prefix] = frozenset()
        self.reading: int | None = None
        self.asked: frozenset[Question] = frozenset()
        self.proxies: Answer | None = None
        self.contacts: dict[str, float] = {}
        self.cut_off: set[str] = set()
        self.is_over = False
        self.batch = Batch()
        self.core = NodeCore(self.options, at(self.now))
        self.tell(Interfaces((Interface("eth0", 2, "02:00:00:00:00:01", True, True, ""),)))
        if others:
            self.tell(KeysRead((b"k" * 16,)))

    # ---- what a test does

    def tell(self, what: Input) -> None:
        self.core.take(what, at(self.now))

    def allocate(self, address: str, **fields: Any) -> None:
        made = allocation(address, **fields)
        self.allocations[made.name] = made
        self.observe(Kind.ALLOCATION, made.name, made)

    def release(self, address: str, uid: str = "") -> None:
        self.allocate(address, uid=uid, generation=2, is_releasing=True)

    def observe(self, kind: Kind, name: str, new: Any) -> None:
        """A watch of the present reading tells it, if there is one."""
        if self.reading is not None:
            self.tell(Observed(self.reading, kind, name, None, new))

    def stop(self) -> None:
        self.tell(Stop())

    def own_facts(self, **fields: Any) -> SpeakerFacts:
        facts = {"uid": self.store.uid, "incarnation": INCARNATION} | fields
        made = speaker()
        return SpeakerFacts(**{name: getattr(made, name) for name in made.__struct_fields__} | facts)

    def run(self, seconds: float = 0.0, *, until: Phase | None = None) -> "World":
        """Let time pass, and everything be answered that is not held back."""
        end = self.now + seconds
        while True:
            self._come_to_rest(until)
            if self.is_over or self.now >= end or (until is not None and self.core.phase is until):
                return self
            self.now = min(end, self.core.deadline(), self.now + STEP_SECONDS)
            self._others_say_where_they_stand()

    def answer(self, what: str) -> "World":
        """From now on it is answered again, and so is what was held back of it."""
        self.held.discard(what)
        if what == "wire":
            waiting, self.waiting = self.waiting, []
            for order in waiting:
                self._confirm(order)
        elif what == "lists":
            self.list_everything()
        else:
            requests, self.requests = self.requests, []
            for request in requests:
                self._request(request, is_noted=False)
        return self

    # ---- what is seen

    @property
    def is_permitted(self) -> bool:
        return self.now + BOOTED_BEFORE_SECONDS < self.permit

    @property
    def answers(self) -> set[str]:
        """The addresses that somebody asking for them now would find here."""
        return self.table if self.is_permitted else set()

    @property
    def released(self) -> dict[str, int]:
        """What counts as confirmed."""
        return self.stores.released

    # ---- the other ends

    def _come_to_rest(self, until: Phase | None) -> None:
        for _ in range(MANY_TURNS):
            if until is not None and self.core.phase is until:
                return
            before = len(self.journal)
            self.turn()
            is_quiet = len(self.journal) == before and not self.batch.has_more
            if self.is_over or (is_quiet and self.core.deadline() > self.now):
                return
        raise AssertionError(f"it does not come to rest: {self.journal[-20:]}")

    def turn(self) -> Batch:
        """One batch, carried out as speaker.io.agent does."""
        self.now += TURN_SECONDS
        batch = self.batch = self.core.advance(at(self.now))
        if batch.permit is not None:
            self._permit(batch.permit)
        for order in batch.orders:
            self._order(order)
        if batch.routers is not None:
            self._route(batch.routers)
        for request in batch.requests:
            self._request(request)
        self._read(batch.reading)
        if batch.renews_after is not None and "renewals" not in self.held:
            self.journal.append("renewed")
            self.tell(Renewed(at(self.now).boottime))
        self._ask(batch.questions)
        if batch.gives_lease_back:
            self.journal.append("lease")
            if "lease" not in self.held:
                self.tell(LeaseReleased())
        self.is_over = batch.is_over
        return batch

    def _permit(self, until: float) -> None:
        if (until > self.now + BOOTED_BEFORE_SECONDS) != self.is_permitted:
            self.journal.append("permit" if until else "silence")
        self.permit = until

    def _order(self, order: messages.Order) -> None:
        if isinstance(order, messages.SentOrder):
            return
        self.journal.append(f"order {type(order).__name__}")
        if isinstance(order, messages.Announce):
            for address, _ in order.entries:
                self.journal.append(f"announce {address}")
                self.table.add(address)
        if "wire" in self.held:
            self.waiting.append(order)
        else:
            self._confirm(order)

    def _confirm(self, order: Any) -> None:
        match order:
            case messages.Withdraw(addresses):
                self.table -= set(addresses)
            case messages.Stop():
                self.table.clear()
        self.tell(OrderDone(order))

    def _route(self, orders: RouterOrders) -> None:
        if orders.peers is not None:
            self.journal.append(f"peers {','.join(orders.peers)}")
        if orders.stops:
            self.journal.append("sessions stopped")
        if "routers" in self.held:
            return
        if orders.asks is not None:
            self.asks = orders.asks
        answers = {prefix: prefix in self.routes for prefix in self.asks}
        if orders.changes_routes or orders.stops:
            self.tell(RouterReport(answers=answers, has_stopped=orders.stops))

    def _ask(self, questions: frozenset[Question]) -> None:
        """Proxies answer what is noted in `proxies`, once."""
        for question in sorted(questions - self.asked):
            self.journal.append(f"ask {question.host}:{question.port}")
        self.asked = questions
        if self.proxies is not None and questions:
            answer, self.proxies = self.proxies, None
            for question in questions:
                self.tell(ProxyAnswered(question, answer))

    def _request(self, request: Request, *, is_noted: bool = True) -> None:
        what = _name_of(request)
        if is_noted:
            self.journal.append(what)
        if what in self.held:
            self.requests.append(request)
        else:
            self._answer(request)

    def _answer(self, request: Request) -> None:
        self.tell(self.stores.answer(request, self.node_uid))

    def _read(self, reading: int | None) -> None:
        if reading == self.reading:
            return
        self.reading = reading
        if reading is None:
            self.journal.append("read nothing")
            return
        self.journal.append("read")
        if "lists" not in self.held:
            self.list_everything()

    def list_everything(self) -> None:
        """Every list of the present reading comes in."""
        self.observe(Kind.NODE, OWN, node(uid=self.node_uid))
        self.observe(Kind.SPEAKER, OWN, self.own_facts())
        for name in self.others:
            self.observe(Kind.NODE, name, node())
            self.observe(Kind.SPEAKER, name, speaker())
        self.observe(Kind.POOL, "edge", PoolFacts({}))
        self.observe(Kind.L2_ADVERTISEMENT, "all", advertisement())
        for name, made in self.allocations.items():
            self.observe(Kind.ALLOCATION, name, made)
        assert self.reading is not None
        self.tell(AllRead(self.reading))

    def _others_say_where_they_stand(self) -> None:
        """By heartbeats; those in `cut_off` have no contact any more. Renewals go on unless they are held."""
        now = at(self.now).boottime
        if "renewals" not in self.held and self.core.phase is not Phase.RENEWING:
            self.tell(Renewed(now))
        for name in self.others:
            if name not in self.cut_off:
                self.contacts[name] = now
        if self.others and self.core.members.heartbeats.are_on:
            heard = {name: Member(f"{name}-1", ("eth0",), self.contacts[name], now) for name in self.others}
            self.tell(messages.Members(heard))


def _name_of(request: Request) -> str:
    if request.target != SPEAKER:
        return "confirm" if request.target == CONFIRMATION else "report"
    if isinstance(request, Look):
        return "look"
    status = getattr(request, "status", {})
    if "incarnation" in status:
        return "register"
    return "goodbye" if status.get("goodbye") else "status"


def another_process(store: Store) -> Own:
    """Another process has registered as this node's speaker."""
    store.touch()
    store.status["incarnation"] = "two"
    return store.own
