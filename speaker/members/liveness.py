"""Which other speakers are alive: by heartbeats, which tell in well under a second, and by Leases where none are heard.

A member that is heard is alive. A member that was heard and is lost counts as dead at once, so that the next in rank
takes over. There are two exceptions:

* Heartbeats themselves may be broken. A lost member that goes on renewing its Lease counts as alive again after `grace`
  (longer than a Lease lasts). Both sides lose each other at about the same time, so both decide the same.
* A node that loses most of the others at once is probably the one that is cut off. For the grace time it takes none of
  them for dead, and takes nothing over.

A member that said that it leaves is gone. A Lease that it could not give back is no sign of life, but a renewal is.

A member that was never heard is judged by its Lease alone. The Lease of a member that is heard is not kept: it matters
only from the moment when the member is not heard any more. kube.lease.observer judges Leases by what the watch says of
them, our own included. So when no renewals arrive, because the API server is down or takes no writes, time stands still
for Leases, and no member dies of that. Heartbeats go on telling the truth.
"""

from collections.abc import Iterable, Set

from kube.lease.observer import LeaseObserver

PROOF_SECONDS = 1.0
"""A renewal seen more than this after a loss was sent after the loss: watches lag less."""


class Liveness:
    """`now` is monotonic throughout."""

    def __init__(self, own_node: str, *, duration_seconds: float, renew_seconds: float) -> None:
        self._own_node = own_node
        self._duration_seconds = duration_seconds
        self._grace_seconds = 1.5 * duration_seconds
        self.patience_seconds = 2 * duration_seconds
        """In observed time: a member that gave no sign for so long will give none."""
        self._nodes: set[str] = set()
        self._renewed: dict[str, float] = {}
        self._signs: dict[str, tuple[str | None, str | None]] = {}
        self._heard: frozenset[str] = frozenset()
        self._lost: dict[str, float] = {}
        self._left: dict[str, float] = {}
        # A gap is more than one missing renewal of our own; after it every member has time for another attempt.
        self._observer = LeaseObserver(gap_seconds=duration_seconds / 2, settle_seconds=1.5 * renew_seconds)

    def observe(self, node: str, holder: str | None, renew_time: str | None, now: float) -> None:
        """Take in what the watch says of a Lease."""
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
        """Take in the members whose heartbeats arrive now, and those that said that they leave: these are not lost but
        gone."""
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
        """The members that were heard and are not any more, and did not say that they leave."""
        return self._lost.keys()

    def is_isolated(self, now: float) -> bool:
        """Whether most members that were heard lately are lost: then this node is probably the one that is cut off."""
        lately = sum(now - since < self._grace_seconds for since in self._lost.values())
        hears = 1 + len(self._heard)
        return 2 * hears < hears + lately

    def alive(self, now: float) -> frozenset[str]:
        """The nodes that count as alive, our own in any case."""
        isolated = self.is_isolated(now)
        alive = (node for node in self._nodes | self._lost.keys() if self._is_alive(node, now, isolated))
        return frozenset((self._own_node, *self._heard, *alive))

    def may_renew(self, node: str, now: float) -> bool:
        """Whether a member that is not heard may live all the same, judged by its Lease."""
        lost_at, age = self._lost.get(node), self._observer.age(node, now)
        is_lost_lately = lost_at is not None and now - lost_at < self._grace_seconds
        return is_lost_lately or (age is not None and age < self.patience_seconds)

    def observed_seconds(self, now: float) -> float:
        """A clock that runs only while renewals arrive, even if only our own."""
        return self._observer.observed_seconds(now)

    def _is_alive(self, node: str, now: float, isolated: bool) -> bool:
        """For a member that is not heard."""
        is_fresh = self._observer.fresh(node, now, self._duration_seconds)
        silent_since = self._lost.get(node, self._left.get(node))
        if silent_since is None:
            return is_fresh
        if node in self._lost and now - silent_since < self._grace_seconds:
            return isolated
        return is_fresh and self._renewed.get(node, silent_since) > silent_since + PROOF_SECONDS


class LeaseNeed:
    """Whether Leases are to be watched. Ask a few times a second, once all Leases have been read.

    They are not watched while every member is heard, or was seen to give no sign for long. Only time in which they were
    watched counts: while the API server is down no member can give a sign.
    """

    def __init__(self, liveness: Liveness) -> None:
        self._liveness = liveness
        self._dead: Set[str] | None = None  # members that give no sign; None while Leases are watched
        self._quiet_since: float | None = None

    def is_there(self, unheard: Set[str], now: float) -> bool:
        """`unheard`: the nodes with a speaker that may be running and is not heard."""
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
