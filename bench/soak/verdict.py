"""Whether addresses were on the wire only while they had a holder: judged on what others recorded. No I/O.

    lives    when each IPAllocation was seen to come and to go, by a watch of our own
    frames   when a node's frames claimed an address on the segment (lab/scripts/sniff.py)
    routes   when a router had a node's route to an address (its own log, or its table asked again and again)
    answers  which Service's backend a client's connection reached, and which Services held the address

All times are monotonic seconds of this machine. A watch tells late, never early: so an address was free no later than
it was seen to be, and held no later than that either.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_network

from lab.routers.base import RouteEvent

GONE_SLACK_SECONDS = 0.05
"""After a record was seen to go: a frame that was on its way, and the recorder's own delay."""
COME_SLACK_SECONDS = 1.0
"""Before a record was seen to come: our watch may hear of it later than the speakers do."""
PROXY_SLACK_SECONDS = 5.0
"""For so long after a Service held an address the lab's kube-proxy may lead its ports to it: a rule takes a watch
event, and nft on a busy machine. Until then nothing of another holder reaches the node (docs/limits.md)."""


@dataclass(frozen=True)
class Life:
    """Of one IPAllocation. `until` None = it is there still. `is_certain` False: our watch was broken when it came or
    went, so that its times are the widest possible ones."""

    address: str
    uid: str
    since: float
    until: float | None = None
    is_certain: bool = True


class Lives:
    """Fed in the order of a watch."""

    def __init__(self) -> None:
        self._present: dict[str, Life] = {}
        self._past: list[Life] = []
        self._known_until = float("-inf")

    def seen(self, address: str, uid: str, at: float) -> None:
        """It is there. Told again, nothing changes."""
        if uid not in self._present:
            self._present[uid] = Life(address, uid, at)
        self._known_until = at

    def gone(self, uid: str, at: float) -> None:
        self._known_until = at
        if (one := self._present.pop(uid, None)) is not None:
            self._past.append(Life(one.address, uid, one.since, at, one.is_certain))

    def listed(self, present: Mapping[str, str], at: float) -> None:
        """A new list after the watch broke: addresses by uid. What changed meanwhile did so at an unknown time."""
        since = self._known_until
        for uid, one in list(self._present.items()):
            if uid not in present:
                del self._present[uid]
                self._past.append(Life(one.address, uid, one.since, at, is_certain=False))
        for uid, address in present.items():
            if uid not in self._present:
                self._present[uid] = Life(address, uid, since, is_certain=False)
        self._known_until = at

    def all(self) -> list[Life]:
        return sorted((*self._past, *self._present.values()), key=lambda one: one.since)


@dataclass(frozen=True)
class Holding:
    """That a Service held an address. `until` None = it does."""

    address: str
    service: str
    since: float
    until: float | None = None


class Holdings:
    """Fed in the order of a watch, with all holders of an address each time."""

    def __init__(self) -> None:
        self._present: dict[tuple[str, str], float] = {}
        self._past: list[Holding] = []

    def seen(self, address: str, services: frozenset[str], at: float) -> None:
        for key in [key for key in self._present if key[0] == address and key[1] not in services]:
            self._past.append(Holding(*key, self._present.pop(key), at))
        for service in services:
            self._present.setdefault((address, service), at)

    def listed(self, present: Mapping[str, frozenset[str]], at: float) -> None:
        """A new list after the watch broke."""
        for address in {address for address, _ in self._present} | present.keys():
            self.seen(address, present.get(address, frozenset()), at)

    def all(self) -> list[Holding]:
        return [*self._past, *(Holding(*key, since) for key, since in self._present.items())]


@dataclass(frozen=True)
class Answer:
    """A client's connection to an address: when it began and ended, and the Service whose backend it reached; None =
    it failed."""

    at: float
    until: float
    address: str
    service: str | None


@dataclass(frozen=True)
class Sighting:
    """A node's address on the wire: one frame, or a route from `at` to `until` (None = it is there still)."""

    node: str
    address: str
    at: float
    until: float | None = None


@dataclass(frozen=True)
class Violation:
    """What should not have been. `life`: the record that was over, None = there was none around that time."""

    kind: str
    sighting: Sighting
    life: Life | None

    def __str__(self) -> str:
        one = self.sighting
        until = "" if one.until is None else f" until {one.until:.3f}"
        gone = (
            "no record" if self.life is None else f"record {self.life.uid} {self.life.since:.3f} to {self.life.until}"
        )
        return f"{self.kind}: {one.address} at {one.node}, {one.at:.3f}{until}; {gone}"


def frames_without_record(lives: Sequence[Life], frames: Iterable[Sighting]) -> list[Violation]:
    """Frames that claim an address while it has no record."""
    found, by_address = [], _by_address(lives)
    for frame in frames:
        own = by_address.get(frame.address, [])
        if not any(_covers(life, frame.at) for life in own):
            found.append(Violation("frame", frame, _last_before(own, frame.at)))
    return found


def routes_without_record(lives: Sequence[Life], routes: Iterable[Sighting]) -> list[Violation]:
    """Routes that came while the address had no record, or were there after the record had gone under which they
    came."""
    found, by_address = [], _by_address(lives)
    for route in routes:
        own = by_address.get(route.address, [])
        holder = _last_before([life for life in own if _covers(life, route.at)], route.at + COME_SLACK_SECONDS)
        if holder is None:
            found.append(Violation("route", route, _last_before(own, route.at)))
            continue
        # One that came just before the end may be the next holder's, of which our watch hears later than speakers.
        is_next_ones = (
            holder.until is not None and route.at > holder.until - COME_SLACK_SECONDS and _has_next(own, holder)
        )
        if holder.until is not None and not is_next_ones and _ends(route) > holder.until + GONE_SLACK_SECONDS:
            found.append(Violation("route", route, holder))
    return found


def asked_without_record(lives: Sequence[Life], routes: Iterable[Sighting]) -> list[Violation]:
    """Routes that a router's table had when it was asked, from `at` to `until`, while the address had no record at any
    moment of that time."""
    found, by_address = [], _by_address(lives)
    for route in routes:
        own = by_address.get(route.address, [])
        if not any(_covers(life, route.at) or route.at <= life.since <= _ends(route) for life in own):
            found.append(Violation("route in a table", route, _last_before(own, route.at)))
    return found


def answers_of_strangers(holdings: Sequence[Holding], answers: Iterable[Answer]) -> list[str]:
    """Connections that reached a Service which did not hold the address any more, while others did; in words. While
    nobody does, a client may find the way to a Service that still shows it in its status: nobody else's traffic.

    A single one counts for nothing: a connection may meet the entry that conntrack has of one that was cut.
    """
    held: dict[str, list[Holding]] = {}
    for one in holdings:
        held.setdefault(one.address, []).append(one)
    strange: dict[tuple[str, str], list[tuple[Answer, str]]] = {}
    for answer in sorted(answers, key=lambda one: one.at):
        own = held.get(answer.address, [])
        mine = any(one.service == answer.service and _held(one, answer, PROXY_SLACK_SECONDS) for one in own)
        others = sorted({one.service for one in own if one.service != answer.service and _held(one, answer, 0.0)})
        if answer.service is not None and others and not mine:
            strange.setdefault((answer.address, answer.service), []).append((answer, ", ".join(others)))
    return [
        f"answer: {address} of {others} reached {service}, {answer.at:.3f}"
        for (address, service), found in strange.items()
        for answer, others in found
        if any(0 < abs(answer.at - other.at) <= PROXY_SLACK_SECONDS for other, _ in found)
    ]


def _held(one: Holding, answer: Answer, slack_seconds: float) -> bool:
    is_over = one.until is not None and one.until + slack_seconds < answer.at
    return one.since - (COME_SLACK_SECONDS if slack_seconds else 0.0) <= answer.until and not is_over


def routes_of(
    events: Iterable[RouteEvent], began: float, offset: float, lost_at: Sequence[float] = ()
) -> list[Sighting]:
    """The host routes that a router had, from what its log says. `offset`: monotonic minus Unix seconds. `began`: what
    is older is left out. `lost_at`: when the router was killed, and lost them all (monotonic)."""
    found: list[Sighting] = []
    present: dict[tuple[str, str], float] = {}
    ends = sorted(lost_at)
    for event in events:
        while ends and event.at + offset > ends[0]:
            end = ends.pop(0)
            found.extend(Sighting(*key, since, end) for key, since in present.items() if since >= began)
            present.clear()
        prefix = ip_network(event.prefix)
        if prefix.prefixlen != prefix.max_prefixlen:
            continue
        key, at = (event.node, str(prefix.network_address)), event.at + offset
        if not event.removed:
            present.setdefault(key, at)
        elif key in present and (since := present.pop(key)) >= began:
            found.append(Sighting(*key, since, at))
    last = ends[0] if ends else None
    found.extend(Sighting(*key, since, last) for key, since in present.items())
    return sorted(found, key=lambda one: one.at)


def _by_address(lives: Iterable[Life]) -> dict[str, list[Life]]:
    found: dict[str, list[Life]] = {}
    for life in lives:
        found.setdefault(life.address, []).append(life)
    return found


def _covers(life: Life, at: float) -> bool:
    return life.since - COME_SLACK_SECONDS <= at and (life.until is None or at <= life.until + GONE_SLACK_SECONDS)


def _last_before(lives: Sequence[Life], at: float) -> Life | None:
    return max((life for life in lives if life.since <= at), key=lambda life: life.since, default=None)


def _has_next(lives: Sequence[Life], one: Life) -> bool:
    return any(one.since < life.since for life in lives)


def _ends(route: Sighting) -> float:
    return float("inf") if route.until is None else route.until
