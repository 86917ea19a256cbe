"""The agent's end of the wire process: starts it, gives it orders, waits for its confirmations, notices its death.

It decides nothing: what is announced, and until when, is the agent's business. It never restarts a dead wire process:
the processes of a speaker die together, so the agent exits when `dead` is set.

    agent (asyncio) -- SOCK_SEQPACKET, one JSON message a packet --> wire (epoll)
        interfaces, announce, withdraw, probe, defend, ask, heartbeat, bfd, permit, stop    answered by done or error
        say                                                                                 not answered
        done, error, interfaces, conflict, answer, probed, counters, peers, ages, bfd-state   <------
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import structlog

from speaker.wire.bfd.model import SessionConfig, SessionView

MAX_MESSAGE_BYTES = 32 * 1024
ANNOUNCE_ENTRIES_PER_ORDER = 64
WITHDRAW_ADDRESSES_PER_ORDER = 256
PEERS_PER_ORDER = 64
BFD_SESSIONS_PER_ORDER = 64
# Orders of one call that may be unconfirmed at a time: enough to keep the wire busy, few enough to keep memory flat.
ORDERS_IN_FLIGHT = 32
START_TIMEOUT_SECONDS = 10.0
CONFIRM_TIMEOUT_SECONDS = 10.0
STOP_TIMEOUT_SECONDS = 5.0

# The wire process is started without `site` (-I -S: its memory stays near 17 MB), so it is told where our packages are.
BOOTSTRAP = "import sys; sys.path.insert(0, sys.argv.pop(1)); from speaker.wire.io.loop import main; sys.exit(main())"
PACKAGE_ROOT = Path(__file__).resolve().parents[3]

Entry = tuple[str, Sequence[str]]  # address, names of the interfaces to announce it on

log = structlog.get_logger()


class WireError(Exception):
    """The wire process did not do what it was asked."""


class WireDiedError(WireError):
    """The wire process is gone: nothing is announced any more."""


class OrderRefusedError(WireError):
    """The wire process could not carry out (part of) an order; its message says which and why."""


class WireStalledError(WireError):
    """No confirmation in time. What was ordered may or may not be in force."""


@dataclass(frozen=True)
class WireInterface:
    """One network interface as the wire process sees it. `reason` says why it is not usable, and is empty if it is."""

    name: str
    index: int
    mac: str
    up: bool
    usable: bool
    reason: str


@dataclass(frozen=True)
class WireConflict:
    """Another host claims an address that we announce (RFC 5227 §2.4). Reported at most once a second per address."""

    address: str
    interface: str
    mac: str


@dataclass(frozen=True)
class WireAnswer:
    """A host used an address that was being probed, or (`is_probe`) probed for it too. Each MAC once in a run."""

    address: str
    run: int
    interface: str
    mac: str
    is_probe: bool


@dataclass(frozen=True)
class WireProbed:
    """A run of probes is over; all answers were reported before. `sent`: how many frames could be sent."""

    address: str
    run: int
    sent: int


@dataclass(frozen=True)
class WireCounters:
    """Totals since the wire process started.

    `interfaces`: name -> counter -> total; the counters are received, replies, gratuitous, probes, conflicts, ignored,
    silenced (kept back for want of a permit), failed (the kernel refused to send), dropped (receive buffer full): of
    ARP, and with `ndp_` before the name of NDP.
    `addresses`: address -> replies, only for addresses that replied since the last report, and not always all of them.
    `heartbeats`: packets by what became of them: sent, failed (the kernel refused to send), received (and believed),
    discarded (unread, after a pause of the process), and the kinds of heartbeat.Dropped.
    `bfd`: packets too: sent, failed, received, and the kinds of speaker.wire.bfd.packets.Discard; empty without BFD.
    """

    interfaces: dict[str, dict[str, int]]
    addresses: dict[str, int]
    heartbeats: dict[str, int] = field(default_factory=dict)
    bfd: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class HeartbeatConfig:
    """How to speak with the other speakers, and with whom.

    `incarnation`: another text at each start of the process, at most 64 bytes. `keys`: the first one signs, all of them
    verify; none = heartbeats are off. `peers`: unicast addresses by node, of every other speaker that is known; only
    those are listened to. An address is used where multicast does not reach; there may be none.
    """

    node: str
    incarnation: str
    keys: tuple[bytes, ...] = field(default=(), repr=False)
    interval_seconds: float = 0.2
    port: int = 7473
    peers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class WirePeer:
    """A speaker that is heard now. Times are CLOCK_BOOTTIME of this machine.

    It says of itself: `serving` (it announces what it owns), `member` and `behind` and `leaving` (what the tiers of
    ownership ask), `interfaces` on which it can announce. `contact`: when it last had contact with the API server, by
    the age that its latest packet carried, rather later than earlier; None = never. `heard`: when that packet came
    (reports are up to two seconds old). `via`: our interfaces on whose segment it is heard, "" for packets sent to our
    address.
    """

    incarnation: str
    serving: bool
    member: bool
    behind: bool
    leaving: bool
    contact: float | None
    heard: float
    interfaces: tuple[str, ...]
    via: tuple[str, ...]
    since: float


@dataclass
class WireCallbacks:
    """Called from the event loop; they must not block and must not raise."""

    on_interfaces: Callable[[tuple[WireInterface, ...]], None] = field(default=lambda _: None)
    on_conflict: Callable[[WireConflict], None] = field(default=lambda _: None)
    on_counters: Callable[[WireCounters], None] = field(default=lambda _: None)
    on_peers: Callable[[Mapping[str, WirePeer]], None] = field(default=lambda _: None)
    """All that are heard now, by node: at once when somebody is heard, is lost, says goodbye or says something else of
    itself; also once, mostly empty, when heartbeats are configured."""
    on_ages: Callable[[Mapping[str, WirePeer]], None] = field(default=lambda _: None)
    """The same peers about every two seconds: nothing is new but `contact` and `heard`."""
    on_bfd: Callable[[Mapping[str, SessionView]], None] = field(default=lambda _: None)
    """All BFD sessions by name, as soon as one of them changed."""
    on_answer: Callable[[WireAnswer], None] = field(default=lambda _: None)
    on_probed: Callable[[WireProbed], None] = field(default=lambda _: None)


class WireLink:
    """Orders to one wire process. All methods belong to the event loop that ran `start`."""

    def __init__(self, callbacks: WireCallbacks, *, confirm_timeout_seconds: float = CONFIRM_TIMEOUT_SECONDS) -> None:
        self.dead = asyncio.Event()
        """Set when the wire process is gone, also after `stop`."""
        self.interfaces: tuple[WireInterface, ...] = ()
        """The latest report."""
        self.peers: Mapping[str, WirePeer] = {}
        """Those heard now, by node; replaced, never changed."""
        self.bfd_sessions: Mapping[str, SessionView] = {}
        """How the BFD sessions stand, by name; replaced, never changed."""
        self.last_heard: float = 0.0
        """Loop time of the wire's latest message; each permit is confirmed, so a stuck wire shows here."""
        self._callbacks = callbacks
        self._confirm_timeout_seconds = confirm_timeout_seconds
        self._sequence = 0
        self._orders: dict[int, asyncio.Future[None]] = {}
        self._outbox: deque[bytes] = deque()
        self._permit: bytes | None = None
        self._word: bytes | None = None
        self._writing = False
        self._reported = asyncio.Event()

    @property
    def pid(self) -> int:
        return self._process.pid

    async def start(
        self, *, exclude_interfaces: str = "", command_prefix: Sequence[str] = (), pass_fds: Sequence[int] = ()
    ) -> None:
        """Start the wire process and wait for its first report of interfaces.

        `exclude_interfaces` is a regular expression that matches the whole name of interfaces never to be used.
        `command_prefix` goes before the interpreter (`ip netns exec ...`); it must exec, not fork.
        `pass_fds` are descriptors that stay open as long as the wire process lives.
        """
        self._loop = asyncio.get_running_loop()
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.setblocking(False)
        arguments = ["--fd", str(theirs.fileno()), "--exclude-interfaces", exclude_interfaces]
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

    async def use_interfaces(self, names: Iterable[str]) -> None:
        """Let the wire process use these interfaces and no others. Names that do not exist yet may come later."""
        await self._carry_out([{"op": "interfaces", "names": sorted(set(names))}])

    async def announce(self, entries: Iterable[Entry]) -> None:
        """Announce each address on its interfaces (instead of those given before). Idempotent.

        Returns when every order is confirmed. Raises OrderRefusedError when an entry was not accepted; the others
        are in force.
        """
        orders = _in_chunks(((address, list(names)) for address, names in entries), ANNOUNCE_ENTRIES_PER_ORDER)
        await self._carry_out({"op": "announce", "entries": chunk} for chunk in orders)

    async def withdraw(self, addresses: Iterable[str]) -> None:
        """Withdraw the addresses. When this returns, no frame for any of them can leave. Unknown addresses are fine."""
        chunks = _in_chunks(addresses, WITHDRAW_ADDRESSES_PER_ORDER)
        await self._carry_out({"op": "withdraw", "addresses": chunk} for chunk in chunks)

    def permit(self, until_boottime_seconds: float) -> None:
        """Allow frames to leave while CLOCK_BOOTTIME is before this. Never waits; overtakes orders not yet written."""
        self._permit = self._encoded({"op": "permit", "until": until_boottime_seconds})[1]
        self._flush()

    async def probe(self, probes: Iterable[tuple[str, Sequence[str], int]]) -> None:
        """Probe each address on its interfaces before it is announced for the first time; the number names the run.

        Returns when the probing has begun. What comes of it is told by `on_answer` and, at the end, `on_probed`.
        `withdraw` ends it without a word. Raises OrderRefusedError; the others are being probed.
        """
        orders = _in_chunks(([address, list(names), run] for address, names, run in probes), ANNOUNCE_ENTRIES_PER_ORDER)
        await self._carry_out({"op": "probe", "entries": chunk} for chunk in orders)

    def reannounce(self, addresses: Sequence[str]) -> None:
        """Announce these again by a burst, if they are announced. Never waits."""
        for chunk in _in_chunks(list(addresses), WITHDRAW_ADDRESSES_PER_ORDER):
            self._send_off({"op": "reannounce", "addresses": list(chunk)})

    def defend(self, address: str, interface: str) -> None:
        """Send one announcement (RFC 5227 §2.4), if the address is announced there. Never waits."""
        self._send_off({"op": "defend", "address": address, "interface": interface})

    def ask(self, address: str, interface: str, mac: str) -> None:
        """Ask that machine alone whether it uses an address of ours; an answer comes as a conflict. Never waits."""
        self._send_off({"op": "ask", "address": address, "interface": interface, "mac": mac})

    def _send_off(self, order: dict[str, Any]) -> None:
        with contextlib.suppress(WireDiedError):
            self._write(order)

    async def heartbeat(self, config: HeartbeatConfig) -> None:
        """Speak with these peers, in this way, from now on. Idempotent. Nothing is sent before `say`.

        Raises OrderRefusedError when a name is too long for a packet.
        """
        peers = sorted(config.peers.items())
        parts = [dict(chunk) for chunk in _in_chunks(peers, PEERS_PER_ORDER)] or [{}]
        order = {
            "op": "heartbeat",
            "node": config.node,
            "incarnation": config.incarnation,
            "keys": [key.hex() for key in config.keys],
            "interval": config.interval_seconds,
            "port": config.port,
            "parts": len(parts),
        }
        await self._carry_out(order | {"part": number, "peers": part} for number, part in enumerate(parts))

    async def bfd(self, sessions: Mapping[str, SessionConfig]) -> None:
        """Have exactly these BFD sessions, by name. Idempotent.

        One that changed its addresses is another session; new timers are negotiated within the one there is. What is
        wrong with one of them is told by its `fault`, and disturbs no other. They are up only while there is a permit.
        """
        names = sorted(sessions)
        parts = list(_in_chunks(names, BFD_SESSIONS_PER_ORDER)) or [[]]
        await self._carry_out(
            {"op": "bfd", "parts": len(parts), "part": number, "sessions": {name: sessions[name] for name in part}}
            for number, part in enumerate(parts)
        )

    def say(
        self,
        *,
        contact: float | None,
        serving: bool,
        member: bool = True,
        behind: bool = False,
        leaving: bool = False,
    ) -> None:
        """What our heartbeats say of us, for the next three seconds; to be repeated about twice a second, as a permit.

        `contact`: CLOCK_BOOTTIME of the last contact with the API server, None = never. `serving` is only said while
        there is a permit. A change goes out at once. When nothing is said any more, the wire says goodbye for us and
        falls silent. Never waits; overtakes orders not yet written.
        """
        word = {"contact": contact, "serving": serving, "member": member, "behind": behind, "leaving": leaving}
        self._word = self._encoded({"op": "say"} | word)[1]
        self._flush()

    async def stop(self) -> None:
        """Withdraw everything, end the wire process and wait for its end. Safe to repeat, and after its death."""
        if not hasattr(self, "_process"):
            return
        if not self.dead.is_set():
            with contextlib.suppress(WireError):
                await self._carry_out([{"op": "stop"}])
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

    async def _carry_out(self, orders: Iterable[dict[str, Any]]) -> None:
        """Write the orders, a bounded number ahead of their confirmations, and wait for all of those."""
        in_flight: deque[asyncio.Future[None]] = deque()
        refused: list[OrderRefusedError] = []
        async with _deadline(self._confirm_timeout_seconds, "confirmation"):
            for order in orders:
                if len(in_flight) == ORDERS_IN_FLIGHT:
                    await self._confirmed(in_flight.popleft(), refused)
                in_flight.extend(self._write(order))
            while in_flight:
                await self._confirmed(in_flight.popleft(), refused)
        if refused:
            raise OrderRefusedError("; ".join(str(error) for error in refused))

    async def _confirmed(self, order: asyncio.Future[None], refused: list[OrderRefusedError]) -> None:
        try:
            await order
        except OrderRefusedError as error:
            refused.append(error)

    def _encoded(self, order: dict[str, Any]) -> tuple[int, bytes]:
        self._sequence += 1
        return self._sequence, json.dumps({"seq": self._sequence} | order, separators=(",", ":")).encode()

    def _write(self, order: dict[str, Any]) -> list[asyncio.Future[None]]:
        """Queue one order; an order too large for a packet is split in two, again and again."""
        if self.dead.is_set():
            raise WireDiedError("the wire process is gone")
        sequence, packet = self._encoded(order)
        if len(packet) > MAX_MESSAGE_BYTES:
            return [future for half in _halves(order) for future in self._write(half)]
        future = self._orders[sequence] = self._loop.create_future()
        self._outbox.append(packet)
        self._flush()
        return [future]

    def _flush(self) -> None:
        """Write as much as the socket takes; the rest follows when it is writable."""
        try:
            while not self.dead.is_set():
                if self._permit is not None:
                    self._socket.send(self._permit)
                    self._permit = None
                elif self._word is not None:
                    self._socket.send(self._word)
                    self._word = None
                elif self._outbox:
                    self._socket.send(self._outbox[0])
                    self._outbox.popleft()
                else:
                    break
        except BlockingIOError:
            self._wait_writable(True)
            return
        except OSError:
            self._die()
            return
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
            self._on_message(json.loads(packet))

    def _on_message(self, message: dict[str, Any]) -> None:
        match message["op"]:
            case "done":
                self._settle(message["seq"], None)
            case "error":
                self._settle(message["seq"], OrderRefusedError(message["message"]))
            case "interfaces":
                self.interfaces = tuple(WireInterface(**interface) for interface in message["interfaces"])
                self._reported.set()
                self._callbacks.on_interfaces(self.interfaces)
            case "conflict":
                self._callbacks.on_conflict(WireConflict(message["address"], message["interface"], message["mac"]))
            case "answer":
                self._callbacks.on_answer(
                    WireAnswer(
                        message["address"], message["run"], message["interface"], message["mac"], message["probe"]
                    )
                )
            case "probed":
                self._callbacks.on_probed(WireProbed(message["address"], message["run"], message["sent"]))
            case "counters":
                counters = WireCounters(
                    message["interfaces"], message["addresses"], message["heartbeats"], message["bfd"]
                )
                self._callbacks.on_counters(counters)
            case "peers":
                self._take_peers(message["peers"])
            case "ages":
                self._take_ages(message["ages"])
            case "bfd-state":
                self._take_bfd(message["sessions"])
            case unknown:
                raise ValueError(f"the wire process sent {unknown!r}")

    def _take_peers(self, changed: dict[str, dict[str, Any] | None]) -> None:
        """Some of the peers as they are now; None = not heard any more."""
        peers = dict(self.peers)
        for node, view in changed.items():
            if view is None:
                peers.pop(node, None)
            else:
                lists = {"interfaces": tuple(view["interfaces"]), "via": tuple(view["via"])}
                peers[node] = WirePeer(**(view | lists))
        self.peers = peers
        self._callbacks.on_peers(peers)

    def _take_ages(self, ages: dict[str, tuple[float | None, float]]) -> None:
        known = {node: self.peers[node] for node in ages if node in self.peers}
        aged = {node: replace(peer, contact=ages[node][0], heard=ages[node][1]) for node, peer in known.items()}
        self.peers = {**self.peers, **aged}
        self._callbacks.on_ages(self.peers)

    def _take_bfd(self, changed: dict[str, list[Any] | None]) -> None:
        """Some of the sessions as they are now; None = there is none of that name any more."""
        sessions = dict(self.bfd_sessions)
        for name, view in changed.items():
            if view is None:
                sessions.pop(name, None)
            else:
                sessions[name] = SessionView(*view)
        self.bfd_sessions = sessions
        self._callbacks.on_bfd(sessions)

    def _settle(self, sequence: int, error: WireError | None) -> None:
        order = self._orders.pop(sequence, None)  # None: a permit, or the caller stopped waiting
        if order is None or order.done():
            return
        if error is None:
            order.set_result(None)
        else:
            order.set_exception(error)
            order.exception()  # marks it as seen: the caller may have been cancelled meanwhile

    def _die(self) -> None:
        if self.dead.is_set():
            return
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self._socket.close()
        self.dead.set()
        self._reported.set()
        for sequence in list(self._orders):
            self._settle(sequence, WireDiedError("the wire process is gone"))
        self._outbox.clear()


@contextlib.asynccontextmanager
async def _deadline(seconds: float, what: str) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise WireStalledError(f"no {what} within {seconds:g} s") from None


def _in_chunks(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    chunk: list[Any] = []
    for item in items:
        chunk.append(item)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _halves(order: dict[str, Any]) -> list[dict[str, Any]]:
    """Split an order's list in two. One entry alone that fills a packet is a broken invariant."""
    key = next((key for key in ("entries", "addresses") if key in order), None)
    if key is None or len(order[key]) < 2:
        raise ValueError(f"an order of more than {MAX_MESSAGE_BYTES} bytes: {order['op']}")
    middle = len(order[key]) // 2
    return [order | {key: order[key][:middle]}, order | {key: order[key][middle:]}]
