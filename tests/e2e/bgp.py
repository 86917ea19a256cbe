"""For the end-to-end tests of BGP: a lab with a router, and what that router has while something happens.

Judges are the router's own table and log, never what speakers say of themselves.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Self

from lab.client import LabClient
from lab.cluster import Cluster
from lab.routers.base import Received
from lab.routers.bird import Bird

POOL, POOL_V6 = "192.0.2.0/24", "2001:db8::/64"
"""Outside the segment: a client gets there through the router alone (RFC 5737, RFC 3849)."""
NODES = ("node1", "node2", "node3")
GRACEFUL_SHUTDOWN = (65535, 0)
KEPT = "ippools,l2advertisements,bgpadvertisements,bfdprofiles,communities"
DRAIN_SECONDS = 2
BOTH = ["IPv4", "IPv6"]
PERMIT_SECONDS = 25.0
"""How long, at most, routes stand that no agent answers for: 15 s, and a busy machine."""


def values() -> dict[str, object]:
    """The chart's, for these tests."""
    return {
        "allocator": {"lease": {"durationSeconds": 5}},
        "speaker": {"failbackAfterSeconds": 3, "bgp": {"drainSeconds": DRAIN_SECONDS}, "drainWhenCordoned": True},
    }


def bird(lab: LabClient) -> Bird:
    router = lab.cluster.routers["router"]
    assert isinstance(router, Bird)
    return router


def peering(lab: LabClient, **spec: object) -> None:
    """The peer `tor` as tests start with it, changed by `spec`, with its sessions up."""
    lab.bgp_peer("tor", families=BOTH, holdTimeSeconds=9, **spec)
    settled(lab)


def settled(lab: LabClient) -> None:
    """Once the router and the Speakers agree that all sessions are up."""
    lab.until("the router has all sessions", lambda: bird(lab).established() == set(NODES), timeout_seconds=40)
    lab.established(timeout_seconds=40)


def bfd_settled(lab: LabClient, peer: str = "tor") -> None:
    """Once all Speakers say that their BFD session with it is up."""

    def up() -> set[str]:
        return {node for node, one in lab.bfd_sessions(peer).items() if one["state"] == "Up"}

    lab.until("BFD is up on all nodes", lambda: up() == set(NODES), timeout_seconds=40)


def service(lab: LabClient, name: str = "web", **spec: object) -> str:
    """A new Service's address, once the router has it from every node."""
    lab.service(name, **spec)
    (address,) = lab.addresses(name)
    lab.learned(address, *NODES)
    return address


def heal(cluster: Cluster) -> None:
    """Undo what a test did to processes and nodes. Faults of the API server are `LabClient.clear`'s."""
    for node in NODES:
        cluster.faults.heal(node)
        cluster.kubelet.set_pod_ready(node, True)
        cluster.kubectl("label", "node", node, "node.kubernetes.io/exclude-from-external-load-balancers-")
        cluster.speaker(node).resume()
        if cluster.speaker(node).returncode is not None:
            cluster.speaker(node).start()


@dataclass(frozen=True)
class TableSample:
    """The router's table for one prefix. `at`: Unix time when it was asked."""

    at: float
    routes: dict[str, Received]

    def nodes(self, community: tuple[int, int]) -> set[str]:
        return {node for node, route in self.routes.items() if community in route.communities}


@dataclass
class TableSampler:
    """Asks BIRD for a prefix hundreds of times a second, in a thread of its own, while the block lasts."""

    router: Bird
    prefix: str
    samples: list[TableSample] = field(default_factory=list)
    _ended: threading.Event = field(default_factory=threading.Event)
    _error: list[BaseException] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(timeout=30)
        if self._error:
            raise self._error[0]

    def _run(self) -> None:
        try:
            while not self._ended.is_set():
                at = time.time()
                sample = TableSample(at, self.router.routes(self.prefix))
                if not self.samples or sample.routes != self.samples[-1].routes or at - self.samples[-1].at > 0.05:
                    self.samples.append(sample)
                time.sleep(0.003)
        except BaseException as error:
            self._error.append(error)


class AddressWatch:
    """When the API server told a watcher first that a Service has an address. Unix time."""

    def __init__(self, lab: LabClient, name: str) -> None:
        path = 'jsonpath={.metadata.name}={.status.loadBalancer.ingress[0].ip}{"\\n"}'
        self._watch = lab.kubectl.start("get", "service", name, "--watch", f"--output={path}")
        self._began = threading.Event()
        self._seen = threading.Event()
        self.at: float | None = None
        self.address = ""
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        assert self._began.wait(20), "kubectl watches"

    def _read(self) -> None:
        assert self._watch.stdout is not None
        for line in self._watch.stdout:
            now = time.time()
            self._began.set()
            self.address = line.strip().partition("=")[2]
            if self.address:
                self.at = now
                self._seen.set()
                return

    def wait(self, timeout_seconds: float) -> float:
        assert self._seen.wait(timeout_seconds), f"no address within {timeout_seconds:g} s"
        assert self.at is not None
        return self.at

    def close(self) -> None:
        self._watch.kill()
        self._watch.wait()
        self._thread.join(timeout=10)
        if self._watch.stdout is not None:
            self._watch.stdout.close()


@contextmanager
def repeating(action: Callable[[], None], every_seconds: float) -> Iterator[None]:
    """Do it again and again, in a thread, while the block lasts."""
    ended = threading.Event()

    def run() -> None:
        while not ended.is_set():
            action()
            ended.wait(every_seconds)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(timeout=30)
