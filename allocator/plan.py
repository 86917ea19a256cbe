"""The decision: what a Service gets, keeps and gives up, from what it asks for and what is held.

One pure function. It changes nothing and takes nothing: allocator.assigner enters the decision in the ledger. The same
Service against the ledger that holds its decision gives the same decision again.

Rules that no request overrides: what is being released is never given out; nothing serves until its successor does (a
wish that cannot be granted leaves the Service with what it has); a pool that changes moves nobody.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from allocator.claims import Claim
from allocator.ledger import Entry, Ledger
from allocator.policy import Draw, Refusal, candidates, next_address, refuse_pool, serves
from allocator.request import Request
from allocator.sharing import joined, takes_ports_of_strangers, why_apart, why_not_together
from allocator.space.keptout import KeptBy, what_to_ask_for
from allocator.space.pools import Labels, Pool
from allocator.space.ranges import address_at
from allocator.stage import Stage
from allocator.waiting import ChangeOf, FreeIn, QuotaIn, SharedUnder, Wait
from crds.addresses import Family, IPAddress, family_of
from crds.conditions import Reason
from crds.ippool import Sharing


@dataclass(frozen=True, slots=True)
class Verdict:
    """What condition berth.dev/Allocated says. `note`: what of the message has nothing to do with the decision."""

    satisfied: bool
    reason: Reason
    message: str
    note: str = ""

    def noting(self, note: str) -> "Verdict":
        """The same with one more sentence; an empty one changes nothing."""
        return replace(self, message=f"{self.message}. {note}", note=note) if note else self


@dataclass(frozen=True, slots=True)
class Plan:
    """What the Service gets, and what is to be said of it.

    `grants`: the claims that the ledger is to hold for it, in the order of its families. `leaving`: held, and given up
    once the Service's status names them no more. `waits`: what could let it have what it is refused now.
    """

    grants: tuple[Claim, ...]
    leaving: tuple[IPAddress, ...]
    verdict: Verdict
    waits: frozenset[Wait] = frozenset()


@dataclass(frozen=True, slots=True)
class _Outcome:
    """For one family: granted as wished, or refused, or refused and left with what it has (both set)."""

    grant: Claim | None
    refusal: Refusal | None

    @property
    def is_satisfied(self) -> bool:
        return self.refusal is None


def new_claim(request: Request, address: IPAddress, pool: Pool) -> Claim:
    """The claim of a Service that holds an address of this pool alone."""
    return Claim(address, pool.name, (request.holder,), request.traffic_policy, request.sharing_key, request.selector)


def plan_refused(uid: str, reason: Reason, message: str, ledger: Ledger) -> Plan:
    """A wish that cannot be read or recorded cuts no traffic: the Service keeps what it holds."""
    held = [entry for entry in ledger.held_by_uid(uid) if not entry.claim.releasing]
    grants = tuple(entry.claim for entry in held)
    return Plan(grants, (), Verdict(False, reason, _with_kept(message, grants)))


def plan(request: Request, namespace_labels: Labels, ledger: Ledger, draw: Draw) -> Plan:
    """Decide for one Service that is ours."""
    return _Planner(request, namespace_labels, ledger, draw).plan()


class _Planner:
    """One decision. `_granted` are the grants already made for other families of the same Service."""

    def __init__(self, request: Request, namespace_labels: Labels, ledger: Ledger, draw: Draw) -> None:
        self._request = request
        self._uid = request.holder.uid
        self._labels = namespace_labels
        self._ledger = ledger
        self._draw = draw
        self._granted: list[Claim] = []
        self._apart: str | None = None
        """Why an address under the Service's key could not be joined, if that is for its namespace."""
        self._held = [entry for entry in ledger.held_by_uid(self._uid) if not entry.claim.releasing]

    def plan(self) -> Plan:
        outcomes = [self._decide(family) for family in self._request.families]
        if self._request.requires_all and not all(outcome.is_satisfied for outcome in outcomes):
            outcomes = [self._without_new(outcome) for outcome in outcomes]
        grants = tuple(outcome.grant for outcome in outcomes if outcome.grant is not None)
        kept = {grant.address for grant in grants}
        leaving = tuple(entry.address for entry in self._held if entry.address not in kept)
        refusals = [outcome.refusal for outcome in outcomes if outcome.refusal is not None]
        waits = frozenset(wait for refusal in refusals for wait in refusal.waits)
        return Plan(grants, leaving, self._verdict(outcomes, grants), waits)

    def _decide(self, family: Family) -> _Outcome:
        outcome = self._stay(family) or self._move(family)
        if outcome.grant is not None:
            self._granted.append(outcome.grant)
        return outcome

    def _stay(self, family: Family) -> _Outcome | None:
        """What it has is what it wants; None when it wants, or must have, something else."""
        for entry in self._held_in(family):
            if self._is_as_wished(entry) and self._why_not_together(entry) is None:
                return _Outcome(self._keep(entry), None)
        return None

    def _move(self, family: Family) -> _Outcome:
        """Something else, or what it has until there is something else."""
        found = self._find(family)
        if isinstance(found, Claim):
            return _Outcome(found, None)
        held = self._held_in(family)
        for entry in held:
            if self._why_not_together(entry) is None:
                return _Outcome(self._keep(entry), found)
        for entry in held:
            grant = entry.claim if self._may_remain(entry) else None
            return _Outcome(grant, self._conflict(entry, found))
        return _Outcome(self._adopted(family), found)

    def _may_remain(self, entry: Entry) -> bool:
        """Whether it may keep the address as it is recorded, though as it is now it can't share it.

        Not when it wants a port that a Service of another namespace has: kube-proxy serves what both show for either.
        """
        return not takes_ports_of_strangers(entry.claim, self._request)

    def _conflict(self, entry: Entry, found: Refusal | None) -> Refusal:
        """It holds the address, and can't as it is now. `found`: why it gets no other one either."""
        message = f"{entry.address} can't be shared as the Service is now: {self._why_not_together(entry)}"
        waits = frozenset({ChangeOf(str(entry.address))})
        if found is None:
            return Refusal(Reason.SharingConflict, message, waits)
        if found.reason is not Reason.SharingConflict:
            message = f"{message}. {found.message}"
        return Refusal(Reason.SharingConflict, message, waits | found.waits)

    def _without_new(self, outcome: _Outcome) -> _Outcome:
        """All or nothing: no address is newly taken, but what serves goes on serving."""
        grant = outcome.grant
        if grant is None or self._holds(grant.address) or grant.address in self._request.present:
            return outcome
        return _Outcome(None, outcome.refusal)

    def _holds(self, address: IPAddress) -> bool:
        return any(entry.address == address for entry in self._held)

    # What it has

    def _held_in(self, family: Family) -> list[Entry]:
        """What its status shows comes first."""
        held = [entry for entry in self._held if family_of(entry.address) is family]
        return sorted(held, key=lambda entry: entry.address not in self._request.present)

    def _is_as_wished(self, entry: Entry) -> bool:
        wanted = self._request.addresses.get(family_of(entry.address), entry.address)
        return wanted == entry.address and self._request.pool in (
            None,
            entry.claim.pool,
            self._pool_name(entry.address),
        )

    def _pool_name(self, address: IPAddress) -> str | None:
        pool = self._ledger.pools.holding(address)
        return None if pool is None else pool.name

    def _keep(self, entry: Entry) -> Claim:
        claim = joined(entry.claim, self._request)
        pool = self._pool_name(entry.address)
        if pool is not None and pool != claim.pool and self._request.pool in (None, pool):
            claim = replace(claim, pool=pool)
        return claim

    def _why_not_together(self, entry: Entry) -> str | None:
        return why_not_together(entry.claim, self._request, self._sharing(entry))

    def _sharing(self, entry: Entry) -> Sharing:
        pool = self._ledger.pools.by_name.get(entry.claim.pool)
        return Sharing.SameNamespace if pool is None else pool.sharing

    # What it could get

    def _find(self, family: Family) -> Claim | Refusal:
        wanted = self._request.addresses.get(family)
        if wanted is not None:
            return self._specific(wanted)
        return self._adopted(family) or self._joined(family) or self._from_pools(family)

    def _adopted(self, family: Family) -> Claim | None:
        """An address that the Service's status shows already, if nobody else holds it and a pool for it has it."""
        for address in self._request.present:
            pool = self._ledger.pools.holding(address)
            if pool is None or family_of(address) is not family or self._ledger.get(address) is not None:
                continue
            if self._request.pool not in (None, pool.name) or self._ledger.kept_by(address) is not None:
                continue
            if serves(pool, self._request, self._labels):
                return self._new(address, pool)
        return None

    def _joined(self, family: Family) -> Claim | None:
        if self._request.sharing_key is None:
            return None
        allowed = candidates(self._request, self._labels, self._ledger.pools)
        if isinstance(allowed, Refusal):
            return None
        by_name = {pool.name: pool for pool in allowed}
        for entry in self._ledger.shared_under(self._request.sharing_key):
            pool = by_name.get(entry.claim.pool)
            if pool is None or family_of(entry.address) is not family or entry.claim.releasing:
                continue
            if self._ledger.kept_by(entry.address) is not None:
                continue
            why_not = self._why_not_together(entry)
            if why_not is None and not self._is_over_quota(pool, entry):
                return joined(entry.claim, self._request)
            if self._apart is None:
                self._apart = why_apart(entry.claim, self._request, self._sharing(entry))
        return None

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
        if self._is_over_quota(pool, None):
            return self._quota_refusal(pool)
        if self._ledger.resting_until(address) is not None and address not in self._request.present:
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
        pool = self._ledger.pools.by_name.get(entry.claim.pool)
        if pool is None:
            message = f"{entry.address} is of pool {entry.claim.pool}, which is gone: nobody else is let in there"
            return Refusal(Reason.AddressNotInPool, message, waits)
        why_not = self._why_not_together(entry)
        if why_not is not None:
            shares = self._request.sharing_key is not None and entry.claim.sharing_key is not None
            reason = Reason.SharingConflict if shares else Reason.AddressInUse
            return Refusal(reason, f"{entry.address} cannot be had: {why_not}", waits)
        refusal = self._wrong_pool(entry.address, pool) or refuse_pool(pool, self._request, self._labels)
        if refusal is not None and refusal.reason is not Reason.PoolPaused:
            return refusal
        if (kept_out := self._kept_out(entry.address, pool)) is not None:
            return kept_out
        if self._is_over_quota(pool, entry):
            return self._quota_refusal(pool)
        return joined(entry.claim, self._request)

    def _wrong_pool(self, address: IPAddress, pool: Pool) -> Refusal | None:
        if self._request.pool in (None, pool.name):
            return None
        return Refusal(
            Reason.AddressNotInPool,
            f"{address} is in pool {pool.name}, not in {self._request.pool}: ask for one or the other",
        )

    def _kept_out(self, address: IPAddress, pool: Pool) -> Refusal | None:
        """Of a node, of the API server and the like: it is given to nobody anew."""
        kept = self._ledger.kept_by(address)
        if kept is None:
            return None
        message = f"Pool {pool.name} does not give out {address}, {kept}: {what_to_ask_for(address, kept)}"
        return Refusal(Reason.AddressExcluded, message, frozenset({ChangeOf(str(address))}))

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

    def _from_pools(self, family: Family) -> Claim | Refusal:
        allowed = candidates(self._request, self._labels, self._ledger.pools)
        if isinstance(allowed, Refusal):
            return allowed
        of_family = [pool for pool in allowed if pool.has(family)]
        if not of_family:
            names = ", ".join(pool.name for pool in allowed)
            return Refusal(
                Reason.FamilyUnavailable,
                f"No pool for this Service has {family} addresses ({names}): add some, or change spec.ipFamilies",
            )
        within_quota = [pool for pool in of_family if not self._is_over_quota(pool, None)]
        for pool in within_quota:
            free = self._ledger.free_in(pool, family)
            number = next_address(pool, family, free, self._request.holder.key, self._draw)
            if number is not None:
                return self._new(address_at(family, number), pool)
        return self._exhausted(family, of_family, within_quota)

    def _exhausted(self, family: Family, of_family: list[Pool], within_quota: list[Pool]) -> Refusal:
        namespace = self._request.holder.key.namespace
        waits: set[Wait] = {FreeIn(pool.name, family) for pool in within_quota}
        waits |= {QuotaIn(pool.name, namespace) for pool in of_family if pool not in within_quota}
        if self._request.sharing_key is not None:
            waits.add(SharedUnder(self._request.sharing_key))
        if not within_quota:
            refusal = self._quota_refusal(of_family[0])
            return Refusal(refusal.reason, refusal.message, frozenset(waits))
        names = ", ".join(pool.name for pool in within_quota)
        message = (
            f"No {family} address is free in {names}: extend the pool, or delete a Service that is not needed; "
            "this Service gets the next one that is free"
        )
        if self._apart is not None:
            message = f"{message}. Its sharing key opens no address: {self._apart}"
        return Refusal(Reason.PoolExhausted, message, frozenset(waits))

    def _new(self, address: IPAddress, pool: Pool) -> Claim:
        return new_claim(self._request, address, pool)

    # Quota

    def _is_over_quota(self, pool: Pool, joining: Entry | None) -> bool:
        """Whether one more address would be too many; not counted are those that this Service leaves for it."""
        if pool.max_per_namespace is None:
            return False
        namespace = self._request.holder.key.namespace
        if joining is not None and any(holder.key.namespace == namespace for holder in joining.claim.holders):
            return False
        granted = {grant.address for grant in self._granted}
        new = sum(1 for grant in self._granted if grant.pool == pool.name and not self._holds(grant.address))
        leaving = sum(1 for entry in self._held if entry.claim.pool == pool.name and entry.address not in granted)
        leaving = min(leaving, 1)
        return self._ledger.held_in_namespace(pool.name, namespace) + new - leaving >= pool.max_per_namespace

    def _quota_refusal(self, pool: Pool) -> Refusal:
        namespace = self._request.holder.key.namespace
        message = (
            f"Namespace {namespace} holds all {pool.max_per_namespace} addresses of pool {pool.name} that "
            "maxPerNamespace grants: delete a Service that is not needed, or raise the limit"
        )
        return Refusal(Reason.QuotaExceeded, message, frozenset({QuotaIn(pool.name, namespace)}))

    # What to say

    def _verdict(self, outcomes: list[_Outcome], grants: tuple[Claim, ...]) -> Verdict:
        refusals = [outcome.refusal for outcome in outcomes if outcome.refusal is not None]
        if not refusals:
            return self._satisfied(grants)
        refusal = refusals[0]
        partly = not self._request.requires_all and any(outcome.is_satisfied for outcome in outcomes)
        if partly and all(outcome.grant is None or outcome.is_satisfied for outcome in outcomes):
            return Verdict(True, Reason.PartiallyAllocated, f"{_named(grants)}; {refusal.message}")
        return Verdict(False, refusal.reason, _with_kept(refusal.message, grants))

    def _satisfied(self, grants: tuple[Claim, ...]) -> Verdict:
        taken = [(grant.address, kept) for grant in grants if (kept := self._ledger.kept_by(grant.address)) is not None]
        if taken:
            return Verdict(True, Reason.AddressTaken, "; ".join(_said_of_taken(*one) for one in taken))
        outside = [grant for grant in grants if self._pool_name(grant.address) != grant.pool]
        if not outside:
            return Verdict(True, Reason.Allocated, f"{_named(grants)}{self._said_of_sharing(grants)}")
        return Verdict(True, Reason.OutsidePool, "; ".join(self._outside(grant) for grant in outside))

    def _outside(self, grant: Claim) -> str:
        if grant.pool in self._ledger.pools.by_name:
            return f"{grant.address} is no longer in pool {grant.pool}: it keeps serving until you move the Service"
        return (
            f"{grant.address} is of pool {grant.pool}, which is gone: it keeps serving until you move the Service, but "
            "no longer by advertisements that choose pools by their labels (ipPoolSelector)"
        )

    def _said_of_sharing(self, grants: tuple[Claim, ...]) -> str:
        """Who carries a sharing key is told how far it reaches: in other systems that is the whole cluster."""
        known = [self._ledger.pools.by_name.get(grant.pool) for grant in grants]
        said = {pool.sharing for pool in known if pool is not None}
        if self._request.sharing_key is None or said <= {Sharing.AnyNamespace}:
            return ""
        if said == {Sharing.Nobody}:
            return ", which nobody else joins (sharing: None)"
        return f", shared within namespace {self._request.holder.key.namespace} only (sharing: SameNamespace)"


def _said_of_taken(address: IPAddress, kept: KeptBy) -> str:
    return (
        f"{address} is {kept} too, so clients may reach either. It stays with this Service until you move it, and no "
        f"other one gets it: {what_to_ask_for(address, kept)}"
    )


def _named(grants: Iterable[Claim]) -> str:
    return " and ".join(f"{grant.address} from pool {grant.pool}" for grant in grants)


def _with_kept(message: str, grants: tuple[Claim, ...]) -> str:
    if not grants:
        return message
    return f"{message}. Meanwhile it keeps {' and '.join(str(grant.address) for grant in grants)}"
