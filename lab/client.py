"""A cluster in an operator's short words, for the end-to-end tests: kubectl, reads, and waiting for what should come.

Asserts nothing: waits that run out raise, and what was read is handed back.
"""

import json
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

from lab.apiserver import real
from lab.cluster import NAMESPACE, Cluster
from lab.kubectl import Kubectl
from lab.net.hosts import CLIENT, ROUTER
from lab.net.netns import CommandFailed, Unsupported
from lab.observe import conditions, ingress, reports, serving
from lab.process import State
from lab.waiting import wait_for

T = TypeVar("T")

SETTLE_SECONDS = 20.0
METRICS_URL = "http://127.0.0.1:7482/metrics"
"""Of a node's speaker, from that node."""
OWN_KINDS = "ippools,l2advertisements,bgpadvertisements,bgppeers,bfdprofiles,communities"
BERTH = "berth.dev/v1beta1"


class LabClient:
    """kubectl in short words. Waits where a controller has to act; raises WaitExpired when it does not."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.kubectl = cluster.kubectl

    def pool(self, name: str, *addresses: str, **spec: object) -> None:
        self._apply(BERTH, "IPPool", name, {"addresses": list(addresses), **spec})

    def advertise_all(self) -> None:
        self._apply(BERTH, "L2Advertisement", "all", {})

    def bgp_peer(self, name: str = "tor", *, host: str = ROUTER, **spec: object) -> None:
        """The router that runs on that host of the lab, over IPv4 unless `peerAddress` is another, or `interface` or
        `peerAddressFrom` says where it is. `spec`: the API's fields; what the
        router's settings say is filled in, unless it is None here."""
        router = self.cluster.routers[host]
        settings = router.settings
        asns = {"myASN": settings.node_asn, "peerASN": settings.asn}
        place = {} if {"interface", "peerAddressFrom"} & spec.keys() else {"peerAddress": str(router.place.host.ipv4)}
        fields = {**asns, **place, "connectRetrySeconds": 1, **spec}
        self._apply(BERTH, "BGPPeer", name, {field: value for field, value in fields.items() if value is not None})

    def bgp_advertisement(self, name: str = "all", **spec: object) -> None:
        self._apply(BERTH, "BGPAdvertisement", name, spec)

    def bfd_profile(self, name: str = "fast", **spec: object) -> None:
        self._apply(BERTH, "BFDProfile", name, spec)

    def community(self, name: str, **aliases: str) -> None:
        """Aliases and what they stand for."""
        values = [{"name": alias, "value": value} for alias, value in aliases.items()]
        self._apply(BERTH, "Community", name, {"communities": values})

    def secret(self, name: str, **values: str) -> None:
        """In Berth's own namespace."""
        metadata = {"name": name, "namespace": NAMESPACE}
        self.kubectl.apply({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": values})

    def endpoint_slice(
        self, service: str, *endpoints: Mapping[str, object], port: int = 9376, suffix: str = ""
    ) -> None:
        """For a Service without selector, whose endpoints nobody else writes. The port has no name."""
        slice_ = {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": f"{service}{suffix}", "labels": {"kubernetes.io/service-name": service}},
            "addressType": "IPv4",
            "endpoints": list(endpoints),
            "ports": [{"name": "", "port": port, "protocol": "TCP"}],
        }
        self.kubectl.apply(slice_)

    def service(
        self,
        name: str,
        annotations: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
        **spec: object,
    ) -> None:
        """A field of None is left out, `selector` for one."""
        body = {"type": "LoadBalancer", "selector": {"app": "example"}, "ports": [{"port": 80, "targetPort": 9376}]}
        whole = {field: value for field, value in {**body, **spec}.items() if value is not None}
        self._apply("v1", "Service", name, whole, annotations, labels)

    def find(self, kind: str, name: str) -> dict[str, Any] | None:
        """None when there is none. In place of `exists` and then `get`: it may go, or be made anew, between the two."""
        return self.cluster.reader.get(kind, name)

    def get(self, kind: str, name: str) -> dict[str, Any]:
        """Raises CommandFailed when there is none."""
        found = self.find(kind, name)
        if found is None:
            raise CommandFailed(f"there is no {kind} {name}")
        return found

    def exists(self, kind: str, name: str) -> bool:
        return self.find(kind, name) is not None

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
            found = conditions(self.find(kind, name) or {}).get(condition)
            return found if found and found["reason"] == reason else None

        return self.until(f"{kind} {name} has {condition} with reason {reason}", matching)

    def event(self, kind: str, name: str, reason: str) -> str:
        def reported() -> str | None:
            events = self.kubectl("events", f"--for={kind}/{name}")
            return events if reason in events else None

        return self.until(f"an Event {reason} about {kind} {name}", reported)

    def all_serve(self, *, timeout_seconds: float = SETTLE_SECONDS) -> None:
        """Once the Speakers of all nodes are Ready. Before that, addresses move to those that join."""
        nodes = {node.name for node in self.cluster.topology.nodes}
        self.until("all speakers serve", lambda: serving(self.cluster) == nodes, timeout_seconds=timeout_seconds)

    def announcer(self, address: str) -> str | None:
        """The one node whose speaker reports that it announces the address; None when it is not one."""
        nodes = [node for node, said in self.reports().items() if address in said.get("announcements", {})]
        return nodes[0] if len(nodes) == 1 else None

    def reports(self) -> dict[str, dict[str, Any]]:
        """By node: what its speaker reports."""
        return reports(self.cluster)

    def reported(self, node: str, condition: str, reason: str) -> dict[str, str]:
        """Once the node's speaker reports the condition with that reason."""

        def matching() -> dict[str, str] | None:
            found = conditions({"status": self.reports().get(node, {})}).get(condition)
            return found if found and found["reason"] == reason else None

        return self.until(f"{node} reports {condition} with reason {reason}", matching)

    def found_at(self, address: str) -> str | None:
        """The node that the client's kernel finds by asking anew; None when nobody answers."""
        self.cluster.run(CLIENT, "ip", "neighbour", "flush", "to", address)
        host = f"[{address}]" if ":" in address else address
        self.cluster.fetch(f"http://{host}/", timeout_seconds=1)
        found = self.cluster.neighbour(address)
        return self.cluster.node_of_mac(found.mac) if found else None

    def metric(self, node: str, sample: str) -> float | None:
        """A sample of the node's speaker, by its name and labels; None when there is none, or no answer."""
        page = self.cluster.fetch(METRICS_URL, host=node).get("body", "")
        rows = (line.rpartition(" ") for line in page.splitlines())
        return next((float(value) for name, _, value in rows if name == sample), None)

    def bgp_sessions(self, peer: str = "tor") -> dict[str, dict[str, Any]]:
        """By node: what each speaker reports of its session with the peer. Nodes without one are left out."""
        return self._sessions("bgpSessions", peer)

    def bfd_sessions(self, peer: str = "tor") -> dict[str, dict[str, Any]]:
        return self._sessions("bfdSessions", peer)

    def established(
        self, peer: str = "tor", nodes: Collection[str] | None = None, *, timeout_seconds: float = SETTLE_SECONDS
    ) -> None:
        """Once the speakers of these nodes, and of no others, report that their session with the peer is up."""
        wanted = {node.name for node in self.cluster.topology.nodes} if nodes is None else set(nodes)

        def are_up() -> bool:
            up = {node for node, one in self.bgp_sessions(peer).items() if one["state"] == "Established"}
            return up == wanted

        what = f"sessions with {peer} are up on {', '.join(sorted(wanted)) or 'no node'}"
        self.until(what, are_up, timeout_seconds=timeout_seconds)

    def learned(self, address: str, *nodes: str, host: str = ROUTER, timeout_seconds: float = SETTLE_SECONDS) -> None:
        """Once the router has a host route to the address from these nodes, and from no others."""
        router = self.cluster.routers[host]
        what = f"{host} has {address} from {', '.join(sorted(nodes)) or 'nobody'}"
        wait_for(
            what,
            lambda: router.nodes_with(address) == set(nodes),
            timeout_seconds=timeout_seconds,
            meanwhile=self._all_run,
        )

    def _sessions(self, kind: str, peer: str) -> dict[str, dict[str, Any]]:
        return {
            node: session
            for node, said in self.reports().items()
            for session in said.get(kind, [])
            if session["peer"] == peer
        }

    def gone(self, kind: str, name: str, *, timeout_seconds: float = SETTLE_SECONDS) -> None:
        self.until(f"{kind} {name} is gone", lambda: not self.exists(kind, name), timeout_seconds=timeout_seconds)

    def clear(self, *, kinds: str = OWN_KINDS) -> None:
        """Heal what was broken; delete all Services and, when their addresses are free, all objects of these kinds."""
        if real.assets() is None:
            ApiFaults(self.kubectl).clear()
        for process in self.cluster.processes.values():
            if process.state is State.FROZEN:
                process.resume()
            elif process.state is State.ENDED:
                process.start()
        for node in self.cluster.topology.nodes:
            self.cluster.faults.heal(node.name)
        self.kubectl("delete", "services", "--selector=component!=apiserver", "--wait=true", "--timeout=60s")
        self.until("no address is in use", lambda: not self.cluster.reader.list("ipallocations"))
        self.kubectl("delete", kinds, "--all")

    def _apply(
        self,
        api_version: str,
        kind: str,
        name: str,
        spec: Mapping[str, object],
        annotations: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> None:
        metadata = {"name": name, "annotations": dict(annotations or {}), "labels": dict(labels or {})}
        self.kubectl.apply({"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": dict(spec)})

    def _all_run(self) -> None:
        for process in self.cluster.processes.values():
            if process.state is State.ENDED and process.returncode not in (0, -9):
                process.require_running()


class ApiFaults:
    """Has the API server misbehave, as far as it is the stand-in: see lab/apiserver/faults.py."""

    def __init__(self, kubectl: Kubectl) -> None:
        """Raises Unsupported where the lab runs on a real API server."""
        if real.assets() is not None:
            raise Unsupported("a real API server can't be told to misbehave")
        self._kubectl = kubectl

    def add(self, **fault: object) -> None:
        """Late or failing answers, as lab.apiserver.faults describes them."""
        self._kubectl("create", "--raw=/lab/faults", "--filename=-", stdin=json.dumps(fault))

    def clear(self) -> None:
        self._kubectl("delete", "--raw=/lab/faults")

    def drop_watches(self) -> None:
        self._order("drop-watches")

    def forget_history(self) -> None:
        """Watches can't go on from any resource version that there was."""
        self._order("forget-history")

    def answered(self, code: int, user: str) -> int:
        """How many requests of `user` have been answered with that code."""
        rows = json.loads(self._kubectl("get", "--raw=/lab/counters"))["counters"]
        return sum(row["count"] for row in rows if (row["code"], row["user"]) == (code, user))

    def _order(self, command: str) -> None:
        self._kubectl("create", f"--raw=/lab/{command}", "--filename=-", stdin="{}")
