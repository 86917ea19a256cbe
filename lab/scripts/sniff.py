"""Prints the ARP and NDP frames that pass an interface, one line of JSON each, and what they claim.

`at` is CLOCK_MONOTONIC seconds. `sender_ip` and `sender_mac` are what the frame claims: its hearers learn that this
address is at that MAC. ARP (RFC 826): any frame with a sender, as replies and gratuitous ARP. NDP (RFC 4861): an
advertisement's target, and a solicitation's source. Run by path on the hub's bridge, with nothing but the standard
library.
"""

import argparse
import json
import select
import socket
import struct
import time

ETH_P_ARP, ETH_P_IPV6 = 0x0806, 0x86DD
SOL_PACKET = 263
PACKET_ADD_MEMBERSHIP = 1
PACKET_MR_PROMISC = 1
ETHERNET_HEADER_BYTES = 14
ARP_IPV4 = struct.Struct("!HHBBH6s4s6s4s")
"""Hardware type, protocol type, lengths, operation, sender, target."""
NDP = struct.Struct("!6xBB16s16sBBHI16s")
"""From the IPv6 header on: next header, hop limit, source, destination, type, code, checksum, flags, target."""
ICMPV6 = 58
SOLICITATION, ADVERTISEMENT = 135, 136
SOURCE_OPTION, TARGET_OPTION = 1, 2


def decode(frame: bytes) -> dict[str, object] | None:
    """None for what is neither ARP for IPv4 over Ethernet nor a solicitation or advertisement."""
    protocol = int.from_bytes(frame[12:14], "big")
    if protocol == ETH_P_ARP:
        return decode_arp(frame)
    return decode_ndp(frame) if protocol == ETH_P_IPV6 else None


def decode_arp(frame: bytes) -> dict[str, object] | None:
    if len(frame) < ETHERNET_HEADER_BYTES + ARP_IPV4.size:
        return None
    hardware, protocol, _, _, op, sender_mac, sender_ip, _, target_ip = ARP_IPV4.unpack_from(
        frame, ETHERNET_HEADER_BYTES
    )
    if (hardware, protocol) != (1, 0x0800):
        return None
    return {
        "op": op,
        "sender_mac": sender_mac.hex(":"),
        "sender_ip": socket.inet_ntoa(sender_ip),
        "target_ip": socket.inet_ntoa(target_ip),
    }


def decode_ndp(frame: bytes) -> dict[str, object] | None:
    if len(frame) < ETHERNET_HEADER_BYTES + NDP.size:
        return None
    next_header, _, source, destination, kind, _, _, _, target = NDP.unpack_from(frame, ETHERNET_HEADER_BYTES)
    if next_header != ICMPV6 or kind not in (SOLICITATION, ADVERTISEMENT):
        return None
    option = link_layer_address(frame, SOURCE_OPTION if kind == SOLICITATION else TARGET_OPTION)
    claimed, other = (source, target) if kind == SOLICITATION else (target, destination)
    return {
        "op": "solicitation" if kind == SOLICITATION else "advertisement",
        "sender_mac": (option or frame[6:12]).hex(":"),
        "sender_ip": socket.inet_ntop(socket.AF_INET6, claimed),
        "target_ip": socket.inet_ntop(socket.AF_INET6, other),
    }


def link_layer_address(frame: bytes, wanted: int) -> bytes | None:
    """From the options, which have 8 octets times their length each."""
    at = ETHERNET_HEADER_BYTES + NDP.size
    while at + 8 <= len(frame) and frame[at + 1]:
        if frame[at] == wanted:
            return frame[at + 2 : at + 8]
        at += 8 * frame[at + 1]
    return None


def listen(interface: str, protocol: int) -> socket.socket:
    listener = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(protocol))
    listener.bind((interface, protocol))
    # A bridge shows what it carries between its ports only to those who ask for all of it.
    request = struct.pack("iHH8s", socket.if_nametoindex(interface), PACKET_MR_PROMISC, 0, b"")
    listener.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, request)
    return listener


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("interface")
    options = arguments.parse_args()
    listeners = [listen(options.interface, protocol) for protocol in (ETH_P_ARP, ETH_P_IPV6)]
    print(json.dumps({"listening": options.interface}), flush=True)
    while True:
        for listener in select.select(listeners, [], [])[0]:
            seen = decode(listener.recv(2048))
            if seen is not None:
                print(json.dumps({"at": time.monotonic(), **seen}), flush=True)


if __name__ == "__main__":
    main()
