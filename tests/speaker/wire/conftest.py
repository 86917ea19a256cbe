"""Hosts on a segment, and a wire process on one of them."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from hypothesis import settings

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
    Probed,
    Report,
    UseInterfaces,
)
from speaker.wire.neighbours import arp as packets
from speaker.wire.neighbours.arp import Arp

# An example may take long on a busy machine.
settings.register_profile("l2", deadline=None)
settings.load_profile("l2")


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
    host: Host, *, interfaces: tuple[str, ...] = ("eth0",), permit_seconds: float = 60, exclude: str = "", prefix=()
) -> AsyncIterator[tuple[WireLink, Heard]]:
    """A wire process on a host, with a permit for the length of a test."""
    heard = Heard()
    link = WireLink(heard.on_report)
    await link.start(command_prefix=[*host.prefix, *prefix], exclude_interfaces=exclude)
    try:
        await link.carry_out(UseInterfaces(interfaces))
        link.send(Permit(boottime() + permit_seconds))
        yield link, heard
    finally:
        await link.stop()


class Asker:
    """A raw socket of a host that asks, and reads replies and announcements."""

    def __init__(self, host: Host, interface: str = "eth0") -> None:
        self._socket = host.packet_socket(interface)
        self.mac, self.address = host.mac, host.address

    def send(self, frame: bytes) -> None:
        self._socket.send(frame)

    def request(self, target: bytes) -> bytes:
        return packets.request(self.mac, self.address, target)

    def ask(self, target: bytes, seconds: float = 0.3) -> Arp | None:
        """The reply to one request; None when there is none in time."""
        self.send(self.request(target))
        return self.next(lambda arp: not arp.is_request and arp.sender == target and not arp.is_gratuitous, seconds)

    def next(self, is_wanted: Callable[[Arp], bool], seconds: float = 2) -> Arp | None:
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self._socket.settimeout(left)
            try:
                arp = packets.parse(self._socket.recv(100))
            except TimeoutError:
                return None
            if arp is not None and is_wanted(arp):
                return arp
        return None

    def forget(self) -> None:
        """Read away what has queued up."""
        self._socket.settimeout(0)
        try:
            while True:
                self._socket.recv(100)
        except BlockingIOError:
            pass

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> "Asker":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
