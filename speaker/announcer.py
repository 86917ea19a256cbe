"""The speaker's layer 2 course: from the picture, by way of the wire's confirmations, to what the Speaker object says.

Joins the pure parts and adds no I/O: the agent feeds `picture`, carries out `orders` and writes `draft`. The order that
makes a release safe is here: its confirmation goes to the draft only after the wire has confirmed the withdrawal.
"""

from speaker.desired import Announce, Refrain, Silence
from speaker.observed import Allocation
from speaker.orders import Interfaces, WireOrders
from speaker.picture import Decided, Gone, Picture
from speaker.statusdraft import StatusDraft


class Announcer:
    """`orders` and `draft` live as long as the process; `picture` as long as one registration."""

    def __init__(self, own_node: str) -> None:
        self._own_node = own_node
        self.orders = WireOrders()
        self.draft = StatusDraft()
        self.picture = Picture(own_node)

    @property
    def is_complete(self) -> bool:
        """Whether all that was read has been decided on, and nothing is on the wire that should not be."""
        return not self.picture.has_work and not self.orders.has_withdrawals

    def begin(self) -> Picture:
        """A new picture, for a new registration: everything goes off the wire, and what is right comes back later.

        The wire has no permit in this time, so that costs nothing; and what comes back is announced like a take-over,
        which it may well be.
        """
        self.picture = Picture(self._own_node)
        self.orders.withdraw_everything()
        return self.picture

    def decide(self, limit: int) -> None:
        """Turn up to about `limit` pending decisions into orders, once the picture was read in full."""
        for each in self.picture.next_decisions(limit):
            match each:
                case Gone(allocation):
                    self._on_gone(allocation)
                case Decided(allocation, Announce(interfaces)):
                    self.orders.want(allocation.address, interfaces)
                case Decided(allocation, Refrain(Silence.RELEASING)):
                    self.orders.release(allocation.address, allocation.uid, allocation.generation)
                case Decided(allocation, Refrain()):
                    self.orders.want(allocation.address, None)
        self._tell_settled()

    def forget_old_releases(self) -> None:
        """Once a new picture was read in full: what vanished between two registrations was never seen to go."""
        for uid in self.draft.released.keys() - self.picture.uids:
            self.draft.released.drop(uid)

    def announced(self, entries: list[tuple[str, Interfaces]], since: str) -> None:
        """The wire confirmed these announcements. `since`: RFC 3339."""
        for address, interfaces in entries:
            known = self.draft.announcements.get(address)
            self.draft.announcements.put(
                address,
                {
                    "protocol": "Layer2",
                    "interfaces": list(interfaces),
                    "since": known["since"] if known else since,
                },
            )

    def refused(self, address: str) -> None:
        """The wire would not announce it."""
        self.orders.refused(address)
        self.draft.announcements.drop(address)

    def withdrawn(self, addresses: list[str]) -> None:
        """The wire confirmed these withdrawals."""
        self.orders.withdrawn(addresses)
        for address in addresses:
            self.draft.announcements.drop(address)
        self._tell_settled()

    def _on_gone(self, allocation: Allocation) -> None:
        """Nobody asks for its confirmation any more. A successor of the same address is decided on by itself."""
        self.draft.released.drop(allocation.uid)
        if allocation.name not in self.picture.allocations:
            self.orders.want(allocation.address, None)

    def _tell_settled(self) -> None:
        """Only of what still exists: of the others nobody would ever ask, and the entry would stay."""
        for uid, generation in self.orders.take_settled().items():
            if uid in self.picture.uids:
                self.draft.released.put(uid, generation)
