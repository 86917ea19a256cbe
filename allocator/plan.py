"""The decision: what a Service gets, keeps and gives up, from what it asks for and what is held.

One pure function. It changes nothing and takes nothing: allocator.assigner enters the decision in the ledger. The same
Service against the ledger that holds its decision gives the same decision again.

Rules that no request overrides: what is being released is never given out; nothing serves until its successor does (a
wish that cannot be granted leaves the Service with what it has); a pool that changes moves nobody, and neither does
another Service at a shared address.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from allocator.claims import Claim, Holder
from allocator.ledger import Entry, Ledger
from allocator.offers import Offers, WishOf, sharing_in
from allocator.policy import Draw, Refusal
from allocator.request import Request, Slot
from allocator.settlement import settled
from allocator.sharing import joined, takes_ports_of_strangers, why_not_together
from allocator.space.pools import Labels
from allocator.verdict import Verdict, named, pool_name, satisfied, with_kept
from allocator.waiting import ChangeOf, SharedUnder, Wait
from crds.addresses import IPAddress, family_of
from crds.conditions import Reason


@dataclass(frozen=True, slots=True)
class Plan:
    """What the Service gets, and what is to be said of it.

    `grants`: the claims that the ledger is to hold for it, in the order of its families. `leaving`: held, and given up
    once the Service's status names them no more. `waits`: what could let it have what it is refused now. `hidden`: held
    on, and not to be shown by its status as the Service is now.
    """

    grants: tuple[Claim, ...]
    leaving: tuple[IPAddress, ...]
    verdict: Verdict
    waits: frozenset[Wait] = frozenset()
    hidden: frozenset[IPAddress] = frozenset()
    shows: tuple[IPAddress, ...] | None = None
    """What the status is to show where that is not all that was granted, but for what is hidden."""

    @property
    def shown(self) -> tuple[IPAddress, ...]:
        """What the Service's status is to show, once it is recorded."""
        if self.shows is not None:
            return self.shows
        return tuple(grant.address for grant in self.grants if grant.address not in self.hidden)


@dataclass(frozen=True, slots=True)
class _Place:
    """An address that the Service holds: its claim as of now, and why the Service does not fit in; None = it fits."""

    entry: Entry
    claim: Claim
    why_not: str | None


@dataclass(frozen=True, slots=True)
class _Outcome:
    """For one slot: granted as wished, or refused, or refused and left with what it has (both set)."""

    slot: Slot
    grant: Claim | None
    refusal: Refusal | None

    @property
    def is_satisfied(self) -> bool:
        return self.refusal is None


def plan_refused(holder: Holder, reason: Reason, message: str, ledger: Ledger) -> Plan:
    """A wish that cannot be read or recorded cuts no traffic: the Service keeps what it holds."""
    held = ledger.in_use_by_uid(holder.uid)
    grants = tuple(entry.claim for entry in held)
    hidden = _hidden(grants, holder)
    return Plan(grants, (), Verdict(False, reason, with_kept(message, grants, hidden)), hidden=hidden)


def _hidden(grants: Iterable[Claim], holder: Holder) -> frozenset[IPAddress]:
    """Where the Service, as it is now, has a port that one of another namespace has: kube-proxy serves a port that two
    Services show at one address for either of them."""
    return frozenset(grant.address for grant in grants if takes_ports_of_strangers(grant, holder))


def plan(request: Request, namespace_labels: Labels, ledger: Ledger, draw: Draw, wish_of: WishOf) -> Plan:
    """Decide for one Service that is ours. `wish_of`: what the others at its addresses ask for now."""
    return _Planner(request, ledger, wish_of, Offers(request, namespace_labels, ledger, draw, wish_of)).plan()


class _Planner:
    """One decision."""

    def __init__(self, request: Request, ledger: Ledger, wish_of: WishOf, offers: Offers) -> None:
        self._request = request
        self._uid = request.holder.uid
        self._ledger = ledger
        self._wish_of = wish_of
        self._offers = offers
        self._held = ledger.in_use_by_uid(self._uid)

    def plan(self) -> Plan:
        self._offers.undecided.update(slot.family for slot in self._request.slots)
        outcomes = [self._decide(slot) for slot in self._request.slots]
        if self._request.requires_all and not self._has_each_family(outcomes):
            outcomes = [self._without_new(outcome) for outcome in outcomes]
        grants = tuple(outcome.grant for outcome in outcomes if outcome.grant is not None)
        kept = {grant.address for grant in grants}
        leaving = tuple(entry.address for entry in self._held if entry.address not in kept)
        refusals = [outcome.refusal for outcome in outcomes if outcome.refusal is not None]
        waits = frozenset(wait for refusal in refusals for wait in refusal.waits)
        hidden = _hidden(grants, self._request.holder)
        return Plan(grants, leaving, self._verdict(outcomes, grants, hidden), waits, hidden)

    def _decide(self, slot: Slot) -> _Outcome:
        self._offers.undecided[slot.family] -= 1
        places = [self._place(entry) for entry in self._held_for(slot)]
        outcome = self._stay(slot, places) or self._move(slot, places)
        if outcome.grant is not None:
            self._offers.granted.append(outcome.grant)
        return outcome

    def _stay(self, slot: Slot, places: list[_Place]) -> _Outcome | None:
        """What it has is what it wants; None when it wants, or must have, something else."""
        for place in places:
            if place.why_not is None and self._is_as_wished(slot, place.entry):
                return _Outcome(slot, place.claim, None)
        return None

    def _move(self, slot: Slot, places: list[_Place]) -> _Outcome:
        """Something else, or what it has until there is something else."""
        home = next((place for place in places if self._is_as_wished(slot, place.entry)), None)
        found = self._find(slot, places, home)
        if isinstance(found, Claim):
            return _Outcome(slot, found, None)
        if home is not None:
            return _Outcome(slot, home.claim, found)
        for place in places:
            if place.why_not is None:
                return _Outcome(slot, place.claim, found)
        if places:
            return _Outcome(slot, places[0].claim, self._conflict(places[0], found))
        return _Outcome(slot, self._offers.shown(slot.family), found)

    def _find(self, slot: Slot, places: list[_Place], home: _Place | None) -> Claim | Refusal:
        """`home`: where it is as it wishes, but does not fit. Then only another key says where else it wants to be."""
        if home is None:
            return self._offers.find(slot.family, slot.wanted)
        has_other_key = slot.wanted is None and self._request.sharing_key != home.claim.sharing_key
        elsewhere = self._offers.shared(slot.family) if has_other_key else None
        return elsewhere or self._conflict(home, None)

    def _conflict(self, place: _Place, found: Refusal | None) -> Refusal:
        """It holds the address, and can't as it is now. `found`: why it gets no other one either."""
        address = place.entry.address
        message = f"{address} can't be shared as the Service is now: {place.why_not}"
        waits = {ChangeOf(str(address)), *((SharedUnder(key),) if (key := self._request.sharing_key) else ())}
        if found is None:
            advice = "change it back, or the others likewise; or move it: ask for another address with berth.dev/ips"
            return Refusal(Reason.SharingConflict, f"{message}: {advice}", frozenset(waits))
        if found.reason is not Reason.SharingConflict:
            message = f"{message}. {found.message}"
        return Refusal(Reason.SharingConflict, message, found.waits | waits)

    def _without_new(self, outcome: _Outcome) -> _Outcome:
        """All or nothing: no address is newly taken, but what serves goes on serving."""
        grant = outcome.grant
        if grant is None or self._holds(grant.address) or grant.address in self._request.present:
            return outcome
        return replace(outcome, grant=None)

    def _holds(self, address: IPAddress) -> bool:
        return any(entry.address == address for entry in self._held)

    # What it has

    def _held_for(self, slot: Slot) -> list[Entry]:
        """What may be in that slot: nothing that another one has, or asks for. In the order of its status."""
        elsewhere = {grant.address for grant in self._offers.granted}
        elsewhere |= {address for address in self._request.addresses.get(slot.family, ()) if address != slot.wanted}
        held = (entry for entry in self._held if family_of(entry.address) is slot.family)
        return sorted((entry for entry in held if entry.address not in elsewhere), key=self._rank)

    def _rank(self, entry: Entry) -> int:
        shown = self._request.present
        return shown.index(entry.address) if entry.address in shown else len(shown)

    def _is_as_wished(self, slot: Slot, entry: Entry) -> bool:
        if slot.wanted not in (None, entry.address):
            return False
        home = pool_name(self._ledger.pools, entry.address)
        return self._request.takes(entry.claim.pool) or (home is not None and self._request.takes(home))

    def _place(self, entry: Entry) -> _Place:
        """Where it does not fit as the others are recorded, it may fit as they are by now."""
        claim, sharing = entry.claim, sharing_in(self._ledger, entry.claim)
        why_not = why_not_together(claim, self._request, sharing)
        if why_not is not None:
            wishes = {holder.uid: self._wish_of(holder) for holder in claim.others(self._uid)}
            known = {uid: wish for uid, wish in wishes.items() if wish is not None}
            claim = settled(claim, {**known, self._uid: self._request})
            why_not = why_not_together(claim, self._request, sharing)
        return _Place(entry, self._joined(claim) if why_not is None else claim, why_not)

    def _joined(self, claim: Claim) -> Claim:
        """With the Service as it is now, and of the pool that has the address now."""
        claim = joined(claim, self._request)
        pool = pool_name(self._ledger.pools, claim.address)
        if pool is not None and pool != claim.pool and self._request.takes(pool):
            claim = replace(claim, pool=pool)
        return claim

    # What to say

    def _has_each_family(self, outcomes: list[_Outcome]) -> bool:
        has = {outcome.slot.family for outcome in outcomes if outcome.is_satisfied}
        return has.issuperset(self._request.families)

    def _verdict(self, outcomes: list[_Outcome], grants: tuple[Claim, ...], hidden: frozenset[IPAddress]) -> Verdict:
        refusals = [outcome.refusal for outcome in outcomes if outcome.refusal is not None]
        if not refusals:
            return satisfied(self._request, grants, self._ledger)
        message = _once(refusal.message for refusal in refusals)
        is_part = any(outcome.is_satisfied for outcome in outcomes)
        partly = self._has_each_family(outcomes) or (is_part and not self._request.requires_all)
        if partly and all(outcome.grant is None or outcome.is_satisfied for outcome in outcomes):
            return Verdict(True, Reason.PartiallyAllocated, f"{named(grants)}; {message}")
        return Verdict(False, refusals[0].reason, with_kept(message, grants, hidden))


def _once(messages: Iterable[str]) -> str:
    return ". ".join(dict.fromkeys(messages))
