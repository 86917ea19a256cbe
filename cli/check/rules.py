"""What is checked, of a cluster and of files: by the functions that judge pools, advertisements and peers. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from allocator.status.advertisement import advertisement_status
from allocator.status.pool import pool_status
from cli.bad import BAD, bad
from cli.check.codes import Code, Found
from cli.explain.address import peer_condition
from cli.explain.speakers import OTHER_CLOCK, speakers_trouble
from cli.seen import World
from crds.conditions import ConditionType
from crds.ippool import KeptOutReason
from crds.names import LABEL_EXCLUDE_NODE
from crds.types import IPPoolStatus
from kube.times import rfc3339
from speaker.cluster.causes import faults_in_node

LEAST_KUBERNETES = (1, 31)
"""Before, the API server does not know what the rules of our definitions call. As `kubeVersion` of the chart."""


@dataclass(frozen=True)
class Platform:
    """What else is in the cluster: the configuration of kube-proxy, and which others give addresses to Services.
    `kubernetes`: the API server's version, as 1.31; empty where it is not told."""

    kube_proxy: str = ""
    has_servicelb: bool = False
    has_metallb: bool = False
    kubernetes: str = ""


def of_platform(platform: Platform) -> Iterator[Found]:
    """What Berth stands on, and what stands beside it."""
    version = tuple(int(number) for number in platform.kubernetes.split(".") if number.isdecimal())
    if len(version) == 2 and version < LEAST_KUBERNETES:
        least = ".".join(map(str, LEAST_KUBERNETES))
        message = f"the API server is Kubernetes {platform.kubernetes}, and Berth needs {least}: upgrade it first"
        yield Found(Code.KUBERNETES, "", message)
    words = platform.kube_proxy.replace('"', "").replace("'", "").split()
    pairs = list(pairwise(words))
    if ("mode:", "ipvs") in pairs and ("strictARP:", "true") not in pairs:
        message = (
            "kube-proxy runs in IPVS mode without strictARP, so every node answers ARP: set ipvs.strictARP to true"
        )
        yield Found(Code.IPVS, "ConfigMap/kube-proxy", message)
    if platform.has_servicelb:
        message = "k3s' ServiceLB serves the same Services: switch it off (--disable=servicelb), or use a class"
        yield Found(Code.SERVICELB, "", message)
    if platform.has_metallb:
        message = (
            "MetalLB's definitions are there: where it runs, it serves the same Services: give one of both a class"
        )
        yield Found(Code.METALLB, "", message)


def of_berth(world: World, refused: Mapping[str, Sequence[str]] | None) -> Iterator[Found]:
    """Whether it is installed, may do its work, and runs."""
    for gap in world.seen.gaps:
        yield Found(Code.DEFINITIONS if gap.is_unknown else Code.NOT_READ, gap.resource, gap.why)
    for program, rights in (refused or {}).items():
        if rights:
            yield Found(Code.RIGHTS, f"ServiceAccount/{program}", f"it may not {', '.join(rights)}")
    if trouble := world.allocator_trouble():
        yield Found(Code.ALLOCATOR, "", trouble)
    if not world.blind and not world.pools.in_order:
        yield Found(Code.NO_POOL, "", "there is no IPPool, so no Service gets an address: create one")
    if world.blind or world.seen.is_announced_by_others:
        return
    if not world.alive:
        yield Found(Code.SPEAKERS, "", "No speaker lives: look at the pods of the DaemonSet berth-speaker")
    for reason, message in speakers_trouble(world) if world.alive else ():
        yield Found(Code.CLOCK if reason == OTHER_CLOCK else Code.SPEAKERS, "", message)


def of_nodes(world: World) -> Iterator[Found]:
    """Whether any may take traffic."""
    nodes = world.seen.facts.nodes
    faults = {name: list(faults_in_node(one)) for name, one in nodes.items()}
    if faults and all(faults.values()):
        why = sorted({text for texts in faults.values() for text in texts})
        message = f"No node may announce: of {len(nodes)} each {' or '.join(why)}: take that off"
        if any(LABEL_EXCLUDE_NODE in each for each in why):
            message += ", or set speaker.ignoreExcludeLabel: true (kubeadm, kind and Talos label control planes)"
        yield Found(Code.ALL_EXCLUDED, "", message)


def of_objects(world: World) -> Iterator[Found]:
    """Pools and advertisements, as far as they tell by themselves."""
    yield from _pools(world)
    peers = {one.name for one in world.seen.observed.peers.values()}
    for one in world.seen.observed.advertisements():
        about = f"{one.kind}/{one.name}"
        status = advertisement_status(one, world.pools, peers, [], rfc3339(world.seen.now))
        said = {(each["type"], each["status"]): each["message"] for each in status["conditions"]}
        unknown = [said[wrong] for wrong in BAD.items() if wrong in said]
        for message in unknown:
            yield Found(Code.UNKNOWN_NAME, about, message)
        nodes = world.seen.facts.nodes
        if nodes and not any(one.spec.selects_node(each.labels) for each in nodes.values()):
            yield Found(Code.SELECTS_NO_NODE, about, "no Node has the labels that its nodeSelector asks for")
        for condition in bad(one.conditions):
            if condition.message not in unknown:
                yield Found(Code.NOT_IN_USE, about, condition.message)


def _pools(world: World) -> Iterator[Found]:
    for pool in world.pools.in_order:
        about = f"IPPool/{pool.name}"
        status = pool_status(pool, world.ledger, IPPoolStatus(), rfc3339(world.seen.now))
        for one in status.conditions:
            if one.type == ConditionType.Ready and one.status == "False":
                yield Found(Code.POOL_INVALID, about, one.message)
            elif one.type == ConditionType.Overlapping and one.status == "True":
                yield Found(Code.POOLS_OVERLAP, about, one.message)
        for kept in status.kept_out:
            if kept.reason is KeptOutReason.NodeAddress:
                message = f"it has addresses of nodes, which nobody gets: {', '.join(kept.addresses)}"
                yield Found(Code.NODE_ADDRESSES, about, message)
        ads = world.seen.observed.advertisements()
        if not any(one.spec.covers_pool(pool.name, pool.labels) for one in ads):
            message = "no L2Advertisement or BGPAdvertisement covers it, so nobody announces its addresses: create one"
            yield Found(Code.NOT_ADVERTISED, about, message)


def of_peers(world: World) -> Iterator[Found]:
    """Whether each has its sessions."""
    for peer in world.seen.observed.peers.values():
        ready = peer_condition(world, peer)
        if ready.status == "False":
            yield Found(Code.PEER_DOWN, f"BGPPeer/{peer.name}", ready.message)
