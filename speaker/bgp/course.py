"""BGP: from decisions, by way of the routers' word, to what the Speaker object says. Pure.

Joins speaker.bgp.decisions (which routes), the shell that holds the sessions (speaker.bgp.routers) and BFD in the wire
process; decides nothing about addresses. The order that makes releases and graceful restart safe is here:

* No session before the API server has confirmed that its router is remembered, for as long as it may keep routes, and
  none comes up in which it may keep them for longer: whoever judges this speaker later must know
  (speaker.bgp.remembered).
* No session before this speaker may announce and knows all its routes: an End-of-RIB that comes too early makes a
  router drop what it kept through a restart.
* An address is off BGP only when no router may have a route to it from this process, or from the one before. The
  routers are asked, and an answer counts only until the next report, or the next change that is ordered.
"""

from collections.abc import Iterable, Mapping, Set

from crds.conditions import Reason
from crds.speaker import MOST_ROUTERS
from speaker.bgp.bfdsessions import BfdStatus, failed_peers
from speaker.bgp.decisions import Decisions
from speaker.bgp.deletedpeers import DeletedPeers
from speaker.bgp.model import EXABGP_PERMIT_SECONDS, PeerConfig, Prefix, Route, SessionView
from speaker.bgp.passwords import Passwords
from speaker.bgp.prefixes import address_of, is_host, prefix_of
from speaker.bgp.remembered import RememberedRouters
from speaker.bgp.routers import RouterOrders, RouterReport
from speaker.bgp.sessionfaults import faults_in_sessions
from speaker.bgp.status import SessionEntries
from speaker.bgp.surroundings import Addresses, Surroundings, gateways_of
from speaker.cluster.faults import Fault
from speaker.cluster.objects import Allocation
from speaker.cluster.state import ClusterState
from speaker.moment import Moment, earliest
from speaker.notices import Notices
from speaker.own.announcements import Announcements
from speaker.own.entries import Entry, fault
from speaker.own.paths import PathAttributes
from speaker.own.predecessor import LastWord
from speaker.own.status import StatusDraft
from speaker.proxies.readiness import Readiness
from speaker.wire.messages import Bfd, BfdState, Discover, Interface, RoutersOn

SHOWN_FAULTS = 32
_TOO_MANY_ROUTERS = (
    f"it gets no session with this node, as {MOST_ROUTERS} other routers have routes of it, or may have kept some: "
    "have fewer peers for this node (nodeSelector), or wait until routers without a session drop theirs"
)
ORDER_SECONDS = 1.0
"""After an order for BFD sessions, or for router discovery, was refused."""


class BgpCourse:
    """See speaker.course. `drain_seconds`: how long routers have to send traffic elsewhere before routes go. `proxies`:
    None = they are never waited for."""

    def __init__(
        self,
        own_node: str,
        draft: StatusDraft,
        announcements: Announcements,
        notices: Notices,
        *,
        drain_seconds: float,
        proxies: Readiness | None = None,
    ) -> None:
        self._own_node = own_node
        self._draft = draft
        self._announcements = announcements
        self._notices = notices
        self._drain_seconds = drain_seconds
        self._remembered = RememberedRouters(draft)
        self._deleted_peers = DeletedPeers()
        self._passwords = Passwords()
        self._entries = SessionEntries()
        self._session_faults: list[Fault] = []
        self._bfd_status = BfdStatus()
        self._bfd_states: Mapping[str, BfdState] = {}
        self._bfd_applied: Mapping[str, object] = {}
        self._bfd_in_flight: Bfd | None = None
        self._bfd_again_at: float | None = None
        self._around = Surroundings()
        self._discovered: Discover | None = None
        self._discovery_in_flight: Discover | None = None
        self._discovery_again_at: float | None = None
        self._report = RouterReport()
        self._answers: dict[Prefix, bool] = {}
        self._asked: Set[Prefix] = frozenset()
        self._wanted_peers: dict[str, PeerConfig] = {}
        """When it was looked last which of them are allowed; `status_written` looks again."""
        self._peers: dict[str, PeerConfig] = {}
        self._has_had_peers = False
        self._covered: Mapping[str, int] = {}
        self._permit_until = 0.0
        self._lengths: dict[int, frozenset[int]] = {4: frozenset(), 6: frozenset()}
        self._sent: dict[Prefix, tuple[str, ...]] = {}
        self._paths: dict[Prefix, tuple[PathAttributes, ...]] = {}
        """With which attributes, of what is in `_sent`."""
        self._in_aggregate: dict[Prefix, frozenset[str]] = {}
        """The addresses that each is shown for."""
        self._aggregates_of: dict[str, tuple[Prefix, ...]] = {}
        self._orders = RouterOrders()
        self._has_orders = False
        self._blackholes: frozenset[Prefix] = frozenset()
        self._is_whole = self._is_applied = self._may_announce = False
        self._is_silent = self._is_draining = self._must_show = False
        self._is_leaving = self._has_left = self._has_stopped = False
        self._stop_at: float | None = None
        self._proxies = proxies
        self.decisions = Decisions(own_node, ClusterState(), drain_seconds=drain_seconds)

    # ---- what is observed ----

    def begin(self, cluster: ClusterState) -> None:
        """Until the cluster was read in full, nothing is changed at the routers."""
        self.decisions = Decisions(
            self._own_node,
            cluster,
            drain_seconds=self._drain_seconds,
            passwords=self._passwords,
            proxies=self._proxies,
        )
        self.decisions.set_failed(failed_peers(self._bfd_states))
        self.decisions.set_surroundings(self._around)
        self._is_whole = self._is_applied = False

    def inherit(self, last_word: LastWord, now: Moment) -> None:
        """What the predecessor may have left with routers, before the first registration of this process is written."""
        self._remembered.inherit(last_word, now.monotonic)
        self._show(now)

    def routers_dropped(self, routers: frozenset[str], now: Moment) -> None:
        """An operator's word that these keep no route of former sessions of this node, as the own Speaker has it."""
        if new := self._remembered.take_word(routers):
            self._notices.say("info", "an operator says that routers keep nothing", routers=sorted(new))
            self._order().dropped |= new
            self._show(now)

    def bfd_reported(self, states: Mapping[str, BfdState], now: Moment) -> None:
        """The wire process's BFD sessions, all of them."""
        self._bfd_states = states
        self.decisions.set_failed(failed_peers(states))
        self._apply(now)
        self._show(now)

    def routers_heard(self, links: Mapping[str, RoutersOn]) -> None:
        """By interface, as the wire process hears them by router discovery: all that it looks for."""
        self._surround(self._around._replace(routers=links))

    def interfaces_changed(self, interfaces: Iterable[Interface]) -> None:
        """Every interface, as the wire process reports them: their default gateways may be peers."""
        self._surround(self._around._replace(gateways=gateways_of(interfaces)))

    def own_addresses_read(self, addresses: Addresses) -> None:
        """The node's own, all of them: sessions may be opened from these."""
        self._surround(self._around._replace(addresses=addresses))

    def _surround(self, around: Surroundings) -> None:
        self._around = around
        self.decisions.set_surroundings(around)

    def status_written(self, now: Moment) -> None:
        """The API server confirmed what the draft said: more peers may be allowed now, and more sessions come up."""
        self._remembered.written()
        self._order_covered()
        if self._is_whole and self._may_announce:
            self._allow_peers(now)

    # ---- what is decided ----

    def has_work(self, now: Moment) -> bool:
        deadline = self.decisions.deadline()
        return self.decisions.has_work or (deadline is not None and deadline <= now.monotonic)

    def decide(self, limit: int, now: Moment) -> None:
        self.decisions.update(now.monotonic, limit)
        self._is_whole = self._is_whole or not self.decisions.has_work
        self._apply(now)

    def permit(self, now: Moment) -> None:
        """This speaker may announce now; to be repeated twice a second."""
        self._permit_until = now.boottime + EXABGP_PERMIT_SECONDS
        if self._has_had_peers:
            self._order().permit_until = self._permit_until
        if not self._may_announce and not self._is_leaving:
            self._may_announce = True
            self._apply(now)
        self._show_routers(now)  # what they keep passes with time
        for prefix in self.decisions.aggregates:  # addresses come and go without a change of the route
            self._show_prefix(prefix, now.text)

    def hold(self) -> None:
        """It may not, from now on: everything is withdrawn."""
        self._may_announce = False
        if not self._is_silent:
            self._is_silent = True
            self._order().is_silent = True

    def _apply(self, now: Moment) -> None:
        """Level-based; only what changed costs something."""
        if not (self._is_whole and self._may_announce) or self._is_leaving:
            return
        self._must_show = True
        changes = self.decisions.take_changes()
        has_other_peers = not self._is_applied or self.decisions.peers != self._wanted_peers
        if not self._is_applied:
            names = self.decisions.peers.keys() | self._peers.keys()
            self._order_routes({name: dict(self.decisions.routes(name)) for name in names})
            self._is_applied = True
        elif changes:
            self._order_changes(changes)
        for version in (4, 6):
            self._lengths[version] |= self.decisions.lengths(version)
        self._set_posture()
        if has_other_peers:
            self._wanted_peers = dict(self.decisions.peers)
            self._allow_peers(now)
        for prefix in {prefix for routes in changes.values() for prefix in routes}:
            self._show_prefix(prefix, now.text)

    def _order_routes(self, routes: Mapping[str, Mapping[Prefix, Route]]) -> None:
        orders = self._order()
        orders.routes.update(routes)
        for name in routes:
            orders.changes.pop(name, None)
        self._answers.clear()

    def _order_changes(self, changes: Mapping[str, Mapping[Prefix, Route | None]]) -> None:
        orders = self._order()
        for name, changed in changes.items():
            orders.changes[name] = {**orders.changes.get(name, {}), **changed}
        self._answers.clear()

    def _set_posture(self) -> None:
        """Each of these goes over all routes, so only when it is another one."""
        if self._is_draining != self.decisions.is_draining:
            self._is_draining = self.decisions.is_draining
            self._order().is_draining = self._is_draining
        if self._is_silent:
            self._is_silent = False
            self._order().is_silent = False
            self._answers.clear()

    def _allow_peers(self, now: Moment) -> None:
        """All that are wanted, but for those whose routers might keep routes for longer than the API server knows."""
        self._show_routers(now)
        peers: dict[str, PeerConfig] = {}
        for name, peer in self.decisions.peers.items():
            if peer == self._peers.get(name) or self._remembered.covers(peer):
                peers[name] = peer
            elif name in self._peers:
                peers[name] = self._peers[name]
        if peers != self._peers:
            self._peers = peers
            self._has_had_peers = True
            self._order().peers = peers
            self._order().permit_until = self._permit_until
            self._answers.clear()
            self._show_routers(now)

    # ---- orders, and what becomes of them ----

    def take_orders(self, now: Moment, *, may_announce: bool) -> RouterOrders | None:
        """`may_announce` was told by `permit` and `hold` already."""
        if self._stop_at is not None and now.monotonic >= self._stop_at and not self._has_stopped:
            self._stop_at = None
            self._order().stops = True
        blackholes = self.decisions.aggregates if self._is_applied and self._may_announce else frozenset()
        if blackholes != self._blackholes:
            self._blackholes = self._order().blackholes = blackholes
        if self._must_show and not self._orders.changes_routes:  # else their report is shown, when they are out
            self._show(now)
        if not self._has_orders:
            return None
        taken, self._orders, self._has_orders = self._orders, RouterOrders(), False
        return taken

    def ask(self, addresses: Iterable[str]) -> None:
        """Have the routers asked what may be left of these addresses, which are being released: each report says it,
        until others are asked for. Of some that are not needed any more it may say it, too, but not of most."""
        prefixes = frozenset(prefix for address in addresses for prefix in self._prefixes_of(address))
        self._answers = {prefix: answer for prefix, answer in self._answers.items() if prefix in prefixes}
        if prefixes - self._answers.keys() or len(self._asked) > 2 * len(prefixes):
            self._asked = self._order().asks = prefixes

    def tick(self, now: Moment) -> None:
        """Half a second has passed: what changes all the time is looked at now."""
        self._ask_again()
        self._give_up(now)
        self._show_sessions(now, counts=True)

    def _give_up(self, now: Moment) -> None:
        """Routers of deleted peers that would be waited for for ever."""
        if not (self._is_whole and self._may_announce):
            return
        routers = {**self._remembered.inherited(now.monotonic), **self._report.routers}
        if gone := self._deleted_peers.given_up(routers, self.decisions.all_peers, now.monotonic):
            self._notices.say("warning", "routers of deleted peers are taken to keep nothing", routers=sorted(gone))
            self._remembered.give_up(gone)
            self._order().dropped |= gone
            self._show(now)

    def _ask_again(self) -> None:
        """Routers may have dropped meanwhile what they had."""
        self._answers = {prefix: answer for prefix, answer in self._answers.items() if not answer}

    def _order(self) -> RouterOrders:
        self._has_orders = True
        return self._orders

    def confirmed(self, what: RouterReport, now: Moment) -> None:
        """What the routers have now. What is not yet ordered, they answer for when it is carried out."""
        self._report = what
        self._answers = {} if self._orders.changes_routes else dict(what.answers)
        if what.has_stopped:
            self._has_stopped = self._has_left = True
        for prefix, peers in what.sent.items():
            if peers:
                self._sent[prefix], self._paths[prefix] = peers, what.paths.get(prefix, ())
            else:
                self._sent.pop(prefix, None)
                self._paths.pop(prefix, None)
            self._show_prefix(prefix, now.text)
        self._show(now)

    def next_bfd(self, now: Moment) -> Bfd | None:
        """The BFD sessions to have, when they are others than the wire process has; one order at a time."""
        wanted = {name: config for name, config in self.decisions.bfd.items() if name in self._peers}
        if self._bfd_again_at is not None and now.monotonic < self._bfd_again_at:
            return None
        self._bfd_again_at = None
        if wanted == self._bfd_applied or not self._is_applied or self._bfd_in_flight is not None:
            return None
        self._bfd_in_flight = Bfd(wanted)
        return self._bfd_in_flight

    def bfd_confirmed(self, order: Bfd) -> None:
        """The wire process has these sessions."""
        self._bfd_in_flight, self._bfd_applied = None, order.sessions

    def bfd_refused(self, message: str, now: Moment) -> None:
        """It has not, and is asked again in a moment."""
        self._notices.say("warning", "the wire refused BFD sessions", error=message)
        self._bfd_in_flight, self._bfd_again_at = None, now.monotonic + ORDER_SECONDS

    def next_discovery(self, now: Moment) -> Discover | None:
        """The links to find routers on, when they are others than the wire process has; one order at a time."""
        if not self._is_whole or self._discovery_in_flight is not None:
            return None
        if self._discovery_again_at is not None and now.monotonic < self._discovery_again_at:
            return None
        self._discovery_again_at = None
        if self._discovered is None and not self.decisions.links:
            return None
        wanted = Discover(tuple(sorted(self.decisions.links)[:MOST_ROUTERS]))
        if wanted != (self._discovered or Discover(())):
            self._discovery_in_flight = wanted
        return self._discovery_in_flight

    def discovery_confirmed(self, order: Discover) -> None:
        """The wire process looks for routers on these links."""
        self._discovery_in_flight, self._discovered = None, order

    def discovery_refused(self, message: str, now: Moment) -> None:
        """It does not, and is asked again in a moment."""
        self._notices.say("warning", "the wire refused to find routers", error=message)
        self._discovery_in_flight, self._discovery_again_at = None, now.monotonic + ORDER_SECONDS

    def may_be_heard(self, address: str, now: Moment) -> bool:
        """An aggregate that stands for other addresses too is the pool's route, and says nothing of this one."""
        if not address:
            return False
        if self._remembered.has_inherited(now.monotonic, self._report.synced):
            return True
        return any(self._answers.get(prefix, True) for prefix in self._prefixes_of(address))

    def _prefixes_of(self, address: str) -> Set[Prefix]:
        """The routes by which a router may send traffic for the address here, and for no other address in use."""
        if not address or not self._has_had_peers:
            return frozenset()
        host = prefix_of(address)
        prefixes: set[Prefix] = {host}
        for length in self._lengths[host.version] - {host.prefixlen}:
            prefix = prefix_of(address, length)
            if not set(self.decisions.addresses_of(prefix)) - {address}:
                prefixes.add(prefix)
        return prefixes

    def deadline(self) -> float | None:
        return earliest(self.decisions.deadline(), self._stop_at, self._bfd_again_at, self._discovery_again_at)

    # ---- leaving ----

    def leave(self, now: Moment) -> None:
        """The clean end: routers send traffic elsewhere, then lose the routes.

        Peers with graceful restart hear nothing, and keep the routes until the next speaker comes, or the restart time
        is over (RFC 4724).
        """
        is_heard = self._may_announce
        self._is_leaving, self._may_announce = True, False
        self._stop_at = now.monotonic
        if is_heard and self._has_routes_to_withdraw():
            self._notices.say(
                "info", "stopping: routers are asked to send traffic elsewhere", seconds=self._drain_seconds
            )
            orders = self._order()
            orders.is_draining = orders.spares_graceful = True
            self._stop_at += self._drain_seconds

    @property
    def has_left(self) -> bool:
        return self._has_left

    def withdrew_everything(self, now: Moment) -> bool:
        """Whether it is certain that no router keeps a route."""
        return not self._report.routers and not self._remembered.has_inherited(now.monotonic)

    def _has_routes_to_withdraw(self) -> bool:
        """Also those that were ordered, and that no report has told of yet: they may be out."""
        return any(
            view.routes_sent or (view.is_up and self._is_applied and self.decisions.routes(name))
            for name, peer in self._peers.items()
            if peer.graceful_restart_seconds is None and (view := self._report.sessions.get(name)) is not None
        )

    # ---- what the Speaker object says ----

    @property
    def sessions(self) -> Mapping[str, SessionView]:
        """By peer, those that are held or refused by the driver."""
        return self._report.sessions

    @property
    def bfd_states(self) -> Mapping[str, BfdState]:
        """The wire process's BFD sessions, as last reported."""
        return self._bfd_states

    @property
    def secrets(self) -> frozenset[str]:
        """The names of the Secrets with passwords of this node's peers."""
        return self.decisions.secrets

    def covers(self, allocation: Allocation) -> bool:
        """Whether some BGPAdvertisement chooses the address, for this node or others."""
        return self.decisions.covers(allocation)

    def faults(self) -> list[Entry]:
        """What an operator should change about BGP's objects, for the field of that name."""
        self.decisions.set_blackhole_fault(self._report.blackhole_fault)
        return [fault(one.object, one.reason.value, one.message) for one in self._found_faults() if one.object]

    def _found_faults(self) -> list[Fault]:
        left_out = self._remembered.left_out
        forgotten = [
            Fault(Reason.TooManyRouters, f"BGPPeer {name}: {_TOO_MANY_ROUTERS}", f"BGPPeer/{name}")
            for name, peer in sorted(self.decisions.peers.items())
            if peer.router in left_out
        ]
        return [*forgotten, *self._session_faults, *self.decisions.faults(SHOWN_FAULTS)][:SHOWN_FAULTS]

    def _show(self, now: Moment) -> None:
        self._must_show = False
        self._show_sessions(now, counts=False)
        bfd = self._bfd_status.show(self._bfd_states, boot_time=now.unix - now.boottime)
        self._draft.set("bfdSessions", list(bfd))
        self._show_routers(now)

    def _show_sessions(self, now: Moment, *, counts: bool) -> None:
        sessions = self._report.sessions
        self._session_faults = faults_in_sessions(
            self._peers,
            sessions,
            self._bfd_states,
            now.monotonic,
            without_ipv4_next_hop=self.decisions.without_ipv4_next_hop,
        )
        refused = {
            name: one.message
            for one in self._found_faults()
            if one.object.startswith("BGPPeer/") and (name := one.object.removeprefix("BGPPeer/")) not in self._peers
        }
        started = now.unix - now.monotonic
        entries = self._entries.show(sessions, refused, now.text, counts=counts, started=started)
        self._draft.set("bgpSessions", entries)

    def _show_routers(self, now: Moment) -> None:
        """Raised at once; lowered when nothing is left that would live so long, and the sessions know."""
        wanted, held = (() if self._has_stopped else peers.values() for peers in (self.decisions.peers, self._peers))
        self._remembered.show(wanted, held, self._report.routers, now.monotonic)
        self._order_covered()

    def _order_covered(self) -> None:
        covered = self._remembered.covered
        if covered != self._covered:
            self._covered = self._order().covered = covered

    def _show_prefix(self, prefix: Prefix, now: str) -> None:
        """By which peers the addresses that it covers are announced now."""
        if is_host(prefix):
            self._show_address(address_of(prefix), now)
            return
        addresses = frozenset(self.decisions.addresses_of(prefix) if prefix in self._sent else ())
        before = self._in_aggregate.pop(prefix, frozenset())
        if addresses:
            self._in_aggregate[prefix] = addresses
        for address in addresses - before:
            self._aggregates_of[address] = (*self._aggregates_of.get(address, ()), prefix)
        for address in before - addresses:
            left = tuple(one for one in self._aggregates_of.pop(address) if one != prefix)
            if left:
                self._aggregates_of[address] = left
        for address in addresses | before:
            self._show_address(address, now)

    def _show_address(self, address: str, now: str) -> None:
        host = prefix_of(address)
        has_route = self.decisions.has_route(host)
        peers, paths = (self._sent.get(host, ()), self._paths.get(host, ())) if has_route else ((), ())
        if aggregates := self._aggregates_of.get(address):
            peers = tuple({*peers, *(peer for one in aggregates for peer in self._sent.get(one, ()))})
            paths = (*paths, *(path for one in aggregates for path in self._paths.get(one, ())))
        self._announcements.on_bgp(address, peers, now, paths)
