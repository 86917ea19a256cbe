"""Berth's two programs as the chart runs them: found by labels, whatever the release and its accounts are called."""

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from cli.rights import PROGRAMS, WITH_SECURE_METRICS, Right
from kube.decoding import decoder
from kube.errors import ApiError
from kube.io.client import Client
from kube.resource import Resource

DEPLOYMENTS = Resource("apps", "v1", "deployments", "Deployment", True)
DAEMON_SETS = Resource("apps", "v1", "daemonsets", "DaemonSet", True)
KINDS = {"allocator": DEPLOYMENTS, "speaker": DAEMON_SETS}
SECURE = "--metrics-secure"


class _Container(msgspec.Struct, frozen=True):
    args: tuple[str, ...] | None = None


class _PodSpec(msgspec.Struct, frozen=True, rename="camel"):
    service_account_name: str = ""
    containers: tuple[_Container, ...] = ()


class _Template(msgspec.Struct, frozen=True):
    spec: _PodSpec = _PodSpec()


class _Spec(msgspec.Struct, frozen=True):
    template: _Template = _Template()


class _Workload(msgspec.Struct, frozen=True):
    spec: _Spec = _Spec()


_decode = decoder(_Workload)


class Workload(NamedTuple):
    """`account`: the service account that it runs as, empty where the template names none."""

    account: str
    arguments: frozenset[str]


async def workloads(client: Client, namespace: str) -> Mapping[str, Workload]:
    """By component, those that are there. Raises ApiError, ValueError."""
    found = {}
    for component, res in KINDS.items():
        selector = f"app.kubernetes.io/component={component}"
        for raw in (await client.list_page(res, namespace=namespace, label_selector=selector)).items[:1]:
            spec = _decode(raw).spec.template.spec
            arguments = frozenset(one for container in spec.containers for one in container.args or ())
            found[component] = Workload(spec.service_account_name, arguments)
    return found


async def needs(client: Client, namespace: str) -> Mapping[str, list[Right]]:
    """The rights that each service account of ours must have. Where a workload can't be read, it counts as one of the
    chart's by default."""
    try:
        found = await workloads(client, namespace)
    except (ApiError, ValueError):
        found = {}
    rights: dict[str, list[Right]] = {}
    for component in KINDS:
        usual = f"berth-{component}"
        one = found.get(component, Workload(usual, frozenset()))
        secure = WITH_SECURE_METRICS if SECURE in one.arguments else []
        rights.setdefault(one.account or usual, []).extend([*PROGRAMS[usual], *secure])
    return {account: list(dict.fromkeys(each)) for account, each in rights.items()}
