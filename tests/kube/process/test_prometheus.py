"""What both programs show to Prometheus: one sink, names by its rules, and no more than is looked at."""

import subprocess

import pytest
from prometheus_client.parser import text_string_to_metric_families

from allocator.io.metrics import AllocatorMetrics
from kube.metrics import Metrics
from kube.process.io.prometheus import OTHERS, Families, PrometheusMetrics, bounded
from speaker.io.metrics import SpeakerMetrics


def test_what_is_counted_is_exported_under_one_prefix() -> None:
    families = Families("allocator")
    metrics: Metrics = PrometheusMetrics(families)
    metrics.api_request("patch", "services", 409, 0.003)
    metrics.api_retry("services", "TooManyRequests")
    metrics.watch_restart("services", "Gone")
    metrics.relist("services", 5000, 0.2)
    metrics.undecodable("ippools")
    metrics.event_outcome("Sent")
    metrics.leading("berth-allocator", True)
    text = families.page().decode()
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


def shown_by(families: Families) -> list[str]:
    return [sample.name for one in text_string_to_metric_families(families.page().decode()) for sample in one.samples]


@pytest.mark.parametrize("program", [AllocatorMetrics, SpeakerMetrics])
def test_both_programs_say_which_they_are_and_what_they_use_and_not_when_a_counter_began(program: type) -> None:
    metrics = program()
    metrics.kube.api_request("list", "services", 200, 0.003)
    shown = shown_by(metrics.families)
    assert {"berth_build_info", "process_resident_memory_bytes", "process_cpu_seconds_total"} <= set(shown)
    assert "berth_kube_requests_total" in shown
    assert not [name for name in shown if name.endswith("_created")]


@pytest.mark.parametrize("program", [AllocatorMetrics, SpeakerMetrics])
def test_a_metric_is_declared_by_a_sentence_and_a_counter_by_its_whole_name(program: type) -> None:
    for one in program().families.described:
        assert not one.text[0].islower(), one.name
        assert one.text.endswith("."), one.name
        assert one.name.endswith("_total") == (one.kind == "counter"), one.name


@pytest.mark.lab
@pytest.mark.parametrize("program", [AllocatorMetrics, SpeakerMetrics])
def test_promtool_finds_no_fault_with_any_name(program: type) -> None:
    metrics = program()
    for one in metrics.families.described:  # a family without samples is not shown
        if one.labels:
            one.metric.labels(*(f"a {label}" for label in one.labels))
    checked = subprocess.run(["promtool", "check", "metrics"], input=metrics.families.page(), capture_output=True)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


def test_more_pools_or_peers_than_have_labels_share_one() -> None:
    labels = bounded([f"peer-{number:03}" for number in range(10)], most=4)
    assert labels["peer-003"] == "peer-003"
    assert set(labels.values()) == {"peer-000", "peer-001", "peer-002", "peer-003", OTHERS}
