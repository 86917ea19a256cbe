"""Speakers whose object is gone while routers may still send traffic by their routes. Pure.

Deleting a Speaker, or its Node, says that it is dead. It does not say so to its routers: they keep its routes for the
hold time (RFC 4271) or the restart time (RFC 4724), which was in the status of the object that is gone. So every
allocator keeps it in memory, also those that do not lead, and the leader writes it down: a DepartedSpeaker, which the
next process counts from when it sees it first. No clocks of two machines are compared, and no count is too short.

It is over when the time is, when the same process has registered anew, since then it knows itself what its routers
have, and when the DepartedSpeaker is deleted: that is an operator's word that the routers have dropped the routes.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from allocator.release.speakers import Router, SpeakerState, seconds_by_router
from crds.speaker import MOST_ROUTERS
from kube.decoding import decoder
from kube.objects import KubeObject

MOST_SECONDS = 2**31 - 1
"""What the API takes (int32): 68 years, and so until an operator's word."""


@dataclass(frozen=True, slots=True)
class Departed:
    """What is known of a Speaker that is gone. `uid` is that of the Speaker, and the name of the DepartedSpeaker.

    `routers`: for how many seconds from `since` on each may keep its routes, by address. `since`: monotonic seconds.
    `released`: what its process had confirmed, generations by the uid of the IPAllocation.
    """

    uid: str
    node: str
    incarnation: str
    routers: Mapping[str, int]
    since: float
    released: Mapping[str, int] = field(default_factory=dict)

    def remaining(self, now: float) -> dict[str, float]:
        """The routers that may have its routes still, and for how many seconds, by address."""
        passed = now - self.since
        return {router: seconds - passed for router, seconds in sorted(self.routers.items()) if seconds > passed}

    def has_registered_anew(self, speakers: Iterable[SpeakerState]) -> bool:
        """Whether its process has another Speaker among these."""
        return any(
            one.node == self.node and one.incarnation == self.incarnation != "" and one.metadata.uid != self.uid
            for one in speakers
        )


def departed(speaker: SpeakerState, since: float, confirmed: Mapping[str, int] | None = None) -> Departed:
    """A Speaker as it was last."""
    return Departed(
        speaker.metadata.uid,
        speaker.node,
        speaker.incarnation,
        speaker.routers(),
        since,
        confirmed or {},
    )


class _Spec(msgspec.Struct, frozen=True, gc=False):
    node: str = ""
    incarnation: str = ""
    routers: tuple[Router, ...] | None = None


class StoredDeparture(KubeObject, frozen=True, kw_only=True, gc=False):
    """A DepartedSpeaker; its name is the Speaker's uid."""

    spec: _Spec = _Spec()

    def departed(self, since: float) -> Departed:
        """As seen for the first time at `since`."""
        routers = seconds_by_router(self.spec.routers)
        return Departed(self.metadata.name, self.spec.node, self.spec.incarnation, routers, since)


decode_departure = decoder(StoredDeparture)


class Departures:
    """`now`: monotonic seconds, the same clock in all calls."""

    def __init__(self) -> None:
        self._departed: dict[str, Departed] = {}
        self._stored: set[str] = set()
        self._ended: set[str] = set()
        """Those whose DepartedSpeaker was deleted, since a watch that lags may tell of them again."""

    def gone(self, speaker: SpeakerState, now: float, confirmed: Mapping[str, int] | None = None) -> None:
        """Its object does not exist any more. Told again, it counts from the first time. `confirmed`: what its process
        had confirmed."""
        uid = speaker.metadata.uid
        if uid in self._ended or uid in self._departed or speaker.goodbye:
            return
        one = departed(speaker, now, confirmed)
        if one.routers:
            self._departed[uid] = one

    def returned(self, speaker: SpeakerState) -> None:
        """It exists, and was not known: after a restore of the API server's storage one that was gone may be back."""
        uid = speaker.metadata.uid
        self._ended.discard(uid)
        if uid not in self._stored:
            self._departed.pop(uid, None)

    def stored_seen(self, stored: StoredDeparture, now: float) -> None:
        """Its DepartedSpeaker exists. Told again, it counts from the first time."""
        one = stored.departed(now)
        if one.uid in self._stored:
            return
        self._stored.add(one.uid)
        self._ended.discard(one.uid)
        self._departed.setdefault(one.uid, one)

    def stored_gone(self, uid: str) -> None:
        """Its DepartedSpeaker was deleted, by an operator or by the leader: it is over."""
        self._stored.discard(uid)
        if self._departed.pop(uid, None) is not None:
            self._ended.add(uid)

    def at(self, now: float, speakers: Iterable[SpeakerState]) -> tuple[Departed, ...]:
        """Those that count still; the others are forgotten. `speakers`: that exist, or existed a moment ago."""
        speakers = list(speakers)
        self._departed = {
            uid: one
            for uid, one in self._departed.items()
            if one.remaining(now) and not one.has_registered_anew(speakers)
        }
        return tuple(self._departed.values())

    # What the leader does about their objects, after `at`

    def unwritten(self, now: float) -> list[dict[str, Any]]:
        """The DepartedSpeakers to create, as JSON. Each router has as many seconds as are left."""
        return [_body(one, now) for uid, one in self._departed.items() if uid not in self._stored]

    def over(self) -> list[str]:
        """The names of the DepartedSpeakers to delete."""
        return sorted(self._stored - self._departed.keys())


def _body(one: Departed, now: float) -> dict[str, Any]:
    routers = [
        {"address": router, "outlivesSeconds": min(math.ceil(left), MOST_SECONDS)}
        for router, left in one.remaining(now).items()
    ]
    spec = {"node": one.node, "incarnation": one.incarnation, "routers": routers[:MOST_ROUTERS]}
    return {"metadata": {"name": one.uid}, "spec": spec}
