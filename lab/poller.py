"""A client that asks for one address all the time: which nodes answer, when none did, when several did."""

from typing import Self

from lab.cluster import Cluster
from lab.net import hosts
from lab.net.claims import AnsweredRequest, answered_requests

SCRIPT = "ask.py"


class AddressPoller:
    """`with AddressPoller(cluster, address) as poller: ...`, then `poller.requests`."""

    def __init__(self, cluster: Cluster, address: str, *, interval_seconds: float = 0.01) -> None:
        self._cluster = cluster
        self._address = address
        self._interval_seconds = interval_seconds
        self._name = ""
        self.requests: list[AnsweredRequest] = []
        """All of them, once the block has ended."""

    def __enter__(self) -> Self:
        command = [self._address, f"--interval-seconds={self._interval_seconds}"]
        self._name = self._cluster.start_script(f"poller-{self._address}", hosts.CLIENT, SCRIPT, *command)
        return self

    def __exit__(self, *_: object) -> None:
        lines = self._cluster.end_script(self._name)
        self.requests = answered_requests(lines, self._cluster.macs())

    def unanswered(self) -> list[AnsweredRequest]:
        return [one for one in self.requests if not one.nodes]

    def answered_by_several(self) -> list[AnsweredRequest]:
        """The requests that different nodes answered. A node that answers twice counts once."""
        return [one for one in self.requests if len(set(one.nodes)) > 1]
