"""Many speakers in one process, as the API server sees them: their objects, Leases, watches and writes. No packets.

`python -m bench.simulated COUNT --kubeconfig FILE` obeys lines of JSON on standard input and answers each by one line:

    {"do": "register"}            a Node and a Lease for each, and what the writers of speaker.own make; the Leases are
                                  renewed from then on
    {"do": "follow"}              open the watches; an IPAllocation that is marked is confirmed at once, one that comes
                                  or goes is reported within the budget that all nodes share, and so is a BGPPeer
    {"do": "die", "node": 7}      no renewal and no write of that one any more
    {"do": "revive", "node": 7}   its next process, once the watches are opened again
    {"do": "roll", "pace": 10}    so many restarts a second, until all have had one: goodbye, then another incarnation
    {"do": "told"}                what was confirmed so far: by uid, by how many, and when the last answer came; and
                                  how many Leases were renewed

A speaker watches ten kinds; these watch those that change here: Speakers, IPAllocations and BGPPeers. A list is read
once for all of them. What a node writes is decided in bench.simulatednode.
"""

import argparse
import asyncio
import contextlib
import json
import sys
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from bench.measure import log_to_stderr
from bench.simulatednode import AGENT, RENEW_SECONDS, Node, Told
from kube.errors import ApiError, NotFound
from kube.io.client import Client
from kube.resource import BGPPEERS, IPALLOCATIONS, SPEAKERS, Resource

FOLLOWED = (SPEAKERS, IPALLOCATIONS, BGPPEERS)
AT_ONCE = 16
RENEWERS = 20
STEADY_SECONDS = 0.5


class Simulation:
    """All of them."""

    def __init__(self, client: Client, count: int) -> None:
        self._client = client
        self.told = Told()
        self.nodes = [Node(client, number, count, self.told) for number in range(count)]
        self._renewing: list[asyncio.Task[None]] = []
        self.renewals = 0

    async def obey(self, order: dict[str, Any]) -> dict[str, Any]:
        match order["do"]:
            case "register":
                await each(self.nodes, Node.register)
                self._renewing = [asyncio.create_task(self._renew(first)) for first in range(RENEWERS)]
            case "follow":
                await self._follow()
            case "die":
                self.nodes[order["node"]].die()
            case "revive":
                self.nodes[order["node"]].revive()
            case "roll":
                await self._roll(order["pace"])
            case "told":
                return {"by": dict(self.told.by), "last": self.told.last, "renewals": self.renewals}
        return {"done": order["do"]}

    async def _renew(self, first: int) -> None:
        """The Leases of every so many nodes, in turn: a machine that is too slow renews late, and opens no more
        connections for it."""
        mine = self.nodes[first::RENEWERS]
        while True:
            began = time.monotonic()
            for number, node in enumerate(mine):
                await asyncio.sleep(began + number * RENEW_SECONDS / len(mine) - time.monotonic())
                if not node.is_dead:
                    with contextlib.suppress(ApiError):
                        await node.renew()
                        self.renewals += 1
            await asyncio.sleep(began + RENEW_SECONDS - time.monotonic())

    async def _follow(self) -> None:
        """Returns when all watches are open."""
        versions = {resource: (await self._client.list_page(resource, page_size=1)) for resource in FOLLOWED}
        for number, node in enumerate(self.nodes):
            if not node.is_dead:
                node.watches = [
                    asyncio.create_task(self._watch(node, resource, page.resource_version))
                    for resource, page in versions.items()
                ]
            if number % AT_ONCE == 0:
                await asyncio.sleep(STEADY_SECONDS)
        await asyncio.sleep(4 * STEADY_SECONDS)

    async def _watch(self, node: Node, resource: Resource, version: str) -> None:
        while True:
            try:
                async with contextlib.aclosing(self._client.watch(resource, resource_version=version)) as events:
                    async for event in events:
                        version = event.resource_version
                        if event.type != "BOOKMARK":
                            node.sees(resource, event.type, event.raw_object)
            except NotFound:
                raise
            except ApiError:
                await asyncio.sleep(1.0)

    async def _roll(self, pace: float) -> None:
        began = time.monotonic()
        for number, node in enumerate(self.nodes):
            await asyncio.sleep(began + number / pace - time.monotonic())
            if not node.is_dead:
                await node.restart()


async def each(nodes: Iterable[Node], action: Callable[[Node], Awaitable[None]]) -> None:
    """For all, some at a time."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(node: Node) -> None:
        async with gate:
            await action(node)

    await asyncio.gather(*(one(node) for node in nodes))


async def run(options: argparse.Namespace) -> None:
    async with await Client.connect(options.kubeconfig, user_agent=AGENT, max_connections=2 * AT_ONCE) as client:
        simulation = Simulation(client, options.count)
        while line := await asyncio.to_thread(sys.stdin.readline):
            print(json.dumps(await simulation.obey(json.loads(line))), flush=True)


def main() -> int:
    log_to_stderr()
    parser = argparse.ArgumentParser(prog="python -m bench.simulated")
    parser.add_argument("count", type=int)
    parser.add_argument("--kubeconfig", required=True)
    asyncio.run(run(parser.parse_args()))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
