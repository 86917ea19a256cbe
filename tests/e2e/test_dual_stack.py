"""A Service with an address of each family: reached, moved and given back, judged by a recorder and a client."""

import time
from ipaddress import ip_address

import pytest

from crds.names import allocation_name
from lab.client import LabClient
from lab.net.claims import ownership_spans
from lab.net.hosts import CLIENT
from lab.poller import AddressPoller

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.slow]

POOL = ("172.30.0.200-172.30.0.209", "fd00:30::200-fd00:30::2ff")
TAKE_OVER_SECONDS = 15.0


@pytest.fixture
def web(lab: LabClient) -> LabClient:
    lab.cluster.record_segment()
    lab.all_serve()
    lab.pool("pool", *POOL)
    lab.advertise_all()
    return lab


def allocated(web: LabClient, name: str, **spec: object) -> list[str]:
    """A new dual-stack Service's two addresses; IPv4 first."""
    web.service(name, ipFamilyPolicy="RequireDualStack", **spec)
    addresses = sorted(web.addresses(name, count=2), key=lambda one: ip_address(one).version)
    assert [ip_address(one).version for one in addresses] == [4, 6]
    return addresses


def served(web: LabClient, name: str, **spec: object) -> list[str]:
    """The same, and both are announced."""
    addresses = allocated(web, name, **spec)
    for address in addresses:
        web.condition("ipallocation", allocation_name(address), "Announced", "Announcing")
    return addresses


def fetched(web: LabClient, address: str) -> str | None:
    host = f"[{address}]" if ":" in address else address
    return web.cluster.fetch(f"http://{host}/", timeout_seconds=1).get("body")


def test_a_dual_stack_service_is_reached_by_both_families(web: LabClient) -> None:
    since = time.monotonic()
    for address in served(web, "web"):
        node = web.until(f"{address} has an owner", lambda address=address: web.announcer(address))
        assert web.until("the client finds it there", lambda address=address, node=node: web.found_at(address) == node)
        assert web.until("the client is served", lambda address=address: fetched(web, address)).startswith("pod ")
        claims = web.cluster.claims(address, since=since)
        assert {span.node for span in ownership_spans(claims, web.cluster.macs())} == {node}


def ping(web: LabClient, address: str) -> str:
    """What a client's `ping` says of three requests, and of what the kernel of a node complains about within 4 s."""
    command = ["ping", "-c3", "-i0.2", "-w4", address]
    return web.cluster.namespaces.run(CLIENT, command, check=False).stdout


def test_ping_is_answered_where_the_advertisement_says_so_as_long_as_the_address_is_announced(web: LabClient) -> None:
    addresses = served(web, "web")
    assert all("100% packet loss" in ping(web, address) for address in addresses)
    web.patch("l2advertisement", "all", {"spec": {"answerPing": True}})
    for address in addresses:
        web.until("it is answered", lambda address=address: " 0% packet loss" in ping(web, address))
        said = ping(web, address)
        assert "3 packets transmitted, 3 received, 0% packet loss" in said
        assert "DUP" not in said
        assert "From" not in said  # neither a redirect nor "unreachable"
        assert fetched(web, address).startswith("pod ")
    owner = web.announcer(addresses[0])
    for address in served(web, "late"):
        web.until("it is answered from the beginning", lambda address=address: " 0% packet loss" in ping(web, address))
    web.until("it is counted", lambda: web.metric(owner, 'berth_ping_replies_sent_total{interface="eth0"}'))
    web.delete("service", "web")
    assert all(" 0 received" in ping(web, address) for address in addresses)


def test_an_ipv6_address_moves_when_its_owner_is_killed(web: LabClient) -> None:
    _, address = served(web, "web")
    first = web.until("it has an owner", lambda: web.announcer(address))
    web.until("the client is served", lambda: fetched(web, address))
    killed_at = time.monotonic()
    web.cluster.speaker(first).kill()

    def moved() -> bool:
        """By the successor's unsolicited advertisement: the client's kernel is not made to ask."""
        neighbour = web.cluster.neighbour(address)
        return neighbour is not None and web.cluster.node_of_mac(neighbour.mac) not in (None, first)

    web.until("the client's neighbour entry moves", moved, timeout_seconds=TAKE_OVER_SECONDS)
    web.until("the client is served", lambda: fetched(web, address))
    spans = ownership_spans(web.cluster.claims(address, since=killed_at + 0.5), web.cluster.macs())
    assert first not in [span.node for span in spans]


@pytest.mark.alone
def test_a_clean_stop_of_the_owner_leaves_no_question_unanswered(web: LabClient) -> None:
    """By either family, asked all the time: the successor answers before the old owner falls silent."""
    for address in served(web, "web"):
        first = web.until("it has an owner", lambda address=address: web.announcer(address))
        with AddressPoller(web.cluster, address, interval_seconds=0.02) as poller:
            time.sleep(0.5)
            web.cluster.speaker(first).stop()
            time.sleep(1.0)
        assert first in poller.requests[0].nodes
        assert poller.requests[-1].nodes not in ((), (first,))
        assert poller.unanswered() == []
        web.cluster.speaker(first).start()
        web.all_serve()


def test_both_addresses_are_free_only_after_every_speaker_has_withdrawn_them(web: LabClient) -> None:
    addresses = served(web, "web")
    frozen = web.until("the IPv6 address has an owner", lambda: web.announcer(addresses[1]))
    web.cluster.speaker(frozen).freeze()
    frozen_at = time.monotonic()
    web.delete("service", "web", wait=False)
    for address in addresses:
        condition = web.condition("ipallocation", allocation_name(address), "Withdrawn", "WaitingForSpeakers")
        assert frozen in condition["message"]
    time.sleep(max(0.0, frozen_at + 8 - time.monotonic()))  # so long that it must read all anew
    silent_since = time.monotonic()
    assert web.found_at(addresses[1]) is None
    web.cluster.speaker(frozen).resume()
    web.gone("service", "web")
    for address in addresses:
        assert web.cluster.claims(address, since=silent_since) == []
        assert not web.exists("ipallocation", allocation_name(address))
    assert web.found_at(addresses[1]) is None


def test_with_the_policy_local_both_addresses_follow_the_ready_pod(web: LabClient) -> None:
    addresses = served(web, "web", externalTrafficPolicy="Local")
    nodes = [node.name for node in web.cluster.topology.nodes]
    clients = (str(web.cluster.topology.client.ipv4), str(web.cluster.topology.client.ipv6))
    try:
        for ready in nodes:
            for node in nodes:
                web.cluster.kubelet.set_pod_ready(node, node == ready)
            for address, client in zip(addresses, clients, strict=True):
                web.until(f"{ready} has it", lambda address=address, ready=ready: web.found_at(address) == ready)
                body = web.until("the client is served", lambda address=address: fetched(web, address))
                assert body.endswith(f" on {ready} sees {client}")
    finally:
        for node in nodes:
            web.cluster.kubelet.set_pod_ready(node, True)


def test_a_pod_with_one_family_only_serves_that_family_alone(web: LabClient) -> None:
    """With the policy Local each address looks at the EndpointSlices of its own family."""
    addresses = allocated(web, "web", externalTrafficPolicy="Local", selector={"app": "elsewhere"})
    nodes = [node.name for node in web.cluster.topology.nodes]
    for family, address, node in zip(("IPv4", "IPv6"), ("192.0.2.1", "2001:db8::1"), nodes, strict=False):
        endpoint = {"addresses": [address], "conditions": {"ready": True}, "nodeName": node}
        labels = {"kubernetes.io/service-name": "web", "endpointslice.kubernetes.io/managed-by": "hand"}
        metadata = {"name": f"web-{family.lower()}-hand", "labels": labels}
        body = {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": metadata}
        web.kubectl.apply(body | {"addressType": family, "endpoints": [endpoint], "ports": []})
    try:
        for address, node in zip(addresses, nodes, strict=False):
            web.until(f"{address} is at {node}", lambda address=address, node=node: web.announcer(address) == node)
    finally:
        for family in ("ipv4", "ipv6"):
            web.delete("endpointslice", f"web-{family}-hand")
