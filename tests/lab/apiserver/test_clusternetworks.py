"""What the API server says of its own addresses: the networks of cluster IPs, and where it listens."""

import pytest

from tests.lab.apiserver.conftest import Client

pytestmark = pytest.mark.asyncio

CIDRS = "/apis/networking.k8s.io/v1/servicecidrs"


async def test_a_fresh_cluster_has_one_servicecidr_with_its_service_networks(api: Client) -> None:
    _, found = await api.get(CIDRS)
    assert [one["metadata"]["name"] for one in found["items"]] == ["kubernetes"]
    assert found["items"][0]["spec"]["cidrs"] == list(api.server.core.settings.service_networks)


@pytest.mark.parametrize("cidrs", [[], ["10.96.0.1"], ["10.0.0.0/24", "10.0.1.0/24", "fd00::/112"]])
async def test_servicecidrs_hold_one_or_two_networks(api: Client, cidrs: list[str]) -> None:
    code, _ = await api.post(CIDRS, {"metadata": {"name": "more"}, "spec": {"cidrs": cidrs}})
    assert code == 422


async def test_further_servicecidrs_come_and_go(api: Client) -> None:
    code, _ = await api.post(CIDRS, {"metadata": {"name": "more"}, "spec": {"cidrs": ["10.97.0.0/24"]}})
    assert code == 201
    code, _ = await api.delete(f"{CIDRS}/more")
    assert code == 200


async def test_an_address_that_others_can_reach_is_published_and_a_loopback_is_not(api: Client) -> None:
    slices = "/apis/discovery.k8s.io/v1/endpointslices"
    assert (await api.get(slices))[1]["items"] == []
    api.server.core.publish("172.30.0.1", 6443)
    (found,) = (await api.get(slices))[1]["items"]
    assert (found["metadata"]["namespace"], found["metadata"]["name"]) == ("default", "kubernetes")
    assert found["metadata"]["labels"]["kubernetes.io/service-name"] == "kubernetes"
    assert found["endpoints"][0]["addresses"] == ["172.30.0.1"]
