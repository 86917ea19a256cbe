"""A client that asks for one address all the time: who answers, when nobody did, and when two did."""

from typing import TYPE_CHECKING, Self

from lab.net import hosts
from lab.net.claims import Asked, asked_of

if TYPE_CHECKING:
    from lab.cluster import Cluster

SCRIPT = "ask.py"


class Asking:
    """`with Asking(cluster, address) as asking: ...`, then `asking.requests`."""

    def __init__(self, cluster: "Cluster", address: str, *, interval_seconds: float = 0.01) -> None:
        self._cluster = cluster
        self._address = address
        self._interval_seconds = interval_seconds
        self._name = ""
        self.requests: list[Asked] = []
        """All of them, once it has ended."""

    def __enter__(self) -> Self:
        command = [self._address, f"--interval-seconds={self._interval_seconds}"]
        self._name = self._cluster.start_script(f"asker-{self._address}", hosts.CLIENT, SCRIPT, *command)
        return self

    def __exit__(self, *_: object) -> None:
        lines = self._cluster.end_script(self._name)
        self.requests = asked_of(lines, self._cluster.macs())

    def unanswered(self) -> list[Asked]:
        return [one for one in self.requests if not one.nodes]

    def answered_by_several(self) -> list[Asked]:
        """By different nodes; one that answers twice is one."""
        return [one for one in self.requests if len(set(one.nodes)) > 1]
