"""What the allocator counts, for Prometheus; also the sink of what kube/ counts (kube.metrics.Metrics).

Gauges are set from a snapshot when somebody asks. No label carries a Service or an address.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest

from allocator.assigner import Assigner
from allocator.status.pool import capacity_of
from crds.addresses import FAMILIES

SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0)


class AllocatorMetrics:
    """One process's metrics in their own registry."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        self._capacity = self._gauge("berth_pool_addresses", "Addresses of the pool", "pool", "family")
        self._allocated = self._gauge("berth_pool_addresses_allocated", "Addresses not free", "pool", "family")
        self._free = self._gauge("berth_pool_addresses_free", "Addresses left", "pool", "family")
        self._pending = self._gauge("berth_services_pending", "Services that lack an address")
        self._releasing = self._gauge("berth_releases_pending", "Addresses that wait for speakers")
        self._queued = self._gauge("berth_queue_keys", "Services and addresses that wait to be looked at")
        self._leads = self._gauge("berth_leading", "1 while this process assigns", "lease")
        self._results = self._counter("berth_allocations", "Decisions about Services, when they change", "reason")
        self._released = self._counter("berth_releases", "Addresses given back")
        self._failures = self._counter("berth_write_failures", "Writes refused or lost", "write", "code")
        self._requests = self._histogram("berth_api_request_seconds", "API requests", "verb", "resource", "code")
        self._retries = self._counter("berth_api_retries", "Requests sent again", "resource", "reason")
        self._restarts = self._counter("berth_watch_restarts", "Watches opened again", "resource", "reason")
        self._relists = self._histogram("berth_cache_relist_seconds", "Full lists", "resource")
        self._bad = self._counter("berth_undecodable_objects", "Objects that do not decode", "resource")
        self._events = self._counter("berth_events", "Kubernetes Events", "outcome")

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, labels, registry=self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, *labels: str) -> Histogram:
        return Histogram(name, text, labels, buckets=SECONDS, registry=self.registry)

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
        """The text that Prometheus reads."""
        for gauge in (self._capacity, self._allocated, self._free):
            gauge.clear()
        if assigner is not None:
            self._take_snapshot(assigner)
        return generate_latest(self.registry)

    def _take_snapshot(self, assigner: Assigner) -> None:
        ledger = assigner.ledger
        for pool in ledger.pools.in_order:
            for family in FAMILIES:
                if pool.has(family):
                    self._capacity.labels(pool.name, family).set(capacity_of(pool, family, ledger))
                    self._allocated.labels(pool.name, family).set(ledger.held_in_pool(pool.name, family))
                    self._free.labels(pool.name, family).set(ledger.free_in(pool, family).count)
        self._pending.set(len(assigner.waiting))
        self._releasing.set(len(assigner.marks))
        self._queued.set(len(assigner.queue))

    # kube.metrics.Metrics

    def api_request(self, verb: str, resource: str, code: int, seconds: float) -> None:
        self._requests.labels(verb, resource, str(code)).observe(seconds)

    def api_retry(self, resource: str, reason: str) -> None:
        self._retries.labels(resource, reason).inc()

    def watch_restart(self, resource: str, reason: str) -> None:
        self._restarts.labels(resource, reason).inc()

    def relist(self, resource: str, objects: int, seconds: float) -> None:
        self._relists.labels(resource).observe(seconds)

    def undecodable(self, resource: str) -> None:
        self._bad.labels(resource).inc()

    def event_outcome(self, outcome: str) -> None:
        self._events.labels(outcome).inc()

    def leading(self, lease: str, is_leader: bool) -> None:
        self._leads.labels(lease).set(is_leader)
