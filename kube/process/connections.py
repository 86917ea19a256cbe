"""Which connections a listener takes, and which it drops when there are too many: each source has its share.

A source is an address, of IPv6 a network of 64 bits, which is what one machine may have. No clock and no socket.
"""

import ipaddress
from collections import Counter
from collections.abc import Sequence

BURST = 8
PER_SECOND = 4.0
"""TLS handshakes of one source. Prometheus begins one in 30 s for each program, and its pair as many."""

MOST_SOURCES = 1024
IPV6_BITS = 64


def source_of(address: str) -> str:
    """Of the address that a connection comes from, as the kernel writes it; `%` and a zone may follow."""
    given = ipaddress.ip_address(address.partition("%")[0])
    if given.version == 4:
        return str(given)
    return str(ipaddress.ip_network((given, IPV6_BITS), strict=False))


def to_drop(sources: Sequence[str]) -> int:
    """Of open connections, whose sources these are, oldest first: the oldest of the source that has most."""
    counts = Counter(sources)
    most = max(counts.values())
    return next(index for index, source in enumerate(sources) if counts[source] == most)


class Handshakes:
    """How many each source may begin: BURST, then PER_SECOND. Times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._spent: dict[str, tuple[float, float]] = {}

    def admits(self, source: str, now: float) -> bool:
        """Whether this source may begin one now. If so, it has."""
        spent, since = self._spent.pop(source, (0.0, now))
        spent = max(0.0, spent - (now - since) * PER_SECOND)
        is_admitted = spent <= BURST - 1
        if len(self._spent) >= MOST_SOURCES:
            del self._spent[next(iter(self._spent))]
        self._spent[source] = (spent + is_admitted, now)
        return is_admitted
