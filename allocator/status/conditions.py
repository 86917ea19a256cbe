"""The conditions of an object as they should be, after those that it has."""

from collections.abc import Sequence

from crds.conditions import ConditionType, Reason
from crds.meta import Condition
from crds.observation import Observation


def conditions_from(
    observed: Sequence[Observation], previous: Sequence[Condition], generation: int, timestamp: str
) -> tuple[Condition, ...]:
    """One for each observation, after the conditions of other types, which are kept as they are."""
    old = {one.type: one for one in previous}
    ours = {str(one.type) for one in observed}
    kept = tuple(one for one in previous if one.type not in ours)
    return (*kept, *(one.condition(old.get(str(one.type)), timestamp, generation) for one in observed))


def degraded(parts: Sequence[Observation], previous: Sequence[Condition]) -> list[Observation]:
    """Condition Degraded: what of the object does not work, while the rest does; nothing while there never was any."""
    if parts:
        message = "; ".join(one.message for one in parts)
        return [Observation(ConditionType.Degraded, True, parts[0].reason, message)]
    if any(one.type == ConditionType.Degraded for one in previous):
        return [Observation(ConditionType.Degraded, False, Reason.Valid, "Everything of it works")]
    return []
