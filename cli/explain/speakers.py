"""What is wrong with the speakers themselves, each by its own words: with all that explain and check. Pure."""

from collections.abc import Iterator

from cli.details import Report
from cli.seen import World
from crds.conditions import ConditionType, Reason
from crds.wording import listed
from speaker.layer2.interfaces import NEVER_USABLE

NOT_READY = "NotReady"
OTHER_CLOCK = "OtherClock"
MOST_INTERFACES = 3
"""Of a node that has none to announce on, named with what is wrong with each."""


def speakers_trouble(world: World) -> list[tuple[str, str]]:
    """Speakers that do not live, and those that do not hear the others or can't do all of their work."""
    found = [
        (
            str(Reason.NodeSilent) if node in world.silent else NOT_READY,
            f"The speaker of {node} {why}: look at its pod, and whether the node is up",
        )
        for node, why in sorted(world.not_alive.items())
        if why and why != "has stopped"
    ]
    for report in sorted(world.seen.reports.values(), key=lambda one: one.metadata.name):
        if report.node in world.alive:
            found += [(reason, f"{report.node}: {message}") for reason, message in _trouble_of(world, report)]
    return found


def _trouble_of(world: World, report: Report) -> Iterator[tuple[str, str]]:
    """Of a speaker that lives, as it says itself in this slice."""
    for kind in (ConditionType.PeersHeard, ConditionType.Recorded):
        condition = report.condition(kind)
        if condition is not None and condition.status == "False":
            yield condition.reason, condition.message
    status, reason, message = world.speaker_condition(report.node, ConditionType.PromisesFencing)
    if status == "False" and reason == Reason.OtherMachine and report.metadata.name.endswith(".0"):
        yield reason, message
    interfaces = report.status.interfaces or ()
    is_on_layer2 = any(one.kind == "L2Advertisement" for one in world.seen.observed.advertisements())
    if is_on_layer2 and interfaces and not any(one.usable for one in interfaces):
        could = [one for one in interfaces if one.reason not in NEVER_USABLE] or interfaces
        whys = [f"{one.name} {one.reason}" for one in could]
        yield "NoUsableInterface", f"it has no usable interface: {listed(whys, MOST_INTERFACES, '; ')}"
    by = world.other_clocks.get(report.node)
    if by is not None and report.metadata.name.endswith(".0"):
        how = "ahead" if by > 0 else "behind"
        yield OTHER_CLOCK, f"its clock is {abs(by):.0f} s {how}: nothing of Berth's goes by it, other programs may"
