"""The values of BGP: a peer to hold a session with, a route to advertise, and what is seen of a session.

Plain values: no I/O, nothing of how a session is kept. Everything is resolved: Secrets are read, External and Internal
have become numbers or None, and names of communities have become numbers.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from math import ceil
from typing import NamedTuple

from crds.addresses import Family, IPAddress
from crds.speaker import FOREVER_SECONDS, Acknowledger, BGPSessionState

Prefix = IPv4Network | IPv6Network
StandardCommunity = tuple[int, int]
LargeCommunity = tuple[int, int, int]

EXABGP_PERMIT_SECONDS = 15.0
"""How long sessions go on without a word from the agent. Part of how long routers may keep routes after its end, so
fencing counts it."""

GRACEFUL_SHUTDOWN: StandardCommunity = (65535, 0)  # RFC 8326 §3
BLACKHOLE: StandardCommunity = (65535, 666)  # RFC 7999 §5
NO_EXPORT: StandardCommunity = (65535, 65281)  # RFC 1997
NO_ADVERTISE: StandardCommunity = (65535, 65282)  # RFC 1997
NO_EXPORT_SUBCONFED: StandardCommunity = (65535, 65283)  # RFC 1997
NO_PEER: StandardCommunity = (65535, 65284)  # RFC 3765 §4

WELL_KNOWN_COMMUNITIES: Mapping[str, StandardCommunity] = {
    "graceful-shutdown": GRACEFUL_SHUTDOWN,
    "blackhole": BLACKHOLE,
    "no-export": NO_EXPORT,
    "no-advertise": NO_ADVERTISE,
    "no-export-subconfed": NO_EXPORT_SUBCONFED,
    "no-peer": NO_PEER,
}


@dataclass(frozen=True)
class PeerConfig:
    """How to hold a session with one router. Which differences need a new one: speaker.bgp.exabgp.config.

    `peer_asn` None: any AS but ours (External). `source_address` None: the one that the routing table gives.
    `keepalive_seconds`: None, or more than a third of the hold time that was agreed on: that third (RFC 4271 §10).
    `hold_time_seconds` 0: sessions never expire.
    `multihop_ttl`: the TTL of our packets to an external peer that is not on a connected network.
    `ttl_security`: the greatest number of hops that the peer may be away (GTSM, RFC 5082).
    `graceful_restart_seconds` None: routers drop our routes as soon as the session ends.
    `is_passive`: wait for the peer to connect to `listen_port`, at `source_address`, which must be set then.
    `source_interface`: the link of a link-local peer. `vrf`: the VRF device that the session runs in.
    `local_asn`: the AS that an external peer is to see before ours (RFC 7705); None = ours alone.
    `is_confederation_member`: the peer is in another member AS of our confederation (RFC 5065).
    """

    name: str
    my_asn: int
    peer_asn: int | None
    peer_address: IPAddress
    router_id: IPv4Address
    families: frozenset[Family]
    peer_port: int = 179
    source_address: IPAddress | None = None
    source_interface: str | None = None
    hold_time_seconds: int = 90
    keepalive_seconds: int | None = None
    connect_retry_seconds: int = 10
    password: str | None = field(default=None, repr=False)
    multihop_ttl: int | None = None
    ttl_security: int | None = None
    graceful_restart_seconds: int | None = None
    is_passive: bool = False
    listen_port: int = 179
    vrf: str | None = None
    local_asn: int | None = None
    is_confederation_member: bool = False

    @property
    def session_asn(self) -> int:
        """Ours in this session: what OPEN says, and what paths begin with."""
        return self.my_asn if self.local_asn is None else self.local_asn

    @property
    def own_path(self) -> tuple[int, ...]:
        """The AS numbers that a path begins with (RFC 7705 §3.1)."""
        return (self.my_asn,) if self.local_asn is None else (self.local_asn, self.my_asn)

    @property
    def is_internal(self) -> bool:
        """Whether the session is within one AS (iBGP)."""
        return self.peer_asn == self.session_asn

    @property
    def is_interior(self) -> bool:
        """Whether the router is in our AS, or in the confederation that this is a member of: LOCAL_PREF counts there,
        and more AS numbers of ours do not (RFC 4271 §5.1.5, RFC 5065 §5.3)."""
        return self.is_internal or self.is_confederation_member

    @property
    def is_on_a_link(self) -> bool:
        """Whether the session is over link-local addresses: no address of another interface leads there."""
        return isinstance(self.peer_address, IPv6Address) and self.peer_address.is_link_local

    @property
    def offers_ipv6_next_hops(self) -> bool:
        """Whether we say to the router that we know IPv4 routes with an IPv6 next hop (RFC 8950)."""
        return self.peer_address.version == 6 and Family.IPv4 in self.families

    @property
    def router(self) -> str:
        """What makes it the same router, as the Speaker's status names it: its address, with the link if that is
        link-local (fe80::1%eth0), and else with the VRF, if there is one (192.0.2.1%red)."""
        address = self.peer_address
        is_link_local = isinstance(address, IPv6Address) and address.is_link_local and not address.scope_id
        zone = self.source_interface if is_link_local else self.vrf
        return f"{address}%{zone}" if zone else str(address)


class Route(NamedTuple):
    """A route with its path attributes. `next_hop` None: our own address of the session. An IPv4 route names that also
    over IPv6, whatever stands here, where the router agreed to such next hops (RFC 8950), and goes without it nowhere.

    `prepend`: how many times more our AS number is put before the path. `link_bandwidth`: bytes per second (IEEE
    float, extended community 0x4004, draft-ietf-idr-link-bandwidth); only its ratio between nodes counts.
    Communities are sorted, so that equal sets are equal routes.
    """

    prefix: Prefix
    next_hop: IPAddress | None = None
    local_pref: int | None = None
    med: int | None = None
    prepend: int = 0
    communities: tuple[StandardCommunity, ...] = ()
    large_communities: tuple[LargeCommunity, ...] = ()
    link_bandwidth: float | None = None


@dataclass(frozen=True)
class SessionView:
    """What is known of the session with one peer.

    `since`: monotonic seconds of the change to `state`. `families`, `hold_time_seconds`: as agreed with the peer, empty
    and None while not established. `ipv6_next_hops`: whether it agreed to IPv4 routes with an IPv6 next hop (RFC 8950);
    False while not established. `routes_sent`: how many prefixes were sent and not withdrawn in this session.
    `downs`: how often it was up and went down. `kept_until`: monotonic seconds until when the router may keep routes of
    sessions that have ended, or one that it does not acknowledge to be withdrawn; None = it keeps none, or for ever.
    `last_error`: why the session went down last or can't be had, in words; "" = never was.
    `withdrawals_acknowledged_by`: what of the router says that it has a withdrawal; None while not established.
    `own_address`: of the session, "" while not established. `withdrawn`: the first of those whose withdrawal the router
    has not acknowledged, where it takes long.
    """

    peer: str
    peer_address: IPAddress
    state: BGPSessionState
    since: float
    families: frozenset[Family] = frozenset()
    routes_sent: int = 0
    hold_time_seconds: int | None = None
    last_error: str = ""
    downs: int = 0
    kept_until: float | None = None
    ipv6_next_hops: bool = False
    withdrawals_acknowledged_by: Acknowledger | None = None
    own_address: str = ""
    withdrawn: tuple[Prefix, ...] = ()

    @property
    def is_up(self) -> bool:
        """Whether routes go to the peer."""
        return self.state is BGPSessionState.Established


def whole_seconds(seconds: float) -> int:
    """As the Speaker's status has them: rounded up; inf is FOREVER_SECONDS."""
    return ceil(min(FOREVER_SECONDS, seconds))
