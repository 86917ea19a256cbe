"""What the segment hears: every ARP frame is recorded, and none may claim an address that nobody holds."""

import json
import time

import pytest

from lab.apiserver import real
from lab.client import LabClient
from lab.net.claims import ownership_spans
from lab.net.hosts import CLIENT

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.slow]

ADDRESS = "172.30.0.200"
ALLOCATION = "v4-172-30-0-200"
PERMIT_SECONDS = 3.5
URL = f"http://{ADDRESS}/"


@pytest.fixture
def web(lab: LabClient) -> LabClient:
    """A Service `web` at the pool's only address, announced; the segment is recorded."""
    lab.cluster.record_segment()
    lab.all_serve()  # whoever joins later may take the address over
    lab.pool("small", ADDRESS)
    lab.advertise_all()
    lab.service("web")
    announced(lab)
    return lab


def owner(lab: LabClient) -> str | None:
    """The node that announces the address; None when it is not one alone."""
    found = lab.find("ipallocation", ALLOCATION) or {}
    nodes = found.get("status", {}).get("announcedBy", [])
    return str(nodes[0]) if len(nodes) == 1 else None


def announced(lab: LabClient) -> str:
    """Waits for an owner and gives it."""
    return lab.until(f"{ADDRESS} has one owner", lambda: owner(lab))


def ask(lab: LabClient) -> None:
    """The client forgets what it knows and asks for the address by ARP."""
    lab.cluster.run(CLIENT, "ip", "neighbour", "flush", "to", ADDRESS)
    lab.cluster.fetch(URL, timeout_seconds=0.5)


def test_no_frame_claims_an_address_between_two_holders(web: LabClient) -> None:
    for _ in range(3):
        web.delete("service", "web")
        free_since = time.monotonic()
        ask(web)
        assert web.cluster.claims(ADDRESS, since=free_since) == []
        web.service("web")
        announced(web)
        ask(web)
        assert web.cluster.claims(ADDRESS, since=free_since) != []


def test_a_speaker_that_was_frozen_through_a_release_wakes_up_silent(web: LabClient) -> None:
    """Its wire process may answer for 3 s after the agent's last word; what it slept through after that is the past.

    Another node may take the address over before the deletion is known."""
    frozen = announced(web)
    web.cluster.speaker(frozen).freeze()
    silent_since = time.monotonic()
    web.delete("service", "web", wait=False)
    web.condition("ipallocation", ALLOCATION, "Withdrawn", "WaitingForSpeakers")
    time.sleep(PERMIT_SECONDS)
    ask(web)
    web.cluster.speaker(frozen).resume()
    web.gone("service", "web")
    free_since = time.monotonic()
    ask(web)
    macs = web.cluster.macs()
    assert [one for one in web.cluster.claims(ADDRESS, since=silent_since) if macs.get(one.mac) == frozen] == []
    assert web.cluster.claims(ADDRESS, since=free_since) == []


def test_a_namespace_that_is_deleted_while_a_speaker_is_frozen_goes_when_nothing_of_it_is_announced(
    web: LabClient,
) -> None:
    web.delete("service", "web")
    web.gone("ipallocation", ALLOCATION)
    metadata = {"name": "web", "namespace": "shop"}
    port = {"name": "", "port": 9376, "protocol": "TCP"}
    web.kubectl("create", "namespace", "shop")
    web.kubectl.apply(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {"type": "LoadBalancer", "ports": [{"port": 80, "targetPort": 9376}]},
        }
    )
    web.kubectl.apply(
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {**metadata, "labels": {"kubernetes.io/service-name": "web"}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": ["10.244.1.11"], "nodeName": "node1", "conditions": {"ready": True}}],
            "ports": [port],
        }
    )
    frozen = announced(web)
    web.cluster.speaker(frozen).freeze()
    web.delete("namespace", "shop", wait=False)
    # As a namespace controller does it; beside a real API server alone there is none.
    web.kubectl("delete", "services,endpointslices", "--all", "--namespace=shop", "--wait=false")
    web.condition("ipallocation", ALLOCATION, "Withdrawn", "WaitingForSpeakers")
    assert web.get("namespace", "shop")["status"]["phase"] == "Terminating"
    web.cluster.speaker(frozen).resume()
    web.until("its Service is gone", lambda: not web.kubectl("get", "services", "--namespace=shop", "--output=name"))
    if real.assets() is not None:
        finalized = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}, "spec": {"finalizers": []}}
        raw = "--raw=/api/v1/namespaces/shop/finalize"
        web.kubectl("replace", raw, "--filename=-", stdin=json.dumps(finalized))
    web.gone("namespace", "shop")
    free_since = time.monotonic()
    assert not web.exists("ipallocation", ALLOCATION)
    ask(web)
    assert web.cluster.claims(ADDRESS, since=free_since) == []


def test_a_restarted_owner_hands_over_and_takes_over_without_going_back_and_forth(web: LabClient) -> None:
    first = announced(web)
    begun = time.monotonic()
    web.cluster.speaker(first).stop()
    second = web.until("another node owns it", lambda: owner(web) if owner(web) != first else None)
    web.cluster.speaker(first).start()
    web.until("it is back with its owner", lambda: owner(web) == first)
    ask(web)
    spans = ownership_spans(web.cluster.claims(ADDRESS, since=begun), web.cluster.macs())
    assert [span.node for span in spans] in ([second, first], [first, second, first])


def test_an_owner_cut_off_from_the_api_server_alone_keeps_answering_and_a_release_waits_for_it(web: LabClient) -> None:
    cut_off = announced(web)
    web.cluster.faults.cut_from_api(cut_off)
    for _ in range(8):
        assert "body" in web.cluster.fetch(URL)
        time.sleep(1)
    web.delete("service", "web", wait=False)
    condition = web.condition("ipallocation", ALLOCATION, "Withdrawn", "WaitingForSpeakers")
    assert cut_off in condition["message"]
    web.cluster.faults.restore_to_api(cut_off)
    web.gone("service", "web")
    free_since = time.monotonic()
    ask(web)
    assert web.cluster.claims(ADDRESS, since=free_since) == []
