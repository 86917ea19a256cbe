"""Whether a speaker may have anything on the wire, judged by its contact with the API server and with its peers.

Pure: `now` is CLOCK_BOOTTIME in seconds, which goes on while a machine is suspended. Writes no status and sends no
permit; speaker.agent does both, by what it is told here. What it hears of peers is given to it.

Two rules hold a speaker back:

* After a pause longer than `pause_seconds`, and whenever somebody may have declared it dead, it registers again and
  reads all objects again before it announces anything: with its old knowledge it would speak from the past.
* The promise (Speaker.status.fencing): F seconds after its last renewed Lease the allocator may take a speaker that
  promised for silent. So it is silent by itself a margin earlier, counted from when that renewal was *sent*, unless
  a strict majority of the speakers it knows, itself included, is cut off too: then the API server is down for all,
  and nothing can be released. That majority and the allocator's (of speakers with fresh Leases) can't both exist.
"""

from collections.abc import Set
from dataclasses import dataclass
from enum import Enum

PERMIT_SECONDS = 3.0
"""How long the wire process speaks without a new permit: three of the agent's seconds."""


@dataclass(frozen=True)
class Limits:
    """`margin_seconds` covers what lies between a decision here and the last frame, and clocks of different speed."""

    fence_after_seconds: float
    pause_seconds: float
    margin_seconds: float

    def __post_init__(self) -> None:
        if self.pause_seconds < PERMIT_SECONDS:
            raise ValueError(f"a pause shorter than {PERMIT_SECONDS} s is no pause: the wire still has its permit")
        if self.pause_seconds > self.silent_after_seconds:
            raise ValueError("a speaker must take itself for silent no later than the allocator does")

    @property
    def silent_after_seconds(self) -> float:
        """After the sending of the last renewal."""
        return self.fence_after_seconds - self.margin_seconds


@dataclass(frozen=True)
class Peers:
    """What is known of the other speakers: all there are, those heard now, those heard saying that they are cut off."""

    known: Set[str] = frozenset()
    heard: Set[str] = frozenset()
    cut_off: Set[str] = frozenset()

    def hears_majority(self) -> bool:
        """Whether those heard, with this speaker, are a strict majority of all."""
        return self._is_majority(self.heard)

    def majority_is_cut_off(self) -> bool:
        """Asked by one that is cut off itself and bound by a promise. One that knows of nobody is no majority: others
        may have joined where it could not see them, and fenced it."""
        return bool(self.known) and self._is_majority(self.cut_off & self.heard)

    def _is_majority(self, others: Set[str]) -> bool:
        return 2 * (1 + len(others & self.known)) > 1 + len(self.known)


def should_promise(peers: Peers) -> bool:
    """Whether this speaker can keep the promise to tell its own isolation from an outage of the API server.

    It can while it hears a strict majority. One that knows no other promises nothing: while it is alone there is no
    majority to fence it, so the promise would be worth nothing; and once others have joined behind its back, cut off
    as it is, it would keep announcing (it knows of no majority but itself) while they count it as fenced.
    """
    return bool(peers.known) and peers.hears_majority()


class Promise:
    """What the API server may hold of our promise, which counts more than what we want to promise now.

    A promise binds from the moment its write was sent (it may have arrived without an answer), and is over when a
    write that takes it back was answered.
    """

    def __init__(self) -> None:
        self._is_binding = False

    @property
    def is_binding(self) -> bool:
        return self._is_binding

    def sending(self, promised: bool) -> None:
        """A write that carries this is about to be sent."""
        self._is_binding = self._is_binding or promised

    def confirmed(self, promised: bool) -> None:
        """That write was answered with success. Writes are sent one at a time."""
        self._is_binding = promised


class Hold(Enum):
    """Why a speaker may have nothing on the wire."""

    STARTING = "Starting"
    """It has not registered and read all objects yet."""
    PAUSED = "Paused"
    """It did not run for longer than the limit."""
    CUT_OFF = "CutOff"
    """Its promise requires silence."""
    REMOVED = "Removed"
    """Its Speaker object or its Node was deleted: somebody's word that it is dead."""
    STOPPING = "Stopping"
    """It is on its way out."""


@dataclass(frozen=True)
class Permit:
    """The wire may speak until then (CLOCK_BOOTTIME seconds)."""

    until: float


class AnnouncementRight:
    """The latch between the agent and the wire: closed until registered, closed again by what may have been a fence.

    `tick` is the only source of permits. It is to be called at least each second, before anything else of that moment.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._hold: Hold | None = Hold.STARTING
        self._held_since = float("-inf")
        self._last_tick: float | None = None

    @property
    def hold(self) -> Hold | None:
        """None while it may announce. All holds but STOPPING end by registering and reading everything again."""
        return self._hold

    def lose(self, hold: Hold, now: float) -> None:
        """Somebody may take this speaker for dead. STOPPING is final; otherwise the latest loss counts."""
        if self._hold is not Hold.STOPPING:
            self._hold = hold
            self._held_since = now

    def registered(self, began: float) -> None:
        """A registration that began then was written, and everything was read after it and withdrawn accordingly.

        It heals only losses before it: one that began before the loss may have read what was true before it.
        """
        if self._hold is not Hold.STOPPING and began > self._held_since:
            self._hold = None

    def tick(self, now: float, *, renewal_sent: float | None, is_bound: bool, peers: Peers) -> Permit | Hold:
        """`renewal_sent`: when the last renewal of the own Lease that was answered was sent; None = there was none.

        `is_bound`: Promise.is_binding.
        """
        if self._last_tick is not None and now - self._last_tick > self._limits.pause_seconds:
            self.lose(Hold.PAUSED, now)
        self._last_tick = now
        deadline = self._deadline(renewal_sent, is_bound, peers)
        if now >= deadline:
            self.lose(Hold.CUT_OFF, now)
        return self._hold or Permit(min(now + PERMIT_SECONDS, deadline))

    def _deadline(self, renewal_sent: float | None, is_bound: bool, peers: Peers) -> float:
        if not is_bound or peers.majority_is_cut_off():
            return float("inf")
        return float("-inf") if renewal_sent is None else renewal_sent + self._limits.silent_after_seconds
