"""A cluster in an operator's short words, for the end-to-end tests: kubectl, and waiting for what it should bring.

Asserts nothing: waits that run out raise, and what was read is handed back.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from lab.apiserver import real
from lab.cluster import Cluster
from lab.demo.observe import conditions, ingress
from lab.netns import Unsupported
from lab.process import State, wait_for

T = TypeVar("T")

SETTLE_SECONDS = 20.0
OWN_KINDS = "ippools,l2advertisements"


class Desk:
    """kubectl in short words. Waits where a controller has to act; raises WaitExpired when it does not."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.kubectl = cluster.kubectl

    def pool(self, name: str, *addresses: str, **spec: object) -> None:
        self._apply("berth.dev/v1beta1", "IPPool", name, {"addresses": list(addresses), **spec})

    def advertise_all(self) -> None:
        self._apply("berth.dev/v1beta1", "L2Advertisement", "all", {})

    def service(self, name: str, annotations: Mapping[str, str] | None = None, **spec: object) -> None:
        body = {"type": "LoadBalancer", "selector": {"app": "example"}, "ports": [{"port": 80, "targetPort": 9376}]}
        self._apply("v1", "Service", name, {**body, **spec}, annotations)

    def get(self, kind: str, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.kubectl.json("get", kind, name)
        return found

    def exists(self, kind: str, name: str) -> bool:
        return self.kubectl.run("get", kind, name).returncode == 0

    def delete(self, kind: str, name: str, *, wait: bool = True) -> None:
        self.kubectl("delete", kind, name, f"--wait={str(wait).lower()}", "--timeout=30s")

    def patch(self, kind: str, name: str, patch: Mapping[str, object]) -> None:
        self.kubectl("patch", kind, name, "--type=merge", f"--patch={json.dumps(patch)}")

    def until(self, what: str, ask: Callable[[], T | None], *, timeout_seconds: float = SETTLE_SECONDS) -> T:
        return wait_for(what, ask, timeout_seconds=timeout_seconds, poll_seconds=0.1, meanwhile=self._all_run)

    def addresses(self, service: str, *, count: int = 1, timeout_seconds: float = SETTLE_SECONDS) -> list[str]:
        """Once the Service has as many."""

        def enough() -> list[str] | None:
            found = ingress(self.get("service", service))
            return found if len(found) == count else None

        return self.until(f"{service} has {count} address(es)", enough, timeout_seconds=timeout_seconds)

    def condition(self, kind: str, name: str, condition: str, reason: str) -> dict[str, str]:
        """Once the condition has that reason."""

        def matching() -> dict[str, str] | None:
            if not self.exists(kind, name):
                return None
            found = conditions(self.get(kind, name)).get(condition)
            return found if found and found["reason"] == reason else None

        return self.until(f"{kind} {name} has {condition} with reason {reason}", matching)

    def event(self, kind: str, name: str, reason: str) -> str:
        def told() -> str | None:
            events = self.kubectl("events", f"--for={kind}/{name}")
            return events if reason in events else None

        return self.until(f"an Event {reason} about {kind} {name}", told)

    def gone(self, kind: str, name: str) -> None:
        self.until(f"{kind} {name} is gone", lambda: not self.exists(kind, name))

    def fault(self, **fault: object) -> None:
        """Have the stand-in misbehave: see lab/apiserver/faults.py. The real API server can't be told to."""
        if real.assets() is not None:
            raise Unsupported("only the stand-in can be told to misbehave")
        self.kubectl("create", "--raw=/lab/faults", "--filename=-", stdin=json.dumps(fault))

    def answered(self, code: int, user: str) -> int:
        """How many requests of `user` the stand-in has answered with that code."""
        rows = json.loads(self.kubectl("get", "--raw=/lab/counters"))["counters"]
        return sum(row["count"] for row in rows if (row["code"], row["user"]) == (code, user))

    def order(self, command: str) -> None:
        """drop-watches, forget-history."""
        if real.assets() is not None:
            raise Unsupported("only the stand-in can be told to misbehave")
        self.kubectl("create", f"--raw=/lab/{command}", "--filename=-", stdin="{}")

    def clear(self) -> None:
        if real.assets() is None:
            self.kubectl("delete", "--raw=/lab/faults")
        for process in self.cluster.processes.values():
            if process.state is State.FROZEN:
                process.resume()
            elif process.state is State.ENDED:
                process.start()
        for node in self.cluster.segment.nodes:
            self.cluster.restore_to_api(node.name)
        self.kubectl("delete", "services", "--selector=component!=apiserver", "--wait=true", "--timeout=60s")
        self.until("no address is in use", lambda: not self.kubectl.json("get", "ipallocations")["items"])
        self.kubectl("delete", OWN_KINDS, "--all")

    def _apply(
        self,
        api_version: str,
        kind: str,
        name: str,
        spec: Mapping[str, object],
        annotations: Mapping[str, str] | None = None,
    ) -> None:
        metadata = {"name": name, "annotations": dict(annotations or {})}
        self.kubectl.apply({"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": dict(spec)})

    def _all_run(self) -> None:
        for process in self.cluster.processes.values():
            if process.state is State.ENDED and process.returncode not in (0, -9):
                process.require_running()
