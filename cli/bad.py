"""Which conditions of an object say that something is wrong with it. Pure."""

from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

from crds.conditions import ConditionType

BAD = {
    ConditionType.Ready: "False",
    ConditionType.Degraded: "True",
    ConditionType.Exhausted: "True",
    ConditionType.Conflicted: "True",
}
"""The status that is bad, of the conditions of pools, advertisements and peers that say such a thing."""


class _Condition(Protocol):
    @property
    def type(self) -> str: ...
    @property
    def status(self) -> str: ...


T = TypeVar("T", bound=_Condition)


def bad(conditions: Iterable[T]) -> Iterator[T]:
    """Those that say so."""
    wanted = {str(kind): status for kind, status in BAD.items()}
    return (one for one in conditions if wanted.get(one.type) == one.status)
