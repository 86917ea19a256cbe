"""OpenAPI documents: complete in themselves, and with what kubectl looks for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from crds.schema import custom_resource_definition
from crds.types import KINDS
from lab.apiserver.documents.openapi import v2_document, v3_document, v3_index
from lab.apiserver.kinds.builtins import BUILTINS
from lab.apiserver.kinds.customresources import resources_of
from lab.apiserver.kinds.definitionrules import default_crd
from lab.apiserver.resource import Resource


def ours() -> list[Resource]:
    found: list[Resource] = []
    for crd in map(custom_resource_definition, KINDS):
        default_crd(crd)
        found += resources_of(crd)
    return found


RESOURCES = [*BUILTINS, *ours()]


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, each in value.items():
            if key == "$ref" and isinstance(each, str):  # a schema of schemas has a property of that name
                yield each
            else:
                yield from references(each)
    elif isinstance(value, list):
        for each in value:
            yield from references(each)


def v3(group: str, version: str) -> dict[str, Any]:
    document = v3_document(group, version, RESOURCES)
    assert document is not None
    return document


@pytest.mark.parametrize("key", sorted({(each.group, each.version) for each in RESOURCES}))
def test_every_reference_of_a_v3_document_is_in_it(key: tuple[str, str]) -> None:
    document = v3(*key)
    schemas = document["components"]["schemas"]
    for reference in references(document):
        assert reference.removeprefix("#/components/schemas/") in schemas
    assert '"null"' not in json.dumps(document)


def test_every_reference_of_the_v2_document_is_in_it() -> None:
    document = v2_document(RESOURCES)
    for reference in references(document):
        assert reference.removeprefix("#/definitions/") in document["definitions"]


def test_a_kind_of_ours_is_there_in_full_with_its_descriptions() -> None:
    schema = v3("berth.dev", "v1beta1")["components"]["schemas"]["dev.berth.v1beta1.IPPool"]
    assert schema["x-kubernetes-group-version-kind"] == [{"group": "berth.dev", "kind": "IPPool", "version": "v1beta1"}]
    addresses = schema["properties"]["spec"]["properties"]["addresses"]
    assert addresses["description"]
    assert "x-kubernetes-validations" not in addresses["items"]
    assert list(schema["properties"])[:3] == ["apiVersion", "kind", "metadata"]


def test_patches_say_that_they_take_field_validation() -> None:
    paths = v3("", "v1")["paths"]
    operation = paths["/api/v1/namespaces/{namespace}/services/{name}"]["patch"]
    assert operation["x-kubernetes-group-version-kind"] == {"group": "", "version": "v1", "kind": "Service"}
    assert "fieldValidation" in {parameter["name"] for parameter in operation["parameters"]}


def test_the_index_names_each_document_and_its_hash_follows_the_content() -> None:
    index = v3_index(RESOURCES)["paths"]
    assert index["api/v1"]["serverRelativeURL"].startswith("/openapi/v3/api/v1?hash=")
    before = index["apis/berth.dev/v1beta1"]["serverRelativeURL"]
    assert v3_index(RESOURCES)["paths"]["apis/berth.dev/v1beta1"]["serverRelativeURL"] == before
    fewer = [each for each in RESOURCES if each.kind != "IPPool"]
    assert v3_index(fewer)["paths"]["apis/berth.dev/v1beta1"]["serverRelativeURL"] != before
    assert v3_document("nope.dev", "v1", RESOURCES) is None
