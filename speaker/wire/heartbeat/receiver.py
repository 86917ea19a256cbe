"""Which peers are heard now, on which of our interfaces, and what they say of themselves.

No I/O and no clock: `now` is CLOCK_BOOTTIME in seconds, which goes on while a machine is suspended. It gets packets
that are parsed and signed, sends none (pulse.py does), and decides nothing about addresses.

A peer is **heard** from the first packet that echoes a recent sequence number of ours, until three of its own intervals
have passed without a packet, or it says goodbye. What makes old packets worthless:

* Within one incarnation sequence numbers only rise. What was seen on an interface does not count there again, and no
  packet counts that is a few numbers behind the newest.
* A new incarnation, and one that was lost or had said goodbye, must echo something that we sent within the last
  seconds. No recording can: not for a receiver that restarted and knows no numbers, not of a process long gone, and no
  clock of any machine has to be right for it.
* Of two incarnations of a peer the later one is that which echoes the later number of ours. So what its predecessor
  sent in these last seconds, and what came late, does not bring that one back.

Memory is bounded by the number of known peers: unknown ones leave nothing behind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from speaker.wire.heartbeat.packets import BEHIND, GOODBYE, LEAVING, MEMBER, SERVING, Dropped, Packet, tag_of
from speaker.wire.messages import NEVER, Member

MISSED_INTERVALS = 3
# The third missed packet may be a little late, by the sender's timer and both machines' schedulers.
GRACE_INTERVALS = 0.25
# A peer's copies of one packet on several interfaces may overtake each other.
OVERTAKEN_PACKETS = 3
# A peer that was lost lately may be back any moment.
SEARCH_SECONDS = 120.0
# An echo is of use only while its number is recent for its sender.
ECHO_SECONDS = 5.0
# A node restarts its speaker seldom; whoever replays old ones must not push the real one out.
CANDIDATES_PER_PEER = 4

UNICAST = ""
"""In place of an interface: not heard by multicast, but by packets sent to our address."""


class _Path:
    """Where a peer is heard."""

    __slots__ = ("expires", "sequence")

    def __init__(self) -> None:
        self.sequence = -1
        self.expires = 0.0


class _Candidate:
    """An incarnation that has not proven to be of today."""

    __slots__ = ("at", "sequence", "tag")

    def __init__(self, tag: bytes) -> None:
        self.tag = tag
        self.sequence = -1
        self.at = 0.0


class Peer:
    """One known peer. Its fields are the roster's to change."""

    __slots__ = (
        "addresses", "candidates", "contact", "expires", "flags", "heard_at", "heard_since", "incarnation",
        "interfaces", "missing_since", "node", "paths", "proof", "sequence", "silence_seconds", "tag",
    )  # fmt: skip

    def __init__(self, node: str, addresses: Sequence[str], now: float) -> None:
        self.node = node
        self.addresses = tuple(addresses)
        self.incarnation: str | None = None
        self.tag = b""
        self.sequence = -1
        self.flags = 0
        self.interfaces: tuple[str, ...] = ()
        self.contact = NEVER
        self.heard_since: float | None = None
        self.heard_at = float("-inf")
        self.silence_seconds = 0.0  # after which it is lost
        self.expires = 0.0
        self.paths: dict[str, _Path] = {}
        self.missing_since: float | None = now
        self.candidates: dict[str, _Candidate] = {}
        self.proof = -1  # the latest number of ours that this incarnation has echoed

    def view(self) -> Member | None:
        """None while it is not heard."""
        if self.heard_since is None or self.incarnation is None:
            return None
        flags = self.flags
        return Member(
            incarnation=self.incarnation,
            interfaces=self.interfaces,
            contact=self.contact,
            heard=self.heard_at,
            is_serving=bool(flags & SERVING),
            is_member=bool(flags & MEMBER),
            is_behind=bool(flags & BEHIND),
            is_leaving=bool(flags & LEAVING),
            via=tuple(sorted(self.paths)),
            since=self.heard_since,
        )

    @property
    def is_heard_by_multicast(self) -> bool:
        return any(name != UNICAST for name in self.paths)


class Roster:
    """The known peers. Time must not run backwards between calls."""

    def __init__(self) -> None:
        self.peers: dict[str, Peer] = {}
        self.news: dict[str, None] = {}
        """Nodes that were heard, lost or changed since the caller last emptied this; in order."""
        self._deadline = float("inf")
        self._echo_turn = 0

    def know(self, peers: Mapping[str, Sequence[str]], now: float) -> None:
        """These are the peers, by node, with their unicast addresses. Repeating it changes nothing."""
        for node in [node for node in self.peers if node not in peers]:
            if self.peers.pop(node).heard_since is not None:
                self.news[node] = None
        for node, addresses in peers.items():
            peer = self.peers.get(node)
            if peer is None:
                self.peers[node] = Peer(node, addresses, now)
            else:
                peer.addresses = tuple(addresses)

    def hear(self, beat: Packet, via: str, now: float, *, proof: int | None) -> Dropped | bool:
        """Take in one packet. `proof`: the number of ours that it echoes, if that is a recent one.

        Returns why it does not count, or else whether its sender is heard newly and wants an answer at once.
        """
        peer = self.peers.get(beat.node)
        if peer is None:
            return Dropped.UNKNOWN
        if beat.incarnation != peer.incarnation and (why := self._meet(peer, beat, now, proof)):
            return why
        if proof is not None:
            peer.proof = max(peer.proof, proof)
        if peer.heard_since is None:
            return self._hear_again(peer, beat, via, now, is_proof=proof is not None)
        return self._hear_on(peer, beat, via, now)

    def expire(self, now: float) -> None:
        """Notice who has been silent for too long."""
        if now < self._deadline:
            return
        deadline = float("inf")
        for peer in self.peers.values():
            if peer.heard_since is None:
                continue
            if peer.expires <= now:
                self._lose(peer, now)
                continue
            for name in [name for name, path in peer.paths.items() if path.expires <= now]:
                del peer.paths[name]
                self.news[peer.node] = None
            deadline = min(deadline, peer.expires, *(path.expires for path in peer.paths.values()))
        self._deadline = deadline

    def deadline(self) -> float:
        """When to call `expire` next. May be early, never late."""
        return self._deadline

    def resume(self, now: float) -> None:
        """We did not listen for a while. Nobody is dead who had no chance to be heard: the time starts anew for all."""
        for peer in self.peers.values():
            peer.candidates.clear()
            if peer.heard_since is not None:
                peer.expires = max(peer.expires, now + peer.silence_seconds)
                for path in peer.paths.values():
                    path.expires = max(path.expires, now + peer.silence_seconds)

    def echoes(self, room: int, now: float) -> list[tuple[bytes, int]]:
        """Whom to echo in the next packet, and with which number. Those not proven yet first, the others in turn."""
        urgent = [
            (one.tag, one.sequence)
            for peer in self.peers.values()
            for one in peer.candidates.values()
            if now - one.at < ECHO_SECONDS
        ]
        recent = [peer for peer in self.peers.values() if now - peer.heard_at < ECHO_SECONDS]
        urgent += [(peer.tag, peer.sequence) for peer in recent if peer.heard_since is None]
        heard = [(peer.tag, peer.sequence) for peer in recent if peer.heard_since is not None]
        self._echo_turn += room
        return (_turned(urgent, self._echo_turn) + _turned(heard, self._echo_turn))[:room]

    def is_searching(self, now: float) -> bool:
        """Whether somebody is missing who may be back any moment."""
        return any(_is_sought(peer, now) for peer in self.peers.values())

    def unicast(self, now: float, *, long_lost: bool) -> list[Peer]:
        """Who has to be written to: not heard by multicast. `long_lost`: those too for whom the search is over."""
        return [
            peer
            for peer in self.peers.values()
            if peer.addresses
            and not peer.is_heard_by_multicast
            and (long_lost or peer.heard_since is not None or _is_sought(peer, now))
        ]

    def _meet(self, peer: Peer, beat: Packet, now: float, proof: int | None) -> Dropped | None:
        """An incarnation that is not the one we know: adopted when it proves to be of today, and later than that one.

        A process starts after the end of its predecessor, so it hears, and echoes, only what we sent after that.
        """
        if proof is None:
            return self._consider(peer, beat, now)
        if proof <= peer.proof:
            return Dropped.RETIRED
        peer.candidates.clear()
        peer.incarnation, peer.tag = beat.incarnation, tag_of(beat.node, beat.incarnation)
        peer.sequence = peer.proof = -1
        peer.paths.clear()
        if peer.heard_since is not None:
            peer.heard_since = None
            self.news[peer.node] = None
        return None

    def _consider(self, peer: Peer, beat: Packet, now: float) -> Dropped:
        """It will be echoed, so that it can echo us and so prove itself."""
        candidate = peer.candidates.get(beat.incarnation)
        if candidate is None:
            if len(peer.candidates) == CANDIDATES_PER_PEER:
                del peer.candidates[next(iter(peer.candidates))]
            candidate = peer.candidates[beat.incarnation] = _Candidate(tag_of(beat.node, beat.incarnation))
        if beat.sequence <= candidate.sequence:
            return _old(beat.sequence, candidate.sequence)
        candidate.sequence, candidate.at = beat.sequence, now
        return Dropped.UNPROVEN

    def _hear_again(self, peer: Peer, beat: Packet, via: str, now: float, *, is_proof: bool) -> Dropped | bool:
        """A peer that is not heard: only what is newer than all we had of it, and proven, makes it heard."""
        if beat.sequence <= peer.sequence:
            return _old(beat.sequence, peer.sequence)
        peer.sequence, peer.heard_at = beat.sequence, now
        if beat.flags & GOODBYE:
            peer.missing_since = None
            return False
        if not is_proof:
            return Dropped.UNPROVEN
        peer.heard_since, peer.missing_since = now, None
        peer.paths.clear()
        self._take_in(peer, beat, now)
        self._heard_on_path(peer, beat, via, now)
        return True

    def _hear_on(self, peer: Peer, beat: Packet, via: str, now: float) -> Dropped | bool:
        path = peer.paths.get(via)
        is_seen = path is not None and beat.sequence <= path.sequence
        if is_seen or beat.sequence + OVERTAKEN_PACKETS < peer.sequence:
            return Dropped.REPLAYED
        if beat.flags & GOODBYE:
            peer.sequence = max(beat.sequence, peer.sequence)
            self._depart(peer)
            return False
        if beat.sequence > peer.sequence:
            peer.sequence = beat.sequence
            self._take_in(peer, beat, now)
        self._heard_on_path(peer, beat, via, now)
        return False

    def _take_in(self, peer: Peer, beat: Packet, now: float) -> None:
        age = beat.contact_age_milliseconds
        peer.heard_at = now
        peer.contact = NEVER if age is None else now - age / 1000
        peer.silence_seconds = (MISSED_INTERVALS + GRACE_INTERVALS) * beat.interval_milliseconds / 1000
        peer.expires = now + peer.silence_seconds
        if beat.flags != peer.flags or beat.interfaces != peer.interfaces:
            peer.flags, peer.interfaces = beat.flags, beat.interfaces
            self.news[peer.node] = None

    def _heard_on_path(self, peer: Peer, beat: Packet, via: str, now: float) -> None:
        path = peer.paths.get(via)
        if path is None:
            path = peer.paths[via] = _Path()
            self.news[peer.node] = None
        path.sequence = beat.sequence
        path.expires = now + peer.silence_seconds
        self._deadline = min(self._deadline, peer.expires, path.expires)

    def _depart(self, peer: Peer) -> None:
        peer.heard_since = peer.missing_since = None
        peer.paths.clear()
        self.news[peer.node] = None

    def _lose(self, peer: Peer, now: float) -> None:
        self._depart(peer)
        peer.missing_since = now


def _turned(items: list[tuple[bytes, int]], by: int) -> list[tuple[bytes, int]]:
    start = by % len(items) if items else 0
    return items[start:] + items[:start]


def _old(sequence: int, newest: int) -> Dropped:
    return Dropped.DUPLICATE if sequence == newest else Dropped.REPLAYED


def _is_sought(peer: Peer, now: float) -> bool:
    return peer.missing_since is not None and now - peer.missing_since < SEARCH_SECONDS
