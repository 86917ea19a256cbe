"""A small cluster on the API server stand-in, as it is when all is well; tests break it in one way each.

Two nodes with speakers, pool edge, an L2Advertisement, and Service web with an address that node1 announces. Nothing
runs but the server: speakers and allocator are what they have written.
"""

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cli.explain.read import explain
from cli.explain.subject import subject
from cli.explain.told import Explanation
from cli.rights import PROGRAMS
from crds.names import ALLOCATOR_LEASE, FINALIZER, allocation_name, speaker_lease
from kube.errors import NotFound
from kube.io.client import Client
from kube.resource import (
    BGPADVERTISEMENTS,
    BGPPEERS,
    ENDPOINTSLICES,
    IPALLOCATIONS,
    IPPOOLS,
    L2ADVERTISEMENTS,
    LEASES,
    NODES,
    SERVICES,
    SPEAKERREPORTS,
    SPEAKERS,
    Resource,
)

BERTH = "berth-system"
ADDRESS = "192.0.2.10"
EXCLUDE = "node.kubernetes.io/exclude-from-external-load-balancers"
NODES_THERE = ("node1", "node2")
ROLES = Resource("rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole", False)
BINDINGS = Resource("rbac.authorization.k8s.io", "v1", "clusterrolebindings", "ClusterRoleBinding", False)

ALL = (
    ENDPOINTSLICES,
    LEASES,
    NODES,
    IPPOOLS,
    IPALLOCATIONS,
    L2ADVERTISEMENTS,
    BGPADVERTISEMENTS,
    BGPPEERS,
    SPEAKERS,
    SPEAKERREPORTS,
    ROLES,
    BINDINGS,
)

Body = dict[str, Any]


@dataclass
class Setup:
    """Writes what a cluster has."""

    client: Client

    async def explain(self, what: str = "svc/web") -> Explanation:
        return await explain(self.client, BERTH, subject(what), "default")

    async def status(self, res: Resource, name: str, status: Body, namespace: str | None = None) -> None:
        await self.client.merge_patch(res, name, {"status": status}, namespace=namespace, subresource="status")

    async def spec(self, res: Resource, name: str, spec: Body, namespace: str | None = None) -> None:
        await self.client.merge_patch(res, name, {"spec": spec}, namespace=namespace)

    async def well(self) -> None:
        """All of it."""
        await self.rights()
        for node in NODES_THERE:
            await self.node(node)
        await self.lease(ALLOCATOR_LEASE)
        await self.client.create(IPPOOLS, {"metadata": {"name": "edge"}, "spec": {"addresses": ["192.0.2.0/24"]}})
        await self.client.create(L2ADVERTISEMENTS, {"metadata": {"name": "lan"}, "spec": {}})
        await self.service("web", ADDRESS)
        await self.endpoint("web", "node1")
        await self.announce("node1", ADDRESS)

    async def clear(self) -> None:
        """Nothing is left of it; the definitions and the namespace stay."""
        for res in (SERVICES, *ALL):
            raws, _ = await self.client.list(res)
            for one in (json.loads(raw)["metadata"] for raw in raws):
                name, namespace = one["name"], one.get("namespace")
                if namespace == "default" and name == "kubernetes":
                    continue
                if one.get("finalizers"):
                    await self.client.merge_patch(res, name, {"metadata": {"finalizers": None}}, namespace=namespace)
                with contextlib.suppress(NotFound):
                    await self.client.delete(res, name, namespace=namespace)

    async def rights(self, *, leave_out: str = "") -> None:
        """Those of the chart, but for the resource named."""
        for account, rights in PROGRAMS.items():
            rules = [
                {"apiGroups": [one.group], "resources": [one.resource], "verbs": [one.verb]}
                for one in rights
                if one.resource != leave_out
            ]
            await self.client.create(ROLES, {"metadata": {"name": account}, "rules": rules})
            ref = {"apiGroup": ROLES.group, "kind": "ClusterRole", "name": account}
            subjects = [{"kind": "ServiceAccount", "name": account, "namespace": BERTH}]
            await self.client.create(BINDINGS, {"metadata": {"name": account}, "roleRef": ref, "subjects": subjects})

    async def node(self, name: str) -> None:
        """A Node with a speaker that lives."""
        await self.client.create(NODES, {"metadata": {"name": name}})
        await self.client.create(SPEAKERS, {"metadata": {"name": name}, "spec": {}})
        interface = {"name": "eth0", "up": True, "usable": True, "mac": f"02:00:00:00:00:0{name[-1]}", "ipv6": True}
        ready = {
            "type": "Ready",
            "status": "True",
            "reason": "Serving",
            "message": "It serves",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
        status = {
            "incarnation": f"{name}-1",
            "conditions": [ready],
            "interfaces": [{**interface, "networks": [f"192.0.2.20{name[-1]}/24"]}],
        }
        await self.status(SPEAKERS, name, status)
        await self.lease(speaker_lease(name))
        await self.client.create(SPEAKERREPORTS, {"metadata": {"name": f"{name}.0"}, "spec": {"node": name}})
        await self.report(name)

    async def report(self, node: str, **status: Any) -> None:
        """Change slice 0 of its report."""
        await self.status(SPEAKERREPORTS, f"{node}.0", {"incarnation": f"{node}-1", **status})

    async def condition(self, node: str, kind: str, reason: str, message: str) -> None:
        """One that is False, in slice 0 of its report."""
        one = {"type": kind, "status": "False", "reason": reason, "message": message}
        await self.report(node, conditions=[{**one, "lastTransitionTime": "2026-01-01T00:00:00Z"}])

    async def lease(self, name: str, *, age: float = 0.0) -> None:
        """Renewed so many seconds ago."""
        renewed = (datetime.now(UTC) - timedelta(seconds=age)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        body = {"spec": {"holderIdentity": "x", "leaseDurationSeconds": 15, "renewTime": renewed}}
        try:
            await self.client.merge_patch(LEASES, name, body, namespace=BERTH)
        except NotFound:
            await self.client.create(LEASES, {"metadata": {"name": name}, **body}, BERTH)

    async def service(
        self, name: str, *addresses: str, annotations: Mapping[str, str] | None = None, **spec: Any
    ) -> Body:
        """With the addresses, if any: recorded, and shown by its status."""
        body = {
            "metadata": {"name": name, "annotations": dict(annotations or {})},
            "spec": {"type": "LoadBalancer", "selector": {"app": name}, "ports": [{"port": 80}], **spec},
        }
        made: Body = json.loads(await self.client.create(SERVICES, body, "default"))
        for address in addresses:
            await self.record(made, address)
        if addresses:
            allocated = {
                "type": "berth.dev/Allocated",
                "status": "True",
                "reason": "Allocated",
                "message": "x",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }
            ingress = [{"ip": one, "ipMode": "VIP"} for one in addresses]
            await self.client.merge_patch(
                SERVICES, name, {"metadata": {"finalizers": [FINALIZER]}}, namespace="default"
            )
            status = {"loadBalancer": {"ingress": ingress}, "conditions": [allocated]}
            await self.status(SERVICES, name, status, "default")
        return made

    async def record(self, service: Body, address: str, pool: str = "edge", **spec: Any) -> None:
        """That the Service holds it."""
        name, policy = service["metadata"]["name"], service["spec"].get("externalTrafficPolicy", "Cluster")
        holder = {
            "namespace": "default",
            "name": name,
            "uid": service["metadata"]["uid"],
            "ports": [{"protocol": "TCP", "port": 80}],
        }
        body = {"address": address, "pool": pool, "holders": [holder], "trafficPolicy": policy, **spec}
        await self.client.create(IPALLOCATIONS, {"metadata": {"name": allocation_name(address)}, "spec": body})

    async def endpoint(self, service: str, node: str | None, *, ready: bool = True) -> None:
        """One pod."""
        slice_ = {
            "metadata": {"name": f"{service}-1", "labels": {"kubernetes.io/service-name": service}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": ready}, "nodeName": node}],
            "ports": [],
        }
        with contextlib.suppress(NotFound):
            await self.client.delete(ENDPOINTSLICES, f"{service}-1", namespace="default")
        await self.client.create(ENDPOINTSLICES, slice_, "default")

    async def announce(self, node: str, *addresses: str, **how: Any) -> None:
        """What its report says that it announces."""
        layer2 = {"protocols": ["Layer2"], "interfaces": ["eth0"]}
        await self.report(node, announcements={one: how or layer2 for one in addresses})

    async def quiet(self) -> None:
        """Nobody announces anything."""
        await self.status(SPEAKERREPORTS, "node1.0", {"announcements": None})

    async def local(self) -> None:
        """Service web, with externalTrafficPolicy Local."""
        await self.spec(SERVICES, "web", {"externalTrafficPolicy": "Local"}, "default")
        await self.spec(IPALLOCATIONS, allocation_name(ADDRESS), {"trafficPolicy": "Local"})

    async def bgp_only(self, error: str, state: str = "Active") -> None:
        """Announced by BGP alone, to one router, with which no session is up."""
        await self.client.delete(L2ADVERTISEMENTS, "lan")
        await self.client.create(BGPADVERTISEMENTS, {"metadata": {"name": "routes"}, "spec": {}})
        spec = {"myASN": 64512, "peerASN": 64513, "peerAddress": "192.0.2.254"}
        await self.client.create(BGPPEERS, {"metadata": {"name": "tor1"}, "spec": spec})
        await self.quiet()
        for node in NODES_THERE:
            await self.report(node, bgpSessions=[{"peer": "tor1", "state": state, "lastError": error}])
