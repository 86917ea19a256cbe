"""Addresses of Services that the node's own kernel answers for."""

from collections.abc import Iterator

import pytest

from crds.conditions import Reason
from lab.net.segment import Namespace
from speaker.layer2.held import Held, addresses_in, answered_on, fault_of
from speaker.layer2.io.kernel import read_held
from tests.speaker.cores import World

A, B = "192.0.2.1", "192.0.2.2"
IPVS = {A: "kube-ipvs0", "10.96.0.1": "kube-ipvs0", "198.51.100.1": "eth0"}


@pytest.mark.parametrize(
    ("interface", "ignored", "answers"),
    [
        ("kube-ipvs0", 0, True),
        ("kube-ipvs0", 1, False),
        ("kube-ipvs0", 2, False),
        ("eth0", 0, True),
        ("eth0", 1, True),
        ("eth0", 8, False),
    ],
)
def test_a_kernel_answers_for_any_address_of_its_own_unless_arp_ignore_says_otherwise(
    interface: str, ignored: int, answers: bool
) -> None:
    held = Held({A: interface}, {"eth0": ignored, "kube-ipvs0": 0})
    assert answered_on(held, A, ["eth0"]) == ("eth0" if answers else "")
    assert answered_on(held, A, []) == ""


def test_only_addresses_that_are_announced_on_layer_2_are_told() -> None:
    held = Held(IPVS, {"eth0": 0})
    assert fault_of(held, [B], ["eth0"]) is None
    fault = fault_of(held, [A, B], ["eth0"])
    assert fault is not None
    assert fault.reason is Reason.HeldByNode
    assert fault.message.startswith(f"{A}: this node's kernel has it on kube-ipvs0 and answers ARP for it on eth0")
    assert "ipvs.strictARP" in fault.message


def test_thousands_of_addresses_make_a_short_message() -> None:
    many = {f"10.0.{number // 250}.{number % 250}": "kube-ipvs0" for number in range(5000)}
    fault = fault_of(Held(many, {"eth0": 0}), list(many), ["eth0"])
    assert fault is not None
    assert "and 4997 more" in fault.message
    assert len(fault.message) < 500


@pytest.mark.parametrize("datagram", [b"", b"\0" * 15, b"\xff" * 64, b"\x18\0\0\0\x14\0" + b"\0" * 18])
def test_what_is_no_address_message_is_left_out(datagram: bytes) -> None:
    assert list(addresses_in(datagram)) == []


def test_the_speaker_says_so_and_stops_when_it_is_put_right() -> None:
    world = World()
    world.allocate(A)
    world.run(3.0)

    def announceable() -> str:
        world.run(70.0)
        conditions = world.stores.slice(0).status["conditions"]
        return str(next(one["reason"] for one in conditions if one["type"] == "Announceable"))

    world.tell(Held(IPVS, {"eth0": 0}))
    assert announceable() == "HeldByNode"
    assert world.answers == {A}
    world.tell(Held(IPVS, {"eth0": 1}))
    assert announceable() == "AllAnnounceable"


@pytest.fixture
def node() -> Iterator[Namespace]:
    """A node whose kube-proxy runs in IPVS mode."""
    namespace = Namespace()
    namespace.run("ip", "link", "add", "kube-ipvs0", "type", "veth", "peer", "name", "eth0")
    namespace.run("ip", "addr", "add", f"{A}/32", "dev", "kube-ipvs0")
    namespace.run("ip", "addr", "add", "2001:db8::1/128", "dev", "kube-ipvs0")
    namespace.run("sysctl", "-qw", "net.ipv4.conf.all.arp_ignore=0", "net.ipv4.conf.kube-ipvs0.arp_ignore=2")
    yield namespace
    namespace.close()


@pytest.mark.root
def test_what_the_kernel_has_is_read_from_it(node: Namespace) -> None:
    with node.entered():
        assert read_held() == ({"127.0.0.1": "lo", A: "kube-ipvs0"}, {"lo": 0, "eth0": 0, "kube-ipvs0": 2})
    node.run("sysctl", "-qw", "net.ipv4.conf.all.arp_ignore=8")
    with node.entered():
        assert read_held().arp_ignore == {"lo": 8, "eth0": 8, "kube-ipvs0": 8}
