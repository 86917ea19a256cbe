"""A node's speaker of another load balancer, as MetalLB's behaves towards the network: ARP, and one BGP session.

Run by path on a node, with nothing but the standard library. What it announces is in a file of JSON, which may change:
`{"arp": [addresses], "bgp": [addresses]}`. It answers requests that are broadcast or to its own MAC, and says so once
it has an address: at once, then every 1.1 s for 5 s, as a request and as a reply. Routes go to one peer, over IPv4; the
session is opened again 1 s after it ends. It says goodbye to nobody.
"""

import argparse
import contextlib
import json
import socket
import struct
import time
from pathlib import Path

ARP = struct.Struct("!6s6sHHHBBH6s4s6s4s")
BROADCAST = b"\xff" * 6
EVERY_SECONDS, FOR_SECONDS = 1.1, 5.0
AGAIN_SECONDS = 1.0
KEEPALIVE_SECONDS = 5.0
HOLD_SECONDS = 90
OPEN, UPDATE, KEEPALIVE = 1, 2, 4
AS4, MULTIPROTOCOL = 65, 1
"""Capability codes (RFC 6793, RFC 4760)."""


def packed(address: str) -> bytes:
    return socket.inet_aton(address)


class Segment:
    """Who asks for our addresses, and saying that we have them."""

    def __init__(self, interface: str) -> None:
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806))
        self.socket.bind((interface, 0x0806))
        self._mac: bytes = self.socket.getsockname()[4]
        self._since: dict[bytes, float] = {}
        self._told: dict[bytes, float] = {}

    def own(self, addresses: list[str], now: float) -> None:
        wanted = {packed(one) for one in addresses}
        self._since = {one: self._since.get(one, now) for one in wanted}

    def tell(self, now: float) -> None:
        for one, since in self._since.items():
            if now - since <= FOR_SECONDS and now - self._told.get(one, -EVERY_SECONDS) >= EVERY_SECONDS:
                self._told[one] = now
                self._send(1, BROADCAST, one, BROADCAST, one)
                self._send(2, BROADCAST, one, BROADCAST, one)

    def hear(self, until: float) -> None:
        while (left := until - time.monotonic()) > 0:
            self.socket.settimeout(left)
            with contextlib.suppress(TimeoutError):
                self._answer(self.socket.recv(128))

    def _answer(self, frame: bytes) -> None:
        if len(frame) < ARP.size:
            return
        to, _, _, _, _, _, _, operation, sender_mac, sender, _, wanted = ARP.unpack(frame[: ARP.size])
        if operation == 1 and to in (BROADCAST, self._mac) and wanted in self._since and sender_mac != self._mac:
            self._send(2, sender_mac, wanted, sender_mac, sender)

    def _send(self, operation: int, to: bytes, sender: bytes, target_mac: bytes, target: bytes) -> None:
        head = (to, self._mac, 0x0806, 1, 0x0800, 6, 4, operation)
        self.socket.send(ARP.pack(*head, self._mac, sender, target_mac, target))


class Session:
    """One BGP session that only sends."""

    def __init__(self, peer: str, own: str, asn: int) -> None:
        self._peer, self._own, self._asn = peer, own, asn
        self.socket: socket.socket | None = None
        self._routes: set[str] = set()
        self._again_at = self._keepalive_at = 0.0
        self._is_open = False

    def step(self, routes: set[str], now: float) -> None:
        try:
            if self.socket is None and now >= self._again_at:
                self._connect(now)
            elif self.socket is not None:
                self._go_on(routes, now)
        except OSError:
            self._end(now)

    def _connect(self, now: float) -> None:
        self._again_at = now + AGAIN_SECONDS
        self.socket = socket.create_connection((self._peer, 179), timeout=1.0, source_address=(self._own, 0))
        self.socket.setblocking(False)
        capabilities = struct.pack("!BBHBB", MULTIPROTOCOL, 4, 1, 0, 1) + struct.pack("!BBI", AS4, 4, self._asn)
        parameter = struct.pack("!BB", 2, len(capabilities)) + capabilities
        body = struct.pack("!BHH4sB", 4, self._asn, HOLD_SECONDS, packed(self._own), len(parameter)) + parameter
        self._send(OPEN, body)
        self._send(KEEPALIVE)

    def _go_on(self, routes: set[str], now: float) -> None:
        assert self.socket is not None
        try:
            heard = self.socket.recv(65536)
            if not heard or heard[18] == 3:
                raise OSError("ended")
            self._is_open = True
        except BlockingIOError:
            pass
        if now >= self._keepalive_at:
            self._keepalive_at = now + KEEPALIVE_SECONDS
            self._send(KEEPALIVE)
        if self._is_open and routes != self._routes:
            self._update(routes - self._routes, self._routes - routes)
            self._routes = set(routes)

    def _update(self, new: set[str], gone: set[str]) -> None:
        origin = struct.pack("!BBBB", 0x40, 1, 1, 0)
        path = struct.pack("!BBBBBI", 0x40, 2, 6, 2, 1, self._asn)
        attributes = origin + path + struct.pack("!BBB4s", 0x40, 3, 4, packed(self._own))
        withdrawn = b"".join(b"\x20" + packed(one) for one in sorted(gone))
        if gone:
            self._send(UPDATE, struct.pack("!H", len(withdrawn)) + withdrawn + struct.pack("!H", 0))
        reach = b"".join(b"\x20" + packed(one) for one in sorted(new))
        if new:
            self._send(UPDATE, struct.pack("!HH", 0, len(attributes)) + attributes + reach)

    def _send(self, kind: int, body: bytes = b"") -> None:
        assert self.socket is not None
        self.socket.sendall(b"\xff" * 16 + struct.pack("!HB", 19 + len(body), kind) + body)

    def _end(self, now: float) -> None:
        if self.socket is not None:
            self.socket.close()
        self.socket, self._routes, self._is_open = None, set(), False
        self._again_at = now + AGAIN_SECONDS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", help="what it announces")
    parser.add_argument("--interface", default="eth0")
    parser.add_argument("--own", required=True, help="the node's IPv4 address")
    parser.add_argument("--peer", default="", help="the router's")
    parser.add_argument("--asn", type=int, default=64512)
    options = parser.parse_args()
    segment = Segment(options.interface)
    session = Session(options.peer, options.own, options.asn) if options.peer else None
    while True:
        now = time.monotonic()
        wanted = json.loads(Path(options.file).read_text())
        segment.own(wanted["arp"], now)
        segment.tell(now)
        segment.hear(now + 0.05)
        if session is not None:
            session.step(set(wanted["bgp"]), now)


if __name__ == "__main__":
    main()
