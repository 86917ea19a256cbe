"""Whether this node takes its share of the addresses: the rule that keeps a node that returns from moving them back.

Rendezvous hashing alone would return each address to its old owner the moment that node is back: a second move, and
another with each flap. So a node that starts while others serve says that its standing is `Waiting`. Owners are chosen
among nodes of the standing `Member`; a waiting node owns only what none of them can announce. It becomes a `Member`

* when a `Member` is lost or leaves: addresses move anyway;
* after it has run steadily for `failback_seconds`: an even spread is then worth one move, which loses nothing because
  the old owner answers until the new one does;
* at once when there is no `Member`, or nothing that could move.

It steps back when it finds itself cut off from most others, or behind them: they have taken over what it owned, and
they keep it when the fault ends. Each node judges only itself, and the others follow what it says. So two nodes differ
about a node's standing for no longer than a heartbeat takes. Pure: `now` is monotonic seconds.
"""

from collections.abc import Set


class Membership:
    """For one run of a speaker. Call `restart` when it registers again after it lost the right to announce."""

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
        """Whether this node was cut off from most others, or behind them, and has met no other `Member` since."""
        return self._stepped_back

    def update(self, now: float, others: Set[str], *, must_step_back: bool, nothing_to_move: bool) -> bool:
        """`others`: the other members that are alive and stay. Returns whether this node is a member now."""
        someone_left = bool(self._others - others)
        self._others = frozenset(others)
        if must_step_back:
            self._is_member, self._stepped_back, self._steady_since = False, True, None
        elif self._stepped_back and not others:
            pass  # still cut off: the nodes that it meets again have kept what they serve
        elif not self._is_member:
            self._stepped_back = False
            self._steady_since = now if self._steady_since is None else self._steady_since
            waited = now - self._steady_since >= self._failback_seconds
            self._is_member = waited or someone_left or nothing_to_move or not others
        return self._is_member


class Behind:
    """Whether this node has lost the API server while others have not, so that it should yield what it owns.

    Only a lasting difference counts: when the API server is down for all, no node is behind; when it returns, the nodes
    notice at different moments.
    """

    def __init__(self, *, fresh_seconds: float, patience_seconds: float) -> None:
        """Contact younger than `fresh_seconds` is good. This node is behind when another had good contact for
        `patience_seconds` and it had none."""
        self._fresh_seconds = fresh_seconds
        self._patience_seconds = patience_seconds
        self._since: float | None = None

    def update(self, now: float, own_age: float, best_age: float) -> bool:
        """`best_age`: the age of the youngest contact that another node had. Ages are seconds, infinity = never."""
        if own_age <= self._fresh_seconds:
            self._since = None
        elif self._since is None and best_age <= self._fresh_seconds:
            self._since = now
        elif self._since is not None and best_age > self._fresh_seconds and not self._is_behind(now):
            self._since = None
        return self._is_behind(now)

    def _is_behind(self, now: float) -> bool:
        return self._since is not None and now - self._since >= self._patience_seconds
