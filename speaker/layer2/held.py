"""Addresses of Services that this node's own kernel answers for, whoever is their owner. Pure.

kube-proxy in IPVS mode puts every address of a Service on a dummy interface of every node. A kernel answers ARP on any
of its interfaces for any of its addresses, unless `arp_ignore` says otherwise. So all nodes answer at once, and clients
land on any of them. It is told; nothing is silenced, since that would not silence the kernel.

For an IPv6 address a kernel answers NDP on the interface that has it and no other, and no setting changes that.
"""

from collections.abc import Collection, Mapping
from typing import NamedTuple

from crds.kernelanswers import KernelHolding
from speaker.wire import netlink

_INET = 2
_LOCAL_SECOND = netlink.attribute(netlink.IFA_LOCAL, bytes(4))[:4]
"""The head of IFA_LOCAL where it follows IFA_ADDRESS, as all kernels have it for IPv4: thousands are read quickly."""
_UNANSWERED = 0x08 | 0x40  # IFA_F_DADFAILED, IFA_F_TENTATIVE (RFC 4862 §5.4)
_ON_THAT_INTERFACE, _NEVER = (1, 2), 8
"""Values of arp_ignore with which a kernel answers for the addresses of the asked interface only, and for none. The
rest answers for all that others may reach (Documentation/networking/ip-sysctl.rst)."""


class Held(NamedTuple):
    """What the kernel has of the addresses that it was asked about: the interfaces of each, sorted; and the
    `arp_ignore` in force on each interface."""

    interfaces: Mapping[str, tuple[str, ...]]
    arp_ignore: Mapping[str, int]


def addresses_in(datagram: bytes, wanted: Collection[bytes]) -> tuple[list[tuple[bytes, int]], bool]:
    """Each of the wanted addresses that is there, and the index of its interface; and whether the dump ends here. There
    may be thousands of others."""
    found, is_over = [], False
    for kind, _, _, body in netlink.messages(datagram):
        is_over |= netlink.is_end(kind)
        if kind != netlink.NEW_ADDRESS or len(body) < netlink.ADDRESS.size:
            continue
        address = body[20:24] if body[0] == _INET and body[16:20] == _LOCAL_SECOND else _address_in(body)
        if address in wanted:
            _, _, flags, _, ifindex = netlink.ADDRESS.unpack_from(body)
            if not (len(address) == 16 and flags & _UNANSWERED):
                found.append((address, ifindex))
    return found, is_over


def _address_in(body: bytes) -> bytes:
    found = dict(netlink.attributes(body[netlink.ADDRESS.size :]))
    return found.get(netlink.IFA_LOCAL) or found.get(netlink.IFA_ADDRESS, b"")


def answer_of(held: Held, address: str, usable: Collection[str]) -> KernelHolding | None:
    """Where the kernel answers for that address by itself, among these interfaces; None = on none of them."""
    having = held.interfaces.get(address, ())
    for name in usable:
        ignored = held.arp_ignore.get(name, 0)
        if name in having and (":" in address or ignored != _NEVER):
            return KernelHolding(address, name, name)
        if having and ":" not in address and ignored not in (*_ON_THAT_INTERFACE, _NEVER):
            return KernelHolding(address, having[0], name)
    return None


def answers_of(held: Held, usable: Collection[str]) -> list[KernelHolding]:
    """For which of these addresses it answers, sorted."""
    found = (answer_of(held, address, usable) for address in sorted(held.interfaces))
    return [one for one in found if one is not None]
