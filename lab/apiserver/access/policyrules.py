"""What a valid ValidatingAdmissionPolicy is: its defaults, and what is wrong with its fields and expressions.

Expressions are compiled here, for judging a policy and for policy.py, which asks them about requests.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from lab.apiserver.access.admissionrequest import VARIABLES
from lab.apiserver.cel import types as t
from lab.apiserver.cel.program import CompileError, Environment, Program
from lab.apiserver.cel.types import Type, object_of
from lab.apiserver.fielderrors import FieldError, invalid, required

Json = dict[str, Any]


class Expression(NamedTuple):
    """One expression of a policy: where it stands, and its program, or None and the `problem` that it has."""

    path: str
    text: str
    program: Program | None
    problem: str


def default_policy(policy: Json) -> None:
    """Fill the defaults of a ValidatingAdmissionPolicy in place (matchPolicy, selectors, rule scope, failurePolicy)."""
    spec = policy.setdefault("spec", {})
    spec.setdefault("failurePolicy", "Fail")
    constraints = spec.get("matchConstraints")
    if constraints is not None:
        _default_match(constraints)


def _default_match(constraints: Json) -> None:
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
    for each in compiled_expressions(spec):
        if not each.text.strip():
            errors.append(required(each.path))
        elif each.problem:
            errors.append(invalid(each.path, each.text, each.problem))
    return errors


def compiled_expressions(spec: Json) -> Iterator[Expression]:
    """Every expression of a policy's spec, in the order of evaluation; variables see those before them."""
    known: dict[str, Type] = {}
    for index, each in enumerate(spec.get("matchConditions") or []):
        path, text = f"spec.matchConditions[{index}].expression", each.get("expression", "")
        yield Expression(path, text, *_compile(text, VARIABLES, "bool"))
    for index, each in enumerate(spec.get("variables") or []):
        path, text = f"spec.variables[{index}].expression", each.get("expression", "")
        program, problem = _compile(text, {**VARIABLES, "variables": object_of(known)}, "")
        known[each.get("name", "")] = program.type if program is not None else t.DYN
        yield Expression(path, text, program, problem)
    scope = {**VARIABLES, "variables": object_of(known)}
    for index, each in enumerate(spec.get("validations") or []):
        path, text = f"spec.validations[{index}].expression", each.get("expression", "")
        yield Expression(path, text, *_compile(text, scope, "bool"))
        if each.get("messageExpression"):
            path, text = f"spec.validations[{index}].messageExpression", each["messageExpression"]
            yield Expression(path, text, *_compile(text, scope, "string"))


def _compile(text: str, variables: Mapping[str, Type], wanted: str) -> tuple[Program | None, str]:
    try:
        program = Environment(variables).compile(text)
    except CompileError as error:
        return None, f"compilation failed: {error}"
    if wanted and program.type.name not in (wanted, "dyn"):
        return None, f"must evaluate to {wanted}"
    return program, ""
