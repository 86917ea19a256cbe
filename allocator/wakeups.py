"""What becomes possible wakes the Services that wait for it: the oldest first, until it is taken.

Finds out which; the decision itself is the caller's. Wakeups that arise while one is settled are queued behind it.
"""

from collections import deque
from collections.abc import Callable, Iterable
from typing import NamedTuple

from allocator.claims import Claim
from allocator.ledger import Ledger
from allocator.waiting import ChangeOf, FreeIn, QuotaIn, SharedUnder, Wait, Waiter, Waiting
from crds.addresses import IPAddress, family_of
from kube.objects import ServiceKey


class _Wakeup(NamedTuple):
    """The waits that it may end. `address`: the free address that it is about: once that is taken, nobody is woken.
    `quota`: the quota that has room again: until it has none."""

    waits: tuple[Wait, ...]
    address: IPAddress | None = None
    quota: QuotaIn | None = None


class Wakeups:
    """What wakes whom, in the order in which it came."""

    def __init__(self, ledger: Ledger, waiting: Waiting) -> None:
        self._ledger = ledger
        self._waiting = waiting
        self._open: deque[_Wakeup] = deque()

    def of_freed(self, claim: Claim) -> None:
        """An address has no holder any more; while it rests or is kept out, only its share of
        the quota is free. Who waits for that may have another address, whoever takes this one."""
        quota = tuple(_quota(claim.pool, (holder.key for holder in claim.holders)))
        if self._ledger.kept_by(claim.address) is not None:
            self._open.append(_Wakeup((ChangeOf(str(claim.address)),)))
        elif self._ledger.resting_until(claim.address) is None:
            self._open.append(_Wakeup((*self._waits_for(claim.address), *quota), claim.address))
        self._open.extend(_Wakeup((one,), quota=one) for one in quota)

    def of_rested(self, address: IPAddress) -> None:
        """An address may be given out again."""
        self._open.append(_Wakeup(self._waits_for(address), address))

    def of_kept_out(self, address: IPAddress) -> None:
        """An address is kept out by somebody else than before, or by nobody."""
        if self._ledger.kept_by(address) is None and self._ledger.resting_until(address) is None:
            self.of_rested(address)
        else:
            self._open.append(_Wakeup((ChangeOf(str(address)),)))

    def of_changed(self, claim: Claim, departed: ServiceKey | None = None) -> None:
        """The holders of an address, or what they occupy on it, changed: it may be shared now."""
        waits: list[Wait] = [ChangeOf(str(claim.address))]
        if claim.sharing_key is not None:
            waits.append(SharedUnder(claim.sharing_key))
        self._open.append(_Wakeup(tuple(waits)))
        if departed is not None:
            self._open.extend(_Wakeup((one,), quota=one) for one in _quota(claim.pool, (departed,)))

    def settle(self, ask: Callable[[ServiceKey], None]) -> None:
        """`ask` decides for one Service again and enters the decision in the ledger."""
        while self._open:
            one = self._open.popleft()
            waiter: Waiter | None = None
            while self._is_of_use(one):
                waiter = self._waiting.next_for(one.waits, waiter)
                if waiter is None:
                    break
                ask(waiter.key)

    def _is_of_use(self, one: _Wakeup) -> bool:
        if one.quota is not None:
            pool = self._ledger.pools.by_name.get(one.quota.pool)
            most = None if pool is None else pool.max_per_namespace
            return most is None or self._ledger.held_in_namespace(one.quota.pool, one.quota.namespace) < most
        return one.address is None or self._ledger.get(one.address) is None

    def _waits_for(self, address: IPAddress) -> tuple[Wait, ...]:
        pool = self._ledger.pools.holding(address)
        named: tuple[Wait, ...] = (ChangeOf(str(address)),)
        return named if pool is None else (*named, FreeIn(pool.name, family_of(address)))


def _quota(pool: str, holders: Iterable[ServiceKey]) -> set[QuotaIn]:
    return {QuotaIn(pool, holder.namespace) for holder in holders}
