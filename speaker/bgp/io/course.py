"""The course of BGP in the agent: from what the picture wants, by way of ExaBGP, to what the Speaker object says.

Joins speaker.bgp.decisions (which routes), speaker.bgp.exabgp.io.driver (the sessions) and the wire's BFD; decides
nothing about addresses. The order that makes releases and graceful restart safe is here:

* No session before the API server has confirmed an `outlivesSeconds` that covers it: whoever judges this speaker later
  must know how long routers may keep its routes.
* No session before this speaker may announce and knows all its routes: an End-of-RIB that comes too early makes a
  router drop what it kept through a restart.
* An address is off BGP only when no router may have a route to it from this process, or from the one before.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from ipaddress import ip_address, ip_network

import structlog

from kube.io.clock import timestamp
from speaker.bgp.bfdsessions import BfdStatus, failed_peers
from speaker.bgp.decisions import BGPPicture
from speaker.bgp.exabgp.config import outlives_seconds
from speaker.bgp.exabgp.io.driver import FOREVER_SECONDS, BgpDriver
from speaker.bgp.io.blackhole import Blackholes
from speaker.bgp.model import PeerConfig, Prefix, SessionView
from speaker.bgp.status import MOST_MESSAGE_CHARACTERS, SessionEntries
from speaker.cluster.state import ClusterState
from speaker.own.announcements import Announcements
from speaker.own.predecessor import Inheritance, Past
from speaker.own.status import StatusDraft
from speaker.wire.io.link import OrderRefusedError, WireLink
from speaker.wire.messages import Bfd, BfdState

EXABGP_PERMIT_SECONDS = 15.0
"""How long sessions go on without a word from the agent. Part of `outlivesSeconds`, so fencing counts it."""
SHOWN_FAULTS = 32
BFD_ORDER_SECONDS = 1.0

log = structlog.get_logger()


class BgpCourse:
    """Lives as long as the process; `picture` as long as one registration.

    `on_done()`: a release may have settled, or the draft has changed.
    """

    def __init__(
        self,
        own_node: str,
        driver: BgpDriver,
        link: WireLink,
        draft: StatusDraft,
        announcements: Announcements,
        blackholes: Blackholes,
        *,
        drain_seconds: float,
        on_done: Callable[[], None],
    ) -> None:
        self._own_node = own_node
        self._driver = driver
        self._link = link
        self._draft = draft
        self._announcements = announcements
        self._blackholes = blackholes
        self._drain_seconds = drain_seconds
        self._on_done = on_done
        self._inheritance = Inheritance()
        self._entries = SessionEntries()
        self._bfd_status = BfdStatus()
        self._bfd_applied: object = None
        self._peers: dict[str, PeerConfig] = {}
        self._lengths: dict[int, frozenset[int]] = {4: frozenset(), 6: frozenset()}
        self._told: dict[Prefix, frozenset[str]] = {}
        self._routes_of: dict[str, dict[Prefix, tuple[str, ...]]] = {}
        self._wake = asyncio.Event()
        self._is_whole = self._is_applied = self._may_announce = self._is_leaving = False
        self._is_silent = self._is_draining = False
        self.picture = self.begin(ClusterState())
        draft.set("outlivesSeconds", 0)

    # ---- what is observed ----

    def begin(self, cluster: ClusterState) -> BGPPicture:
        """A new registration with a new state of the cluster. Until it was read in full, nothing is changed at the
        routers."""
        self.picture = BGPPicture(self._own_node, cluster, drain_seconds=self._drain_seconds)
        self.picture.set_failed(failed_peers(self._link.bfd_sessions))
        self._is_whole = self._is_applied = False
        return self.picture

    def inherit(self, past: Past) -> None:
        """What the predecessor may have left with routers, before the first registration of this process is written."""
        self._inheritance.take(past, time.monotonic())
        self._show()

    def driver_changed(self) -> None:
        """A session, or what may be heard, changed."""
        self._wake.set()

    def bfd_changed(self, views: Mapping[str, BfdState]) -> None:
        """The wire's BFD sessions, all of them."""
        self.picture.set_failed(failed_peers(views))
        self._apply()
        self._wake.set()

    def status_written(self) -> None:
        """The API server confirmed what the draft said: more peers may be allowed now."""
        if self._is_whole and self._may_announce:
            self._allow_peers()

    # ---- what is decided ----

    def is_due(self, now: float) -> bool:
        """Whether there is something to decide. `now`: monotonic seconds."""
        wakes_at = self.picture.wakes_at
        return self.picture.has_work or (wakes_at is not None and wakes_at <= now)

    def decide(self, limit: int) -> None:
        """Decide on up to `limit` addresses, once the picture was read in full."""
        self.picture.update(time.monotonic(), limit)
        self._is_whole = self._is_whole or not self.picture.has_work
        self._apply()

    def permit(self) -> None:
        """This speaker may announce now; to be repeated twice a second."""
        self._driver.permit(time.clock_gettime(time.CLOCK_BOOTTIME) + EXABGP_PERMIT_SECONDS)
        if not self._may_announce and not self._is_leaving:
            self._may_announce = True
            self._apply()
        for prefix in self.picture.aggregates:  # addresses come and go without a change of the route
            self._show_prefix(prefix)

    def hold(self) -> None:
        """It may not, from now on: everything is withdrawn."""
        self._may_announce = False
        if not self._is_silent:
            self._is_silent = True
            self._driver.silence()

    def _apply(self) -> None:
        """Level-based; only what changed costs something."""
        if not (self._is_whole and self._may_announce) or self._is_leaving:
            return
        changes = self.picture.take_changes()
        if self._is_applied:
            for peer, routes in changes.items():
                self._driver.change_routes(peer, routes)
        else:
            for peer in self.picture.peers.keys() | self._peers.keys():
                self._driver.set_routes(peer, dict(self.picture.routes(peer)))
            self._is_applied = True
        for version in (4, 6):
            self._lengths[version] |= self.picture.lengths(version)
        self._set_posture()
        self._allow_peers()
        for prefix in {prefix for routes in changes.values() for prefix in routes}:
            self._show_prefix(prefix)
        self._wake.set()

    def _set_posture(self) -> None:
        """Each of these goes over all routes, so only when it is another one."""
        if self._is_draining != self.picture.is_draining:
            self._is_draining = self.picture.is_draining
            self._driver.drain(self._is_draining)
        if self._is_silent:
            self._is_silent = False
            self._driver.resume()

    def _allow_peers(self) -> None:
        """All that are wanted, but for those whose routes would outlive us for longer than the API server knows."""
        covered = self._draft.written("outlivesSeconds") or 0
        peers: dict[str, PeerConfig] = {}
        for name, peer in self.picture.peers.items():
            if peer == self._peers.get(name) or _with_permit(outlives_seconds(peer)) <= covered:
                peers[name] = peer
            elif name in self._peers:
                peers[name] = self._peers[name]
        if peers != self._peers:
            self._peers = peers
            self._driver.set_peers(peers)
        self._show_outlives()

    def holds_back(self, address: str) -> bool:
        """Whether a router may have a route to this address from us, so that it must not be given out again.

        An aggregate that stands for other addresses too is the pool's route, and says nothing of this one.
        """
        if not address:
            return False
        if self._inheritance.may_be_heard(time.monotonic(), self._driver.synced_routers):
            return True
        host = ip_address(address)
        for length in {host.max_prefixlen, *self._lengths[host.version]}:
            prefix = ip_network(f"{address}/{length}", strict=False)
            others = set(self.picture.addresses_of(prefix)) - {address} if length < host.max_prefixlen else set()
            if not others and self._driver.may_be_heard(prefix):
                return True
        return False

    # ---- what is carried out ----

    async def run(self) -> None:
        """Until cancelled; `leave` first, or the routers hear nothing of the end."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._driver.run())
            group.create_task(self._blackholes.run())
            group.create_task(self._follow())

    async def _follow(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            self._show()
            self._on_done()
            self._blackholes.set(self.picture.aggregates if self._is_applied and self._may_announce else frozenset())
            await self._order_bfd()

    async def _order_bfd(self) -> None:
        wanted = {name: config for name, config in self.picture.bfd.items() if name in self._peers}
        if wanted == self._bfd_applied or not self._is_applied:
            return
        try:
            await self._link.carry_out(Bfd(wanted))
            self._bfd_applied = wanted
        except OrderRefusedError as error:
            log.warning("the wire refused BFD sessions", error=str(error))
            await asyncio.sleep(BFD_ORDER_SECONDS)
            self._wake.set()

    async def leave(self) -> bool:
        """The clean end: routers send traffic elsewhere, then lose the routes. Whether all is withdrawn for certain.

        Peers with graceful restart hear nothing, and keep the routes until the next speaker comes, or the restart time
        is over (RFC 4724).
        """
        is_heard = self._may_announce
        self._is_leaving, self._may_announce = True, False
        if is_heard and self._has_routes_to_withdraw():
            log.info("stopping: routers are asked to send traffic elsewhere", seconds=self._drain_seconds)
            self._driver.drain(True, spare_graceful=True)
            await asyncio.sleep(self._drain_seconds)
        await self._driver.stop(graceful=True)
        self._show()
        return not self._driver.leftovers and not self._inheritance.remaining_seconds(time.monotonic())

    def _has_routes_to_withdraw(self) -> bool:
        sessions = self._driver.sessions
        return any(
            peer.graceful_restart_seconds is None and name in sessions and sessions[name].routes_sent
            for name, peer in self._peers.items()
        )

    # ---- what the Speaker object says ----

    @property
    def sessions(self) -> Mapping[str, SessionView]:
        """By peer, those that are held or refused by the driver."""
        return self._driver.sessions

    def faults(self) -> list[dict[str, str]]:
        """What an operator should change about BGP's objects, for the field of that name."""
        self.picture.set_blackhole_fault(self._blackholes.fault)
        return [
            {"object": one.object, "reason": one.reason.value, "message": one.message[:MOST_MESSAGE_CHARACTERS]}
            for one in self.picture.faults(SHOWN_FAULTS)
            if one.object
        ]

    def _show(self) -> None:
        now = timestamp()
        for prefix in self._driver.take_changed():
            self._show_prefix(prefix)
        faults = self.picture.faults(SHOWN_FAULTS)
        refused = {
            one.object.removeprefix("BGPPeer/"): one.message
            for one in faults
            if one.object.startswith("BGPPeer/") and one.object.removeprefix("BGPPeer/") not in self._peers
        }
        leftovers = {**self._inheritance.routers(time.monotonic()), **self._driver.leftovers}
        self._draft.set("bgpSessions", self._entries.show(self._driver.sessions, refused, leftovers, now))
        boot_time = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
        bfd = self._bfd_status.show(self._link.bfd_sessions, boot_time=boot_time)
        self._draft.set("bfdSessions", [one.to_wire() for one in bfd])
        self._show_outlives()

    def _show_outlives(self) -> None:
        """Raised at once; lowered when nothing is left that would live so long."""
        peers = (*self.picture.peers.values(), *self._peers.values())
        needed = [_with_permit(outlives_seconds(peer)) for peer in peers]
        if at_present := self._driver.outlives_seconds:
            needed.append(_with_permit(at_present))
        now = time.monotonic()
        if remaining := self._inheritance.remaining_seconds(now):
            needed.append(min(FOREVER_SECONDS, int(remaining) + 1))
        self._draft.set("outlivesSeconds", max(needed, default=0))

    def _show_prefix(self, prefix: Prefix) -> None:
        """By which peers the addresses that it covers are announced now."""
        peers = self._driver.sent_to(prefix)
        addresses = frozenset(self.picture.addresses_of(prefix)) if peers else frozenset()
        gone = self._told.pop(prefix, frozenset()) - addresses
        if addresses:
            self._told[prefix] = addresses
        for address in addresses:
            self._routes_of.setdefault(address, {})[prefix] = peers
        for address in gone:
            self._routes_of.get(address, {}).pop(prefix, None)
        self._show_addresses(addresses | gone)

    def _show_addresses(self, addresses: Iterable[str]) -> None:
        now = timestamp()
        for address in addresses:
            routes = self._routes_of.get(address)
            self._announcements.on_bgp(address, {peer for peers in (routes or {}).values() for peer in peers}, now)
            if not routes:
                self._routes_of.pop(address, None)


def _with_permit(seconds: float) -> int:
    """Counted from when this process was heard of last: ExaBGP goes on for so long."""
    return int(min(FOREVER_SECONDS, seconds + EXABGP_PERMIT_SECONDS))
