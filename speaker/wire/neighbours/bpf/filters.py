"""Filters at an interface's ingress as rtnetlink messages (clsact), which of them are ours, and where ours stands.

It opens no socket (io/attach.py does). Formats: linux/rtnetlink.h, linux/pkt_sched.h, linux/pkt_cls.h.

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +---------------+-----------------------------------------------+
    |    Family     |                     (pad)                     |
    +---------------+-----------------------------------------------+
    |                       Interface index                         |
    +---------------------------------------------------------------+   struct tcmsg, after struct nlmsghdr;
    |                            Handle                             |   attributes follow
    +---------------------------------------------------------------+
    |                            Parent                             |
    +-------------------------------+-------------------------------+
    |           Priority            |  EtherType, in network order  |   in host order as one number
    +-------------------------------+-------------------------------+

A frame meets the filters by their priority, the lowest first, and those of one priority as they are listed: the one
that came last is the first. `bpf` filters of one priority and EtherType may stand side by side; what is of another
kind, or for another EtherType, can't have the same priority.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from struct import Struct
from typing import NamedTuple

from speaker.wire import netlink

_MESSAGE = Struct("=BxxxiIII")
_NUMBER = Struct("=I")

_NEW_QDISC, _DELETE_QDISC = 36, 37  # RTM_*QDISC
NEW_FILTER, _DELETE_FILTER, _GET_FILTER = 44, 45, 46  # RTM_*TFILTER
_KIND, _OPTIONS, _CHAIN = 1, 2, 11  # TCA_*
_BPF_DESCRIPTOR, _BPF_NAME, _BPF_FLAGS, _BPF_PLACE = 6, 7, 8, 9  # TCA_BPF_*, the last one TCA_BPF_FLAGS_GEN
_DIRECT_ACTION = 1  # TCA_BPF_FLAG_ACT_DIRECT: what the program returns is what happens to the frame
_NOT_IN_HARDWARE = 1  # TCA_CLS_FLAGS_SKIP_HW: a card that could run it knows none of our maps

_CLSACT, _CLSACT_HANDLE = 0xFFFFFFF1, 0xFFFF0000  # TC_H_CLSACT, and its major number
INGRESS, EGRESS = 0xFFFFFFF2, 0xFFFFFFF3
_ALL = 0x0003 if sys.byteorder == "big" else 0x0300  # ETH_P_ALL, in network order

_BPF = "bpf"
NAME, NAME_WITH_CLSACT = "berth", "berth, made clsact"
"""What `tc filter show` says of ours. The second: the queueing discipline that it stands on was made for it."""
HANDLES = range(0x42657274, 0x42657274 + 16)
"""Handles of our filters at one interface. Loaders that are known to us take 1 and what follows."""
PRIORITY = 0x4265
"""Where nothing else stands. Below 0x8000, so that the kernel puts filters that come later and leave the priority to it
(0xC000 and downwards) behind ours; and no number that anybody would write by hand, so that ours is in nobody's way."""


class Filter(NamedTuple):
    """One filter. `handle` 0: the kernel's entry for the priority as a whole."""

    priority: int
    handle: int
    protocol: int
    kind: str
    name: str = ""
    chain: int = 0

    @property
    def is_ours(self) -> bool:
        """Nobody else's filter passes for one of ours: three things have to agree."""
        return self.kind == _BPF and self.name in (NAME, NAME_WITH_CLSACT) and self.handle in HANDLES

    @property
    def takes_neighbours(self) -> bool:
        """Whether a `bpf` filter for all frames may stand at the same priority."""
        return self.kind == _BPF and self.protocol == _ALL


def clsact_request(sequence: int, interface: int) -> bytes:
    """Make the queueing discipline that filters stand on; EEXIST where there is one, also one of the kind `ingress`."""
    flags = netlink.ACKNOWLEDGE | netlink.CREATE | netlink.ONLY_NEW
    return netlink.request(_NEW_QDISC, flags, sequence, _clsact(interface))


def delete_clsact_request(sequence: int, interface: int) -> bytes:
    """Remove it, and whatever stands on it."""
    return netlink.request(_DELETE_QDISC, netlink.ACKNOWLEDGE, sequence, _clsact(interface))


def _clsact(interface: int) -> bytes:
    return _MESSAGE.pack(0, interface, _CLSACT_HANDLE, _CLSACT, 0) + _text(_KIND, "clsact")


def filters_request(sequence: int, interface: int, parent: int) -> bytes:
    """Ask for all filters at INGRESS or EGRESS. Without a queueing discipline there are none, and that is no error."""
    return netlink.dump(_GET_FILTER, sequence, _MESSAGE.pack(0, interface, 0, parent, 0))


def add_request(sequence: int, interface: int, own: Filter, program: int) -> bytes:
    """Have this program see every frame that comes in; `program` is its descriptor."""
    options = (
        netlink.attribute(_BPF_DESCRIPTOR, _NUMBER.pack(program))
        + _text(_BPF_NAME, own.name)
        + netlink.attribute(_BPF_FLAGS, _NUMBER.pack(_DIRECT_ACTION))
        + netlink.attribute(_BPF_PLACE, _NUMBER.pack(_NOT_IN_HARDWARE))
    )
    body = _filter(interface, own) + _text(_KIND, _BPF) + netlink.attribute(_OPTIONS, options)
    flags = netlink.ACKNOWLEDGE | netlink.CREATE | netlink.ONLY_NEW
    return netlink.request(NEW_FILTER, flags, sequence, body)


def delete_request(sequence: int, interface: int, one: Filter) -> bytes:
    """Remove exactly this filter."""
    body = _filter(interface, one) + _text(_KIND, one.kind)
    return netlink.request(_DELETE_FILTER, netlink.ACKNOWLEDGE, sequence, body)


def _filter(interface: int, one: Filter) -> bytes:
    return _MESSAGE.pack(0, interface, one.handle, INGRESS, one.priority << 16 | one.protocol)


def _text(kind: int, value: str) -> bytes:
    return netlink.attribute(kind, value.encode() + b"\0")


def filter_of(kind: int, body: bytes) -> Filter | None:
    """None for what is no news of a filter, or broken off."""
    if kind != NEW_FILTER or len(body) < _MESSAGE.size:
        return None
    _, _, handle, _, info = _MESSAGE.unpack_from(body)
    values = dict(netlink.attributes(body[_MESSAGE.size :]))
    its_kind = netlink.text(values.get(_KIND, b""))
    name = dict(netlink.attributes(values.get(_OPTIONS, b""))).get(_BPF_NAME, b"") if its_kind == _BPF else b""
    return Filter(info >> 16, handle, info & 0xFFFF, its_kind, netlink.text(name), netlink.number(values.get(_CHAIN)))


def place(filters: Sequence[Filter], name: str) -> Filter:
    """Ours, as it is to be added: before all others, at a priority that keeps nobody from any.

    Beside another of ours whose name says that clsact was made for it, this one's says so, too: the last one takes it
    away.

    Raises LookupError where all our handles are taken.
    """
    taken = {one.handle for one in filters}
    handle = next((each for each in HANDLES if each not in taken), None)
    if handle is None:
        raise LookupError(f"{len(HANDLES)} filters of Berth's stand there")
    if any(one.is_ours and one.name == NAME_WITH_CLSACT for one in filters):
        name = NAME_WITH_CLSACT
    return Filter(_priority(filters), handle, _ALL, _BPF, name)


def is_in_place(filters: Sequence[Filter], own: Filter) -> bool:
    """Whether ours is among them (as listed by the kernel), and meets frames before all that it could stand before."""
    best, before = _priority(filters), list[Filter]()
    for one in _met(filters):
        if one == own:
            return all(other.priority < best for other in before)
        before += [] if one.is_ours else [one]
    return False


def _priority(filters: Sequence[Filter]) -> int:
    """Half of the others' lowest one, which leaves room on both sides. At 1 beside those that are there already, where
    they take neighbours; else as early after them as may be."""
    lowest = min((one.priority for one in _met(filters) if not one.is_ours), default=2 * PRIORITY)
    if lowest > 1:
        return min(PRIORITY, lowest // 2)
    closed = {one.priority for one in filters if one.chain == 0 and not one.takes_neighbours}
    return next(priority for priority in range(1, len(closed) + 2) if priority not in closed)


def _met(filters: Sequence[Filter]) -> Iterator[Filter]:
    """What a frame meets, in this order."""
    return (one for one in filters if one.handle and one.chain == 0)
