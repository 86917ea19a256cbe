"""Which routers a release waits for at a node whose speaker lives: what that speaker says of its BGP sessions. Pure.

A node that lives confirms a release at once, but for routers that it can't reach any more: they may keep its route for
their hold time. Which they are, and until when, is in its report. Of nodes that are silent the barrier itself says it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from allocator.release.barrier import IS_ALIVE, Awaited
from allocator.status.entries import Session
from crds.wording import listed

NAMED_PEERS = 3
"""How many routers of a node a message names before it counts the rest."""


def with_routers(awaited: Sequence[Awaited], sessions: Mapping[str, Mapping[str, Session]]) -> tuple[Awaited, ...]:
    """The same, with the routers named. `sessions`: by BGPPeer and node."""
    return tuple(_named(one, sessions) if one.why == IS_ALIVE else one for one in awaited)


def _named(one: Awaited, sessions: Mapping[str, Mapping[str, Session]]) -> Awaited:
    routers = [
        f"BGPPeer {peer}{_at(by_node[one.node])}, which may keep its route until {by_node[one.node].routes_kept_until}"
        for peer, by_node in sorted(sessions.items())
        if one.node in by_node and by_node[one.node].routes_kept_until
    ]
    return replace(one, why=f"it waits for {listed(routers, NAMED_PEERS)}") if routers else one


def _at(session: Session) -> str:
    return f" ({session.address})" if session.address else ""
