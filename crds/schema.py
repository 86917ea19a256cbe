"""The OpenAPI schema and the CustomResourceDefinition of a kind, made from its pydantic type.

Pure: values in, values out; crds/__main__.py reads and writes the files. The result is a structural schema, as
Kubernetes demands it: every node has a type, nothing is referred to, a map has additionalProperties, an optional field
is one that is not required. Defaults are declared in `spec` only, and only where they say something (no empty lists or
texts), so that stored objects stay about as short as they were written.
"""

import ast
import inspect
import sys
import textwrap
from collections.abc import Iterable, Iterator
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Le
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from crds.kind import Column
from crds.markers import AtomicMap, Format, IntOrString, Items, ItemText, ListMap, ListSet, Rule, Text
from crds.meta import BerthObject, Model
from crds.names import CATEGORY, GROUP, VERSION

Schema = dict[str, Any]

_OBJECT_FIELDS: dict[str, Schema] = {
    "apiVersion": {
        "type": "string",
        "description": "The API group and version of the object.",
    },
    "kind": {
        "type": "string",
        "description": "The kind of the object.",
    },
    "metadata": {"type": "object"},
}


def custom_resource_definition(kind: type[BerthObject]) -> Schema:
    """The manifest that teaches an API server this kind."""
    names = kind.KIND
    version: Schema = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "additionalPrinterColumns": [_column(column) for column in names.columns],
        "schema": {"openAPIV3Schema": object_schema(kind)},
    }
    if names.selectable:
        version["selectableFields"] = [{"jsonPath": path} for path in names.selectable]
    if "status" in kind.model_fields:
        version["subresources"] = {"status": {}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{names.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Cluster",
            "names": {
                "kind": names.kind,
                "listKind": f"{names.kind}List",
                "plural": names.plural,
                "singular": names.singular,
                "shortNames": list(names.short_names),
                "categories": [CATEGORY],
            },
            "versions": [version],
        },
    }


def object_schema(kind: type[BerthObject]) -> Schema:
    """The schema of whole objects of this kind."""
    schema = _model(kind, defaults=True)
    properties = dict(_OBJECT_FIELDS)
    for name in ("spec", "status"):
        if name in kind.model_fields:
            field = kind.model_fields[name]
            properties[name] = _field(kind, name, field, defaults=name == "spec")
            if name == "spec" and not field.is_required():
                properties[name]["default"] = {}
    return {**schema, "properties": properties}


def _column(column: Column) -> Schema:
    wire: Schema = {"name": column.name, "type": column.type, "jsonPath": column.json_path}
    if column.description:
        wire["description"] = column.description
    if column.priority:
        wire["priority"] = column.priority
    return wire


def _model(model: type[BaseModel], *, defaults: bool) -> Schema:
    """An object with named fields."""
    schema: Schema = {"type": "object", "description": flowing(model.__doc__)}
    fields = model.model_fields
    own = {name: field for name, field in fields.items() if name not in BerthObject.model_fields}
    if issubclass(model, BerthObject):
        own = {name: field for name, field in own.items() if name == "spec"}
    required = [_wire_name(name, field) for name, field in own.items() if field.is_required()]
    if required:
        schema["required"] = required
    if own:
        schema["properties"] = {
            _wire_name(name, field): _field(model, name, field, defaults=defaults) for name, field in own.items()
        }
    rules = model.RULES if issubclass(model, Model) else ()
    return schema | _validations(rules)


def _wire_name(name: str, field: FieldInfo) -> str:
    return field.alias or name


def _field(model: type[BaseModel], name: str, field: FieldInfo, *, defaults: bool) -> Schema:
    schema = _value(field.annotation, tuple(field.metadata), defaults=defaults)
    description = field_descriptions(model).get(name)
    if description is None:
        raise ValueError(f"{model.__name__}.{name} has no description")
    schema = {"description": description} | {key: value for key, value in schema.items() if key != "description"}
    if defaults and (default := _default(field)) is not None:
        schema["default"] = default
    return schema


def _default(field: FieldInfo) -> Any:
    """The default as the server should fill it in; None where it says no more than absence does."""
    default = None if field.default is PydanticUndefined else field.default
    match default:
        case Enum():
            return default.value
        case bool() | int():
            return default
        case str() if default:
            return default
        case _:
            return None


def _value(annotation: Any, markers: tuple[Any, ...], *, defaults: bool) -> Schema:
    """A schema for any type that the API uses. Raises TypeError for a type it has no use for."""
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *more = get_args(annotation)
        return _value(inner, (*_unpacked(more), *markers), defaults=defaults)
    if any(isinstance(marker, IntOrString) for marker in markers):
        return {"x-kubernetes-int-or-string": True} | _validations(markers)
    if origin in (Union, UnionType):
        (present,) = (member for member in get_args(annotation) if member is not NoneType)
        return _value(present, markers, defaults=defaults)
    return _unmarked(annotation, origin, defaults=defaults) | _constraints(annotation, markers) | _validations(markers)


def _unpacked(markers: list[Any]) -> list[Any]:
    """Markers of a nested Annotated, where pydantic leaves `Field(ge=...)` as it stands."""
    return [one for marker in markers for one in (marker.metadata if isinstance(marker, FieldInfo) else [marker])]


def _unmarked(annotation: Any, origin: Any, *, defaults: bool) -> Schema:
    if origin is tuple:
        item, _ = get_args(annotation)
        return {"type": "array", "items": _value(item, (), defaults=defaults)}
    if origin is dict:
        _, value = get_args(annotation)
        return {"type": "object", "additionalProperties": _value(value, (), defaults=defaults)}
    if origin is Literal:
        return {"type": "string", "enum": list(get_args(annotation))}
    if isinstance(annotation, type):
        return _of_class(annotation, defaults=defaults)
    raise TypeError(f"no schema for {annotation!r}")


def _of_class(annotation: type, *, defaults: bool) -> Schema:
    if issubclass(annotation, BaseModel):
        return _model(annotation, defaults=defaults)
    if issubclass(annotation, Enum):
        return {"type": "string", "enum": [member.value for member in annotation]}
    scalars: dict[type, str] = {bool: "boolean", int: "integer", str: "string"}
    if annotation not in scalars:
        raise TypeError(f"no schema for {annotation!r}")
    return {"type": scalars[annotation]}


def _constraints(annotation: Any, markers: tuple[Any, ...]) -> Schema:
    """Bounds, formats and list semantics. A value of a map of strings carries its own bound (ItemText)."""
    schema: Schema = {}
    is_map = get_origin(annotation) is dict
    for marker in markers:
        match marker:
            case Ge(ge=bound):
                schema["minimum"] = bound
            case Le(le=bound):
                schema["maximum"] = bound
            case Format(name=name):
                schema["format"] = name
            case Text():
                bounds = {"minLength": marker.min_length, "maxLength": marker.max_length, "pattern": marker.pattern}
                schema |= {key: bound for key, bound in bounds.items() if bound is not None}
            case Items():
                what = "Properties" if is_map else "Items"
                bounds = {f"min{what}": marker.minimum, f"max{what}": marker.maximum}
                schema |= {key: bound for key, bound in bounds.items() if bound is not None}
            case ItemText(max_length=bound):
                schema["additionalProperties"] = {"type": "string", "maxLength": bound}
            case ListMap(key=key):
                schema |= {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]}
            case ListSet():
                schema["x-kubernetes-list-type"] = "set"
            case AtomicMap():
                schema["x-kubernetes-map-type"] = "atomic"
    return schema


def _validations(markers: tuple[Any, ...]) -> Schema:
    rules = [marker.to_schema() for marker in markers if isinstance(marker, Rule)]
    return {"x-kubernetes-validations": rules} if rules else {}


def flowing(text: str | None) -> str:
    """A docstring's first paragraph as one line."""
    paragraph = textwrap.dedent(text or "").strip().split("\n\n")[0]
    return " ".join(paragraph.split())


@cache
def field_descriptions(model: type[BaseModel]) -> dict[str, str]:
    """What the string under each field of a class says, by attribute name; inherited fields included."""
    descriptions: dict[str, str] = {}
    for base in reversed(model.__mro__):
        if issubclass(base, BaseModel) and base is not BaseModel:
            descriptions |= _own_descriptions(base)
    return descriptions


def _own_descriptions(model: type[BaseModel]) -> dict[str, str]:
    definition = _classes(model.__module__)[model.__qualname__]
    found: dict[str, str] = {}
    for statement, following in zip(definition.body, definition.body[1:], strict=False):
        match statement, following:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                found[name] = flowing(text)
    return found


@cache
def _classes(module: str) -> dict[str, ast.ClassDef]:
    """The definitions of the classes in a module, by their qualified names."""
    return dict(_classes_of(ast.parse(inspect.getsource(sys.modules[module])).body, ""))


def _classes_of(body: Iterable[ast.stmt], prefix: str) -> Iterator[tuple[str, ast.ClassDef]]:
    for statement in body:
        match statement:
            case ast.ClassDef(name=name):
                yield prefix + name, statement
                yield from _classes_of(statement.body, f"{prefix}{name}.")
            case ast.FunctionDef(name=name):
                yield from _classes_of(statement.body, f"{prefix}{name}.<locals>.")
