"""The lines that ExaBGP writes: what happens to a session, every UPDATE it sends, and its answers to commands.

Pure: a line to a value, or None for what says nothing to us. No line raises, whatever is in it.
"""

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network

import msgspec

from crds.addresses import Family, plain_address
from speaker.bgp.exabgp.notifications import HAVE_WORDS, REJECTIONS, describe, printable
from speaker.bgp.model import Prefix

FAMILIES: dict[str, Family] = {"ipv4 unicast": Family.IPv4, "ipv6 unicast": Family.IPv6}
IPV6_NEXT_HOPS = "ipv4 unicast ipv6"


class Refresh(StrEnum):
    """What both sides can do of ROUTE-REFRESH, by ExaBGP's names: RFC 7313, RFC 2918, nothing."""

    Enhanced = "enhanced"
    Normal = "normal"
    Absent = "absent"


@dataclass(frozen=True)
class Answer:
    """To the oldest command that has none yet."""

    is_done: bool


@dataclass(frozen=True)
class Unacknowledged:
    """How many bytes the router's TCP has not acknowledged, and why no connection can be had ("": nothing known)."""

    byte_count: int
    trouble: str = ""


@dataclass(frozen=True)
class Connected:
    """TCP is open."""


@dataclass(frozen=True)
class Negotiated:
    """OPEN was exchanged: what both sides agreed on. `ipv6_next_hops`: IPv4 routes may name one (RFC 8950).
    `own_address`: the connection's; "" = not known."""

    hold_time_seconds: int
    families: frozenset[Family]
    peer_asn: int | None = None
    ipv6_next_hops: bool = False
    refresh: Refresh = Refresh.Absent
    own_address: str = ""


@dataclass(frozen=True)
class Up:
    """The session is established; no UPDATE of it was sent before."""


@dataclass(frozen=True)
class Down:
    """The session, or an attempt, has ended. `by_router`: the router said so itself (NOTIFICATION). `own_address`: the
    connection's; "" = not known."""

    reason: str
    by_router: bool
    own_address: str = ""


@dataclass(frozen=True)
class Notified:
    """A NOTIFICATION, in words. `is_rejection`: it says no more than that there is no session now."""

    text: str
    by_router: bool
    is_rejection: bool = False


@dataclass(frozen=True)
class Sent:
    """An UPDATE is being written to the session."""

    announced: tuple[Prefix, ...] = ()
    withdrawn: tuple[Prefix, ...] = ()


@dataclass(frozen=True)
class EndOfRib:
    """End-of-RIB of a family is being written; every UPDATE before it has been."""

    family: Family


@dataclass(frozen=True)
class RefreshSent:
    """A ROUTE-REFRESH of a family is being written; every UPDATE that was reported before has been."""

    family: Family


@dataclass(frozen=True)
class RefreshBegun:
    """The router has begun to answer a ROUTE-REFRESH of a family (RFC 7313 §3.2, BoRR)."""

    family: Family


@dataclass(frozen=True)
class RouterEndOfRib:
    """The router's own End-of-RIB of a family."""

    family: Family


@dataclass(frozen=True)
class RefreshCostly:
    """The router has many routes of a family for us."""

    family: Family


@dataclass(frozen=True)
class Ended:
    """ExaBGP ends in order."""


AboutRefresh = RefreshSent | RefreshBegun | RouterEndOfRib | RefreshCostly
Event = Answer | Unacknowledged | Connected | Negotiated | Up | Down | Notified | Sent | EndOfRib | AboutRefresh | Ended


class _Nlri(msgspec.Struct, gc=False):
    nlri: str


class _Update(msgspec.Struct):
    announce: dict[str, dict[str, list[_Nlri]]] = {}
    withdraw: dict[str, list[_Nlri]] = {}


class _EndOfRib(msgspec.Struct):
    afi: str
    safi: str


class _Message(msgspec.Struct):
    update: _Update | None = None
    eor: _EndOfRib | None = None
    body: str = ""


class _Notification(msgspec.Struct):
    code: int
    subcode: int
    data: str = ""


class _Negotiated(msgspec.Struct):
    hold_time: int
    families: list[str]
    nexthop: list[str] = []
    refresh: str = ""


class _Asn(msgspec.Struct):
    peer: int | None = None


class _Address(msgspec.Struct):
    local: str = ""


class _Neighbor(msgspec.Struct):
    address: _Address | None = None
    asn: _Asn | None = None
    direction: str = ""
    state: str = ""
    reason: str = ""
    message: _Message | None = None
    notification: _Notification | None = None
    negotiated: _Negotiated | None = None


class _Line(msgspec.Struct):
    type: str
    neighbor: _Neighbor | None = None
    notification: str = ""


MOST_DIGITS = 20

_OF_A_FAMILY: dict[bytes, type[AboutRefresh]] = {
    b"refreshing": RefreshSent,
    b"refreshed": RefreshBegun,
    b"end-of-rib": RouterEndOfRib,
    b"costly": RefreshCostly,
}
_REFRESH = {one.value: one for one in Refresh}
_FAMILY_NAMES = {b"ipv4": Family.IPv4, b"ipv6": Family.IPv6}
_decoder = msgspec.json.Decoder(_Line)  # noqa: TID251 - what ExaBGP writes; the errors are caught below


def parse(line: bytes) -> Event | None:
    """One line, with or without its end."""
    line = line.strip()
    if line.startswith(b"{"):
        try:
            # Where the router's AS is not known yet, ExaBGP writes it as Python would.
            return _parse_json(_decoder.decode(line.replace(b'"peer": None', b'"peer": null')))
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return None
    if line in (b"done", b"error"):
        return Answer(line == b"done")
    if line.startswith(b"unacknowledged "):
        return _parse_unacknowledged(line)
    word, _, family = line.partition(b" ")
    if word in _OF_A_FAMILY and family in _FAMILY_NAMES:
        return _OF_A_FAMILY[word](_FAMILY_NAMES[family])
    return None


def _number(text: bytes) -> int | None:
    """None for what is none, or longer than any that ExaBGP writes: Python reads no number of thousands of digits."""
    return int(text) if text.isdigit() and len(text) <= MOST_DIGITS else None


def _parse_unacknowledged(line: bytes) -> Unacknowledged | None:
    _, count, *trouble = line.split(b" ", 2)
    number = _number(count)
    return None if number is None else Unacknowledged(number, printable(b"".join(trouble).decode(errors="replace")))


def _parse_json(line: _Line) -> Event | None:
    neighbor = line.neighbor
    if line.notification == "shutdown":
        return Ended()
    if neighbor is None:
        return None
    match line.type, neighbor.direction:
        case "state", _:
            return _state(neighbor)
        case "negotiated", _ if neighbor.negotiated:
            return _negotiated(neighbor.negotiated, neighbor)
        case "notification", "send" | "receive":
            return _notified(neighbor)
        case "update", "send" if neighbor.message:
            return _sent(neighbor.message)
    return None


def _negotiated(agreed: _Negotiated, neighbor: _Neighbor) -> Negotiated:
    families = frozenset(FAMILIES[name] for name in agreed.families if name in FAMILIES)
    has_ipv6 = IPV6_NEXT_HOPS in agreed.nexthop
    refresh = _REFRESH.get(agreed.refresh, Refresh.Absent)
    peer_asn = neighbor.asn.peer if neighbor.asn else None
    return Negotiated(agreed.hold_time, families, peer_asn, has_ipv6, refresh, _own_address(neighbor))


def _own_address(neighbor: _Neighbor) -> str:
    own = plain_address(neighbor.address.local) if neighbor.address else None
    return str(own) if own else ""


def _state(neighbor: _Neighbor) -> Event | None:
    match neighbor.state:
        case "connected":
            return Connected()
        case "up":
            return Up()
        case "down":
            by_router = neighbor.reason.startswith("notification received")
            return Down(printable(neighbor.reason), by_router, _own_address(neighbor))
    return None


def _notified(neighbor: _Neighbor) -> Notified | None:
    """What we send comes parsed, what the router sends as it is (see config.py)."""
    by_router = neighbor.direction == "receive"
    if neighbor.notification is not None:
        sent = neighbor.notification
        return Notified(_sent_words(sent), by_router)
    if neighbor.message is None or len(body := _octets(neighbor.message.body)) < 2:
        return None
    return Notified(describe(body[0], body[1], body[2:]), by_router, (body[0], body[1]) in REJECTIONS)


def _sent_words(sent: _Notification) -> str:
    """ExaBGP says in the data what it means, as a sentence, or in the form of RFC 9003."""
    data = _octets(sent.data)
    words = describe(sent.code, sent.subcode, data)
    sentence = printable(data.decode("ascii", errors="replace"))
    has_own = (sent.code, sent.subcode) in HAVE_WORDS or not (sentence.isascii() and len(sentence) > 3)
    return words if has_own or sentence.lower() in words.lower() else f"{words}: {sentence}"


def _octets(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def _sent(message: _Message) -> Sent | EndOfRib | None:
    if message.eor is not None:
        family = FAMILIES.get(f"{message.eor.afi} {message.eor.safi}")
        return EndOfRib(family) if family else None
    if message.update is None:
        return None
    announced = [one for hops in message.update.announce.values() for some in hops.values() for one in some]
    withdrawn = [one for some in message.update.withdraw.values() for one in some]
    return Sent(tuple(map(_prefix, announced)), tuple(map(_prefix, withdrawn)))


def _prefix(nlri: _Nlri) -> Prefix:
    """ip_network's way through all forms takes twice as long."""
    return IPv6Network(nlri.nlri) if ":" in nlri.nlri else IPv4Network(nlri.nlri)
