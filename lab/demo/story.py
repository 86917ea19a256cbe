"""The demo's steps, in order: each does something, looks, tells what it saw, and fails loudly if that was wrong.

How to look is in observe.py, how to tell in narrator.py.
"""

import json
import time

from lab import observe
from lab.cluster import NAMESPACE, Cluster
from lab.demo import dual_stack, routers
from lab.demo.narrator import Narrator, expect, milliseconds
from lab.kubelet import manifests
from lab.net.claims import ownership_spans
from lab.net.hosts import CLIENT, POOL_IPV4, POOL_IPV6, ROUTER
from lab.process import State
from lab.waiting import WaitExpired, wait_for

POOL = f"""\
apiVersion: berth.dev/v1beta1
kind: IPPool
metadata: {{name: demo}}
spec:
  addresses: ["{POOL_IPV4}", "{POOL_IPV6}"]
"""
ADVERTISEMENT = """\
apiVersion: berth.dev/v1beta1
kind: L2Advertisement
metadata: {name: demo}
spec:
  ipPools: [demo]
"""
EXAMPLE_SERVICE = """\
apiVersion: v1
kind: Service
metadata:
  name: example-service
spec:
  selector:
    app: example
  ports:
    - port: 8765
      targetPort: 9376
  type: LoadBalancer
"""
NEXT_SERVICE = EXAMPLE_SERVICE.replace("example-service", "next-service")
OUTSIDE = "203.0.113.9"
STRAY_SERVICE = EXAMPLE_SERVICE.replace(
    "  name: example-service", f"  name: stray-service\n  annotations:\n    berth.dev/ips: {OUTSIDE}"
)

SERVICE = "example-service"
PORT = 8765
SETTLE_SECONDS = 20.0
FAILOVER_SECONDS = 20.0
STAYS_SECONDS = 3.0
"""How long we look at a Service that must stay Terminating."""


class Story:
    """The steps share what they learned: the address, and who owns it."""

    def __init__(self, cluster: Cluster, narrator: Narrator) -> None:
        self.cluster = cluster
        self.kubectl = cluster.kubectl
        self.narrator = narrator
        self.address = ""
        self.owners: list[str] = []
        self.node_names = [node.name for node in cluster.topology.nodes]

    @property
    def owner(self) -> str:
        """Whom we last saw own the address."""
        return self.owners[-1]

    def tell(self) -> None:
        """All steps, on a cluster that is up."""
        self.cluster.record_segment()
        self.berth_is_ready()
        self.pool_and_advertisement()
        self.service_gets_an_address()
        self.client_reaches_it()
        dual_stack.tell(self.cluster, self.narrator)
        routers.tell(self.cluster, self.narrator, spare=self.owner)
        self.local_policy_keeps_the_source_address()
        self.owner_dies()
        self.owner_comes_back()
        self.bad_input_is_explained()
        self.deletion_waits_for_a_frozen_speaker()
        self.next_service_gets_the_address()
        self.the_wire_agrees()

    # --- the steps

    def berth_is_ready(self) -> None:
        self.narrator.step("Two allocators, of which one works and one stands by; a speaker on each node")
        self._show("get", "nodes", "-o", "wide")
        wait_for("all speakers are ready", self._speakers_are_ready, timeout_seconds=60, meanwhile=self._all_run)
        self._show("get", "speakers")
        leader = wait_for(
            "an allocator leads",
            lambda: observe.lease_holder(self.cluster, "berth-allocator", NAMESPACE),
            timeout_seconds=30,
        )
        self._show("get", "leases", f"--namespace={NAMESPACE}")
        self.narrator.saw(f"{leader} holds the lease berth-allocator; speakers on {', '.join(self.node_names)} serve")

    def pool_and_advertisement(self) -> None:
        self.narrator.step("An operator creates an IPPool and an L2Advertisement")
        for manifest in (POOL, ADVERTISEMENT):
            self._apply(manifest)
        wait_for("the pool is ready", lambda: self._is_true("ippool", "demo", "Ready"), timeout_seconds=SETTLE_SECONDS)
        what = "the advertisement is ready"
        wait_for(what, lambda: self._is_true("l2advertisement", "demo", "Ready"), timeout_seconds=SETTLE_SECONDS)
        self._show("get", "ippools,l2advertisements")

    def service_gets_an_address(self) -> None:
        self.narrator.step("A user creates the Service that Kubernetes' documentation explains load balancers with")
        self._apply(EXAMPLE_SERVICE)
        created = time.monotonic()
        self.address = observe.wait_for_address(self.cluster, SERVICE)
        self._wait_until_announced()
        waited = milliseconds(time.monotonic() - created)
        self.narrator.measured("Service created until kubectl saw its address announced", waited)
        described = self._show("describe", "services", SERVICE)
        expect("LoadBalancer Ingress:" in described, "a line `LoadBalancer Ingress`", described)
        line = next(line for line in described.splitlines() if line.startswith("LoadBalancer Ingress:"))
        expect(self.address in line, f"{self.address} in that line", line)
        self._show("get", "ipallocations")
        self.narrator.saw(" ".join(line.split()))

    def client_reaches_it(self) -> None:
        self.narrator.step("A client on the segment fetches from it; its own kernel asks by ARP who has the address")
        before = self.cluster.neighbour(self.address)
        expect(before is None or before.mac is None, "a client that never heard of the address", before)
        self._fetch()
        self._show_neighbour()
        self._own(self._owner_on_the_wire())
        expect(
            self._announced_by() == [self.owner], f"status.announcedBy names {self.owner} alone", self._announced_by()
        )
        self.narrator.saw(f"{self.address} is at the MAC of {self.owner}, and the IPAllocation says so too")
        answers = self._answers_until_every_pod_has_answered()
        self.narrator.saw(f"the pods of all nodes have answered at {self.address}:{PORT}, under the policy Cluster")
        sources = {answer.split()[-1] for answer in answers}
        node = self.cluster.topology.node(self.owner)
        own = {str(node.ipv4), str(node.pod_gateway_ipv4)}
        expect(sources <= own, f"backends see addresses of {self.owner}: {' or '.join(sorted(own))}", sources)
        self.narrator.saw(
            f"backends see {self.owner}'s own addresses, {' and '.join(sorted(sources))}, not the client's"
        )
        self._fetch(ROUTER)

    def local_policy_keeps_the_source_address(self) -> None:
        here = next(name for name in self.node_names if name != self.owner)
        self.narrator.step(f"externalTrafficPolicy: Local, and only the pod on {here} is ready")
        for name in self.node_names:
            self.cluster.kubelet.set_pod_ready(name, name == here)
        self._show("get", "pods", "-o", "wide")
        self._patch(SERVICE, {"spec": {"externalTrafficPolicy": "Local"}})
        self._wait_for_owner({here})
        answer = self._fetch()
        client = str(self.cluster.topology.client.ipv4)
        expect(answer == f"pod example-{here} on {here} sees {client}", f"{here}'s own pod sees {client}", answer)
        self.narrator.saw(f"{here} owns the address now; its pod answers, and sees the client's own address {client}")

    def owner_dies(self) -> None:
        heir = next(name for name in self.node_names if name != self.owner)
        self.narrator.step(
            "The owner's speaker is killed (SIGKILL); another node with a ready pod takes the address over"
        )
        self.cluster.kubelet.set_pod_ready(heir, True)
        self._wait_for_owner({self.owner, heir}, settle=True)
        self._kill_and_watch(self.owner)

    def owner_comes_back(self) -> None:
        dead = next(name for name in self.node_names if self.cluster.speaker(name).state is State.ENDED)
        self.narrator.step(f"The speaker of {dead} starts again")
        with observe.probing(self.cluster, self._url) as probe:
            begun = time.monotonic()
            self.cluster.speaker(dead).start()
            wait_for("all speakers are ready", self._speakers_are_ready, timeout_seconds=60, meanwhile=self._all_run)
            self._wait_for_owner(set(self.node_names), settle=True)
            self._expect_no_failure(probe.attempts(begun), "while it came back")
        self.narrator.saw(f"{self.owner} owns the address, and no fetch failed meanwhile")

    def bad_input_is_explained(self) -> None:
        self.narrator.step(f"A Service asks for {OUTSIDE}, an address outside every pool")
        self._apply(STRAY_SERVICE)
        condition = wait_for(
            "the Service says why it has no address",
            lambda: self._condition("service", "stray-service", "berth.dev/Allocated"),
            timeout_seconds=SETTLE_SECONDS,
        )
        self._show("get", "service", "stray-service")
        expect(condition["status"] == "False", "condition berth.dev/Allocated is False", condition)
        self.narrator.saw(f"{condition['reason']}: {condition['message']}")
        events = wait_for(
            "there is an Event about it",
            lambda: told if condition["reason"] in (told := self._events("stray-service")) else None,
            timeout_seconds=SETTLE_SECONDS,
        )
        self.narrator.command("kubectl", "events", "--for=service/stray-service", printed=events)
        self._show("annotate", "service", "stray-service", "berth.dev/ips-")
        address = observe.wait_for_address(self.cluster, "stray-service")
        self.narrator.saw(f"without the annotation it gets {address}")
        self._show("delete", "service", "stray-service", "--timeout=20s")

    def deletion_waits_for_a_frozen_speaker(self) -> None:
        frozen = self.owner
        self.narrator.step(
            f"The speaker of {frozen}, which owns the address, freezes (SIGSTOP); the Service is deleted"
        )
        self.cluster.speaker(frozen).freeze()
        silent_since = time.monotonic()
        self._show("delete", "service", SERVICE, "--wait=false")
        message = wait_for(
            f"the IPAllocation says that it waits for {frozen}",
            lambda: self._waits_for(frozen),
            timeout_seconds=SETTLE_SECONDS,
        )
        self._show("get", "ipallocations", "-o", "wide")
        self.narrator.saw(f"WaitingForSpeakers: {message}")
        self._stays_terminating()
        self._nobody_answers()
        self._apply(NEXT_SERVICE)
        other = observe.wait_for_address(self.cluster, "next-service")
        expect(other != self.address, f"another address than {self.address} for a Service made meanwhile", other)
        self.narrator.saw(f"a Service made meanwhile gets {other}: nobody else may have {self.address} yet")
        self._show("delete", "service", "next-service", "--wait=false")
        self._resume_and_watch(frozen)
        claims = self.cluster.claims(self.address, since=silent_since)
        expect(not claims, f"no frame on the segment that claims {self.address}", claims)
        self.narrator.saw(f"from the freeze to here no frame on the segment claimed {self.address}")

    def next_service_gets_the_address(self) -> None:
        self.narrator.step("The next Service gets the address")
        wait_for("next-service is gone", lambda: self._is_gone("next-service"), timeout_seconds=SETTLE_SECONDS)
        for name in self.node_names:
            self.cluster.kubelet.set_pod_ready(name, True)
        self._apply(NEXT_SERVICE)
        address = observe.wait_for_address(self.cluster, "next-service")
        expect(address == self.address, f"next-service gets {self.address}", address)
        self._wait_until_announced()
        self._show("get", "services")
        answer = self._fetch()
        self._own(self._owner_on_the_wire())
        self.narrator.saw(f"{address} is in use again: {answer}")

    def the_wire_agrees(self) -> None:
        self.narrator.step(f"Every ARP frame on the segment that claimed {self.address}, by who sent it")
        spans = ownership_spans(self.cluster.claims(self.address), self.cluster.macs())
        for span in spans:
            first, last = self.narrator.clock(span.first), self.narrator.clock(span.last)
            self.narrator.say(f"{first:6.1f} s to {last:6.1f} s   {span.node}   {span.frames} frames")
        expect([span.node for span in spans] == self.owners, f"these owners and no others: {self.owners}", spans)
        self.narrator.saw("one node after the other, never two at a time, and nobody else")

    # --- parts of steps

    def _kill_and_watch(self, victim: str) -> None:
        others = set(self.node_names) - {victim}
        with observe.probing(self.cluster, self._url) as probe:
            wait_for("the client fetches", lambda: len(probe.attempts(0)) >= 3, timeout_seconds=10)
            killed = time.monotonic()
            self.cluster.speaker(victim).kill()
            self.narrator.say(f"speaker of {victim} killed")
            heir, moved = observe.wait_for_neighbour(
                self.cluster, self.address, others, timeout_seconds=FAILOVER_SECONDS
            )
            self._own(heir)
            wait_for(
                f"a pod of {self.owner} answers the client",
                lambda: any(f" on {self.owner} " in (a.body or "") for a in probe.attempts(moved)),
                timeout_seconds=10,
            )
            attempts = probe.attempts(killed)
        self._show_neighbour()
        self.narrator.measured(
            "owner killed until the client's neighbour entry had moved", milliseconds(moved - killed)
        )
        failed = sum(attempt.body is None for attempt in attempts)
        self.narrator.measured(
            "the client's fetches meanwhile",
            f"{len(attempts)}, {failed} failed (the dead speaker's node still forwards)",
        )

    def _resume_and_watch(self, frozen: str) -> None:
        resumed = time.monotonic()
        self.cluster.speaker(frozen).resume()
        self.narrator.say(f"speaker of {frozen} resumed (SIGCONT)")
        wait_for(
            f"{SERVICE} is gone",
            lambda: self._is_gone(SERVICE),
            timeout_seconds=SETTLE_SECONDS,
        )
        self.narrator.measured(
            "frozen speaker resumed until the Service was gone", milliseconds(time.monotonic() - resumed)
        )

    def _stays_terminating(self) -> None:
        until = time.monotonic() + STAYS_SECONDS
        while time.monotonic() < until:
            found = self.kubectl.json("get", "service", SERVICE)
            expect("deletionTimestamp" in found["metadata"], "a Service that is being deleted", found["metadata"])
            expect(bool(found["metadata"].get("finalizers")), "its finalizer in place", found["metadata"])
            time.sleep(0.2)
        finalizers = ", ".join(found["metadata"]["finalizers"])
        self.narrator.saw(f"{STAYS_SECONDS:g} s later it is still Terminating, held by {finalizers}")

    def _nobody_answers(self) -> None:
        self.cluster.run(CLIENT, "ip", "neighbour", "flush", "to", self.address)
        answer = self.cluster.fetch(self._url, timeout_seconds=4)
        expect("error" in answer, "no answer at an address that is being given back", answer)
        entry = self.cluster.neighbour(self.address)
        expect(entry is None or entry.mac is None, "nobody answers ARP for it", entry)
        self.narrator.saw(f"the client asks again by ARP, and nobody answers: {answer['error']}")

    def _answers_until_every_pod_has_answered(self) -> list[str]:
        pods = {manifests.pod_name(node) for node in self.cluster.topology.nodes}
        answers: list[str] = []

        def all_answered() -> bool:
            answers.append(self._get())
            return {answer.split()[1] for answer in answers} == pods

        wait_for(f"answers from {', '.join(sorted(pods))}", all_answered, timeout_seconds=SETTLE_SECONDS)
        return answers

    def _wait_for_owner(self, among: set[str], *, settle: bool = False) -> None:
        """Until the IPAllocation and the client's neighbour table name the same, one of these nodes.

        `settle`: give those that come into question time to make up their minds first.
        """
        if settle:
            time.sleep(2.0)

        def agreed() -> str | None:
            self._get_quietly()
            on_the_wire = self.cluster.neighbour(self.address)
            node = self.cluster.node_of_mac(on_the_wire.mac) if on_the_wire else None
            return node if node in among and self._announced_by() == [node] else None

        what = f"{' or '.join(sorted(among))} owns {self.address}, on the wire and in the IPAllocation"
        self._own(wait_for(what, agreed, timeout_seconds=FAILOVER_SECONDS, poll_seconds=0.1))

    def _own(self, node_name: str) -> None:
        """Remember who owns the address now."""
        if self.owners[-1:] != [node_name]:
            self.owners.append(node_name)

    def _owner_on_the_wire(self) -> str:
        entry = self.cluster.neighbour(self.address)
        node = self.cluster.node_of_mac(entry.mac) if entry else None
        if node is None:
            raise WaitExpired(f"the client's neighbour entry of {self.address} names no node: {entry}")
        return node

    def _wait_until_announced(self) -> None:
        name = self._allocation
        what = f"{name} is announced"
        wait_for(what, lambda: self._is_true("ipallocation", name, "Announced"), timeout_seconds=SETTLE_SECONDS)

    def _expect_no_failure(self, attempts: list[observe.Attempt], when: str) -> None:
        failed = [attempt for attempt in attempts if attempt.body is None]
        expect(bool(attempts) and not failed, f"no failed fetch {when}", f"{len(failed)} of {len(attempts)} failed")

    # --- small questions

    @property
    def _url(self) -> str:
        return f"http://{self.address}:{PORT}/"

    @property
    def _allocation(self) -> str:
        return f"v4-{self.address.replace('.', '-')}"

    def _announced_by(self) -> list[str]:
        found = self.kubectl.json("get", "ipallocation", self._allocation)
        nodes: list[str] = found.get("status", {}).get("announcedBy", [])
        return nodes

    def _condition(self, kind: str, name: str, condition: str) -> dict[str, str] | None:
        return observe.conditions(self.kubectl.json("get", kind, name)).get(condition)

    def _is_true(self, kind: str, name: str, condition: str) -> bool:
        found = self._condition(kind, name, condition)
        return found is not None and found["status"] == "True"

    def _waits_for(self, node_name: str) -> str | None:
        found = self._condition("ipallocation", self._allocation, "Withdrawn")
        if found is None or (found["status"], found["reason"]) != ("False", "WaitingForSpeakers"):
            return None
        return found["message"] if node_name in found["message"] else None

    def _is_gone(self, service: str) -> bool:
        return self.kubectl.run("get", "service", service).returncode != 0

    def _speakers_are_ready(self) -> bool:
        return observe.serving(self.cluster) == set(self.node_names)

    def _events(self, service: str) -> str:
        return self.kubectl("events", f"--for=service/{service}")

    def _all_run(self) -> None:
        for process in self.cluster.processes.values():
            process.require_running()

    # --- doing and telling

    def _apply(self, manifest: str) -> None:
        printed = self.kubectl.apply(manifest)
        self.narrator.command("kubectl", "apply", "-f", "-", stdin=manifest, printed=printed)

    def _show(self, *arguments: str) -> str:
        printed = self.kubectl(*arguments)
        self.narrator.command("kubectl", *arguments, printed=printed)
        return printed

    def _patch(self, service: str, patch: dict[str, object]) -> None:
        self._show("patch", "service", service, f"--patch={json.dumps(patch)}")

    def _show_neighbour(self) -> None:
        command = ("ip", "neighbour", "show", "to", self.address)
        self.narrator.command(*command, prompt=f"{CLIENT}$", printed=self.cluster.run(CLIENT, *command))

    def _fetch(self, host: str = CLIENT) -> str:
        """From `host`, shown; gives what the backend answered. The rules behind an address may follow it by moments."""
        body = wait_for("the backend answers", lambda: self._body(host), timeout_seconds=10)
        self.narrator.say(f"{host} fetches {self._url}: {body}")
        return body

    def _get(self) -> str:
        return wait_for("the backend answers", self._body, timeout_seconds=10)

    def _get_quietly(self) -> None:
        self._body()

    def _body(self, host: str = CLIENT) -> str | None:
        body = self.cluster.fetch(self._url, host=host, timeout_seconds=1).get("body")
        return str(body) if body else None
