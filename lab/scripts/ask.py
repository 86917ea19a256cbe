"""Asks for one address by ARP or NDP again and again, and prints who answered each request: the client's view.

One line of JSON for each request: `at` (CLOCK_MONOTONIC seconds when it was sent) and `answers`, the MACs that
answered before the next but `--patience` requests later. Requests are told apart by the sender's address, which is of
198.18.0.0/15 (RFC 2544) or 2001:2::/48 (RFC 5180), for tests, so that answers that come late count for the right one.
Run by path on a host, with nothing but the standard library; ends at SIGTERM, or after `--count` requests.
"""

import argparse
import json
import signal
import socket
import struct
import time

ETH_P_ARP, ETH_P_IPV6 = 0x0806, 0x86DD
ARP_FRAME = struct.Struct("!6s6sHHHBBH6s4s6s4s")
REQUEST, REPLY = 1, 2
NDP_FRAME = struct.Struct("!6s6sHIHBB16s16sBBHI16s2s6s")
ICMPV6, SOLICITATION, ADVERTISEMENT, HOPS = 58, 135, 136, 255
SENDERS = 1 << 16


class Arp:
    """RFC 826."""

    ethertype = ETH_P_ARP
    first_sender = int.from_bytes(socket.inet_aton("198.18.0.0"), "big")
    address_bytes = 4

    def __init__(self, mac: bytes, target: str) -> None:
        self._mac = mac
        self._target = socket.inet_aton(target)

    def request(self, sender: bytes) -> bytes:
        own = self._mac
        return ARP_FRAME.pack(
            b"\xff" * 6, own, ETH_P_ARP, 1, 0x0800, 6, 4, REQUEST, own, sender, bytes(6), self._target
        )

    def answer(self, frame: bytes) -> tuple[bytes, bytes] | None:
        """Whom it answers, and the MAC it tells."""
        if len(frame) < ARP_FRAME.size:
            return None
        *_, op, sender_mac, sender, _, target = ARP_FRAME.unpack_from(frame)
        return (target, sender_mac) if op == REPLY and sender == self._target else None


class Ndp:
    """RFC 4861."""

    ethertype = ETH_P_IPV6
    first_sender = int.from_bytes(socket.inet_pton(socket.AF_INET6, "2001:2::"), "big")
    address_bytes = 16

    def __init__(self, mac: bytes, target: str) -> None:
        self._mac = mac
        self._target = socket.inet_pton(socket.AF_INET6, target)

    def request(self, sender: bytes) -> bytes:
        return self._frame(sender, checksum=0xFFFF - ones_complement_sum(self._summed(sender)))

    def answer(self, frame: bytes) -> tuple[bytes, bytes] | None:
        """Whom it answers, and the MAC it tells."""
        if len(frame) < NDP_FRAME.size:
            return None
        _, _, _, _, _, kind, _, _, to, message, _, _, _, target, _, mac = NDP_FRAME.unpack_from(frame)
        return (to, mac) if (kind, message, target) == (ICMPV6, ADVERTISEMENT, self._target) else None

    def _frame(self, sender: bytes, checksum: int) -> bytes:
        group = bytes.fromhex("ff0200000000000000000001ff") + self._target[13:]
        to_mac, option = b"\x33\x33" + group[12:], b"\x01\x01"
        head = (to_mac, self._mac, ETH_P_IPV6, 6 << 28, 32, ICMPV6, HOPS, sender, group)
        return NDP_FRAME.pack(*head, SOLICITATION, 0, checksum, 0, self._target, option, self._mac)

    def _summed(self, sender: bytes) -> bytes:
        """The addresses, the message and the rest of the pseudo-header (RFC 8200 §8.1)."""
        return self._frame(sender, checksum=0)[22:] + struct.pack("!II", 32, ICMPV6)


def ones_complement_sum(text: bytes) -> int:
    """RFC 1071."""
    total: int = sum(struct.unpack(f"!{len(text) // 2}H", text))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


class Asker:
    """Requests under way, by their sender's address."""

    def __init__(self, interface: str, address: str) -> None:
        kind = Ndp if ":" in address else Arp
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(kind.ethertype))
        self._socket.bind((interface, kind.ethertype))
        self._protocol = kind(self._socket.getsockname()[4], address)
        self._open: dict[bytes, tuple[float, list[str]]] = {}
        self._sent = 0

    def ask(self) -> None:
        number = self._protocol.first_sender + self._sent % SENDERS
        sender = number.to_bytes(self._protocol.address_bytes, "big")
        self._sent += 1
        self._open[sender] = (time.monotonic(), [])
        self._socket.send(self._protocol.request(sender))

    def listen(self, until: float) -> None:
        """Take in answers until that monotonic time."""
        while (left := until - time.monotonic()) > 0:
            self._socket.settimeout(left)
            try:
                frame = self._socket.recv(128)
            except TimeoutError:
                return
            answer = self._protocol.answer(frame)
            if answer is not None and answer[0] in self._open:
                self._open[answer[0]][1].append(answer[1].hex(":"))

    def tell(self, patience: int) -> None:
        """Print the requests that are older than the latest `patience` ones."""
        while len(self._open) > patience:
            at, answers = self._open.pop(next(iter(self._open)))
            print(json.dumps({"at": at, "answers": answers}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Ask by ARP or NDP who has an address, again and again.")
    parser.add_argument("address")
    parser.add_argument("--interface", default="eth0")
    parser.add_argument("--interval-seconds", type=float, default=0.01)
    parser.add_argument("--count", type=int, default=1 << 62)
    parser.add_argument("--patience", type=int, default=20, metavar="REQUESTS")
    options = parser.parse_args()
    stopped = False

    def stop(*_: object) -> None:
        nonlocal stopped
        stopped = True

    signal.signal(signal.SIGTERM, stop)
    asker = Asker(options.interface, options.address)
    due = time.monotonic()
    for _ in range(options.count):
        if stopped:
            break
        asker.ask()
        due += options.interval_seconds
        asker.listen(due)
        asker.tell(options.patience)
    asker.listen(time.monotonic() + options.patience * options.interval_seconds)
    asker.tell(0)


if __name__ == "__main__":
    main()
