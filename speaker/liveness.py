"""Which other speakers show signs of life, by the Leases they renew; heartbeats will say it sooner.

Nobody compares clocks of two machines, and no outage of the API server may make everybody look dead. So time, here, is
what the watch of Leases carries: it goes on when our own renewals come back by it, and stands still when they don't.
A peer is alive until its Lease has not changed for the Lease's duration of that time. Reads nothing itself.
"""

from dataclasses import dataclass


@dataclass(slots=True)
class _Sign:
    """The latest sign of life. `seen_at` is on the watch's time."""

    holder: str
    renew_time: str
    seen_at: float


class Liveness:
    """`longest_step_seconds`: what one echo of our own renewal adds at most, however late it comes.

    With the renewal interval for it, a peer that was alive when an outage began has, when it is over, the Lease's
    duration less two intervals to be seen again.
    """

    def __init__(self, own_node: str, *, duration_seconds: float, longest_step_seconds: float) -> None:
        self._own_node = own_node
        self._duration_seconds = duration_seconds
        self._longest_step_seconds = longest_step_seconds
        self._signs: dict[str, _Sign] = {}
        self._watch_time = 0.0
        self._echo: float | None = None

    def observe(self, node: str, holder: str | None, renew_time: str | None, now: float) -> None:
        """What a Lease says; `now` is monotonic. Only a change of holder or renew time is a sign of life."""
        sign = self._signs.get(node)
        seen = (holder or "", renew_time or "")
        if sign is not None and (sign.holder, sign.renew_time) == seen:
            return
        if node == self._own_node:
            self._watch_time += self._since_echo(now)
            self._echo = now
        self._signs[node] = _Sign(*seen, self._watch_time + self._since_echo(now))

    def forget(self, node: str) -> None:
        """Its Lease is deleted."""
        self._signs.pop(node, None)

    def alive(self) -> frozenset[str]:
        """The nodes whose Lease is held and was renewed lately, and our own in any case."""
        alive = (
            node
            for node, sign in self._signs.items()
            if sign.holder and self._watch_time - sign.seen_at <= self._duration_seconds
        )
        return frozenset((self._own_node, *alive))

    def _since_echo(self, now: float) -> float:
        return 0.0 if self._echo is None else min(now - self._echo, self._longest_step_seconds)
