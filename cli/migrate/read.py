"""Reads what there is of MetalLB in a cluster."""

import json
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from allocator.annotations import Contradiction, asked_for
from allocator.observed import Observed
from allocator.request import key_of, present_addresses
from cli.failure import Failed
from cli.migrate.convert import convert
from cli.migrate.frr import FRR_CONFIGURATIONS
from cli.migrate.told import Body, Converted
from cli.reading import read_cluster
from cli.seen import Seen
from crds.addresses import IPAddress
from crds.names import ANNOTATION_SHARING_KEY
from kube.errors import Forbidden, NotFound
from kube.informer.store import ObjectKey
from kube.io.client import Client
from kube.objects import Service, decode_namespace, decode_node, decode_service, decode_service_cidr
from kube.resource import SERVICES, Resource

CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap", True)


def _metallb(version: str, plural: str, kind: str) -> Resource:
    return Resource("metallb.io", version, plural, kind, True)


KINDS: tuple[tuple[Resource, ...], ...] = (
    (_metallb("v1beta1", "ipaddresspools", "IPAddressPool"),),
    (_metallb("v1beta1", "addresspools", "AddressPool"),),
    (_metallb("v1beta1", "l2advertisements", "L2Advertisement"),),
    (_metallb("v1beta1", "bgpadvertisements", "BGPAdvertisement"),),
    (_metallb("v1beta2", "bgppeers", "BGPPeer"), _metallb("v1beta1", "bgppeers", "BGPPeer")),
    (_metallb("v1beta1", "bfdprofiles", "BFDProfile"),),
    (_metallb("v1beta1", "communities", "Community"),),
)
"""Of each the versions, the newest first."""


async def read_metallb(client: Client, namespace: str) -> list[Body]:
    """`namespace`: MetalLB's. The old ConfigMap counts where there is none of its kinds, as MetalLB reads either.
    Configurations of frr-k8s are of any namespace. Raises Failed, ApiError."""
    found = [one for versions in KINDS for one in await _first_known(client, versions, namespace)]
    names = ("bgpextras",) if found else ("config", "bgpextras")
    for name in names:
        try:
            found.append(json.loads(await client.get(CONFIG_MAPS, name, namespace)))
        except NotFound:
            continue
        except Forbidden as error:
            raise Failed(f"you may not read ConfigMap {namespace}/{name}: {error}") from error
    if not found:
        raise Failed(f"there is nothing of MetalLB's in namespace {namespace}: name another by --metallb-namespace")
    return found + await _first_known(client, (FRR_CONFIGURATIONS,), None)


async def _first_known(client: Client, versions: Iterable[Resource], namespace: str | None) -> list[Body]:
    for res in versions:
        try:
            raws, _ = await client.list(res, namespace=namespace)
        except NotFound:
            continue
        except Forbidden as error:
            raise Failed(f"you may not list {res.plural}.{res.group}: {error}") from error
        return [{**json.loads(raw), "apiVersion": res.api_version, "kind": res.kind} for raw in raws]
    return []


async def read_services(client: Client) -> list[Service]:
    """All; those that can't be decoded are left out, as the allocator leaves them out. Raises ApiError."""
    raws, _ = await client.list(SERVICES)
    return list(decoded_services(json.loads(raw) for raw in raws))


def decoded_services(objects: Iterable[Body]) -> Iterator[Service]:
    """The Services among these objects."""
    for one in objects:
        if one.get("apiVersion", "v1") == "v1" and one.get("kind", "Service") == "Service":
            try:
                yield decode_service(json.dumps(one, default=str).encode())
            except ValueError:
                continue


def shared_by_several(services: Iterable[Service]) -> set[IPAddress]:
    """Addresses that Services of several namespaces show, with one sharing key."""
    namespaces: dict[tuple[IPAddress, str], set[str]] = {}
    for service in services:
        asked = asked_for(service.metadata.annotations)
        key = None if isinstance(asked, Contradiction) else asked.get(ANNOTATION_SHARING_KEY)
        for address in present_addresses(service) if key else ():
            namespaces.setdefault((address, str(key)), set()).add(key_of(service).namespace)
    return {address for (address, _), several in namespaces.items() if len(several) > 1}


async def read_converted(client: Client, namespace: str) -> Converted:
    """What the cluster's MetalLB would be in Berth. Raises Failed, ApiError."""
    objects = await read_metallb(client, namespace)
    return convert(objects, shared_by_several(await read_services(client)))


async def read_both(client: Client, namespace: str, berth_namespace: str) -> tuple[Converted, Seen]:
    """The same, and the cluster. Raises Failed, ApiError."""
    converted, seen = await read_converted(client, namespace), await read_cluster(client, berth_namespace)
    missing = [gap for gap in seen.gaps if not gap.is_unknown and gap.resource in ("services", "namespaces", "nodes")]
    if missing:
        raise Failed(f"nothing can be told without these lists: {'; '.join(map(str, missing))}")
    return converted, seen


def seen_in(objects: Iterable[Body]) -> Seen:
    """The same out of files, as far as Services, Namespaces, Nodes and ServiceCIDRs are among them."""
    decoders: dict[str, tuple[str, Callable[[bytes], Any]]] = {
        "Service": ("services", decode_service),
        "Namespace": ("namespaces", decode_namespace),
        "Node": ("nodes", decode_node),
        "ServiceCIDR": ("service_cidrs", decode_service_cidr),
    }
    found: dict[str, dict[ObjectKey, Any]] = {name: {} for name, _ in decoders.values()}
    for number, one in enumerate(objects):
        kind, metadata = str(one.get("kind")), one.get("metadata")
        if kind not in decoders or not isinstance(metadata, dict):
            continue
        name, decode = decoders[kind]
        body = {**one, "metadata": {"uid": f"file-{number}", **metadata}}
        if kind == "Service":
            body["metadata"].setdefault("namespace", "default")
        try:
            decoded = decode(json.dumps(body, default=str).encode())
        except ValueError:
            continue
        found[name][ObjectKey(decoded.metadata.namespace or None, decoded.metadata.name)] = decoded
    return Seen(Observed(**found), None, {}, datetime.now(UTC))
