"""The adj-RIB-out of one router as far as it has got: an entry for each prefix, and which entries are in which state.

Pure. Moves entries by the table in routestate.py, and decides nothing. No question costs more than its answer is long.
"""

from collections.abc import Iterator
from enum import Enum
from math import inf

from speaker.bgp.exabgp.routestate import RibEntry, RouteEvent, RouteState, next_state
from speaker.bgp.model import GRACEFUL_SHUTDOWN, Prefix, Route

IN_FLIGHT = tuple(state for state in RouteState if state.is_in_flight)
SENT = tuple(state for state in RouteState if state.is_sent)
UNACKNOWLEDGED = tuple(state for state in RouteState if state.is_unacknowledged)
WITHDRAWALS_IN_FLIGHT = tuple(state for state in IN_FLIGHT if not state.is_held)


class Posture(Enum):
    """How the wanted routes are presented to the router. Draining: as the last to be preferred; silent: not at all."""

    Normal = "normal"
    Draining = "draining"
    Silent = "silent"


def presented(route: Route, posture: Posture, *, is_interior: bool) -> Route | None:
    """The wanted route as the router is to have it; None = it is to have none. `is_interior`: iBGP, or
    a member AS of our confederation."""
    match posture:
        case Posture.Silent:
            return None
        case Posture.Draining:
            return draining(route, is_interior=is_interior)
        case Posture.Normal:
            return route


def draining(route: Route, *, is_interior: bool) -> Route:
    """The route as it is while traffic is to go elsewhere (RFC 8326 §4.1): routers prefer any other one."""
    communities = tuple(sorted({*route.communities, GRACEFUL_SHUTDOWN}))
    return route._replace(communities=communities, local_pref=0 if is_interior else route.local_pref)


class RibOut:
    """`take_changed` names the prefixes whose entry has changed in what others ask of it: `is_out`, `sent`,
    and whatever `changed` and `keep` were called for."""

    def __init__(self) -> None:
        self._entries: dict[Prefix, RibEntry] = {}
        self._in: dict[RouteState, dict[RibEntry, None]] = {state: {} for state in RouteState}
        self._kept: dict[RibEntry, None] = {}
        self._kept_until = 0.0
        self._changed: set[RibEntry] = set()

    def __iter__(self) -> Iterator[RibEntry]:
        """As of now: entries may be moved and forgotten on the way."""
        return iter(list(self._entries.values()))

    def get(self, prefix: Prefix) -> RibEntry | None:
        return self._entries.get(prefix)

    def entry(self, prefix: Prefix) -> RibEntry:
        """A new one, if there is none."""
        if (entry := self._entries.get(prefix)) is None:
            entry = self._entries[prefix] = RibEntry(prefix)
            self._in[entry.state][entry] = None
        return entry

    def forget_empty(self, entry: RibEntry) -> None:
        """Drop it if there is nothing to know of it."""
        if entry.is_empty and self._entries.get(entry.prefix) is entry:
            del self._entries[entry.prefix]
            del self._in[entry.state][entry]

    def move(self, entry: RibEntry, event: RouteEvent) -> bool:
        """Whether that brought it into another state. What ExaBGP holds of it goes with the state."""
        before, after = entry.state, next_state(entry.state, event)
        if after is before:
            return False
        entry.state = after
        if event is RouteEvent.AnnounceSent:
            entry.sent = entry.held
            self._changed.add(entry)
        elif not after.is_sent:
            entry.sent = None
        del self._in[before][entry]
        self._in[after][entry] = None
        if not after.is_held:
            entry.held = None
        if before.is_sent != after.is_sent or RouteState.Absent in (before, after):
            self._changed.add(entry)
        return True

    def keep(self, entry: RibEntry, until: float) -> None:
        """The router may have it until then from a session that was lost. No sooner than was said before."""
        entry.kept_until = max(until, entry.kept_until)
        self._kept_until = max(until, self._kept_until)
        self._kept[entry] = None
        self._changed.add(entry)

    def keep_on(self, until: float) -> None:
        """Of all that it may have from earlier sessions: until then, whatever was said before."""
        for entry in self._kept:
            entry.kept_until = self._kept_until = until

    def drop_kept(self, now: float = inf) -> None:
        """The router has dropped what it had from earlier sessions: all of it, or what it keeps no longer than now."""
        for entry in [entry for entry in self._kept if entry.kept_until <= now]:
            del self._kept[entry]
            entry.kept_until = 0.0
            self._changed.add(entry)
            self.forget_empty(entry)
        if not self._kept:
            self._kept_until = 0.0

    def changed(self, entry: RibEntry) -> None:
        self._changed.add(entry)

    @property
    def has_changed(self) -> bool:
        return bool(self._changed)

    def take_changed(self) -> set[Prefix]:
        changed, self._changed = self._changed, set()
        return {entry.prefix for entry in changed}

    def entries(self, states: tuple[RouteState, ...]) -> list[RibEntry]:
        return [entry for state in states for entry in self._in[state]]

    def count(self, states: tuple[RouteState, ...]) -> int:
        return sum(len(self._in[state]) for state in states)

    @property
    def is_absent(self) -> bool:
        """Whether ExaBGP holds nothing, and the router has nothing from the session that is up."""
        return len(self._in[RouteState.Absent]) == len(self._entries)

    @property
    def has_kept(self) -> bool:
        """Whether the router may have something from earlier sessions."""
        return bool(self._kept)

    @property
    def kept_until(self) -> float:
        """Until when, at the latest; 0.0 = it has nothing."""
        return self._kept_until
