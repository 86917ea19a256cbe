"""The network's faults cut what they say and nothing else, and are undone."""

import sys

import pytest

from crds.names import HEARTBEAT_PORT
from lab.faults import Faults
from lab.net import hosts
from lab.net.hosts import API_PORT
from lab.net.netns import HUB, Sandbox

pytestmark = [pytest.mark.root, pytest.mark.lab]

TOPOLOGY = hosts.plan_topology(2)
NODE1, NODE2 = TOPOLOGY.nodes


@pytest.fixture
def faults(sandbox: Sandbox) -> Faults:
    hosts.build(sandbox, TOPOLOGY)
    return Faults(sandbox.namespaces, TOPOLOGY)


def connect(sandbox: Sandbox, host: str) -> str:
    """To the API server's port. It is closed, so a host that gets through is refused."""
    code = f"import socket; socket.create_connection(('{TOPOLOGY.hub_ipv4}', {API_PORT}), timeout=1)"
    return sandbox.namespaces.run(host, [sys.executable, "-c", code], check=False).stderr


def heartbeat(sandbox: Sandbox, sender: hosts.Node, receiver: hosts.Node) -> str:
    """What becomes of a packet to the heartbeats' port. Nobody listens there, so one that arrives is refused."""
    code = (
        "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(1); "
        f"s.connect(('{receiver.ipv4}', {HEARTBEAT_PORT})); s.send(b'x'); s.recv(1)"
    )
    return sandbox.namespaces.run(sender.name, [sys.executable, "-c", code], check=False).stderr


def test_a_node_cut_from_the_api_server_gets_no_answer_until_it_is_restored(sandbox: Sandbox, faults: Faults) -> None:
    assert "ConnectionRefusedError" in connect(sandbox, "node1")
    faults.cut_from_api("node1")
    faults.cut_from_api("node1")
    assert "TimeoutError" in connect(sandbox, "node1")
    assert "ConnectionRefusedError" in connect(sandbox, "node2")
    faults.restore_to_api("node1")
    assert "ConnectionRefusedError" in connect(sandbox, "node1")


def test_a_node_cut_from_its_fellows_neither_sends_nor_gets_heartbeats(sandbox: Sandbox, faults: Faults) -> None:
    assert "ConnectionRefusedError" in heartbeat(sandbox, NODE1, NODE2)
    faults.cut_from_members("node1")
    assert "ConnectionRefusedError" not in heartbeat(sandbox, NODE1, NODE2)
    assert "TimeoutError" in heartbeat(sandbox, NODE2, NODE1)
    assert "ConnectionRefusedError" in connect(sandbox, "node1")
    faults.heal("node1")
    assert "ConnectionRefusedError" in heartbeat(sandbox, NODE1, NODE2)
    assert "ConnectionRefusedError" in heartbeat(sandbox, NODE2, NODE1)


def test_a_host_that_is_cut_off_keeps_its_link_and_one_whose_cable_is_pulled_does_not(
    sandbox: Sandbox, faults: Faults
) -> None:
    def is_reached() -> bool:
        ping = ["ping", "-c1", "-W1", str(NODE1.ipv4)]
        return sandbox.namespaces.run(HUB, ping, check=False).returncode == 0

    assert is_reached()
    faults.cut_off("node1")
    assert not is_reached()
    assert "LOWER_UP" in sandbox.namespaces.run("node1", ["ip", "link", "show", "eth0"]).stdout
    faults.set_link("node1", "down")
    assert "NO-CARRIER" in sandbox.namespaces.run("node1", ["ip", "link", "show", "eth0"]).stdout
    faults.heal("node1")
    assert is_reached()
