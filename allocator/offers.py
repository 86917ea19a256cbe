"""What one Service could have of the ledger as it is now: an address by name, one to share, or a free one of a pool.

Takes nothing and says why it can't be had; what the Service has already is the business of allocator.plan.
"""

from collections import Counter
from collections.abc import Callable, Sequence

from allocator.claims import Claim, Holder
from allocator.ledger import Entry, Ledger
from allocator.policy import (
    NAMED_POOLS,
    Draw,
    Refusal,
    candidates,
    next_address,
    passed_over,
    refuse_pool,
    serves,
    why_empty,
)
from allocator.request import Request
from allocator.sharing import collision_with, joined, why_apart, why_not_together
from allocator.space.keptout import KeptBy, what_to_ask_for
from allocator.space.pools import Labels, Pool
from allocator.space.ranges import address_at
from allocator.stage import Stage
from allocator.waiting import ChangeOf, FreeIn, QuotaIn, SharedUnder, Wait
from crds.addresses import Family, IPAddress, family_of
from crds.conditions import Reason
from crds.ippool import Sharing
from crds.wording import listed

WishOf = Callable[[Holder], Request | None]
"""What another holder of an address asks for now; None when nothing is known of it but the record."""


def new_claim(request: Request, address: IPAddress, pool: Pool) -> Claim:
    """The claim of a Service that holds an address of this pool alone."""
    return Claim(address, pool.name, (request.holder,), request.traffic_policy, request.sharing_key, request.selector)


def sharing_in(ledger: Ledger, claim: Claim) -> Sharing:
    """What the pool of the claim says of sharing; when it is gone, what is said by default."""
    pool = ledger.pools.by_name.get(claim.pool)
    return Sharing.SameNamespace if pool is None else pool.sharing


class Offers:
    """For one Service, in one decision. `granted`: what it was granted so far, and keeps. `undecided`: of how many more
    addresses of each family it is to be decided."""

    def __init__(self, request: Request, namespace_labels: Labels, ledger: Ledger, draw: Draw, wish_of: WishOf) -> None:
        self._request = request
        self._labels = namespace_labels
        self._ledger = ledger
        self._draw = draw
        self._wish_of = wish_of
        self.granted: list[Claim] = []
        self.undecided: Counter[Family] = Counter()

    def find(self, family: Family, wanted: IPAddress | None) -> Claim | Refusal:
        """This very address, or any of the family."""
        if wanted is not None:
            return self._specific(wanted)
        return self.shown(family) or self.reserved(family) or self.shared(family) or self._from_pools(family)

    def shown(self, family: Family) -> Claim | None:
        """An address that the Service's status shows already, if a pool for it has it, and nobody else holds it or it
        may join those that do. The pool may be paused: such an address is not new."""
        for address in self._request.present:
            if family_of(address) is family and all(grant.address != address for grant in self.granted):
                found = self._shown(address)
                if found is not None:
                    return found
        return None

    def _shown(self, address: IPAddress) -> Claim | None:
        entry, pool = self._ledger.get(address), self._ledger.pools.holding(address)
        if pool is None or not self._request.takes(pool.name) or self._kept_by(address) is not None:
            return None
        if not serves(pool, self._request, self._labels):
            return None
        if entry is None:
            return self._new(address, pool)
        claim = entry.claim
        is_open = not (claim.releasing or claim.external or claim.held_by(self._request.holder.uid))
        return joined(claim, self._request) if is_open and self._why_not_join(entry) is None else None

    def reserved(self, family: Family) -> Claim | None:
        """An address that a pool keeps for this Service, unless somebody holds it still."""
        for address in self._reserved_for_it(family):
            if self._ledger.get(address) is None and all(grant.address != address for grant in self.granted):
                found = self._specific(address)
                if isinstance(found, Claim):
                    return found
        return None

    def shared(self, family: Family) -> Claim | None:
        """An address under the Service's key that it may join."""
        for entry, pool in self._under_key(family):
            if self._why_not_join(entry) is None and not self._is_over_quota(pool, joining=entry):
                return joined(entry.claim, self._request)
        return None

    def _under_key(self, family: Family) -> list[tuple[Entry, Pool]]:
        """Addresses under the Service's key, in pools that it may use."""
        if self._request.sharing_key is None:
            return []
        allowed = candidates(self._request, self._labels, self._ledger.pools)
        if isinstance(allowed, Refusal):
            return []
        by_name = {pool.name: pool for pool in allowed}
        return [
            (entry, by_name[entry.claim.pool])
            for entry in self._ledger.shared_under(self._request.sharing_key)
            if entry.claim.pool in by_name and family_of(entry.address) is family
            if not (entry.claim.releasing or entry.claim.external)
            if not entry.claim.held_by(self._request.holder.uid) and self._kept_by(entry.address) is None
        ]

    def _why_not_join(self, entry: Entry) -> str | None:
        """As the holders are recorded, and as they are: one that does not fit has ports that no record names."""
        why_not = why_not_together(entry.claim, self._request, sharing_in(self._ledger, entry.claim))
        if why_not is not None:
            return why_not
        wishes = (self._wish_of(holder) for holder in entry.claim.others(self._request.holder.uid))
        collision = collision_with((wish.holder for wish in wishes if wish is not None), self._request.holder)
        return None if collision is None else f"port {collision[1]} is wanted by {collision[0].key}, a holder of it"

    def _specific(self, address: IPAddress) -> Claim | Refusal:
        entry = self._ledger.get(address)
        if entry is not None:
            return self._held_by_others(entry)
        pool = self._ledger.pools.holding(address)
        if pool is None:
            return self._in_no_pool(address)
        refusal = self._wrong_pool(address, pool) or refuse_pool(pool, self._request, self._labels)
        refusal = refusal or self._kept_out(address, pool)
        if refusal is not None:
            return refusal
        if self._is_over_quota(pool):
            return self._quota_refusal(pool)
        is_its_own = address in self._request.present or address in self._reserved_for_it(family_of(address))
        if self._ledger.resting_until(address) is not None and not is_its_own:
            message = f"{address} was freed a moment ago and rests, as pool {pool.name} says (reuseAfterSeconds)"
            return Refusal(Reason.AddressInUse, message, frozenset({ChangeOf(str(address))}))
        return self._new(address, pool)

    def _held_by_others(self, entry: Entry) -> Claim | Refusal:
        waits = frozenset({ChangeOf(str(entry.address))})
        if entry.claim.releasing:
            names = ", ".join(str(holder.key) for holder in entry.claim.holders[:3])
            message = f"{entry.address} is being withdrawn from {names}; it is given out once every speaker confirmed"
            if entry.stage is Stage.WITHDRAWN:
                message = f"{entry.address} is still in the status of {names}; it is given out once it is not"
            return Refusal(Reason.AddressInUse, message, waits)
        if entry.claim.external:
            names = ", ".join(str(holder.key) for holder in entry.claim.holders[:3])
            message = f"{entry.address} is an external IP of {names}, and announced for it: ask for another address"
            return Refusal(Reason.AddressInUse, message, waits)
        pool = self._ledger.pools.by_name.get(entry.claim.pool)
        if pool is None:
            message = f"{entry.address} is of pool {entry.claim.pool}, which is gone: nobody else is let in there"
            return Refusal(Reason.AddressNotInPool, message, waits)
        why_not = self._why_not_join(entry)
        if why_not is not None:
            shares = self._request.sharing_key is not None and entry.claim.sharing_key is not None
            reason = Reason.SharingConflict if shares else Reason.AddressInUse
            return Refusal(reason, f"{entry.address} cannot be had: {why_not}", waits)
        refusal = self._wrong_pool(entry.address, pool) or refuse_pool(pool, self._request, self._labels)
        if refusal is not None and refusal.reason is not Reason.PoolPaused:
            return refusal
        if (kept_out := self._kept_out(entry.address, pool)) is not None:
            return kept_out
        if self._is_over_quota(pool, joining=entry):
            return self._quota_refusal(pool)
        return joined(entry.claim, self._request)

    def _wrong_pool(self, address: IPAddress, pool: Pool) -> Refusal | None:
        if self._request.takes(pool.name):
            return None
        return Refusal(
            Reason.AddressNotInPool,
            f"{address} is in pool {pool.name}, not in {', '.join(self._request.pools)}: ask for one or the other",
        )

    def _kept_out(self, address: IPAddress, pool: Pool) -> Refusal | None:
        """Of a node, of the API server and the like: it is given to nobody anew."""
        kept = self._kept_by(address)
        if kept is None:
            return None
        message = f"Pool {pool.name} does not give out {address}, {kept}: {what_to_ask_for(address, kept)}"
        return Refusal(Reason.AddressExcluded, message, frozenset({ChangeOf(str(address))}))

    def _reserved_for_it(self, family: Family) -> list[IPAddress]:
        return self._ledger.pools.reserved_for(self._request.holder.key, family)

    def _kept_by(self, address: IPAddress) -> KeptBy | None:
        return self._ledger.kept_by(address, self._request.holder.key)

    def _in_no_pool(self, address: IPAddress) -> Refusal:
        if not self._ledger.pools.in_order:
            return Refusal(Reason.NoPools, "There is no IPPool in the cluster: create one")
        pool = self._ledger.pools.excluding(address)
        if pool is not None:
            return self._kept_out(address, pool) or Refusal(
                Reason.AddressExcluded,
                f"Pool {pool.name} does not give out {address} (exclude, avoidBuggyIPs, or an older pool has it)",
            )
        return Refusal(Reason.AddressNotInPool, f"{address} is in no pool: ask for another address, or extend a pool")

    # A free one

    def _from_pools(self, family: Family) -> Claim | Refusal:
        allowed = candidates(self._request, self._labels, self._ledger.pools)
        if isinstance(allowed, Refusal):
            return allowed
        of_family = [pool for pool in allowed if pool.has(family)]
        within_quota = [pool for pool in of_family if not self._is_over_quota(pool)]
        for pool in within_quota:
            free = self._ledger.free_in(pool, family)
            number = next_address(pool, family, free, self._request.holder.key, self._draw)
            if number is not None:
                return self._new(address_at(family, number), pool)
        others = passed_over(self._request, self._labels, self._ledger.pools, family)
        if of_family:
            refusal = self._exhausted(family, of_family, within_quota)
            return refusal.also(others)
        if others:
            return others[0].also(others[1:])
        return self._none_of_family(family, allowed)

    def _none_of_family(self, family: Family, allowed: Sequence[Pool]) -> Refusal:
        whys = [why for pool in allowed if (why := why_empty(pool, family))]
        if whys:
            message = f"No pool for this Service has {family} addresses to give: {listed(whys, NAMED_POOLS, '; ')}"
        else:
            names = listed([pool.name for pool in allowed], NAMED_POOLS)
            message = f"No pool for this Service has {family} addresses ({names}): add some, or change spec.ipFamilies"
        return Refusal(Reason.FamilyUnavailable, message)

    def _exhausted(self, family: Family, of_family: list[Pool], within_quota: list[Pool]) -> Refusal:
        namespace = self._request.holder.key.namespace
        waits: set[Wait] = {FreeIn(pool.name, family) for pool in within_quota}
        waits |= {QuotaIn(pool.name, namespace) for pool in of_family if pool not in within_quota}
        if self._request.sharing_key is not None:
            waits.add(SharedUnder(self._request.sharing_key))
        waits |= {ChangeOf(str(address)) for address in self._reserved_for_it(family)}
        if not within_quota:
            refusal = self._quota_refusal(of_family[0])
            return Refusal(refusal.reason, refusal.message, frozenset(waits))
        names = ", ".join(pool.name for pool in within_quota)
        message = (
            f"No {family} address is free in {names}: extend the pool, or delete a Service that is not needed; "
            "this Service gets the next one that is free"
        )
        return self._with_key(family, Refusal(Reason.PoolExhausted, message, frozenset(waits)))

    def _with_key(self, family: Family, refusal: Refusal) -> Refusal:
        """It carries a key: what keeps it from an address under that key is said, too, and first where it can help it.

        A Service of another namespace may have the same key by chance: then the pool is what is to be extended.
        """
        apart: str | None = None
        for entry, _ in self._under_key(family):
            sharing = sharing_in(self._ledger, entry.claim)
            why_apart_ = why_apart(entry.claim, self._request, sharing)
            why_not = self._why_not_join(entry)
            if why_apart_ is None and why_not is not None:
                message = f"{entry.address} is under its sharing key, but {why_not}. {refusal.message}"
                return Refusal(Reason.SharingConflict, message, refusal.waits)
            apart = apart or why_apart_
        if apart is None:
            return refusal
        message = f"{refusal.message}. Its sharing key opens no address: {apart}"
        return Refusal(refusal.reason, message, refusal.waits)

    def _new(self, address: IPAddress, pool: Pool) -> Claim:
        return new_claim(self._request, address, pool)

    # Quota

    def _is_over_quota(self, pool: Pool, *, joining: Entry | None = None) -> bool:
        """Whether the namespace would have one address too many with this one."""
        if pool.max_per_namespace is None:
            return False
        namespace = self._request.holder.key.namespace
        if joining is not None and any(map(self._stays, joining.claim.holders_in(namespace))):
            return False
        held = self._ledger.held_in_namespace(pool.name, namespace)
        known = (self._ledger.get(grant.address) for grant in self.granted if grant.pool == pool.name)
        new = sum(1 for entry in known if entry is None or not entry.claim.holders_in(namespace))
        return held + new - self._leaves(pool) >= pool.max_per_namespace

    def _stays(self, holder: Holder) -> bool:
        """Whether another Service keeps all that it holds. One that has been granted something else leaves what it had
        a moment later, when its status shows that no more."""
        wish = self._wish_of(holder)
        return wish is None or len(self._ledger.in_use_by_uid(holder.uid)) <= len(wish.slots)

    def _leaves(self, pool: Pool) -> int:
        """How many addresses of the pool the namespace loses, as the Service gives them up for what it is granted. What
        is undecided may turn out to be one that it keeps."""
        own, kept = self._request.holder, {grant.address for grant in self.granted}
        alone = Counter(
            family_of(entry.address)
            for entry in self._ledger.in_use_by_uid(own.uid)
            if entry.claim.pool == pool.name and entry.address not in kept
            if len(entry.claim.holders_in(own.key.namespace)) == 1
        )
        return (alone - self.undecided).total()

    def _quota_refusal(self, pool: Pool) -> Refusal:
        namespace = self._request.holder.key.namespace
        message = (
            f"Namespace {namespace} holds all {pool.max_per_namespace} addresses of pool {pool.name} that "
            "maxPerNamespace grants: delete a Service that is not needed, or raise the limit"
        )
        return Refusal(Reason.QuotaExceeded, message, frozenset({QuotaIn(pool.name, namespace)}))
