"""What must hold in a cluster: at every moment, and when all is well again.

At every moment: an address is on no wire and in no router's table for somebody to whom it does not belong any more; who
comes to a shared address shares the key of those who are there, with ports of its own; no program ends by itself.
At the end: what is held is announced by one node of those that may (or by all, by BGP), and nothing else is; no
finalizer, record, confirmation or report is left of what is gone; whoever can have an address has one; and nobody
writes anything any more.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import ip_network

from crds.conditions import Reason
from crds.names import allocation_name, speaker_lease, speaker_lease_labels
from speaker.own.confirming import FORGET_AT_ONCE
from tests.allocator.fakeapi import Life
from tests.sim.acts import EXCLUDE
from tests.sim.api import Body, Key, Stored
from tests.sim.cluster import Cluster
from tests.sim.giving import GARBAGE, Giving
from tests.sim.machines import NAMESPACE, SpeakerProcess, is_superseded
from tests.sim.routers import Router
from tests.sim.segment import Wire

OUR_CLASSES = (None, "berth.dev/berth")
ENDS_WELL = ("NoGoodbye", "WireStalledError")
"""Ends of a speaker that are as they should be: the API server, or its wire process, did not do its part in time."""
MOST_REPEATS, REPEATS_SECONDS = 100, 10.0
"""So often in so many seconds may a write be sent again that is refused each time."""


class Violation(Exception):
    """What must not be."""


@dataclass
class Judge:
    """`life_of`: by the uid of an IPAllocation, in which life of the address it was made: a life ends when a record
    that was released is deleted."""

    cluster: Cluster
    violation: str | None = None
    reached: set[str] = field(default_factory=set)
    lives: dict[str, Life] = field(default_factory=dict)
    life_of: dict[str, int] = field(default_factory=dict)
    refusals: dict[tuple[str, str], deque[float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.giving = Giving(self.cluster, self.found)
        self.cluster.api.on_change.append(self._changed)
        self.cluster.api.on_refused.append(self._refused)
        self.cluster.segment.on_watch = self._may_answer
        for pod in self.cluster.allocators:
            pod.on_end = self.found

    def follow(self) -> None:
        """Machines and routers that are new."""
        for machine in self.cluster.all_machines:
            machine.on_end = self._speaker_ended
        for router in self.cluster.routers.values():
            router.on_route = self._route

    def found(self, what: str) -> None:
        """The first one counts."""
        if self.violation is None:
            self.violation = f"at {self.cluster.world.now:.3f}: {what}"

    # ---- at every moment

    def _changed(self, plural: str, key: Key, before: Stored | None, after: Stored | None) -> None:
        self.giving.changed(plural, key, before, after)
        if plural == "ipallocations" and key.name != GARBAGE:
            self._record_changed(key.name, before, after)
        if plural == "services" and key.name != GARBAGE and before is not None and after is None:
            self._service_gone(before.body)
        if after is not None and (status := after.body.get("status")):
            for one in status.get("conditions") or ():
                self.reached.add(f"condition {after.body['kind']} {one['type']} {one['status']} {one['reason']}")

    def _refused(self, method: str, path: str) -> None:
        now, times = self.cluster.world.now, self.refusals.setdefault((method, path), deque(maxlen=MOST_REPEATS))
        if len(times) == MOST_REPEATS and now - times[0] < REPEATS_SECONDS:
            self.found(f"{method} {path} is refused, and sent more than {MOST_REPEATS} times in {REPEATS_SECONDS:g} s")
        times.append(now)

    def _record_changed(self, name: str, before: Stored | None, after: Stored | None) -> None:
        life = self.lives.setdefault(name, Life())
        if after is not None:
            uid = after.body["metadata"]["uid"]
            if before is None or before.body["spec"] != after.body["spec"]:
                self._go_on(life, name, after.body["spec"], None if before is None else before.body["spec"])
            self.life_of.setdefault(uid, life.number)
            return
        assert before is not None
        if before.body["metadata"]["uid"] in self.cluster.by_hand:
            return
        if not before.body["spec"].get("releasing"):
            self.found(f"the record of {before.body['spec']['address']} is deleted, and was not being released")
        life.end()
        self._released(before.body["spec"]["address"])

    def _service_gone(self, last: Body) -> None:
        """One that has a finalizer is gone after what it alone had. Hands may say something else."""
        was_kept = last["metadata"].get("finalizers") and last["metadata"]["uid"] not in self.cluster.by_hand
        for record in self.cluster.api.all("ipallocations") if was_kept and self.giving.is_sure() else ():
            spec = record["spec"]
            if record["metadata"]["name"] == GARBAGE or spec.get("external"):
                continue
            if [one["uid"] for one in spec["holders"]] == [last["metadata"]["uid"]]:
                name = f"{last['metadata']['namespace']}/{last['metadata']['name']}"
                self.found(f"{name} is gone, and {spec['address']} is not released")

    def _go_on(self, life: Life, name: str, spec: Body, stored: Body | None) -> None:
        known = stored or life.spec
        new = [one["uid"] for one in spec["holders"] if one["uid"] not in life.ports]
        if new:
            self.giving.became_holders(spec, known, new)
        if stored is not None:
            self.giving.left(spec, stored)
        try:
            life.go_on({"releasing": False, **spec, "holders": [_with_ports(one) for one in spec["holders"]]}, stored)
        except AssertionError as error:
            self.found(f"{name}: {error}")

    def _released(self, address: str) -> None:
        for process in [one.process for one in self.cluster.all_machines if one.process is not None]:
            if process.wire.answers(address):
                self.found(f"{address} is released while {process.incarnation} answers for it")
        for router in self.cluster.routers.values():
            if router.is_hung:
                continue  # it acknowledged a withdrawal, and did not read it: docs/limits.md
            for machine, table in router.adj_in.items():
                for prefix, kept in table.items():
                    if kept.is_overdue:
                        continue  # and it hung for longer than any hold time
                    if str(prefix.network_address) == address and prefix.prefixlen == prefix.max_prefixlen:
                        self.found(f"{address} is released while {router.address} has a route to {machine} for it")

    def _may_answer(self, wire: Wire) -> None:
        for address, held in wire.table.items():
            if not wire.answers(address):
                continue
            if not self._belongs(address, held.uid):
                known = wire.process.uid_of(address)
                if known and self._belongs(address, known):
                    held.uid = known
                else:
                    self.found(f"{wire.process.incarnation} answers for {address}, which was released: {held.uid}")

    def _route(self, router: Router, machine: str, prefix: object) -> None:
        network = ip_network(str(prefix))
        if network.prefixlen != network.max_prefixlen:
            return
        kept = router.adj_in[machine][prefix]  # type: ignore[index]
        address = str(network.network_address)
        if not kept.is_overdue and not self._belongs(address, kept.uid):
            self.found(f"{router.address} gets a route to {machine} for {address}, which was released: {kept.uid}")

    def _belongs(self, address: str, uid: str) -> bool:
        name = allocation_name(address)
        life = self.lives.get(name)
        return life is not None and self.life_of.get(uid) == life.number and self.cluster_has(name)

    def cluster_has(self, name: str) -> bool:
        """A record that hands deleted is written again: the address is still held."""
        return self.cluster.api.get("ipallocations", name) is not None or self.lives[name].spec is not None

    def _speaker_ended(self, process: SpeakerProcess) -> None:
        why = process.ended or ""
        if why and not is_superseded(why) and not why.startswith(ENDS_WELL) and not why.startswith("CancelledError"):
            self.found(f"the speaker {process.incarnation} ended: {why}")

    def look(self) -> None:
        """After each event: what is cheap to see."""
        if self.violation is not None:
            raise Violation(self.violation)

    def faults_of_programs(self) -> None:
        """What nobody caught in any of them."""
        loops = [one.process.loop for one in self.cluster.all_machines if one.process is not None]
        for loop in [*loops, *(one.loop for one in self.cluster.allocators if one.loop is not None)]:
            if loop.fault is not None:
                self.found(f"nobody caught {loop.fault!r}")

    # ---- when all is well again

    def unsettled(self) -> list[str]:
        """What is not (yet) as it should be."""
        return list(self._unsettled())

    def given(self) -> dict[str, list[str]]:
        """Which addresses each Service has."""
        return {
            f"{body['metadata']['namespace']}/{body['metadata']['name']}": [
                one["ip"] for one in body["status"].get("loadBalancer", {}).get("ingress") or ()
            ]
            for body in self.cluster.api.all("services")
        }

    def _unsettled(self) -> Iterator[str]:
        api = self.cluster.api
        if sum(one.leads for one in self.cluster.allocators) != 1:
            yield "no allocator leads, or two do"
        for machine in self.cluster.machines.values():
            if machine.process is None or machine.process.agent.core.phase.value != "Serving":
                yield f"the speaker of {machine.node} does not serve"
        yield from self._of_services()
        records = {one["spec"]["address"]: one for one in api.all("ipallocations")}
        for address, record in records.items():
            if record["spec"].get("releasing"):
                yield f"the release of {address} does not end"
            else:
                yield from self._of_announcing(address, record["spec"])
        for wire in self.cluster.segment.wires.values():
            for address in wire.table.keys() - records.keys():
                yield f"{wire.node} has {address} in its table, which nobody holds"
        for router in self.cluster.routers.values():
            yield from self._of_router(router, records)
        yield from self._of_leftovers(records)

    def _of_services(self) -> Iterator[str]:
        api = self.cluster.api
        held: dict[str, set[str]] = {}
        for record in api.all("ipallocations"):
            for holder in record["spec"]["holders"]:
                if not record["spec"].get("external"):
                    held.setdefault(holder["uid"], set()).add(record["spec"]["address"])
        for body in api.all("services"):
            key = f"{body['metadata']['namespace']}/{body['metadata']['name']}"
            if "deletionTimestamp" in body["metadata"]:
                yield f"the deletion of {key} does not end"
                continue
            shown = {one["ip"] for one in body["status"].get("loadBalancer", {}).get("ingress") or ()}
            its = held.pop(body["metadata"]["uid"], set())
            allocated = next(
                (one for one in body["status"].get("conditions") or () if one["type"] == "berth.dev/Allocated"), None
            )
            if not _is_ours(body):
                if its or shown or allocated is not None:
                    yield f"{key}, which is not ours, holds {sorted(its)} and shows {sorted(shown)}"
                continue
            yield from _of_what_is_told(key, allocated)
            if shown - its or (its - shown and not self._may_hide(body, its - shown)):
                yield f"{key} holds {sorted(its)} and shows {sorted(shown)}"
            if bool(its) and not body["metadata"].get("finalizers"):
                yield f"{key} holds {sorted(its)} and has no finalizer"
        for uid, addresses in held.items():
            yield f"{uid}, which is gone, holds {sorted(addresses)}"
        yield from self.giving.served_twice()

    def _may_hide(self, body: Body, hidden: set[str]) -> bool:
        """Of a pool that publishes what is announced, or where a stranger has its port."""
        return any(
            one["spec"].get("publish") == "WhenAnnounced" for one in self.cluster.api.all("ippools")
        ) or self._has_strangers(body, hidden)

    def _has_strangers(self, body: Body, addresses: set[str]) -> bool:
        for record in self.cluster.api.all("ipallocations"):
            if record["spec"]["address"] in addresses:
                for holder in record["spec"]["holders"]:
                    if holder["namespace"] != body["metadata"]["namespace"]:
                        return True
        return False

    # ---- who is to announce what

    def _of_announcing(self, address: str, spec: Body) -> Iterator[str]:
        api, candidates = self.cluster.api, self._nodes_that_may(spec)
        may = {node for node in candidates if any(self._covers(one, node) for one in api.all("l2advertisements"))}
        answering = [wire.node for wire in self.cluster.segment.answering(address)]
        if len(answering) != bool(may) or not set(answering) <= may:
            yield f"{address} is answered by {answering}, and {sorted(may)} may"
        for router in self.cluster.routers.values():
            is_reachable = ":" not in address and bool(self._with_endpoints(spec))
            wanted = self._routed_by(router, candidates) if is_reachable else set()
            has = self._nodes_with_routes(router, address)
            if has != wanted:
                yield f"{router.address} has routes for {address} of {sorted(has)}, not of {sorted(wanted)}"

    def _nodes_with_routes(self, router: Router, address: str) -> set[str]:
        """And, by their own names, machines that were replaced."""
        nodes = {one.name: one.node for one in self.cluster.machines.values()}
        return {
            nodes.get(machine, machine)
            for machine, table in router.adj_in.items()
            if any(str(prefix.network_address) == address for prefix in table)
        }

    def _routed_by(self, router: Router, candidates: set[str]) -> set[str]:
        """The nodes that are to give the router their routes."""
        api = self.cluster.api
        return {
            node
            for node in candidates
            for one in api.all("bgpadvertisements")
            if (used := self._used(router, node)) is not None
            and self._covers(one, node)
            and (not one["spec"].get("peers") or used in one["spec"]["peers"])
        }

    def _used(self, router: Router, node: str) -> str | None:
        """The peer by which the node is to have a session with the router: of two with one address one is used."""
        peers = self.cluster.api.all("bgppeers")
        names = sorted(one["metadata"]["name"] for one in peers if one["spec"]["peerAddress"] == router.address)
        process = self.cluster.machines[node].process
        held = None if process is None else process.driver.peer_of(router)
        return held if held in names else next(iter(names), None)

    def _covers(self, advertisement: Body, node: str) -> bool:
        selector = advertisement["spec"].get("nodeSelector")
        labels = self._labels(node)
        return selector is None or all(labels.get(name) == value for name, value in selector["matchLabels"].items())

    def _labels(self, node: str) -> Body:
        labels: Body = (self.cluster.api.get("nodes", node) or {"metadata": {}})["metadata"].get("labels") or {}
        return labels

    def _nodes_that_may(self, spec: Body) -> set[str]:
        """By their labels, and under Local by their endpoints."""
        nodes = {node for node in self.cluster.machines if self._labels(node).get(EXCLUDE, "false") == "false"}
        return nodes & self._with_endpoints(spec) if spec.get("trafficPolicy") == "Local" else nodes

    def _with_endpoints(self, spec: Body) -> set[str]:
        """The nodes that have one."""
        services = {(one["namespace"], one["name"]) for one in spec["holders"]}
        family = "IPv6" if ":" in spec["address"] else "IPv4"
        return {
            each["nodeName"]
            for one in self.cluster.api.all("endpointslices")
            for each in one["endpoints"]
            if one["addressType"] == family
            and (one["metadata"]["namespace"], one["metadata"]["labels"]["kubernetes.io/service-name"]) in services
        }

    def _of_router(self, router: Router, records: dict[str, Body]) -> Iterator[str]:
        for machine, table in router.adj_in.items():
            for prefix in table:
                if str(prefix.network_address) not in records:
                    yield f"{router.address} has a route to {machine} for {prefix}, which nobody holds"

    def _of_leftovers(self, records: dict[str, Body]) -> Iterator[str]:
        api = self.cluster.api
        uids = {one["metadata"]["uid"] for one in records.values()}
        for one in api.all("releaseconfirmations"):
            left = (one.get("status") or {}).get("released", {}).keys() - uids
            if len(left) > FORGET_AT_ONCE:
                yield f"the ReleaseConfirmation of {one['metadata']['name']} still says {sorted(left)}"
        for one in api.all("speakerreports"):
            said = (one.get("status") or {}).get("announcements") or {}
            if said.keys() - records.keys():
                yield f"the SpeakerReport {one['metadata']['name']} still says {sorted(said.keys() - records.keys())}"
        nodes = {one["metadata"]["name"] for one in api.all("nodes")}
        for plural in ("speakers", "releaseconfirmations"):
            names = {one["metadata"]["name"] for one in api.all(plural)}
            if names - nodes:
                yield f"there are {plural} {sorted(names - nodes)} without a Node"
        for node in self.cluster.machines:
            lease = api.get("leases", speaker_lease(node), NAMESPACE) or {"metadata": {}}
            if not speaker_lease_labels(node).items() <= (lease["metadata"].get("labels") or {}).items():
                yield f"the Lease of {node} has lost its labels"


def _of_what_is_told(key: str, allocated: Body | None) -> Iterator[str]:
    """By its condition Allocated."""
    if allocated is None:
        yield f"{key} is told nothing"
    elif allocated["reason"] == Reason.RecordRefused:
        yield f"the record of {key} was refused, and will be tried again"


def _is_ours(body: Body) -> bool:
    return body["spec"]["type"] == "LoadBalancer" and body["spec"].get("loadBalancerClass") in OUR_CLASSES


def _with_ports(holder: Body) -> Body:
    return {"ports": [], **holder}
