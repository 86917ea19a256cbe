"""The conditions that a speaker writes of itself, and its promise: what the core's parts found, about once a second.

Pure; speaker.own.conditions makes the sentences. For people, but for the promise: that binds.
"""

from collections.abc import Mapping, Sequence, Set

from crds.kernelanswers import KernelHolding
from speaker.cluster.faults import Fault
from speaker.fencing import Hold, Limits, MemberContacts, promise_to_make
from speaker.moment import Moment
from speaker.own.conditions import Conditions
from speaker.own.entries import elsewhere, fencing
from speaker.own.predecessor import Elsewhere
from speaker.own.status import StatusDraft

CONDITIONS_SECONDS = 1.0
"""Conditions are for people: evaluated at most this often."""


class Report:
    """Writes to the draft."""

    def __init__(self, own_node: str, limits: Limits, fence_after_seconds: int, draft: StatusDraft) -> None:
        self._own_node = own_node
        self._limits = limits
        self._fence_after_seconds = fence_after_seconds
        self._draft = draft
        self._conditions = Conditions()
        self._due = 0.0
        self._witnesses: frozenset[str] | None = None

    def is_due(self, now: Moment) -> bool:
        """Whether they have not been looked at for a while."""
        return now.monotonic >= self._due

    def judge(
        self,
        hold: Hold | None,
        members: MemberContacts,
        renewal_sent: float | None,
        others: Sequence[Elsewhere],
        now: Moment,
    ) -> None:
        """Whether this speaker serves, and what it promises. `renewal_sent`: CLOCK_BOOTTIME seconds. `others`: speakers
        of this node elsewhere that may announce: as long as there are any, nobody may count on its silence."""
        self._due = now.monotonic + CONDITIONS_SECONDS
        self._conditions.set_ready(hold, now.text)
        self._draft.set("elsewhere", [elsewhere(one) for one in others])
        if others:
            self._witnesses = None
            self._conditions.set_elsewhere(self._own_node, others, now.text)
        else:
            self._judge_promise(members, renewal_sent, now)
        self._draft.set("fencing", fencing(self._witnesses, self._fence_after_seconds))

    def _judge_promise(self, members: MemberContacts, renewal_sent: float | None, now: Moment) -> None:
        self._witnesses = promise_to_make(
            self._own_node,
            members,
            self._limits,
            present=self._witnesses,
            renewal_sent=renewal_sent,
            now=now.boottime,
        )
        self._conditions.set_promise(self._witnesses is not None, len(members.known), now.text)

    def judge_refusals(self, refused: Sequence[str], now: Moment) -> None:
        """`refused`: what the API server does not take of what this speaker writes."""
        self._conditions.set_recorded(refused, now.text)

    def judge_heartbeats(
        self, fault: str, port_taken: int, known: Set[str], heard: Mapping[str, object], now: Moment
    ) -> None:
        """`fault`: why there are none; "" when all is well. `port_taken`: by another program; 0 = it is ours. `known`:
        the other speakers."""
        if port_taken:
            self._conditions.set_port_taken(port_taken, now.text)
        else:
            self._conditions.set_members_heard(fault, known, heard, now.text)

    def judge_addresses(self, faults: Sequence[Fault], unplaced: Sequence[str], now: Moment) -> None:
        """`unplaced`: addresses some of whose endpoints carry no nodeName."""
        self._conditions.set_announceable(faults, now.text)
        self._conditions.set_endpoints_placed(unplaced, now.text)

    def judge_kernel(self, holdings: Sequence[KernelHolding], now: Moment) -> None:
        """`holdings`: addresses that the node's own kernel answers for."""
        self._conditions.set_kernel(holdings, now.text)

    def judge_end(self, *, withdrew_routes: bool, now: Moment) -> None:
        """The last ones."""
        self._conditions.set_stopped(now.text, withdrew_routes=withdrew_routes)
        self.show()

    def show(self) -> None:
        """In the draft."""
        self._draft.set("conditions", self._conditions.to_wire())
