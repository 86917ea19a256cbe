"""Asks for one address by ARP again and again, and prints who answered each request: the client's view of ownership.

One line of JSON for each request: `at` (CLOCK_MONOTONIC seconds when it was sent) and `answers`, the MACs that
answered before the next but `--patience` requests later. Requests are told apart by the sender's address, which is of
198.18.0.0/15 (RFC 2544, for tests), so that answers that come late count for the right one. Run by path on a host, with
nothing but the standard library; ends at SIGTERM, or after `--count` requests.
"""

import argparse
import json
import signal
import socket
import struct
import time

ETH_P_ARP = 0x0806
ARP = struct.Struct("!6s6sHHHBBH6s4s6s4s")
REQUEST, REPLY = 1, 2
SENDERS = 1 << 16
FIRST_SENDER = int.from_bytes(socket.inet_aton("198.18.0.0"), "big")


class Asker:
    """Requests under way, by their sender's address."""

    def __init__(self, interface: str, address: str) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ARP))
        self._socket.bind((interface, ETH_P_ARP))
        self._mac = self._socket.getsockname()[4]
        self._target = socket.inet_aton(address)
        self._open: dict[bytes, tuple[float, list[str]]] = {}
        self._sent = 0

    def ask(self) -> None:
        sender = (FIRST_SENDER + self._sent % SENDERS).to_bytes(4, "big")
        self._sent += 1
        frame = ARP.pack(
            b"\xff" * 6, self._mac, ETH_P_ARP, 1, 0x0800, 6, 4, REQUEST, self._mac, sender, bytes(6), self._target
        )
        self._open[sender] = (time.monotonic(), [])
        self._socket.send(frame)

    def listen(self, until: float) -> None:
        """Take in answers until that monotonic time."""
        while (left := until - time.monotonic()) > 0:
            self._socket.settimeout(left)
            try:
                frame = self._socket.recv(128)
            except TimeoutError:
                return
            if len(frame) >= ARP.size:
                self._take(frame)

    def _take(self, frame: bytes) -> None:
        _, _, _, _, _, _, _, op, sender_mac, sender, _, target = ARP.unpack_from(frame)
        if op == REPLY and sender == self._target and target in self._open:
            self._open[target][1].append(sender_mac.hex(":"))

    def tell(self, patience: int) -> None:
        """Print the requests that are older than the latest `patience` ones."""
        while len(self._open) > patience:
            at, answers = self._open.pop(next(iter(self._open)))
            print(json.dumps({"at": at, "answers": answers}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Ask by ARP who has an address, again and again.")
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
