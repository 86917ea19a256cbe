"""Lists of label selectors, one of which must hold (MetalLB), as few single selectors as say the same (ours). Pure.

Two selectors that differ in the values of one label are one selector with both values. What can't be said by one stays
several: an advertisement is split then, and a pool can't be.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import ValidationError

from cli.migrate.told import Body, Fields
from crds.meta import LabelSelector

Requirement = tuple[str, str, tuple[str, ...]]
Requirements = frozenset[Requirement]
"""All of which must hold: key, operator and values."""

MOST_VALUES = 128
NAMESPACE_NAME = "kubernetes.io/metadata.name"
"""The label that every namespace has with its own name (KEP-2161)."""


def selectors(fields: Fields, name: str) -> list[Requirements]:
    """The list under that name, made as short as it can be. Empty: nothing is selected by, so all are chosen."""
    found = []
    for body in fields.mappings(name):
        try:
            found.append(_requirements(LabelSelector.model_validate(body)))
        except ValidationError:
            fields.refuse(f"spec.{name} has a label selector that can't be read")
    return united(found)


def united(found: Iterable[Requirements]) -> list[Requirements]:
    """As few as say the same."""
    left = list(dict.fromkeys(found))
    left = [one for one in left if not any(other < one for other in left)]
    pair = next(((a, b, c) for a in left for b in left if a is not b and (c := _one_of(a, b)) is not None), None)
    if pair is None:
        return left
    first, second, both = pair
    return united([both if one == first else one for one in left if one != second])


def _one_of(first: Requirements, second: Requirements) -> Requirements | None:
    """The selector that chooses what one of both does, where they differ in one label alone."""
    apart, beside = first - second, second - first
    if len(apart) != 1 or len(beside) != 1:
        return None
    ((key, operator, values),), ((other_key, other_operator, other_values),) = apart, beside
    if key != other_key or operator != "In" or other_operator != "In":
        return None
    every = tuple(sorted({*values, *other_values}))
    return (first & second) | {(key, "In", every)} if len(every) <= MOST_VALUES else None


def _requirements(selector: LabelSelector) -> Requirements:
    labels = [(key, "In", (value,)) for key, value in selector.match_labels.items()]
    more = [(one.key, one.operator, tuple(sorted(set(one.values)))) for one in selector.match_expressions]
    return frozenset([*labels, *more])


def to_wire(requirements: Requirements) -> Body:
    """As our API takes it."""
    labels: dict[str, str] = {}
    expressions: list[Body] = []
    for key, operator, values in sorted(requirements):
        if operator == "In" and len(values) == 1 and key not in labels:
            labels[key] = values[0]
        else:
            expressions.append({"key": key, "operator": operator, **({"values": list(values)} if values else {})})
    wire: Body = {}
    if labels:
        wire["matchLabels"] = labels
    if expressions:
        wire["matchExpressions"] = expressions
    return wire


def names_alone(requirements: Requirements) -> tuple[str, ...]:
    """The namespaces that it chooses by their names, where it asks for nothing else; empty otherwise."""
    if len(requirements) != 1:
        return ()
    ((key, operator, values),) = requirements
    return values if (key, operator) == (NAMESPACE_NAME, "In") else ()


def products(*lists: Sequence[Any]) -> list[tuple[Any, ...]]:
    """One of each list, in all ways; an empty list stands for None."""
    found: list[tuple[Any, ...]] = [()]
    for one in lists:
        found = [(*before, each) for before in found for each in (one or [None])]
    return found
