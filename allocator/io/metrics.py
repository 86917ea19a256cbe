"""What the allocator counts, for Prometheus. Gauges are set from a snapshot when somebody asks; judges nothing.

No label carries a Service or an address: there may be thousands.
"""

from allocator.assigner import Assigner
from allocator.status.pool import capacity_of
from crds.addresses import FAMILIES
from kube.process.io.prometheus import Families, PrometheusMetrics, bounded


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
        self._pending = families.gauge("berth_services_pending", "Services that lack an address.")
        self._releasing = families.gauge("berth_releases_pending", "Addresses that wait for speakers to let them go.")
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

    def released(self) -> None:
        """An address passed its barrier, and its record is deleted."""
        self._released.inc()

    def write_failed(self, write: str, code: int) -> None:
        """`code` is the HTTP code, 0 without an answer."""
        self._failures.labels(write, str(code)).inc()

    def render(self, assigner: Assigner | None) -> bytes:
        """The text that Prometheus reads. None while this process does not lead."""
        for gauge in (self._capacity, self._allocated, self._free):
            gauge.clear()
        for gauge in (self._pending, self._releasing, self._queued):
            gauge.set(0)
        if assigner is not None:
            self._take_snapshot(assigner)
        return self.families.page()

    def _take_snapshot(self, assigner: Assigner) -> None:
        ledger = assigner.ledger
        labels = bounded([pool.name for pool in ledger.pools.in_order])
        for pool in ledger.pools.in_order:
            label = labels[pool.name]
            for family in FAMILIES:
                if pool.has(family):
                    self._capacity.labels(label, family).inc(capacity_of(pool, family, ledger))
                    self._allocated.labels(label, family).inc(ledger.held_in_pool(pool.name, family))
                    self._free.labels(label, family).inc(ledger.free_in(pool, family).count)
        self._pending.set(len(assigner.waiting))
        self._releasing.set(len(assigner.marks))
        self._queued.set(len(assigner.queue))
