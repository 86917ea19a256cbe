"""Leader election by a Lease, with client-go's semantics: one leads, the others stand by.

Times inside the Lease are for humans: expiry is judged by when we saw the Lease change, on our own clock.
"""

from collections.abc import Awaitable, Callable

from kube.client import Client
from kube.metrics import UNCOUNTED, Metrics


class LeaderElection:
    """`identity` must be unique to this process. Times in seconds; renew_deadline < lease_duration."""

    def __init__(
        self,
        client: Client,
        namespace: str,
        lease_name: str,
        identity: str,
        *,
        lease_duration: float = 15.0,
        renew_deadline: float = 10.0,
        retry_period: float = 2.0,
        metrics: Metrics = UNCOUNTED,
    ) -> None:
        raise NotImplementedError

    def is_leader(self, now: float) -> bool:
        """Whether our lease is surely not taken over yet: judged from when the last successful renewal was *sent*."""
        raise NotImplementedError

    @property
    def leader(self) -> str | None:
        """The holder as last read, None when nobody or not known yet."""
        raise NotImplementedError

    async def run(self, lead: Callable[[], Awaitable[None]]) -> None:
        """Stand by; when elected run `lead()`; when the lease is lost cancel it, wait for its end, and stand by again.

        When `run` is cancelled: `lead` is cancelled and waited for, then the lease is released, so that a standby takes
        over at once. An exception of `lead` releases the lease and is raised. When `lead` returns, the lease is
        released and `run` returns.
        """
