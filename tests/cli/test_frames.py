"""What `berth arping` sends and understands, with scapy's reading and building of frames as a second opinion."""

import logging
from ipaddress import ip_address

import pytest

from cli.frames import Question, answerer, link_local

logging.getLogger("scapy").setLevel(logging.ERROR)  # it tells at import which interfaces have no address

from scapy.layers.inet6 import (  # noqa: E402
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptSrcLLAddr,
    IPv6,
)
from scapy.layers.l2 import ARP, Ether  # noqa: E402

MAC, OTHER, THIRD = (f"02:00:00:00:00:0{number}" for number in (1, 2, 3))
VIP, VIP6 = "192.0.2.10", "2001:db8::12:3456"
OURS, OURS6 = "192.0.2.1", "fe80::1"
GROUP, GROUP_MAC = "ff02::1:ff12:3456", "33:33:ff:12:34:56"


def question(address: str, sender: str) -> Question:
    return Question(ip_address(address), "eth0", bytes.fromhex(MAC.replace(":", "")), ip_address(sender))


def mac_of(frame: object, asked: Question) -> str | None:
    mac = answerer(bytes(frame), asked)
    return mac.hex(":") if mac else None


@pytest.mark.parametrize("sender", [OURS, "0.0.0.0"])
def test_a_request_by_arp_asks_everybody_for_the_address(sender: str) -> None:
    packet = Ether(question(VIP, sender).frame)
    assert (packet.src, packet.dst, packet.type) == (MAC, "ff:ff:ff:ff:ff:ff", 0x0806)
    arp = packet[ARP]
    assert (arp.op, arp.hwsrc, arp.psrc, arp.hwdst, arp.pdst) == (1, MAC, sender, "00:00:00:00:00:00", VIP)


def test_a_solicitation_asks_the_addresses_group_and_tells_our_mac() -> None:
    packet = Ether(question(VIP6, OURS6).frame)
    assert (packet.src, packet.dst, packet[IPv6].src, packet[IPv6].dst) == (MAC, GROUP_MAC, OURS6, GROUP)
    assert (packet[IPv6].hlim, packet[ICMPv6ND_NS].tgt, packet[ICMPv6NDOptSrcLLAddr].lladdr) == (255, VIP6, MAC)


def test_a_probe_by_ndp_tells_neither_address_nor_mac() -> None:
    packet = Ether(question(VIP6, "::").frame)
    assert (packet[IPv6].src, packet[ICMPv6ND_NS].tgt) == ("::", VIP6)
    assert ICMPv6NDOptSrcLLAddr not in packet


@pytest.mark.parametrize("operation", ["is-at", "who-has"])
def test_a_frame_with_the_address_as_its_sender_is_an_answer(operation: str) -> None:
    frame = Ether(src=OTHER, dst=MAC) / ARP(op=operation, hwsrc=THIRD, psrc=VIP, hwdst=MAC, pdst=OURS)
    assert mac_of(frame, question(VIP, OURS)) == THIRD
    assert mac_of(frame, question("192.0.2.11", OURS)) is None


@pytest.mark.parametrize("operation", ["is-at", "who-has"])
@pytest.mark.parametrize("sender", [OURS, "0.0.0.0"])
def test_an_announcement_is_no_answer(operation: str, sender: str) -> None:
    frame = Ether(src=OTHER, dst="ff:ff:ff:ff:ff:ff") / ARP(op=operation, hwsrc=OTHER, psrc=VIP, pdst=VIP)
    assert mac_of(frame, question(VIP, sender)) is None


def test_an_advertisement_that_nobody_asked_for_is_none_but_to_a_probe() -> None:
    announced = advertisement(solicited=False)
    assert mac_of(announced, question(VIP6, OURS6)) is None
    assert mac_of(announced, question(VIP6, "::")) == OTHER


def test_our_own_frames_and_other_protocols_answer_nothing() -> None:
    own = Ether(src=MAC) / ARP(op="is-at", hwsrc=OTHER, psrc=VIP, pdst=OURS)
    assert mac_of(own, question(VIP, OURS)) is None
    assert mac_of(Ether(src=OTHER) / IPv6(), question(VIP, OURS)) is None
    assert mac_of(Ether(src=OTHER) / ARP(psrc=VIP), question(VIP6, OURS6)) is None


def advertisement(*, target: str = VIP6, source: str = OTHER, solicited: bool = True) -> Ether:
    ip = IPv6(src="fe80::2", dst=OURS6, hlim=255)
    return Ether(src=source, dst=MAC) / ip / ICMPv6ND_NA(tgt=target, R=0, S=int(solicited), O=1)


def test_an_advertisement_answers_with_its_option_or_else_with_its_source() -> None:
    asked = question(VIP6, OURS6)
    assert mac_of(advertisement() / ICMPv6NDOptDstLLAddr(lladdr=THIRD), asked) == THIRD
    assert mac_of(advertisement(), asked) == OTHER
    assert mac_of(advertisement(target="2001:db8::13"), asked) is None
    assert mac_of(advertisement(source=MAC), asked) is None


def test_a_solicitation_is_no_answer() -> None:
    ip = IPv6(src="fe80::2", dst=GROUP, hlim=255)
    asks = Ether(src=OTHER, dst=GROUP_MAC) / ip / ICMPv6ND_NS(tgt=VIP6) / ICMPv6NDOptSrcLLAddr(lladdr=OTHER)
    assert mac_of(asks, question(VIP6, OURS6)) is None


def test_a_mac_has_a_link_local_address() -> None:
    """The example of RFC 4291, appendix A."""
    assert link_local(bytes.fromhex("3456789abcde")) == ip_address("fe80::3656:78ff:fe9a:bcde")
