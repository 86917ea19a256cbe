"""When the deletion of a BGPPeer counts as its owner's word that its router has dropped our routes. Pure.

It concerns routers that would keep them for ever (hold time 0) and no others: what they have passes with no time, so an
address would never be free. A router that can be reached was told by withdrawals and NOTIFICATION long before.
"""

from collections.abc import Collection, Mapping, Set

from crds.bgppeer import BGPPeerSpec
from crds.speaker import FOREVER_SECONDS
from speaker.bgp.places import is_named

DELETED_SECONDS = 240.0
"""RFC 4271 §8.2.2's large value for a hold time that is not known."""


class DeletedPeers:
    """`now`: monotonic seconds."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}

    def given_up(self, routers: Mapping[str, int], peers: Collection[BGPPeerSpec], now: float) -> Set[str]:
        """Those of the routers that keep routes for ever, and that no BGPPeer of the cluster has named for long enough.
        `routers`: for how many seconds each keeps them. To be asked again and again; `peers` must be complete."""
        forever = {router for router, seconds in routers.items() if seconds >= FOREVER_SECONDS}
        named = {router for router in forever if any(is_named(router, spec) for spec in peers)} if forever else set()
        self._since = {router: self._since.get(router, now) for router in forever - named}
        return {router for router, since in self._since.items() if now - since >= DELETED_SECONDS}
