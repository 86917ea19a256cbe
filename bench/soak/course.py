"""A soak from its begin to its end: a cluster comes up, storms of acts and faults, calm after each, and peace.

    storm   acts and faults at random, by the seed, with at most so many faults at once as MOST_FAULTS says: one after
            the other shows what each costs, and where many are there, nearly nothing is released meanwhile
    calm    faults end; within CALM_SECONDS all speakers serve, no release is left, each Service has an address or a
            reason why it has none, and each address answers the client
    peace   Services go, too: within PEACE_SECONDS all are gone, and no IPAllocation, DepartedSpeaker or route is left,
            reports name no address, and nobody has objects that were not there before; then a second without a frame

What is judged besides is in verdict.py.
"""

import random
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.measure import progress
from bench.soak.acts import POOL, SERVICE_NAMES, ServiceActs
from bench.soak.api import Api
from bench.soak.cluster import SoakCluster
from bench.soak.evidence import VISITS, answers, frames, routes, shown_throughout, visits_size
from bench.soak.faults import FaultActs, Said, attempted, name_of
from bench.soak.programs import Use, leaks, uses
from bench.soak.result import Result
from bench.soak.tables import TablePoller
from bench.soak.timing import Operation, by_fault, takeovers, unanswered
from bench.soak.verdict import (
    Violation,
    answers_of_strangers,
    asked_without_record,
    frames_without_record,
    routes_without_record,
)
from bench.soak.watcher import Watcher
from kube.resource import (
    DEPARTEDSPEAKERS,
    IPALLOCATIONS,
    LEASES,
    RELEASECONFIRMATIONS,
    SERVICES,
    SPEAKERS,
)
from lab.client import LabClient
from lab.cluster import Settings
from lab.net.hosts import CLIENT
from lab.net.netns import CommandFailed
from lab.observe import conditions, reports, serving
from lab.routers.base import Router, RouterSettings
from lab.scripts import script
from lab.waiting import wait_for

STORM_SECONDS = 120.0
MOST_FAULTS = (3, 1, 1, 100)
"""In the first storm, the second, ..., and again from the first."""
CALM_SECONDS = 150.0
PEACE_SECONDS = 150.0
"""Restart time and hold time of the routers, the fence, and a loaded machine."""
QUIET_SECONDS = 1.0
VALUES = {
    "fenceAfterSeconds": 12,
    "allocator": {"replicas": 2, "lease": {"durationSeconds": 5}},
    "speaker": {"failbackAfterSeconds": 3, "bgp": {"drainSeconds": 1}},
}
SECOND_ROUTER = "router2"


@dataclass(frozen=True)
class Plan:
    """What to do. `takes_cpu` False: no fault that disturbs others on this machine. `with_frr`: a second router."""

    directory: Path
    seconds: float
    seed: int
    takes_cpu: bool = True
    with_frr: bool = True


def soak(plan: Plan, tell: Callable[[str], None] = progress) -> Result:
    """All of it, in a cluster of its own. Raises Unsupported where this machine has no namespaces or routers."""
    with SoakCluster(Settings(plan.directory, name="soak", values=VALUES), tell=tell) as cluster:
        return Soak(cluster, plan, tell).run()


class Soak:
    """On a cluster that is up."""

    def __init__(self, cluster: SoakCluster, plan: Plan, tell: Callable[[str], None]) -> None:
        self._cluster, self._plan, self._tell = cluster, plan, tell
        self._random = random.Random(plan.seed)
        self._api = Api(cluster.kubeconfig)
        self._watcher = Watcher(cluster.kubeconfig)
        self._services = ServiceActs(self._api, self._random, self._watcher)
        self._faults = FaultActs(cluster, self._api, self._random, self._say)
        self._acts: Counter[str] = Counter()
        self._struck: Counter[str] = Counter()
        self._tried: Counter[str] = Counter()
        self._log = plan.directory / "acts.log"
        self._urls = plan.directory / "urls"
        self._poller: TablePoller | None = None
        self._uses: list[tuple[float, dict[str, Use]]] = []
        self._calms: list[float] = []
        self._unsettled: list[str] = []
        self._before: dict[str, set[str]] = {}

    # ---- the course

    def run(self) -> Result:
        self._prepare()
        began = time.monotonic()
        self._tell(f"soak for {self._plan.seconds:g} s, seed {self._plan.seed}; log: {self._log}")
        rounds = max(1, round(self._plan.seconds / STORM_SECONDS))
        for number in range(rounds):
            self._storm(
                began + self._plan.seconds * (number + 1) / rounds, most_faults=MOST_FAULTS[number % len(MOST_FAULTS)]
            )
            self._calm()
        left, peace_seconds = self._peace()
        ended = time.monotonic()
        time.sleep(QUIET_SECONDS)
        if self._poller is not None:
            self._poller.stop()
        return self._judged(began, ended, left, peace_seconds)

    def _prepare(self) -> None:
        cluster, lab = self._cluster, LabClient(self._cluster)
        cluster.start_router("bird", settings=RouterSettings(hold_time_seconds=9))
        if self._plan.with_frr:
            cluster.start_router("frr", host=SECOND_ROUTER, settings=RouterSettings(hold_time_seconds=9))
        cluster.record_segment()
        cluster.start_backends(len(SERVICE_NAMES))
        lab.all_serve(timeout_seconds=60)
        lab.pool("pool", *(f"{one[0]}-{one[-1]}" for one in (POOL[:8], POOL[8:])))
        lab.advertise_all()
        lab.bgp_advertisement("all")
        for host in cluster.routers:
            lab.bgp_peer(host, host=host, holdTimeSeconds=9, gracefulRestart={"restartTimeSeconds": 15})
        nodes = {node.name for node in cluster.topology.nodes}
        for host, router in cluster.routers.items():
            wait_for(f"sessions with {host}", _has_sessions(router, nodes), timeout_seconds=60)
        self._watcher.start()
        for address in POOL:
            cluster.start_script(f"ask-{address}", CLIENT, "ask.py", address, "--interval-seconds=0.2")
        self._urls.write_text("")
        visits = [*script("fetch.py"), f"--listed-in={self._urls}", "--timeout-seconds=1", "--every-seconds=0.5"]
        cluster.start(VISITS, CLIENT, visits)
        if self._plan.with_frr:
            self._poller = TablePoller(cluster.routers[SECOND_ROUTER])
            self._poller.start()
        self._before = self._objects()
        self._uses.append((time.monotonic(), uses(cluster)))

    def _storm(self, until: float, *, most_faults: int) -> None:
        services: list[tuple[int, Callable[[], Said]]] = [
            (12, self._services.create), (9, self._services.delete), (4, self._services.flip),
            (4, self._services.move), (3, self._services.share), (2, self._services.change_port),
            (2, self._services.change_policy),
        ]  # fmt: skip
        faults = self._faults.all(takes_cpu=self._plan.takes_cpu)
        both = [*((*one, self._acts) for one in services), *((*one, self._struck) for one in faults)]
        while time.monotonic() < until:
            self._settle()
            ((_, act, counter),) = self._random.choices(both, [one[0] for one in both])
            if counter is self._struck and self._faults.count() >= most_faults:
                continue
            if counter is self._struck and most_faults == 1:
                act = self._next_in_turn(faults)
            if self._do(act, counter) and counter is self._struck:
                self._do(self._services.let_go, self._acts)  # its release meets the fault
            time.sleep(self._random.uniform(0.05, 0.6))

    def _next_in_turn(self, faults: list[tuple[int, Callable[[], Said]]]) -> Callable[[], Said]:
        """By its weight the one that was tried least often: so each comes, and each node has its turn."""
        _, act = min(faults, key=lambda one: (self._tried[name_of(one[1])] / one[0], self._random.random()))
        self._tried[name_of(act)] += 1
        return act

    def _do(self, act: Callable[[], Said], counter: Counter[str]) -> bool:
        """Whether it was done."""
        said, is_done = attempted(act)
        counter[name_of(act)] += is_done
        if said is not None:
            self._say(said)
        return is_done

    def _settle(self) -> None:
        self._faults.settle()
        self._services.settle()
        hosts = [
            f"http://{f'[{address}]' if ':' in address else address}:{port}/port"
            for shown in self._watcher.statuses.now
            for address in shown.addresses
            for port in shown.ports
        ]
        fresh = self._urls.with_suffix(".new")
        fresh.write_text("\n".join(hosts))
        fresh.replace(self._urls)

    def _calm(self) -> None:
        """Faults end; what should be so then."""
        self._say("calm")
        self._faults.end()
        began, before = time.monotonic(), visits_size(self._cluster)
        found = ["?"]
        while found and time.monotonic() - began < CALM_SECONDS:
            time.sleep(0.5)
            self._settle()
            with suppress(CommandFailed, OSError):
                found = self._not_settled(began, before)
        self._calms.append(round(time.monotonic() - began, 1))
        self._unsettled += [f"after {self._calms[-1]:g} s of calm: {one}" for one in found]
        self._say(f"calm after {self._calms[-1]:g} s: {found or 'all is well'}")
        self._tell(f"calm after {self._calms[-1]:g} s{': ' + '; '.join(found) if found else ''}")
        self._uses.append((time.monotonic(), uses(self._cluster)))

    def _not_settled(self, began: float, before: int) -> list[str]:
        cluster = self._cluster
        found = [f"{node.name} does not serve" for node in cluster.topology.nodes if node.name not in serving(cluster)]
        for record in self._api.items(IPALLOCATIONS):
            if record["spec"].get("releasing"):
                found.append(f"{record['spec']['address']} is being released")
        reached = {(one.address, one.service) for one in answers(self._cluster, began, before)}
        for service in self._api.items(SERVICES):
            name = service["metadata"]["name"]
            if name not in SERVICE_NAMES or service["spec"]["type"] != "LoadBalancer":
                continue
            shown = [one["ip"] for one in service.get("status", {}).get("loadBalancer", {}).get("ingress", [])]
            said = conditions(service).get("berth.dev/Allocated", {})
            if not shown and said.get("status") != "False":
                found.append(f"{name} has no address, and no reason why")
            found += [f"{name} does not answer at {one}" for one in shown if (one, name) not in reached]
        return found

    def _peace(self) -> tuple[list[str], float]:
        self._say("peace")
        self._tell("peace")
        began = time.monotonic()
        left: list[str] = ["?"]
        while left and time.monotonic() - began < PEACE_SECONDS:
            with suppress(CommandFailed, OSError):
                self._services.delete_all()
                left = self._left()
            time.sleep(0.5)
        return left, round(time.monotonic() - began, 1)

    def _left(self) -> list[str]:
        left = [name for name in _names(self._api.items(SERVICES)) if name in SERVICE_NAMES]
        left += _names(self._api.items(IPALLOCATIONS))
        left += [f"DepartedSpeaker {name}" for name in _names(self._api.items(DEPARTEDSPEAKERS))]
        for host, router in self._cluster.routers.items():
            for node, prefixes in router.prefixes().items():
                left += [f"route {one} of {node} at {host}" for one in sorted(prefixes) if one.split("/")[0] in POOL]
        for node, said in reports(self._cluster).items():
            left += [f"{node} reports {address}" for address in said.get("announcements", {})]
        for kind, names in self._objects().items():
            left += [f"{kind} {name} was not there before" for name in sorted(names - self._before[kind])]
        return left

    def _objects(self) -> dict[str, set[str]]:
        kinds = (SPEAKERS, RELEASECONFIRMATIONS, LEASES)
        return {resource.kind: set(_names(self._api.items(resource))) for resource in kinds}

    def _say(self, what: str) -> None:
        with self._log.open("a") as log:
            log.write(f"{time.monotonic():.3f} {what}\n")

    # ---- the judgement

    def _judged(self, began: float, ended: float, left: list[str], peace_seconds: float) -> Result:
        cluster, lives = self._cluster, self._watcher.records.lives
        seen, had = frames(cluster, began), routes(cluster, self._faults.router_lost, began)
        asked = [] if self._poller is None else [one for one in self._poller.sightings if one.address in POOL]
        visits = answers(cluster, began)
        found: list[Violation] = frames_without_record(lives, seen) + routes_without_record(lives, had)
        found += asked_without_record(lives, asked)
        if not left:
            found += [Violation("frame in peace", frame, None) for frame in seen if frame.at > ended]
        violations = [str(one) for one in found] + answers_of_strangers(self._watcher.records.holdings, visits)
        released = [Operation("released", one.marked, one.gone) for one in self._watcher.records.releases]
        gaps = unanswered(visits, shown_throughout(self._watcher.statuses.history, ended))
        spans = self._faults.spans
        times = by_fault([*self._services.done, *released, *gaps], spans)
        samples = [self._uses[0], self._uses[len(self._uses) // 2], self._uses[-1]]
        return Result(
            seed=self._plan.seed,
            seconds=round(ended - began, 1),
            acts=dict(self._acts),
            faults=dict(self._struck),
            records=len(lives),
            frames=len(seen),
            routes=len(had) + len({(one.node, one.address) for one in asked}),
            answers=len(visits),
            ended_by_themselves=dict(self._faults.ended),
            times=times | {"taken over": takeovers(spans, seen, lives)},
            calms=self._calms,
            peace_seconds=peace_seconds,
            uses=dict(zip(("beginning", "middle", "end"), (one for _, one in samples), strict=True)),
            violations=violations,
            unsettled=self._unsettled,
            left=left,
            leaks=leaks(samples[1][1], samples[2][1], samples[2][0] - samples[1][0]),
            left_out=[] if cluster.has_clock else ["clock steps: no C compiler"],
        )


def _has_sessions(router: Router, nodes: set[str]) -> Callable[[], bool]:
    return lambda: router.established() == nodes


def _names(items: list[dict[str, Any]]) -> list[str]:
    return [item["metadata"]["name"] for item in items]
