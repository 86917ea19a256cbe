"""Addresses as the agent writes them, and as frames carry them."""

from __future__ import annotations

import socket

from speaker.wire.neighbours.frames import IPV4_BYTES
from speaker.wire.neighbours.table import is_announceable


def address_of(text: str) -> bytes | None:
    """4 or 16 bytes; None for what is no address, or none that can be announced."""
    try:
        address = socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)
    except OSError:
        return None
    return address if is_announceable(address) else None


def text_of(address: bytes) -> str:
    """In canonical spelling."""
    return socket.inet_ntop(socket.AF_INET if len(address) == IPV4_BYTES else socket.AF_INET6, address)
