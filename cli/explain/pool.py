"""How full a pool is and what is wrong with it, and what a node does and what keeps it from it. Pure."""

from allocator.status.pool import pool_status
from cli.explain.speakers import speakers_trouble
from cli.explain.told import Explanation
from cli.seen import World
from crds.conditions import ConditionType
from crds.types import IPPoolStatus
from kube.informer.store import ObjectKey
from kube.times import rfc3339
from speaker.cluster.causes import faults_in_node

BAD = {ConditionType.Ready: "False", ConditionType.Exhausted: "True", ConditionType.Conflicted: "True"}
REMARKABLE = {ConditionType.Overlapping: "True"}


def explain_pool(world: World, name: str) -> Explanation:
    """By the function that writes its status."""
    told = Explanation(f"pool/{name}")
    pool = world.pools.by_name.get(name)
    if pool is None:
        known = ", ".join(sorted(world.pools.by_name)) or "none"
        told.blame("NotFound", f"There is no IPPool {name}; there are: {known}")
        return told
    status = pool_status(pool, world.ledger, IPPoolStatus(), rfc3339(world.seen.now))
    usage = [f"{one.allocated} of {one.capacity} given" for one in (status.ipv4, status.ipv6) if one is not None]
    told.summary = f"{', '.join(usage) or 'no address'}{'; paused' if pool.paused else ''}"
    if pool.paused:
        told.blame("PoolPaused", f"Pool {name} is paused: it gives out no new addresses")
    for one in status.conditions:
        if BAD.get(ConditionType(one.type)) == one.status:
            told.blame(one.reason, one.message)
        elif REMARKABLE.get(ConditionType(one.type)) == one.status:
            told.note(one.reason, one.message)
    for kept in status.kept_out:
        told.row("KEPT OUT", None, str(kept.reason), f"{kept.count}: {', '.join(kept.addresses)}")
    ads = world.seen.observed.advertisements()
    covering = [one for one in ads if one.spec.covers_pool(name, pool.labels)]
    for ad in covering:
        told.row("ADVERTISEMENTS", True, f"{ad.kind} {ad.name}", "covers it")
    if not covering:
        told.blame("NoAdvertisement", f"No L2Advertisement or BGPAdvertisement covers pool {name}: create one")
    return told


def explain_node(world: World, name: str) -> Explanation:
    """What its speaker does, says and lacks."""
    told = Explanation(f"node/{name}")
    key = ObjectKey(None, name)
    if key not in world.seen.observed.nodes and key not in world.seen.observed.speakers:
        told.blame("NotFound", f"There is no Node and no Speaker {name}")
        return told
    trouble = world.not_alive.get(name, "has no Speaker")
    if trouble:
        told.blame("NodeSilent", f"The speaker of {name} {trouble}: look at its pod of the DaemonSet berth-speaker")
    for fault in faults_in_node(world.seen.facts.nodes.get(name)):
        told.blame("Excluded", f"{name} {fault}, so it announces nothing")
    for kind in (ConditionType.Ready, ConditionType.PromisesFencing):
        status, reason, message = world.speaker_condition(name, kind)
        if status == "False":
            (told.blame if kind is ConditionType.Ready else told.note)(reason, message)
    for reason, message in speakers_trouble(world):
        if message.startswith(f"{name}: "):
            told.blame(reason, message)
    _node_rows(told, world, name)
    return told


def _node_rows(told: Explanation, world: World, name: str) -> None:
    report = world.seen.reports.get(f"{name}.0")
    for one in report.status.interfaces or () if report is not None else ():
        told.row("INTERFACES", one.usable, one.name, one.reason or "usable")
    for peer, sessions in sorted(world.sessions.items()):
        if name in sessions:
            session = sessions[name]
            told.row("BGP SESSIONS", session.is_established, peer, session.last_error or session.state)
            if not session.is_established:
                told.note("SessionDown", f"BGPPeer {peer}: {session.last_error or session.state}")
    addresses = sorted(world.reports.announcers.addresses_of(name))
    told.summary = f"announces {len(addresses)} addresses"
    for address in addresses:
        told.row("ANNOUNCES", True, address, ", ".join(world.reports.announcers.of(address)[name].protocols))
