"""L2Advertisement: which addresses are announced on the local segment by ARP and NDP, from which nodes."""

from collections.abc import Mapping
from typing import Annotated, ClassVar

from crds.advertisement import AdvertisementSpec, AdvertisementStatus, ColumnText
from crds.kind import AGE, Column, CustomKind, degraded_column, ready_column
from crds.markers import Items, ListSet
from crds.meta import BerthObject, LabelSelector
from crds.rules import InterfacePattern


class L2AdvertisementSpec(AdvertisementSpec):
    """Which addresses, from which nodes, on which interfaces."""

    interfaces: Annotated[tuple[InterfacePattern, ...], Items(maximum=64), ListSet()] = ()
    """The interfaces to announce on: names (eth0), or patterns for whole names as in a shell (ens*, eth?, bond[0-9],
    [!v]*). Empty: all interfaces that can carry it."""
    preferred_node_selectors: Annotated[tuple[LabelSelector, ...], Items(maximum=16)] = ()
    """Of the nodes that may announce, these own addresses first: those that the first selector chooses, then those of
    the second, and so on, then all others. A node that comes back takes nothing back before failbackAfterSeconds."""

    answer_ping: bool = False
    """Also answer echo requests (ping, ICMP and ICMPv6) for these addresses, on the owner's node; of several
    advertisements one that says so is enough. The speaker needs the capability NET_ADMIN for it. That ping is answered
    says that a node owns the address, and nothing of its Services."""

    def preference(self, labels: Mapping[str, str]) -> int:
        """The place of a node with these labels: that of the first selector that chooses it, or behind all of them."""
        selectors = enumerate(self.preferred_node_selectors)
        chosen_by = (place for place, selector in selectors if selector.matches(labels))
        return next(chosen_by, len(self.preferred_node_selectors))


class L2AdvertisementStatus(AdvertisementStatus):
    """What Berth made of the advertisement."""

    interfaces: ColumnText = ""
    """The interfaces that it names, as a text for tables; * for all."""


class L2Advertisement(BerthObject):
    """Announces addresses on the local segment: one node at a time answers ARP and NDP for each address."""

    KIND: ClassVar[CustomKind] = CustomKind(
        kind="L2Advertisement",
        plural="l2advertisements",
        short_names=("l2ad",),
        columns=(
            Column("Pools", ".status.pools", description="IPPools by name; * for all."),
            Column("Interfaces", ".status.interfaces", description="Interfaces; * for all."),
            ready_column(),
            degraded_column(),
            AGE,
        ),
    )

    kind: str = "L2Advertisement"
    spec: L2AdvertisementSpec = L2AdvertisementSpec()
    """Which addresses, from which nodes, on which interfaces."""
    status: L2AdvertisementStatus = L2AdvertisementStatus()
    """What Berth made of the advertisement; written by the allocator."""
