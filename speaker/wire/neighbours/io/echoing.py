"""Answers echo requests (ping) for addresses that are announced, where that is ordered: echo.py.

An address is answered for when the kernel discards its requests (discarding.py), as long as it is announced, and under
the same permit as ARP. Ports are open only where such an address is announced, so nobody else pays for their filter.

    order --> pingable --> discarding --the kernel has it--> the address's entry in the table
                 +--> a port for each interface and family, filters --> responder --> permit? --> reply
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Mapping
from functools import partial

from speaker.wire import messages
from speaker.wire.deadlines import earliest, is_due
from speaker.wire.neighbours.echo import MAX_FRAME_BYTES, EchoResponder
from speaker.wire.neighbours.filter import ETH_P_IP, ETH_P_IPV6, PING_PROGRAMS
from speaker.wire.neighbours.io.discarding import Change, Discarding, Result
from speaker.wire.neighbours.io.port import Counters, Port
from speaker.wire.neighbours.pace import Pace
from speaker.wire.neighbours.pingable import Pingable, Place, ethertype_of
from speaker.wire.neighbours.table import Interface, Table
from speaker.wire.part import Agent, Permit, Poll

# One turn answers at most this many (about 0.2 ms) before the loop looks at ARP again.
FRAMES_PER_TURN = 8
# What waits longer than a tenth of a second is dropped by the kernel, rather than answered late.
BUFFER_BYTES = 64 * 1024
IDLE_SECONDS = 1.0

Attached = Mapping[str, tuple[int, Interface]]
"""The interfaces in use by name: index, and what responders need to know."""


class Echoing:
    """`clock` of `turn` and `deadline`: monotonic seconds."""

    def __init__(self, poll: Poll, agent: Agent, permit: Permit, table: Table) -> None:
        self._poll = poll
        self._agent = agent
        self._permit = permit
        self._table = table
        self._pingable = Pingable()
        self._pace = Pace()
        self._ports: dict[Place, Port] = {}
        self._counters: dict[str, Counters] = {}
        self._muted: list[Port] = []
        self._goes_on_at: float | None = None
        self._idle: set[Place] = set()  # ports that nobody needs
        self._looks_at: float | None = None
        self._frame = bytearray(MAX_FRAME_BYTES)
        responder = EchoResponder(table)
        self._answers = {ETH_P_IP: responder.answer_ipv4, ETH_P_IPV6: responder.answer_ipv6}
        self._discarding = Discarding(poll, self._on_discarded)
        self._places: frozenset[Place] = frozenset()
        self._added: dict[bytes, None] = {}
        self._removed: dict[bytes, None] = {}
        self._number = 0
        self._waiting: dict[bytes, int] = {}  # for the change of that number
        self._faults: Mapping[int, str] = {}
        self._told = ""

    # --- orders

    def answer(self, address: bytes) -> None:
        """As long as it is announced. Idempotent; nothing for one that is not."""
        entry = self._table.held.get(address)
        if entry is not None and address not in self._pingable.interfaces:
            self._pingable.hold(address, entry.interfaces)
            self._removed.pop(address, None)
            self._added[address] = None

    def moved(self, address: bytes, names: tuple[str, ...]) -> None:
        """It is announced on these interfaces now."""
        if self._pingable.interfaces.get(address, names) != names:
            self._pingable.hold(address, names)

    def drop(self, address: bytes) -> None:
        """No more, from the next request on. Unknown ones are fine."""
        entry = self._table.held.get(address)
        if entry is not None:
            entry.answers_ping = False
        if address in self._pingable.interfaces:
            self._pingable.drop(address)
            self._waiting.pop(address, None)
            self._added.pop(address, None)
            self._removed[address] = None

    def follow(self, attached: Attached) -> None:
        """Carry out what was ordered since."""
        self._fit_ports(attached)
        places = self._pingable.places
        if not (self._added or self._removed or places != self._places):
            return
        self._places = places
        self._number += 1
        self._waiting.update(dict.fromkeys(self._added, self._number))
        self._discarding.order(Change(self._number, places, tuple(self._added), tuple(self._removed)))
        self._added, self._removed = {}, {}

    # --- ports

    def closed(self, name: str) -> None:
        """The interface is no longer in use."""
        for place in [place for place in self._ports if place[0] == name]:
            self._close(place)

    def _fit_ports(self, attached: Attached) -> None:
        """One that nobody needs hears nothing from now on, and is closed when all that it sent has left the kernel:
        else a withdrawal would not know."""
        places, stale = self._pingable.places, self._pingable.take_stale()
        for place, port in self._ports.items():
            name, ethertype = place
            if name in attached:
                port.interface = attached[name][1]
            if place not in places:
                if place not in self._idle:
                    port.filter(PING_PROGRAMS[ethertype]([]))
                    self._idle.add(place)
                    self._looks_at = time.monotonic() + IDLE_SECONDS
            elif ethertype in stale or place in self._idle:
                self._idle.discard(place)
                port.filter(self._pingable.program(ethertype))
        for place in places.difference(self._ports):
            if place[0] in attached:
                self._open(place, *attached[place[0]])

    def _close_idle(self, now: float) -> None:
        for place in sorted(self._idle):
            port = self._ports[place]
            if port.has_sent_out(port.sent):
                self._close(place)
        self._looks_at = now + IDLE_SECONDS if self._idle else None

    def _open(self, place: Place, ifindex: int, interface: Interface) -> None:
        """One that can't be opened is about to go; it is opened when it is back."""
        name, ethertype = place
        counters = self._counters.setdefault(name, Counters())
        program = self._pingable.program(ethertype)
        try:
            port = Port(ifindex, interface, ethertype, program, counters, BUFFER_BYTES)
        except OSError:
            counters.failed += 1
            return
        self._ports[place] = port
        self._poll.add(port.fd, partial(self._drain, port))

    def _close(self, place: Place) -> None:
        port = self._ports.pop(place)
        self._idle.discard(place)
        if port in self._muted:
            self._muted.remove(port)
        port.count_drops()
        self._poll.remove(port.fd)
        port.close()

    def marks(self) -> list[tuple[Port, int]]:
        """As Ports.marks."""
        return [(port, port.sent) for port in self._ports.values()]

    def have_sent_out(self, marks: Iterable[tuple[Port, int]]) -> bool:
        """As Ports.have_sent_out."""
        ports = set(self._ports.values())
        return all(port not in ports or port.has_sent_out(mark) for port, mark in marks)

    def totals(self) -> dict[str, dict[str, int]]:
        """By interface name."""
        for port in self._ports.values():
            port.count_drops()
        return {
            name: {f"ping_{key}": total for key, total in of.totals().items()} for name, of in self._counters.items()
        }

    # --- the loop

    def turn(self, now: float) -> None:
        """Go on where there was too much."""
        if is_due(self._goes_on_at, now):
            self._goes_on_at = None
            for port in self._muted:
                self._poll.mute(port.fd, False)
            self._muted.clear()
        if is_due(self._looks_at, now):
            self._close_idle(now)

    def deadline(self) -> float | None:
        return earliest(self._goes_on_at, self._looks_at)

    def close(self) -> None:
        for place in list(self._ports):
            self._close(place)
        self._discarding.close()

    def _drain(self, port: Port) -> None:
        """Answer what has queued up, but not for ever, nor more than is good for ARP."""
        now, pace, permit, counters = time.monotonic(), self._pace, self._permit, port.counters
        answer, frame = self._answers[port.protocol], self._frame
        with contextlib.suppress(BlockingIOError):
            for _ in range(FRAMES_PER_TURN):
                if not pace.has_room(now):
                    self._mute(port)
                    return
                try:
                    length = port.receive_into(frame)
                except BlockingIOError:
                    raise
                except OSError:  # the interface went down or away
                    counters.failed += 1
                    return
                counters.received += 1
                pace.count()
                reply = answer(port.interface, frame, length)
                if not isinstance(reply, bytes):
                    counters.ignored += 1
                elif permit.is_valid():
                    counters.replies += port.is_sent(reply)
                else:
                    counters.silenced += 1

    def _mute(self, port: Port) -> None:
        self._poll.mute(port.fd, True)
        if port not in self._muted:  # what is wrong with its interface is told all the same
            self._muted.append(port)
        self._goes_on_at = self._pace.goes_on_at()

    # --- what the kernel does

    def _on_discarded(self, result: Result) -> None:
        """Answer for what the kernel discards now, and no more for what it does not."""
        number, faults = result
        ready = [address for address, since in self._waiting.items() if since <= number]
        for address in ready:
            del self._waiting[address]
        concerned: Iterable[bytes] = ready if faults == self._faults else tuple(self._pingable.interfaces)
        self._faults = faults
        for address in concerned:
            entry = self._table.held.get(address)
            if entry is not None and address not in self._waiting:
                entry.answers_ping = ethertype_of(address) not in faults
        self._tell()

    def _tell(self) -> None:
        """Why it is not done, if anything is to be done; once."""
        has_places = {ethertype for _, ethertype in self._places}
        texts = dict.fromkeys(text for ethertype, text in sorted(self._faults.items()) if ethertype in has_places)
        message = "; ".join(texts)
        if message != self._told:
            self._told = message
            self._agent.report(messages.PingFault(message))
