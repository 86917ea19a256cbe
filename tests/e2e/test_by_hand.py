"""Hands in the works: records edited or deleted, finalizers removed, Services that come back under the same name."""

import time

import pytest

from lab.client import LabClient
from lab.net.netns import CommandFailed
from lab.observe import ingress

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.slow]

ADDRESS = "172.30.0.200"
ALLOCATION = "v4-172-30-0-200"
FINALIZER = "service.kubernetes.io/load-balancer-cleanup"


@pytest.fixture
def web(lab: LabClient) -> LabClient:
    """A Service `web` at the address, announced."""
    lab.pool("small", ADDRESS)
    lab.advertise_all()
    lab.service("web")
    assert lab.addresses("web") == [ADDRESS]
    lab.condition("ipallocation", ALLOCATION, "Announced", "Announcing")
    return lab


def test_an_allocation_deleted_by_hand_comes_back_with_the_same_holder(web: LabClient) -> None:
    before = web.get("ipallocation", ALLOCATION)
    web.delete("ipallocation", ALLOCATION)
    web.until("it is there again", lambda: web.exists("ipallocation", ALLOCATION))
    after = web.get("ipallocation", ALLOCATION)
    assert after["metadata"]["uid"] != before["metadata"]["uid"]
    assert after["spec"]["holders"][0]["name"] == "web"
    assert web.addresses("web") == [ADDRESS]
    web.condition("ipallocation", ALLOCATION, "Announced", "Announcing")


def test_the_address_of_an_allocation_can_not_be_edited(web: LabClient) -> None:
    with pytest.raises(CommandFailed, match="never changes"):
        web.patch("ipallocation", ALLOCATION, {"spec": {"address": "172.30.0.201"}})


def test_holders_edited_by_hand_are_put_right(web: LabClient) -> None:
    stranger = {"namespace": "default", "name": "stranger", "uid": "1234", "ports": []}
    web.patch("ipallocation", ALLOCATION, {"spec": {"holders": [stranger]}})

    def right() -> bool:
        holders = web.get("ipallocation", ALLOCATION)["spec"]["holders"]
        return [holder["name"] for holder in holders] == ["web"]

    web.until("web holds it again", right)
    assert web.addresses("web") == [ADDRESS]


def test_a_release_marked_by_hand_ends_with_the_service_served_again(web: LabClient) -> None:
    before = web.get("ipallocation", ALLOCATION)["metadata"]["uid"]
    web.patch("ipallocation", ALLOCATION, {"spec": {"releasing": True}})

    def renewed() -> bool:
        found = web.find("ipallocation", ALLOCATION)
        return found is not None and found["metadata"]["uid"] != before and not found["spec"]["releasing"]

    web.until("a new allocation holds it", renewed)
    assert web.addresses("web") == [ADDRESS]
    web.condition("ipallocation", ALLOCATION, "Announced", "Announcing")


def test_a_finalizer_removed_by_hand_comes_back(web: LabClient) -> None:
    web.patch("service", "web", {"metadata": {"finalizers": []}})
    what = "the finalizer is there again"
    web.until(what, lambda: FINALIZER in web.get("service", "web")["metadata"].get("finalizers", []))


def test_a_service_gone_without_its_finalizer_frees_the_address_only_after_withdrawal(web: LabClient) -> None:
    """As a cloud controller manager does it: safety rests on the IPAllocation, not on the finalizer."""
    frozen = web.get("ipallocation", ALLOCATION)["status"]["announcedBy"][0]
    web.cluster.speaker(frozen).freeze()
    web.delete("service", "web", wait=False)
    web.patch("service", "web", {"metadata": {"finalizers": []}})
    web.gone("service", "web")
    condition = web.condition("ipallocation", ALLOCATION, "Withdrawn", "WaitingForSpeakers")
    assert frozen in condition["message"]
    web.service("next")
    time.sleep(1)
    assert ingress(web.get("service", "next")) == []
    web.cluster.speaker(frozen).resume()
    assert web.addresses("next") == [ADDRESS]


def test_a_service_deleted_and_made_again_at_once_under_its_name_gets_an_address(web: LabClient) -> None:
    for _ in range(3):
        before = web.get("service", "web")["metadata"]["uid"]
        web.delete("service", "web")
        web.service("web")
        assert web.addresses("web") == [ADDRESS]
        holder = web.get("ipallocation", ALLOCATION)["spec"]["holders"][0]
        assert holder["uid"] == web.get("service", "web")["metadata"]["uid"] != before


def test_a_service_that_stops_being_a_load_balancer_gives_its_address_back(web: LabClient) -> None:
    web.patch("service", "web", {"spec": {"type": "ClusterIP"}})
    web.gone("ipallocation", ALLOCATION)
    web.until("no finalizer is left", lambda: not web.get("service", "web")["metadata"].get("finalizers"))
    assert not web.get("service", "web")["status"].get("conditions")
    web.patch("service", "web", {"spec": {"type": "LoadBalancer"}})
    assert web.addresses("web") == [ADDRESS]


def test_a_service_moves_to_the_address_it_asks_for_and_frees_the_old_one(web: LabClient) -> None:
    web.pool("more", "172.30.0.210")
    web.patch("service", "web", {"metadata": {"annotations": {"berth.dev/ips": "172.30.0.210"}}})
    web.until("it has moved", lambda: ingress(web.get("service", "web")) == ["172.30.0.210"])
    web.gone("ipallocation", ALLOCATION)
    web.service("next", {"berth.dev/pool": "small"})
    assert web.addresses("next") == [ADDRESS]
