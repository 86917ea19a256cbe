"""What the allocator counts, for Prometheus. Gauges are set from a snapshot when somebody asks; judges nothing.

No label carries a Service or an address: there may be thousands.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from allocator.assigner import Assigner
from allocator.ledger import Ledger
from allocator.release.speakers import Liveness
from allocator.status.pool import capacity_of
from allocator.status.states import PoolAndState
from crds.addresses import FAMILIES
from kube.process.io.prometheus import Families, PrometheusMetrics, bounded

ALLOCATION_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
RELEASE_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 90.0, 300.0, 1800.0)


@dataclass(frozen=True)
class Snapshot:
    """How things stand while this process leads. `addresses`: how many, by pool and state. `now`: monotonic seconds."""

    assigner: Assigner
    addresses: Mapping[PoolAndState, int] = field(default_factory=dict)
    speakers: Mapping[Liveness, int] = field(default_factory=dict)
    speakers_without_promise: int = 0
    now: float = 0.0


class AllocatorMetrics:
    """One process's metrics; `kube` counts what kube/ does. A standby counts no pools and no Services."""

    def __init__(self) -> None:
        self.families = families = Families("allocator")
        self.kube = PrometheusMetrics(families)
        self._capacity = families.gauge(
            "berth_pool_addresses", "Addresses of the pool that Services may have.", "pool", "family"
        )
        self._allocated = families.gauge(
            "berth_pool_addresses_allocated", "Addresses of the pool that are held, or not free yet.", "pool", "family"
        )
        self._free = families.gauge(
            "berth_pool_addresses_free", "Addresses of the pool that could be given out now.", "pool", "family"
        )
        self._addresses = families.gauge(
            "berth_addresses",
            "Addresses that Services hold: Announced, Releasing, Conflicted (another machine uses it too), or why no "
            "node announces them, as condition Announced says (docs/conditions.md). A new one counts after some "
            "seconds.",
            "pool",
            "state",
        )
        self._pending = families.gauge(
            "berth_services_pending",
            "Services that lack an address, by the reason of condition Allocated (docs/conditions.md); NotWritten: the "
            "API server refuses what is to be written about them.",
            "reason",
        )
        self._allocation_seconds = families.histogram(
            "berth_allocation_seconds",
            "From the moment that a Service lacks an address until its status shows one, whatever it waited for.",
            ALLOCATION_SECONDS,
        )
        self._releasing = families.gauge("berth_releases_pending", "Addresses that wait for speakers to let them go.")
        self._oldest_release = families.gauge(
            "berth_oldest_release_seconds", "How long the oldest of these has waited, as far as this leader knows."
        )
        self._release_seconds = families.histogram(
            "berth_release_seconds",
            "From the mark on an address that is given back until every speaker has let it go.",
            RELEASE_SECONDS,
        )
        self._speakers = families.gauge(
            "berth_speakers", "Speakers in the cluster: Alive, Silent, Stopped or NotRegistered.", "state"
        )
        self._without_promise = families.gauge(
            "berth_speakers_without_promise",
            "Speakers alive that do not promise to withdraw by themselves: releases wait for these without end.",
        )
        self._queued = families.gauge("berth_queue_keys", "Services and addresses that wait to be looked at.")
        self._results = families.counter(
            "berth_allocations_total",
            "Decisions about Services, when they change; docs/conditions.md has the reasons.",
            "reason",
        )
        self._released = families.counter("berth_releases_total", "Addresses that were given back.")
        self._failures = families.counter(
            "berth_write_failures_total",
            "Writes about Services and addresses that were refused or lost; code 0: no answer.",
            "write",
            "code",
        )

    def decided(self, reason: str) -> None:
        """A Service's condition changed to this reason."""
        self._results.labels(reason).inc()

    def allocated(self, seconds: float) -> None:
        """A Service has what it waited for."""
        self._allocation_seconds.observe(seconds)

    def release_passed(self, seconds: float) -> None:
        """An address passed its barrier."""
        self._release_seconds.observe(seconds)

    def released(self) -> None:
        """The record of an address that passed its barrier is deleted."""
        self._released.inc()

    def write_failed(self, write: str, code: int) -> None:
        """`code` is the HTTP code, 0 without an answer."""
        self._failures.labels(write, str(code)).inc()

    def page(self, snapshot: Snapshot | None) -> bytes:
        """The text that Prometheus reads. None while this process does not lead."""
        self.show(snapshot)
        return self.families.page()

    def show(self, snapshot: Snapshot | None) -> None:
        """Set the gauges."""
        for gauge in (self._capacity, self._allocated, self._free, self._addresses, self._pending, self._speakers):
            gauge.clear()
        for gauge in (self._releasing, self._oldest_release, self._queued, self._without_promise):
            gauge.set(0)
        if snapshot is None:
            return
        labels = bounded(
            {pool.name for pool in snapshot.assigner.ledger.pools.in_order} | {pool for pool, _ in snapshot.addresses}
        )
        self._show_pools(snapshot.assigner.ledger, labels)
        for (pool, state), count in snapshot.addresses.items():
            self._addresses.labels(labels[pool], state).inc(count)
        for reason, count in snapshot.assigner.pending().items():
            self._pending.labels(reason).set(count)
        for liveness in Liveness:
            self._speakers.labels(liveness.value).set(snapshot.speakers.get(liveness, 0))
        self._without_promise.set(snapshot.speakers_without_promise)
        marks = snapshot.assigner.marks.values()
        self._releasing.set(len(marks))
        self._oldest_release.set(max((snapshot.now - mark.known_at for mark in marks), default=0.0))
        self._queued.set(len(snapshot.assigner.queue))

    def _show_pools(self, ledger: Ledger, labels: Mapping[str, str]) -> None:
        for pool in ledger.pools.in_order:
            label = labels[pool.name]
            for family in FAMILIES:
                if pool.has(family):
                    self._capacity.labels(label, family).inc(capacity_of(pool, family, ledger))
                    self._allocated.labels(label, family).inc(ledger.held_in_pool(pool.name, family))
                    self._free.labels(label, family).inc(ledger.free_in(pool, family).count)
