"""How long what took, and under which faults: from operations and faults with their times. No I/O.

All times are monotonic seconds of this machine.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, takewhile

from bench.measure import percentile
from bench.soak.verdict import Answer, Life, Sighting

NONE, SEVERAL = "none", "several"
AFTERWARDS_SECONDS = 2.0
"""So long after its end a fault counts as one that was there: programs resume their watches, sessions come back."""
TAKES_OVER = frozenset(
    {"kill", "freeze", "terminate", "stop wire", "cut segment", "link down", "cut api and members", "engine"}
)
"""Faults of a node after which others take its addresses over on layer 2, for as long as they last."""


@dataclass(frozen=True)
class FaultSpan:
    """`node`: the node, or the program, that it is about; "" = neither."""

    kind: str
    node: str
    since: float
    until: float


@dataclass(frozen=True)
class Operation:
    """`kind`: given, moved, released, unanswered."""

    kind: str
    began: float
    ended: float

    @property
    def seconds(self) -> float:
        return self.ended - self.began


@dataclass(frozen=True)
class Times:
    """Of operations of one kind. Seconds."""

    count: int
    p50: float
    worst: float


def by_fault(operations: Iterable[Operation], faults: Sequence[FaultSpan]) -> dict[str, dict[str, Times]]:
    """By kind of operation, then by the kind of fault that was there meanwhile: `none`, or `several` of them."""
    found: dict[str, dict[str, list[float]]] = {}
    for one in operations:
        found.setdefault(one.kind, {}).setdefault(_meanwhile(one.began, one.ended, faults), []).append(one.seconds)
    return {kind: {name: _times(values) for name, values in sorted(rows.items())} for kind, rows in found.items()}


def _meanwhile(began: float, ended: float, faults: Iterable[FaultSpan]) -> str:
    kinds = [one.kind for one in faults if one.since <= ended and began <= one.until + AFTERWARDS_SECONDS]
    return (kinds[0] if len(kinds) == 1 else SEVERAL) if kinds else NONE


def takeovers(faults: Sequence[FaultSpan], frames: Sequence[Sighting], lives: Sequence[Life]) -> dict[str, Times]:
    """By fault: from its begin until the first frame of another node, of each address that the node had owned;
    `several` where another fault was there, too."""
    found: dict[str, list[float]] = {}
    by_address: dict[str, list[Sighting]] = {}
    for frame in frames:
        by_address.setdefault(frame.address, []).append(frame)
    for own in by_address.values():
        own.sort(key=lambda frame: frame.at)
    for fault in faults:
        if fault.kind not in TAKES_OVER:
            continue
        for address, own in by_address.items():
            seconds = _taken_over(fault, own, [life for life in lives if life.address == address])
            if seconds is not None:
                kind = _meanwhile(fault.since, fault.since + seconds, faults)
                found.setdefault(kind, []).append(seconds)
    return {kind: _times(values) for kind, values in sorted(found.items())}


def _taken_over(fault: FaultSpan, own: Sequence[Sighting], lives: Sequence[Life]) -> float | None:
    """`own`: the frames of one address, in order of time."""
    after = bisect_right(own, fault.since, key=lambda frame: frame.at)
    last = own[after - 1] if after else None
    if last is None or last.node != fault.node or fault.since - last.at > AFTERWARDS_SECONDS:
        return None
    life = next((one for one in lives if one.since <= fault.since and (one.until is None or one.until > last.at)), None)
    if life is None:
        return None
    until = fault.until if life.until is None else min(life.until, fault.until)
    later = takewhile(lambda frame: frame.at <= until, islice(own, after, None))
    other = next((frame for frame in later if frame.node != fault.node), None)
    return None if other is None else other.at - fault.since


def unanswered(answers: Iterable[Answer], shown: Mapping[str, Sequence[tuple[float, float]]]) -> list[Operation]:
    """Times in which a client's connections to an address failed, from the last that went well to the next one.
    `shown`: by address, when its Services showed it all the time; what begins or ends outside is left out."""
    found, last, failed = [], dict[str, float](), set[str]()
    for answer in sorted(answers, key=lambda one: one.at):
        address = answer.address
        if answer.service is None:
            failed.add(address)
            continue
        if address in failed and address in last:
            gap = Operation("unanswered", last[address], answer.at)
            if any(since <= gap.began and gap.ended <= until for since, until in shown.get(address, ())):
                found.append(gap)
        failed.discard(address)
        last[address] = answer.at
    return found


def _times(values: Iterable[float]) -> Times:
    ordered = sorted(values)
    return Times(len(ordered), round(percentile(ordered, 0.5), 3), round(ordered[-1], 3))
