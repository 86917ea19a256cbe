"""Layer 2 as the segment sees it: a recorder on the bridge is the judge, not what the speakers say."""

import time

import pytest

from lab.client import LabClient
from lab.net.claims import ownership_spans
from lab.observe import conditions

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.slow]

POOL = "172.30.0.200-172.30.0.209"
TAKE_OVER_SECONDS = 12.0
"""A Lease lasts 6 s; heartbeats will make this less than one."""


@pytest.fixture
def web(lab: LabClient) -> LabClient:
    if "sniffer" not in lab.cluster.processes:
        lab.cluster.record_segment()
    lab.until("all speakers serve", lambda: all_serve(lab))
    lab.pool("pool", POOL)
    lab.advertise_all()
    return lab


def all_serve(lab: LabClient) -> bool:
    """Before that, addresses move to those that join."""
    speakers = lab.kubectl.json("get", "speakers")["items"]
    serving = [one for one in speakers if conditions(one).get("Ready", {}).get("status") == "True"]
    return len(serving) == len(lab.cluster.topology.nodes)


def served(web: LabClient, name: str, **spec: object) -> str:
    """A new Service's address, answered for."""
    web.service(name, **spec)
    (address,) = web.addresses(name)
    web.until("it is announced", lambda: announcer(web, address))
    return address


def announcer(web: LabClient, address: str) -> str | None:
    """The one node that says it announces the address; None when it is not one."""
    nodes = [
        speaker["metadata"]["name"]
        for speaker in web.kubectl.json("get", "speakers")["items"]
        if address in speaker["status"].get("announcements", {})
    ]
    return nodes[0] if len(nodes) == 1 else None


def spans(web: LabClient, address: str, since: float) -> list[str]:
    return [span.node for span in ownership_spans(web.cluster.claims(address, since=since), web.cluster.macs())]


def asked(web: LabClient, address: str) -> str | None:
    """The node that the client finds by a fresh ARP request."""
    web.cluster.run("client", "ip", "neigh", "flush", "to", address)
    web.cluster.fetch(f"http://{address}/")
    neighbour = web.cluster.neighbour(address)
    return web.cluster.node_of_mac(neighbour.mac) if neighbour else None


def test_each_address_is_answered_by_one_node_and_they_share_the_work(web: LabClient) -> None:
    since = time.monotonic()
    addresses = [served(web, f"web-{number}") for number in range(8)]
    for address in addresses:
        assert asked(web, address) == announcer(web, address)
    seen = {address: spans(web, address, since) for address in addresses}
    assert all(len(nodes) == 1 for nodes in seen.values()), seen
    assert len({nodes[0] for nodes in seen.values()}) > 1


def test_the_addresses_of_a_killed_speaker_move_to_others_and_come_back_with_it(web: LabClient) -> None:
    address = served(web, "web")
    first = announcer(web, address)
    since = time.monotonic()
    web.cluster.speaker(first).kill()
    web.until(
        "another node has it", lambda: asked(web, address) not in (None, first), timeout_seconds=TAKE_OVER_SECONDS
    )
    web.cluster.speaker(first).start()
    web.until("it is back", lambda: asked(web, address) == first)
    assert [node for node in spans(web, address, since)[-2:]][-1] == first


def test_with_the_policy_local_the_address_is_where_a_ready_pod_is(web: LabClient) -> None:
    address = served(web, "web", externalTrafficPolicy="Local")
    nodes = [node.name for node in web.cluster.topology.nodes]
    try:
        for ready in nodes:
            for node in nodes:
                web.cluster.kubelet.set_pod_ready(node, node == ready)
            web.until(f"{ready} has it", lambda ready=ready: asked(web, address) == ready)
            assert web.cluster.fetch(f"http://{address}/")["body"]
    finally:
        for node in nodes:
            web.cluster.kubelet.set_pod_ready(node, True)


def test_a_speaker_frozen_until_others_took_over_is_silent_until_it_knows_better(web: LabClient) -> None:
    """What it held is released while it sleeps: on waking it must not answer for it again."""
    address = served(web, "web")
    first = announcer(web, address)
    web.cluster.speaker(first).freeze()
    frozen_at = time.monotonic()
    web.until(
        "another node has it", lambda: asked(web, address) not in (None, first), timeout_seconds=TAKE_OVER_SECONDS
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
