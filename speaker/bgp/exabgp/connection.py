"""How the connection with one router stands, as ExaBGP reports it: RFC 4271 §8's states, what was agreed, what failed.

Pure. Knows nothing of routes.
"""

from crds.addresses import Family, family_of
from crds.speaker import Acknowledger, BGPSessionState
from speaker.bgp.exabgp import events
from speaker.bgp.exabgp.commands import as_sent, needs_next_hop
from speaker.bgp.exabgp.config import outlives_seconds
from speaker.bgp.exabgp.notifications import describe
from speaker.bgp.model import PeerConfig, Prefix, Route, SessionView

SILENT_SECONDS = 5.0
_SILENT = (
    "the router took the connection and says nothing: is ttlSecurity set on one side only? Is it a BGP router that is "
    "at this port?"
)
_UNCONFIRMED = (
    "the router has sent its OPEN and does not confirm ours: does it get our packets? Is ttlSecurity set on one side "
    "only?"
)
_BAD_AS, _MALFORMED_PATH = describe(2, 2), describe(3, 11)


class Connection:
    """Through any number of processes and attempts. `now`: monotonic seconds. `families`: those that were agreed on, as
    soon as they are; empty while there is no connection. `ipv6_next_hops`: whether IPv4 routes may name one, as agreed.
    `last_error`: why it failed last, in words; "" = never. What a NOTIFICATION said stays the reason until a session is
    up: a router that is in no hurry to have one hangs up then. `unaccepted`: a connection that waits for our word:
    which one of this process, and the hold time that was agreed on; None = none waits. `hold_seconds`, `refresh`: what
    was agreed on; None and Absent while there is no connection."""

    def __init__(self, peer: PeerConfig, now: float) -> None:
        self.peer = peer
        self.is_up = False
        self.families: frozenset[Family] = frozenset()
        self.ipv6_next_hops = False
        self.last_error = ""
        self.unaccepted: tuple[int, int] | None = None
        self._opens = 0
        self._state, self._since = BGPSessionState.Idle, now
        self.hold_seconds: int | None = None
        self.refresh = events.Refresh.Absent
        self._downs = 0
        self._own_address = ""
        self._notice = self._reason = ""
        """What a NOTIFICATION said of this connection, and of any since a session was up last."""

    def process_started(self, now: float) -> None:
        self._opens = 0
        self._enter(self._waiting, now)

    def process_ended(self, why: str, now: float) -> None:
        """`why`: "" when that is no failure. After `lost`."""
        self._failed(why)
        self._enter(BGPSessionState.Idle, now)

    def connected(self, now: float) -> None:
        self._notice, self.unaccepted = "", None
        self._enter(BGPSessionState.OpenSent, now)

    def negotiated(self, event: events.Negotiated, now: float) -> str | None:
        """Why this must not become a session, in words, if so."""
        self.hold_seconds, self.families, self.refresh = event.hold_time_seconds, event.families, event.refresh
        self.ipv6_next_hops, self._own_address = event.ipv6_next_hops, event.own_address
        self._opens += 1
        self.unaccepted = self._opens, event.hold_time_seconds
        self._enter(BGPSessionState.OpenConfirm, now)
        if self.peer.peer_asn is None and event.peer_asn == self.peer.session_asn:
            return f"the router is in our own AS {event.peer_asn}, and was to be in any other"
        return None

    def notified(self, event: events.Notified) -> None:
        by = "the router sent" if event.by_router else "we sent"
        self._notice = f"{by}: {event.text}{_confederation_hint(event, self.peer)}"
        if not (self._reason and event.is_rejection):
            self._reason = self._notice

    def came_up(self, now: float) -> None:
        self.is_up = True
        self._reason = ""
        self._enter(BGPSessionState.Established, now)

    def pass_time(self, now: float) -> None:
        """Say so when the router says nothing."""
        if now - self._since < SILENT_SECONDS:
            return
        if self._state is BGPSessionState.OpenSent:
            self._failed(_SILENT)
        elif self._state is BGPSessionState.OpenConfirm and self.unaccepted is None:
            self._failed(_UNCONFIRMED)

    def went_down(self, event: events.Down, now: float) -> None:
        """After `lost`."""
        self._failed(self._notice or f"{_down_words(event.reason)}{self._hint(event)}")
        self._enter(self._waiting, now)

    def lost(self) -> None:
        self._downs += self.is_up
        self.is_up = False
        self.families, self.hold_seconds, self.unaccepted = frozenset(), None, None
        self.ipv6_next_hops, self.refresh = False, events.Refresh.Absent

    def in_trouble(self, trouble: str) -> None:
        """Why no connection can be had."""
        if trouble and not self.is_up:
            self._failed(_trouble_words(trouble, self.peer))

    def carries(self, family: Family) -> bool:
        """Whether a session is up in which that family was agreed on."""
        return self.is_up and family in self.families

    def has_next_hop(self, route: Route) -> bool:
        """Whether there is one to name with it in this session."""
        own = family_of(self.peer.peer_address)
        return not needs_next_hop(route, own, ipv6_next_hops=self.ipv6_next_hops)

    def as_sent(self, route: Route) -> Route:
        """The route with what goes out in this session."""
        own = family_of(self.peer.peer_address)
        return as_sent(route, own, is_interior=self.peer.is_interior, ipv6_next_hops=self.ipv6_next_hops)

    @property
    def outlives_seconds(self) -> float:
        """How long the router may keep our routes if it hears nothing of our end; inf = forever (hold time 0)."""
        return outlives_seconds(self.peer, self.hold_seconds)

    def view(
        self,
        routes_sent: int,
        kept_until: float | None = None,
        acknowledger: Acknowledger = Acknowledger.TCP,
        withdrawn: tuple[Prefix, ...] = (),
    ) -> SessionView:
        """As of now. `kept_until`: as of the routes that the router may have of earlier sessions."""
        return SessionView(
            peer=self.peer.name,
            peer_address=self.peer.peer_address,
            state=self._state,
            since=self._since,
            families=self.families if self.is_up else frozenset(),
            routes_sent=routes_sent,
            hold_time_seconds=self.hold_seconds if self.is_up else None,
            last_error=self.last_error,
            downs=self._downs,
            kept_until=kept_until,
            ipv6_next_hops=self.is_up and self.ipv6_next_hops,
            withdrawals_acknowledged_by=acknowledger if self.is_up else None,
            own_address=self._own_address if self.is_up else "",
            withdrawn=withdrawn,
        )

    def _failed(self, why: str) -> None:
        if why:
            self.last_error = why if self._reason in ("", why) else f"{self._reason} (then: {why})"

    def _hint(self, event: events.Down) -> str:
        """Of a router that hangs up before it has said who it is."""
        is_unanswered = self._state is BGPSessionState.OpenSent and not event.by_router
        if not is_unanswered or self._reason or event.reason.startswith("notification"):
            return ""
        own = f"this node's address {event.own_address}" if event.own_address else "this node's address"
        return f" before the router's OPEN: does it know {own}? Does another program on this node peer with it?"

    @property
    def _waiting(self) -> BGPSessionState:
        return BGPSessionState.Active if self.peer.is_passive else BGPSessionState.Connect

    def _enter(self, state: BGPSessionState, now: float) -> None:
        if state is not self._state:
            self._state, self._since = state, now


def _down_words(reason: str) -> str:
    """ExaBGP's reasons are about itself; what it means by this one is that TCP has ended."""
    return "the connection was closed or lost" if reason in ("", "closing connection") else reason


def _trouble_words(trouble: str, peer: PeerConfig) -> str:
    return f"no connection: {trouble}{_trouble_hint(trouble, peer)}"


def _trouble_hint(trouble: str, peer: PeerConfig) -> str:
    if "timed out" in trouble and peer.password is not None:
        if peer.password != peer.password.strip():
            return "; with a wrong password it looks like this too, and ours begins or ends in white space (a newline?)"
        return "; with a wrong password it looks like this too"
    may_be_far = not (peer.is_internal or peer.is_on_a_link) and peer.multihop_ttl is None and peer.ttl_security is None
    if may_be_far and "No route to host" in trouble:  # what ICMP's "time exceeded" becomes, and ARP without an answer
        return "; if it is more than one hop away, set ebgpMultiHop"
    return ""


def _confederation_hint(event: events.Notified, peer: PeerConfig) -> str:
    """What to ask where the two sides see a confederation otherwise. A router that takes this node for an outsider
    gives the number of the whole as its own (RFC 5065 §4)."""
    if event.by_router and _MALFORMED_PATH in event.text:
        return "; is it in a confederation with this node? confederationMember says so"
    if not event.by_router and _BAD_AS in event.text and peer.is_confederation_member:
        return f"; does it know AS {peer.my_asn} as a member of its confederation?"
    return ""


def start_words(why: str, peer: PeerConfig) -> str:
    """Why ExaBGP could not be started."""
    if peer.is_passive and "binding to port" in why:
        place = f"TCP port {peer.listen_port} of {peer.source_address}"
        return f"another program on this node has {place}, where this session waits for the router"
    return f"ExaBGP can't be started: {why}"
