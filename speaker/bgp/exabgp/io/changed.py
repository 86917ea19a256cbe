"""ExaBGP's process, as the driver starts it: dies with the agent, connects at a set pace, and tells what TCP holds.

Runs in processes of their own, one for each peer and one that forks them, and imports nothing of Berth but
speaker.bgp.exabgp.answers (speaker.bgp.exabgp.io.main starts it). It changes ExaBGP in these places, each held by a
test against real routers:

- a connection is tried anew each so many seconds as the last command `pace SECONDS KEEPALIVE` says, and one attempt
  lasts no longer (ExaBGP tries as often as its loop turns, and an attempt lasts as long as the kernel repeats its SYN:
  two minutes); after one that came about and ended the first attempts come sooner, until a session has lasted;
- KEEPALIVE goes each KEEPALIVE seconds of that command, where it is not 0 and less than a third of the hold time; and
  the timers of a session go by a clock that nobody sets (one put back by an hour would have it silent for so long);
- a session whose own address was taken off the node is ended with the next query (2 s);
- a router that says nothing of families gets IPv4 routes, and one that wants no hold time (0) is refused where ours is
  one;
- TCP_NODELAY: without it an UPDATE right after another one waits for the router's delayed acknowledgement;
- a session comes up (our KEEPALIVE answers the router's OPEN) after a command `accept NUMBER HOLD-TIME`: how
  often OPEN was exchanged, and the hold time that was agreed on; without that the connection is ended;
- a command `unacknowledged [UNTIL]`: how many bytes the router's TCP has not acknowledged yet, and why there is no
  connection. On the way it says until when this process may live: a timer of the kernel's kills it then, also when it
  hangs or is stopped. So its routes go when nobody is in control any more;
- "next-hop self" is the session's own address when an UPDATE is sent, and not when the command came; routes of one
  command share their attributes (ExaBGP copies them for each route, which is 1 KB and half of its time);
- over IPv6, an IPv4 route names that address, too, where the router agreed to it (RFC 8950), and is not sent where it
  did not and no other next hop was given; ExaBGP would send it all the same, and wants IPv6 routes exchanged as well;
- to another member AS of a confederation LOCAL_PREF is sent as within an AS (RFC 5065 §5); ExaBGP sends it to no other
  AS, whatever it is told. That a route is for such a router its AS_PATH says, which comes as an attribute in octets,
  with one AS_CONFED_SEQUENCE: ExaBGP has words for that, and does not understand them;
- a process that has no memory left for a command ends: ExaBGP answers "error" as for a route that can't be, and goes on
  without it;
- a command `refresh FAMILY` sends a ROUTE-REFRESH (RFC 2918) when all that was told before has been sent, and a
  KEEPALIVE behind it, and `nudge` another one; what the router answers is told (`refreshing`, `refreshed`,
  `end-of-rib`, each with the family), or that it answers with too many routes (`costly FAMILY`). What begins and ends
  its answer (RFC 7313) is kept from ExaBGP, which would send all of its own routes again;
- the router is told that End-of-RIB is understood (RFC 4724 §3: the capability without a family), since without that
  some routers send none, and do not answer a ROUTE-REFRESH;
- a command is worked off without an event loop of its own, and the next one after it: ExaBGP waits up to 0.1 s in
  between, unless something comes;
- ExaBGP holds the two pipes of its API itself, where it would run a program between them and us.
"""

from __future__ import annotations

import contextlib
import copy
import ctypes
import errno
import fcntl
import gc
import os
import signal
import socket
import struct
import sys
import termios
import time
import traceback
from collections.abc import Iterator
from functools import partial
from math import inf
from typing import Any

from exabgp.application import server
from exabgp.bgp import timer
from exabgp.bgp.fsm import FSM
from exabgp.bgp.message import _NOP, Action, KeepAlive, Notify, Update
from exabgp.bgp.message.open.asn import ASN
from exabgp.bgp.message.open.capability import Capability
from exabgp.bgp.message.open.capability.capabilities import Capabilities
from exabgp.bgp.message.open.capability.graceful import Graceful
from exabgp.bgp.message.open.capability.negotiated import Negotiated
from exabgp.bgp.message.refresh import RouteRefresh
from exabgp.bgp.message.update.attribute import CONFED_SEQUENCE, ASPath, Attribute, Attributes, NextHop
from exabgp.bgp.neighbor import Neighbor
from exabgp.configuration.neighbor import ParseNeighbor
from exabgp.environment import getenv
from exabgp.logger import log
from exabgp.protocol.family import AFI, SAFI
from exabgp.reactor import keepalive, peer, protocol
from exabgp.reactor.api.command.command import Command
from exabgp.reactor.api.processes import Processes
from exabgp.reactor.api.response import Response
from exabgp.reactor.asynchronous import ASYNC
from exabgp.reactor.loop import Reactor
from exabgp.reactor.network import outgoing
from exabgp.reactor.network.connection import Connection
from exabgp.reactor.peer import ACTION
from exabgp.version import json as json_version

from speaker.bgp.exabgp.answers import Answers

PARENT = "BERTH_BGP_PARENT"
FIRST_RETRY_SECONDS = 1.0
ACCEPT_SECONDS = 20.0
"""How long a connection waits to be accepted; the router's own patience is a hold time."""

CONFIGURATION_CHANGE = 6  # RFC 4486 §3
SERVICE = "berth"
MAX_PATH_BYTES = 4096  # PATH_MAX, linux/limits.h
TAKE_UP_SECONDS = 10.0
"""So long may it take until a forked process is the agent's."""
TURNS_AFTER_WORK = 100
"""Of ExaBGP's loop, that follow at once: routes that can't be sent must not keep it busy for ever."""
_TRANSPARENT = {
    socket.AF_INET: (socket.IPPROTO_IP, 19),
    socket.AF_INET6: (socket.IPPROTO_IPV6, 75),
}  # linux/in.h, in6.h
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_SIGEV_SIGNAL = 0  # asm-generic/siginfo.h
_TIMER_ABSTIME = 1  # linux/time.h


class _Pace:
    """Read anew each time, since it may change while an attempt is under way."""

    retry_seconds = 10.0
    keepalive_seconds = 0
    trouble = ""


class _Turn:
    """Of ExaBGP's loop. `spare`: how many more may follow at once for routes that are to be sent."""

    has_worked = False
    spare = 0


class _Acceptance:
    opens = 0
    words = ""


class _Sigevent(ctypes.Structure):
    _fields_ = (
        ("value", ctypes.c_void_p),
        ("signo", ctypes.c_int),
        ("notify", ctypes.c_int),
        ("rest", ctypes.c_char * 48),  # 64 octets in all
    )


class _Itimerspec(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_long) for name in ("every_s", "every_ns", "at_s", "at_ns"))


class _Permit:
    """How long this process may live, by CLOCK_BOOTTIME: it goes on while the machine is suspended."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._timer = ctypes.c_void_p()
        event = _Sigevent(signo=signal.SIGKILL, notify=_SIGEV_SIGNAL)
        if self._libc.timer_create(time.CLOCK_BOOTTIME, ctypes.byref(event), ctypes.byref(self._timer)):
            raise OSError(ctypes.get_errno(), "no timer can be had")

    def set(self, words: str) -> None:
        """Seconds, "unlimited", or "": leave it as it is. Does not return when they have passed, or are no number."""
        if not words:
            return
        until = 0.0
        with contextlib.suppress(ValueError):
            until = inf if words == "unlimited" else float(words)
        if not until > time.clock_gettime(time.CLOCK_BOOTTIME):
            os.kill(os.getpid(), signal.SIGKILL)
        at = _Itimerspec() if until == inf else _Itimerspec(at_s=int(until), at_ns=int(until % 1 * 1e9))
        if self._libc.timer_settime(self._timer, _TIMER_ABSTIME, ctypes.byref(at), None):
            os.kill(os.getpid(), signal.SIGKILL)


def serve() -> None:
    """Forks a process for each message on standard input: the path of a configuration, and a descriptor for what the
    process says. Answers with its id. Ends with the agent, which is in the environment by its process id."""
    agent = int(os.environ[PARENT])
    _die_with(agent)
    _name("berth-bgp-load")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # from a terminal: it is the agent that stops us
    change()
    connection = socket.socket(fileno=os.dup(0))
    gc.collect()
    gc.freeze()  # what the collector does not look at stays in pages that are shared
    while True:
        path, words, _, _ = socket.recv_fds(connection, MAX_PATH_BYTES, 1)
        if not path:
            return
        pid = _fork(path.decode(), words[0], agent, connection)
        os.close(words[0])
        connection.send(str(pid).encode())


def _fork(path: str, words: int, agent: int, connection: socket.socket) -> int:
    """Its id. It is the agent's child: the process between it and us ends at once."""
    ours, its = os.pipe()
    between = os.fork()
    if not between:
        try:
            if pid := os.fork():
                os.write(its, str(pid).encode())
            else:
                connection.close()
                os.close(ours)
                os.close(its)
                _run(path, words, agent)
        except SystemExit as end:
            print("" if end.code is None else end.code, file=sys.stderr)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(1)
    os.close(its)
    os.waitpid(between, 0)
    pid = int(os.read(ours, 64))
    os.close(ours)
    return pid


def _run(path: str, words: int, agent: int) -> None:
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for number, at in ((null, 0), (null, 1), (words, 2)):
        os.dup2(number, at)
    for number in {null, words} - {0, 1, 2}:
        os.close(number)
    until = time.monotonic() + TAKE_UP_SECONDS
    while os.getppid() != agent and time.monotonic() < until:
        time.sleep(0.0005)
    _die_with(agent)
    _name("berth-bgp")
    _serve_session(path)


def _die_with(agent: int) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != agent:
        sys.exit("the agent is gone")


def _name(name: str) -> None:
    with contextlib.suppress(OSError), open("/proc/self/comm", "w") as comm:
        comm.write(name)


def change() -> None:
    """ExaBGP, in all places."""
    for owner, name, replacement in patches():
        setattr(owner, name, replacement)


def patches() -> list[tuple[Any, str, Any]]:
    """All that is replaced in ExaBGP: where, by what name, and with what."""
    return [
        (protocol, "Outgoing", _Outgoing),
        (peer, "Delay", _Delay),
        (keepalive, "SendTimer", _SendTimer),
        (peer, "ReceiveTimer", _ReceiveTimer),
        (peer.Peer, "_send_ka", _send_keepalive_when_accepted),
        (Negotiated, "_negotiate", _negotiate_with_ipv4),
        (Negotiated, "validate", _validate_with_hold_time),
        (Neighbor, "remove_self", _as_it_came),
        (ParseNeighbor, "_post_capa_nexthop", _offer_next_hops),
        (Update, "messages", _messages_with_next_hop),
        (Attributes, "pack", _pack_for_confederation),
        (Capabilities, "_graceful", _graceful_or_end_of_rib),
        (protocol.Protocol, "new_eors", _new_eors_or_other),
        (Connection, "reader", _reader_that_tells),
        (Processes, "_start", _start_with_pipes),
        (ASYNC, "_notify_error", _tell_error_or_end),
        (ASYNC, "run", _work_off),
        (Reactor, "_wait_for_io", _wait_when_all_is_done),
    ]


def _serve_session(path: str) -> None:
    permit = _Permit()

    def accept(_: Any, reactor: Any, service: str, line: str, _json: bool) -> bool:
        _Acceptance.words = line.partition(" ")[2]
        reactor.processes.answer_done(service)
        return True

    Command.register("accept", False)(accept)

    def pace(_: Any, reactor: Any, service: str, line: str, _json: bool) -> bool:
        retry, seconds = line.split()[1:]
        _Pace.retry_seconds, _Pace.keepalive_seconds = float(retry), int(seconds)
        reactor.processes.answer_done(service)
        return True

    Command.register("pace", False)(pace)

    def answer(_: Any, reactor: Any, service: str, line: str, _json: bool) -> bool:
        permit.set(line.partition(" ")[2])
        for one in reactor._peers.values():
            _end_if_address_is_gone(one)
        return _tell_unacknowledged(reactor, service)

    Command.register("unacknowledged", False)(answer)
    Command.register("refresh", False)(_refresh)
    Command.register("nudge", False)(_nudge)
    log.init(getenv())
    server.run("", [path])


_send_keepalive = peer.Peer._send_ka


def _send_keepalive_when_accepted(one: Any) -> Iterator[Any]:
    """In the place of the KEEPALIVE that answers OPEN."""
    _Acceptance.opens += 1
    awaited = f"{_Acceptance.opens} {int(one.proto.negotiated.holdtime)}"
    one.proto.connection.answers = Answers(partial(one.reactor.processes.write, SERVICE))
    until = time.monotonic() + ACCEPT_SECONDS
    while _Acceptance.words != awaited:
        if time.monotonic() >= until:
            raise Notify(2, 6, "the hold time was not accepted in time")  # RFC 4271 §6.2
        yield ACTION.LATER
    yield from _send_keepalive(one)


_negotiate, _validate = Negotiated._negotiate, Negotiated.validate


def _negotiate_with_ipv4(agreed: Any) -> None:
    """What both sides say, and IPv4 unicast with a router that says nothing of families: it is meant then (RFC 4271;
    RFC 4760 only adds to it)."""
    _negotiate(agreed)
    code = Capability.CODE.MULTIPROTOCOL
    ipv4 = (AFI.ipv4, SAFI.unicast)
    if not agreed.received_open.capabilities.announced(code) and ipv4 in agreed.sent_open.capabilities.get(code, []):
        agreed.families = [ipv4]


def _validate_with_hold_time(agreed: Any, neighbor: Any) -> Any:
    """Refuses a router that wants no hold time where ours is one: it would keep routes for ever (RFC 4271 §4.2 lets
    us). None = all is well; else code, subcode and words of a NOTIFICATION."""
    if neighbor["hold-time"] and not agreed.received_open.hold_time:
        return 2, 6, "hold time 0 is not accepted"
    return _validate(agreed, neighbor)


class _Outgoing(outgoing.Outgoing):  # type: ignore[misc]
    """A connection that we open."""

    def establish(self) -> Iterator[bool]:
        """Yields False until it is connected, then True."""
        while True:
            began = time.monotonic()
            for is_connected in self._attempt(began):
                yield is_connected
                if is_connected:
                    return
            self.close()
            while time.monotonic() < began + _Pace.retry_seconds:
                yield False

    def _setup(self) -> Exception | None:
        """Why there is no socket, if so. Where the interface is not there ExaBGP closes one that it never had."""
        try:
            return super()._setup()  # type: ignore[no-any-return]
        except AttributeError as error:
            return error.__context__ if isinstance(error.__context__, Exception) else error

    def _attempt(self, began: float) -> Iterator[bool]:
        if (issue := self._connect()) is not None:
            _Pace.trouble = str(issue)
            return
        self.io.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while not self.writing():
            if time.monotonic() >= began + _Pace.retry_seconds:
                _Pace.trouble = "timed out"
                return
            yield False
        if error := self.io.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            _Pace.trouble = os.strerror(error)
            return
        _Pace.trouble = ""
        self.success()
        self.local: str = self.local or self.io.getsockname()[0]
        yield True


class _SendTimer:
    """When a KEEPALIVE is due. The interval may change while the session lasts."""

    def __init__(self, _session: Any, hold_time: Any) -> None:
        self._third: int = hold_time.keepalive()
        self._sent_at = time.monotonic()

    def need_ka(self) -> bool:
        now, every = time.monotonic(), min(self._third, _Pace.keepalive_seconds or self._third)
        is_due = every > 0 and now >= self._sent_at + every
        if is_due:
            self._sent_at = now
        return is_due


class _ReceiveTimer(timer.ReceiveTimer):  # type: ignore[misc]
    """Whether the router has been silent for too long."""

    def __init__(self, *words: Any) -> None:
        super().__init__(*words)
        self._read_at = time.monotonic()

    def check_ka_timer(self, message: Any = _NOP, ignore: Any = _NOP.TYPE) -> bool:
        if self.holdtime == 0:
            return bool(message.TYPE != KeepAlive.TYPE)
        now = time.monotonic()
        if ignore != message.TYPE:
            self._read_at = now
        if now - self._read_at > self.holdtime:
            raise Notify(self.code, self.subcode, self.message)
        return True


class _Delay:
    """The time between the end of a connection and the next attempt: a second, and twice as much after each that
    brought no session, or one that did not last, as far as the peer's interval (RFC 4271 §8.1.1, DampPeerOscillations).
    A session has lasted when it was up as long as the longest pause."""

    def __init__(self) -> None:
        self._since = self._wait_seconds = 0.0
        self._next_seconds = FIRST_RETRY_SECONDS
        self._up_since = inf

    def reset(self) -> None:
        """There is a session; also when the router asks for its routes again, and when one is ended on purpose."""
        self._up_since = min(self._up_since, time.monotonic())

    def increase(self) -> None:
        """A connection has ended."""
        self._since = time.monotonic()
        if self._since - self._up_since >= _Pace.retry_seconds:
            self._next_seconds = FIRST_RETRY_SECONDS
        self._up_since = inf
        self._wait_seconds = self._next_seconds
        self._next_seconds = min(2 * self._next_seconds, _Pace.retry_seconds)

    def backoff(self) -> bool:
        return time.monotonic() < self._since + min(self._wait_seconds, _Pace.retry_seconds)


def _end_if_address_is_gone(one: Any) -> None:
    """A session whose own address was taken off the node is ended, and the router told so: it would name a dead next
    hop until the hold time ends. With the address gone the kernel sends nothing more for it, but for a transparent
    socket (CAP_NET_RAW); without that right the router has its hold time to go by. Nor does the router's
    acknowledgement arrive: where one is awaited already, the kernel repeats that data (RFC 6298) and holds the
    NOTIFICATION back, so the connection is closed with a reset, which waits for nothing."""
    connection = one.proto.connection if one.proto else None
    if one._teardown or connection is None or not connection.io or one.fsm != FSM.ESTABLISHED or _is_own(connection.io):
        return
    level, option = _TRANSPARENT[connection.io.family]
    with contextlib.suppress(OSError):
        connection.io.setsockopt(level, option, 1)
    if _unacknowledged(one):
        connection.io.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", True, 0))
    one.teardown(CONFIGURATION_CHANGE)


def _is_own(connection: socket.socket) -> bool:
    """Whether this node has the connection's own address; True when that can't be said."""
    try:
        place = connection.getsockname()
        with socket.socket(connection.family, socket.SOCK_DGRAM) as probe:
            probe.bind((place[0], 0, *place[2:]))
    except OSError as error:
        return error.errno != errno.EADDRNOTAVAIL
    return True


def _tell_unacknowledged(reactor: Any, service: str) -> bool:
    count = sum(_unacknowledged(one) for one in reactor._peers.values())
    reactor.processes.write(service, f"unacknowledged {count} {_Pace.trouble}".encode("ascii", "replace").decode())
    reactor.processes.answer_done(service)
    return True


def _unacknowledged(one: Any) -> int:
    connection = one.proto.connection if one.proto else None
    if connection is None or not connection.io:
        return 0
    return int(struct.unpack("i", fcntl.ioctl(connection.io, termios.TIOCOUTQ, bytes(4)))[0])


_FAMILIES = {"ipv4": (AFI.ipv4, SAFI.unicast), "ipv6": (AFI.ipv6, SAFI.unicast)}
_NOTHING = (0, 0, b"", b"", None)


_reader = Connection.reader


def _reader_that_tells(connection: Any) -> Iterator[Any]:
    """Tuples of length, kind, header, body and fault; all zero while there is no whole message."""
    for found in _reader(connection):
        answers = getattr(connection, "answers", None)
        is_taken = (
            answers is not None and found[4] is None and found[0] and answers.take(found[1], found[3], time.monotonic())
        )
        yield _NOTHING if is_taken else found


class _Sending:
    """In the queue of the End-of-RIBs that are to be sent, each of which waits until all routes before it are."""

    safi = None

    def __init__(self, connection: Any, family: str | None) -> None:
        """`family`: of a ROUTE-REFRESH; None: a KEEPALIVE."""
        self.afi = self
        self._connection, self._family = connection, family

    def messages(self, one: Any) -> Iterator[Any]:
        """Sent in the session that it was asked for in, and in no other."""
        if one.connection is not self._connection:
            return
        if self._family is None:
            yield from one.new_keepalive()
            return
        self._connection.answers.begin(self._family, time.monotonic())
        yield from one.new_refresh(RouteRefresh(*_FAMILIES[self._family]))


_new_eors = protocol.Protocol.new_eors


def _new_eors_or_other(one: Any, afi: Any = AFI.undefined, safi: Any = SAFI.undefined) -> Iterator[Any]:
    yield from afi.messages(one) if isinstance(afi, _Sending) else _new_eors(one, afi, safi)


def _refresh(_: Any, reactor: Any, service: str, line: str, _json: bool) -> bool:
    """After the commands before it, which ExaBGP works off later than it reads them."""
    reactor.asynchronous.schedule(service, line, _send_later(reactor, service, line.partition(" ")[2]))
    return True


def _nudge(_: Any, reactor: Any, service: str, line: str, _json: bool) -> bool:
    reactor.asynchronous.schedule(service, line, _send_later(reactor, service, None))
    return True


def _send_later(reactor: Any, service: str, family: str | None) -> Iterator[bool]:
    for one in reactor._peers.values():
        if one.fsm == FSM.ESTABLISHED and one.proto and one.proto.connection:
            one.neighbor.eor.append(_Sending(one.proto.connection, family))
            if family is not None:  # BIRD 2.0 begins to answer when the next thing happens to it
                one.neighbor.eor.append(_Sending(one.proto.connection, None))
    reactor.processes.answer_done(service)
    yield True


_graceful = Capabilities._graceful


def _graceful_or_end_of_rib(capabilities: Any, neighbor: Any, restarted: bool) -> None:
    """Without graceful restart: that End-of-RIB is understood, and nothing is to be kept."""
    _graceful(capabilities, neighbor, restarted)
    if Capability.CODE.GRACEFUL_RESTART not in capabilities:
        capabilities[Capability.CODE.GRACEFUL_RESTART] = Graceful().set(0, 0, [])


def _work_off(queue: Any) -> bool:
    """In the place of ASYNC.run, which makes an event loop for each command. Nothing in there waits for anything."""
    if not queue._async:
        return False
    _Turn.has_worked = True
    try:
        queue._run_async().send(None)
    except StopIteration as end:
        return bool(end.value)
    raise RuntimeError("a command waits for something")


_wait_for_io = Reactor._wait_for_io


def _wait_when_all_is_done(reactor: Any, milliseconds: int) -> Any:
    """Not while commands are left to work off, or routes to send: ExaBGP waits then, too, for its loop's longest."""
    has_worked, _Turn.has_worked = _Turn.has_worked, False
    _Turn.spare = TURNS_AFTER_WORK if has_worked else max(0, _Turn.spare - 1)
    return _wait_for_io(reactor, 0 if has_worked or (_Turn.spare and _has_to_send(reactor)) else milliseconds)


def _has_to_send(reactor: Any) -> bool:
    return any(one.fsm == FSM.ESTABLISHED and one.neighbor.rib.outgoing.pending() for one in reactor._peers.values())


class _Pipes:
    """In the place of a program that ExaBGP would run (subprocess.Popen). Who has lost a pipe is under nobody's
    control, and ends."""

    def __init__(self, commands_path: str, events_path: str) -> None:
        self.stdin = open(events_path, "wb")  # noqa: SIM115 - as long as this process
        self.stdout = os.fdopen(os.open(commands_path, os.O_RDONLY | os.O_NONBLOCK), "rb", buffering=0)

    def poll(self) -> None:
        """It runs."""

    def terminate(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


def _start_with_pipes(processes: Any, name: str) -> None:
    """In the place of Processes._start."""
    if name in processes._process:
        return
    *_, commands_path, events_path = processes._configuration[name]["run"]
    processes._encoder[name] = Response.JSON(json_version)
    processes._ackjson[name], processes._ack[name], processes._restart[name] = False, True, False
    processes._process[name] = _Pipes(commands_path, events_path)
    processes._update_fds()


_tell_error = ASYNC._notify_error


def _tell_error_or_end(queue: Any, service: str) -> None:
    """Called while the exception of a command is handled. Without memory nothing is as it should be, so a new process
    is what helps."""
    if isinstance(sys.exc_info()[1], MemoryError):
        os.kill(os.getpid(), signal.SIGKILL)
    _tell_error(queue, service)


def _as_it_came(_neighbor: Any, change: Any) -> Any:
    """In the place of Neighbor.remove_self, which writes the session's own address of now for "next-hop self" and keeps
    it: a session that comes back from another address would send the old one. "self" is packed when it is sent."""
    return change


_IPV4 = (AFI.ipv4, SAFI.unicast)


def _offer_next_hops(_: Any, neighbor: Any, local: Any) -> None:
    """In the place of ParseNeighbor's: what the configuration says, also where no IPv6 routes are exchanged."""
    for offered in local.get("nexthop", {}).get("ipv4", []):
        neighbor.add_nexthop(*offered)


_messages = Update.messages


def _messages_with_next_hop(update: Any, negotiated: Any, include_withdraw: bool = True) -> Iterator[bytes]:
    """ExaBGP's own, of what may be sent in this session."""
    own = negotiated.neighbor["local-address"]
    if own.afi == AFI.ipv6 and any(nlri.family().afi_safi() == _IPV4 for nlri in update.nlris):
        is_agreed = (*_IPV4, AFI.ipv6) in negotiated.nexthop
        update = _with_own(update, own) if is_agreed else _without_own(update)
    return _messages(update, negotiated, include_withdraw)  # type: ignore[no-any-return]


def _with_own(update: Any, own: Any) -> Any:
    """The routes name our own address, and no IPv4 address beside it (RFC 4760 §3)."""
    nlris = [copy.copy(nlri) for nlri in update.nlris]
    for nlri in nlris:
        nlri.nexthop = NextHop(own.top(), own.pack())
    attributes = copy.copy(update.attributes)
    attributes.pop(Attribute.CODE.NEXT_HOP, None)
    return Update(nlris, attributes)


def _without_own(update: Any) -> Any:
    """Those routes are left out that only our own address could be named for."""
    nlris = [nlri for nlri in update.nlris if nlri.action == Action.WITHDRAW or not nlri.nexthop.SELF]
    return Update(nlris, update.attributes)


_pack = Attributes.pack
_SEGMENT = struct.Struct("!BBL")
"""An AS_PATH of one segment with one AS number: type, length, number (RFC 4271 §4.3, RFC 6793)."""


def _pack_for_confederation(attributes: Any, agreed: Any, with_default: bool = True) -> Any:
    """ExaBGP's own. What has its AS_PATH in octets goes to another member AS: with LOCAL_PREF, and with as many octets
    for the AS number as this session has."""
    path = attributes.get(Attribute.CODE.AS_PATH)
    if path is not None and path.GENERIC:
        _, _, asn = _SEGMENT.unpack(path.data)
        attributes, agreed = copy.copy(attributes), copy.copy(agreed)
        attributes[Attribute.CODE.AS_PATH] = ASPath([CONFED_SEQUENCE([ASN(asn)])])
        agreed.peer_as = agreed.local_as  # what ExaBGP asks, to know whether LOCAL_PREF goes along
    return _pack(attributes, agreed, with_default)
