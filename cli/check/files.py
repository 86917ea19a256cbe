"""Berth's objects out of YAML files, as if they had been read from a cluster."""

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from allocator.objects import decode_bgp_advertisement, decode_l2_advertisement, decode_peer
from allocator.observed import Observed
from cli.asread import documents
from cli.check.codes import Code, Found
from cli.failure import Failed
from cli.seen import Seen
from crds.meta import BerthObject
from crds.types import KINDS, IPPool
from kube.informer.store import ObjectKey

INTO: dict[str, tuple[str, Callable[[bytes], Any]]] = {
    "IPPool": ("pools", IPPool.decode),
    "L2Advertisement": ("l2_advertisements", decode_l2_advertisement),
    "BGPAdvertisement": ("bgp_advertisements", decode_bgp_advertisement),
    "BGPPeer": ("peers", decode_peer),
}
TYPES: dict[str, type[BerthObject]] = {one.KIND.kind: one for one in KINDS}


def read_files(paths: Sequence[str]) -> tuple[Seen, list[Found]]:
    """What they have, and what of it can't be read. Raises Failed for a file that can't be opened, or is no YAML."""
    found: dict[str, dict[ObjectKey, Any]] = {name: {} for name, _ in INTO.values()}
    faults = []
    for path in paths:
        for body in _documents(path):
            kind, metadata = str(body.get("kind")), body.get("metadata")
            name = str(metadata.get("name", "")) if isinstance(metadata, dict) else ""
            if not str(body.get("apiVersion", "")).startswith("berth.dev/") or kind not in TYPES:
                continue
            raw = json.dumps(body, default=str).encode()
            try:
                TYPES[kind].decode(raw)
                if kind in INTO:
                    into, decode = INTO[kind]
                    found[into][ObjectKey(None, name)] = decode(raw)
            except ValueError as error:
                faults.append(Found(Code.UNREADABLE, f"{kind}/{name}", f"{path}: {_brief(error)}"))
    return Seen(Observed(**found), None, {}, datetime.now(UTC)), faults


def _documents(path: str) -> Iterator[dict[str, Any]]:
    try:
        found = documents(Path(path).read_text())
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise Failed(f"{path} can't be read: {_brief(error)}") from error
    for one in found:
        if isinstance(one, dict) and one.get("kind") == "List":
            yield from (each for each in one.get("items") or () if isinstance(each, dict))
        elif isinstance(one, dict):
            yield one


def _brief(error: Exception) -> str:
    """On one line, without what a library adds for programmers."""
    lines = [line.strip() for line in str(error).splitlines() if "errors.pydantic.dev" not in line]
    return " ".join(lines)[:400]
