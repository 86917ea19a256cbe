"""Networks of nodes' interfaces as Speakers tell them, and whether an address lies in one. Pure."""

from functools import lru_cache
from ipaddress import ip_interface
from typing import NamedTuple


class Network(NamedTuple):
    """All addresses with `number` before their last `host_bits` bits."""

    is_ipv6: bool
    host_bits: int
    number: int


class Attached(NamedTuple):
    """What a Speaker says of one of its interfaces.

    `networks` None: it does not tell (a speaker of an earlier version), so it counts as if it was on each. It has none
    whose addresses are all its own (/32, /128), and none that has all addresses.
    """

    networks: frozenset[Network] | None = None
    has_ipv6: bool = True


@lru_cache(maxsize=4096)
def network_of(text: str) -> Network | None:
    """Of an address with its prefix length, such as 192.0.2.11/24. None where it makes no network.

    Nor does one with a zone: that may be any text.
    """
    try:
        network = ip_interface(text).network
    except ValueError:
        return None
    host_bits = network.max_prefixlen - network.prefixlen
    if not network.prefixlen or not host_bits or "%" in text:
        return None
    return Network(network.version == 6, host_bits, int(network.network_address) >> host_bits)
