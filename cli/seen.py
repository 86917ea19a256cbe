"""What was read of a cluster, once, and what Berth's own functions make of it. Pure.

The allocator's pure functions judge here what they judge there: pools, who holds what, what speakers report, why nobody
announces an address. Nothing is decided anew.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

from allocator import keepers
from allocator.claims import Holder
from allocator.ledger import Ledger
from allocator.objects import StoredAllocation
from allocator.observed import Observed
from allocator.ownership import Ownership
from allocator.request import InvalidRequest, Request, our_condition, request_of
from allocator.space.pools import Pools, compile_pools
from allocator.status.entries import Announcement, Cause, Fault, Session
from allocator.status.reports import Reports
from allocator.status.segments import Segments
from allocator.status.speaker import SILENT_SECONDS
from allocator.status.unannounced import Evidence, alike, unannounced
from cli.details import Report, RoutesReport
from cli.facts import Facts
from crds.addresses import IPAddress
from crds.conditions import ConditionType, Reason
from crds.names import ALLOCATOR_LEASE, FINALIZER, FINALIZER_BESIDE_CLOUD, allocation_name, speaker_lease
from crds.observation import Observation
from kube.informer.store import ObjectKey
from kube.objects import EndpointSlice, Lease, Service, ServiceKey

LEADER_SECONDS = 30.0
CLOCK_SECONDS = 120.0
"""A Lease that is so much off has another clock, unless its holder is dead: an allocator says so within a minute."""
"""Twice what the Lease of the leading allocator lasts by default: for so long it may change hands."""


@dataclass(frozen=True, slots=True)
class Gap:
    """What could not be read, and why: `resource` as kubectl names it, with its group."""

    resource: str
    why: str
    is_unknown: bool = False
    """The API server knows no such kind."""

    def __str__(self) -> str:
        return f"{self.resource}: {self.why}"


@dataclass(frozen=True)
class Seen:
    """`leases`: those of Berth's namespace, None where they can't be read. `reports`: by name, in detail. `facts`: as
    speakers know them. `endpoints`: of the Services that were asked about. `now`: UTC."""

    observed: Observed
    leases: Mapping[str, Lease] | None
    reports: Mapping[str, Report]
    now: datetime
    facts: Facts = field(default_factory=Facts)
    gaps: tuple[Gap, ...] = ()
    endpoints: Mapping[ServiceKey, tuple[EndpointSlice, ...]] = field(default_factory=dict)
    is_announced_by_others: bool = False
    """Berth is installed without speakers (speaker.enabled: false): another program announces."""
    routes: Mapping[str, RoutesReport] = field(default_factory=dict)
    """What reports say of routes, by name; where that was asked for."""

    def held_by(self, key: ServiceKey) -> list[str]:
        """The addresses that a Service holds, by the records."""
        service = self.observed.services.get(ObjectKey(key.namespace, key.name))
        uid = service.metadata.uid if service is not None else ""
        return [str(one.address) for one in self.observed.allocations.values() if one.claim.held_by(uid)]


JUDGED_BY = (
    "services",
    "nodes",
    "ippools",
    "ipallocations",
    "l2advertisements",
    "bgpadvertisements",
    "bgppeers",
    "speakers",
    "speakerreports",
)
"""Without one of these what follows would be guessed."""


@dataclass
class World:
    """What follows from it."""

    seen: Seen
    reports: Reports = field(default_factory=Reports)
    segments: Segments = field(default_factory=Segments)
    _unannounced: dict[Hashable, Observation] = field(default_factory=dict, init=False)
    """Why nobody announces them, of addresses of which no speaker has said a word."""

    def __post_init__(self) -> None:
        observed = self.seen.observed
        for key, speaker in observed.speakers.items():
            self.reports.speaker_seen(key.name, speaker)
            self.segments.speaker_seen(key.name, speaker)
        for key, one in observed.slices.items():
            self.reports.slice_seen(key.name, None, one)

    @cached_property
    def pools(self) -> Pools:
        """As the allocator compiles them."""
        observed = self.seen.observed
        return compile_pools(observed.pools.values(), keepers.cluster_networks(observed.service_cidrs.values()))

    @cached_property
    def ledger(self) -> Ledger:
        """Who holds what, by the records."""
        observed = self.seen.observed
        return Ledger.rebuilt(self.pools, keepers.everything(observed), observed.allocations.values())

    def stored(self, address: IPAddress) -> StoredAllocation | None:
        """The record of an address; None where there is none."""
        return self.seen.observed.allocations.get(ObjectKey(None, allocation_name(address)))

    def service(self, key: ServiceKey) -> Service | None:
        """None where there is none of this name."""
        return self.seen.observed.services.get(ObjectKey(key.namespace, key.name))

    def wish_of(self, holder: Holder) -> Request | None:
        """What another holder of an address asks for now."""
        service = self.service(holder.key)
        if service is None or service.metadata.uid != holder.uid:
            return None
        request = request_of(service)
        return None if isinstance(request, InvalidRequest) else request

    @property
    def blind(self) -> tuple[Gap, ...]:
        """What could not be read and must be known: nothing is to be concluded from its being empty."""
        return tuple(gap for gap in self.seen.gaps if gap.resource.partition(".")[0] in JUDGED_BY)

    # Who lives

    def lease_age(self, name: str) -> float | None:
        """Seconds since it was renewed; None where it is not there, or says nothing."""
        at = self._renewals.get(name)
        return None if at is None else (self._clock - at).total_seconds()

    @cached_property
    def _renewals(self) -> Mapping[str, datetime]:
        leases = self.seen.leases or {}
        return {key: at for key, one in leases.items() if (at := _time(one.spec.renew_time)) is not None}

    @cached_property
    def _clock(self) -> datetime:
        """What time it is: this machine's clock may be behind those of the nodes, so half of them overrule it; one
        node's that is ahead does not."""
        times = sorted(self._renewals.values())
        return max(self.seen.now, times[(len(times) - 1) // 2]) if times else self.seen.now

    @cached_property
    def other_clocks(self) -> Mapping[str, float]:
        """Nodes whose clock is so many seconds ahead, or behind where that is negative: their Leases say so. One that
        is behind looks silent; but an allocator, which goes by its own clock, hears it."""
        ages = {key.name: self.lease_age(speaker_lease(key.name)) for key in self.seen.observed.speakers}
        off = {node: -age for node, age in ages.items() if age is not None and abs(age) > CLOCK_SECONDS}
        is_led = not self.allocator_trouble()
        return {node: by for node, by in off.items() if by > 0 or (is_led and self.ready_of(node)[0] == "True")}

    @cached_property
    def silent(self) -> frozenset[str]:
        """Nodes whose speaker nothing is heard of: its Lease says so, or the allocator did."""
        return frozenset(key.name for key in self.seen.observed.speakers if self._is_silent(key.name))

    def _is_silent(self, node: str) -> bool:
        age = self.lease_age(speaker_lease(node))
        if age is not None and node not in self.other_clocks:
            return age > SILENT_SECONDS
        return self.ready_of(node)[1] == Reason.NodeSilent

    def ready_of(self, node: str) -> tuple[str, str, str]:
        """Status, reason and message of a Speaker's condition Ready; empty texts where it has none."""
        return self.speaker_condition(node, ConditionType.Ready)

    def speaker_condition(self, node: str, kind: str) -> tuple[str, str, str]:
        """The same of any condition."""
        speaker = self.seen.observed.speakers.get(ObjectKey(None, node))
        given = speaker.status.conditions if speaker is not None else None
        found = [one for one in given if isinstance(one, dict)] if isinstance(given, list) else []
        one = next((each for each in found if each.get("type") == kind), {})
        return str(one.get("status", "")), str(one.get("reason", "")), str(one.get("message", ""))

    @cached_property
    def not_alive(self) -> Mapping[str, str]:
        """Of each Speaker, why it announces nothing; empty for one that lives and serves."""
        speakers = self.seen.observed.speakers.values()
        return {one.node: one.not_alive(one.node in self.silent) or self._not_ready(one.node) for one in speakers}

    def _not_ready(self, node: str) -> str:
        status, reason, message = self.ready_of(node)
        return f"is not ready ({reason}: {message})" if status == "False" else ""

    def allocator_trouble(self) -> str:
        """Why no allocator leads; empty where one does, or it can't be told."""
        if self.seen.leases is None:
            return ""
        age = self.lease_age(ALLOCATOR_LEASE)
        advice = "look at the pods of the Deployment berth-allocator"
        if age is None:
            return f"No allocator has ever led here (there is no Lease {ALLOCATOR_LEASE}): {advice}"
        if age > LEADER_SECONDS:
            return f"No allocator leads: its Lease was renewed {age:.0f} s ago. Services get no addresses: {advice}"
        return ""

    # Who announces

    def announcers(self, address: IPAddress) -> Mapping[str, Announcement]:
        """By node, those that are believed."""
        return {node: how for node, how in self.reports.announcers.of(address).items() if node not in self.silent}

    @cached_property
    def sessions(self) -> Mapping[str, Mapping[str, Session]]:
        """By BGPPeer and node."""
        names = [one.name for one in self.seen.observed.peers.values()]
        return {name: self.reports.bgp.sessions(name) for name in names}

    @cached_property
    def peer_faults(self) -> Mapping[str, Mapping[str, Sequence[Fault]]]:
        """What nodes find wrong with a BGPPeer, by it and node."""
        return {name: self.reports.bgp.faults("BGPPeer", name) for name in self.sessions}

    def sessions_up(self, peer: str) -> int:
        """How many of a BGPPeer's sessions are established, by speakers that live."""
        return sum(one.is_established and node not in self.silent for node, one in self.sessions[peer].items())

    @cached_property
    def alive(self) -> frozenset[str]:
        """Nodes whose speakers live."""
        return frozenset(node for node, why in self.not_alive.items() if not why)

    def unannounced(self, stored: StoredAllocation) -> Observation:
        """Why nobody announces an address."""
        told_of = (self.reports.causes, self.reports.sightings)
        if self.seen.facts.allocations or any(one.of(stored.address) for one in told_of):
            return unannounced(self.evidence(stored))
        key = alike(stored.claim)
        found = self._unannounced.get(key)
        if found is None:
            found = self._unannounced[key] = unannounced(self.evidence(stored))
        return found

    def evidence(self, stored: StoredAllocation) -> Evidence:
        """What is known of an address that nobody announces. What a speaker would tell is found by its own function
        where the address was read in full: so nobody has to wait until one has told it."""
        found = self.seen.facts.cause(stored.address, self.alive)
        told = self.reports.causes.of(stored.address)
        if found is not None:
            told = {"": Cause(str(stored.address), found.reason.value, found.message)}
        return Evidence(
            stored.claim,
            self.pools,
            self.seen.observed.advertisements(),
            self.not_alive,
            told,
            self.sessions,
            self.reports.sightings.of(stored.address),
            self.peer_faults,
        )


def ownership_of(service: Service) -> Ownership:
    """Which Services are served, as far as this one shows it: a class that bears our condition is the one."""
    known = our_condition(service)
    named = service.spec.load_balancer_class if known is not None else None
    finalizers = (FINALIZER, FINALIZER_BESIDE_CLOUD)
    return Ownership(named, FINALIZER, finalizers)


def _time(text: str | None) -> datetime | None:
    """None for what is no time with a zone."""
    try:
        found = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return found if found.tzinfo is not None else None
