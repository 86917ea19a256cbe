"""What becomes of packets to an aggregate's addresses that nothing uses, in a kernel's own network."""

import asyncio
import ctypes
import json
import struct
import subprocess
import threading
from collections.abc import Iterator
from ipaddress import ip_network

import pytest

from lab.net.segment import Namespace
from speaker.bgp.io.blackhole import MOST_PREFIXES, PROTOCOL, Blackholes, have_exactly

pytestmark = pytest.mark.root

V4, V6 = ip_network("192.0.2.0/24"), ip_network("2001:db8::/64")


@pytest.fixture
def host() -> Iterator[Namespace]:
    """A router with a default route out of eth0, where packets also come from."""
    namespace = Namespace()
    for name in ("all", "default"):
        namespace.run("sysctl", "-qw", f"net.ipv6.conf.{name}.disable_ipv6=0", f"net.ipv6.conf.{name}.forwarding=1")
    namespace.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
    namespace.run("ip", "link", "set", "lo", "up")
    namespace.run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth1")
    for name in ("eth0", "eth1"):
        namespace.run("ip", "link", "set", name, "up")
    namespace.run("ip", "addr", "add", "198.51.100.1/24", "dev", "eth0")
    namespace.run("ip", "addr", "add", "2001:db8:99::1/64", "dev", "eth0", "nodad")
    namespace.run("ip", "route", "add", "default", "via", "198.51.100.254")
    namespace.run("ip", "route", "add", "default", "via", "2001:db8:99::fe")
    yield namespace
    namespace.close()


def rules(host: Namespace, protocol: int = PROTOCOL) -> list[str]:
    """The blackholes."""
    found = []
    for family in ("-4", "-6"):
        for rule in json.loads(host.run("ip", "-j", "-N", family, "rule")):
            if rule["priority"] == 19002 and rule["protocol"] == str(protocol):
                found.append(f"{rule['dst']}/{rule['dstlen']}")
    return found


def forwarded(host: Namespace, address: str) -> str:
    """Where the kernel sends a packet that comes from outside."""
    source = "198.51.100.7" if "." in address else "2001:db8:99::7"
    try:
        return host.run("ip", "route", "get", address, "from", source, "iif", "eth0")
    except RuntimeError as error:
        return str(error)


def local(host: Namespace, address: str) -> str:
    return host.run("ip", "route", "get", address)


def all_rules(host: Namespace) -> str:
    return host.run("ip", "-4", "rule") + host.run("ip", "-6", "rule")


def test_there_are_exactly_those_that_are_wanted(host: Namespace) -> None:
    before = all_rules(host)
    with host.entered():
        have_exactly(frozenset({V4, V6}))
        assert rules(host) == [str(V4), str(V6)]
        have_exactly(frozenset({V4, V6}))
        assert rules(host) == [str(V4), str(V6)]
        have_exactly(frozenset({V6}))
        assert rules(host) == [str(V6)]
        have_exactly(frozenset())
    assert all_rules(host) == before


@pytest.mark.parametrize(("address", "other"), [("192.0.2.7", "192.0.3.7"), ("2001:db8::7", "2001:db8:1::7")])
def test_packets_from_outside_end_here_and_those_of_the_node_go_their_way(
    host: Namespace, address: str, other: str
) -> None:
    assert "dev eth0" in forwarded(host, address)
    with host.entered():
        have_exactly(frozenset({V4, V6}))
    assert "dev" not in forwarded(host, address).removeprefix("ip route get")
    assert "dev eth0" in forwarded(host, other)
    assert "dev eth0" in local(host, address)


@pytest.mark.parametrize(
    ("route", "address"),
    [("192.0.2.4/30", "192.0.2.7"), ("192.0.2.0/24", "192.0.2.7"), ("2001:db8::4/126", "2001:db8::7")],
)
def test_real_routes_within_the_aggregate_go_first(host: Namespace, route: str, address: str) -> None:
    host.run("ip", "route", "add", route, "dev", "eth1")
    with host.entered():
        have_exactly(frozenset({V4, V6}))
    assert "dev eth1" in forwarded(host, address)


def test_a_less_specific_route_that_leads_back_does_not(host: Namespace) -> None:
    host.run("ip", "route", "add", "192.0.0.0/16", "via", "198.51.100.253")
    with host.entered():
        have_exactly(frozenset({V4}))
    assert "dev eth0" not in forwarded(host, "192.0.2.7")


def test_a_local_connection_that_is_translated_is_not_refused(host: Namespace) -> None:
    """As kube-proxy does; a blackhole route in the main table would end it with EINVAL."""
    host.run("ip", "addr", "add", "203.0.113.9/32", "dev", "lo")
    host.run("nft", "add table ip t; add chain ip t out { type nat hook output priority -100; }")
    host.run("nft", "add rule ip t out ip daddr 192.0.2.7 udp dport 53 dnat to 203.0.113.9:53")
    script = (
        "import socket\n"
        "server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); server.bind(('203.0.113.9', 53))\n"
        "client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "server.settimeout(10); client.sendto(b'hello', ('192.0.2.7', 53)); print(server.recv(99))\n"
    )
    with host.entered():
        have_exactly(frozenset({V4}))
    done = subprocess.run([*host.prefix, "python3", "-c", script], capture_output=True, text=True, check=False)
    assert "hello" in done.stdout, done.stderr


def test_rules_of_others_are_left_alone(host: Namespace) -> None:
    host.run("ip", "rule", "add", "blackhole", "to", str(V4), "pref", "19002", "protocol", "191")
    with host.entered():
        have_exactly(frozenset())
    assert rules(host, 191) == [str(V4)]


def test_the_default_route_as_aggregate_has_none(host: Namespace) -> None:
    before = all_rules(host)
    with host.entered():
        have_exactly(frozenset({ip_network("0.0.0.0/0")}))
    assert all_rules(host) == before


async def running(blackholes: Blackholes, until) -> None:
    task = asyncio.create_task(blackholes.run())
    async with asyncio.timeout(10):
        while not until():
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def test_what_a_killed_speaker_left_goes_at_the_start_and_all_at_the_end(host: Namespace) -> None:
    with host.entered():
        have_exactly(frozenset({V4}))
        blackholes = Blackholes()
        asyncio.run(running(blackholes, lambda: not rules(host)))
        blackholes = Blackholes()
        blackholes.set(frozenset({V6}))
        asyncio.run(running(blackholes, lambda: rules(host) == [str(V6)]))
        assert rules(host) == []
    assert not blackholes.fault


def test_rules_that_somebody_took_away_come_back(host: Namespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("speaker.bgp.io.blackhole.CHECK_SECONDS", 0.1)
    taken: list[bool] = []

    def is_back() -> bool:
        if not taken and rules(host):
            host.run("ip", "rule", "del", "pref", "19002")
            host.run("ip", "rule", "del", "pref", "19000")
            taken.append(True)
            return False
        return bool(taken and rules(host) and "19000" in host.run("ip", "rule"))

    with host.entered():
        blackholes = Blackholes()
        blackholes.set(frozenset({V4}))
        asyncio.run(running(blackholes, is_back))


def test_too_many_are_a_fault_and_not_a_rule_each(host: Namespace) -> None:
    many = frozenset(ip_network(f"10.0.{number}.0/24") for number in range(MOST_PREFIXES + 3))
    with host.entered():
        blackholes = Blackholes()
        blackholes.set(many)
        asyncio.run(running(blackholes, lambda: len(rules(host)) == MOST_PREFIXES and blackholes.fault))
        assert rules(host) == []


def test_without_the_right_it_says_so_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("speaker.bgp.io.blackhole.have_exactly", refuse)
    blackholes = Blackholes()
    asyncio.run(running(blackholes, lambda: blackholes.fault))
    assert "NET_ADMIN" in blackholes.fault


def test_who_does_not_want_them_removes_what_a_killed_speaker_left_and_nothing_else(host: Namespace) -> None:
    before = all_rules(host)
    with host.entered():
        have_exactly(frozenset({V4, V6}))
        blackholes = Blackholes(is_wanted=False)
        asyncio.run(blackholes.run())
    assert all_rules(host) == before
    assert not blackholes.fault


def test_who_does_not_want_them_and_has_no_right_says_what_is_left(host: Namespace) -> None:
    """To look takes no right."""
    with host.entered():
        blackholes = Blackholes(is_wanted=False)
        without_rights(blackholes)
        assert not blackholes.fault
        have_exactly(frozenset({V4}))
        without_rights(blackholes)
    assert "ip rule del pref 19002" in blackholes.fault
    assert rules(host) == [str(V4)]


def without_rights(blackholes: Blackholes) -> None:
    """Run in a thread of its own, which gives all its capabilities away."""

    def run() -> None:
        drop_capabilities()
        asyncio.run(blackholes.run())

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()


def drop_capabilities() -> None:
    """Of this thread: capset(2), linux/capability.h."""
    header = struct.pack("Ii", 0x20080522, 0)
    assert ctypes.CDLL(None, use_errno=True).capset(header, bytes(24)) == 0
