"""The chart, rendered for tests, and the objects of it by kind and name."""

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from lab.chart import render

Manifest = dict[str, Any]


def rendered(
    values: Mapping[str, Any] | None = None, namespace: str = "berth-system", release: str = "berth"
) -> list[Manifest]:
    """The chart's objects; rendered once for the same values."""
    return json.loads(_rendered(json.dumps(values or {}), namespace, release))  # type: ignore[no-any-return]


@cache
def _rendered(values: str, namespace: str, release: str) -> str:
    return json.dumps(render(json.loads(values), namespace, release=release))


def one(objects: list[Manifest], kind: str, name: str | None = None) -> Manifest:
    """The one object of this kind (and name)."""
    (found,) = (each for each in objects if each["kind"] == kind and name in (None, each["metadata"]["name"]))
    return found


def pod_of(workload: Manifest) -> Manifest:
    """The pod's spec in a Deployment or DaemonSet."""
    spec: Manifest = workload["spec"]["template"]["spec"]
    return spec


def container_of(workload: Manifest) -> Manifest:
    """The one container of a Deployment or DaemonSet."""
    (container,) = pod_of(workload)["containers"]
    return dict(container)
