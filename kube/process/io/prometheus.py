"""What a program counts, for Prometheus: the one place where metrics are made, and what kube/ counts among them.

Each program adds its own families to these. No label carries an object's name but those of pools, peers, interfaces and
Leases, and those are bounded. docs/metrics.md is made from what is declared here and in the programs.
"""

from collections.abc import Collection, Mapping, Sequence
from importlib.metadata import version
from typing import NamedTuple

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import generate_latest

# Requests take a few ms; those that wait for a 429 or run into a timeout, up to 10 s.
_SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0)

MOST_NAMES = 256
"""So many pools or peers have a label of their own; OTHERS stands for the rest."""

OTHERS = "(others)"
"""No object of Kubernetes is named so."""

disable_created_metrics()  # type: ignore[no-untyped-call]  # times that nobody looks at, one for each counter


class Family(NamedTuple):
    """A metric as Prometheus shows it: counters end in `_total`. `kind`: as in the exposition format."""

    name: str
    kind: str
    text: str
    labels: tuple[str, ...]
    metric: Gauge | Counter | Histogram


class Families:
    """The metrics of one process, in a registry of their own. `component`: allocator or speaker."""

    def __init__(self, component: str) -> None:
        self.registry = CollectorRegistry()
        self.described: list[Family] = []
        ProcessCollector(registry=self.registry)
        build = self.gauge("berth_build_info", "Always 1: which program this is, and of which version.", *_BUILD)
        build.labels(component, version("berth")).set(1)

    def gauge(self, name: str, text: str, *labels: str) -> Gauge:
        """What is now."""
        gauge = Gauge(name, text, labels, registry=self.registry)
        self.described.append(Family(name, "gauge", text, labels, gauge))
        return gauge

    def counter(self, name: str, text: str, *labels: str) -> Counter:
        """What has happened since the process began. The name ends in `_total`."""
        counter = Counter(name, text, labels, registry=self.registry)
        self.described.append(Family(name, "counter", text, labels, counter))
        return counter

    def histogram(self, name: str, text: str, buckets: Sequence[float], *labels: str) -> Histogram:
        """How long something took. `buckets`: seconds, their upper bounds."""
        histogram = Histogram(name, text, labels, buckets=buckets, registry=self.registry)
        self.described.append(Family(name, "histogram", text, labels, histogram))
        return histogram

    def page(self) -> bytes:
        """The text that Prometheus reads."""
        return generate_latest(self.registry)


_BUILD = ("component", "version")


def show(gauge: Gauge, values: Mapping[str, float]) -> None:
    """Set a gauge of one label to these, and to nothing else."""
    gauge.clear()
    for label, value in values.items():
        gauge.labels(label).set(value)


def bounded(names: Collection[str], most: int = MOST_NAMES) -> dict[str, str]:
    """For each name the label that it has: its own, or OTHERS for those beyond `most`, by name."""
    return {name: name if number < most else OTHERS for number, name in enumerate(sorted(names))}


class PrometheusMetrics:
    """Implements kube.metrics.Metrics with metrics named berth_kube_*."""

    def __init__(self, families: Families) -> None:
        self._requests = families.counter(
            "berth_kube_requests_total",
            "Requests to the API server, by its answer; code 0: there was none.",
            "verb",
            "resource",
            "code",
        )
        self._seconds = families.histogram(
            "berth_kube_request_duration_seconds",
            "Time until the headers of the API server's answer, without the life times of watches.",
            _SECONDS,
            "verb",
        )
        self._retries = families.counter(
            "berth_kube_request_retries_total",
            "Requests sent again: Unauthorized (a new token is tried) or TooManyRequests.",
            "resource",
            "reason",
        )
        self._watch_restarts = families.counter(
            "berth_kube_watch_restarts_total",
            "Watches that ended and were opened again: Closed, Broken, Idle, Doubted, Gone or Refused.",
            "resource",
            "reason",
        )
        self._lists = families.counter("berth_kube_cache_lists_total", "Full lists that were read.", "resource")
        self._objects = families.gauge("berth_kube_cache_listed_objects", "Objects in the last full list.", "resource")
        self._undecodable = families.counter(
            "berth_kube_undecodable_objects_total", "Objects that were left out since they do not decode.", "resource"
        )
        self._events = families.counter(
            "berth_kube_events_total",
            "Kubernetes Events: Sent, Aggregated, Suppressed (too many), Dropped (queue full) or Failed.",
            "outcome",
        )
        self._leading = families.gauge("berth_kube_leading", "1 while this process holds the Lease.", "lease")

    def api_request(self, verb: str, resource: str, code: int, seconds: float) -> None:
        self._requests.labels(verb, resource, str(code)).inc()
        self._seconds.labels(verb).observe(seconds)

    def api_retry(self, resource: str, reason: str) -> None:
        self._retries.labels(resource, reason).inc()

    def watch_restart(self, resource: str, reason: str) -> None:
        self._watch_restarts.labels(resource, reason).inc()

    def relist(self, resource: str, objects: int, seconds: float) -> None:
        self._lists.labels(resource).inc()
        self._objects.labels(resource).set(objects)

    def undecodable(self, resource: str) -> None:
        self._undecodable.labels(resource).inc()

    def event_outcome(self, outcome: str) -> None:
        self._events.labels(outcome).inc()

    def leading(self, lease: str, is_leader: bool) -> None:
        self._leading.labels(lease).set(is_leader)
