"""What others wrote down during a soak: the recorder on the segment, BIRD's log, a client's visits."""

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench.soak.acts import POOL, SERVICE_NAMES
from bench.soak.cluster import FIRST_BACKEND_PORT, SoakCluster
from bench.soak.verdict import Answer, Sighting, routes_of
from bench.soak.watcher import Shown
from lab.routers.bird import Bird

SNIFFER, VISITS = "sniffer", "visits"
"""Processes of the lab that write it."""


def frames(cluster: SoakCluster, began: float) -> list[Sighting]:
    """Those of nodes that claim an address of the pool."""
    macs = cluster.macs()
    return [
        Sighting(macs[row["sender_mac"]], row["sender_ip"], row["at"])
        for row in _rows(cluster.processes[SNIFFER].log_path)
        if row.get("sender_ip") in POOL and row.get("sender_mac") in macs and row["at"] >= began
    ]


def routes(cluster: SoakCluster, lost: Mapping[str, Sequence[float]], began: float) -> list[Sighting]:
    """As BIRDs logged them. `lost`: when each was killed, by its host."""
    offset = time.monotonic() - time.time()
    found = []
    for host, router in cluster.routers.items():
        if isinstance(router, Bird):
            found += routes_of(router.route_events(), began, offset, lost.get(host, ()))
    return [route for route in found if route.address in POOL]


def visits_size(cluster: SoakCluster) -> int:
    """How much the client has written so far, in bytes."""
    return cluster.processes[VISITS].log_path.stat().st_size


def answers(cluster: SoakCluster, since: float, start: int = 0) -> list[Answer]:
    """What the client's connections brought. `start`: bytes of its log that are older."""
    return [
        Answer(row["at"], row["at"] + row["seconds"], str(urlsplit(row["url"]).hostname), _service_of(row))
        for row in _rows(cluster.processes[VISITS].log_path, start)
        if row.get("at", 0.0) >= since
    ]


def shown_throughout(history: Iterable[Shown], ended: float) -> dict[str, list[tuple[float, float]]]:
    """By address: when one Service showed it, without a change."""
    found: dict[str, list[tuple[float, float]]] = {}
    since: dict[str, Shown] = {}
    for shown in history:
        if (before := since.pop(shown.service, None)) is not None:
            for address in before.addresses:
                found.setdefault(address, []).append((before.at, shown.at))
        since[shown.service] = shown
    for before in since.values():
        for address in before.addresses:
            found.setdefault(address, []).append((before.at, ended))
    return found


def _service_of(row: Mapping[str, Any]) -> str | None:
    """By the port at which it reached a backend."""
    body = row.get("body", "")
    number = int(body) - FIRST_BACKEND_PORT if body.isdigit() else -1
    return SERVICE_NAMES[number] if 0 <= number < len(SERVICE_NAMES) else None


def _rows(path: Path, start: int = 0) -> Iterable[dict[str, Any]]:
    with path.open() as lines:
        lines.seek(start)
        for line in lines:
            if line.startswith("{") and line.endswith("}\n"):
                yield json.loads(line)
