"""Ports at run time: who is told that neighbours must hear of us anew. The links are real, some reports by hand."""

import contextlib
import select
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from lab.net.segment import Host, Segment
from speaker.wire.io.poll import Poll
from speaker.wire.neighbours.io.ports import Ports
from speaker.wire.netlink import Link, LinkChanged

pytestmark = pytest.mark.root


@dataclass
class Watched:
    """Ports in a host's namespace, and whom they told."""

    host: Host
    opened: list[str] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.poll = Poll()
        with self.host.entered():
            opened = lambda name, _: self.opened.append(name)  # noqa: E731
            self.ports = Ports(self.poll, lambda _: None, lambda _: None, opened, self.closed.append)
        self.read()
        with self.host.entered():
            self.ports.allow(["eth0", "bond0"])

    def read(self) -> None:
        """All that the kernel has to tell now."""
        with self.host.entered():
            while select.select([self.ports.fd], [], [], 0.2)[0]:
                self.ports.on_readable()

    def until(self, condition: Callable[[], object], seconds: float = 10.0) -> None:
        """The kernel takes up to a second to tell that a carrier came."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline
            self.read()

    def report(self, link: Link, *, has_moved: bool = False) -> None:
        """As if the kernel had told this."""
        with self.host.entered():
            self.ports._on_message(LinkChanged(link, has_moved))

    def link(self, name: str) -> Link:
        return next(link for link in self.ports._links.values() if link.name == name)

    def close(self) -> None:
        self.ports.close()
        self.poll.close()


@pytest.fixture
def watched(segment: Segment) -> Iterator[Watched]:
    with contextlib.closing(Watched(segment.hosts[0])) as made:
        assert made.opened == ["eth0"]
        made.opened.clear()
        yield made


def test_a_report_of_nothing_new_tells_nobody(watched: Watched) -> None:
    watched.report(watched.link("eth0"))
    assert watched.opened == []


def test_a_bond_that_uses_another_port_has_all_addresses_announced_again(watched: Watched) -> None:
    """The link looks the same. The kernel announces its own addresses then, and not ours."""
    watched.report(watched.link("eth0"), has_moved=True)
    assert watched.opened == ["eth0"]
    assert watched.closed == []


def test_a_carrier_that_went_and_came_unseen_does_too(watched: Watched) -> None:
    eth0 = watched.link("eth0")
    watched.report(eth0._replace(carrier_changes=eth0.carrier_changes + 2))
    assert watched.opened == ["eth0"]


def test_a_bridge_that_takes_over_a_ports_mac_does_too(segment: Segment, watched: Watched) -> None:
    """A Linux bridge has the lowest MAC of its ports: it changes when one is plugged in."""
    host = watched.host
    with host.entered():
        watched.ports.allow(["eth0", "br7"])
    host.run("ip", "link", "add", "br7", "type", "bridge")
    host.run("ip", "link", "set", "eth0", "master", "br7")
    host.run("ip", "link", "set", "br7", "up")
    watched.until(lambda: watched.opened[-1:] == ["br7"])
    assert watched.closed == ["eth0"]
    watched.opened.clear()
    segment.plug(host, "eth9", "00:00:00:00:00:09", "port9")
    host.run("ip", "link", "set", "eth9", "master", "br7")
    mac = bytes.fromhex("000000000009")
    watched.until(lambda: watched.ports.by_name["br7"].arp.interface.mac == mac)
    assert watched.opened[-1] == "br7"


def test_a_flap_however_quick_has_them_announced_again(segment: Segment, watched: Watched) -> None:
    for _ in range(5):
        watched.opened.clear()
        segment.hub.run("sh", "-c", "ip link set port1 down; ip link set port1 up")
        watched.until(lambda: "eth0" in watched.opened and "eth0" in watched.ports.by_name)


def test_an_interface_made_anew_under_the_same_name_is_used(segment: Segment, watched: Watched) -> None:
    host = watched.host
    before = watched.link("eth0").ifindex
    host.run("ip", "link", "delete", "eth0")
    segment.plug(host, "eth0", "02:00:00:00:00:a1", "port1b")
    watched.until(lambda: watched.opened == ["eth0"])
    assert watched.closed == ["eth0"]
    assert watched.link("eth0").ifindex != before
    assert watched.ports.by_name["eth0"].arp.ifindex == watched.link("eth0").ifindex


def test_two_interfaces_that_swap_their_names_are_kept_apart(segment: Segment, watched: Watched) -> None:
    host = watched.host
    segment.plug(host, "eth1", "02:00:00:00:00:a1", "port1b")
    with host.entered():
        watched.ports.allow(["eth0", "eth1"])
    watched.read()
    for old, new in (("eth0", "tmp"), ("eth1", "eth0"), ("tmp", "eth1")):
        host.run("ip", "link", "set", old, "down")
        host.run("ip", "link", "set", old, "name", new)
    host.run("ip", "link", "set", "eth0", "up")
    host.run("ip", "link", "set", "eth1", "up")
    macs = {"eth0": bytes.fromhex("0200000000a1"), "eth1": host.mac}
    watched.until(lambda: {name: one.arp.interface.mac for name, one in watched.ports.by_name.items()} == macs)


@pytest.mark.parametrize(
    ("kind", "add"),
    [
        ("bond", ["ip", "link", "add", "bond0", "type", "bond", "mode", "active-backup", "miimon", "100"]),
        ("vlan", ["ip", "link", "add", "link", "eth0", "name", "bond0", "type", "vlan", "id", "100"]),
    ],
)
def test_a_real_bond_or_vlan_is_used(watched: Watched, kind: str, add: list[str]) -> None:
    host = watched.host
    try:
        host.run(*add)
    except RuntimeError as error:
        if "Unknown device type" not in str(error) and "not supported" not in str(error):
            raise
        pytest.skip(f"this kernel has no {kind} devices: their messages are in test_netlink.py, made by hand")
    if kind == "bond":
        host.run("ip", "link", "set", "eth0", "down")
        host.run("ip", "link", "set", "eth0", "master", "bond0")
    host.run("ip", "link", "set", "bond0", "up")
    watched.until(lambda: "bond0" in watched.ports.by_name)
    assert watched.link("bond0").slave_kind == ""
