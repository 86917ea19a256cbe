"""The two families of addresses as tests see them on a segment: how to ask, and what replies and announcements are."""

import ipaddress
import socket
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, ClassVar, Generic, Self, TypeVar

from lab.net.segment import ETH_P_ARP, ETH_P_IPV6, Host
from speaker.wire.neighbours import arp, ndp
from speaker.wire.neighbours.arp import Arp
from speaker.wire.neighbours.ndp import Advertisement, Solicitation

M = TypeVar("M")


class Asker(Generic[M]):
    """A raw socket of a host that asks who has an address, and reads replies and announcements."""

    protocol: ClassVar[int]

    def __init__(self, host: Host, interface: str = "eth0") -> None:
        self.socket = host.packet_socket(interface, self.protocol)
        self.host, self.mac = host, host.mac

    def request(self, target: bytes) -> bytes:
        raise NotImplementedError

    def claims(self, target: bytes) -> list[bytes]:
        """Every frame by which this host would claim the address unasked."""
        raise NotImplementedError

    def probe(self, target: bytes) -> bytes:
        """Asks whether the address is in use, without claiming it."""
        raise NotImplementedError

    def parse(self, frame: bytes) -> M | None:
        raise NotImplementedError

    def is_question(self, frame: bytes) -> bool:
        """Whether it asks who has an address, without claiming it."""
        raise NotImplementedError

    def address_of(self, message: M) -> bytes:
        """The address that it tells of."""
        raise NotImplementedError

    def mac_of(self, message: M | None) -> bytes | None:
        """Where it says that the address is; None also for no message."""
        raise NotImplementedError

    def is_reply(self, message: M) -> bool:
        raise NotImplementedError

    def is_announcement(self, message: M) -> bool:
        raise NotImplementedError

    def send(self, frame: bytes) -> None:
        self.socket.send(frame)

    def ask(self, target: bytes, seconds: float = 0.5) -> M | None:
        """The reply to one request; None when there is none in time."""
        self.send(self.request(target))
        return self.next(lambda seen: self.is_reply(seen) and self.address_of(seen) == target, seconds)

    def next(self, is_wanted: Callable[[M], bool], seconds: float = 2) -> M | None:
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self.socket.settimeout(left)
            try:
                message = self.parse(self.socket.recv(1600))
            except TimeoutError:
                return None
            if message is not None and is_wanted(message):
                return message
        return None

    def frames(self, seconds: float) -> list[bytes]:
        """All that come within this time."""
        frames = []
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self.socket.settimeout(left)
            try:
                frames.append(self.socket.recv(1600))
            except TimeoutError:
                break
        return frames

    def next_about(self, address: bytes, seconds: float = 2) -> M | None:
        return self.next(lambda seen: self.address_of(seen) == address, seconds)

    def next_from(self, mac: bytes, seconds: float = 2) -> M | None:
        return self.next(lambda seen: self.mac_of(seen) == mac, seconds)

    def forget(self) -> None:
        """Read away what has queued up."""
        self.socket.settimeout(0)
        try:
            while True:
                self.socket.recv(1600)
        except BlockingIOError:
            pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()


class ArpAsker(Asker[Arp]):
    protocol = ETH_P_ARP

    def request(self, target: bytes) -> bytes:
        return arp.request(self.mac, self.host.address, target)

    def claims(self, target: bytes) -> list[bytes]:
        return [arp.gratuitous_request(self.mac, target), arp.gratuitous_reply(self.mac, target)]

    def probe(self, target: bytes) -> bytes:
        return arp.request(self.mac, arp.UNSPECIFIED, target)

    def parse(self, frame: bytes) -> Arp | None:
        return arp.parse(frame)

    def is_question(self, frame: bytes) -> bool:
        message = arp.parse(frame)
        return message is not None and message.is_probe

    def address_of(self, message: Arp) -> bytes:
        return message.sender

    def mac_of(self, message: Arp | None) -> bytes | None:
        return message and message.sender_mac

    def is_reply(self, message: Arp) -> bool:
        return not message.is_request and not message.is_gratuitous

    def is_announcement(self, message: Arp) -> bool:
        return message.is_gratuitous


class NdpAsker(Asker[Advertisement]):
    protocol = ETH_P_IPV6

    def request(self, target: bytes) -> bytes:
        return ndp.solicitation(self.mac, packed(f"2001:db8::{self.host.number}"), target)

    def claims(self, target: bytes) -> list[bytes]:
        return [ndp.unsolicited(ndp.head(self.mac), target)]

    def probe(self, target: bytes) -> bytes:
        return ndp.probe(self.mac, target)

    def parse(self, frame: bytes) -> Advertisement | None:
        message = ndp.parse(frame)
        return message if isinstance(message, Advertisement) else None

    def is_question(self, frame: bytes) -> bool:
        return isinstance(ndp.parse(frame), Solicitation)

    def address_of(self, message: Advertisement) -> bytes:
        return message.target

    def mac_of(self, message: Advertisement | None) -> bytes | None:
        return message and message.target_mac

    def is_reply(self, message: Advertisement) -> bool:
        return message.is_solicited

    def is_announcement(self, message: Advertisement) -> bool:
        return not message.is_solicited


@dataclass(frozen=True)
class Family:
    """`counters`: what their names begin with. `form` tells the forms of an announcement apart; `burst` is what goes
    out at 0, 0.1 and 0.3 s, to the Ethernet address `to_all`. `slow`: a queue that lets out some 190 replies a second,
    after the first 38. `cuts`: where to cut a request of `request_bytes`.
    """

    asker: Callable[[Host], Asker[Any]]
    vip_text: str
    other_text: str
    foreign_text: str
    numbered: Callable[[int], str]
    counters: str
    form: Callable[[Any], object]
    burst: Sequence[object]
    to_all: bytes
    slow: Sequence[str]
    request_bytes: int
    cuts: Sequence[int]

    @property
    def vip(self) -> bytes:
        return packed(self.vip_text)

    @property
    def other(self) -> bytes:
        return packed(self.other_text)

    def many(self, count: int) -> list[tuple[str, list[str]]]:
        """Entries to announce on eth0, none of them the addresses above."""
        return [(self.numbered(number), ["eth0"]) for number in range(count)]

    def junk(self, request: bytes, dice: Random) -> bytes:
        """Nearly a request: with bytes changed, cut or with something after it."""
        frame = bytearray(request + dice.randbytes(dice.choice((0, 18, 900))))
        for _ in range(dice.randrange(1, 4)):
            frame[dice.randrange(12, self.request_bytes)] = dice.randrange(256)
        return bytes(frame[: dice.choice((14, *self.cuts, len(frame)))])


def packed(text: str) -> bytes:
    return ipaddress.ip_address(text).packed


IPV4 = Family(
    asker=ArpAsker,
    vip_text="192.0.10.10",
    other_text="192.0.10.11",
    foreign_text="192.0.50.7",
    numbered=lambda number: f"192.0.{100 + number // 250}.{number % 250 + 1}",
    counters="",
    form=lambda message: message.is_request,
    burst=[True, False] * 3,
    to_all=arp.BROADCAST,
    slow=("rate", "64kbit", "burst", "1600", "latency", "10s"),
    request_bytes=42,
    cuts=(30, 41),
)
IPV6 = Family(
    asker=NdpAsker,
    vip_text="2001:db8::1:10",
    other_text="2001:db8::1:11",
    foreign_text="2001:db8::3:7",
    numbered=lambda number: f"2001:db8::2:{number + 1:x}",
    counters="ndp_",
    form=lambda message: (message.is_override, message.is_solicited),
    burst=[(True, False)] * 3,
    to_all=bytes.fromhex("333300000001"),
    slow=("rate", "128kbit", "burst", "3200", "latency", "10s"),
    request_bytes=86,
    cuts=(54, 80),
)


def reply_times(asker: Asker[Any], address: bytes) -> list[int]:
    """When (ns since the epoch) each queued frame about an address came in: see `stamp_frames`."""
    times = []
    asker.socket.settimeout(0)
    while True:
        try:
            frame, notes, _, _ = asker.socket.recvmsg(200, 100)
        except BlockingIOError:
            return times
        message = asker.parse(frame)
        if message is not None and asker.address_of(message) == address:
            seconds, nanoseconds = struct.unpack("qq", notes[0][2])
            times.append(seconds * 10**9 + nanoseconds)


def stamp_frames(asker: Asker[Any]) -> None:
    """Have the kernel stamp frames as they come in. It begins late; until then it stamps them when they are read."""
    asker.socket.setsockopt(socket.SOL_SOCKET, 35, 1)  # SO_TIMESTAMPNS
    time.sleep(0.1)
