"""For which addresses the wire process is to answer echo requests: what is wished against what it was told. Pure.

Only for what it announces. It forgets an address with its withdrawal, so that needs no order of its own. Where the
kernel has an address itself it answers by itself, as with kube-proxy in IPVS mode, and the wire process is not to
answer, too.
"""

from collections.abc import Collection, Iterable

from speaker.layer2.orders import WireOrders
from speaker.wire.messages import AnswerPing


class Pings:
    """Repeating a wish costs nothing. `orders`: what the wire process is to announce.

    It is told when it has confirmed that it announces the address: of two orders the second may overtake the first.
    """

    def __init__(self, orders: WireOrders) -> None:
        self._orders = orders
        self._wanted: set[str] = set()
        self._held: frozenset[str] = frozenset()
        self._announced: set[str] = set()
        self._told: set[str] = set()
        self._changed: dict[str, None] = {}
        self.fault = ""
        """Why the wire process does not, in words; "" = it does."""

    @property
    def wanted(self) -> Collection[str]:
        """The addresses that advertisements want it for, of those that this node owns."""
        return self._wanted

    def want(self, address: str, is_wanted: bool) -> None:
        """As long as it is announced."""
        if is_wanted != (address in self._wanted):
            (self._wanted.add if is_wanted else self._wanted.discard)(address)
            self._changed[address] = None

    def held_by_kernel(self, addresses: frozenset[str]) -> None:
        """The node's kernel has these itself, of all that are announced by anybody."""
        self._changed.update(dict.fromkeys(self._held ^ addresses))
        self._held = addresses

    def announced(self, addresses: Iterable[str]) -> None:
        """The wire process announces these now, perhaps anew."""
        for address in addresses:
            self._announced.add(address)
            self._told.discard(address)
            self._changed[address] = None

    def withdrawn(self, addresses: Iterable[str]) -> None:
        """The wire process has forgotten these."""
        for address in addresses:
            self._announced.discard(address)
            self._told.discard(address)
            if not self._orders.is_wanted(address):
                self._wanted.discard(address)
                self._changed.pop(address, None)

    def take(self) -> list[AnswerPing]:
        """What is to be told now, each once."""
        changed, self._changed = self._changed, {}
        found: dict[bool, list[str]] = {True: [], False: []}
        for address in changed:
            is_wanted = address in self._wanted and address not in self._held
            if address in self._announced and is_wanted != (address in self._told):
                (self._told.add if is_wanted else self._told.discard)(address)
                found[is_wanted].append(address)
        return [AnswerPing(tuple(addresses), is_wanted) for is_wanted, addresses in found.items() if addresses]
