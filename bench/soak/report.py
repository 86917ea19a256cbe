"""What a soak found, as text for people and as one line of JSON. No I/O."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from bench.soak.programs import Use
from bench.soak.result import Result
from bench.soak.timing import Times

MOST_TOLD = 20


def figures(result: Result) -> dict[str, Any]:
    """For JSON. Of what was wrong the first ones, and how many there are."""
    wrong = {name: getattr(result, name) for name in ("violations", "unsettled", "left", "leaks")}
    counts = {name: len(found) for name, found in wrong.items()}
    first = {name: found[:MOST_TOLD] for name, found in wrong.items() if found}
    return {**asdict(result), **counts, "held": result.is_right, "first": first}


def text(result: Result) -> str:
    return "\n".join(_lines(result))


def _lines(result: Result) -> Iterator[str]:
    acts, faults = sum(result.acts.values()), sum(result.faults.values())
    done = f"{acts} changes of Services, {faults} faults, {result.records} records"
    yield f"{result.seconds:g} s, seed {result.seed}: {done}"
    yield f"changes: {_counted(result.acts)}"
    yield f"faults: {_counted(result.faults)}"
    for left_out in result.left_out:
        yield f"not done: {left_out}"
    if result.ended_by_themselves:
        yield f"programs that ended by themselves and were started again: {_counted(result.ended_by_themselves)}"
    yield f"judged: {result.frames} frames, {result.routes} routes, {result.answers} connections of a client"
    calms = ", ".join(f"{one:g}" for one in result.calms)
    yield f"calm after a storm, seconds: {calms}; peace: {result.peace_seconds:g}"
    yield ""
    yield from _times(result.times)
    yield ""
    yield from _uses(result.uses)
    yield ""
    for name in ("violations", "unsettled", "left", "leaks"):
        found: list[str] = getattr(result, name)
        yield f"{name}: {len(found)}"
        yield from (f"  {one}" for one in found[:MOST_TOLD])
    yield "it held" if result.is_right else "IT DID NOT HOLD"


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items(), key=lambda one: -one[1]))


def _times(times: Mapping[str, Mapping[str, Times]]) -> Iterator[str]:
    yield f"{'what, by fault there meanwhile':44}{'count':>6}{'p50 s':>9}{'worst s':>9}"
    for kind, rows in times.items():
        for fault, one in rows.items():
            yield f"{f'{kind}: {fault}':44}{one.count:6}{one.p50:9.3f}{one.worst:9.3f}"


def _uses(uses: Mapping[str, Mapping[str, Use]]) -> Iterator[str]:
    """A process that is not the one of the column before is marked by `new`."""
    yield f"{'MB, open files':28}" + "".join(f"{when:>18}" for when in uses)
    for name in sorted({name for each in uses.values() for name in each}):
        row, before = f"{name:28}", None
        for each in uses.values():
            one = each.get(name)
            is_new = one is not None and before is not None and not one.is_same(before)
            told = "-" if one is None else f"{one.megabytes:g}, {one.files}{' new' if is_new else ''}"
            row += f"{told:>18}"
            before = one or before
        yield row
