"""A client that asks by ARP or NDP on a raw socket: one request after the other, many at once, and when replies come.

In plain Python, made to disturb what it measures as little as it can.
"""

import selectors
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

from lab.net.segment import ETH_P_ARP, ETH_P_IPV6, Host
from speaker.wire.neighbours import arp as packets
from speaker.wire.neighbours import ndp

CLOSED_LOOP = 64
ROW = 20_000


@dataclass(frozen=True)
class Protocol:
    """ARP or NDP. `first` is the first of the addresses to announce, `target_at` where a reply has its address."""

    name: str
    ethertype: int
    family: socket.AddressFamily
    kernels_own: bytes
    first: int
    address_bytes: int
    request: Callable[[Host, bytes], bytes]
    is_reply: Callable[[bytearray], bool]
    target_at: slice

    def address(self, number: int) -> bytes:
        return (self.first + number).to_bytes(self.address_bytes, "big")

    def text(self, address: bytes) -> str:
        return socket.inet_ntop(self.family, address)


def _ipv6(text: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6, text)


ARP = Protocol(
    "arp",
    ETH_P_ARP,
    socket.AF_INET,
    bytes([192, 0, 2, 1]),
    int.from_bytes(bytes([192, 0, 100, 1]), "big"),
    4,
    lambda host, target: packets.request(host.mac, host.address, target),
    lambda frame: frame[21] == 2 and frame[0] != 0xFF,
    slice(28, 32),
)
NDP = Protocol(
    "ndp",
    ETH_P_IPV6,
    socket.AF_INET6,
    _ipv6("2001:db8::1"),
    int.from_bytes(_ipv6("2001:db8::1:1"), "big"),
    16,
    lambda host, target: ndp.solicitation(host.mac, _ipv6(f"2001:db8::{host.number}"), target),
    lambda frame: frame[54] == 136 and frame[58] & 0x40 != 0,
    slice(62, 78),
)


class Client:
    """A raw socket on a host that asks."""

    def __init__(self, host: Host, protocol: Protocol) -> None:
        self._socket = host.packet_socket(protocol=protocol.ethertype)
        self._frame = bytearray(100)
        self._host = host
        self.protocol = protocol
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._socket, selectors.EVENT_READ)

    def request(self, target: bytes) -> bytes:
        return self.protocol.request(self._host, target)

    def reply_times(self, targets: list[bytes], count: int, *, pause_seconds: float = 0.0) -> list[float]:
        """One request at a time; microseconds until the reply to each, in order of size."""
        requests = [(self.request(target), target) for target in targets]
        times = []
        for number in range(count):
            request, target = requests[number % len(requests)]
            started = time.perf_counter_ns()
            self._socket.send(request)
            self._wait_for_reply(target)
            times.append((time.perf_counter_ns() - started) / 1000)
            if pause_seconds:
                time.sleep(pause_seconds)
        return sorted(times)

    def _wait_for_reply(self, target: bytes) -> None:
        frame, receive_into, is_reply, at = (
            self._frame,
            self._socket.recv_into,
            self.protocol.is_reply,
            self.protocol.target_at,
        )
        while True:
            receive_into(frame)
            if frame[at] == target and is_reply(frame):
                return

    def closed_loop(self, targets: list[bytes], seconds: float) -> float:
        """Replies a second with CLOSED_LOOP requests under way at all times."""
        requests = [self.request(target) for target in targets]
        send, receive_into, frame, count = self._socket.send, self._socket.recv_into, self._frame, 0
        is_reply = self.protocol.is_reply
        for number in range(CLOSED_LOOP):
            send(requests[number % len(requests)])
        started = time.perf_counter()
        while time.perf_counter() - started < seconds:
            for _ in range(CLOSED_LOOP):
                receive_into(frame)
                if is_reply(frame):
                    count += 1
                    send(requests[count % len(requests)])
        elapsed = time.perf_counter() - started
        self.forget()
        return count / elapsed

    def row(self, targets: list[bytes]) -> tuple[int, float, float]:
        """ROW requests without waiting: how many were answered, seconds to send, seconds until the last reply."""
        requests = [self.request(target) for target in targets]
        send = self._socket.send
        started = time.perf_counter()
        for number in range(ROW):
            send(requests[number % len(requests)])
        sent = time.perf_counter() - started
        answered, last = 0, started
        while answered < ROW and self._selector.select(1.0):
            self._socket.recv_into(self._frame)
            if self.protocol.is_reply(self._frame):
                answered += 1
                last = time.perf_counter()
        return answered, sent, last - started

    def steady(self, targets: list[bytes], rate: float) -> tuple[list[float], int]:
        """One request for each of these, so many a second; microseconds until each reply, in order of size, and how
        many had none a second after the last one was sent."""
        requests = [self.request(target) for target in targets]
        sent_at: dict[bytes, float] = {}
        times: list[float] = []
        began = time.perf_counter()
        for number, (request, target) in enumerate(zip(requests, targets, strict=True)):
            self._take_replies(sent_at, times, until=began + number / rate)
            sent_at[target] = time.perf_counter()
            self._socket.send(request)
        self._take_replies(sent_at, times, until=time.perf_counter() + 1.0)
        return sorted(times), len(sent_at)

    def _take_replies(self, sent_at: dict[bytes, float], times: list[float], until: float) -> None:
        """Each reply that comes before then takes its request away."""
        at, is_reply = self.protocol.target_at, self.protocol.is_reply
        while (left := until - time.perf_counter()) > 0:
            if self._selector.select(left):
                self._socket.recv_into(self._frame)
                sent = sent_at.pop(bytes(self._frame[at]), None) if is_reply(self._frame) else None
                if sent is not None:
                    times.append((time.perf_counter() - sent) * 1e6)

    def last_reply(self, target: bytes, apart_seconds: float, quiet_seconds: float) -> float:
        """Ask until no reply has come for so long; when the last one came (monotonic seconds)."""
        request, last = self.request(target), time.monotonic()
        while (now := time.monotonic()) < last + quiet_seconds:
            self._socket.send(request)
            sent_at, times = {target: 0.0}, list[float]()
            self._take_replies(sent_at, times, until=time.perf_counter() + apart_seconds)
            if times:
                last = now
        return last

    def forget(self) -> None:
        time.sleep(0.05)
        self._socket.setblocking(False)
        try:
            while True:
                self._socket.recv_into(self._frame)
        except BlockingIOError:
            self._socket.settimeout(2)

    def close(self) -> None:
        self._selector.close()
        self._socket.close()
