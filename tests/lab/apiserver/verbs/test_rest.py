"""The verbs beyond what the recordings show: names, dry runs, versions, pages, deletes, negotiation."""

from __future__ import annotations

import asyncio
import io
import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from tests.lab.apiserver.conftest import DEFINITIONS, GADGETS, SERVICES, Client, definition, service

pytestmark = pytest.mark.asyncio
CONFIGMAPS = "/api/v1/namespaces/default/configmaps"
Serve = Callable[..., AbstractAsyncContextManager[Client]]


def config(name: str, **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "data": data} if data else {"metadata": {"name": name}}


async def test_a_name_is_made_from_generate_name(api: Client) -> None:
    body = {"metadata": {"generateName": "web-"}}
    _, first = await api.post(CONFIGMAPS, body)
    _, second = await api.post(CONFIGMAPS, body)
    assert re.fullmatch(r"web-[a-z0-9]{5}", first["metadata"]["name"])
    assert first["metadata"]["name"] != second["metadata"]["name"]


async def test_an_object_without_a_name_is_invalid(api: Client) -> None:
    code, answer = await api.post(CONFIGMAPS, {"metadata": {}})
    assert code == 422
    assert "name or generateName is required" in answer["message"]


async def test_name_and_namespace_must_be_those_of_the_path(api: Client) -> None:
    code, _ = await api.call("PUT", f"{CONFIGMAPS}/a", config("b"))
    assert code == 400
    code, answer = await api.post(CONFIGMAPS, {"metadata": {"name": "a", "namespace": "other"}})
    assert (code, answer["reason"]) == (400, "BadRequest")


async def test_what_the_client_says_of_uid_and_version_at_creation_does_not_stick(api: Client) -> None:
    mine = {"metadata": {"name": "a", "uid": "mine", "generation": 7, "deletionTimestamp": "2020-01-01T00:00:00Z"}}
    _, answer = await api.post(CONFIGMAPS, mine)
    assert answer["metadata"]["uid"] != "mine"
    assert "deletionTimestamp" not in answer["metadata"]
    code, answer = await api.post(CONFIGMAPS, {"metadata": {"name": "b", "resourceVersion": "7"}})
    assert (code, answer["message"]) == (500, "resourceVersion should not be set on objects to be created")


async def test_a_dry_run_answers_and_keeps_nothing(api: Client) -> None:
    version = api.server.core.store.revision
    code, answer = await api.post(f"{SERVICES}?dryRun=All", service("a"))
    assert code == 201
    assert answer["spec"]["clusterIP"]
    await api.post(SERVICES, service("b"))
    await api.patch(f"{SERVICES}/b?dryRun=All", {"metadata": {"labels": {"x": "y"}}})
    await api.delete(f"{SERVICES}/b?dryRun=All")
    await api.delete(f"{SERVICES}/b", {"kind": "DeleteOptions", "apiVersion": "v1", "dryRun": ["All"]})
    assert (await api.get(f"{SERVICES}/a"))[0] == 404
    _, kept = await api.get(f"{SERVICES}/b")
    assert "labels" not in kept["metadata"]
    assert api.server.core.store.revision == version + 1


async def test_a_put_without_a_version_is_taken_for_built_in_kinds(api: Client) -> None:
    await api.post(CONFIGMAPS, config("a", x="1"))
    code, answer = await api.call("PUT", f"{CONFIGMAPS}/a", config("a", x="2"))
    assert (code, answer["data"]) == (200, {"x": "2"})


async def test_a_put_with_the_uid_of_another_object_is_a_conflict(api: Client) -> None:
    await api.post(CONFIGMAPS, config("a"))
    body = config("a", x="2")
    body["metadata"]["uid"] = "00000000-0000-0000-0000-000000000000"
    code, answer = await api.call("PUT", f"{CONFIGMAPS}/a", body)
    assert (code, answer["reason"]) == (409, "Conflict")
    assert "Precondition failed: UID in precondition" in answer["message"]


async def test_leases_are_created_by_put_and_configmaps_are_not(api: Client) -> None:
    path = "/apis/coordination.k8s.io/v1/namespaces/default/leases/a"
    code, _ = await api.call("PUT", path, {"metadata": {"name": "a"}, "spec": {}})
    assert code == 201
    assert (await api.call("PUT", f"{CONFIGMAPS}/a", config("a")))[0] == 404


async def test_a_list_in_pages_shows_one_moment(api: Client) -> None:
    for name in "abcd":
        await api.post(CONFIGMAPS, config(name))
    _, first = await api.get(f"{CONFIGMAPS}?limit=2")
    assert first["metadata"]["remainingItemCount"] == 2
    await api.delete(f"{CONFIGMAPS}/c")
    await api.patch(f"{CONFIGMAPS}/d", {"data": {"later": "1"}})
    await api.post(CONFIGMAPS, config("e"))
    _, second = await api.get(f"{CONFIGMAPS}?limit=2&continue={first['metadata']['continue']}")
    names = [one["metadata"]["name"] for one in first["items"] + second["items"]]
    assert names == ["a", "b", "c", "d"]
    assert "data" not in second["items"][1]
    assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    assert "continue" not in second["metadata"]


async def test_a_page_of_a_moment_that_is_forgotten_is_gone(api: Client) -> None:
    for name in "abc":
        await api.post(CONFIGMAPS, config(name))
    _, first = await api.get(f"{CONFIGMAPS}?limit=2")
    await api.delete(f"{CONFIGMAPS}/c")
    api.server.forget_history()
    code, answer = await api.get(f"{CONFIGMAPS}?limit=2&continue={first['metadata']['continue']}")
    assert (code, answer["reason"]) == (410, "Expired")


async def test_a_list_can_be_asked_for_exactly_one_version(api: Client) -> None:
    _, one = await api.post(CONFIGMAPS, config("a", x="1"))
    await api.patch(f"{CONFIGMAPS}/a", {"data": {"x": "2"}})
    version = one["metadata"]["resourceVersion"]
    _, answer = await api.get(f"{CONFIGMAPS}?resourceVersion={version}&resourceVersionMatch=Exact")
    assert [item["data"] for item in answer["items"]] == [{"x": "1"}]
    assert answer["metadata"]["resourceVersion"] == version
    code, _ = await api.get(f"{CONFIGMAPS}?resourceVersionMatch=Exact")
    assert code == 422


async def test_a_list_waits_for_a_version_that_is_about_to_come(api: Client) -> None:
    version = api.server.core.store.revision + 1
    async with asyncio.TaskGroup() as group:
        asked = group.create_task(api.get(f"{CONFIGMAPS}?resourceVersion={version}"))
        await asyncio.sleep(0.05)
        assert not asked.done()
        await api.post(CONFIGMAPS, config("a"))
    assert [one["metadata"]["name"] for one in asked.result()[1]["items"]] == ["a"]


async def test_items_of_built_in_lists_come_without_kind(api: Client) -> None:
    await api.post(CONFIGMAPS, config("a"))
    _, answer = await api.get(CONFIGMAPS)
    assert answer["kind"] == "ConfigMapList"
    assert "kind" not in answer["items"][0]
    assert "apiVersion" not in answer["items"][0]


async def test_lists_over_all_namespaces_are_in_order_of_namespace_and_name(api: Client) -> None:
    for namespace, name in (("kube-system", "a"), ("default", "b"), ("default", "a")):
        await api.post(f"/api/v1/namespaces/{namespace}/configmaps", config(name))
    _, answer = await api.get("/api/v1/configmaps")
    found = [(one["metadata"]["namespace"], one["metadata"]["name"]) for one in answer["items"]]
    assert found == [("default", "a"), ("default", "b"), ("kube-system", "a")]


async def test_a_collection_is_deleted_by_selector(api: Client) -> None:
    for name, label in (("a", "x"), ("b", "y")):
        await api.post(CONFIGMAPS, {"metadata": {"name": name, "labels": {"k": label}}})
    _, answer = await api.delete(f"{CONFIGMAPS}?labelSelector=k%3Dx")
    assert [one["metadata"]["name"] for one in answer["items"]] == ["a"]
    assert (await api.get(f"{CONFIGMAPS}/b"))[0] == 200


async def test_marking_for_deletion_raises_the_generation(api: Client) -> None:
    path = "/apis/apps/v1/namespaces/default/deployments"
    labels = {"app": "a"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    body: dict[str, Any] = {
        "metadata": {"name": "a", "finalizers": ["a.example/b"]},
        "spec": {"selector": {"matchLabels": labels}},
    }
    body["spec"]["template"] = template
    code, _ = await api.post(path, body)
    assert code == 201
    _, marked = await api.delete(f"{path}/a")
    assert marked["metadata"]["generation"] == 2
    assert marked["metadata"]["deletionTimestamp"]


async def test_unknown_fields_are_warned_of_unless_the_client_wants_otherwise(api: Client) -> None:
    await api.post(DEFINITIONS, definition())
    body = {"metadata": {"name": "a"}, "spec": {"size": 1, "unknown": 2}}
    code, _ = await api.post(GADGETS, body)
    assert code == 201
    assert api.headers["Warning"] == '299 - "unknown field \\"spec.unknown\\""'
    body["metadata"] = {"name": "b"}
    await api.post(f"{GADGETS}?fieldValidation=Ignore", body)
    assert "Warning" not in api.headers


async def test_custom_objects_need_a_version_in_a_put(api: Client) -> None:
    await api.post(DEFINITIONS, definition())
    await api.post(GADGETS, {"metadata": {"name": "a"}, "spec": {}})
    code, answer = await api.call("PUT", f"{GADGETS}/a", {"metadata": {"name": "a"}, "spec": {"size": 1}})
    assert code == 422
    assert "metadata.resourceVersion: Invalid value: 0: must be specified for an update" in answer["message"]


async def test_a_definition_goes_after_its_objects(api: Client) -> None:
    await api.post(DEFINITIONS, definition())
    await api.post(GADGETS, {"metadata": {"name": "a", "finalizers": ["a.example/b"]}, "spec": {}})
    code, answer = await api.delete(f"{DEFINITIONS}/gadgets.example.dev")
    assert code == 200
    assert answer["metadata"]["finalizers"] == ["customresourcecleanup.apiextensions.k8s.io"]
    _, gadget = await api.get(f"{GADGETS}/a")
    assert gadget["metadata"]["deletionTimestamp"]
    await api.patch(f"{GADGETS}/a", {"metadata": {"finalizers": None}})
    assert (await api.get(f"{DEFINITIONS}/gadgets.example.dev"))[0] == 404
    assert (await api.get(GADGETS))[1] == "404 page not found\n"


async def test_a_changed_definition_is_in_force_at_once(api: Client) -> None:
    await api.post(DEFINITIONS, definition())
    await api.post(GADGETS, {"metadata": {"name": "a"}, "spec": {"size": 1}})
    changed = definition()
    properties = changed["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    properties["spec"]["properties"]["size"]["maximum"] = 5
    await api.patch(f"{DEFINITIONS}/gadgets.example.dev", {"spec": changed["spec"]})
    code, answer = await api.post(GADGETS, {"metadata": {"name": "b"}, "spec": {"size": 6}})
    assert code == 422
    assert "should be less than or equal to 5" in answer["message"]


async def test_a_second_definition_of_the_same_kind_is_not_served(api: Client) -> None:
    await api.post(DEFINITIONS, definition())
    twin = definition()
    twin["metadata"]["name"] = "twins.example.dev"
    twin["spec"]["names"] = {"plural": "twins", "kind": "Gadget"}
    await api.post(DEFINITIONS, twin)
    _, answer = await api.get(f"{DEFINITIONS}/twins.example.dev")
    conditions = {one["type"]: one["status"] for one in answer["status"]["conditions"]}
    assert conditions == {"NamesAccepted": "False", "Established": "False"}
    assert (await api.get("/apis/example.dev/v1/twins"))[0] == 404


async def test_clients_that_prefer_protobuf_get_json(api: Client) -> None:
    code, answer = await api.get(SERVICES, Accept="application/vnd.kubernetes.protobuf,application/json")
    assert (code, answer["kind"]) == (200, "ServiceList")
    code, answer = await api.get(SERVICES, Accept="application/vnd.kubernetes.protobuf")
    assert (code, answer["reason"]) == (406, "NotAcceptable")


async def test_metadata_alone_can_be_asked_for(api: Client) -> None:
    await api.post(SERVICES, service("a"))
    accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
    _, answer = await api.get(SERVICES, Accept=accept)
    assert answer["kind"] == "PartialObjectMetadataList"
    assert next(set(one) for one in answer["items"]) == {"kind", "apiVersion", "metadata"}


async def test_an_answer_can_be_asked_to_be_pretty(api: Client) -> None:
    async with api.session.get(
        f"{api.server.url}{SERVICES}?pretty=true", headers={"Authorization": f"Bearer {api.server.admin_token}"}
    ) as response:
        assert '\n  "kind": "ServiceList"' in await response.text()


async def test_a_body_that_is_too_large_or_no_json_is_refused(api: Client) -> None:
    large = io.BytesIO(b"{" + b" " * (3 * 1024 * 1024) + b"}")
    assert (await api.call("POST", CONFIGMAPS, large))[0] == 413
    assert (await api.post(CONFIGMAPS, b"{not json"))[0] == 400
    assert (await api.call("POST", CONFIGMAPS, b"x", Content_Type="text/html"))[0] == 415


async def test_methods_that_a_resource_does_not_have_are_refused(api: Client) -> None:
    assert (await api.delete("/api/v1/namespaces"))[0] == 405
    assert (await api.post(f"{SERVICES}/a/status", {}))[0] == 405
    assert (await api.get(f"{SERVICES}/a/nonsense"))[0] == 404


async def test_custom_objects_take_no_strategic_patch(api: Client) -> None:
    await api.post(DEFINITIONS, definition())
    await api.post(GADGETS, {"metadata": {"name": "a"}, "spec": {}})
    code, answer = await api.patch(f"{GADGETS}/a", {}, "application/strategic-merge-patch+json")
    assert (code, answer["reason"]) == (415, "UnsupportedMediaType")


async def test_an_event_written_in_one_group_is_read_in_the_other(api: Client) -> None:
    event: dict[str, Any] = {
        "metadata": {"name": "e"},
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "action": "Allocate",
        "reason": "IPAllocated",
        "regarding": {"kind": "Service", "namespace": "default", "name": "web"},
        "note": "hello",
        "type": "Normal",
        "reportingController": "example.dev/allocator",
        "reportingInstance": "a-0",
    }
    await api.post("/apis/events.k8s.io/v1/namespaces/default/events", event)
    _, core = await api.get("/api/v1/namespaces/default/events/e")
    assert (core["message"], core["involvedObject"]["name"]) == ("hello", "web")
    assert core["reportingComponent"] == "example.dev/allocator"
    _, selected = await api.get("/api/v1/namespaces/default/events?fieldSelector=involvedObject.name%3Dweb")
    assert len(selected["items"]) == 1
    _, patched = await api.patch("/apis/events.k8s.io/v1/namespaces/default/events/e", {"note": "again"})
    assert (patched["kind"], patched["note"]) == ("Event", "again")
    event["metadata"]["name"] = "f"
    event["regarding"]["namespace"] = "elsewhere"
    code, answer = await api.post("/apis/events.k8s.io/v1/namespaces/default/events", event)
    assert code == 422
    assert "does not match event.namespace" in answer["message"]


async def test_a_second_program_that_writes_a_status_is_named_as_the_manager_of_what_it_wrote(api: Client) -> None:
    await api.post(SERVICES, {**service("a"), "spec": {**service("a")["spec"], "type": "LoadBalancer"}})
    path = f"{SERVICES}/a/status?fieldManager="
    for program, address in (("one", "192.0.2.1"), ("one", "192.0.2.2"), ("other", "192.0.2.3")):
        await api.patch(f"{path}{program}", {"status": {"loadBalancer": {"ingress": [{"ip": address}]}}})
    _, stored = await api.get(f"{SERVICES}/a")
    (entry,) = stored["metadata"]["managedFields"]
    assert (entry["manager"], entry["subresource"]) == ("other", "status")
    assert "f:loadBalancer" in entry["fieldsV1"]["f:status"]
