"""Who answers on the benchmarks' segment, each in a way of its own: a kernel for its own address, a wire process whose
program in the kernel answers, and one that answers by itself."""

import asyncio
import os
import re
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from bench.measure import cpu_seconds, main_thread_seconds, resident_bytes
from bench.neighbours import Client, Protocol
from lab.net.segment import Host, Segment
from speaker.wire.io.link import WireLink
from speaker.wire.messages import Announce, Permit, UseInterfaces, Withdraw

KERNEL, PROGRAM, USER_SPACE = "kernel", "program", "user space"
MOST_ADDRESSES = 1 << 16
PERMIT_SECONDS = 30.0
ORDINARY = ("setpriv", "--bounding-set=-sys_nice", "--inh-caps=-sys_nice")
"""What starts a process that has to share CPUs with all others."""
REST_SECONDS = 2.5
"""Longer than the pauses within a burst of announcements."""


@dataclass
class Answerer:
    """`first`: the number of its first address. `link` None: it is the kernel with its own address."""

    name: str
    protocol: Protocol
    first: int = 0
    link: WireLink | None = None

    def targets(self, count: int) -> list[bytes]:
        """What it answers for when it announces so many."""
        if self.link is None:
            return [self.protocol.kernels_own]
        return [self.protocol.address(self.first + number) for number in range(count)]

    async def announce(self, targets: list[bytes]) -> float:
        """Seconds until it was confirmed."""
        began = time.perf_counter()
        if self.link is not None:
            await self.link.carry_out(Announce(tuple((self.protocol.text(one), ("eth0",)) for one in targets)))
        return time.perf_counter() - began

    async def withdraw(self, targets: list[bytes]) -> float:
        """Seconds until it was confirmed."""
        began = time.perf_counter()
        if self.link is not None:
            await self.link.carry_out(Withdraw(tuple(self.protocol.text(one) for one in targets)))
        return time.perf_counter() - began

    def memory(self) -> dict[str, int]:
        """Of the process, and of the maps that it holds."""
        if self.link is None:
            return {}
        return {"rss_bytes": resident_bytes(self.link.pid), "maps_bytes": maps_bytes(self.link.pid)}

    async def settled(self, client: Client) -> None:
        """Wait for the end of its bursts: what is measured next is a speaker at rest."""
        before = -1.0
        while self.link is not None and (now := cpu_seconds(self.link.pid)) != before:
            before = now
            await asyncio.sleep(REST_SECONDS)
        client.forget()


@asynccontextmanager
async def answerers(
    segment: Segment, protocol: Protocol, *, in_real_time: bool = True
) -> AsyncIterator[list[Answerer]]:
    """The kernel and the program on the first host, user space on the second. Nothing is announced at first.

    `in_real_time` False: as with speaker.realTime: false.
    """
    prefix = () if in_real_time else ORDINARY
    async with AsyncExitStack() as stack:
        made = [Answerer(KERNEL, protocol)]
        for number, name in enumerate((PROGRAM, USER_SPACE)):
            link = await stack.enter_async_context(
                wire_on(segment.hosts[number], has_program=name == PROGRAM, prefix=prefix)
            )
            made.append(Answerer(name, protocol, number * MOST_ADDRESSES, link))
        yield made


@asynccontextmanager
async def wire_on(host: Host, *, has_program: bool, prefix: Sequence[str] = ()) -> AsyncIterator[WireLink]:
    """A wire process with a permit for as long as the block lasts."""
    link = WireLink(lambda _: None)
    await link.start(command_prefix=[*host.prefix, *prefix], kernel_answers="auto" if has_program else "off")
    permitting = asyncio.create_task(_permit_forever(link))
    try:
        await link.carry_out(UseInterfaces(("eth0",)))
        yield link
    finally:
        permitting.cancel()
        await link.stop()


async def _permit_forever(link: WireLink) -> None:
    while not link.dead.is_set():
        link.send(Permit(time.clock_gettime(time.CLOCK_BOOTTIME) + PERMIT_SECONDS))
        await asyncio.sleep(PERMIT_SECONDS / 3)


def maps_bytes(pid: int) -> int:
    """What the kernel has reserved for the BPF maps that a process holds."""
    total = 0
    for entry in Path(f"/proc/{pid}/fdinfo").iterdir():
        with suppress(OSError):
            text = entry.read_text()
            if "map_type:" in text and (found := re.search(r"^memlock:\t(\d+)", text, re.MULTILINE)):
                total += int(found[1])
    return total


class Cpu:
    """Seconds that this process, a wire process and the kernel's threads for network work have used so far. Frames
    between hosts on one machine are worked off by whoever sends, so only the sum tells what a reply costs."""

    def __init__(self, answerer: Answerer) -> None:
        self._pid = answerer.link.pid if answerer.link is not None else None
        self._threads = list(_softirq_threads())
        self._began = self._now()

    def used(self) -> float:
        """Since this was made."""
        return self._now() - self._began

    def _now(self) -> float:
        others = sum(main_thread_seconds(pid) for pid in self._threads)
        return time.process_time() + others + (main_thread_seconds(self._pid) if self._pid is not None else 0.0)


def _softirq_threads() -> Iterator[int]:
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdecimal() and (entry / "comm").read_text().startswith("ksoftirqd/"):
                yield int(entry.name)


@contextmanager
def preferred() -> Iterator[None]:
    """What measures gets a CPU before what disturbs."""
    before = os.getpriority(os.PRIO_PROCESS, 0)
    os.setpriority(os.PRIO_PROCESS, 0, -15)
    try:
        yield
    finally:
        os.setpriority(os.PRIO_PROCESS, 0, before)
