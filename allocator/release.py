"""The release barrier: whether an address that is being given back can no longer be on the wire anywhere.

Judged on a list of Speakers that was read after the mark (`spec.releasing`) was written. Each Speaker of that list must
have acknowledged this very mark, or be fenced. Whoever registers later has read the mark, or the deletion, before it
announces anything: it writes its Speaker object before its first list of IPAllocations.

    acknowledged   status.released[uid] is at least the generation of the mark
    fenced         it said goodbye (withdrew all, then said so);
                   or its Node is gone (its Speaker object gone: it is not in the list): the operator's word;
                   or all of: it promised to fence itself, its Lease was not renewed for longer than it promised, and a
                   strict majority of all Speakers has fresh Leases (a majority that is cut off together keeps
                   announcing: the two majorities cannot both exist).
                   Where routers keep its routes after it is gone, these seconds come on top.

No clocks of two machines are compared: LeaseBook counts on our own clock, and only reads that show an unchanged Lease
count. Reads nothing itself.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from allocator.ranges import Address
from allocator.speakers import SpeakerState

DEFAULT_FRESH_SECONDS = 15.0
"""A Lease that was renewed later than this many seconds ago counts as fresh."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A release that was written: the IPAllocation's uid and its generation with `releasing: true`."""

    address: Address
    uid: str
    generation: int


@dataclass(frozen=True, slots=True)
class Awaited:
    """A node that keeps the address from being free, and what is known of it."""

    node: str
    why: str


@dataclass(slots=True)
class _LeaseSeen:
    version: str
    since: float
    """When we first saw this version: the renewal was not later."""
    unchanged_until: float
    """When the last read was sent that still showed it: no renewal in between."""
    not_before: float | None
    """When the last read with another version was sent: the renewal was not earlier. None: we know no bound."""


@dataclass(slots=True)
class LeaseBook:
    """When the speakers' Leases were renewed, as far as our own reads can tell. Nodes are names."""

    _seen: dict[str, _LeaseSeen] = field(default_factory=dict)
    _last_sent: float | None = None

    def observe(self, versions: Mapping[str, str], sent: float, received: float) -> None:
        """Take in a list of the speakers' Leases: `versions` is anything that changes at each renewal, by node."""
        for node in self._seen.keys() - versions.keys():
            self._observe_one(node, "", sent, received)
        for node, version in versions.items():
            self._observe_one(node, version, sent, received)
        self._last_sent = sent

    def _observe_one(self, node: str, version: str, sent: float, received: float) -> None:
        seen = self._seen.get(node)
        if seen is None or seen.version != version:
            self._seen[node] = _LeaseSeen(version, received, sent, self._last_sent if version else None)
        else:
            seen.unchanged_until = max(seen.unchanged_until, sent)

    def silent_seconds(self, node: str) -> float:
        """For how long, proven by our reads, this node has not renewed its Lease. 0 when we know nothing."""
        seen = self._seen.get(node)
        return 0.0 if seen is None else max(0.0, seen.unchanged_until - seen.since)

    def is_fresh(self, node: str, now: float, fresh_seconds: float) -> bool:
        """Whether the Lease was surely renewed within that time."""
        seen = self._seen.get(node)
        return seen is not None and seen.not_before is not None and now - seen.not_before <= fresh_seconds


@dataclass(frozen=True, slots=True)
class Round:
    """What the barrier is judged on. `speakers` were listed by a request sent at `sent`, after the marks were known.

    `gone_nodes`: Speakers whose Node does not exist, with the time since when we know.
    """

    speakers: Sequence[SpeakerState]
    sent: float
    gone_nodes: Mapping[str, float]
    leases: LeaseBook
    fence_after_seconds: float
    fresh_seconds: float = DEFAULT_FRESH_SECONDS

    def has_fresh_majority(self) -> bool:
        fresh = sum(self.leases.is_fresh(one.node, self.sent, self.fresh_seconds) for one in self.speakers)
        return 2 * fresh > len(self.speakers)


def awaited(mark: Mark, round_: Round) -> tuple[Awaited, ...]:
    """Who must still confirm; empty when the barrier is passed, which is also so when there are no Speakers."""
    missing = [one for one in round_.speakers if one.released.get(mark.uid, -1) < mark.generation]
    if not missing:
        return ()
    found = ((one.node, _why_not_fenced(one, round_)) for one in missing)
    return tuple(Awaited(node, why) for node, why in sorted(found) if why)


def _why_not_fenced(speaker: SpeakerState, round_: Round) -> str:
    """Empty when it is fenced."""
    if speaker.goodbye:
        return ""
    gone_since = round_.gone_nodes.get(speaker.node)
    if gone_since is not None:
        remaining = speaker.outlives_seconds - (round_.sent - gone_since)
        return f"its Node is gone, but routers may keep its routes for {remaining:.0f} s" if remaining > 0 else ""
    silent = round_.leases.silent_seconds(speaker.node)
    if round_.leases.is_fresh(speaker.node, round_.sent, round_.fresh_seconds):
        return "it is alive and has not confirmed yet"
    if not speaker.promises_fencing:
        return "it made no promise to withdraw by itself"
    needed = max(round_.fence_after_seconds, speaker.fence_after_seconds) + speaker.outlives_seconds
    if silent < needed:
        return f"its Lease has been silent for {silent:.0f} of {needed:.0f} s"
    if not round_.has_fresh_majority():
        return "no majority of the speakers is alive to outvote it"
    return ""


def describe(address: Address, waiting_for: Iterable[Awaited]) -> str:
    """What the condition says: who is waited for, and what an operator can do."""
    people = list(waiting_for)
    named = "; ".join(f"{one.node}: {one.why}" for one in people[:20])
    more = f"; and {len(people) - 20} more" if len(people) > 20 else ""
    example = people[0].node if people else ""
    return (
        f"{address} is not free until these nodes have withdrawn it: {named}{more}. "
        f"If such a node is dead for good, delete its Node or its Speaker: kubectl delete speaker {example}"
    )
