"""The heartbeat packet as bytes: what a speaker says of itself, signed. One UDP datagram of at most 1200 bytes.

It knows no sockets, no clock and no members. receiver.py judges what a packet means, sender.py decides when one is
sent.

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +---------------------------------------------------------------+
    |                       Magic "BRTH"                            |
    +---------------+---------------+-------------------------------+
    |    Version    |     Flags     |     Interval (milliseconds)   |
    +---------------+---------------+-------------------------------+
    |                                                               |
    +                      Sequence number                          +
    |                                                               |
    +---------------------------------------------------------------+
    |  Age of the last contact with the API server (milliseconds)   |   all ones: there was none
    +---------------+---------------+---------------+---------------+
    |  Node length  | Incarn. length| Interf. length| Echoes' count |
    +---------------+---------------+---------------+---------------+
    |  Node, incarnation, then each interface as length and name    |
    |                            ...                                |
    +---------------------------------------------------------------+
    |                            Tag                                |
    +                 of one member's incarnation                     +   one echo: 12 bytes
    |                                                               |
    +---------------------------------------------------------------+
    |     Lower half of the sequence number last got from it        |
    +---------------------------------------------------------------+
    |               (what a later version may add)                  |
    +---------------------------------------------------------------+
    |           HMAC-SHA256 (RFC 2104) over all before it           |
    |                         (32 bytes)                            |
    +---------------------------------------------------------------+

Numbers are in network order. Flags, from the lowest bit: serving, member, behind, leaving, goodbye.

An echo says "I have your packet of this sequence number". A speaker that finds its latest numbers in a packet knows two
things without any clock of another machine: the packet was made just now, and its sender hears us.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Sequence
from enum import Enum
from functools import lru_cache
from struct import Struct
from typing import NamedTuple

# Fits any path that carries IPv6 (RFC 8200 §5: 1280 bytes), with the headers of IPv6 and UDP.
MAX_PACKET_BYTES = 1200
# RFC 1123 §2.1: a node's name is a DNS name.
MAX_NODE_BYTES = 253
MAX_INCARNATION_BYTES = 64
MAX_INTERFACES = 15  # with their lengths they fill less than 256 bytes
MAX_INTERFACE_BYTES = 15  # linux/if.h IFNAMSIZ, without its zero byte
MAX_INTERVAL_MILLISECONDS = 0xFFFF

SERVING, MEMBER, BEHIND, LEAVING, GOODBYE = 1, 2, 4, 8, 16

TAG_BYTES = 8
_MAGIC = b"BRTH"
_VERSION = 1
_HEAD = Struct("!4sBBHQIBBBB")
_ECHO = Struct(f"!{TAG_BYTES}sI")
_NEVER = 0xFFFFFFFF
_LOWER_HALF = 0xFFFFFFFF
_BLOCK_BYTES, _DIGEST_BYTES = 64, 32  # of SHA-256


class Dropped(Enum):
    """Why a packet does not count."""

    MALFORMED = "malformed"
    """Too short or too long, not ours, or its lengths do not add up."""
    UNSIGNED = "unsigned"
    """Signed with none of our keys."""
    OTHER_VERSION = "version"
    """Signed by one of our keys, of a version that we do not read."""
    OWN = "own"
    """Ours, or that of another process of this node."""
    UNKNOWN = "unknown"
    """From a node whose speaker we do not know of (yet)."""
    DUPLICATE = "duplicate"
    """The newest one once more: a copy that came by another interface before its sender is heard."""
    REPLAYED = "replayed"
    """Its sequence number was seen already, or is older than what was seen."""
    RETIRED = "retired"
    """It proves to be recent, but its sender has been replaced by a later process."""
    UNPROVEN = "unproven"
    """It echoes nothing recent of ours: a member's first packets, a replay, or a member that does not hear us."""


class Packet(NamedTuple):
    """What a packet says. `interval_milliseconds`: the next one comes no later, unless it is lost."""

    node: str
    incarnation: str
    sequence: int
    interval_milliseconds: int
    contact_age_milliseconds: int | None
    """Since the sender last had contact with the API server; None = never."""
    flags: int
    interfaces: tuple[str, ...]
    """Those of the sender on which it can announce."""
    echoes: bytes
    """To be read with `echoed`."""


def tag_of(node: str, incarnation: str) -> bytes:
    """Eight bytes for one speaker process, short enough to be echoed by all."""
    return hashlib.sha256(f"{node}/{incarnation}".encode()).digest()[:TAG_BYTES]


def echoes_of(heard: Iterable[tuple[bytes, int]]) -> bytes:
    """From tags and the latest sequence number of each."""
    pack = _ECHO.pack
    return b"".join([pack(tag, sequence & _LOWER_HALF) for tag, sequence in heard])


def echoed(echoes: bytes, tag: bytes) -> int | None:
    """The lower half of the sequence number that is echoed for this tag."""
    at = echoes.find(tag)
    while at >= 0 and at % _ECHO.size:
        at = echoes.find(tag, at + 1)
    return None if at < 0 else int(_ECHO.unpack_from(echoes, at)[1])


def room_for_echoes(node: str, incarnation: str, interfaces: Sequence[str]) -> int:
    """How many echoes fit into a packet with these."""
    names = sum(1 + len(name.encode()) for name in interfaces)
    used = _HEAD.size + len(node.encode()) + len(incarnation.encode()) + names + _DIGEST_BYTES
    return min((MAX_PACKET_BYTES - used) // _ECHO.size, 0xFF)


def encode(heartbeat: Packet, key: bytes) -> bytes:
    """The signed packet. Too many interfaces, an interval or age too long are cut. ValueError if it is too long."""
    node, incarnation = heartbeat.node.encode(), heartbeat.incarnation.encode()
    if len(node) > MAX_NODE_BYTES or len(incarnation) > MAX_INCARNATION_BYTES:
        raise ValueError("the node's name or the incarnation is too long for a heartbeat")
    names = [name.encode()[:MAX_INTERFACE_BYTES] for name in heartbeat.interfaces[:MAX_INTERFACES]]
    interfaces = b"".join([bytes([len(name)]) + name for name in names])
    age = heartbeat.contact_age_milliseconds
    head = _HEAD.pack(
        _MAGIC,
        _VERSION,
        heartbeat.flags,
        min(heartbeat.interval_milliseconds, MAX_INTERVAL_MILLISECONDS),
        heartbeat.sequence,
        _NEVER if age is None else min(age, _NEVER - 1),
        len(node),
        len(incarnation),
        len(interfaces),
        len(heartbeat.echoes) // _ECHO.size,
    )
    body = b"".join([head, node, incarnation, interfaces, heartbeat.echoes])
    if len(body) + _DIGEST_BYTES > MAX_PACKET_BYTES:
        raise ValueError(f"a heartbeat of more than {MAX_PACKET_BYTES} bytes")
    return body + _signer(key).digest(body)


def decode(packet: bytes, keys: Sequence[bytes]) -> Packet | Dropped:
    """What the packet says, if one of the keys signed it. Nothing of it is believed before that."""
    length = len(packet) - _DIGEST_BYTES
    if length < _HEAD.size or len(packet) > MAX_PACKET_BYTES or packet[:4] != _MAGIC:
        return Dropped.MALFORMED
    body, digest = packet[:length], packet[length:]
    for key in keys:
        if hmac.compare_digest(_signer(key).digest(body), digest):
            break
    else:
        return Dropped.UNSIGNED
    if body[4] != _VERSION:
        return Dropped.OTHER_VERSION
    try:
        return _parse(body)
    except ValueError:
        return Dropped.MALFORMED


def _parse(body: bytes) -> Packet:
    """Raises ValueError when the lengths do not add up, or a text is no UTF-8."""
    _, _, flags, interval, sequence, age, *lengths, echo_count = _HEAD.unpack_from(body)
    names_end = _HEAD.size + sum(lengths)
    end = names_end + echo_count * _ECHO.size
    if end > len(body):
        raise ValueError("cut off")
    node, incarnation, interfaces = _names(body[_HEAD.size : names_end], lengths[0], lengths[1])
    return Packet(
        node,
        incarnation,
        sequence,
        interval,
        None if age == _NEVER else age,
        flags,
        interfaces,
        body[names_end:end],
    )


@lru_cache(maxsize=1024)
def _names(names: bytes, node_length: int, incarnation_length: int) -> tuple[str, str, tuple[str, ...]]:
    """Node, incarnation and interfaces: the same in nearly every packet of a member."""
    at = node_length + incarnation_length
    node, incarnation = names[:node_length].decode(), names[node_length:at].decode()
    if not node or not incarnation:
        raise ValueError("nameless")
    interfaces = []
    while at < len(names):
        end = at + 1 + names[at]
        interfaces.append(names[at + 1 : end].decode())
        at = end
    if at != len(names):
        raise ValueError("cut off")
    return node, incarnation, tuple(interfaces)


class _Signer:
    """HMAC-SHA256 with the key's part of the work done once (RFC 2104 §4): half the time for a packet of 700 bytes."""

    __slots__ = ("_inner", "_outer")

    def __init__(self, key: bytes) -> None:
        block = (key if len(key) <= _BLOCK_BYTES else hashlib.sha256(key).digest()).ljust(_BLOCK_BYTES, b"\0")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in block))

    def digest(self, body: bytes) -> bytes:
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(body)
        outer.update(inner.digest())
        return outer.digest()


_signer = lru_cache(maxsize=16)(_Signer)
