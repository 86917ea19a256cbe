"""What the core and the shell that holds the BGP sessions tell each other, as values. Pure.

RouterOrders  -->  speaker.bgp.io.routers carries them out at once, in the order of the fields
RouterReport  <--  what the routers have of us, right after that and whenever it changed
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass, field

from crds.addresses import IPAddress
from speaker.bgp.model import PeerConfig, Prefix, Route, SessionView

Changes = Mapping[Prefix, Route | None]


@dataclass
class RouterOrders:
    """Each field but `asks` is level-based: to repeat it changes nothing. None, or empty, = as it is.

    `routes`: by peer, all that it is to have. `changes`: by peer, what is to be otherwise of that; None = withdrawn.
    `is_draining`: whether routes carry GRACEFUL_SHUTDOWN (RFC 8326); `spares_graceful`: not those of peers with
    graceful restart. `is_silent`: everything is withdrawn, until it is False. `permit_until`: CLOCK_BOOTTIME seconds.
    `blackholes`: the prefixes whose unused addresses lead nowhere. `asks`: prefixes of which the next report is to say
    whether a router may have them. `stops`: end all sessions; those of peers with graceful restart without a word.
    """

    routes: dict[str, Mapping[Prefix, Route]] = field(default_factory=dict)
    changes: dict[str, Changes] = field(default_factory=dict)
    is_draining: bool | None = None
    spares_graceful: bool = False
    is_silent: bool | None = None
    peers: Mapping[str, PeerConfig] | None = None
    permit_until: float | None = None
    blackholes: frozenset[Prefix] | None = None
    asks: Set[Prefix] = frozenset()
    stops: bool = False

    @property
    def changes_routes(self) -> bool:
        """Whether routers may have something else after it, or are asked; a permit alone changes nothing."""
        return bool(
            self.routes
            or self.changes
            or self.is_draining is not None
            or self.is_silent is not None
            or self.peers is not None
            or self.asks
        )


@dataclass(frozen=True)
class RouterReport:
    """`sent`: of the prefixes that changed since the last report, the peers to which a route was sent, sorted.

    `answers`: whether a router may have a route to a prefix that was asked about (False is certain). `leftovers`:
    routers that may keep routes of sessions that are no more, by the names that their peers had. `outlives_seconds`:
    how long routers may keep our routes after the end of this process. `synced`: routers that have had everything from
    this process, and so nothing of an earlier one. `has_stopped`: all sessions have ended, as was ordered.
    """

    sessions: Mapping[str, SessionView] = field(default_factory=dict)
    sent: Mapping[Prefix, tuple[str, ...]] = field(default_factory=dict)
    answers: Mapping[Prefix, bool] = field(default_factory=dict)
    leftovers: Mapping[str, IPAddress] = field(default_factory=dict)
    outlives_seconds: int = 0
    synced: frozenset[IPAddress] = frozenset()
    blackhole_fault: str = ""
    has_stopped: bool = False
