"""What of Speakers and their reports is for people alone, decoded: sessions with their times, conditions, interfaces.

The allocator's own types (allocator.status.slices, allocator.release.speakers) leave it out.
"""

import msgspec

from kube.decoding import decoder
from kube.objects import Condition, KubeObject


class Session(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """A BGP session of one node; `since` is RFC 3339, None where it is not told."""

    peer: str
    address: str | None = None
    state: str = ""
    since: str | None = None
    routes_sent: int = 0
    hold_time_seconds: int | None = None
    withdrawals_acknowledged_by: str | None = None
    local_address: str | None = None
    withdrawn: tuple[str, ...] | None = None
    routes_kept_until: str | None = None
    last_error: str = ""


class BFDSession(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """A BFD session of one node."""

    peer: str
    state: str = ""
    diagnostic: str = ""


class Interface(msgspec.Struct, frozen=True, gc=False):
    """An interface of the node; `reason` says why it is not usable."""

    name: str
    usable: bool = False
    reason: str = ""


class _Spec(msgspec.Struct, frozen=True, gc=False):
    node: str = ""


class ReportStatus(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """Lists that are null are None."""

    conditions: tuple[Condition, ...] | None = None
    bgp_sessions: tuple[Session, ...] | None = None
    bfd_sessions: tuple[BFDSession, ...] | None = None
    interfaces: tuple[Interface, ...] | None = None


class Slice(KubeObject, frozen=True, kw_only=True, gc=False):
    """One object of a node's report."""

    spec: _Spec = _Spec()

    @property
    def node(self) -> str:
        """Whose it is."""
        return self.spec.node


class Report(Slice, frozen=True, kw_only=True, gc=False):
    """One slice of a node's SpeakerReport."""

    status: ReportStatus = ReportStatus()

    def condition(self, kind: str) -> Condition | None:
        """None where it has none of this type."""
        return next((one for one in self.status.conditions or () if one.type == kind), None)


class BGPPath(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """Path attributes of routes, and to which peers they went so."""

    name: str
    peers: tuple[str, ...] = ()
    peer_count: int | None = None
    prefix_length: int | None = None
    next_hop: str | None = None
    local_pref: int | None = None
    med: int | None = None
    as_path_prepend: int | None = None
    communities: tuple[str, ...] | None = None
    link_bandwidth: int | None = None


NO_PATH = BGPPath("")
"""Of which nothing is told."""


class Announced(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """An address: the names of its path attributes, and how many peers it has, where they are not all named."""

    paths: tuple[str, ...] | None = None
    peer_count: int | None = None


class RoutesStatus(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """What a slice says of routes."""

    incarnation: str = ""
    announcements: dict[str, Announced | None] | None = None
    bgp_paths: tuple[BGPPath, ...] | None = None
    bgp_sessions: tuple[Session, ...] | None = None


class RoutesReport(Slice, frozen=True, kw_only=True, gc=False):
    """One slice of a SpeakerReport, for `berth bgp routes`: no other command needs as much of it."""

    status: RoutesStatus = RoutesStatus()


decode_report = decoder(Report)
decode_routes = decoder(RoutesReport)
