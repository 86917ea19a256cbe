"""Network segments and the speakers' wire processes on them: who answers for an address, who hears whose heartbeats.

In the place of speaker.wire.io.link.WireLink and all that is behind it. A wire process goes on while its agent is
frozen, as long as it has a permit; it dies with its agent.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from speaker.wire import messages
from speaker.wire.io.link import WireStalledError
from speaker.wire.messages import Interface, Member
from tests.sim.clocks import ProcessLoop, World

if TYPE_CHECKING:
    from tests.sim.machines import SpeakerProcess

OWN_STATE_SECONDS = 3.0
LOST_SECONDS = 0.6
"""Three heartbeats that did not come."""
AGES_SECONDS = 2.0
FRAME_SECONDS = 0.001
PROBING_SECONDS = 5.0
ORDER_SECONDS = 0.001
CONFIRM_TIMEOUT_SECONDS = 10.0


@dataclass
class Held:
    """An address in the table of a wire process. `uid`: of the IPAllocation that its agent knew when it said so."""

    interfaces: tuple[str, ...]
    uid: str


class Wire:
    """The wire process of one speaker. `is_stuck`: it answers, and takes in no order. `is_stopped`: it does nothing,
    while its agent goes on, and the program in the kernel answers until members take the node for dead."""

    def __init__(self, segment: "Segment", loop: ProcessLoop, node: str, interfaces: tuple[Interface, ...]) -> None:
        self.segment, self.node, self.interfaces = segment, node, interfaces
        self.clock = loop.clock
        self.table: dict[str, Held] = {}
        self.permit_until = 0.0
        self.frozen_until = 0.0
        self.is_stuck = self.is_stopped = False
        self.kernel_until = 0.0
        self._last_permit: float | None = None
        self.is_gone = False
        self.dead = asyncio.Event()
        self.last_heard = 0.0
        self.heartbeat: messages.Heartbeat | None = None
        self.said: messages.OwnState | None = None
        self.said_at = float("-inf")
        self.heard: dict[str, Member] = {}
        self.process: SpeakerProcess
        self._loop = loop
        self._waiting: list[tuple[Any, asyncio.Future[None]]] = []

    # ---- what its agent orders

    async def carry_out(self, order: messages.ConfirmedOrder) -> None:
        done = self._loop.create_future()
        self._waiting.append((order, done))
        self._later(ORDER_SECONDS, self.work)
        try:
            async with asyncio.timeout(CONFIRM_TIMEOUT_SECONDS):
                await done
        except TimeoutError:
            raise WireStalledError("no confirmation in time") from None

    def send(self, order: messages.SentOrder) -> None:
        match order:
            case messages.Permit(until) if self.is_stopped:
                self._last_permit = until
            case messages.Permit(until):
                self.permit_until = until
                self.segment.watched(self)
            case messages.OwnState():
                is_news = self.said != order
                self.said, self.said_at = order, self.segment.world.now
                self.segment.said(self, is_news=is_news)
            case messages.Reannounce(addresses):
                for address in addresses:
                    self._later(FRAME_SECONDS, self.segment.claim, self, address)

    async def stop(self) -> None:
        await self.carry_out(messages.Stop())
        self.end()

    async def wait_dead(self) -> int:
        await self.dead.wait()
        return 1

    # ---- what it does

    def stop_for(self, seconds: float) -> None:
        """As SIGSTOP, of it alone."""
        self.is_stopped = True
        self.kernel_until = self.segment.world.now + LOST_SECONDS
        self.segment.look_after(LOST_SECONDS)
        self.segment.world.after(seconds, self.go_on)

    def go_on(self) -> None:
        """What waits for it is the last permit, orders, and what it hears."""
        if self.is_stopped and not self.is_gone:
            self.is_stopped = False
            if self._last_permit is not None:
                self.permit_until, self._last_permit = self._last_permit, None
            self.segment.watched(self)
            self.work()
            self.segment.look_soon()

    def end(self) -> None:
        self.is_gone = True
        self.table.clear()
        self.permit_until = 0.0
        self.segment.left(self)

    def work(self) -> None:
        """Take in what was ordered."""
        if self.is_gone or self.is_stuck or self.is_stopped:
            return
        if self.segment.world.now < self.frozen_until:
            self.segment.world.at(self.frozen_until, self.work)
            return
        waiting, self._waiting = self._waiting, []
        for order, done in waiting:
            self._take(order)
            if not self._loop.is_dead:
                self._loop.call_soon(_resolve, done)

    def _take(self, order: messages.ConfirmedOrder) -> None:
        match order:
            case messages.Announce(entries):
                for address, interfaces in entries:
                    self.table[address] = Held(interfaces, self.process.uid_of(address))
                    self._later(FRAME_SECONDS, self.segment.claim, self, address)
                self.segment.watched(self)
            case messages.Withdraw(addresses):
                for address in addresses:
                    self.table.pop(address, None)
            case messages.Probe(entries):
                for address, _, run in entries:
                    self._later(PROBING_SECONDS, self._probed, address, run)
            case messages.Heartbeat():
                self.heartbeat = order
                self.segment.look_soon()
            case messages.Stop():
                self.table.clear()
                self.permit_until = 0.0

    def _probed(self, address: str, run: int) -> None:
        if not self.is_gone:
            self.process.tell(messages.Probed(address, run, 3))

    def _later(self, seconds: float, what: Callable[..., None], *arguments: Any) -> None:
        world = self.segment.world
        world.at(world.slot(world.now + seconds), what, *arguments)

    # ---- what others see of it

    @property
    def is_permitted(self) -> bool:
        return not self.is_gone and self.clock.boottime() < self.permit_until

    def answers(self, address: str) -> bool:
        """Whether somebody who asks for it now has a reply from here."""
        is_answering = self.is_running or (self.is_stopped and self.segment.world.now < self.kernel_until)
        return address in self.table and self.is_permitted and is_answering

    @property
    def is_running(self) -> bool:
        return not self.is_stopped and self.segment.world.now >= self.frozen_until

    @property
    def speaks(self) -> bool:
        """By heartbeats."""
        now = self.segment.world.now
        return (
            not self.is_gone
            and self.heartbeat is not None
            and bool(self.heartbeat.keys)
            and now - self.said_at < OWN_STATE_SECONDS
            and self.is_running
        )


def _resolve(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)


@dataclass
class Segment:
    """`deaf`: pairs of nodes, of which the second hears nothing of the first. `on_watch`: told of a wire process that
    may answer for something new now."""

    world: World
    wires: dict[str, Wire] = field(default_factory=dict)
    deaf: set[tuple[str, str]] = field(default_factory=set)
    on_watch: Callable[[Wire], None] = lambda _: None
    _is_looking: bool = False

    def join(self, wire: Wire) -> None:
        self.wires[wire.node] = wire
        self.world.after(AGES_SECONDS, self._tell_ages, wire)

    def left(self, wire: Wire) -> None:
        if self.wires.get(wire.node) is wire:
            del self.wires[wire.node]
            self.look_after(LOST_SECONDS)

    def watched(self, wire: Wire) -> None:
        self.on_watch(wire)

    def passes(self, sender: str, receiver: str) -> bool:
        return (sender, receiver) not in self.deaf

    def part(self, some: Iterable[str], others: Iterable[str], *, one_way: bool = False) -> None:
        for one in some:
            for other in others:
                if one != other:
                    self.deaf.add((one, other))
                    if not one_way:
                        self.deaf.add((other, one))
        self.look_after(LOST_SECONDS)

    def heal(self) -> None:
        self.deaf.clear()
        self.look_soon()

    # ---- heartbeats

    def said(self, wire: Wire, *, is_news: bool) -> None:
        if is_news:
            self.look_soon()
        self.world.after(OWN_STATE_SECONDS + 0.01, self._may_be_silent, wire, wire.said_at)

    def _may_be_silent(self, wire: Wire, said_at: float) -> None:
        if wire.said_at == said_at:
            self.look()

    def look_soon(self) -> None:
        if not self._is_looking:
            self._is_looking = True
            self.world.at(self.world.slot(self.world.now + 0.02), self.look)

    def look_after(self, seconds: float) -> None:
        self.world.after(seconds, self.look)

    def look(self) -> None:
        """Tell each of what it hears now, if that is news."""
        self._is_looking = False
        for wire in list(self.wires.values()):
            if wire.heartbeat is None or not wire.heartbeat.keys or wire.is_gone or wire.is_stopped:
                continue
            heard = self._heard_by(wire)
            if _essence(heard) != _essence(wire.heard):
                wire.heard = heard
                wire.process.tell(messages.Members(heard))

    def _tell_ages(self, wire: Wire) -> None:
        if wire.is_gone:
            return
        self.world.after(AGES_SECONDS, self._tell_ages, wire)
        if wire.is_stopped:
            return
        heard = self._heard_by(wire)
        if heard and _essence(heard) == _essence(wire.heard):
            wire.heard = heard
            wire.process.tell(messages.Ages(heard))
        elif _essence(heard) != _essence(wire.heard):
            self.look_soon()

    def _heard_by(self, wire: Wire) -> dict[str, Member]:
        """Echoes prove that both ways work."""
        members = wire.heartbeat.members if wire.heartbeat is not None else {}
        found = {}
        for node, other in self.wires.items():
            if node == wire.node or node not in members or not other.speaks or other.said is None:
                continue
            if self.passes(node, wire.node) and self.passes(wire.node, node):
                found[node] = self._member(wire, other, other.said)
        return found

    def _member(self, wire: Wire, other: Wire, said: messages.OwnState) -> Member:
        """Its contact, by the age that its packet carries, on the clock of who hears it."""
        usable = tuple(one.name for one in other.interfaces if one.usable)
        age = other.clock.boottime() - said.contact if said.contact > messages.NEVER else float("inf")
        now = wire.clock.boottime()
        contact = now - age
        known = wire.heard.get(other.node)
        since = known.since if known is not None and known.incarnation == other.process.incarnation else now
        return Member(
            other.process.incarnation,
            usable,
            contact,
            now,
            said.is_serving and other.is_permitted,
            said.is_member,
            said.is_behind,
            said.is_leaving,
            usable,
            since,
        )

    # ---- frames

    def claim(self, claimant: Wire, address: str) -> None:
        """A gratuitous announcement: who has the address too sees that somebody else claims it."""
        if not claimant.answers(address):
            return
        mac = claimant.interfaces[0].mac
        for wire in list(self.wires.values()):
            if wire is not claimant and address in wire.table and self.passes(claimant.node, wire.node):
                wire.process.tell(messages.Conflict(address, "eth0", mac))

    def answering(self, address: str) -> list[Wire]:
        return [wire for wire in self.wires.values() if wire.answers(address)]


def _essence(heard: dict[str, Member]) -> list[tuple[Any, ...]]:
    """Without what grows older by itself."""
    return [(node, one.incarnation, one.interfaces, *one[4:8]) for node, one in sorted(heard.items())]
