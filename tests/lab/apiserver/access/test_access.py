"""Tokens, impersonation and RBAC, as a client with few rights meets them."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from tests.lab.apiserver.conftest import SERVICES, Client, service

pytestmark = pytest.mark.asyncio
RBAC = "/apis/rbac.authorization.k8s.io/v1"
TOKEN = "/api/v1/namespaces/default/serviceaccounts/{}/token"


async def grant(api: Client, subject: dict[str, Any], rule: dict[str, Any], namespace: str = "") -> None:
    where = f"/namespaces/{namespace}" if namespace else ""
    kind = "Role" if namespace else "ClusterRole"
    base = f"{RBAC}{where}/{'' if namespace else 'cluster'}role"
    await api.post(f"{base}s", {"metadata": {"name": "r"}, "rules": [rule]})
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": "r"}
    code, answer = await api.post(
        f"{base}bindings", {"metadata": {"name": "r"}, "roleRef": reference, "subjects": [subject]}
    )
    assert code == 201, answer


def rule(*verbs: str, resources: tuple[str, ...] = ("services",), **more: Any) -> dict[str, Any]:
    return {"apiGroups": [""], "resources": list(resources), "verbs": list(verbs)} | more


def user(api: Client, name: str, *groups: str) -> Client:
    return Client(api.server, api.session, api.server.core.add_user(name, groups))


async def test_nobody_may_see_health_and_version_only(api: Client) -> None:
    async with api.session.get(f"{api.server.url}/readyz") as response:
        assert await response.text() == "ok"
    async with api.session.get(f"{api.server.url}{SERVICES}") as response:
        answer = await response.json()
        assert (response.status, answer["reason"]) == (403, "Forbidden")
        assert 'User "system:anonymous" cannot list resource "services"' in answer["message"]
    async with api.session.get(f"{api.server.url}/apis") as response:
        assert response.status == 403


async def test_rights_hold_for_verb_resource_and_namespace(api: Client) -> None:
    bob = user(api, "bob")
    await grant(api, {"kind": "User", "name": "bob"}, rule("list", "create"), namespace="default")
    assert (await bob.get(SERVICES))[0] == 200
    assert (await bob.post(SERVICES, service("a")))[0] == 201
    code, answer = await bob.delete(f"{SERVICES}/a")
    assert code == 403
    assert answer["message"] == (
        'services "a" is forbidden: User "bob" cannot delete resource "services" in API group "" '
        'in the namespace "default"'
    )
    assert (await bob.get("/api/v1/namespaces/kube-system/services"))[0] == 403
    assert (await bob.get("/api/v1/services"))[0] == 403


async def test_a_subresource_is_a_right_of_its_own(api: Client) -> None:
    bob = user(api, "bob")
    await grant(api, {"kind": "User", "name": "bob"}, rule("patch", resources=("services/status",)))
    await api.post(SERVICES, service("a"))
    assert (await bob.patch(f"{SERVICES}/a/status", {"status": {}}))[0] == 200
    assert (await bob.patch(f"{SERVICES}/a", {"metadata": {}}))[0] == 403


async def test_rights_can_be_given_for_some_names_and_to_groups(api: Client) -> None:
    bob = user(api, "bob", "builders")
    await grant(api, {"kind": "Group", "name": "builders"}, rule("get", resourceNames=["a"]))
    await api.post(SERVICES, service("a"))
    assert (await bob.get(f"{SERVICES}/a"))[0] == 200
    assert (await bob.get(f"{SERVICES}/b"))[0] == 403


async def test_a_right_to_list_some_names_is_good_for_a_list_by_name(api: Client) -> None:
    bob = user(api, "bob")
    await grant(api, {"kind": "User", "name": "bob"}, rule("list", resourceNames=["a"]))
    assert (await bob.get(f"{SERVICES}?fieldSelector=metadata.name%3Da"))[0] == 200
    for refused in ("", "?fieldSelector=metadata.name%3Db", "?fieldSelector=metadata.name!%3Da", "?fieldSelector=x"):
        assert (await bob.get(f"{SERVICES}{refused}"))[0] == 403


async def test_a_right_taken_away_is_gone_at_once(api: Client) -> None:
    bob = user(api, "bob")
    await grant(api, {"kind": "User", "name": "bob"}, rule("list"))
    assert (await bob.get(SERVICES))[0] == 200
    await api.delete(f"{RBAC}/clusterrolebindings/r")
    assert (await bob.get(SERVICES))[0] == 403


async def test_an_issued_token_is_its_service_account(api: Client) -> None:
    code, answer = await api.post(TOKEN.format("default"), {"spec": {"expirationSeconds": 600}})
    assert code == 201
    token = answer["status"]["token"]
    speaker = Client(api.server, api.session, token)
    _, me = await speaker.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", {})
    info = me["status"]["userInfo"]
    assert info["username"] == "system:serviceaccount:default:default"
    assert info["groups"] == ["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"]
    assert (await speaker.get(SERVICES))[0] == 403
    await grant(api, {"kind": "ServiceAccount", "name": "default", "namespace": "default"}, rule("list"))
    assert (await speaker.get(SERVICES))[0] == 200
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    assert claims["exp"] - claims["iat"] == 600


async def test_a_token_dies_with_its_account_and_a_forged_one_never_lived(api: Client) -> None:
    await api.post("/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "x"}})
    _, answer = await api.post(TOKEN.format("x"), {})
    token = answer["status"]["token"]
    holder = Client(api.server, api.session, token)
    assert (await holder.get("/api"))[0] == 200
    await api.delete("/api/v1/namespaces/default/serviceaccounts/x")
    assert (await holder.get("/api"))[0] == 401
    await api.post("/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "x"}})
    assert (await holder.get("/api"))[0] == 401
    head, body, _ = answer["status"]["token"].split(".")
    forger = Client(api.server, api.session, f"{head}.{body}.{'A' * 43}")
    assert (await forger.get("/api"))[0] == 401


async def test_a_token_bound_to_a_pod_names_its_node(api: Client) -> None:
    await api.post("/api/v1/nodes", {"metadata": {"name": "n1"}})
    pod = {"metadata": {"name": "p"}, "spec": {"nodeName": "n1", "containers": [{"name": "c", "image": "i"}]}}
    _, made = await api.post("/api/v1/namespaces/default/pods", pod)
    reference = {"kind": "Pod", "apiVersion": "v1", "name": "p", "uid": made["metadata"]["uid"]}
    _, answer = await api.post(TOKEN.format("default"), {"spec": {"boundObjectRef": reference}})
    holder = Client(api.server, api.session, answer["status"]["token"])
    _, me = await holder.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", {})
    extra = me["status"]["userInfo"]["extra"]
    assert extra["authentication.kubernetes.io/node-name"] == ["n1"]
    assert extra["authentication.kubernetes.io/pod-name"] == ["p"]
    await api.delete("/api/v1/namespaces/default/pods/p")
    assert (await holder.get("/api"))[0] == 401


async def test_a_short_life_or_an_unknown_account_is_refused(api: Client) -> None:
    code, answer = await api.post(TOKEN.format("default"), {"spec": {"expirationSeconds": 10}})
    assert code == 422
    assert "may not specify a duration less than 10 minutes" in answer["message"]
    assert (await api.post(TOKEN.format("nobody"), {}))[0] == 404


async def test_reviews_answer_for_oneself_and_for_others(api: Client) -> None:
    bob = user(api, "bob")
    await grant(api, {"kind": "User", "name": "bob"}, rule("list"))
    question = {"spec": {"resourceAttributes": {"verb": "list", "resource": "services"}}}
    _, answer = await bob.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", question)
    assert answer["status"] == {"allowed": True}
    question["spec"]["user"] = "eve"  # type: ignore[assignment]
    _, answer = await api.post("/apis/authorization.k8s.io/v1/subjectaccessreviews", question)
    assert answer["status"] == {"allowed": False}
    assert (await bob.post("/apis/authorization.k8s.io/v1/subjectaccessreviews", question))[0] == 403
    _, answer = await bob.post(
        "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", {"spec": {"namespace": "default"}}
    )
    assert rule("list") in answer["status"]["resourceRules"]


async def test_a_token_review_says_whose_it_is(api: Client) -> None:
    _, issued = await api.post(TOKEN.format("default"), {})
    path = "/apis/authentication.k8s.io/v1/tokenreviews"
    _, answer = await api.post(path, {"spec": {"token": issued["status"]["token"]}})
    assert answer["status"]["authenticated"] is True
    assert answer["status"]["user"]["username"] == "system:serviceaccount:default:default"
    _, answer = await api.post(path, {"spec": {"token": "nonsense"}})
    assert answer["status"]["authenticated"] is False


async def test_only_who_may_impersonate_does(api: Client) -> None:
    bob = user(api, "bob")
    code, answer = await bob.get(SERVICES, Impersonate_User="eve")
    assert code == 403
    assert 'cannot impersonate resource "users"' in answer["message"]
    await grant(api, {"kind": "User", "name": "bob"}, rule("impersonate", resources=("users",)))
    code, answer = await bob.get(SERVICES, Impersonate_User="eve")
    assert 'User "eve" cannot list' in answer["message"]
