"""The dashboards of the chart: what the sidecar of Grafana finds."""

import json
import subprocess
from pathlib import Path

import pytest
import yaml

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
