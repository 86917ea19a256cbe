"""The dashboards of the chart: what the sidecar of Grafana finds."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from tests.charts.promql import BOARDS, of_boards
from tests.charts.rendered import rendered

pytestmark = pytest.mark.slow


def test_the_config_maps_hold_the_dashboards_and_carry_the_label_that_the_sidecar_looks_for() -> None:
    assert not [one for one in rendered() if one["kind"] == "ConfigMap"]
    found = {}
    for one in rendered({"dashboards": {"enabled": True, "annotations": {"grafana_folder": "Net"}}}):
        if one["kind"] == "ConfigMap":
            assert one["metadata"]["labels"]["grafana_dashboard"] == "1"
            assert one["metadata"]["annotations"] == {"grafana_folder": "Net"}
            found.update({name: json.loads(text) for name, text in one["data"].items()})
    assert found == {path.name: json.loads(path.read_text()) for path in BOARDS}
    assert len(found) == 2


@pytest.mark.lab
def test_promtool_takes_every_expression(tmp_path: Path) -> None:
    rules = [{"record": f"panel:number_{number}", "expr": one.text} for number, one in enumerate(of_boards())]
    assert len(rules) > 30
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    checked = subprocess.run(
        ["promtool", "check", "rules", str(tmp_path / "rules.yaml")], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def lost(given: Any, read: Any, where: str = "") -> list[str]:
    """What is not the same in `read`, which may have more."""
    if isinstance(given, dict) and isinstance(read, dict):
        return [one for key, value in given.items() for one in lost(value, read.get(key), f"{where}.{key}")]
    if isinstance(given, list) and isinstance(read, list) and len(given) == len(read):
        return [one for at, (a, b) in enumerate(zip(given, read, strict=True)) for one in lost(a, b, f"{where}[{at}]")]
    return [] if given == read else [where]


def as_grafana_knows(board: dict[str, Any]) -> Any:
    """What is left of it when it is read with Grafana's schema of dashboards, panels and queries."""
    register_default_plugins()
    return json.loads(JSONEncoder().encode(Dashboard.from_json(board)))


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)
def test_grafanas_schema_has_all_that_stands_in_a_dashboard(path: Path) -> None:
    board = json.loads(path.read_text())
    assert lost(board, as_grafana_knows(board)) == []
    ids = [one["id"] for one in board["panels"]]
    assert len(ids) == len(set(ids))
    board["panels"][1]["options"]["colour"] = "none"
    assert lost(board, as_grafana_knows(board)) == [".panels[1].options.colour"]


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)
def test_panels_lie_beside_each_other_and_not_on_each_other(path: Path) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(path.read_text())["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
