"""The functions that Kubernetes adds to CEL: addresses, quantities, URLs, named formats; and optionals.

Importing this module adds them to the table of overloads.py.
"""

from __future__ import annotations

import ipaddress
from decimal import Decimal
from typing import Any, Final
from urllib.parse import parse_qs

from lab.apiserver.cel import formatting
from lab.apiserver.cel import types as t
from lab.apiserver.cel.library import parsed, to_int
from lab.apiserver.cel.overloads import add, member
from lab.apiserver.cel.types import A
from lab.apiserver.cel.values import (
    NONE,
    CelError,
    Cidr,
    NamedFormat,
    Optional,
    Quantity,
    Url,
    order,
    parse_cidr,
    parse_ip,
    parse_quantity,
    parse_url,
)

_S: Final = t.STRING

# Addresses (KEP-4358)


def _family(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> int:
    return address.version


def _is_link_local_multicast(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    if address.version == 4:
        return address in ipaddress.ip_network("224.0.0.0/24")
    return address.packed[0] == 0xFF and address.packed[1] & 0x0F == 2


def _is_global_unicast(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    broadcast = address == ipaddress.IPv4Address("255.255.255.255")
    return not (
        broadcast or address.is_unspecified or address.is_loopback or address.is_multicast or address.is_link_local
    )


def _contains_ip(prefix: Cidr, address: Any) -> bool:
    wanted = _to_ip(address) if isinstance(address, str) else address
    return wanted.version == prefix.address.version and wanted in prefix.network()


def _contains_cidr(prefix: Cidr, other: Any) -> bool:
    inner = _to_cidr(other) if isinstance(other, str) else other
    same_family = inner.address.version == prefix.address.version
    return same_family and inner.prefix_length >= prefix.prefix_length and inner.address in prefix.network()


_to_ip = parsed(parse_ip, "IP Address parse error during conversion from string:")
_to_cidr = parsed(parse_cidr, "network address parse error during conversion from string:")

add("ip", (_S,), t.IP, _to_ip)
add("isIP", (_S,), t.BOOL, lambda text: parse_ip(text) is not None)
add("ip.isCanonical", (_S,), t.BOOL, lambda text: str(_to_ip(text)) == text)
member("family", (t.IP,), t.INT, _family)
member("isUnspecified", (t.IP,), t.BOOL, lambda address: address.is_unspecified)
member("isLoopback", (t.IP,), t.BOOL, lambda address: address.is_loopback)
member("isLinkLocalMulticast", (t.IP,), t.BOOL, _is_link_local_multicast)
member("isLinkLocalUnicast", (t.IP,), t.BOOL, lambda address: address.is_link_local)
member("isGlobalUnicast", (t.IP,), t.BOOL, _is_global_unicast)
add("cidr", (_S,), t.CIDR, _to_cidr)
add("isCIDR", (_S,), t.BOOL, lambda text: parse_cidr(text) is not None)
member("containsIP", (t.CIDR, t.IP), t.BOOL, _contains_ip)
member("containsIP", (t.CIDR, _S), t.BOOL, _contains_ip)
member("containsCIDR", (t.CIDR, t.CIDR), t.BOOL, _contains_cidr)
member("containsCIDR", (t.CIDR, _S), t.BOOL, _contains_cidr)
member("ip", (t.CIDR,), t.IP, lambda prefix: prefix.address)
member("masked", (t.CIDR,), t.CIDR, lambda prefix: Cidr(prefix.network().network_address, prefix.prefix_length))
member("prefixLength", (t.CIDR,), t.INT, lambda prefix: prefix.prefix_length)

# Quantities and URLs


def _as_integer(quantity: Quantity) -> int:
    if quantity.value != quantity.value.to_integral_value():
        raise CelError("cannot convert value to integer")
    return to_int(int(quantity.value))


def _amount(value: Any) -> Decimal:
    return value.value if isinstance(value, Quantity) else Decimal(value)


_Q: Final = t.QUANTITY
add("quantity", (_S,), _Q, parsed(parse_quantity, "quantities must match the regular expression:"))
add("isQuantity", (_S,), t.BOOL, lambda text: parse_quantity(text) is not None)
member("sign", (_Q,), t.INT, lambda q: (q.value > 0) - (q.value < 0))
member("isInteger", (_Q,), t.BOOL, lambda q: q.value == q.value.to_integral_value())
member("asInteger", (_Q,), t.INT, _as_integer)
member("asApproximateFloat", (_Q,), t.DOUBLE, lambda q: float(q.value))
member("isLessThan", (_Q, _Q), t.BOOL, lambda a, b: a.value < b.value)
member("isGreaterThan", (_Q, _Q), t.BOOL, lambda a, b: a.value > b.value)
member("compareTo", (_Q, _Q), t.INT, order)
for _other in (_Q, t.INT):
    member("add", (_Q, _other), _Q, lambda a, b: Quantity(a.value + _amount(b)))
    member("sub", (_Q, _other), _Q, lambda a, b: Quantity(a.value - _amount(b)))


def _host_name(url: Url) -> str:
    host = url.parts.netloc.rpartition("@")[2]
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]


def _query(url: Url) -> dict[str, list[str]]:
    return parse_qs(url.parts.query, keep_blank_values=True)


add("url", (_S,), t.URL, parsed(parse_url, "URL parse error during conversion from string:"))
add("isURL", (_S,), t.BOOL, lambda text: parse_url(text) is not None)
member("getScheme", (t.URL,), _S, lambda url: url.parts.scheme)
member("getHost", (t.URL,), _S, lambda url: url.parts.netloc.rpartition("@")[2])
member("getHostname", (t.URL,), _S, _host_name)
member("getPort", (t.URL,), _S, lambda url: str(url.parts.port) if url.parts.port is not None else "")
member("getEscapedPath", (t.URL,), _S, lambda url: url.parts.path)
member("getQuery", (t.URL,), t.map_of(_S, t.list_of(_S)), _query)

# Named formats


def _validate_format(named: NamedFormat, text: str) -> Optional:
    errors = formatting.format_errors(named.name, text)
    return Optional(True, errors) if errors else NONE


for _format in formatting.NAMED:
    add(f"format.{_format}", (), t.FORMAT, lambda name=_format: NamedFormat(name))
add(
    "format.named",
    (_S,),
    t.optional_of(t.FORMAT),
    lambda name: Optional(True, NamedFormat(name)) if name in formatting.NAMED else NONE,
)
member("validate", (t.FORMAT, _S), t.optional_of(t.list_of(_S)), _validate_format)

# Optionals


def _value(optional: Optional) -> Any:
    if not optional.present:
        raise CelError("optional.none() dereference")
    return optional.value


def _is_zero(value: Any) -> bool:
    return value is None or value in ("", 0, b"", [], {})


_O: Final = t.optional_of(A)
add("optional.of", (A,), _O, lambda value: Optional(True, value))
add("optional.none", (), t.optional_of(t.DYN), lambda: NONE)
add("optional.ofNonZeroValue", (A,), _O, lambda value: NONE if _is_zero(value) else Optional(True, value))
member("hasValue", (_O,), t.BOOL, lambda optional: optional.present)
member("value", (_O,), A, _value)
member("or", (_O, _O), _O, lambda one, other: one if one.present else other)
member("orValue", (_O, A), A, lambda optional, default: optional.value if optional.present else default)
