"""How fast an address moves on layer 2, and who answers meanwhile, judged by a client and a recorder on the segment.

    python -m bench.failover [--runs 20] [--rounds 1] [--kernel-answers auto off] [SCENARIO...]

JSON lines, one for each scenario, times in milliseconds. A whole lab cluster of three nodes, with everything at its
defaults. Needs root, or a kernel that lets users make namespaces. With several values of speaker.kernelAnswers there is
a cluster for each, and each scenario is run in all of them in turn, `--rounds` times.

    death      the owner's link goes down and its speaker is killed: until the first frame that moves the address, and
               until a new TCP connection of a client that tries again and again gets through
    no-api     the same while the API server is stopped
    stop       the owner's speaker is stopped cleanly: requests (100 a second) that nobody answered, pings lost
    release    a Service is deleted: until its IPAllocation is, which is after each speaker's confirmation
    local      with the policy Local the owner's pod becomes unready: from the watch event of the EndpointSlice to the
               first frame that moves the address
    partitions the owner loses the API server, its peers, both, or the segment, for 15 s: how long two nodes answered
               one request, during the fault and after its end
    frozen     the owner's speaker is stopped by SIGSTOP for 90 s: the same, and what it does when it wakes
"""

import argparse
import asyncio
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from bench.measure import progress, tell
from kube.io.client import Client
from kube.resource import ENDPOINTSLICES, IPALLOCATIONS, Resource
from lab.client import LabClient
from lab.cluster import Cluster, Settings
from lab.net.claims import AnsweredRequest, ownership_spans
from lab.poller import AddressPoller
from lab.waiting import wait_for

SETTLE_SECONDS = 3.0
FREEZE_SECONDS = 90.0
FAULT_SECONDS = 15.0
PATIENCE_SECONDS = 30.0
Scenario = Callable[["Bench", int], Iterator[dict[str, Any]]]


class Bench:
    """A cluster with one Service, and what its client and its segment see."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.lab = LabClient(cluster)
        cluster.record_segment()
        self.all_serve()
        self.lab.pool("pool", "172.30.0.200-172.30.0.209")
        self.lab.advertise_all()
        self.lab.service("web")
        (self.address,) = self.lab.addresses("web")
        self.macs = cluster.macs()
        self.until("it is announced", self.owner)
        self.let_nodes_answer_pings()

    def until(self, what: str, ask: Callable[[], Any]) -> Any:
        return wait_for(what, ask, timeout_seconds=PATIENCE_SECONDS)

    def all_serve(self) -> None:
        self.lab.all_serve(timeout_seconds=PATIENCE_SECONDS)

    def owner(self) -> str | None:
        """Whoever claimed the address last."""
        spans = ownership_spans(self.cluster.claims(self.address), self.macs)
        return spans[-1].node if spans else None

    def moved(self, away_from: str, since: float) -> float | None:
        """When another node claimed the address first."""
        claims = self.cluster.claims(self.address, since=since)
        return next((claim.at for claim in claims if self.macs.get(claim.mac) != away_from), None)

    def let_nodes_answer_pings(self) -> None:
        """As kube-proxy in IPVS mode does: the address on an interface that answers no ARP."""
        for node in self.cluster.topology.nodes:
            self.cluster.run(node.name, "sysctl", "-qw", "net.ipv4.conf.all.arp_ignore=1")
            self.cluster.run(node.name, "ip", "address", "add", f"{self.address}/32", "dev", "lo")

    def back(self, node: str) -> None:
        self.cluster.faults.set_link(node, "up")
        self.cluster.speaker(node).start()
        self.all_serve()
        time.sleep(SETTLE_SECONDS)


def death(bench: Bench, runs: int) -> Iterator[dict[str, Any]]:
    yield {"scenario": "death", "runs": runs, **_deaths(bench, runs, lambda: None, lambda: None)}


def no_api(bench: Bench, runs: int) -> Iterator[dict[str, Any]]:
    server = bench.cluster.processes["apiserver"]
    yield {"scenario": "no-api", "runs": runs, **_deaths(bench, runs, server.freeze, server.resume)}


def _deaths(bench: Bench, runs: int, before: Callable[[], None], after: Callable[[], None]) -> dict[str, Any]:
    frames, connections = [], []
    for _ in range(runs):
        owner = bench.until("somebody has it", bench.owner)
        before()
        time.sleep(SETTLE_SECONDS)
        began = time.monotonic()
        bench.cluster.faults.set_link(owner, "down")
        bench.cluster.speaker(owner).kill()
        connections.append(_until_connected(bench, began))
        frames.append(bench.until("it moves", partial(bench.moved, owner, began)) - began)
        after()
        bench.back(owner)
    return {"first_frame": _percentiles(frames), "client_connected": _percentiles(connections)}


def _until_connected(bench: Bench, began: float) -> float:
    while time.monotonic() - began < PATIENCE_SECONDS:
        if bench.cluster.fetch(f"http://{bench.address}/", timeout_seconds=0.2).get("body"):
            return time.monotonic() - began
    raise TimeoutError("no connection got through")


def stop(bench: Bench, runs: int) -> Iterator[dict[str, Any]]:
    asked, unanswered, several, sent, received = 0, 0, 0, 0, 0
    for _ in range(runs):
        owner = bench.until("somebody has it", bench.owner)
        with AddressPoller(bench.cluster, bench.address) as poller, _pings(bench) as pings:
            time.sleep(0.5)
            bench.cluster.speaker(owner).stop()
            time.sleep(1.0)
        asked += len(poller.requests)
        unanswered += len(poller.unanswered())
        several += len(poller.answered_by_several())
        sent, received = sent + pings["sent"], received + pings["received"]
        bench.back(owner)
    yield {
        "scenario": "stop", "runs": runs, "arp_requests": asked, "unanswered": unanswered,
        "answered_by_two": several, "pings": sent, "pings_lost": sent - received,
    }  # fmt: skip


@contextmanager
def _pings(bench: Bench) -> Iterator[dict[str, int]]:
    """One each 10 ms; after the block, how many were sent and answered."""
    counts: dict[str, int] = {}
    command = ["ping", "-i", "0.01", "-W", "1", bench.address]
    process = bench.cluster.start("ping", "client", command)
    process.log_path.write_text("")
    try:
        yield counts
    finally:
        del bench.cluster.processes["ping"]
        process.interrupt()
        words = process.log_path.read_text().split("statistics ---")[-1].split()
        counts.update(sent=int(words[0]), received=int(words[3]))


def local(bench: Bench, runs: int) -> Iterator[dict[str, Any]]:
    bench.lab.patch("service", "web", {"spec": {"externalTrafficPolicy": "Local"}})
    times = []
    with _Changes(bench.cluster.kubeconfig, ENDPOINTSLICES) as slices:
        for _ in range(runs):
            time.sleep(SETTLE_SECONDS)
            owner = bench.until("somebody has it", bench.owner)
            began = time.monotonic()
            bench.cluster.kubelet.set_pod_ready(owner, False)
            moved = bench.until("it moves", partial(bench.moved, owner, began))
            times.append(moved - slices.first_since(began))
            bench.cluster.kubelet.set_pod_ready(owner, True)
    bench.lab.patch("service", "web", {"spec": {"externalTrafficPolicy": "Cluster"}})
    yield {"scenario": "local", "runs": runs, "event_to_frame": _percentiles(times)}


def release(bench: Bench, runs: int) -> Iterator[dict[str, Any]]:
    times = []
    with _Changes(bench.cluster.kubeconfig, IPALLOCATIONS, "DELETED") as deleted:
        for _ in range(runs):
            bench.lab.service("released")
            (address,) = bench.lab.addresses("released")
            bench.until("it is announced", partial(bench.lab.announcer, address))
            time.sleep(SETTLE_SECONDS / 6)
            began = time.monotonic()
            bench.lab.delete("service", "released", wait=False)
            times.append(deleted.first_since(began) - began)
    yield {"scenario": "release", "runs": runs, "delete_to_free": _percentiles(times)}


class _Changes:
    """When a client that watches objects saw them change, in a thread of its own. `kind`: of events; "" = any."""

    def __init__(self, kubeconfig: Path, of: Resource, kind: str = "") -> None:
        self._kubeconfig = kubeconfig
        self._of = of
        self._kind = kind
        self._seen: list[float] = []
        self._thread = threading.Thread(target=lambda: asyncio.run(self._watch()), daemon=True)
        self._ready = threading.Event()

    def __enter__(self) -> "_Changes":
        self._thread.start()
        self._ready.wait(PATIENCE_SECONDS)
        return self

    def __exit__(self, *_: object) -> None:
        self._ready.clear()

    def first_since(self, began: float) -> float:
        """On a busy machine this thread may see it later than the speaker does."""

        def first() -> float | None:
            return next((at for at in self._seen if at >= began), None)

        return wait_for("the change is seen", first, timeout_seconds=PATIENCE_SECONDS)

    async def _watch(self) -> None:
        async with await Client.connect(str(self._kubeconfig), user_agent="bench") as client:
            _, version = await client.list(self._of)
            self._ready.set()
            async for event in client.watch(self._of, resource_version=version):
                if self._kind in ("", event.type):
                    self._seen.append(time.monotonic())
                if not self._ready.is_set():
                    return


def partitions(bench: Bench, runs: int) -> Iterator[dict[str, Any]]:
    made = bench.cluster.faults
    api, members = (made.cut_from_api, made.restore_to_api), (made.cut_from_members, made.restore_to_members)
    all_faults: dict[str, list[tuple[Callable[[str], None], Callable[[str], None]]]] = {
        "api": [api],
        "peers": [members],
        "api and peers": [api, members],
        "segment": [(made.cut_off, made.plug_in)],
    }
    for name, faults in all_faults.items():
        owner = bench.until("somebody has it", bench.owner)
        with AddressPoller(bench.cluster, bench.address) as poller:
            for cut, _ in faults:
                cut(owner)
            time.sleep(FAULT_SECONDS)
            healed = time.monotonic()
            for _, heal in faults:
                heal(owner)
            time.sleep(SETTLE_SECONDS)
        yield {"scenario": "partition", "cut_from": name, "fault_s": FAULT_SECONDS, **_two_answered(poller, healed)}
        bench.all_serve()
        time.sleep(SETTLE_SECONDS)


def frozen(bench: Bench, runs: int) -> Iterator[dict[str, Any]]:
    owner = bench.until("somebody has it", bench.owner)
    speaker = bench.cluster.speaker(owner)
    with AddressPoller(bench.cluster, bench.address) as poller:
        speaker.freeze()
        time.sleep(FREEZE_SECONDS)
        woken = time.monotonic()
        speaker.resume()
        time.sleep(SETTLE_SECONDS)
    answered = sum(owner in one.nodes for one in poller.requests if woken <= one.at < woken + 1)
    figures = {"fault_s": FREEZE_SECONDS, "requests_it_answered_in_the_second_after": answered}
    yield {"scenario": "frozen", **figures, **_two_answered(poller, woken)}


def _two_answered(poller: AddressPoller, healed: float) -> dict[str, int]:
    """Milliseconds: the longest time during the fault, and until when after its end."""
    during = _longest([one for one in poller.requests if one.at < healed])
    after = max((one.at for one in poller.answered_by_several() if one.at >= healed), default=healed)
    return {
        "two_answered_during_ms": round(during * 1000),
        "two_answered_until_ms_after": round((after - healed) * 1000),
    }


def _longest(requests: Sequence[AnsweredRequest]) -> float:
    """Seconds of the longest row of requests that several nodes answered."""
    longest, began = 0.0, None
    for one in requests:
        if len(set(one.nodes)) > 1:
            began = one.at if began is None else began
            longest = max(longest, one.at - began)
        else:
            began = None
    return longest


def _percentiles(seconds: Sequence[float]) -> dict[str, int]:
    milliseconds = sorted(round(each * 1000) for each in seconds)
    return {"p50": round(statistics.median(milliseconds)), "worst": milliseconds[-1]}


SCENARIOS: dict[str, Scenario] = {
    "death": death,
    "no-api": no_api,
    "stop": stop,
    "release": release,
    "local": local,
    "partitions": partitions,
    "frozen": frozen,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.failover", description="Failover on layer 2.")
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=", ".join(SCENARIOS))
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--kernel-answers", nargs="+", choices=["auto", "off"], default=["auto"], metavar="VALUE")
    options = parser.parse_args()
    if unknown := set(options.scenarios) - set(SCENARIOS):
        parser.error(f"no scenario {', '.join(sorted(unknown))}")
    with ExitStack() as stack:
        benches = {value: Bench(stack.enter_context(_cluster(value))) for value in options.kernel_answers}
        for name in options.scenarios or SCENARIOS:
            for _ in range(options.rounds):
                for value, bench in benches.items():
                    for figures in SCENARIOS[name](bench, options.runs):
                        tell("failover", kernel_answers=value, **figures)
    return 0


@contextmanager
def _cluster(kernel_answers: str) -> Iterator[Cluster]:
    values = {"speaker": {"kernelAnswers": kernel_answers}}
    with (
        tempfile.TemporaryDirectory() as directory,
        Cluster(Settings(Path(directory), name=f"bench-{kernel_answers}", values=values), tell=progress) as cluster,
    ):
        yield cluster


if __name__ == "__main__":
    raise SystemExit(main())
