"""Which Services hold which address, and what is free: the one truth that decisions are made on.

An entry says what was decided (`claim`), what the API server has (`recorded`, None while no IPAllocation is known) and
how far the one has become the other (allocator.stage). An address is free when there is no entry for it; nothing else
makes it so. Rebuilt from IPAllocations by `observe`; free space follows from the entries and the pools. Decides
nothing: allocator.plan does.
"""

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass
from typing import TypeVar

from allocator.claims import Claim
from allocator.objects import StoredAllocation
from allocator.space.intervals import FreeSpace
from allocator.space.keptout import UNLESS_LISTED, Entries, KeptBy, KeptOut
from allocator.space.pools import NO_POOLS, Pool, Pools
from allocator.space.ranges import address_at
from allocator.stage import EXPOSED, Event, Stage, after
from crds.addresses import FAMILIES, Family, IPAddress, family_of
from crds.ippool import KeptOutReason
from kube.objects import ServiceKey

K = TypeVar("K")


@dataclass(slots=True)
class Entry:
    """One address in use: what was decided, what the API server has, and how far the one has become the other."""

    claim: Claim
    recorded: StoredAllocation | None = None
    stage: Stage = Stage.RESERVED
    is_one_by_one: bool = False
    """Whether the API server refused several holders at once: then each is written alone, until all are recorded."""

    @property
    def address(self) -> IPAddress:
        """It never changes."""
        return self.claim.address

    @property
    def is_exposed(self) -> bool:
        """Whether speakers may know it: then the barrier must be passed before the address is anybody else's."""
        return self.stage in EXPOSED

    @property
    def is_recorded(self) -> bool:
        """Whether the API server has it as decided, as far as holders go: then the Service may show it."""
        recorded = self.recorded
        return (
            recorded is not None
            and not recorded.claim.releasing
            and {one.uid for one in self.claim.holders} <= {one.uid for one in recorded.claim.holders}
        )


class Ledger:
    """`space[pool][family]` is the free space; entries are changed by the methods only."""

    def __init__(self) -> None:
        self.pools: Pools = NO_POOLS
        self.space: dict[str, dict[Family, FreeSpace]] = {}
        self._entries: dict[IPAddress, Entry] = {}
        self._by_uid: dict[str, set[IPAddress]] = {}
        self._named_by_uid: dict[str, set[IPAddress]] = {}
        self._by_key: dict[ServiceKey, set[IPAddress]] = {}
        self._by_sharing_key: dict[str, set[IPAddress]] = {}
        self._in_namespace: Counter[tuple[str, str]] = Counter()
        self._in_pool: Counter[tuple[str, Family]] = Counter()
        self._kept_out = KeptOut()
        self._left_out: dict[tuple[str, Family], set[IPAddress]] = {}
        self._in_use_all_the_same: dict[str, set[IPAddress]] = {}
        self._resting: dict[IPAddress, float] = {}
        self._wake: list[tuple[float, int, int]] = []

    @classmethod
    def rebuilt(
        cls, pools: Pools, kept_out: Iterable[tuple[str, Entries]], recorded: Iterable[StoredAllocation]
    ) -> "Ledger":
        """As when these are taken in one after the other, in half the time. `kept_out`: by source."""
        ledger = cls()
        for source, entries in kept_out:
            ledger._kept_out.put(source, entries)
        for one in recorded:
            entry = Entry(one.claim, one)
            if ledger._entries.setdefault(one.address, entry) is not entry:
                raise ValueError(f"{one.address} has two records")
            ledger._index(entry)
            _move_on(entry, Event.RECORD_SEEN if one.mark is None else Event.MARK_SEEN)
        ledger.set_pools(pools)
        return ledger

    # What is held

    def get(self, address: IPAddress) -> Entry | None:
        """None when the address is free, or rests."""
        return self._entries.get(address)

    def __contains__(self, address: object) -> bool:
        return address in self._entries

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def __len__(self) -> int:
        return len(self._entries)

    def held_by_uid(self, uid: str) -> list[Entry]:
        """Entries that this Service holds, releasing ones too, in the order of their addresses; without external IPs,
        which its status does not show."""
        return self._sorted(self._by_uid.get(uid, ()))

    def in_use_by_uid(self, uid: str) -> list[Entry]:
        """The same without those that are being released."""
        return [entry for entry in self.held_by_uid(uid) if not entry.claim.releasing]

    def named_by_uid(self, uid: str) -> list[Entry]:
        """External IPs of this Service that are announced for it, likewise."""
        return self._sorted(self._named_by_uid.get(uid, ()))

    def held_by_key(self, key: ServiceKey) -> list[Entry]:
        """Entries of all Services that are or were at this place, external IPs too."""
        return self._sorted(self._by_key.get(key, ()))

    def shared_under(self, sharing_key: str) -> list[Entry]:
        """Entries whose claim has this sharing key, in the order of their addresses."""
        return self._sorted(self._by_sharing_key.get(sharing_key, ()))

    def held_in_namespace(self, pool: str, namespace: str) -> int:
        """How many addresses of the pool Services of this namespace hold; a shared address counts once."""
        return self._in_namespace[pool, namespace]

    def held_in_pool(self, pool: str, family: Family) -> int:
        """How many of the pool's usable addresses have an entry."""
        return self._in_pool[pool, family]

    def _sorted(self, addresses: Iterable[IPAddress]) -> list[Entry]:
        return [self._entries[one] for one in sorted(addresses, key=lambda one: (one.version, int(one)))]

    # Changes

    def reserve(self, claim: Claim) -> Entry:
        """Take a free address. Raises ValueError when it has an entry: two holders would be a broken invariant.

        A claim that is being released is one that nothing records and that is still shown: it is kept until it is not.
        """
        if claim.address in self._entries:
            raise ValueError(f"{claim.address} is held already")
        entry = Entry(claim)
        self._add(entry)
        if claim.releasing:
            _move_on(entry, Event.GIVEN_UP)
        return entry

    def revise(self, entry: Entry, claim: Claim) -> bool:
        """Decide something else about a held address; False when it is the same. A release is never taken back."""
        if claim == entry.claim:
            return False
        if entry.claim.releasing and not claim.releasing:
            raise ValueError(f"{entry.address} is being released: that is never taken back")
        self._unindex(entry)
        entry.claim = claim
        self._index(entry)
        if claim.releasing:
            _move_on(entry, Event.GIVEN_UP)
        return True

    def observe(self, recorded: StoredAllocation) -> Entry:
        """Take in an IPAllocation as it is stored.

        What is not known yet is believed (so a ledger is rebuilt), and so is a release, and a record of other holders
        than those that we only reserved for: they were first.
        """
        entry = self._entries.get(recorded.address)
        if entry is None:
            entry = Entry(recorded.claim)
            self._add(entry)
        known, entry.recorded = entry.recorded, recorded
        entry.is_one_by_one = entry.is_one_by_one and entry.claim != recorded.claim
        if recorded.mark is None:
            _move_on(entry, Event.RECORD_SEEN)
        elif known is None or known.mark != recorded.mark:
            _move_on(entry, Event.MARK_SEEN)
        is_new = known is None or known.uid != recorded.uid
        strangers = is_new and not any(entry.claim.held_by(one.uid) for one in recorded.claim.holders)
        if not entry.claim.releasing and (strangers or recorded.claim.releasing):
            self.revise(entry, recorded.claim)
        return entry

    def keep_one_copy(self, entry: Entry, recorded: StoredAllocation) -> None:
        """The same record again: keep the informer's copy and let go of ours; with thousands that is worth some MB."""
        entry.recorded = recorded
        if entry.claim == recorded.claim:
            entry.claim = recorded.claim

    def create_sent(self, entry: Entry) -> None:
        """From now on there may be a record, whatever becomes of the answer."""
        _move_on(entry, Event.CREATE_SENT)

    def create_refused(self, entry: Entry) -> None:
        """The API server said for sure that it created nothing."""
        _move_on(entry, Event.CREATE_REFUSED)
        if entry.claim.releasing:
            _move_on(entry, Event.GIVEN_UP)

    def record_gone(self, entry: Entry) -> None:
        """Its record is deleted. Unless the barrier was passed, the address stays taken: somebody may announce it."""
        entry.recorded = None
        _move_on(entry, Event.RECORD_GONE)

    def barrier_passed(self, entry: Entry) -> None:
        """For the mark that `recorded` shows. Idempotent."""
        _move_on(entry, Event.BARRIER_PASSED)

    def free(self, entry: Entry, now: float) -> None:
        """The address belongs to nobody from now on; it rests as long as its pool says."""
        del self._entries[entry.address]
        self._unindex(entry)
        pool = self.pools.holding(entry.address)
        if pool is None:
            return
        self._in_pool[pool.name, family_of(entry.address)] -= 1
        if pool.reuse_after_seconds > 0:
            until = now + pool.reuse_after_seconds
            self._resting[entry.address] = until
            heapq.heappush(self._wake, (until, entry.address.version, int(entry.address)))
        self._settle(entry.address)

    def _add(self, entry: Entry) -> None:
        self._entries[entry.address] = entry
        self._index(entry)
        self._resting.pop(entry.address, None)
        pool = self.pools.holding(entry.address)
        if pool is not None:
            self._in_pool[pool.name, family_of(entry.address)] += 1
        self._settle(entry.address)

    # What is kept out

    def keep_out(self, source: str, entries: Entries) -> list[IPAddress]:
        """Take in what a source says now, instead of what it said before. Returns the addresses of which that is news.

        Who holds one of them keeps it.
        """
        changed = self._kept_out.put(source, entries)
        for address in changed:
            self._settle(address)
        return changed

    def kept_by(self, address: IPAddress, asking: ServiceKey | None = None) -> KeptBy | None:
        """Why no pool gives the address to this Service, or to any; None when its pool may."""
        kept = self.taken_by(address)
        if kept is not None:
            return kept
        pool = self.pools.holding(address)
        reserved = pool.reserved.get(address) if pool is not None and pool.reserved else None
        return None if reserved in (None, asking) else KeptBy(KeptOutReason.Reserved, str(reserved))

    def taken_from(self, claim: Claim) -> KeptBy | None:
        """Who has the address of this claim beside its holders. Of an external IP these themselves keep it out."""
        return self.taken_by(claim.address, but=KeptOutReason.ExternalIP if claim.external else None)

    def taken_by(self, address: IPAddress, but: KeptOutReason | None = None) -> KeptBy | None:
        """Who has it beside whoever of ours holds it: not for whom it is reserved. `but`: a reason that is none."""
        family = family_of(address)
        cluster_networks = self.pools.cluster_networks.get(family)
        kept = self._kept_out.of(address, but)
        if cluster_networks is not None and int(address) in cluster_networks and not _is_strong(kept):
            return KeptBy(KeptOutReason.ClusterIP, "ServiceCIDR")
        if kept is None or _is_strong(kept):
            return kept
        pool = self.pools.holding(address)
        return None if pool is not None and address in pool.listed_alone else kept

    def left_out(self, pool: Pool, family: Family) -> Set[IPAddress]:
        """Usable addresses of the pool that are kept out, and held by nobody. Live."""
        return self._left_out.get((pool.name, family), frozenset())

    def in_use_all_the_same(self, pool: Pool) -> list[Entry]:
        """Addresses of the pool that are kept out but held, in order; those for cluster IPs come last."""
        found = self._sorted(self._in_use_all_the_same.get(pool.name, ()))
        if any(pool.cluster_ips.values()):
            for_cluster = (one.address for one in self if int(one.address) in pool.cluster_ips[family_of(one.address)])
            found += self._sorted(for_cluster)
        return found

    def _settle(self, address: IPAddress) -> Pool | None:
        """Make free space, and what is left out, agree with what holds of the address now. Idempotent. Returns the pool
        that has the address."""
        pool = self.pools.holding(address)
        if pool is None:
            return None
        family, number = family_of(address), int(address)
        entry = self._entries.get(address)
        is_held = entry is not None
        is_kept = (self.kept_by(address) if entry is None else self.taken_from(entry.claim)) is not None
        space = self.space[pool.name][family]
        if is_held or is_kept or (self._resting and address in self._resting):
            space.take(number)
        else:
            space.free(number)
        _set_member(self._left_out, (pool.name, family), address, is_kept and not is_held)
        _set_member(self._in_use_all_the_same, pool.name, address, is_kept and is_held)
        return pool

    # Free space

    def free_in(self, pool: Pool, family: Family) -> FreeSpace:
        """Live: it changes with the ledger."""
        return self.space[pool.name][family]

    def resting_until(self, address: IPAddress) -> float | None:
        """Until when a freed address is given to nobody, in seconds; None when it does not rest (reuseAfterSeconds)."""
        return self._resting.get(address)

    def deadline(self) -> float | None:
        """When `wake` must be called next: a resting address is free again; None = no address rests."""
        return self._wake[0][0] if self._wake else None

    def wake(self, now: float) -> list[IPAddress]:
        """Free the addresses that have rested long enough, and name them."""
        rested = []
        while self._wake and self._wake[0][0] <= now:
            until, version, number = heapq.heappop(self._wake)
            address = address_at(Family.IPv4 if version == 4 else Family.IPv6, number)
            if self._resting.get(address) != until:
                continue
            del self._resting[address]
            self._settle(address)
            if self.kept_by(address) is None:
                rested.append(address)
        return rested

    def set_pools(self, pools: Pools) -> None:
        """Take other pools: what is held stays held, wherever its address now lies."""
        self.pools = pools
        self.space = {
            pool.name: {family: FreeSpace(pool.usable[family].spans) for family in FAMILIES} for pool in pools.in_order
        }
        self._in_pool.clear()
        self._left_out.clear()
        self._in_use_all_the_same.clear()
        reserved = (address for pool in pools.in_order for address in pool.reserved)
        for address in {*self._entries, *self._resting, *self._kept_out, *reserved}:
            pool = self._settle(address)
            if pool is not None and address in self._entries:
                self._in_pool[pool.name, family_of(address)] += 1

    # Indexes over the claims

    def _index(self, entry: Entry) -> None:
        by_uid = self._named_by_uid if entry.claim.external else self._by_uid
        for holder in entry.claim.holders:
            by_uid.setdefault(holder.uid, set()).add(entry.address)
            self._by_key.setdefault(holder.key, set()).add(entry.address)
        if entry.claim.sharing_key is not None:
            self._by_sharing_key.setdefault(entry.claim.sharing_key, set()).add(entry.address)
        for namespace in _namespaces(entry.claim):
            self._in_namespace[entry.claim.pool, namespace] += 1

    def _unindex(self, entry: Entry) -> None:
        by_uid = self._named_by_uid if entry.claim.external else self._by_uid
        for holder in entry.claim.holders:
            _discard(by_uid, holder.uid, entry.address)
            _discard(self._by_key, holder.key, entry.address)
        if entry.claim.sharing_key is not None:
            _discard(self._by_sharing_key, entry.claim.sharing_key, entry.address)
        for namespace in _namespaces(entry.claim):
            self._in_namespace[entry.claim.pool, namespace] -= 1
            if not self._in_namespace[entry.claim.pool, namespace]:
                del self._in_namespace[entry.claim.pool, namespace]


def _move_on(entry: Entry, event: Event) -> None:
    entry.stage = after(entry.stage, event)


def _is_strong(kept: KeptBy | None) -> bool:
    return kept is not None and kept.reason not in UNLESS_LISTED


def _set_member(sets: dict[K, set[IPAddress]], key: K, address: IPAddress, is_member: bool) -> None:
    if is_member:
        sets.setdefault(key, set()).add(address)
    else:
        _discard(sets, key, address)


def _namespaces(claim: Claim) -> set[str]:
    return {holder.key.namespace for holder in claim.holders}


def _discard(index: dict[K, set[IPAddress]], key: K, address: IPAddress) -> None:
    addresses = index.get(key)
    if addresses is not None:
        addresses.discard(address)
        if not addresses:
            del index[key]
