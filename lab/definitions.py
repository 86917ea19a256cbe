"""Our CustomResourceDefinitions as objects, for whoever needs them without the rest of the chart."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import yaml

MANIFESTS = Path(__file__).parent.parent / "crds" / "manifests"


def definitions() -> list[dict[str, Any]]:
    """By file name. The caller may change them: each call gives new ones, though YAML is read but once, since that
    takes a fifth of a second."""
    objects: list[dict[str, Any]] = json.loads(_as_json())
    return objects


@cache
def _as_json() -> str:
    return json.dumps([yaml.safe_load(path.read_text()) for path in sorted(MANIFESTS.glob("*.yaml"))])
