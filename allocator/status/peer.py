"""What a BGPPeer's status says: how many nodes have their session with it, and what keeps the others from it.

Built from what the Speakers report. Messages leave out what changes at each attempt to connect, so that a router that
is off is reported once.
"""

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from allocator.objects import StoredPeer
from allocator.status.conditions import conditions_from, degraded
from allocator.status.entries import Session
from allocator.status.faults import NAMED_FAULTS, NAMED_NODES, cut, not_ready, reported_faults
from allocator.status.reports import BGPReports
from crds.conditions import ConditionType, Reason
from crds.observation import Observation
from crds.types import BGPPeerStatus, SessionCount
from crds.wording import listed

BESIDE_SESSIONS = frozenset(
    {Reason.UnknownProfile, Reason.NoNextHop, Reason.NoBFD, Reason.FamilyNotAgreed, Reason.SeveralRouters}
)
"""Faults that keep no session from coming up."""


def peer_status(
    peer: StoredPeer,
    sessions: Mapping[str, Session],
    faults: Sequence[Observation],
    silent: Container[str],
    timestamp: str,
) -> BGPPeerStatus:
    """The status the BGPPeer should have; equal to what it has when nothing changed.

    `faults`: what is wrong with it besides (`peer_faults`): a part, where a session is up, or could be. `silent`: nodes
    whose Speakers can't be believed, since nobody hears of them any more.
    """
    down = {node: _why_down(node, one, silent) for node, one in sorted(sessions.items())}
    down = {node: why for node, why in down.items() if why}
    wanted, established = len(sessions), len(sessions) - len(down)
    parts = [one for one in faults if established or one.reason in BESIDE_SESSIONS]
    of_all = [one for one in faults if one not in parts]
    ready = _ready(wanted, down, of_all)
    if ready.holds and (remarks := [*(one.message for one in parts), *_remarks(peer, wanted)]):
        ready = replace(ready, message=f"{ready.message}. But: {listed(remarks, NAMED_FAULTS, '; ')}")
    observed = [ready, *degraded(parts[:NAMED_FAULTS], peer.status.conditions)]
    return BGPPeerStatus(
        sessions=_count(established, wanted),
        bfd=_count(sum(one.is_watched and node not in silent for node, one in sessions.items()), wanted)
        if peer.bfd_profile is not None
        else None,
        conditions=conditions_from(observed, peer.status.conditions, peer.generation, timestamp),
        observed_generation=peer.generation,
    )


def _count(up: int, wanted: int) -> SessionCount:
    return SessionCount(wanted=wanted, established=up, summary=f"{up}/{wanted}")


def peer_faults(reports: BGPReports, peer: StoredPeer, others: Iterable[StoredPeer]) -> tuple[Observation, ...]:
    """What is wrong with it besides its sessions: that another one has its address, or what speakers find."""
    duplicate = duplicate_fault(reports.duplicates(peer, others))
    return (duplicate,) if duplicate is not None else reported_faults(reports, "BGPPeer", peer.name)


def duplicate_fault(duplicates: Sequence[str]) -> Observation | None:
    """What it means to share one router's address with these."""
    if not duplicates:
        return None
    have = "has" if len(duplicates) == 1 else "have"
    message = (
        f"{listed(duplicates, NAMED_NODES)} {have} the same address and port, and some node has a session for each: "
        "keep one of them, or give them nodeSelectors that exclude each other"
    )
    return not_ready(Reason.DuplicatePeer, message)


def _remarks(peer: StoredPeer, wanted: int) -> Iterator[str]:
    """What is no fault, and may surprise. `wanted`: how many nodes have a session."""
    if peer.router_id is not None and wanted > 1:
        yield (
            f"all {wanted} nodes have the routerID {peer.router_id}, which strict routers and reflectors refuse "
            "(RFC 4271 §4.2): leave it out, or have a BGPPeer for each node"
        )
    if peer.bfd_profile is not None and peer.has_graceful_restart:
        yield (
            "with bfdProfile, some routers drop the routes while a speaker restarts in spite of gracefulRestart: "
            "docs/bfd.md has the router's setting"
        )


def _ready(wanted: int, down: Mapping[str, str], faults: Sequence[Observation]) -> Observation:
    numbers = f"{wanted - len(down)} of {wanted} sessions are up"
    if faults:
        said = listed([one.message for one in faults], NAMED_FAULTS, "; ")
        return not_ready(faults[0].reason, f"{said}. {numbers}")
    if not wanted:
        message = "No speaker has a session with the peer: does nodeSelector choose a node, and do speakers run?"
        return not_ready(Reason.NoSessions, message)
    if not down:
        return Observation(ConditionType.Ready, True, Reason.SessionsUp, numbers)
    named = listed([f"{node}: {why}" for node, why in down.items()], NAMED_NODES, "; ")
    message = f"{numbers}. {named}"
    if len(down) == wanted:
        return not_ready(Reason.SessionsDown, message)
    return Observation(ConditionType.Ready, True, Reason.SomeSessionsDown, message)


def _why_down(node: str, session: Session, silent: Container[str]) -> str:
    """Empty when it is up."""
    if node in silent:
        return "its speaker is silent"
    if session.is_established:
        return ""
    return cut(session.last_error) or "not connected yet"
