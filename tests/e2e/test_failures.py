"""What fails and what must hold: processes that die, freeze and return, and an API server that misbehaves."""

import sys
import time
from pathlib import Path

import pytest

from cli.arping import OWN
from lab.client import ApiFaults, LabClient
from lab.cluster import NAMESPACE
from lab.observe import ingress, lease_holder

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.slow]

POOL = "172.30.0.200-172.30.0.209"
ADDRESS = "172.30.0.200"
ALLOCATION = "v4-172-30-0-200"
ALLOCATOR = f"system:serviceaccount:{NAMESPACE}:berth-allocator"
URL = f"http://{ADDRESS}/"
LEASE_SECONDS = 6.0
TAINTED_SECONDS = 30.0
"""Half of what it takes by a promise."""


@pytest.fixture
def web(lab: LabClient) -> LabClient:
    """A Service `web` at the address, announced, and reached by the client."""
    lab.pool("pool", POOL)
    lab.advertise_all()
    lab.service("web")
    assert lab.addresses("web") == [ADDRESS]
    lab.condition("ipallocation", ALLOCATION, "Announced", "Announcing")
    lab.until("the client reaches it", lambda: "body" in lab.cluster.fetch(URL))
    return lab


def owner(lab: LabClient) -> str:
    """Once there is one: while an address moves, the next owner announces before the old one lets go."""

    def only_one() -> str | None:
        nodes = lab.get("ipallocation", ALLOCATION)["status"]["announcedBy"]
        return str(nodes[0]) if len(nodes) == 1 else None

    return lab.until(f"{ADDRESS} has one owner", only_one)


def test_the_standby_assigns_after_the_leader_is_killed(web: LabClient) -> None:
    leader = lease_holder(web.cluster, "berth-allocator", NAMESPACE)
    number = next(i for i in (1, 2) if f"allocator-{i}" in str(leader))
    web.cluster.allocator(number).kill()
    web.service("later")
    web.addresses("later")
    assert lease_holder(web.cluster, "berth-allocator", NAMESPACE) != leader


def test_a_release_begun_by_a_leader_that_is_killed_is_finished_by_the_next(web: LabClient) -> None:
    frozen = owner(web)
    web.cluster.speaker(frozen).freeze()
    web.delete("service", "web", wait=False)
    web.condition("ipallocation", ALLOCATION, "Withdrawn", "WaitingForSpeakers")
    leader = lease_holder(web.cluster, "berth-allocator", NAMESPACE)
    web.cluster.allocator(next(i for i in (1, 2) if f"allocator-{i}" in str(leader))).kill()
    web.cluster.speaker(frozen).resume()
    web.gone("service", "web")
    web.gone("ipallocation", ALLOCATION)


def test_a_clean_stop_hands_the_address_over_and_a_release_waits_for_nobody(web: LabClient) -> None:
    stopped = owner(web)
    assert web.cluster.speaker(stopped).stop() == 0
    assert web.get("speaker", stopped)["status"]["goodbye"] is True
    web.until("another node announces it", lambda: stopped not in _announced_by(web) and bool(_announced_by(web)))
    web.delete("service", "web")


def test_a_deleted_speaker_object_is_the_operators_word_that_the_node_is_dead(web: LabClient) -> None:
    dead = owner(web)
    web.cluster.speaker(dead).kill()
    web.delete("service", "web", wait=False)
    web.condition("ipallocation", ALLOCATION, "Withdrawn", "WaitingForSpeakers")
    web.delete("speaker", dead)
    web.gone("service", "web")


def test_a_node_that_is_tainted_as_out_of_service_is_left_at_once_and_counts_as_dead(web: LabClient) -> None:
    """Long before its promise to withdraw would have run out."""
    left, taint = settled_owner(web), "node.kubernetes.io/out-of-service"
    web.kubectl("taint", "node", left, f"{taint}=nodeshutdown:NoExecute")
    try:
        web.until("another node has it", lambda: web.announcer(ADDRESS) not in (None, left))
        web.cluster.speaker(left).kill()
        web.delete("service", "web", wait=False)
        found = web.condition("ipallocation", ALLOCATION, "Withdrawn", "WaitingForSpeakers")
        assert f"{left}: its Node has the taint {taint}, but its Lease has been silent for" in found["message"]
        web.gone("service", "web", timeout_seconds=TAINTED_SECONDS)
    finally:
        web.kubectl("taint", "node", left, f"{taint}-")


def settled_owner(lab: LabClient) -> str:
    """The owner once it has been the same for longer than a Lease lasts: no speaker is about to join or leave."""
    found, since = owner(lab), time.monotonic()
    while time.monotonic() - since < LEASE_SECONDS + 1:
        time.sleep(0.5)
        now = owner(lab)
        if now != found:
            found, since = now, time.monotonic()
    return found


def test_an_api_server_that_hangs_moves_no_address(web: LabClient) -> None:
    before = settled_owner(web)
    web.cluster.processes["apiserver"].freeze()
    try:
        for _ in range(10):
            assert "body" in web.cluster.fetch(URL), "the address answers while the API server hangs"
            time.sleep(1)
    finally:
        web.cluster.processes["apiserver"].resume()
    web.service("after")
    web.addresses("after", timeout_seconds=60)
    assert owner(web) == before


def test_dropped_watches_and_lost_history_lose_nothing(api_faults: ApiFaults, web: LabClient) -> None:
    api_faults.forget_history()
    api_faults.drop_watches()
    web.service("meanwhile")
    web.addresses("meanwhile")
    web.delete("service", "web")
    assert not web.exists("ipallocation", ALLOCATION)


SILENCE = """
table inet silence {{
  chain sent {{ type filter hook output priority 0; tcp sport {{ {ports} }} drop; }}
  chain received {{ type filter hook input priority 0; tcp dport {{ {ports} }} drop; }}
}}
"""


@pytest.mark.parametrize("serves", [True, False])
def test_connections_to_the_api_server_that_died_silently_are_noticed_within_seconds(
    web: LabClient, serves: bool
) -> None:
    """As when a control-plane machine loses its power, or a firewall its state. The owner has to withdraw, and any
    other speaker has to confirm."""
    before = owner(web)
    node = before if serves else next(name for name in web.cluster.macs().values() if name != before)
    connections = web.cluster.run(node, "ss", "-tnH", "state", "established", "dport", "=", ":6443")
    ports = {line.split()[2].rpartition(":")[2] for line in connections.splitlines()}
    assert ports
    web.cluster.run(node, "nft", SILENCE.format(ports=", ".join(ports)))
    try:
        web.delete("service", "web", wait=False)
        web.gone("service", "web")
    finally:
        web.cluster.run(node, "nft", "delete table inet silence")


def test_kernels_that_answer_beside_the_owner_are_told_with_the_setting_to_change(web: LabClient) -> None:
    """As kube-proxy in IPVS mode makes those of all nodes do, without strictARP: here the address is on lo."""
    nodes = sorted(web.cluster.macs().values())
    inside = web.cluster.settings.directory / "inside.kubeconfig"
    berth = str(Path(sys.executable).parent / "berth")
    command = [berth, "arping", ADDRESS, "--count=1", f"--kubeconfig={inside}"]
    try:
        for node in nodes:
            web.cluster.run(node, "ip", "address", "add", f"{ADDRESS}/32", "dev", "lo")
        for node in nodes:
            told = web.reported(node, "KernelAnswers", "HeldByNode")["message"]
            assert f"The node's kernel has {ADDRESS} (on lo) and answers on eth0 by itself" in told

        def all_named() -> str | None:
            message = web.condition("ipallocation", ALLOCATION, "KernelAnswers", "HeldByNode")["message"]
            return message if all(f"{node} (has it on lo)" in message for node in nodes) else None

        assert "net.ipv4.conf.all.arp_ignore" in web.until("it names all nodes", all_named)
        asked = web.cluster.namespaces.run("client", command, check=False, timeout_seconds=60)
        assert asked.returncode == OWN, asked.stdout + asked.stderr
        assert "kernels of nodes answer beside the owner" in asked.stdout.splitlines()[-1]
    finally:
        for node in nodes:
            web.cluster.run(node, "ip", "address", "del", f"{ADDRESS}/32", "dev", "lo")
    web.condition("ipallocation", ALLOCATION, "KernelAnswers", "KernelSilent")


@pytest.mark.parametrize("code", [409, 429, 500, 503])
def test_writes_that_are_refused_are_made_again(api_faults: ApiFaults, web: LabClient, code: int) -> None:
    before = api_faults.answered(code, ALLOCATOR)
    for resource, method in (("ipallocations.berth.dev", "POST"), ("services/status", "PATCH")):
        api_faults.add(resource=resource, method=method, code=code, count=2, user=ALLOCATOR)
    web.service("stubborn")
    web.addresses("stubborn", timeout_seconds=40)
    for resource, method in (("ipallocations.berth.dev", "PATCH"), ("ipallocations.berth.dev", "DELETE")):
        api_faults.add(resource=resource, method=method, code=code, count=2, user=ALLOCATOR)
    api_faults.add(resource="services/status", method="PATCH", code=code, count=2, user=ALLOCATOR)
    web.delete("service", "stubborn")
    assert api_faults.answered(code, ALLOCATOR) - before >= 10


def test_a_write_whose_answer_was_lost_does_not_take_a_second_address(api_faults: ApiFaults, web: LabClient) -> None:
    api_faults.add(resource="ipallocations.berth.dev", method="POST", code=500, after_commit=True, count=1)
    web.service("twice")
    web.addresses("twice")
    time.sleep(1)
    held = [
        item["spec"]["address"]
        for item in web.kubectl.json("get", "ipallocations")["items"]
        if item["spec"]["holders"][0]["name"] == "twice"
    ]
    assert held == ingress(web.get("service", "twice"))


def _announced_by(lab: LabClient) -> list[str]:
    nodes: list[str] = lab.get("ipallocation", ALLOCATION).get("status", {}).get("announcedBy", [])
    return nodes
