"""The functions that an expression may call: a table of overloads, and which of them take given types.

library.py and kubernetes.py fill the table when they are imported.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from lab.apiserver.cel.types import Type, is_assignable, substitute
from lab.apiserver.cel.values import NO_OVERLOAD, CelError


@dataclass(frozen=True, slots=True)
class Overload:
    """One way to call a function; of a member function the first parameter is the target."""

    params: tuple[Type, ...]
    result: Type
    call: Callable[..., Any]
    member: bool = False


FUNCTIONS: Final[dict[str, list[Overload]]] = {}


def add(name: str, params: Sequence[Type], result: Type, call: Callable[..., Any]) -> None:
    """Put `name(params)` into the table."""
    FUNCTIONS.setdefault(name, []).append(Overload(tuple(params), result, call))


def member(name: str, params: Sequence[Type], result: Type, call: Callable[..., Any]) -> None:
    """Put `params[0].name(params[1:])` into the table."""
    FUNCTIONS.setdefault(name, []).append(Overload(tuple(params), result, call, member=True))


def matching(overloads: list[Overload], types: list[Type]) -> list[tuple[Overload, Type]]:
    """The overloads that may take arguments of these types, each with the type of its result."""
    found = []
    for each in overloads:
        bound: dict[str, Type] = {}
        if len(each.params) == len(types) and all(
            is_assignable(actual, wanted, bound) for actual, wanted in zip(types, each.params, strict=True)
        ):
            found.append((each, substitute(each.result, bound)))
    return found


def mismatch(name: str, types: list[Type], *, member: bool = False) -> str:
    """That no overload takes arguments of these types, in cel-go's words."""
    shown = [str(each) for each in types]
    applied = f"{shown[0]}.({', '.join(shown[1:])})" if member else f"({', '.join(shown)})"
    return f"found no matching overload for '{name}' applied to '{applied}'"


def no_overload(*_: Any) -> Any:
    """What a call does whose arguments turn out to fit no overload."""
    """What a call comes to when the values fit no overload."""
    raise CelError(NO_OVERLOAD)
