"""Why no node announces an address: all causes that are known, the true one first. Pure.

The one place that says so, for the record of the address, for its Services and for whoever else explains it. On layer 2
the speakers know: where endpoints are, and what keeps each node from it (docs/decisions/021). By BGP it shows at the
peers too. Gathers nothing: what is known is handed in as Evidence.
"""

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from allocator.claims import Claim
from allocator.objects import Advertisement
from allocator.space.pools import Pools
from allocator.status.advertisement import covers, is_advertised
from allocator.status.conflicts import in_use_elsewhere
from allocator.status.entries import Cause, Fault, Session, Sighting
from allocator.status.faults import cut, reason_of
from crds.addresses import family_of
from crds.conditions import ConditionType, Reason
from crds.observation import Observation
from crds.wording import listed

NAMED_PEERS = 3
"""How many peers a message names before it counts the rest."""

NAMED_ADVERTISEMENTS = 3
"""The same for advertisements."""

NAMED_NODES = 5
"""The same for nodes."""

MOST_CHARACTERS = 800
"""Of a speaker's words."""

TOLD = frozenset({Reason.NoEligibleNode, Reason.NoReadyEndpoint})
"""The reasons that speakers give. Others, of a later version, count as the first one."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of an address that nobody announces.

    `not_alive`: of each Speaker, why it does not count, such as "is silent"; empty for one that lives. `causes`: what
    speakers say, by node; mostly one tells. `sessions`: by BGPPeer and node. `sightings`: other machines that use the
    address, by the node that sees them. `faults`: what nodes find wrong with a BGPPeer, by it and node.
    """

    claim: Claim
    pools: Pools
    advertisements: Sequence[Advertisement]
    not_alive: Mapping[str, str] = field(default_factory=dict)
    causes: Mapping[str, Cause] = field(default_factory=dict)
    sessions: Mapping[str, Mapping[str, Session]] = field(default_factory=dict)
    sightings: Mapping[str, Sighting] = field(default_factory=dict)
    faults: Mapping[str, Mapping[str, Sequence[Fault]]] = field(default_factory=dict)


def unannounced(evidence: Evidence) -> Observation:
    """Condition Announced, False. Its reason is that of the first cause; the message has them all."""
    found = causes(evidence)
    return replace(found[0], message="; ".join(one.message for one in found))


def causes(evidence: Evidence) -> list[Observation]:
    """At least one."""
    known = _known(evidence)
    if known:
        return known
    claim = evidence.claim
    where = "the ready endpoints, " if claim.traffic_policy == "Local" else ""
    last = "the interfaces" if _is_for_layer2(evidence) else "peers"
    message = f"No node announces the address: look at {where}the advertisement's nodeSelector and {last}"
    return [_not_announced(Reason.NoEligibleNode, message)]


def alike(claim: Claim) -> Hashable:
    """What of a claim the causes depend on, as long as no speaker has said a word of its address: neither a cause nor a
    sighting. Claims of which this is equal have the same, and a cluster has thousands."""
    labels = tuple([holder.labels for holder in claim.holders])
    return claim.pool, claim.traffic_policy, claim.address.version, claim.releasing, labels


def may_be_unreported(evidence: Evidence) -> bool:
    """Whether nothing keeps it from being sent to routers, as far as is known: so that may be done, and not be reported
    yet. What begins and ends on layer 2 is reported at once."""
    if _known(evidence):
        return False
    bgp = [one for one in evidence.advertisements if one.kind == "BGPAdvertisement"]
    return is_advertised(evidence.claim, evidence.pools, bgp)


def _known(evidence: Evidence) -> list[Observation]:
    """What is sure."""
    claim = evidence.claim
    if claim.releasing:
        message = "The address is being given back, and no speaker says that it announces it"
        return [_not_announced(Reason.Releasing, message)]
    found = [one for one in (_no_speaker(evidence), _no_advertisement(evidence)) if one is not None]
    if found:
        return found
    in_use = in_use_elsewhere(claim, evidence.sightings)
    found = [] if in_use is None else [in_use]
    said = list(_said(evidence))
    if said:
        first, *others = said
        found += [replace(first, message=f"No node announces the address: {first.message}"), *others]
    return found


def _not_announced(reason: Reason, message: str) -> Observation:
    return Observation(ConditionType.Announced, False, reason, message)


def _no_speaker(evidence: Evidence) -> Observation | None:
    """None where one lives."""
    not_alive = evidence.not_alive
    if not all(not_alive.values()):
        return None
    which = listed([f"{node} {why}" for node, why in sorted(not_alive.items())], NAMED_NODES)
    message = (
        "No speaker runs, so Berth announces nothing. Unless another program is to (the chart's speaker.enabled is "
    )
    message += "false), look at the pods of the DaemonSet berth-speaker"
    if which:
        message = f"No speaker lives: {which}, so nobody announces the address: look at the pods of the DaemonSet "
        message += "berth-speaker"
    return _not_announced(Reason.NoSpeaker, message)


def _no_advertisement(evidence: Evidence) -> Observation | None:
    """None where one covers it. Else it names those that come close."""
    claim, pools = evidence.claim, evidence.pools
    if is_advertised(claim, pools, evidence.advertisements):
        return None
    pool = pools.by_name.get(claim.pool)
    labels = pool.labels if pool is not None else None
    close = sorted(
        f"{one.kind} {one.name}" for one in evidence.advertisements if one.spec.covers_pool(claim.pool, labels)
    )
    message = f"No L2Advertisement or BGPAdvertisement covers pool {claim.pool} and this Service: "
    if close:
        named = listed(close, NAMED_ADVERTISEMENTS)
        message += f"the serviceSelector of {named} does not choose it; change that, or the Service's labels"
    elif evidence.advertisements:
        others = listed(sorted(f"{one.kind} {one.name}" for one in evidence.advertisements), NAMED_ADVERTISEMENTS)
        message += f"{others} covers other pools; name this one there, or create another"
    else:
        message += "create one"
    return _not_announced(Reason.NoAdvertisement, message)


def _said(evidence: Evidence) -> Iterator[Observation]:
    """What a speaker tells, and what is seen of the sessions."""
    told = next((one for _, one in sorted(evidence.causes.items()) if one.message), None)
    if told is not None:
        yield _not_announced(_reason(told.reason), cut(told.message, MOST_CHARACTERS))
    down = peers_down(evidence.claim, evidence.pools, evidence.advertisements, evidence.sessions)
    if down:
        yield _not_announced(Reason.SessionsDown, down)
    else:
        yield from _not_sent(evidence)


def _is_for_layer2(evidence: Evidence) -> bool:
    layer2 = [one for one in evidence.advertisements if one.kind == "L2Advertisement"]
    return is_advertised(evidence.claim, evidence.pools, layer2)


def _not_sent(evidence: Evidence) -> Iterator[Observation]:
    """Why no session that is up carries routes of the address's family: such a fault names the family."""
    family = family_of(evidence.claim.address)
    found: dict[str, str] = {}
    covering = _covering(evidence.claim, evidence.pools, evidence.advertisements)
    for name in _wanted(covering, evidence.sessions):
        for node in (node for node, one in sorted(evidence.sessions[name].items()) if one.is_established):
            faults = [one for one in evidence.faults.get(name, {}).get(node, ()) if family in one.message]
            if not faults:
                return  # by this one it may be sent
            found.update({cut(one.message): one.reason for one in faults})
    if found:
        yield _not_announced(reason_of(next(iter(found.values()))), listed(list(found), NAMED_PEERS, "; "))


def _reason(text: str) -> Reason:
    return next((one for one in TOLD if one == text), Reason.NoEligibleNode)


def peers_down(
    claim: Claim,
    pools: Pools,
    advertisements: Iterable[Advertisement],
    sessions: Mapping[str, Mapping[str, Session]],
) -> str:
    """Which peers have no session, of all that BGPAdvertisements want the address to be sent to; empty when some have,
    or none covers it. `sessions`: by BGPPeer and node."""
    covering = _covering(claim, pools, advertisements)
    if not covering:
        return ""
    wanted = _wanted(covering, sessions)
    if any(session.is_established for name in wanted for session in sessions[name].values()):
        return ""
    named = [f"{name} ({_down(sessions[name])})" for name in wanted]
    if named:
        return f"by BGP no router hears of it: BGPPeer {listed(named, NAMED_PEERS)}"
    missing = sorted({name for ad in covering for name in ad.peers})
    return f"there is no BGPPeer {listed(missing, NAMED_PEERS)}".rstrip()


def _wanted(covering: Sequence[Advertisement], peers: Iterable[str]) -> list[str]:
    """Those that these BGPAdvertisements want the address to be sent to."""
    return sorted(name for name in peers if any(not ad.peers or name in ad.peers for ad in covering))


def _covering(claim: Claim, pools: Pools, advertisements: Iterable[Advertisement]) -> list[Advertisement]:
    return [one for one in advertisements if one.kind == "BGPAdvertisement" and covers(one, claim, pools)]


def _down(by_node: Mapping[str, Session]) -> str:
    """With the error of one node: mostly it is everybody's."""
    if not by_node:
        return "no node wants a session"
    error = next((f"; {node}: {cut(one.last_error)}" for node, one in sorted(by_node.items()) if one.last_error), "")
    return f"0 of {len(by_node)} sessions are up{error}"
