"""The prefixes of addresses, each made once: to make, compare and hash them is half of what deciding costs. Pure."""

from collections.abc import Iterator
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from speaker.bgp.model import Prefix

KEPT = 32768


class _KeptV4(IPv4Network):
    """It equals any other IPv4Network that says the same, and hashes like it, without computing that each time."""

    def __init__(self, address: tuple[str, int]) -> None:
        super().__init__(address, strict=False)
        self._hash = super().__hash__()
        self.text = _one_of(address[0], str(self.network_address))
        if self.prefixlen == self.max_prefixlen:  # a function of its own, as large as all the rest
            del self.hosts

    def hosts(self) -> Iterator[IPv4Address]:
        return iter((self.network_address,)) if self.prefixlen == self.max_prefixlen else super().hosts()

    def __hash__(self) -> int:
        return self._hash


class _KeptV6(IPv6Network):
    """The same for IPv6."""

    def __init__(self, address: tuple[str, int]) -> None:
        super().__init__(address, strict=False)
        self._hash = super().__hash__()
        self.text = _one_of(address[0], str(self.network_address))
        if self.prefixlen == self.max_prefixlen:  # a function of its own, as large as all the rest
            del self.hosts

    def hosts(self) -> Iterator[IPv6Address]:
        return iter((self.network_address,)) if self.prefixlen == self.max_prefixlen else super().hosts()

    def __hash__(self) -> int:
        return self._hash


def is_host(prefix: Prefix) -> bool:
    """Whether it is the route of one address."""
    return prefix.prefixlen == prefix.max_prefixlen


def address_of(prefix: Prefix) -> str:
    """The address that it begins with, in canonical spelling."""
    return prefix.text if isinstance(prefix, _KeptV4 | _KeptV6) else str(prefix.network_address)


def prefix_of(address: str, length: int | None = None) -> Prefix:
    """The prefix of that length that covers the address; None, or its full length: of the address alone. Raises
    ValueError for what is no address."""
    if length is None or length == (128 if ":" in address else 32):
        return _host(address)
    return _kept(address, length)


@lru_cache(maxsize=KEPT)
def _host(address: str) -> Prefix:
    return _KeptV6((address, 128)) if ":" in address else _KeptV4((address, 32))


@lru_cache(maxsize=KEPT)
def _kept(address: str, length: int) -> Prefix:
    return _KeptV6((address, length)) if ":" in address else _KeptV4((address, length))


def _one_of(known: str, made: str) -> str:
    """The one that is there already, where they are equal."""
    return known if known == made else made
