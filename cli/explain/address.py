"""Why an address is announced or not: advertisement by advertisement and node by node. Pure.

What counts is said by the allocator's own functions (allocator.status) and the speakers' (cli.facts).
"""

from allocator.objects import Advertisement, StoredAllocation, StoredPeer
from allocator.status.advertisement import covers
from allocator.status.allocation import by
from allocator.status.conflicts import conflicted
from allocator.status.faults import reported_fault
from allocator.status.kernels import kernel_answers
from allocator.status.peer import peer_faults, peer_status
from allocator.status.unannounced import causes, peers_down
from cli.explain.told import Explanation
from cli.seen import World
from crds.addresses import IPAddress
from crds.conditions import ConditionType, Reason
from crds.meta import Condition
from kube.times import rfc3339


def explain_record(told: Explanation, world: World, stored: StoredAllocation) -> None:
    """Whether it is announced, and what is wrong with it."""
    claim = stored.claim
    if claim.releasing:
        _release(told, stored)
        return
    _advertisements(told, world, stored)
    _nodes(told, world, stored)
    announcers = world.announcers(stored.address)
    sightings = world.reports.sightings.of(stored.address)
    if not announcers and world.seen.is_announced_by_others:
        message = "Berth is installed without speakers (speaker.enabled: false): another program is to announce it"
        told.note("AnnouncedByOthers", f"{stored.address}: {message}")
    elif not announcers:
        for one in causes(world.evidence(stored)):
            told.blame(one.reason, f"{stored.address}: {one.message}")
    elif (conflict := conflicted(stored, sightings)) is not None and conflict.holds:
        told.blame(conflict.reason, conflict.message)
    kernels = kernel_answers(stored, world.reports.kernels.of(stored.address))
    if kernels is not None and kernels.holds:
        told.blame(kernels.reason, kernels.message)
    on_network = world.segments.judge(stored, announcers)
    if on_network is not None and not on_network.holds:
        is_surely_wrong = on_network.reason is Reason.OwnerOffNetwork
        (told.blame if is_surely_wrong else told.note)(on_network.reason, on_network.message)
    if announcers:
        down = peers_down(claim, world.pools, world.seen.observed.advertisements(), world.sessions)
        if down and any("Layer2" in one.protocols for one in announcers.values()):
            told.blame(Reason.SessionsDown, f"{stored.address}: {down}; on layer 2 it is announced")
    _owners(told, world, stored.address)
    _wish(told, world, stored.address)
    _peers(told, world, stored)


def how(world: World, address: IPAddress) -> str:
    """Who announces it, in words; empty where nobody does."""
    announcers = world.announcers(address)
    return by(announcers).message if announcers else ""


def _release(told: Explanation, stored: StoredAllocation) -> None:
    """What a release waits for, as the allocator said it last."""
    holders = ", ".join(str(one.key) for one in stored.claim.holders)
    waits = next((one for one in stored.conditions if one.type == ConditionType.Withdrawn), None)
    message = (
        waits.message
        if waits is not None
        else f"{stored.address} is being withdrawn: every speaker that may announce it confirms that it does not"
    )
    told.row("RELEASE", False, str(stored.address), f"given up by {holders}: {message}")
    told.blame(waits.reason if waits is not None else Reason.Releasing, message)


def _advertisements(told: Explanation, world: World, stored: StoredAllocation) -> None:
    pools = world.pools
    for one in sorted(world.seen.observed.advertisements(), key=lambda ad: (ad.kind, ad.name)):
        pool = pools.by_name.get(stored.claim.pool)
        if covers(one, stored.claim, pools):
            fault = reported_fault(world.reports.bgp, one.kind, one.name)
            ready = fault.message if fault is not None else "covers it"
            told.row("ADVERTISEMENTS", fault is None, f"{one.kind} {one.name}", ready)
            continue
        is_of_pool = one.spec.covers_pool(stored.claim.pool, pool.labels if pool is not None else None)
        why = "its serviceSelector does not choose the Service" if is_of_pool else _other_pools(one)
        told.row("ADVERTISEMENTS", None, f"{one.kind} {one.name}", why)
    if not world.seen.observed.advertisements():
        told.row("ADVERTISEMENTS", False, "-", "there is none in the cluster")


def _other_pools(one: Advertisement) -> str:
    named = ", ".join(one.spec.ip_pools)
    return f"is for other pools ({named})" if named else "its ipPoolSelector does not choose the pool"


def _nodes(told: Explanation, world: World, stored: StoredAllocation) -> None:
    announcers = world.announcers(stored.address)
    names = {key.name for key in world.seen.observed.nodes} | world.not_alive.keys()
    for node in sorted(names, key=lambda name: (name not in announcers, name)):
        if node in announcers:
            told.row("NODES", True, node, by({node: announcers[node]}).message.partition("(")[2].rstrip(")"))
            continue
        trouble = world.not_alive.get(node, "has no Speaker: does its pod run there?")
        why = world.seen.facts.why_not(node, stored.address, world.alive)
        told.row("NODES", False if trouble or why else None, node, trouble or why or "may announce it")


def _owners(told: Explanation, world: World, address: IPAddress) -> None:
    """Several owners, or one that is cut off from the others."""
    on_layer2 = sorted(node for node, one in world.announcers(address).items() if "Layer2" in one.protocols)
    if len(on_layer2) > 1:
        told.note(
            "SeveralOwners",
            f"{', '.join(on_layer2)} announce {address} on layer 2: for longer than a moment that means that they do "
            "not hear each other: look at UDP port 7473 between the nodes",
        )


def _wish(told: Explanation, world: World, address: IPAddress) -> None:
    """The node that its Service asks for, where that one does not announce it."""
    allocation = world.seen.facts.allocation(address)
    node = allocation.wanted_node if allocation is not None else ""
    if not node or node in world.announcers(address):
        return
    if node not in world.seen.facts.nodes:
        why = "of which there is no Node"
    else:
        why = f"which {world.seen.facts.why_not(node, address, world.alive) or 'does not announce it yet'}"
    told.note("NotOnNodeAskedFor", f"{address} is asked for on {node} (annotation berth.dev/node), {why}")


def peer_condition(world: World, peer: StoredPeer) -> Condition:
    """Condition Ready of a BGPPeer, as the allocator would write it now."""
    faults = peer_faults(world.reports.bgp, peer, world.seen.observed.peers.values())
    now = rfc3339(world.seen.now)
    status = peer_status(peer, world.reports.bgp.sessions(peer.name), faults, world.silent, now)
    return next(one for one in status.conditions if one.type == ConditionType.Ready)


def _peers(told: Explanation, world: World, stored: StoredAllocation) -> None:
    """Those that BGPAdvertisements which cover the address name."""
    ads = [one for one in world.seen.observed.advertisements() if one.kind == "BGPAdvertisement"]
    covering = [one for one in ads if covers(one, stored.claim, world.pools)]
    for peer in sorted(world.seen.observed.peers.values(), key=lambda one: one.name):
        if not any(not ad.peers or peer.name in ad.peers for ad in covering):
            continue
        ready = peer_condition(world, peer)
        is_well = ready.status == "True" and ready.reason == Reason.SessionsUp
        told.row("BGP PEERS", is_well, peer.name, ready.message)
        if not is_well:
            told.note(ready.reason, f"BGPPeer {peer.name}: {ready.message}")
