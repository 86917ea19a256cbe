"""The speaker's layer 2 course: from decisions, by way of the wire's confirmations, to what the Speaker object says.

Joins the pure parts and adds no I/O: the agent feeds `cluster`, carries out `orders` and writes `draft`. The order that
makes a release safe is here: its confirmation goes to the draft only after the wire has confirmed the withdrawal.
"""

from collections import Counter
from collections.abc import Callable

from crds.names import allocation_name
from speaker.cluster.objects import Allocation
from speaker.cluster.state import ClusterState
from speaker.layer2.conflicts import Claim, Conflicts
from speaker.layer2.decisions import Decided, Decisions, Gone
from speaker.layer2.desired import Announce, Refrain, Silence
from speaker.layer2.orders import Interfaces, WireOrders
from speaker.layer2.probing import Answer, Probing, Verdict
from speaker.own.announcements import Announcements
from speaker.own.status import StatusDraft

AnswerUntil = Callable[[str, str], float | None]


class Announcer:
    """All live as long as the process; `cluster` and `decisions` as long as one registration."""

    def __init__(self, own_node: str) -> None:
        self._own_node = own_node
        self.orders = WireOrders()
        self.probing = Probing()
        self.conflicts = Conflicts()
        self.draft = StatusDraft()
        self.announcements = Announcements(self.draft.announcements)
        self.cluster = ClusterState()
        self.decisions = Decisions(own_node, self.cluster)
        self.is_held_back: Callable[[str], bool] = lambda _: False
        """Whether somebody may still send traffic for the address here in another way than layer 2 (by BGP)."""
        self._settled: dict[str, int] = {}
        self._addresses: dict[str, str] = {}

    @property
    def is_complete(self) -> bool:
        """Whether all that was read has been decided on, and nothing is on the wire that should not be."""
        return not self.decisions.has_work and not self.orders.has_withdrawals

    @property
    def is_handing_over(self) -> bool:
        """Whether something that is to leave this node may still be on its wire."""
        return self.decisions.has_work or self.orders.has_withdrawals or self.orders.gives_up_at is not None

    def begin(self) -> ClusterState:
        """A new state of the cluster, for a new registration: everything goes off the wire, and what is right comes
        back later.

        The wire has no permit in this time, so that costs nothing; and what comes back is announced like a take-over,
        which it may well be.
        """
        self.cluster = ClusterState()
        self.decisions = Decisions(self._own_node, self.cluster)
        self.orders.withdraw_everything()
        self.probing.stop_all()
        return self.cluster

    def decide(self, limit: int, answer_until: AnswerUntil = lambda _, __: None) -> None:
        """Turn up to about `limit` pending decisions into orders, once the cluster was read in full.

        `answer_until(node, address)`: until when (monotonic seconds) to go on answering for an address that the node
        takes over from this one, unless it is seen to announce it before; None = not at all.
        """
        for each in self.decisions.next_decisions(limit):
            self._learn(each)
            match each:
                case Gone(allocation):
                    self._on_gone(allocation)
                case Decided(allocation, Announce(interfaces)):
                    if self._may_announce(allocation, interfaces):
                        self.orders.want(allocation.address, interfaces)
                case Decided(allocation, Refrain(Silence.RELEASING)):
                    self._addresses[allocation.uid] = allocation.address
                    self.orders.release(allocation.address, allocation.uid, allocation.generation)
                case Decided(allocation, Refrain(Silence.OTHER_OWNER, str(successor))):
                    self._leave_to(allocation.address, answer_until(successor, allocation.address))
                case Decided(allocation, Refrain()):
                    self.orders.want(allocation.address, None)
        self.tell_settled()

    def _learn(self, each: Decided | Gone) -> None:
        """What it means for probing, whatever else becomes of it."""
        allocation = each.allocation
        if isinstance(each, Gone) or allocation.is_releasing:
            self.probing.forget(allocation.uid)
            self.conflicts.drop(allocation.address)
        elif allocation.was_announced and self.cluster.is_probed(allocation):
            self.probing.learn(allocation.uid)
        if not (isinstance(each, Decided) and isinstance(each.decision, Announce)):
            self._stop_probing(allocation.address)

    def _stop_probing(self, address: str) -> None:
        if self.probing.is_in_use(address):
            self.conflicts.drop(address)
        self.probing.stop(address)

    def _may_announce(self, allocation: Allocation, interfaces: Interfaces) -> bool:
        """Whether nobody else has the address, as far as that is to be found out."""
        if self.orders.is_announced(allocation.address) or not self.cluster.is_probed(allocation):
            self._stop_probing(allocation.address)
            return True
        return self.probing.admits(allocation.uid, allocation.address, interfaces)

    def next_probes(self, limit: int) -> list[tuple[str, Interfaces, int]]:
        """Addresses to probe now, on which interfaces, in which run. From here on they count as on the wire."""
        probes = self.probing.next_probes(limit)
        self.orders.probing(address for address, _, _ in probes)
        return probes

    def probe_answered(self, answer: Answer, now: float, timestamp: str) -> Verdict | None:
        """Somebody has the address that is being probed. What that makes of it; None when nothing."""
        verdict = self.probing.answered(answer, self.cluster.is_speakers(answer.mac), now)
        if verdict is Verdict.IN_USE:
            claim = Claim(answer.address, answer.interface, answer.mac)
            self.conflicts.seen(claim, now, timestamp, is_announced=False)
            self.orders.want(answer.address, None)
        elif verdict is Verdict.CLEAR:
            self._look_again(answer.address)
        return verdict

    def probe_finished(self, address: str, run: int, sent: int) -> bool:
        """That run is over. Whether nobody answered."""
        is_clear = self.probing.finished(address, run, sent)
        if is_clear:
            self._look_again(address)
        return is_clear

    def _look_again(self, address: str) -> None:
        self.conflicts.drop(address)
        self.decisions.look_again(allocation_name(address))

    def states(self) -> Counter[str]:
        """How many addresses this node announces ("Announced"), and how many it does not, by reason."""
        held_back = self.probing.held_back()
        states = self.decisions.silences() + held_back
        states["Announced"] -= held_back.total()
        return +states

    def forget_old_releases(self) -> None:
        """Once the cluster was read in full: what vanished between two registrations was never seen to go."""
        for uid in self.draft.released.keys() - self.cluster.uids:
            self.draft.released.drop(uid)
        self.probing.retain(self.cluster.uids)

    def announced(self, entries: list[tuple[str, Interfaces]], since: str) -> None:
        """The wire confirmed these announcements. `since`: RFC 3339."""
        for address, interfaces in entries:
            self.announcements.on_layer2(address, interfaces, since)

    def refused(self, address: str) -> None:
        """The wire would not announce it."""
        self.orders.refused(address)
        self.announcements.off_layer2(address)

    def withdrawn(self, addresses: list[str]) -> None:
        """The wire confirmed these withdrawals."""
        self.orders.withdrawn(addresses)
        for address in addresses:
            self.announcements.off_layer2(address)
        self.tell_settled()

    def _leave_to(self, address: str, give_up_at: float | None) -> None:
        if give_up_at is None or not self.orders.is_announced(address):  # what was only probed for, nobody misses
            self.orders.want(address, None)
        else:
            self.orders.hand_over(address, give_up_at)

    def _on_gone(self, allocation: Allocation) -> None:
        """Nobody asks for its confirmation any more. A successor of the same address is decided on by itself."""
        self.draft.released.drop(allocation.uid)
        if allocation.name not in self.cluster.allocations:
            self.orders.want(allocation.address, None)

    def tell_settled(self) -> None:
        """Confirm the releases of what is off the wire and not held back. To be called when that may have changed.

        Only of what still exists: of the others nobody would ever ask, and the entry would stay.
        """
        self._settled |= self.orders.take_settled()
        for uid, generation in list(self._settled.items()):
            if uid not in self.cluster.uids:
                del self._settled[uid]
                self._addresses.pop(uid, None)
            elif not self.is_held_back(self._addresses.get(uid, "")):
                del self._settled[uid]
                self._addresses.pop(uid, None)
                self.draft.released.put(uid, generation)
