"""The string formats that the API server checks in schemas (`format: ipv4`, `date-time`, …).

A format that is not here is not checked, as in the API server.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable, Mapping
from datetime import date
from typing import Final
from urllib.parse import urlsplit

_HOSTNAME = re.compile(
    r"^([a-zA-Z0-9]([-a-zA-Z0-9]{0,61}[a-zA-Z0-9])?)(\.[a-zA-Z0-9]([-a-zA-Z0-9]{0,61}[a-zA-Z0-9])?)*$"
)
_TIME = re.compile(r"^([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(\.\d+)?(z|[+-]\d\d:\d\d)$")
_UUID = re.compile(r"^[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}$")
_MAC = re.compile(r"^([0-9a-fA-F]{2}[:-]){5}([0-9a-fA-F]{2})$|^([0-9a-fA-F]{4}\.){2}[0-9a-fA-F]{4}$")
_DURATION = re.compile(r"^-?((\d+(\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h|d|w))+$|^0$")
_EMAIL = re.compile(r"^[^@\s]+@[^@\s]+$")
_SHORT_NAME = re.compile(r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")
_LONG_NAME = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")


def _ipv4(text: str) -> bool:
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True


def _ipv6(text: str) -> bool:
    try:
        return "%" not in text and ipaddress.IPv6Address(text) is not None
    except ValueError:
        return False


def _cidr(text: str) -> bool:
    address, slash, prefix = text.partition("/")
    if not slash or not prefix.isascii() or not prefix.isdigit():
        return False
    return int(prefix) <= (32 if _ipv4(address) else 128 if _ipv6(address) else -1)


def _date(text: str) -> bool:
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", text):
        return False
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def is_date_time(text: str) -> bool:
    """RFC 3339 §5.6 date-time."""
    day, separator, time = text.lower().partition("t")
    return bool(separator) and _date(day) and _TIME.match(time) is not None


def _byte(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


def _uri(text: str) -> bool:
    try:
        return bool(urlsplit(text).scheme) or text.startswith("/")
    except ValueError:
        return False


def _matcher(pattern: re.Pattern[str], longest: int = 1 << 30) -> Callable[[str], bool]:
    return lambda text: len(text) <= longest and pattern.match(text) is not None


FORMATS: Final[Mapping[str, Callable[[str], bool]]] = {
    "ipv4": _ipv4,
    "ipv6": _ipv6,
    "cidr": _cidr,
    "date": _date,
    "date-time": is_date_time,
    "datetime": is_date_time,
    "byte": _byte,
    "uri": _uri,
    "hostname": _matcher(_HOSTNAME, 255),
    "uuid": _matcher(_UUID),
    "uuid3": _matcher(_UUID),
    "uuid4": _matcher(_UUID),
    "uuid5": _matcher(_UUID),
    "mac": _matcher(_MAC),
    "duration": _matcher(_DURATION),
    "email": _matcher(_EMAIL),
    "k8s-short-name": _matcher(_SHORT_NAME),
    "k8s-long-name": _matcher(_LONG_NAME, 253),
}
