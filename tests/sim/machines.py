"""The machines of the cluster and the programs on them: a node's whole agent, and whole allocators.

Real is everything of a program above its sockets: the informers, the election, the Leases, the cores, and the shells
that drive them. In the place of the rest are tests.sim.transport, segment and routers.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from allocator.io.controller import Controller
from allocator.options import Options as AllocatorOptions
from crds.names import allocation_name
from kube.io.client import Client
from kube.metrics import UNCOUNTED
from speaker.inputs import Input
from speaker.io.agent import Agent
from speaker.members.heartbeats import HeartbeatOptions
from speaker.options import Options
from speaker.own.writer import SupersededError
from speaker.wire import messages
from speaker.wire.messages import Interface
from tests.sim.clocks import Clock, ProcessLoop, World, seen_by
from tests.sim.routers import NoBlackholes, PlayedDriver, Router
from tests.sim.segment import Segment, Wire
from tests.sim.transport import Link, SimTransport

NAMESPACE = "berth-system"
FENCE_SECONDS = 20
LEASE_SECONDS, RENEW_SECONDS = 6, 2.0
ALLOCATOR_LEASE_SECONDS = 10.0
RESTART_SECONDS = 1.0


class NoMetrics:
    """Counts nothing."""

    kube = UNCOUNTED

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: None


class SpeakerProcess:
    """One run of a node's speaker, with its wire process and its sessions."""

    def __init__(self, machine: "Machine", number: int) -> None:
        self.machine, self.node = machine, machine.node
        self.incarnation = f"{machine.name}.{number}"
        world = machine.world
        self.loop = ProcessLoop(world, machine.clock, self.incarnation)
        with seen_by(machine.clock):
            client = Client(SimTransport(machine.link, self.loop, f"berth-speaker/{self.node}"))  # type: ignore[arg-type]
            self.wire = Wire(machine.segment, self.loop, self.node, machine.interfaces)
            self.wire.process = self
            self.driver = PlayedDriver(world, self.loop, machine.routers)
            self.driver.process = self
            options = Options(
                self.node,
                self.incarnation,
                NAMESPACE,
                lease_duration_seconds=LEASE_SECONDS,
                renew_seconds=RENEW_SECONDS,
                fence_after_seconds=machine.fence_seconds,
                failback_seconds=machine.failback_seconds,
                bgp_drain_seconds=0.2,
                boot_id=machine.boot_id,
                heartbeats=HeartbeatOptions("keys"),
            )
            self.agent = Agent(
                client,
                self.wire,  # type: ignore[arg-type]
                options,
                NoMetrics(),  # type: ignore[arg-type]
                driver=self.driver,  # type: ignore[arg-type]
                blackholes=NoBlackholes(),  # type: ignore[arg-type]
            )
        self.ended: str | None = None
        """Why it ended by itself; None = it has not."""

    def start(self) -> None:
        """Its main coroutine."""
        self.stop_asked = asyncio.Event()
        self.machine.segment.join(self.wire)
        self.main = self.loop.start(self._run())
        self.driver.look()

    async def _run(self) -> None:
        self.agent.tell(messages.Interfaces(self.machine.interfaces))
        try:
            await self.agent.run(self.stop_asked)
        except BaseException as error:
            self.ended = _named(error)
            raise
        else:
            self.ended = ""
        finally:
            if self.ended is not None:
                self.machine.world.after(0.0, self.machine.process_ended, self)

    def tell(self, what: Input) -> None:
        """As the wire process's socket brings it."""
        if not self.loop.is_dead and self.ended is None:
            self.loop.call_soon(self.agent.tell, what)

    def ask_to_stop(self) -> None:
        """SIGTERM."""
        self.loop.call_soon(self.stop_asked.set)

    def kill(self, *, with_machine: bool = False) -> None:
        """SIGKILL, of all that belongs to it. `with_machine`: as by a loss of power."""
        self.wire.end()
        self.driver.kill(with_machine=with_machine)
        self.loop.kill()

    def uid_of(self, address: str) -> str:
        """Of the IPAllocation that the agent knows for the address; "" = none."""
        known = self.agent.core.cluster.allocations.get(allocation_name(address))
        return "" if known is None else known.uid


def _named(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"


def is_superseded(why: str) -> bool:
    """An end that is as it should be: another process is the node's speaker."""
    return why.startswith(SupersededError.__name__)


@dataclass
class Machine:
    """A node's hardware: what it is in, and the speaker that a kubelet keeps running there. `name` tells two machines
    of one node's name apart."""

    world: World
    node: str
    name: str
    link: Link
    clock: Clock
    segment: Segment
    routers: dict[str, Router]
    mac: str
    networks: tuple[tuple[str, int], ...]
    failback_seconds: float = 0.0
    fence_seconds: int = FENCE_SECONDS
    boot_id: str = ""
    process: SpeakerProcess | None = None
    is_wanted: bool = False
    """Whether a kubelet has the speaker run."""
    is_powered: bool = True
    on_end: Callable[[SpeakerProcess], None] = lambda _: None
    on_boot: Callable[["Machine"], None] = lambda _: None
    _starts: int = 0
    _boots: int = 1

    def __post_init__(self) -> None:
        self.boot_id = f"{self.name}-boot-{self._boots}"

    @property
    def interfaces(self) -> tuple[Interface, ...]:
        return (Interface("eth0", 2, self.mac, True, True, "", self.networks),)

    def start(self) -> None:
        self.is_wanted = True
        if self.process is None and self.is_powered:
            self._starts += 1
            self.process = SpeakerProcess(self, self._starts)
            self.process.start()

    def process_ended(self, process: SpeakerProcess) -> None:
        """By itself: the kubelet starts the next one."""
        if process is not self.process:
            return
        self.on_end(process)
        process.kill()
        self.process = None
        if self.is_wanted:
            self.world.after(RESTART_SECONDS, self._start_again)

    def _start_again(self) -> None:
        if self.is_wanted and self.is_powered:
            self.start()

    def stop(self) -> None:
        """The pod is deleted."""
        self.is_wanted = False
        if self.process is not None:
            self.process.ask_to_stop()

    def kill(self) -> None:
        """The speaker alone; the kubelet starts it again."""
        if self.process is not None:
            self.process.kill()
            self.process = None
            self.world.after(RESTART_SECONDS, self._start_again)

    def lose_power(self) -> None:
        self.is_powered = False
        if self.process is not None:
            self.process.kill(with_machine=True)
            self.process = None

    def power_on(self) -> None:
        if not self.is_powered:
            self.is_powered = True
            self._boots += 1
            self.boot_id = f"{self.name}-boot-{self._boots}"
            self.on_boot(self)
            if self.is_wanted:
                self.start()

    def freeze(self, seconds: float, *, with_wire: bool) -> None:
        """The agent stands still; `with_wire`: so does the whole machine."""
        if self.process is None:
            return
        self.process.loop.freeze(seconds)
        if with_wire:
            self.process.wire.frozen_until = self.process.loop.frozen_until

    @property
    def is_frozen(self) -> bool:
        return self.process is not None and self.world.now < self.process.loop.frozen_until


@dataclass
class AllocatorPod:
    """A place in which an allocator runs, one process after the other."""

    world: World
    name: str
    link: Link
    clock: Clock
    options: dict[str, Any] = field(default_factory=dict)
    loop: ProcessLoop | None = None
    controller: Controller | None = None
    fence_seconds: int = FENCE_SECONDS
    on_end: Callable[[str], None] = lambda _: None
    _starts: int = 0

    def start(self) -> None:
        self._starts += 1
        self.loop = ProcessLoop(self.world, self.clock, f"{self.name}.{self._starts}")
        with seen_by(self.clock):
            client = Client(SimTransport(self.link, self.loop, f"berth-allocator/{self.name}"))  # type: ignore[arg-type]
            options = AllocatorOptions(
                NAMESPACE,
                f"{self.name}.{self._starts}",
                fence_after_seconds=self.fence_seconds,
                lease_duration_seconds=ALLOCATOR_LEASE_SECONDS,
                **self.options,
            )
            self.controller = Controller(client, options, NoMetrics())  # type: ignore[arg-type]
        self.loop.start(self._run(self.controller))

    async def _run(self, controller: Controller) -> None:
        try:
            await controller.run()
        except Exception as error:
            self.world.after(0.0, self.on_end, f"the allocator {self.name} ended: {_named(error)}")
            raise

    @property
    def leads(self) -> bool:
        return self.controller is not None and self.controller.assigner is not None

    def kill(self) -> None:
        if self.loop is not None:
            self.loop.kill()
        self.loop = self.controller = None

    def restart(self) -> None:
        """Killed, and started again by its kubelet."""
        self.kill()
        self.world.after(RESTART_SECONDS, self._start_again)

    def _start_again(self) -> None:
        if self.loop is None:
            self.start()

    def freeze(self, seconds: float) -> None:
        if self.loop is not None:
            self.loop.freeze(seconds)
