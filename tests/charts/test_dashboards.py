"""The dashboards of the chart: what the sidecar of Grafana finds; every expression asks for what there is."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from allocator.io.metrics import AllocatorMetrics
from lab.chart import CHART
from speaker.io.metrics import SpeakerMetrics
from tests.charts.rendered import rendered

pytestmark = pytest.mark.slow

FILES = sorted((CHART / "files" / "dashboards").glob("*.json"))
LABELS_OF_SCRAPES = {"instance", "pod", "le"}


def panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    return [one for one in board["panels"] if one["type"] != "row"]


def expressions() -> Iterator[tuple[str, str]]:
    """Where each stands, and how it reads for the node n1."""
    for path in FILES:
        for panel in panels(json.loads(path.read_text())):
            for target in panel["targets"]:
                yield f"{path.stem}: {panel['title']}", target["expr"].replace("$instance", "n1:7482")


def test_the_config_maps_hold_the_dashboards_and_carry_the_label_that_the_sidecar_looks_for() -> None:
    assert not [one for one in rendered() if one["kind"] == "ConfigMap"]
    found = {}
    for one in rendered({"dashboards": {"enabled": True, "annotations": {"grafana_folder": "Net"}}}):
        if one["kind"] == "ConfigMap":
            assert one["metadata"]["labels"]["grafana_dashboard"] == "1"
            assert one["metadata"]["annotations"] == {"grafana_folder": "Net"}
            found.update({name: json.loads(text) for name, text in one["data"].items()})
    assert found == {path.name: json.loads(path.read_text()) for path in FILES}
    assert len(found) == 2


@pytest.mark.lab
def test_promtool_takes_every_expression(tmp_path: Path) -> None:
    rules = [{"record": f"panel:number_{number}", "expr": expr} for number, (_, expr) in enumerate(expressions())]
    assert len(rules) > 30
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    checked = subprocess.run(
        ["promtool", "check", "rules", str(tmp_path / "rules.yaml")], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_every_metric_and_label_of_a_panel_is_there() -> None:
    families = [one for kind in (AllocatorMetrics, SpeakerMetrics) for one in kind().families.described]
    declared = {one.name: set(one.labels) for one in families}
    declared |= {f"{one.name}_bucket": set(one.labels) for one in families if one.kind == "histogram"}
    for where, expr in expressions():
        found = re.findall(r"\b(berth_\w+)(?:\{([^}]*)\})?", re.sub(r'"berth-[a-z]+"', '""', expr))
        assert found or "process_" in expr, where
        for metric, selector in found:
            assert metric in declared, f"{where}: {metric}"
            used = set(re.findall(r"(\w+)(?:=~|!~|!=|=)", selector))
            assert used <= declared[metric] | LABELS_OF_SCRAPES, f"{where}: {metric} has no label {used}"


def test_a_legend_names_labels_that_its_expression_leaves() -> None:
    for path in FILES:
        for panel in panels(json.loads(path.read_text())):
            for target in panel["targets"]:
                kept = re.findall(r"\bby \(([^)]*)\)", target["expr"])
                for label in re.findall(r"\{\{(\w+)\}\}", target.get("legendFormat", "")):
                    assert not kept or label in kept[0].replace(" ", "").split(","), panel["title"]
