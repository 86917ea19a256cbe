"""CEL's values in Python: equality, order, addresses, quantities, URLs, optionals, times.

JSON values stand for themselves; UInt is in nodes.py. Which function takes what is in library.py.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

import msgspec

from lab.apiserver.cel.nodes import UInt
from lab.apiserver.cel.types import Type

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_in_order = msgspec.json.Encoder(order="deterministic").encode


class CelError(Exception):
    """An evaluation error, in cel-go's words: `no such key: x`, `division by zero`."""


NO_OVERLOAD: Final = "no such overload"


@dataclass(frozen=True, slots=True)
class Optional:
    """`optional.of(value)`, or `optional.none()` when not present."""

    present: bool
    value: Any = None


NONE: Final = Optional(False)


@dataclass(frozen=True, slots=True)
class Cidr:
    """A prefix with its host bits, as `cidr()` gives it."""

    address: Address
    prefix_length: int

    def __str__(self) -> str:
        return f"{self.address}/{self.prefix_length}"

    def network(self) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
        """The prefix without host bits."""
        return ipaddress.ip_network(f"{self.address}/{self.prefix_length}", strict=False)


@dataclass(frozen=True, slots=True)
class Quantity:
    """resource.Quantity, by its exact value."""

    value: Decimal


@dataclass(frozen=True, slots=True)
class Url:
    """A parsed URL."""

    parts: SplitResult


@dataclass(frozen=True, slots=True)
class NamedFormat:
    """A value of the `format` library: a check by name."""

    name: str


def parse_ip(text: str) -> Address | None:
    """An address as Go's netip takes it, without zone; None for anything else (IPv4-mapped IPv6 included)."""
    if "%" in text:
        return None
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return None
    return address


def parse_cidr(text: str) -> Cidr | None:
    """`address/length` without leading zeros; None for anything else."""
    head, slash, tail = text.partition("/")
    if not slash or not re.fullmatch(r"0|[1-9][0-9]{0,2}", tail):
        return None
    address = parse_ip(head)
    if address is None or int(tail) > address.max_prefixlen:
        return None
    return Cidr(address, int(tail))


_SUFFIXES: Final = {
    "": Decimal(1),
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "k": Decimal(10) ** 3,
    "M": Decimal(10) ** 6,
    "G": Decimal(10) ** 9,
    "T": Decimal(10) ** 12,
    "P": Decimal(10) ** 15,
    "E": Decimal(10) ** 18,
    "Ki": Decimal(2) ** 10,
    "Mi": Decimal(2) ** 20,
    "Gi": Decimal(2) ** 30,
    "Ti": Decimal(2) ** 40,
    "Pi": Decimal(2) ** 50,
    "Ei": Decimal(2) ** 60,
}
_QUANTITY: Final = re.compile(
    r"^([+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+))(?:([eE][+-]?[0-9]+)|(Ki|Mi|Gi|Ti|Pi|Ei|[numkMGTPE])?)$"
)


def parse_quantity(text: str) -> Quantity | None:
    """A Kubernetes quantity such as `1.5Gi`, or None."""
    match = _QUANTITY.match(text)
    if match is None:
        return None
    try:
        number = Decimal(match[1] + (match[2] or ""))
    except InvalidOperation:
        return None
    return Quantity(number * _SUFFIXES[match[3] or ""])


def parse_url(text: str) -> Url | None:
    """An absolute URL or an absolute path, or None."""
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        return None
    if not parts.scheme and not text.startswith("/"):
        return None
    return Url(parts)


_DURATION_PART: Final = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|h|m|s)")
_UNITS: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def parse_duration(text: str) -> timedelta | None:
    """A Go duration such as `1h30m`, or None."""
    body = text[1:] if text[:1] in "+-" else text
    if body == "0":
        return timedelta(0)
    position, seconds = 0, 0.0
    while position < len(body):
        match = _DURATION_PART.match(body, position)
        if match is None:
            return None
        seconds += float(match[1]) * _UNITS[match[2]]
        position = match.end()
    if not body:
        return None
    return timedelta(seconds=-seconds if text.startswith("-") else seconds)


_TIMESTAMP: Final = re.compile(r"^(\d{4}-\d\d-\d\d)(?:[Tt](\d\d:\d\d:\d\d)(\.\d+)?([Zz]|[+-]\d\d:\d\d))?$")


def parse_timestamp(text: str) -> datetime | None:
    """An RFC 3339 time, or a date (midnight UTC); None for anything else. Finer than a microsecond is cut off."""
    match = _TIMESTAMP.match(text)
    if match is None:
        return None
    day, time, fraction, zone = match.groups()
    if time is None:
        time, zone = "00:00:00", "Z"
    micro = (fraction or ".0")[:7]
    try:
        return datetime.fromisoformat(f"{day}T{time}{micro:0<7}{'+00:00' if zone in 'Zz' else zone}")
    except ValueError:
        return None


def format_timestamp(value: datetime) -> str:
    """RFC 3339 in UTC, with as many decimals as needed."""
    utc = value.astimezone(UTC)
    text = utc.strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{utc.microsecond:06d}".rstrip("0") + "Z" if utc.microsecond else text + "Z"


def format_double(value: float) -> str:
    """As Go's strconv with 'g' and the shortest precision, in the common range."""
    if value != value or value in (float("inf"), float("-inf")):
        return {"inf": "+Inf", "-inf": "-Inf"}.get(str(value), "NaN")
    if value.is_integer() and abs(value) < 1e21:
        return str(int(value))
    text = repr(value)
    return re.sub(r"e([+-])(\d)$", r"e\g<1>0\2", text)


def format_duration(value: timedelta) -> str:
    """Seconds, as CEL's string(duration): `90s`."""
    return f"{format_double(value.total_seconds())}s"


def type_name(value: Any) -> str:
    """The name of a value's CEL type."""
    for python, name in _NAMES.items():
        if type(value) is python:
            return name
    return "dyn"


_NAMES: Final[dict[type, str]] = {
    str: "string",
    int: "int",
    bool: "bool",
    dict: "map",
    list: "list",
    float: "double",
    type(None): "null_type",
    UInt: "uint",
    bytes: "bytes",
    datetime: "timestamp",
    timedelta: "duration",
    ipaddress.IPv4Address: "net.IP",
    ipaddress.IPv6Address: "net.IP",
    Cidr: "net.CIDR",
    Quantity: "kubernetes.Quantity",
    Url: "kubernetes.URL",
    NamedFormat: "kubernetes.NamedFormat",
    Optional: "optional_type",
    Type: "type",
}
_ALIKE: Final = {"object": "map"}


def fits(value: Any, wanted: Type) -> bool:
    """Whether a value is of a type, as far as its outermost shape tells."""
    name = wanted.name
    return name in ("dyn", "A", "B") or type_name(value) == _ALIKE.get(name, name)


def equal(one: Any, other: Any) -> bool:
    """CEL's `==`: across types false, except between numbers; true is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and all(map(equal, one, other))
    if isinstance(one, dict):
        return (
            isinstance(other, dict)
            and len(one) == len(other)
            and all(key in other and equal(value, other[key]) for key, value in one.items())
        )
    if isinstance(one, Optional) and isinstance(other, Optional):
        return one.present == other.present and equal(one.value, other.value)
    return bool(one == other)


def item_key(item: Any, list_type: str, keys: Sequence[str]) -> bytes | None:
    """What makes an item of a set or map list unique; None when the item is not an object with such keys."""
    if list_type == "set":
        return _in_order(item)
    if not isinstance(item, dict):
        return None
    return _in_order([item.get(key) for key in keys])


def order(one: Any, other: Any) -> int:
    """-1, 0 or 1; raises CelError where CEL has no order."""
    if isinstance(one, bool) != isinstance(other, bool):
        raise CelError(NO_OVERLOAD)
    if isinstance(one, Quantity) and isinstance(other, Quantity):
        one, other = one.value, other.value
    if isinstance(one, list | dict) or one is None:
        raise CelError(NO_OVERLOAD)
    try:
        return -1 if one < other else 1 if one > other else 0
    except TypeError:
        raise CelError(NO_OVERLOAD) from None
