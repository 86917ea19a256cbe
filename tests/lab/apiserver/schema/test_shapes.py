"""Built-in kinds are read as Go reads them: unknown fields go, wrong types are refused."""

from __future__ import annotations

from typing import Any

import pytest

from lab.apiserver.kinds.builtins import BUILTINS
from lab.apiserver.schema.shapes import Anything, Reading, shape_of
from tests.lab.apiserver.conftest import SERVICES, Client, service


def read(kind: str, obj: dict[str, Any]) -> Reading:
    reading = Reading()
    shape_of("", "v1", kind).read(obj, "", reading)
    return reading


def test_every_built_in_kind_has_a_shape() -> None:
    unshaped = [one.kind for one in BUILTINS if isinstance(shape_of(one.group, one.version, one.kind), Anything)]
    assert unshaped == []


def test_unknown_fields_are_dropped_at_any_depth() -> None:
    obj: dict[str, Any] = {"metadata": {"name": "a", "x": 1}, "spec": {"ports": [{"port": 1, "y": 2}]}, "z": 3}
    assert read("Service", obj).unknown == ["metadata.x", "spec.ports[0].y", "z"]
    assert obj == {"metadata": {"name": "a"}, "spec": {"ports": [{"port": 1}]}}


def test_keys_of_maps_are_free_and_nulls_mean_nothing() -> None:
    obj = {"metadata": {"labels": {"any": "thing"}, "annotations": None}, "spec": {"clusterIP": None}}
    reading = read("Service", obj)
    assert (reading.unknown, reading.error) == ([], None)
    assert obj == {"metadata": {"labels": {"any": "thing"}}, "spec": {}}


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        ({"ports": [{"port": "80"}]}, "json: cannot unmarshal string into Go struct field ServicePort.spec.ports.port"),
        ({"ports": {}}, "json: cannot unmarshal object into Go struct field ServiceSpec.spec.ports of type []"),
        ({"selector": {"a": 1}}, "json: cannot unmarshal number into Go struct field ServiceSpec.spec.selector.a"),
        ({"allocateLoadBalancerNodePorts": "no"}, "of type bool"),
        ({"type": True}, "cannot unmarshal bool into Go struct field ServiceSpec.spec.type of type string"),
    ],
)
def test_a_wrong_type_is_named(spec: dict[str, Any], complaint: str) -> None:
    assert complaint in (read("Service", {"spec": spec}).error or "")


def test_a_target_port_is_a_number_or_a_name() -> None:
    for target in (80, "http"):
        assert read("Service", {"spec": {"ports": [{"targetPort": target}]}}).error is None


@pytest.mark.asyncio
async def test_a_create_with_a_wrong_type_is_a_bad_request_and_a_patch_is_invalid(api: Client) -> None:
    code, answer = await api.post(SERVICES, service("a", ports="none"))
    assert (code, answer["reason"]) == (400, "BadRequest")
    assert answer["message"].startswith(
        'Service in version "v1" cannot be handled as a Service: json: cannot unmarshal'
    )
    await api.post(SERVICES, service("a"))
    code, answer = await api.patch(f"{SERVICES}/a", {"spec": {"ports": "none"}})
    assert (code, answer["reason"]) == (422, "Invalid")
    assert (await api.post(SERVICES, {"metadata": {"name": 7}}))[0] == 400
    assert (await api.patch(f"{SERVICES}/a", {"metadata": {"labels": ["a"]}}))[0] == 422


@pytest.mark.asyncio
async def test_unknown_fields_of_built_in_kinds_are_warned_of_and_not_kept(api: Client) -> None:
    body = service("a", colour="red")
    code, answer = await api.post(f"{SERVICES}?fieldValidation=Strict", body)
    assert code == 400
    assert answer["message"].endswith('strict decoding error: unknown field "spec.colour"')
    _, answer = await api.post(SERVICES, body)
    assert "colour" not in answer["spec"]
    assert 'unknown field \\"spec.colour\\"' in api.headers["Warning"]
    code, answer = await api.patch(f"{SERVICES}/a?fieldValidation=Strict", {"spec": {"colour": "red"}})
    assert (code, answer["reason"]) == (422, "Invalid")
    assert 'strict decoding error: unknown field "spec.colour"' in answer["message"]
