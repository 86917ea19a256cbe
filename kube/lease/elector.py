"""Which process may lead, by one Lease: the decisions of leader election, as client-go's leaderelection makes them.

Pure: the caller says what was read and written, and when, on this machine's monotonic clock. kube.lease.io.election
sends the requests.

No clock of another machine is ever looked at. A standby counts from the moment it *saw* the Lease change: when it has
not seen it change for the Lease's duration, the holder has not renewed for at least as long. The holder counts from the
moment it *sent* its last successful renewal, which is before anybody can have seen it. So the holder stops first,
whatever the clocks say, as long as they run at about the same speed; the difference between `lease_duration` and
`renew_deadline` is the margin for that, and for writes in flight.
"""

from dataclasses import dataclass
from typing import Any

from kube.objects import Lease, LeaseSpec


@dataclass(frozen=True, slots=True)
class ElectionTimes:
    """All in seconds. Defaults are client-go's."""

    lease_duration: float = 15.0
    renew_deadline: float = 10.0
    retry_period: float = 2.0

    def __post_init__(self) -> None:
        if not 0 < self.retry_period < self.renew_deadline < self.lease_duration:
            raise ValueError("leader election needs 0 < retry_period < renew_deadline < lease_duration")


@dataclass(frozen=True, slots=True)
class Claim:
    """What to write to hold the Lease. `is_new` = create it; otherwise a merge patch that names a resourceVersion."""

    is_new: bool
    body: dict[str, Any]


class Elector:
    """`identity` must be unique to this process: a Lease in this name is taken for our own."""

    def __init__(self, identity: str, times: ElectionTimes) -> None:
        if not identity:
            raise ValueError("an empty identity means that nobody holds the Lease")
        self.identity = identity
        self.times = times
        self.must_read = True
        """Whether the Lease has to be read (`observe`) before the next `claim`."""
        self._lease: Lease | None = None
        self._seen_at = 0.0
        self._renewal_sent: float | None = None

    @property
    def leader(self) -> str | None:
        """The holder as last read; None when there is none, or nothing was read yet."""
        return self._spec.holder_identity or None

    def is_leader(self, now: float) -> bool:
        """Whether nobody else can hold the Lease yet, with a margin."""
        return now < self.leads_until()

    def leads_until(self) -> float:
        """When leadership ends unless it is renewed before; in the past when not leading."""
        if self._renewal_sent is None:
            return float("-inf")
        return self._renewal_sent + self.times.renew_deadline

    def observe(self, lease: Lease | None, now: float) -> None:
        """The Lease as read at `now`; None = there is none."""
        self.must_read = False
        self._remember(lease, now)

    def claim(self, now: float, wall: str) -> Claim | None:
        """What to write now, to take or to keep the Lease; None while it is somebody else's. `wall` is a MicroTime."""
        if self._is_held_by_another(now):
            self._renewal_sent = None
            return None
        spec = {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": max(1, round(self.times.lease_duration)),
            "renewTime": wall,
        }
        if self._lease is None:
            return Claim(True, {"spec": {**spec, "acquireTime": wall, "leaseTransitions": 0}})
        if self.leader != self.identity:
            spec |= {"acquireTime": wall, "leaseTransitions": (self._spec.lease_transitions or 0) + 1}
        return Claim(False, self._patch(spec))

    def claimed(self, lease: Lease, sent: float) -> None:
        """The claim was written; `sent` is when the request went out, `lease` what came back."""
        self._remember(lease, sent)
        self._renewal_sent = sent

    def refused(self) -> None:
        """The claim was not written, or we don't know, or what we read is old: look again before the next."""
        self.must_read = True

    def resign(self, wall: str) -> dict[str, Any] | None:
        """The merge patch that frees the Lease, so that others need not wait; None when we do not hold it."""
        self._renewal_sent = None
        self.must_read = True
        if self._lease is None or self.leader != self.identity:
            return None
        # One second, as client-go writes it: should a reader not take "" for free, it has not long to wait.
        return self._patch({"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": wall, "acquireTime": wall})

    @property
    def _spec(self) -> LeaseSpec:
        return LeaseSpec() if self._lease is None else self._lease.spec

    def _is_held_by_another(self, now: float) -> bool:
        if self.leader is None or self.leader == self.identity:
            return False
        return now < self._seen_at + (self._spec.lease_duration_seconds or self.times.lease_duration)

    def _remember(self, lease: Lease | None, now: float) -> None:
        before = self._lease
        self._lease = lease
        if before is None or lease is None or before.spec != lease.spec or before.metadata.uid != lease.metadata.uid:
            self._seen_at = now

    def _patch(self, spec: dict[str, Any]) -> dict[str, Any]:
        assert self._lease is not None
        meta = self._lease.metadata
        return {"metadata": {"uid": meta.uid, "resourceVersion": meta.resource_version}, "spec": spec}
