"""IP addresses and their families, spelled as the API spells them. Values only."""

from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

IPAddress = IPv4Address | IPv6Address


class Family(StrEnum):
    """An address family, as in `spec.ipFamilies` of a Service."""

    IPv4 = "IPv4"
    IPv6 = "IPv6"


FAMILIES = (Family.IPv4, Family.IPv6)


def family_of(value: IPAddress | IPv4Network | IPv6Network) -> Family:
    """Of an address or a prefix."""
    return Family.IPv4 if value.version == 4 else Family.IPv6
