"""The expressions of dashboards and alerts, and what they ask for: metrics, labels, and the labels they are grouped by.

Reads what stands in them; that they are valid PromQL is promtool's to say.
"""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple

import yaml

from allocator.io.metrics import AllocatorMetrics
from lab.chart import CHART
from speaker.io.metrics import SpeakerMetrics

BOARDS = sorted((CHART / "files" / "dashboards").glob("*.json"))
ALERTS = CHART / "files" / "alerts.yaml"
LABELS_OF_SCRAPES = {"instance", "pod"}
"""What Prometheus' operator gives each series of a PodMonitor, and of a ServiceMonitor."""

_SELECTOR = re.compile(r"\b((?:berth|process)_\w+)(?:\{([^}]*)\})?")
_MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
_GROUPING = re.compile(r"\b(by|without|on|ignoring)\s*\(([^)]*)\)")


class Expression(NamedTuple):
    """`where`: its dashboard and panel, or its alert. `told`: labels that a legend or an annotation shows."""

    where: str
    text: str
    told: frozenset[str]

    def selectors(self) -> Iterator[tuple[str, dict[str, str]]]:
        """Each metric, with what its labels are compared with."""
        for metric, matchers in _SELECTOR.findall(re.sub(r'"berth-[a-z]+"', '"lease"', self.text)):
            yield metric, {label: value for label, _, value in _MATCHER.findall(matchers)}

    def groupings(self) -> Iterator[tuple[str, set[str]]]:
        """`by`, `without`, `on` or `ignoring`, and its labels."""
        for word, labels in _GROUPING.findall(self.text):
            yield word, {one for one in labels.replace(" ", "").split(",") if one}


def panels(board: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Without the rows that they stand in."""
    return [one for one in board["panels"] if one["type"] != "row"]


def of_boards(instance: str = "n1:7482") -> list[Expression]:
    """Of all panels, as they read when this speaker is chosen."""
    return [
        Expression(
            f"{path.stem}: {panel['title']}",
            target["expr"].replace("$instance", instance),
            frozenset(re.findall(r"\{\{(\w+)\}\}", target.get("legendFormat", ""))),
        )
        for path in BOARDS
        for panel in panels(json.loads(path.read_text()))
        for target in panel["targets"]
    ]


def of_alerts() -> list[Expression]:
    """Of all alerts, as they are without values of the chart."""
    return [
        Expression(rule["alert"], rule["expr"], frozenset(re.findall(r"\$labels\.(\w+)", str(rule["annotations"]))))
        for group in yaml.safe_load(ALERTS.read_text())["groups"]
        for rule in group["rules"]
    ]


@cache
def declared() -> dict[str, set[str]]:
    """The labels of each series that the two programs have, by its name; of all processes', those that are used."""
    families = [one for kind in (AllocatorMetrics, SpeakerMetrics) for one in kind().families.described]
    found = {one.name: set(one.labels) for one in families if one.kind != "histogram"}
    for one in families:
        if one.kind == "histogram":
            found |= {f"{one.name}_bucket": {*one.labels, "le"}}
            found |= {f"{one.name}_{part}": set(one.labels) for part in ("sum", "count")}
    return found | {"process_cpu_seconds_total": set(), "process_resident_memory_bytes": set()}
