"""Reads what an explanation needs, and has it made."""

import argparse
from ipaddress import ip_address

from cli.explain.address import explain_record, how
from cli.explain.pool import explain_node, explain_pool
from cli.explain.service import NOT_READ, explain_service, is_vague
from cli.explain.subject import Subject
from cli.explain.told import Explanation
from cli.namespaces import namespace_of
from cli.reading import read_cluster, read_in_full, with_client
from cli.rights import refused
from cli.seen import World
from cli.workloads import needs
from kube.io.client import Client
from kube.objects import ServiceKey


def explained(options: argparse.Namespace, subject: Subject) -> Explanation:
    """Raises Failed where the cluster can't be read."""

    async def work(client: Client) -> Explanation:
        return await explain(client, options.berth_namespace, subject, namespace_of(options))

    return with_client(options, work)


async def explain(client: Client, berth: str, subject: Subject, namespace: str) -> Explanation:
    """`berth`: Berth's namespace; `namespace`: that of the Service. Raises ApiError."""
    seen = await read_cluster(client, berth)
    if blind := World(seen).blind:
        told = Explanation("/".join(subject), "it can't be told without these")
        for gap in blind:
            told.blame("NoDefinitions" if gap.is_unknown else NOT_READ, str(gap))
        return told
    if subject.kind == "node":
        return explain_node(World(seen), subject.name)
    if subject.kind == "pool":
        return explain_pool(World(seen), subject.name)
    if subject.kind == "address":
        return _address(World(await read_in_full(client, seen, [subject.name], [])), subject.name)
    key = ServiceKey(namespace, subject.name)
    world = World(await read_in_full(client, seen, seen.held_by(key), [key]))
    told = explain_service(world, key)
    if not told.causes or not is_vague(told.causes[0]):
        return told
    return explain_service(world, key, await refused(client, berth, await needs(client, berth)))


def _address(world: World, text: str) -> Explanation:
    told, address = Explanation(text), ip_address(text)
    stored = world.stored(address)
    if stored is not None:
        holders = ", ".join(f"svc/{one.key}" for one in stored.claim.holders)
        told.summary = f"of pool {stored.claim.pool}, held by {holders}. {how(world, address)}".rstrip(". ")
        explain_record(told, world, stored)
        return told
    pool = world.pools.holding(address)
    kept = world.ledger.kept_by(address)
    if kept is not None:
        told.blame("AddressExcluded", f"{address} is not given out: it is {kept}")
    elif pool is not None:
        told.summary = f"free, in pool {pool.name}"
    else:
        excluding = world.pools.excluding(address)
        where = "in no pool" if excluding is None else f"excluded from pool {excluding.name}"
        told.blame("AddressNotInPool", f"{address} is {where}: nobody gets it")
    return told
