"""What an IPAllocation's status says: which nodes announce the address, and which have yet to withdraw it.

Built from what the Speakers report, the advertisements and the barrier; writing it is allocator.io.reporter's
business.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from allocator.objects import StoredAllocation
from allocator.release.barrier import Awaited, describe
from allocator.status.conditions import conditions_from
from allocator.status.conflicts import conflicted
from allocator.status.entries import Announcement, KernelEntry, Sighting
from allocator.status.kernels import kernel_answers
from crds.conditions import ConditionType, Reason
from crds.ipallocation import MOST_NAMED
from crds.meta import Condition
from crds.observation import Observation
from crds.types import IPAllocationStatus
from crds.wording import column, listed

NAMED_NODES = MOST_NAMED
"""How many nodes a message names before it counts the rest."""

NAMED_PLACES = 4
"""The same for the interfaces or peers of one node."""


def allocation_status(
    stored: StoredAllocation,
    announced: Observation,
    announcers: Mapping[str, Announcement],
    awaited: Sequence[Awaited],
    timestamp: str,
    sightings: Mapping[str, Sighting] = MappingProxyType({}),
    kernels: Mapping[str, KernelEntry] = MappingProxyType({}),
    on_network: Observation | None = None,
    silent: Sequence[str] = (),
) -> IPAllocationStatus:
    """The status the IPAllocation should have; equal to what it has when nothing changed.

    `announced`: by whom, or why nobody does (`by`, allocator.status.unannounced). `sightings`: other machines that use
    the address, by the node that sees them. `kernels`: those of nodes that answer for it by themselves, by node.
    `on_network`: see allocator.status.segments. `silent`: nodes that said so, and are not believed any more, since
    nothing is heard of them.
    """
    observed = [replace(announced, message=f"{announced.message}{_silent(silent)}")]
    conflict = conflicted(stored, sightings)
    if conflict is not None:
        observed.append(conflict)
    answers = kernel_answers(stored, kernels)
    if answers is not None:
        observed.append(answers)
    if on_network is not None:
        observed.append(on_network)
    if awaited:
        message = describe(stored.address, awaited)
        observed.append(Observation(ConditionType.Withdrawn, False, Reason.WaitingForSpeakers, message))
    return IPAllocationStatus(
        announced_by=tuple(_named(announcers)),
        announcer_count=len(announcers),
        nodes=column(_named(announcers), of=len(announcers)) if announcers else "",
        first_announced=stored.first_announced or (timestamp if announcers else None),
        conditions=conditions_from(observed, stored.conditions, stored.generation, timestamp),
    )


def by(announcers: Mapping[str, Announcement]) -> Observation:
    """Condition Announced, True: which nodes announce it, and how. There is at least one."""
    named = [f"{node} ({_how(announcers[node])})" for node in _named(announcers)]
    how = listed(named, NAMED_NODES, of=len(announcers))
    return Observation(ConditionType.Announced, True, Reason.Announcing, f"Announced by {how}")


def _silent(nodes: Sequence[str]) -> str:
    if not nodes:
        return ""
    are = "is" if len(nodes) == 1 else "are"
    return (
        f". {listed(nodes, NAMED_NODES)} announced it, too, and {are} silent: no speaker runs there, or it is cut off"
    )


def _named(announcers: Mapping[str, Announcement]) -> list[str]:
    """Those that are named, sorted. On layer 2 it matters who it is: so these are, before the first ones by name."""
    on_layer2 = sorted(node for node, how in announcers.items() if "Layer2" in how.protocols)[:NAMED_NODES]
    by_name = sorted(announcers)[:NAMED_NODES]
    others = [node for node in by_name if node not in on_layer2][: NAMED_NODES - len(on_layer2)]
    return sorted([*on_layer2, *others])


def differs_in_counts_only(stored: StoredAllocation, status: IPAllocationStatus) -> bool:
    """Whether the only news is which of many nodes announce the address, and how, or whose kernels answer for it; or
    for how long nodes have been waited for, which changes each second."""
    return stored.first_announced == status.first_announced and _essence(stored.conditions) == _essence(
        status.conditions
    )


_OF_MANY_NODES = (ConditionType.Announced, ConditionType.KernelAnswers, ConditionType.Withdrawn)


def _essence(conditions: Sequence[Condition]) -> list[tuple[str, str, str, str]]:
    return [(one.type, one.status, one.reason, "" if one.type in _OF_MANY_NODES else one.message) for one in conditions]


def _how(one: Announcement) -> str:
    """Such as "BGP to tor1, tor2; Layer2 on eth0"."""
    where = {"BGP": ("to", one.peers), "Layer2": ("on", one.interfaces)}
    return "; ".join(_protocol_at(name, *where.get(name, ("", ()))) for name in one.protocols)


def _protocol_at(protocol: str, joint: str, places: Sequence[str]) -> str:
    return f"{protocol} {joint} {listed(places, NAMED_PLACES)}" if places else protocol
