"""What differs between the routes that a router is to have and those that ExaBGP was told (adj-RIB-out).

Pure values. Knows nothing of sessions: see session.py.
"""

from collections.abc import Mapping
from dataclasses import replace

from speaker.bgp.model import GRACEFUL_SHUTDOWN, Prefix, Route


def differing(told: Mapping[Prefix, Route], wanted: Mapping[Prefix, Route]) -> set[Prefix]:
    """The prefixes whose route is to be sent, sent anew with other attributes, or withdrawn."""
    changed = {prefix for prefix, route in wanted.items() if told.get(prefix) != route}
    changed.update(prefix for prefix in told if prefix not in wanted)
    return changed


def draining(route: Route, *, is_internal: bool) -> Route:
    """The route as it is while traffic is to go elsewhere (RFC 8326 §4.1): routers prefer any other one."""
    communities = tuple(sorted({*route.communities, GRACEFUL_SHUTDOWN}))
    return replace(route, communities=communities, local_pref=0 if is_internal else route.local_pref)
