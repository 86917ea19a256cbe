"""Plants a fault: one function of the code gets other instructions, wherever it is used already.

The function is known by its module and qualified name, so what moves or changes around it does not matter. A mutation
that can't be planted is an error that names it.
"""

import ast
import contextlib
import importlib
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

from tests.mutations.edits import UnfitError
from tests.mutations.mutation import Mutation

ROOT = Path(__file__).resolve().parents[2]


class MutationError(Exception):
    """It can't be planted any more; the message names it and says why."""


@contextlib.contextmanager
def planted(mutation: Mutation) -> Iterator[None]:
    """While it is open, the fault is in the code. Raises MutationError."""
    function = _function(mutation)
    before = function.__code__
    function.__code__ = mutated(mutation)
    try:
        yield
    finally:
        function.__code__ = before


def mutated(mutation: Mutation) -> CodeType:
    """The function's instructions with the fault. Raises MutationError. Imports nothing."""
    path = ROOT / (mutation.module.replace(".", "/") + ".py")
    if not path.exists():
        raise MutationError(f"{mutation.name}: there is no module {mutation.module}")
    tree = ast.parse(path.read_text())
    function = _definition(tree, mutation)
    before = ast.dump(function)
    try:
        for edit in mutation.edits:
            edit.apply(function)
    except UnfitError as error:
        raise MutationError(f"{mutation.name}: {mutation.function} is another one: {error}") from error
    if ast.dump(function) == before:
        raise MutationError(f"{mutation.name}: changes nothing in {mutation.function}")
    return _code(compile(tree, str(path), "exec"), mutation)


def _definition(tree: ast.Module, mutation: Mutation) -> ast.AST:
    found: Any = tree
    for name in mutation.qualified_name.split("."):
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
        found = next((one for one in found.body if isinstance(one, kinds) and one.name == name), None)
        if found is None:
            raise MutationError(f"{mutation.name}: there is no {mutation.qualified_name} in {mutation.module}")
    assert isinstance(found, ast.AST)
    return found


def _code(within: CodeType, mutation: Mutation) -> CodeType:
    for one in within.co_consts:
        if not isinstance(one, CodeType):
            continue
        if one.co_qualname == mutation.qualified_name:
            return one
        if mutation.qualified_name.startswith(f"{one.co_qualname}."):
            return _code(one, mutation)
    raise MutationError(f"{mutation.name}: {mutation.function} is no function")


def _function(mutation: Mutation) -> FunctionType:
    found: Any = importlib.import_module(mutation.module)
    for name in mutation.qualified_name.split("."):
        found = inspect.getattr_static(found, name)
    if isinstance(found, property):
        found = found.fget
    if isinstance(found, staticmethod | classmethod):
        found = found.__func__
    unwrapped: Callable[..., Any] = inspect.unwrap(found)
    if not isinstance(unwrapped, FunctionType):
        raise MutationError(f"{mutation.name}: {mutation.function} is no function of ours")
    return unwrapped
