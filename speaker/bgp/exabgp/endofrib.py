"""End-of-RIB (RFC 4724 §2) of each family, which is sent by command, and what it is waited for for. Pure.

It is sent once in a session, as a mark after the first full set of routes: a router with graceful restart drops then
what it kept of an earlier session and did not get again. And it is sent as a probe, when ExaBGP reports nothing of a
withdrawal: it leaves out those of a prefix that it never sent, and says nothing of that; but what it sends, it sends
before the End-of-RIB.
"""

from collections.abc import Iterable, Set

from crds.addresses import Family
from speaker.bgp.exabgp.routestate import RibEntry


class EndOfRib:
    """In the session that is up: `reset` at its begin and its end."""

    def __init__(self) -> None:
        self._marked: set[Family] = set()
        self._probed_by: dict[Family, set[RibEntry]] = {}

    def reset(self) -> None:
        self._marked, self._probed_by = set(), {}

    @property
    def is_awaited(self) -> bool:
        """Whether one was asked for that ExaBGP has not reported."""
        return bool(self._probed_by)

    def ask(self, family: Family, withdrawn: Iterable[RibEntry]) -> None:
        """One is asked for. `withdrawn`: the entries that were withdrawn before, and nothing is seen of."""
        self._probed_by[family] = {entry for entry in withdrawn if entry.family == family}

    def sent(self, family: Family) -> set[RibEntry]:
        """It was reported: what became of these is known now. Also one that was asked for in an earlier session."""
        return self._probed_by.pop(family, set())

    def mark(self, family: Family) -> None:
        """All that the router was to have was sent before it."""
        self._marked.add(family)

    def unmarked(self, families: Set[Family]) -> Set[Family]:
        return families - self._marked
