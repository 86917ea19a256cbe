"""values.schema.json refuses what can't be meant, and the defaults are what it allows."""

import subprocess
import sys
from contextlib import nullcontext
from typing import Any

import helm_python
import pytest

from lab.chart import CHART, render
from speaker.options import Options

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
    ({"image": {"repository": "x", "digest": "sha256:abc"}}, "/image/digest"),
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


TOGETHER: list[tuple[dict[str, Any], str]] = [
    ({"image": {"repository": ""}}, "image.repository: set it to where your nodes find Berth's image"),
    (
        {"speaker": {"lease": {"durationSeconds": 6, "renewSeconds": 4}}},
        "speaker.lease.renewSeconds is at most a third",
    ),
    ({"fenceAfterSeconds": 10, "speaker": {"lease": {"durationSeconds": 30}}}, "fenceAfterSeconds is at least twice"),
    (
        {"speaker": {"bgp": {"drainSeconds": 58}}},
        "speaker.terminationGracePeriodSeconds is at least 5 more than speaker.bgp.drainSeconds",
    ),
    (
        {"speaker": {"seccompProfile": {"type": "Localhost"}}},
        "speaker.seccompProfile.localhostProfile: name the profile",
    ),
    ({"speaker": {"excludeInterfaces": "["}}, "mustRegexMatch"),
    ({"allocator": {"serviceAccount": {"create": False}}}, "allocator.serviceAccount.name: name the account"),
    (
        {"speaker": {"labels": {"app.kubernetes.io/name": "x"}}},
        "speaker.labels: app.kubernetes.io/name is what its pods",
    ),
    ({"podMonitor": {"enabled": True}}, "podMonitor.enabled: Prometheus can't reach the speakers"),
    (
        {"metrics": {"secure": True}, "serviceMonitor": {"enabled": True}, "speaker": {"metrics": {"address": "::1"}}},
        "serviceMonitor.enabled: Prometheus can't reach the speakers",
    ),
    (
        {"metrics": {"secure": True}, "podMonitor": {"enabled": True}},
        "podMonitor.tokenSecret.name: a PodMonitor can't send",
    ),
    (
        {"serviceMonitor": {"enabled": True}, "speaker": {"metrics": {"address": "0.0.0.0"}}},
        "serviceMonitor.enabled: it scrapes by HTTPS",
    ),
    ({"metrics": {"secure": True}, "speaker": {"health": {"port": 7482}}}, "speaker.health.port: another one"),
    ({"allocator": {"strategy": {"type": "Recreate"}}}, "allocator.strategy.rollingUpdate: set it to null"),
    ({"frrk8s": {"enabled": False}}, "frrk8s is a value of MetalLB's chart: Berth speaks BGP itself"),
    ({"speaker": {"ignoreExcludeLB": True}}, "speaker.ignoreExcludeLB is a value of MetalLB's chart: it is called"),
    ({"speaker": {"tolerateMaster": False}}, "speaker.tolerateMaster is a value of MetalLB's chart: see"),
    (
        {"controller": {"logLevel": "info"}},
        "controller is a value of MetalLB's chart: its settings are those of allocator",
    ),
]
"""Each fits the schema."""


@pytest.mark.parametrize(("values", "said"), TOGETHER, ids=[said for _, said in TOGETHER])
def test_values_that_do_not_fit_each_other_are_refused_with_their_path(values: dict[str, Any], said: str) -> None:
    with pytest.raises(helm_python.HelmError) as refusal:
        render(values)
    assert said in str(refusal.value)


def test_all_that_does_not_fit_is_told_at_once() -> None:
    values = {"fenceAfterSeconds": 10, "frrk8s": {}, "speaker": {"lease": {"durationSeconds": 30, "renewSeconds": 20}}}
    with pytest.raises(helm_python.HelmError) as refusal:
        render(values)
    for path in ("speaker.lease.renewSeconds", "fenceAfterSeconds", "frrk8s"):
        assert path in str(refusal.value)


@pytest.mark.parametrize("lease", [3, 6, 30])
@pytest.mark.parametrize("fence", [10, 60])
def test_the_chart_refuses_what_the_speaker_would_refuse(lease: int, fence: int) -> None:
    values = {"fenceAfterSeconds": fence, "speaker": {"lease": {"durationSeconds": lease, "renewSeconds": 1}}}
    fault = Options("n", "i", "s", lease_duration_seconds=lease, renew_seconds=1, fence_after_seconds=fence).fault()
    judged = pytest.raises(helm_python.HelmError) if fault else nullcontext()
    with judged:
        render(values)


def test_the_table_of_values_is_that_of_the_values() -> None:
    subprocess.run([sys.executable, str(CHART.parent.parent / "tools" / "values"), "--check"], check=True)


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
