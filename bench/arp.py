"""How fast the wire process answers ARP (and NDP, see ndp.py), as a client on the segment sees it.

The kernel's own reply is the base.

It makes its own network namespaces (a bridge, a node, a client), needs root, and leaves nothing behind. One JSON object
a line: times in microseconds, from the client's send to its receive, in plain Python on a raw socket.

    python -m bench.arp [--rounds 3] [--requests 5000]
"""

import argparse
import asyncio
import gc
import json
import os
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crds.names import allocation_name
from lab.net.segment import ETH_P_ARP, ETH_P_IPV6, Host, Segment
from speaker.wire.io.link import WireLink
from speaker.wire.messages import Announce, Permit, UseInterfaces, Withdraw
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
    """A raw socket that asks, made to disturb what it measures as little as it can."""

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


RELIST = """
import json, sys, time
from crds.types import IPAllocation
pages = [[json.dumps(one).encode() for one in page["items"]] for page in json.load(open(sys.argv[1]))]
bodies = [json.dumps({"items": [json.loads(one) for one in page]}).encode() for page in pages]
print("ready", flush=True)
while True:
    for body in bodies:
        for one in json.loads(body)["items"]:
            IPAllocation.model_validate_json(json.dumps(one))
"""


@contextmanager
def relisting(directory: Path) -> Iterator[None]:
    """Beside us another process decodes 5,000 allocations in pages of 500, again and again, as the agent does once."""
    pages = [{"items": [_allocation(number) for number in range(at, at + 500)]} for at in range(0, 5000, 500)]
    path = directory / f"berth-bench-arp-{os.getpid()}.json"
    path.write_text(json.dumps(pages))
    agent = subprocess.Popen([sys.executable, "-c", RELIST, str(path)], stdout=subprocess.PIPE)
    try:
        assert agent.stdout is not None
        agent.stdout.readline()
        yield
    finally:
        agent.kill()
        agent.communicate()
        path.unlink()


def _allocation(number: int) -> dict[str, Any]:
    address = ARP.text(ARP.address(number))
    holder = {
        "namespace": "default",
        "name": f"service-{number}",
        "uid": f"3f0c1d1e-0000-4000-8000-{number:012}",
        "ports": [{"protocol": "TCP", "port": 80}, {"protocol": "TCP", "port": 443}],
        "labels": {"app.kubernetes.io/name": f"service-{number}"},
    }
    return {
        "apiVersion": "berth.dev/v1beta1",
        "kind": "IPAllocation",
        "metadata": {"name": allocation_name(address), "uid": holder["uid"], "resourceVersion": str(number)},
        "spec": {"address": address, "pool": "pool", "holders": [holder], "trafficPolicy": "Cluster"},
        "status": {"announcedBy": ["node1"]},
    }


def _share(times: list[float], share: float) -> float:
    return round(times[min(int(len(times) * share), len(times) - 1)], 1)


def tell(protocol: Protocol, case: str, **figures: Any) -> None:
    print(json.dumps({"bench": protocol.name, "case": case, **figures}), flush=True)


def measure(case: str, client: Client, targets: list[bytes], options: argparse.Namespace, **more: Any) -> None:
    """All figures of one case; each of `rounds` rounds is a line, so that a disturbed one shows."""
    for round_ in range(options.rounds):
        client.reply_times(targets, 200)  # warm up
        busy = client.reply_times(targets, options.requests)
        idle = client.reply_times(targets, options.requests // 10, pause_seconds=0.002)
        answered, sent, done = client.row(targets)
        tell(
            client.protocol,
            case,
            round=round_ + 1,
            **more,
            p50_us=_share(busy, 0.5),
            p99_us=_share(busy, 0.99),
            worst_us=round(busy[-1], 1),
            after_pause_p50_us=_share(idle, 0.5),
            after_pause_p99_us=_share(idle, 0.99),
            closed_loop_replies_per_second=round(client.closed_loop(targets, 1.0)),
            row_answered=answered,
            row_sent_per_second=round(ROW / sent),
            row_answered_per_second=round(answered / done) if done else 0,
        )


async def run(options: argparse.Namespace, protocol: Protocol) -> None:
    with Segment([1, 2]) as segment:
        node, host = segment.hosts
        if protocol is NDP:
            for each in (node, host):
                each.use_ipv6()
        client = Client(host, protocol)
        try:
            await measure_all(node, client, options)
        finally:
            client.close()


async def measure_all(node: Host, client: Client, options: argparse.Namespace) -> None:
    protocol = client.protocol
    measure("kernel", client, [protocol.kernels_own], options)
    link = WireLink(lambda _: None)
    await link.start(command_prefix=node.prefix)
    permitting = asyncio.create_task(permit_forever(link))
    try:
        await link.carry_out(UseInterfaces(("eth0",)))
        tell(protocol, "memory", addresses=0, rss_bytes=rss_bytes(link.pid))
        for count in (1, 1000, 5000):
            targets = [protocol.address(number) for number in range(count)]
            await take_over(link, client, targets)
            await settled(link, client)
            await in_thread(measure, "wire", client, targets, options, addresses=count, rss_bytes=rss_bytes(link.pid))
        with relisting(Path("/tmp")):
            await in_thread(measure, "wire, agent relists", client, targets, options, addresses=count)
        with relisting(Path("/tmp")):
            await in_thread(measure, "kernel, agent relists", client, [protocol.kernels_own], options)
        await withdraw(link, protocol, targets)
    finally:
        permitting.cancel()
        await link.stop()


async def in_thread(work: Callable[..., Any], *arguments: Any, **more: Any) -> Any:
    """Beside the event loop, which keeps the permit alive."""
    return await asyncio.to_thread(lambda: work(*arguments, **more))


async def permit_forever(link: WireLink) -> None:
    while True:
        link.send(Permit(time.clock_gettime(time.CLOCK_BOOTTIME) + 30))
        await asyncio.sleep(10)


async def take_over(link: WireLink, client: Client, targets: list[bytes]) -> None:
    """Announce all, and ask for the first one meanwhile, all through the burst."""
    protocol = client.protocol
    await link.carry_out(Announce(((protocol.text(targets[0]), ("eth0",)),)))
    asking = asyncio.create_task(in_thread(client.reply_times, targets[:1], 3000))
    await asyncio.sleep(0.01)
    started = time.perf_counter()
    await link.carry_out(Announce(tuple((protocol.text(target), ("eth0",)) for target in targets)))
    confirmed = time.perf_counter() - started
    times = await asking
    tell(
        protocol,
        "replies during a take-over",
        addresses=len(targets),
        confirmed_ms=round(confirmed * 1000, 2),
        p50_us=_share(times, 0.5),
        p99_us=_share(times, 0.99),
        worst_us=round(times[-1], 1),
    )


async def settled(link: WireLink, client: Client) -> None:
    """Wait for the end of the bursts: what is measured next is a speaker at rest."""
    before = -1
    while (now := cpu_ticks(link.pid)) != before:
        before = now
        await asyncio.sleep(1.5)
    client.forget()


async def withdraw(link: WireLink, protocol: Protocol, targets: list[bytes]) -> None:
    started = time.perf_counter()
    await link.carry_out(Withdraw((protocol.text(targets[0]),)))
    one = time.perf_counter() - started
    started = time.perf_counter()
    await link.carry_out(Withdraw(tuple(protocol.text(target) for target in targets)))
    tell(
        protocol,
        "withdrawal",
        one_ms=round(one * 1000, 3),
        addresses=len(targets),
        all_ms=round((time.perf_counter() - started) * 1000, 2),
    )


def rss_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def cpu_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def main(protocol: Protocol = ARP) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=5000)
    gc.disable()
    asyncio.run(run(parser.parse_args(), protocol))


if __name__ == "__main__":
    main()
