"""Between the API and the wire process's BFD sessions: what a BFDProfile asks for, and what the Speaker says of them.

No I/O. A session has the name of its BGPPeer.
"""

from collections.abc import Mapping

from crds.bfdprofile import BFDProfileSpec
from crds.speaker import BFDSessionState
from kube.times import rfc3339_at
from speaker.bgp.model import PeerConfig
from speaker.own.entries import Entry, bfd_session
from speaker.wire.messages import BfdSession, BfdState


def session_config(peer: PeerConfig, profile: BFDProfileSpec) -> BfdSession:
    """The session that watches the path to that peer.

    It is of several hops (RFC 5883) where the BGP session is: by ebgpMultiHop, or ttlSecurity of more than one hop.
    """
    is_multihop = peer.multihop_ttl is not None or (peer.ttl_security or 1) > 1
    return BfdSession(
        peer_address=str(peer.peer_address).partition("%")[0],
        interface=peer.source_interface or "",
        source_address=str(peer.source_address).partition("%")[0] if peer.source_address else "",
        vrf=peer.vrf or "",
        is_multihop=is_multihop,
        minimum_ttl=profile.minimum_ttl,
        receive_interval_milliseconds=profile.receive_interval_milliseconds,
        transmit_interval_milliseconds=profile.transmit_interval_milliseconds,
        detect_multiplier=profile.detect_multiplier,
        is_passive=profile.passive,
    )


def failed_peers(views: Mapping[str, BfdState]) -> frozenset[str]:
    """The BGPPeers to which the path was up and is lost: their routes are to go at once."""
    return frozenset(name for name, view in views.items() if view.has_failed)


def sessions_by_state(views: Mapping[str, BfdState]) -> dict[str, int]:
    """How many there are, for the metrics; states without any count too."""
    states = [view.state for view in views.values()]
    return {state.value: states.count(state.value) for state in BFDSessionState}


def sessions_up(views: Mapping[str, BfdState]) -> dict[str, bool]:
    """By BGPPeer, whether the path to it is known to work."""
    return {name: view.state == BFDSessionState.Up for name, view in views.items()}


class BfdStatus:
    """What the report says of its sessions. A session that did not change keeps its entry, to the second."""

    def __init__(self) -> None:
        self._entries: dict[str, tuple[BfdState, Entry]] = {}

    def show(self, views: Mapping[str, BfdState], *, boot_time: float) -> tuple[Entry, ...]:
        """In order of names. `boot_time`: wall-clock seconds (Unix) at which CLOCK_BOOTTIME was zero."""
        before, self._entries = self._entries, {}
        for name, view in sorted(views.items()):
            known = before.get(name)
            if known is not None and known[0] == view:
                self._entries[name] = known
            else:
                since = known[1]["since"] if known is not None and known[0].since == view.since else None
                self._entries[name] = (view, _entry(name, view, since or rfc3339_at(boot_time + view.since)))
        return tuple(entry for _, entry in self._entries.values())


def _entry(name: str, view: BfdState, since: str) -> Entry:
    return bfd_session(
        name,
        view.state,
        since,
        detect_milliseconds=view.detect_milliseconds,
        diagnostic=view.fault or view.reason,
    )
