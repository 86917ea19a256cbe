"""Hosts on a segment, and a wire process on one of them."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lab.net.segment import Host, Segment
from speaker.wire.io.link import WireLink
from speaker.wire.messages import (
    Answer,
    BfdState,
    BfdStates,
    Conflict,
    Counters,
    Interface,
    Interfaces,
    Permit,
    PingFault,
    Probed,
    Report,
    UseInterfaces,
)


@pytest.fixture
def segment() -> Iterator[Segment]:
    """Three hosts: node (1), client (2), rogue (3)."""
    try:
        made = Segment([1, 2, 3])
    except PermissionError as error:
        pytest.skip(str(error))
    with made:
        yield made


@dataclass
class Heard:
    """What a wire process reported."""

    interfaces: list[tuple[Interface, ...]] = field(default_factory=list)
    conflicts: list[Conflict] = field(default_factory=list)
    counters: list[Counters] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    probed: list[Probed] = field(default_factory=list)
    ping_faults: list[str] = field(default_factory=list)
    bfd: list[Mapping[str, BfdState]] = field(default_factory=list)

    def on_report(self, report: Report) -> None:
        match report:
            case Interfaces(interfaces):
                self.interfaces.append(interfaces)
            case Conflict():
                self.conflicts.append(report)
            case Counters():
                self.counters.append(report)
            case Answer():
                self.answers.append(report)
            case Probed():
                self.probed.append(report)
            case PingFault(message):
                self.ping_faults.append(message)
            case BfdStates(sessions):
                self.bfd.append(sessions)

    def interface(self, name: str) -> Interface | None:
        return next((one for one in self.interfaces[-1] if one.name == name), None)

    async def until(self, condition: Callable[[], object], seconds: float = 5) -> None:
        async with asyncio.timeout(seconds):
            while not condition():
                await asyncio.sleep(0.005)


def boottime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@asynccontextmanager
async def wire_on(
    host: Host,
    *,
    interfaces: tuple[str, ...] = ("eth0",),
    permit_seconds: float = 60,
    exclude: str = "",
    prefix=(),
    kernel_answers: str = "off",
) -> AsyncIterator[tuple[WireLink, Heard]]:
    """A wire process on a host, with a permit for the length of a test."""
    heard = Heard()
    link = WireLink(heard.on_report)
    prefix = [*host.prefix, *prefix]
    await link.start(command_prefix=prefix, exclude_interfaces=exclude, kernel_answers=kernel_answers)
    try:
        await link.carry_out(UseInterfaces(interfaces))
        link.send(Permit(boottime() + permit_seconds))
        yield link, heard
    finally:
        await link.stop()


def neighbour_mac(host: Host, address: str) -> str:
    """Where the host's kernel believes the address to be; "" when it knows nothing."""
    words = host.run("ip", "neighbour", "show", address).split()
    return words[words.index("lladdr") + 1] if "lladdr" in words else ""


def rss_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
