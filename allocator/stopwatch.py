"""How long Services wait for their addresses. Pure; `now`: monotonic seconds.

Level-based: told of each Service whenever it is seen. One that lacked its address before this process led is not
measured, since nobody knows since when.
"""

from kube.objects import ServiceKey


class Stopwatch:
    """Knows the Services that lack an address, and nothing else."""

    def __init__(self) -> None:
        self._since: dict[ServiceKey, float] = {}

    def seen(self, key: ServiceKey, *, lacks: bool, now: float) -> float | None:
        """Whether the Service wants an address and shows none. Seconds, once: when it shows one after it lacked it."""
        if lacks:
            self._since.setdefault(key, now)
            return None
        since = self._since.pop(key, None)
        return None if since is None else now - since

    def forget(self, key: ServiceKey) -> None:
        """It is gone, or is not ours any more."""
        self._since.pop(key, None)
