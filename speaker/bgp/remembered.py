"""The routers that may keep routes of this node, as the Speaker's status names them for whoever judges it later. Pure.

    wanted, held, present, inherited --show--> status.routers --written, confirmed--> covers, covered

A router is in the status before its session starts and as long as it may have a route: of a session that is wanted, of
one that is there or is being ended, of one that is no more, or of the predecessor's. What the API server has confirmed
of that says which sessions may start, and with what they may come up.
"""

from collections.abc import Iterable, Mapping, Set

from crds.speaker import MOST_ROUTERS
from speaker.bgp.exabgp.config import outlives_seconds
from speaker.bgp.model import EXABGP_PERMIT_SECONDS, PeerConfig, whole_seconds
from speaker.own.entries import router
from speaker.own.predecessor import LastWord, PredecessorRoutes
from speaker.own.status import StatusDraft

Seconds = dict[str, int]
"""For how long after the end of this process, by PeerConfig.router."""


class RememberedRouters:
    """`now`: monotonic seconds. `left_out`: routers for which the status has no room, so that they get no session."""

    def __init__(self, draft: StatusDraft) -> None:
        self._draft = draft
        self._predecessor = PredecessorRoutes()
        self._given: object = None
        """What `show` was given last; it is called again and again."""
        self._shown: Seconds = {}
        self._covered: Seconds = {}
        self._said: frozenset[str] | None = None
        self.left_out: frozenset[str] = frozenset()
        self._write()

    # ---- the predecessor's ----

    def inherit(self, last_word: LastWord, now: float) -> None:
        """What it may have left, as often as it is read before the first registration of this process."""
        self._predecessor.take(last_word, now)
        if self._said is None:
            self._said = last_word.dropped

    def take_word(self, dropped: frozenset[str]) -> frozenset[str]:
        """An operator's word that these routers keep nothing of former sessions, as it is in the object. Those named
        since this was last called: it says nothing of sessions that end after it was given, nor of a process that
        was alive when it was."""
        new = dropped - (self._said or frozenset())
        self._said = dropped
        self._predecessor.dropped(new)
        return new

    def give_up(self, routers: Iterable[str]) -> None:
        """It counts as said that these keep nothing of the predecessor's (speaker.bgp.deletedpeers)."""
        self._predecessor.dropped(routers)

    def inherited(self, now: float) -> Seconds:
        """The routers that may keep routes of the predecessor's, and for how long."""
        return {name: whole_seconds(left) for name, left in self._predecessor.routers(now).items()}

    def has_inherited(self, now: float, synced: Set[str] = frozenset()) -> bool:
        """Whether a router may have a route of the predecessor's; True before it was read. `synced`: see
        RouterReport."""
        return self._predecessor.may_be_heard(now, synced)

    # ---- what the status is to say ----

    def show(
        self, wanted: Iterable[PeerConfig], held: Iterable[PeerConfig], present: Mapping[str, int], now: float
    ) -> None:
        """`wanted`: peers to have a session with, where the status has room for them. `held`: those that one was
        ordered for. `present`: see RouterReport.routers."""
        inherited = self.inherited(now)
        given = (tuple(wanted), tuple(held), dict(present), inherited)
        if given != self._given:
            self._given = given
            self._show(*given)
        self._cover()

    def _show(
        self, wanted: Iterable[PeerConfig], held: Iterable[PeerConfig], present: Seconds, inherited: Seconds
    ) -> None:
        lasting, passing = _longest(held), dict(present)
        for name, left in inherited.items():
            passing[name] = max(passing.get(name, 0), left)
        known = lasting.keys() | passing.keys()
        asked = _longest(wanted)
        added = sorted(asked.keys() - known)
        room = max(0, MOST_ROUTERS - len(known))
        self.left_out = frozenset(added[room:])
        for name in asked.keys() - self.left_out:
            lasting[name] = max(lasting.get(name, 0), asked[name])
        names = sorted(sorted(lasting.keys() | passing.keys(), key=lambda name: name not in lasting)[:MOST_ROUTERS])
        shown = {name: self._steady(name, lasting.get(name, 0), passing.get(name, 0)) for name in names}
        if shown != self._shown:
            self._shown = shown
            self._write()

    def _steady(self, name: str, lasting: int, passing: int) -> int:
        """What passes is said again when half of it has passed: each time is a write."""
        before = self._shown.get(name, 0)
        is_near = passing <= before < 2 * passing
        return before if passing > lasting and is_near else max(lasting, passing)

    def _write(self) -> None:
        self._draft.set("routers", [router(name, seconds) for name, seconds in self._shown.items()])

    # ---- what is confirmed ----

    def covers(self, peer: PeerConfig) -> bool:
        """Whether the API server is known to have this peer's router, and a time as long as it may keep routes."""
        return self._covered.get(peer.router, 0) >= _seconds(peer)

    @property
    def covered(self) -> Mapping[str, int]:
        """What whoever judges this node will know at least, whatever becomes of the writes that are under way."""
        return self._covered

    def written(self) -> None:
        """Some write was confirmed."""
        self._cover()

    def _cover(self) -> None:
        """A write under way may have arrived or not; nothing is in it but what `show` said meanwhile."""
        known = self._confirmed if self._draft.written("routers") is not None else self._covered
        self._covered = {name: min(seconds, known[name]) for name, seconds in self._shown.items() if name in known}

    @property
    def _confirmed(self) -> Seconds:
        return {one["address"]: one["outlivesSeconds"] for one in self._draft.written("routers") or ()}


def _seconds(peer: PeerConfig) -> int:
    return whole_seconds(outlives_seconds(peer) + EXABGP_PERMIT_SECONDS)


def _longest(peers: Iterable[PeerConfig]) -> Seconds:
    found: Seconds = {}
    for peer in peers:
        found[peer.router] = max(_seconds(peer), found.get(peer.router, 0))
    return found
