"""Which addresses which nodes announce, and with which routers these talk: the boxes and lines of a picture. Pure.

What is alike is one box: addresses in one state that the same nodes announce in the same way, and nodes that announce
the same addresses and have the same sessions. So a picture of 10,000 addresses has few boxes, and never more than
MOST_BOXES in a column.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from allocator.objects import StoredAllocation
from allocator.status.entries import Announcement
from cli.listings import order
from cli.seen import World
from cli.status.state import Rows, state_of_address
from crds.wording import listed

MOST_BOXES = 30
"""In one column: with more, nobody finds anything."""
NAMED = 3
WELL, WRONG, IDLE = "well", "wrong", "idle"
SESSION, DOWN, BY_LAYER2, BY_BGP = "session", "down", "layer2", "bgp"
ANNOUNCED = "Announced"


@dataclass(frozen=True, slots=True)
class Box:
    """`tone`: WELL, WRONG, or IDLE for what does nothing now."""

    title: str
    line: str
    tone: str


@dataclass(frozen=True, slots=True)
class Line:
    """From a box of one column to one of the next, by their places. `kind`: how it is announced, or a session."""

    left: int
    right: int
    kind: str


@dataclass(frozen=True, slots=True)
class Column:
    """`more`: boxes that have no place in it."""

    name: str
    boxes: Sequence[Box]
    more: int = 0


@dataclass(frozen=True, slots=True)
class Picture:
    """`announced`: lines from addresses to nodes. `sessions`: from nodes to routers."""

    addresses: Column
    nodes: Column
    routers: Column
    announced: Sequence[Line]
    sessions: Sequence[Line]


Group = tuple[str, frozenset[tuple[str, str]]]
"""A state, and who announces in which way: node and protocol."""


Judged = Sequence[tuple[StoredAllocation, str]]
"""Each record, and the state of its address in words."""


def judged(world: World) -> Judged:
    """In the order of the addresses; those first that are not announced as they should be."""
    stored = sorted(world.seen.observed.allocations.values(), key=lambda one: order(str(one.address)))
    said = [(one, " ".join(state_of_address(world, one)[:2]).strip()) for one in stored]
    return sorted(said, key=lambda one: one[1] == ANNOUNCED)


def picture_of(world: World, addresses: Judged) -> Picture:
    """All of it."""
    groups = _groups(world, addresses)
    drawn = sorted(groups, key=lambda one: (one[0] == ANNOUNCED, -len(groups[one]), order(groups[one][0])))
    places = {one: place for place, one in enumerate(drawn[:MOST_BOXES])}
    nodes = _alike(world, places)
    routers = [peer.name for peer in sorted(world.seen.observed.peers.values(), key=lambda one: one.name)]
    return Picture(
        Column("Addresses", [_address_box(one, groups[one]) for one in places], max(len(groups) - MOST_BOXES, 0)),
        Column("Nodes", [_node_box(world, one) for one in nodes[:MOST_BOXES]], max(len(nodes) - MOST_BOXES, 0)),
        Column(
            "Routers",
            [_router_box(world, one) for one in routers[:MOST_BOXES]],
            max(len(routers) - MOST_BOXES, 0),
        ),
        list(_announced(places, nodes[:MOST_BOXES])),
        list(_sessions(world, nodes[:MOST_BOXES], routers[:MOST_BOXES])),
    )


def _groups(world: World, addresses: Judged) -> Mapping[Group, list[str]]:
    found: dict[Group, list[str]] = {}
    for stored, state in addresses:
        by = world.announcers(stored.address)
        found.setdefault((state, _ways(by)), []).append(str(stored.address))
    return found


def _ways(by: Mapping[str, Announcement]) -> frozenset[tuple[str, str]]:
    return frozenset((node, BY_LAYER2 if one == "Layer2" else BY_BGP) for node in by for one in by[node].protocols)


def _alike(world: World, groups: Iterable[Group]) -> list[list[str]]:
    """The nodes, those together that are alike; those first that are wrong, then those of the first groups."""
    places: dict[str, list[tuple[int, str]]] = {}
    for place, (_, ways) in enumerate(groups):
        for node, way in sorted(ways):
            places.setdefault(node, []).append((place, way))
    found: dict[object, list[str]] = {}
    for node in sorted(world.not_alive):
        sessions = tuple(
            (peer, by_node[node].is_established) for peer, by_node in world.sessions.items() if node in by_node
        )
        found.setdefault((tuple(places.get(node, ())), sessions, world.not_alive[node]), []).append(node)
    last = (len(places) + MOST_BOXES, "")
    return sorted(found.values(), key=lambda nodes: (not world.not_alive[nodes[0]], places.get(nodes[0], [last])[0]))


def _address_box(group: Group, addresses: Sequence[str]) -> Box:
    state, ways = group
    title = addresses[0] if len(addresses) == 1 else f"{len(addresses)} addresses"
    named = "" if len(addresses) == 1 else f": {listed(addresses, NAMED)}"
    tone = WELL if state == ANNOUNCED else IDLE if state == "Releasing" else WRONG
    by = "" if not ways else f" by {len({node for node, _ in ways})} node{'s' * (len(ways) > 1)}"
    return Box(title, f"{state}{by}{named}", tone)


def _node_box(world: World, nodes: Sequence[str]) -> Box:
    why = world.not_alive[nodes[0]]
    title = nodes[0] if len(nodes) == 1 else f"{len(nodes)} nodes"
    named = "" if len(nodes) == 1 else f"{listed(nodes, NAMED)}: "
    announces = sum(len(world.reports.announcers.addresses_of(node)) for node in nodes)
    return Box(title, f"{named}{why or f'announces {announces}'}", WRONG if why else WELL if announces else IDLE)


def _router_box(world: World, name: str) -> Box:
    up, all_of_them = world.sessions_up(name), len(world.sessions[name])
    tone = IDLE if not all_of_them else WELL if up == all_of_them else WRONG
    return Box(name, f"{up} of {all_of_them} sessions", tone)


def _announced(groups: Mapping[Group, int], nodes: Sequence[Sequence[str]]) -> Iterable[Line]:
    for place, alike in enumerate(nodes):
        for (_, ways), left in groups.items():
            for way in sorted({way for node, way in ways if node == alike[0]}):
                yield Line(left, place, way)


def _sessions(world: World, nodes: Sequence[Sequence[str]], routers: Sequence[str]) -> Iterable[Line]:
    for left, alike in enumerate(nodes):
        for right, router in enumerate(routers):
            one = world.sessions[router].get(alike[0])
            if one is not None:
                is_up = one.is_established and alike[0] not in world.silent
                yield Line(left, right, SESSION if is_up else DOWN)


def address_rows(world: World, addresses: Judged, most: int) -> tuple[Rows, int]:
    """Each address with its state, and how many more there are."""
    rows = [
        {
            "address": str(one.address),
            "services": listed([str(holder.key) for holder in one.claim.holders], NAMED),
            "state": state,
            "announced by": listed(sorted(world.announcers(one.address)), NAMED),
        }
        for one, state in addresses[:most]
    ]
    return rows, len(addresses) - len(rows)
