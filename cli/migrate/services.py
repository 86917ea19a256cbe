"""Whether each Service keeps its address: what Berth's allocator would do with the statuses as they are. Pure.

The allocator itself is asked, on the pools that the conversion makes: allocator.assigner takes the lists in as at its
start, and allocator.plan tells of each Service what it gets, and why not. Nothing is decided anew.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum

from allocator import keepers
from allocator.annotations import not_understood
from allocator.assigner import Assigner
from allocator.ownership import Ownership
from allocator.plan import plan
from allocator.request import InvalidRequest, key_of, present_addresses, request_of
from allocator.space.pools import Pools
from cli.migrate.told import Made
from cli.seen import Seen, World
from crds.addresses import IPAddress
from crds.names import FINALIZER, FINALIZER_BESIDE_CLOUD
from crds.types import IPPool
from kube.informer.store import ObjectKey
from kube.objects import Service, ServiceKey


class Fate(Enum):
    """What becomes of what a Service shows."""

    KEEPS = "keeps"
    WAITS = "waits"
    """It shows nothing, and gets something when the pools are no longer paused."""
    LOSES = "loses"
    NOT_SERVED = "is not served"


@dataclass(frozen=True, slots=True)
class Judged:
    """`shows`: what its status shows now. `why`: what Berth's condition would say; empty where all is well."""

    key: ServiceKey
    fate: Fate
    shows: tuple[IPAddress, ...]
    why: str = ""


def with_pools(seen: Seen, made: Iterable[Made], *, is_paused: bool) -> Seen:
    """The cluster once the converted pools are there too. One that is there already counts as it is."""
    pools = dict(seen.observed.pools)
    for one in made:
        if one.kind == "IPPool" and ObjectKey(None, one.name) not in pools:
            pool = IPPool.model_validate(one.to_wire())
            pools[ObjectKey(None, one.name)] = pool.model_copy(
                update={"spec": pool.spec.model_copy(update={"paused": is_paused})}
            )
    return replace(seen, observed=replace(seen.observed, pools=pools))


def judge(seen: Seen, class_name: str | None = None) -> list[Judged]:
    """All Services of type LoadBalancer. `class_name`: that Berth is to serve; None = those without a class."""
    world, ownership = World(seen), Ownership(class_name, FINALIZER, (FINALIZER_BESIDE_CLOUD,))
    assigner = _started(world, ownership)
    labels = {key.name: one.metadata.labels for key, one in seen.observed.namespaces.items()}
    of_type = (one for one in seen.observed.services.values() if one.spec.type == "LoadBalancer")
    found = (_judged(one, assigner, world, ownership, labels) for one in of_type)
    return sorted(found, key=lambda one: (one.key.namespace, one.key.name))


def _started(world: World, ownership: Ownership) -> Assigner:
    """As an allocator that becomes the leader now."""
    observed = world.seen.observed
    assigner = Assigner(ownership=ownership, draw=lambda _: 0)
    assigner.start(
        pools=world.pools,
        kept_out=keepers.everything(observed),
        namespaces={key.name: one.metadata.labels for key, one in observed.namespaces.items()},
        allocations=observed.allocations.values(),
        services=observed.services.values(),
        now=0.0,
    )
    return assigner


def _judged(
    service: Service, assigner: Assigner, world: World, ownership: Ownership, labels: Mapping[str, dict[str, str]]
) -> Judged:
    key, shows = key_of(service), present_addresses(service)
    if service.metadata.is_terminating:
        return Judged(key, Fate.NOT_SERVED, shows, "it is being deleted")
    if not ownership.is_ours(service):
        is_of_pool = any(world.pools.holding(address) is not None for address in shows)
        why = f"Berth serves {ownership.served}"
        return Judged(key, Fate.LOSES if is_of_pool else Fate.NOT_SERVED, shows, why)
    request = request_of(service)
    if isinstance(request, InvalidRequest):
        held = [entry.address for entry in assigner.ledger.held_by_uid(service.metadata.uid)]
        return Judged(key, _fate(shows, held), shows, request.message)
    decision = plan(request, labels.get(key.namespace, {}), assigner.ledger, lambda _: 0, world.wish_of)
    fate = _fate(shows, [grant.address for grant in decision.grants])
    why = "" if decision.verdict.satisfied or fate is Fate.WAITS else decision.verdict.message
    if fate is Fate.LOSES:
        why = _in_no_pool(shows, assigner.ledger.pools) or why or "it asks for another address, and would get it"
    return Judged(key, fate, shows, why or not_understood(service.metadata.annotations))


def _fate(shows: tuple[IPAddress, ...], gets: Iterable[IPAddress]) -> Fate:
    if not shows:
        return Fate.WAITS
    return Fate.KEEPS if set(shows) <= set(gets) else Fate.LOSES


def _in_no_pool(shows: Iterable[IPAddress], pools: Pools) -> str:
    """The commonest cause, in plain words."""
    missing = [str(address) for address in shows if pools.holding(address) is None]
    return f"no pool gives out {', '.join(missing)}: add it to one" if missing else ""
