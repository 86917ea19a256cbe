"""The releases in which this speaker has a say: which are asked for, what is still in their way, which are confirmed.

    the mark is seen            observe: asked for, by uid, at a generation
    each course withdraws       may_be_heard(address): layer 2 by the wire's word, BGP by the routers'
    no course may be heard      settle: confirmed in the ReleaseConfirmation, `released[uid] = generation`
    the allocation is gone      observe: the confirmation goes, since nobody asks for it any more

A confirmation can't be taken back: from then on the address may be given to somebody else. So it is made here alone,
and of nothing but what every course says at that moment. Pure.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from speaker.cluster.objects import Allocation
from speaker.cluster.state import Change, ClusterState, Kind
from speaker.course import Course
from speaker.moment import Moment
from speaker.own.patched import PatchedMap


class _Asked(NamedTuple):
    address: str
    generation: int


class Releases:
    """`confirmed`: the map of the ReleaseConfirmation. Lives as long as the process."""

    def __init__(self, courses: Sequence[Course[Any, Any]], confirmed: PatchedMap[int]) -> None:
        self._courses = courses
        self._confirmed = confirmed
        self._asked: dict[str, _Asked] = {}

    def begin(self, cluster: ClusterState) -> None:
        """A new registration: everything is read anew."""
        self._asked.clear()
        cluster.subscribe(self.observe)

    def observe(self, change: Change) -> None:
        """An allocation was marked, or is gone. Of others nobody would ever ask, and the entry would stay."""
        if change.kind is not Kind.ALLOCATION:
            return
        old: Allocation | None = change.old
        new: Allocation | None = change.new
        if old is not None and (new is None or new.uid != old.uid):
            self._asked.pop(old.uid, None)
            self._confirmed.drop(old.uid)
        if new is not None and new.is_releasing:
            self._asked[new.uid] = _Asked(new.address, new.generation)
        elif new is not None:
            self._asked.pop(new.uid, None)

    def forget_unread(self, cluster: ClusterState) -> None:
        """Once the cluster was read in full: what vanished between two registrations was never seen to go."""
        for uid in self._confirmed.keys() - cluster.uids:
            self._confirmed.drop(uid)

    @property
    def addresses(self) -> list[str]:
        """Those whose release is asked for and not confirmed."""
        return [one.address for one in self._asked.values()]

    def settle(self, now: Moment) -> bool:
        """Confirm what no course may be heard for any more. Whether anything was confirmed."""
        silent = [uid for uid, one in self._asked.items() if self._is_silent(one.address, now)]
        for uid in silent:
            self._confirmed.put(uid, self._asked.pop(uid).generation)
        return bool(silent)

    def _is_silent(self, address: str, now: Moment) -> bool:
        return not any(course.may_be_heard(address, now) for course in self._courses)
