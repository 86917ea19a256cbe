"""The order that makes a speaker safe, as a table: which phases there are, what each may do, and what ends it.

It renews its Lease, registers, reads everything, listens for the others, and only then announces; what may have been a
fence makes it do all that again. Data alone: speaker.core goes by it, docs/architecture.md shows it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum


class Phase(Enum):
    """Where a speaker is in its life."""

    RENEWING = "Renewing"
    REGISTERING = "Registering"
    READING = "Reading"
    LISTENING = "Listening"
    SERVING = "Serving"
    HELD = "Held"
    LEAVING = "Leaving"


class Deed(Enum):
    """What a speaker does. To withdraw, to renew and to write its own object are always allowed."""

    READ = "read"
    """Watch the cluster."""
    DECIDE = "decide"
    """Decide what to announce, and order what is to be withdrawn."""
    CONFIRM = "confirm releases"
    ANNOUNCE = "announce"
    """Have frames and routes leave: with a permit, which is another lock on the same door (speaker.fencing)."""


class Cause(Enum):
    """What ends a phase."""

    RENEWED = "a renewal sent since then was answered"
    REGISTERED = "the Speaker was written"
    ALL_READ = "every list is in"
    COMPLETE = "all is decided, nothing is left on the wire, the others had time to be heard"
    CUT_OFF = "its promise wants silence"
    OUTAGE_FOR_ALL = "the witnesses lost the API server too, so nobody can have fenced it"
    MAY_BE_FENCED = "it paused, was cut off for too long, or its Speaker or Node was deleted"
    STOPPED = "it is asked to stop"


@dataclass(frozen=True)
class Row:
    """One phase. `waits_for`: in words, for people who ask why a speaker is not ready. `ends`: with every cause that
    can come in it, the phase that follows."""

    waits_for: str
    may: frozenset[Deed]
    ends: Mapping[Cause, Phase]


_ANEW = {Cause.MAY_BE_FENCED: Phase.RENEWING, Cause.STOPPED: Phase.LEAVING}

TABLE: Mapping[Phase, Row] = {
    Phase.RENEWING: Row(
        "a renewal of its Lease",
        frozenset(),
        {**_ANEW, Cause.RENEWED: Phase.REGISTERING},
    ),
    Phase.REGISTERING: Row(
        "its Speaker object to be written",
        frozenset(),
        {**_ANEW, Cause.REGISTERED: Phase.READING},
    ),
    Phase.READING: Row(
        "the first list of everything that it watches",
        frozenset({Deed.READ}),
        {**_ANEW, Cause.ALL_READ: Phase.LISTENING},
    ),
    Phase.LISTENING: Row(
        "its decisions, the wire process, and heartbeats of the others",
        frozenset({Deed.READ, Deed.DECIDE, Deed.CONFIRM}),
        {**_ANEW, Cause.COMPLETE: Phase.SERVING},
    ),
    Phase.SERVING: Row(
        "",
        frozenset({Deed.READ, Deed.DECIDE, Deed.CONFIRM, Deed.ANNOUNCE}),
        {**_ANEW, Cause.CUT_OFF: Phase.HELD},
    ),
    Phase.HELD: Row(
        "contact with the API server: its promise wants silence",
        frozenset({Deed.READ, Deed.DECIDE, Deed.CONFIRM}),
        {**_ANEW, Cause.OUTAGE_FOR_ALL: Phase.SERVING},
    ),
    Phase.LEAVING: Row(
        "the end",
        frozenset({Deed.READ, Deed.DECIDE, Deed.CONFIRM, Deed.ANNOUNCE}),
        {},
    ),
}


def diagram() -> str:
    """The phases and what leads from one to the next, as a Mermaid state diagram."""
    lines = ["stateDiagram-v2", f"    [*] --> {next(iter(TABLE)).value}"]
    for phase, row in TABLE.items():
        for cause, following in row.ends.items():
            if cause not in _ANEW:
                lines.append(f"    {phase.value} --> {following.value}: {cause.value}")
    lines += [f"    any_other --> {phase.value}: {cause.value}" for cause, phase in _ANEW.items()]
    return "\n".join(lines)


def table() -> str:
    """The same as a table in Markdown, with what each phase may do."""
    lines = ["| phase | waits for | may | then |", "|---|---|---|---|"]
    for phase, row in TABLE.items():
        allowed = ", ".join(deed.value for deed in Deed if deed in row.may) or "-"
        own = ((cause, following) for cause, following in row.ends.items() if cause not in _ANEW)
        ends = "; ".join(f"**{following.value}** when {cause.value}" for cause, following in own)
        lines.append(f"| {phase.value} | {row.waits_for or '-'} | {allowed} | {ends or '-'} |")
    return "\n".join(lines)


def may(phase: Phase, deed: Deed) -> bool:
    """Whether that may be done in this phase."""
    return deed in TABLE[phase].may


def after(phase: Phase, cause: Cause) -> Phase:
    """The phase that follows. Raises KeyError for a cause that can't come in it."""
    return TABLE[phase].ends[cause]
