"""What breaks, at random, and is mended some seconds later: programs, network, routers, API server, disk, clock.

One speaker and one allocator (`LONG_LIVED`) are never ended, so that there are programs whose memory can be compared
over a whole run; all else happens to them, too.
"""

import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from bench.soak.api import Api
from bench.soak.cluster import SoakCluster
from bench.soak.timing import AFTERWARDS_SECONDS, FaultSpan
from kube.resource import SPEAKERS
from lab.apiserver import real
from lab.net.netns import CommandFailed
from lab.process import Process, State
from lab.routers.base import Router
from lab.routers.bird import Bird
from lab.waiting import WaitExpired

LONG_LIVED = frozenset({"speaker-node1", "allocator-1"})
ALLOCATORS = ("allocator-1", "allocator-2")
WORST_SECONDS = 20.0
"""Of a freeze, a cut, or an absence: past the fence, too."""
SHORT_SECONDS = 8.0
RESOURCES = ("services/status", "services", "ipallocations", "speakers/status", "releaseconfirmations/status", "leases")
CODES = (403, 409, 429, 500, 503, 504)
MOST_LOOKED_AT = 50
BUSY_PROCESSES = 6
CLOCK_STEPS = (-86400, -3600, -30, 30, 3600, 86400)

FAILURES = (CommandFailed, OSError, WaitExpired, subprocess.TimeoutExpired)
"""Of an act: an injected fault may strike us, too."""
AGAIN_SECONDS = 1.0

Said = str | None


@dataclass(order=True)
class Due:
    """Something to undo, or to start again."""

    at: float
    what: str = field(compare=False)
    do: Callable[[], None] = field(compare=False)
    kind: str = field(compare=False)
    node: str = field(compare=False)
    since: float = field(compare=False)


class FaultActs:
    """On a cluster that is up. Each act says what it did, or None when there was nothing that could be hit."""

    def __init__(self, cluster: SoakCluster, api: Api, chooser: random.Random, say: Callable[[str], None]) -> None:
        self._cluster, self._api, self._random, self._say = cluster, api, chooser, say
        self._nodes = [node.name for node in cluster.topology.nodes]
        self._due: list[Due] = []
        self._disturbed: set[str] = set()
        self._in_force: Counter[tuple[str, str]] = Counter()
        """By kind and node."""
        self._met: Counter[tuple[str, str]] = Counter()
        self.spans: list[FaultSpan] = []
        """Those that are over."""
        self.router_lost: dict[str, list[float]] = {}
        """When a router was killed, by its host (monotonic)."""
        self.ended: Counter[str] = Counter()
        """How often a program ended by itself, by its name."""
        self.has_stand_in = real.assets() is None

    def all(self, *, takes_cpu: bool) -> list[tuple[int, Callable[[], Said]]]:
        """Weights and acts. `takes_cpu` False: others work on this machine, too."""
        acts: list[tuple[int, Callable[[], Said]]] = [
            (3, self.kill), (3, self.freeze), (2, self.terminate), (2, self.stop_wire), (1, self.kill_engine),
            (2, self.hit_allocator), (1, self.terminate_allocator), (3, self.cut_from_api), (1, self.cut_from_members),
            (1, self.cut_from_api_and_members), (1, self.cut_from_segment), (1, self.pull_cable),
            (2, self.end_session), (1, self.kill_router), (1, self.freeze_router),
            (1, self.fill_disk), (2, self.take_descriptors),
        ]  # fmt: skip
        if takes_cpu:
            acts.append((1, self.take_cpu))
        if self._cluster.has_clock:
            acts.append((2, self.step_clock))
        if self.has_stand_in:
            acts += [(5, self.api_fault), (1, self.drop_watches), (1, self.hang), (1, self.restart_api)]
        return acts

    def count(self) -> int:
        """How many faults there are at present, or were a moment ago."""
        now = time.monotonic()
        return len(self._due) + sum(now <= one.until + AFTERWARDS_SECONDS for one in self.spans[-MOST_LOOKED_AT:])

    # ---- undoing

    def settle(self) -> None:
        """Undo what is due, and start again what ended by itself, as a kubelet would."""
        now = time.monotonic()
        for one in sorted(one for one in self._due if one.at <= now):
            self._undo(one)
        for name in self._programs():
            if name not in self._disturbed and self._cluster.processes[name].state is State.ENDED:
                self.ended[name] += 1
                self._say(f"{name} had ended by itself, and starts again")
                self._start_again(name)

    def end(self) -> None:
        """No fault any more, and all programs run."""
        while self.has_stand_in and not self._is_api_healed():  # it may be restarting
            time.sleep(AGAIN_SECONDS)
        while self._due:
            for one in sorted(self._due):
                self._undo(one)
        for node in self._nodes:
            self._cluster.faults.heal(node)
        self._disturbed.clear()
        for name in self._programs():
            self._start_again(name)

    def _programs(self) -> Iterator[str]:
        yield from ALLOCATORS
        yield from (f"speaker-{node}" for node in self._nodes)

    def _undo(self, one: Due) -> None:
        try:
            one.do()
        except FAILURES as error:
            one.at = time.monotonic() + AGAIN_SECONDS
            self._say(f"not yet: {one.what}: {error}")
            return
        self._say(one.what)
        self._due.remove(one)
        self._in_force[one.kind, one.node] -= 1
        self.spans.append(FaultSpan(one.kind, one.node, one.since, time.monotonic()))

    def _later(
        self, kind: str, what: str, do: Callable[[], None], *, node: str = "", most: float = WORST_SECONDS
    ) -> None:
        now = time.monotonic()
        self._in_force[kind, node] += 1
        self._due.append(Due(now + self._random.uniform(0.3, most), what, do, kind, node, now))

    def _is_there(self, kind: str, node: str | None = None) -> bool:
        """`node` None = of any."""
        return any(count for (one, of), count in self._in_force.items() if one == kind and node in (None, of))

    def _was(self, kind: str, node: str = "", seconds: float = 0.0) -> None:
        """One that needs no undoing."""
        now = time.monotonic()
        self.spans.append(FaultSpan(kind, node, now, now + seconds))

    # ---- programs

    def _node(self, kind: str, *, may_end: bool) -> str | None:
        """One that nothing is done to at present."""
        names = {node: f"speaker-{node}" for node in self._nodes}
        free = [
            node
            for node, name in names.items()
            if name not in self._disturbed and self._is_up(name) and not (may_end and name in LONG_LIVED)
        ]
        return self._rarest(kind, free)

    def _rarest(self, kind: str, nodes: list[str]) -> str | None:
        """The one that this kind of fault has met least often."""
        if not nodes:
            return None
        node = min(nodes, key=lambda one: (self._met[kind, one], self._random.random()))
        self._met[kind, node] += 1
        return node

    def _is_up(self, name: str) -> bool:
        return self._cluster.processes[name].state is State.RUNNING

    def _start_again(self, name: str) -> None:
        process = self._cluster.processes[name]
        if process.state is State.FROZEN:
            process.resume()
        if process.state is State.ENDED:
            process.start()
        self._disturbed.discard(name)

    def kill(self) -> Said:
        if (node := self._node("kill", may_end=True)) is None:
            return None
        name = f"speaker-{node}"
        self._disturbed.add(name)
        self._later("kill", f"{name} starts again", lambda: self._start_again(name), node=node)
        self._cluster.speaker(node).kill()
        said = f"{name} is killed"
        if self._random.random() < 0.3:
            with suppress(OSError):
                self._api.ask("DELETE", SPEAKERS.path(node))
            said += ", and Speaker deleted"
        return said

    def freeze(self) -> Said:
        if (node := self._node("freeze", may_end=False)) is None:
            return None
        name = f"speaker-{node}"
        self._disturbed.add(name)
        self._later("freeze", f"{name} goes on", lambda: self._start_again(name), node=node)
        self._cluster.speaker(node).freeze()
        return f"{name} is frozen"

    def terminate(self) -> Said:
        if (node := self._node("terminate", may_end=True)) is None:
            return None
        name = f"speaker-{node}"
        self._disturbed.add(name)
        self._later("terminate", f"{name} starts again", lambda: self._after_its_end(name), node=node)
        self._cluster.speaker(node).ask_to_stop()
        return f"{name} is asked to stop"

    def _after_its_end(self, name: str) -> None:
        self._cluster.processes[name].stop(1.0)
        self._start_again(name)

    def stop_wire(self) -> Said:
        if (node := self._node("stop wire", may_end=True)) is None:
            return None
        wires = list(_children(self._cluster.speaker(node), b"speaker.wire"))
        if not wires:
            return None
        os.kill(wires[0], signal.SIGSTOP)

        def go_on() -> None:
            with suppress(ProcessLookupError):
                os.kill(wires[0], signal.SIGCONT)

        self._later("stop wire", f"the wire process of {node} goes on", go_on, node=node)
        return f"the wire process of {node} is stopped"

    def kill_engine(self) -> Said:
        if (node := self._node("engine", may_end=False)) is None:
            return None
        engines = self._cluster.engines(node)
        if not engines:
            return None
        with suppress(ProcessLookupError):
            os.kill(self._random.choice(engines), self._random.choice((signal.SIGKILL, signal.SIGSTOP)))
        self._was("engine", node, SHORT_SECONDS)
        return f"an ExaBGP of {node} is killed or stopped"

    def hit_allocator(self) -> Said:
        name, is_killed = self._random.choice(ALLOCATORS), self._random.random() < 0.5
        is_killed = is_killed and name not in LONG_LIVED
        if name in self._disturbed or not self._is_up(name):
            return None
        self._disturbed.add(name)
        process = self._cluster.processes[name]
        self._later("allocator", f"{name} is back", lambda: self._start_again(name), most=SHORT_SECONDS)
        (process.kill if is_killed else process.freeze)()
        return f"{name} is {'killed' if is_killed else 'frozen'}"

    def terminate_allocator(self) -> Said:
        name = next(name for name in ALLOCATORS if name not in LONG_LIVED)
        if name in self._disturbed or not self._is_up(name):
            return None
        self._disturbed.add(name)
        self._later("allocator", f"{name} starts again", lambda: self._after_its_end(name), most=SHORT_SECONDS)
        self._cluster.processes[name].ask_to_stop()
        return f"{name} is asked to stop"

    # ---- the machine

    def fill_disk(self) -> Said:
        if self._is_there("full disk"):
            return None
        self._later("full disk", "there is room on the disk again", self._cluster.empty_disk)
        self._cluster.fill_disk()
        return "the disk of logs and run directories is full"

    def take_descriptors(self) -> Said:
        """What a program has open stays; it gets no more, or one."""
        name = self._random.choice(list(self._programs()))
        process = self._cluster.processes[name]
        if name in self._disturbed or not self._is_up(name) or self._is_there("no descriptors"):
            return None
        pid, more = process.pid, self._random.choice((0, 1, 3))
        try:
            before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
            highest = max(int(one) for one in os.listdir(f"/proc/{pid}/fd"))
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (highest + 1 + more, before[1]))
        except OSError:
            return None  # it ended meanwhile

        def give_back() -> None:
            with suppress(OSError):
                resource.prlimit(pid, resource.RLIMIT_NOFILE, before)

        node = name.removeprefix("speaker-")
        self._later("no descriptors", f"{name} may open files again", give_back, node=node)
        return f"{name} may open {more} more files"

    def take_cpu(self) -> Said:
        if self._is_there("no CPU"):
            return None
        command = ["setpriv", "--pdeathsig=KILL", sys.executable, "-c", "while True: pass"]
        loops = [subprocess.Popen(command, start_new_session=True) for _ in range(BUSY_PROCESSES)]

        def end() -> None:
            for one in loops:
                one.kill()
                one.wait()

        self._later("no CPU", "the busy processes end", end)
        return f"{BUSY_PROCESSES} processes take the CPU away"

    def step_clock(self) -> Said:
        name, step = self._random.choice(list(self._programs())), self._random.choice(CLOCK_STEPS)
        node = name.removeprefix("speaker-")
        if self._is_there("clock", node):
            return None
        self._cluster.set_clock(name, step)
        self._later("clock", f"{name} has the right time again", lambda: self._cluster.set_clock(name, 0), node=node)
        return f"the clock of {name} is stepped by {step} s"

    # ---- the network

    def _free_of(self, *kinds: str) -> str | None:
        """A node that is not cut off so already."""
        taken = (*kinds, "cut api and members")
        free = [node for node in self._nodes if not any(self._is_there(kind, node) for kind in taken)]
        return self._rarest(kinds[0], free)

    def cut_from_api(self) -> Said:
        if (node := self._free_of("cut api")) is None:
            return None
        faults = self._cluster.faults
        self._later("cut api", f"{node} reaches the API server again", lambda: faults.restore_to_api(node), node=node)
        faults.cut_from_api(node)
        return f"{node} is cut off from the API server"

    def cut_from_members(self) -> Said:
        if (node := self._free_of("cut members")) is None:
            return None
        faults = self._cluster.faults
        self._later(
            "cut members", f"{node} hears the others again", lambda: faults.restore_to_members(node),
            node=node, most=SHORT_SECONDS,
        )  # fmt: skip
        faults.cut_from_members(node)
        return f"{node} is cut off from the other speakers"

    def cut_from_api_and_members(self) -> Said:
        if (node := self._free_of("cut api", "cut members")) is None:
            return None
        faults = self._cluster.faults

        def restore() -> None:
            faults.restore_to_api(node)
            faults.restore_to_members(node)

        self._later("cut api and members", f"{node} reaches all again", restore, node=node)
        faults.cut_from_api(node)
        faults.cut_from_members(node)
        return f"{node} is cut off from the API server and the other speakers"

    def cut_from_segment(self) -> Said:
        if (node := self._free_of("cut segment")) is None:
            return None
        faults = self._cluster.faults
        self._later("cut segment", f"{node} is on the segment again", lambda: faults.plug_in(node), node=node)
        faults.cut_off(node)
        return f"{node} is taken off the segment"

    def pull_cable(self) -> Said:
        if (node := self._free_of("link down")) is None:
            return None
        faults = self._cluster.faults
        self._later("link down", f"{node} has its link again", lambda: faults.set_link(node, "up"), node=node)
        faults.set_link(node, "down")
        return f"the link of {node} goes down"

    # ---- routers

    def end_session(self) -> Said:
        host, node = self._random.choice(list(self._cluster.routers)), self._random.choice(self._nodes)
        router = self._cluster.routers[host]
        if f"router {host}" in self._disturbed:
            return None
        if isinstance(router, Bird) and self._random.random() < 0.5:
            router.restart_session(node)
            self._was("session", node, SHORT_SECONDS)
            return f"{host} ends the session with {node}"
        router.shut(node)
        self._later(
            "session", f"{host} lets {node} in again", lambda: router.unshut(node), node=node, most=SHORT_SECONDS
        )
        return f"{host} shuts {node} out"

    def kill_router(self) -> Said:
        host = self._random.choice(list(self._cluster.routers))
        mark = f"router {host}"
        if mark in self._disturbed or self._is_there("session"):
            return None
        self._disturbed.add(mark)
        router = self._cluster.routers[host]
        self._later("router", f"{host} runs again", lambda: self._run_router(router, mark), most=SHORT_SECONDS)
        router.kill()
        self.router_lost.setdefault(host, []).append(time.monotonic())
        return f"{host} is killed"

    def freeze_router(self) -> Said:
        """For less than its hold time: for longer, it goes on forwarding, and nobody can know (docs/limits.md)."""
        host = self._random.choice(list(self._cluster.routers))
        mark = f"router {host}"
        if mark in self._disturbed or self._is_there("session"):
            return None
        self._disturbed.add(mark)
        router = self._cluster.routers[host]

        def go_on() -> None:
            self._disturbed.discard(mark)
            router.resume()

        self._later("frozen router", f"{host} goes on", go_on, most=SHORT_SECONDS)
        router.freeze()
        return f"{host} is frozen"

    def _run_router(self, router: Router, mark: str) -> None:
        self._disturbed.discard(mark)
        router.start()

    # ---- the API server

    def api_fault(self) -> Said:
        fault: dict[str, object] = {
            "resource": self._random.choice(RESOURCES),
            "method": self._random.choice(("patch", "create", "delete", "get")),
            "probability": self._random.choice((0.3, 1.0)),
            "count": self._random.randint(1, 8),
        }
        kind = self._random.choice(("late", "refused", "done"))
        if kind == "late":
            fault["latency_seconds"] = self._random.uniform(0.2, 2.5)
        elif kind == "refused":
            fault["code"] = self._random.choice(CODES)
        else:
            fault |= {"code": 500, "after_commit": True}
        self._api.ask("POST", "/lab/faults", fault)
        self._later("api answers", "the API server behaves", self._heal_api, most=SHORT_SECONDS)
        return f"the API server misbehaves: {fault}"

    def _heal_api(self) -> None:
        self._is_api_healed()  # if not, `end` does it

    def _is_api_healed(self) -> bool:
        """Whether it could be told to behave."""
        try:
            return self._api.ask("DELETE", "/lab/faults")[0] == 200
        except OSError:
            return False

    def drop_watches(self) -> Said:
        if self._random.random() < 0.5:
            self._api.ask("POST", "/lab/forget-history", {})
        self._api.ask("POST", "/lab/drop-watches", {})
        self._was("watches")
        return "watches are dropped"

    def hang(self) -> Said:
        seconds = self._random.uniform(0.5, 4.0)
        self._api.ask("POST", f"/lab/freeze?seconds={seconds:.1f}", {})
        self._was("api away", seconds=seconds)
        return f"the API server hangs for {seconds:.1f} s"

    def restart_api(self) -> Said:
        seconds = self._random.uniform(0.5, 8.0)
        self._api.ask("POST", f"/lab/restart?seconds={seconds:.1f}", {})
        self._was("api away", seconds=seconds)
        return f"the API server restarts, and is away for {seconds:.1f} s"


def attempted(act: Callable[[], Said]) -> tuple[Said, bool]:
    """What it did, or why it could not; and whether it did it."""
    try:
        said = act()
    except FAILURES as error:
        return f"{name_of(act)} failed: {error}", False
    return said, said is not None


def name_of(act: Callable[[], Said]) -> str:
    name: str = getattr(act, "__name__", "act")
    return name


def _children(process: Process, word: bytes) -> Iterator[int]:
    """Those with the word in their command line."""
    pid = process.pid
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        with suppress(OSError):
            if word in Path(f"/proc/{child}/cmdline").read_bytes():
                yield int(child)
