from prometheus_client import CollectorRegistry, generate_latest

from kube.metrics import Metrics
from kube.process.io.prometheus import PrometheusMetrics


def test_what_is_counted_is_exported_under_one_prefix() -> None:
    registry = CollectorRegistry()
    metrics: Metrics = PrometheusMetrics(registry)
    metrics.api_request("patch", "services", 409, 0.003)
    metrics.api_retry("services", "TooManyRequests")
    metrics.watch_restart("services", "Gone")
    metrics.relist("services", 5000, 0.2)
    metrics.undecodable("ippools")
    metrics.event_outcome("Sent")
    metrics.leading("berth-allocator", True)
    text = generate_latest(registry).decode()
    for line in (
        'berth_kube_requests_total{code="409",resource="services",verb="patch"} 1.0',
        'berth_kube_request_duration_seconds_bucket{le="0.005",verb="patch"} 1.0',
        'berth_kube_request_retries_total{reason="TooManyRequests",resource="services"} 1.0',
        'berth_kube_watch_restarts_total{reason="Gone",resource="services"} 1.0',
        'berth_kube_cache_listed_objects{resource="services"} 5000.0',
        'berth_kube_undecodable_objects_total{resource="ippools"} 1.0',
        'berth_kube_events_total{outcome="Sent"} 1.0',
        'berth_kube_leading{lease="berth-allocator"} 1.0',
    ):
        assert line in text.splitlines()
