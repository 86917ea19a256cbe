"""What the core and the shell that holds the BGP sessions tell each other, as values. Pure.

RouterOrders  -->  speaker.bgp.io.routers carries them out at once, in the order of the fields
RouterReport  <--  what the routers have of us, right after that and whenever it changed
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass, field

from speaker.bgp.model import PeerConfig, Prefix, Route, SessionView
from speaker.own.paths import PathAttributes

Changes = Mapping[Prefix, Route | None]


@dataclass
class RouterOrders:
    """Each field is level-based: to repeat it changes nothing. None, or empty, = as it is.

    `routes`: by peer, all that it is to have. `changes`: by peer, what is to be otherwise of that; None = withdrawn.
    `covered`: the routers that the API server knows of, by PeerConfig.router, and for how many seconds it knows that
    they may keep routes: no session comes up that was agreed on with more. `dropped`: routers of which an operator
    knows that they keep nothing of sessions that are no more.
    `is_draining`: whether routes carry GRACEFUL_SHUTDOWN (RFC 8326); `spares_graceful`: not those of peers with
    graceful restart. `is_silent`: everything is withdrawn, until it is False. `permit_until`: CLOCK_BOOTTIME seconds.
    `blackholes`: the prefixes whose unused addresses lead nowhere. `asks`: the prefixes of which each report is to say
    whether a router may have them; empty = of none, None = as it is. `stops`: end all sessions; those of peers with
    graceful restart without a word.
    """

    covered: Mapping[str, int] | None = None
    dropped: frozenset[str] = frozenset()
    routes: dict[str, Mapping[Prefix, Route]] = field(default_factory=dict)
    changes: dict[str, Changes] = field(default_factory=dict)
    is_draining: bool | None = None
    spares_graceful: bool = False
    is_silent: bool | None = None
    peers: Mapping[str, PeerConfig] | None = None
    permit_until: float | None = None
    blackholes: frozenset[Prefix] | None = None
    asks: Set[Prefix] | None = None
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
            or self.dropped
            or self.asks
        )


@dataclass(frozen=True)
class RouterReport:
    """`sent`: of the prefixes that changed since the last report, the peers to which a route was sent, sorted.
    `paths`: of the same, with which attributes, as far as it is known.

    `answers`: whether a router may have a route to a prefix that is asked about (False is certain). `routers`:
    those that may have routes of this process, now or at any moment from its sessions, and for how many seconds they
    may keep them after its end. `synced`: routers that have had everything from this process, and so nothing of an
    earlier one. Routers are named by PeerConfig.router. `has_stopped`: all sessions have ended, as was ordered.
    """

    sessions: Mapping[str, SessionView] = field(default_factory=dict)
    sent: Mapping[Prefix, tuple[str, ...]] = field(default_factory=dict)
    paths: Mapping[Prefix, tuple[PathAttributes, ...]] = field(default_factory=dict)
    answers: Mapping[Prefix, bool] = field(default_factory=dict)
    routers: Mapping[str, int] = field(default_factory=dict)
    synced: frozenset[str] = frozenset()
    blackhole_fault: str = ""
    has_stopped: bool = False
