"""The demo's steps, in order: each does something, looks, tells what it saw, and fails loudly if that was wrong.

How to look is in watchedaddress.py and lab/observe.py, how to tell in narrator.py.
"""

import json
import time

from lab import observe
from lab.cluster import NAMESPACE, Cluster
from lab.demo import dual_stack, routers
from lab.demo.narrator import Narrator, expect, milliseconds
from lab.demo.shown import ShownKubectl
from lab.demo.watchedaddress import FAILOVER_SECONDS, SETTLE_SECONDS, WatchedAddress, expect_no_failure
from lab.net.claims import ownership_spans
from lab.net.hosts import POOL_IPV4, POOL_IPV6, ROUTER
from lab.process import State
from lab.waiting import wait_for

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
STAYS_SECONDS = 3.0
HAND_OVER_SECONDS = 0.1
"""An owner that hands over goes on until it sees the successor's first frame."""
"""How long we look at a Service that must stay Terminating."""


class Story:
    """The steps share what they learned: `vip`, the Service's address, once it has one."""

    vip: WatchedAddress

    def __init__(self, cluster: Cluster, narrator: Narrator) -> None:
        self.cluster = cluster
        self.kubectl = cluster.kubectl
        self.narrator = narrator
        self.show = ShownKubectl(cluster.kubectl, narrator)
        self.node_names = [node.name for node in cluster.topology.nodes]

    def tell(self) -> None:
        """All steps, on a cluster that is up."""
        self.cluster.record_segment()
        self.berth_is_ready()
        self.pool_and_advertisement()
        self.service_gets_an_address()
        self.client_reaches_it()
        dual_stack.tell(self.cluster, self.narrator)
        routers.tell(self.cluster, self.narrator, spare=self.vip.owner)
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
        self.show("get", "nodes", "-o", "wide")
        self._wait_until_all_serve()
        self.show("get", "speakers")
        leader = wait_for(
            "an allocator leads",
            lambda: observe.lease_holder(self.cluster, "berth-allocator", NAMESPACE),
            timeout_seconds=30,
        )
        self.show("get", "leases", f"--namespace={NAMESPACE}")
        self.narrator.saw(f"{leader} holds the lease berth-allocator; speakers on {', '.join(self.node_names)} serve")

    def pool_and_advertisement(self) -> None:
        self.narrator.step("An operator creates an IPPool and an L2Advertisement")
        for manifest in (POOL, ADVERTISEMENT):
            self.show.apply(manifest)
        wait_for("the pool is ready", lambda: self._is_ready("ippool", "demo"), timeout_seconds=SETTLE_SECONDS)
        what = "the advertisement is ready"
        wait_for(what, lambda: self._is_ready("l2advertisement", "demo"), timeout_seconds=SETTLE_SECONDS)
        self.show("get", "ippools,l2advertisements")

    def service_gets_an_address(self) -> None:
        self.narrator.step("A user creates the Service that Kubernetes' documentation explains load balancers with")
        self.show.apply(EXAMPLE_SERVICE)
        created = time.monotonic()
        address = observe.wait_for_address(self.cluster, SERVICE)
        self.vip = WatchedAddress(self.cluster, self.narrator, address, PORT)
        self.vip.wait_until_announced()
        waited = milliseconds(time.monotonic() - created)
        self.narrator.measured("Service created until kubectl saw its address announced", waited)
        described = self.show("describe", "services", SERVICE)
        expect("LoadBalancer Ingress:" in described, "a line `LoadBalancer Ingress`", described)
        line = next(line for line in described.splitlines() if line.startswith("LoadBalancer Ingress:"))
        expect(self.vip.address in line, f"{self.vip.address} in that line", line)
        self.show("get", "ipallocations")
        self.narrator.saw(" ".join(line.split()))

    def client_reaches_it(self) -> None:
        self.narrator.step("A client on the segment fetches from it; its own kernel asks by ARP who has the address")
        self.vip.expect_unknown()
        self.vip.fetch()
        self.vip.show_neighbour()
        self.vip.find_owner()
        expect(
            self.vip.announced_by() == [self.vip.owner],
            f"status.announcedBy names {self.vip.owner} alone",
            self.vip.announced_by(),
        )
        self.narrator.saw(f"{self.vip.address} is at the MAC of {self.vip.owner}, and the IPAllocation says so too")
        answers = self.vip.answers_of_all_pods()
        self.narrator.saw(f"the pods of all nodes have answered at {self.vip.address}:{PORT}, under the policy Cluster")
        sources = {answer.split()[-1] for answer in answers}
        node = self.cluster.topology.node(self.vip.owner)
        own = {str(node.ipv4), str(node.pod_gateway_ipv4)}
        expect(sources <= own, f"backends see addresses of {self.vip.owner}: {' or '.join(sorted(own))}", sources)
        self.narrator.saw(
            f"backends see {self.vip.owner}'s own addresses, {' and '.join(sorted(sources))}, not the client's"
        )
        self.vip.fetch(ROUTER)

    def local_policy_keeps_the_source_address(self) -> None:
        here = next(name for name in self.node_names if name != self.vip.owner)
        self.narrator.step(f"externalTrafficPolicy: Local, and only the pod on {here} is ready")
        for name in self.node_names:
            self.cluster.kubelet.set_pod_ready(name, name == here)
        self.show("get", "pods", "-o", "wide")
        self.show("patch", "service", SERVICE, f"--patch={json.dumps({'spec': {'externalTrafficPolicy': 'Local'}})}")
        self.vip.wait_for_owner({here})
        answer = self.vip.fetch()
        client = str(self.cluster.topology.client.ipv4)
        expect(answer == f"pod example-{here} on {here} sees {client}", f"{here}'s own pod sees {client}", answer)
        self.narrator.saw(f"{here} owns the address now; its pod answers, and sees the client's own address {client}")

    def owner_dies(self) -> None:
        heir = next(name for name in self.node_names if name != self.vip.owner)
        self.narrator.step(
            "The owner's speaker is killed (SIGKILL); another node with a ready pod takes the address over"
        )
        self.cluster.kubelet.set_pod_ready(heir, True)
        self.vip.wait_for_owner({self.vip.owner, heir}, settle=True)
        self._kill_and_watch(self.vip.owner)

    def owner_comes_back(self) -> None:
        dead = next(name for name in self.node_names if self.cluster.speaker(name).state is State.ENDED)
        self.narrator.step(f"The speaker of {dead} starts again")
        with observe.probing(self.cluster, self.vip.url) as probe:
            begun = time.monotonic()
            self.cluster.speaker(dead).start()
            self._wait_until_all_serve()
            self.vip.wait_for_owner(set(self.node_names), settle=True)
            expect_no_failure(probe.attempts(begun), "while it came back")
        self.narrator.saw(f"{self.vip.owner} owns the address, and no fetch failed meanwhile")

    def bad_input_is_explained(self) -> None:
        self.narrator.step(f"A Service asks for {OUTSIDE}, an address outside every pool")
        self.show.apply(STRAY_SERVICE)
        condition = wait_for(
            "the Service says why it has no address",
            lambda: self._condition("service", "stray-service", "berth.dev/Allocated"),
            timeout_seconds=SETTLE_SECONDS,
        )
        self.show("get", "service", "stray-service")
        expect(condition["status"] == "False", "condition berth.dev/Allocated is False", condition)
        self.narrator.saw(f"{condition['reason']}: {condition['message']}")
        about = "--for=service/stray-service"
        events = wait_for(
            "there is an Event about it",
            lambda: found if condition["reason"] in (found := self.kubectl("events", about)) else None,
            timeout_seconds=SETTLE_SECONDS,
        )
        self.narrator.command("kubectl", "events", about, printed=events)
        self.show("annotate", "service", "stray-service", "berth.dev/ips-")
        address = observe.wait_for_address(self.cluster, "stray-service")
        self.narrator.saw(f"without the annotation it gets {address}")
        self.show("delete", "service", "stray-service", "--timeout=20s")

    def deletion_waits_for_a_frozen_speaker(self) -> None:
        frozen = self.vip.owner
        self.narrator.step(
            f"The speaker of {frozen}, which owns the address, freezes (SIGSTOP); the Service is deleted"
        )
        frozen_at = time.monotonic()
        self.cluster.speaker(frozen).freeze()
        self.show("delete", "service", SERVICE, "--wait=false")
        message = self.vip.wait_until_it_waits_for(frozen)
        # Until its release was asked for, another node may have taken the address over: kubectl takes its time.
        silent_since = time.monotonic()
        for span in ownership_spans(self.cluster.claims(self.vip.address, since=frozen_at), self.cluster.macs()):
            self.vip.remember(span.node)
        self.show("get", "ipallocations", "-o", "wide")
        self.narrator.saw(f"WaitingForSpeakers: {message}")
        self._stays_terminating()
        self.vip.expect_nobody_answers()
        self.show.apply(NEXT_SERVICE)
        other = observe.wait_for_address(self.cluster, "next-service")
        expect(
            other != self.vip.address, f"another address than {self.vip.address} for a Service made meanwhile", other
        )
        self.narrator.saw(f"a Service made meanwhile gets {other}: nobody else may have {self.vip.address} yet")
        self.show("delete", "service", "next-service", "--wait=false")
        self._resume_and_watch(frozen)
        claims = self.cluster.claims(self.vip.address, since=silent_since)
        expect(not claims, f"no frame on the segment that claims {self.vip.address}", claims)
        self.narrator.saw(f"from then to here no frame on the segment claimed {self.vip.address}")

    def next_service_gets_the_address(self) -> None:
        self.narrator.step("The next Service gets the address")
        wait_for("next-service is gone", lambda: self._is_gone("next-service"), timeout_seconds=SETTLE_SECONDS)
        for name in self.node_names:
            self.cluster.kubelet.set_pod_ready(name, True)
        self.show.apply(NEXT_SERVICE)
        address = observe.wait_for_address(self.cluster, "next-service")
        expect(address == self.vip.address, f"next-service gets {self.vip.address}", address)
        self.vip.wait_until_announced()
        self.show("get", "services")
        answer = self.vip.fetch()
        self.vip.find_owner()
        self.narrator.saw(f"{address} is in use again: {answer}")

    def the_wire_agrees(self) -> None:
        self.narrator.step(f"Every ARP frame on the segment that claimed {self.vip.address}, by who sent it")
        claims = self.cluster.claims(self.vip.address)
        spans = ownership_spans(claims, self.cluster.macs(), hand_over_seconds=HAND_OVER_SECONDS)
        for span in spans:
            first, last = self.narrator.clock(span.first), self.narrator.clock(span.last)
            self.narrator.say(f"{first:6.1f} s to {last:6.1f} s   {span.node}   {span.frames} frames")
        expect(
            [span.node for span in spans] == self.vip.owners, f"these owners and no others: {self.vip.owners}", spans
        )
        self.narrator.saw("one node after the other, two only in the moment of a hand-over, and nobody else")

    # --- parts of steps

    def _kill_and_watch(self, victim: str) -> None:
        others = set(self.node_names) - {victim}
        with observe.probing(self.cluster, self.vip.url) as probe:
            wait_for("the client fetches", lambda: len(probe.attempts(0)) >= 3, timeout_seconds=10)
            killed = time.monotonic()
            self.cluster.speaker(victim).kill()
            self.narrator.say(f"speaker of {victim} killed")
            heir, moved = observe.wait_for_neighbour(
                self.cluster, self.vip.address, others, timeout_seconds=FAILOVER_SECONDS
            )
            self.vip.remember(heir)
            wait_for(
                f"a pod of {self.vip.owner} answers the client",
                lambda: any(f" on {self.vip.owner} " in (a.body or "") for a in probe.attempts(moved)),
                timeout_seconds=10,
            )
            attempts = probe.attempts(killed)
        self.vip.show_neighbour()
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

    # --- small questions

    def _condition(self, kind: str, name: str, condition: str) -> dict[str, str] | None:
        return observe.conditions(self.kubectl.json("get", kind, name)).get(condition)

    def _is_ready(self, kind: str, name: str) -> bool:
        found = self._condition(kind, name, "Ready")
        return found is not None and found["status"] == "True"

    def _is_gone(self, service: str) -> bool:
        return self.kubectl.run("get", "service", service).returncode != 0

    def _wait_until_all_serve(self) -> None:
        def all_run() -> None:
            for process in self.cluster.processes.values():
                process.require_running()

        nodes = set(self.node_names)
        wait_for(
            "all speakers are ready",
            lambda: observe.serving(self.cluster) == nodes,
            timeout_seconds=60,
            meanwhile=all_run,
        )
