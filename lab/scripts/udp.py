"""Datagrams to many addresses at a steady rate: how many of each are answered, and where answers were missing.

Run by path on a host, with nothing but the standard library.

    echo                      in a pod: sends each datagram back
    count FILE                on a client: to each address in FILE, one a line, until SIGTERM; then prints a line of
                              JSON for each: `address`, `sent`, `lost`, and `longest`, the most that were lost in a row
"""

import argparse
import contextlib
import json
import select
import signal
import socket
import threading
import time
from pathlib import Path

PORT = 7777
LAST_ANSWERS_SECONDS = 2.0


def echo(port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        bound.bind(("", port))
        print("listening", flush=True)
        while True:
            body, sender = bound.recvfrom(256)
            bound.sendto(body, sender)


def count(addresses: list[str], port: int, per_second: float) -> None:
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    answered: dict[str, set[int]] = {address: set() for address in addresses}
    step = 1.0 / per_second / len(addresses)
    number, due = 0, time.monotonic()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        bound.setblocking(False)
        while not stopped.is_set():
            with contextlib.suppress(OSError):  # no route: it counts as lost
                bound.sendto(str(number // len(addresses)).encode(), (addresses[number % len(addresses)], port))
            number, due = number + 1, due + step
            hear(bound, answered, due)
        hear(bound, answered, time.monotonic() + LAST_ANSWERS_SECONDS)
    for place, address in enumerate(addresses):
        sent = (number - place + len(addresses) - 1) // len(addresses)
        print(json.dumps({"address": address, **summary(sent, answered[address])}), flush=True)


def hear(bound: socket.socket, answered: dict[str, set[int]], until: float) -> None:
    while True:
        left = max(0.0, until - time.monotonic())
        if not select.select([bound], [], [], left)[0]:
            return
        try:
            body, (address, _) = bound.recvfrom(256)
        except OSError:
            continue  # refused, or unreachable: it counts as lost
        if address in answered:
            answered[address].add(int(body))


def summary(sent: int, answered: set[int]) -> dict[str, int]:
    longest = row = 0
    for number in range(sent):
        row = 0 if number in answered else row + 1
        longest = max(longest, row)
    return {"sent": sent, "lost": sent - len(answered), "longest": longest}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["echo", "count"])
    parser.add_argument("file", nargs="?", default="")
    parser.add_argument("--port", type=int, default=PORT)
    parser.add_argument("--per-second", type=float, default=10.0)
    options = parser.parse_args()
    if options.action == "echo":
        echo(options.port)
    else:
        count(Path(options.file).read_text().split(), options.port, options.per_second)


if __name__ == "__main__":
    main()
