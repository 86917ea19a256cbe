"""ARP for IPv4 over Ethernet, as bytes: parse any frame, build requests, replies and both gratuitous forms.

It decides nothing and keeps no state. It imports little, because the wire process counts its memory.

RFC 826, the only variant we speak (hardware type 1, protocol type 0x0800):

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+   byte
    |                 Ethernet destination address                  |   0
    +                               +-------------------------------+
    |                               |    Ethernet source address    |   6
    +-------------------------------+                               +
    |                                                               |
    +-------------------------------+-------------------------------+
    |      EtherType = 0x0806       |       Hardware type = 1       |  12, 14
    +-------------------------------+---------------+---------------+
    |    Protocol type = 0x0800     |  HLEN = 6     |  PLEN = 4     |  16, 18, 19
    +-------------------------------+---------------+---------------+
    |  Operation 1 request, 2 reply |    Sender hardware address    |  20, 22
    +-------------------------------+                               +
    |                                                               |
    +---------------------------------------------------------------+
    |                    Sender protocol address                    |  28
    +---------------------------------------------------------------+
    |                    Target hardware address                    |  32
    +                               +-------------------------------+
    |                               |    Target protocol address    |  38
    +-------------------------------+-------------------------------+
    |                               |                                  42, then padding to 60 on the wire
    +-------------------------------+

A frame tagged by 802.1Q has 0x8100 at byte 12 and is not ARP here: the kernel takes the tag off and hands the frame to
the VLAN's own interface, if there is one.
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

FRAME_BYTES = 42
BROADCAST = b"\xff" * 6
UNKNOWN_MAC = bytes(6)
UNSPECIFIED = bytes(4)

# EtherType, hardware type, protocol type, HLEN, PLEN: what every frame we take part in has at byte 12.
_ARP = b"\x08\x06\x00\x01\x08\x00\x06\x04"
REQUEST = _ARP + b"\x00\x01"
REPLY = _ARP + b"\x00\x02"

# destination, [source], EtherType..operation, sender MAC, sender, target MAC, target
_FRAME = Struct("!6s6s10s6s4s6s4s")
# The same without what the hot path does not look at.
HOT_FIELDS = Struct("!6s6x10s6s4s6x4s")
_REPLY_FRAME = Struct("!6s22s4s6s4s")


class Arp(NamedTuple):
    """One ARP packet with its Ethernet addresses. MACs are 6 bytes, IPv4 addresses 4."""

    destination: bytes
    source: bytes
    is_request: bool
    sender_mac: bytes
    sender: bytes
    target_mac: bytes
    target: bytes

    @property
    def is_probe(self) -> bool:
        """RFC 5227 §2.1.1: asks whether an address is in use, without claiming it."""
        return self.is_request and self.sender == UNSPECIFIED

    @property
    def is_gratuitous(self) -> bool:
        """RFC 5227 §3: sender and target are one address, as a request or a reply."""
        return self.sender == self.target


def parse(frame: bytes | bytearray | memoryview) -> Arp | None:
    """The ARP packet in an Ethernet frame, or None for everything else, junk included. Padding is ignored (RFC 826)."""
    if len(frame) < FRAME_BYTES:
        return None
    destination, source, kind, sender_mac, sender, target_mac, target = _FRAME.unpack_from(frame)
    if kind != REQUEST and kind != REPLY:
        return None
    return Arp(destination, source, kind == REQUEST, sender_mac, sender, target_mac, target)


def build(arp: Arp) -> bytes:
    """The 42 bytes of a frame; the driver pads it. `parse` gives the same Arp back."""
    kind = REQUEST if arp.is_request else REPLY
    return _FRAME.pack(arp.destination, arp.source, kind, arp.sender_mac, arp.sender, arp.target_mac, arp.target)


def request(mac: bytes, sender: bytes, target: bytes, *, to: bytes = BROADCAST) -> bytes:
    """Who has `target`, tell `sender` at `mac`. With `sender` UNSPECIFIED it is an RFC 5227 probe."""
    return build(Arp(to, mac, True, mac, sender, UNKNOWN_MAC, target))


def reply_head(mac: bytes) -> bytes:
    """The 22 bytes of every reply from the interface with this MAC, between the asker's MAC and our address."""
    return mac + REPLY + mac


def reply(head: bytes, address: bytes, asker_mac: bytes, asker: bytes) -> bytes:
    """`address` is at the MAC of `head`, sent to the asker alone (RFC 826: the reply goes to the sender's MAC)."""
    return _REPLY_FRAME.pack(asker_mac, head, address, asker_mac, asker)


def gratuitous_request(mac: bytes, address: bytes) -> bytes:
    """The ARP Announcement of RFC 5227 §2.3 and §3: a broadcast request, sender and target both `address`."""
    return build(Arp(BROADCAST, mac, True, mac, address, UNKNOWN_MAC, address))


def gratuitous_reply(mac: bytes, address: bytes) -> bytes:
    """The other form, a broadcast reply, for hosts that learn from replies only (RFC 5227 §3 tells why it is rarer).

    Target MAC is our own, as RFC 5944 §4.6 has it for gratuitous replies.
    """
    return build(Arp(BROADCAST, mac, False, mac, address, mac, address))


def mac_text(mac: bytes) -> str:
    """`02:00:00:00:00:01`."""
    return mac.hex(":")


def mac_bytes(text: str) -> bytes:
    """What `mac_text` wrote."""
    return bytes.fromhex(text.replace(":", ""))
