"""The generated files are those of the types, and the command says when they are not."""

from pathlib import Path

import pytest
import yaml

from crds.__main__ import ROOT, differences, generated_files, main, to_yaml
from crds.conditions import Reason
from crds.types import KINDS


def test_the_files_in_the_repository_are_as_generated() -> None:
    assert differences(ROOT) == []


def test_writing_makes_checking_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check"], tmp_path) == 1
    assert main([], tmp_path) == 0
    assert main(["--check"], tmp_path) == 0
    assert "Run: python -m crds" in capsys.readouterr().out


def test_a_changed_file_is_shown_as_a_diff(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([], tmp_path)
    manifest = tmp_path / "crds/manifests/ippools.yaml"
    manifest.write_text(manifest.read_text().replace("maxItems: 256", "maxItems: 999", 1))
    assert main(["--check"], tmp_path) == 1
    assert "-                maxItems: 999\n+                maxItems: 256\n" in capsys.readouterr().out
    assert "999" in manifest.read_text()


def test_a_manifest_of_a_kind_that_is_gone_is_stale(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([], tmp_path)
    stale = tmp_path / "charts/berth/files/crds/widgets.yaml"
    stale.write_text("{}")
    assert main(["--check"], tmp_path) == 1
    assert "charts/berth/files/crds/widgets.yaml: no type makes this file" in capsys.readouterr().out
    main([], tmp_path)
    assert not stale.exists()


def test_every_kind_has_a_manifest_and_the_chart_has_the_same() -> None:
    files = {str(path): text for path, text in generated_files().items()}
    for kind in KINDS:
        manifest = files[f"crds/manifests/{kind.KIND.plural}.yaml"]
        assert manifest == files[f"charts/berth/files/crds/{kind.KIND.plural}.yaml"]
        assert yaml.safe_load(manifest)["metadata"]["name"] == f"{kind.KIND.plural}.berth.dev"


def test_yaml_repeats_what_is_said_twice() -> None:
    shared = {"a": 1}
    assert to_yaml({"x": shared, "y": shared}) == "x:\n  a: 1\ny:\n  a: 1\n"


def test_documents_name_every_kind_field_and_reason() -> None:
    files = {str(path): text for path, text in generated_files().items()}
    api = files["docs/api.md"]
    assert all(f"## {kind.KIND.kind}\n" in api for kind in KINDS)
    assert "| `spec.passwordSecretRef.key` |" in api
    assert "| `status.announcements{}.protocols` |" in api
    assert "- `spec.addresses`: the range ends before it starts" in api
    assert all(f"| `{reason}` |" in files["docs/conditions.md"] for reason in Reason)
