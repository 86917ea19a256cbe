"""The conditions of an object as they should be, after those that it has."""

from collections.abc import Sequence

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
