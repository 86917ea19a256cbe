"""What Speakers find wrong with a BGPPeer or an advertisement, as that object's condition Ready.

Speakers that find the same are named together; a long list is cut.
"""

from collections.abc import Container

from allocator.status.reports import BGPReports
from crds.conditions import ConditionType, Reason
from crds.observation import Observation
from crds.wording import listed

NAMED_NODES = 5
"""How many nodes a message names before it counts the rest."""

NAMED_FAULTS = 3
"""The same for different faults."""

MOST_CHARACTERS = 200
"""More of a speaker's words is cut off."""


def reported_fault(reports: BGPReports, kind: str, name: str) -> Observation | None:
    """All that is wrong with that object as one; None when no Speaker finds anything."""
    found = reported_faults(reports, kind, name)
    return not_ready(found[0].reason, listed([one.message for one in found], NAMED_FAULTS, "; ")) if found else None


def reported_faults(
    reports: BGPReports, kind: str, name: str, known: Container[Reason] = ()
) -> tuple[Observation, ...]:
    """What is wrong with that object, apart from what is known already: one for each fault, with who says so."""
    found: dict[tuple[Reason, str], list[str]] = {}
    for node, faults in sorted(reports.faults(kind, name).items()):
        for fault in faults:
            reason = reason_of(fault.reason)
            if reason not in known:
                text = fault.message.removeprefix(f"{kind} {name}: ")
                found.setdefault((reason, cut(text)), []).append(node)
    return tuple(
        not_ready(reason, f"{text} (says {listed(nodes, NAMED_NODES)})") for (reason, text), nodes in found.items()
    )


def not_ready(reason: Reason, message: str) -> Observation:
    """The condition Ready of an object that something is wrong with."""
    return Observation(ConditionType.Ready, False, reason, message)


def cut(text: str, most: int = MOST_CHARACTERS) -> str:
    """At most so many characters of it."""
    return text if len(text) <= most else f"{text[: most - 3]}..."


def reason_of(text: str) -> Reason:
    """Of a speaker's fault. A newer speaker may know reasons that we do not: they are InvalidSpec."""
    try:
        return Reason(text)
    except ValueError:
        return Reason.InvalidSpec
