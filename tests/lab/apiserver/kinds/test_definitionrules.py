"""Which CustomResourceDefinitions are taken, and in what words others are refused."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.apiserver.kinds.definitionrules import default_crd, name_conflicts, validate_crd
from tests.lab.apiserver.replay import steps_of

ROOT = Path(__file__).parents[4]
STEPS = steps_of("custom-resources")
Json = dict[str, Any]
AT = "spec.validation.openAPIV3Schema"
SPEC = f"{AT}.properties[spec]"


def widget() -> Json:
    crd: Json = copy.deepcopy(STEPS[0]["request"]["body"])
    default_crd(crd)
    return crd


def schema(crd: Json) -> Json:
    found: Json = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return found


def spec(crd: Json) -> Json:
    found: Json = schema(crd)["properties"]["spec"]
    return found


def test_defaults_are_those_of_a_real_server() -> None:
    crd = widget()
    recorded = STEPS[0]["response"]["body"]["spec"]
    assert crd["spec"]["names"] == recorded["names"]
    assert crd["spec"]["conversion"] == recorded["conversion"]
    assert validate_crd(crd) == []


@pytest.mark.parametrize("path", sorted((ROOT / "crds" / "manifests").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_manifest_of_ours_is_taken(path: Path) -> None:
    documents = list(yaml.safe_load_all(path.read_text()))
    assert documents
    for crd in documents:
        default_crd(crd)
        assert [str(error) for error in validate_crd(crd)] == []


Change = Callable[[Json], Any]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            lambda crd: crd["metadata"].update(name="x"),
            'metadata.name: Invalid value: "x": must be spec.names.plural+"."+spec.group',
        ),
        (
            lambda crd: crd["spec"].update(scope="Galaxy"),
            'spec.scope: Unsupported value: "Galaxy": supported values: "Cluster", "Namespaced"',
        ),
        (
            lambda crd: crd["spec"]["versions"][0].update(storage=False),
            "must have exactly one version marked as storage version",
        ),
        (
            lambda crd: crd["spec"]["versions"].append(crd["spec"]["versions"][0] | {"storage": False}),
            "must contain unique version names",
        ),
        (lambda crd: crd["spec"]["names"].update(shortNames=["W!"]), "spec.names.shortNames[0]: Invalid value"),
        (lambda crd: crd["spec"]["names"].update(listKind="Widget"), "kind and listKind may not be the same"),
        (
            lambda crd: crd["spec"]["versions"][0].pop("schema"),
            "spec.versions[0].schema.openAPIV3Schema: Required value: schemas are required",
        ),
        (lambda crd: schema(crd).pop("type"), f"{AT}.type: Required value: must not be empty at the root"),
        (
            lambda crd: schema(crd).update(type="array", items={"type": "string"}),
            f'{AT}.type: Invalid value: "array": must be object at the root',
        ),
        (
            lambda crd: spec(crd)["properties"]["size"].pop("type"),
            f"{SPEC}.properties[size].type: Required value: must not be empty for specified object fields",
        ),
        (
            lambda crd: spec(crd)["properties"]["addresses"].pop("items"),
            f"{SPEC}.properties[addresses].items: Required value: must be specified",
        ),
        (
            lambda crd: spec(crd)["properties"]["size"].update(default="x"),
            f'{SPEC}.properties[size].default: Invalid value: "string"',
        ),
        (
            lambda crd: spec(crd)["properties"]["color"].update(pattern="(?=a)"),
            "must be a valid regular expression, but isn't",
        ),
        (
            lambda crd: spec(crd).update(additionalProperties={"type": "string"}),
            "additionalProperties and properties are mutual exclusive",
        ),
        (
            lambda crd: spec(crd)["properties"]["addresses"].update(uniqueItems=True),
            "uniqueItems cannot be set to true",
        ),
        (
            lambda crd: spec(crd).update(anyOf=[{"type": "object"}]),
            "anyOf[0].type: Forbidden: must be empty to be structural",
        ),
        (
            lambda crd: spec(crd).update(anyOf=[{"properties": {"z": {"minimum": 1}}}]),
            f"{SPEC}.properties[z]: Required value: because it is defined in {SPEC}.anyOf[0].properties[z]",
        ),
        (
            lambda crd: schema(crd)["properties"].update(
                metadata={"type": "object", "properties": {"labels": {"type": "object"}}}
            ),
            "must not specify anything other than name and generateName, but metadata is implicitly specified",
        ),
        (
            lambda crd: schema(crd)["properties"]["status"]["properties"]["conditions"]["items"].update(
                required=["status"]
            ),
            "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property",
        ),
        (
            lambda crd: schema(crd)["properties"]["status"]["properties"]["conditions"].update(
                {"x-kubernetes-list-map-keys": ["x"]}
            ),
            'x-kubernetes-list-map-keys[0]: Invalid value: "x": entries must all be names of item properties',
        ),
        (
            lambda crd: spec(crd)["properties"]["color"].update({"x-kubernetes-list-type": "set"}),
            "must be array if x-kubernetes-list-type is specified",
        ),
        (
            lambda crd: spec(crd)["x-kubernetes-validations"][0].update(rule="self.siz < 1"),
            f'{SPEC}.x-kubernetes-validations[0].rule: Invalid value: "self.siz < 1": compilation failed: '
            "ERROR: <input>:1:5: undefined field 'siz'\n | self.siz < 1\n | ....^",
        ),
        (
            lambda crd: spec(crd)["x-kubernetes-validations"][0].update(rule="self.size"),
            "cel expression must evaluate to a bool",
        ),
        (
            lambda crd: spec(crd)["x-kubernetes-validations"][0].update(rule=" "),
            "rule: Required value: rule is not specified",
        ),
        (
            lambda crd: spec(crd)["x-kubernetes-validations"][0].update(message="a\nb"),
            "message must not contain line breaks",
        ),
        (
            lambda crd: spec(crd)["x-kubernetes-validations"][0].update(messageExpression="self.size"),
            "messageExpression must evaluate to a string",
        ),
        (
            lambda crd: spec(crd)["x-kubernetes-validations"][0].update(reason="Because"),
            'reason: Unsupported value: "Because"',
        ),
        (
            lambda crd: spec(crd)["x-kubernetes-validations"][0].update(fieldPath=".nope"),
            "does not refer to a valid field",
        ),
        (
            lambda crd: spec(crd)["properties"]["addresses"]["items"]["x-kubernetes-validations"][0].update(
                rule="self == oldSelf"
            ),
            "oldSelf cannot be used on the uncorrelatable portion of the schema",
        ),
        (
            lambda crd: crd["spec"]["versions"][0]["additionalPrinterColumns"][0].update(type="int"),
            "spec.additionalPrinterColumns[0].type: Invalid value",
        ),
        (
            lambda crd: crd["spec"]["versions"][0]["additionalPrinterColumns"][0].update(jsonPath="spec"),
            "must be a simple json path starting with .",
        ),
        (
            lambda crd: crd["spec"]["versions"][0]["selectableFields"][0].update(jsonPath=".spec.nope"),
            "spec.selectableFields[0].jsonPath: Invalid value",
        ),
    ],
)
def test_what_is_wrong_is_said(change: Change, expected: str) -> None:
    crd = widget()
    change(crd)
    assert expected in " ".join(str(error) for error in validate_crd(crd))


def test_an_established_definition_keeps_its_scope_and_kind() -> None:
    old = widget() | {"status": {"conditions": [{"type": "Established", "status": "True"}], "storedVersions": ["v0"]}}
    new = widget()
    new["spec"]["scope"] = "Namespaced"
    found = [str(error) for error in validate_crd(new, old)]
    assert found == [
        'spec.scope: Invalid value: "Namespaced": field is immutable',
        'status.storedVersions[0]: Invalid value: "v0": must appear in spec.versions',
    ]


def test_names_taken_by_another_definition_of_the_group_are_refused() -> None:
    other = widget()
    other["status"] = {"acceptedNames": other["spec"]["names"]}
    mine = widget()
    mine["spec"]["names"] = {"plural": "gadgets", "singular": "gadget", "kind": "Gadget", "shortNames": ["wd"]}
    assert name_conflicts(mine, [other]) == '"wd" is already in use'
    mine["spec"]["group"] = "other.dev"
    assert name_conflicts(mine, [other]) is None
