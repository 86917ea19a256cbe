"""Which nodes announce each address, and how, from the slices of their reports. Pure.

By BGP 500 nodes announce 10,000 addresses, nearly all of them alike: so what is kept for an address is which nodes
announce it in the same way, as the bits of a number.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from allocator.status.entries import Announcement
from crds.addresses import IPAddress

KEPT = 64
"""How many different sets of announcers are kept as they were asked for."""


class Source(NamedTuple):
    """Where something is said: by a node, in the object of this name."""

    node: str
    object: str


@dataclass(frozen=True, slots=True)
class Said:
    """Announcements: `how[n]` is that of `addresses[n]`. Tuples, since equal ones are shared."""

    addresses: tuple[str, ...] = ()
    how: tuple[Announcement, ...] = ()

    def by_address(self) -> dict[str, Announcement]:
        """The same."""
        return dict(zip(self.addresses, self.how, strict=True))


@dataclass(slots=True)
class Changed:
    """Addresses for which something is news. `at_once`: whether they are announced, or who does on layer 2, and where;
    `in_time`: which other nodes announce them, or how."""

    at_once: set[str] = field(default_factory=set)
    in_time: set[str] = field(default_factory=set)


class Announcers:
    """What nodes say, as it stands in the latest version of each object."""

    def __init__(self) -> None:
        self._said: dict[str, dict[str, Said]] = {}
        """By node and object."""
        self._numbers = _Numbers()
        self._by_address: dict[str, dict[Announcement, int]] = {}
        """The nodes that announce it so, as bits."""
        self._by_node: dict[tuple[tuple[Announcement, int], ...], dict[str, Announcement]] = {}
        """What was asked for lately."""
        self._twice: set[tuple[str, str]] = set()
        """Node and address, where several objects of the node name the address: it has moved between slices."""
        self._changed = Changed()

    def of(self, address: IPAddress | str) -> Mapping[str, Announcement]:
        """By node. Nobody changes it: addresses that the same nodes announce in the same way have one together."""
        found = tuple(self._by_address.get(str(address), {}).items())
        by_node = self._by_node.get(found)
        if by_node is None:
            by_node = {self._numbers.names[number]: how for how, nodes in found for number in _bits(nodes)}
            if len(self._by_node) >= KEPT:
                self._by_node.clear()
            self._by_node[found] = by_node
        return by_node

    def addresses_of(self, node: str) -> set[str]:
        """What this node says that it announces."""
        return {address for said in self._said.get(node, {}).values() for address in said.addresses}

    def update(self, source: Source, said: Said) -> None:
        """Replace what is said there."""
        node = source.node
        objects = self._said.setdefault(node, {})
        before, after = objects.pop(source.object, Said()).by_address(), said.by_address()
        if after:
            objects[source.object] = said
        bit = 1 << self._numbers.of(node)
        for address in before.keys() - after.keys():
            self._set(address, bit, self._elsewhere(node, address))
        for address, how in after.items():
            if address not in before and self._is_set(address, bit):
                self._twice.add((node, address))
            if before.get(address) != how:
                self._set(address, bit, how)
        if not objects:
            del self._said[node]
            self._numbers.free(node)
            self._by_node.clear()  # its number may become another's

    def take_changed(self) -> Changed:
        """What has changed since the last call."""
        changed, self._changed = self._changed, Changed()
        return changed

    def _elsewhere(self, node: str, address: str) -> Announcement | None:
        """What another object of this node says of the address."""
        if (node, address) not in self._twice:
            return None
        found = [one.by_address()[address] for one in self._said[node].values() if address in one.addresses]
        if len(found) <= 1:
            self._twice.discard((node, address))
        return found[0] if found else None

    def _is_set(self, address: str, bit: int) -> bool:
        return any(nodes & bit for nodes in self._by_address.get(address, {}).values())

    def _set(self, address: str, bit: int, new: Announcement | None) -> None:
        entries = self._by_address.setdefault(address, {})
        was_announced = bool(entries)
        old = next((how for how, nodes in entries.items() if nodes & bit), None)
        if old is not None:
            entries[old] &= ~bit
            if not entries[old]:
                del entries[old]
        if new is not None:
            entries[new] = entries.get(new, 0) | bit
        if not entries:
            del self._by_address[address]
        if was_announced != bool(entries) or _on_layer2(old) != _on_layer2(new):
            self._changed.at_once.add(address)
        elif old != new:
            self._changed.in_time.add(address)


class _Numbers:
    """A small number for each node, as long as it says anything."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._numbers: dict[str, int] = {}
        self._free: list[int] = []

    def of(self, node: str) -> int:
        number = self._numbers.get(node)
        if number is None:
            number = self._free.pop() if self._free else len(self.names)
            self.names[number : number + 1] = [node]
            self._numbers[node] = number
        return number

    def free(self, node: str) -> None:
        self._free.append(self._numbers.pop(node))


def _bits(number: int) -> Iterator[int]:
    """The places of those that are set."""
    text = f"{number:b}"
    return (len(text) - 1 - place for place, digit in enumerate(text) if digit == "1")


def _on_layer2(how: Announcement | None) -> tuple[str, ...] | None:
    return how.interfaces if how is not None and "Layer2" in how.protocols else None
