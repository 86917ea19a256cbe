"""The allocator's state and all its steps: what is seen goes in, the next write of a key comes out.

    service_seen, service_gone, allocation_seen, allocation_gone, set_pools, namespace_seen      observations
    step(key) -> Write | None                                                                    the next thing to do
    barrier_passed                                                                             from the barrier

Level-based: a step is computed from what is known now, whatever happened before; so it does not matter where a
predecessor died, or which write was lost. Serial and synchronous: two addresses are never decided at the same time, and
what is decided is in the ledger before anything is written. No I/O, no waiting; `now` is monotonic seconds.

A Service's way:  step(Service) reserves → step(address) creates the IPAllocation → step(Service) writes its status
and back:         step(Service) marks → step(address) writes `releasing` → barrier → step(address) deletes the record
                  → step(Service) takes the finalizer off → the address is free
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace

from allocator import notices
from allocator.adoption import adopt, keep_shown
from allocator.claims import Claim
from allocator.deciding import Deciding, Key
from allocator.ledger import Entry, Ledger
from allocator.notices import Notice
from allocator.objects import StoredAllocation
from allocator.overwrites import QUIET_SECONDS, Overwrites
from allocator.ownership import Ownership
from allocator.policy import Draw
from allocator.publication import published
from allocator.reachability import Reachability
from allocator.rejections import unrecorded_holders
from allocator.release.barrier import Mark
from allocator.request import (
    key_of,
    our_condition,
    present_addresses,
)
from allocator.services import KnownServices
from allocator.space.keptout import Entries
from allocator.space.pools import Labels, Pools
from allocator.stage import Stage
from allocator.status.service import (
    Wanted,
    announced_patch,
    bare,
    hidden_before_it_leaves,
    service_patch,
    wanted_of,
)
from allocator.waiting import Waiting
from allocator.wakeups import Wakeups
from allocator.workqueue import WorkQueue
from allocator.writes import PatchService, ReadService, Write, record_write
from crds.addresses import IPAddress
from crds.observation import Observation
from kube.objects import Service, ServiceKey

NOT_WRITTEN = "NotWritten"
"""In place of a reason: the API server took no record or no status of the Service."""

MOST_WORDS = 500
"""Characters of an API server's refusal that are passed on."""


class Assigner:
    """Lives as long as a leadership: `start` builds it from full lists."""

    def __init__(self, *, ownership: Ownership, draw: Draw) -> None:
        self._ownership = ownership
        self.ledger = Ledger()
        self.waiting = Waiting()
        self.queue: WorkQueue[Key] = WorkQueue()
        self.services = KnownServices(ownership)
        self.notices: list[Notice] = []
        self.marks: dict[IPAddress, Mark] = {}
        """Releases that are written and wait for the barrier."""
        self._deleted: set[str] = set()
        """uids of IPAllocations that we deleted, until the watch says so too."""
        self._wakeups = Wakeups(self.ledger, self.waiting)
        self._deciding = Deciding(
            ownership=ownership,
            draw=draw,
            ledger=self.ledger,
            services=self.services,
            waiting=self.waiting,
            queue=self.queue,
            wakeups=self._wakeups,
            notices=self.notices,
        )
        self._overwrites = Overwrites(ownership.class_name)
        self.reachability = Reachability(self.ledger, self.services)

    # Observations

    def start(
        self,
        *,
        pools: Pools,
        kept_out: Iterable[tuple[str, Entries]] = (),
        namespaces: Mapping[str, Labels],
        allocations: Iterable[StoredAllocation],
        services: Iterable[Service],
        now: float,
    ) -> None:
        """Take in full lists. Services that show or hold an address are settled before any other gets one.

        `kept_out`: what each source keeps out of the pools (allocator.keepers).
        """
        self.services.set_namespaces(namespaces)
        self.ledger.set_pools(pools)
        for source, entries in kept_out:
            self.ledger.keep_out(source, entries)
        for recorded in allocations:
            self._observe(recorded, now)
            self.queue.add(recorded.address)
        by_age = sorted(services, key=lambda one: one.metadata.creation_timestamp or "")
        for service in by_age:
            self.services.put(service)
            labels = self.services.labels(key_of(service).namespace) or {}
            if self._ownership.is_ours(service):
                for address in adopt(service, labels, self.ledger):
                    self.queue.add(address)
        for address in self.services.shown():
            if address not in self.ledger:
                keep_shown(address, self.services.still_showing(address), self.ledger)
        settled = [one for one in by_age if present_addresses(one) or self.ledger.held_by_uid(one.metadata.uid)]
        for service in settled:
            self._deciding.decide(key_of(service))
        orphans = [holder.key for entry in self.ledger for holder in entry.claim.holders]
        for key in (*map(key_of, settled), *orphans, *map(key_of, by_age)):
            self.queue.add(key)

    def set_pools(self, pools: Pools) -> None:
        """Other pools: Services that hold an address or wait for one are looked at again."""
        self.ledger.set_pools(pools)
        self._deciding.adopt_shown()
        for entry in self.ledger:
            self._look_at_holders(entry)
        for key in self.waiting.everybody():
            self.queue.add(key)
        for key in self.services.naming_external_ips():
            self.queue.add(key)

    def keep_out(self, source: str, entries: Entries) -> None:
        """A source keeps other addresses out of the pools than before: costs what changed, not what there is."""
        for address in self.ledger.keep_out(source, entries):
            entry = self.ledger.get(address)
            if entry is not None:
                self._look_at_holders(entry)
            self._wakeups.of_kept_out(address)
        self._wakeups.settle(self._ask)

    def namespace_seen(self, name: str, labels: Labels) -> None:
        """Other labels may open or close a pool (namespaceSelector) to its Services."""
        if self.services.put_namespace(name, labels) and self.ledger.pools.select_by_namespace_labels:
            self._deciding.adopt_shown()
            for key in self.services:
                if key.namespace == name:
                    self.queue.add(key)

    def namespace_gone(self, name: str) -> None:
        """Its Services go one by one; they are seen by themselves."""
        self.services.remove_namespace(name)

    def service_seen(self, service: Service) -> None:
        """From a watch or an answer. What is older than what we know is ignored."""
        known, is_news = self.services.get(key_of(service)), self.services.is_news(service)
        self._put(service)
        if not is_news:
            return
        if known is not None and known.metadata.uid != service.metadata.uid:
            self._vanished(known)
        elif known is not None and self._ownership.is_held(known) and not self._ownership.is_held(service):
            self._notice_lost_finalizer(known)
        elif known is not None and known.spec.ports != service.spec.ports:
            self._wake_for_ports_of(service.metadata.uid)
        self.queue.add(key_of(service))

    def _wake_for_ports_of(self, uid: str) -> None:
        """Ports that a holder has, though no record says so, keep others from joining: it may have let go of some."""
        for entry in self.ledger.held_by_uid(uid):
            if entry.claim.others(uid):
                self._wakeups.of_changed(entry.claim)

    def service_gone(self, key: ServiceKey, uid: str) -> None:
        """The Service with that uid is no more, as a watch says."""
        known = self.services.remove(key, uid)
        if known is not None:
            self._vanished(known)
            self.queue.add(key)

    def service_written(self, service: Service) -> None:
        """The answer to our own patch: as `service_seen`, and it is no surprise that a finalizer went."""
        known = self.services.get(key_of(service))
        self._overwrites.arrived(service.metadata.uid)
        if known is None or known.metadata.uid != service.metadata.uid or not self.services.is_news(service):
            return
        self._put(service)
        if not self._ownership.is_held(service):
            self.services.forget_holder(service.metadata.uid)
        held = {entry.address for entry in self.ledger.held_by_uid(service.metadata.uid)}
        if held != set(present_addresses(service)) or not self._ownership.is_ours(service):
            # There is more to do: an address to leave, or a finalizer to take off.
            self.queue.add(key_of(service), first=True)

    def status_writer_found(self, service: Service, writer: str) -> None:
        """Who else writes this status, as the answer to a ReadService says: "" when it names nobody."""
        self.service_seen(service)
        self._overwrites.found_writer(service.metadata.uid, writer)
        self.queue.add(key_of(service))

    def _put(self, service: Service) -> None:
        known = self.services.get(key_of(service))
        self.services.put(service)
        if known is not None:
            self._look_at_lingering(known)

    def allocation_seen(self, recorded: StoredAllocation, now: float) -> None:
        """An IPAllocation from a watch."""
        entry = self.ledger.get(recorded.address)
        if recorded.uid in self._deleted:
            return
        if entry is not None and entry.recorded is not None:
            if recorded.resource_version == entry.recorded.resource_version:
                self.ledger.keep_one_copy(entry, recorded)
            if recorded.resource_version <= entry.recorded.resource_version:
                return
            if entry.recorded.claim == entry.claim != recorded.claim:
                self.notices.extend(notices.of_tampering(entry, "was edited by hand"))
        self._observe(recorded, now)

    def allocation_written(self, recorded: StoredAllocation, now: float) -> None:
        """The answer to our own create or patch, or what is there instead."""
        entry = self.ledger.get(recorded.address)
        known = entry.recorded if entry is not None else None
        if known is None or recorded.resource_version > known.resource_version:
            self._observe(recorded, now)

    def allocation_gone(self, address: IPAddress, uid: str) -> None:
        """A record is not there any more: by us, or by hand, and then it is written again."""
        if uid in self._deleted:
            self._deleted.discard(uid)
            return
        entry = self.ledger.get(address)
        if entry is None or entry.recorded is None or entry.recorded.uid != uid:
            return
        if entry.stage is not Stage.PASSED:
            self.notices.extend(notices.of_tampering(entry, "was deleted by hand"))
        self._record_gone(entry)

    def allocation_deleted(self, address: IPAddress, uid: str) -> None:
        """Our own delete, after the barrier, is through."""
        entry = self.ledger.get(address)
        if entry is None or entry.recorded is None or entry.recorded.uid != uid:
            return
        self._deleted.add(uid)
        self._record_gone(entry)

    def _record_gone(self, entry: Entry) -> None:
        self.marks.pop(entry.address, None)
        self.ledger.record_gone(entry)
        self._look_at_holders(entry)
        self.queue.add(entry.address)

    def create_sent(self, address: IPAddress) -> None:
        """From now on the record may exist, whatever becomes of the answer."""
        entry = self.ledger.get(address)
        if entry is not None:
            self.ledger.create_sent(entry)

    def create_refused(self, address: IPAddress) -> None:
        """The API server said for sure that it did not create it."""
        entry = self.ledger.get(address)
        if entry is not None:
            self.ledger.create_refused(entry)

    def record_refused(self, written: Claim, why: str, now: float) -> bool:
        """The API server refuses the record as it was written, and would again; `why` in its words.

        The holder that it is about leaves, or stays as it is recorded, and is told so. Of several that are new nobody
        knows yet: they are written one by one. False when no holder can be the cause, as of a release, or of who left.
        """
        entry = self.ledger.get(written.address)
        if entry is None or written.releasing:
            return False
        recorded = entry.recorded.claim if entry.recorded is not None else None
        suspects = unrecorded_holders(written, recorded)
        if suspects:  # else it is tried again later each time
            self.queue.add(entry.address)
        if len(suspects) == 1:
            self._deciding.evict(
                entry, suspects[0], recorded, f"{entry.address} with this Service: {why[:MOST_WORDS]}", now
            )
        entry.is_one_by_one = len(suspects) > 1
        return bool(suspects)

    def barrier_passed(self, mark: Mark) -> None:
        """Nobody can announce it any more, for this very mark."""
        entry = self.ledger.get(mark.address)
        if entry is None or entry.recorded is None or entry.recorded.mark != (mark.uid, mark.generation):
            return
        self.ledger.barrier_passed(entry)
        self.marks.pop(mark.address, None)
        self.queue.add(mark.address)

    def lacks_address(self, service: Service) -> bool:
        """Whether it is to have an address, and shows none."""
        return self._ownership.is_ours(service) and not present_addresses(service)

    def pending(self) -> Counter[str]:
        """Services that lack an address, by reason; and those about which something could not be written."""
        unwritten: set[ServiceKey] = set()
        for key in self.queue.failing():
            if isinstance(key, ServiceKey):
                unwritten.add(key)
            elif (entry := self.ledger.get(key)) is not None:
                unwritten.update(holder.key for holder in entry.claim.holders)
        pending = self.waiting.reasons()
        pending[NOT_WRITTEN] = sum(self.services.get(key) is not None and key not in self.waiting for key in unwritten)
        return pending

    def wake(self, now: float) -> None:
        """Hand on addresses that have rested long enough."""
        for address in self.ledger.wake(now):
            self._wakeups.of_rested(address)
        self._wakeups.settle(self._ask)

    def _observe(self, recorded: StoredAllocation, now: float) -> None:
        known = self.ledger.get(recorded.address)
        before = () if known is None else known.claim.holders
        if known is not None and known.recorded is not None:
            before += known.recorded.claim.holders  # those that left a shared address: only now is nothing recorded
        is_news = (
            known is None
            or known.recorded is None
            or known.recorded.claim != recorded.claim
            or known.recorded.first_announced != recorded.first_announced  # it may be published now
        )
        entry = self.ledger.observe(recorded)
        self._note_mark(entry, recorded, now)
        if entry.claim != recorded.claim:
            self.queue.add(recorded.address)
        if not is_news:
            return
        for holder in () if entry.claim.external else entry.claim.holders:
            self.services.note_holder(holder.uid)
        for holder in (*before, *entry.claim.holders):
            self.queue.add(holder.key, first=True)

    def _note_mark(self, entry: Entry, recorded: StoredAllocation, now: float) -> None:
        """Another mark (of a record that was made anew, say) is known only since now, whatever was known before."""
        known = self.marks.get(entry.address)
        if entry.stage is not Stage.MARKED:
            self.marks.pop(entry.address, None)
        elif known is None or (known.uid, known.generation) != recorded.mark:
            self.marks[entry.address] = Mark(entry.address, recorded.uid, recorded.generation, now)

    def _vanished(self, known: Service) -> None:
        """A Service object is no more. If it still held an address, its finalizer was taken off by somebody else."""
        self._deciding.forget(known)
        self._overwrites.forget(known.metadata.uid)
        if any(entry.is_exposed for entry in self.ledger.held_by_uid(known.metadata.uid)):
            self._notice_lost_finalizer(known)
        self.services.forget_holder(known.metadata.uid)
        self._look_at_lingering(known)

    # Steps

    def step(self, key: Key, now: float, timestamp: str) -> Write | None:
        """The next write for this key, None when there is nothing to do or something else must come first."""
        if isinstance(key, ServiceKey):
            self._deciding.expire(key, now)
            write = self._service_step(key, now, timestamp)
        else:
            write = self._address_step(key, now)
        self._wakeups.settle(self._ask)
        return write

    def _ask(self, key: ServiceKey) -> None:
        self._deciding.decide(key)
        self.queue.add(key)

    def _service_step(self, key: ServiceKey, now: float, timestamp: str) -> Write | None:
        decision = self._deciding.decide(key)
        service = self.services.get(key)
        if service is None:
            return None
        if decision is None:
            # Ours, but not to be decided yet: the labels of its namespace are not known.
            return None if self._ownership.is_ours(service) else self._disown(service, timestamp)
        entries = [self.ledger.get(grant.address) for grant in decision.grants]
        if not all(entry is not None and entry.is_recorded for entry in entries):
            return None
        uid = service.metadata.uid
        decision = published(decision, service, self.ledger)
        holds = bool(self.ledger.held_by_uid(uid))
        shows_ours = holds or self.services.shows_ours(service)
        wanted = wanted_of(
            service, decision, self._ownership.finalizer, self.ledger, holds=holds, shows_ours=shows_ours
        )
        wanted = self._overwrites.told(uid, wanted, now)
        if (over_at := self._overwrites.over_at(uid, now)) is not None:
            self.queue.add_at(key, over_at)
        announced = self.reachability.along(service)
        body = service_patch(service, wanted, self._ownership, timestamp, announced)
        if body is not None:
            news = (*notices.of_change(service, wanted, self._pool_of(uid)), *self._news_of(service, announced))
            return self._show(service, wanted, PatchService(key, body, news), now)
        self._overwrites.shows(uid, wanted)
        for address in decision.leaving:
            self._deciding.leave(self.ledger.get(address), uid)
        return self._tell(service, timestamp)

    def _tell(self, service: Service, timestamp: str) -> Write | None:
        """Whether it is announced, in its turn. Nobody fights over that: see Reachability."""
        announced = self.reachability.alone(service)
        body = None if announced is None else announced_patch(service, announced, timestamp)
        if body is None:
            return None
        return PatchService(key_of(service), body, tuple(self._news_of(service, announced)))

    def _news_of(self, service: Service, announced: Observation | None) -> Iterable[Notice]:
        return notices.of_announced(service, announced, self._pool_of(service.metadata.uid))

    def _pool_of(self, uid: str) -> str | None:
        """What Services have in common to which the same happens at once."""
        held = self.ledger.held_by_uid(uid)
        return held[0].claim.pool if held else None

    def _show(self, service: Service, wanted: Wanted, write: PatchService, now: float) -> Write | None:
        """At once, unless another program undoes it again and again."""
        key, uid = key_of(service), service.metadata.uid
        is_undone = self._overwrites.is_undone(uid, wanted)
        if is_undone:
            if self._overwrites.wants_writer(uid, now):
                return ReadService(key)
            at = self._overwrites.restore_at(uid, now)
            if at > now:
                self.queue.add_at(key, at)
                return None
            self.queue.add_at(key, now + QUIET_SECONDS)
        self._overwrites.sent(uid, wanted)
        return replace(write, notices=()) if is_undone else write

    def _disown(self, service: Service, timestamp: str) -> Write | None:
        """Not ours, or not any more. First the ingress goes, then the addresses, at last finalizer and condition."""
        key, uid = key_of(service), service.metadata.uid
        self._overwrites.forget(uid)  # what it showed goes by our own hand
        held = self.ledger.held_by_uid(uid)
        wrote = our_condition(service) is not None or self.services.held_in_our_time(uid)
        if not wrote and not held:
            return None
        wanted = hidden_before_it_leaves(service, held)
        body = None if wanted is None else service_patch(service, wanted, self._ownership, timestamp)
        if body is not None:
            return PatchService(
                key, body, tuple(notices.of_class_changed(service, self._ownership, self._pool_of(uid)))
            )
        for entry in held:
            self._deciding.leave(entry, uid)
        if any(entry.is_exposed for entry in self.ledger.held_by_uid(uid)):
            return None
        body = service_patch(service, bare(service), self._ownership, timestamp)
        return None if body is None else PatchService(key, body)

    def _address_step(self, address: IPAddress, now: float) -> Write | None:
        entry = self.ledger.get(address)
        if entry is None:
            return None
        if entry.stage is Stage.WITHDRAWN:
            if not self.services.still_showing(address, entry.claim):
                self._free(entry, now)
            return None
        return record_write(entry)

    def _free(self, entry: Entry, now: float) -> None:
        self.ledger.free(entry, now)
        self._look_at_holders(entry)
        self._wakeups.of_freed(entry.claim)

    # What must be looked at again

    def _look_at_holders(self, entry: Entry) -> None:
        for holder in entry.claim.holders:
            self.queue.add(holder.key, first=True)

    def _look_at_lingering(self, known: Service) -> None:
        """Addresses that are free but for a status that showed them, as this Service did until now."""
        for address in present_addresses(known):
            entry = self.ledger.get(address)
            if entry is not None and entry.stage is Stage.WITHDRAWN:
                self.queue.add(address)

    def _notice_lost_finalizer(self, service: Service) -> None:
        held = self.ledger.held_by_uid(service.metadata.uid)
        notice = notices.of_lost_finalizer(service, held, self._ownership.finalizer)
        if notice is not None:
            self.notices.append(notice)
