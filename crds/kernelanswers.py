"""Addresses that a node's kernel answers for by itself, and what an operator should do about them, in words."""

from collections.abc import Iterable
from typing import NamedTuple


class KernelHolding(NamedTuple):
    """The kernel has the address on one interface, and answers for it on another or the same one."""

    address: str
    held_on: str
    answers_on: str

    @property
    def is_ipv6(self) -> bool:
        return ":" in self.address


def what_to_do(holdings: Iterable[KernelHolding]) -> str:
    """All that is to be done, each thing once. It ends without a full stop."""
    return "; ".join(dict.fromkeys(map(_advice, holdings)))


def _advice(one: KernelHolding) -> str:
    """kube-proxy's interface is called kube-ipvs0. Of the interface that is asked no setting that others could live
    with keeps a kernel from answering: arp_ignore 8 silences it for the node's own addresses, too."""
    if one.is_ipv6 or one.held_on == one.answers_on:
        return f"take it off {one.held_on} (ip address del)"
    if one.held_on.startswith("kube-ipvs"):
        return "kube-proxy runs in IPVS mode: set ipvs.strictARP to true in its configuration"
    return f"set net.ipv4.conf.all.arp_ignore to 1 on the node, or take it off {one.held_on} (ip address del)"
