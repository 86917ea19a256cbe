"""A small API server in memory, and an allocator driven against it step by step: for crash and property tests.

As strict as a real one where the allocator's safety depends on it: one rising resourceVersion, generation by spec,
preconditions, finalizers, names that exist once, ingress wiped when a Service stops being a LoadBalancer. The real
protocol is tested against the lab's stand-in (test_controller.py).
"""

import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from allocator.assigner import Assigner
from allocator.deciding import Key
from allocator.keepers import of_service, source
from allocator.objects import decode_allocation
from allocator.ownership import Ownership
from allocator.space.keptout import NOTHING, Entries
from allocator.space.pools import Pools
from allocator.stage import Stage
from allocator.writes import CreateAllocation, DeleteAllocation, PatchAllocation, PatchService, ReadService, Write
from crds.addresses import IPAddress
from crds.conditions import Reason
from crds.names import FINALIZER, FINALIZER_BESIDE_CLOUD, allocation_name
from kube.objects import Service, ServiceKey, decode_service
from tests.allocator.build import address as parsed
from tests.allocator.build import pool, pools, service_body

Body = dict[str, Any]


class Refused(Exception):
    """`reason` as an API server says it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Died(Exception):
    """The allocator's process ended here."""


@dataclass
class Life:
    """An address from its first record until the record that was released is deleted. Hands that delete a record end
    no life before the barrier is passed: what they delete is written again.

    Whoever holds it came first, or joined by the sharing key those who were there: `spec` is the last record's.
    """

    number: int = 0
    spec: Body | None = None
    ports: dict[str, set[tuple[str, int]]] = field(default_factory=dict)
    """Of each Service that ever was a holder in this life, by uid: the ports that it had last."""

    def end(self) -> None:
        self.number += 1
        self.spec = None
        self.ports.clear()

    def go_on(self, spec: Body, stored: Body | None) -> None:
        """Raises AssertionError when somebody holds the address who neither was there nor joined by the key.

        `stored`: the record that is changed, whoever wrote it last; None = there is none.
        """
        known = stored or self.spec
        ports = {one["uid"]: {(port["protocol"], port["port"]) for port in one["ports"]} for one in spec["holders"]}
        if not spec["releasing"]:
            assert sum(map(len, ports.values())) == len(set().union(*ports.values())), "a port has two holders"
        if known is not None:
            before = {one["uid"] for one in known["holders"]}
            joins_by_key = spec.get("sharingKey") is not None and (
                bool(before & ports.keys()) or known.get("sharingKey") == spec["sharingKey"]
            )
            joins_by_name = spec.get("external", False) and known.get("external", False)
            assert ports.keys() <= before or joins_by_key or joins_by_name, (
                f"{ports.keys() - before} came to {before} without a release"
            )
        self.spec = copy.deepcopy(spec)
        self.ports |= ports


@dataclass
class FakeApi:
    """Services by (namespace, name), IPAllocations by name. `log` holds each write that took effect."""

    services: dict[ServiceKey, Body] = field(default_factory=dict)
    allocations: dict[str, Body] = field(default_factory=dict)
    version: int = 0
    uids: int = 0
    log: list[str] = field(default_factory=list)
    refuses: Callable[[Body], bool] = lambda _: False
    """Whether a record with this spec is not valid (422)."""
    lives: dict[str, "Life"] = field(default_factory=dict)
    """Of addresses, by the names of their records: the present life, or the last one."""
    passed: set[str] = field(default_factory=set)
    """uids of records whose release passed the barrier."""

    def _stamp(self, body: Body) -> Body:
        self.version += 1
        body["metadata"]["resourceVersion"] = str(self.version)
        return body

    # What users and speakers do

    def put_service(self, body: Body) -> Service:
        body = copy.deepcopy(body)
        key = ServiceKey(body["metadata"]["namespace"], body["metadata"]["name"])
        assert key not in self.services
        self.uids += 1
        body["metadata"]["uid"] = f"s{self.uids}"
        self.services[key] = self._stamp(body)
        return self.service(key)

    def service(self, key: ServiceKey) -> Service:
        return decode_service(json.dumps(self.services[key]).encode())

    def ingress(self, key: ServiceKey) -> list[str]:
        return [entry["ip"] for entry in self.services[key]["status"].get("loadBalancer", {}).get("ingress") or []]

    def condition(self, key: ServiceKey) -> Body | None:
        found = [
            one for one in self.services[key]["status"].get("conditions", []) if one["type"] == "berth.dev/Allocated"
        ]
        return found[0] if found else None

    def edit_service(self, key: ServiceKey, change: Callable[[Body], None]) -> None:
        body = copy.deepcopy(self.services[key])
        change(body)
        if body["spec"]["type"] != "LoadBalancer":
            body["status"]["loadBalancer"] = {}
        self._store_service(key, body)

    def delete_service(self, key: ServiceKey) -> None:
        body = self.services[key]
        if body["metadata"].get("finalizers"):
            if "deletionTimestamp" not in body["metadata"]:
                body["metadata"]["deletionTimestamp"] = "2026-02-01T00:00:00Z"
                self._stamp(body)
        else:
            del self.services[key]

    def announce(self, name: str) -> None:
        """The status of a record says that a node announces its address."""
        self.allocations[name].setdefault("status", {})["firstAnnounced"] = "2026-03-01T00:00:00Z"
        self._stamp(self.allocations[name])

    def _store_service(self, key: ServiceKey, body: Body) -> None:
        self.services[key] = self._stamp(body)
        if "deletionTimestamp" in body["metadata"] and not body["metadata"].get("finalizers"):
            del self.services[key]

    def delete_by_hand(self, name: str) -> None:
        """A record, whatever it is for."""
        if self.allocations.pop(name)["metadata"]["uid"] in self.passed:
            self.lives[name].end()
        self.version += 1

    # What the allocator does

    def perform(self, write: Write) -> Body | None:
        match write:
            case CreateAllocation():
                return self.create(write.body)
            case PatchAllocation():
                return self.patch_allocation(allocation_name(write.address), write.body)
            case DeleteAllocation():
                self.delete_allocation(allocation_name(write.address), write.uid, write.resource_version)
                return None
            case PatchService():
                return self.patch_service(write.service, write.body)
            case ReadService():
                return copy.deepcopy(self.services[write.service])

    def create(self, body: Body) -> Body:
        name = body["metadata"]["name"]
        if name in self.allocations:
            raise Refused("AlreadyExists")
        if self.refuses(body["spec"]):
            raise Refused("Invalid")
        self.uids += 1
        stored = copy.deepcopy(body)
        stored["metadata"] |= {"uid": f"a{self.uids}", "generation": 1}
        self.allocations[name] = self._stamp(stored)
        self.lives.setdefault(name, Life()).go_on(stored["spec"], None)
        self.log.append(f"create {name}")
        return copy.deepcopy(stored)

    def patch_allocation(self, name: str, body: Body) -> Body:
        stored = self._expect(self.allocations.get(name), body["metadata"])
        spec = merged(stored["spec"], body.get("spec", {}))
        assert spec["address"] == stored["spec"]["address"]
        assert spec["releasing"] or not stored["spec"]["releasing"], "a release was taken back"
        if spec != stored["spec"]:
            # What was there before is not validated again (CRDValidationRatcheting, KEP-4008).
            if self.refuses(spec) and {**spec, "releasing": False} != stored["spec"]:
                raise Refused("Invalid")
            stored["metadata"]["generation"] += 1
            self.lives.setdefault(name, Life()).go_on(spec, stored["spec"])
            stored["spec"] = spec
            self._stamp(stored)
            self.log.append(f"patch {name}")
        return copy.deepcopy(stored)

    def delete_allocation(self, name: str, uid: str, version: int) -> None:
        self._expect(self.allocations.get(name), {"uid": uid, "resourceVersion": str(version)})
        del self.allocations[name]
        self.version += 1
        self.lives[name].end()
        self.log.append(f"delete {name}")

    def patch_service(self, key: ServiceKey, body: Body) -> Body:
        stored = self._expect(self.services.get(key), body["metadata"])
        new = merged(stored, body)
        if new["spec"]["type"] != "LoadBalancer" and new["status"].get("loadBalancer", {}).get("ingress"):
            raise Refused("Invalid")
        added = set(new["metadata"].get("finalizers") or []) - set(stored["metadata"].get("finalizers") or [])
        if "deletionTimestamp" in stored["metadata"] and added:
            raise Refused("Invalid")
        if new != stored:
            self._store_service(key, new)
            self.log.append(f"patch service {key}")
        return copy.deepcopy(new)

    def _expect(self, stored: Body | None, preconditions: Mapping[str, Any]) -> Body:
        if stored is None:
            raise Refused("NotFound")
        for name in ("uid", "resourceVersion"):
            if preconditions[name] != stored["metadata"][name]:
                raise Refused("Conflict")
        return stored


def merged(target: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


class Allocator:
    """A process: an Assigner whose writes go to the fake, one after the other, with watches that lag never.

    `die_after`: the process ends right after that many writes have taken effect, before it hears of the answer.
    """

    def __init__(self, api: FakeApi, pools: Pools, *, die_after: int | None = None, **options: Any) -> None:
        self.api = api
        self.now = 0.0
        self.writes = 0
        self.die_after = die_after
        self.other_writer = ""
        self.told: list[Reason] = []
        """Of what is news on Services that were patched."""
        self.assigner = Assigner(
            ownership=Ownership(
                options.pop("load_balancer_class", None),
                options.pop("finalizer", FINALIZER),
                options.pop("former_finalizers", (FINALIZER, FINALIZER_BESIDE_CLOUD)),
            ),
            draw=lambda _: 0,
        )
        self.known_services: dict[ServiceKey, Service] = {}
        self.known_allocations: dict[str, tuple[IPAddress, str]] = {}
        self._start(pools, **options)

    def _start(
        self,
        pools: Pools,
        namespaces: Mapping[str, Mapping[str, str]] | None = None,
        kept_out: Mapping[str, Entries] | None = None,
    ) -> None:
        services = [self.api.service(key) for key in self.api.services]
        stored = [decode_allocation(json.dumps(body).encode()) for body in self.api.allocations.values()]
        self.known_services = {ServiceKey(one.metadata.namespace or "", one.metadata.name): one for one in services}
        self.known_allocations = {allocation_name(one.address): (one.address, one.uid) for one in stored}
        self.assigner.start(
            pools=pools,
            kept_out=[
                *(kept_out or {}).items(),
                *((source("Service", str(key)), of_service(one)) for key, one in self.known_services.items()),
            ],
            namespaces=namespaces if namespaces is not None else {"default": {}},
            allocations=stored,
            services=services,
            now=self.now,
        )

    def watch(self) -> None:
        """The assigner sees everything that the API server has and that it has not seen yet."""
        for key in [key for key in self.known_services if key not in self.api.services]:
            self.assigner.keep_out(source("Service", str(key)), NOTHING)
            self.assigner.service_gone(key, self.known_services.pop(key).metadata.uid)
        for key in list(self.api.services):
            now = self.api.service(key)
            old = self.known_services.get(key)
            if old is not None and old.metadata.uid != now.metadata.uid:
                self.assigner.service_gone(key, old.metadata.uid)
            if old is None or old.metadata.resource_version != now.metadata.resource_version:
                self.known_services[key] = now
                self.assigner.keep_out(source("Service", str(key)), of_service(now))
                self.assigner.service_seen(now)
        for name, (address, uid) in list(self.known_allocations.items()):
            body = self.api.allocations.get(name)
            if body is None or body["metadata"]["uid"] != uid:
                del self.known_allocations[name]
                self.assigner.allocation_gone(address, uid)
        for name, body in list(self.api.allocations.items()):
            stored = decode_allocation(json.dumps(body).encode())
            self.known_allocations[name] = (stored.address, stored.uid)
            self.assigner.allocation_seen(stored, self.now)

    def step(self) -> bool:
        """Look at one key and perform its write; False when there is nothing to do now."""
        key = self.assigner.queue.take(self.now)
        if key is None:
            return False
        write = self.assigner.step(key, self.now, "2026-03-01T00:00:00Z")
        if write is None:
            self.assigner.queue.done(key)
            return True
        self._perform(key, write)
        return True

    def _perform(self, key: Key, write: Write) -> None:
        queue = self.assigner.queue
        if isinstance(write, CreateAllocation):
            self.assigner.create_sent(write.address)
        before = len(self.api.log)
        try:
            answer = self.api.perform(write)
        except Refused as refusal:
            if self._is_settled_by(write, refusal):
                queue.done(key)
                return
            self._look_again(write, refusal)
            queue.failed(key, self.now, 1.0)
            self.now += 0.1
            return
        if len(self.api.log) > before:
            self.writes += 1
            if self.die_after is not None and self.writes >= self.die_after:
                raise Died
        self._answer(write, answer)
        queue.done(key)

    def _answer(self, write: Write, answer: Body | None) -> None:
        match write:
            case DeleteAllocation():
                self.assigner.allocation_deleted(write.address, write.uid)
            case PatchService():
                assert answer is not None
                self.told.extend(notice.reason for notice in write.notices)
                self.assigner.service_written(decode_service(json.dumps(answer).encode()))
            case ReadService():
                self.assigner.status_writer_found(decode_service(json.dumps(answer).encode()), self.other_writer)
            case _:
                stored = decode_allocation(json.dumps(answer).encode())
                self.assigner.allocation_written(stored, self.now)

    def _is_settled_by(self, write: Write, refusal: Refused) -> bool:
        if refusal.reason != "Invalid" or not isinstance(write, CreateAllocation | PatchAllocation):
            return False
        if isinstance(write, CreateAllocation):
            self.assigner.create_refused(write.address)
        return self.assigner.record_refused(write.claim, "no such ports", self.now)

    def _look_again(self, write: Write, refusal: Refused) -> None:
        if isinstance(write, PatchService | ReadService):
            return
        body = self.api.allocations.get(allocation_name(write.address))
        if body is not None:
            stored = decode_allocation(json.dumps(body).encode())
            self.assigner.allocation_written(stored, self.now)
        elif isinstance(write, DeleteAllocation):
            self.assigner.allocation_deleted(write.address, write.uid)

    def run(self, *, withdraw: bool = True, limit: int = 2000, until: float = float("inf")) -> None:
        """Until nothing is left to do, or is due later than `until`; with `withdraw` every release passes its barrier
        at once."""
        for _ in range(limit):
            self.watch()
            if self.step():
                continue
            if withdraw and self.assigner.marks:
                for address in list(self.assigner.marks):
                    self.pass_barrier(address)
                continue
            due = self.assigner.queue.deadline()
            if due is None or due > until:
                return
            self.now = max(self.now, due)
        raise AssertionError("the allocator never comes to rest")

    def pass_barrier(self, address: IPAddress) -> None:
        mark = self.assigner.marks[address]
        self.assigner.barrier_passed(mark)
        entry = self.assigner.ledger.get(address)
        if entry is not None and entry.stage is Stage.PASSED:
            self.api.passed.add(mark.uid)


EDGE = pools(pool("edge", "192.0.2.10-192.0.2.13"))
WEB = ServiceKey("default", "web")
OTHER = ServiceKey("default", "other")
FIRST = parsed("192.0.2.10")


def settled(api: FakeApi, *names: str, edge: Pools = EDGE) -> Allocator:
    """These Services, and an allocator that has done for them what there is to do."""
    for name in names:
        api.put_service(service_body(name))
    allocator = Allocator(api, edge)
    allocator.run()
    return allocator


def reasons(allocator: Allocator) -> list[Reason]:
    """Of the notices so far."""
    return [notice.reason for notice in allocator.assigner.notices]
