"""Which other speakers are alive: by heartbeats, which tell in well under a second, and by Leases where none are heard.

A peer that is heard is alive. One that was heard and is lost is dead at once, so that the next in rank takes over.
Two things set a limit to that:

* Heartbeats may be what is broken. A lost peer that goes on renewing its Lease counts as alive again when it was lost
  for `grace` (longer than a Lease lasts). Both sides lose each other at about the same time, so both come to this.
* Who loses most of its peers at once is likely to be the one that is cut off. It then believes nobody dead for the
  grace time, and takes over nothing meanwhile.

A peer that was never heard is judged by its Lease alone. kube.observation judges Leases; it is fed here with nothing
but what the watch says of Leases, our own among them. So when nobody's renewals come by, because the API server is down
or takes no writes, time stands still for Leases and nobody dies of it; heartbeats go on telling the truth.
"""

from collections.abc import Set

from kube.observation import LeaseObserver

PROOF_SECONDS = 1.0
"""A renewal seen later than this after a loss was sent after it: watches lag less."""


class Liveness:
    """`now` is monotonic throughout."""

    def __init__(self, own_node: str, *, duration_seconds: float, renew_seconds: float) -> None:
        self._own_node = own_node
        self._duration_seconds = duration_seconds
        self._grace_seconds = 1.5 * duration_seconds
        self._nodes: set[str] = set()
        self._renewed: dict[str, float] = {}
        self._signs: dict[str, tuple[str | None, str | None]] = {}
        self._heard: frozenset[str] = frozenset()
        self._lost: dict[str, float] = {}
        # A gap is more than one renewal of ours that did not come; after it everybody has time for another attempt.
        self._observer = LeaseObserver(gap_seconds=duration_seconds / 2, settle_seconds=1.5 * renew_seconds)

    def observe(self, node: str, holder: str | None, renew_time: str | None, now: float) -> None:
        """What the watch says of a Lease."""
        self._nodes.add(node)
        self._observer.observe(node, holder, renew_time, now)
        sign = (holder, renew_time)
        if self._signs.get(node, sign) != sign:
            self._renewed[node] = now
        self._signs[node] = sign

    def forget(self, node: str) -> None:
        """Its Lease is deleted."""
        self._nodes.discard(node)
        self._renewed.pop(node, None)
        self._signs.pop(node, None)
        self._observer.forget(node)

    def hear(self, heard: Set[str], leaving: Set[str], now: float) -> None:
        """The peers whose heartbeats arrive now, and those who said that they leave: these are not lost but gone."""
        for node in self._heard - heard - leaving:
            self._lost[node] = now
        for node in (*heard, *leaving):
            self._lost.pop(node, None)
        self._heard = frozenset(heard)

    @property
    def heard(self) -> frozenset[str]:
        return self._heard

    @property
    def lost(self) -> Set[str]:
        """Heard once, and not any more, without a word that they leave."""
        return self._lost.keys()

    def is_isolated(self, now: float) -> bool:
        """Whether most of those heard lately were lost, so that this node is more likely to be cut off than they."""
        lately = sum(now - since < self._grace_seconds for since in self._lost.values())
        hears = 1 + len(self._heard)
        return 2 * hears < hears + lately

    def alive(self, now: float) -> frozenset[str]:
        """The nodes that count as alive, our own in any case."""
        isolated = self.is_isolated(now)
        alive = (node for node in self._nodes | self._lost.keys() if self._is_alive(node, now, isolated))
        return frozenset((self._own_node, *self._heard, *alive))

    def _is_alive(self, node: str, now: float, isolated: bool) -> bool:
        """Of one that is not heard."""
        is_fresh = self._observer.fresh(node, now, self._duration_seconds)
        lost_at = self._lost.get(node)
        if lost_at is None:
            return is_fresh
        if now - lost_at < self._grace_seconds:
            return isolated
        return is_fresh and self._renewed.get(node, lost_at) > lost_at + PROOF_SECONDS
