"""values.schema.json refuses what can't be meant, and the defaults are what it allows."""

from typing import Any

import helm_python
import pytest

from lab.chart import CHART, render

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"allocater": {}}, "additional properties 'allocater' not allowed"),
    ({"allocator": {"replica": 3}}, "additional properties 'replica' not allowed"),
    ({"allocator": {"replicas": 0}}, "/allocator/replicas"),
    ({"allocator": {"lease": {"durationSeconds": 1}}}, "/allocator/lease/durationSeconds"),
    ({"speaker": {"lease": {"renewSeconds": "2"}}}, "/speaker/lease/renewSeconds"),
    ({"speaker": {"metrics": {"port": 70000}}}, "/speaker/metrics/port"),
    ({"speaker": {"updateStrategy": {"type": "Recreate"}}}, "/speaker/updateStrategy/type"),
    (
        {"speaker": {"updateStrategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}}},
        "rollingUpdate/maxSurge",
    ),
    ({"speaker": {"updateStrategy": {"rollingUpdate": {"maxSurge": "25%"}}}}, "rollingUpdate/maxSurge"),
    ({"speaker": {"extraArgs": ["verbose"]}}, "/speaker/extraArgs/0"),
    ({"fenceAfterSeconds": 1}, "/fenceAfterSeconds"),
    ({"finalizer": "unqualified"}, "/finalizer"),
    ({"loadBalancerClass": "not a class"}, "/loadBalancerClass"),
    ({"log": {"level": "loud"}}, "/log/level"),
    ({"image": {"digest": "sha256:abc"}}, "/image/digest"),
    ({"imagePullSecrets": ["name"]}, "/imagePullSecrets/0"),
    ({"crds": {"enabled": "yes"}}, "/crds/enabled"),
    ({"prometheusRule": {"excludePools": ['a"b']}}, "/prometheusRule/excludePools/0"),
    ({"speaker": {"kernelAnswers": True}}, "/speaker/kernelAnswers"),
    ({"speaker": {"seccompProfile": {"type": "Local"}}}, "/speaker/seccompProfile/type"),
]


@pytest.mark.parametrize(("values", "place"), REFUSED, ids=[place for _, place in REFUSED])
def test_values_that_can_not_be_meant_are_refused(values: dict[str, Any], place: str) -> None:
    with pytest.raises(helm_python.HelmValuesError) as refusal:
        render(values)
    assert place in str(refusal.value)


def test_a_speaker_must_renew_well_within_its_lease() -> None:
    with pytest.raises(helm_python.HelmError, match=r"speaker\.lease\.renewSeconds"):
        render({"speaker": {"lease": {"durationSeconds": 6, "renewSeconds": 4}}})


def test_pod_monitors_need_speakers_that_can_be_reached() -> None:
    with pytest.raises(helm_python.HelmError, match=r"speaker\.metrics\.address"):
        render({"podMonitor": {"enabled": True}})


def test_helm_lint_finds_no_fault() -> None:
    report = helm_python.lint(str(CHART), {}, strict=True, kube_version="v1.36.0")
    assert report["errors"] == []
    assert [message["error"] for message in report["messages"] if message["severity"] > 1] == []


def test_every_value_is_described_by_the_schema() -> None:
    with helm_python.Chart.load(str(CHART)) as chart:
        defaults = chart.merge_values({})
    assert _beyond(defaults, _schema()) == []


def _schema() -> dict[str, Any]:
    import json

    schema: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
    return schema


def _beyond(values: dict[str, Any], schema: dict[str, Any], path: str = "") -> list[str]:
    """Values at or below which the schema closes no object, where it could."""
    if "$ref" in schema or "properties" not in schema:
        return []
    found = [] if schema.get("additionalProperties") is False else [path]
    for name, value in values.items():
        child = schema["properties"].get(name)
        if child is None:
            found.append(f"{path}.{name}")
        elif isinstance(value, dict):
            found += _beyond(value, child, f"{path}.{name}")
    return found
