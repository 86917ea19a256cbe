"""A machine that is no speaker takes an address of ours: what clients, operators and users see of it."""

import json
import sys
import time
from collections.abc import Iterator
from ipaddress import ip_address
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from cli.arping import ONE, SEVERAL
from crds.names import allocation_name
from lab.client import LabClient
from speaker.layer2.conflicts import DEFEND_INTERVAL_SECONDS
from speaker.wire.neighbours.probe import PROBE_NUM
from tests.e2e.rogue import Rogue
from tests.e2e.test_layer2 import POOL, served

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.slow]

CLIENT = "172.30.0.100"
ADDRESS = "172.30.0.200"
RECORD = "v4-172-30-0-200"
BURST_SECONDS = 4.5
"""After it the owner's own announcements are a minute apart: the next comes later than 50 s from then."""
HEALED_SECONDS = 120.0
"""A machine counts as gone after a minute of silence."""
ANNOUNCED_AGAIN_SECONDS = 60.0
"""Probed again 15 s later, for up to 7 s."""


@pytest.fixture
def web(lab: LabClient) -> LabClient:
    lab.cluster.record_segment()
    lab.all_serve()
    lab.advertise_all()
    return lab


@pytest.fixture
def rogue(web: LabClient) -> Iterator[Rogue]:
    with Rogue(web.cluster) as rogue:
        yield rogue


def sighting(web: LabClient, node: str, address: str = ADDRESS) -> dict[str, object] | None:
    conflicts = web.reports().get(node, {}).get("conflicts", [])
    return next((one for one in conflicts if one["address"] == address), None)


def arping(web: LabClient, address: str) -> tuple[int, str]:
    """As a person would ask from the client, with a kubeconfig."""
    inside = web.cluster.settings.directory / "inside.kubeconfig"
    berth = str(Path(sys.executable).parent / "berth")
    command = [berth, "arping", address, "--count=1", f"--kubeconfig={inside}"]
    done = web.cluster.namespaces.run("client", command, check=False, timeout_seconds=60)
    return done.returncode, done.stdout + done.stderr


def about(web: LabClient, address: str, sender: str, since: float) -> list[dict[str, Any]]:
    """The ARP frames with that sender that are about the address."""
    lines = web.cluster.processes["sniffer"].log_path.read_text().splitlines()
    rows = [json.loads(line) for line in lines if line.endswith("}")]
    return [
        row for row in rows if (row.get("target_ip"), row.get("sender_ip")) == (address, sender) and row["at"] >= since
    ]


def probes(web: LabClient, address: str, since: float) -> list[str]:
    """The MACs of who probed for the address (RFC 5227 §2.1.1), once for each frame."""
    return [row["sender_mac"] for row in about(web, address, "0.0.0.0", since)]


def test_a_rogue_host_is_told_everywhere_and_the_address_works_on_by_one_defence(web: LabClient, rogue: Rogue) -> None:
    web.pool("pool", POOL)
    address = served(web, "web")
    assert address == ADDRESS
    owner = web.announcer(address)
    assert owner is not None
    owners_mac = next(mac for mac, node in web.cluster.macs().items() if node == owner)
    assert arping(web, address)[0] == ONE
    web.cluster.fetch(f"http://{address}/")
    time.sleep(BURST_SECONDS)

    rogue.take(address)
    since = time.monotonic()
    for _ in range(3):
        rogue.use(address, CLIENT)
    claims = web.cluster.claims(address, since=since)
    assert rogue.mac in [claim.mac for claim in claims]
    web.until("the client has the owner's MAC again", lambda: neighbour_mac(web, address) == owners_mac)
    assert web.cluster.fetch(f"http://{address}/").get("body")

    seen = web.until("the Speaker tells it", lambda: sighting(web, owner))
    assert (seen["mac"], seen["interface"], seen["announced"]) == (rogue.mac, "eth0", True)
    condition = web.condition("ipallocation", RECORD, "Conflicted", "AddressConflict")
    assert condition["status"] == "True"
    for told in (rogue.mac, owner, "eth0", "pool pool"):
        assert told in condition["message"]
    web.event("service", "web", "AddressConflict")
    assert web.metric(owner, "berth_conflicted_addresses") == 1
    gratuitous = about(web, address, address, since)
    defended = [row["at"] for row in gratuitous if row["sender_mac"] == owners_mac and row["at"] < since + 50]
    assert 1 <= len(defended) <= web.metric(owner, "berth_address_defences_total")
    assert all(later - earlier >= DEFEND_INTERVAL_SECONDS - 0.1 for earlier, later in pairwise(defended))
    code, told = arping(web, address)
    assert code == SEVERAL, told
    assert f"{rogue.mac} (no speaker's)" in told
    assert f"(eth0 of {owner}, by " in told

    rogue.unplug()
    healed = f"ipallocation {RECORD} has Conflicted with reason NoConflict"
    web.until(healed, lambda: reason(web, "Conflicted") == "NoConflict", timeout_seconds=HEALED_SECONDS)
    assert sighting(web, owner) is None
    assert web.metric(owner, "berth_conflicted_addresses") == 0
    web.event("service", "web", "NoConflict")
    assert web.announcer(address) == owner


def test_an_address_that_kernels_of_nodes_have_is_not_announced_and_told_with_the_nodes(web: LabClient) -> None:
    """As with kube-proxy in IPVS mode without strictARP, or a leftover on an interface."""
    nodes = [node.name for node in web.cluster.topology.nodes]
    try:
        for node in nodes:
            web.cluster.namespaces.run(node, ["ip", "address", "add", f"{ADDRESS}/32", "dev", "eth0"])
        web.pool("pool", ADDRESS, duplicateAddressDetection=True)
        web.service("web")
        condition = web.condition("ipallocation", RECORD, "Announced", "DuplicateAddress")
        assert web.announcer(ADDRESS) is None
        assert any(f"the kernel of {node} (seen by" in condition["message"] for node in nodes)
    finally:
        for node in nodes:
            web.cluster.namespaces.run(node, ["ip", "address", "delete", f"{ADDRESS}/32", "dev", "eth0"])


@pytest.mark.parametrize(("family", "address"), [("IPv4", ADDRESS), ("IPv6", "fd00:30::200")])
def test_an_address_that_a_rogue_host_has_already_is_not_announced_until_it_goes(
    web: LabClient, rogue: Rogue, family: str, address: str
) -> None:
    record = allocation_name(ip_address(address))
    web.pool("pool", address, duplicateAddressDetection=True)
    rogue.take(address)
    since = time.monotonic()
    web.service("web", ipFamilies=[family])
    assert web.addresses("web") == [address]

    def told() -> bool:
        condition = web.condition("ipallocation", record, "Announced", "DuplicateAddress")
        return condition["status"] == "False" and rogue.mac in condition["message"]

    web.until("the rogue host is told of", told)
    assert web.condition("ipallocation", record, "Conflicted", "DuplicateAddress")["status"] == "True"
    web.event("service", "web", "DuplicateAddress")
    assert {claim.mac for claim in web.cluster.claims(address, since=since)} == {rogue.mac}
    assert web.announcer(address) is None

    rogue.unplug()
    web.until("it is announced", lambda: web.announcer(address), timeout_seconds=ANNOUNCED_AGAIN_SECONDS)
    url = f"http://[{address}]/" if family == "IPv6" else f"http://{address}/"
    web.until("the client reaches it", lambda: web.cluster.fetch(url).get("body"))
    web.condition("ipallocation", record, "Announced", "Announcing")
    web.condition("ipallocation", record, "Conflicted", "NoConflict")


def test_a_free_address_is_probed_before_it_is_announced_and_never_again(web: LabClient) -> None:
    """Not when its owner dies, nor when its owner comes back."""
    since = time.monotonic()
    web.pool("pool", ADDRESS, duplicateAddressDetection=True)
    assert served(web, "web") == ADDRESS
    first = web.announcer(ADDRESS)
    assert first is not None
    assert len(probes(web, ADDRESS, since)) == PROBE_NUM
    web.until("it is noted", lambda: web.get("ipallocation", RECORD).get("status", {}).get("firstAnnounced"))
    time.sleep(1)  # the other speakers hear of it: one that does not know yet probes, rightly

    since = time.monotonic()
    web.cluster.speaker(first).kill()
    web.until("another node has it", lambda: neighbour_is_another(web, first))
    web.cluster.speaker(first).start()
    web.all_serve()
    web.until("one has it", lambda: web.announcer(ADDRESS))
    assert probes(web, ADDRESS, since) == []


def neighbour_mac(web: LabClient, address: str) -> str | None:
    neighbour = web.cluster.neighbour(address)
    return neighbour.mac if neighbour else None


def neighbour_is_another(web: LabClient, first: str) -> bool:
    web.cluster.fetch(f"http://{ADDRESS}/")
    return web.cluster.node_of_mac(neighbour_mac(web, ADDRESS)) not in (None, first)


def reason(web: LabClient, condition: str) -> str | None:
    conditions = web.get("ipallocation", RECORD).get("status", {}).get("conditions", [])
    return next((one["reason"] for one in conditions if one["type"] == condition), None)
