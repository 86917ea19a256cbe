"""The release barrier: whether an address that is being given back can no longer be on the wire anywhere.

Judged on a list of Speakers that was read after the mark (`spec.releasing`) was known. The process that each Speaker
of that list names must have confirmed this very mark, or be fenced. A process that registers later reads the mark, or
the deletion, before it announces anything: it renews its Lease, then writes its Speaker object, then lists the
IPAllocations. So a Speaker that names no process counts as if it were not listed: nobody has registered by it.

    confirmed      the node's ReleaseConfirmation names the same process, and released[uid] is at least the generation
                   of the mark
    fenced         it said goodbye (withdrew all, then said so);
                   or its Node is gone, or its Speaker object (so it is not in the list): the operator's word;
                   or its Node has the taint node.kubernetes.io/out-of-service, the operator's word that the node is
                   shut down (KEP-2268), and nothing contradicts it: its Lease is there, and was not renewed for some
                   time, nor since the mark was known; and no other machine has run its speaker;
                   or all of: it promised to fence itself; its Lease is there, and was not renewed for longer than it
                   promised before the Speakers were listed, nor until they were; and a strict majority of the
                   witnesses of its promise has outlived it (crds.fencing), long enough ago that it has heard of that,
                   or hears nothing.
                   Where routers keep its routes after it is gone, these seconds come on top, unless an operator
                   has said that they dropped them.

The Speakers must be listed anew, and by quorum; confirmations may come from a watch, however old its copy is. What a
process has confirmed for (uid, generation) never becomes untrue: it announces no address again that is marked, marks
are not taken back, and a higher generation asks anew. That this process is still the last one on its node is what the
list says: any other registers after that list was made, and so reads the mark before it announces.

A Lease shows silence when a look before the list of Speakers and one after it show the same renewal: a speaker makes or
takes back a promise after a renewal only, so the promise in that list was in force all the time. Were the look after it
left out, a speaker that was silent without a promise could have renewed and promised between the two. No clocks of two
machines are compared: LeaseBook counts on our own clock. Reads nothing itself.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from allocator.release.confirmations import Confirmation
from allocator.release.departures import Departed, departed
from allocator.release.speakers import SpeakerState
from crds.addresses import IPAddress
from crds.fencing import OUTLIVED_SLACK_SECONDS, PROOF_RENEWALS, SETTLE_SECONDS, outlived_after_seconds
from crds.names import ANNOTATION_DROPPED_ROUTERS, TAINT_OUT_OF_SERVICE
from crds.wording import listed

KEPT_PROOFS = 8
"""Per node: enough to reach back SETTLE_SECONDS when a Lease is seen to change each other second."""

NAMED_NODES = 20
"""How many nodes a message names before it counts the rest."""

NAMED_ROUTERS = 8
"""The same for routers of one node."""

ALIVE_SECONDS = 15.0
"""Only for words: a node whose Lease was seen to change this lately is called alive."""

IS_ALIVE = "it is alive and has not confirmed yet"
"""Of a node that will confirm by itself."""
HAS_OTHER_MACHINE = (
    "it does not confirm for another machine that ran its speaker before: see PromisesFencing of its Speaker"
)
"""Of one that lives, and will not before that one is surely silent."""

CONTRADICTION_SECONDS = 15.0
"""A Lease that was renewed this lately contradicts who says that its node is shut down. It is twice the Lease's
duration where that is longer: then renewals are slower."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A release that was written: the IPAllocation's uid and its generation with `releasing: true`.

    `known_at`: when this allocator learnt of it, on its own clock. It was written before that.
    """

    address: IPAddress
    uid: str
    generation: int
    known_at: float


@dataclass(frozen=True, slots=True)
class Awaited:
    """A node that keeps the address from being free, and what is known of it."""

    node: str
    why: str
    word: str = ""
    """Of one that an operator has given up: the command that says that routers have dropped its routes."""
    is_silent: bool = False
    """Whether an operator may be asked if its machine is off: nothing was heard of it for as long as a speaker that is
    cut off may announce. Of all others nobody is to say that they are dead."""


class Renewed(NamedTuple):
    """What changes at each renewal of a Lease, and at nothing else. Renewals follow each other within one Lease.

    `duration_seconds`: for how long it says that it holds; it is renewed several times in that time.
    """

    lease_uid: str
    text: str
    duration_seconds: int = 0


class Proof(NamedTuple):
    """Renewals followed each other: their holder has had contact that began after `began`. Known since `known_at`."""

    began: float
    known_at: float


@dataclass(frozen=True, slots=True)
class _LeaseSeen:
    renewed: Renewed | None
    """None = the Lease was not there."""
    since: float
    """When we first saw this version: the renewal was not later."""
    unchanged_until: float
    """When the last read was sent that still showed it: no renewal in between."""
    ends: tuple[float, ...] = ()
    """When the last reads were sent that showed the versions before this one, oldest first."""
    proofs: tuple[Proof, ...] = ()
    outlived_by: Mapping[str, float] = field(default_factory=dict)
    """Witnesses that have outlived this version, with since when we know."""


@dataclass(slots=True)
class LeaseBook:
    """When the speakers' Leases were renewed, as far as our own reads can tell. Nodes are names.

    Silence is a Lease that is there and stays as it is. One that is not there says nothing of its speaker, which may
    be about to make it anew.
    """

    _seen: dict[str, _LeaseSeen] = field(default_factory=dict)
    read_at: float = float("-inf")
    """When the last read was answered."""

    def observe(self, leases: Mapping[str, Renewed], sent: float, received: float) -> None:
        """Take in a list of the speakers' Leases, by node."""
        for node in self._seen.keys() - leases.keys():
            self._seen[node] = _LeaseSeen(None, received, sent, proofs=self._seen[node].proofs)
        for node, renewed in leases.items():
            self._seen[node] = _observed(self._seen.get(node), renewed, sent, received)
        self.read_at = received

    def silent_seconds(self, node: str) -> float:
        """For how long, proven by our reads, this node has not renewed its Lease. 0 when we know nothing."""
        seen = self._there(node)
        return 0.0 if seen is None else max(0.0, seen.unchanged_until - seen.since)

    def silent_since(self, node: str) -> float:
        """When we first saw its last renewal; infinity when we know of none."""
        seen = self._there(node)
        return float("inf") if seen is None else seen.since

    def duration_seconds(self, node: str) -> int:
        """For how long its Lease says that it holds; 0 when we know of none."""
        seen = self._there(node)
        return 0 if seen is None or seen.renewed is None else seen.renewed.duration_seconds

    def silent_until(self, node: str) -> float:
        """When the last read was sent that showed the Lease without a new renewal."""
        seen = self._there(node)
        return float("-inf") if seen is None else seen.unchanged_until

    def is_there(self, node: str) -> bool:
        """Whether the last read showed its Lease."""
        return self._there(node) is not None

    def is_alive(self, node: str, now: float) -> bool:
        """Whether it was seen to renew lately."""
        seen = self._there(node)
        return seen is not None and bool(seen.ends) and now - seen.since <= ALIVE_SECONDS

    def outlived_by(self, node: str, witnesses: Iterable[str], after_seconds: float) -> Mapping[str, float]:
        """Which witnesses surely had contact that began so long after this node's last renewal; since when we know.

        To have outlived it never becomes untrue, so it is noted when first asked for.
        """
        seen, named = self._there(node), frozenset(witnesses)
        if seen is None:
            return {}
        found = dict(seen.outlived_by)
        for witness in named:
            proofs = self._seen[witness].proofs if witness in self._seen else ()
            known = [proof.known_at for proof in proofs if proof.began >= seen.since + after_seconds]
            if known and witness not in found:
                found[witness] = min(known)
        self._seen[node] = replace(seen, outlived_by=found)
        return {witness: since for witness, since in found.items() if witness in named}

    def _there(self, node: str) -> _LeaseSeen | None:
        seen = self._seen.get(node)
        return seen if seen is not None and seen.renewed is not None else None


def _observed(seen: _LeaseSeen | None, renewed: Renewed, sent: float, received: float) -> _LeaseSeen:
    if seen is None:
        return _LeaseSeen(renewed, received, sent)
    if seen.renewed == renewed:
        return replace(seen, unchanged_until=max(seen.unchanged_until, sent))
    if seen.renewed is None or seen.renewed.lease_uid != renewed.lease_uid:
        return _LeaseSeen(renewed, received, sent, proofs=seen.proofs)  # another Lease: a chain of its own
    ends = (*seen.ends, seen.unchanged_until)[-PROOF_RENEWALS:]
    proofs = seen.proofs
    if len(ends) == PROOF_RENEWALS:
        # The first renewal arrived after that look, the second was sent later than that, the third knew of the second.
        proofs = (*proofs, Proof(ends[0], received))[-KEPT_PROOFS:]
    return _LeaseSeen(renewed, received, sent, ends, proofs)


@dataclass(frozen=True, slots=True)
class Round:
    """What the barrier is judged on. `speakers` were listed by a request sent at `sent` and answered at `received`.

    `gone_nodes`: Speakers whose Node does not exist, with the time since when we know. `departed`: those that are gone
    from the list, and whose routes may not be. `confirmations`: by node. `out_of_service`: Speakers whose Node was read
    after the list, and has the taint, with the time since when we know.
    """

    speakers: Sequence[SpeakerState]
    sent: float
    received: float
    gone_nodes: Mapping[str, float]
    leases: LeaseBook
    fence_after_seconds: float
    departed: Sequence[Departed] = ()
    confirmations: Mapping[str, Confirmation] = field(default_factory=dict)
    out_of_service: Mapping[str, float] = field(default_factory=dict)


def has_passed(mark: Mark, round_: Round) -> bool:
    """Whether no node must still confirm: `awaited`, as far as the first one.

    Raises ValueError as `awaited` does.
    """
    return next(_awaited(mark, round_), None) is None


def awaited(mark: Mark, round_: Round) -> tuple[Awaited, ...]:
    """The nodes that must still confirm; empty when the barrier is passed, which is also so when there are no Speakers.

    A node is named twice when a former Speaker of it left routes behind and its present one has not confirmed.

    Raises ValueError when the Speakers were listed before the mark was known: they say nothing about it.
    """
    return tuple(sorted(_awaited(mark, round_), key=lambda one: (one.node, one.why)))


def _awaited(mark: Mark, round_: Round) -> Iterator[Awaited]:
    if round_.sent < mark.known_at:
        raise ValueError(f"the Speakers were listed before the release of {mark.address} was known")
    for speaker in round_.speakers:
        if speaker.has_registered and not _has_confirmed(speaker, mark, round_):
            one = _not_fenced(speaker, mark, round_)
            if one.why:
                yield one
    for gone in round_.departed:
        if not _has_confirmed(gone, mark, round_):
            one = _not_forgotten(
                gone, "Speaker is gone", f"kubectl delete departedspeaker.berth.dev {gone.uid}", round_.sent
            )
            if one.why:
                yield one


def _has_confirmed(one: SpeakerState | Departed, mark: Mark, round_: Round) -> bool:
    """Also one that is gone: what its process had withdrawn no router has."""
    confirmation = round_.confirmations.get(one.node)
    released = confirmation.confirmed_by(one.incarnation) if confirmation is not None else {}
    remembered = one.released if isinstance(one, Departed) else {}
    return (released or remembered).get(mark.uid, -1) >= mark.generation


def _not_fenced(speaker: SpeakerState, mark: Mark, round_: Round) -> Awaited:
    """`why` is empty when it is fenced."""
    if speaker.unreadable:
        return Awaited(speaker.node, f"its Speaker can't be read: {speaker.unreadable}")
    if speaker.goodbye:
        return Awaited(speaker.node, "")
    gone_since = round_.gone_nodes.get(speaker.node)
    if gone_since is not None:
        return _not_forgotten(departed(speaker, gone_since), "Node is gone", _annotate(speaker), round_.sent)
    why, said_since = _why_not_fenced(speaker, round_), round_.out_of_service.get(speaker.node)
    if not why or said_since is None:
        return Awaited(speaker.node, why, is_silent=_is_long_silent(speaker, round_))
    return _not_out_of_service(speaker, said_since, mark, round_)


def _is_long_silent(speaker: SpeakerState, round_: Round) -> bool:
    """Only for words. A Lease that is not there says nothing."""
    leases, fence = round_.leases, max(round_.fence_after_seconds, speaker.fence_after_seconds)
    return leases.is_there(speaker.node) and leases.silent_seconds(speaker.node) >= fence


def _not_out_of_service(speaker: SpeakerState, said_since: float, mark: Mark, round_: Round) -> Awaited:
    """Of a node that is said to be shut down. Its routers count from when nothing contradicted that any more."""
    contradiction = _what_contradicts(speaker, mark, round_)
    if contradiction:
        return Awaited(speaker.node, f"its Node has the taint {TAINT_OUT_OF_SERVICE}, but {contradiction}")
    since = max(said_since, round_.leases.silent_since(speaker.node) + _needed_silence(speaker, round_.leases))
    return _not_forgotten(departed(speaker, since), "Node is out of service", _annotate(speaker), round_.sent)


def _what_contradicts(speaker: SpeakerState, mark: Mark, round_: Round) -> str:
    """Why an operator's word that the node is shut down is not enough. Empty when it is.

    Whoever is alive renews its Lease, sees the taint, withdraws and confirms. So nobody has to be believed who is
    contradicted.
    """
    leases, node = round_.leases, speaker.node
    if speaker.was_elsewhere:
        return "another machine has run its speaker too, and may announce"
    if not leases.is_there(node):
        return "its Lease is not there, so nothing shows that it is silent"
    silent, needed = leases.silent_seconds(node), _needed_silence(speaker, leases)
    if silent < needed:
        return f"its Lease has been silent for {silent:.0f} of {needed:.0f} s only"
    if leases.silent_until(node) <= mark.known_at or round_.sent < leases.read_at:
        return "its Lease is read once more"
    return ""


def _needed_silence(speaker: SpeakerState, leases: LeaseBook) -> float:
    return max(CONTRADICTION_SECONDS, 2 * leases.duration_seconds(speaker.node))


def _why_not_fenced(speaker: SpeakerState, round_: Round) -> str:
    if round_.leases.is_alive(speaker.node, round_.sent):
        return HAS_OTHER_MACHINE if speaker.was_elsewhere else IS_ALIVE
    if not speaker.witnesses:
        return "it made no promise to withdraw by itself"
    return _why_not_silent(speaker, round_)


def _not_forgotten(one: Departed, said: str, word: str, now: float) -> Awaited:
    """By routers; for the rest what an operator `said` is enough. `why` is empty when they have no routes."""
    remaining = one.remaining(now)
    if not remaining:
        return Awaited(one.node, "")
    routers = listed(list(remaining), NAMED_ROUTERS)
    why = f"its {said}, but routers {routers} may keep its routes for {max(remaining.values()):.0f} s"
    return Awaited(one.node, why, word)


def _annotate(speaker: SpeakerState) -> str:
    """The command for all of its routers together, since it replaces what was said before."""
    routers = sorted(speaker.routers().keys() | speaker.dropped_routers)
    named = ",".join(routers) if len(routers) <= NAMED_ROUTERS else "ADDRESSES"
    word = f"{speaker.status.incarnation}/{named}"
    return f"kubectl annotate --overwrite speaker.berth.dev {speaker.node} {ANNOTATION_DROPPED_ROUTERS}={word}"


def _why_not_silent(speaker: SpeakerState, round_: Round) -> str:
    leases = round_.leases
    if not leases.is_there(speaker.node):
        return "its Lease is not there, so nothing shows that it is silent"
    until = min(leases.silent_until(speaker.node), round_.sent)
    silent = max(0.0, until - leases.silent_since(speaker.node))
    needed = max(round_.fence_after_seconds, speaker.fence_after_seconds) + speaker.outlives_seconds
    after = outlived_after_seconds(speaker.fence_after_seconds) + OUTLIVED_SLACK_SECONDS
    # Asked for already now, since it is noted with the time of the question: else routers' time would count twice.
    outlived_by = leases.outlived_by(speaker.node, speaker.witnesses, after)
    if silent < needed:
        return f"its Lease has been silent for {silent:.0f} of {needed:.0f} s"
    if leases.silent_until(speaker.node) <= round_.received:
        return "its Lease is read once more"
    if 2 * len(outlived_by) <= len(speaker.witnesses):
        return "no majority of the speakers it named as witnesses has outlived it"
    known = [since for since in outlived_by.values() if until - since >= SETTLE_SECONDS + speaker.outlives_seconds]
    if 2 * len(known) <= len(speaker.witnesses):
        return "it is given time to hear that a majority has outlived it"
    return ""


def describe(address: IPAddress, waiting_for: Iterable[Awaited]) -> str:
    """What the condition says: which nodes are waited for, and what an operator can do.

    The word that a node is dead breaks the promise when it is not true. So it is asked for only of nodes that have been
    silent for the fence time.
    """
    nodes = list(waiting_for)
    named = listed([f"{one.node}: {one.why}" for one in nodes], NAMED_NODES, "; ")
    text = f"{address} is not free until these nodes have withdrawn it: {named}."
    node = next((one.node for one in nodes if one.is_silent), None)
    if node is not None:
        off = f"kubectl delete speaker.berth.dev {node}"
        text = f"{text} Only if the machine of such a silent node is surely off, say so: {off}"
    word = next((one.word for one in nodes if one.word), None)
    if word is not None:
        joint = "." if node is not None else ""
        text = f"{text}{joint} Only if its routers surely have no such route any more, say so: {word}"
    return text
