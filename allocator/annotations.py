"""The annotations of a Service that are for us, under our names and MetalLB's, and those that nobody understands.

Reads text; what it means for a Service is the business of allocator.request.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType

from crds.names import (
    ANNOTATION_IPS,
    ANNOTATION_IPS_ALIASES,
    ANNOTATION_NODE,
    ANNOTATION_POOL,
    ANNOTATION_POOL_ALIASES,
    ANNOTATION_SHARING_KEY,
    ANNOTATION_SHARING_KEY_ALIASES,
    ANNOTATIONS_OF_OTHERS,
    GROUP,
    METALLB_PREFIXES,
)

MOST_NAMED = 3
"""Annotations that a message names; it counts the rest."""

MOST_SHOWN = 80
"""Characters of a name that a message repeats."""

_ALIASES: Mapping[str, tuple[str, ...]] = {
    ANNOTATION_IPS: ANNOTATION_IPS_ALIASES,
    ANNOTATION_POOL: ANNOTATION_POOL_ALIASES,
    ANNOTATION_SHARING_KEY: ANNOTATION_SHARING_KEY_ALIASES,
    ANNOTATION_NODE: (),
}
_OUR_NAMES = {alias: name for name, aliases in _ALIASES.items() for alias in (name, *aliases)}
_PREFIXES = tuple(f"{prefix}/" for prefix in (GROUP, *METALLB_PREFIXES))
_NONE: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Contradiction:
    """Two names of one annotation have different values; `message` says which, and what to keep."""

    message: str


def asked_for(annotations: Mapping[str, str]) -> Mapping[str, str] | Contradiction:
    """By our names, without surrounding space; what is absent or empty is left out."""
    if not annotations:
        return _NONE
    asked: dict[str, str] = {}
    for name, aliases in _ALIASES.items():
        given = {one: annotations[one].strip() for one in (name, *aliases) if annotations.get(one, "").strip()}
        if len(set(given.values())) > 1:
            said = " and ".join(f"{one}: {value}" for one, value in given.items())
            return Contradiction(f"annotations contradict each other ({said}): keep {name} only")
        for value in given.values():
            asked[name] = value
    return asked


def not_understood(annotations: Mapping[str, str]) -> str:
    """A sentence on those that carry our prefix or MetalLB's and say nothing to us; empty when there are none."""
    strange = sorted(
        name
        for name in annotations
        if name.startswith(_PREFIXES) and name not in _OUR_NAMES and name not in ANNOTATIONS_OF_OTHERS
    )
    if not strange:
        return ""
    named = "; ".join(_with_nearest(name) for name in strange[:MOST_NAMED])
    more = f"; and {len(strange) - MOST_NAMED} more" if len(strange) > MOST_NAMED else ""
    return f"Not understood on this Service: {named}{more}. What is understood: {', '.join(sorted(_ALIASES))}"


def _with_nearest(name: str) -> str:
    shown = name if len(name) <= MOST_SHOWN else f"{name[:MOST_SHOWN]}..."
    nearest = nearest_to(name)
    return f"annotation {shown}" if nearest is None else f"annotation {shown} (did you mean {nearest}?)"


def nearest_to(name: str) -> str | None:
    """The annotation that is meant, most likely: with the same prefix where it has one so called, else ours."""
    prefix, _, rest = name.partition("/")
    by_rest = {_rest(known).lower(): _rest(known) for known in reversed(_OUR_NAMES)}
    found = get_close_matches(rest[:MOST_SHOWN].lower(), by_rest, n=1)
    if not found:
        return None
    meant = by_rest[found[0]]
    with_prefix = f"{prefix}/{meant}"
    ours = next(ours for known, ours in _OUR_NAMES.items() if _rest(known) == meant)
    return with_prefix if with_prefix in _OUR_NAMES else ours


def _rest(name: str) -> str:
    return name.partition("/")[2]
