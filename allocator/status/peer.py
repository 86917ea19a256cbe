"""What a BGPPeer's status says: how many nodes have their session with it, and what keeps the others from it.

Built from what the Speakers report; the same for the faults that they find in BGPAdvertisements. Messages leave out
what changes at each attempt to connect, so that a router that is off is reported once.
"""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from allocator.objects import StoredPeer
from allocator.release.speakers import Fault, Session, SpeakerState
from allocator.status.allocation import NodeReports
from allocator.status.pool import Observation, conditions_from
from crds.conditions import ConditionType, Reason
from crds.types import BGPPeerStatus, SessionCount

NAMED_NODES = 5
"""How many nodes a message names before it counts the rest."""

NAMED_FAULTS = 3
"""The same for different faults."""

ERROR_LENGTH = 200
"""More of a speaker's words, in characters, is cut off."""


@dataclass
class BGPReports:
    """What the Speakers said last about peers and advertisements."""

    _sessions: NodeReports[Session] = field(default_factory=NodeReports)
    _faults: NodeReports[tuple[Fault, ...]] = field(default_factory=NodeReports)
    _peers: dict[str, frozenset[str]] = field(default_factory=dict)

    def update(self, node: str, speaker: SpeakerState | None) -> None:
        """Replace what a node says; None = there is no such Speaker."""
        sessions = speaker.sessions() if speaker is not None else {}
        self._sessions.update(node, sessions)
        self._faults.update(node, speaker.faults() if speaker is not None else {})
        self._peers.pop(node, None)
        if sessions:
            self._peers[node] = frozenset(sessions)

    @property
    def nodes(self) -> Iterable[str]:
        """Those that have sessions."""
        return self._peers.keys()

    def sessions(self, peer: str) -> Mapping[str, Session]:
        """By node."""
        return self._sessions.of(peer)

    def fault(self, kind: str, name: str, known: Container[Reason] = ()) -> Observation | None:
        """What Speakers find wrong with that object, apart from what is known already."""
        said: dict[tuple[Reason, str], list[str]] = {}
        for node, faults in sorted(self._faults.of(f"{kind}/{name}").items()):
            for fault in faults:
                reason = _reason(fault.reason)
                if reason not in known:
                    text = fault.message.removeprefix(f"{kind} {name}: ")
                    said.setdefault((reason, _cut(text)), []).append(node)
        if not said:
            return None
        texts = [f"{text} (says {_some(nodes)})" for (_, text), nodes in said.items()]
        return _not_ready(next(iter(said))[0], _some(texts, NAMED_FAULTS, "; "))

    def duplicates(self, peer: StoredPeer, others: Iterable[StoredPeer]) -> list[str]:
        """Other peers at the same address and port with which some node has a session too."""
        same = {one.name for one in others if one.endpoint == peer.endpoint and one.name != peer.name}
        if not same or peer.endpoint[0] is None:
            return []
        return sorted(same & {name for node in self.sessions(peer.name) for name in self._peers.get(node, ())})


def peer_status(
    peer: StoredPeer,
    sessions: Mapping[str, Session],
    fault: Observation | None,
    silent: Container[str],
    timestamp: str,
) -> BGPPeerStatus:
    """The status the BGPPeer should have; equal to what it has when nothing changed.

    `silent`: nodes whose Speakers can't be believed, since nobody hears of them any more.
    """
    down = {node: _why_down(node, one, silent) for node, one in sorted(sessions.items())}
    down = {node: why for node, why in down.items() if why}
    wanted, established = len(sessions), len(sessions) - len(down)
    return BGPPeerStatus(
        sessions=SessionCount(wanted=wanted, established=established, summary=f"{established}/{wanted}"),
        conditions=conditions_from([_ready(wanted, down, fault)], peer.status.conditions, peer.generation, timestamp),
    )


def duplicate_fault(duplicates: Sequence[str]) -> Observation | None:
    """What it means to share one router's address with these."""
    if not duplicates:
        return None
    message = (
        f"{_some(duplicates)} has the same address and port, and some node has a session for each: delete one, or give "
        "them nodeSelectors that exclude each other"
    )
    return _not_ready(Reason.DuplicatePeer, message)


def _ready(wanted: int, down: Mapping[str, str], fault: Observation | None) -> Observation:
    numbers = f"{wanted - len(down)} of {wanted} sessions are up"
    if fault is not None:
        return _not_ready(fault.reason, f"{fault.message}. {numbers}")
    if not wanted:
        message = "No speaker has a session with the peer: does nodeSelector choose a node, and do speakers run?"
        return _not_ready(Reason.NoSessions, message)
    if not down:
        return Observation(ConditionType.Ready, True, Reason.SessionsUp, numbers)
    message = f"{numbers}. {_some([f'{node}: {why}' for node, why in down.items()], NAMED_NODES, '; ')}"
    if len(down) == wanted:
        return _not_ready(Reason.SessionsDown, message)
    return Observation(ConditionType.Ready, True, Reason.SomeSessionsDown, message)


def _not_ready(reason: Reason, message: str) -> Observation:
    return Observation(ConditionType.Ready, False, reason, message)


def _why_down(node: str, session: Session, silent: Container[str]) -> str:
    """Empty when it is up."""
    if node in silent:
        return "its speaker is silent"
    if session.is_established:
        return ""
    return _cut(session.last_error) or "not connected yet"


def _reason(text: str) -> Reason:
    """A newer speaker may know reasons that we do not."""
    try:
        return Reason(text)
    except ValueError:
        return Reason.InvalidSpec


def _cut(text: str) -> str:
    return text if len(text) <= ERROR_LENGTH else f"{text[: ERROR_LENGTH - 3]}..."


def _some(parts: Sequence[str], most: int = NAMED_NODES, joint: str = ", ") -> str:
    more = f"{joint}and {len(parts) - most} more" if len(parts) > most else ""
    return joint.join(parts[:most]) + more
