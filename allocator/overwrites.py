"""Services whose status another program writes, too: what they should show is restored, at once at first, then rarely.

Two load balancers that both take a Service for theirs would write over each other as fast as they can. Knows by itself
whether what a Service showed right was undone; who did it is read from its managedFields (KEP-555). Pure. `now`:
monotonic seconds.
"""

from dataclasses import dataclass, replace

from allocator.status.service import Wanted
from crds.conditions import Reason

AT_ONCE = 5
"""So often it is restored at once: what a person edits by hand, or a program that is about to end."""

EVERY_SECONDS = 30.0
"""And then so often."""

QUIET_SECONDS = 120.0
"""It is over when nothing was undone for so long: four times as long as it takes to see that it goes on."""

MOST = 1000
"""Of Services that are remembered; the one that was restored first is forgotten first."""


@dataclass(slots=True)
class _Undone:
    count: int = 0
    restored_at: float = 0.0
    writer: str | None = None
    """Who did it; "" = nobody knows, None = it was not looked for."""


class Overwrites:
    """By the Service's uid. `our_class`: the loadBalancerClass that this allocator serves."""

    def __init__(self, our_class: str) -> None:
        self._our_class = our_class
        self._shown: dict[str, int] = {}
        """What a Service was seen to show when nothing was left to write; as a hash, since there are thousands."""
        self._sent: dict[str, int] = {}
        self._undone: dict[str, _Undone] = {}

    def shows(self, uid: str, wanted: Wanted) -> None:
        """It shows what it should."""
        self._shown[uid] = _seen_as(wanted)
        self._sent.pop(uid, None)

    def sent(self, uid: str, wanted: Wanted) -> None:
        """This is being written."""
        self._sent[uid] = _seen_as(wanted)

    def arrived(self, uid: str) -> None:
        """What was being written is written, whatever has become of it since."""
        if (sent := self._sent.pop(uid, None)) is not None:
            self._shown[uid] = sent

    def is_undone(self, uid: str, wanted: Wanted) -> bool:
        """Whether a Service that does not show this now has shown it, and nothing else was to be shown since."""
        return self._shown.get(uid) == _seen_as(wanted)

    def restore_at(self, uid: str, now: float) -> float:
        """When what was undone is to be written again. When that is now, it counts as done: once, also where the API
        server takes it at the second attempt only."""
        found = self._known(uid, now) or _Undone()
        if found.count and uid in self._sent:
            return now  # what is not there yet is undone by nobody
        if found.count >= AT_ONCE and now < found.restored_at + EVERY_SECONDS:
            return found.restored_at + EVERY_SECONDS
        found.count += 1
        found.restored_at = now
        self._undone.pop(uid, None)
        self._undone[uid] = found
        if len(self._undone) > MOST:
            del self._undone[next(iter(self._undone))]
        return now

    def wants_writer(self, uid: str, now: float) -> bool:
        """Whether it is time to ask who does that: before it is told, and while the Service shows what he wrote."""
        found = self._known(uid, now)
        return found is not None and found.count >= AT_ONCE - 1 and found.writer is None

    def found_writer(self, uid: str, writer: str) -> None:
        """`writer`: as managedFields name him; "" = they name nobody."""
        if (found := self._undone.get(uid)) is not None:
            found.writer = writer

    def over_at(self, uid: str, now: float) -> float | None:
        """When it is over unless it goes on; None when there is nothing to be over."""
        found = self._known(uid, now)
        return None if found is None else found.restored_at + QUIET_SECONDS

    def told(self, uid: str, wanted: Wanted, now: float) -> Wanted:
        """What the Service should show, with a word on the other writer while there is one."""
        found, verdict = self._known(uid, now), wanted.verdict
        if found is None or found.count < AT_ONCE or verdict is None:
            return wanted
        reason = Reason.StatusOverwritten if verdict.satisfied else verdict.reason
        message = f"{verdict.message}. {self._message(found.writer)}"
        return replace(wanted, verdict=replace(verdict, reason=reason, message=message))

    def _message(self, writer: str | None) -> str:
        who = f"{writer}, as managedFields call it," if writer else "Another program"
        return (
            f"{who} writes the status of this Service, too, and undoes what Berth writes; so Berth writes it every "
            f"{EVERY_SECONDS:.0f} s only. Stop that program (ServiceLB of k3s: --disable=servicelb), or create the "
            f"Service anew with spec.loadBalancerClass: {self._our_class}, which is Berth's alone"
        )

    def forget(self, uid: str) -> None:
        """The Service is no more."""
        for known in (self._shown, self._sent, self._undone):
            known.pop(uid, None)

    def _known(self, uid: str, now: float) -> _Undone | None:
        found = self._undone.get(uid)
        if found is not None and now >= found.restored_at + QUIET_SECONDS:
            del self._undone[uid]
            return None
        return found


def _seen_as(wanted: Wanted) -> int:
    return hash((wanted.ingress, wanted.has_finalizer, wanted.verdict))
