"""Whether a speaker may have anything on the wire, judged by its contact with the API server and with its members.

Pure: `now` is CLOCK_BOOTTIME in seconds, which goes on while a machine is suspended. Writes no status and sends no
permit; speaker.core does both, by what this says. What it hears of members is given to it.

* The promise (Speaker.status.fencing): F seconds after its last renewed Lease the allocator may take a speaker that
  promised for silent. So it is silent by itself a margin earlier, counted from when that renewal was *sent*, unless a
  strict majority of the witnesses that the promise names, itself included, lost the API server when it did: then it is
  down for all, and nobody can prove the contrary to an allocator (crds.fencing).
* Who may have been taken for dead renews its Lease, registers and reads all objects again, in this order, before it
  announces anything: with its old knowledge it would speak from the past. The Lease comes first: an allocator that
  still finds it silent later than that has written its mark before we read.
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from enum import Enum
from hashlib import blake2b
from types import MappingProxyType
from typing import NamedTuple

from crds.fencing import HEARD_SECONDS, WIRE_PERMIT_SECONDS, WITNESSES, outlived_after_seconds

__all__ = [
    "WIRE_PERMIT_SECONDS",
    "AnnouncementRight",
    "Contact",
    "Hold",
    "Limits",
    "MemberContacts",
    "Permit",
    "Promise",
    "own_contact",
    "promise_to_make",
]

Witnesses = frozenset[str]


@dataclass(frozen=True)
class Limits:
    """`margin_seconds` covers what lies between a decision here and the last frame, and clocks of different speed."""

    fence_after_seconds: float
    pause_seconds: float
    margin_seconds: float

    def __post_init__(self) -> None:
        if self.pause_seconds < WIRE_PERMIT_SECONDS:
            raise ValueError(f"a pause shorter than {WIRE_PERMIT_SECONDS} s is no pause: the wire still has its permit")
        if self.pause_seconds > self.silent_after_seconds:
            raise ValueError("a speaker must take itself for silent no later than the allocator does")

    @property
    def silent_after_seconds(self) -> float:
        """After the sending of the last renewal."""
        return self.fence_after_seconds - self.margin_seconds

    @property
    def outlived_after_seconds(self) -> float:
        """A witness with contact later than this after the sending of our last renewal has outlived us."""
        return outlived_after_seconds(self.fence_after_seconds)


class Contact(NamedTuple):
    """What a member says of its contact with the API server, both on our clock.

    `began`: when its last answered renewal was sent; rather too late than too early where that is not exact. `heard`:
    when the heartbeat that said so came.
    """

    began: float
    heard: float


@dataclass(frozen=True)
class MemberContacts:
    """What is known of the other speakers, by node.

    `known`: all that have registered and not said goodbye. `contacts`: what those that are heard say of themselves (see
    `own_contact`); of a member that restarted, only what its present process said.
    """

    known: Set[str] = frozenset()
    contacts: Mapping[str, Contact] = field(default_factory=lambda: MappingProxyType({}))

    def hears_majority_of(self, witnesses: Witnesses, own_node: str, now: float) -> bool:
        """Whether those heard, with this speaker, are a strict majority of them."""
        heard = {node for node, contact in self.contacts.items() if _is_heard(contact, now)}
        return _is_majority(heard | {own_node}, witnesses)

    def majority_lost_contact(self, witnesses: Witnesses, own_node: str, before: float, now: float) -> bool:
        """Whether a strict majority, this speaker included, says that its last contact began before that time."""
        lost = {node for node, contact in self.contacts.items() if _is_heard(contact, now) and contact.began < before}
        return _is_majority(lost | {own_node}, witnesses)


def _is_heard(contact: Contact, now: float) -> bool:
    return now - contact.heard <= HEARD_SECONDS


def _is_majority(some: Set[str], witnesses: Witnesses) -> bool:
    return 2 * len(some & witnesses) > len(witnesses)


def own_contact(renewal_sent: float | None, started: float) -> float:
    """What this speaker says of itself in heartbeats. Said before the next renewal is sent, since that one proves it.

    A process that has not renewed yet counts from its start: its predecessor may have had contact up to then.
    """
    return started if renewal_sent is None else renewal_sent


def choose_witnesses(own_node: str, known: Set[str]) -> Witnesses:
    """All speakers, or in a large cluster a choice of them, of which few change when a speaker comes or goes."""
    others = sorted(known - {own_node}, key=lambda node: (_weight(own_node, node), node))
    return frozenset((own_node, *others[: WITNESSES - 1]))


def _weight(own_node: str, node: str) -> bytes:
    return blake2b(f"{own_node} {node}".encode(), digest_size=8).digest()


def promise_to_make(
    own_node: str,
    members: MemberContacts,
    limits: Limits,
    *,
    present: Witnesses | None,
    renewal_sent: float | None,
    now: float,
) -> Witnesses | None:
    """The witnesses to promise on, None for no promise. `present` is what the Speaker says now.

    Only who hears a strict majority can tell its own isolation from an outage for all. Alone, or one of two, nobody is
    there to outvote a speaker: its promise would be worth nothing. And a promise is made in contact only, since silence
    from before it must not count against it.
    """
    if renewal_sent is None or now - renewal_sent >= limits.outlived_after_seconds:
        return present
    witnesses = choose_witnesses(own_node, members.known)
    can_keep_it = len(witnesses) > 2 and members.hears_majority_of(witnesses, own_node, now)
    return witnesses if can_keep_it else None


class Promise:
    """What the API server may hold of our promise, which counts more than what we want to promise now.

    A promise binds from the moment its write was sent (it may have arrived without an answer), and is over when a
    later write was answered. Writes name the version they are based on, so an older one can't arrive after that.
    """

    def __init__(self) -> None:
        self._possible: frozenset[Witnesses | None] = frozenset({None})
        self._lately = self._possible

    @property
    def binding(self) -> frozenset[Witnesses]:
        """The witnesses of each promise that may be in force; empty when there surely is none."""
        return frozenset(one for one in self._possible if one is not None)

    def take_binding(self) -> frozenset[Witnesses]:
        """Those that were binding at any time since this was last asked: what a tick is to go by."""
        lately, self._lately = self._lately, self._possible
        return frozenset(one for one in lately if one is not None)

    def sending(self, promised: Witnesses | None) -> None:
        """A write that carries this is about to be sent."""
        self._possible |= {promised}
        self._lately |= {promised}

    def confirmed(self, promised: Witnesses | None) -> None:
        """That write was answered with success. Writes are sent one at a time."""
        self._possible = frozenset({promised})


class Hold(Enum):
    """Why a speaker may have nothing on the wire."""

    STARTING = "Starting"
    """It has not registered and read all objects yet."""
    PAUSED = "Paused"
    """It did not run for longer than the limit."""
    CUT_OFF = "CutOff"
    """Its promise requires, or required, silence."""
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

    def __init__(self, own_node: str, limits: Limits) -> None:
        self._own_node = own_node
        self._limits = limits
        self._lost: Hold | None = Hold.STARTING
        self._lost_since = float("-inf")
        self._is_cut_off = False
        self._last_tick: float | None = None
        self._renewal: float | None = None
        self._promises: frozenset[Witnesses] = frozenset()

    @property
    def hold(self) -> Hold | None:
        """None while it may announce."""
        return self._lost or (Hold.CUT_OFF if self._is_cut_off else None)

    @property
    def must_register(self) -> bool:
        """Whether the hold ends only by renewing, registering and reading everything again.

        Being cut off alone ends also when the witnesses turn out to be so too: then nobody can have fenced us.
        """
        return self._lost is not None

    def lose(self, hold: Hold, now: float) -> None:
        """Somebody may take this speaker for dead. STOPPING is final; otherwise the latest loss counts."""
        if self._lost is not Hold.STOPPING:
            self._lost = hold
            self._lost_since = now

    def registered(self, renewal_sent: float) -> None:
        """A renewal sent then was answered; after that the Speaker was written, and after that everything was read.

        It heals only losses before that renewal: until it arrived, an allocator may have counted us as silent.
        """
        if self._lost is not Hold.STOPPING and renewal_sent > self._lost_since:
            self._lost = None
            self._renewal = renewal_sent

    def tick(
        self, now: float, *, renewal_sent: float | None, promises: frozenset[Witnesses], members: MemberContacts
    ) -> Permit | Hold:
        """`renewal_sent`: when the last renewal of the own Lease that was answered was sent; None = there was none.

        `promises`: Promise.take_binding.
        """
        if self._last_tick is not None and now - self._last_tick > self._limits.pause_seconds:
            self.lose(Hold.PAUSED, now)
        self._last_tick = now
        if (renewal_sent, promises) != (self._renewal, self._promises):
            self._look_back(now, members)
            self._renewal, self._promises = renewal_sent, promises
        deadline = self._deadline(now, members)
        self._is_cut_off = now >= deadline
        return self.hold or Permit(min(now + WIRE_PERMIT_SECONDS, deadline))

    def _look_back(self, now: float, members: MemberContacts) -> None:
        """Contact is back, or another promise made: were we silent by the old ones, we may have been fenced by them."""
        if self._lost is None and now >= self._deadline(now, members):
            self.lose(Hold.CUT_OFF, now)

    def _deadline(self, now: float, members: MemberContacts) -> float:
        if all(self._is_outage_for_all(witnesses, now, members) for witnesses in self._promises):
            return float("inf")
        return float("-inf") if self._renewal is None else self._renewal + self._limits.silent_after_seconds

    def _is_outage_for_all(self, witnesses: Witnesses, now: float, members: MemberContacts) -> bool:
        if self._renewal is None:
            return False
        before = self._renewal + self._limits.outlived_after_seconds
        return members.majority_lost_contact(witnesses, self._own_node, before, now)
