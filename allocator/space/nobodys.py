"""Addresses that no Service can have, whatever a pool lists: those that are no host's by their kind.

The API server refuses them in a pool (crds.rules.PoolAddresses); this is for pools that are older than that rule, and
for what a rule can't see: what lies between the ends of an IPv6 range.
"""

from collections.abc import Mapping
from ipaddress import ip_network

from allocator.space.spans import Span, Spans
from crds.addresses import Family

_KINDS: tuple[tuple[str, str], ...] = (
    ("unspecified", "0.0.0.0/8"),  # RFC 1122 §3.2.1.3 (a), (b)
    ("loopback", "127.0.0.0/8"),  # RFC 1122 §3.2.1.3 (g)
    ("link-local", "169.254.0.0/16"),  # RFC 3927
    ("multicast", "224.0.0.0/4"),  # RFC 5771
    ("reserved or broadcast", "240.0.0.0/4"),  # RFC 1112 §4, RFC 919 §7
    ("unspecified", "::/128"),  # RFC 4291 §2.5.2
    ("loopback", "::1/128"),  # RFC 4291 §2.5.3
    ("link-local", "fe80::/10"),  # RFC 4291 §2.5.6
    ("multicast", "ff00::/8"),  # RFC 4291 §2.7
)


def _spans(version: int) -> dict[str, Span]:
    networks = ((kind, text, ip_network(text)) for kind, text in _KINDS)
    return {
        f"{kind} ({text})": (int(one.network_address), int(one.broadcast_address))
        for kind, text, one in networks
        if one.version == version
    }


_BY_KIND: Mapping[Family, Mapping[str, Span]] = {Family.IPv4: _spans(4), Family.IPv6: _spans(6)}

NOBODYS: Mapping[Family, Spans] = {family: Spans(spans.values()) for family, spans in _BY_KIND.items()}
"""All of them."""


def kinds_in(family: Family, span: Span) -> list[str]:
    """Which kinds these addresses touch, each with its network, such as "loopback (127.0.0.0/8)"."""
    first, last = span
    return [kind for kind, (lowest, highest) in _BY_KIND[family].items() if first <= highest and last >= lowest]
