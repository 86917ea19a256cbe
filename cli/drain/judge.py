"""What a drain moves off a node, and what no other node could announce. Pure.

A drained node has the label that Kubernetes has for this (KEP-1143), with a value that says who set it. So all speakers
know, and it outlives every program.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address

from cli.failure import Failed
from cli.reach import why_nobody, without_node
from cli.seen import World
from crds.names import DRAINED, DRAINED_OVER_LABEL, LABEL_EXCLUDE_NODE
from kube.informer.store import ObjectKey
from kube.objects import Node


@dataclass(frozen=True)
class Drain:
    """`label`: its value at present, None = the node has none. `moves`: what the node announces and others would;
    `stays`: what nobody would announce, with its Services and why. `peers`: BGPPeers that have a session with this node
    alone. `trouble`: why the node's speaker announces nothing, or can't be asked; empty where it lives. `is_ignored`:
    its speaker ignores that label, but for the values of drains."""

    node: str
    label: str | None
    moves: tuple[str, ...] = ()
    stays: tuple[tuple[str, str], ...] = ()
    peers: tuple[str, ...] = ()
    trouble: str = ""
    is_ignored: bool = False

    @property
    def is_set(self) -> bool:
        """Whether the node is excluded already, by whomever."""
        if self.label in (DRAINED, DRAINED_OVER_LABEL):
            return True
        return self._is_labelled and not self.is_ignored

    @property
    def wanted(self) -> str:
        """The value of the label that a drain sets."""
        return DRAINED_OVER_LABEL if self._is_labelled else DRAINED

    @property
    def _is_labelled(self) -> bool:
        return self.label is not None and self.label != "false"


def label_of(world: World, name: str) -> str | None:
    """None where the Node has none. Raises Failed where there is no such Node."""
    return _node(world, name).metadata.labels.get(LABEL_EXCLUDE_NODE)


def _node(world: World, name: str) -> Node:
    found = world.seen.observed.nodes.get(ObjectKey(None, name))
    if found is None:
        raise Failed(f"there is no Node {name}: kubectl get nodes lists them")
    return found


def drain(world: World, name: str) -> Drain:
    """`world`: with all records and endpoints read in full. Raises Failed where there is no such Node."""
    label, after = label_of(world, name), without_node(world, name)
    moves, stays = [], []
    for address in sorted(world.reports.announcers.addresses_of(name), key=_order):
        stored = world.stored(ip_address(address))
        if stored is None or stored.claim.releasing:
            continue
        why = why_nobody(after, stored.claim)
        if why:
            services = ", ".join(f"svc/{one.key}" for one in stored.claim.holders)
            stays.append((f"{address} of {services}", why))
        else:
            moves.append(address)
    trouble = world.not_alive.get(name, "has no Speaker")
    speaker = world.seen.facts.speakers.get(name)
    is_ignored = speaker is not None and speaker.ignores_exclude_label
    return Drain(name, label, tuple(moves), tuple(stays), tuple(_peers(world, after, name)), trouble, is_ignored)


def _peers(world: World, after: World, node: str) -> Iterator[str]:
    for peer, sessions in sorted(world.sessions.items()):
        one, others = sessions.get(node), after.sessions.get(peer, {})
        if one is not None and one.is_established and not any(each.is_established for each in others.values()):
            yield peer


def _order(address: str) -> tuple[int, int]:
    found = ip_address(address)
    return found.version, int(found)
