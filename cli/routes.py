"""`berth bgp routes`: each route that nodes have sent, with its path attributes, as rows. Pure.

The report of a node has the attributes once, and addresses name them: see crds.speaker.BGPPath.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_network

from msgspec.structs import replace

from cli.details import NO_PATH, Announced, BGPPath, RoutesReport, RoutesStatus, Session
from cli.listings import Row, order
from cli.seen import World
from kube.informer.store import ObjectKey

SENT = "sent"
WITHDRAWN = "withdrawn, not acknowledged"
MAY_KEEP = "no session; may keep routes until "


@dataclass(frozen=True)
class Told:
    """What one node's speaker tells, in all slices; `said` is by address."""

    paths: Mapping[str, BGPPath]
    said: Mapping[str, Announced | None]
    sessions: Mapping[str, Session]

    def of(self, address: str) -> list[BGPPath]:
        """One without anything where nothing is told."""
        said = self.said.get(address) or Announced()
        found = [self.paths[name] for name in said.paths or () if name in self.paths]
        return found or [replace(NO_PATH, peer_count=said.peer_count)]


def routes(world: World, reports: Mapping[str, RoutesReport], node: str | None = None) -> list[Row]:
    """Each address and how its routes were sent, by node; of one node alone where it is named."""
    return sorted(_routes(world, reports, node), key=lambda row: (row["node"], order(row["address"]), row["peers"]))


def _routes(world: World, reports: Mapping[str, RoutesReport], node: str | None) -> Iterator[Row]:
    every = _told(world, reports, node)
    for name, address, peers, told in _announced(world, every):
        for path in told.of(address):
            names = path.peers or peers
            next_hops = dict.fromkeys(_next_hop(path, told.sessions.get(peer)) for peer in names)
            yield {
                "node": name,
                "address": address,
                "route": _route(address, path),
                **_attributes(path, ",".join(filter(None, next_hops))),
                "peers": _peers(names, path.peer_count),
            }


def router_view(world: World, reports: Mapping[str, RoutesReport], node: str | None = None) -> list[Row]:
    """By session: each route that was sent in it; those that were withdrawn and not acknowledged; and the routers that
    may keep some without a session."""
    found: dict[tuple[str, str, str], Row] = {}
    every = _told(world, reports, node)
    for name, address, peers, told in _announced(world, every):
        for path in told.of(address):
            route = _route(address, path)
            for peer in path.peers or peers:
                row = _row(name, peer, route, SENT, _attributes(path, _next_hop(path, told.sessions.get(peer))))
                found.setdefault((name, peer, route), row)
    for name, told in every.items():
        for peer, session in told.sessions.items():
            for route in session.withdrawn or ():
                found[name, peer, route] = _row(name, peer, route, WITHDRAWN, _attributes(NO_PATH, ""))
            if session.state != "Established" and session.routes_kept_until:
                state = f"{MAY_KEEP}{session.routes_kept_until}"
                found[name, peer, ""] = _row(name, peer, "", state, _attributes(NO_PATH, ""))
    return sorted(found.values(), key=lambda row: (row["node"], row["peer"], order(row["route"].partition("/")[0])))


def _row(node: str, peer: str, route: str, state: str, attributes: Row) -> Row:
    return {"node": node, "peer": peer, "route": route, "state": state, **attributes}


def _announced(world: World, every: Mapping[str, Told]) -> Iterator[tuple[str, str, tuple[str, ...], Told]]:
    for name, told in every.items():
        for address in world.reports.announcers.addresses_of(name):
            one = world.reports.announcers.of(address)[name]
            if "BGP" in one.protocols:
                yield name, address, one.peers, told


def _told(world: World, reports: Mapping[str, RoutesReport], node: str | None) -> dict[str, Told]:
    """By node, of those that live: what the process tells that the Speaker names."""
    own: dict[str, list[RoutesStatus]] = {name: [] for name in (world.alive if node is None else world.alive & {node})}
    for report in reports.values():
        speaker = world.seen.observed.speakers.get(ObjectKey(None, report.node))
        if report.node in own and speaker is not None and speaker.incarnation == report.status.incarnation:
            own[report.node].append(report.status)
    return {
        name: Told(
            {path.name: path for one in several for path in one.bgp_paths or ()},
            {address: said for one in several for address, said in (one.announcements or {}).items()},
            {session.peer: session for one in several for session in one.bgp_sessions or ()},
        )
        for name, several in own.items()
    }


def _route(address: str, path: BGPPath) -> str:
    """The address alone where the two can't be."""
    length = path.prefix_length if path.prefix_length is not None else 128 if ":" in address else 32
    try:
        return str(ip_network(f"{address}/{length}", strict=False))
    except ValueError:
        return address


def _next_hop(path: BGPPath, session: Session | None) -> str:
    if path.name == NO_PATH.name:
        return ""
    return path.next_hop or (session.local_address if session is not None else None) or "self"


def _attributes(path: BGPPath, next_hop: str) -> Row:
    return {
        "next hop": next_hop,
        "local pref": _shown(path.local_pref),
        "med": _shown(path.med),
        "prepends": _shown(path.as_path_prepend),
        "communities": ",".join(path.communities or ()),
        "bandwidth": _shown(path.link_bandwidth),
    }


def _shown(number: int | None) -> int | str:
    return "" if number is None else number


def _peers(names: tuple[str, ...], count: int | None) -> str:
    more = (count or len(names)) - len(names)
    return ",".join((*names, f"+{more}") if more > 0 else names)
