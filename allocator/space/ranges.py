"""Address ranges as operators write them: `192.0.2.0/24`, `192.0.2.10-192.0.2.20`, `192.0.2.10`, and both for IPv6.

Parsing only: what a set of ranges amounts to is in allocator.space.spans. A range that cannot be used is a value that
says what to write instead, because it ends in a condition on the IPPool.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

from crds.addresses import Family, IPAddress, family_of, plain_address


def address_at(family: Family, number: int) -> IPAddress:
    """The inverse of int(address), which forgets the family."""
    return IPv4Address(number) if family is Family.IPv4 else IPv6Address(number)


@dataclass(frozen=True, slots=True)
class AddressRange:
    """Both ends included."""

    family: Family
    first: int
    last: int

    def __str__(self) -> str:
        first, last = address_at(self.family, self.first), address_at(self.family, self.last)
        return str(first) if first == last else f"{first}-{last}"


@dataclass(frozen=True, slots=True)
class BadRange:
    """A range that cannot be used: `message` names it and says what to write."""

    text: str
    message: str


def parse_range(text: str) -> AddressRange | BadRange:
    """Read one entry of `IPPool.spec.addresses` or `exclude`."""
    stripped = text.strip()
    if "/" in stripped:
        return _parse_cidr(text, stripped)
    if "-" in stripped:
        return _parse_first_last(text, stripped)
    address = parse_address(stripped)
    if address is None:
        return BadRange(
            text,
            f"{text!r} is not an address, a CIDR or a range: write 192.0.2.10, 192.0.2.0/24 or 192.0.2.10-192.0.2.20",
        )
    return AddressRange(family_of(address), int(address), int(address))


def parse_address(text: str) -> IPAddress | None:
    """None for what is not one plain address (crds.addresses.plain_address); white space around it does not count."""
    return plain_address(text.strip())


def _parse_cidr(text: str, stripped: str) -> AddressRange | BadRange:
    try:
        network: IPv4Network | IPv6Network = ip_network(stripped, strict=False)
    except ValueError:
        return BadRange(text, f"{text!r} is not a CIDR: write an address and a prefix length, such as 192.0.2.0/24")
    host = stripped.partition("/")[0]
    if parse_address(host) != network.network_address:
        return BadRange(text, f"{text!r} has bits set after its prefix: write {network}")
    family = family_of(network.network_address)
    return AddressRange(family, int(network.network_address), int(network.broadcast_address))


def _parse_first_last(text: str, stripped: str) -> AddressRange | BadRange:
    head, _, tail = stripped.partition("-")
    first, last = parse_address(head), parse_address(tail)
    if first is None or last is None:
        wrong = head.strip() if first is None else tail.strip()
        return BadRange(text, f"{text!r}: {wrong!r} is not an address; write first and last, as 192.0.2.10-192.0.2.20")
    if first.version != last.version:
        return BadRange(text, f"{text!r} begins in one IP family and ends in the other: write one range for each")
    if int(first) > int(last):
        return BadRange(text, f"{text!r} ends before it begins: write {last}-{first}")
    return AddressRange(family_of(first), int(first), int(last))
