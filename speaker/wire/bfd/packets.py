"""The BFD Control packet as bytes (RFC 5880 §4.1): read by the rules that need no session (§6.8.6), and written.

It knows no sockets, no clock and no sessions; authentication is not supported.

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +-----+---------+---+-+-+-+-+-+-+---------------+---------------+
    |Vers |  Diag   |Sta|P|F|C|A|D|M|  Detect Mult  |    Length     |
    +-----+---------+---+-+-+-+-+-+-+---------------+---------------+
    |                       My Discriminator                        |
    +---------------------------------------------------------------+
    |                      Your Discriminator                       |
    +---------------------------------------------------------------+
    |                    Desired Min TX Interval                    |
    +---------------------------------------------------------------+
    |                   Required Min RX Interval                    |
    +---------------------------------------------------------------+
    |                 Required Min Echo RX Interval                 |
    +---------------------------------------------------------------+

Intervals are in microseconds.
"""

from __future__ import annotations

from enum import Enum, IntEnum
from struct import Struct
from typing import NamedTuple

VERSION = 1
LENGTH = 24
AUTHENTICATED_LENGTH = 26  # the shortest: with an empty authentication section

_POLL, _FINAL, _CONTROL_PLANE_INDEPENDENT, _AUTHENTICATION, _DEMAND, _MULTIPOINT = 32, 16, 8, 4, 2, 1
_FIELDS = Struct("!BBBBIIIII")


class State(IntEnum):
    """Of a session (§4.1)."""

    ADMIN_DOWN = 0
    DOWN = 1
    INIT = 2
    UP = 3


class Diagnostic(IntEnum):
    """Why a session changed its state last (§4.1). A packet may carry others: they are kept as numbers."""

    NONE = 0
    DETECTION_TIME_EXPIRED = 1
    ECHO_FAILED = 2
    NEIGHBOR_SIGNALED_DOWN = 3
    FORWARDING_PLANE_RESET = 4
    PATH_DOWN = 5
    CONCATENATED_PATH_DOWN = 6
    ADMINISTRATIVELY_DOWN = 7
    REVERSE_CONCATENATED_PATH_DOWN = 8


class Discard(Enum):
    """Why a packet does not count (§6.8.6; RFC 5881 §5 and RFC 5883 §5 for the TTL)."""

    VERSION = "version"
    LENGTH = "length"
    MULTIPLIER = "multiplier"
    MULTIPOINT = "multipoint"
    DISCRIMINATOR = "discriminator"
    STATE = "state"
    AUTHENTICATION = "authentication"
    TTL = "ttl"
    SESSION = "session"


class Packet(NamedTuple):
    """What one side says. Intervals are in microseconds."""

    state: State
    diagnostic: int
    is_poll: bool
    is_final: bool
    is_demand: bool
    multiplier: int
    my_discriminator: int
    your_discriminator: int
    desired_min_tx: int
    required_min_rx: int


def build(packet: Packet) -> bytes:
    """The bytes. C is never set, as this implementation dies with its control plane; neither are A, D and M, and echo
    packets are not offered."""
    flags = packet.state << 6 | (_POLL if packet.is_poll else 0) | (_FINAL if packet.is_final else 0)
    return _FIELDS.pack(
        VERSION << 5 | packet.diagnostic,
        flags,
        packet.multiplier,
        LENGTH,
        packet.my_discriminator,
        packet.your_discriminator,
        packet.desired_min_tx,
        packet.required_min_rx,
        0,
    )


def parse(datagram: bytes) -> Packet | Discard:
    """The packet, or the first rule of §6.8.6 that it breaks. What follows its own length is ignored."""
    if len(datagram) < LENGTH:
        return Discard.LENGTH
    first, flags, multiplier, length, mine, yours, desired, required, _ = _FIELDS.unpack_from(datagram)
    packet = Packet(
        State(flags >> 6),
        first & 31,
        bool(flags & _POLL),
        bool(flags & _FINAL),
        bool(flags & _DEMAND),
        multiplier,
        mine,
        yours,
        desired,
        required,
    )
    return _fault(packet, first >> 5, flags, length, len(datagram)) or packet


def _fault(packet: Packet, version: int, flags: int, length: int, payload: int) -> Discard | None:
    if version != VERSION:
        return Discard.VERSION
    if not (AUTHENTICATED_LENGTH if flags & _AUTHENTICATION else LENGTH) <= length <= payload:
        return Discard.LENGTH
    if packet.multiplier == 0:
        return Discard.MULTIPLIER
    if flags & _MULTIPOINT:
        return Discard.MULTIPOINT
    if packet.my_discriminator == 0:
        return Discard.DISCRIMINATOR
    if packet.your_discriminator == 0 and packet.state > State.DOWN:
        return Discard.STATE
    if flags & _AUTHENTICATION:
        return Discard.AUTHENTICATION
    return None
