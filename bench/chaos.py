"""Random faults for as long as one likes, and judges who trust nothing that Berth says: no address without a holder.

`python -m bench.chaos [--seconds 600] [--seed N] [--directory D]`: one JSON object on stdout; exit code 1 when
something was wrong. Not part of `make bench`. Needs root, or a kernel that lets users make namespaces; BIRD as the
router.

A lab cluster of three nodes with two allocators, ten addresses for up to eight Services, layer 2 and BGP with
graceful restart at once. All at random, by the seed: Services are created, deleted, made ClusterIP and back, moved to
another address, joined on one address by a sharing key. Speakers are killed, frozen, terminated, cut off from the API
server and from each other, and their wire processes stopped; Speakers of killed ones are deleted (the operator's word
that a node is dead is given for dead ones alone); allocators are killed and frozen; the router ends sessions; the API
server, where it is the stand-in, answers late or with 409, 429, 500 and 503, does what it is told and answers 500,
hangs, drops its watches and loses its history. What ends starts again after some seconds, as a kubelet would have it.

What is judged:

    frames    a recorder on the segment: a node's ARP frame that claims an address of the pool while the address has no
              IPAllocation, as a watch of our own sees it. Slack: 0.05 s after it was seen to go, 1 s before it was seen
              to come. A client asks for every address five times a second.
    routes    BIRD's log: a node's route that came without an IPAllocation, or outlived the one it came under by more
              than 0.05 s. One that came in the last second of it is not judged by it when another one follows.
    peace     faults end, Services are deleted: within PEACE_SECONDS all are gone, and no IPAllocation, DepartedSpeaker
              or route is left; after that a second without any frame.

Which order things happen in depends on the machine too, so a seed shows the same acts at the same times, not the same
run. The directory keeps all logs; `acts.log` has each act with its monotonic time.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import ssl
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from bench.measure import progress
from bench.verdict import Life, Lives, Sighting, Violation, frames_without_record, routes_of, routes_without_record
from crds.names import ANNOTATION_IPS, ANNOTATION_SHARING_KEY
from kube.errors import ApiError
from kube.io.client import Client
from kube.resource import DEPARTEDSPEAKERS, IPALLOCATIONS, SERVICES, SPEAKERS, Resource
from lab.apiserver import real
from lab.client import LabClient
from lab.cluster import Cluster, Settings
from lab.kubectl import read_token
from lab.net.hosts import CLIENT
from lab.net.netns import CommandFailed
from lab.process import State
from lab.routers.base import RouterSettings
from lab.routers.bird import Bird
from lab.waiting import wait_for

POOL = [f"172.30.0.{number}" for number in range(200, 210)]
SERVICE_NAMES = [f"svc{number}" for number in range(8)]
KEYS = ("red", "blue")
PEACE_SECONDS = 150.0
"""Restart time and hold time of the router, the fence, and a loaded machine."""
REQUEST_SECONDS = 10.0
QUIET_SECONDS = 1.0
WORST_SECONDS = 20.0
"""Of a freeze, a cut, or an absence: past the fence, too."""
VALUES = {
    "fenceAfterSeconds": 12,
    "allocator": {"replicas": 2, "lease": {"durationSeconds": 5}},
    "speaker": {"failbackAfterSeconds": 3, "bgp": {"drainSeconds": 1}},
}
FAULTY = ("services/status", "services", "ipallocations", "speakers/status", "releaseconfirmations/status", "leases")
CODES = (409, 429, 500, 503)


class Api:
    """Requests of the administrator, cheaper than kubectl's: on a busy machine acts would come too seldom by that."""

    def __init__(self, kubeconfig: Path) -> None:
        cluster = yaml.safe_load(kubeconfig.read_text())["clusters"][0]["cluster"]
        self._server: str = cluster["server"]
        self._token = read_token(kubeconfig)
        context = ssl.create_default_context(cafile=cluster["certificate-authority"])
        no_proxy, https = urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        self._opener = urllib.request.build_opener(no_proxy, https)

    def ask(self, method: str, path: str, body: object = None, kind: str = "application/json") -> tuple[int, Any]:
        """Code and answer. Raises OSError when there is none."""
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": kind}
        text = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._server + path, data=text, headers=headers, method=method)
        try:
            with self._opener.open(request, timeout=REQUEST_SECONDS) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as refused:
            return refused.code, None

    def patch(self, path: str, body: object) -> bool:
        """A merge patch; whether it was done."""
        return self.ask("PATCH", path, body, "application/merge-patch+json")[0] == 200

    def items(self, resource: Resource) -> list[dict[str, Any]]:
        """All of them. Raises OSError when they are not told."""
        code, answer = self.ask("GET", resource.path())
        if code != 200:
            raise OSError(f"{resource.plural}: {code}")
        found: list[dict[str, Any]] = answer["items"]
        return found


def _service(name: str) -> str:
    return SERVICES.path(name, "default")


class Watcher:
    """Our own watch of the IPAllocations, in a thread of its own."""

    def __init__(self, kubeconfig: Path) -> None:
        self._kubeconfig = kubeconfig
        self._lives = Lives()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def lives(self) -> list[Life]:
        with self._lock:
            return self._lives.all()

    async def _run(self) -> None:
        async with await Client.connect(str(self._kubeconfig), user_agent="chaos") as client:
            while True:
                with suppress(ApiError):
                    await self._follow(client)
                await asyncio.sleep(0.05)

    async def _follow(self, client: Client) -> None:
        items, version = await client.list(IPALLOCATIONS)
        records = [json.loads(item) for item in items]
        with self._lock:
            present = {one["metadata"]["uid"]: _address(one) for one in records}
            self._lives.listed(present, time.monotonic())
        async for event in client.watch(IPALLOCATIONS, resource_version=version):
            at = time.monotonic()
            if event.type not in ("ADDED", "MODIFIED", "DELETED"):
                continue
            record = json.loads(event.raw_object)
            with self._lock:
                if event.type == "DELETED":
                    self._lives.gone(record["metadata"]["uid"], at)
                else:
                    self._lives.seen(_address(record), record["metadata"]["uid"], at)


def _address(record: dict[str, Any]) -> str:
    address: str = record["spec"]["address"]
    return address


@dataclass(order=True)
class Due:
    """Something to undo, or to start again."""

    at: float
    what: str = field(compare=False)
    do: Callable[[], None] = field(compare=False)


class Chaos:
    """The acts, on a cluster that is up. `random` chooses acts, nodes and times."""

    def __init__(self, cluster: Cluster, chooser: random.Random) -> None:
        self.cluster = cluster
        self.api = Api(cluster.kubeconfig)
        self.random = chooser
        self.acts: Counter[str] = Counter()
        self.has_stand_in = real.assets() is None
        self._nodes = [node.name for node in cluster.topology.nodes]
        self._due: list[Due] = []
        self._disturbed: set[str] = set()
        self._log = cluster.settings.directory / "acts.log"

    # ---- the course ----

    def run(self, seconds: float) -> None:
        ends = time.monotonic() + seconds
        acts: list[tuple[int, Callable[[], str | None]]] = [
            (12, self._create), (10, self._delete), (4, self._flip), (4, self._move), (3, self._share),
            (3, self._kill), (3, self._freeze), (2, self._terminate), (3, self._cut), (1, self._part),
            (2, self._stop_wire), (2, self._hit_allocator), (2, self._end_session),
        ]  # fmt: skip
        if self.has_stand_in:
            acts += [(5, self._api_fault), (1, self._drop_watches), (1, self._hang)]
        while time.monotonic() < ends:
            self._settle_due()
            (act,) = self.random.choices([act for _, act in acts], [weight for weight, _ in acts])
            try:
                said = act()
            except (CommandFailed, OSError) as error:  # an injected fault may strike us, too
                said = f"{act.__name__} failed: {error}"
            if said is not None:
                self.acts[act.__name__.strip("_")] += 1
                self._say(said)
            time.sleep(self.random.uniform(0.05, 0.6))

    def end(self) -> None:
        """No fault any more, all programs run, and no Service is left to serve."""
        if self.has_stand_in:
            self.api.ask("DELETE", "/lab/faults")
        for one in sorted(self._due):
            self._say(one.what)
            one.do()
        self._due.clear()
        for node in self._nodes:
            self.cluster.faults.heal(node)
        for name in ("allocator-1", "allocator-2", *(f"speaker-{node}" for node in self._nodes)):
            self._start_again(name)
        self._say("peace")
        self.delete_services()

    def delete_services(self) -> None:
        for name in SERVICE_NAMES:
            self.api.ask("DELETE", _service(name))

    def _say(self, what: str) -> None:
        with self._log.open("a") as log:
            log.write(f"{time.monotonic():.3f} {what}\n")

    def _later(self, what: str, do: Callable[[], None], most: float = WORST_SECONDS) -> None:
        self._due.append(Due(time.monotonic() + self.random.uniform(0.3, most), what, do))

    def _settle_due(self) -> None:
        now = time.monotonic()
        due = sorted(one for one in self._due if one.at <= now)
        self._due = [one for one in self._due if one.at > now]
        for one in due:
            self._say(one.what)
            one.do()
        for name in ("allocator-1", "allocator-2", *(f"speaker-{node}" for node in self._nodes)):
            if name not in self._disturbed and self.cluster.processes[name].state is State.ENDED:
                self._start_again(name)  # it ended by itself, which some of these faults make it do

    # ---- Services ----

    def _create(self) -> str | None:
        name = self.random.choice(SERVICE_NAMES)
        annotations: dict[str, str] = {}
        if self.random.random() < 0.3:
            annotations[ANNOTATION_SHARING_KEY] = self.random.choice(KEYS)
        if self.random.random() < 0.3:
            annotations[ANNOTATION_IPS] = self.random.choice(POOL)
        policy = self.random.choice(("Cluster", "Cluster", "Local"))
        port = self.random.choice((80, 81, 82, 83))
        spec = {
            "type": "LoadBalancer",
            "selector": {"app": "example"},
            "ports": [{"port": port, "targetPort": 9376}],
            "externalTrafficPolicy": policy,
        }
        metadata = {"name": name, "annotations": annotations}
        body = {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}
        if self.api.ask("POST", SERVICES.path(namespace="default"), body)[0] != 201:
            return None  # it is there
        return f"service {name} is created, {policy}, port {port}, {annotations}"

    def _delete(self) -> str | None:
        name = self.random.choice(SERVICE_NAMES)
        return f"service {name} is deleted" if self.api.ask("DELETE", _service(name))[0] == 200 else None

    def _flip(self) -> str | None:
        name = self.random.choice(SERVICE_NAMES)
        to = self.random.choice(("ClusterIP", "LoadBalancer"))
        spec: dict[str, object] = {"type": to}
        if to == "ClusterIP":
            spec["externalTrafficPolicy"] = None
        return self._patch(name, {"spec": spec}, f"is {to}")

    def _move(self) -> str | None:
        address = self.random.choice((*POOL, None))
        annotations = {"metadata": {"annotations": {ANNOTATION_IPS: address}}}
        return self._patch(self.random.choice(SERVICE_NAMES), annotations, f"asks for {address}")

    def _share(self) -> str | None:
        key = self.random.choice((*KEYS, None))
        annotations = {"metadata": {"annotations": {ANNOTATION_SHARING_KEY: key}}}
        return self._patch(self.random.choice(SERVICE_NAMES), annotations, f"shares by {key}")

    def _patch(self, name: str, patch: Mapping[str, object], what: str) -> str | None:
        return f"service {name} {what}" if self.api.patch(_service(name), patch) else None

    # ---- programs ----

    def _node(self) -> str | None:
        """One that nothing is done to at present."""
        free = [node for node in self._nodes if f"speaker-{node}" not in self._disturbed]
        return self.random.choice(free) if free else None

    def _start_again(self, name: str) -> None:
        process = self.cluster.processes[name]
        if process.state is State.FROZEN:
            process.resume()
        if process.state is State.ENDED:
            process.start()
        self._disturbed.discard(name)

    def _kill(self) -> str | None:
        if (node := self._node()) is None:
            return None
        name = f"speaker-{node}"
        self._disturbed.add(name)
        self.cluster.speaker(node).kill()
        said = f"{name} is killed"
        if self.random.random() < 0.3:
            self.api.ask("DELETE", SPEAKERS.path(node))
            said += ", and Speaker deleted"
        self._later(f"{name} starts again", lambda: self._start_again(name))
        return said

    def _freeze(self) -> str | None:
        if (node := self._node()) is None:
            return None
        name = f"speaker-{node}"
        self._disturbed.add(name)
        self.cluster.speaker(node).freeze()
        self._later(f"{name} goes on", lambda: self._start_again(name))
        return f"{name} is frozen"

    def _terminate(self) -> str | None:
        if (node := self._node()) is None:
            return None
        name = f"speaker-{node}"
        self._disturbed.add(name)
        self.cluster.speaker(node).ask_to_stop()

        def again() -> None:
            self.cluster.speaker(node).stop(1.0)
            self._start_again(name)

        self._later(f"{name} starts again", again)
        return f"{name} is asked to stop"

    def _stop_wire(self) -> str | None:
        if (node := self._node()) is None:
            return None
        agent = self.cluster.speaker(node).pid
        children = Path(f"/proc/{agent}/task/{agent}/children").read_text().split()
        wires = [int(pid) for pid in children if b"speaker.wire" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        if not wires:
            return None
        os.kill(wires[0], signal.SIGSTOP)

        def go_on() -> None:
            with suppress(ProcessLookupError):
                os.kill(wires[0], signal.SIGCONT)

        self._later(f"the wire process of {node} goes on", go_on)
        return f"the wire process of {node} is stopped"

    def _hit_allocator(self) -> str | None:
        name = self.random.choice(("allocator-1", "allocator-2"))
        if name in self._disturbed:
            return None
        self._disturbed.add(name)
        process, is_killed = self.cluster.processes[name], self.random.random() < 0.5
        (process.kill if is_killed else process.freeze)()
        self._later(f"{name} is back", lambda: self._start_again(name), 8.0)
        return f"{name} is {'killed' if is_killed else 'frozen'}"

    # ---- the network, the router, the API server ----

    def _cut(self) -> str | None:
        node = self.random.choice(self._nodes)
        self.cluster.faults.cut_from_api(node)
        self._later(f"{node} reaches the API server again", lambda: self.cluster.faults.restore_to_api(node))
        return f"{node} is cut off from the API server"

    def _part(self) -> str | None:
        node = self.random.choice(self._nodes)
        self.cluster.faults.cut_from_members(node)
        self._later(f"{node} hears the others again", lambda: self.cluster.faults.restore_to_members(node), 8.0)
        return f"{node} is cut off from the other speakers"

    def _end_session(self) -> str | None:
        node = self.random.choice(self._nodes)
        router = bird_of(self.cluster)
        if self.random.random() < 0.5:
            router.restart_session(node)
            return f"the router ends the session with {node}"
        router.shut(node)
        self._later(f"the router lets {node} in again", lambda: router.unshut(node), 8.0)
        return f"the router shuts {node} out"

    def _api_fault(self) -> str | None:
        fault: dict[str, object] = {
            "resource": self.random.choice(FAULTY),
            "method": self.random.choice(("patch", "create", "delete", "get")),
            "probability": self.random.choice((0.3, 1.0)),
            "count": self.random.randint(1, 8),
        }
        kind = self.random.choice(("late", "refused", "done"))
        if kind == "late":
            fault["latency_seconds"] = self.random.uniform(0.2, 2.5)
        elif kind == "refused":
            fault["code"] = self.random.choice(CODES)
        else:
            fault |= {"code": 500, "after_commit": True}
        self.api.ask("POST", "/lab/faults", fault)
        return f"the API server misbehaves: {fault}"

    def _drop_watches(self) -> str | None:
        if self.random.random() < 0.5:
            self.api.ask("POST", "/lab/forget-history", {})
        self.api.ask("POST", "/lab/drop-watches", {})
        return "watches are dropped"

    def _hang(self) -> str | None:
        seconds = self.random.uniform(0.5, 4.0)
        self.api.ask("POST", f"/lab/freeze?seconds={seconds:.1f}", {})
        return f"the API server hangs for {seconds:.1f} s"


def bird_of(cluster: Cluster) -> Bird:
    router = cluster.routers["router"]
    assert isinstance(router, Bird)
    return router


@dataclass(frozen=True)
class Result:
    """`left`: what was still there when peace was to be reached."""

    seed: int
    seconds: float
    acts: dict[str, int]
    records: int
    frames: int
    routes: int
    violations: list[Violation]
    left: list[str]
    peace_seconds: float

    @property
    def is_right(self) -> bool:
        return not self.violations and not self.left


def chaos(directory: Path, seconds: float, seed: int, tell: Callable[[str], None] = progress) -> Result:
    """All of it, in a cluster of its own."""
    with Cluster(Settings(directory, name="chaos", values=VALUES), tell=tell) as cluster:
        return _chaos_in(cluster, seconds, seed, tell)


def _chaos_in(cluster: Cluster, seconds: float, seed: int, tell: Callable[[str], None]) -> Result:
    cluster.start_router("bird", settings=RouterSettings(hold_time_seconds=9))
    cluster.record_segment()
    one = Chaos(cluster, random.Random(seed))
    lab = LabClient(cluster)
    lab.all_serve(timeout_seconds=60)
    lab.pool("pool", f"{POOL[0]}-{POOL[-1]}")
    lab.advertise_all()
    lab.bgp_advertisement("all")
    lab.bgp_peer("tor", holdTimeSeconds=9, gracefulRestart={"restartTimeSeconds": 15})
    nodes = {node.name for node in cluster.topology.nodes}
    wait_for("sessions with the router", lambda: bird_of(cluster).established() == nodes, timeout_seconds=60)
    watcher = Watcher(cluster.kubeconfig)
    watcher.start()
    for address in POOL:
        cluster.start_script(f"ask-{address}", CLIENT, "ask.py", address, "--interval-seconds=0.2")
    began = time.monotonic()
    tell(f"chaos for {seconds:g} s, seed {seed}")
    one.run(seconds)
    one.end()
    tell("peace")
    left, took = _peace(one, watcher)
    ended = time.monotonic()
    time.sleep(QUIET_SECONDS)
    return _judged(one, watcher, began, ended, seed, left, took)


def _peace(one: Chaos, watcher: Watcher) -> tuple[list[str], float]:
    began = time.monotonic()
    left: list[str] = ["?"]
    while left and time.monotonic() - began < PEACE_SECONDS:
        time.sleep(0.5)
        with suppress(CommandFailed, OSError):
            left = _left(one)
    return left, time.monotonic() - began


def _left(one: Chaos) -> list[str]:
    api = one.api
    one.delete_services()
    left = [name for name in _names(api.items(SERVICES)) if name in SERVICE_NAMES]
    left += _names(api.items(IPALLOCATIONS)) + [
        f"DepartedSpeaker {name}" for name in _names(api.items(DEPARTEDSPEAKERS))
    ]
    for node, prefixes in bird_of(one.cluster).prefixes().items():
        left += [f"route {prefix} of {node}" for prefix in sorted(prefixes) if prefix.split("/")[0] in POOL]
    return left


def _names(items: list[dict[str, Any]]) -> list[str]:
    return [item["metadata"]["name"] for item in items]


def _judged(
    one: Chaos, watcher: Watcher, began: float, ended: float, seed: int, left: list[str], took: float
) -> Result:
    cluster, lives = one.cluster, watcher.lives
    frames = _frames(cluster, began)
    offset = time.monotonic() - time.time()
    events = bird_of(cluster).route_events()
    routes = [route for route in routes_of(events, began, offset) if route.address in POOL]
    violations = frames_without_record(lives, frames) + routes_without_record(lives, routes)
    if not left:
        violations += [Violation("frame in peace", frame, None) for frame in frames if frame.at > ended]
    return Result(
        seed, round(ended - began, 1), dict(one.acts), len(lives), len(frames), len(routes), violations, left, took
    )


def _frames(cluster: Cluster, began: float) -> list[Sighting]:
    macs, found = cluster.macs(), []
    with cluster.processes["sniffer"].log_path.open() as lines:
        for line in lines:
            row = json.loads(line) if line.endswith("}\n") else {}
            node = macs.get(row.get("sender_mac", ""))
            if node and row.get("sender_ip") in POOL and row["at"] >= began:
                found.append(Sighting(node, row["sender_ip"], row["at"]))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=None, help="for the same acts; random if left out")
    parser.add_argument("--directory", type=Path, default=None, help="keeps the logs; a temporary one if left out")
    given = parser.parse_args()
    seed = given.seed if given.seed is not None else random.SystemRandom().randrange(1_000_000)
    directory = given.directory or Path(tempfile.mkdtemp(prefix="berth-chaos-"))
    result = chaos(directory, given.seconds, seed)
    figures = {
        name: value for name, value in vars(result).items() if name not in ("violations", "left", "peace_seconds")
    }
    told = [str(one) for one in result.violations[:20]]
    figures |= {"violations": len(result.violations), "first": told, "left": result.left[:20]}
    print(json.dumps({"bench": "chaos", **figures, "peace_seconds": round(result.peace_seconds, 1)}), flush=True)
    progress(f"logs are in {directory}")
    return 0 if result.is_right else 1


if __name__ == "__main__":
    raise SystemExit(main())
