"""A namespace comes with an account, refuses what comes while it ends, and goes when it is empty."""

from __future__ import annotations

import pytest

from tests.lab.apiserver.conftest import Client, service

pytestmark = pytest.mark.asyncio
NAMESPACES = "/api/v1/namespaces"


async def test_a_new_namespace_has_its_label_phase_and_account(api: Client) -> None:
    _, answer = await api.post(NAMESPACES, {"metadata": {"name": "shop"}})
    assert answer["metadata"]["labels"] == {"kubernetes.io/metadata.name": "shop"}
    assert answer["status"] == {"phase": "Active"}
    assert (await api.get(f"{NAMESPACES}/shop/serviceaccounts/default"))[0] == 200


async def test_deleting_it_deletes_what_is_in_it(api: Client) -> None:
    await api.post(NAMESPACES, {"metadata": {"name": "shop"}})
    await api.post(f"{NAMESPACES}/shop/services", service("a"))
    code, answer = await api.delete(f"{NAMESPACES}/shop")
    assert code == 200
    assert answer["status"]["phase"] == "Terminating"
    assert (await api.get(f"{NAMESPACES}/shop"))[0] == 404
    assert (await api.get(f"{NAMESPACES}/shop/services/a"))[0] == 404


async def test_it_waits_for_finalizers_of_its_contents_and_takes_nothing_new(api: Client) -> None:
    await api.post(NAMESPACES, {"metadata": {"name": "shop"}})
    held = service("a")
    held["metadata"]["finalizers"] = ["service.kubernetes.io/load-balancer-cleanup"]
    await api.post(f"{NAMESPACES}/shop/services", held)
    await api.delete(f"{NAMESPACES}/shop")
    _, waiting = await api.get(f"{NAMESPACES}/shop")
    assert waiting["status"]["phase"] == "Terminating"
    code, answer = await api.post(f"{NAMESPACES}/shop/services", service("b"))
    assert code == 403
    assert answer["details"]["causes"][0]["reason"] == "NamespaceTerminating"
    await api.patch(f"{NAMESPACES}/shop/services/a", {"metadata": {"finalizers": None}})
    assert (await api.get(f"{NAMESPACES}/shop"))[0] == 404


async def test_its_own_finalizers_hold_it_too(api: Client) -> None:
    await api.post(NAMESPACES, {"metadata": {"name": "shop", "finalizers": ["a.example/b"]}})
    await api.delete(f"{NAMESPACES}/shop")
    assert (await api.get(f"{NAMESPACES}/shop"))[0] == 200
    await api.patch(f"{NAMESPACES}/shop", {"metadata": {"finalizers": None}})
    assert (await api.get(f"{NAMESPACES}/shop"))[0] == 404


async def test_preset_namespaces_can_not_be_deleted(api: Client) -> None:
    code, answer = await api.delete(f"{NAMESPACES}/kube-system")
    assert (code, answer["reason"]) == (403, "Forbidden")


async def test_phase_is_selectable(api: Client) -> None:
    _, answer = await api.get(f"{NAMESPACES}?fieldSelector=status.phase%3DActive")
    assert len(answer["items"]) == 4
