"""An address of a Service as the demo looks at it: from a client, on the wire, and in its IPAllocation.

It remembers who owned it, in order. Changes nothing but a client's neighbour table.
"""

import time
from collections.abc import Sequence

from crds.names import allocation_name
from lab import observe
from lab.cluster import Cluster
from lab.demo.narrator import Narrator, expect
from lab.kubelet import manifests
from lab.net.hosts import CLIENT
from lab.waiting import WaitExpired, wait_for

SETTLE_SECONDS = 20.0
FAILOVER_SECONDS = 20.0
ANSWER_SECONDS = 10.0
HESITATION_SECONDS = 2.0
"""Speakers that come into question need no longer to make up their minds."""


class WatchedAddress:
    """`owners`: the nodes that were seen to own it, one after the other."""

    def __init__(self, cluster: Cluster, narrator: Narrator, address: str, port: int) -> None:
        host = f"[{address}]" if ":" in address else address
        self.address = address
        self.url = f"http://{host}:{port}/"
        self.allocation = allocation_name(address)
        self.owners: list[str] = []
        self._cluster = cluster
        self._narrator = narrator

    def __str__(self) -> str:
        return self.address

    @property
    def owner(self) -> str:
        """The one that was seen last."""
        return self.owners[-1]

    def remember(self, owner: str) -> None:
        """The node owns it now."""
        if self.owners[-1:] != [owner]:
            self.owners.append(owner)

    # --- what the IPAllocation says

    def condition(self, kind: str) -> dict[str, str]:
        """{} when it has none of that kind."""
        found = self._cluster.kubectl.json("get", "ipallocation", self.allocation)
        return observe.conditions(found).get(kind, {})

    def announced_by(self) -> list[str]:
        found = self._cluster.kubectl.json("get", "ipallocation", self.allocation)
        nodes: list[str] = found.get("status", {}).get("announcedBy", [])
        return nodes

    def wait_until_announced(self) -> None:
        what = f"{self.allocation} is announced"
        wait_for(what, lambda: self.condition("Announced").get("status") == "True", timeout_seconds=SETTLE_SECONDS)

    def wait_until_it_waits_for(self, node: str) -> str:
        """The message, once its release waits for the node's speaker, and for no other."""
        others = {one.name for one in self._cluster.topology.nodes} - {node}

        def message() -> str | None:
            found = self.condition("Withdrawn")
            if (found.get("status"), found.get("reason")) != ("False", "WaitingForSpeakers"):
                return None
            text: str = found["message"]
            return text if f"{node}: " in text and not any(f"{other}: " in text for other in others) else None

        return wait_for(
            f"the IPAllocation says that it waits for {node} alone", message, timeout_seconds=SETTLE_SECONDS
        )

    # --- what the wire says

    def node_on_the_wire(self) -> str | None:
        """By the client's neighbour table; None when that names no node."""
        entry = self._cluster.neighbour(self.address)
        return self._cluster.node_of_mac(entry.mac) if entry else None

    def find_owner(self) -> None:
        """The client's neighbour table names it. Raises WaitExpired when it names no node."""
        node = self.node_on_the_wire()
        if node is None:
            entry = self._cluster.neighbour(self.address)
            raise WaitExpired(f"the client's neighbour entry of {self} names no node: {entry}")
        self.remember(node)

    def wait_for_owner(self, among: set[str], *, settle: bool = False) -> None:
        """Until the IPAllocation and the client's neighbour table name the same, one of these nodes.

        `settle`: first leave them time to make up their minds.
        """
        if settle:
            time.sleep(HESITATION_SECONDS)

        def agreed() -> str | None:
            self.body()
            node = self.node_on_the_wire()
            return node if node in among and self.announced_by() == [node] else None

        what = f"{' or '.join(sorted(among))} owns {self}, on the wire and in the IPAllocation"
        self.remember(wait_for(what, agreed, timeout_seconds=FAILOVER_SECONDS, poll_seconds=0.1))

    def expect_unknown(self) -> None:
        """The client has never had an answer about it."""
        entry = self._cluster.neighbour(self.address)
        expect(entry is None or entry.mac is None, "a client that never heard of the address", entry)

    def expect_nobody_answers(self) -> None:
        self._cluster.run(CLIENT, "ip", "neighbour", "flush", "to", self.address)
        answer = self._cluster.fetch(self.url, timeout_seconds=4)
        expect("error" in answer, "no answer at an address that is being given back", answer)
        entry = self._cluster.neighbour(self.address)
        expect(entry is None or entry.mac is None, "nobody answers ARP for it", entry)
        self._narrator.saw(f"the client asks again by ARP, and nobody answers: {answer['error']}")

    def show_neighbour(self) -> None:
        command = ("ip", "neighbour", "show", "to", self.address)
        self._narrator.command(*command, prompt=f"{CLIENT}$", printed=self._cluster.run(CLIENT, *command))

    # --- what clients get

    def body(self, host: str = CLIENT) -> str | None:
        """Of one fetch from `host`; None when it failed."""
        found = self._cluster.fetch(self.url, host=host, timeout_seconds=1).get("body")
        return str(found) if found else None

    def fetch(self, host: str = CLIENT) -> str:
        """From `host`, shown; gives what the backend answered. The rules behind an address may follow it by moments."""
        found = wait_for("the backend answers", lambda: self.body(host), timeout_seconds=ANSWER_SECONDS)
        self._narrator.say(f"{host} fetches {self.url}: {found}")
        return found

    def answers_of_all_pods(self) -> list[str]:
        """All answers, until each node's pod has given one."""
        pods = {manifests.pod_name(node) for node in self._cluster.topology.nodes}
        answers: list[str] = []

        def all_answered() -> bool:
            answers.append(wait_for("the backend answers", self.body, timeout_seconds=ANSWER_SECONDS))
            return {answer.split()[1] for answer in answers} == pods

        wait_for(f"answers from {', '.join(sorted(pods))}", all_answered, timeout_seconds=SETTLE_SECONDS)
        return answers


def expect_no_failure(attempts: Sequence[observe.Attempt], when: str) -> None:
    """Of a probe's fetches."""
    failed = [attempt for attempt in attempts if attempt.body is None]
    expect(bool(attempts) and not failed, f"no failed fetch {when}", f"{len(failed)} of {len(attempts)} failed")
