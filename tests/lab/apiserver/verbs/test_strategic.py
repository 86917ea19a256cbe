"""Strategic merge patch."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.apiserver.schema.merging import UNKNOWN, builtin_merge_schema, crd_merge_schema, object_meta
from lab.apiserver.verbs.strategic import StrategicPatchError, strategic_merge
from tests.examples import examples

SERVICE = builtin_merge_schema("", "v1", "Service")
NODE = builtin_merge_schema("", "v1", "Node")
DEPLOYMENT = builtin_merge_schema("apps", "v1", "Deployment")


def spec(live: Any, patch: Any) -> Any:
    return strategic_merge({"spec": live}, {"spec": patch}, SERVICE)["spec"]


def test_the_schemas_say_how_lists_merge() -> None:
    ports = SERVICE.child("spec").child("ports")
    assert (ports.list_type, ports.keys, ports.patch_key) == ("map", ("port", "protocol"), "port")
    assert ports.defaults == {"protocol": "TCP"}
    assert SERVICE.child("spec").child("selector").is_atomic
    containers = DEPLOYMENT.child("spec").child("template").child("spec").child("containers")
    assert containers.patch_key == "name"
    assert object_meta().child("finalizers").list_type == "set"
    crd = crd_merge_schema({"type": "object", "properties": {"spec": {"type": "object"}}})
    assert crd.child("metadata").child("finalizers").list_type == "set"
    assert builtin_merge_schema("nope", "v1", "Nothing") is UNKNOWN


def test_objects_merge_and_null_deletes() -> None:
    assert spec({"a": 1, "b": {"c": 1, "d": 2}}, {"b": {"c": None, "e": 3}}) == {"a": 1, "b": {"d": 2, "e": 3}}


def test_items_merge_by_their_key_and_new_ones_come_last() -> None:
    live = {"ports": [{"port": 80, "name": "web"}, {"port": 443, "name": "tls"}]}
    merged = spec(live, {"ports": [{"port": 443, "name": "https"}, {"port": 53}]})
    assert merged["ports"] == [{"port": 80, "name": "web"}, {"port": 443, "name": "https"}, {"port": 53}]


def test_an_item_is_deleted_by_directive() -> None:
    live = {"ports": [{"port": 80}, {"port": 443}]}
    assert spec(live, {"ports": [{"port": 80, "$patch": "delete"}]})["ports"] == [{"port": 443}]


def test_a_list_or_an_object_is_replaced_by_directive() -> None:
    live = {"ports": [{"port": 80}, {"port": 443}], "selector": {"a": "b"}}
    assert spec(live, {"ports": [{"$patch": "replace"}, {"port": 53}]})["ports"] == [{"port": 53}]
    assert spec(live, {"selector": {"$patch": "replace", "c": "d"}})["selector"] == {"c": "d"}
    assert spec(live, {"selector": {"$patch": "delete"}})["selector"] == {}


def test_an_order_is_kept_as_asked_and_others_stay_where_they_were() -> None:
    live = {"ports": [{"port": 1}, {"port": 2}, {"port": 3}]}
    patch = {"$setElementOrder/ports": [{"port": 3}, {"port": 1}]}
    assert [each["port"] for each in spec(live, patch)["ports"]] == [2, 3, 1]
    patch = {"$setElementOrder/ports": [{"port": 9}, {"port": 1}], "ports": [{"port": 9}]}
    merged = [each["port"] for each in spec({"ports": [{"port": 1}]}, patch)["ports"]]
    assert merged == [9, 1]


def test_finalizers_are_a_set() -> None:
    live = {"metadata": {"finalizers": ["a/b", "c/d"]}}
    patch = {"metadata": {"finalizers": ["c/d", "e/f"]}}
    assert strategic_merge(live, patch, SERVICE)["metadata"]["finalizers"] == ["a/b", "c/d", "e/f"]
    patch = {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a/b"]}}
    assert strategic_merge(live, patch, SERVICE)["metadata"]["finalizers"] == ["c/d"]


def test_conditions_merge_by_type_and_addresses_too() -> None:
    live = {"status": {"conditions": [{"type": "Ready", "status": "False"}, {"type": "X", "status": "True"}]}}
    patch = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    merged = strategic_merge(live, patch, NODE)["status"]["conditions"]
    assert merged == [{"type": "Ready", "status": "True"}, {"type": "X", "status": "True"}]


def test_only_the_keys_to_retain_stay() -> None:
    live = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}
    patch = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
    assert strategic_merge(live, patch, DEPLOYMENT)["spec"]["strategy"] == {"type": "Recreate"}


def test_a_list_without_a_merge_key_is_replaced() -> None:
    assert spec({"clusterIPs": ["a", "b"]}, {"clusterIPs": ["c"]}) == {"clusterIPs": ["c"]}


@pytest.mark.parametrize(
    "patch",
    [{"ports": [{"name": "x"}]}, {"ports": [{"$patch": "delete"}]}, {"$patch": "explode"}, {"ports": [1]}],
)
def test_a_patch_that_makes_no_sense_is_refused(patch: Any) -> None:
    with pytest.raises(StrategicPatchError):
        spec({"ports": [{"port": 80}]}, patch)


_PORT = st.fixed_dictionaries({"port": st.integers(1, 6)}, optional={"name": st.sampled_from("ab")})
_SPEC = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["ClusterIP", "LoadBalancer"]),
        "ports": st.lists(_PORT, max_size=5, unique_by=lambda port: port["port"]),
        "selector": st.dictionaries(st.sampled_from("abc"), st.sampled_from("xy"), max_size=3),
    },
)


def difference(old: Any, new: Any) -> Any:
    """The patch that kubectl would send to make `new` of `old` (two-way)."""
    patch: dict[str, Any] = {name: None for name in old if name not in new}
    for name, value in new.items():
        if name == "ports":
            former = {port["port"]: port for port in old.get("ports", [])}
            items = [difference(former.get(port["port"], {}), port) | {"port": port["port"]} for port in value]
            gone = former.keys() - {port["port"] for port in value}
            items += [{"port": port, "$patch": "delete"} for port in sorted(gone)]
            patch["ports"] = items
            patch["$setElementOrder/ports"] = [{"port": port["port"]} for port in value]
        elif isinstance(value, dict):
            patch[name] = difference(old.get(name, {}), value)
        elif old.get(name) != value:
            patch[name] = value
    return patch


@given(old=_SPEC, new=_SPEC)
@settings(max_examples=examples(200), deadline=None)
def test_a_difference_applied_gives_the_new_object_and_changes_neither(old: Any, new: Any) -> None:
    before = copy.deepcopy(old)
    patch = difference(old, new)
    assert spec(old, patch) == new
    assert old == before
    assert spec(spec(old, patch), patch) == new
