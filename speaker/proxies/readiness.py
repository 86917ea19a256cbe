"""Which nodes' proxies may not have their rules yet for endpoints that came to the nodes a moment ago. Pure.

A node's proxy learns of an endpoint from the same EndpointSlice as its speaker, and is slower. Under
externalTrafficPolicy Local an address that moves there at once is dark until the proxy has its rule. This module says
when it has, as far as can be known; the two ways to announce decide what to make of it.

    ready --> new --(wanted: asked)--> settled --after a moment--> forgotten: it is a node like any other

What is there when an address is first seen is not new: after a restart nothing waits, and neither does an address that
nobody announced yet. Only what is new is remembered. `now` is monotonic seconds.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import ip_address
from itertools import islice
from typing import NamedTuple

from speaker.cluster.objects import Allocation
from speaker.cluster.state import Change, ClusterState, Kind
from speaker.moment import earliest
from speaker.notices import Notices
from speaker.proxies.questions import Answer, ProxyAnswered, Question

LONGEST_WAIT_SECONDS = 10.0
"""For a proxy that answers, or does nothing at all. kube-proxy writes its rules at least once in minSyncPeriod, 1 s by
default; in clusters of thousands of Services one writing takes seconds."""
REFUSED_WAIT_SECONDS = 1.0
"""For a node where nothing ever listened at such a port: most likely nothing does so there at all."""
SETTLED_SECONDS = 2.0
"""For how long a node is remembered after that: its announcement has come to routers and hosts then."""
LOOK_SECONDS = 0.05
"""Between two looks at what is due: there may be thousands, each at a time of its own."""
FOLLOWED_AT_A_TIME = 1000
"""About 10 ms of computing."""
MOST_PORTS = 4
"""Asked of one address: Services that share it have the same endpoints, and a proxy writes their rules together."""


class NewEndpoint(NamedTuple):
    """A node has a ready endpoint for that IPAllocation, by its name, which it had not before."""

    name: str
    node: str


@dataclass(slots=True)
class _Wait:
    """`open`: what is still to be asked; None = nobody wants to know. `answers`: the last one of each question."""

    since: float
    open: set[Question] | None = None
    answers: dict[Question, Answer] = field(default_factory=dict)
    settled_at: float | None = None


class Readiness:
    """Call `update` before what depends on it is decided, until it has no changes left, then `take_settled`."""

    def __init__(self, own_node: str, notices: Notices | None = None) -> None:
        self._own_node = own_node
        self._notices = notices if notices is not None else Notices()
        self._answering: set[str] = set()
        """Nodes where something ever listened."""
        self.begin(ClusterState())

    def begin(self, cluster: ClusterState) -> None:
        """A new registration: everything is read anew, and what is read at first is not new."""
        self._cluster = cluster
        self._changed: dict[str, None] = {}
        self._ready: dict[str, tuple[str, frozenset[str]]] = {}
        """Of each IPAllocation with the policy Local, by name: its uid, and the nodes with a ready endpoint."""
        self._waits: dict[NewEndpoint, _Wait] = {}
        self._asked: dict[Question, dict[NewEndpoint, None]] = {}
        self._questions: frozenset[Question] | None = frozenset()
        self._settled: dict[str, None] = {}
        self._deadline: float | None = None
        cluster.subscribe(self._observe)

    def _observe(self, change: Change) -> None:
        if change.kind is Kind.ALLOCATION:
            self._changed[change.name] = None
        elif change.kind is Kind.SLICE:
            for service in change.services:
                self._changed.update(dict.fromkeys(self._cluster.held_by(service)))

    @property
    def has_changes(self) -> bool:
        """Whether `update` has not taken in everything yet."""
        return bool(self._changed)

    def update(self, now: float) -> None:
        """Take in what changed in the cluster, of up to FOLLOWED_AT_A_TIME addresses, and what is due."""
        for name in list(islice(self._changed, FOLLOWED_AT_A_TIME)):
            del self._changed[name]
            self._follow(name, now)
        if self._deadline is not None and now >= self._deadline:
            self._pass_time(now)

    def _follow(self, name: str, now: float) -> None:
        allocation = self._cluster.allocations.get(name)
        uid, before = self._ready.pop(name, ("", frozenset()))
        if allocation is None or not allocation.is_local or allocation.is_releasing or not allocation.address:
            self._forget(name, before)
            return
        ready = self._cluster.ready_nodes(allocation)
        self._ready[name] = (allocation.uid, ready)
        is_known = uid == allocation.uid
        self._forget(name, before - ready if is_known else before)
        for node in ready - before if is_known else ():
            wait = self._waits[NewEndpoint(name, node)] = _Wait(now)
            self._come_back_for(wait, node)

    def _forget(self, name: str, nodes: Iterable[str]) -> None:
        for node in nodes:
            one = NewEndpoint(name, node)
            if (wait := self._waits.pop(one, None)) is not None:
                self._ask_no_more(one, wait)

    # ---- what is asked by those who announce ----

    def is_awaited(self, allocation: Allocation, node: str) -> bool:
        """Whether that node's proxy may not have its rule for the address yet. It is asked from now on, where it can
        be; `take_settled` names the address when this ends."""
        one = NewEndpoint(allocation.name, node)
        wait = self._waits.get(one)
        if wait is None or wait.settled_at is not None:
            return False
        questions = self._questions_of(allocation, node)
        if questions and wait.open is None:
            wait.open = set(questions)
            for question in questions:
                self._asked.setdefault(question, {})[one] = None
            self._questions = None
        return bool(questions)

    def is_new(self, allocation: Allocation, node: str) -> bool:
        """Whether what that node announces of the address may not be everywhere yet: it waits, or did a moment ago."""
        return NewEndpoint(allocation.name, node) in self._waits and bool(self._questions_of(allocation, node))

    def take_settled(self) -> list[str]:
        """The names of the IPAllocations to be decided again, since this was last called."""
        taken, self._settled = list(self._settled), {}
        return taken

    # ---- what is asked of proxies ----

    def questions(self) -> frozenset[Question]:
        """To be asked again and again, each answer to be told by `answered`, as long as they are here. The same value
        until they change."""
        if self._questions is None:
            self._questions = frozenset(self._asked)
        return self._questions

    def _questions_of(self, allocation: Allocation, node: str) -> tuple[Question, ...]:
        """None: no Service has such a port, or the node no address of that family; then there is nothing to wait for.

        In nftables mode kube-proxy listens on the node's primary address of each family, in others on all of them.
        """
        facts = self._cluster.nodes.get(node)
        version = 6 if allocation.is_ipv6 else 4
        addresses = facts.addresses if facts is not None else ()
        host = next((one for one in addresses if ip_address(one).version == version), None)
        if host is None:
            return ()
        ports = dict.fromkeys(holder.health_port for holder in allocation.holders if holder.health_port)
        return tuple(Question(host, port) for port in islice(ports, MOST_PORTS))

    def answered(self, told: ProxyAnswered, now: float) -> None:
        """A proxy was asked. The same answer again costs nothing."""
        for one in tuple(self._asked.get(told.question, ())):
            wait = self._waits[one]
            if told.answer is not Answer.REFUSED:
                self._answering.add(one.node)
            if wait.answers.get(told.question) is not told.answer:
                wait.answers[told.question] = told.answer
                self._learn(one, wait, told, now)

    def _learn(self, one: NewEndpoint, wait: _Wait, told: ProxyAnswered, now: float) -> None:
        if told.answer is Answer.READY and wait.open is not None:
            self._ask_no_more(one, wait, told.question)
            if not wait.open:
                self._settle(one, wait, now)
                if one.node == self._own_node:
                    self._notices.say("debug", "this node's proxy has the rules", allocation=one.name)
                    self._notices.count("proxy_awaited", Answer.READY.value)
        self._come_back_for(wait, one.node)

    def _ask_no_more(self, one: NewEndpoint, wait: _Wait, *questions: Question) -> None:
        """These, or all."""
        for question in questions or tuple(wait.open or ()):
            assert wait.open is not None
            wait.open.discard(question)
            asking = self._asked[question]
            del asking[one]
            if not asking:
                del self._asked[question]
                self._questions = None

    # ---- time ----

    def deadline(self) -> float | None:
        """When to call `update` though nothing changed."""
        return self._deadline

    def _come_back_for(self, wait: _Wait, node: str) -> None:
        self._deadline = earliest(self._deadline, self._due_at(wait, node))

    def _pass_time(self, now: float) -> None:
        for one, wait in list(self._waits.items()):
            if now < self._due_at(wait, one.node):
                continue
            if wait.settled_at is None:
                self._give_up(one, wait, now)
            else:
                del self._waits[one]
                self._settled[one.name] = None
        due = min((self._due_at(wait, one.node) for one, wait in self._waits.items()), default=None)
        self._deadline = None if due is None else max(due, now + LOOK_SECONDS)

    def _give_up(self, one: NewEndpoint, wait: _Wait, now: float) -> None:
        """Announced though the proxy may not have its rule: else a proxy that fails would keep the address away."""
        if wait.open is not None and one.node == self._own_node:
            is_refused = Answer.REFUSED in wait.answers.values()
            self._notices.say(
                "warning",
                "announced though this node's proxy does not say that it has the rules",
                allocation=one.name,
                why="nothing listens at the healthCheckNodePort" if is_refused else "it does not answer with 200",
                waited_seconds=round(now - wait.since, 1),
            )
            self._notices.count("proxy_awaited", "Refused" if is_refused else "GaveUp")
        self._settle(one, wait, now)

    def _settle(self, one: NewEndpoint, wait: _Wait, now: float) -> None:
        self._ask_no_more(one, wait)
        wait.settled_at = now
        self._settled[one.name] = None

    def _due_at(self, wait: _Wait, node: str) -> float:
        if wait.settled_at is not None:
            return wait.settled_at + SETTLED_SECONDS
        is_refused = bool(wait.answers) and all(one is Answer.REFUSED for one in wait.answers.values())
        is_short = is_refused and node not in self._answering
        return wait.since + (REFUSED_WAIT_SECONDS if is_short else LONGEST_WAIT_SECONDS)
