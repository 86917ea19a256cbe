"""A steady load of ARP requests on one address, while the agent relists 5,000 allocations and 50 nodes send heartbeats.

`python -m bench.arp_load [--rate 20000] [--seconds 10]`: one JSON object a line. It makes its own network namespaces,
needs root, and leaves nothing behind. Latency runs from the call that sends a request to the kernel's time stamp on the
reply. `p99_late_us` and `worst_late_us` say how long after its time in the steady stream a request was sent: where the
sender fell behind it sent in bursts, which the latency pays for.
"""

import argparse
import asyncio
import contextlib
import json
import os
import socket
import struct
import sys
import time
from typing import Any

from bench.heartbeat import wire_on
from bench.measure import log_to_stderr, percentile, tell
from bench.members import playing
from bench.neighbours import ARP
from bench.relist import relisting
from lab.net.segment import Segment
from speaker.wire.neighbours import arp as packets

MEMBERS = 50
BATCH_SECONDS = 0.001
LAST_REPLIES_SECONDS = 1.0
FIRST_SENDER = int.from_bytes(socket.inet_aton("198.18.0.0"), "big")
SO_TIMESTAMPNS = 35  # linux/asm-generic/socket.h
RECEIVE_BUFFER_BYTES = 32 << 20
SO_RCVBUFFORCE = 33


class Load:
    """`python -m bench.arp_load --ask`, in the asking host's namespace. Requests are told apart by their sender."""

    def __init__(self, mac: bytes, rate: int, seconds: float) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806))
        self._socket.bind(("eth0", 0x0806))
        self._socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES)
        self._socket.setblocking(False)
        count = round(rate * seconds)
        target = ARP.address(0)
        self._frames = [packets.request(mac, (FIRST_SENDER + n).to_bytes(4, "big"), target) for n in range(count)]
        self._rate = rate
        self._sent_at = [0.0] * count
        self._late: list[float] = []
        self._times: dict[int, float] = {}

    def run(self) -> dict[str, Any]:
        send, sent_at, clock, count = self._socket.send, self._sent_at, time.time, len(self._frames)
        began, number = time.monotonic(), 0
        while number < count:
            due = min(count, int((time.monotonic() - began) * self._rate))
            for each in range(number, due):
                self._late.append(time.monotonic() - began - each / self._rate)
                sent_at[each] = clock()
                send(self._frames[each])
            number = due
            self._listen()
            time.sleep(BATCH_SECONDS)
        took = time.monotonic() - began
        end = time.monotonic() + LAST_REPLIES_SECONDS
        while time.monotonic() < end and len(self._times) < count:
            self._listen()
            time.sleep(BATCH_SECONDS)
        times, late = sorted(self._times.values()), sorted(self._late)
        return {
            "requests": count,
            "sent_per_second": round(count / took),
            "answered_percent": round(100 * len(times) / count, 2),
            "p50_us": round(1e6 * percentile(times, 0.5)),
            "p99_us": round(1e6 * percentile(times, 0.99)),
            "worst_us": round(1e6 * times[-1]),
            "p99_late_us": round(1e6 * percentile(late, 0.99)),
            "worst_late_us": round(1e6 * late[-1]),
        }

    def _listen(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                frame, ancillary, _, _ = self._socket.recvmsg(128, 64)
                if len(frame) >= 42 and frame[20:22] == b"\x00\x02":
                    seconds, nanoseconds = struct.unpack("qq", ancillary[0][2])
                    number = int.from_bytes(frame[38:42], "big") - FIRST_SENDER
                    if 0 <= number < len(self._sent_at):
                        self._times[number] = seconds + nanoseconds / 1e9 - self._sent_at[number]


async def run(options: argparse.Namespace) -> None:
    with Segment([1, 2]) as segment:
        node, client = segment.hosts
        async with wire_on(node, MEMBERS) as (_, watch):
            command = [*client.prefix, sys.executable, "-m", "bench.arp_load", "--ask", client.mac.hex()]
            command += [f"--rate={options.rate}", f"--seconds={options.seconds}"]
            for case, is_busy in (("quiet", False), ("relist and heartbeats", True)):
                with contextlib.ExitStack() as beside:
                    if is_busy:
                        beside.enter_context(playing(client, MEMBERS))
                        await watch.until("all are heard", lambda: len(watch.heard) == MEMBERS)
                        beside.enter_context(relisting())
                    asking = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
                    figures, _ = await asking.communicate()
                tell("arp_load", case=case, rate=options.rate, **json.loads(figures))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.arp_load", description="ARP under a steady load.")
    parser.add_argument("--rate", type=int, default=20_000, help="requests a second")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--ask", default="", metavar="MAC", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.ask:
        os.nice(-15)  # what is measured must not push the measuring process aside
        print(json.dumps(Load(bytes.fromhex(options.ask), options.rate, options.seconds).run()))
    else:
        log_to_stderr()
        asyncio.run(run(options))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
