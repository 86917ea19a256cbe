"""Many fellow speakers in one process: their heartbeats, signed in their names, and their deaths on demand.

`python -m bench.members COUNT` runs in the network namespace of their host until standard input ends. A number there is
the death of that member; its time (monotonic seconds) is printed.
"""

import argparse
import heapq
import random
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from crds.names import HEARTBEAT_PORT
from lab.net.segment import Host
from speaker.members.heartbeats import HeartbeatOptions
from speaker.wire.heartbeat.io.sockets import GROUP_IPV4
from speaker.wire.heartbeat.packets import (
    MEMBER,
    SERVING,
    Packet,
    decode,
    echoes_of,
    encode,
    room_for_echoes,
    tag_of,
)
from speaker.wire.heartbeat.sender import JITTER

KEY = b"the key of the benchmark's cluster"
ADDRESS = "192.0.2.2"


def name_of(number: int) -> str:
    return f"worker-{number:04}.example.internal"


def incarnation_of(number: int, start: int = 0) -> str:
    """`start`: how often it has been started anew."""
    return f"00000000-0000-4000-8{start:03}-{number:012}"


class Members:
    """They hear the packets of the wire process under test, and echo them."""

    def __init__(self, count: int, key: bytes, address: str) -> None:
        self._key = key
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self._socket.bind((GROUP_IPV4, HEARTBEAT_PORT))
        member = socket.inet_aton(GROUP_IPV4) + socket.inet_aton(address)
        self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
        self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(address))
        self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
        self._interval = HeartbeatOptions().interval_seconds(count)
        now = time.monotonic()
        self._due = [(now + random.random() * self._interval, number) for number in range(count)]
        heapq.heapify(self._due)
        self._sequences = [0] * count
        self._dead: set[int] = set()
        self._wire: tuple[bytes, int] | None = None
        room = min(count, room_for_echoes(name_of(0), "i" * 36, ("eth0",)))
        self._others = echoes_of([(tag_of(name_of(number), "i"), 1) for number in range(room - 1)])

    def run(self) -> None:
        """Until standard input ends."""
        while True:
            wait = max(0.0, self._due[0][0] - time.monotonic())
            readable, _, _ = select.select([self._socket, sys.stdin], [], [], wait)
            if self._socket in readable:
                self._hear()
            if sys.stdin in readable:
                line = sys.stdin.readline()
                if not line:
                    return
                self._dead.add(int(line))
                print(time.monotonic(), flush=True)
            self._speak()

    def _hear(self) -> None:
        beat = decode(self._socket.recv(1500), [self._key])
        if isinstance(beat, Packet):
            self._wire = tag_of(beat.node, beat.incarnation), beat.sequence

    def _speak(self) -> None:
        now = time.monotonic()
        while self._due[0][0] <= now:
            at, number = heapq.heappop(self._due)
            heapq.heappush(self._due, (at + self._interval * (1 - JITTER * random.random()), number))
            if number not in self._dead:
                self._socket.sendto(self._packet(number), (GROUP_IPV4, HEARTBEAT_PORT))

    def _packet(self, number: int) -> bytes:
        self._sequences[number] += 1
        echoes = self._others + (echoes_of([self._wire]) if self._wire else b"")
        beat = Packet(
            name_of(number),
            incarnation_of(number),
            self._sequences[number],
            round(self._interval * 1000),
            500,
            SERVING | MEMBER,
            ("eth0",),
            echoes,
        )
        return encode(beat, self._key)


@contextmanager
def playing(host: Host, count: int) -> Iterator["subprocess.Popen[str]"]:
    """That many members on a host, until the block ends."""
    command = [*host.prefix, sys.executable, "-m", "bench.members", str(count)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as player:
        try:
            yield player
        finally:
            player.kill()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.members")
    parser.add_argument("count", type=int)
    parser.add_argument("--key-file", type=Path, help="default: the benchmark's own key")
    parser.add_argument("--from", default=ADDRESS, dest="address", help="their address (default: %(default)s)")
    options = parser.parse_args()
    key = options.key_file.read_bytes().strip() if options.key_file else KEY
    Members(options.count, key, options.address).run()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
