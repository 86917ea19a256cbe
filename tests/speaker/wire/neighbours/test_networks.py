"""Networks and gateways of interfaces, from rtnetlink messages made by hand and from junk."""

from ipaddress import ip_address, ip_interface
from struct import pack
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speaker.wire import netlink
from speaker.wire.neighbours.networks import (
    MOST_GATEWAYS,
    MOST_NETWORKS,
    NO_ROUTE,
    OTHER_TABLE,
    Reading,
    may_matter,
    requests,
)

ETH0, ETH1 = 2, 3
NEW_ADDRESS, DELETE_ADDRESS, NEW_ROUTE, DELETE_ROUTE = 20, 21, 24, 25
SECOND, TENTATIVE, DAD_FAILED = 0x01, 0x40, 0x08
KERNEL, BOOT, STATIC, RA, DHCP, BIRD = 2, 3, 4, 9, 16, 12


def address(text: str, *, on: int = ETH0, flags: int = 0x80, peer: str = "") -> bytes:
    """RTM_NEWADDR as the kernel writes it."""
    made = ip_interface(text)
    family = 2 if made.version == 4 else 10
    body = pack("=BBBBI", family, made.network.prefixlen, flags, 0, on)
    if made.version == 4:
        body += netlink.attribute(2, made.ip.packed)
    return body + netlink.attribute(1, ip_address(peer or str(made.ip)).packed)


def route(to: str, *, on: int = ETH0, via: str = "", metric: int = 0, table: int = 254, **fields: Any) -> bytes:
    """RTM_NEWROUTE as the kernel writes it."""
    made = ip_interface(to)
    length = made.network.prefixlen
    family, short = 2 if made.version == 4 else 10, table if table < 256 else 252
    header = (family, length, fields.get("source", 0), 0, short)
    body = pack("=BBBBBBBBI", *header, fields.get("protocol", KERNEL), 0, fields.get("kind", 1), 0)
    body += netlink.attribute(15, pack("=I", table))
    body += netlink.attribute(1, made.ip.packed) if length else b""
    body += netlink.attribute(6, pack("=I", metric)) if metric else b""
    if hops := fields.get("hops"):
        return body + netlink.attribute(9, b"".join(hop(*one) for one in hops))
    if via:
        gateway = ip_address(via)
        body += netlink.attribute(5, gateway.packed) if gateway.version == made.version else via_other(via)
    return body + netlink.attribute(4, pack("=I", on))


def via_other(gateway: str) -> bytes:
    """RTA_VIA: a gateway of the other family (RFC 5549)."""
    return netlink.attribute(18, pack("=H", 10) + ip_address(gateway).packed)


def hop(on: int, via: str) -> bytes:
    ways = netlink.attribute(5, ip_address(via).packed)
    return pack("=HBBi", 8 + len(ways), 0, 0, on) + ways


def read(*messages: bytes, follow: tuple[int, ...] = (ETH0, ETH1)) -> Reading:
    """Addresses and routes are told apart by their length of header, so by who made them here."""
    reading = Reading(frozenset(follow))
    for body in messages:
        reading.take(
            NEW_ADDRESS if body[4:8] in (pack("=I", ETH0), pack("=I", ETH1), pack("=I", 9)) else NEW_ROUTE, body
        )
    return reading


def networks(*messages: bytes, on: int = ETH0) -> list[str]:
    return [f"{ip_address(one.address)}/{one.length}" for one in read(*messages).reach(on).networks]


def metrics(*messages: bytes, on: int = ETH0) -> dict[str, int]:
    found = read(*messages).reach(on).networks
    return {f"{ip_address(one.address)}/{one.length}": one.metric for one in found}


def gateways(*messages: bytes, on: int = ETH0) -> list[str]:
    return [str(ip_address(one)) for one in read(*messages).reach(on).gateways]


def test_an_interface_has_the_networks_of_its_addresses_ipv4_first() -> None:
    both = (address("2001:db8::11/64"), address("192.0.2.11/24"), address("10.1.1.1/16", on=ETH1))
    assert networks(*both) == ["192.0.2.11/24", "2001:db8::11/64"]
    assert networks(*both, on=ETH1) == ["10.1.1.1/16"]
    assert networks(*both, on=9) == []


@pytest.mark.parametrize(
    "text",
    ["192.0.2.1/32", "2001:db8::1/128", "fe80::1/64", "169.254.3.4/16", "127.0.0.1/8", "::1/64", "0.0.0.0/8"],
)
def test_an_address_of_a_host_alone_and_one_that_nobody_else_reaches_make_no_network(text) -> None:
    assert networks(address(text)) == []


def test_of_several_addresses_in_a_network_the_first_permanent_one_is_told() -> None:
    """Temporary IPv6 addresses come and go each day, and secondary IPv4 ones may be anybody's."""
    assert networks(
        address("2001:db8::5/64", flags=SECOND),
        address("2001:db8::9/64", flags=TENTATIVE),
        address("2001:db8::7/64"),
        address("192.0.2.3/24", flags=SECOND),
        address("192.0.2.11/24"),
    ) == ["192.0.2.11/24", "2001:db8::7/64"]


def test_an_address_that_another_machine_has_and_the_far_end_of_a_tunnel_make_no_network() -> None:
    assert networks(address("2001:db8::5/64", flags=DAD_FAILED)) == []
    assert networks(address("10.0.0.1/24", peer="10.9.0.2")) == []


def test_a_route_to_the_segment_itself_makes_a_network_where_no_address_does() -> None:
    """DHCPv6 gives an address of /128, and the router's advertisement says what is on the segment."""
    of_dhcp = (address("2001:db8::11/128"), route("2001:db8::/64", metric=256, protocol=RA))
    assert metrics(*of_dhcp) == {"2001:db8::/64": 256}
    assert networks(address("192.0.2.11/32"), route("192.0.2.0/24")) == ["192.0.2.0/24"]


@pytest.mark.parametrize(
    "to",
    [
        route("192.0.2.0/24", via="10.0.0.1"),
        route("192.0.2.0/24", via="fe80::1"),
        route("192.0.2.7/32"),
        route("0.0.0.0/0"),
        route("fe80::/64"),
        route("ff00::/8"),
        route("192.0.2.0/24", table=255),
        route("192.0.2.0/24", kind=6),
        route("192.0.2.0/24", protocol=BIRD),
        route("2001:db8::/64", source=56),
        route("192.0.2.0/24", on=9),
        route("192.0.2.0/24", hops=[(ETH0, "10.0.0.1"), (ETH1, "10.0.0.2")]),
    ],
)
def test_no_other_route_does(to) -> None:
    assert networks(to) == []


def test_the_metric_is_that_of_the_best_route_and_those_of_other_tables_come_after_all_of_main() -> None:
    assert metrics(address("192.0.2.11/24"), route("192.0.2.0/24", metric=600), route("192.0.2.0/24", metric=100)) == {
        "192.0.2.11/24": 100
    }
    assert metrics(address("192.0.2.11/24")) == {"192.0.2.11/24": NO_ROUTE}
    assert metrics(address("192.0.2.11/24"), route("192.0.2.0/24", table=1001, metric=5)) == {
        "192.0.2.11/24": OTHER_TABLE + 5
    }


def test_default_gateways_are_told_by_interface_the_best_first() -> None:
    told = (
        route("0.0.0.0/0", via="192.0.2.254", metric=200, protocol=DHCP),
        route("0.0.0.0/0", via="192.0.2.1", metric=100, protocol=STATIC),
        route("0.0.0.0/0", via="192.0.2.1", metric=300, protocol=BOOT),
        route("::/0", via="fe80::1", metric=1024, protocol=RA),
        route("0.0.0.0/0", hops=[(ETH0, "192.0.2.7"), (ETH1, "10.0.0.1")], metric=400),
    )
    assert gateways(*told) == ["192.0.2.1", "192.0.2.254", "192.0.2.7", "fe80::1"]
    assert gateways(*told, on=ETH1) == ["10.0.0.1"]
    assert networks(*told) == []


def test_many_of_one_family_do_not_keep_the_other_out() -> None:
    many = [address(f"10.{n}.0.1/16") for n in range(20)] + [route("0.0.0.0/0", via=f"10.0.0.{n}") for n in range(1, 9)]
    found = read(*many, address("2001:db8::1/64"), route("::/0", via="fe80::1", metric=1024)).reach(ETH0)
    assert (len(found.networks), len(found.gateways)) == (MOST_NETWORKS, MOST_GATEWAYS)
    assert any(len(one.address) == 16 for one in found.networks)
    assert any(len(one) == 16 for one in found.gateways)


@given(st.permutations([address(f"10.{n}.0.1/16") for n in range(12)] + [address("10.1.0.9/16"), route("10.2.0.0/16")]))
def test_what_is_told_does_not_depend_on_the_order_of_the_dump(messages) -> None:
    assert read(*messages).reach(ETH0) == read(*sorted(messages)).reach(ETH0)


def message(kind: int, body: bytes) -> bytes:
    return pack("=IHHII", 16 + len(body), kind, 0, 0, 0) + body


def test_news_of_interfaces_that_are_not_followed_do_not_matter() -> None:
    followed = frozenset({ETH0})
    for kind in (NEW_ADDRESS, DELETE_ADDRESS):
        assert may_matter(message(kind, address("fe80::1/64")), followed)
        assert not may_matter(message(kind, address("fe80::1/64", on=9)), followed)
    for kind in (NEW_ROUTE, DELETE_ROUTE):
        assert may_matter(message(kind, route("192.0.2.0/24")), followed)
        assert not may_matter(message(kind, route("10.244.1.7/32", on=9)), followed)
        assert may_matter(message(kind, route("0.0.0.0/0", hops=[(ETH1, "10.0.0.1")])), followed)


def test_addresses_come_first_and_errors_end_a_dump_too() -> None:
    kinds = [kind for request in requests() for kind, *_ in netlink.messages(request)]
    assert kinds == [22, 26, 26]
    assert netlink.is_end(2)
    assert netlink.is_end(3)
    assert not netlink.is_end(NEW_ROUTE)
    assert netlink.is_interrupted(0x12)
    assert not netlink.is_interrupted(0x2)


@given(st.sampled_from([NEW_ADDRESS, NEW_ROUTE, DELETE_ROUTE]), st.binary(max_size=100))
def test_junk_is_read_without_complaint(kind, junk) -> None:
    reading = Reading(range(1 << 32))
    reading.take(kind, junk)
    for ifindex in range(4):
        reading.reach(ifindex)
    may_matter(message(kind, junk), frozenset({1}))


@given(st.integers(0, 200), st.integers(0, 255), st.booleans())
def test_a_message_with_one_byte_changed_is_read_without_complaint(position, value, is_route) -> None:
    hops = [(ETH0, "192.0.2.7"), (ETH1, "10.0.0.1")]
    body = bytearray(route("0.0.0.0/0", hops=hops) if is_route else address("2001:db8::1/64"))
    body[position % len(body)] = value
    reading = Reading(range(1 << 32))
    reading.take(NEW_ROUTE if is_route else NEW_ADDRESS, bytes(body))
    reading.reach(ETH0)
