"""What a speaker counts. Counts what it is told and sets gauges from a snapshot when it is asked; judges nothing.

No label carries an address or a Service: a node may announce thousands.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest

from speaker.bgp.model import SessionView
from speaker.bgp.status import by_state
from speaker.wire import messages

WIRE_COUNTERS = {
    "received": "berth_arp_received",
    "replies": "berth_arp_replies_sent",
    "gratuitous": "berth_gratuitous_arp_sent",
    "probes": "berth_arp_probes_sent",
    "conflicts": "berth_arp_conflicts_seen",
    "silenced": "berth_arp_silenced",
    "failed": "berth_arp_send_failures",
    "dropped": "berth_arp_dropped",
    "ndp_received": "berth_ndp_received",
    "ndp_replies": "berth_ndp_replies_sent",
    "ndp_gratuitous": "berth_ndp_unsolicited_sent",
    "ndp_probes": "berth_ndp_probes_sent",
    "ndp_conflicts": "berth_ndp_conflicts_seen",
    "ndp_silenced": "berth_ndp_silenced",
    "ndp_failed": "berth_ndp_send_failures",
    "ndp_dropped": "berth_ndp_dropped",
    "ping_received": "berth_ping_received",
    "ping_replies": "berth_ping_replies_sent",
    "ping_silenced": "berth_ping_silenced",
    "ping_failed": "berth_ping_send_failures",
    "ping_dropped": "berth_ping_dropped",
}
HEARTBEAT_COUNTERS = {
    "sent": "berth_heartbeats_sent",
    "received": "berth_heartbeats_received",
    "failed": "berth_heartbeat_send_failures",
}
"""All other kinds are reasons why a packet was dropped."""
BFD_COUNTERS = {
    "sent": "berth_bfd_packets_sent",
    "received": "berth_bfd_packets_received",
    "failed": "berth_bfd_send_failures",
}
"""All other kinds are reasons why a packet was dropped."""


@dataclass(frozen=True)
class Snapshot:
    """How things stand. `addresses`: how many this node announces ("Announced") or does not, by reason."""

    addresses: dict[str, int] = field(default_factory=dict)
    interfaces: dict[str, int] = field(default_factory=dict)
    """How many of the node's interfaces are "Usable", and how many are not, by reason."""
    answerers: dict[str, int] = field(default_factory=dict)
    """On how many interfaces the kernel answers ARP and NDP ("Kernel"), or the wire process does, by why."""
    bfd_sessions: dict[str, int] = field(default_factory=dict)
    """BFD sessions by state, as speaker.bgp.bfdsessions counts them; empty without BFD."""
    bgp_sessions: Mapping[str, SessionView] = field(default_factory=dict)
    """By BGPPeer."""
    speakers_known: int = 0
    speakers_alive: int = 0
    speakers_heard: int = 0
    is_ready: bool = False
    waits_for: str = ""
    is_healthy: bool = True


class SpeakerMetrics:
    """One process's metrics, besides those of kube.process.io.prometheus."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._addresses = Gauge(
            "berth_speaker_addresses", "Addresses by what this node does about them.", ["state"], registry=registry
        )
        self._interfaces = Gauge(
            "berth_interfaces", "Network interfaces by whether they are usable.", ["state"], registry=registry
        )
        self._answerers = Gauge(
            "berth_answering_interfaces",
            "Interfaces in use by what answers ARP and NDP there: Kernel, or why it is the speaker.",
            ["state"],
            registry=registry,
        )
        self._interface_changes = Counter(
            "berth_interface_changes", "What happened to network interfaces.", ["change"], registry=registry
        )
        self._speakers = Gauge("berth_speaker_peers", "Speakers in the cluster.", ["state"], registry=registry)
        self._ready = Gauge("berth_speaker_ready", "Whether this node announces what it owns.", registry=registry)
        self._anew = Counter(
            "berth_speaker_registrations", "Registrations after the first one.", ["reason"], registry=registry
        )
        self._withdrawals = Histogram(
            "berth_speaker_withdraw_seconds",
            "From the order to withdraw to the wire's confirmation.",
            buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0),
            registry=registry,
        )
        self._wire = {
            name: Counter(metric, f"Frames: {name}.", ["interface"], registry=registry)
            for name, metric in WIRE_COUNTERS.items()
        }
        self._heartbeats = {
            name: Counter(metric, f"Heartbeat packets: {name}.", registry=registry)
            for name, metric in HEARTBEAT_COUNTERS.items()
        }
        self._heartbeats_dropped = Counter(
            "berth_heartbeats_dropped", "Heartbeat packets that did not count.", ["reason"], registry=registry
        )
        self._bfd_sessions = Gauge("berth_bfd_sessions", "BFD sessions by state.", ["state"], registry=registry)
        self._bgp_sessions = Gauge("berth_bgp_sessions", "BGP sessions by state.", ["state"], registry=registry)
        self._bgp_routes = Gauge(
            "berth_bgp_routes_sent", "Routes sent and not withdrawn in the session.", ["peer"], registry=registry
        )
        self._bgp_downs = Counter(
            "berth_bgp_session_downs", "How often a BGP session that was up went down.", ["peer"], registry=registry
        )
        self._bfd = {
            name: Counter(metric, f"BFD packets: {name}.", registry=registry) for name, metric in BFD_COUNTERS.items()
        }
        self._bfd_dropped = Counter(
            "berth_bfd_packets_dropped", "BFD packets that did not count.", ["reason"], registry=registry
        )
        self._wire_totals: dict[tuple[str, str], int] = {}
        self._conflicts = Counter(
            "berth_address_conflicts", "Reports of others using our addresses.", ["by"], registry=registry
        )

        self._defences = Counter(
            "berth_address_defences", "Announcements sent to defend an address (RFC 5227 §2.4).", registry=registry
        )
        self._probed = Counter(
            "berth_duplicate_address_probes",
            "Runs of probes before a first announcement.",
            ["result"],
            registry=registry,
        )
        self._kernel_answered = Gauge(
            "berth_kernel_answered_addresses",
            "Addresses announced on layer 2 that the node's own kernel answers for by itself.",
            registry=registry,
        )
        self._proxies = Counter(
            "berth_proxy_waits",
            "Waits for this node's proxy to have its rules for a new endpoint, policy Local.",
            ["result"],
            registry=registry,
        )
        self._conflicted = Gauge(
            "berth_conflicted_addresses", "Addresses that another machine uses at present.", registry=registry
        )

    def page(self, snapshot: Snapshot) -> bytes:
        """For Prometheus."""
        self.show(snapshot)
        return generate_latest(self.registry)

    def show(self, snapshot: Snapshot) -> None:
        """Set the gauges."""
        self._addresses.clear()
        for state, count in snapshot.addresses.items():
            self._addresses.labels(state).set(count)
        self._interfaces.clear()
        for state, count in snapshot.interfaces.items():
            self._interfaces.labels(state).set(count)
        self._answerers.clear()
        for state, count in snapshot.answerers.items():
            self._answerers.labels(state).set(count)
        self._bfd_sessions.clear()
        for state, count in snapshot.bfd_sessions.items():
            self._bfd_sessions.labels(state).set(count)
        self._bgp_sessions.clear()
        for state, count in by_state(snapshot.bgp_sessions.values()).items():
            self._bgp_sessions.labels(state).set(count)
        self._bgp_routes.clear()
        for peer, view in snapshot.bgp_sessions.items():
            self._bgp_routes.labels(peer).set(view.routes_sent)
            self._bgp_downs.labels(peer).inc(self._increase(("bgp", peer), view.downs))
        self._speakers.labels("known").set(snapshot.speakers_known)
        self._speakers.labels("alive").set(snapshot.speakers_alive)
        self._speakers.labels("heard").set(snapshot.speakers_heard)
        self._ready.set(snapshot.is_ready)

    def interface_changed(self, change: str) -> None:
        """Something happened to an interface that may carry addresses."""
        self._interface_changes.labels(change).inc()

    def registered_anew(self, reason: str) -> None:
        """This speaker may have been taken for dead."""
        self._anew.labels(reason).inc()

    def withdrawn(self, seconds: float) -> None:
        """The wire confirmed a withdrawal."""
        self._withdrawals.observe(seconds)

    def wire_counters(self, counters: messages.Counters) -> None:
        """Totals of the wire process; Prometheus' counters take the difference."""
        for interface, totals in counters.interfaces.items():
            for name, total in totals.items():
                if name in self._wire:
                    self._wire[name].labels(interface).inc(self._increase((interface, name), total))
        for name, total in counters.heartbeats.items():
            counter = self._heartbeats.get(name) or self._heartbeats_dropped.labels(name)
            counter.inc(self._increase(("", name), total))
        for name, total in counters.bfd.items():
            counter = self._bfd.get(name) or self._bfd_dropped.labels(name)
            counter.inc(self._increase(("bfd", name), total))

    def _increase(self, key: tuple[str, str], total: int) -> int:
        before = self._wire_totals.get(key, 0)
        self._wire_totals[key] = total
        return max(total - before, 0)

    def conflict_seen(self, is_speakers: bool) -> None:
        """Another host used an address of ours: another speaker, as in every take-over, or a stranger."""
        self._conflicts.labels("speaker" if is_speakers else "stranger").inc()

    def defended(self) -> None:
        """An address was defended against a stranger."""
        self._defences.inc()

    def probed(self, result: str) -> None:
        """A run of probes for one address ended: Clear or InUse."""
        self._probed.labels(result).inc()

    def kernel_answers_now(self, count: int) -> None:
        """Addresses that the node's own kernel answers for."""
        self._kernel_answered.set(count)

    def proxy_awaited(self, result: str) -> None:
        """A wait ended: Ready, Refused (nothing listens there) or GaveUp (it never said 200)."""
        self._proxies.labels(result).inc()

    def conflicts_now(self, count: int) -> None:
        """How many addresses another machine uses."""
        self._conflicted.set(count)
