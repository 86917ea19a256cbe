"""Which addresses stand behind a prefix that is shorter than an address, and by which advertisements. Pure."""

from collections.abc import Collection, Iterator

from speaker.bgp.desired import RouteSource, united
from speaker.bgp.model import Prefix


class Aggregates:
    """An aggregate is there as long as an address is in it. Addresses are in canonical spelling."""

    def __init__(self) -> None:
        self._addresses: dict[Prefix, dict[RouteSource, set[str]]] = {}

    def __iter__(self) -> Iterator[Prefix]:
        return iter(self._addresses)

    def join(self, prefix: Prefix, source: RouteSource, address: str) -> None:
        self._addresses.setdefault(prefix, {}).setdefault(source, set()).add(address)

    def leave(self, prefix: Prefix, source: RouteSource, address: str) -> None:
        """It must have joined."""
        sources = self._addresses[prefix]
        sources[source].discard(address)
        if not sources[source]:
            del sources[source]
        if not sources:
            del self._addresses[prefix]

    def clear(self) -> None:
        self._addresses.clear()

    def addresses(self, prefix: Prefix) -> Collection[str]:
        """In it. Keep a copy, not this."""
        match list(self._addresses.get(prefix, {}).values()):
            case [addresses]:
                return addresses
            case several:
                return set().union(*several)

    def advertisements(self, prefix: Prefix) -> tuple[str, ...]:
        """The names of those that give it, sorted; none = it is not there."""
        return united(self._addresses.get(prefix, ()))

    def unions(self) -> set[tuple[str, ...]]:
        """The advertisements that give one aggregate together, of each."""
        return {united(sources) for sources in self._addresses.values()}
