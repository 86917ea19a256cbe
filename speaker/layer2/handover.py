"""How an address goes from one node to another on layer 2 so that somebody answers at each moment, and no two for long.

The old owner answers until it sees the new one's frames (make before break). Two speakers announce one address for long
only if they cannot hear each other; then one of the two yields. Pure; who is heard is for speaker.members to know.
"""

from collections.abc import Callable

from speaker.layer2.decisions import Decisions
from speaker.layer2.orders import WireOrders
from speaker.members.view import MemberView
from speaker.notices import Notices
from speaker.wire.messages import Reannounce


class Handover:
    """`send`: takes an order that nobody waits for. `now`: monotonic seconds."""

    def __init__(
        self, view: MemberView, orders: WireOrders, notices: Notices, send: Callable[[Reannounce], None]
    ) -> None:
        self._view = view
        self._orders = orders
        self._notices = notices
        self._send = send
        self._lost: frozenset[str] = frozenset()
        self._held_at_loss: dict[str, frozenset[str]] = {}
        """By member that is or was lost: the addresses that were this node's already. It took none of them with it."""

    def leave_to(self, address: str, successor: str, now: float, give_up_at: float) -> None:
        """Another node owns the address from now on, and is waited for until `give_up_at`. What was only probed for,
        nobody misses."""
        if self._orders.is_announced(address) and not self._answers_already(successor, address, now):
            self._orders.hand_over(address, give_up_at)
        else:
            self._orders.want(address, None)

    def heard(self, came_back: bool, is_serving: bool, decisions: Decisions, now: float) -> None:
        """The members heard are other ones. One that is heard again may have moved addresses of ours to itself."""
        lost = frozenset(self._view.liveness.lost)
        if fresh := lost - self._lost:
            self._held_at_loss.update(dict.fromkeys(fresh, frozenset(self._orders.wanted())))
        self._lost = lost
        for address, node in self._view.claims_of_lost(now):
            if self._orders.is_wanted(address):
                self._yield(address, node, decisions, now)
        if came_back and is_serving and (wanted := self._orders.wanted()):
            self._send(Reannounce(tuple(wanted)))

    def claimed(self, address: str, node: str, decisions: Decisions, now: float) -> None:
        """A frame of that member claimed an address that is announced here."""
        self._view.saw_claim(address, node, now)
        if self._orders.handed_over(address) or node not in self._view.liveness.lost:
            return
        if not self._yield(address, node, decisions, now):
            self._send(Reannounce((address,)))

    def _answers_already(self, successor: str, address: str, now: float) -> bool:
        """One that came back has answered all along for what was taken over from it, and for nothing else."""
        if self._view.has_claimed(successor, address, now):
            return True
        return self._view.came_back_lately(successor, now) and address not in self._held_at_loss.get(successor, ())

    def _yield(self, address: str, node: str, decisions: Decisions, now: float) -> bool:
        """Of two speakers that do not hear each other, one gives way. Whether it is this node."""
        if not self._view.yields(address, node, now):
            return False
        self._notices.say("info", "left to a speaker that is not heard", address=address, node=node)
        decisions.set_claims(self._view.claims(now))
        return True
