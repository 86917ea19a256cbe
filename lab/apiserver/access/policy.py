"""ValidatingAdmissionPolicy: compiled policies, and what they say of one request.

Which policies exist and which bindings point to them is the caller's to know; nothing is stored here. Parameters
(`paramKind`) and the `authorizer` variable are not served.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from lab.apiserver.cel import types as t
from lab.apiserver.cel.program import CompileError, Environment, Program
from lab.apiserver.cel.types import Type, list_of, map_of, object_of
from lab.apiserver.cel.values import CelError
from lab.apiserver.fielderrors import FieldError, invalid, required
from lab.apiserver.selectors import labels_of_selector

Json = dict[str, Any]


class Operation(StrEnum):
    """What the request does."""

    CREATE = "CREATE"
    UPDATE = "UPDATE"
    DELETE = "DELETE"


@dataclass(frozen=True, slots=True)
class AdmissionRequest:
    """The request as policies see it. `resource` is the plural, `subresource` "" for the object itself."""

    operation: Operation
    group: str
    version: str
    resource: str
    kind: str
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    username: str = ""
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    object: Json | None = None
    old_object: Json | None = None
    dry_run: bool = False
    namespace_object: Json | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the policies together say: `denied` is the Status body to answer, or None to go on; warnings are for the
    client."""

    denied: Json | None
    warnings: tuple[str, ...] = ()


_GVK: Final = object_of({"group": t.STRING, "version": t.STRING, "kind": t.STRING})
_GVR: Final = object_of({"group": t.STRING, "version": t.STRING, "resource": t.STRING})
_USER: Final = object_of(
    {
        "username": t.STRING,
        "uid": t.STRING,
        "groups": list_of(t.STRING),
        "extra": map_of(t.STRING, list_of(t.STRING)),
    }
)
_REQUEST: Final = object_of(
    {
        "kind": _GVK,
        "resource": _GVR,
        "subResource": t.STRING,
        "requestKind": _GVK,
        "requestResource": _GVR,
        "requestSubResource": t.STRING,
        "name": t.STRING,
        "namespace": t.STRING,
        "operation": t.STRING,
        "userInfo": _USER,
        "dryRun": t.BOOL,
        "options": t.DYN,
    }
)
_VARIABLES: Final[Mapping[str, Type]] = {
    "object": t.DYN,
    "oldObject": t.DYN,
    "request": _REQUEST,
    "namespaceObject": t.DYN,
    "params": t.DYN,
}
_CODES: Final = {"Unauthorized": 401, "Forbidden": 403, "Invalid": 422, "RequestEntityTooLarge": 413}


def default_policy(policy: Json) -> None:
    """Fill the defaults of a ValidatingAdmissionPolicy in place (matchPolicy, selectors, rule scope, failurePolicy)."""
    spec = policy.setdefault("spec", {})
    spec.setdefault("failurePolicy", "Fail")
    constraints = spec.get("matchConstraints")
    if constraints is not None:
        default_match(constraints)


def default_match(constraints: Json) -> None:
    """The defaults of matchConstraints, and of a binding's matchResources."""
    constraints.setdefault("matchPolicy", "Equivalent")
    constraints.setdefault("namespaceSelector", {})
    constraints.setdefault("objectSelector", {})
    for rules in ("resourceRules", "excludeResourceRules"):
        for rule in constraints.get(rules) or []:
            rule.setdefault("scope", "*")


def validate_policy(policy: Json) -> list[FieldError]:
    """Everything wrong with a policy, expressions that do not compile included."""
    spec = policy.get("spec") or {}
    errors: list[FieldError] = []
    constraints = spec.get("matchConstraints")
    if constraints is None:
        errors.append(required("spec.matchConstraints"))
    elif not constraints.get("resourceRules"):
        errors.append(required("spec.matchConstraints.resourceRules"))
    if not spec.get("validations") and not spec.get("auditAnnotations"):
        errors.append(required("spec.validations", "validations or auditAnnotations must contain at least one item"))
    for path, source, _, problem in _compiled(spec):
        if not source.strip():
            errors.append(required(path))
        elif problem:
            errors.append(invalid(path, source, problem))
    return errors


def _compiled(spec: Json) -> Iterator[tuple[str, str, Program | None, str]]:
    """Path, text, program and problem of every expression; variables see those before them."""
    known: dict[str, Type] = {}
    for index, each in enumerate(spec.get("matchConditions") or []):
        path, text = f"spec.matchConditions[{index}].expression", each.get("expression", "")
        yield path, text, *_compile(text, _VARIABLES, "bool")
    for index, each in enumerate(spec.get("variables") or []):
        path, text = f"spec.variables[{index}].expression", each.get("expression", "")
        program, problem = _compile(text, {**_VARIABLES, "variables": object_of(known)}, "")
        known[each.get("name", "")] = program.type if program is not None else t.DYN
        yield path, text, program, problem
    scope = {**_VARIABLES, "variables": object_of(known)}
    for index, each in enumerate(spec.get("validations") or []):
        path, text = f"spec.validations[{index}].expression", each.get("expression", "")
        yield path, text, *_compile(text, scope, "bool")
        if each.get("messageExpression"):
            path, text = f"spec.validations[{index}].messageExpression", each["messageExpression"]
            yield path, text, *_compile(text, scope, "string")


def _compile(text: str, variables: Mapping[str, Type], wanted: str) -> tuple[Program | None, str]:
    try:
        program = Environment(variables).compile(text)
    except CompileError as error:
        return None, f"compilation failed: {error}"
    if wanted and program.type.name not in (wanted, "dyn"):
        return None, f"must evaluate to {wanted}"
    return program, ""


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
    text: str
    message: str
    reason: str
    program: Program | None
    problem: str
    message_program: Program | None


class CompiledPolicy:
    """One policy, its expressions compiled."""

    def __init__(self, policy: Json) -> None:
        spec = policy.get("spec") or {}
        self.name: str = policy["metadata"]["name"]
        self.fails_closed = spec.get("failurePolicy", "Fail") == "Fail"
        self._constraints: Json = spec.get("matchConstraints") or {}
        compiled = {path: (text, program, problem) for path, text, program, problem in _compiled(spec)}
        self._conditions = [
            compiled[f"spec.matchConditions[{index}].expression"]
            for index in range(len(spec.get("matchConditions") or []))
        ]
        self._variables = {
            each.get("name", ""): compiled[f"spec.variables[{index}].expression"][1]
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
        for text, program, problem in self._conditions:
            try:
                if program is None:
                    raise CelError(problem)
                if program.evaluate(values) is not True:
                    return False
            except CelError as error:
                failure = CelError(f"match condition '{text}' resulted in error: {error}")
        if failure is not None:
            raise failure
        return True

    def _failure(self, each: _Validation, values: Json) -> str | None:
        try:
            if each.program is None:
                raise CelError(each.problem)
            if each.program.evaluate(values) is True:
                return None
        except CelError as error:
            return f"expression '{each.text}' resulted in error: {error}" if self.fails_closed else None
        return _message(each, values)


def _validation(source: Json, path: str, compiled: Mapping[str, tuple[str, Program | None, str]]) -> _Validation:
    text, program, problem = compiled[f"{path}.expression"]
    return _Validation(
        text=text,
        message=source.get("message", ""),
        reason=source.get("reason") or "Invalid",
        program=program,
        problem=problem,
        message_program=compiled.get(f"{path}.messageExpression", ("", None, ""))[1],
    )


def _message(each: _Validation, values: Json) -> str:
    if each.message_program is not None:
        try:
            text = each.message_program.evaluate(values)
        except CelError:
            text = None
        if isinstance(text, str) and text.strip() and "\n" not in text.strip():
            return text.strip()
    return each.message.strip() or f"failed expression: {each.text.strip()}"


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
        values = values or _values(request)
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


def _values(request: AdmissionRequest) -> Json:
    return {
        "object": request.object,
        "oldObject": request.old_object,
        "request": _request_value(request),
        "namespaceObject": request.namespace_object,
        "params": None,
    }


def _request_value(request: AdmissionRequest) -> Json:
    """What is empty is left out, as in the JSON of an AdmissionRequest: reading it is an error, so rules ask has()."""
    kind = {"group": request.group, "version": request.version, "kind": request.kind}
    resource = {"group": request.group, "version": request.version, "resource": request.resource}
    user = {
        "username": request.username,
        "uid": request.uid,
        "groups": list(request.groups),
        "extra": {name: list(values) for name, values in request.extra.items()},
    }
    optional = {
        "subResource": request.subresource,
        "requestSubResource": request.subresource,
        "name": request.name,
        "namespace": request.namespace,
    }
    return {
        "kind": kind,
        "resource": resource,
        "requestKind": kind,
        "requestResource": resource,
        "operation": str(request.operation),
        "userInfo": {name: value for name, value in user.items() if value},
        "dryRun": request.dry_run,
        **{name: value for name, value in optional.items() if value},
    }


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


# Which requests a policy or a binding takes in


def matches_constraints(constraints: Json, request: AdmissionRequest) -> bool:
    """Whether a request falls under matchConstraints or matchResources."""
    rules = constraints.get("resourceRules")
    if rules and not any(_rule_matches(rule, request) for rule in rules):
        return False
    if any(_rule_matches(rule, request) for rule in constraints.get("excludeResourceRules") or []):
        return False
    return _selectors_match(constraints, request)


def _selectors_match(constraints: Json, request: AdmissionRequest) -> bool:
    selector = constraints.get("namespaceSelector")
    if selector and request.namespace:
        labels = ((request.namespace_object or {}).get("metadata") or {}).get("labels") or {}
        if not labels_of_selector(selector).matches(labels):
            return False
    selector = constraints.get("objectSelector")
    if not selector:
        return True
    objects = [each for each in (request.object, request.old_object) if each is not None]
    return any(
        labels_of_selector(selector).matches((each.get("metadata") or {}).get("labels") or {}) for each in objects
    )


def _rule_matches(rule: Json, request: AdmissionRequest) -> bool:
    return (
        _listed(rule.get("operations"), str(request.operation))
        and _listed(rule.get("apiGroups"), request.group)
        and _listed(rule.get("apiVersions"), request.version)
        and any(_resource_matches(each, request) for each in rule.get("resources") or [])
        and (not rule.get("resourceNames") or request.name in rule["resourceNames"])
        and _scope_matches(rule.get("scope", "*"), request)
    )


def _listed(values: list[str] | None, value: str) -> bool:
    return bool(values) and ("*" in (values or ()) or value in (values or ()))


def _resource_matches(pattern: str, request: AdmissionRequest) -> bool:
    resource, slash, subresource = pattern.partition("/")
    if resource not in ("*", request.resource):
        return False
    if not slash:
        return not request.subresource
    return subresource == "*" or subresource == request.subresource


def _scope_matches(scope: str, request: AdmissionRequest) -> bool:
    match scope:
        case "Namespaced":
            return bool(request.namespace)
        case "Cluster":
            return not request.namespace
    return True
