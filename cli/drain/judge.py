"""What a drain moves off a node, and what no other node could announce. Pure.

A drained node has a label of ours, which excludes it as the label of Kubernetes does (KEP-1143): all speakers know, and
it outlives every program.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from typing import NamedTuple

from cli.failure import Failed
from cli.listings import order
from cli.reach import why_nobody, without_node
from cli.seen import World
from crds.names import LABEL_DRAINED
from kube.informer.store import ObjectKey


class Stay(NamedTuple):
    """An address that nobody would announce: with its Services, as svc/NAMESPACE/NAME, and why."""

    address: str
    services: tuple[str, ...]
    why: str


@dataclass(frozen=True)
class Drain:
    """`is_set`: whether the node has the label already. `moves`: what the node announces and others would;
    `stays`: what nobody would announce. `peers`: BGPPeers that have a session with this node
    alone. `trouble`: why the node's speaker announces nothing, or can't be asked; empty where it lives."""

    node: str
    is_set: bool
    moves: tuple[str, ...] = ()
    stays: tuple[Stay, ...] = ()
    peers: tuple[str, ...] = ()
    trouble: str = ""


def is_drained(world: World, name: str) -> bool:
    """Raises Failed where there is no such Node."""
    found = world.seen.observed.nodes.get(ObjectKey(None, name))
    if found is None:
        raise Failed(f"there is no Node {name}: kubectl get nodes lists them")
    return found.metadata.labels.get(LABEL_DRAINED, "false") != "false"


def drain(world: World, name: str) -> Drain:
    """`world`: with all records and endpoints read in full. Raises Failed where there is no such Node."""
    is_set, after = is_drained(world, name), without_node(world, name)
    moves, stays = [], []
    for address in sorted(world.reports.announcers.addresses_of(name), key=order):
        stored = world.stored(ip_address(address))
        if stored is None or stored.claim.releasing:
            continue
        why = why_nobody(after, stored.claim)
        if why:
            services = tuple(f"svc/{one.key}" for one in stored.claim.holders)
            stays.append(Stay(address, services, why))
        else:
            moves.append(address)
    trouble = world.not_alive.get(name, "has no Speaker")
    return Drain(name, is_set, tuple(moves), tuple(stays), tuple(_peers(world, after, name)), trouble)


def _peers(world: World, after: World, node: str) -> Iterator[str]:
    for peer, sessions in sorted(world.sessions.items()):
        one, others = sessions.get(node), after.sessions.get(peer, {})
        if one is not None and one.is_established and not any(each.is_established for each in others.values()):
            yield peer
