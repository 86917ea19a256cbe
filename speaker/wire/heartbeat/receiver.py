"""Which members (the other speakers) are heard now, on which of our interfaces, and what they say of themselves.

No I/O and no clock: `now` is CLOCK_BOOTTIME in seconds, which goes on while a machine is suspended. It gets packets
that are parsed and signed. It sends none (sender.py does), and decides nothing about addresses.

A member is **heard** from the first packet that echoes a recent sequence number of ours. That ends when three of its
own intervals have passed without a packet, or when it says goodbye. What makes old packets worthless:

* Within one incarnation sequence numbers only rise. What was seen on an interface does not count there again, and no
  packet counts that is a few numbers behind the newest.
* A new incarnation, and one that was lost or had said goodbye, must echo something that we sent within the last
  seconds. No recording can: not for a receiver that restarted and knows no numbers, not of a process long gone, and no
  clock of any machine has to be right for it.
* Of two incarnations of a member, the later one echoes the later number of ours. So packets that its predecessor sent
  in these last seconds, and packets that came late, do not bring the predecessor back.

Memory is bounded by the number of known members: unknown ones leave nothing behind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from speaker.wire.deadlines import earliest, is_due
from speaker.wire.heartbeat.packets import BEHIND, GOODBYE, LEAVING, MEMBER, SERVING, Dropped, Packet, tag_of
from speaker.wire.messages import NEVER, Member

MISSED_INTERVALS = 3
# The third missed packet may be a little late, by the sender's timer and both machines' schedulers.
GRACE_INTERVALS = 0.25
# A member's copies of one packet on several interfaces may overtake each other.
OVERTAKEN_PACKETS = 3
# A member that was lost lately may be back any moment.
SEARCH_SECONDS = 120.0
# An echo is of use only while its number is recent for its sender.
ECHO_SECONDS = 5.0
# A node restarts its speaker seldom. A replay of old incarnations must not push the real one out.
CANDIDATES_PER_MEMBER = 4

UNICAST = ""
"""In place of an interface: not heard by multicast, but by packets sent to our address."""


class _Path:
    """Where a member is heard."""

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


class KnownMember:
    """One member that we listen to, heard or not. Only the Receiver changes its fields."""

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
        """On any path but UNICAST. Asked of every member with each packet that is sent."""
        return len(self.paths) > (UNICAST in self.paths)


class Receiver:
    """The known members. Time must not run backwards between calls."""

    def __init__(self) -> None:
        self.members: dict[str, KnownMember] = {}
        self.news: dict[str, None] = {}
        """Nodes that were heard, lost or changed since the caller last emptied this; in order."""
        self._deadline: float | None = None
        self._echo_turn = 0

    def know(self, members: Mapping[str, Sequence[str]], now: float) -> None:
        """These are the members, by node, with their unicast addresses. Repeating it changes nothing."""
        for node in [node for node in self.members if node not in members]:
            if self.members.pop(node).heard_since is not None:
                self.news[node] = None
        for node, addresses in members.items():
            member = self.members.get(node)
            if member is None:
                self.members[node] = KnownMember(node, addresses, now)
            else:
                member.addresses = tuple(addresses)

    def hear(self, beat: Packet, via: str, now: float, *, proof: int | None) -> Dropped | bool:
        """Take in one packet. `proof`: the number of ours that it echoes, if that is a recent one.

        Returns why it does not count, or else whether its sender is heard newly and wants an answer at once.
        """
        member = self.members.get(beat.node)
        if member is None:
            return Dropped.UNKNOWN
        if beat.incarnation != member.incarnation and (why := self._meet(member, beat, now, proof)):
            return why
        if proof is not None:
            member.proof = max(member.proof, proof)
        if member.heard_since is None:
            return self._hear_again(member, beat, via, now, is_proof=proof is not None)
        return self._hear_on(member, beat, via, now)

    def expire(self, now: float) -> None:
        """Notice who has been silent for too long."""
        if not is_due(self._deadline, now):
            return
        deadline = None
        for member in self.members.values():
            if member.heard_since is None:
                continue
            if member.expires <= now:
                self._lose(member, now)
                continue
            for name in [name for name, path in member.paths.items() if path.expires <= now]:
                del member.paths[name]
                self.news[member.node] = None
            deadline = earliest(deadline, member.expires, *(path.expires for path in member.paths.values()))
        self._deadline = deadline

    def deadline(self) -> float | None:
        """When to call `expire` next; None = when somebody was heard. May be early, never late."""
        return self._deadline

    def resume(self, now: float) -> None:
        """We did not listen for a while. A member that could not be heard is not dead: the time starts anew for all."""
        for member in self.members.values():
            member.candidates.clear()
            if member.heard_since is not None:
                member.expires = max(member.expires, now + member.silence_seconds)
                for path in member.paths.values():
                    path.expires = max(path.expires, now + member.silence_seconds)

    def echoes(self, room: int, now: float) -> list[tuple[bytes, int]]:
        """The members to echo in the next packet, with their numbers: those unproven first, then the rest in turn."""
        urgent = [
            (one.tag, one.sequence)
            for member in self.members.values()
            for one in member.candidates.values()
            if now - one.at < ECHO_SECONDS
        ]
        recent = [member for member in self.members.values() if now - member.heard_at < ECHO_SECONDS]
        urgent += [(member.tag, member.sequence) for member in recent if member.heard_since is None]
        heard = [(member.tag, member.sequence) for member in recent if member.heard_since is not None]
        self._echo_turn += room
        return (_turned(urgent, self._echo_turn) + _turned(heard, self._echo_turn))[:room]

    def is_searching(self, now: float) -> bool:
        """Whether a member is missing that may be back any moment."""
        return any(_is_sought(member, now) for member in self.members.values())

    def unicast(self, now: float, *, long_lost: bool) -> list[KnownMember]:
        """The members that need a unicast. `long_lost`: also those for which the search is over."""
        return [
            member
            for member in self.members.values()
            if member.addresses
            and not member.is_heard_by_multicast
            and (long_lost or member.heard_since is not None or _is_sought(member, now))
        ]

    def _meet(self, member: KnownMember, beat: Packet, now: float, proof: int | None) -> Dropped | None:
        """An incarnation that is not the one we know: adopted when it proves to be of today, and later than that one.

        A process starts after the end of its predecessor, so it hears, and echoes, only what we sent after that.
        """
        if proof is None:
            return self._consider(member, beat, now)
        if proof <= member.proof:
            return Dropped.RETIRED
        member.candidates.clear()
        member.incarnation, member.tag = beat.incarnation, tag_of(beat.node, beat.incarnation)
        member.sequence = member.proof = -1
        member.paths.clear()
        if member.heard_since is not None:
            member.heard_since = None
            self.news[member.node] = None
        return None

    def _consider(self, member: KnownMember, beat: Packet, now: float) -> Dropped:
        """It will be echoed, so that it can echo us and so prove itself."""
        candidate = member.candidates.get(beat.incarnation)
        if candidate is None:
            if len(member.candidates) == CANDIDATES_PER_MEMBER:
                del member.candidates[next(iter(member.candidates))]
            candidate = member.candidates[beat.incarnation] = _Candidate(tag_of(beat.node, beat.incarnation))
        if beat.sequence <= candidate.sequence:
            return _old(beat.sequence, candidate.sequence)
        candidate.sequence, candidate.at = beat.sequence, now
        return Dropped.UNPROVEN

    def _hear_again(self, member: KnownMember, beat: Packet, via: str, now: float, *, is_proof: bool) -> Dropped | bool:
        """A member that is not heard: only what is newer than all we had of it, and proven, makes it heard."""
        if beat.sequence <= member.sequence:
            return _old(beat.sequence, member.sequence)
        member.sequence, member.heard_at = beat.sequence, now
        if beat.flags & GOODBYE:
            member.missing_since = None
            return False
        if not is_proof:
            return Dropped.UNPROVEN
        member.heard_since, member.missing_since = now, None
        member.paths.clear()
        self._take_in(member, beat, now)
        self._heard_on_path(member, beat, via, now)
        return True

    def _hear_on(self, member: KnownMember, beat: Packet, via: str, now: float) -> Dropped | bool:
        path = member.paths.get(via)
        is_seen = path is not None and beat.sequence <= path.sequence
        if is_seen or beat.sequence + OVERTAKEN_PACKETS < member.sequence:
            return Dropped.REPLAYED
        if beat.flags & GOODBYE:
            member.sequence = max(beat.sequence, member.sequence)
            self._depart(member)
            return False
        if beat.sequence > member.sequence:
            member.sequence = beat.sequence
            self._take_in(member, beat, now)
        self._heard_on_path(member, beat, via, now)
        return False

    def _take_in(self, member: KnownMember, beat: Packet, now: float) -> None:
        age = beat.contact_age_milliseconds
        member.heard_at = now
        member.contact = NEVER if age is None else now - age / 1000
        member.silence_seconds = (MISSED_INTERVALS + GRACE_INTERVALS) * beat.interval_milliseconds / 1000
        member.expires = now + member.silence_seconds
        if beat.flags != member.flags or beat.interfaces != member.interfaces:
            member.flags, member.interfaces = beat.flags, beat.interfaces
            self.news[member.node] = None

    def _heard_on_path(self, member: KnownMember, beat: Packet, via: str, now: float) -> None:
        path = member.paths.get(via)
        if path is None:
            path = member.paths[via] = _Path()
            self.news[member.node] = None
        path.sequence = beat.sequence
        path.expires = now + member.silence_seconds
        self._deadline = earliest(self._deadline, member.expires, path.expires)

    def _depart(self, member: KnownMember) -> None:
        member.heard_since = member.missing_since = None
        member.paths.clear()
        self.news[member.node] = None

    def _lose(self, member: KnownMember, now: float) -> None:
        self._depart(member)
        member.missing_since = now


def _turned(items: list[tuple[bytes, int]], by: int) -> list[tuple[bytes, int]]:
    start = by % len(items) if items else 0
    return items[start:] + items[:start]


def _old(sequence: int, newest: int) -> Dropped:
    return Dropped.DUPLICATE if sequence == newest else Dropped.REPLAYED


def _is_sought(member: KnownMember, now: float) -> bool:
    return member.missing_since is not None and now - member.missing_since < SEARCH_SECONDS
