"""What the IPPool objects amount to: which addresses each pool really has, and who may use it.

Compiles objects into values; knows nothing of what is taken (allocator.ledger). Mistakes become problems of the pool at
fault, and the others go on.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from allocator.space.nobodys import NOBODYS, kinds_in
from allocator.space.ranges import AddressRange, BadRange, address_at, parse_range
from allocator.space.spans import Span, Spans
from crds.addresses import FAMILIES, Family, IPAddress, family_of, plain_address
from crds.ippool import ExternalIPs, Publish, Reservation, Sharing, Strategy
from crds.meta import LabelSelector
from crds.types import IPPool
from kube.objects import ServiceKey

BUGGY_LIMIT = 1 << 24
"""avoidBuggyIPs cuts two addresses out of every 256; a pool with more IPv4 addresses than a /8 has is refused."""

Labels = Mapping[str, str]

NO_NETWORKS: Mapping[Family, Spans] = {family: Spans() for family in FAMILIES}


@dataclass(frozen=True, slots=True)
class Overlap:
    """Addresses that two pools claim. The older pool has them; `lost` says whether this pool is the other one."""

    other: str
    addresses: AddressRange
    lost: bool


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """One IPPool, ready to be asked. `usable` is what may be given out; `declared` is what `addresses` lists."""

    name: str
    generation: int
    labels: Labels
    usable: Mapping[Family, Spans]
    declared: Mapping[Family, Spans]
    auto_assign: bool
    priority: int
    strategy: Strategy
    paused: bool
    reuse_after_seconds: int
    namespaces: frozenset[str]
    namespace_selector: LabelSelector | None
    service_selector: LabelSelector | None
    sharing: Sharing
    max_per_namespace: int | None
    announces_external_ips: bool = False
    """Whether what Services name in spec.externalIPs is announced for them."""
    bad_ranges: tuple[BadRange, ...] = ()
    overlaps: tuple[Overlap, ...] = ()
    listed_alone: frozenset[IPAddress] = frozenset()
    """Addresses that `addresses` lists one by one: of these it gives out what else is kept out (UNLESS_LISTED)."""
    cluster_ips: Mapping[Family, Spans] = field(default_factory=dict)
    """What it lists and can't give out, since it is for cluster IPs."""
    reserved: Mapping[IPAddress, ServiceKey] = field(default_factory=dict)
    """Addresses that only one Service gets, whatever pool lists them."""
    publish: Publish = Publish.Always
    """When the statuses of Services show its addresses."""
    gives_out: bool = True
    """False while an exclusion cannot be read: a new address might be one that the operator meant to exclude."""

    def has(self, family: Family) -> bool:
        """Whether the pool may give out any address of this family, free or not."""
        return bool(self.usable[family])

    def holds(self, address: IPAddress) -> bool:
        """Whether the address is usable in this pool."""
        return int(address) in self.usable[family_of(address)]

    def why_not_for(self, namespace: str, namespace_labels: Labels, service_labels: Labels) -> str:
        """Why a Service with these labels, in this namespace, may not use the pool, as in "edge is for other
        namespaces"; empty when it may."""
        if self.service_selector is not None and not self.service_selector.matches(service_labels):
            return "has a serviceSelector that the Service's labels do not fit"
        if not self.namespaces and self.namespace_selector is None:
            return ""
        if namespace in self.namespaces:
            return ""
        if self.namespace_selector is not None and self.namespace_selector.matches(namespace_labels):
            return ""
        fields = " and ".join(name for name, is_set in self._namespace_fields() if is_set)
        return f"is for other namespaces than {namespace} ({fields})"

    def _namespace_fields(self) -> tuple[tuple[str, bool], ...]:
        return ("namespaces", bool(self.namespaces)), ("namespaceSelector", self.namespace_selector is not None)


@dataclass(frozen=True, slots=True)
class Pools:
    """All pools. No address is usable in two of them."""

    by_name: Mapping[str, Pool] = field(default_factory=dict)
    in_order: tuple[Pool, ...] = ()
    """As they are tried: higher priority first, then by name."""
    _owned: "Mapping[Family, _Owned]" = field(default_factory=dict)
    cluster_networks: Mapping[Family, Spans] = field(default_factory=dict)
    """Cluster IPs come from these."""
    _reserved: Mapping[tuple[ServiceKey, Family], list[IPAddress]] = field(default_factory=dict)

    def holding(self, address: IPAddress) -> Pool | None:
        """The pool in which this address is usable."""
        owned, number = self._owned.get(family_of(address), _NOTHING_OWNED), int(address)
        index = bisect_right(owned.firsts, number) - 1
        if index < 0 or number > owned.lasts[index]:
            return None
        return owned.pools[index]

    def excluding(self, address: IPAddress) -> Pool | None:
        """A pool that lists this address but may not give it out."""
        family = family_of(address)
        return next((pool for pool in self.in_order if int(address) in pool.declared[family]), None)

    def reserved_for(self, key: ServiceKey, family: Family) -> list[IPAddress]:
        """What its pool keeps for this Service, in order of addresses. Of a pool that does not have it, nothing."""
        return self._reserved.get((key, family), [])

    @property
    def select_by_namespace_labels(self) -> bool:
        """Whether a namespace's labels matter to any pool."""
        return any(pool.namespace_selector is not None for pool in self.in_order)


NO_POOLS = Pools()


class _Owned(NamedTuple):
    """Spans in order, and whose each is: one list for each part of them, since they are searched for each address."""

    firsts: list[int]
    lasts: list[int]
    pools: list[Pool]


_NOTHING_OWNED = _Owned([], [], [])


@dataclass(slots=True)
class _Draft:
    """A pool whose ranges are read, before overlaps are settled."""

    source: IPPool
    declared: dict[Family, Spans]
    usable: dict[Family, Spans]
    bad_ranges: list[BadRange]
    gives_out: bool
    listed_alone: frozenset[IPAddress]
    cluster_ips: dict[Family, Spans]
    overlaps: list[Overlap] = field(default_factory=list)


def compile_pools(objects: Iterable[IPPool], cluster_networks: Mapping[Family, Spans] = NO_NETWORKS) -> Pools:
    """Pools by age: where two overlap, the newer one loses the common addresses (and both say so). What is for cluster
    IPs is in none."""
    drafts = [_draft(one, cluster_networks) for one in sorted(objects, key=_by_age)]
    for family in FAMILIES:
        _settle_overlaps(drafts, family)
    for draft in drafts:
        _avoid_buggy(draft)
    pools = [_finish(draft) for draft in drafts]
    return Pools(
        {pool.name: pool for pool in pools},
        tuple(sorted(pools, key=lambda pool: (-pool.priority, pool.name))),
        {family: _owned_spans(pools, family) for family in FAMILIES},
        cluster_networks,
        _by_service(pools),
    )


def _by_service(pools: Iterable[Pool]) -> dict[tuple[ServiceKey, Family], list[IPAddress]]:
    found: dict[tuple[ServiceKey, Family], list[IPAddress]] = {}
    for pool in pools:
        for address in sorted(filter(pool.holds, pool.reserved), key=int):
            found.setdefault((pool.reserved[address], family_of(address)), []).append(address)
    return found


def _by_age(one: IPPool) -> tuple[str, str]:
    return (one.metadata.creation_timestamp or "9999", one.metadata.name)


def _draft(one: IPPool, cluster_networks: Mapping[Family, Spans]) -> _Draft:
    listed = [parse_range(text) for text in one.spec.addresses]
    excluded = [parse_range(text) for text in one.spec.exclude]
    bad_ranges = [entry for entry in (*listed, *excluded) if isinstance(entry, BadRange)]
    bad_ranges += _nobodys(zip(one.spec.addresses, listed, strict=True))
    declared = {family: _spans_of(listed, family).minus(NOBODYS[family]) for family in FAMILIES}
    usable = {family: declared[family].minus(_spans_of(excluded, family)) for family in FAMILIES}
    cluster_ips = {family: usable[family].common(cluster_networks[family]) for family in FAMILIES}
    usable = {family: usable[family].minus(cluster_ips[family]) for family in FAMILIES}
    alone = frozenset(_alone(listed))
    gives_out = not any(isinstance(entry, BadRange) for entry in excluded)
    return _Draft(one, declared, usable, bad_ranges, gives_out, alone, cluster_ips)


def _alone(entries: Iterable[AddressRange | BadRange]) -> Iterable[IPAddress]:
    for entry in entries:
        if isinstance(entry, AddressRange) and entry.first == entry.last:
            yield address_at(entry.family, entry.first)


def _nobodys(entries: Iterable[tuple[str, AddressRange | BadRange]]) -> Iterable[BadRange]:
    """Entries that contain what no Service can have; that part is left out."""
    for text, entry in entries:
        kinds = kinds_in(entry.family, (entry.first, entry.last)) if isinstance(entry, AddressRange) else []
        if kinds:
            yield BadRange(
                text,
                f"{text!r} is, or contains, what no Service can have and is left out: {', '.join(kinds)}; take it out",
            )


def _spans_of(entries: Iterable[AddressRange | BadRange], family: Family) -> Spans:
    return Spans((one.first, one.last) for one in entries if isinstance(one, AddressRange) and one.family is family)


def _settle_overlaps(drafts: list[_Draft], family: Family) -> None:
    owners: list[tuple[int, int, _Draft]] = []
    for draft in drafts:
        lost: list[Span] = []
        for first, last, owner in _touching(owners, draft.usable[family]):
            addresses = AddressRange(family, first, last)
            owner.overlaps.append(Overlap(draft.source.metadata.name, addresses, lost=False))
            draft.overlaps.append(Overlap(owner.source.metadata.name, addresses, lost=True))
            lost.append((first, last))
        draft.usable[family] = draft.usable[family].minus(Spans(lost))
        owners.extend((first, last, draft) for first, last in draft.usable[family].spans)
        owners.sort(key=lambda span: span[0])


def _touching(owners: list[tuple[int, int, _Draft]], spans: Spans) -> list[tuple[int, int, _Draft]]:
    """The common parts, with who owns them."""
    found = []
    for first, last in spans.spans:
        index = max(0, bisect_right(owners, first, key=lambda span: span[0]) - 1)
        while index < len(owners) and owners[index][0] <= last:
            start, end, owner = owners[index]
            if end >= first:
                found.append((max(first, start), min(last, end), owner))
            index += 1
    return found


def _avoid_buggy(draft: _Draft) -> None:
    if not draft.source.spec.avoid_buggy_ips:
        return
    spans = draft.usable[Family.IPv4]
    if spans.capacity > BUGGY_LIMIT:
        draft.bad_ranges.append(
            BadRange("", "avoidBuggyIPs works with up to 16777216 IPv4 addresses: use smaller pools")
        )
        draft.gives_out = False
        return
    draft.usable[Family.IPv4] = spans.minus(Spans(_buggy_spans(spans)))


def _buggy_spans(spans: Spans) -> Iterable[Span]:
    for first, last in spans.spans:
        for base in range(first & ~0xFF, last + 1, 256):
            yield (base, base)
            yield (base + 255, base + 255)


def _finish(draft: _Draft) -> Pool:
    metadata, spec = draft.source.metadata, draft.source.spec
    reserved = _reserved(spec.reservations)
    return Pool(
        name=metadata.name,
        generation=metadata.generation,
        labels=metadata.labels,
        usable=draft.usable,
        declared=draft.declared,
        auto_assign=spec.auto_assign,
        priority=spec.priority,
        strategy=spec.strategy,
        paused=spec.paused,
        reuse_after_seconds=spec.reuse_after_seconds,
        namespaces=frozenset(spec.namespaces),
        namespace_selector=spec.namespace_selector,
        service_selector=spec.service_selector,
        sharing=spec.sharing,
        publish=spec.publish,
        max_per_namespace=spec.max_per_namespace,
        announces_external_ips=spec.external_ips is ExternalIPs.Announce,
        bad_ranges=(*draft.bad_ranges, *_not_had(reserved, draft)),
        overlaps=tuple(draft.overlaps),
        listed_alone=draft.listed_alone,
        cluster_ips=draft.cluster_ips,
        reserved=reserved,
        gives_out=draft.gives_out,
    )


def _reserved(reservations: Iterable[Reservation]) -> dict[IPAddress, ServiceKey]:
    """The first one counts where an address is written twice, in two spellings."""
    found: dict[IPAddress, ServiceKey] = {}
    for one in reservations:
        address = plain_address(one.address)
        if address is not None:
            found.setdefault(address, ServiceKey(one.namespace, one.name))
    return found


def _not_had(reserved: Iterable[IPAddress], draft: _Draft) -> Iterable[BadRange]:
    for address in reserved:
        if int(address) not in draft.usable[family_of(address)]:
            message = f"{address} is reserved, but the pool does not have it: list it in addresses, or take it out"
            yield BadRange(str(address), message)


def _owned_spans(pools: Iterable[Pool], family: Family) -> _Owned:
    owned = [(first, last, pool) for pool in pools for first, last in pool.usable[family].spans]
    owned.sort(key=lambda span: span[0])
    return _Owned([first for first, _, _ in owned], [last for _, last, _ in owned], [pool for _, _, pool in owned])
