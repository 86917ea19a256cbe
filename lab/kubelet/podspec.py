"""How to run a chart's workload without a kubelet: its first container's command line, capabilities and account.

So that the lab runs what the chart says, flags and rights included, and a mistake there shows in the demo. No I/O.
"""

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

_REFERENCE = re.compile(r"\$\(([A-Za-z_][A-Za-z0-9_]*)\)")

TOKEN_SECONDS = 24 * 3600
"""Longer than any lab is up: nobody here renews them, as a kubelet would."""

Manifest = Mapping[str, Any]


@dataclass(frozen=True)
class Place:
    """Where a pod of the workload runs: what its downward API would say."""

    pod_name: str
    namespace: str
    node_name: str


@dataclass(frozen=True)
class Program:
    """`privileges` are options of setpriv(1)."""

    command: tuple[str, ...]
    environment: Mapping[str, str]
    privileges: tuple[str, ...]
    service_account: str


@dataclass(frozen=True)
class Confinement:
    """What a container runtime does to a program. `user` and `group` None = the image says. `capabilities` None = all.

    `memory`: folders that are the pod's own, in memory.
    """

    user: int | None
    group: int | None
    capabilities: tuple[str, ...] | None
    is_read_only: bool
    no_new_privileges: bool
    memory: tuple[str, ...]


def workload(manifests: Sequence[Manifest], kind: str, component: str) -> Manifest:
    """The one workload of that kind and component; a Pod as one that has it as its template. Raises StopIteration when
    the chart has none."""
    wanted = {"app.kubernetes.io/component": component}.items()
    found = next(m for m in manifests if m["kind"] == kind and wanted <= m["metadata"]["labels"].items())
    return {**found, "spec": {"template": found}} if kind == "Pod" else found


def container_of(manifest: Manifest) -> str:
    """The name of the first one, which is the one that runs."""
    return str(manifest["spec"]["template"]["spec"]["containers"][0]["name"])


def secret_mounts(manifest: Manifest) -> dict[str, str]:
    """The names of the Secrets that the container mounts, by the path where it finds them."""
    pod = manifest["spec"]["template"]["spec"]
    secrets = {each["name"]: each["secret"]["secretName"] for each in pod.get("volumes", ()) if "secret" in each}
    mounts = pod["containers"][0].get("volumeMounts", ())
    return {each["mountPath"]: secrets[each["name"]] for each in mounts if each["name"] in secrets}


def confinement_of(manifest: Manifest) -> Confinement:
    """What the pod and its first container say; the container's word counts more."""
    pod = manifest["spec"]["template"]["spec"]
    container = pod["containers"][0]
    security = {**pod.get("securityContext", {}), **container.get("securityContext", {})}
    capabilities = security.get("capabilities", {})
    drops_all = "ALL" in capabilities.get("drop", ())
    folders = {each["name"] for each in pod.get("volumes", ()) if "emptyDir" in each}
    mounts = container.get("volumeMounts", ())
    return Confinement(
        user=security.get("runAsUser"),
        group=security.get("runAsGroup"),
        capabilities=tuple(each.lower() for each in capabilities.get("add", ())) if drops_all else None,
        is_read_only=security.get("readOnlyRootFilesystem", False),
        no_new_privileges=security.get("allowPrivilegeEscalation") is False,
        memory=tuple(each["mountPath"] for each in mounts if each["name"] in folders),
    )


def values_of(option: str, manifest: Manifest) -> list[str]:
    """What the container's command line gives for `--option`."""
    words = manifest["spec"]["template"]["spec"]["containers"][0].get("args", ())
    return [value for name, _, value in (word.partition("=") for word in words) if name == option and value]


def program_of(
    manifest: Manifest,
    place: Place,
    *,
    extra_arguments: Sequence[str] = (),
    mounts: Mapping[str, str] = MappingProxyType({}),
    python: str = sys.executable,
) -> Program:
    """What a kubelet would start. `python` is what the command's first word becomes when it is that.

    Without an image there is no file system of its own: a path of `mounts` at the end of an argument becomes the one
    given for it.
    """
    pod = manifest["spec"]["template"]["spec"]
    container = pod["containers"][0]
    environment = {each["name"]: _value(each, place) for each in container.get("env", [])}
    words = [_expand(word, environment) for word in (*container["command"], *container.get("args", ()))]
    program = python if words[0] == "python" else words[0]
    words = [_mounted(word, mounts) for word in words]
    return Program(
        command=(program, *words[1:], *extra_arguments),
        environment=environment,
        privileges=_privileges(container.get("securityContext", {})),
        service_account=pod["serviceAccountName"],
    )


def pod_of(manifest: Manifest, place: Place) -> dict[str, Any]:
    """The Pod object that a controller would make: what a token can be bound to."""
    template = manifest["spec"]["template"]
    pod = template["spec"]
    container = pod["containers"][0]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": place.pod_name,
            "namespace": place.namespace,
            "labels": template["metadata"]["labels"],
        },
        "spec": {
            "nodeName": place.node_name,
            "serviceAccountName": pod["serviceAccountName"],
            "hostNetwork": pod.get("hostNetwork", False),
            "automountServiceAccountToken": False,
            "containers": [{"name": container["name"], "image": container["image"]}],
        },
    }


def token_request(place: Place) -> dict[str, Any]:
    """For a token of the pod's service account, bound to the pod (KEP-1205, KEP-4193)."""
    return {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {
            "expirationSeconds": TOKEN_SECONDS,
            "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": place.pod_name},
        },
    }


def _value(variable: Mapping[str, Any], place: Place) -> str:
    if "value" in variable:
        return str(variable["value"])
    fields = {
        "metadata.name": place.pod_name,
        "metadata.namespace": place.namespace,
        "spec.nodeName": place.node_name,
    }
    return fields[variable["valueFrom"]["fieldRef"]["fieldPath"]]


def _expand(word: str, environment: Mapping[str, str]) -> str:
    """$(NAME) as in a pod's command; an unknown name stays as it is, as Kubernetes leaves it."""
    return _REFERENCE.sub(lambda found: environment.get(found[1], found[0]), word)


def _mounted(word: str, mounts: Mapping[str, str]) -> str:
    for path, real in mounts.items():
        if word.endswith(f"={path}"):
            return word.removesuffix(path) + real
    return word


def _privileges(security: Mapping[str, Any]) -> tuple[str, ...]:
    capabilities = security.get("capabilities", {})
    if "ALL" not in capabilities.get("drop", []):
        return ()
    kept = [f"+{name.lower()}" for name in capabilities.get("add", [])]
    no_new = ("--no-new-privs",) if security.get("allowPrivilegeEscalation") is False else ()
    return (f"--bounding-set={','.join(['-all', *kept])}", "--inh-caps=-all", *no_new)
