"""A node's interfaces change while it announces: what the segment, the Speaker and its metrics show of it."""

import time
from collections.abc import Iterator

import pytest

from lab.client import LabClient
from lab.net.hosts import BRIDGE, interface_mac
from lab.net.netns import HUB
from tests.e2e.test_conflicts import neighbour_mac
from tests.e2e.test_layer2 import POOL, served

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.slow]

NODE = "node1"
PORT = "node1-second"
ADDRESS = "172.30.0.200"
RECORD = "v4-172-30-0-200"


@pytest.fixture
def web(lab: LabClient) -> LabClient:
    lab.cluster.record_segment()
    lab.all_serve()
    lab.pool("pool", POOL)
    return lab


@pytest.fixture
def second(web: LabClient) -> Iterator[str]:
    """A second interface of node1 on the segment, `eth1`; its MAC."""
    run = web.cluster.run
    run(HUB, "ip", "link", "add", PORT, "type", "veth", "peer", "name", "eth1", "netns", NODE)
    run(HUB, "ip", "link", "set", PORT, "master", BRIDGE, "up")
    run(NODE, "ip", "link", "set", "eth1", "up")
    yield interface_mac(web.cluster.namespaces, NODE, "eth1")
    run(HUB, "ip", "link", "delete", PORT, check=False)


def interface(web: LabClient, node: str, name: str) -> dict[str, object] | None:
    interfaces = web.reports().get(node, {}).get("interfaces", [])
    return next((one for one in interfaces if one["name"] == name), None)


def announced_on(web: LabClient) -> list[str] | None:
    """The interfaces of node1 that the address is announced on."""
    announcement = web.reports().get(NODE, {}).get("announcements", {}).get(ADDRESS)
    return announcement["interfaces"] if announcement else None


def happened(web: LabClient, node: str, change: str) -> float:
    """How often that happened to an interface, by the node's metrics."""
    page = web.cluster.fetch("http://127.0.0.1:7482/metrics", host=node)["body"]
    name = f'berth_interface_changes_total{{change="{change}"}} '
    return sum(float(line.split()[-1]) for line in page.splitlines() if line.startswith(name))


def claims_of(web: LabClient, mac: str, since: float) -> int:
    return sum(1 for claim in web.cluster.claims(ADDRESS, since=since) if claim.mac == mac)


def ask(web: LabClient) -> bool:
    """Whether the client finds anybody, by a fresh request."""
    web.cluster.run("client", "ip", "neigh", "flush", "to", ADDRESS)
    web.cluster.run("client", "ping", "-c1", "-W1", ADDRESS, check=False)
    return neighbour_mac(web, ADDRESS) is not None


def test_a_changed_mac_is_announced_at_once_and_told(web: LabClient) -> None:
    web.advertise_all()
    address = served(web, "web")
    owner = web.announcer(address)
    assert owner is not None
    web.cluster.fetch(f"http://{address}/")
    old, new = interface_mac(web.cluster.namespaces, owner), "02:00:00:00:cc:01"
    counted = happened(web, owner, "MacChanged")
    try:
        web.cluster.run(owner, "ip", "link", "set", "eth0", "address", new)
        web.until("the client has the new MAC", lambda: neighbour_mac(web, address) == new)
        web.until("the Speaker tells it", lambda: (interface(web, owner, "eth0") or {}).get("mac") == new)
        assert happened(web, owner, "MacChanged") == counted + 1
        web.until("it serves", lambda: web.cluster.fetch(f"http://{address}/").get("body"))
        assert web.announcer(address) == owner
        assert web.reports()[owner].get("conflicts", []) == []
    finally:
        web.cluster.run(owner, "ip", "link", "set", "eth0", "address", old)


def is_down(told: dict[str, object] | None) -> bool:
    return told is not None and (told["usable"], told["reason"]) == (False, "Down")


def test_an_advertisement_follows_an_interface_that_comes_is_renamed_goes_down_and_vanishes(
    web: LabClient, second: str
) -> None:
    web.kubectl.apply(
        {
            "apiVersion": "berth.dev/v1beta1",
            "kind": "L2Advertisement",
            "metadata": {"name": "second"},
            "spec": {"interfaces": ["eth[1-9]", "lan[1-9]"]},
        }
    )
    web.service("web")
    assert web.addresses("web") == [ADDRESS]
    web.until("it is announced on eth1", lambda: announced_on(web) == ["eth1"])
    assert ask(web)
    assert neighbour_mac(web, ADDRESS) == second

    rename(web, "eth1", "lan1")
    web.until("it is announced on lan1", lambda: announced_on(web) == ["lan1"])
    web.until("the client finds it", lambda: ask(web))
    assert happened(web, NODE, "Renamed") >= 1

    web.cluster.run(NODE, "ip", "link", "set", "lan1", "down")
    web.until("it is withdrawn", lambda: announced_on(web) is None)
    web.condition("ipallocation", RECORD, "Announced", "NoEligibleNode")
    assert not ask(web)
    web.until("the Speaker tells it", lambda: is_down(interface(web, NODE, "lan1")))

    since = time.monotonic()
    web.cluster.run(NODE, "ip", "link", "set", "lan1", "up")
    web.until("it is announced with a burst", lambda: claims_of(web, second, since) >= 6)
    web.until("it is announced on lan1", lambda: announced_on(web) == ["lan1"])

    rename(web, "lan1", "dmz1")
    web.until("it is withdrawn", lambda: announced_on(web) is None)
    assert not ask(web)
    rename(web, "dmz1", "lan1")
    web.until("it is announced on lan1", lambda: announced_on(web) == ["lan1"])

    web.cluster.run(HUB, "ip", "link", "delete", PORT)
    web.until("it is withdrawn", lambda: announced_on(web) is None)
    web.until("the Speaker tells it", lambda: interface(web, NODE, "lan1") is None)
    assert happened(web, NODE, "Vanished") >= 1


def rename(web: LabClient, old: str, new: str) -> None:
    web.cluster.run(NODE, "ip", "link", "set", old, "down")
    web.cluster.run(NODE, "ip", "link", "set", old, "name", new)
    web.cluster.run(NODE, "ip", "link", "set", new, "up")
