"""What exists only while this process leads: an Assigner, and those who serve it.

    changes ──> Assigner ──step──> Writer ──patch──> API server
       └──────> BarrierLoop, Reporter ─────────────────┘

Built from full lists, and fed by every change after them. Decides nothing: the pure modules do.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable

from allocator import keepers
from allocator.assigner import Assigner
from allocator.io.barrierloop import BarrierLoop
from allocator.io.departurewriter import DepartureWriter
from allocator.io.metrics import AllocatorMetrics, Snapshot
from allocator.io.reporter import Reporter
from allocator.io.writer import Writer
from allocator.notices import Notice, ObjectNotice
from allocator.objects import Advertisement, StoredAllocation, StoredHelper, StoredPeer
from allocator.observed import Observed
from allocator.options import Options
from allocator.ownership import Ownership
from allocator.release.confirmations import Confirmation
from allocator.release.departures import Departures, StoredDeparture
from allocator.release.speakers import Liveness, SpeakerState
from allocator.space.keptout import Entries
from allocator.space.pools import Pools, compile_pools
from allocator.status.slices import Slice
from crds.types import IPPool
from kube.informer.io.informer import Change
from kube.informer.store import ObjectKey
from kube.io.client import Client
from kube.objects import EndpointSlice, Namespace, Node, Service, ServiceCIDR, ServiceKey


class Leadership:
    """One term as leader. `may_write` says whether the Lease is surely ours still; `notify` receives what happens to
    Services. `observed` must hold full lists, read since the Lease was ours; but for the speakers' reports, of which
    `has_reports` says whether they have been read at all."""

    def __init__(
        self,
        client: Client,
        options: Options,
        metrics: AllocatorMetrics,
        observed: Observed,
        departures: Departures,
        *,
        may_write: Callable[[], bool],
        has_reports: Callable[[], bool],
        notify: Callable[[Notice | ObjectNotice], None],
    ) -> None:
        """From full lists to a running state, without a gap: no event is handled in between."""
        self._observed = observed
        self.assigner = Assigner(
            ownership=Ownership(options.load_balancer_class, options.finalizer, options.former_finalizers),
            draw=random.randrange,
        )
        self.assigner.start(
            pools=self._compiled_pools(),
            kept_out=keepers.everything(observed),
            namespaces={key.name: one.metadata.labels for key, one in observed.namespaces.items()},
            allocations=observed.allocations.values(),
            services=observed.services.values(),
            now=time.monotonic(),
        )
        self.writer = Writer(
            client, self.assigner, metrics, concurrency=options.concurrency, may_write=may_write, notify=notify
        )
        self._barrier = BarrierLoop(
            client,
            self.assigner,
            observed,
            departures,
            options,
            notify=notify,
            on_progress=self.writer.nudge,
            on_passed=metrics.release_passed,
        )
        self._reporter = Reporter(
            client,
            self.assigner,
            observed,
            self._barrier,
            self.writer,
            has_reports,
            notify,
            has_speakers=options.has_speakers,
        )
        self._reporter.everything_changed()
        self._departures = DepartureWriter(client, observed, departures)

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.writer.run())
            tasks.create_task(self._barrier.run())
            tasks.create_task(self._reporter.run())
            tasks.create_task(self._departures.run())

    def snapshot(self, now: float) -> Snapshot:
        """How things stand, for the metrics."""
        speakers = self._observed.speakers.values()
        lives = [(one, one.liveness(self._barrier.is_silent(one.node))) for one in speakers]
        return Snapshot(
            self.assigner,
            self._reporter.states.counts(),
            Counter(liveness for _, liveness in lives),
            sum(liveness is Liveness.ALIVE and not one.witnesses for one, liveness in lives),
            now,
        )

    # Changes, after `observed` shows them

    def service_changed(self, change: Change[Service]) -> None:
        """From the informer; answers to our own writes come by the Writer."""
        key = ServiceKey(change.key.namespace or "", change.key.name)
        if not self._observed.service_cidrs:
            self._keep_out("ClusterIPs", str(key), keepers.of_cluster_ips(change.new))
        if change.new is not None:
            self.assigner.service_seen(change.new)
        elif change.old is not None:
            self.assigner.service_gone(key, change.old.metadata.uid)
        before, now = (None if one is None else one.spec.external_ips for one in (change.old, change.new))
        if (before or ()) != (now or ()):
            self._keep_out("Service", str(key), keepers.of_service(change.new))
        self._reporter.service_changed(key)
        self.writer.measure(key)
        self.writer.nudge()

    def allocation_changed(self, change: Change[StoredAllocation]) -> None:
        """It may be our own write, or somebody else's hand; or a mark, which the barrier waits for."""
        if change.new is not None:
            self.assigner.allocation_seen(change.new, time.monotonic())
            self._reporter.allocation_changed(change.new)
        elif change.old is not None:
            self.assigner.allocation_gone(change.old.address, change.old.uid)
            self._reporter.allocation_gone(change.old.address)
        self.writer.nudge()
        self._barrier.nudge()

    def namespace_changed(self, change: Change[Namespace]) -> None:
        """Its labels decide which pools its Services may use."""
        if change.new is not None:
            self.assigner.namespace_seen(change.key.name, change.new.metadata.labels)
        else:
            self.assigner.namespace_gone(change.key.name)
        self.writer.nudge()

    def pool_changed(self, change: Change[IPPool]) -> None:
        """All pools are compiled anew: each may overlap any other. A change of its status changes nothing."""
        if _is_status_only(change):
            return
        self._pools_changed()

    def service_cidrs_changed(self, change: Change[ServiceCIDR]) -> None:
        """Other networks are for cluster IPs, and so in no pool."""
        if change.old is None or change.new is None or change.old.spec != change.new.spec:
            self._pools_changed()

    def _pools_changed(self) -> None:
        self.assigner.set_pools(self._compiled_pools())
        self._reporter.everything_changed()
        self.writer.nudge()

    def _compiled_pools(self) -> Pools:
        networks = keepers.cluster_networks(self._observed.service_cidrs.values())
        return compile_pools(self._observed.pools.values(), networks)

    def api_endpoints_changed(self, change: Change[EndpointSlice]) -> None:
        """The API server has other addresses, which no Service gets."""
        self._keep_out("EndpointSlice", change.key.name, keepers.of_api_server(change.new))

    def _keep_out(self, kind: str, name: str, entries: Entries) -> None:
        self.assigner.keep_out(keepers.source(kind, name), entries)
        self.writer.nudge()

    def _keep_out_what_speaker_sees(self, node: str) -> None:
        key = ObjectKey(None, node)
        entries = keepers.of_speaker(self._observed.speakers.get(key), key in self._observed.nodes)
        self._keep_out("Speaker", node, entries)

    def speaker_changed(self, change: Change[SpeakerState]) -> None:
        """Another process has registered, or the one that there was has said goodbye; or it sees other networks."""
        self._keep_out_what_speaker_sees(change.key.name)
        self._reporter.speaker_changed(change.key.name)
        self._barrier.nudge()
        if change.new is None:
            self._departures.nudge()

    def confirmation_changed(self, _: Change[Confirmation]) -> None:
        """A release may have passed."""
        self._barrier.nudge()

    def departure_changed(self, change: Change[StoredDeparture]) -> None:
        """Its deletion is an operator's word."""
        if change.new is None:
            self._barrier.nudge()

    def slice_changed(self, change: Change[Slice]) -> None:
        """It announces something else, or sees or finds something wrong."""
        self._reporter.slice_changed(change)

    def node_changed(self, change: Change[Node]) -> None:
        """A Node that comes or goes: a speaker without a Node counts as dead. No Service gets an address of a Node."""
        self._keep_out("Node", change.key.name, keepers.of_node(change.new))
        if change.old is None or change.new is None:
            self._keep_out_what_speaker_sees(change.key.name)
            self._barrier.nudge()

    def advertisement_changed(self, change: Change[Advertisement]) -> None:
        """Another spec may cover other addresses."""
        if change.old is None or change.new is None or change.old.generation != change.new.generation:
            self._reporter.everything_changed()

    def helper_changed(self, _: Change[StoredHelper]) -> None:
        """A BFDProfile or a Community: its status is looked at in each round."""

    def peer_changed(self, _: Change[StoredPeer]) -> None:
        """Its status is looked at again."""
        self._reporter.peers_changed()


def _is_status_only(change: Change[IPPool]) -> bool:
    old, new = change.old, change.new
    if old is None or new is None:
        return False
    return old.metadata.generation == new.metadata.generation and old.metadata.labels == new.metadata.labels
