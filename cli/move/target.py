"""Where a Service is to go, as the command line names it, and the change to the Service that asks for it. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from allocator.claims import Claim
from allocator.space.pools import Pool
from allocator.space.ranges import parse_address
from cli.failure import Failed
from cli.seen import World
from crds.addresses import Family, IPAddress, family_of
from crds.names import (
    ANNOTATION_IPS,
    ANNOTATION_IPS_ALIASES,
    ANNOTATION_NODE,
    ANNOTATION_POOL,
    ANNOTATION_POOL_ALIASES,
)
from kube.informer.store import ObjectKey
from kube.objects import Service

_POOLS = frozenset({"pool", "ippool", "ippools"})
_NODES = frozenset({"node", "nodes", "no"})


@dataclass(frozen=True)
class Target:
    """One of the three is given."""

    addresses: tuple[IPAddress, ...] = ()
    pool: str = ""
    node: str = ""


@dataclass(frozen=True)
class Change:
    """Annotations by name, None = it goes; `drops_field`: so does spec.loadBalancerIP."""

    annotations: Mapping[str, str | None] = field(default_factory=dict)
    drops_field: bool = False

    def body(self, uid: str) -> dict[str, Any]:
        """The merge patch (RFC 7386), for the Service with that uid and for no other one of its name."""
        spec = {"spec": {"loadBalancerIP": None}} if self.drops_field else {}
        return {"metadata": {"uid": uid, "annotations": dict(self.annotations)}, **spec}

    def applied_to(self, service: Service) -> Service:
        """The Service as it would be."""
        after = {**service.metadata.annotations, **self.annotations}
        annotations = {name: value for name, value in after.items() if value is not None}
        spec = msgspec.structs.replace(service.spec, load_balancer_ip="") if self.drops_field else service.spec
        metadata = msgspec.structs.replace(service.metadata, annotations=annotations)
        return msgspec.structs.replace(service, metadata=metadata, spec=spec)

    def told(self, *, is_done: bool) -> str:
        """As in "wrote berth.dev/pool: inner, removed berth.dev/ips"; empty when there is nothing to write."""
        written = [f"{name}: {value}" for name, value in self.annotations.items() if value is not None]
        gone = [name for name, value in self.annotations.items() if value is None]
        gone += ["spec.loadBalancerIP"] if self.drops_field else []
        wrote, removed = ("wrote", "removed") if is_done else ("would write", "would remove")
        parts = [(wrote, written), (removed, gone)]
        return ", ".join(f"{verb} {' and '.join(what)}" for verb, what in parts if what)


def target(text: str, world: World) -> Target:
    """From ADDRESS[,ADDRESS], pool/NAME, node/NAME, or a name that only one of these has. Raises Failed."""
    kind, slash, name = text.partition("/")
    if slash and kind.lower() in _POOLS | _NODES and name:
        return _pool(name, world) if kind.lower() in _POOLS else _node(name, world)
    addresses = [parse_address(part) for part in text.split(",")]
    found = tuple(dict.fromkeys(one for one in addresses if one is not None))
    if len(found) == len(addresses):
        return Target(addresses=found)
    is_pool, is_node = text in world.pools.by_name, _has_node(text, world)
    if is_pool and is_node:
        raise Failed(f"{text} is a pool and a node: write --to pool/{text} or --to node/{text}")
    if not is_pool and not is_node:
        raise Failed(f"{text!r} is no address, and there is no pool and no node of this name: {_there_are(world)}")
    return Target(pool=text) if is_pool else Target(node=text)


def _pool(name: str, world: World) -> Target:
    if name not in world.pools.by_name:
        raise Failed(f"there is no IPPool {name}: {_there_are(world)}")
    return Target(pool=name)


def _node(name: str, world: World) -> Target:
    if not _has_node(name, world):
        raise Failed(f"there is no Node {name}: kubectl get nodes lists them")
    return Target(node=name)


def _has_node(name: str, world: World) -> bool:
    return ObjectKey(None, name) in world.seen.observed.nodes


def _there_are(world: World) -> str:
    return f"the pools are {', '.join(sorted(world.pools.by_name)) or 'none'}"


def change(service: Service, wanted: Target, held: Iterable[Claim], world: World) -> Change:
    """What asks for it, and takes off what says otherwise. `held`: what the Service has now.

    What it asks for in another family stays as it is, and so does where it has that one.
    """
    if wanted.node:
        return _difference(service, {ANNOTATION_NODE: wanted.node}, drops_field=False)
    claims = list(held)
    pools = [pool for one in wanted.addresses if (pool := world.pools.holding(one)) is not None]
    pools += [world.pools.by_name[wanted.pool]] if wanted.pool else []
    families = {family_of(one) for one in wanted.addresses} or _families(pools)
    named = [one for one in _asked_addresses(service) if family_of(one) not in families]
    ips = [*wanted.addresses, *named]
    asked = _asked_pools(service)
    others = [one.pool for one in claims if family_of(one.address) not in families]
    others += [
        one for one in asked if one in world.pools.by_name and not _families([world.pools.by_name[one]]) & families
    ]
    after = list(dict.fromkeys([*(pool.name for pool in pools), *(one for one in others if one)]))
    is_needed = bool(wanted.pool) or (bool(asked) and any(pool.name not in asked for pool in pools))
    annotations: dict[str, str | None] = {ANNOTATION_IPS: ",".join(map(str, ips)) or None}
    annotations |= dict.fromkeys(ANNOTATION_IPS_ALIASES)
    if is_needed:
        annotations |= {ANNOTATION_POOL: ",".join(after), **dict.fromkeys(ANNOTATION_POOL_ALIASES)}
    in_field = set(_parsed(service.spec.load_balancer_ip))
    return _difference(service, annotations, drops_field=not in_field <= set(ips))


def _families(pools: Iterable[Pool]) -> set[Family]:
    return {family for pool in pools for family in Family if pool.has(family)}


def _difference(service: Service, wanted: Mapping[str, str | None], *, drops_field: bool) -> Change:
    """Without what is so already."""
    present = service.metadata.annotations
    return Change({name: value for name, value in wanted.items() if present.get(name) != value}, drops_field)


def _asked_addresses(service: Service) -> list[IPAddress]:
    """By any name; what can't be read is left out."""
    annotations = service.metadata.annotations
    texts = [annotations.get(name, "") for name in (ANNOTATION_IPS, *ANNOTATION_IPS_ALIASES)]
    return list(dict.fromkeys(one for text in (*texts, service.spec.load_balancer_ip) for one in _parsed(text)))


def _parsed(text: str) -> Iterator[IPAddress]:
    for part in text.split(","):
        found = parse_address(part)
        if found is not None:
            yield found


def _asked_pools(service: Service) -> list[str]:
    annotations = service.metadata.annotations
    texts = [annotations.get(name, "") for name in (ANNOTATION_POOL, *ANNOTATION_POOL_ALIASES)]
    return [part.strip() for text in texts for part in text.split(",") if part.strip()]
