"""The lab's hosts as real network namespaces: they reach each other, and the machine does not notice them."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address

import pytest

from lab.net import hosts
from lab.net.netns import HUB, CommandFailed, NamespaceHandle, Sandbox, Unsupported, explain_refusal
from lab.record import started_at
from lab.waiting import wait_for

pytestmark = [pytest.mark.root, pytest.mark.lab]

OPEN_AND_WAIT = """
import sys, time
from lab.net.netns import Sandbox
from lab.process import Process
sandbox = Sandbox.open(rootless={rootless})
sandbox.add_host("node1")
from pathlib import Path
child = Process("sleeper", ["sleep", "1000"], log_path=Path({log!r}), enter=sandbox.namespaces.enter("node1"))
child.start()
print(sandbox.namespaces.holder_pid, child.pid, flush=True)
time.sleep(1000)
"""

OPEN_REFUSED = """
import sys
from lab.net.netns import Sandbox, Unsupported
try:
    Sandbox.open(rootless=True)
except Unsupported as refused:
    print(refused)
"""


def can_reach(namespaces: NamespaceHandle, host: str, address: object) -> bool:
    ping = namespaces.run(host, ["ping", "-c1", "-W2", str(address)], check=False)
    return ping.returncode == 0


def machine_network() -> str:
    """All that a lab could leave in the machine's own namespace."""
    looks = (["ip", "-o", "link"], ["ip", "-o", "address"], ["ip", "route"], ["ip", "rule"], ["ip", "netns"])
    told = [subprocess.run(look, capture_output=True, text=True, check=True).stdout for look in looks]
    # Counters of time run on by themselves.
    return "\n".join(" ".join(w for w in text.split() if not w.endswith("sec")) for text in told)


def test_every_host_reaches_every_other_in_both_families(sandbox: Sandbox) -> None:
    topology = hosts.plan_topology(2)
    hosts.build(sandbox, topology)
    for host in topology.hosts:
        for other in topology.hosts:
            assert can_reach(sandbox.namespaces, host.name, other.ipv4), (host.name, other.ipv4)
            assert can_reach(sandbox.namespaces, host.name, other.ipv6), (host.name, other.ipv6)


def test_pods_reach_pods_on_other_nodes(sandbox: Sandbox) -> None:
    topology = hosts.plan_topology(2)
    hosts.build(sandbox, topology)
    first, second = topology.nodes
    assert can_reach(sandbox.namespaces, first.pod, second.pod_ipv4)
    assert can_reach(sandbox.namespaces, first.pod, second.pod_ipv6)


def test_the_client_learns_a_node_by_its_own_kernels_arp(sandbox: Sandbox) -> None:
    topology = hosts.plan_topology(1)
    hosts.build(sandbox, topology)
    node = topology.nodes[0]
    assert hosts.neighbour(sandbox.namespaces, hosts.CLIENT, str(node.ipv4)) is None
    assert can_reach(sandbox.namespaces, hosts.CLIENT, node.ipv4)
    learned = hosts.neighbour(sandbox.namespaces, hosts.CLIENT, str(node.ipv4))
    assert learned is not None
    assert learned.mac == hosts.interface_mac(sandbox.namespaces, node.name)


def test_the_hub_keeps_its_mac_when_another_port_comes_and_goes(sandbox: Sandbox) -> None:
    """Else every host has the wrong one of the API server until its kernel finds that out."""
    hosts.build(sandbox, hosts.plan_topology(1))
    run = sandbox.namespaces.run
    before = hosts.interface_mac(sandbox.namespaces, HUB, hosts.BRIDGE)
    lowest = ["address", "00:00:00:00:00:01", "type", "veth", "peer", "name", "far"]
    run(HUB, ["ip", "link", "add", "low", *lowest])
    run(HUB, ["ip", "link", "set", "low", "master", hosts.BRIDGE, "up"])
    assert hosts.interface_mac(sandbox.namespaces, HUB, hosts.BRIDGE) == before
    run(HUB, ["ip", "link", "delete", "low"])
    assert hosts.interface_mac(sandbox.namespaces, HUB, hosts.BRIDGE) == before


def test_nobody_answers_for_an_address_of_the_pool(sandbox: Sandbox) -> None:
    topology = hosts.plan_topology(2)
    hosts.build(sandbox, topology)
    assert not can_reach(sandbox.namespaces, hosts.CLIENT, "172.30.0.200")
    learned = hosts.neighbour(sandbox.namespaces, hosts.CLIENT, "172.30.0.200")
    assert learned is None or learned.mac is None


def test_the_machines_own_network_stays_as_it_was(open_sandbox: Callable[[], Sandbox]) -> None:
    before = machine_network()
    sandbox = open_sandbox()
    hosts.build(sandbox, hosts.plan_topology(2))
    assert machine_network() == before
    sandbox.close()
    assert machine_network() == before


def test_two_labs_at_once_do_not_meet(open_sandbox: Callable[[], Sandbox]) -> None:
    topology = hosts.plan_topology(1)
    one, other = open_sandbox(), open_sandbox()
    hosts.build(one, topology)
    hosts.build(other, topology)
    one.delete_host(topology.nodes[0].name)
    address = topology.nodes[0].ipv4
    # The kernel takes a namespace apart some time after its name is gone.
    wait_for(
        "the deleted node is silent", lambda: not can_reach(one.namespaces, hosts.CLIENT, address), timeout_seconds=30
    )
    wait_for(
        "the other lab's node answers", lambda: can_reach(other.namespaces, hosts.CLIENT, address), timeout_seconds=10
    )
    assert not can_reach(one.namespaces, hosts.CLIENT, address)


@pytest.mark.parametrize("rootless", [False, True])
def test_a_lab_whose_owner_is_killed_leaves_no_process(rootless: bool, tmp_path: object) -> None:
    if not rootless and os.geteuid() != 0:
        pytest.skip("only root makes namespaces without a user namespace")
    code = OPEN_AND_WAIT.format(rootless=rootless, log=f"{tmp_path}/log")
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        pids = [int(word) for word in owner.stdout.readline().split()]
        assert len(pids) == 2
        assert all(started_at(pid) is not None for pid in pids)
        owner.send_signal(signal.SIGKILL)
        owner.wait()
        wait_for("they are gone", lambda: all(started_at(pid) is None for pid in pids), timeout_seconds=20)


def test_a_kernel_that_refuses_user_namespaces_is_explained() -> None:
    """In a user namespace of our own the limit can be set without touching the machine's."""
    setup = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$0" -c "$1"'
    refused = subprocess.run(
        ["unshare", "--user", "--map-root-user", "sh", "-c", setup, sys.executable, OPEN_REFUSED],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "run as root" in refused.stdout
    assert "user.max_user_namespaces (it is 0)" in refused.stdout


def test_a_refusal_as_root_names_the_capabilities_that_a_container_lacks() -> None:
    assert "CAP_SYS_ADMIN" in explain_refusal("unshare failed: Operation not permitted", rootless=False)


def test_a_command_that_fails_says_where_and_why(sandbox: Sandbox) -> None:
    with pytest.raises(CommandFailed, match=r"on the hub: ip link show nothing: exit 1: .*nothing"):
        sandbox.namespaces.run(HUB, ["ip", "link", "show", "nothing"])


def test_missing_commands_are_named_by_their_debian_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.net.netns.NEEDED_COMMANDS", {"no-such-command": "its-package"})
    with pytest.raises(Unsupported, match="apt install its-package"):
        Sandbox.open()


def test_addresses_of_a_host_end_in_the_same_digits() -> None:
    node = hosts.plan_topology(3).node("node2")
    assert (node.ipv4, node.ipv6) == (IPv4Address("172.30.0.12"), IPv6Address("fd00:30::12"))
    assert (node.pod_ipv4, node.pod_ipv6) == (IPv4Address("10.244.2.10"), IPv6Address("fd00:244:0:2::10"))


@pytest.mark.parametrize("count", [0, 90])
def test_a_segment_has_room_for_so_many_nodes_only(count: int) -> None:
    with pytest.raises(ValueError, match="1 to 89 nodes"):
        hosts.plan_topology(count)
