"""rtnetlink messages captured from a kernel (Linux 6.18), junk, and which links are usable and why not."""

from pathlib import Path
from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speaker.wire.netlink import (
    DumpDone,
    Failed,
    Link,
    LinkChanged,
    LinkGone,
    dump_request,
    is_up,
    parse,
    why_not_usable,
)

GOLDEN = Path(__file__).parent / "golden"
UP_WITH_CARRIER = 0x1 | 0x40 | 0x10000
ETH0 = Link(4, "eth0", bytes.fromhex("020000000001"), UP_WITH_CARRIER, 1, 0, "")


def captured(name: str) -> list[bytes]:
    return [bytes.fromhex(line) for line in (GOLDEN / name).read_text().split()]


def never(_: str) -> None:
    return None


def reasons(datagrams: list[bytes]) -> dict[str, str]:
    messages = [message for datagram in datagrams for message in parse(datagram)]
    links = [message.link for message in messages if isinstance(message, LinkChanged)]
    return {link.name: why_not_usable(link, never) for link in links}


def test_the_dump_of_a_machine_is_read_link_by_link():
    assert reasons(captured("links.hex")) == {
        "lo": "Loopback",
        "br0": "NoCarrier",  # its port's carrier had not arrived yet
        "port0": "Enslaved",
        "eth0": "",
        "eth2": "NoArp",
        "eth1": "NoCarrier",  # its peer is down
        "tun0": "NotEthernet",
    }


def test_a_dump_ends_with_done():
    last = list(parse(captured("links.hex")[-1]))
    assert last == [DumpDone(interrupted=False)]


def test_all_fields_of_a_bridge_port_are_read():
    message = next(parse(captured("links.hex")[1]))
    assert isinstance(message, LinkChanged)
    assert message.link._replace(carrier_changes=0) == Link(
        3, "port0", bytes.fromhex("020000000002"), 69699, 1, 2, "bridge"
    )
    assert message.link.carrier_changes > 0
    assert not message.has_moved


def test_a_port_that_leaves_its_bridge_has_not_gone():
    """The kernel tells the bridge's view of it in a DELLINK of family AF_BRIDGE, on the same multicast group."""
    assert [list(parse(datagram)) for datagram in captured("port-leaves-bridge.hex")] == [[], []]


def test_the_request_is_the_bytes_the_kernel_answered():
    assert dump_request(7) == bytes.fromhex("28000000120001030700000000000000") + bytes(16) + bytes.fromhex(
        "08001d0008000000"
    )


def test_a_link_that_goes_is_told_by_its_index():
    body = pack("=BxHiII", 0, 1, 6, 0, 0)
    assert list(parse(pack("=IHHII", 16 + len(body), 17, 0, 0, 0) + body)) == [LinkGone(6)]


def test_an_interrupted_dump_says_so():
    assert list(parse(pack("=IHHIIi", 20, 3, 0x10, 1, 0, 0))) == [DumpDone(interrupted=True)]


def test_a_refusal_carries_its_errno_and_an_acknowledgement_is_nothing():
    assert list(parse(pack("=IHHIIi", 20, 2, 0, 1, 0, -1))) == [Failed(1)]
    assert list(parse(pack("=IHHIIi", 20, 2, 0, 1, 0, 0))) == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, ""),
        ({"flags": UP_WITH_CARRIER | 0x8}, "Loopback"),
        ({"flags": UP_WITH_CARRIER | 0x80}, "NoArp"),
        ({"flags": 0x10040}, "Down"),
        ({"flags": 0x1}, "NoCarrier"),
        ({"flags": 0x1 | 0x10000}, "NoCarrier"),  # has carrier but is not operational: 802.1X, dormant
        ({"hardware_type": 65534, "mac": b""}, "NotEthernet"),
        ({"hardware_type": 32, "mac": bytes(20)}, "NotEthernet"),  # InfiniBand
        ({"master": 9, "slave_kind": "bridge"}, "Enslaved"),
        ({"master": 9, "slave_kind": "bond"}, "Enslaved"),
        ({"master": 9, "slave_kind": ""}, "Enslaved"),
        ({"master": 9, "slave_kind": "vrf"}, ""),
    ],
)
def test_why_a_link_is_not_usable(change, reason):
    assert why_not_usable(ETH0._replace(**change), never) == reason


def test_an_excluded_link_is_not_usable():
    assert why_not_usable(ETH0, {"eth0"}.__contains__) == "Excluded"
    assert why_not_usable(ETH0, {"eth1"}.__contains__) == ""


def test_up_needs_carrier():
    assert is_up(ETH0)
    assert not is_up(ETH0._replace(flags=0x1))


@given(st.binary(max_size=300))
def test_junk_is_read_without_complaint(junk):
    list(parse(junk))


@given(st.integers(0, 4000), st.integers(0, 255))
def test_a_captured_datagram_with_one_byte_changed_is_read_without_complaint(position, value):
    datagram = bytearray(captured("links.hex")[1])
    datagram[position % len(datagram)] = value
    for message in parse(bytes(datagram)):
        if isinstance(message, LinkChanged):
            why_not_usable(message.link, never)


@given(st.integers(0, 3000))
def test_a_datagram_broken_off_is_read_as_far_as_it_is_whole(length):
    whole = captured("links.hex")[1]
    assert list(parse(whole[:length])) == list(parse(whole))[: len(list(parse(whole[:length])))]


def attribute(kind: int, value: bytes) -> bytes:
    padding = bytes(-len(value) % 4)
    return pack("=HH", 4 + len(value), kind) + value + padding


def new_link(name: str, *attributes: bytes, index: int = 7, flags: int = UP_WITH_CARRIER) -> bytes:
    """RTM_NEWLINK as the kernel writes it, by hand: for devices that not every kernel has."""
    body = pack("=BxHiII", 0, 1, index, flags, 0) + attribute(3, name.encode() + b"\0")
    body += attribute(1, bytes.fromhex("020000000001")) + b"".join(attributes)
    return pack("=IHHII", 16 + len(body), 16, 0, 0, 0) + body


BOND = attribute(18, attribute(1, b"bond\0") + attribute(2, attribute(1, b"\1")))  # IFLA_LINKINFO: kind, data
VLAN = attribute(18, attribute(1, b"vlan\0") + attribute(2, attribute(1, pack("=H", 100))))
LOWER = attribute(5, pack("=I", 2))  # IFLA_LINK: the device below
BOND_PORT = attribute(10, pack("=I", 7)) + attribute(18, attribute(4, b"bond\0"))  # IFLA_MASTER; _INFO_SLAVE_KIND


def usable(datagram: bytes) -> str:
    (message,) = parse(datagram)
    assert isinstance(message, LinkChanged)
    return why_not_usable(message.link, never)


def test_a_bond_and_a_vlan_are_interfaces_and_a_bonds_port_is_none():
    assert usable(new_link("bond0", BOND)) == ""
    assert usable(new_link("eth0.100", VLAN, LOWER)) == ""
    assert usable(new_link("bond0.100", VLAN, LOWER, flags=0x1)) == "NoCarrier"  # the bond below lost its last port
    assert usable(new_link("eth1", BOND_PORT)) == "Enslaved"


@pytest.mark.parametrize(
    ("event", "has_moved"),
    [
        (0, False),
        (2, False),  # FEATURES
        (3, True),  # BONDING_FAILOVER: another port of the bond is active
        (4, True),  # NOTIFY_PEERS: bond, team, a virtual machine that was moved to another host
        (5, True),  # IGMP_RESEND
        (6, False),  # BONDING_OPTIONS
    ],
)
def test_a_link_whose_frames_take_another_way_says_so(event, has_moved):
    (message,) = parse(new_link("bond0", BOND, attribute(44, pack("=I", event))))
    assert isinstance(message, LinkChanged)
    assert message.has_moved is has_moved


def test_the_carriers_changes_are_counted():
    (message,) = parse(new_link("eth0", attribute(35, pack("=I", 12))))
    assert isinstance(message, LinkChanged)
    assert message.link.carrier_changes == 12


def test_an_attribute_of_another_length_counts_as_none():
    (message,) = parse(new_link("eth0", attribute(35, b"\1"), attribute(44, b"\4"), attribute(10, b"\1\1")))
    assert isinstance(message, LinkChanged)
    assert (message.link.carrier_changes, message.link.master, message.has_moved) == (0, 0, False)
