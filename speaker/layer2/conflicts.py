"""Other machines that use our addresses: when to defend, when to ask whether they still do, and what to report.

RFC 5227 §2.4 (c) is for addresses that must stay where they are: defend by one announcement, and not again within
DEFEND_INTERVAL, whatever the other machine does. Knows no sockets and no API. The caller tells strangers from speakers:
speakers' claims are part of every take-over, and ownership settles them, never defence.
"""

from collections.abc import Callable
from dataclasses import dataclass

from speaker.own.entries import Entry, conflict

DEFEND_INTERVAL_SECONDS = 10.0  # RFC 5227 §1.1
ASK_SECONDS = 15.0
"""A machine that has the address may send nothing for hours. After so long a silence it is asked, by a frame to it
alone, ..."""
FORGET_SECONDS = 60.0
"""... and after three questions without an answer it is gone. An address found in use by probing is probed again
sooner."""
BELIEVE_SECONDS = 1.0
"""A speaker's new MAC may be on the wire before its Speaker object shows it. The report waits for that; defence does
not."""
GOES_ON_SECONDS = 8.0
"""One of our nodes claims an address of this one at each take-over, and its last frame may come late. What goes on for
longer is its kernel, or a speaker that sees things differently."""
SHOW_AGAIN_SECONDS = 30.0
"""How often count and last sighting of a known conflict are written: each write goes to every watcher of the
Speaker."""
MOST_CONFLICTS = 256
"""As many as the report holds. When there are more, the one seen longest ago is dropped."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A frame in which the machine `mac` used `address`, heard on `interface`.

    `node`: of our nodes the one that it was; "" = of none.
    """

    address: str
    interface: str
    mac: str
    node: str = ""


@dataclass(slots=True)
class _Sighting:
    """What is known of one address. Times are monotonic seconds; `first_seen`, `last_seen` are RFC 3339."""

    claim: Claim
    is_announced: bool
    first: float
    last: float
    first_seen: str
    last_seen: str
    count: int = 1
    asked: float = float("-inf")
    shown: float = float("-inf")
    entry: Entry | None = None


class Conflicts:
    """Conflicts by address; of several machines only the one seen last is kept."""

    def __init__(self) -> None:
        self._sightings: dict[str, _Sighting] = {}
        self._defended: dict[tuple[str, str], float] = {}

    def __len__(self) -> int:
        """How many conflicts are reported: see `believed`."""
        return sum(1 for one in self._sightings.values() if one.entry is not None)

    def seen(self, claim: Claim, now: float, timestamp: str, *, is_announced: bool = True) -> bool:
        """Another machine used an address. Returns whether to defend it now; it then counts as defended.

        `is_announced` False: the address was only probed, so there is nothing to defend. Nor is it against our nodes.
        """
        self._note(claim, now, timestamp, is_announced)
        where = (claim.address, claim.interface)
        if not is_announced or claim.node or now - self._defended.get(where, float("-inf")) < DEFEND_INTERVAL_SECONDS:
            return False
        self._defended[where] = now
        return True

    def drop(self, address: str) -> None:
        """The address is not ours any more, or was found free."""
        self._sightings.pop(address, None)

    def drop_nodes(self, address: str) -> None:
        """This node does not own the address now: that another of our nodes claims it is no conflict."""
        known = self._sightings.get(address)
        if known is not None and known.claim.node and known.is_announced:
            del self._sightings[address]

    def silent(self, now: float) -> list[Claim]:
        """The machines to ask now whether they still use an address that we announce; they count as asked."""
        found = [one for one in self._sightings.values() if one.is_announced]
        due = [one for one in found if now - max(one.last, one.asked) >= ASK_SECONDS]
        for one in due:
            one.asked = now
        return [one.claim for one in due]

    def believed(self, now: float, is_speakers: Callable[[str], bool]) -> list[Entry]:
        """What the report should say, in the order of addresses.

        Forgets machines that are gone, and those that turned out to be speakers.
        """
        self._forget(now, is_speakers)
        for one in self._sightings.values():
            is_told_lately = one.entry is not None and now - one.shown < SHOW_AGAIN_SECONDS
            is_another = one.entry is not None and one.entry["mac"] != one.claim.mac
            if _is_believed(one, now) and (is_another or not is_told_lately):
                one.shown, one.entry = now, _entry(one)
        return [one.entry for _, one in sorted(self._sightings.items()) if one.entry is not None]

    def _note(self, claim: Claim, now: float, timestamp: str, is_announced: bool) -> None:
        known = self._sightings.get(claim.address)
        if known is not None and claim.node and not known.claim.node:
            return  # a stranger is worse
        self._sightings.pop(claim.address, None)
        if known is None or known.is_announced != is_announced or known.claim.node != claim.node:
            known = _Sighting(claim, is_announced, now, now, timestamp, timestamp)
        else:
            known.claim, known.last, known.last_seen = claim, now, timestamp
            known.count += 1
        self._sightings[claim.address] = known  # in the order of sightings
        if len(self._sightings) > MOST_CONFLICTS:
            del self._sightings[next(iter(self._sightings))]

    def _forget(self, now: float, is_speakers: Callable[[str], bool]) -> None:
        for address, one in list(self._sightings.items()):
            is_a_speaker = not one.claim.node and is_speakers(one.claim.mac)
            if now - one.last >= FORGET_SECONDS or is_a_speaker:
                del self._sightings[address]
        for where, at in list(self._defended.items()):
            if now - at >= DEFEND_INTERVAL_SECONDS:
                del self._defended[where]


def _is_believed(one: _Sighting, now: float) -> bool:
    if one.claim.node and one.is_announced:
        return one.last - one.first >= GOES_ON_SECONDS
    return now - one.first >= BELIEVE_SECONDS


def _entry(one: _Sighting) -> Entry:
    return conflict(
        one.claim.address,
        one.claim.mac,
        one.claim.interface,
        announced=one.is_announced,
        first_seen=one.first_seen,
        last_seen=one.last_seen,
        count=one.count,
        node=one.claim.node,
    )
