"""Cluster IPs and node ports: which are taken, and a free one on request.

Only committed objects count (`Services.follow`), so an object that is refused has taken nothing.
"""

from __future__ import annotations

import random
from collections import Counter
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from itertools import chain

Network = IPv4Network | IPv6Network
ATTEMPTS = 64  # random tries before the search goes from the start


class RangeFull(Exception):
    """Nothing is free; the message is what the API server says."""


class ClusterIPRange:
    """The service network of one family."""

    def __init__(self, cidr: str) -> None:
        self.network: Network = ip_network(cidr)
        self.family = f"IPv{self.network.version}"
        self._size = min(self.network.num_addresses, 1 << 16)
        self.taken: set[str] = set()

    def free(self, rng: random.Random) -> str:
        """A free address, at random. It is not taken by this. Raises RangeFull."""
        base = int(self.network.network_address)
        make = IPv4Address if self.network.version == 4 else IPv6Address
        offsets = (rng.randrange(1, self._size - 1) for _ in range(ATTEMPTS))
        for offset in chain(offsets, range(1, self._size - 1)):
            address = str(make(base + offset))
            if address not in self.taken:
                return address
        raise RangeFull("range is full")

    def why_not(self, address: str) -> str | None:
        """Why this very address can't be had."""
        if ip_address(address) not in self.network:
            return f"the provided IP ({address}) is not in the valid range. The range of valid IPs is {self.network}"
        return "provided IP is already allocated" if address in self.taken else None


class NodePortRange:
    """The ports that are open on every node. TCP and UDP may share a number within one Service: hence the count."""

    def __init__(self, first: int, last: int) -> None:
        self.first = first
        self.last = last
        self.taken: Counter[int] = Counter()

    def free(self, rng: random.Random, unless: set[int]) -> int:
        """A free port that is not in `unless`, at random. It is not taken by this. Raises RangeFull."""
        tries = (rng.randint(self.first, self.last) for _ in range(ATTEMPTS))
        for port in chain(tries, range(self.first, self.last + 1)):
            if port not in self.taken and port not in unless:
                return port
        raise RangeFull("range is full")

    def why_not(self, port: int) -> str | None:
        """Why this very port can't be had; None if it can."""
        if not self.first <= port <= self.last:
            valid = f"{self.first}-{self.last}"
            return f"provided port is not in the valid range. The range of valid ports is {valid}"
        return "provided port is already allocated" if port in self.taken else None

    def take(self, port: int) -> None:
        """Count a use of a port."""
        self.taken[port] += 1

    def give_back(self, port: int) -> None:
        """Count a use less; without uses the port is free."""
        self.taken[port] -= 1
        if self.taken[port] <= 0:
            del self.taken[port]
