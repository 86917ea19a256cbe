"""Which other speakers show signs of life, by the Leases they renew; heartbeats will say it sooner.

The judging of Leases is kube.observation's, and it is fed here with nothing but what the watch says of Leases. Our own
is among them. So when nobody's renewals come by, because the API server is down or takes no writes, time stands still
and nobody dies: an outage moves no address.
"""

from kube.observation import LeaseObserver


class Liveness:
    """`now` is monotonic throughout."""

    def __init__(self, own_node: str, *, duration_seconds: float, renew_seconds: float) -> None:
        self._own_node = own_node
        self._duration_seconds = duration_seconds
        self._nodes: set[str] = set()
        # A gap is more than one renewal of ours that did not come; after it everybody has time for another attempt.
        self._observer = LeaseObserver(gap_seconds=duration_seconds / 2, settle_seconds=1.5 * renew_seconds)

    def observe(self, node: str, holder: str | None, renew_time: str | None, now: float) -> None:
        """What the watch says of a Lease."""
        self._nodes.add(node)
        self._observer.observe(node, holder, renew_time, now)

    def forget(self, node: str) -> None:
        """Its Lease is deleted."""
        self._nodes.discard(node)
        self._observer.forget(node)

    def alive(self, now: float) -> frozenset[str]:
        """The nodes whose Lease is held and was renewed lately, and our own in any case."""
        alive = (node for node in self._nodes if self._observer.fresh(node, now, self._duration_seconds))
        return frozenset((self._own_node, *alive))
