"""One life of a cluster from its seed, and what came of it: the entry for everybody who runs the simulation."""

import contextlib
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import speaker.core
from speaker.phases import Cause, Phase, after
from tests.sim import fate, twin
from tests.sim.acts import FAULTS, Doing, Expectation, Step, end_of_faults
from tests.sim.clocks import Endless, Restless, bounded
from tests.sim.cluster import Cluster, surroundings
from tests.sim.judge import Judge, Violation

SETTLE_SECONDS = 150.0
"""By then all must be well again: the longest that anything outlives anything, and some."""
LOOK_SECONDS = 2.0
QUIET_SECONDS = 6.0
"""For so long nobody may write anything at the end but Leases and Events."""
RESTS = 4
"""Of the lives one in so many goes on until all is quiet."""
TWINS = (4, 2)
"""Of the lives that end well, those whose seed by the first leaves the second are compared with one without faults."""


@dataclass
class Outcome:
    """What came of one life. `violation`: what must not be, in words; None = all went well. `reached`: the rows of the
    phase table, the conditions and the acts and faults that it met, as `phase Serving: ...`, `condition KIND TYPE
    STATUS REASON`, `act ...`. `steps`: what happened in all; `faults`: how many of the acts were some.
    """

    seed: int
    violation: str | None = None
    steps: int = 0
    faults: int = 0
    virtual_seconds: float = 0.0
    reached: set[str] = field(default_factory=set)
    transcript: list[str] = field(default_factory=list)


def run(seed: int) -> Outcome:
    """Deterministic where PYTHONHASHSEED is set."""
    return live(seed, fate.drawn(seed))


def live(seed: int, steps: Sequence[Step]) -> Outcome:
    """These acts, in a network whose chances are the seed's."""
    outcome = Outcome(seed)
    with surroundings(seed), _phases(outcome.reached), bounded():
        cluster = Cluster(seed)
        try:
            done = _live(cluster, steps, outcome)
            if seed % TWINS[0] == TWINS[1]:
                _compare(twin.end_of(cluster), seed, done, outcome)
        except (Violation, Restless, Endless, Expectation) as error:
            outcome.violation = str(error)
        except Exception:
            outcome.violation = f"the simulation itself: {traceback.format_exc(limit=-6)}"
        outcome.virtual_seconds = cluster.world.now
        outcome.steps = cluster.world.turns
        try:
            cluster.end()
        except (Restless, Endless) as error:
            outcome.violation = outcome.violation or f"when all is over: {error}"
    return outcome


def _live(cluster: Cluster, steps: Sequence[Step], outcome: Outcome) -> list[Step]:
    """What was done."""
    judge = Judge(cluster, reached=outcome.reached)
    doing = Doing(cluster, transcript=outcome.transcript, reached=outcome.reached)
    cluster.install()
    cluster.start_allocators()
    try:
        for step in steps:
            cluster.world.run_until(cluster.world.now + step.pause_seconds, judge.look)
            doing.do(step)
            judge.follow()
        outcome.transcript.append(f"{cluster.world.now:9.3f}  the end of all faults")
        end_of_faults(cluster)
        _settle(cluster, judge)
        if outcome.seed % RESTS == 0:
            _rest(cluster, judge)
        if found := twin.too_large(cluster):
            raise Violation(f"grown without bound: {'; '.join(found)}")
    finally:
        outcome.faults = sum(step.act in FAULTS for step in steps)
    return doing.done


def _compare(end: twin.End, seed: int, done: Sequence[Step], outcome: Outcome) -> None:
    """With the same acts without faults."""
    cluster = Cluster(seed)
    judge = Judge(cluster)
    try:
        twin.without_faults(cluster, done)
        judge.follow()
        _settle(cluster, judge)
        found = twin.differences(end, twin.end_of(cluster))
    finally:
        cluster.end()
    if found:
        raise Violation(f"it does not end as without faults: {'; '.join(found)}")
    outcome.reached.add("twin: " + ("nothing can be said" if found is None else "the same end"))


def _settle(cluster: Cluster, judge: Judge) -> None:
    world = cluster.world
    end = world.now + SETTLE_SECONDS
    unsettled = [""]
    while unsettled and world.now < end:
        world.run_until(world.now + LOOK_SECONDS, judge.look)
        judge.faults_of_programs()
        judge.look()
        unsettled = judge.unsettled()
    if unsettled:
        raise Violation(f"it does not settle: {'; '.join(unsettled)}")


def _rest(cluster: Cluster, judge: Judge) -> None:
    """Whoever is settled writes nothing any more; and the next leader, who knows what is written alone, decides as the
    last one did."""
    _be_quiet(cluster, judge)
    before = judge.given()
    next(one for one in cluster.allocators if one.leads).restart()
    cluster.world.run_until(cluster.world.now + LOOK_SECONDS, judge.look)
    _settle(cluster, judge)
    _be_quiet(cluster, judge)
    if judge.given() != before:
        raise Violation(f"the next leader gave other addresses: {before} became {judge.given()}")


def _be_quiet(cluster: Cluster, judge: Judge) -> None:
    """Somewhen nobody writes for a while."""
    world = cluster.world
    end, quiet_since, written = world.now + SETTLE_SECONDS, world.now, _writes(cluster)
    while world.now - quiet_since < QUIET_SECONDS:
        if world.now >= end:
            raise Violation(f"somebody writes and writes: {cluster.api.writes}")
        world.run_until(world.now + LOOK_SECONDS, judge.look)
        if _writes(cluster) != written:
            quiet_since, written = world.now, _writes(cluster)


def _writes(cluster: Cluster) -> int:
    return sum(count for plural, count in cluster.api.writes.items() if plural not in ("leases", "events"))


@contextlib.contextmanager
def _phases(reached: set[str]) -> Iterator[None]:
    def noted(phase: Phase, cause: Cause) -> Any:
        reached.add(f"phase {phase.value}: {cause.value}")
        return after(phase, cause)

    with mock.patch.object(speaker.core, "after", noted):
        yield
