"""Looks at the cluster from outside: what the API server says, which node the client's neighbour table names, what a
client gets.

Only observes; what should be seen is the caller's business.
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from lab.cluster import Cluster
from lab.net.hosts import CLIENT
from lab.process import Process
from lab.scripts import script
from lab.waiting import wait_for

PROBE_EVERY_SECONDS = 0.05


@dataclass(frozen=True)
class Attempt:
    """One fetch of the probe. `at` is monotonic; `body` None = it failed."""

    at: float
    body: str | None


class Probe:
    """A client that fetches a URL again and again, on a new connection each time."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def attempts(self, since: float) -> list[Attempt]:
        rows = [json.loads(line) for line in self._process.log_path.read_text().splitlines() if line.endswith("}")]
        return [Attempt(row["at"], row.get("body")) for row in rows if row["at"] >= since]


@contextmanager
def probing(cluster: Cluster, url: str) -> Iterator[Probe]:
    """While it lasts, the client fetches `url` 20 times a second."""
    every = f"--every-seconds={PROBE_EVERY_SECONDS}"
    process = cluster.start("probe", CLIENT, [*script("fetch.py"), url, "--timeout-seconds=1", every])
    try:
        yield Probe(process)
    finally:
        process.kill()
        del cluster.processes["probe"]


def conditions(observed: dict[str, Any]) -> dict[str, dict[str, str]]:
    """An object's status conditions by type."""
    return {each["type"]: each for each in observed.get("status", {}).get("conditions", [])}


def ingress(service: dict[str, Any]) -> list[str]:
    """The addresses in a Service's status."""
    return [each["ip"] for each in service.get("status", {}).get("loadBalancer", {}).get("ingress", [])]


def serving(cluster: Cluster) -> set[str]:
    """The nodes whose Speakers are Ready."""
    speakers = cluster.reader.list("speakers")
    return {one["metadata"]["name"] for one in speakers if conditions(one).get("Ready", {}).get("status") == "True"}


def reports(cluster: Cluster) -> dict[str, dict[str, Any]]:
    """By node: what its speaker reports, all slices together. Those of a process that is no more are left out."""
    processes = {
        one["metadata"]["name"]: one["status"].get("incarnation")
        for one in cluster.reader.list("speakers")
        if one.get("status") and not one["status"].get("goodbye")
    }
    found: dict[str, dict[str, Any]] = {node: {} for node in processes}
    for one in cluster.reader.list("speakerreports"):
        node, said = one["spec"]["node"], dict(one.get("status", {}))
        if node in processes and said.pop("incarnation", None) == processes[node]:
            for name, value in said.items():
                known = found[node].get(name, type(value)())
                found[node][name] = known | value if isinstance(value, dict) else known + value
    return found


def wait_for_address(cluster: Cluster, name: str, *, timeout_seconds: float = 20.0) -> str:
    """The Service's first address, as soon as it has one."""

    def address() -> str | None:
        found = ingress(cluster.reader.get("service", name) or {})
        return found[0] if found else None

    return wait_for(f"service {name} has an address", address, timeout_seconds=timeout_seconds)


def wait_for_neighbour(cluster: Cluster, address: str, among: set[str], *, timeout_seconds: float) -> tuple[str, float]:
    """Until the client's neighbour entry names one of these nodes: that node, and the monotonic time it was seen."""
    nodes = cluster.macs()

    def named() -> tuple[str, float] | None:
        entry = cluster.neighbour(address)
        node = nodes.get(entry.mac or "") if entry else None
        return (node, time.monotonic()) if node in among else None

    what = f"the client's neighbour entry of {address} names {' or '.join(sorted(among))}"
    return wait_for(what, named, timeout_seconds=timeout_seconds, poll_seconds=0.005)


def lease_holder(cluster: Cluster, lease: str, namespace: str) -> str | None:
    found = cluster.reader.get("lease", lease, namespace) or {}
    holder = found.get("spec", {}).get("holderIdentity")
    return str(holder) if holder else None
