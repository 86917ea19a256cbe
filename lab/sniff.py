"""Prints the ARP frames that pass an interface, one line of JSON each, and what they claim.

`at` is CLOCK_MONOTONIC seconds. `sender_ip` and `sender_mac` are what the frame claims: replies and gratuitous ARP both
teach their hearers that this address is at that MAC. Run by path on the hub's bridge, with nothing but the standard
library. IPv4 only (RFC 826).
"""

import argparse
import json
import socket
import struct
import time

ETH_P_ARP = 0x0806
SOL_PACKET = 263
PACKET_ADD_MEMBERSHIP = 1
PACKET_MR_PROMISC = 1
ETHERNET_HEADER_BYTES = 14
ARP_IPV4 = struct.Struct("!HHBBH6s4s6s4s")
"""Hardware type, protocol type, lengths, operation, sender, target."""


def decode(frame: bytes) -> dict[str, object] | None:
    """None for what is not ARP for IPv4 over Ethernet."""
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


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("interface")
    options = arguments.parse_args()
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ARP)) as listener:
        listener.bind((options.interface, ETH_P_ARP))
        # A bridge shows what it carries between its ports only to those who ask for all of it.
        index = socket.if_nametoindex(options.interface)
        listener.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, struct.pack("iHH8s", index, PACKET_MR_PROMISC, 0, b""))
        print(json.dumps({"listening": options.interface}), flush=True)
        while True:
            frame = listener.recv(2048)
            seen = decode(frame)
            if seen is not None:
                print(json.dumps({"at": time.monotonic(), **seen}), flush=True)


if __name__ == "__main__":
    main()
