"""The lines that tell ExaBGP what to send. Pure text; one process has one peer, so no line names it.

Every field of a route is a number or an address, so no line can say anything else than is meant.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from crds.addresses import Family, family_of
from speaker.bgp.model import PeerConfig, Prefix, Route

PREFIXES_PER_LINE = 64
"""ExaBGP works one line off at a stretch, and reads 16 KB at a time."""

EXABGP_LOCAL_PREF = 100
"""What ExaBGP tells interior peers where nothing is said; RFC 4271 §5.1.5 wants some."""
AS_CONFED_SEQUENCE = 3  # RFC 5065 §3
UNACKNOWLEDGED = "unacknowledged"
"""Not ExaBGP's own: see io/changed.py."""
UNLIMITED = "unlimited"
ACCEPT = "accept"
PACE = "pace"
REFRESH, NUDGE = "refresh", "nudge"
"""Not ExaBGP's own either."""


def announcements(routes: Iterable[Route], peer: PeerConfig) -> Iterator[tuple[str, list[Prefix]]]:
    """Lines, each with the prefixes that it announces; routes with the same attributes share one."""
    keyed = sorted(((attributes(route, peer), route.prefix) for route in routes), key=_order)
    for (words, _), group in groupby(keyed, key=lambda pair: (pair[0], pair[1].version)):
        for prefixes in _some([prefix for _, prefix in group]):
            yield f"announce attributes {words} nlri {' '.join(map(str, prefixes))}", prefixes


def withdrawals(prefixes: Iterable[Prefix]) -> Iterator[tuple[str, list[Prefix]]]:
    """Lines, each with the prefixes that it withdraws. A next hop has to be named, and means nothing."""
    ordered = sorted(prefixes, key=lambda prefix: (prefix.version, prefix))
    for version, group in groupby(ordered, key=lambda prefix: prefix.version):
        for some in _some(list(group)):
            next_hop = "0.0.0.0" if version == 4 else "::"
            yield f"withdraw attributes next-hop {next_hop} nlri {' '.join(map(str, some))}", some


def end_of_rib(family: Family) -> str:
    """RFC 4724 §2. It is sent when all that was told before has been."""
    return f"announce eor {family.lower()} unicast"


def refresh(family: Family) -> str:
    """ROUTE-REFRESH (RFC 2918). It is sent when all that was told before has been."""
    return f"{REFRESH} {family.lower()}"


def nudge() -> str:
    """KEEPALIVE, before its time."""
    return NUDGE


def teardown(peer_address: str, subcode: int) -> str:
    """End the session with NOTIFICATION Cease (RFC 4486), or without a word if graceful restart was agreed."""
    return f"neighbor {peer_address} teardown {subcode}"


def accept(number: int, hold_time_seconds: int) -> str:
    """That connection of this process may become a session with this hold time. Until that is said of it, none does.

    `number`: OPEN was exchanged so often. Without it a late line might be taken for a word about the next one.
    """
    return f"{ACCEPT} {number} {hold_time_seconds}"


def pace(connect_retry_seconds: int, keepalive_seconds: int | None) -> str:
    """From now on: the time between the beginnings of two attempts to connect (RFC 4271 §8, ConnectRetryTime), and from
    one KEEPALIVE to the next where that is less than a third of the hold time; None: a third it is."""
    return f"{PACE} {connect_retry_seconds} {keepalive_seconds or 0}"


def query(permit: float | None, *, is_needed: bool) -> str:
    """Asks what the router's TCP has not acknowledged, and says on the way until when ExaBGP may live (CLOCK_BOOTTIME,
    seconds). `permit` None: nothing is said of that. Not needed: it may live on, as it has nothing to announce."""
    if permit is None:
        return UNACKNOWLEDGED
    return f"{UNACKNOWLEDGED} {f'{permit:.3f}' if is_needed else UNLIMITED}"


def attributes(route: Route, peer: PeerConfig) -> str:
    """The path attributes in ExaBGP's words. LOCAL_PREF is for sessions within one AS or confederation, prepending for
    others: our own number in the path would be a loop to a router of our AS (RFC 4271 §5.1.5, §9.1.2), and the
    member ASes of a confederation do not count in a path's length (RFC 5065 §5.3)."""
    words = [f"next-hop {route.next_hop or 'self'}"]
    if route.local_pref is not None and peer.is_interior:
        words.append(f"local-preference {route.local_pref}")
    if route.med is not None:
        words.append(f"med {route.med}")
    if peer.is_confederation_member:
        words.append(confederation_path(peer.my_asn))
    elif not peer.is_internal and len(path := peer.own_path + (peer.my_asn,) * route.prepend) > 1:
        words.append(f"as-path [ {' '.join(map(str, path))} ]")
    if route.communities:
        words.append(f"community [ {' '.join(f'{high}:{low}' for high, low in route.communities)} ]")
    if route.large_communities:
        words.append(f"large-community [ {' '.join(':'.join(map(str, parts)) for parts in route.large_communities)} ]")
    if route.link_bandwidth is not None:
        # The field for the AS has two octets; a longer number is written as AS_TRANS (RFC 6793 §9).
        asn = peer.my_asn if peer.my_asn < 65536 else 23456
        words.append(f"extended-community [ bandwidth:{asn}:{route.link_bandwidth:.0f} ]")
    return " ".join(words)


def confederation_path(asn: int) -> str:
    """AS_PATH with one AS_CONFED_SEQUENCE of this member AS (RFC 5065 §4.1), as an attribute in octets, since ExaBGP
    has no words for it that it understands itself. io/changed.py makes of them what the router is sent."""
    return f"attribute [ 0x02 0x40 0x{AS_CONFED_SEQUENCE:02x}01{asn:08x} ]"


def as_sent(route: Route, session_family: Family, *, is_interior: bool, ipv6_next_hops: bool) -> Route:
    """The route with what goes out of it: `attributes`, and what ExaBGP adds to that. Next hop None: the session's own
    address."""
    is_over_ipv6 = family_of(route.prefix) != session_family and ipv6_next_hops
    return route._replace(
        next_hop=None if is_over_ipv6 else route.next_hop,
        local_pref=(EXABGP_LOCAL_PREF if route.local_pref is None else route.local_pref) if is_interior else None,
        prepend=0 if is_interior else route.prepend,
    )


def needs_next_hop(route: Route, session_family: Family, *, ipv6_next_hops: bool) -> bool:
    """Whether the route can't be sent for want of a next hop: "self" is known in the session's own family only, and for
    IPv4 routes over IPv6 where that was agreed on (RFC 8950)."""
    return route.next_hop is None and family_of(route.prefix) != session_family and not ipv6_next_hops


def _order(pair: tuple[str, Prefix]) -> tuple[str, int, int, int]:
    words, prefix = pair
    return words, prefix.version, int(prefix.network_address), prefix.prefixlen


def _some(prefixes: Sequence[Prefix]) -> Iterator[list[Prefix]]:
    for start in range(0, len(prefixes), PREFIXES_PER_LINE):
        yield list(prefixes[start : start + PREFIXES_PER_LINE])
