"""Writes what is made from the types: the CRD manifests, the chart's copy of them, docs/api.md, docs/conditions.md.

`python -m crds` writes, `python -m crds --check` writes nothing and exits 1 with a diff when a file
is not what the types say. What goes into the files is decided by crds/schema.py and crds/documentation.py.
"""

import argparse
import difflib
import sys
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from crds.documentation import api_document, conditions_document
from crds.schema import custom_resource_definition
from crds.types import KINDS

ROOT = Path(__file__).resolve().parent.parent
MANIFESTS = Path("crds/manifests")
CHART_MANIFESTS = Path("charts/berth/files/crds")
HEADER = "# Made by `python -m crds` from the types in crds/; edit there.\n"


@cache
def generated_files() -> dict[Path, str]:
    """Every generated file, by its path from the project's root."""
    files: dict[Path, str] = {}
    for kind in KINDS:
        manifest = HEADER + to_yaml(custom_resource_definition(kind))
        name = f"{kind.KIND.plural}.yaml"
        files[MANIFESTS / name] = manifest
        files[CHART_MANIFESTS / name] = manifest
    files[Path("docs/api.md")] = api_document()
    files[Path("docs/conditions.md")] = conditions_document()
    return files


def to_yaml(manifest: dict[str, Any]) -> str:
    """A manifest as people read it: in the order of its keys, lines not too long."""
    return yaml.dump(manifest, Dumper=_PlainDumper, sort_keys=False, width=120, allow_unicode=True)


class _PlainDumper(yaml.SafeDumper):
    """Without anchors: the same rule in two places is written out twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def differences(root: Path) -> list[str]:
    """A diff for each file that is not as generated; stale manifests count too."""
    files = generated_files()
    diffs: list[str] = []
    for path, wanted in files.items():
        present = (root / path).read_text() if (root / path).exists() else ""
        if present != wanted:
            lines = difflib.unified_diff(
                present.splitlines(keepends=True),
                wanted.splitlines(keepends=True),
                f"{path} (is)",
                f"{path} (generated)",
            )
            diffs.append("".join(lines))
    return diffs + [f"{path}: no type makes this file; remove it\n" for path in _stale(root, files)]


def _stale(root: Path, files: dict[Path, str]) -> list[Path]:
    present = (path for folder in (MANIFESTS, CHART_MANIFESTS) for path in (root / folder).glob("*.yaml"))
    return sorted(path.relative_to(root) for path in present if path.relative_to(root) not in files)


def write(root: Path) -> None:
    """Write all files and remove stale ones."""
    files = generated_files()
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(content)
    for path in _stale(root, files):
        (root / path).unlink()


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m crds", description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 with a diff if a file differs")
    options = parser.parse_args(arguments)
    if not options.check:
        write(root)
        return 0
    diffs = differences(root)
    sys.stdout.write("".join(diffs))
    if diffs:
        sys.stdout.write("\nGenerated files differ from the types. Run: python -m crds\n")
    return 1 if diffs else 0


if __name__ == "__main__":
    sys.exit(main())
