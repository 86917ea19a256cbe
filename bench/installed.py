"""How long a life of an installation takes: by the real Helm and the image, from nothing until nothing is left.

`python -m bench.installed [--image ARCHIVE]`: JSON lines, one for each step with its seconds. A whole lab of three
nodes; the kubelet's part is the lab's, so the pull of an image is not in it. Without `--image` one is built first, and
that is timed, too. Needs root.

    image       make image: without what an earlier build has left
    install     helm install, until every program serves
    address     the pool and advertisement of the README, and a Service, until a client's ARP request is answered
    upgrade     helm upgrade, allocators and then speakers anew, node by node; of 50 requests a second, those unanswered
    rollback    helm rollback, and the same
    refused     berth uninstall while the Service is there: what the chart's hook runs; Helm stops then
    uninstall   the Service is deleted, berth uninstall agrees, helm uninstall; what is left over
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.measure import progress, tell
from lab.chart import CHART, IMAGE, RELEASE
from lab.client import LabClient
from lab.cluster import NAMESPACE, Cluster, Settings
from lab.net.hosts import CLIENT
from lab.poller import AddressPoller
from lab.waiting import wait_for

ROOT = Path(__file__).parent.parent
POOL = """\
apiVersion: berth.dev/v1beta1
kind: IPPool
metadata: {name: office}
spec:
  addresses: ["172.30.0.200-172.30.0.209"]
---
apiVersion: berth.dev/v1beta1
kind: L2Advertisement
metadata: {name: office}
spec:
  ipPools: [office]
"""
HELM = """
import json, sys
import helm_python
verb, kubeconfig, namespace, release, chart, values = sys.argv[1:]
with helm_python.Config(kubeconfig_path=kubeconfig, namespace=namespace) as helm:
    if verb == "install":
        helm.install(chart, release, json.loads(values), namespace=namespace, create_namespace=True)
    elif verb == "upgrade":
        helm.upgrade(chart, release, json.loads(values), namespace=namespace, reuse_values=True)
    elif verb == "rollback":
        helm.rollback(release)
    else:
        helm.uninstall(release, timeout=60)
"""
"""Helm's library brings the Go runtime along: it runs in a process of its own."""
READY_SECONDS, STEP_SECONDS, BUILD_SECONDS = 60.0, 120.0, 900.0
REQUEST_SECONDS = 0.02


class Installed:
    """The lab's cluster, and what a user does to it."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.lab = LabClient(cluster)

    def helm(self, verb: str, **values: Any) -> None:
        where = (str(self.cluster.kubeconfig), NAMESPACE, RELEASE, str(CHART))
        command = [sys.executable, "-c", HELM, verb, *where, json.dumps(values)]
        subprocess.run(command, check=True, timeout=STEP_SECONDS)

    def install(self) -> None:
        # Nobody runs Jobs here, so what the hook runs is run by hand.
        self.helm("install", image={"repository": IMAGE}, uninstallCheck={"enabled": False})
        self.cluster.render_berth()
        self.cluster.start_berth()
        self.lab.all_serve(timeout_seconds=READY_SECONDS)

    def give(self) -> str:
        """Returns the address."""
        self.lab.kubectl("apply", "-f", "-", stdin=POOL)
        self.lab.service("web")
        (address,) = self.lab.addresses("web")
        self._until_answered(address)
        return address

    def _until_answered(self, address: str) -> None:
        ask = ("arping", "-c", "1", "-w", "1", "-I", "eth0", address)
        wait_for(
            f"{address} is answered",
            lambda: "Received 1 response" in self.cluster.run(CLIENT, *ask, check=False) or None,
            timeout_seconds=READY_SECONDS,
            poll_seconds=0.05,
        )

    def replace(self) -> None:
        """Programs start anew: allocators one after the other, then speakers node by node."""
        for index in (1, 2):
            self.cluster.allocator(index).stop()
            self.cluster.start_allocator(index)
        for node in self.cluster.topology.nodes:
            self.cluster.speaker(node.name).stop()
            self.cluster.start_speaker(node.name)
            self.lab.all_serve(timeout_seconds=READY_SECONDS)

    def may_go(self) -> bool:
        """What `berth uninstall` says."""
        command = [sys.executable, "-m", "cli", "uninstall", f"--kubeconfig={self.cluster.kubeconfig}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=STEP_SECONDS, check=False)
        return done.returncode == 0

    def left(self) -> list[str]:
        """Finalizers, records and programs' objects that are there still."""
        services = json.loads(self.lab.kubectl("get", "services", "-A", "-o", "json"))["items"]
        held = [one["metadata"]["name"] for one in services if one["metadata"].get("finalizers")]
        named = self.lab.kubectl("get", "ipallocations.berth.dev", "-o", "name").split()
        workloads = self.lab.kubectl("-n", NAMESPACE, "get", "deployments,daemonsets", "-o", "name").split()
        return [*held, *named, *workloads]


@contextmanager
def step(name: str, **more: Any) -> Iterator[dict[str, Any]]:
    """Times the block; what is put into the yielded mapping is told with it."""
    began, told = time.monotonic(), dict(more)
    progress(f"{name}...")
    yield told
    tell("installed", step=name, seconds=round(time.monotonic() - began, 1), **told)


def build(folder: Path) -> Path:
    archive = folder / "berth.tar"
    with step("image"):
        subprocess.run(
            [sys.executable, ROOT / "tools/image", f"--archive={archive}"], check=True, timeout=BUILD_SECONDS
        )
    return archive


def under_traffic(installed: Installed, address: str, name: str, change: Callable[[], None]) -> bool:
    """Whether all requests were answered."""
    with step(name) as told:
        with AddressPoller(installed.cluster, address, interval_seconds=REQUEST_SECONDS) as poller:
            change()
            installed.replace()
        told |= {"asked": len(poller.requests), "unanswered": len(poller.unanswered())}
    return not poller.unanswered()


def run(installed: Installed) -> bool:
    """Whether all held."""
    with step("install", commands=1):
        installed.install()
    with step("address", commands=2):
        address = installed.give()
    held = under_traffic(installed, address, "upgrade", lambda: installed.helm("upgrade", log={"level": "debug"}))
    held &= under_traffic(installed, address, "rollback", lambda: installed.helm("rollback"))
    with step("refused") as told:
        told["may_go"] = installed.may_go()
    held &= not told["may_go"]
    with step("uninstall", commands=2) as told:
        installed.lab.delete("service", "web")
        told["may_go"] = installed.may_go()
        installed.helm("uninstall")
        told["left"] = installed.left()
    return held and told["may_go"] and not told["left"]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.installed", description="A life of an installation.")
    parser.add_argument("--image", type=Path, metavar="ARCHIVE", help="as make image writes it")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        image = options.image or build(Path(folder))
        settings = Settings(Path(folder) / "lab", name="installed", with_berth=False, image=image)
        with Cluster(settings, tell=progress) as cluster:
            return 0 if run(Installed(cluster)) else 1


if __name__ == "__main__":
    raise SystemExit(main())
