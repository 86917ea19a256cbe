"""The rules of one schema (`x-kubernetes-validations`): compiled once, evaluated for each value.

A rule that does not compile fails every value. The CRD is refused for it in structural.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from lab.apiserver.cel.program import CompileError, Environment, Program
from lab.apiserver.cel.types import Type, from_schema, optional_of
from lab.apiserver.cel.values import NONE, CelError, Optional
from lab.apiserver.fielderrors import OMIT, ErrorType, FieldError

_REASONS: Final = {
    "FieldValueInvalid": ErrorType.INVALID,
    "FieldValueForbidden": ErrorType.FORBIDDEN,
    "FieldValueRequired": ErrorType.REQUIRED,
    "FieldValueDuplicate": ErrorType.DUPLICATE,
}
_MAX_MESSAGE_BYTES: Final = 5 * 1024


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule; `program` is None and `problem` says why when it did not compile."""

    text: str
    message: str
    reason: ErrorType
    field_path: str
    optional_old_self: bool
    program: Program | None
    message_program: Program | None
    problem: str = ""
    message_problem: str = ""

    @property
    def is_transition(self) -> bool:
        """Whether the rule reads `oldSelf`, and so compares with what was."""
        return self.program is not None and "oldSelf" in self.program.uses

    @property
    def shown(self) -> str:
        """How errors of evaluation name the rule."""
        return (self.message or self.text).strip()


class RuleSet:
    """The rules of one schema; false when it has none."""

    def __init__(self, rules: tuple[Rule, ...]) -> None:
        self.rules = rules

    def __bool__(self) -> bool:
        return bool(self.rules)

    @classmethod
    def compile(cls, schema: dict[str, Any], *, root: bool = False) -> RuleSet:
        """The rules that stand at this very schema (and in its allOf), not below."""
        sources = list(schema.get("x-kubernetes-validations") or ())
        if not sources:
            return _NO_RULES
        own = from_schema(schema, root=root)
        return cls(tuple(compile_rule(source, own) for source in sources))

    def evaluate(self, value: Any, old: Any, path: str, *, unchanged: bool = False) -> Iterator[FieldError]:
        """What the rules find wrong. `old` None: there is no former value to compare with. `unchanged`: the value, or
        what it is part of, is as it was stored."""
        for rule in self.rules:
            if unchanged and not rule.is_transition:
                continue  # ratcheting: what was stored may stay
            if rule.is_transition and old is None and not rule.optional_old_self:
                continue
            error = _evaluate(rule, value, old, path)
            if error is not None:
                yield error


_NO_RULES: Final = RuleSet(())


def compile_rule(source: dict[str, Any], own: Type) -> Rule:
    """Compile one entry of x-kubernetes-validations against the type of `self`."""
    optional = bool(source.get("optionalOldSelf"))
    environment = Environment({"self": own, "oldSelf": optional_of(own) if optional else own})
    text, program, problem = source.get("rule", ""), None, ""
    try:
        program = environment.compile(text)
        if program.type.name not in ("bool", "dyn"):
            program, problem = None, "cel expression must evaluate to a bool"
    except CompileError as error:
        problem = f"compilation failed: {error}"
    message_program, message_problem = _compile_message(source.get("messageExpression", ""), environment)
    return Rule(
        text=text,
        message=source.get("message", ""),
        reason=_REASONS.get(source.get("reason", ""), ErrorType.INVALID),
        field_path=source.get("fieldPath", ""),
        optional_old_self=optional,
        program=program,
        message_program=message_program,
        problem=problem,
        message_problem=message_problem,
    )


def _compile_message(text: str, environment: Environment) -> tuple[Program | None, str]:
    if not text:
        return None, ""
    try:
        program = environment.compile(text)
    except CompileError as error:
        return None, f"messageExpression compilation failed: {error}"
    if program.type.name not in ("string", "dyn"):
        return None, "messageExpression must evaluate to a string"
    return program, ""


def _evaluate(rule: Rule, value: Any, old: Any, path: str) -> FieldError | None:
    shown = OMIT if isinstance(value, dict | list) else value
    where = path or "<nil>"
    if rule.program is None:
        return FieldError(ErrorType.INVALID, where, shown, f"rule compile error: {rule.problem}")
    if rule.optional_old_self:
        former: Any = NONE if old is None else Optional(True, old)
    else:
        former = old
    values = {"self": value, "oldSelf": former}
    try:
        if rule.program.evaluate(values) is True:
            return None
    except CelError as error:
        return FieldError(ErrorType.INVALID, where, shown, _evaluation_failure(rule, str(error)))
    detail = _message(rule, values)
    return FieldError(rule.reason, _below(path, rule.field_path), shown, detail)


def _evaluation_failure(rule: Rule, text: str) -> str:
    if text.startswith("no such overload"):
        return (
            f"'{text}': call arguments did not match a supported operator, function or macro signature "
            f"for rule: {rule.shown}"
        )
    return f"{text} evaluating rule: {rule.shown}"


def _below(path: str, field_path: str) -> str:
    if not field_path:
        return path or "<nil>"
    return f"{path}{field_path}" if path else field_path.lstrip(".")


def _message(rule: Rule, values: dict[str, Any]) -> str:
    if rule.message_program is not None:
        try:
            text = rule.message_program.evaluate(values)
        except CelError:
            text = None
        if isinstance(text, str) and _is_usable(text.strip()):
            return text.strip()
    return rule.message.strip() or f"failed rule: {rule.text.strip()}"


def _is_usable(text: str) -> bool:
    return bool(text) and "\n" not in text and len(text.encode()) <= _MAX_MESSAGE_BYTES
