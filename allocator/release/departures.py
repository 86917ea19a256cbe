"""Speakers whose object is gone while routers may still send traffic by their routes. Pure.

Deleting a Speaker, or its Node, says that it is dead. It does not say so to its routers: they keep its routes for the
hold time (RFC 4271) or the restart time (RFC 4724), which was in the status of the object that is gone
(`outlivesSeconds`). So every allocator keeps it in memory, also those that do not lead.
"""

from dataclasses import dataclass

from allocator.release.speakers import SpeakerState


@dataclass(frozen=True, slots=True)
class Departed:
    """A Speaker as it was last, and when it was known to be gone: monotonic seconds."""

    speaker: SpeakerState
    since: float

    def remaining_seconds(self, now: float) -> float:
        """For how long routers may keep its routes; never negative."""
        return max(0.0, self.speaker.outlives_seconds - (now - self.since))


class Departures:
    """`now`: monotonic seconds, the same clock in all calls."""

    def __init__(self) -> None:
        self._departed: dict[str, Departed] = {}

    def gone(self, speaker: SpeakerState, now: float) -> None:
        """Its object does not exist any more. Told again, it counts from the first time."""
        if speaker.outlives_seconds and not speaker.goodbye:
            self._departed.setdefault(speaker.metadata.uid, Departed(speaker, now))

    def exists(self, speaker: SpeakerState) -> None:
        """Also under another uid: a process that registers again knows itself what its routers have."""
        for uid, one in list(self._departed.items()):
            if uid == speaker.metadata.uid or _are_one_process(one.speaker, speaker):
                del self._departed[uid]

    def at(self, now: float) -> tuple[Departed, ...]:
        """Those that count still. The others are forgotten."""
        self._departed = {uid: one for uid, one in self._departed.items() if one.remaining_seconds(now)}
        return tuple(self._departed.values())


def _are_one_process(one: SpeakerState, other: SpeakerState) -> bool:
    return one.node == other.node and one.status.incarnation == other.status.incarnation != ""
