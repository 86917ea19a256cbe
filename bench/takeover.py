"""What clients lose while Berth takes 100 Services over from MetalLB, with 10 datagrams a second to each address.

`python -m bench.takeover`: JSON lines, one for each way of announcing: addresses, datagrams sent and lost, and the
most lost in a row at one address, in milliseconds; and how long the takeover took. A whole lab of three nodes with a
router (BIRD); MetalLB is played by lab/metallb.py. `--back` does the way back afterwards. Needs root, or a kernel that
lets users make namespaces.

    layer2     49 addresses by ARP; two Services share one of them
    bgp        49 addresses by BGP, from every node
    single     one address by BGP, from one node alone: what it loses is one change of a session
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.measure import progress, tell
from lab.client import LabClient
from lab.cluster import NAMESPACE as BERTH
from lab.cluster import Cluster, Settings
from lab.metallb import OURS, Announced, Body, MetalLB, workload
from lab.net.hosts import CLIENT
from lab.routers.base import RouterSettings
from lab.waiting import wait_for

PER_SECOND = 10.0
PORT = 7777
MOST = 49
SINGLE = "198.51.100.1"
PREFIX = "metallb.universe.tf"
SETTLE_SECONDS = 2.0


@dataclass(frozen=True)
class Lost:
    """Of all addresses that are announced in one way."""

    addresses: int
    sent: int
    lost: int
    longest_milliseconds: int


@dataclass(frozen=True)
class Ways:
    """Addresses by how they are announced."""

    layer2: tuple[str, ...]
    bgp: tuple[str, ...]
    single: tuple[str, ...] = (SINGLE,)

    @classmethod
    def of(cls, count: int) -> "Ways":
        """As many of each, at most MOST; they make 2 * `count` + 2 Services."""
        layer2 = (f"172.30.0.{number}" for number in range(200, 200 + count))
        return cls(tuple(layer2), tuple(f"192.0.2.{number}" for number in range(1, 1 + count)))

    @property
    def every(self) -> tuple[str, ...]:
        """All of them."""
        return (*self.layer2, *self.bgp, *self.single)


@dataclass(frozen=True)
class Outcome:
    """`lost` by way; `shown`: what each Service showed before and after. `said`: by the command, with its exit code."""

    lost: Mapping[str, Lost]
    before: Mapping[str, list[str]]
    after: Mapping[str, list[str]]
    code: int
    said: str
    seconds: float
    router: Mapping[str, set[str]]
    """Nodes that the router has a route from afterwards, of the first address of each way."""


def services(ways: Ways) -> list[Body]:
    """With the annotations of both prefixes; two share an address."""
    found = []
    for number, address in enumerate(ways.every):
        annotations = {f"{PREFIX}/loadBalancerIPs": address} if number % 3 == 1 else {}
        if number == 0:
            annotations = {f"{PREFIX}/allow-shared-ip": "one"}
        found.append(_service(f"web-{number}", address, PORT, annotations))
    return [*found, _service("shares", ways.layer2[0], PORT + 1, {"metallb.io/allow-shared-ip": "one"})]


def _service(name: str, address: str, port: int, annotations: Mapping[str, str]) -> Body:
    ports = [{"port": port, "targetPort": PORT, "protocol": "UDP"}]
    spec = {"type": "LoadBalancer", "selector": {"app": "example"}, "ports": ports}
    status = {"loadBalancer": {"ingress": [{"ip": address, "ipMode": "VIP"}]}}
    return {"metadata": {"name": name, "annotations": dict(annotations)}, "spec": spec, "status": status}


def objects() -> list[tuple[str, str, Body]]:
    """MetalLB's."""
    only = [{"matchLabels": {"kubernetes.io/hostname": "node1"}}]
    peer = {"myASN": 64512, "peerASN": 64513, "peerAddress": "172.30.0.254"}
    return [
        ("IPAddressPool", "lan", {"addresses": ["172.30.0.200-172.30.0.250"]}),
        ("IPAddressPool", "routed", {"addresses": ["192.0.2.0/24"]}),
        ("IPAddressPool", "single", {"addresses": ["198.51.100.0/28"]}),
        ("L2Advertisement", "lan", {"ipAddressPools": ["lan"]}),
        ("BGPAdvertisement", "routed", {"ipAddressPools": ["routed"]}),
        ("BGPAdvertisement", "single", {"ipAddressPools": ["single"], "nodeSelectors": only}),
        ("BGPPeer", "tor", peer),
    ]


def shown(cluster: Cluster) -> dict[str, list[str]]:
    """By Service."""
    found = {}
    for one in cluster.reader.list("services"):
        ingress = (one.get("status", {}).get("loadBalancer") or {}).get("ingress") or []
        if ingress:
            found[one["metadata"]["name"]] = [each["ip"] for each in ingress]
    return found


def migrate(cluster: Cluster, *flags: str) -> subprocess.CompletedProcess[str]:
    """The command, as a user runs it."""
    command = [sys.executable, "-m", "cli", "migrate", "metallb", f"--kubeconfig={cluster.kubeconfig}", *flags]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def take_over(cluster: Cluster, ways: Ways, *flags: str) -> Outcome:
    """With a client that counts. Berth runs already."""
    router, before = cluster.routers["router"], shown(cluster)
    listed = cluster.settings.directory / "addresses"
    listed.write_text("\n".join(ways.every))
    name = cluster.start_script("counter", CLIENT, "udp.py", "count", str(listed), f"--per-second={PER_SECOND:g}")
    time.sleep(SETTLE_SECONDS)
    began = time.monotonic()
    done = migrate(cluster, "--takeover", "--yes", *flags)
    seconds = time.monotonic() - began
    time.sleep(SETTLE_SECONDS)
    rows = {row["address"]: row for row in map(json.loads, cluster.end_script(name))}
    learned = {way: router.nodes_with(of[0]) for way, of in vars(ways).items()}
    lost = {way: _lost([rows[one] for one in of]) for way, of in vars(ways).items()}
    return Outcome(lost, before, shown(cluster), done.returncode, done.stdout + done.stderr, seconds, learned)


def _lost(rows: Sequence[Mapping[str, int]]) -> Lost:
    longest = max((row["longest"] for row in rows), default=0)
    sent, lost = sum(row["sent"] for row in rows), sum(row["lost"] for row in rows)
    return Lost(len(rows), sent, lost, int(longest / PER_SECOND * 1000))


def prepared(cluster: Cluster, ways: Ways) -> MetalLB:
    """A cluster with a past, and Berth beside it, which has no pools yet. Enter it before anything else."""
    cluster.start_router("bird", settings=RouterSettings(installs=True))
    for node in cluster.topology.nodes:
        cluster.start_script(f"echo-{node.name}", node.pod, "udp.py", "echo")
    return MetalLB(cluster, Announced(ways.layer2, ways.bgp, ways.single), services(ways), objects())


def install(cluster: Cluster, ways: Ways) -> None:
    """Once what is there before is announced, Berth comes."""
    router, nodes = cluster.routers["router"], {node.name for node in cluster.topology.nodes}
    wait_for("MetalLB's routes are there", lambda: router.nodes_with(ways.bgp[-1]) == nodes, timeout_seconds=30)
    wait_for("that of one node too", lambda: router.nodes_with(SINGLE) == {"node1"}, timeout_seconds=30)
    cluster.install_berth()
    cluster.start_berth()
    body = workload(OURS, {"app.kubernetes.io/component": "allocator"}, {"replicas": 1})
    body["metadata"]["namespace"] = BERTH
    cluster.kubectl.apply({"apiVersion": "apps/v1", "kind": "Deployment", **body})
    LabClient(cluster).all_serve(timeout_seconds=40)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--back", action="store_true", help="the way back, too")
    options = parser.parse_args()
    ways = Ways.of(MOST)
    with tempfile.TemporaryDirectory() as directory:
        settings = Settings(Path(directory), name="takeover", with_berth=False)
        with Cluster(settings) as cluster, prepared(cluster, ways):
            install(cluster, ways)
            for flags in [(), ("--back",)] if options.back else [()]:
                found = take_over(cluster, ways, *flags)
                progress(found.said)
                kept = sum(found.before[name] == found.after.get(name) for name in found.before)
                tell("takeover", way="all", back=bool(flags), kept=kept, seconds=round(found.seconds, 1))
                for way, lost in found.lost.items():
                    tell("takeover", way=way, back=bool(flags), **vars(lost))


if __name__ == "__main__":
    main()
