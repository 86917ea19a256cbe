"""What becomes possible wakes the Services that wait for it: the oldest first, until it is taken.

Finds out which; the decision itself is the caller's. Wakeups that arise while one is settled are queued behind it.
"""

from collections import deque
from collections.abc import Callable, Iterable

from allocator.claims import Claim
from allocator.ledger import Ledger
from allocator.waiting import ChangeOf, FreeIn, QuotaIn, SharedUnder, Wait, Waiter, Waiting
from crds.addresses import IPAddress, family_of
from kube.objects import ServiceKey


class Wakeups:
    """One is the waits that it may end, and of a free address the address: once that is taken, nobody else is woken."""

    def __init__(self, ledger: Ledger, waiting: Waiting) -> None:
        self._ledger = ledger
        self._waiting = waiting
        self._open: deque[tuple[IPAddress | None, tuple[Wait, ...]]] = deque()

    def of_freed(self, claim: Claim) -> None:
        """An address has no holder any more; while it rests or is kept out, only its share of
        the quota is free."""
        quota = tuple(_quota(claim.pool, (holder.key for holder in claim.holders)))
        if self._ledger.kept_by(claim.address) is not None:
            self._open.append((None, (ChangeOf(str(claim.address)), *quota)))
        elif self._ledger.resting_until(claim.address) is None:
            self._open.append((claim.address, (*self._waits_for(claim.address), *quota)))
        else:
            self._open.append((None, quota))

    def of_rested(self, address: IPAddress) -> None:
        """An address may be given out again."""
        self._open.append((address, self._waits_for(address)))

    def of_kept_out(self, address: IPAddress) -> None:
        """An address is kept out by somebody else than before, or by nobody."""
        if self._ledger.kept_by(address) is None and self._ledger.resting_until(address) is None:
            self.of_rested(address)
        else:
            self._open.append((None, (ChangeOf(str(address)),)))

    def of_changed(self, claim: Claim, departed: ServiceKey | None = None) -> None:
        """The holders of an address, or what they occupy on it, changed: it may be shared now."""
        waits: list[Wait] = [ChangeOf(str(claim.address))]
        if claim.sharing_key is not None:
            waits.append(SharedUnder(claim.sharing_key))
        if departed is not None:
            waits.extend(_quota(claim.pool, (departed,)))
        self._open.append((None, tuple(waits)))

    def settle(self, ask: Callable[[ServiceKey], None]) -> None:
        """`ask` decides for one Service again and enters the decision in the ledger."""
        while self._open:
            address, waits = self._open.popleft()
            waiter: Waiter | None = None
            while address is None or self._ledger.get(address) is None:
                waiter = self._waiting.next_for(waits, waiter)
                if waiter is None:
                    break
                ask(waiter.key)

    def _waits_for(self, address: IPAddress) -> tuple[Wait, ...]:
        pool = self._ledger.pools.holding(address)
        named: tuple[Wait, ...] = (ChangeOf(str(address)),)
        return named if pool is None else (*named, FreeIn(pool.name, family_of(address)))


def _quota(pool: str, holders: Iterable[ServiceKey]) -> set[Wait]:
    return {QuotaIn(pool, holder.namespace) for holder in holders}
