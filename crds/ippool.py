"""IPPool: the addresses that Berth may give to Services, and to which Services."""

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from crds.kind import AGE, Column, CustomKind, degraded_column, ready_column
from crds.markers import Format, Items, ListMap, ListSet, Text
from crds.meta import BerthObject, JudgedStatus, LabelSelector, Model
from crds.rules import Address, AddressRange, Namespace, ObjectName, PoolAddresses


class Strategy(StrEnum):
    """Which of the free addresses a Service gets."""

    LowestFirst = "LowestFirst"
    Random = "Random"
    Sticky = "Sticky"


class Sharing(StrEnum):
    """Whose Services may share an address of the pool."""

    SameNamespace = "SameNamespace"
    AnyNamespace = "AnyNamespace"
    Nobody = "None"


class ExternalIPs(StrEnum):
    """What becomes of addresses of the pool that Services name in spec.externalIPs."""

    Ignore = "Ignore"
    Announce = "Announce"


class KeptOutReason(StrEnum):
    """Why an address of a pool is not given out by itself. The first ones are stronger."""

    NodeAddress = "NodeAddress"
    """A Node lists it, or its speaker sees it on a network interface."""
    APIServer = "APIServer"
    """It is an endpoint of Service default/kubernetes."""
    ClusterIP = "ClusterIP"
    """It is in a network of cluster IPs (ServiceCIDR)."""
    ExternalIP = "ExternalIP"
    """A Service names it in spec.externalIPs: every node sends what is for it to that Service."""
    Reserved = "Reserved"
    """The pool keeps it for one Service."""
    Gateway = "Gateway"
    """It is a node's default gateway. A pool that lists it by itself gives it out."""
    NetworkEnd = "NetworkEnd"
    """It is the first or last address of a node's network; of an IPv6 network only the first is kept out, which all
    routers have (RFC 4291 §2.6.1). A pool that lists it by itself gives it out."""


class Reservation(Model):
    """An address that is kept for one Service, whether that exists or not."""

    address: Address
    """The address."""
    namespace: Namespace
    """The Service's namespace."""
    name: ObjectName
    """The Service's name."""


class Publish(StrEnum):
    """When the status of a Service shows an address."""

    Always = "Always"
    WhenAnnounced = "WhenAnnounced"


class IPPoolSpec(Model):
    """What the pool holds and who may take from it."""

    addresses: Annotated[tuple[PoolAddresses, ...], Items(1, 256)]
    """The pool's addresses, of either family or both: networks (192.0.2.0/24, 2001:db8::/64), ranges from first to
    last (192.0.2.10-192.0.2.20), or single addresses. Addresses of nodes, of the API server and for cluster IPs are
    kept out by themselves; so are default gateways and the ends of nodes' networks, unless the address is listed here
    by itself (see `status.keptOut`)."""
    exclude: Annotated[tuple[AddressRange, ...], Items(maximum=256)] = ()
    """Addresses of the pool that are never given out, written like `addresses`: hosts, printers, routers."""
    reservations: Annotated[tuple[Reservation, ...], Items(maximum=256), ListMap("address")] = ()
    """Addresses of the pool that only one Service gets, each: it need not exist yet, and it gets the same address when
    it is deleted and made again, without asking for it. Who holds one already keeps it."""
    auto_assign: bool = True
    """Whether Services that name no pool may get an address from here. False: only those that ask for this pool or
    for one of its addresses."""
    priority: Annotated[int, Field(ge=-1000000, le=1000000), Format("int32")] = 0
    """Pools with a higher number are tried first. Pools of equal priority are tried in the order of their names."""
    strategy: Strategy = Strategy.LowestFirst
    """Which free address a Service gets: LowestFirst; Random; or Sticky, an address that follows from the Service's
    namespace and name, so that a Service that is created again gets the same one as long as it is free."""
    avoid_buggy_ips: bool = Field(False, alias="avoidBuggyIPs")
    """Whether to skip IPv4 addresses that end in .0 or .255: some old devices drop traffic to them."""
    paused: bool = False
    """Whether to give out no new addresses. Addresses in use stay as they are."""
    reuse_after_seconds: Annotated[int, Field(ge=0, le=31536000), Format("int32")] = 0
    """How long a freed address rests before another Service may get it, in seconds."""
    duplicate_address_detection: bool = False
    """Whether to probe the segment before the first announcement of an address (RFC 5227; takes 4 to 7 s), and not to
    announce it when another machine, or a node's kernel, uses it."""
    namespaces: Annotated[tuple[Namespace, ...], Items(maximum=256), ListSet()] = ()
    """Only Services in these namespaces, or in those that namespaceSelector chooses, may use the pool. With neither,
    all may."""
    namespace_selector: LabelSelector | None = None
    """Only Services in namespaces with these labels, or in those that `namespaces` lists, may use the pool."""
    service_selector: LabelSelector | None = None
    """Only Services with these labels may use the pool."""
    sharing: Sharing = Sharing.SameNamespace
    """Who may share an address of the pool: SameNamespace, Services of one namespace that carry the same sharing key;
    AnyNamespace, those of all namespaces, except under externalTrafficPolicy Local; or None, nobody. With AnyNamespace
    whoever reads or guesses a key takes free ports of addresses that other namespaces hold. Who shares an address
    already goes on."""
    publish: Publish = Publish.Always
    """When the status of a Service shows an address of the pool: Always, at once; or WhenAnnounced, once a node has
    announced it for the first time. From then on it stays, also while nobody announces it. For programs that publish
    what the status shows, such as ExternalDNS."""
    external_ips: ExternalIPs = Field(ExternalIPs.Ignore, alias="externalIPs")
    """What becomes of addresses of the pool that a Service of any type names in spec.externalIPs: Ignore, they are
    given to nobody; or Announce, they are announced for that Service as well, as an address that it got. With Announce
    whoever may write a Service that the pool is for takes a free address of the pool by naming it."""
    max_per_namespace: Annotated[int, Field(ge=1), Format("int64")] | None = None
    """How many addresses of the pool one namespace may hold at a time. Not set: no limit."""


MOST_NAMED = 8
"""Addresses named for each reason to keep them out."""
MOST_CHARACTERS = 128
"""Of such a name; what is longer is cut off."""

Count = Annotated[str, Text(max_length=39, pattern="^[0-9]+$")]


class FamilyUsage(Model):
    """How many addresses of one family the pool has, and how many are in use."""

    capacity: Count
    """How many addresses can be given out in all, as decimal digits: an IPv6 network has more than fit a number."""
    allocated: Annotated[int, Field(ge=0), Format("int64")] = 0
    """How many addresses are in use, or being released."""
    free: Count
    """How many addresses are left, as decimal digits."""


class KeptOut(Model):
    """Addresses of the pool that are not given out by themselves, for one reason."""

    reason: KeptOutReason
    """Why: NodeAddress, APIServer, ClusterIP, ExternalIP, Reserved, Gateway or NetworkEnd."""
    count: Count
    """How many, of both families, as decimal digits. Those that are in use all the same are not counted here."""
    addresses: Annotated[
        tuple[Annotated[str, Text(max_length=MOST_CHARACTERS)], ...], Items(maximum=MOST_NAMED), ListSet()
    ] = ()
    """The first of them, each with whose it is."""


class IPPoolStatus(JudgedStatus):
    """What Berth made of the pool: how full it is, and what is wrong with it."""

    ipv4: FamilyUsage | None = None
    """The pool's IPv4 addresses. Not set when it has none."""
    ipv6: FamilyUsage | None = None
    """The pool's IPv6 addresses. Not set when it has none."""
    used: Annotated[str, Text(max_length=128)] = ""
    """Addresses in use of all, as a text for tables: 12/51, or 12/51,3/16 with IPv4 before IPv6."""
    kept_out: Annotated[tuple[KeptOut, ...], Items(maximum=len(KeptOutReason)), ListMap("reason")] = ()
    """Addresses of the pool that are not given out by themselves, with the reason."""


def _usage_columns(family: str) -> tuple[Column, ...]:
    path = f".status.{family.lower()}"
    return (
        Column(f"{family}-Allocated", f"{path}.allocated", "integer", f"{family} addresses in use.", priority=1),
        Column(f"{family}-Free", f"{path}.free", description=f"{family} addresses left.", priority=1),
        Column(f"{family}-Capacity", f"{path}.capacity", description=f"{family} addresses in all.", priority=1),
    )


class IPPool(BerthObject):
    """A set of IP addresses that Services of type LoadBalancer may get."""

    KIND: ClassVar[CustomKind] = CustomKind(
        kind="IPPool",
        plural="ippools",
        short_names=("ipp",),
        columns=(
            Column("Used", ".status.used", description="Addresses in use, of how many; IPv4, then IPv6."),
            ready_column(),
            degraded_column(),
            *_usage_columns("IPv4"),
            *_usage_columns("IPv6"),
            Column("Auto-Assign", ".spec.autoAssign", "boolean", "Whether any Service may draw from it.", priority=1),
            Column("Priority", ".spec.priority", "integer", "Higher is tried first.", priority=1),
            Column("Addresses", ".spec.addresses", description="Networks, ranges and addresses.", priority=1),
            AGE,
        ),
    )

    kind: str = "IPPool"
    spec: IPPoolSpec
    """What the pool holds and who may take from it."""
    status: IPPoolStatus = IPPoolStatus()
    """What Berth made of the pool; written by the allocator."""
