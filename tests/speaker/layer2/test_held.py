"""Addresses of Services that the node's own kernel answers for."""

import asyncio
from collections.abc import Iterator

import pytest

from crds.kernelanswers import KernelHolding
from lab.net.segment import Namespace
from speaker.layer2.held import Held, addresses_in, answer_of, answers_of
from speaker.layer2.io import kernel
from speaker.layer2.io.kernel import follow_held, read_held
from speaker.own.conditions import Conditions
from speaker.wire import netlink
from tests.speaker.cores import World
from tests.speaker.make import NOW

A, B, SIX = "192.0.2.1", "192.0.2.2", "2001:db8::1"


@pytest.mark.parametrize(
    ("interface", "ignored", "answers"),
    [
        ("kube-ipvs0", 0, True),
        ("kube-ipvs0", 1, False),
        ("kube-ipvs0", 2, False),
        ("kube-ipvs0", 3, True),
        ("kube-ipvs0", 4, True),
        ("kube-ipvs0", 8, False),
        ("eth0", 0, True),
        ("eth0", 1, True),
        ("eth0", 3, True),
        ("eth0", 8, False),
    ],
)
def test_a_kernel_answers_for_any_address_of_its_own_unless_arp_ignore_says_otherwise(
    interface: str, ignored: int, answers: bool
) -> None:
    held = Held({A: (interface,)}, {"eth0": ignored, "kube-ipvs0": 0})
    assert answer_of(held, A, ["eth0"]) == (KernelHolding(A, interface, "eth0") if answers else None)
    assert answer_of(held, A, []) is None


@pytest.mark.parametrize("ignored", [0, 1, 8])
def test_for_an_ipv6_address_it_answers_on_the_interface_that_has_it_whatever_the_setting(ignored: int) -> None:
    settings = {"eth0": ignored, "eth1": ignored, "kube-ipvs0": 0}
    assert answer_of(Held({SIX: ("eth1", "kube-ipvs0")}, settings), SIX, ["eth0", "eth1"]) == (SIX, "eth1", "eth1")
    assert answer_of(Held({SIX: ("kube-ipvs0",)}, settings), SIX, ["eth0", "eth1"]) is None


def test_only_what_it_answers_for_is_told() -> None:
    held = Held({B: ("eth0",), A: ("kube-ipvs0",), SIX: ("lo",)}, {"eth0": 1})
    assert answers_of(held, ["eth0"]) == [KernelHolding(B, "eth0", "eth0")]


def test_thousands_of_addresses_make_a_short_message() -> None:
    many = [KernelHolding(f"10.0.{number // 250}.{number % 250}", "kube-ipvs0", "eth0") for number in range(5000)]
    conditions = Conditions()
    conditions.set_kernel(many, NOW)
    (told,) = conditions.to_wire()
    assert told["message"].startswith("The node's kernel has 10.0.0.0 (on kube-ipvs0), 10.0.0.1 (on kube-ipvs0), ")
    assert "and 4997 more and answers on eth0 by itself" in told["message"]
    assert told["message"].count("ipvs.strictARP") == 1
    assert len(told["message"]) < 500


@pytest.mark.parametrize("datagram", [b"", b"\0" * 15, b"\xff" * 64, b"\x18\0\0\0\x14\0" + b"\0" * 18])
def test_what_is_no_address_message_is_left_out(datagram: bytes) -> None:
    assert addresses_in(datagram, [b"\0\0\0\0"])[0] == []


def test_the_end_of_a_dump_is_seen_wherever_it_stands() -> None:
    done = netlink.request(3, 0, 1, bytes(4))
    assert addresses_in(done, [])[1]
    assert addresses_in(message((1, bytes(4))) + done, [])[1]
    assert addresses_in(netlink.request(2, 0, 1, bytes(4)), [])[1], "an error is one, too"
    assert not addresses_in(message((1, bytes(4))), [])[1]


def message(*attributes: tuple[int, bytes], family: int = 2, flags: int = 0x80) -> bytes:
    head = bytes([family, 32, flags, 0, 7, 0, 0, 0])
    return netlink.request(20, 0, 1, head + b"".join(netlink.attribute(*one) for one in attributes))


def test_an_address_is_found_wherever_its_attribute_stands() -> None:
    a, peer = bytes([192, 0, 2, 1]), bytes([192, 0, 2, 9])
    for found in (
        message((1, a), (2, a)),
        message((1, peer), (2, a)),
        message((2, a), (1, peer)),
        message((3, b"kube-ipvs0\0"), (2, a)),
        message((1, a)),
    ):
        assert addresses_in(found, [a])[0] == [(a, 7)]
        assert addresses_in(found, [peer])[0] == []


def test_an_ipv6_address_is_never_taken_for_an_ipv4_one() -> None:
    inner = bytes.fromhex("20010db8080002000102030400000001")
    assert addresses_in(message((1, inner), family=10), [inner, bytes([1, 2, 3, 4])])[0] == [(inner, 7)]


@pytest.mark.parametrize("flag", [0x08, 0x40])
def test_an_ipv6_address_that_is_a_duplicate_or_not_yet_known_to_be_none_is_not_answered_for(flag: int) -> None:
    inner = bytes(15) + b"\1"
    assert addresses_in(message((1, inner), family=10, flags=flag), [inner])[0] == []


def test_the_speaker_says_so_and_stops_when_it_is_put_right() -> None:
    world = World()
    world.allocate(A)
    world.run(3.0)
    assert world.core.layer2.decisions.served() == {A}

    def told() -> tuple[str, str]:
        world.run(70.0)
        conditions = world.stores.slice(0).status["conditions"]
        return next((one["status"], one["reason"]) for one in conditions if one["type"] == "KernelAnswers")

    def entries() -> list[dict[str, str]]:
        return list(world.stores.slice(1).status.get("kernelAnswers") or ())

    assert told() == ("False", "KernelSilent")
    world.tell(Held({A: ("kube-ipvs0",)}, {"eth0": 0}))
    assert told() == ("True", "HeldByNode")
    assert entries() == [{"address": A, "heldOn": "kube-ipvs0", "answersOn": "eth0"}]
    assert world.answers == {A}
    world.tell(Held({A: ("kube-ipvs0",)}, {"eth0": 1}))
    assert told() == ("False", "KernelSilent")
    assert entries() == []


@pytest.fixture
def node() -> Iterator[Namespace]:
    """A node whose kube-proxy runs in IPVS mode."""
    namespace = Namespace()
    namespace.run("sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=0", "net.ipv6.conf.all.disable_ipv6=0")
    namespace.run("ip", "link", "add", "kube-ipvs0", "type", "veth", "peer", "name", "eth0")
    namespace.run("ip", "addr", "add", f"{A}/32", "dev", "kube-ipvs0")
    namespace.run("ip", "addr", "add", f"{SIX}/128", "dev", "eth0", "nodad")
    namespace.run("sysctl", "-qw", "net.ipv4.conf.all.arp_ignore=0", "net.ipv4.conf.kube-ipvs0.arp_ignore=2")
    yield namespace
    namespace.close()


@pytest.mark.root
def test_what_the_kernel_has_is_read_from_it(node: Namespace) -> None:
    with node.entered():
        found = read_held([A, B, SIX])
        assert found == ({A: ("kube-ipvs0",), SIX: ("eth0",)}, {"lo": 0, "eth0": 0, "kube-ipvs0": 2})
        assert read_held([B]) == ({}, {})
    node.run("sysctl", "-qw", "net.ipv4.conf.all.arp_ignore=8")
    node.run("ip", "addr", "add", f"{A}/32", "dev", "eth0")
    with node.entered():
        again = read_held([A])
        assert again.arp_ignore == {"lo": 8, "eth0": 8, "kube-ipvs0": 8}
        assert again.interfaces == {A: ("eth0", "kube-ipvs0")}


@pytest.mark.root
@pytest.mark.asyncio
async def test_it_is_looked_at_again_when_addresses_change_or_others_matter(
    node: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(kernel, "SETTLE_SECONDS", 0.05)
    told: asyncio.Queue[Held] = asyncio.Queue()
    served = {B}

    def read(wanted: frozenset[str]) -> Held:
        with node.entered():  # threads are of this machine's own network
            return read_held(wanted)

    monkeypatch.setattr(kernel, "read_held", read)
    with node.entered():
        following = asyncio.create_task(follow_held(lambda: frozenset(served), told.put_nowait))
        try:
            assert (await told.get()).interfaces == {}
            served.add(A)
            assert (await asyncio.wait_for(told.get(), 20)).interfaces == {A: ("kube-ipvs0",)}
            await asyncio.to_thread(node.run, "ip", "addr", "add", f"{B}/32", "dev", "kube-ipvs0")
            async with asyncio.timeout(20):
                while B not in (await told.get()).interfaces:
                    pass
        finally:
            following.cancel()
