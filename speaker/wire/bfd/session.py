"""One BFD session in asynchronous mode (RFC 5880 §6): its state, its timers, and when it sends what.

No I/O, no clock and no dice: the shell passes `now` (seconds) and chance (0 to 1), gives it each packet that is meant
for it, wakes it at `deadline()`, and sends what `due` returns until that is None.

The state machine (§6.2), without AdminDown, which we enter and leave at the operator's word:

                                 +--+
                                 |  | UP, ADMIN DOWN, TIMER
                                 |  V
                         DOWN  +------+  INIT
                  +------------|      |------------+
                  |            | DOWN |            |
                  |  +-------->|      |<--------+  |
                  |  |         +------+         |  |
                  |  |                          |  |
                  |  |               ADMIN DOWN,|  |
                  |  |ADMIN DOWN,          DOWN,|  |
                  |  |TIMER                TIMER|  |
                  V  |                          |  V
                +------+                      +------+
           +----|      |                      |      |----+
       DOWN|    | INIT |--------------------->|  UP  |    |INIT, UP
           +--->|      | INIT, UP             |      |<---+
                +------+                      +------+

Echo packets are neither sent nor offered (§6.4), and Demand mode is only obeyed, never asked for (§6.6).
"""

from __future__ import annotations

from typing import NamedTuple

from speaker.wire.bfd.packets import Diagnostic, Packet, State, build
from speaker.wire.deadlines import AT_ONCE, earliest, is_due

# §6.8.3: while a session is not up, packets are at least a second apart.
SLOW_MICROSECONDS = 1_000_000
# §6.8.7: each interval is shortened by 0 to 25%; with a multiplier of 1, by 10 to 25%.
SHORTEST, LONGEST, LONGEST_WITHOUT_SPARE = 0.75, 1.0, 0.9
_MICROSECOND = 1e-6
_LONG_AGO = float("-inf")

# §6.8.6: what a received state makes of ours. All else leaves it.
_NEXT = {
    (State.DOWN, State.DOWN): State.INIT,
    (State.DOWN, State.INIT): State.UP,
    (State.INIT, State.INIT): State.UP,
    (State.INIT, State.UP): State.UP,
    (State.INIT, State.ADMIN_DOWN): State.DOWN,
    (State.UP, State.DOWN): State.DOWN,
    (State.UP, State.ADMIN_DOWN): State.DOWN,
}


class Parameters(NamedTuple):
    """What we ask for (§6.8.1), intervals in microseconds. `is_passive`: the peer speaks first."""

    desired_min_tx: int
    required_min_rx: int
    detect_multiplier: int
    is_passive: bool = False


class Session:
    """`since`: when `state` changed last. `diagnostic`: why (§6.8.1), also in our packets.

    `has_failed`: the path was up and is lost, and neither end's administration did that.
    """

    def __init__(self, discriminator: int, parameters: Parameters, now: float) -> None:
        self.discriminator = discriminator
        self.state = State.DOWN
        self.since = now
        self.diagnostic = Diagnostic.NONE
        self.down_reason = Diagnostic.NONE
        self.has_failed = False
        self._wanted = parameters
        self._remote: Packet | None = None  # its latest, within a detection time
        self._heard_at = 0.0
        self._last_diagnostic = 0  # of the peer, when it signalled down
        self._is_held = False
        self._quiet_at: float | None = None  # when AdminDown has been said for long enough
        # What our packets say, and what is in force: the old values hold until the peer has confirmed (§6.8.3).
        self._said = (max(parameters.desired_min_tx, SLOW_MICROSECONDS), parameters.required_min_rx)
        self._tx, self._rx = self._said
        self._polled: tuple[int, int] | None = None  # what a Poll Sequence under way is about
        self._owes_final = False
        self._has_news = False
        self._sent_at = _LONG_AGO
        self._jitter = LONGEST

    # --- orders

    def configure(self, parameters: Parameters, now: float) -> None:
        """Change what we ask for, without disturbing the session. Idempotent."""
        if parameters != self._wanted:
            self._has_news |= parameters.detect_multiplier != self._wanted.detect_multiplier
            self._wanted = parameters
            self._negotiate()

    def hold_down(self, now: float) -> None:
        """Say Down, with "path down" as the reason (§6.8.17), and do not come up (§6.8.18) until `release`."""
        self._is_held = True
        if self.state in (State.INIT, State.UP):
            self._change(State.DOWN, Diagnostic.PATH_DOWN, now)
            self.has_failed = False

    def release(self) -> None:
        """The session may come up."""
        self._is_held = False

    def disable(self, now: float) -> None:
        """Say AdminDown (§6.8.16), for as long as the peer needs to hear it; then `is_over`."""
        if self.state is not State.ADMIN_DOWN:
            self._change(State.ADMIN_DOWN, Diagnostic.ADMINISTRATIVELY_DOWN, now)
            self.has_failed = False
            heard_for = self._wanted.detect_multiplier * self._interval_seconds if self._remote is not None else 0.0
            self._quiet_at = now + heard_for

    def enable(self, now: float) -> None:
        """Begin anew after `disable` (§6.8.16)."""
        if self.state is State.ADMIN_DOWN:
            self._quiet_at = None
            self._change(State.DOWN, Diagnostic.NONE, now)

    def is_over(self, now: float) -> bool:
        """Whether it was disabled, and has said so to the peer for long enough."""
        return is_due(self._quiet_at, now)

    # --- packets

    def receive(self, packet: Packet, now: float) -> None:
        """A valid packet for this session, in the order of §6.8.6."""
        self._remote, self._heard_at = packet, now
        if packet.is_final:
            self._end_poll()
        if packet.state is State.ADMIN_DOWN:
            self.has_failed = False
        if self.state is State.ADMIN_DOWN:
            return
        self._step(packet, now)
        self._owes_final |= packet.is_poll

    def due(self, now: float, chance: float) -> bytes | None:
        """The packet to send now, if any; to be called until there is none. Also notices the peer's silence."""
        self._expire(now)
        if self._owes_final:
            self._owes_final = self._has_news = False
            return self._packet(is_final=True)
        if self._is_periodic() and now >= self._next_at():
            self._sent(now, chance)
            return self._packet(is_poll=self._polled is not None)
        if self._has_news and self._may_send():
            self._sent(now, chance)
            return self._packet()
        return None

    def deadline(self) -> float | None:
        """When to call `due` next; None when nothing but a packet can change anything."""
        if self._owes_final or (self._has_news and self._may_send()):
            return AT_ONCE
        return earliest(self._quiet_at, self.detection_deadline(), self._next_at() if self._is_periodic() else None)

    def detection_deadline(self) -> float | None:
        """When the peer will have been silent for the detection time (§6.8.4); None when it is not heard."""
        return None if self._remote is None else self._heard_at + self._detection_seconds

    # --- what is known

    @property
    def remote_state(self) -> State:
        return State.DOWN if self._remote is None else self._remote.state

    @property
    def detect_milliseconds(self) -> int:
        return 0 if self._remote is None else round(self._detection_seconds * 1000)

    @property
    def transmit_milliseconds(self) -> int:
        return 0 if self._remote is None else round(self._interval_seconds * 1000)

    @property
    def reason(self) -> str:
        """Why it went down last, in words; "" when it never was up."""
        text = _text_of(self.down_reason)
        if self.down_reason is Diagnostic.NEIGHBOR_SIGNALED_DOWN and self._last_diagnostic:
            text += f" ({_text_of(self._last_diagnostic)})"
        return text

    @property
    def _detection_seconds(self) -> float:
        remote = self._remote
        assert remote is not None
        return remote.multiplier * max(self._rx, remote.desired_min_tx) * _MICROSECOND

    @property
    def _interval_seconds(self) -> float:
        """§6.8.2. A peer that is not heard counts as one that takes packets each microsecond (§6.8.1)."""
        return max(self._tx, self._remote.required_min_rx if self._remote else 1) * _MICROSECOND

    # --- state

    def _step(self, packet: Packet, now: float) -> None:
        state = _NEXT.get((self.state, packet.state))
        if state is State.DOWN:
            was_up = self.state is State.UP
            self._last_diagnostic = packet.diagnostic
            self._change(State.DOWN, Diagnostic.NEIGHBOR_SIGNALED_DOWN, now)
            self.has_failed = was_up and packet.state is not State.ADMIN_DOWN
        elif state is not None and not self._is_held:
            self._change(state, Diagnostic.NONE if state is State.UP else self.diagnostic, now)
            self.has_failed &= state is not State.UP

    def _expire(self, now: float) -> None:
        """§6.8.4; and with the detection time, all that was known of the peer is over (§6.8.1, §6.8.18)."""
        if not is_due(self.detection_deadline(), now):
            return
        self._remote = self._polled = None
        self._owes_final = False
        if self.state in (State.INIT, State.UP):
            was_up = self.state is State.UP
            self._change(State.DOWN, Diagnostic.DETECTION_TIME_EXPIRED, now)
            self.has_failed |= was_up

    def _change(self, state: State, diagnostic: Diagnostic, now: float) -> None:
        if self.state is State.UP:
            self.down_reason = diagnostic
        self.state, self.diagnostic, self.since = state, diagnostic, now
        self._has_news = True
        self._negotiate()

    # --- timers

    def _negotiate(self) -> None:
        """Say what we want in this state (§6.8.3). What asks more of the peer, or gives it less, waits for its word."""
        is_up = self.state is State.UP
        desired = self._wanted.desired_min_tx if is_up else max(self._wanted.desired_min_tx, SLOW_MICROSECONDS)
        required = self._wanted.required_min_rx
        if (desired, required) == self._said:
            return
        self._said = (desired, required)
        if not is_up or desired < self._tx:
            self._tx = desired
        if not is_up or required > self._rx:
            self._rx = required
        if self._remote is not None and self._polled is None:
            self._polled = self._said

    def _end_poll(self) -> None:
        """The peer has confirmed; if we have changed our mind since, that takes another Poll Sequence (§6.5)."""
        if self._polled == self._said:
            self._polled = None
            self._tx, self._rx = self._said
        elif self._polled is not None:
            self._polled = self._said

    def _next_at(self) -> float:
        return self._sent_at + self._interval_seconds * self._jitter

    def _sent(self, now: float, chance: float) -> None:
        longest = LONGEST if self._wanted.detect_multiplier > 1 else LONGEST_WITHOUT_SPARE
        self._jitter = SHORTEST + (longest - SHORTEST) * chance
        self._sent_at = now
        self._has_news = False

    # --- sending

    def _may_send(self) -> bool:
        """Passive, we send nothing before we have heard something (§6.8.7). A disabled session ends."""
        if is_due(self._quiet_at, self._sent_at):
            return False
        return self._remote is not None or not self._wanted.is_passive

    def _is_periodic(self) -> bool:
        remote = self._remote
        if remote is None or not self._may_send():
            return self._may_send()
        if remote.required_min_rx == 0:
            return False
        is_demand = remote.is_demand and self.state is State.UP and remote.state is State.UP
        return not is_demand or self._polled is not None

    def _packet(self, *, is_poll: bool = False, is_final: bool = False) -> bytes:
        desired, required = self._said
        return build(
            Packet(
                self.state,
                self.diagnostic,
                is_poll,
                is_final,
                False,
                self._wanted.detect_multiplier,
                self.discriminator,
                self._remote.my_discriminator if self._remote else 0,
                desired,
                required,
            )
        )


_TEXTS = {
    Diagnostic.NONE: "",
    Diagnostic.DETECTION_TIME_EXPIRED: "nothing was heard for the detection time",
    Diagnostic.ECHO_FAILED: "echo function failed",
    Diagnostic.NEIGHBOR_SIGNALED_DOWN: "the peer signalled that the session is down",
    Diagnostic.FORWARDING_PLANE_RESET: "forwarding plane reset",
    Diagnostic.PATH_DOWN: "path down",
    Diagnostic.CONCATENATED_PATH_DOWN: "concatenated path down",
    Diagnostic.ADMINISTRATIVELY_DOWN: "administratively down",
    Diagnostic.REVERSE_CONCATENATED_PATH_DOWN: "reverse concatenated path down",
}


def _text_of(diagnostic: int) -> str:
    return _TEXTS.get(diagnostic) or (f"diagnostic {diagnostic}" if diagnostic else "")  # type: ignore[call-overload]
