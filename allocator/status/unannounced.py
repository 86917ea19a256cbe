"""Why no node announces an address, for the condition Announced of its IPAllocation.

On layer 2 the speakers know: where endpoints are, and what keeps each node from it. By BGP it shows at the peers.
"""

from collections.abc import Iterable, Mapping, Sequence

from allocator.claims import Claim
from allocator.objects import Advertisement
from allocator.space.pools import Pools
from allocator.status.advertisement import covers
from allocator.status.entries import Cause, Session
from allocator.status.faults import cut
from crds.conditions import ConditionType, Reason
from crds.observation import Observation
from crds.wording import listed

NAMED_PEERS = 3
"""How many peers a message names before it counts the rest."""

MOST_CHARACTERS = 800
"""Of a speaker's words."""


def why_unannounced(claim: Claim, causes: Mapping[str, Cause], down: str) -> Observation:
    """`causes`: what speakers say, by node; mostly one tells. `down`: of `peers_down`."""
    said = next((cut(one.message, MOST_CHARACTERS) for _, one in sorted(causes.items())), "")
    if not said and not down:
        where = "the ready endpoints, " if claim.traffic_policy == "Local" else ""
        said = f"look at {where}the advertisement's nodeSelector and the interfaces"
    message = f"No node announces the address: {'; '.join(one for one in (said, down) if one)}"
    return Observation(ConditionType.Announced, False, Reason.NoEligibleNode, message)


def peers_down(
    claim: Claim, pools: Pools, advertisements: Iterable[Advertisement], sessions: Mapping[str, Sequence[Session]]
) -> str:
    """Which peers have no session, of all that BGPAdvertisements want the address to be sent to; empty when some have,
    or none covers it. `sessions`: by BGPPeer."""
    covering = [one for one in advertisements if one.kind == "BGPAdvertisement" and covers(one, claim, pools)]
    if not covering:
        return ""
    wanted = sorted(name for name in sessions if any(not ad.peers or name in ad.peers for ad in covering))
    if any(session.is_established for name in wanted for session in sessions[name]):
        return ""
    named = [f"{name} (0 of {len(sessions[name])} sessions are up)" for name in wanted]
    return f"by BGP no router hears of it: BGPPeer {listed(named, NAMED_PEERS)}" if named else "there is no BGPPeer"
