"""What condition berth.dev/Allocated says of a decision, in sentences."""

from collections.abc import Container, Iterable
from dataclasses import dataclass, replace

from allocator.claims import Claim
from allocator.ledger import Ledger
from allocator.request import Request
from allocator.space.keptout import KeptBy, what_to_ask_for
from allocator.space.pools import Pools
from crds.addresses import IPAddress
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


def satisfied(request: Request, grants: tuple[Claim, ...], ledger: Ledger) -> Verdict:
    """It has what it asks for; something may be remarkable all the same."""
    pools = ledger.pools
    taken = [(grant.address, kept) for grant in grants if (kept := ledger.taken_by(grant.address)) is not None]
    if taken:
        return Verdict(True, Reason.AddressTaken, "; ".join(_said_of_taken(*one) for one in taken))
    outside = [grant for grant in grants if pool_name(pools, grant.address) != grant.pool]
    if outside:
        return Verdict(True, Reason.OutsidePool, "; ".join(_outside(grant, pools) for grant in outside))
    said = f"{named(grants)}{_said_of_sharing(request, grants, pools)}{_said_of_unknown_pools(request, pools)}"
    return Verdict(True, Reason.Allocated, said)


def pool_name(pools: Pools, address: IPAddress) -> str | None:
    """Of the pool that has the address now; None where none has."""
    pool = pools.holding(address)
    return None if pool is None else pool.name


def named(grants: Iterable[Claim]) -> str:
    """The addresses, and where they are from."""
    return " and ".join(f"{grant.address} from pool {grant.pool}" for grant in grants)


def with_kept(message: str, grants: tuple[Claim, ...], hidden: Container[IPAddress]) -> str:
    """What is refused, and what stays as it is meanwhile. `hidden`: what its status does not show."""
    kept = " and ".join(str(grant.address) for grant in grants if grant.address not in hidden)
    reserved = " and ".join(str(grant.address) for grant in grants if grant.address in hidden)
    parts = [
        message,
        f"Meanwhile it keeps {kept}" if kept else "",
        f"It is not served at {reserved} until it takes no port of another namespace there" if reserved else "",
    ]
    return ". ".join(part for part in parts if part)


def _outside(grant: Claim, pools: Pools) -> str:
    if grant.pool in pools.by_name:
        return f"{grant.address} is no longer in pool {grant.pool}: it keeps serving until you move the Service"
    return (
        f"{grant.address} is of pool {grant.pool}, which is gone: it keeps serving until you move the Service, but "
        "no longer by advertisements that choose pools by their labels (ipPoolSelector)"
    )


def _said_of_taken(address: IPAddress, kept: KeptBy) -> str:
    return (
        f"{address} is {kept} too, so clients may reach either. It stays with this Service until you move it, and no "
        f"other one gets it: {what_to_ask_for(address, kept)}"
    )


def _said_of_sharing(request: Request, grants: tuple[Claim, ...], pools: Pools) -> str:
    """Who carries a sharing key is told how far it reaches: in other systems that is the whole cluster."""
    known = [pools.by_name.get(grant.pool) for grant in grants]
    said = {pool.sharing for pool in known if pool is not None}
    if request.sharing_key is None or said <= {Sharing.AnyNamespace}:
        return ""
    if said == {Sharing.Nobody}:
        return ", which nobody else joins (sharing: None)"
    return f", shared within namespace {request.holder.key.namespace} only (sharing: SameNamespace)"


def _said_of_unknown_pools(request: Request, pools: Pools) -> str:
    unknown = [name for name in request.pools if name not in pools.by_name]
    return f". There is no pool {', '.join(map(repr, unknown))}" if unknown else ""
