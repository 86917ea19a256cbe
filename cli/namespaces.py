"""Which namespace a command means: the flag, or the one of the kubeconfig's context, or default."""

import argparse
import os
from pathlib import Path
from typing import Any

import yaml

from cli.options import kubeconfig_of


def namespace_of(options: argparse.Namespace) -> str:
    """As kubectl chooses it. What can't be read says nothing."""
    if options.namespace:
        return str(options.namespace)
    wanted = options.context
    documents = [_read(path) for path in (kubeconfig_of(options) or "").split(os.pathsep) if path]
    wanted = wanted or next((one["current-context"] for one in documents if one.get("current-context")), None)
    for document in documents:
        for entry in document.get("contexts") or []:
            if isinstance(entry, dict) and entry.get("name") == wanted:
                return str((entry.get("context") or {}).get("namespace") or "default")
    return "default"


def _read(path: str) -> dict[str, Any]:
    try:
        found = yaml.safe_load(Path(path).expanduser().read_text())
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return found if isinstance(found, dict) else {}
