"""Server-side apply and managedFields."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.apiserver.schema.merging import builtin_merge_schema, crd_merge_schema
from lab.apiserver.verbs.apply import Conflict, FieldManager, apply, track_update
from lab.apiserver.verbs.fieldsets import compare, fields_of, format_fields, merge, parse_fields, path_text, remove
from tests.examples import examples
from tests.lab.apiserver.replay import steps_of

STEPS = steps_of("server-side-apply")
CRD = steps_of("custom-resources")[0]["request"]["body"]
WIDGET = crd_merge_schema(CRD["spec"]["versions"][0]["schema"]["openAPIV3Schema"])
SERVICE = builtin_merge_schema("", "v1", "Service")
TIME = "2026-11-23T07:01:06Z"


def applied(live: Any, config: Any, manager: str, *, force: bool = False, schema: Any = SERVICE) -> Any:
    config = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}} | config
    return apply(live, config, FieldManager(manager, "v1", TIME), schema, force=force, ignored=frozenset({"status"}))


def owners(obj: Any) -> dict[str, Any]:
    return {entry["manager"]: entry["fieldsV1"] for entry in obj["metadata"].get("managedFields", [])}


def test_a_recorded_story_goes_as_on_a_real_server() -> None:
    live: Any = None
    for step in STEPS:
        request, response = step["request"], step["response"]
        if request["method"] != "PATCH":
            continue
        path, _, query = request["path"].partition("?")
        subresource = "status" if path.endswith("/status") else ""
        name = query.partition("fieldManager=")[2].partition("&")[0]
        outcome = apply(
            live,
            request["body"],
            FieldManager(name, "example.dev/v1", TIME, subresource),
            WIDGET,
            force="force=true" in query,
            ignored=frozenset({"spec", "metadata"} if subresource else {"status"}),
        )
        if isinstance(outcome, Conflict):
            assert outcome.status() == response["body"]
            continue
        live = outcome
        recorded = response["body"]
        assert live["metadata"]["managedFields"] == recorded["metadata"]["managedFields"]
        assert live.get("status") == recorded.get("status")
        assert live["spec"].items() <= recorded["spec"].items()  # the server adds its defaults afterwards


def test_applying_the_same_again_changes_nothing() -> None:
    config = {"spec": {"ports": [{"port": 80}], "type": "LoadBalancer"}}
    live = applied(None, config, "me")
    assert applied(live, config, "me") is live


def test_another_managers_field_is_a_conflict_until_forced() -> None:
    live = applied(None, {"spec": {"type": "LoadBalancer", "sessionAffinity": "None"}}, "one")
    outcome = applied(live, {"spec": {"type": "NodePort", "sessionAffinity": "ClientIP"}}, "two")
    assert isinstance(outcome, Conflict)
    assert outcome.message() == (
        'Apply failed with 2 conflicts: conflicts with "one":\n- .spec.sessionAffinity\n- .spec.type'
    )
    forced = applied(live, {"spec": {"type": "NodePort"}}, "two", force=True)
    assert owners(forced) == {"one": {"f:spec": {"f:sessionAffinity": {}}}, "two": {"f:spec": {"f:type": {}}}}


def test_the_same_value_is_owned_together() -> None:
    live = applied(None, {"spec": {"type": "LoadBalancer"}}, "one")
    both = applied(live, {"spec": {"type": "LoadBalancer"}}, "two")
    assert set(owners(both)) == {"one", "two"}
    kept = applied(both, {"spec": {}}, "one")
    assert kept["spec"]["type"] == "LoadBalancer"  # two still wants it


def test_what_is_applied_no_longer_goes_when_nobody_else_owns_it() -> None:
    live = applied(
        None, {"metadata": {"name": "s", "labels": {"a": "1", "b": "2"}}, "spec": {"type": "NodePort"}}, "me"
    )
    less = applied(live, {"metadata": {"name": "s", "labels": {"a": "1"}}, "spec": {"type": "NodePort"}}, "me")
    assert less["metadata"]["labels"] == {"a": "1"}


def test_items_of_a_map_list_have_owners_of_their_own() -> None:
    live = applied(None, {"spec": {"ports": [{"port": 80, "name": "web"}]}}, "one")
    live = applied(live, {"spec": {"ports": [{"port": 443, "name": "tls"}]}}, "two")
    assert [port["port"] for port in live["spec"]["ports"]] == [80, 443]
    key = 'k:{"port":80,"protocol":"TCP"}'
    assert owners(live)["one"]["f:spec"]["f:ports"] == {key: {".": {}, "f:name": {}, "f:port": {}}}
    gone = applied(live, {"spec": {"ports": []}}, "one")
    assert [port["port"] for port in gone["spec"]["ports"]] == [443]


def test_a_set_is_merged() -> None:
    live = applied(None, {"metadata": {"name": "s", "finalizers": ["a/b"]}}, "one")
    live = applied(live, {"metadata": {"name": "s", "finalizers": ["c/d"]}}, "two")
    assert live["metadata"]["finalizers"] == ["a/b", "c/d"]
    assert owners(live)["two"] == {"f:metadata": {"f:finalizers": {'v:"c/d"': {}}}}


def test_an_atomic_object_is_replaced_whole() -> None:
    live = applied(None, {"spec": {"selector": {"a": "b"}}}, "one")
    changed = applied(live, {"spec": {"selector": {"c": "d"}}}, "one")
    assert changed["spec"]["selector"] == {"c": "d"}


# Updates


def service() -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "s", "labels": {"a": "b"}},
        "spec": {"ports": [{"port": 80, "protocol": "TCP"}], "selector": {"app": "x"}, "type": "LoadBalancer"},
        "status": {"loadBalancer": {}},
    }


CREATOR = FieldManager("kubectl-create", "v1", TIME)
BERTH = FieldManager("berth", "v1", "2026-11-23T07:02:00Z", "status")


def test_a_created_object_belongs_to_its_creator() -> None:
    obj = service()
    track_update(None, obj, CREATOR, SERVICE)
    [entry] = obj["metadata"]["managedFields"]
    assert (entry["operation"], entry["manager"], entry["fieldsType"]) == ("Update", "kubectl-create", "FieldsV1")
    assert entry["fieldsV1"] == {
        "f:metadata": {"f:labels": {".": {}, "f:a": {}}},
        "f:spec": {
            "f:ports": {".": {}, 'k:{"port":80,"protocol":"TCP"}': {".": {}, "f:port": {}, "f:protocol": {}}},
            "f:selector": {},
            "f:type": {},
        },
    }


def test_a_changed_field_moves_to_who_changed_it_and_the_rest_stays() -> None:
    old = service()
    track_update(None, old, CREATOR, SERVICE)
    new = copy.deepcopy(old)
    new["status"]["loadBalancer"]["ingress"] = [{"ip": "192.0.2.1"}]
    new["metadata"]["labels"]["a"] = "c"
    track_update(old, new, BERTH, SERVICE)
    mine = {"f:metadata": {"f:labels": {"f:a": {}}}, "f:status": {"f:loadBalancer": {"f:ingress": {}}}}
    assert owners(new)["berth"] == mine
    assert "f:a" not in owners(new)["kubectl-create"]["f:metadata"]["f:labels"]


def test_a_removed_field_has_no_owner() -> None:
    old = service()
    track_update(None, old, CREATOR, SERVICE)
    new = copy.deepcopy(old)
    del new["metadata"]["labels"]
    track_update(old, new, BERTH, SERVICE)
    assert set(owners(new)) == {"kubectl-create"}
    assert "f:metadata" not in owners(new)["kubectl-create"]


def test_no_change_leaves_the_bookkeeping_as_it_was() -> None:
    old = service()
    track_update(None, old, CREATOR, SERVICE)
    new = copy.deepcopy(old)
    del new["metadata"]["managedFields"]  # a PUT that does not mention it
    track_update(old, new, BERTH, SERVICE)
    assert new == old


def test_an_empty_list_resets_it() -> None:
    old = service()
    track_update(None, old, CREATOR, SERVICE)
    new = copy.deepcopy(old)
    new["metadata"]["managedFields"] = [{}]
    track_update(old, new, BERTH, SERVICE)
    assert "managedFields" not in new["metadata"]


def test_a_conflict_with_an_update_names_its_version() -> None:
    live = service()
    track_update(None, live, CREATOR, SERVICE)
    outcome = applied(live, {"spec": {"type": "NodePort"}}, "me")
    assert isinstance(outcome, Conflict)
    assert outcome.message() == 'Apply failed with 1 conflict: conflict with "kubectl-create" using v1: .spec.type'


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (("f:spec", "f:size"), ".spec.size"),
        (("f:spec", "f:ports", 'k:{"port":80,"protocol":"TCP"}', "f:name"), '.spec.ports[port=80,protocol="TCP"].name'),
        (("f:metadata", "f:finalizers", 'v:"a/b"'), '.metadata.finalizers[="a/b"]'),
    ],
)
def test_a_path_reads_as_kubernetes_writes_it(path: tuple[str, ...], text: str) -> None:
    assert path_text(path) == text


_PORTS = st.lists(
    st.fixed_dictionaries({"port": st.integers(1, 4)}, optional={"name": st.sampled_from("ab")}),
    max_size=3,
    unique_by=lambda port: port["port"],
)
_CONFIG = st.fixed_dictionaries(
    {},
    optional={
        "metadata": st.fixed_dictionaries(
            {"name": st.just("s")},
            optional={
                "labels": st.dictionaries(st.sampled_from("abc"), st.sampled_from("xy"), max_size=2),
                "finalizers": st.lists(st.sampled_from(["a/a", "b/b"]), unique=True),
            },
        ),
        "spec": st.fixed_dictionaries(
            {},
            optional={
                "type": st.sampled_from(["NodePort", "LoadBalancer"]),
                "ports": _PORTS,
                "selector": st.dictionaries(st.sampled_from("ab"), st.just("x"), max_size=2),
            },
        ),
    },
)


@given(configs=st.lists(st.tuples(st.sampled_from(["one", "two"]), _CONFIG), min_size=1, max_size=5))
@settings(max_examples=examples(150), deadline=None)
def test_after_a_forced_apply_the_object_holds_what_was_applied_and_again_is_no_change(configs: Any) -> None:
    live: Any = None
    for manager, config in configs:
        live = applied(live, config, manager, force=True)
        wanted = {"spec": config.get("spec", {})}
        assert merge({"spec": live.get("spec", {})}, wanted, SERVICE) == {"spec": live.get("spec", {})}
        assert applied(live, config, manager) is live


@given(old=_CONFIG, new=_CONFIG)
@settings(max_examples=examples(150), deadline=None)
def test_sets_survive_their_written_form_and_what_is_removed_is_gone(old: Any, new: Any) -> None:
    owned = fields_of(new, SERVICE)
    assert parse_fields(format_fields(owned)) == owned
    if compare(old, new, SERVICE):
        assert old != new
    assert not compare(new, copy.deepcopy(new), SERVICE)
    remaining = fields_of(remove(new, owned, SERVICE), SERVICE)
    assert not remaining & owned
