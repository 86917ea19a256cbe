"""The real Helm installs, upgrades, rolls back and removes the chart in the stand-in."""

from __future__ import annotations

import asyncio
from pathlib import Path

import helm_python
import pytest

from tests.lab.apiserver.conftest import Client

pytestmark = pytest.mark.asyncio
CHART = Path(__file__).parents[3] / "charts" / "berth"
NAMESPACE = "berth-system"
APPS = f"/apis/apps/v1/namespaces/{NAMESPACE}"


def _install(kubeconfig: str) -> str:
    with helm_python.Config(kubeconfig_path=kubeconfig, namespace=NAMESPACE) as helm:
        values = {
            "image": {"repository": "registry.example/berth"},
            "uninstallCheck": {"enabled": False},  # nobody runs Jobs here
        }
        release = helm.install(str(CHART), "berth", values, namespace=NAMESPACE, create_namespace=True)
    return str(release["status"])


def _upgrade(kubeconfig: str) -> int:
    with helm_python.Config(kubeconfig_path=kubeconfig, namespace=NAMESPACE) as helm:
        helm.upgrade(str(CHART), "berth", {"allocator": {"replicas": 1}}, namespace=NAMESPACE, reuse_values=True)
        return len(helm.history("berth"))


def _roll_back(kubeconfig: str) -> None:
    with helm_python.Config(kubeconfig_path=kubeconfig, namespace=NAMESPACE) as helm:
        helm.rollback("berth")


def _uninstall(kubeconfig: str) -> None:
    with helm_python.Config(kubeconfig_path=kubeconfig, namespace=NAMESPACE) as helm:
        helm.uninstall("berth", timeout=20)


@pytest.mark.slow
async def test_helm_installs_upgrades_rolls_back_and_removes_the_chart(api: Client) -> None:
    kubeconfig = str(api.server.kubeconfig_path)
    assert await asyncio.to_thread(_install, kubeconfig) == "deployed"
    _, deployment = await api.get(f"{APPS}/deployments/berth-allocator")
    assert deployment["spec"]["replicas"] == 2
    _, pools = await api.get("/apis/berth.dev/v1beta1/ippools")
    assert pools["kind"] == "IPPoolList"
    assert await asyncio.to_thread(_upgrade, kubeconfig) == 2
    _, deployment = await api.get(f"{APPS}/deployments/berth-allocator")
    assert (deployment["spec"]["replicas"], deployment["metadata"]["generation"]) == (1, 2)
    await asyncio.to_thread(_roll_back, kubeconfig)
    _, deployment = await api.get(f"{APPS}/deployments/berth-allocator")
    assert (deployment["spec"]["replicas"], deployment["metadata"]["generation"]) == (2, 3)
    await asyncio.to_thread(_uninstall, kubeconfig)
    assert (await api.get(f"{APPS}/deployments/berth-allocator"))[0] == 404
    _, secrets = await api.get(f"/api/v1/namespaces/{NAMESPACE}/secrets")
    assert secrets["items"] == []
