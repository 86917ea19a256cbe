"""The frames of `berth arping`, built and read by scapy, and where they have to go. Sends nothing.

scapy takes a quarter of a second to load: import this module where it is needed, not before.
"""

import logging
import socket
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

# scapy tells at import which interfaces have no address, which is of no concern here.
logging.getLogger("scapy").setLevel(logging.ERROR)

from scapy.arch import get_if_addr, get_if_hwaddr, in6_getifaddr  # noqa: E402
from scapy.config import conf  # noqa: E402
from scapy.layers.inet6 import (  # noqa: E402
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptSrcLLAddr,
    IPv6,
)
from scapy.layers.l2 import ARP, Ether  # noqa: E402

Address = IPv4Address | IPv6Address

BROADCAST = "ff:ff:ff:ff:ff:ff"
UNKNOWN_MAC = "00:00:00:00:00:00"


class NoWay(OSError):
    """The address is on no segment of this machine."""


@dataclass(frozen=True)
class Question:
    """Who has `address`? Ready to be sent on `interface`; `sender` is who asks, unspecified in a probe."""

    address: Address
    interface: str
    mac: str
    sender: Address
    frame: bytes


def question(address: Address, interface: str | None, *, is_probe: bool) -> Question:
    """Raises OSError: no such interface, or no way to the address."""
    name, source = (interface, None) if interface else _route(address)
    socket.if_nametoindex(name)
    mac = str(get_if_hwaddr(name))
    sender = _unspecified(address) if is_probe else source or _source(address, name, mac)
    build = _arp_request if address.version == 4 else _solicitation
    return Question(address, name, mac, sender, bytes(build(address, sender, mac)))


def answerer(frame: bytes, asking: Question) -> str | None:
    """The MAC of the machine that says in this frame that it has the address; None when it says no such thing.

    Every ARP frame with the address as its sender is such a word, gratuitous ones too (RFC 5227 §2.1.1).
    """
    packet = Ether(frame)
    if packet.src == asking.mac:
        return None
    if asking.address.version == 4:
        arp = packet.getlayer(ARP)
        return str(arp.hwsrc) if arp is not None and arp.psrc == str(asking.address) else None
    advertisement = packet.getlayer(ICMPv6ND_NA)
    if advertisement is None or ip_address(advertisement.tgt) != asking.address:
        return None
    option = advertisement.getlayer(ICMPv6NDOptDstLLAddr)
    return str(option.lladdr if option is not None else packet.src)


def _arp_request(address: Address, sender: Address, mac: str) -> Any:
    arp = ARP(op="who-has", hwsrc=mac, psrc=str(sender), hwdst=UNKNOWN_MAC, pdst=str(address))
    return Ether(src=mac, dst=BROADCAST) / arp


def _solicitation(address: Address, sender: Address, mac: str) -> Any:
    """RFC 4861 §7.2.2; without an address of our own, none of our MAC either (RFC 4862 §5.4.2)."""
    last = address.packed[-3:]
    group = IPv6Address(bytes.fromhex("ff0200000000000000000001ff") + last)
    ip = IPv6(src=str(sender), dst=str(group), hlim=255)
    packet = Ether(src=mac, dst=f"33:33:ff:{last.hex(':')}") / ip / ICMPv6ND_NS(tgt=str(address))
    return packet if sender.is_unspecified else packet / ICMPv6NDOptSrcLLAddr(lladdr=mac)


def _route(address: Address) -> tuple[str, Address | None]:
    table = conf.route if address.version == 4 else conf.route6
    name, source, gateway = table.route(str(address))
    if not ip_address(gateway).is_unspecified or name == conf.loopback_name:
        raise NoWay(f"{address} is not on a segment of this machine: say with --interface where to ask")
    return str(name), ip_address(source)


def _source(address: Address, name: str, mac: str) -> Address:
    """An address to ask from on that interface. NDP: link-local; where IPv6 has none, the one that fits the MAC."""
    if address.version == 4:
        return ip_address(get_if_addr(name))
    found = [text for text, scope, interface in in6_getifaddr() if interface == name and scope == 0x20]
    return ip_address(found[0] if found else _link_local(bytes.fromhex(mac.replace(":", ""))))


def _link_local(mac: bytes) -> bytes:
    """RFC 4291, appendix A."""
    return b"\xfe\x80" + bytes(6) + bytes([mac[0] ^ 2]) + mac[1:3] + b"\xff\xfe" + mac[3:]


def _unspecified(address: Address) -> Address:
    return IPv4Address(0) if address.version == 4 else IPv6Address(0)
