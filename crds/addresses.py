"""IP addresses and their families, spelled as the API spells them. Values only."""

from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

IPAddress = IPv4Address | IPv6Address


class Family(StrEnum):
    """An address family, as in `spec.ipFamilies` of a Service."""

    IPv4 = "IPv4"
    IPv6 = "IPv6"


FAMILIES = (Family.IPv4, Family.IPv6)


def plain_address(text: str) -> IPAddress | None:
    """None for what is not one address. IPv4-mapped IPv6 is none, nor is one with a zone: that may be any text."""
    usual = _as_ipv4_is_written(text)
    if usual is not None:
        return usual
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and (address.ipv4_mapped is not None or address.scope_id is not None):
        return None
    return address


def _as_ipv4_is_written(text: str) -> IPv4Address | None:
    """The same as ip_address in a third of its time, since thousands are read at a start; None for all other texts."""
    if text.count(".") != 3:
        return None
    try:
        a, b, c, d = map(int, text.split("."))
    except ValueError:
        return None
    if (a | b | c | d) >> 8 or f"{a}.{b}.{c}.{d}" != text:
        return None
    return IPv4Address(a << 24 | b << 16 | c << 8 | d)


def family_of(value: IPAddress | IPv4Network | IPv6Network) -> Family:
    """Of an address or a prefix."""
    return Family.IPv4 if value.version == 4 else Family.IPv6


def addresses_in(text: str, most: int) -> frozenset[str]:
    """The addresses of a list that a person wrote, separated by commas, in canonical spelling, zones included.

    What is not an address is left out, and so is what comes after `most` parts.
    """
    return frozenset(found for part in text.split(",", most)[:most] if (found := _address_in(part.strip())) is not None)


def _address_in(text: str) -> str | None:
    """With its zone, as routers are named: a link (fe80::1%eth0) or a VRF (192.0.2.1%red)."""
    address, percent, zone = text.partition("%")
    try:
        return f"{ip_address(address)}{percent}{zone}" if bool(percent) == bool(zone) else None
    except ValueError:
        return None
