"""What kube/ counts, as Prometheus metrics. Shell of the Metrics protocol: only processes with a listener import it.

No label carries an object's name. `resource` is a plural, of which there are a dozen.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

# Requests take a few ms; those that wait for a 429 or run into a timeout, up to 10 s.
_SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0)


class PrometheusMetrics:
    """Implements kube.metrics.Metrics with metrics named berth_kube_*."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "berth_kube_requests_total",
            "Requests to the API server by answer; code 0 = no answer.",
            ["verb", "resource", "code"],
            registry=registry,
        )
        self._seconds = Histogram(
            "berth_kube_request_duration_seconds",
            "Time until an answer's headers, without watches' life times.",
            ["verb"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._retries = Counter(
            "berth_kube_request_retries_total", "Requests sent again.", ["resource", "reason"], registry=registry
        )
        self._watch_restarts = Counter(
            "berth_kube_watch_restarts_total",
            "Watches that ended, by reason.",
            ["resource", "reason"],
            registry=registry,
        )
        self._lists = Counter("berth_kube_cache_lists_total", "Full lists taken in.", ["resource"], registry=registry)
        self._objects = Gauge(
            "berth_kube_cache_listed_objects", "Objects in the last full list.", ["resource"], registry=registry
        )
        self._undecodable = Counter(
            "berth_kube_undecodable_objects_total", "Objects skipped: not decodable.", ["resource"], registry=registry
        )
        self._events = Counter(
            "berth_kube_events_total", "Kubernetes Events by what became of them.", ["outcome"], registry=registry
        )
        self._leading = Gauge("berth_kube_leading", "1 while this process leads.", ["lease"], registry=registry)

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
