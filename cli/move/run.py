"""Reads what a move needs, asks whether it can be, writes it, and waits until it is done."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from allocator.objects import StoredAllocation, decode_allocation
from allocator.request import our_condition, present_addresses
from allocator.status.entries import Announcement
from cli.announced import announced_by, slices_of
from cli.failure import Failed
from cli.move.judge import Move, move
from cli.move.target import target
from cli.reading import read_cluster, read_in_full
from cli.seen import World
from cli.waiting import Look
from cli.writing import write
from crds.addresses import IPAddress, family_of
from crds.conditions import ConditionType
from crds.names import allocation_name
from kube.errors import NotFound
from kube.io.client import Client
from kube.objects import Service, ServiceKey, decode_service
from kube.resource import IPALLOCATIONS, SERVICES


async def judged(client: Client, berth: str, key: ServiceKey, to: str) -> tuple[World, Move]:
    """What would be written; writes nothing. `berth`: Berth's namespace. Raises Failed where it can't be, ApiError."""
    seen = await read_cluster(client, berth)
    if blind := World(seen).blind:
        raise Failed(f"it can't be told whether that can be without reading these: {'; '.join(map(str, blind))}")
    wanted = target(to, World(seen))
    addresses = dict.fromkeys([*map(str, wanted.addresses), *seen.held_by(key)])
    world = World(await read_in_full(client, seen, list(addresses), [key]))
    return world, move(world, key, wanted)


async def carry_out(client: Client, key: ServiceKey, asked: Move) -> None:
    """Write it. Raises Failed where that is refused."""
    if asked.change.annotations or asked.change.drops_field:
        await write(client, SERVICES, key.name, asked.change.body(asked.service.metadata.uid), key.namespace)


@dataclass
class Watched:
    """A move that was written. `look` raises ApiError, and Failed where the Service is gone."""

    client: Client
    world: World
    key: ServiceKey
    asked: Move

    async def look(self) -> Look:
        """How far it is."""
        service = await self._service()
        present = present_addresses(service)
        if self.asked.wanted.node:
            return await self._at_node(present)
        there = [one for one in present if self._is_wanted(one)]
        if not self._has_all(there):
            return Look(False, f"svc/{self.key} {_still(service)}")
        waits = [text for one in there if (text := await self._why_silent(one))]
        leaving = [one for one in self._held() if one not in present]
        waits += [f"{one} is shown still" for one in self.asked.leaving if one in present]
        waits += [text for one in leaving if (text := await self._why_held(one))]
        if waits:
            return Look(False, "; ".join(waits))
        back = f"; {', '.join(map(str, leaving))} is given back" if leaving else ""
        return Look(True, f"svc/{self.key} is at {', '.join(map(str, present))}{back}")

    async def _service(self) -> Service:
        try:
            service = decode_service(await self.client.get(SERVICES, self.key.name, self.key.namespace))
        except NotFound as error:
            raise Failed(f"svc/{self.key} was deleted meanwhile") from error
        if service.metadata.uid != self.asked.service.metadata.uid:
            raise Failed(f"svc/{self.key} was deleted and made anew meanwhile")
        return service

    def _is_wanted(self, address: IPAddress) -> bool:
        wanted, pool = self.asked.wanted, self.world.pools.holding(address)
        return address in wanted.addresses or (pool is not None and pool.name == wanted.pool)

    def _has_all(self, there: Sequence[IPAddress]) -> bool:
        wanted = [one for one in self.asked.grants if self._is_wanted(one.address)]
        families = {family_of(one.address) for one in wanted}
        return families == {family_of(one) for one in there} and set(self.asked.wanted.addresses) <= set(there)

    def _held(self) -> list[IPAddress]:
        uid = self.asked.service.metadata.uid
        return [entry.address for entry in self.world.ledger.held_by_uid(uid)]

    async def _stored(self, address: IPAddress) -> StoredAllocation | None:
        try:
            return decode_allocation(await self.client.get(IPALLOCATIONS, allocation_name(address)))
        except NotFound:
            return None

    async def _why_silent(self, address: IPAddress) -> str:
        """Empty where somebody announces it."""
        stored = await self._stored(address)
        found = [one for one in stored.conditions if one.type == ConditionType.Announced] if stored is not None else []
        if found and found[0].status == "True":
            return ""
        return f"{address} is not announced yet{': ' if found else ''}{found[0].message if found else ''}"

    async def _why_held(self, address: IPAddress) -> str:
        """Empty where the Service holds it no more, and nothing of it is left that could be announced for it."""
        stored = await self._stored(address)
        if stored is None or not stored.claim.held_by(self.asked.service.metadata.uid):
            return ""
        withdrawn = next((one.message for one in stored.conditions if one.type == ConditionType.Withdrawn), "")
        return withdrawn or f"{address} is being withdrawn"

    async def _at_node(self, present: Sequence[IPAddress]) -> Look:
        node, seen = self.asked.wanted.node, self.world.seen
        former = {name for one in present for name in self.world.announcers(one)} - {node}
        found = await asyncio.gather(*(announced_by(self.client, one, slices_of(seen, one)) for one in [node, *former]))
        by_node = dict(zip([node, *former], found, strict=True))
        waits = []
        for address in present:
            owners = sorted(name for name, said in by_node.items() if _is_on_layer2(said.get(str(address))))
            if owners != [node]:
                waits.append(f"{address} is at {', '.join(owners) or 'no node'}")
        if waits:
            return Look(False, "; ".join(waits))
        return Look(True, f"svc/{self.key} is at {node}: {', '.join(map(str, present))}")


def _is_on_layer2(how: Announcement | None) -> bool:
    return how is not None and "Layer2" in how.protocols


def _still(service: Service) -> str:
    condition, present = our_condition(service), present_addresses(service)
    if condition is not None and condition.status != "True":
        return f"waits: {condition.reason}: {condition.message}"
    return f"is still at {', '.join(map(str, present))}" if present else "has no address yet"
