"""What heartbeats cost a speaker, and how soon a dead peer is noticed, in clusters of 50, 100 and 500 nodes.

One real wire process on a bridge; its peers are played by one process in another network namespace, which signs a
packet for each of them as a real one would look. Needs root, and leaves nothing behind. One JSON object a line.

    python -m bench.heartbeat [--nodes 50 100 500] [--seconds 5] [--deaths 20]
"""

import argparse
import asyncio
import heapq
import json
import random
import resource
import select
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from bench.arp import ARP, Client
from crds.names import HEARTBEAT_PORT
from lab.net.segment import Host, Segment
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
from speaker.wire.heartbeat.sender import JITTER, MOST_PACKETS_PER_SECOND
from speaker.wire.io.link import WireLink
from speaker.wire.messages import Announce, Counters, Heartbeat, Members, OwnState, Permit, Report, UseInterfaces

KEY = b"the key of the benchmark's cluster"
INTERVAL_SECONDS = 0.2
PATIENCE_SECONDS = 30.0
ARP_REQUESTS = 3000
DEATHS_APART_SECONDS = 0.05


# --- the peers: `python -m bench.heartbeat --play NUMBER`, in the namespace of the other host


def name_of(number: int) -> str:
    return f"worker-{number:04}.example.internal"


def incarnation_of(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012}"


class Peers:
    """Many speakers in one process. They hear the wire's packets, and echo them."""

    def __init__(self, count: int, key: bytes = KEY, own: str = "192.0.2.2") -> None:
        self._key = key
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self._socket.bind((GROUP_IPV4, HEARTBEAT_PORT))
        member = socket.inet_aton(GROUP_IPV4) + socket.inet_aton(own)
        self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
        self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(own))
        self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
        self._interval = max(INTERVAL_SECONDS, count / MOST_PACKETS_PER_SECOND)
        now = time.monotonic()
        self._due = [(now + random.random() * self._interval, number) for number in range(count)]
        heapq.heapify(self._due)
        self._sequences = [0] * count
        self._dead: set[int] = set()
        self._wire: tuple[bytes, int] | None = None
        room = min(count, room_for_echoes(name_of(0), "i" * 36, ("eth0",)))
        self._others = echoes_of([(tag_of(name_of(number), "i"), 1) for number in range(room - 1)])

    def run(self) -> None:
        """Until standard input ends; a number there is the death of that peer, which is confirmed with its time."""
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


# --- the wire under test


class Watch:
    """What the wire reports."""

    def __init__(self) -> None:
        self.lost_at: dict[str, float] = {}
        self.heard: set[str] = set()
        self.counters: list[tuple[float, Mapping[str, int]]] = []

    def on_report(self, report: Report) -> None:
        now = time.monotonic()
        if isinstance(report, Members):
            for node in self.heard - report.members.keys():
                self.lost_at[node] = now
            self.heard = set(report.members)
        elif isinstance(report, Counters):
            self.counters.append((now, dict(report.heartbeats)))

    async def until(self, condition: Any) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not condition():
                await asyncio.sleep(0.01)


@asynccontextmanager
async def wire_on(host: Host, peers: int) -> AsyncIterator[tuple[WireLink, Watch]]:
    """A wire process that has something to announce and knows so many peers; its agent says that all is well."""
    watch = Watch()
    link = WireLink(watch.on_report)
    await link.start(command_prefix=host.prefix)
    await link.carry_out(UseInterfaces(("eth0",)))
    talking = asyncio.create_task(_talk(link))
    try:
        known = {name_of(number): ("192.0.2.2",) for number in range(peers)}
        keys = (KEY,) if peers else ()
        await link.carry_out(
            Heartbeat("node1.example.internal", "i" * 36, keys, INTERVAL_SECONDS, HEARTBEAT_PORT, known)
        )
        await link.carry_out(Announce(((ARP.text(ARP.address(0)), ("eth0",)),)))
        yield link, watch
    finally:
        talking.cancel()
        await link.stop()


async def _talk(link: WireLink) -> None:
    while not link.dead.is_set():
        now = time.clock_gettime(time.CLOCK_BOOTTIME)
        link.send(Permit(now + 3))
        link.send(OwnState(contact=now, is_serving=True))
        await asyncio.sleep(0.5)


def run_seconds(pid: int) -> float:
    """CPU time so far."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def rss_megabytes(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize() / 1e6


async def at_rest(link: WireLink, watch: Watch, seconds: float) -> dict[str, float]:
    """CPU as a share of one core. `agent_cpu_percent` is the agent's end of the link alone."""
    began, wire, own = time.monotonic(), run_seconds(link.pid), time.process_time()
    before = len(watch.counters)
    await asyncio.sleep(seconds)
    took = time.monotonic() - began
    wire_percent, own_percent = 100 * (run_seconds(link.pid) - wire) / took, 100 * (time.process_time() - own) / took
    await watch.until(lambda: len(watch.counters) >= max(before, 1) + 1)
    (first_at, first), (last_at, last) = watch.counters[-2:]
    rates = {kind: (last[kind] - first[kind]) / (last_at - first_at) for kind in ("received", "sent")}
    return {
        "wire_cpu_percent": round(wire_percent, 2),
        "agent_cpu_percent": round(own_percent, 2),
        "wire_rss_mb": round(rss_megabytes(link.pid), 1),
        "received_per_second": round(rates["received"], 1),
        "sent_per_second": round(rates["sent"], 1),
        "unheard": sum(last.values()) - last["received"] - last["sent"],
    }


async def detection(player: "subprocess.Popen[str]", watch: Watch, peers: int, deaths: int) -> dict[str, float]:
    """From the death of a peer, at any moment of its interval, until the agent knows."""
    died: dict[str, float] = {}
    watch.lost_at.clear()
    assert player.stdin is not None
    assert player.stdout is not None
    for number in random.sample(range(peers), deaths):
        player.stdin.write(f"{number}\n")
        player.stdin.flush()
        died[name_of(number)] = float(await asyncio.to_thread(player.stdout.readline))
        await asyncio.sleep(DEATHS_APART_SECONDS)
    await watch.until(lambda: died.keys() <= watch.lost_at.keys())
    times = sorted((watch.lost_at[node] - at) * 1000 for node, at in died.items())
    wrong = len(watch.lost_at.keys() - died.keys())
    return {
        "detection_ms_p50": round(times[len(times) // 2]),
        "detection_ms_worst": round(times[-1]),
        "deaths": deaths,
        "lost_wrongly": wrong,
    }


def arp_times(client: Client) -> dict[str, float]:
    times = client.reply_times([ARP.address(0)], ARP_REQUESTS)
    return {"arp_us_p50": round(times[len(times) // 2]), "arp_us_p99": round(times[len(times) * 99 // 100])}


@contextmanager
def playing(host: Host, peers: int) -> Iterator["subprocess.Popen[str]"]:
    """That many peers on a host, until the block ends; a number on standard input is the death of one."""
    command = [*host.prefix, sys.executable, "-m", "bench.heartbeat", "--play", str(peers)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as player:
        try:
            yield player
        finally:
            player.kill()


async def measure(segment: Segment, nodes: int, options: argparse.Namespace) -> None:
    node, others, asker = segment.hosts
    peers = nodes - 1
    client = Client(asker, ARP)
    async with wire_on(node, peers) as (link, watch):
        row: dict[str, Any] = {"benchmark": "heartbeat", "nodes": nodes}
        if not peers:
            row |= await asyncio.to_thread(arp_times, client) | {"wire_rss_mb": round(rss_megabytes(link.pid), 1)}
            print(json.dumps(row), flush=True)
            return
        with playing(others, peers) as player:
            began = time.monotonic()
            await watch.until(lambda: len(watch.heard) == peers)
            row["all_heard_after_ms"] = round((time.monotonic() - began) * 1000)
            await asyncio.sleep(1)
            row |= await at_rest(link, watch, options.seconds)
            row |= await asyncio.to_thread(arp_times, client)
            row |= await detection(player, watch, peers, min(options.deaths, peers))
        print(json.dumps(row), flush=True)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, nargs="+", default=[1, 50, 100, 500], help="1 = without heartbeats")
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--deaths", type=int, default=20)
    parser.add_argument("--play", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--key-file", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--from", default="192.0.2.2", dest="own", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.play:
        key = options.key_file.read_bytes().strip() if options.key_file else KEY
        Peers(options.play, key, options.own).run()
        return
    with Segment([1, 2, 3]) as segment:
        for nodes in options.nodes:
            await measure(segment, nodes, options)


if __name__ == "__main__":
    asyncio.run(main())
