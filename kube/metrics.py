"""What kube/ counts, as a protocol that a process implements with its own metrics registry.

Imports no metrics library: a process without metrics passes nothing and `Uncounted` swallows the calls.
"""

from typing import Protocol


class Metrics(Protocol):
    """Calls are made from the event loop and must not block."""

    def api_request(self, verb: str, resource: str, code: int, seconds: float) -> None:
        """A request ended; `code` is 0 when there was no answer. `resource` is the plural."""

    def api_retry(self, resource: str, reason: str) -> None:
        """A request is sent again: `reason` is "Unauthorized" or "TooManyRequests"."""

    def watch_restart(self, resource: str, reason: str) -> None:
        """A watch ended and is opened again: "Closed", "Broken", "Idle", "Doubted", "Gone", "Refused"."""

    def relist(self, resource: str, objects: int, seconds: float) -> None:
        """A full list was read."""

    def undecodable(self, resource: str) -> None:
        """An object was skipped because it does not decode."""

    def event_outcome(self, outcome: str) -> None:
        """A Kubernetes Event was "Sent", "Aggregated", "Suppressed" (rate), "Dropped" (queue full) or "Failed"."""

    def leading(self, lease: str, is_leader: bool) -> None:
        """Leadership began or ended."""


class Uncounted:
    """Metrics that go nowhere."""

    def api_request(self, verb: str, resource: str, code: int, seconds: float) -> None: ...
    def api_retry(self, resource: str, reason: str) -> None: ...
    def watch_restart(self, resource: str, reason: str) -> None: ...
    def relist(self, resource: str, objects: int, seconds: float) -> None: ...
    def undecodable(self, resource: str) -> None: ...
    def event_outcome(self, outcome: str) -> None: ...
    def leading(self, lease: str, is_leader: bool) -> None: ...


UNCOUNTED: Metrics = Uncounted()
