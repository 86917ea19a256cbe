"""ValidatingAdmissionPolicy: compiled policies, and what they say of one request.

The caller keeps the policies and their bindings; nothing is stored here. Parameters
(`paramKind`) and the `authorizer` variable are not served.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from lab.apiserver.access.admissionrequest import AdmissionRequest, values_of
from lab.apiserver.access.matching import matches_constraints
from lab.apiserver.access.policyrules import Expression, compiled_expressions
from lab.apiserver.cel.program import Program
from lab.apiserver.cel.values import CelError

Json = dict[str, Any]

_CODES: Final = {"Unauthorized": 401, "Forbidden": 403, "Invalid": 422, "RequestEntityTooLarge": 413}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the policies together say: `denied` is the Status body to answer, or None to go on; warnings are for the
    client."""

    denied: Json | None
    warnings: tuple[str, ...] = ()


class _Lazy(dict[str, Any]):
    """`variables`: each worked out when first read, once a request."""

    def __init__(self, programs: Mapping[str, Program | None], values: Json) -> None:
        super().__init__()
        self._programs = programs
        self._values = values | {"variables": self}

    def __missing__(self, name: str) -> Any:
        program = self._programs.get(name)
        if program is None:
            raise CelError(f"no such key: {name}")
        self[name] = program.evaluate(self._values)
        return self[name]

    def __contains__(self, name: object) -> bool:
        return name in self._programs


@dataclass(frozen=True, slots=True)
class _Validation:
    rule: Expression
    message: str
    reason: str
    message_program: Program | None


class CompiledPolicy:
    """One policy, its expressions compiled."""

    def __init__(self, policy: Json) -> None:
        spec = policy.get("spec") or {}
        self.name: str = policy["metadata"]["name"]
        self.fails_closed = spec.get("failurePolicy", "Fail") == "Fail"
        self._constraints: Json = spec.get("matchConstraints") or {}
        compiled = {each.path: each for each in compiled_expressions(spec)}
        self._conditions = [
            compiled[f"spec.matchConditions[{index}].expression"]
            for index in range(len(spec.get("matchConditions") or []))
        ]
        self._variables = {
            each.get("name", ""): compiled[f"spec.variables[{index}].expression"].program
            for index, each in enumerate(spec.get("variables") or [])
        }
        self._validations = [
            _validation(each, f"spec.validations[{index}]", compiled)
            for index, each in enumerate(spec.get("validations") or [])
        ]

    def matches(self, request: AdmissionRequest) -> bool:
        """Whether the constraints (not the conditions) take in the request."""
        return matches_constraints(self._constraints, request)

    def failures(self, values: Json) -> Iterator[tuple[str, str]]:
        """(message, reason) of everything that fails; nothing when a match condition is false."""
        try:
            if not self._is_in_force(values):
                return
        except CelError as error:
            if self.fails_closed:
                yield str(error), "Invalid"
            return
        values = values | {"variables": _Lazy(self._variables, values)}
        for each in self._validations:
            failure = self._failure(each, values)
            if failure is not None:
                yield failure, each.reason

    def _is_in_force(self, values: Json) -> bool:
        failure: CelError | None = None
        for each in self._conditions:
            try:
                if each.program is None:
                    raise CelError(each.problem)
                if each.program.evaluate(values) is not True:
                    return False
            except CelError as error:
                failure = CelError(f"match condition '{each.text}' resulted in error: {error}")
        if failure is not None:
            raise failure
        return True

    def _failure(self, each: _Validation, values: Json) -> str | None:
        try:
            if each.rule.program is None:
                raise CelError(each.rule.problem)
            if each.rule.program.evaluate(values) is True:
                return None
        except CelError as error:
            return f"expression '{each.rule.text}' resulted in error: {error}" if self.fails_closed else None
        return _message(each, values)


def _validation(source: Json, path: str, compiled: Mapping[str, Expression]) -> _Validation:
    message = compiled.get(f"{path}.messageExpression")
    return _Validation(
        rule=compiled[f"{path}.expression"],
        message=source.get("message", ""),
        reason=source.get("reason") or "Invalid",
        message_program=None if message is None else message.program,
    )


def _message(each: _Validation, values: Json) -> str:
    if each.message_program is not None:
        try:
            text = each.message_program.evaluate(values)
        except CelError:
            text = None
        if isinstance(text, str) and text.strip() and "\n" not in text.strip():
            return text.strip()
    return each.message.strip() or f"failed expression: {each.rule.text.strip()}"


def review(
    request: AdmissionRequest,
    policies: Iterable[CompiledPolicy],
    bindings: Iterable[Json],
) -> Verdict:
    """Judge the request by every policy that a binding puts in force. No binding, no effect."""
    by_policy: dict[str, list[Json]] = {}
    for binding in bindings:
        by_policy.setdefault((binding.get("spec") or {}).get("policyName", ""), []).append(binding)
    values: Json | None = None
    warnings: list[str] = []
    denied: Json | None = None
    for policy in policies:
        mine = [each for each in by_policy.get(policy.name, ()) if _binds(each, request)]
        if not mine or not policy.matches(request):
            continue
        values = values or values_of(request)
        for message, reason in policy.failures(values):
            for binding in mine:
                actions = (binding.get("spec") or {}).get("validationActions") or []
                prefix = f"ValidatingAdmissionPolicy '{policy.name}' with binding '{binding['metadata']['name']}'"
                if "Warn" in actions:
                    warnings.append(f"Validation failed for {prefix}: {message}")
                if "Deny" in actions and denied is None:
                    denied = _denial(request, f"{prefix} denied request: {message}", reason)
    return Verdict(denied, tuple(warnings))


def _binds(binding: Json, request: AdmissionRequest) -> bool:
    constraints = (binding.get("spec") or {}).get("matchResources")
    return constraints is None or matches_constraints(constraints, request)


def _denial(request: AdmissionRequest, message: str, reason: str) -> Json:
    qualified = f"{request.resource}.{request.group}" if request.group else request.resource
    details: Json = {"name": request.name, "group": request.group, "kind": request.resource}
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": f'{qualified} "{request.name}" is forbidden: {message}',
        "reason": reason,
        "details": {name: value for name, value in details.items() if value} | {"causes": [{"message": message}]},
        "code": _CODES.get(reason, 422),
    }
