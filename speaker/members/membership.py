"""Whether this node takes part in sharing out addresses: the rule that keeps a node that returns from moving them back.

Rendezvous hashing alone would return each address to its old owner the moment that node is back: a second move, and
one more with each time it flaps. So a node that comes while others serve says of itself that it is no *member* yet.
Owners are chosen among members; who is none owns only what no member can announce. It joins

* when a member is lost or leaves: addresses move anyway;
* after `failback_seconds` of running steadily: an even spread is then worth one move, which loses nothing because the
  old owner answers until the new one does;
* at once when there is no member, or nothing that could move.

It steps back when it finds itself cut off from most others, or behind them: they have taken over what it owned, and
they keep it when the fault ends. Each node judges itself alone and all follow what it says, so two nodes can differ
about a member for no longer than a heartbeat takes. Pure: `now` is monotonic seconds.
"""

from collections.abc import Set


class Membership:
    """One run of a speaker; a registration anew after a loss of the right to announce begins with `restart`."""

    def __init__(self, failback_seconds: float) -> None:
        """0: a node that returns takes part at once."""
        self._failback_seconds = failback_seconds
        self.restart()

    def restart(self) -> None:
        """As if this node had just come."""
        self._is_member = False
        self._steady_since: float | None = None
        self._others: Set[str] = frozenset()
        self._stepped_back = False

    @property
    def is_member(self) -> bool:
        return self._is_member

    @property
    def has_stepped_back(self) -> bool:
        """Whether it was cut off from most others, or behind them, and has not met another member since."""
        return self._stepped_back

    def update(self, now: float, others: Set[str], *, must_step_back: bool, nothing_to_move: bool) -> bool:
        """`others`: the other members that are alive and stay. Returns whether this node is a member now."""
        someone_left = bool(self._others - others)
        self._others = frozenset(others)
        if must_step_back:
            self._is_member, self._stepped_back, self._steady_since = False, True, None
        elif self._stepped_back and not others:
            pass  # alone on an island: whoever is found at its end has kept what it serves
        elif not self._is_member:
            self._stepped_back = False
            self._steady_since = now if self._steady_since is None else self._steady_since
            waited = now - self._steady_since >= self._failback_seconds
            self._is_member = waited or someone_left or nothing_to_move or not others
        return self._is_member


class Behind:
    """Whether this node has lost the API server while others have not, so that it should yield what it owns.

    Only a difference that lasts counts: when the API server is down for all, nobody is behind; when it is back, not all
    are at the same moment.
    """

    def __init__(self, *, fresh_seconds: float, patience_seconds: float) -> None:
        """Contact younger than `fresh_seconds` is good; others must have had it for `patience_seconds` while we did
        not."""
        self._fresh_seconds = fresh_seconds
        self._patience_seconds = patience_seconds
        self._since: float | None = None

    def update(self, now: float, own_age: float, best_age: float) -> bool:
        """`best_age`: of the peer with the youngest contact. Ages in seconds, infinity = never."""
        if own_age <= self._fresh_seconds:
            self._since = None
        elif self._since is None and best_age <= self._fresh_seconds:
            self._since = now
        elif self._since is not None and best_age > self._fresh_seconds and not self._is_behind(now):
            self._since = None
        return self._is_behind(now)

    def _is_behind(self, now: float) -> bool:
        return self._since is not None and now - self._since >= self._patience_seconds
