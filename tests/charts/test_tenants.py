"""The sample policies for tenants, and server-side apply beside the programs, on the API server stand-in."""

import json
from pathlib import Path
from typing import Any

import pytest

from crds.names import (
    ANNOTATION_IPS,
    ANNOTATION_IPS_ALIASES,
    ANNOTATION_POOL,
    ANNOTATION_POOL_ALIASES,
    ANNOTATION_SHARING_KEY,
    ANNOTATION_SHARING_KEY_ALIASES,
    FINALIZER,
)
from lab import chart
from lab.kubectl import Kubectl

pytestmark = pytest.mark.lab

POLICY = Path(__file__).parents[2] / "docs" / "policies" / "tenants.yaml"
WISHES = {
    "may not name a pool": (ANNOTATION_POOL, *ANNOTATION_POOL_ALIASES),
    "may not ask for an address": (ANNOTATION_IPS, *ANNOTATION_IPS_ALIASES),
    "may not share an address": (ANNOTATION_SHARING_KEY, *ANNOTATION_SHARING_KEY_ALIASES),
}
RIGHTS = ("berth.dev/may-choose-pools", "berth.dev/may-choose-addresses", "berth.dev/may-share-addresses")


def service(namespace: str, annotations: dict[str, str] | None = None, **spec: Any) -> str:
    metadata = {"name": "web", "namespace": namespace, "annotations": annotations or {}}
    wanted = {"type": "LoadBalancer", "ports": [{"port": 80}], **spec}
    return json.dumps({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": wanted})


def namespace(name: str, **labels: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def said(kubectl: Kubectl, body: str) -> str:
    """What the API server says to this Service; it is kept by nobody."""
    return kubectl.run("create", "--dry-run=server", "-f", "-", stdin=body).stderr


def test_tenants_say_only_what_their_namespaces_may(kubectl: Kubectl) -> None:
    kubectl.apply(namespace("trusted", **dict.fromkeys(RIGHTS, "true")), namespace("tenant"))
    before = {ANNOTATION_SHARING_KEY: "from before"}
    kubectl("create", "-f", "-", stdin=service("tenant", before))
    kubectl("apply", "-f", str(POLICY))
    other = service("tenant").replace('"web"', '"other"')
    for refusal, names in WISHES.items():
        for name in names:
            wish = json.loads(other)
            wish["metadata"]["annotations"] = {name: "x"}
            assert refusal in said(kubectl, json.dumps(wish)), name
            assert not said(kubectl, service("trusted", {name: "x"})), name
    for spec in ({"loadBalancerIP": "192.0.2.10"}, {"externalIPs": ["192.0.2.10"]}):
        wish = json.loads(other)
        wish["spec"] |= spec
        assert "may not ask for an address" in said(kubectl, json.dumps(wish))
        assert "Forbidden" not in said(kubectl, service("trusted", **spec))
    assert not said(kubectl, other)
    kubectl("label", "--namespace=tenant", "service", "web", "touched=yes")  # has a key, from before
    changed = kubectl.run("annotate", "--overwrite", "-n", "tenant", "service", "web", f"{ANNOTATION_SHARING_KEY}=new")
    assert "may not share an address" in changed.stderr
    kubectl("annotate", "--namespace=tenant", "service", "web", f"{ANNOTATION_SHARING_KEY}-")


POOL = {
    "apiVersion": "berth.dev/v1beta1",
    "kind": "IPPool",
    "metadata": {"name": "office"},
    "spec": {"addresses": ["192.0.2.10-192.0.2.99"]},
}


def test_what_gitops_applies_and_what_the_programs_write_do_not_conflict(kubectl: Kubectl) -> None:
    """Server-side apply refuses a field that another manager has set otherwise."""
    chart.install(kubectl.kubeconfig, "berth-system")
    for body in (json.dumps(POOL), service("default")):
        apply = ("apply", "--server-side", "--field-manager=argocd-controller", "-f", "-")
        kubectl(*apply, stdin=body)
        kind, name = ("ippool.berth.dev", "office") if "IPPool" in body else ("service", "web")
        written: dict[str, Any] = {"status": {"conditions": []}}
        if kind == "service":
            written = {
                "metadata": {"finalizers": [FINALIZER]},
                "status": {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}},
            }
        patch = ("patch", kind, name, "--subresource=status", "--type=merge", f"--patch={json.dumps(written)}")
        kubectl(*patch, "--field-manager=berth-allocator")
        kubectl(*apply, stdin=body)
        found = json.loads(kubectl("get", kind, name, "--output=json", "--show-managed-fields"))
        managers = {one["manager"]: one for one in found["metadata"]["managedFields"]}
        assert set(managers) >= {"argocd-controller", "berth-allocator"}
        assert managers["berth-allocator"]["subresource"] == "status"
        if kind == "service":
            assert found["metadata"]["finalizers"] == [FINALIZER]
            assert found["status"]["loadBalancer"]["ingress"]
