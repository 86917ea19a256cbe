"""What an operator should change about a router or a BGPPeer, as the sessions of one node show it. Pure.

What can be seen without a session is speaker.bgp.faults' business.
"""

from collections.abc import Iterator, Mapping, Set

from crds.addresses import Family
from crds.conditions import Reason
from speaker.bgp.model import PeerConfig, SessionView
from speaker.cluster.faults import Fault
from speaker.wire.messages import BfdState

BFD_SECONDS = 10.0
"""So long may BFD need to come up after the BGP session, or what was configured last."""
_NO_BFD = (
    "BFD has not come up since the BGP session did, so only the hold time notices a lost path: does the router speak "
    "BFD with this node, on the same kind of session (one hop, or several)?"
)


_NO_NEXT_HOP = (
    "the router does not take IPv4 routes with an IPv6 next hop (RFC 8950), and this node has no IPv4 address to name, "
    "so it gets none: switch that on there (FRR: capability extended-nexthop; BIRD: extended next hop on), or leave "
    "IPv4 out of families"
)


def faults_in_sessions(
    peers: Mapping[str, PeerConfig],
    sessions: Mapping[str, SessionView],
    bfd: Mapping[str, BfdState],
    now: float,
    *,
    without_ipv4_next_hop: Set[str] = frozenset(),
) -> list[Fault]:
    """In order of peers. `now`: monotonic seconds. `without_ipv4_next_hop`: peers to which IPv4 routes can name our own
    IPv6 address only."""
    found: list[Fault] = []
    for name, peer in sorted(peers.items()):
        view = sessions.get(name)
        if view is not None and view.is_up:
            found += _not_agreed(peer, view)
            if name in without_ipv4_next_hop and Family.IPv4 in view.families and not view.ipv6_next_hops:
                found.append(Fault(Reason.NoNextHop, f"BGPPeer {name}: {_NO_NEXT_HOP}", f"BGPPeer/{name}"))
            if name in bfd and now - view.since >= BFD_SECONDS:
                found += _never_up(name, bfd[name])
    return found


def _not_agreed(peer: PeerConfig, view: SessionView) -> Iterator[Fault]:
    if missing := peer.families - view.families:
        families = " and ".join(sorted(missing))
        message = (
            f"BGPPeer {peer.name}: the router does not exchange {families} routes with this node, so it gets none: "
            f"activate the family there (IPv4 or IPv6 unicast), or leave {families} out of families"
        )
        yield Fault(Reason.FamilyNotAgreed, message, f"BGPPeer/{peer.name}")


def _never_up(name: str, state: BfdState) -> Iterator[Fault]:
    """That it was lost is told by its state, and has consequences; AdminDown is somebody's wish."""
    if state.state == "Down" and not state.has_failed and state.remote_state != "AdminDown":
        yield Fault(Reason.NoBFD, f"BGPPeer {name}: {state.fault or _NO_BFD}", f"BGPPeer/{name}")
