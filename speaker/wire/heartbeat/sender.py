"""When this speaker sends a heartbeat, and what it says. Packets that come go on to the receiver.

No I/O and no clock: the shell passes `now` (CLOCK_BOOTTIME, seconds), gives it each packet, wakes it at `deadline()`
and sends what `due` returns: by multicast on every interface, and by unicast to those whom `unicast` names.

When it speaks: nothing is sent before the agent has set our state, and a state holds for three seconds, as long as a
permit. When it runs out, the agent is gone or frozen and this node's frames have stopped. So the last packet is a
goodbye, and the other members take over at once. "Serving" is never said without a valid permit.

How often: once every interval, and slower as the cluster grows, so that nobody gets more than 500 packets a second.
While somebody is missing it sends faster, within that same bound, so a healed partition is noticed soon. A change of
our state is sent at once. A member that is newly heard, or cannot prove itself for want of an echo, is answered at
once, a few times in a row and then at the faster pace.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from speaker.wire.deadlines import earliest
from speaker.wire.heartbeat.packets import (
    BEHIND,
    GOODBYE,
    LEAVING,
    MAX_INTERFACES,
    MAX_INTERVAL_MILLISECONDS,
    MEMBER,
    SERVING,
    Dropped,
    Packet,
    decode,
    echoed,
    echoes_of,
    encode,
    room_for_echoes,
    tag_of,
)
from speaker.wire.heartbeat.receiver import GRACE_INTERVALS, MISSED_INTERVALS, KnownMember, Receiver
from speaker.wire.messages import MOST_PACKETS_PER_SECOND, NEVER, OwnState

SEARCH_INTERVAL_SECONDS = 0.04
# As long as a permit (crds.fencing.WIRE_PERMIT_SECONDS): a state is not true for longer.
STATE_SECONDS = 3.0
# An echo of something we sent earlier than this proves nothing: a recording could have been made since. Long enough
# for 500 members to have their turn in each other's packets.
FRESH_SECONDS = 5.0
ANSWERS_AT_ONCE = 4
# Senders that started together drift apart: each interval is shortened by up to a tenth.
JITTER = 0.1
# Members that have been gone for long still get one in so many packets.
LONG_LOST_EVERY = 5

_SEQUENCE_MASK = 0xFFFFFFFF


class Settings(NamedTuple):
    """`keys`: the first signs, all verify; none = heartbeats are off."""

    node: str
    incarnation: str
    keys: tuple[bytes, ...]
    interval_seconds: float


class Sender:
    """This speaker's half of the protocol; `receiver` is the other one."""

    def __init__(self) -> None:
        self.receiver = Receiver()
        self.interfaces: tuple[str, ...] = ()
        """On which we can announce; change it with `use`."""
        self._settings: Settings | None = None
        self._tag = b""
        self._state: OwnState | None = None
        self._state_until = float("-inf")
        self._permit_until = float("-inf")
        self._sequence = 0
        self._sent: deque[tuple[int, float]] = deque()  # numbers that prove something, and when they were sent
        self._sent_flags = 0
        self._next = float("inf")
        self._last_sent = float("-inf")
        self._answers = float(ANSWERS_AT_ONCE)
        self._answers_at = float("-inf")

    # --- orders

    def configure(self, settings: Settings, members: Mapping[str, Sequence[str]], now: float) -> None:
        """Idempotent. `members`: unicast addresses by node. Raises ValueError for names that no packet can carry."""
        if settings.keys:
            room_for_echoes(settings.node, settings.incarnation, ())
            encode(Packet(settings.node, settings.incarnation, 0, 0, None, 0, (), b""), settings.keys[0])
        is_new = settings != self._settings
        self._settings = settings
        self._tag = tag_of(settings.node, settings.incarnation)
        self.receiver.know(
            {node: members[node] for node in members if node != settings.node} if settings.keys else {}, now
        )
        if is_new:
            self._next = now

    def set_state(self, state: OwnState, now: float) -> None:
        """What to say from now on, until the next state or for STATE_SECONDS. A change is due at once."""
        self._state, self._state_until = state, now + STATE_SECONDS
        self._check_flags(now)

    def permit(self, until: float, now: float) -> None:
        """Until when this node may serve. A change of what we say by that is due at once."""
        self._permit_until = until
        self._check_flags(now)

    def use(self, interfaces: Sequence[str], now: float) -> None:
        """The interfaces on which we can announce and are heard. A change is due at once."""
        names = tuple(sorted(interfaces))[:MAX_INTERFACES]
        if names != self.interfaces:
            self.interfaces = names
            self._next = now

    # --- packets

    def receive(self, packet: bytes, via: str, now: float) -> Dropped | None:
        """One packet from the segment behind the interface `via`, or sent to our address ("")."""
        settings = self._settings
        if settings is None or not settings.keys:
            return Dropped.UNSIGNED
        beat = decode(packet, settings.keys)
        if isinstance(beat, Dropped):
            return beat
        if beat.node == settings.node:
            return Dropped.OWN
        outcome = self.receiver.hear(beat, via, now, proof=self._proof(beat, now))
        if outcome is True or outcome is Dropped.UNPROVEN:
            self._answer(now)
        return outcome if isinstance(outcome, Dropped) else None

    def due(self, now: float, *, is_caught_up: bool = True) -> bytes | None:
        """The packet to send now, if any. Also notices who has been silent for too long.

        `is_caught_up`: all packets that came have been taken in; else nobody is taken for lost yet.
        """
        if is_caught_up:
            self.receiver.expire(now)
        if self._settings is None or not self._settings.keys or self._state is None:
            return None
        if now >= self._state_until:
            packet = self.goodbye(now)
            self.stop()
            return packet
        flags = self._flags(self._state, now)
        if now >= self._next or flags != self._sent_flags:
            return self._packet(self._state, flags, now)
        return None

    def goodbye(self, now: float) -> bytes | None:
        """A packet that says: we do not announce any more. None = nobody has heard of us."""
        if self._settings is None or not self._settings.keys or self._state is None:
            return None
        return self._packet(self._state, GOODBYE, now)

    def stop(self) -> None:
        """Say nothing more, until the next state is set."""
        self._state = None

    def unicast(self, now: float) -> list[KnownMember]:
        """To whom the latest packet has to be sent by itself."""
        return self.receiver.unicast(now, long_lost=self._sequence % LONG_LOST_EVERY == 0)

    def deadline(self, *, is_caught_up: bool = True) -> float | None:
        """When to call `due` next; None = when something was heard or ordered. May be early, never late."""
        deadline = self.receiver.deadline() if is_caught_up else None
        if self._state is None or self._settings is None or not self._settings.keys:
            return deadline
        deadline = earliest(self._next, self._state_until, deadline)
        return earliest(deadline, self._permit_until) if self._sent_flags & SERVING else deadline

    @property
    def lasting_seconds(self) -> float:
        """How long after a packet of ours members take us for alive: not at all while we say nothing, or said goodbye;
        for ever where there are none who could take over."""
        if self._settings is None or not self._settings.keys or not self.receiver.members:
            return float("inf")
        if self._state is None:
            return 0.0
        return (MISSED_INTERVALS + GRACE_INTERVALS) * self.interval_seconds

    def resume(self, now: float) -> None:
        """This process did not run for a while."""
        self.receiver.resume(now)

    # --- how often

    @property
    def interval_seconds(self) -> float:
        """The interval that our packets promise."""
        base = self._settings.interval_seconds if self._settings else 0.0
        return min(max(base, self._fair_seconds), MAX_INTERVAL_MILLISECONDS / 1000)

    @property
    def _fair_seconds(self) -> float:
        return len(self.receiver.members) / MOST_PACKETS_PER_SECOND

    @property
    def _search_seconds(self) -> float:
        return min(max(SEARCH_INTERVAL_SECONDS, self._fair_seconds), self.interval_seconds)

    def _answer(self, now: float) -> None:
        """Send soon: at once while answers are left; they come back with time, at the pace of a search."""
        pace = self._search_seconds
        self._answers = min(ANSWERS_AT_ONCE, self._answers + (now - self._answers_at) / pace)
        self._answers_at = now
        if self._answers >= 1 and self._next > now:
            self._answers -= 1
            self._next = now
        else:
            self._next = min(self._next, self._last_sent + pace)

    # --- what

    def _packet(self, state: OwnState, flags: int, now: float) -> bytes:
        settings = self._settings
        assert settings is not None
        self._sequence += 1
        self._sent.append((self._sequence, now))
        self._forget_old(now)
        self._sent_flags, self._last_sent = flags, now
        pace = self._search_seconds if self.receiver.is_searching(now) else self.interval_seconds
        # Not random, but no two senders do the same.
        jitter = (self._tag[0] * 31 + self._sequence * 97) % 256 / 256
        self._next = now + pace * (1 - JITTER * jitter)
        room = room_for_echoes(settings.node, settings.incarnation, self.interfaces)
        beat = Packet(
            settings.node,
            settings.incarnation,
            self._sequence,
            round(self.interval_seconds * 1000),
            None if state.contact == NEVER else max(0, int((now - state.contact) * 1000)),
            flags,
            self.interfaces,
            echoes_of(self.receiver.echoes(room, now)),
        )
        return encode(beat, settings.keys[0])

    def _flags(self, state: OwnState, now: float) -> int:
        flags = SERVING if state.is_serving and now < self._permit_until else 0
        flags |= MEMBER if state.is_member else 0
        flags |= BEHIND if state.is_behind else 0
        return flags | (LEAVING if state.is_leaving else 0)

    def _check_flags(self, now: float) -> None:
        if self._state is not None and self._flags(self._state, now) != self._sent_flags:
            self._next = now

    def _proof(self, beat: Packet, now: float) -> int | None:
        """The recent number of ours that it echoes."""
        lower = echoed(beat.echoes, self._tag)
        self._forget_old(now)
        if lower is None or not self._sent:
            return None
        oldest, latest = self._sent[0][0], self._sent[-1][0]
        number = oldest + ((lower - oldest) & _SEQUENCE_MASK)
        return number if number <= latest else None

    def _forget_old(self, now: float) -> None:
        while self._sent and now - self._sent[0][1] > FRESH_SECONDS:
            self._sent.popleft()
