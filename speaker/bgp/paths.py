"""The path attributes of a route as they were sent to several peers, made from its routes. Pure."""

from collections.abc import Iterable
from functools import lru_cache
from operator import itemgetter

from speaker.bgp.model import Prefix, Route
from speaker.bgp.prefixes import is_host, prefix_of
from speaker.own.paths import PathAttributes

KEPT = 1024
_ANY = prefix_of("::", 0)


def paths_of(prefix: Prefix, sent: Iterable[tuple[str, Route]]) -> tuple[PathAttributes, ...]:
    """`sent`: by peer, the route to this prefix as it was sent (speaker.bgp.exabgp.commands.as_sent). Peers that were
    sent the same are one PathAttributes. One value for all prefixes alike."""
    length = None if is_host(prefix) else prefix.prefixlen
    return _paths(length, tuple(sorted(((peer, route[1:]) for peer, route in sent), key=itemgetter(0))))


@lru_cache(maxsize=KEPT)
def _paths(length: int | None, sent: tuple[tuple[str, tuple[object, ...]], ...]) -> tuple[PathAttributes, ...]:
    peers: dict[tuple[object, ...], dict[str, None]] = {}
    for peer, attributes in sent:
        peers.setdefault(attributes, {})[peer] = None  # twice where a session ends and another one begins
    return tuple(_path(length, tuple(names), attributes) for attributes, names in peers.items())


def _path(length: int | None, peers: tuple[str, ...], attributes: tuple[object, ...]) -> PathAttributes:
    route = Route(_ANY, *attributes)  # type: ignore[arg-type]
    standard = tuple(f"{high}:{low}" for high, low in route.communities)
    large = tuple(f"large:{':'.join(map(str, parts))}" for parts in route.large_communities)
    return PathAttributes(
        peers=peers,
        prefix_length=length,
        next_hop=route.next_hop,
        local_pref=route.local_pref,
        med=route.med,
        prepend=route.prepend,
        communities=standard + large,
        bandwidth=None if route.link_bandwidth is None else int(route.link_bandwidth),
    )
