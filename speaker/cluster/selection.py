"""Which addresses and nodes an advertisement chooses: the same fields for layer 2 and BGP. Pure.

Advertisements unite: whoever asks does so for each of them. Knows nothing of peers, interfaces or health.
"""

from collections.abc import Mapping

from crds.bgpadvertisement import BGPAdvertisementSpec
from crds.l2advertisement import L2AdvertisementSpec
from speaker.cluster.objects import Allocation, Labels

AdvertisementSpec = L2AdvertisementSpec | BGPAdvertisementSpec


def covers_pool(ad: AdvertisementSpec, pool: str, pools: Mapping[str, Labels]) -> bool:
    """With neither names nor a selector every pool is chosen; `pools` has the labels of those that exist."""
    if not ad.ip_pools and ad.ip_pool_selector is None:
        return True
    if pool in ad.ip_pools:
        return True
    labels = pools.get(pool)
    return ad.ip_pool_selector is not None and labels is not None and ad.ip_pool_selector.matches(labels)


def covers_services(ad: AdvertisementSpec, allocation: Allocation) -> bool:
    """One fitting holder of a shared address is enough."""
    selector = ad.service_selector
    return selector is None or any(selector.matches(holder.labels) for holder in allocation.holders)


def selects_node(ad: AdvertisementSpec, labels: Labels) -> bool:
    return ad.node_selector is None or ad.node_selector.matches(labels)
