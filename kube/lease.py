"""Liveness of nodes by Leases: one renews its own, others observe when they see it renewed.

`LeaseObserver` is pure. Nobody compares clocks of two machines: the times inside a Lease are for humans.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from kube.client import Client


@dataclass(frozen=True, slots=True)
class Renewal:
    """When the last successful renewal was sent, on both clocks; boottime goes on while the machine is suspended."""

    sent_monotonic: float
    sent_boottime: float


class LeaseRenewer:
    """Creates the Lease when missing, then renews it every `renew_seconds`."""

    last_renewal: Renewal | None

    def __init__(
        self,
        client: Client,
        namespace: str,
        name: str,
        holder: str,
        *,
        duration_seconds: int,
        renew_seconds: float,
        labels: Mapping[str, str] | None = None,
    ) -> None:
        raise NotImplementedError

    async def run(self) -> None:
        """Renew until cancelled. API trouble is retried forever and shows only in `last_renewal` growing old."""

    async def release(self) -> None:
        """Empty holderIdentity, if it is ours. Bounded by the request timeout; raises ApiError."""


class LeaseObserver:
    """When each Lease was last *seen* to change, on our own monotonic clock.

    A Lease is fresh until `duration` after that. While we have no contact with the API server nothing can be seen to
    change, so observation time stands still: an outage makes nobody stale.
    """

    def observe(self, name: str, holder: str | None, renew_time: str | None, now: float) -> None:
        """What a Lease says at `now`; only a change of holder or renew time counts as a sign of life."""

    def forget(self, name: str) -> None:
        """The Lease is deleted."""

    def contact(self, now: float) -> None:
        """The API server answered, or its watch spoke, at `now`."""

    def fresh(self, name: str, now: float, duration: float) -> bool:
        """Whether it was seen renewed within `duration` of observed time. An unknown or released one is not."""
        raise NotImplementedError

    def age(self, name: str, now: float) -> float | None:
        """Observed seconds since it was seen renewed; None when unknown."""
        raise NotImplementedError
