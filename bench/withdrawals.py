"""Whether an address is ever answered for after its withdrawal was confirmed: under a flood of requests, with a sniffer
on the segment as the judge.

Each address is announced once and withdrawn once, so whatever claims it after that is wrong. `python -m
bench.withdrawals flood|sniff` are the asker and the judge, in a namespace of the benchmark's.
"""

import argparse
import asyncio
import contextlib
import json
import select
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping

from bench.answerers import Answerer
from bench.measure import percentile, tell
from bench.neighbours import ARP, NDP, Protocol
from lab.net.segment import Host, Segment

CHUNK = 100
"""Announced at a time. So few that each is asked for every 5 ms, by the default rate: so what is late is found."""
STANDING = 4500
"""Announced all the time."""
FIRST = 1 << 20
SETTLE_SECONDS = 0.03
SO_TIMESTAMPNS, SO_RCVBUFFORCE = 35, 33  # linux/asm-generic/socket.h
SOL_PACKET, PACKET_STATISTICS = 263, 6  # linux/if_packet.h
RECEIVE_BUFFER_BYTES = 128 << 20
TICK_SECONDS = 0.001
NDP_ADVERTISEMENT = 136  # RFC 4861 §4.4
_HEADER = struct.Struct("=II")  # how many frames follow, and the bytes of each


async def judged(segment: Segment, answerer: Answerer, withdrawals: int, at_a_time: int, rate: int) -> None:
    """Told as one line. `late`: addresses of which a frame was seen after the confirmation."""
    asker, protocol = segment.hosts[-1], answerer.protocol
    confirmed: dict[bytes, float] = {}
    orders: list[float] = []
    with _child(asker, protocol, "sniff", 0) as judge, _child(asker, protocol, "flood", rate) as flood:
        await answerer.announce(answerer.targets(STANDING))
        for chunk in range(0, withdrawals, CHUNK):
            count = min(CHUNK, withdrawals - chunk)
            first = FIRST + 16 * answerer.first + chunk
            targets = [protocol.address(first + number) for number in range(count)]
            await asyncio.to_thread(_ask_for, flood, [protocol.request(asker, one) for one in targets])
            await answerer.announce(targets)
            await asyncio.sleep(count / rate + SETTLE_SECONDS)  # each was asked for
            for at in range(0, count, at_a_time):
                orders.append(await answerer.withdraw(targets[at : at + at_a_time]))
                confirmed |= dict.fromkeys(targets[at : at + at_a_time], time.time())
            await asyncio.sleep(SETTLE_SECONDS)
        flood.kill()
        await answerer.withdraw(answerer.targets(STANDING))
        said, _ = await asyncio.to_thread(judge.communicate)
    seen = json.loads(said)
    late = late_by(confirmed, seen["last"])
    orders.sort()
    tell(
        protocol.name, case="withdrawals", by=answerer.name, withdrawn=len(confirmed), at_a_time=at_a_time,
        late=len(late), latest_ms=round(1000 * max(late.values(), default=0.0), 3),
        never_answered=sum(one.hex() not in seen["last"] for one in confirmed), frames=seen["frames"],
        unseen_by_the_judge=seen["dropped"], confirmed_p50_ms=round(1000 * percentile(orders, 0.5), 2),
        confirmed_p99_ms=round(1000 * percentile(orders, 0.99), 2), confirmed_worst_ms=round(1000 * orders[-1], 2),
    )  # fmt: skip


def late_by(confirmed: Mapping[bytes, float], last: Mapping[str, float]) -> dict[bytes, float]:
    """Seconds from the confirmation of an address's withdrawal to the last frame that claims it, where that is later.

    `last`: by the address in hexadecimal digits. Both in Unix seconds.
    """
    return {one: last[one.hex()] - at for one, at in confirmed.items() if last.get(one.hex(), at) > at}


def _ask_for(flood: "subprocess.Popen[bytes]", frames: list[bytes]) -> None:
    assert flood.stdin is not None
    flood.stdin.write(_HEADER.pack(len(frames), len(frames[0])) + b"".join(frames))
    flood.stdin.flush()


@contextlib.contextmanager
def _child(host: Host, protocol: Protocol, what: str, rate: int) -> Iterator["subprocess.Popen[bytes]"]:
    command = [*host.prefix, sys.executable, "-m", "bench.withdrawals", what, protocol.name, str(rate)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        try:
            assert child.stdout is not None
            child.stdout.readline()  # it has begun
            yield child
        finally:
            child.kill()


def flood(protocol: Protocol, rate: int) -> None:
    """Send the frames that come by standard input, again and again, until others come."""
    sending = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    sending.bind(("eth0", protocol.ethertype))
    taken = sys.stdin.buffer
    frames: list[bytes] = []
    number, began, sent = 0, time.monotonic(), 0
    print("begun", flush=True)
    while True:
        if select.select([taken], [], [], TICK_SECONDS)[0]:
            header = taken.read(_HEADER.size)
            if len(header) < _HEADER.size:
                return
            count, length = _HEADER.unpack(header)
            every = taken.read(count * length)
            frames = [every[at : at + length] for at in range(0, len(every), length)]
            number, began, sent = 0, time.monotonic(), 0
        due = min(int((time.monotonic() - began) * rate), sent + rate // 100)
        for _ in range(due - sent if frames else 0):
            sending.send(frames[number % len(frames)])
            number += 1
        sent = due


def sniff(protocol: Protocol) -> None:
    """Note when each address was claimed last (Unix seconds, by the kernel), until standard input ends; print it."""
    sniffing = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    sniffing.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    sniffing.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES)
    sniffing.bind(("eth0", protocol.ethertype))
    last: dict[bytes, bytes] = {}
    frames = 0
    print("begun", flush=True)
    while True:
        readable = select.select([sniffing, sys.stdin], [], [])[0]
        with contextlib.suppress(BlockingIOError):
            while sniffing in readable:
                frame, ancillary, _, _ = sniffing.recvmsg(128, 64, socket.MSG_DONTWAIT)
                if protocol is ARP or frame[54] == NDP_ADVERTISEMENT:
                    last[frame[protocol.target_at]] = ancillary[0][2]
                    frames += 1
        if sys.stdin in readable:
            break
    _, dropped = struct.unpack("II", sniffing.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
    told = {address.hex(): _seconds(stamp) for address, stamp in last.items()}
    print(json.dumps({"last": told, "frames": frames, "dropped": dropped}), flush=True)


def _seconds(stamp: bytes) -> float:
    seconds, nanoseconds = struct.unpack("qq", stamp)
    return float(seconds + nanoseconds / 1e9)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.withdrawals")
    parser.add_argument("what", choices=["flood", "sniff"])
    parser.add_argument("protocol", choices=["arp", "ndp"])
    parser.add_argument("rate", type=int)
    options = parser.parse_args()
    protocol = ARP if options.protocol == "arp" else NDP
    if options.what == "flood":
        flood(protocol, options.rate)
    else:
        sniff(protocol)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
