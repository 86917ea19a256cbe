"""Strategic merge patch: what kubectl patch and kubectl apply send for built-in kinds.

Merge patch (RFC 7386) and JSON patch (RFC 6902) are not here. How lists merge is in schema/merging.py.
"""

from __future__ import annotations

from typing import Any, Final

from lab.apiserver.cel.values import equal
from lab.apiserver.schema.merging import MergeNode

Json = Any

_DIRECTIVE: Final = "$patch"
_RETAIN: Final = "$retainKeys"
_DELETE_VALUES: Final = "$deleteFromPrimitiveList/"
_ORDER: Final = "$setElementOrder/"


class StrategicPatchError(ValueError):
    """The patch is not one that can be applied: the caller answers 400 with this message."""


def strategic_merge(live: dict[str, Json], patch: dict[str, Json], schema: MergeNode) -> dict[str, Json]:
    """The object with the patch applied. Neither argument is changed; the answer may share parts with them."""
    return _merge_object(live, patch, schema)


def _merge_object(live: dict[str, Json], patch: dict[str, Json], schema: MergeNode) -> dict[str, Json]:
    directive = patch.get(_DIRECTIVE)
    if directive == "replace":
        return {name: value for name, value in patch.items() if name != _DIRECTIVE}
    if directive == "delete":
        return {}
    if directive not in (None, "merge"):
        raise StrategicPatchError(f"Unknown patch type found: {directive}")
    result = _retained(live, patch)
    orders: dict[str, list[Json]] = {}
    for name, value in patch.items():
        if name in (_DIRECTIVE, _RETAIN):
            continue
        if name.startswith(_ORDER):
            orders[name.removeprefix(_ORDER)] = value
        elif name.startswith(_DELETE_VALUES):
            field = name.removeprefix(_DELETE_VALUES)
            result[field] = [each for each in result.get(field) or [] if each not in value]
        elif value is None:
            result.pop(name, None)
        else:
            result[name] = _merge_field(result.get(name), value, schema.child(name))
    for name, order in orders.items():
        if isinstance(result.get(name), list):
            result[name] = _ordered(result[name], live.get(name), order, schema.child(name))
    return result


def _retained(live: dict[str, Json], patch: dict[str, Json]) -> dict[str, Json]:
    if _RETAIN not in patch:
        return dict(live)
    kept = set(patch[_RETAIN])
    return {name: value for name, value in live.items() if name in kept}


def _merge_field(live: Json, patch: Json, schema: MergeNode) -> Json:
    if isinstance(patch, dict):
        return _merge_object(live if isinstance(live, dict) else {}, patch, schema)
    if isinstance(patch, list):
        return _merge_list(live if isinstance(live, list) else [], patch, schema)
    return patch


def _merge_list(live: list[Json], patch: list[Json], schema: MergeNode) -> list[Json]:
    if any(isinstance(item, dict) and item.get(_DIRECTIVE) == "replace" for item in patch):
        return [item for item in patch if not _is_bare_directive(item)]
    if not schema.patch_merges:
        return [_without_directives(item) for item in patch]
    if schema.patch_key:
        return _merge_by_key(live, patch, schema)
    return [*live, *(item for item in patch if item not in live)]


def _is_bare_directive(item: Json) -> bool:
    return isinstance(item, dict) and set(item) == {_DIRECTIVE}


def _without_directives(item: Json) -> Json:
    if isinstance(item, dict) and _DIRECTIVE in item:
        return {name: value for name, value in item.items() if name != _DIRECTIVE}
    return item


def _merge_by_key(live: list[Json], patch: list[Json], schema: MergeNode) -> list[Json]:
    key = schema.patch_key
    result = list(live)
    for item in patch:
        if not isinstance(item, dict):
            raise StrategicPatchError("expected a list of maps")
        if key not in item:
            if item.get(_DIRECTIVE) == "delete":
                raise StrategicPatchError("delete patch type with no merge key defined")
            raise StrategicPatchError(f"map: {item} does not contain declared merge key: {key}")
        at = next((index for index, each in enumerate(result) if equal(each.get(key), item[key])), None)
        if item.get(_DIRECTIVE) == "delete":
            result = [each for each in result if not equal(each.get(key), item[key])]
        elif at is None:
            result.append(_merge_object({}, item, schema.item))
        else:
            result[at] = _merge_object(result[at], item, schema.item)
    return result


def _ordered(items: list[Json], live: Json, order: list[Json], schema: MergeNode) -> list[Json]:
    """The items in the order asked for; those it does not name keep their place after what preceded them."""
    key = schema.patch_key

    def identity(item: Json) -> Json:
        return item.get(key) if key and isinstance(item, dict) else item

    wanted = [identity(each) for each in order]
    named = [item for item in items if identity(item) in wanted]
    named.sort(key=lambda item: wanted.index(identity(item)))
    former = [identity(each) for each in live] if isinstance(live, list) else []
    result = named
    for item in items:
        if identity(item) in wanted:
            continue
        before = former.index(identity(item)) if identity(item) in former else len(former)
        at = next(
            (index for index, each in enumerate(result) if _position(identity(each), former) > before), len(result)
        )
        result.insert(at, item)
    return result


def _position(identity: Json, former: list[Json]) -> int:
    return former.index(identity) if identity in former else len(former) + 1
