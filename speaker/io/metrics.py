"""What a speaker counts. Counts what it is told and sets gauges from a snapshot when it is asked; judges nothing.

No label carries an address or a Service: a node may announce thousands.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from prometheus_client import Gauge

from kube.process.io.prometheus import Families, PrometheusMetrics, bounded, show
from speaker.bgp.model import SessionView
from speaker.bgp.status import by_state
from speaker.wire import messages

WIRE_COUNTERS = {
    "received": ("berth_arp_received_total", "ARP frames that the wire process read."),
    "replies": ("berth_arp_replies_sent_total", "ARP replies to those who asked for our addresses."),
    "gratuitous": ("berth_gratuitous_arp_sent_total", "Gratuitous ARP frames, which tell of a new owner."),
    "probes": ("berth_arp_probes_sent_total", "ARP probes for an address before its first announcement."),
    "conflicts": ("berth_arp_conflicts_seen_total", "ARP frames by which another machine uses an address of ours."),
    "silenced": ("berth_arp_silenced_total", "ARP frames not sent, since there was no permit to speak."),
    "failed": ("berth_arp_send_failures_total", "ARP frames that the kernel did not take."),
    "dropped": ("berth_arp_dropped_total", "ARP frames not answered, since there were too many."),
    "ndp_received": ("berth_ndp_received_total", "NDP packets that the wire process read."),
    "ndp_replies": ("berth_ndp_replies_sent_total", "Neighbor Advertisements to those who asked for our addresses."),
    "ndp_gratuitous": (
        "berth_ndp_unsolicited_sent_total",
        "Unsolicited Neighbor Advertisements, which tell of a new owner.",
    ),
    "ndp_probes": ("berth_ndp_probes_sent_total", "NDP probes for an address before its first announcement."),
    "ndp_conflicts": (
        "berth_ndp_conflicts_seen_total",
        "NDP packets by which another machine uses an address of ours.",
    ),
    "ndp_silenced": ("berth_ndp_silenced_total", "NDP packets not sent, since there was no permit to speak."),
    "ndp_failed": ("berth_ndp_send_failures_total", "NDP packets that the kernel did not take."),
    "ndp_dropped": ("berth_ndp_dropped_total", "NDP packets not answered, since there were too many."),
    "ping_received": ("berth_ping_received_total", "Echo requests for our addresses, where answerPing is on."),
    "ping_replies": ("berth_ping_replies_sent_total", "Echo replies."),
    "ping_silenced": ("berth_ping_silenced_total", "Echo replies not sent, since there was no permit to speak."),
    "ping_failed": ("berth_ping_send_failures_total", "Echo replies that the kernel did not take."),
    "ping_dropped": ("berth_ping_dropped_total", "Echo requests not answered, since there were too many."),
}
"""What the wire process counts on each interface: the metric, and what it says."""
HEARTBEAT_COUNTERS = {
    "sent": ("berth_heartbeats_sent_total", "Heartbeat packets sent."),
    "received": ("berth_heartbeats_received_total", "Heartbeat packets received and believed."),
    "failed": ("berth_heartbeat_send_failures_total", "Heartbeat packets that the kernel did not take."),
}
"""All other kinds are reasons why a packet was dropped."""
BFD_COUNTERS = {
    "sent": ("berth_bfd_packets_sent_total", "BFD packets sent."),
    "received": ("berth_bfd_packets_received_total", "BFD packets received that belong to a session."),
    "failed": ("berth_bfd_send_failures_total", "BFD packets that the kernel did not take."),
}
"""All other kinds are reasons why a packet was dropped."""
WITHDRAW_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


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
    bfd_up: Mapping[str, bool] = field(default_factory=dict)
    """By BGPPeer, whether its BFD session is up."""
    bgp_sessions: Mapping[str, SessionView] = field(default_factory=dict)
    """By BGPPeer."""
    speakers_known: int = 0
    speakers_alive: int = 0
    speakers_heard: int = 0
    is_ready: bool = False
    waits_for: str = ""
    refused: str = ""
    """Which writes of its own the API server refuses altogether."""
    is_healthy: bool = True


class SpeakerMetrics:
    """One process's metrics; `kube` counts what kube/ does."""

    def __init__(self) -> None:
        self.families = families = Families("speaker")
        self.kube = PrometheusMetrics(families)
        self._wire_totals: dict[tuple[str, str], int] = {}
        self._peers: set[str] = set()
        """The labels that peers have."""
        self._downs: dict[str, int] = {}
        """By BGPPeer, how often its session is known to have gone down."""
        self._ready = families.gauge("berth_speaker_ready", "1 while this node announces what it owns.")
        self._addresses = families.gauge(
            "berth_speaker_addresses",
            "Addresses by what this node does about them: Announced, OtherOwner, Probing, InUse (both of duplicate "
            "address detection), ProxyNotReady, or why no node can announce them.",
            "state",
        )
        self._members = families.gauge(
            "berth_members", "Speakers known, alive, and heard by heartbeats, as this node sees them.", "state"
        )
        self._anew = families.counter(
            "berth_speaker_registrations_total", "Registrations after the first: Paused, Removed or CutOff.", "reason"
        )
        self._withdrawals = families.histogram(
            "berth_speaker_withdraw_seconds",
            "From the order to withdraw to the wire process's confirmation.",
            WITHDRAW_SECONDS,
        )
        self._owner_changes = families.counter(
            "berth_owner_changes_total",
            "Addresses on layer 2 that this node took over from another, by what keeps that one from it: NodeFault, "
            "NotHeard, Stopped, Stopping, APIServerLost, NoInterface, NoEndpoint; or Preferred: this node comes first.",
            "reason",
        )
        self._proxies = families.counter(
            "berth_proxy_waits_total",
            "Waits for this node's proxy to serve a new endpoint, policy Local: Ready, Refused or GaveUp.",
            "result",
        )
        self._declare_interfaces(families)
        self._declare_conflicts(families)
        self._declare_sessions(families)
        self._wire = {key: families.counter(*said, "interface") for key, said in WIRE_COUNTERS.items()}
        self._heartbeats = {key: families.counter(*said) for key, said in HEARTBEAT_COUNTERS.items()}
        self._heartbeats_dropped = families.counter(
            "berth_heartbeats_dropped_total",
            "Heartbeat packets that did not count: unsigned (another key), malformed, version, unknown (no Speaker of "
            "that node yet), own, duplicate, replayed, retired, unproven (the first of each member), discarded (after "
            "a pause of this process).",
            "reason",
        )
        self._bfd = {key: families.counter(*said) for key, said in BFD_COUNTERS.items()}
        self._bfd_dropped = families.counter(
            "berth_bfd_packets_dropped_total", "BFD packets that did not count, by the reason (docs/bfd.md).", "reason"
        )

    def _declare_interfaces(self, families: Families) -> None:
        self._interfaces = families.gauge(
            "berth_interfaces", "Network interfaces of the node: Usable, or why not.", "state"
        )
        self._answerers = families.gauge(
            "berth_answering_interfaces",
            "Interfaces in use by what answers ARP and NDP there: Kernel, or why it is the speaker.",
            "state",
        )
        self._interface_changes = families.counter(
            "berth_interface_changes_total",
            "Changes of interfaces: Appeared, Vanished, Renamed, MacChanged, BecameUsable, BecameUnusable, "
            "NetworksChanged or IPv6Changed; those of containers are left out.",
            "change",
        )

    def _declare_conflicts(self, families: Families) -> None:
        self._conflicts = families.counter(
            "berth_address_conflicts_total",
            "Reports of others that use our addresses: speaker (as in every take-over) or stranger.",
            "by",
        )
        self._conflicted = families.gauge(
            "berth_conflicted_addresses", "Addresses of ours that another machine uses at present."
        )
        self._defences = families.counter(
            "berth_address_defences_total", "Announcements that defended an address (RFC 5227 §2.4)."
        )
        self._probed = families.counter(
            "berth_duplicate_address_probes_total",
            "Runs of probes before a first announcement that ended: Clear or InUse.",
            "result",
        )
        self._kernel_answered = families.gauge(
            "berth_kernel_answered_addresses",
            "Addresses announced on layer 2 that the node's own kernel answers for by itself.",
        )

    def _declare_sessions(self, families: Families) -> None:
        self._bgp_sessions = families.gauge("berth_bgp_sessions", "BGP sessions by state.", "state")
        self._bfd_sessions = families.gauge("berth_bfd_sessions", "BFD sessions by state.", "state")
        self._bgp_up = families.gauge(
            "berth_bgp_session_up", "1 while the BGP session with the peer is Established, else 0.", "peer"
        )
        self._bfd_up = families.gauge(
            "berth_bfd_session_up", "1 while the BFD session with the peer is Up, else 0.", "peer"
        )
        self._bgp_routes = families.gauge(
            "berth_bgp_routes_sent", "Routes sent and not withdrawn in the session.", "peer"
        )
        self._bgp_downs = families.counter(
            "berth_bgp_session_downs_total", "How often a BGP session that was up went down.", "peer"
        )

    def page(self, snapshot: Snapshot) -> bytes:
        """For Prometheus."""
        self.show(snapshot)
        return self.families.page()

    def show(self, snapshot: Snapshot) -> None:
        """Set the gauges."""
        show(self._addresses, snapshot.addresses)
        show(self._interfaces, snapshot.interfaces)
        show(self._answerers, snapshot.answerers)
        show(self._bfd_sessions, snapshot.bfd_sessions)
        show(self._bgp_sessions, by_state(snapshot.bgp_sessions.values()))
        self._show_up(self._bgp_up, {peer: view.is_up for peer, view in snapshot.bgp_sessions.items()})
        self._show_up(self._bfd_up, snapshot.bfd_up)
        self._show_peers(snapshot.bgp_sessions)
        self._members.labels("known").set(snapshot.speakers_known)
        self._members.labels("alive").set(snapshot.speakers_alive)
        self._members.labels("heard").set(snapshot.speakers_heard)
        self._ready.set(snapshot.is_ready)

    def _show_peers(self, views: Mapping[str, SessionView]) -> None:
        """Nothing stays of peers that are gone: they may come and go for ever."""
        labels = bounded(views)
        for label in self._peers - set(labels.values()):
            self._bgp_downs.remove(label)
        self._peers = set(labels.values())
        self._downs = {peer: self._downs.get(peer, 0) for peer in views}
        self._bgp_routes.clear()
        for peer, label in labels.items():
            before, self._downs[peer] = self._downs[peer], views[peer].downs
            self._bgp_routes.labels(label).inc(views[peer].routes_sent)
            self._bgp_downs.labels(label).inc(max(0, views[peer].downs - before))

    def _show_up(self, gauge: Gauge, up: Mapping[str, bool]) -> None:
        """Peers that share a label are up when all of them are."""
        shown: dict[str, bool] = {}
        for peer, label in bounded(up).items():
            shown[label] = shown.get(label, True) and up[peer]
        show(gauge, shown)

    def owner_changed(self, reason: str, count: int) -> None:
        """So many addresses were taken over for that reason."""
        self._owner_changes.labels(reason).inc(count)

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
