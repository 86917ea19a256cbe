"""What is wanted on the wire against what may be on it, by address: which to withdraw next, and which to announce.

Talks to nobody: `next_withdrawals` and `next_announcements` hand out, one order at a time, and hear how it ended. What
was handed out for announcing counts as on the wire from that moment until a withdrawal of it is confirmed: in between
nobody can know.
"""

from collections.abc import Collection, Iterable
from itertools import islice

Interfaces = tuple[str, ...]


class WireOrders:
    """The difference between wanted and ordered, by address. Repeating a wish costs nothing."""

    def __init__(self) -> None:
        self._wanted: dict[str, Interfaces] = {}
        self._on_wire: dict[str, Interfaces] = {}
        self._refused: dict[str, Interfaces] = {}
        self._to_announce: dict[str, None] = {}
        self._to_withdraw: dict[str, None] = {}
        self._must_leave: set[str] = set()
        self._handing_over: dict[str, float] = {}
        self._newly_handing_over: dict[str, None] = {}
        self._was_handed_over: set[str] = set()  # and neither announced anew nor off the wire since

    @property
    def has_withdrawals(self) -> bool:
        """Whether any withdrawal is still to be ordered or confirmed."""
        return bool(self._to_withdraw)

    @property
    def has_announcements(self) -> bool:
        """Whether something is to be announced."""
        return bool(self._to_announce)

    def may_be_heard(self, address: str) -> bool:
        """Whether a frame for the address may leave this node, now or by what is wanted at present."""
        return address in self._on_wire or address in self._wanted

    def is_announced(self, address: str) -> bool:
        """Whether it is announced on the wire, and not only probed."""
        return bool(self._on_wire.get(address))

    def probing(self, addresses: Iterable[str]) -> None:
        """Probes for these may leave from now on: they count as on the wire, though announced on no interface."""
        for address in addresses:
            self._on_wire.setdefault(address, ())

    def want(self, address: str, interfaces: Interfaces | None) -> None:
        """Want it announced on these interfaces; None = want it off the wire.

        What was handed over is announced anew: neighbours may have heard of the successor, and the wire process was
        told.
        """
        self._stop_handing_over(address)
        if interfaces is None:
            self._forget_wish(address)
            if address in self._on_wire:
                self._to_withdraw[address] = None
            return
        self._wanted[address] = interfaces
        if address in self._must_leave:
            return  # `withdrawn` brings it back
        self._to_withdraw.pop(address, None)
        had = (self._on_wire.get(address), self._refused.get(address))
        if address in self._was_handed_over or interfaces not in had:
            self._to_announce[address] = None

    def hand_over(self, address: str, give_up_at: float) -> None:
        """Another node takes it over: go on answering until `handed_over`, or until `give_up_at` (monotonic seconds).

        So at each moment some node answers. Repeating the call does not prolong the time, but may end it sooner.
        """
        self._forget_wish(address)
        if address in self._on_wire and address not in self._to_withdraw:
            if address not in self._handing_over:
                self._newly_handing_over[address] = None
            self._was_handed_over.add(address)
            self._handing_over[address] = min(give_up_at, self._handing_over.get(address, give_up_at))

    def take_newly_handing_over(self) -> tuple[str, ...]:
        """The wire process has to know of these, until they are announced anew."""
        taken = tuple(self._newly_handing_over)
        self._newly_handing_over.clear()
        return taken

    def handed_over(self, address: str) -> bool:
        """The successor was seen to announce it. Returns whether it was being handed over."""
        awaited = self._stop_handing_over(address)
        if awaited:
            self._to_withdraw[address] = None
        return awaited

    def give_up_waiting(self, now: float) -> None:
        """Withdraw what should have been handed over by now."""
        for address in [address for address, until in self._handing_over.items() if until <= now]:
            self.handed_over(address)

    def is_wanted(self, address: str) -> bool:
        """Whether this node shall announce it."""
        return address in self._wanted

    def wanted(self) -> list[str]:
        """The addresses that this node shall announce."""
        return list(self._wanted)

    def deadline(self) -> float | None:
        """When to call `give_up_waiting` next; None = nothing is being handed over."""
        return min(self._handing_over.values(), default=None)

    def withdraw_everything(self) -> None:
        """Want nothing any more. An address that is wanted again later is withdrawn first and then announced again."""
        for known in (
            self._wanted,
            self._to_announce,
            self._refused,
            self._handing_over,
            self._newly_handing_over,
        ):
            known.clear()
        self._to_withdraw = dict.fromkeys(self._on_wire)
        self._must_leave = set(self._on_wire)

    def _stop_handing_over(self, address: str) -> bool:
        """Returns whether it was being handed over."""
        self._newly_handing_over.pop(address, None)
        return self._handing_over.pop(address, None) is not None

    def _forget_wish(self, address: str) -> None:
        self._wanted.pop(address, None)
        self._to_announce.pop(address, None)
        self._refused.pop(address, None)

    def next_withdrawals(self, limit: int) -> list[str]:
        """Addresses to withdraw now. Pass them to `withdrawn` when the wire process has confirmed."""
        return _first(self._to_withdraw, limit)

    def withdrawn(self, addresses: Iterable[str]) -> None:
        """The wire confirmed: no frame for them leaves any more."""
        for address in addresses:
            self._to_withdraw.pop(address, None)
            self._must_leave.discard(address)
            self._on_wire.pop(address, None)
            self._was_handed_over.discard(address)
            if address in self._wanted:  # it is wanted again
                self._to_announce[address] = None

    def next_announcements(self, limit: int, withheld: Collection[str] = ()) -> list[tuple[str, Interfaces]]:
        """Addresses to announce now, with their interfaces. From now on they count as on the wire.

        `withheld`: not these. A withdrawal of them is under way, whose confirmation would be taken for what it is not.
        """
        due = list(islice((address for address in self._to_announce if address not in withheld), limit))
        entries = [(address, self._wanted[address]) for address in due]
        for address, interfaces in entries:
            self._on_wire[address] = interfaces
            self._was_handed_over.discard(address)
            del self._to_announce[address]
            self._refused.pop(address, None)  # of other interfaces
        return entries

    def refused(self, address: str) -> None:
        """The wire process refused to announce it. It counts as on the wire; tried again on other interfaces."""
        interfaces = self._on_wire.get(address)
        if interfaces is not None:
            self._refused[address] = interfaces

    def retry_refused(self) -> None:
        """Try refused addresses again: the interfaces have changed."""
        for address in tuple(self._refused):
            del self._refused[address]
            if address in self._wanted:
                self._to_announce[address] = None


def _first(addresses: dict[str, None], limit: int) -> list[str]:
    return [address for address, _ in zip(addresses, range(limit), strict=False)]
