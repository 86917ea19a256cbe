"""Which other speakers are alive: by heartbeats, which tell in well under a second, and by Leases where none are heard.

A peer that is heard is alive. One that was heard and is lost is dead at once, so that the next in rank takes over.
Two things set a limit to that:

* Heartbeats may be what is broken. A lost peer that goes on renewing its Lease counts as alive again when it was lost
  for `grace` (longer than a Lease lasts). Both sides lose each other at about the same time, so both come to this.
* Who loses most of its peers at once is likely to be the one that is cut off. It then believes nobody dead for the
  grace time, and takes over nothing meanwhile.

One that said that it leaves is gone: if it could not give back its Lease, that is no sign of life, but a renewal is.

A peer that was never heard is judged by its Lease alone. Of one that is heard no Lease is kept: what it says matters
only from the moment on when the peer is not heard any more. kube.lease.observer judges Leases; it is fed here with
nothing but what the watch says of Leases, our own among them. So when nobody's renewals come by, because the API server
is down or takes no writes, time stands still for Leases and nobody dies of it; heartbeats go on telling the truth.
"""

from collections.abc import Iterable, Set

from kube.lease.observer import LeaseObserver

PROOF_SECONDS = 1.0
"""A renewal seen later than this after a loss was sent after it: watches lag less."""


class Liveness:
    """`now` is monotonic throughout."""

    def __init__(self, own_node: str, *, duration_seconds: float, renew_seconds: float) -> None:
        self._own_node = own_node
        self._duration_seconds = duration_seconds
        self._grace_seconds = 1.5 * duration_seconds
        self.patience_seconds = 2 * duration_seconds
        """Of observed time: after so long there will be no sign of one that has given none."""
        self._nodes: set[str] = set()
        self._renewed: dict[str, float] = {}
        self._signs: dict[str, tuple[str | None, str | None]] = {}
        self._heard: frozenset[str] = frozenset()
        self._lost: dict[str, float] = {}
        self._left: dict[str, float] = {}
        # A gap is more than one renewal of ours that did not come; after it everybody has time for another attempt.
        self._observer = LeaseObserver(gap_seconds=duration_seconds / 2, settle_seconds=1.5 * renew_seconds)

    def observe(self, node: str, holder: str | None, renew_time: str | None, now: float) -> None:
        """What the watch says of a Lease."""
        if node in self._heard:
            self._observer.contact(now)
            return
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

    def forget_others(self, nodes: Iterable[str]) -> None:
        """These have Leases now, and no others."""
        for node in self._nodes - set(nodes):
            self.forget(node)

    def hear(self, heard: Set[str], leaving: Set[str], now: float) -> None:
        """The peers whose heartbeats arrive now, and those who said that they leave: these are not lost but gone."""
        for node in self._heard - heard - leaving:
            self._lost[node] = now
        for node in heard - self._heard:
            self.forget(node)
        for node in (*heard, *leaving):
            self._lost.pop(node, None)
        for node in heard:
            self._left.pop(node, None)
        self._left.update(dict.fromkeys(leaving, now))
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

    def may_renew(self, node: str, now: float) -> bool:
        """Whether one that is not heard may live all the same, as far as Leases tell."""
        lost_at, age = self._lost.get(node), self._observer.age(node, now)
        is_lost_lately = lost_at is not None and now - lost_at < self._grace_seconds
        return is_lost_lately or (age is not None and age < self.patience_seconds)

    def observed_seconds(self, now: float) -> float:
        """A clock that goes only while renewals come by, be they but our own."""
        return self._observer.observed_seconds(now)

    def _is_alive(self, node: str, now: float, isolated: bool) -> bool:
        """Of one that is not heard."""
        is_fresh = self._observer.fresh(node, now, self._duration_seconds)
        silent_since = self._lost.get(node, self._left.get(node))
        if silent_since is None:
            return is_fresh
        if node in self._lost and now - silent_since < self._grace_seconds:
            return isolated
        return is_fresh and self._renewed.get(node, silent_since) > silent_since + PROOF_SECONDS


class LeaseNeed:
    """Whether Leases are to be watched; to be asked a few times a second, once all of them have been read.

    Not while all peers are heard, or were seen to give no sign for long. For that they must have been watched: while
    the API server is down nobody gives any.
    """

    def __init__(self, liveness: Liveness) -> None:
        self._liveness = liveness
        self._dead: Set[str] | None = None  # those who give no sign; None while Leases are watched
        self._quiet_since: float | None = None

    def is_there(self, unheard: Set[str], now: float) -> bool:
        """`unheard`: the nodes with a speaker that is to be reckoned with, and is not heard."""
        matters = any(self._liveness.may_renew(node, now) for node in unheard)
        is_needed = not self._is_quiet(matters, now) if self._dead is None else matters or not unheard <= self._dead
        self._dead = None if is_needed else unheard
        return is_needed

    def _is_quiet(self, matters: bool, now: float) -> bool:
        watched = self._liveness.observed_seconds(now)
        if matters or self._quiet_since is None:
            self._quiet_since = None if matters else watched
            return False
        if watched - self._quiet_since < self._liveness.patience_seconds:
            return False
        self._quiet_since = None
        return True
