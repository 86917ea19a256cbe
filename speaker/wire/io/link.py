"""The agent's end of the wire process: starts it, gives it orders, waits for its confirmations, notices its death.

It decides nothing: what is announced, and until when, is the agent's business. It never restarts a dead wire process:
the processes of a speaker die together, so the agent exits when `dead` is set. The messages are in
speaker.wire.messages.

    agent --carry_out--> 32 packets unconfirmed at most --> outbox --> socket --> wire process
    agent --send-----------------------------------------> outbox
    agent <--on_report-- reports, put together from changes <-------- socket <--
"""

import asyncio
import contextlib
import itertools
import socket
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from pathlib import Path

from speaker.wire.codec import MAX_MESSAGE_BYTES, MessageError, packets
from speaker.wire.messages import (
    AgeChanges,
    Ages,
    BfdChanges,
    BfdState,
    BfdStates,
    ConfirmedOrder,
    Done,
    Interface,
    Interfaces,
    LinkRouterChanges,
    LinkRouters,
    Member,
    MemberChanges,
    Members,
    Refused,
    Report,
    RoutersOn,
    SentOrder,
    Stop,
    WireReport,
    aged,
    decode_report,
    updated,
)
from speaker.wire.outbox import Outbox

# Packets of one order that may be unconfirmed at a time: enough to keep the wire busy, few enough to keep memory flat.
PACKETS_IN_FLIGHT = 32
START_TIMEOUT_SECONDS = 10.0
CONFIRM_TIMEOUT_SECONDS = 10.0
STOP_TIMEOUT_SECONDS = 5.0

# The wire process is started without `site` (-I -S: its memory stays near 17 MB), so it is told where our packages are.
BOOTSTRAP = "import sys; sys.path.insert(0, sys.argv.pop(1)); from speaker.wire.io.loop import main; sys.exit(main())"
PACKAGE_ROOT = Path(__file__).resolve().parents[3]


class WireError(Exception):
    """The wire process did not do what it was asked."""


class WireDiedError(WireError):
    """The wire process is gone: nothing is announced any more."""


class OrderRefusedError(WireError):
    """The wire process could not carry out (part of) an order; its message says which and why."""


class WireStalledError(WireError):
    """No confirmation in time. What was ordered may or may not be in force."""


class WireLink:
    """Orders to one wire process. All methods belong to the event loop that ran `start`.

    `on_report` is called from the event loop; it must not block and must not raise.
    """

    def __init__(
        self, on_report: Callable[[Report], None], *, confirm_timeout_seconds: float = CONFIRM_TIMEOUT_SECONDS
    ) -> None:
        self.dead = asyncio.Event()
        """Set when the wire process is gone, also after `stop`."""
        self.interfaces: tuple[Interface, ...] = ()
        """The latest report."""
        self.members: Mapping[str, Member] = {}
        """The other speakers heard now, by node; replaced, never changed."""
        self.bfd_sessions: Mapping[str, BfdState] = {}
        """How the BFD sessions stand, by name; replaced, never changed."""
        self.link_routers: Mapping[str, RoutersOn] = {}
        """The routers heard on each link where they are looked for; replaced, never changed."""
        self.last_heard: float = 0.0
        """Loop time of the wire's latest message; each permit is confirmed, so a stuck wire shows here."""
        self._on_report = on_report
        self._confirm_timeout_seconds = confirm_timeout_seconds
        self._sequences = itertools.count(1)
        self._unconfirmed: dict[int, asyncio.Future[None]] = {}
        self._outbox = Outbox()
        self._writing = False
        self._reported = asyncio.Event()

    @property
    def pid(self) -> int:
        return self._process.pid

    async def start(
        self,
        *,
        exclude_interfaces: str = "",
        kernel_answers: str = "off",
        command_prefix: Sequence[str] = (),
        pass_fds: Sequence[int] = (),
    ) -> None:
        """Start the wire process and wait for its first report of interfaces.

        `exclude_interfaces` is a regular expression that matches the whole name of interfaces never to be used.
        `kernel_answers`: "auto" = the kernel answers where it can, "off" = the wire process answers everything.
        `command_prefix` goes before the interpreter (`ip netns exec ...`); it must exec, not fork.
        `pass_fds` are descriptors that stay open as long as the wire process lives.
        """
        self._loop = asyncio.get_running_loop()
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.setblocking(False)
        arguments = ["--fd", str(theirs.fileno()), "--exclude-interfaces", exclude_interfaces]
        arguments += ["--kernel-answers", kernel_answers]
        command = [*command_prefix, sys.executable, "-I", "-S", "-c", BOOTSTRAP, str(PACKAGE_ROOT), *arguments]
        with theirs:
            self._process = await asyncio.create_subprocess_exec(
                *command, stdin=asyncio.subprocess.DEVNULL, pass_fds=(theirs.fileno(), *pass_fds)
            )
        self._loop.add_reader(self._socket, self._on_readable)
        async with _deadline(START_TIMEOUT_SECONDS, "report of interfaces"):
            await self._reported.wait()
        if self.dead.is_set():
            raise WireDiedError("the wire process ended before it reported its interfaces")

    async def carry_out(self, order: ConfirmedOrder) -> None:
        """Give the order in as many packets as it needs, and wait until all of it is confirmed.

        Raises OrderRefusedError when part of it was refused; the rest is in force, but for what comes after an item
        that is too long for any packet. Raises WireDiedError and WireStalledError.
        """
        in_flight: deque[asyncio.Future[None]] = deque()
        refused: list[OrderRefusedError] = []
        async with _deadline(self._confirm_timeout_seconds, "confirmation"):
            for sequence, packet in _as_packets(order, self._sequences, refused):
                if len(in_flight) == PACKETS_IN_FLIGHT:
                    await _confirmed(in_flight.popleft(), refused)
                if self.dead.is_set():
                    raise WireDiedError("the wire process is gone")
                self._unconfirmed[sequence] = self._loop.create_future()
                in_flight.append(self._unconfirmed[sequence])
                self._write(order, packet)
            while in_flight:
                await _confirmed(in_flight.popleft(), refused)
        if refused:
            raise OrderRefusedError("; ".join(str(error) for error in refused))

    def send(self, order: SentOrder) -> None:
        """Give an order that nobody waits for. Never waits. A dead wire process is no error.

        Permit and OwnState overtake orders not yet written; of those that are not, the latest alone is written.
        """
        for _, packet in packets(order, self._sequences):
            if not self.dead.is_set():
                self._write(order, packet)

    async def stop(self) -> None:
        """Withdraw everything, end the wire process and wait for its end. Safe to repeat, and after its death."""
        if not hasattr(self, "_process"):
            return
        if not self.dead.is_set():
            with contextlib.suppress(WireError):
                await self.carry_out(Stop())
        try:
            async with asyncio.timeout(STOP_TIMEOUT_SECONDS):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        self._die()

    async def wait_dead(self) -> int:
        """Wait, forever if need be, for the end of the wire process; returns its exit status."""
        await self.dead.wait()
        return await self._process.wait()

    # --- the socket

    def _write(self, order: ConfirmedOrder | SentOrder, packet: bytes) -> None:
        self._outbox.add(type(order), packet)
        self._flush()

    def _flush(self) -> None:
        """Write as much as the socket takes; the rest follows when it is writable."""
        try:
            while not self.dead.is_set() and (packet := self._outbox.first()) is not None:
                self._socket.send(packet)
                self._outbox.drop_first()
        except BlockingIOError:
            self._wait_writable(True)
        except OSError:
            self._die()
        else:
            self._wait_writable(False)

    def _wait_writable(self, wanted: bool) -> None:
        if wanted != self._writing and not self.dead.is_set():
            self._writing = wanted
            if wanted:
                self._loop.add_writer(self._socket, self._flush)
            else:
                self._loop.remove_writer(self._socket)

    def _on_readable(self) -> None:
        while not self.dead.is_set():
            try:
                packet = self._socket.recv(MAX_MESSAGE_BYTES)
            except BlockingIOError:
                return
            except OSError:
                packet = b""
            if not packet:
                self._die()
                return
            self.last_heard = self._loop.time()
            self._on_message(*decode_report(packet))

    def _on_message(self, sequence: int, message: WireReport) -> None:
        match message:
            case Done():
                self._settle(sequence, None)
            case Refused(why):
                self._settle(sequence, OrderRefusedError(why))
            case Interfaces(interfaces):
                self.interfaces = interfaces
                self._reported.set()
                self._on_report(message)
            case MemberChanges(changes):
                self.members = updated(self.members, changes)
                self._on_report(Members(self.members))
            case AgeChanges(ages):
                self.members = aged(self.members, ages)
                self._on_report(Ages(self.members))
            case BfdChanges(changes):
                self.bfd_sessions = updated(self.bfd_sessions, changes)
                self._on_report(BfdStates(self.bfd_sessions))
            case LinkRouterChanges(changes):
                self.link_routers = updated(self.link_routers, changes)
                self._on_report(LinkRouters(self.link_routers))
            case _:
                self._on_report(message)

    def _settle(self, sequence: int, error: WireError | None) -> None:
        confirmed = self._unconfirmed.pop(sequence, None)  # None: nobody waits, or not any more
        if confirmed is None or confirmed.done():
            return
        if error is None:
            confirmed.set_result(None)
        else:
            confirmed.set_exception(error)
            confirmed.exception()  # marks it as seen: the caller may have been cancelled meanwhile

    def _die(self) -> None:
        if self.dead.is_set():
            return
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self._socket.close()
        self.dead.set()
        self._reported.set()
        for sequence in list(self._unconfirmed):
            self._settle(sequence, WireDiedError("the wire process is gone"))
        self._outbox.clear()


def _as_packets(
    order: ConfirmedOrder, sequences: Iterator[int], refused: list[OrderRefusedError]
) -> Iterator[tuple[int, bytes]]:
    """Whatever somebody wrote into an object, an order that no packet can carry is refused, and ends nothing."""
    try:
        yield from packets(order, sequences)
    except MessageError as error:
        refused.append(OrderRefusedError(str(error)))


async def _confirmed(packet: asyncio.Future[None], refused: list[OrderRefusedError]) -> None:
    try:
        await packet
    except OrderRefusedError as error:
        refused.append(error)


@contextlib.asynccontextmanager
async def _deadline(seconds: float, what: str) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise WireStalledError(f"no {what} within {seconds:g} s") from None
