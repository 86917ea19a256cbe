"""Addresses of Services that this node's own kernel answers ARP for, whoever is their owner. Pure.

kube-proxy in IPVS mode puts every address of a Service on a dummy interface of every node. A kernel answers ARP on any
of its interfaces for any of its addresses, unless `arp_ignore` says otherwise. So all nodes answer at once, and clients
land on any of them. It is told; nothing is silenced, since that would not silence the kernel.

NDP is not concerned: a kernel answers for an IPv6 address on the interface that has it, and no other.
"""

from collections.abc import Collection, Iterator, Mapping
from ipaddress import IPv4Address
from struct import Struct
from typing import NamedTuple

from crds.conditions import Reason
from crds.wording import listed
from speaker.cluster.faults import Fault
from speaker.wire import netlink

NAMED_ADDRESSES = 3

_ADDRESS = Struct("=BBBBI")  # struct ifaddrmsg: family, prefix length, flags, scope, index
_NEW_ADDRESS, _GET_ADDRESS, _FLAG_DUMP = 20, 22, 0x300  # linux/rtnetlink.h, linux/netlink.h
_INET, _LOCAL = 2, 2  # AF_INET, IFA_LOCAL
_IGNORES_NOTHING, _IGNORES_ALL = 0, 8  # Documentation/networking/ip-sysctl.rst


class Held(NamedTuple):
    """What the kernel has: the interface of each IPv4 address, and the `arp_ignore` in force on each interface."""

    interfaces: Mapping[str, str]
    arp_ignore: Mapping[str, int]


def dump_request(sequence: int) -> bytes:
    """Ask for all IPv4 addresses."""
    return netlink.request(_GET_ADDRESS, _FLAG_DUMP, sequence, _ADDRESS.pack(_INET, 0, 0, 0, 0))


def addresses_in(datagram: bytes) -> Iterator[tuple[str, int]]:
    """Each address, and the index of its interface."""
    for kind, _, _, body in netlink.messages(datagram):
        if kind == _NEW_ADDRESS and len(body) >= _ADDRESS.size:
            family, _, _, _, ifindex = _ADDRESS.unpack_from(body)
            value = dict(netlink.attributes(body[_ADDRESS.size :])).get(_LOCAL, b"")
            if family == _INET and len(value) == 4:
                yield str(IPv4Address(value)), ifindex


def answered_on(held: Held, address: str, usable: Collection[str]) -> str:
    """An interface on which the kernel answers for that address by itself; "" = on none of these."""
    interface = held.interfaces[address]
    for name in usable:
        ignored = held.arp_ignore.get(name, _IGNORES_NOTHING)
        if ignored == _IGNORES_NOTHING or (name == interface and ignored != _IGNORES_ALL):
            return name
    return ""


def fault_of(held: Held, served: Collection[str], usable: Collection[str]) -> Fault | None:
    """`served`: the addresses that some node announces on layer 2."""
    answered = {
        address: name
        for address in sorted(held.interfaces.keys() & set(served))
        if (name := answered_on(held, address, usable))
    }
    if not answered:
        return None
    places = sorted({held.interfaces[address] for address in answered})
    message = (
        f"{listed(list(answered), NAMED_ADDRESSES)}: this node's kernel has it on {listed(places, NAMED_ADDRESSES)} "
        f"and answers ARP for it on {next(iter(answered.values()))}, whichever node is the owner. With kube-proxy in "
        "IPVS mode set ipvs.strictARP to true in its configuration; else take the address off the node"
    )
    return Fault(Reason.HeldByNode, message)
