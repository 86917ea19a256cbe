"""Layer 2: from decisions, by way of the wire process's confirmations, to what the Speaker object says. Pure.

    decide --> orders, probing --> take_orders --> the wire process
                                   confirmed, refused <--+
    conflict, answered, probed <-- what it hears of other machines

One order is in flight at a time, withdrawals first, so that what was confirmed is in force when the next one is made.
"""

from collections import Counter, deque
from collections.abc import Mapping, Sequence

from crds.conditions import Reason
from crds.kernelanswers import KernelHolding
from crds.names import allocation_name
from speaker.cluster.objects import Allocation
from speaker.cluster.state import ClusterState
from speaker.layer2.conflicts import Claim, Conflicts
from speaker.layer2.decisions import Decided, Decisions, Gone
from speaker.layer2.desired import Announce as ToAnnounce
from speaker.layer2.desired import Refrain, Silence
from speaker.layer2.handover import Handover
from speaker.layer2.held import Held, answers_of
from speaker.layer2.interfaces import changes, ranks, refusals, to_show
from speaker.layer2.nearness import Rank, Way
from speaker.layer2.orders import Interfaces, WireOrders
from speaker.layer2.pings import Pings
from speaker.layer2.probing import Probing, Verdict
from speaker.layer2.succession import Succession
from speaker.layer2.takeovers import TakeOver, TakeOvers
from speaker.members.view import MemberView
from speaker.moment import Moment, earliest
from speaker.notices import Notices
from speaker.own.announcements import Announcements
from speaker.own.entries import Entry, fault, kernel_answer
from speaker.own.status import StatusDraft
from speaker.proxies.readiness import Readiness
from speaker.wire import messages
from speaker.wire.messages import (
    Announce,
    Answer,
    Ask,
    Conflict,
    Defend,
    HandOver,
    Order,
    PingFault,
    Probe,
    Probed,
    UseInterfaces,
    Withdraw,
)

WITHDRAWALS_AT_A_TIME = 256
ANNOUNCEMENTS_AT_A_TIME = 64
PROBES_AT_A_TIME = 64
MOST_HELD = 256
"""As many of the addresses that the kernel answers for are reported. In IPVS mode that may be all, on every node."""

Confirmed = UseInterfaces | Withdraw | Announce | Probe
"""The orders whose end is waited for."""


class WireRefusedError(Exception):
    """The wire process refused what it can't refuse: it and this process are of two minds, so both should end."""


class Layer2Course:
    """See speaker.course. `decisions` is another one with each registration."""

    def __init__(
        self,
        own_node: str,
        view: MemberView,
        draft: StatusDraft,
        announcements: Announcements,
        notices: Notices,
        proxies: Readiness,
    ) -> None:
        self._own_node = own_node
        self._draft = draft
        self._announcements = announcements
        self._notices = notices
        self.orders = WireOrders()
        self.pings = Pings(self.orders)
        self._probing = Probing()
        self._conflicts = Conflicts()
        self._takeovers = TakeOvers()
        self._sends: deque[Order] = deque()
        self._handover = Handover(view, self.orders, notices, self._sends.append)
        self._in_flight: Confirmed | None = None
        self._withdrawing: Withdraw | None = None
        """In flight, too. A confirmation takes as long as the kernel holds frames: announcements do not wait for it."""
        self._ordered_at = 0.0
        self._one_by_one: deque[tuple[str, Interfaces]] = deque()
        self._interfaces: tuple[messages.Interface, ...] = ()
        self._usable: tuple[str, ...] = ()
        self._routes: Mapping[Way, Rank] = {}
        self._used: tuple[str, ...] = ()
        self.held_by_kernel: list[KernelHolding] = []
        """Addresses that this node's kernel answers for by itself, as told last."""
        self._cluster = ClusterState()
        self._proxies = proxies
        self.decisions = Decisions(own_node, self._cluster)
        self._succession = Succession(own_node, self._cluster, self.decisions, proxies)
        draft.set("conflicts", [])
        draft.set("kernelAnswers", [])

    # ---- deciding ----

    def begin(self, cluster: ClusterState) -> None:
        """Everything goes off the wire, and what is right comes back later.

        The wire process has no permit in this time, so that costs nothing. What comes back is announced like a
        take-over, since it may be one.
        """
        self._cluster = cluster
        self.decisions = Decisions(self._own_node, cluster)
        self._succession = Succession(self._own_node, cluster, self.decisions, self._proxies)
        self.decisions.set_own_interfaces(self._usable, self._routes)
        self.orders.withdraw_everything()
        self._takeovers = TakeOvers()
        self._one_by_one.clear()
        self._probing.stop_all()

    def has_work(self, now: Moment) -> bool:
        return self.decisions.has_work

    def decide(self, limit: int, now: Moment) -> None:
        for each in self.decisions.next_decisions(limit):
            self._learn(each)
            match each:
                case Gone(allocation):
                    if allocation.name not in self._cluster.allocations:  # a successor is decided on by itself
                        self.orders.want(allocation.address, None)
                case Decided(allocation, ToAnnounce(interfaces, answers_ping)):
                    self.pings.want(allocation.address, answers_ping)
                    if self._may_begin(allocation) and self._is_admitted(allocation, interfaces):
                        self.orders.want(allocation.address, interfaces)
                case Decided(allocation, Refrain(Silence.OTHER_OWNER, str(successor))):
                    if self._cluster.is_probed(allocation):
                        self._probing.owned_by(allocation.uid, successor)
                    self._succession.left_to(allocation, successor)
                    give_up_at = self._succession.give_up_at(allocation, now.monotonic)
                    self._handover.leave_to(allocation.address, successor, now.monotonic, give_up_at)
                case Decided(allocation, Refrain()):
                    self.orders.want(allocation.address, None)

    def kernel_holds(self, held: Held) -> None:
        """What the kernel has of the addresses that are served. To be told when either changes."""
        self.pings.held_by_kernel(frozenset(held.interfaces))
        self.held_by_kernel = answers_of(held, self._usable)
        self._notices.count("kernel_answers_now", len(self.held_by_kernel))
        self._draft.set("kernelAnswers", [kernel_answer(*one) for one in self.held_by_kernel[:MOST_HELD]])

    def read_in_full(self) -> None:
        """All allocations are known: what vanished between two registrations was never seen to go."""
        self._probing.read_in_full(self._cluster.uids)

    @property
    def is_complete(self) -> bool:
        """Whether everything that was read has been decided, and nothing is on the wire that should not be."""
        return not self.decisions.has_work and not self.orders.has_withdrawals

    @property
    def has_left(self) -> bool:
        """Whether nothing that is to leave this node may still be on its wire, as far as is decided."""
        return self.is_complete and self.orders.deadline() is None

    def leave(self, now: Moment) -> None:
        """Nothing to do here: others are chosen as owners as soon as they hear that this speaker leaves."""

    def _learn(self, each: Decided | Gone) -> None:
        """Take in what the decision means for probing, and for what waits for this node's proxy."""
        allocation = each.allocation
        if isinstance(each, Gone) or isinstance(each.decision, Refrain):
            self._succession.forget(allocation.name)
            self._takeovers.dropped(allocation.address)
        elif each.owner_before is not None:
            why = self.decisions.why_not(each.owner_before, allocation)
            self._takeovers.decided(TakeOver(allocation.address, each.owner_before, why.said, why.reason))
        if isinstance(each, Gone) or allocation.is_releasing:
            self._probing.forget(allocation.uid)
            self._conflicts.drop(allocation.address)
        elif allocation.was_announced and self._cluster.is_probed(allocation):
            self._probing.learn(allocation.uid)
        if not (isinstance(each, Decided) and isinstance(each.decision, ToAnnounce)):
            self._stop_probing(allocation.address)
            self._conflicts.drop_nodes(allocation.address)

    def _stop_probing(self, address: str) -> None:
        if self._probing.is_in_use(address):
            self._conflicts.drop(address)
        self._probing.stop(address)

    def _may_begin(self, allocation: Allocation) -> bool:
        """Whether nothing is lost if this node announces it now: it does so already, or its proxy can serve."""
        address = allocation.address
        is_begun = self.orders.is_wanted(address) or self.orders.is_announced(address)
        return is_begun or not self._succession.waits(allocation)

    def _is_admitted(self, allocation: Allocation, interfaces: Interfaces) -> bool:
        """Whether the address may be announced: it needs no probing, or was found free."""
        if self.orders.is_announced(allocation.address) or not self._cluster.is_probed(allocation):
            self._stop_probing(allocation.address)
            return True
        return self._probing.admits(allocation.uid, allocation.address, interfaces)

    # ---- orders, and what becomes of them ----

    def take_orders(self, now: Moment, *, may_announce: bool) -> list[Order]:
        """At most one that is confirmed, besides a withdrawal, and any number that nobody waits for."""
        self.orders.give_up_waiting(now.monotonic)
        if self._in_flight is None:
            if self._withdrawing is None:
                order = self._next(may_announce)
            else:
                order = self._announcement(frozenset(self._withdrawing.addresses)) if may_announce else None
            if isinstance(order, Withdraw):
                self._withdrawing, self._ordered_at = order, now.monotonic
            else:
                self._in_flight = order
            if order is not None:
                self._sends.append(order)
        if handed := self.orders.take_newly_handing_over():
            self._sends.append(HandOver(handed))
        taken = [*self._sends, *self.pings.take()]
        self._sends.clear()
        return taken

    def _next(self, may_announce: bool) -> Confirmed | None:
        if self._used != self._usable:
            return UseInterfaces(self._usable)
        if addresses := self.orders.next_withdrawals(WITHDRAWALS_AT_A_TIME):
            return Withdraw(tuple(addresses))
        if not may_announce:
            return None
        if self._one_by_one:
            return Announce((self._one_by_one.popleft(),))
        if probes := self._probing.next_probes(PROBES_AT_A_TIME):
            self.orders.probing(address for address, _, _ in probes)
            return Probe(tuple(probes))
        return self._announcement(frozenset())

    def _announcement(self, withheld: frozenset[str]) -> Announce | None:
        """`withheld`: being withdrawn, and so announced after that if they are wanted again."""
        entries = self.orders.next_announcements(ANNOUNCEMENTS_AT_A_TIME, withheld)
        return Announce(tuple(entries)) if entries else None

    def _ended(self, what: Confirmed) -> None:
        if isinstance(what, Withdraw):
            self._withdrawing = None
        else:
            self._in_flight = None

    def confirmed(self, what: Confirmed, now: Moment) -> None:
        self._ended(what)
        match what:
            case UseInterfaces(names):
                self._used = names
            case Withdraw(addresses):
                self._withdrawn(addresses)
                self._notices.count("withdrawn", now.monotonic - self._ordered_at)
            case Announce(entries):
                for address, interfaces in entries:
                    self._announcements.on_layer2(address, interfaces, now.text)
                self.pings.announced(address for address, _ in entries)
                for one in self._takeovers.confirmed([address for address, _ in entries], now.monotonic):
                    self._notices.say(
                        "info",
                        "address taken over",
                        address=one.address,
                        before=one.before,
                        now=self._own_node,
                        why=one.why,
                    )
                self._notices.say("debug", "announced", addresses=[address for address, _ in entries])
            case Probe(entries):
                self._notices.say("debug", "probing", addresses=[address for address, _, _ in entries])

    def refused(self, what: Confirmed, message: str, now: Moment) -> None:
        """Part of the order was not carried out. Announcements are tried one by one, to know which.

        Raises WireRefusedError for what no wire process has a reason to refuse.
        """
        self._ended(what)
        match what:
            case Announce(entries) if len(entries) > 1:
                self._one_by_one.extend(entries)
            case Announce(((address, _),)):
                self._notices.say("warning", "the wire refused", address=address, error=message)
                self.orders.refused(address)
                self._announcements.off_layer2(address)
            case Probe(entries):  # it will refuse to announce them too, and that is reported
                self._notices.say("warning", "the wire refused to probe", error=message)
                for address, _, run in entries:
                    self.probed(Probed(address, run, sent=1))
            case _:
                raise WireRefusedError(message)

    def stopped(self) -> None:
        """The wire process has withdrawn everything and ended."""
        self.orders.withdraw_everything()
        while addresses := self.orders.next_withdrawals(WITHDRAWALS_AT_A_TIME):
            self._withdrawn(addresses)

    def _withdrawn(self, addresses: Sequence[str]) -> None:
        self.orders.withdrawn(addresses)
        self.pings.withdrawn(addresses)
        self._one_by_one = deque(entry for entry in self._one_by_one if entry[0] not in addresses)
        for address in addresses:
            self._announcements.off_layer2(address)
        self._notices.say("debug", "withdrawn", addresses=list(addresses))

    def may_be_heard(self, address: str, now: Moment) -> bool:
        return self.orders.may_be_heard(address)

    def deadline(self) -> float | None:
        return earliest(self.orders.deadline())

    # ---- what the wire process reports ----

    def ping_failed(self, report: PingFault) -> None:
        """Why echo requests are not answered; "" = they are."""
        self.pings.fault = report.message
        if report.message:
            self._notices.say("warning", "ping is not answered", why=report.message)

    def ping_faults(self) -> list[Entry]:
        """Of each advertisement that wants echo requests answered, where that can't be."""
        if not (self.pings.fault and self.pings.wanted):
            return []
        return [
            fault(
                f"L2Advertisement/{name}",
                Reason.PingUnanswered.value,
                f"L2Advertisement {name}: answerPing has no effect: {self.pings.fault}",
            )
            for name in self.decisions.view().answering_ping()
        ]

    @property
    def interfaces(self) -> tuple[messages.Interface, ...]:
        """As last reported."""
        return self._interfaces

    def interfaces_changed(self, interfaces: tuple[messages.Interface, ...]) -> None:
        """Containers come and go: only what can carry addresses matters. What was refused is tried again."""
        for change in changes(self._interfaces, interfaces):
            self._notices.say(
                "info", "an interface changed", what=change.kind.value, interface=change.name, detail=change.detail
            )
            self._notices.count("interface_changed", change.kind.value)
        for why, names in refusals(interfaces).items():
            if why not in refusals(self._interfaces):
                self._notices.say("warning", "the kernel does not answer, the speaker does", interfaces=names, why=why)
        self._interfaces = interfaces
        usable = tuple(sorted(one.name for one in interfaces if one.usable and one.up))
        if usable != self._usable:
            self._notices.say("info", "usable interfaces", names=usable)
            self._usable = usable
            self.orders.retry_refused()
        self._routes = ranks(interfaces)
        self.decisions.set_own_interfaces(usable, self._routes)
        self._draft.set("interfaces", to_show(interfaces, usable))

    def conflict(self, conflict: Conflict, now: Moment) -> None:
        """Another machine claims an address that is announced here. During a take-over it is the other speaker; where
        that goes on, it is told."""
        node = self._cluster.node_of(conflict.mac)
        self._notices.count("conflict_seen", node is not None)
        where = conflict._asdict()
        if node is not None:
            self._notices.say("debug", "another speaker claims an address of ours", **where)
            self._handover.claimed(conflict.address, node, self.decisions, now.monotonic)
            if self.orders.is_wanted(conflict.address):
                self._conflicts.seen(Claim(*conflict, node=node), now.monotonic, now.text)
        elif self._conflicts.seen(Claim(*conflict), now.monotonic, now.text):
            self._notices.say("warning", "another host uses an address of ours: defended once", **where)
            self._notices.count("defended")
            self._sends.append(Defend(conflict.address, conflict.interface))

    def answered(self, answer: Answer, now: Moment) -> None:
        """A host has an address that is being probed before its first announcement, or probes for it too."""
        node = self._cluster.node_of(answer.mac)
        verdict = self._probing.answered(answer, node, now.monotonic)
        if verdict is None:
            return
        if verdict is Verdict.IN_USE:
            claim = Claim(answer.address, answer.interface, answer.mac, node or "")
            self._conflicts.seen(claim, now.monotonic, now.text, is_announced=False)
            self.orders.want(answer.address, None)
        else:
            self._look_again(answer.address)
        self._notices.count("probed", verdict.value)
        self._notices.say(
            "warning" if verdict is Verdict.IN_USE else "debug",
            "an address to be announced is in use",
            address=answer.address,
            interface=answer.interface,
            mac=answer.mac,
        )

    def probed(self, over: Probed) -> None:
        """A run of probes is over. Nobody answered, or that was told before."""
        if self._probing.finished(over.address, over.run, over.sent):
            self._look_again(over.address)
            self._notices.count("probed", Verdict.CLEAR.value)

    def _look_again(self, address: str) -> None:
        self._conflicts.drop(address)
        self.decisions.look_again(allocation_name(address))

    def members_heard(self, came_back: bool, now: Moment, *, may_announce: bool) -> None:
        """The members heard are other ones; `came_back`: one of them was lost and ran all the time."""
        self._handover.heard(came_back, may_announce, self.decisions, now.monotonic)

    def tick(self, now: Moment) -> None:
        """Ask machines that fell silent about our addresses, and tell who there is. About twice a second."""
        for reason, count in self._takeovers.take_reasons().items():
            self._notices.count("owner_changed", reason.value, count)
        if (several := self._takeovers.others()) is not None:
            self._notices.say("info", "addresses taken over", now=self._own_node, **several._asdict())
        for claim in self._conflicts.silent(now.monotonic):
            self._sends.append(Ask(claim.address, claim.interface, claim.mac))
        entries = self._conflicts.believed(now.monotonic, self._cluster.is_speakers)
        self._draft.set("conflicts", entries)
        self._notices.count("conflicts_now", len(entries))
        self._probing.again(now.monotonic)

    def states(self) -> Counter[str]:
        """How many addresses this node announces ("Announced"), and how many it does not, by reason."""
        held_back = self._probing.held_back() + self._succession.held_back()
        states = self.decisions.silences() + held_back
        states["Announced"] -= held_back.total()
        return +states
