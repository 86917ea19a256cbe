"""The generated CRDs are what a kube-apiserver takes, and say what each field is."""

from collections.abc import Iterator
from typing import Annotated, Any

import kubernetes_validate
import pytest
from pydantic import Field

from crds.markers import Items, ListMap
from crds.meta import BerthObject, Model
from crds.releaseconfirmation import ReleaseConfirmation
from crds.schema import custom_resource_definition, field_descriptions, object_schema
from crds.speakerreport import SpeakerReport
from crds.types import KINDS, IPAllocation, IPPool, IPPoolSpec, Speaker
from tests.crds.structural import violations

each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)


@each_kind
def test_schemas_are_structural(kind: type[BerthObject]) -> None:
    assert list(violations(object_schema(kind))) == []


@each_kind
def test_manifests_fit_the_schema_of_apiextensions(kind: type[BerthObject]) -> None:
    for version in ("1.31", "1.37"):
        kubernetes_validate.validate(custom_resource_definition(kind), version, strict=True)


@each_kind
def test_every_field_is_described_by_a_sentence(kind: type[BerthObject]) -> None:
    properties = object_schema(kind)["properties"]
    undescribed = [
        path
        for part in ("spec", "status")
        for path, schema in _fields(properties.get(part, {}), part)
        if not schema.get("description", "").endswith(".")
    ]
    assert undescribed == []


@each_kind
def test_columns_read_fields_that_exist(kind: type[BerthObject]) -> None:
    schema = object_schema(kind)
    for column in kind.KIND.columns:
        if column.json_path.startswith(".metadata"):
            continue
        assert _resolves(schema, column.json_path), column.json_path


@each_kind
def test_names_are_short_and_grouped(kind: type[BerthObject]) -> None:
    spec = custom_resource_definition(kind)["spec"]
    assert spec["names"]["categories"] == ["berth"]
    assert len(spec["names"]["shortNames"]) == 1
    assert spec["scope"] == "Cluster"


def test_names_do_not_collide() -> None:
    names = [name for kind in KINDS for name in (kind.KIND.plural, kind.KIND.singular, *kind.KIND.short_names)]
    assert len(names) == len(set(names))


@each_kind
def test_status_is_a_subresource_where_there_is_one(kind: type[BerthObject]) -> None:
    (version,) = custom_resource_definition(kind)["spec"]["versions"]
    assert ("status" in version["schema"]["openAPIV3Schema"]["properties"]) == ("subresources" in version)


@each_kind
def test_nothing_in_status_has_a_default(kind: type[BerthObject]) -> None:
    status = object_schema(kind)["properties"].get("status", {})
    assert [path for path, schema in _fields(status, "status") if "default" in schema] == []


def test_conditions_are_merged_by_type() -> None:
    conditions = object_schema(IPPool)["properties"]["status"]["properties"]["conditions"]
    assert conditions["x-kubernetes-list-type"] == "map"
    assert conditions["x-kubernetes-list-map-keys"] == ["type"]
    assert set(conditions["items"]["required"]) == {"type", "status", "reason", "lastTransitionTime"}


def test_optional_fields_are_not_required_and_not_nullable() -> None:
    spec = object_schema(IPPool)["properties"]["spec"]
    assert spec["required"] == ["addresses"]
    assert spec["properties"]["maxPerNamespace"] == {
        "description": "How many addresses of the pool one namespace may hold at a time. Not set: no limit.",
        "type": "integer",
        "minimum": 1,
        "format": "int64",
    }


def test_defaults_are_those_of_the_types() -> None:
    properties = object_schema(IPPool)["properties"]["spec"]["properties"]
    filled = {name: schema["default"] for name, schema in properties.items() if "default" in schema}
    assert IPPoolSpec.model_validate({"addresses": ["192.0.2.1"]} | filled) == IPPoolSpec(addresses=("192.0.2.1",))
    assert filled["autoAssign"] is True
    assert filled["strategy"] == "LowestFirst"


def test_maps_say_what_their_values_are() -> None:
    confirmed = object_schema(ReleaseConfirmation)["properties"]["status"]["properties"]
    assert confirmed["released"]["additionalProperties"] == {"type": "integer", "minimum": 0, "format": "int64"}
    status = object_schema(SpeakerReport)["properties"]["status"]["properties"]
    assert status["announcements"]["additionalProperties"]["required"] == ["protocols"]


def test_the_large_maps_of_a_speaker_are_not_repeated_in_managed_fields() -> None:
    for kind, large in ((Speaker, set()), (ReleaseConfirmation, {"released"}), (SpeakerReport, {"announcements"})):
        status = object_schema(kind)["properties"]["status"]["properties"]
        assert {name for name, one in status.items() if one.get("x-kubernetes-map-type") == "atomic"} == large


def test_columns_of_allocations_are_those_that_operators_look_for() -> None:
    shown = [column.name for column in IPAllocation.KIND.columns if not column.priority]
    assert shown == ["Address", "Pool", "Namespace", "Service", "Nodes", "State", "Age"]


def test_a_field_without_description_is_an_error() -> None:
    class Undescribed(Model):
        """A model."""

        field: int = 0

    class Broken(BerthObject):
        """A kind."""

        KIND = IPPool.KIND
        spec: Undescribed
        """Its spec."""

    with pytest.raises(ValueError, match=r"Undescribed\.field has no description"):
        object_schema(Broken)


def test_descriptions_are_inherited() -> None:
    assert field_descriptions(Speaker.model_fields["status"].default.__class__)["conditions"].startswith("What is true")


@pytest.mark.parametrize(
    ("schema", "complaint"),
    [
        ({"type": "object", "properties": {"a": {"anyOf": [{"type": "null"}]}}}, ".a: anyOf is not allowed"),
        ({"description": "x"}, ": no proper type"),
        ({"type": "integer"}, ": an integer says its width"),
        ({"type": "array", "items": {"type": "object"}, "x-kubernetes-list-type": "set"}, ": a set holds scalars"),
        (
            {"type": "array", "items": {"type": "object"}, "x-kubernetes-list-type": "map"}
            | {"x-kubernetes-list-map-keys": ["name"]},
            ": key 'name' is no scalar property",
        ),
        ({"type": "object", "required": ["a"]}, ": requires a, which it has not"),
        ({"type": "string", "default": 1}, ": default 1 is no string"),
        ({"x-kubernetes-int-or-string": True, "type": "string"}, ": int-or-string takes no type"),
    ],
)
def test_the_test_of_structure_finds_faults(schema: dict[str, Any], complaint: str) -> None:
    assert complaint in list(violations(schema))


def test_markers_of_nested_annotations_count() -> None:
    class Inner(Model):
        """Inner."""

        name: str
        """A name."""

    class Spec(Model):
        """A spec."""

        ports: Annotated[tuple[Annotated[int, Field(ge=1, le=9)], ...], Items(1, 3)] = ()
        """Ports."""
        inner: Annotated[tuple[Inner, ...], ListMap("name")] | None = None
        """Inner ones."""

    class Nested(BerthObject):
        """A kind."""

        KIND = IPPool.KIND
        spec: Spec
        """Its spec."""

    properties = object_schema(Nested)["properties"]["spec"]["properties"]
    assert properties["ports"] == {
        "description": "Ports.",
        "type": "array",
        "items": {"type": "integer", "minimum": 1, "maximum": 9},
        "minItems": 1,
        "maxItems": 3,
    }
    assert properties["inner"]["x-kubernetes-list-map-keys"] == ["name"]


def _fields(schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, child in schema.get("properties", {}).items():
        yield f"{path}.{name}", child
        yield from _fields(child, f"{path}.{name}")
    for part in ("items", "additionalProperties"):
        if part in schema:
            yield from _fields(schema[part], f"{path}[]")


def _resolves(schema: dict[str, Any], json_path: str) -> bool:
    for part in json_path.removeprefix(".").replace("[*]", "").split("."):
        name = part.partition("[")[0].partition(")")[0]
        if name.startswith(("type==", '"')):
            continue
        schema = schema.get("items", schema)
        if name not in schema.get("properties", {}):
            return False
        schema = schema["properties"][name]
    return True
