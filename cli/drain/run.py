"""Reads what a drain needs, writes the label of the Node, and looks until nothing is announced there."""

import asyncio
from dataclasses import dataclass, replace
from ipaddress import ip_address

from cli.announced import announced_by, slices_of
from cli.drain.judge import Drain, drain, is_drained
from cli.failure import Failed
from cli.reading import LONGEST_SECONDS, Reader, read_cluster
from cli.seen import Seen, World
from cli.waiting import Look
from cli.writing import write
from crds.names import LABEL_DRAINED
from crds.wording import listed
from kube.io.client import Client
from kube.resource import ENDPOINTSLICES, IPALLOCATIONS, NODES
from speaker.cluster.objects import allocation_from, slice_from

NAMED = 5
"""Addresses that a line names; it counts the rest."""


async def judged(client: Client, berth: str, node: str) -> tuple[World, Drain]:
    """What would move, and what not; writes nothing. `berth`: Berth's namespace. Raises Failed, ApiError."""
    world = World(await _read(client, berth))
    return world, drain(world, node)


async def _read(client: Client, berth: str) -> Seen:
    """With every record and every endpoint: any of them may be announced by the node."""
    seen, reader = await read_cluster(client, berth), Reader(client)
    async with asyncio.timeout(LONGEST_SECONDS):
        (allocations,) = await reader.all(IPALLOCATIONS, allocation_from)
        (slices,) = await reader.all(ENDPOINTSLICES, slice_from)
    blind = (*World(seen).blind, *reader.gaps)
    if blind:
        named = "; ".join(dict.fromkeys(map(str, blind)))
        raise Failed(f"it can't be told what would be announced by nobody without reading these: {named}")
    by_name = {key.name: one for key, one in allocations.items()}
    facts = replace(seen.facts, allocations=by_name, slices={str(key): one for key, one in slices.items()})
    return replace(seen, facts=facts)


async def label(client: Client, asked: Drain) -> None:
    """Take the Node out of use, unless it is already."""
    if not asked.is_set:
        await write(client, NODES, asked.node, {"metadata": {"labels": {LABEL_DRAINED: "true"}}})


async def unlabel(client: Client, berth: str, node: str) -> bool:
    """Whether there was anything to do. Raises Failed where there is no such Node."""
    if not is_drained(World(await read_cluster(client, berth)), node):
        return False
    await write(client, NODES, node, {"metadata": {"labels": {LABEL_DRAINED: None}}})
    return True


@dataclass
class Watched:
    """A drain that was written. `look` raises ApiError."""

    client: Client
    berth: str
    world: World
    asked: Drain

    async def look(self) -> Look:
        """Done when the node announces nothing, and others announce what could move."""
        node = self.asked.node
        left = await announced_by(self.client, node, slices_of(self.world.seen, node))
        if left:
            return Look(False, f"{node} announces {len(left)}: {listed(sorted(left), NAMED)}")
        world = World(await read_cluster(self.client, self.berth))
        if node in world.silent:
            return Look(False, f"the speaker of {node} is silent, so it can't be told what it announces")
        waits = [one for one in self.asked.moves if _waits(world, one)]
        if waits:
            return Look(False, f"no other node announces yet: {listed(waits, NAMED)}")
        others = f", and others announce the {len(self.asked.moves)} that could move" if self.asked.moves else ""
        return Look(True, f"{node} is drained: it announces nothing{others}")


def _waits(world: World, address: str) -> bool:
    """Whether it is in use still, and nobody announces it."""
    stored = world.stored(ip_address(address))
    return stored is not None and not stored.claim.releasing and not world.announcers(stored.address)
