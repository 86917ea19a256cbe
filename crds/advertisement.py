"""What both kinds of advertisement have in common: which addresses and nodes they choose.

Allocator and speakers ask the same methods, so that what one calls advertised the other announces. Knows nothing of
peers, interfaces, endpoints or health.
"""

from collections.abc import Iterable, Mapping
from typing import Annotated

from pydantic import Field

from crds.markers import Text
from crds.meta import JudgedStatus, LabelSelector, Model
from crds.rules import PoolNames
from crds.wording import COLUMN_CHARACTERS, column

ColumnText = Annotated[str, Text(max_length=COLUMN_CHARACTERS)]


class AdvertisementSpec(Model):
    """Which addresses, from which nodes."""

    ip_pools: PoolNames = Field((), alias="ipPools")
    """Announce addresses of these IPPools, and of those that ipPoolSelector chooses. With neither: of all pools."""
    ip_pool_selector: LabelSelector | None = None
    """Announce addresses of the IPPools with these labels, and of those in ipPools."""
    service_selector: LabelSelector | None = None
    """Announce only addresses of Services with these labels. Not set: of all Services."""
    node_selector: LabelSelector | None = None
    """Announce only from nodes with these labels. Not set: from all nodes."""

    def pools_in_column(self) -> str:
        """As a table shows them: "edge,lab", "edge,(selector)", "*" for all."""
        selector = () if self.ip_pool_selector is None else ("(selector)",)
        return column((*self.ip_pools, *selector))

    def covers_pool(self, name: str, labels: Mapping[str, str] | None) -> bool:
        """Whether addresses of this pool are chosen. `labels`: those of the IPPool, None when there is none (any more).

        A pool that is gone is chosen by its name, or with all pools; no selector chooses it.
        """
        if not self.ip_pools and self.ip_pool_selector is None:
            return True
        if name in self.ip_pools:
            return True
        return self.ip_pool_selector is not None and labels is not None and self.ip_pool_selector.matches(labels)

    def covers_services(self, labels: Iterable[Mapping[str, str]]) -> bool:
        """Whether one of the Services that hold an address is chosen, by their labels: one is enough."""
        selector = self.service_selector
        return selector is None or any(selector.matches(one) for one in labels)

    def selects_node(self, labels: Mapping[str, str]) -> bool:
        """Whether a node with these labels may announce."""
        return self.node_selector is None or self.node_selector.matches(labels)


class AdvertisementStatus(JudgedStatus):
    """What Berth made of an advertisement."""

    pools: ColumnText = ""
    """The IPPools that it chooses, as a text for tables: names, (selector), or * for all."""
