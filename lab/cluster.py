"""A whole cluster on this machine: hosts, API server, Berth's allocators and speakers as real processes.

`with Cluster(Settings(directory)) as cluster:` brings it up and takes it down. What runs where, and in which order, is
here; how each part is made is in net/, controlplane, kubelet/, routers/ and process. Decides nothing that a cluster's
own controllers decide, and restarts nothing by itself.
"""

import json
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from lab import chart
from lab.controlplane import ControlPlane
from lab.faults import Faults
from lab.kubectl import Kubectl
from lab.kubelet import manifests, podspec
from lab.kubelet.image import BadImage, Image, unpack
from lab.kubelet.kubelet import Kubelet
from lab.net import hosts, shapes
from lab.net.claims import Claim, claims_of
from lab.net.hosts import Topology
from lab.net.netns import HUB, NamespaceHandle, Sandbox, Unsupported, lab_environment
from lab.process import Process, State, python
from lab.reader import Reader
from lab.record import MARKER_VARIABLE, HostEntry, ProcessEntry, Record, started_at
from lab.routers.base import Place, Router, RouterSettings, require_commands
from lab.routers.bird import Bird
from lab.routers.daemons import Site
from lab.routers.frr import Frr
from lab.scripts import script
from lab.waiting import wait_for

NAMESPACE = "berth-system"
READY_SECONDS = 60.0
STOP_SECONDS = 20.0
"""For Berth's programs: a speaker gives routers some seconds to move traffic away, and peers some to confirm."""


@dataclass(frozen=True)
class Settings:
    """`rootless` None = unless we are root. `directory` keeps logs, keys and kubeconfigs; it may exist."""

    directory: Path
    name: str = "lab"
    node_count: int = 3
    rootless: bool | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    """For the chart: replicas, lease and fence times, extra arguments."""
    shape: shapes.Shape = shapes.Shape.FLAT
    with_berth: bool = True
    """False = only the API server, hosts and pods: start Berth with `install_berth` and `start_berth`."""
    image: Path | None = None
    """An OCI archive or layout: Berth's programs are those of this image. None = those of this repository."""


class Cluster:
    """A lab. Its processes by name: `apiserver` (and `etcd`), `forwarder`, `workload`, `pod1`.., `allocator-1`..,
    `speaker-node1`..."""

    def __init__(self, settings: Settings, *, tell: Callable[[str], None] = lambda _: None) -> None:
        """`tell` gets a line about each step as it is done."""
        self.settings = settings
        self.topology: Topology = shapes.plan(settings.shape, settings.node_count)
        self.control_plane = ControlPlane(settings.directory, self.topology, self.start)
        self.processes: dict[str, Process] = {}
        self.routers: dict[str, Router] = {}
        self._more_hosts: dict[str, hosts.Host] = {}
        self.record = Record(
            name=settings.name,
            marker=secrets.token_hex(8),
            owner_pid=os.getpid(),
            owner_started=started_at(os.getpid()) or "",
            rootless=bool(settings.rootless),
        )
        self._tell = tell
        self._sandbox: Sandbox | None = None
        self._where: dict[str, str | None] = {}
        self._rendered: list[chart.Manifest] = []
        self._image: Image | None = None

    # --- up and down

    def __enter__(self) -> Self:
        try:
            self.up()
        except BaseException:
            self.down()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.down()

    def up(self) -> None:
        """All of it, in order; each step is usable when this returns."""
        self.settings.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._make_hosts()
        self._tell(self.control_plane.start())
        self._start_workload()
        if self.settings.image is not None:
            self.use_image(self.settings.image)
        if self.settings.with_berth:
            self.install_berth()
            self.start_berth()
        self.save_record(ready=True)

    def down(self) -> None:
        """Stop everything, Berth cleanly first. Safe to repeat, and after a failed `up`."""
        berth = [each for each in reversed(self.processes.values()) if each.name.startswith(("speaker-", "allocator-"))]
        for process in berth:
            process.ask_to_stop()  # all at once: with BGP routes each takes its time
        for process in berth:
            process.stop(STOP_SECONDS)
        for process in reversed(self.processes.values()):
            process.kill()
        if self._sandbox is not None:
            self._sandbox.close()

    def save_record(self, *, ready: bool) -> None:
        """For `berth lab status` and `exec`, which run elsewhere."""
        topology = self.topology
        self.record = replace(
            self.record,
            ready=ready,
            hub_server=self.control_plane.server,
            hosts=[
                HostEntry("hub", [str(topology.hub_ipv4), str(topology.hub_ipv6)]),
                *(HostEntry(h.name, [str(h.ipv4), str(h.ipv6)]) for h in (*topology.hosts, *self._more_hosts.values())),
                *(HostEntry(n.pod, [str(n.pod_ipv4), str(n.pod_ipv6)]) for n in topology.nodes),
            ],
            processes=[
                ProcessEntry(p.name, self._where[p.name] or "hub", p.pid, str(p.log_path))
                for p in self.processes.values()
                if p.was_started
            ],
        )
        self.record.save(self.settings.directory)

    # --- what callers use

    @property
    def namespaces(self) -> NamespaceHandle:
        if self._sandbox is None:
            raise RuntimeError("the lab is not up")
        return self._sandbox.namespaces

    @property
    def faults(self) -> Faults:
        return Faults(self.namespaces, self.topology)

    @property
    def kubeconfig(self) -> Path:
        """The administrator's, from outside the lab."""
        return self.control_plane.kubeconfig

    @property
    def kubectl(self) -> Kubectl:
        """As the administrator."""
        return Kubectl(self.kubeconfig)

    @property
    def reader(self) -> Reader:
        """As the administrator: for what is asked again and again."""
        return self.control_plane.reader

    @property
    def kubelet(self) -> Kubelet:
        access, directory = self.control_plane.inside, self.settings.directory
        marker = self.record.marker
        return Kubelet(self.topology, self.kubectl, access, NAMESPACE, directory, self.start, marker, self._image)

    def speaker(self, node_name: str) -> Process:
        return self.processes[f"speaker-{node_name}"]

    def engines(self, node_name: str) -> list[int]:
        """Process ids of the ExaBGP processes of the node's speaker, one for each BGP session."""
        agent = self.speaker(node_name).pid
        children = Path(f"/proc/{agent}/task/{agent}/children").read_text().split()
        return [int(pid) for pid in children if Path(f"/proc/{pid}/comm").read_text() == "berth-bgp\n"]

    def allocator(self, index: int) -> Process:
        return self.processes[f"allocator-{index}"]

    def run(self, host: str | None, *argv: str, check: bool = True) -> str:
        """A command on a host, to its end; gives what it printed."""
        return self.namespaces.run(host, argv, check=check).stdout

    def fetch(self, url: str, *, host: str = hosts.CLIENT, timeout_seconds: float = 2.0) -> dict[str, Any]:
        """One HTTP GET by a new connection from `host`: `body` or `error`, and `seconds`. See lab/scripts/fetch.py."""
        printed = self.run(host, *script("fetch.py"), url, f"--timeout-seconds={timeout_seconds}")
        fetched: dict[str, Any] = json.loads(printed)
        return fetched

    def neighbour(self, address: str, *, host: str = hosts.CLIENT) -> hosts.Neighbour | None:
        return hosts.neighbour(self.namespaces, host, address)

    def node_of_mac(self, mac: str | None) -> str | None:
        """The node whose interface on the segment has that MAC."""
        return self.macs().get(mac or "")

    def macs(self) -> dict[str, str]:
        """Node names by MAC."""
        return {hosts.interface_mac(self.namespaces, node.name): node.name for node in self.topology.nodes}

    def record_segment(self) -> None:
        """From now on keep the ARP and NDP frames that pass the bridge, for `claims`. Repeating it changes nothing."""
        if "sniffer" in self.processes:
            return
        process = self.start("sniffer", HUB, [*script("sniff.py"), hosts.BRIDGE])
        wait_for(
            "the recorder listens on the bridge",
            lambda: "listening" in process.log_path.read_text(),
            timeout_seconds=READY_SECONDS,
            meanwhile=process.require_running,
        )

    def claims(self, address: str, *, since: float = 0.0) -> list[Claim]:
        """The frames on the segment that claimed the address, since that monotonic time. Needs record_segment."""
        lines = self.processes["sniffer"].log_path.read_text().splitlines()
        return claims_of(lines, address, since=since)

    def start_router(
        self, kind: str = "bird", *, host: str = hosts.ROUTER, settings: RouterSettings | None = None
    ) -> Router:
        """A real router on `router`, or on a further host of that name on the segment: `bird` or `frr`. One for a host.

        Raises Unsupported when its Debian package is not there.
        """
        if host in self.routers:
            raise ValueError(f"{host} runs a router already")
        made = {"bird": Bird, "frr": Frr}[kind]
        require_commands(made.commands)
        where = self.topology.router if host == hosts.ROUTER else self._more_hosts.get(host) or self._add_host(host)
        directory = self.settings.directory / f"{host}-{kind}"
        site = Site(
            host, directory, tuple(self.namespaces.enter(host)), lambda name, command: self.start(name, host, command)
        )
        place = Place(site, where, self.topology.nodes, self.namespaces.rootless)
        self.routers[host] = made(place, settings or RouterSettings())
        return self.routers[host]

    def end_router(self, host: str = hosts.ROUTER) -> None:
        """Kill it, and forget it: another may be started there."""
        router = self.routers.pop(host)
        router.kill()
        for process in router.processes:
            del self.processes[process.name]

    def start_script(self, name: str, host: str | None, path: str, *arguments: str) -> str:
        """Run one of the lab's scripts on a host until `end_script`. Gives the name that it goes by."""
        self.log_path(name).unlink(missing_ok=True)
        self.start(name, host, [*script(path), *arguments])
        return name

    def end_script(self, name: str) -> list[str]:
        """Stop it; the lines that it printed."""
        process = self.processes.pop(name)
        process.stop()
        return process.log_path.read_text().splitlines()

    # --- the steps of up

    def _make_hosts(self) -> None:
        marker = {MARKER_VARIABLE: self.record.marker}
        self._sandbox = Sandbox.open(rootless=self.settings.rootless, extra_environment=marker)
        self.record = replace(
            self.record, holder_pid=self.namespaces.holder_pid, rootless=self.namespaces.rootless, ready=False
        )
        self.save_record(ready=False)
        hosts.build(self._sandbox, self.topology)
        shapes.apply(self.settings.shape, self.namespaces, self.topology)
        how = "in a user namespace" if self.namespaces.rootless else "as root"
        names = ", ".join(host.name for host in self.topology.hosts)
        where = "on one bridge" if self.settings.shape is shapes.Shape.FLAT else f"as {self.settings.shape}"
        self._tell(f"network namespaces {where} ({how}): {names}")

    def _add_host(self, name: str) -> hosts.Host:
        """One more on the segment."""
        if self._sandbox is None:
            raise RuntimeError("the lab is not up")
        host = hosts.plan_router(name, len(self._more_hosts))
        hosts.add_to_segment(self._sandbox, host, self.topology)
        self._more_hosts[name] = host
        return host

    def _start_workload(self) -> None:
        self.kubelet.register()
        names = [f"--node-name={node.name}" for node in self.topology.nodes]
        kubeconfig = self.control_plane.inside_kubeconfig
        self.start("workload", HUB, [*python("lab.workload"), f"--kubeconfig={kubeconfig}", *names])
        pods = ", ".join(manifests.pod_name(node) for node in self.topology.nodes)
        self._tell(f"a pod with a backend on each node: {pods}")

    def use_image(self, source: Path) -> Image:
        """Programs of Berth's that are started from now on are those of this image, an OCI archive or layout.

        Raises Unsupported when it can't be run here.
        """
        if self.namespaces.rootless:
            raise Unsupported(
                "an image's programs run as users of their own, and a user namespace has one: run as root"
            )
        folder = self.settings.directory / "images" / str(len(list(self.settings.directory.glob("images/*"))))
        try:
            self._image = unpack(source, folder)
        except BadImage as refused:
            raise Unsupported(str(refused)) from refused
        self._tell(f"the image {source} is unpacked")
        return self._image

    def render_berth(self) -> None:
        """The chart as it is to be started from now on. Installs nothing: Helm itself may have done it."""
        self._rendered = chart.render_apart(self._values(), NAMESPACE)

    def install_berth(self) -> None:
        """The chart's CRDs, namespace, ServiceAccounts, rights and policies."""
        self.render_berth()
        chart.install(self.kubeconfig, NAMESPACE, rendered=self._rendered)
        self._tell("the chart's definitions, service accounts, rights and policies are installed")

    def start_berth(self) -> None:
        """The chart's allocators on the first nodes, a speaker on each, with the rights of a pod's token alone."""
        allocator = podspec.workload(self._rendered, "Deployment", "allocator")
        for index in range(1, allocator["spec"]["replicas"] + 1):
            self.start_allocator(index)
        self._await_made_secrets(allocator)
        for node in self.topology.nodes:
            self.start_speaker(node.name)
        self._tell("allocators and speakers run: the chart's command lines, capabilities and service accounts")

    def show_berth_running(self) -> None:
        """For people, who look at pods first; nothing else asks."""
        for container in ("allocator", "speaker"):
            names = [name for name in self.processes if name.startswith(f"{container}-")]
            if names:
                self.kubelet.show_running(names, container)

    def start_allocator(self, index: int) -> None:
        """One of the chart that was installed last, and of the image in use: an upgrade stops it before."""
        node = self.topology.nodes[(index - 1) % len(self.topology.nodes)]
        self.kubelet.run(podspec.workload(self._rendered, "Deployment", "allocator"), f"allocator-{index}", node.name)

    def start_speaker(self, node_name: str) -> None:
        """As `start_allocator`."""
        self.kubelet.run(podspec.workload(self._rendered, "DaemonSet", "speaker"), f"speaker-{node_name}", node_name)

    def run_hook(self, kind: str, component: str, *, timeout_seconds: float = READY_SECONDS) -> tuple[int, str]:
        """A hook of the chart that was installed last, to its end: its exit code, and what it said."""
        name = f"hook-{component}"
        self.log_path(name).unlink(missing_ok=True)
        self.kubelet.run(podspec.workload(self._rendered, kind, component), name, self.topology.nodes[0].name)
        process = self.processes.pop(name)
        try:
            code = wait_for("the hook ends", lambda: process.returncode, timeout_seconds=timeout_seconds)
        finally:
            process.kill()
            self.kubectl("delete", "pod", f"berth-{name}", f"--namespace={NAMESPACE}")
        return code, self.log_path(name).read_text()

    def _await_made_secrets(self, allocator: Mapping[str, Any]) -> None:
        """What the allocator makes for the speakers. A kubelet brings it to them within a minute; the lab at once."""
        where = (f"--namespace={NAMESPACE}", "--ignore-not-found", "--output=name")
        if names := podspec.values_of("--heartbeat-secret", allocator):
            wait_for(
                f"the allocator makes Secret {names[0]}",
                lambda: self.kubectl("get", "secret", names[0], *where).strip() or None,
                timeout_seconds=READY_SECONDS,
                poll_seconds=0.1,
            )

    def _values(self) -> dict[str, Any]:
        return {"log": {"format": "text"}, **self.settings.values}

    # --- small parts

    def start(
        self,
        name: str,
        host: str | None,
        command: Sequence[str],
        *,
        pass_fds: Sequence[int] = (),
        privileges: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> Process:
        """Start a process of that name on a host, kept until the lab goes down; its output goes to NAME.log."""
        process = Process(
            name,
            command,
            log_path=self.log_path(name),
            enter=self.namespaces.enter(host),
            environment={**self.environment_of(name), **(environment or {})},
            pass_fds=pass_fds,
            privileges=privileges,
        )
        process.start()
        self._where[name] = host
        self.processes[name] = process
        return process

    def log_path(self, name: str) -> Path:
        """Where the output of the process of that name goes."""
        return self.settings.directory / f"{name}.log"

    def environment_of(self, name: str) -> Mapping[str, str]:
        """What the process of that name is given, whatever starts it."""
        return lab_environment({MARKER_VARIABLE: self.record.marker, "PYTHONUNBUFFERED": "1"})

    def ended(self) -> list[Process]:
        """Processes that should run and do not."""
        return [process for process in self.processes.values() if process.state is State.ENDED]
