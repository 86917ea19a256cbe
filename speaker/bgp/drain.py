"""Whether the own node advertises at all, and when a node that is excluded stops. Pure."""

from speaker.cluster.objects import NodeFacts


class Drain:
    """A node that takes no traffic advertises nothing. One that is excluded while it advertises goes on for a while, as
    the last to be preferred, so that routers can move traffic away (RFC 8326). One that is said to be shut down has no
    pods any more that could be reached: it stops at once.

    `seconds`: how long. `now`: monotonic seconds. `is_silent`: nothing is advertised; so it begins.
    """

    def __init__(self, seconds: float) -> None:
        self.is_silent = True
        self._seconds = seconds
        self._until: float | None = None

    def update(self, own: NodeFacts | None, now: float) -> None:
        """`own`: None = the node is not known, or gone."""
        if own is None or not own.is_excluded:
            self._until = None
        elif self._until is None:
            self._until = now if self.is_silent else now + self._seconds
        is_over = self._until is not None and now >= self._until
        self.is_silent = own is None or own.is_network_unavailable or own.is_out_of_service or is_over

    @property
    def is_draining(self) -> bool:
        """Routes are advertised, and are to carry GRACEFUL_SHUTDOWN."""
        return self._until is not None and not self.is_silent

    def deadline(self) -> float | None:
        """When to call `update` though nothing changed."""
        return self._until if self.is_draining else None
