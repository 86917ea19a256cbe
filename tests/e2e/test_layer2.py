"""Layer 2 as the segment sees it: a recorder on the bridge is the judge, not what the speakers say."""

import time

import pytest

from lab.client import LabClient
from lab.net.claims import ownership_spans

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.slow]

POOL = "172.30.0.200-172.30.0.209"
TAKE_OVER_SECONDS = 12.0
"""A Lease lasts 6 s; heartbeats will make this less than one."""


@pytest.fixture
def web(lab: LabClient) -> LabClient:
    if "sniffer" not in lab.cluster.processes:
        lab.cluster.record_segment()
    lab.all_serve()
    lab.pool("pool", POOL)
    lab.advertise_all()
    return lab


def served(web: LabClient, name: str, **spec: object) -> str:
    """A new Service's address, answered for."""
    web.service(name, **spec)
    (address,) = web.addresses(name)
    web.until("it is announced", lambda: web.announcer(address))
    return address


def spans(web: LabClient, address: str, since: float) -> list[str]:
    return [span.node for span in ownership_spans(web.cluster.claims(address, since=since), web.cluster.macs())]


def test_each_address_is_answered_by_one_node_and_they_share_the_work(web: LabClient) -> None:
    since = time.monotonic()
    addresses = [served(web, f"web-{number}") for number in range(8)]
    for address in addresses:
        assert web.found_at(address) == web.announcer(address)
    seen = {address: spans(web, address, since) for address in addresses}
    assert all(len(nodes) == 1 for nodes in seen.values()), seen
    assert len({nodes[0] for nodes in seen.values()}) > 1


def test_an_external_ip_is_announced_where_the_pool_says_so_and_by_a_node_with_an_endpoint(web: LabClient) -> None:
    """For a Service of any type, by the same rules."""
    address, record = "172.30.0.205", "v4-172-30-0-205"
    nodes = [node.name for node in web.cluster.topology.nodes]
    spec = {"type": "ClusterIP", "externalIPs": [address], "externalTrafficPolicy": "Local"}
    web.patch("ippool", "pool", {"spec": {"externalIPs": "Announce"}})
    try:
        for node in nodes:
            web.cluster.kubelet.set_pod_ready(node, node == nodes[1])
        web.service("web", **spec)
        web.until("the node with the endpoint has it", lambda: web.found_at(address) == nodes[1])
        web.until("the client is served", lambda: web.cluster.fetch(f"http://{address}/").get("body"))
        web.patch("service", "web", {"spec": {"externalIPs": None, "externalTrafficPolicy": None}})
        web.gone("ipallocation", record)
        assert web.announcer(address) is None
    finally:
        for node in nodes:
            web.cluster.kubelet.set_pod_ready(node, True)


def test_the_addresses_of_a_killed_speaker_move_to_others_and_come_back_with_it(web: LabClient) -> None:
    address = served(web, "web")
    first = web.announcer(address)
    since = time.monotonic()
    web.cluster.speaker(first).kill()
    web.until(
        "another node has it", lambda: web.found_at(address) not in (None, first), timeout_seconds=TAKE_OVER_SECONDS
    )
    web.cluster.speaker(first).start()
    web.until("it is back", lambda: web.found_at(address) == first)
    assert [node for node in spans(web, address, since)[-2:]][-1] == first


def test_with_the_policy_local_the_address_is_where_a_ready_pod_is(web: LabClient) -> None:
    address = served(web, "web", externalTrafficPolicy="Local")
    nodes = [node.name for node in web.cluster.topology.nodes]
    try:
        for ready in nodes:
            for node in nodes:
                web.cluster.kubelet.set_pod_ready(node, node == ready)
            web.until(f"{ready} has it", lambda ready=ready: web.found_at(address) == ready)
            assert web.cluster.fetch(f"http://{address}/")["body"]
    finally:
        for node in nodes:
            web.cluster.kubelet.set_pod_ready(node, True)


def test_a_speaker_frozen_until_others_took_over_is_silent_until_it_knows_better(web: LabClient) -> None:
    """What it held is released while it sleeps: on waking it must not answer for it again."""
    address = served(web, "web")
    first = web.announcer(address)
    web.cluster.speaker(first).freeze()
    frozen_at = time.monotonic()
    web.until(
        "another node has it", lambda: web.found_at(address) not in (None, first), timeout_seconds=TAKE_OVER_SECONDS
    )
    web.delete("service", "web", wait=False)
    web.condition("ipallocation", "v4-" + address.replace(".", "-"), "Withdrawn", "WaitingForSpeakers")
    released_at = time.monotonic()
    time.sleep(max(0.0, frozen_at + 8 - time.monotonic()))
    web.cluster.speaker(first).resume()
    web.gone("service", "web")
    time.sleep(1)
    assert spans(web, address, released_at) == []
    assert first not in spans(web, address, frozen_at + 0.5)
