"""The addresses of this host that others can reach, as the kernel has them."""

import asyncio
from collections.abc import Iterator
from ipaddress import ip_interface

import pytest

from lab.net.segment import Namespace
from speaker.bgp.io import ownaddresses
from speaker.bgp.io.ownaddresses import follow_addresses, read_addresses
from speaker.bgp.ownaddresses import MOST_OF_A_FAMILY, Reading
from speaker.bgp.surroundings import Addresses
from speaker.wire import netlink


def dumped(*addresses: tuple[int, str, int, int]) -> bytes:
    """A dump: index, address, scope, flags."""
    parts = []
    for index, text, scope, flags in addresses:
        one = ip_interface(text)
        family = 2 if one.version == 4 else 10
        head = netlink.ADDRESS.pack(family, one.network.prefixlen, flags, scope, index)
        body = head + netlink.attribute(netlink.IFA_ADDRESS, one.ip.packed)
        parts.append(netlink.request(netlink.NEW_ADDRESS, 0, 1, body))
    return b"".join(parts)


def read(*addresses: tuple[int, str, int, int]) -> dict[str, list[str]]:
    reading = Reading({1: "lo", 2: "eth0"})
    assert not reading.take(dumped(*addresses))
    return {name: [str(one) for one in found] for name, found in reading.addresses().items()}


def test_addresses_that_stay_on_the_host_or_its_link_are_none() -> None:
    found = read(
        (1, "127.0.0.1/8", 254, 0), (1, "198.51.100.1/32", 0, 0), (2, "fe80::1/64", 253, 0), (2, "2001:db8::1/64", 0, 0)
    )
    assert found == {"lo": ["198.51.100.1/32"], "eth0": ["2001:db8::1/64"]}


@pytest.mark.parametrize("flag", [0x01, 0x08, 0x20, 0x40])
def test_ipv6_addresses_that_pass_or_are_not_usable_are_left_out(flag: int) -> None:
    assert read((2, "2001:db8::2/64", 0, flag), (2, "2001:db8::1/64", 0, 0x80)) == {"eth0": ["2001:db8::1/64"]}


def test_of_thousands_the_first_ones_of_each_family_count() -> None:
    many = [(2, f"10.0.{number // 250}.{number % 250 + 1}/32", 0, 0) for number in range(5000)]
    found = read(*many, (2, "2001:db8::1/64", 0, 0))["eth0"]
    assert found == [*(text for _, text, _, _ in many[:MOST_OF_A_FAMILY]), "2001:db8::1/64"]


def test_what_is_broken_off_or_of_an_unknown_interface_is_left_out() -> None:
    whole = dumped((2, "192.0.2.1/24", 0, 0))
    for length in range(len(whole)):
        reading = Reading({2: "eth0"})
        reading.take(whole[:length])
        assert not reading.addresses()
    assert read((7, "192.0.2.1/24", 0, 0)) == {}


@pytest.fixture
def host() -> Iterator[Namespace]:
    made = Namespace()
    made.run("sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=0", "net.ipv6.conf.all.disable_ipv6=0")
    made.run("ip", "address", "add", "198.51.100.7/32", "dev", "lo")
    yield made
    made.close()


IPV4_ONLY = {"lo": (ip_interface("198.51.100.7/32"),)}


@pytest.mark.root
@pytest.mark.asyncio
async def test_the_kernel_is_asked_and_a_change_is_told(host: Namespace, monkeypatch: pytest.MonkeyPatch) -> None:
    told: asyncio.Queue[object] = asyncio.Queue()

    def read() -> Addresses:
        with host.entered():  # threads are of this machine's own network
            return read_addresses()

    monkeypatch.setattr(ownaddresses, "read_addresses", read)
    monkeypatch.setattr(ownaddresses, "SETTLE_SECONDS", 0.05)
    is_wanted = False
    with host.entered():
        following = asyncio.create_task(follow_addresses(lambda: is_wanted, told.put_nowait))
        try:
            await asyncio.sleep(0.2)
            assert told.empty()
            is_wanted = True
            assert await asyncio.wait_for(told.get(), 20) == IPV4_ONLY
            host.run("ip", "address", "add", "2001:db8:7::1/128", "dev", "lo", "nodad")
            both = {"lo": (*IPV4_ONLY["lo"], ip_interface("2001:db8:7::1/128"))}
            assert await asyncio.wait_for(told.get(), 20) == both
        finally:
            following.cancel()
