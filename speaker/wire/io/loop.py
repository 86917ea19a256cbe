"""The wire process: owns the raw sockets, answers ARP and NDP, announces, sends heartbeats, watches the interfaces.

It decides nothing about who owns an address: the agent's orders come over a socket, and when that closes the process
ends. It imports the standard library only, and little of it (about 17 MB in all), and never waits for anything but its
one epoll: orders are applied in small slices and announcements sent a few at a time, so that replies go between.

    agent  --SEQPACKET--> orders --> jobs, a slice each turn --> holdings: table, schedule, filters, groups
    kernel --rtnetlink--> links  --> ports opened and closed       |          |
    segment --AF_PACKET-> frames --> responder <-------------------+          +--> permit? --> announcement
                                         +--> permit still valid? --> reply
    peers ----UDP-------> heart  --> who is heard --> agent
    routers --UDP-------> BFD    --> which paths are up --> agent

The permit is a CLOCK_BOOTTIME deadline that the agent keeps moving. It is compared right before each frame is sent. So
a process that was stopped, or a machine that was suspended, is silent when it wakes; at most one frame, whose check was
done when the stop came, can still leave.
"""

from __future__ import annotations

import gc
import re
import select
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from speaker.wire.heartbeat.io.part import HeartbeatPart
from speaker.wire.io.channel import Channel, Closed
from speaker.wire.io.permit import Permit
from speaker.wire.io.process import become_the_wire
from speaker.wire.io.reports import Reports
from speaker.wire.messages import (
    Announce,
    Ask,
    Bfd,
    Defend,
    Entry,
    Heartbeat,
    Order,
    OwnState,
    Probe,
    Reannounce,
    Stop,
    UseInterfaces,
    Withdraw,
)
from speaker.wire.messages import (
    Permit as PermitOrder,
)
from speaker.wire.neighbours.arp import mac_bytes
from speaker.wire.neighbours.frames import announcement, protocol_of, question
from speaker.wire.neighbours.holdings import Holdings
from speaker.wire.neighbours.io.addresses import address_of
from speaker.wire.neighbours.io.answering import Answering
from speaker.wire.neighbours.io.memberships import Memberships
from speaker.wire.neighbours.io.port import Port
from speaker.wire.neighbours.io.ports import Ports
from speaker.wire.neighbours.io.prober import Prober
from speaker.wire.neighbours.io.settling import POLL_SECONDS, Settling
from speaker.wire.neighbours.schedule import Form

if TYPE_CHECKING:
    from speaker.wire.bfd.io.part import Sessions as BfdSessions

# An order of 64 costs 0.15 ms in all; a slice (33 µs with its change of filters) stays below what a reply takes.
ENTRIES_PER_SLICE = 16


class Wire:
    """State and loop of the process."""

    def __init__(self, agent: socket.socket, is_excluded: Callable[[str], object]) -> None:
        self._epoll = select.epoll()
        self._channel = Channel(agent, self._epoll)
        self._ports = Ports(self._epoll, is_excluded, self._on_port_open, self._on_port_close)
        self._heartbeats = HeartbeatPart(self._epoll, self._channel.tell, lambda: self._channel.is_crowded)
        self._holdings = Holdings()
        self._permit = Permit()
        self._prober = Prober(self._holdings, self._ports, self._channel, self._permit.is_valid)
        self._answering = Answering(self._permit, self._holdings.table, self._prober, self._channel)
        self._memberships = Memberships()
        self._settling = Settling(self._ports)
        self._bfd: BfdSessions | None = None
        self._reports = Reports(
            self._channel,
            self._ports,
            self._holdings.table,
            self._heartbeats.totals,
            self._bfd_totals,
            time.monotonic(),
        )
        self._jobs: deque[Iterator[None]] = deque()
        self._stop_order: int | None = None
        self._has_stopped = False

    def run(self) -> int:
        """Serve until told to stop (returns 0) or until the agent is gone (1)."""
        try:
            while not self._has_stopped:
                for fd, _ in self._epoll.poll(self._timeout()):
                    port = self._ports.by_fd.get(fd)
                    if port is not None:
                        self._answering.drain(port)
                    elif fd == self._heartbeats.fd:
                        self._heartbeats.on_readable()
                    elif self._bfd is not None and fd in self._bfd.fds:
                        self._bfd.on_readable(fd)
                    elif fd == self._channel.fd:
                        self._on_channel()
                    elif fd == self._ports.fd:
                        self._on_links()
                self._turn()
        except Closed:
            return 1  # the agent is dead: silence is withdrawal
        return 0

    def close(self) -> None:
        """Give the agent the last confirmations, tell the peers, and let go of all sockets."""
        self._heartbeats.leave()
        if self._bfd is not None:
            self._bfd.leave(is_clean=False)  # after an order to stop, all has been said
            self._bfd.close()
        self._channel.close()
        self._heartbeats.close()
        self._memberships.close()
        self._ports.close()
        self._epoll.close()

    # --- one turn of the loop

    def _turn(self) -> None:
        """Whatever is due besides frames, each step bounded to about 0.2 ms."""
        now = time.monotonic()
        if self._jobs:
            self._run_slice()
        if self._settling:
            self._confirm_settled(now)
        deadline = self._holdings.schedule.deadline()
        if deadline is not None and deadline <= now and self._permit.is_valid():
            self._send_due(now)
        deadline = self._prober.deadline()
        if deadline is not None and deadline <= now and self._prober.turn(now):
            self._follow_holdings()
        self._heartbeats.turn(self._permit.until)
        if self._bfd is not None:
            self._bfd.turn(self._permit.until)
        self._reports.counters(now)

    def _timeout(self) -> float:
        if self._jobs:
            return 0.0
        now = time.monotonic()
        timeout = min(self._reports.counters_due - now, self._heartbeats.seconds_left())
        deadline = self._holdings.schedule.deadline()
        if deadline is not None and deadline - now < timeout and self._permit.is_valid():
            timeout = deadline - now
        deadline = self._prober.deadline()
        if deadline is not None:
            timeout = min(timeout, deadline - now)
        if self._bfd is not None:
            timeout = min(timeout, self._bfd.seconds_left())
        if self._settling:
            timeout = min(timeout, POLL_SECONDS)
        return max(timeout, 0.0)

    def _run_slice(self) -> None:
        try:
            next(self._jobs[0])
        except StopIteration:
            self._jobs.popleft()

    def _send_due(self, now: float) -> None:
        for address, name, form in self._holdings.schedule.due(now):
            attachment = self._ports.by_name.get(name)
            if attachment is None:
                self._holdings.schedule.cancel(address, name)
                continue
            port = attachment.port(protocol_of(address))
            frame = announcement(port.interface, address, form)
            if self._permit.is_valid():
                port.counters.gratuitous += port.is_sent(frame)
            else:
                port.counters.silenced += 1

    # --- orders

    def _on_channel(self) -> None:
        self._channel.flush()
        received = self._channel.receive()
        if received is not None:
            self._on_order(*received)

    def _on_order(self, sequence: int, order: Order) -> None:
        """Our own state, and a permit, are in force at once; most other orders are carried out one after the other."""
        match order:
            case PermitOrder(until):
                self._permit.until = until
                self._confirm(sequence)
            case OwnState():
                self._heartbeats.set_state(order)
            case Heartbeat() | Bfd():
                self._configure(sequence, order)
            case Announce(entries):
                self._jobs.append(self._announce(sequence, entries))
            case Withdraw(addresses):
                self._jobs.append(self._withdraw(sequence, addresses))
            case UseInterfaces(names):
                self._jobs.append(self._use_interfaces(sequence, names))
            case Probe(entries):
                self._jobs.append(self._probe(sequence, entries))
            case Reannounce(addresses):
                self._jobs.append(self._reannounce(sequence, addresses))
            case Defend(address, interface):
                self._defend(sequence, address, interface)
            case Ask(address, interface, mac):
                self._ask(sequence, address, interface, mac_bytes(mac))
            case Stop():
                self._jobs.append(self._stop(sequence))

    def _announce(self, sequence: int, entries: Sequence[Entry]) -> Iterator[None]:
        refused: list[str] = []
        for part in _slices(entries):
            now = time.monotonic()
            for text, names in part:
                address = address_of(text)
                if address is None:
                    refused.append(text)
                else:
                    self._prober.stop(address)
                    self._holdings.hold(address, names, self._ports.by_name, now)
            yield
        self._follow_holdings()
        if refused:
            self._refuse(sequence, "not an address that can be announced: " + ", ".join(refused))
        else:
            self._confirm(sequence)

    def _withdraw(self, sequence: int, addresses: Sequence[str]) -> Iterator[None]:
        for part in _slices(addresses):
            for text in part:
                address = address_of(text)
                if address is not None:
                    self._prober.stop(address)
                    self._holdings.drop(address)
            yield
        self._follow_holdings()
        self._settling.begin(sequence, time.monotonic())

    def _probe(self, sequence: int, entries: Sequence[tuple[str, tuple[str, ...], int]]) -> Iterator[None]:
        """The filters let answers in before the first probe can leave, which is at the end of this turn."""
        refused: list[str] = []
        for part in _slices(entries):
            now = time.monotonic()
            for text, names, run in part:
                address = address_of(text)
                if address is None or address in self._holdings.table.held:
                    refused.append(text)
                else:
                    self._prober.start(address, text, names, run, now)
            self._follow_holdings()
            yield
        if refused:
            self._refuse(sequence, "not an address that can be probed: " + ", ".join(refused))
        else:
            self._confirm(sequence)

    def _reannounce(self, sequence: int, addresses: Sequence[str]) -> Iterator[None]:
        """A burst for each of these that is still announced: others may have moved it to themselves meanwhile."""
        for part in _slices(addresses):
            now, known = time.monotonic(), [address for address in map(address_of, part) if address is not None]
            for name in self._ports.by_name:
                self._holdings.announce_again(known, name, now)
            yield
        self._confirm(sequence)

    def _defend(self, sequence: int, text: str, name: str) -> None:
        """One announcement (RFC 5227 §2.4), if the address is still announced there. When is for the agent."""
        address, port = self._held_on(text, name)
        if address is not None and port is not None and self._permit.is_valid():
            frame = announcement(port.interface, address, Form.REQUEST)
            port.counters.gratuitous += port.is_sent(frame)
        self._confirm(sequence)

    def _ask(self, sequence: int, text: str, name: str, mac: bytes) -> None:
        """Ask that machine alone whether it still uses the address. Its answer is one more conflict."""
        address, port = self._held_on(text, name)
        if address is not None and port is not None and self._permit.is_valid():
            port.counters.probes += port.is_sent(question(port.interface, address, mac))
        self._confirm(sequence)

    def _held_on(self, text: str, name: str) -> tuple[bytes | None, Port | None]:
        address, attachment = address_of(text), self._ports.by_name.get(name)
        entry = self._holdings.table.held.get(address) if address is not None else None
        if address is None or attachment is None or entry is None or name not in entry.interfaces:
            return None, None
        return address, attachment.port(protocol_of(address))

    def _stop(self, sequence: int) -> Iterator[None]:
        self._permit.until = 0.0
        self._heartbeats.leave()  # no frame of ours leaves any more: who is next need not wait for our silence
        if self._bfd is not None:
            self._bfd.leave(is_clean=True)
        for part in _slices(list(self._holdings.table.held)):
            for address in part:
                self._holdings.drop(address)
            yield
        self._stop_order = sequence
        self._settling.begin(sequence, time.monotonic())

    def _confirm_settled(self, now: float) -> None:
        for sequence in self._settling.settled(now):
            self._confirm(sequence)
            self._has_stopped |= sequence == self._stop_order

    def _follow_holdings(self) -> None:
        """Let in the frames for what is held now, and no others."""
        for protocol, program in self._holdings.take_programs().items():
            self._ports.filter(protocol, program)
        self._memberships.carry_out(self._holdings.groups.take())

    def _use_interfaces(self, sequence: int, names: Sequence[str]) -> Iterator[None]:
        self._ports.allow(names)
        self._heartbeats.use(self._ports.indexes())
        yield
        self._reports.interfaces()
        self._confirm(sequence)

    def _configure(self, sequence: int, order: Heartbeat | Bfd) -> None:
        fault = self._heartbeats.configure(order) if isinstance(order, Heartbeat) else self._configure_bfd(order)
        if fault:
            self._refuse(sequence, fault)
        else:
            self._confirm(sequence)

    def _configure_bfd(self, order: Bfd) -> str:
        if self._bfd is None:
            from speaker.wire.bfd.io.part import Sessions as BfdSessions  # most nodes have no BFD, nor need its memory

            self._bfd = BfdSessions(self._epoll, self._channel.tell, lambda: self._channel.is_crowded)
        self._bfd.configure(order)
        return ""

    def _bfd_totals(self) -> dict[str, int]:
        return {} if self._bfd is None else self._bfd.totals()

    # --- interfaces

    def _on_links(self) -> None:
        self._ports.on_readable()
        self._holdings.table.own_macs = self._ports.own_macs
        self._heartbeats.use(self._ports.indexes())
        self._reports.interfaces()

    def _on_port_open(self, name: str, ifindex: int) -> None:
        self._holdings.groups.open(name, ifindex)
        self._jobs.append(self._announce_all(name))

    def _on_port_close(self, name: str) -> None:
        self._holdings.groups.close(name)
        self._memberships.carry_out(self._holdings.groups.take())

    def _announce_all(self, name: str) -> Iterator[None]:
        """Neighbours must learn our MAC, and switches our port, for every address on this interface."""
        self._memberships.carry_out(self._holdings.groups.take())
        for part in _slices(list(self._holdings.table.held)):
            self._holdings.announce_again(part, name, time.monotonic())
            yield

    def _confirm(self, sequence: int) -> None:
        self._channel.confirm(sequence)

    def _refuse(self, sequence: int, message: str) -> None:
        self._channel.refuse(sequence, message)


def _slices(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    return (items[at : at + ENTRIES_PER_SLICE] for at in range(0, len(items), ENTRIES_PER_SLICE))


def main() -> int:
    arguments = dict(zip(sys.argv[1::2], sys.argv[2::2], strict=True))
    become_the_wire()
    excluded = arguments.get("--exclude-interfaces", "")
    is_excluded = re.compile(excluded).fullmatch if excluded else (lambda _: None)
    wire = Wire(socket.socket(fileno=int(arguments["--fd"])), is_excluded)
    gc.collect()
    gc.freeze()
    gc.disable()  # nothing on the way of a frame makes reference cycles
    status = wire.run()
    wire.close()
    return status
