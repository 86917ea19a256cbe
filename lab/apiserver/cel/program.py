"""The Common Expression Language as Kubernetes speaks it: compile once (with types), evaluate often.

An expression becomes a tree of Python closures over a frame of variables. Which rules a schema has is known in
schema/celrules.py, and what an admission policy says in access/policy.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lab.apiserver.cel.closures import Eval, Frame
from lab.apiserver.cel.compiler import Compiler
from lab.apiserver.cel.nodes import CelSyntaxError
from lab.apiserver.cel.parser import parse
from lab.apiserver.cel.types import Type
from lab.apiserver.cel.values import NO_OVERLOAD, CelError


class CompileError(ValueError):
    """The expression does not compile; the text is cel-go's, with the line and a mark under the place."""


@dataclass(frozen=True, slots=True)
class Program:
    """A compiled expression. `uses` are the variables it reads."""

    type: Type
    uses: frozenset[str]
    _slots: tuple[tuple[str, int], ...]
    _size: int
    _eval: Eval

    def evaluate(self, values: Mapping[str, Any]) -> Any:
        """The value, given all variables in `uses`. Raises CelError."""
        frame: Frame = [None] * self._size
        for name, slot in self._slots:
            frame[slot] = values[name]
        try:
            return self._eval(frame)
        except RecursionError:
            raise CelError("expression recursion limit exceeded") from None
        except (
            AttributeError,
            TypeError,
        ):  # a value that is not of its declared type, stored before the schema said so
            raise CelError(NO_OVERLOAD) from None


class Environment:
    """The variables that expressions may use, and their types."""

    def __init__(self, variables: Mapping[str, Type]) -> None:
        self._variables = dict(variables)

    def compile(self, text: str) -> Program:
        """Parse, check and compile. Raises CompileError."""
        try:
            compiler = Compiler(self._variables)
            compiled = compiler.compile(parse(text))
        except CelSyntaxError as error:
            raise CompileError(_pointed(text, str(error), error.position)) from None
        slots = tuple((name, slot) for name, slot in compiler.slots.items() if name in compiler.used)
        return Program(compiled.type, frozenset(compiler.used), slots, compiler.size, compiled.eval)


def _pointed(text: str, message: str, position: int) -> str:
    before = text[:position]
    line = before.count("\n") + 1
    column = position - (before.rfind("\n") + 1)
    return f"ERROR: <input>:{line}:{column + 1}: {message}\n | {text.split(chr(10))[line - 1]}\n | {'.' * column}^"
