"""Which of the external IPs that a Service names are announced for it: spec.externalIPs, in pools that say so.

Every node sends what is for such an address to the Service already, whatever is decided here; what is decided is
whether the address is announced. Like allocator.plan it changes nothing and takes nothing. A Service of any type may
name them, and what one names nobody else gets from a pool.

An address of its own is one record, with all Services that name it, as far as they go together (allocator.sharing):
whoever does not is told so, and is not counted when it is decided which nodes announce the address.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from allocator.claims import Claim
from allocator.ledger import Entry, Ledger
from allocator.offers import WishOf
from allocator.policy import Refusal, refuse_pool, serves
from allocator.request import EXTERNAL, Request
from allocator.settlement import settled
from allocator.sharing import joined, why_not_together
from allocator.space.pools import Labels, Pool
from allocator.waiting import ChangeOf, QuotaIn, Wait
from crds.addresses import IPAddress, family_of
from crds.conditions import Reason
from crds.ippool import KeptOutReason


@dataclass(frozen=True, slots=True)
class Named:
    """`grants`: the claims that the ledger is to hold for it. `refusals`: what of its external IPs is not announced for
    it as it is now, and why; of one that is granted, too, it stays as it was recorded. `again_at`: when to decide again
    though nothing changes, in monotonic seconds; None = no need."""

    grants: tuple[Claim, ...]
    refusals: tuple[Refusal, ...]
    again_at: float | None = None

    @property
    def waits(self) -> frozenset[Wait]:
        """What could let it have what it is refused now."""
        return frozenset(wait for refusal in self.refusals for wait in refusal.waits)


def named(request: Request, namespace_labels: Labels, ledger: Ledger, wish_of: WishOf) -> Named:
    """Decide for one Service. `wish_of`: what others that name one of them ask for now."""
    found = list(_Namer(request, namespace_labels, ledger, wish_of).all())
    return Named(
        tuple(claim for claim, _ in found if claim is not None),
        tuple(refusal for _, refusal in found if refusal is not None),
    )


_Outcome = tuple[Claim | None, Refusal | None]
_NOTHING: _Outcome = (None, None)


class _Namer:
    """One decision."""

    def __init__(self, request: Request, labels: Labels, ledger: Ledger, wish_of: WishOf) -> None:
        self._request = request
        self._uid = request.holder.uid
        self._labels = labels
        self._ledger = ledger
        self._wish_of = wish_of
        self._new = 0

    def all(self) -> Iterator[_Outcome]:
        """One outcome for each address."""
        for addresses in self._request.addresses.values():
            for address in dict.fromkeys(addresses):
                yield self._decide(address)

    def _decide(self, address: IPAddress) -> _Outcome:
        """Where no pool says so nothing is announced, and nothing is said."""
        pool, entry = self._ledger.pools.holding(address), self._ledger.get(address)
        if pool is None or not pool.announces_external_ips:
            return _NOTHING
        if entry is not None and not entry.claim.external and entry.claim.held_by(self._uid):
            return _NOTHING  # it is its own
        if family_of(address) not in self._request.families:
            return None, _refusal(
                address, Reason.FamilyUnavailable, f"the Service has no {family_of(address)}: change spec.ipFamilies"
            )
        if not serves(pool, self._request, self._labels):
            message = f"pool {pool.name} is not for this Service: its namespaces and selectors choose others"
            return None, _refusal(address, Reason.NoMatchingPool, message)
        if entry is None:
            return self._take(address, pool)
        return self._join(entry, pool)

    def _take(self, address: IPAddress, pool: Pool) -> _Outcome:
        refused = self._why_nothing_new(address, pool, is_new_to_namespace=True)
        if refused is not None:
            return None, refused
        self._new += 1
        holder = (self._request.holder,)
        policy, selector = self._request.traffic_policy, self._request.selector
        return Claim(address, pool.name, holder, policy, selector=selector, external=True), None

    def _join(self, entry: Entry, pool: Pool) -> _Outcome:
        claim = entry.claim
        names = ", ".join(str(holder.key) for holder in claim.holders[:3])
        if claim.releasing:
            return None, _refusal(entry.address, Reason.AddressInUse, f"it is being withdrawn from {names}", waits=True)
        if not claim.external:
            return None, _refusal(entry.address, Reason.AddressInUse, f"it is the address of {names}", waits=True)
        if claim.held_by(self._uid):
            return self._stay(entry, pool)
        why_not = why_not_together(_opened(claim), self._request, pool.sharing)
        if why_not is not None:
            return None, _refusal(entry.address, Reason.SharingConflict, why_not, waits=True)
        namespace = self._request.holder.key.namespace
        is_new = all(holder.key.namespace != namespace for holder in claim.holders)
        refused = self._why_nothing_new(entry.address, pool, is_new_to_namespace=is_new)
        if refused is not None:
            return None, refused
        return _closed(joined(_opened(claim), self._request)), None

    def _stay(self, entry: Entry, pool: Pool) -> _Outcome:
        """Where it does not fit as the others are recorded, it may fit as they are by now; else it stays as it is."""
        claim = _opened(entry.claim)
        why_not = why_not_together(claim, self._request, pool.sharing)
        if why_not is not None:
            wishes = {holder.uid: self._wish_of(holder) for holder in claim.others(self._uid)}
            known = {uid: wish for uid, wish in wishes.items() if wish is not None}
            claim = settled(claim, {**known, self._uid: self._request})
            why_not = why_not_together(claim, self._request, pool.sharing)
        if why_not is not None:
            return _closed(claim), _refusal(entry.address, Reason.SharingConflict, why_not, waits=True)
        return replace(_closed(joined(claim, self._request)), pool=pool.name), None

    def _why_nothing_new(self, address: IPAddress, pool: Pool, *, is_new_to_namespace: bool) -> Refusal | None:
        """An address that is anybody else's as well is announced for nobody anew."""
        refused = refuse_pool(pool, self._request, self._labels)
        if refused is not None:
            return _refusal(address, refused.reason, refused.message)
        kept = self._ledger.taken_by(address, but=KeptOutReason.ExternalIP)
        if kept is not None:
            return _refusal(address, Reason.AddressExcluded, f"it is {kept}", waits=True)
        reserved = pool.reserved.get(address)
        if reserved not in (None, self._request.holder.key):
            return _refusal(address, Reason.AddressExcluded, f"it is reserved for Service {reserved}")
        if is_new_to_namespace and self._is_over_quota(pool):
            namespace = self._request.holder.key.namespace
            message = f"namespace {namespace} holds all addresses of pool {pool.name} that maxPerNamespace grants"
            refusal = _refusal(address, Reason.QuotaExceeded, message)
            return replace(refusal, waits=frozenset({QuotaIn(pool.name, namespace)}))
        return None

    def _is_over_quota(self, pool: Pool) -> bool:
        if pool.max_per_namespace is None:
            return False
        held = self._ledger.held_in_namespace(pool.name, self._request.holder.key.namespace)
        return held + self._new >= pool.max_per_namespace


def _refusal(address: IPAddress, reason: Reason, why: str, *, waits: bool = False) -> Refusal:
    message = f"External IP {address} is not announced for this Service: {why}"
    return Refusal(reason, message, frozenset({ChangeOf(str(address))} if waits else ()))


def _opened(claim: Claim) -> Claim:
    """As allocator.sharing has it: all who name it carry the same key."""
    return replace(claim, sharing_key=EXTERNAL)


def _closed(claim: Claim) -> Claim:
    """As it is recorded."""
    return replace(claim, sharing_key=None)
