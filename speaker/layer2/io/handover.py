"""The agent's end of the other speakers: what the wire hears of them goes to the decisions, and our own standing to
them.

The clocks and the wire's end of speaker.members.view, which judges.
"""

import time
from collections.abc import Callable, Mapping

import structlog

from kube.io.clock import timestamp
from speaker.fencing import Contact, Peers
from speaker.layer2.course import Announcer
from speaker.members.io.heartbeats import Heartbeats
from speaker.members.liveness import Liveness
from speaker.members.view import PeerTimes, PeerView
from speaker.wire.io.link import WireLink
from speaker.wire.messages import NEVER, Member, Reannounce

HANDOVER_SECONDS = 2.0
"""How long to answer for an address whose successor is not seen to announce it. By heartbeats it takes milliseconds;
by the Speaker object, where none are heard, a write and a watch."""

SHOWN_PEERS = 64

log = structlog.get_logger()


class PeerWatch:
    """`contact()`: what to say of our contact with the API server (CLOCK_BOOTTIME); `is_serving()`: whether this
    speaker announces. `on_change()` comes when there is something to decide or to carry out."""

    def __init__(
        self,
        link: WireLink,
        heartbeats: Heartbeats,
        announcer: Announcer,
        own_node: str,
        times: PeerTimes,
        *,
        boottime: Callable[[], float],
        contact: Callable[[], float],
        is_serving: Callable[[], bool],
        on_change: Callable[[], None],
    ) -> None:
        self._link = link
        self._heartbeats = heartbeats
        self._announcer = announcer
        self._own_node = own_node
        self._view = PeerView(own_node, times)
        self._boottime = boottime
        self._contact = contact
        self._is_serving = is_serving
        self._on_change = on_change
        self._knows_all = False
        self._since: dict[str, str] = {}
        announcer.draft.set("heard", [])

    @property
    def liveness(self) -> Liveness:
        """Of this registration; wants to be told of Leases."""
        return self._view.liveness

    def begin(self) -> None:
        """A new registration, with a new state of the cluster."""
        self._view.begin(time.monotonic())
        self._knows_all = False

    def knows_all(self) -> None:
        """The cluster was read in full: now this node can tell whether it is one that returns."""
        if not self._knows_all:
            self._knows_all = True
            self.judge()

    def leave(self) -> None:
        """This speaker is asked to stop: others shall take over."""
        self._view.leave()
        self.judge()

    def aged(self, peers: Mapping[str, Member]) -> None:
        """The same peers, heard anew. What follows is judged twice a second."""
        self._view.age(peers)

    def heard(self, peers: Mapping[str, Member]) -> None:
        """Everybody whom the wire process hears now. Who is heard again may have moved addresses of ours to itself."""
        self._heartbeats.peers_changed(peers)
        came_back = self._view.hear(peers, time.monotonic())
        self._show()
        self.judge()
        now = time.monotonic()
        for address, node in self._view.claims_of_lost(now):
            if self._announcer.orders.is_wanted(address):
                self._yield(address, node, now)
        if came_back and self._is_serving():
            log.info("heard again", nodes=sorted(came_back))
            self._link.send(Reannounce(tuple(self._announcer.orders.wanted())))

    def _show(self) -> None:
        """In the Speaker object. The ages in heartbeats are left out: a changed object goes to all who watch it."""
        heard = self._view.heard
        now = timestamp()
        self._since = {node: self._since.get(node, now) for node in heard}
        shown = [
            {"node": node, "since": self._since[node], "cutOff": heard[node].is_behind}
            for node in sorted(heard)[:SHOWN_PEERS]
        ]
        self._announcer.draft.set("heard", shown)

    def claimed(self, address: str, mac: str) -> None:
        """A frame claimed an address that is announced here. Nothing to do here when it is a stranger's."""
        node = self._announcer.cluster.node_of(mac)
        if node is None:
            return
        now = time.monotonic()
        self._view.saw_claim(address, node, now)
        if self._announcer.orders.handed_over(address):
            self._on_change()
        elif node in self._view.liveness.lost:
            self._settle(address, node, now)

    def _settle(self, address: str, node: str, now: float) -> None:
        """Of two that do not hear each other one gives way."""
        if not self._yield(address, node, now):
            self._link.send(Reannounce((address,)))

    def _yield(self, address: str, node: str, now: float) -> bool:
        if not self._view.yields(address, node, now):
            return False
        log.info("left to a speaker that is not heard", address=address, node=node)
        self._announcer.decisions.set_claims(self._view.claims(now))
        self._on_change()
        return True

    def judge(self) -> None:
        """Who is alive and where everybody stands, this node included; it says so itself. At least twice a second."""
        decisions, now, contact = self._announcer.decisions, time.monotonic(), self._contact()
        decisions.set_peers(self._view.liveness.alive(now), self._view.heard)
        own = self._view.judge(
            now,
            self._boottime(),
            contact,
            members=decisions.other_members() if self._knows_all else None,
            nothing_to_move=not self._announcer.cluster.has_allocations,
        )
        decisions.set_own_tier(own.tier)
        decisions.set_claims(self._view.claims(now))
        self._announcer.draft.set("standing", own.standing.value)
        self._heartbeats.say(contact, own, serving=self._is_serving())
        if decisions.has_work:
            self._on_change()

    def answer_until(self, successor: str, address: str) -> float | None:
        """For speaker.layer2.course: until when to answer for what the successor takes over."""
        now = time.monotonic()
        return None if self._view.announces_already(successor, address, now) else now + HANDOVER_SECONDS

    def for_fencing(self) -> Peers:
        """The same peers as speaker.fencing wants to know them.

        A process that has not told yet when it had contact is left out: it must not pass for one that lost it long ago.
        """
        speakers = self._announcer.cluster.speakers
        known = {node for node, facts in speakers.items() if not facts.said_goodbye}
        contacts = {
            node: Contact(peer.contact, peer.heard) for node, peer in self._view.heard.items() if peer.contact > NEVER
        }
        return Peers(known=frozenset(known) - {self._own_node}, contacts=contacts)
