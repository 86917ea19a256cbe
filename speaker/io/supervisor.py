"""Keeps the processes of a node's speaker together: one speaker on a node, and agent and wire live and die as one.

Decides nothing about addresses. Nothing is restarted here: a speaker that lost a part is silent and ends, and whoever
started it (a kubelet) starts a new one, which registers first.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog

from kube.io.client import Client
from kube.process.io.listener import Listener
from kube.process.listening import NOWHERE, Listening
from speaker.bgp.exabgp.io.driver import BgpDriver
from speaker.bgp.io.blackhole import Blackholes
from speaker.bgp.io.ownaddresses import follow_addresses
from speaker.io.agent import Agent
from speaker.io.metrics import Snapshot, SpeakerMetrics
from speaker.io.rundir import run_directory
from speaker.layer2.io.kernel import follow_held
from speaker.options import Options
from speaker.wire.io.link import WireLink

EXCLUDED_INTERFACES = (
    "lo|(docker|br-[0-9a-f]{12}|cbr|virbr|lxc|lxdbr|dummy|veth|tun|vxlan|wg|"
    "cali|cilium|cni|flannel|kube-|nodelocaldns|ovn).*"
)
"""By default: bridges and virtual interfaces of containers and overlays, where nobody outside the node hears ARP."""

LOCK_POLL_SECONDS = 1.0
SILENT_WIRE_SECONDS = 30.0
"""The wire process confirms each permit, twice a second."""

log = structlog.get_logger()


class SoleSpeaker:
    """The right to be this node's speaker: a name in the abstract socket namespace (unix(7)).

    It belongs to the network namespace, so all pods on a host's network see the same one, and the kernel takes it back
    when the last process that holds it is dead. The wire process inherits it: as long as an old one could still answer
    ARP, a new speaker does not register, let alone confirm a release in its name.
    """

    def __init__(self, node: str) -> None:
        self._name = f"\0berth-speaker/{node}"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)

    @property
    def fd(self) -> int:
        """To hand on to the wire process."""
        return self._socket.fileno()

    async def acquire(self, stop: asyncio.Event) -> bool:
        """Waits, forever if need be, for the end of another speaker on this node. False when stopped before that."""
        while not self._try():
            log.warning("another speaker runs on this node; waiting for its end")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), LOCK_POLL_SECONDS)
                return False
        return True

    def close(self) -> None:
        """Give it back, as far as this process is concerned."""
        self._socket.close()

    def _try(self) -> bool:
        try:
            self._socket.bind(self._name)
        except OSError:
            return False
        return True


@dataclass(frozen=True)
class Surroundings:
    """`excluded_interfaces`: a regular expression for whole names. `listening`: for
    kubelet and Prometheus. `kernel_answers`: "auto" or "off", see WireLink.start."""

    excluded_interfaces: str = EXCLUDED_INTERFACES
    listening: Listening = NOWHERE
    kernel_answers: str = "off"


async def run_speaker(
    client: Client, options: Options, surroundings: Surroundings, metrics: SpeakerMetrics, stop: asyncio.Event
) -> None:
    """Run one speaker until `stop` is set and it has said goodbye. Any other end raises, with the wire process dead."""
    with contextlib.ExitStack() as holding:
        sole = holding.enter_context(contextlib.closing(SoleSpeaker(options.node)))
        if not await sole.acquire(stop):
            return
        directory = holding.enter_context(run_directory())
        link = WireLink(lambda report: agent.tell(report))
        driver = BgpDriver(directory / "bgp", on_change=lambda: agent.routers_changed())
        blackholes = Blackholes(is_wanted=options.has_blackhole_routes)
        agent = Agent(client, link, options, metrics, driver=driver, blackholes=blackholes)
        try:
            await link.start(
                exclude_interfaces=surroundings.excluded_interfaces,
                kernel_answers=surroundings.kernel_answers,
                pass_fds=(sole.fd,),
            )
            async with asyncio.TaskGroup() as group:
                helpers = [
                    group.create_task(_end_with_the_wire(link, stop)),
                    group.create_task(follow_held(agent.served, agent.tell)),
                    group.create_task(follow_addresses(lambda: agent.has_bgp_peers, agent.addresses_read)),
                ]
                if surroundings.listening.is_wanted:
                    listener = listener_for(metrics, lambda: _snapshot(agent, link))
                    helpers.append(group.create_task(listener.serve(surroundings.listening, client)))
                await agent.run(stop)
                for helper in helpers:
                    helper.cancel()
        finally:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.shield(link.stop())


async def _end_with_the_wire(link: WireLink, stop: asyncio.Event) -> None:
    status = await link.wait_dead()
    if not stop.is_set():
        raise ChildProcessError(f"the wire process ended with status {status}; nothing is announced any more")


def listener_for(metrics: SpeakerMetrics, snapshot: Callable[[], Snapshot]) -> Listener:
    """What kubelet and Prometheus are told."""
    return Listener(
        why_not_ready=lambda: _why_not_ready(snapshot()),
        why_not_healthy=lambda: "" if snapshot().is_healthy else "the wire process is silent",
        metrics=lambda: metrics.page(snapshot()),
    )


def _why_not_ready(now: Snapshot) -> str:
    return now.refused if now.is_ready else "; ".join(filter(None, (now.waits_for, now.refused)))


def _snapshot(agent: Agent, link: WireLink) -> Snapshot:
    silence = asyncio.get_running_loop().time() - link.last_heard
    is_healthy = not link.dead.is_set() and silence < SILENT_WIRE_SECONDS
    return replace(agent.snapshot(), is_healthy=is_healthy)
