"""Label and field selectors: parsing of the query parameters and of LabelSelector objects, and matching.

Knows nothing of storage. An empty selector matches everything.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from lab.apiserver.status import StatusError, bad_request

_SPLIT = re.compile(r",(?![^()]*\))")
_SET = re.compile(r"^\s*(?P<key>[^\s!=(),]+)\s+(?P<operator>in|notin)\s*\((?P<values>[^()]*)\)\s*$")
_EQUAL = re.compile(r"^\s*(?P<key>[^\s!=(),<>]+)\s*(?P<operator>==|!=|=)\s*(?P<value>[^\s!=(),<>]*)\s*$")
_EXISTS = re.compile(r"^\s*(?P<no>!?)\s*(?P<key>[^\s!=(),<>]+)\s*$")
_FIELD = re.compile(r"^(?P<key>[^!=]+?)(?P<operator>==|!=|=)(?P<value>.*)$", re.S)


@dataclass(frozen=True, slots=True)
class Requirement:
    """One term of a selector; `values` is None for a test of existence."""

    key: str
    negated: bool
    values: frozenset[str] | None

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Whether labels fulfil the term."""
        value = labels.get(self.key)
        if self.values is None:
            return (value is None) if self.negated else (value is not None)
        # A missing label satisfies `!=` and `notin`, as in Kubernetes.
        return (value in self.values) is not self.negated


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """All requirements must hold."""

    requirements: tuple[Requirement, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether labels fulfil all requirements."""
        return all(requirement.holds(labels) for requirement in self.requirements)

    def __bool__(self) -> bool:
        return bool(self.requirements)


@dataclass(frozen=True, slots=True)
class FieldSelector:
    """Paths (`spec.color`) with the value that they must or must not have; a missing field counts as empty."""

    requirements: tuple[tuple[str, bool, str], ...] = ()  # path, negated, value

    def matches(self, obj: Mapping[str, Any]) -> bool:
        """Whether an object, as it is served, fulfils all requirements."""
        return all((field_text(obj, path) == value) is not negated for path, negated, value in self.requirements)

    def __bool__(self) -> bool:
        return bool(self.requirements)

    def exact_name(self) -> str | None:
        """The name if only one object can match: lists and watches by name need no scan."""
        for path, negated, value in self.requirements:
            if path == "metadata.name" and not negated:
                return value
        return None


@lru_cache(maxsize=1024)
def parse_labels(text: str) -> LabelSelector:
    """`a=b,c!=d,e in (f,g),h notin (i),j,!k`."""
    return LabelSelector(tuple(_requirement(term, text) for term in _SPLIT.split(text) if term.strip()))


def _requirement(term: str, whole: str) -> Requirement:
    if found := _SET.match(term):
        values = frozenset(value.strip() for value in found["values"].split(","))
        return Requirement(found["key"], found["operator"] == "notin", values)
    if found := _EQUAL.match(term):
        return Requirement(found["key"], found["operator"] == "!=", frozenset({found["value"]}))
    if found := _EXISTS.match(term):
        return Requirement(found["key"], bool(found["no"]), None)
    raise bad_request(f'unable to parse requirement: "{whole}" has an invalid term "{term.strip()}"')


def parse_fields(text: str, supported: Collection[str], *, namespaced: bool) -> FieldSelector:
    """`metadata.name=a,spec.color!=red`; a field that the resource does not offer is refused with 400."""
    terms = [_field_term(term) for term in text.split(",") if term]
    for path, _, _ in terms:
        if path == "metadata.name" or (path == "metadata.namespace" and namespaced) or path in supported:
            continue
        raise unsupported_field(path)
    return FieldSelector(tuple(terms))


def name_asked_for(text: str) -> str:
    """The one name that a field selector chooses, as RBAC sees it: a right to list or watch by resourceNames is good
    for requests with such a selector. "" when there is none, or the selector can't be read."""
    try:
        return FieldSelector(tuple(_field_term(term) for term in text.split(",") if term)).exact_name() or ""
    except StatusError:
        return ""


def unsupported_field(path: str) -> StatusError:
    """The refusal (400) of a field that a resource does not offer for selection."""
    return bad_request(f"field label not supported: {path}")


def _field_term(term: str) -> tuple[str, bool, str]:
    found = _FIELD.match(term)
    if found is None:
        raise bad_request(f"invalid selector: '{term}'; can't understand '{term}'")
    return found["key"].strip(), found["operator"] == "!=", found["value"]


def field_text(obj: Mapping[str, Any], path: str) -> str:
    """The value at a dotted path as a selector compares it."""
    value: Any = obj
    for part in path.split("."):
        if not isinstance(value, Mapping):
            return ""
        value = value.get(part)
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case Mapping():
            return str(value.get("component", ""))  # an Event's `source` is selected by its component
        case _:
            return str(value)


def labels_of_selector(selector: Mapping[str, Any] | None) -> LabelSelector:
    """A LabelSelector object (matchLabels, matchExpressions) as a selector; None and {} match everything."""
    if not selector:
        return LabelSelector()
    equal = [Requirement(key, False, frozenset({value})) for key, value in (selector.get("matchLabels") or {}).items()]
    return LabelSelector((*equal, *map(_expression, selector.get("matchExpressions") or ())))


def _expression(expression: Mapping[str, Any]) -> Requirement:
    values = frozenset(expression.get("values") or ())
    match expression["operator"]:
        case "In":
            return Requirement(expression["key"], False, values)
        case "NotIn":
            return Requirement(expression["key"], True, values)
        case "Exists":
            return Requirement(expression["key"], False, None)
        case _:
            return Requirement(expression["key"], True, None)
