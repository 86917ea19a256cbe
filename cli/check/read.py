"""Reads what a check of a cluster needs."""

import json

from cli.check.codes import Code, Found
from cli.check.rules import Platform, of_berth, of_nodes, of_objects, of_peers, of_platform
from cli.reading import read_cluster
from cli.rights import refused
from cli.seen import World
from cli.workloads import DAEMON_SETS, needs
from kube.errors import ApiError, Forbidden, NotFound
from kube.io.client import Client
from kube.resource import Resource

CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap", True)
VERSION_BYTES = 64 << 10
METALLB_POOLS = Resource("metallb.io", "v1beta1", "ipaddresspools", "IPAddressPool", True)


async def check_cluster(client: Client, namespace: str, *, is_before: bool) -> list[Found]:
    """`namespace`: Berth's. `is_before`: Berth need not be there. Raises ApiError."""
    world = World(await read_cluster(client, namespace))
    found: list[Found] = []
    if not is_before:
        rights = await refused(client, namespace, await needs(client, namespace))
        found += of_berth(world, rights)
        if rights is None:
            message = "what its programs may do is not told to you (subjectaccessreviews)"
            found.append(Found(Code.NOT_READ, "", message))
    found += of_nodes(world)
    if not world.blind:
        found += of_objects(world)
        found += [] if is_before else of_peers(world)
    return found + list(of_platform(await _platform(client)))


async def _platform(client: Client) -> Platform:
    """What can't be read counts as not there."""
    return Platform(
        await _kube_proxy(client),
        await _has(client, DAEMON_SETS, namespace="kube-system", label_selector="svccontroller.k3s.cattle.io/svcname"),
        await _has(client, METALLB_POOLS),
        await _version(client),
    )


async def _version(client: Client) -> str:
    """Of the API server, as 1.31; empty where it does not say one. Some write the minor version as `31+`."""
    try:
        told = json.loads(await client.fetch("/version", most=VERSION_BYTES))
        return f"{told['major']}.{str(told['minor']).rstrip('+')}"
    except (ApiError, ValueError, TypeError, KeyError):
        return ""


async def _kube_proxy(client: Client) -> str:
    try:
        body = json.loads(await client.get(CONFIG_MAPS, "kube-proxy", "kube-system"))
    except (Forbidden, NotFound, ValueError):
        return ""
    return "\n".join(str(text) for text in (body.get("data") or {}).values())


async def _has(client: Client, res: Resource, **where: str) -> bool:
    """Whether there is any."""
    try:
        return bool((await client.list_page(res, page_size=1, **where)).items)
    except ApiError:
        return False
