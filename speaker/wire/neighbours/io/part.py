r"""ARP and NDP as a part of the wire process: takes the agent's orders about addresses, and keeps all it owns in step.

It decides nothing about who owns an address. Orders are carried out one after the other, a slice each turn, and
announcements are sent a few at a time, so that replies go between.

    orders --> jobs, a slice each turn --> holdings: table, schedule, filters, groups
    kernel --rtnetlink--> links --> ports opened and closed    |          |
    segment --tc ingress--> the program in the kernel, where it is on: replies by itself, and passes on all else
    segment --AF_PACKET--> frames --> responder <--------------+          +--> permit? --> announcement
            \--AF_PACKET--> echo requests --> responder <-------+
                                         +--> permit still valid? --> reply
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from speaker.wire.deadlines import AT_ONCE, earliest, is_due
from speaker.wire.messages import (
    Announce,
    AnswerPing,
    Ask,
    Defend,
    HandOver,
    Interfaces,
    Probe,
    Reannounce,
    UseInterfaces,
    Withdraw,
)
from speaker.wire.neighbours.arp import mac_bytes
from speaker.wire.neighbours.frames import announcement, protocol_of, question
from speaker.wire.neighbours.holdings import Holdings
from speaker.wire.neighbours.io.addresses import address_of, text_of
from speaker.wire.neighbours.io.answering import Answering
from speaker.wire.neighbours.io.echoing import Echoing
from speaker.wire.neighbours.io.kernel import KernelAnswers
from speaker.wire.neighbours.io.memberships import Memberships
from speaker.wire.neighbours.io.networkwatch import NetworkWatch
from speaker.wire.neighbours.io.port import Port
from speaker.wire.neighbours.io.ports import Ports
from speaker.wire.neighbours.io.prober import Prober
from speaker.wire.neighbours.io.settling import Settling
from speaker.wire.neighbours.schedule import Form
from speaker.wire.neighbours.table import InUse
from speaker.wire.part import Agent, Handler, Permit, Poll

# An order of 64 costs 0.15 ms in all; a slice (33 µs with its change of filters) stays below what a reply takes.
ENTRIES_PER_SLICE = 16
COUNTED_ADDRESSES_PER_REPORT = 256


class NeighbourPart:
    """See speaker.wire.part.Part. `on_interfaces` gets the index of each interface in use, by name, when asked to use
    others and when links changed."""

    clock = time.CLOCK_MONOTONIC  # a probe listens for so long, whether or not the machine is suspended meanwhile

    def __init__(
        self,
        poll: Poll,
        agent: Agent,
        permit: Permit,
        is_excluded: Callable[[str], object],
        on_interfaces: Callable[[Mapping[str, int]], None],
        *,
        has_kernel_answers: bool = False,
        run_as_the_loop: Callable[[], None] = lambda: None,
    ) -> None:
        """`run_as_the_loop`: puts the thread that calls it into the loop's scheduling class."""
        self._agent = agent
        self._permit = permit
        self._on_interfaces = on_interfaces
        self._holdings = Holdings()
        self._answering = Answering(permit, self._holdings.table, agent, self._on_in_use)
        self._ports = Ports(poll, is_excluded, self._answering.drain, self._on_port_open, self._on_port_close)
        self._prober = Prober(self._holdings, self._ports, agent, permit)
        self._networks = NetworkWatch(poll, self._report_interfaces)
        self._memberships = Memberships()
        self._echoing = Echoing(poll, agent, permit, self._holdings.table)
        self._kernel = KernelAnswers(
            poll,
            self._holdings.table,
            self._ports.counters,
            is_wanted=has_kernel_answers,
            run_as_the_loop=run_as_the_loop,
        )
        permit.on_change = self._kernel.set_deadline
        self._settling = Settling(self._ports, self._echoing, self._kernel)
        self._jobs: deque[Iterator[None]] = deque()
        self._reported: Interfaces | None = None
        self._next_turn: float | None = None
        self._is_kept_back = False  # announcements are due, and there is no permit
        self._is_leaving = False
        self.has_left = False
        self.orders: Mapping[type, Handler] = {
            UseInterfaces: partial(self._queue, self._use_interfaces),
            Announce: partial(self._queue, self._announce),
            Withdraw: partial(self._queue, self._withdraw),
            Probe: partial(self._queue, self._probe),
            Reannounce: partial(self._queue, self._reannounce),
            HandOver: partial(self._queue, self._hand_over),
            AnswerPing: partial(self._queue, self._answer_ping),
            Defend: self._defend,
            Ask: self._ask,
        }
        poll.add(self._ports.fd, self._on_links)

    # --- the loop

    def turn(self, now: float) -> None:
        """Each step is bounded to about 0.2 ms."""
        self._echoing.turn(now)
        if not self._is_kept_back and not is_due(self._next_turn, now):
            return
        if self._jobs:
            self._run_slice()
        if self._settling:
            self._settling.turn(now)
        announcing, probing, looking = self._announce_due(now), self._probe_due(now), self._look_due(now)
        settling = self._settling.deadline()
        self._next_turn = AT_ONCE if self._jobs else earliest(announcing, probing, looking, settling)

    def deadline(self) -> float | None:
        """Announcements that are kept back wait for a permit, whose coming wakes us anyway."""
        return earliest(self._next_turn, self._echoing.deadline())

    def totals(self) -> dict[str, dict[str, Any]]:
        """Of all interfaces, and of some addresses that replied since they were counted last."""
        addresses: dict[str, int] = {}
        active = self._holdings.table.active
        while active and len(addresses) < COUNTED_ADDRESSES_PER_REPORT:
            entry = active.pop()
            entry.is_counted = False
            addresses[text_of(entry.address)] = entry.replies
        self._kernel.count()
        interfaces = self._ports.totals()
        for name, totals in self._echoing.totals().items():
            interfaces.setdefault(name, {}).update(totals)
        return {"interfaces": interfaces, "addresses": addresses}

    def leave(self, *, is_clean: bool) -> None:
        """Withdraw everything, after the orders that came before."""
        if is_clean and not self._is_leaving:
            self._is_leaving = True
            self._begin(self._withdraw_all())

    def close(self) -> None:
        """Let go of all descriptors."""
        self._kernel.shut()
        self._memberships.close()
        self._networks.close()
        self._echoing.close()
        self._ports.close()

    def _begin(self, job: Iterator[None]) -> None:
        """After those that came before."""
        self._jobs.append(job)
        self._next_turn = AT_ONCE

    def _run_slice(self) -> None:
        try:
            next(self._jobs[0])
        except StopIteration:
            self._jobs.popleft()
        self._kernel.follow(self._holdings.take_moved())

    def _announce_due(self, now: float) -> float | None:
        """Returns when to go on."""
        deadline = self._holdings.schedule.deadline()
        self._is_kept_back = False
        if deadline is None or now < deadline:
            return deadline
        if not self._permit.is_valid():
            self._is_kept_back = True
            return None
        for address, name, form in self._holdings.schedule.due(now):
            self._send_announcement(address, name, form)
        return self._holdings.schedule.deadline()

    def _send_announcement(self, address: bytes, name: str, form: Form) -> None:
        attachment = self._ports.by_name.get(name)
        if attachment is None:
            self._holdings.schedule.cancel(address, name)
            return
        port = attachment.port(protocol_of(address))
        frame = announcement(port.interface, address, form)
        if self._permit.is_valid():
            port.counters.gratuitous += port.is_sent(frame)
        else:
            port.counters.silenced += 1

    def _probe_due(self, now: float) -> float | None:
        """Returns when to go on."""
        deadline = self._prober.deadline()
        if deadline is None or now < deadline:
            return deadline
        if self._prober.turn(now):
            self._follow_holdings()
        return self._prober.deadline()

    def _look_due(self, now: float) -> float | None:
        """Returns when to go on."""
        deadline = self._kernel.deadline()
        if deadline is not None and deadline <= now and not self._jobs:
            self._begin(self._kernel.look(now, self._known()))
            return AT_ONCE
        return deadline

    # --- orders

    def _queue(self, job: Callable[[int, Any], Iterator[None]], sequence: int, order: Any) -> None:
        self._begin(job(sequence, order))

    def _answer(self, sequence: int, what_for: str, refused: Sequence[str]) -> None:
        if refused:
            self._agent.refuse(sequence, f"not an address that can be {what_for}: {', '.join(refused)}")
        else:
            self._agent.confirm(sequence)

    def _use_interfaces(self, sequence: int, order: UseInterfaces) -> Iterator[None]:
        self._ports.allow(order.names)
        self._on_interfaces(self._ports.indexes())
        yield
        self._report_interfaces()
        self._agent.confirm(sequence)

    def _announce(self, sequence: int, order: Announce) -> Iterator[None]:
        refused: list[str] = []
        for part in _slices(order.entries):
            now = time.monotonic()
            for text, names in part:
                address = address_of(text)
                if address is None:
                    refused.append(text)
                else:
                    self._prober.stop(address)
                    self._holdings.hold(address, names, self._ports.by_name, now)
                    self._echoing.moved(address, names)
            yield
        self._follow_holdings()
        self._answer(sequence, "announced", refused)

    def _withdraw(self, sequence: int, order: Withdraw) -> Iterator[None]:
        for part in _slices(order.addresses):
            for text in part:
                address = address_of(text)
                if address is not None:
                    self._prober.stop(address)
                    self._drop(address)
            yield
        self._follow_holdings()
        self._settling.begin(partial(self._agent.confirm, sequence), time.monotonic())

    def _withdraw_all(self) -> Iterator[None]:
        for part in _slices(list(self._holdings.table.held)):
            for address in part:
                self._drop(address)
            yield
        self._follow_holdings()
        self._settling.begin(self._on_left, time.monotonic())

    def _drop(self, address: bytes) -> None:
        self._echoing.drop(address)
        self._holdings.drop(address)

    def _answer_ping(self, sequence: int, order: AnswerPing) -> Iterator[None]:
        change = self._echoing.answer if order.is_wanted else self._echoing.drop
        for part in _slices(order.addresses):
            for address in map(address_of, part):
                if address is not None:
                    change(address)
            yield
        self._follow_holdings()
        self._agent.confirm(sequence)

    def _on_left(self) -> None:
        self.has_left = True

    def _probe(self, sequence: int, order: Probe) -> Iterator[None]:
        """The filters let answers in before the first probe can leave, which is at the end of this turn."""
        refused: list[str] = []
        for part in _slices(order.entries):
            now = time.monotonic()
            for text, names, run in part:
                address = address_of(text)
                if address is None or address in self._holdings.table.held:
                    refused.append(text)
                else:
                    self._prober.start(address, text, names, run, now)
            self._follow_holdings()
            yield
        self._answer(sequence, "probed", refused)

    def _reannounce(self, sequence: int, order: Reannounce) -> Iterator[None]:
        """A burst for each of these that is still announced: others may have moved it to themselves meanwhile."""
        for part in _slices(order.addresses):
            now, known = time.monotonic(), [address for address in map(address_of, part) if address is not None]
            for name in self._ports.by_name:
                self._holdings.announce_again(known, name, now)
            yield
        self._agent.confirm(sequence)

    def _hand_over(self, sequence: int, order: HandOver) -> Iterator[None]:
        for part in _slices(order.addresses):
            for address in map(address_of, part):
                if address is not None:
                    self._holdings.hand_over(address)
            yield
        self._agent.confirm(sequence)

    def _defend(self, sequence: int, order: Defend) -> None:
        """One announcement (RFC 5227 §2.4), if the address is still announced there. When is for the agent."""
        address, port = self._held_on(order.address, order.interface)
        if address is not None and port is not None and self._permit.is_valid():
            frame = announcement(port.interface, address, Form.REQUEST)
            port.counters.gratuitous += port.is_sent(frame)
        self._agent.confirm(sequence)

    def _ask(self, sequence: int, order: Ask) -> None:
        """Ask that machine alone whether it still uses the address. Its answer is one more conflict."""
        address, port = self._held_on(order.address, order.interface)
        if address is not None and port is not None and self._permit.is_valid():
            port.counters.probes += port.is_sent(question(port.interface, address, mac_bytes(order.mac)))
        self._agent.confirm(sequence)

    def _held_on(self, text: str, name: str) -> tuple[bytes | None, Port | None]:
        address, attachment = address_of(text), self._ports.by_name.get(name)
        entry = self._holdings.table.held.get(address) if address is not None else None
        if address is None or attachment is None or entry is None or name not in entry.interfaces:
            return None, None
        return address, attachment.port(protocol_of(address))

    def _follow_holdings(self) -> None:
        """Let in the frames for what is held now, and no others."""
        self._kernel.follow(self._holdings.take_moved())
        for protocol, program in self._holdings.take_programs().items():
            self._ports.filter(protocol, program)
        self._memberships.carry_out(self._holdings.groups.take())
        self._echoing.follow(self._ports.attached())

    # --- frames and interfaces

    def _on_in_use(self, port: Port, seen: InUse) -> None:
        self._prober.in_use(port, seen)

    def _on_links(self) -> None:
        self._ports.on_readable()
        if self._holdings.table.own_macs is not self._ports.own_macs:
            self._holdings.table.own_macs = self._ports.own_macs
            self._kernel.set_own(self._ports.own_macs)
        self._on_interfaces(self._ports.indexes())
        self._report_interfaces()

    def _on_port_open(self, name: str, ifindex: int) -> None:
        self._holdings.groups.open(name, ifindex)
        self._begin(self._answer_in_kernel(name, ifindex))
        self._begin(self._announce_all(name))

    def _on_port_close(self, name: str) -> None:
        self._holdings.groups.close(name)
        self._echoing.closed(name)
        self._kernel.follow(self._holdings.take_moved())
        self._begin(self._kernel.close(name, self._known()))
        self._memberships.carry_out(self._holdings.groups.take())

    def _answer_in_kernel(self, name: str, ifindex: int) -> Iterator[None]:
        attachment = self._ports.by_name.get(name)
        if attachment is not None and attachment.arp.ifindex == ifindex:
            yield from self._kernel.open(name, ifindex, attachment.arp.interface.mac, self._known())
            self._report_interfaces()

    def _known(self) -> list[Sequence[bytes]]:
        """All addresses that are held or probed, in slices."""
        table = self._holdings.table
        return list(_slices([*table.held, *table.probed]))

    def _announce_all(self, name: str) -> Iterator[None]:
        """Neighbours must learn our MAC, and switches our port, for every address on this interface."""
        self._follow_holdings()
        for part in _slices(list(self._holdings.table.held)):
            self._holdings.announce_again(part, name, time.monotonic())
            yield

    def _report_interfaces(self) -> None:
        """If there is news. An interface is told of when its networks are known: nothing is decided on half of it."""
        if self._ports.is_known:
            self._networks.follow(self._ports.usable())
        has_news = self._ports.has_news or self._networks.has_news or self._kernel.has_news
        if not (has_news and self._ports.is_known and self._networks.is_known):
            return
        self._ports.has_news = self._networks.has_news = self._kernel.has_news = False
        described = self._networks.described(self._ports.described())
        report = Interfaces(tuple(self._kernel.described(described)))
        if report != self._reported:
            self._reported = report
            self._agent.report(report)


def _slices(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    return (items[at : at + ENTRIES_PER_SLICE] for at in range(0, len(items), ENTRIES_PER_SLICE))
