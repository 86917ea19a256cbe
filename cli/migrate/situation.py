"""Where a takeover stands: what there is of MetalLB and of Berth, as it was read at one moment. Pure.

All that a step has to know is in here, so that a takeover that was interrupted goes on from what is there.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from allocator.request import key_of
from cli.migrate.services import Fate, Judged
from cli.migrate.told import Body, Converted
from cli.seen import World
from crds.conditions import ConditionType, Reason
from crds.meta import LabelSelector
from kube.objects import ServiceKey

WITHOUT_METALLB = "berth.dev/without-metallb"
"""Label of nodes that MetalLB's speakers leave: the DaemonSet is changed so that it goes by it."""
WITH_BGP = "berth.dev/with-bgp"
"""Label of nodes that the converted BGPPeers are for, as long as MetalLB's speakers run on some nodes."""
PAUSED_BY_US = "berth.dev/paused-by"
"""Annotation of pools that a takeover paused, and may end the pause of."""
REPLICAS_BEFORE = "berth.dev/replicas-before"
"""Annotation of MetalLB's controller and of our allocator: how many there were."""
_COMPONENT = ("component", "app.kubernetes.io/component")
QUIET = frozenset({Reason.NoReadyEndpoint, Reason.NoAdvertisement})
"""Why an address is announced by nobody though all is well: MetalLB does not announce it either."""


@dataclass(frozen=True)
class Workloads:
    """Bodies of Deployments, DaemonSets and Pods in one namespace."""

    deployments: tuple[Body, ...] = ()
    daemon_sets: tuple[Body, ...] = ()
    pods: tuple[Body, ...] = ()

    def named(self, bodies: Iterable[Body], component: str) -> list[Body]:
        """Those of a component, by the labels of manifests and of charts."""
        return [one for one in bodies if component in (labels_of(one).get(key) for key in _COMPONENT)]

    def pods_of(self, body: Body) -> list[Body]:
        """Those that its selector chooses and that have not ended."""
        selector = LabelSelector.model_validate(body.get("spec", {}).get("selector") or {})
        return [one for one in self.pods if selector.matches(labels_of(one)) and not _has_ended(one)]


@dataclass(frozen=True)
class Situation:
    """`ours`: objects of our kinds by kind and name. `passwords`: keys of the Secret
    PASSWORDS. `nodes`: labels by name.
    `configurations`: FRRConfigurations that MetalLB wrote for nodes, by node: their namespaces."""

    converted: Converted
    world: World
    judged: tuple[Judged, ...] = ()
    metallb: Workloads = Workloads()
    berth: Workloads = Workloads()
    ours: Mapping[tuple[str, str], Body] = field(default_factory=dict)
    passwords: frozenset[str] = frozenset()
    nodes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    configurations: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    at: datetime = datetime(1970, 1, 1, tzinfo=UTC)
    """When nodes and MetalLB's pods were read."""

    @cached_property
    def controllers(self) -> list[Body]:
        """MetalLB's Deployments that write statuses."""
        return self.metallb.named(self.metallb.deployments, "controller")

    @cached_property
    def speakers(self) -> list[Body]:
        """MetalLB's DaemonSets that announce."""
        return self.metallb.named(self.metallb.daemon_sets, "speaker")

    @cached_property
    def allocators(self) -> list[Body]:
        """Berth's Deployments that write statuses."""
        return self.berth.named(self.berth.deployments, "allocator")

    def speaker_pods(self, node: str) -> list[Body]:
        """MetalLB's on that node, whatever their state."""
        return [
            pod
            for one in self.speakers
            for pod in self.metallb.pods_of(one)
            if pod.get("spec", {}).get("nodeName") == node
        ]

    def ready_seconds(self, pod: Body) -> float:
        """For how long it has been ready, by this machine's clock; negative: it is not."""
        conditions = pod.get("status", {}).get("conditions") or []
        ready = next((one for one in conditions if (one.get("type"), one.get("status")) == ("Ready", "True")), None)
        if ready is None:
            return -1.0
        since = str(ready.get("lastTransitionTime") or "")
        return (self.at - datetime.fromisoformat(since)).total_seconds() if since else float("inf")

    def has(self, node: str, label: str) -> bool:
        """Whether the Node has it."""
        return label in self.nodes.get(node, {})

    # What is ours

    def made(self, *kinds: str) -> list[tuple[str, str]]:
        """Converted objects of these kinds that are there."""
        return [
            (one.kind, one.name)
            for one in self.converted.made
            if one.kind in kinds and (one.kind, one.name) in self.ours
        ]

    def is_limited(self, peer: str) -> bool:
        """Whether that BGPPeer is for nodes of the label alone."""
        return WITH_BGP in (_selector(self.ours[("BGPPeer", peer)]).match_labels)

    def sessions_missing(self, node: str) -> list[str]:
        """Which sessions that the node should have by now are not up, with the last error."""
        facts = self.world.seen.facts.nodes.get(node)
        if node not in self.world.alive or (facts is not None and facts.is_excluded):
            return []
        found = []
        for _, peer in self.made("BGPPeer"):
            labels = {**self.nodes.get(node, {}), WITH_BGP: ""}
            session = self.world.sessions.get(peer, {}).get(node)
            if _selector(self.ours[("BGPPeer", peer)]).matches(labels) and not (session and session.is_established):
                found.append(f"{peer} ({session.last_error or session.state})" if session else peer)
        return found

    # Services

    @cached_property
    def not_recorded(self) -> list[ServiceKey]:
        """Services that show an address, are to keep it, and have no record of it yet."""
        kept = {one.key for one in self.judged if one.fate is Fate.KEEPS}
        return [key for key, shows, held in self._held() if key in kept and not shows <= held]

    @cached_property
    def losing(self) -> list[Judged]:
        """Services that would lose what they show, and hold nothing of ours yet."""
        holding = {key for key, _, held in self._held() if held}
        return [one for one in self.judged if one.fate is Fate.LOSES and one.key not in holding]

    def _held(self) -> list[tuple[ServiceKey, set[Any], set[Any]]]:
        shows = {one.key: set(one.shows) for one in self.judged}
        services = self.world.seen.observed.services.values()
        return [
            (
                key_of(one),
                shows.get(key_of(one), set()),
                {entry.address for entry in self.world.ledger.held_by_uid(one.metadata.uid)},
            )
            for one in services
            if key_of(one) in shows
        ]

    @cached_property
    def silent(self) -> list[str]:
        """Addresses that an L2Advertisement covers and no speaker of ours announces, with the reason."""
        observed, found = self.world.seen.observed, []
        for stored in observed.allocations.values():
            pool = self.world.pools.by_name.get(stored.claim.pool)
            labels = None if pool is None else pool.labels
            holders = [dict(holder.labels) for holder in stored.claim.holders]
            ads = [one.spec for one in observed.l2_advertisements.values()]
            is_covered = any(ad.covers_pool(stored.claim.pool, labels) and ad.covers_services(holders) for ad in ads)
            if not is_covered or stored.claim.releasing or self.world.announcers(stored.address):
                continue
            told = next((one for one in stored.conditions if one.type == ConditionType.Announced), None)
            if told is None or told.reason not in QUIET:
                found.append(f"{stored.address} ({told.reason if told else 'not yet'})")
        return sorted(found)


def labels_of(body: Body) -> Mapping[str, str]:
    """Of an object."""
    return body.get("metadata", {}).get("labels") or {}


def annotations_of(body: Body) -> Mapping[str, str]:
    """Of an object."""
    return body.get("metadata", {}).get("annotations") or {}


def _selector(peer: Body) -> LabelSelector:
    return LabelSelector.model_validate(peer.get("spec", {}).get("nodeSelector") or {})


def _has_ended(pod: Body) -> bool:
    return pod.get("status", {}).get("phase") in ("Succeeded", "Failed")
