"""What changed about a node's network interfaces between two reports of the wire process, and how they stand.

For metrics and logs only. Announcements follow from the latest report alone, and are decided elsewhere.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from enum import Enum
from typing import NamedTuple

from crds.speaker import Answerer
from speaker.cluster.networks import network_of
from speaker.layer2.nearness import Rank, Way
from speaker.own.entries import Entry, interface
from speaker.wire.messages import Interface

NEVER_USABLE = ("Excluded", "Loopback", "NotEthernet")
"""Interfaces of containers and the like: they come and go with pods, and no operator looks for them."""

SHOWN = 64

OFF = "Off"
"""Why the kernel does not answer: nobody wants it to."""

IPV6_OFF = "IPv6Off"
"""The reason of an interface that is usable, and not for IPv6."""


class Kind(Enum):
    """What happened to an interface."""

    APPEARED = "Appeared"
    VANISHED = "Vanished"
    RENAMED = "Renamed"
    MAC_CHANGED = "MacChanged"
    BECAME_USABLE = "BecameUsable"
    BECAME_UNUSABLE = "BecameUnusable"
    NETWORKS_CHANGED = "NetworksChanged"
    IPV6_CHANGED = "IPv6Changed"


class Change(NamedTuple):
    """`detail`: the MAC, the earlier name, why it is not usable, its networks, or whether IPv6 is on or off."""

    kind: Kind
    name: str
    detail: str


def changes(before: Iterable[Interface], after: Iterable[Interface]) -> list[Change]:
    """In the order of `after`, the vanished ones last. An index is one interface, whatever its name.

    Leaves out interfaces that were and are unusable by their kind.
    """
    old = {one.ifindex: one for one in before}
    new = {one.ifindex: one for one in after}
    found = [change for one in new.values() for change in _of_one(old.get(one.ifindex), one)]
    gone = [one for one in old.values() if one.ifindex not in new and one.reason not in NEVER_USABLE]
    return found + [Change(Kind.VANISHED, one.name, one.mac) for one in gone]


def states(interfaces: Iterable[Interface]) -> Counter[str]:
    """How many interfaces are "Usable", and how many are not, by reason."""
    return Counter("Usable" if one.usable else one.reason.partition(":")[0] for one in interfaces)


def _of_one(old: Interface | None, new: Interface) -> Iterator[Change]:
    if new.reason in NEVER_USABLE and (old is None or old.reason in NEVER_USABLE):
        return
    if old is None:
        yield Change(Kind.APPEARED, new.name, new.mac)
        return
    if old.name != new.name:
        yield Change(Kind.RENAMED, new.name, old.name)
    if old.mac != new.mac:
        yield Change(Kind.MAC_CHANGED, new.name, new.mac)
    if old.usable != new.usable:
        yield Change(Kind.BECAME_USABLE if new.usable else Kind.BECAME_UNUSABLE, new.name, new.reason)
    elif old.networks != new.networks:
        yield Change(Kind.NETWORKS_CHANGED, new.name, ", ".join(network for network, _ in new.networks))
    if old.usable and new.usable and old.ipv6 != new.ipv6:
        yield Change(Kind.IPV6_CHANGED, new.name, "on" if new.ipv6 else "off")


def answerer(one: Interface) -> Answerer | None:
    """What answers ARP and NDP on it; None where it is not in use."""
    if one.kernel_answers:
        return Answerer.Kernel
    return Answerer.UserSpace if one.why_not else None


def answerers(interfaces: Iterable[Interface]) -> Counter[str]:
    """On how many interfaces the kernel answers, and on how many the wire process, by why."""
    told = ((answerer(one), one.why_not.partition(":")[0]) for one in interfaces)
    return Counter(why or who.value for who, why in told if who is not None)


def refusals(interfaces: Iterable[Interface]) -> dict[str, tuple[str, ...]]:
    """On which interfaces the kernel was to answer and does not, by why."""
    found: dict[str, tuple[str, ...]] = {}
    for one in interfaces:
        if one.why_not and one.why_not != OFF:
            found[one.why_not] = (*found.get(one.why_not, ()), one.name)
    return found


def ranks(interfaces: Iterable[Interface]) -> dict[Way, Rank]:
    """How the kernel ranks each interface on each of its networks."""
    found = ((one, network_of(text), metric) for one in interfaces if one.usable for text, metric in one.networks)
    return {Way(one.name, network): (metric, one.ifindex) for one, network, metric in found if network is not None}


def to_show(interfaces: Iterable[Interface], usable: Collection[str]) -> list[Entry]:
    """For the Speaker object: usable ones first; those that never can be usable only when there is no usable one."""
    hidden = NEVER_USABLE if usable else ()  # who has none at all wants to know why
    shown = [one for one in interfaces if one.reason not in hidden]
    shown.sort(key=lambda one: (not one.usable, one.name))
    return [_entry(one) for one in shown[:SHOWN]]


def _entry(one: Interface) -> Entry:
    if not one.usable:
        return interface(one.name, one.mac, up=one.up, usable=False, reason=one.reason)
    return interface(
        one.name,
        one.mac,
        up=one.up,
        usable=True,
        reason=one.reason or ("" if one.ipv6 else IPV6_OFF),
        networks=[network for network, _ in one.networks],
        gateways=one.gateways,
        ipv6=one.ipv6,
        answers=answerer(one),
        answers_reason=one.why_not,
    )
