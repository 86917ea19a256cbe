"""What the agent and the wire process tell each other: each order and each report as a value, and their one codec.

No I/O, and the standard library only. NamedTuples, since dataclasses would cost the wire process a megabyte.

    agent (asyncio)                      SOCK_SEQPACKET                                      wire process (epoll)

    UseInterfaces Announce Withdraw      --> carried out one after the other, a slice each turn --> Done | Refused
    Probe Stop
    Heartbeat Bfd Discover               --> in force when the last part came --------------------> Done | Refused
    Reannounce HandOver Defend Ask       --> nobody waits for them
    AnswerPing
    Permit OwnState                      --> overtake what is not written yet, and are in force at once

    Interfaces Conflict Answer Probed    <-- as they are
    Counters PingFault
    Members    <-- put together from     <-- MemberChanges
    Ages                                 <-- AgeChanges
    BfdStates                            <-- BfdChanges
    LinkRouters                          <-- LinkRouterChanges

Done and Refused carry the sequence number of the packet they answer; other reports carry 0. How messages become packets
is in speaker.wire.codec.

Addresses are text. Times are CLOCK_BOOTTIME seconds of this machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Any, NamedTuple, TypeVar

from speaker.wire.codec import (
    MessageError,
    by_name,
    decode,
    distinct,
    flag,
    key,
    listed,
    many,
    message,
    number,
    or_none,
    record,
    row,
    text,
    texts,
    whole,
)

V = TypeVar("V")

# Of one packet, so that it delays no reply for long: the wire process takes in 64 announcements in 0.15 ms.
ENTRIES_PER_PACKET = 64
ADDRESSES_PER_PACKET = 256

MOST_PACKETS_PER_SECOND = 500
"""Heartbeats that one node gets: with more members they are further apart than was ordered."""

NEVER = float("-inf")
"""In place of a time."""


# ---- orders that are confirmed: by Done, or by Refused

Entry = tuple[str, tuple[str, ...]]
"""An address, and the names of the interfaces to announce it on."""


def _entries(value: Any) -> tuple[Entry, ...]:
    """Column by column: replies wait while the wire process takes in an order."""
    if not listed(value):
        return ()
    addresses, names = zip(*value, strict=True)
    if not {list}.issuperset(map(type, names)):
        raise TypeError("not lists of names")
    texts([*addresses, *chain.from_iterable(names)])
    return tuple(zip(addresses, map(tuple, names), strict=True))


@message(texts)
class UseInterfaces(NamedTuple):
    """Use these interfaces and no others. Names that do not exist yet may come later. Idempotent."""

    names: tuple[str, ...]


@message(_entries, cut="entries", most=ENTRIES_PER_PACKET)
class Announce(NamedTuple):
    """Announce each address on its interfaces, instead of those given before. Idempotent.

    Refused when an entry was not accepted; the others are in force.
    """

    entries: tuple[Entry, ...]


@message(texts, cut="addresses", most=ADDRESSES_PER_PACKET)
class Withdraw(NamedTuple):
    """Withdraw the addresses. Once confirmed, no frame for any of them can leave. Unknown addresses are fine."""

    addresses: tuple[str, ...]


@message(many(row(text, texts, whole)), cut="entries", most=ENTRIES_PER_PACKET)
class Probe(NamedTuple):
    """Probe each address on its interfaces before it is announced for the first time; the number names the run.

    Confirmed when the probing has begun. What comes of it is told by Answer and, at the end, Probed. Withdraw ends it
    without a word. Refused when an entry was not accepted; the others are being probed.
    """

    entries: tuple[tuple[str, tuple[str, ...], int], ...]


@message(text, text, many(key), number, whole, by_name(texts), flag, flag, cut="members", most=ENTRIES_PER_PACKET)
class Heartbeat(NamedTuple):
    """Speak with the other speakers in this way, and with these, from now on. Idempotent.

    `incarnation`: another text at each start of the process, at most 64 bytes. `keys`: the first one signs, all of them
    verify; none = heartbeats are off. `members`: unicast addresses by node, of every other speaker that is known; only
    those are listened to. An address is used where multicast does not reach; there may be none. `is_first` and
    `is_last` tell the parts of one that was cut. Nothing is sent before the first OwnState. Refused when a name is too
    long for a packet.
    """

    node: str
    incarnation: str
    keys: tuple[bytes, ...] = ()
    interval_seconds: float = 0.2
    port: int = 7473
    members: Mapping[str, tuple[str, ...]] = {}
    is_first: bool = True
    is_last: bool = True

    def __repr__(self) -> str:
        """Without the keys."""
        return f"Heartbeat(node={self.node!r}, incarnation={self.incarnation!r}, members={self.members!r})"


class BfdSession(NamedTuple):
    """One session as it is ordered: with whom, over which path, and how fast.

    `peer_address` is unicast; a link-local one needs `interface`. `interface`, for a peer on a connected network: the
    session runs over that interface and no other; "" = the one that the routing table gives. `source_address`: "" = the
    one that the routing table gives. `is_multihop`: RFC 5883, by UDP port 4784, packets count from `minimum_ttl` up;
    else RFC 5881, by port 3784, and packets count only with TTL 255. `vrf`: the VRF device, "" = none. `is_passive`:
    wait for the peer's first packet.
    """

    peer_address: str
    interface: str = ""
    source_address: str = ""
    vrf: str = ""
    is_multihop: bool = False
    minimum_ttl: int = 254
    receive_interval_milliseconds: int = 300
    transmit_interval_milliseconds: int = 300
    detect_multiplier: int = 3
    is_passive: bool = False


_bfd_session = record(BfdSession, text, text, text, text, flag, whole, whole, whole, whole, flag)


@message(by_name(_bfd_session), flag, flag, cut="sessions", most=ENTRIES_PER_PACKET)
class Bfd(NamedTuple):
    """Have exactly these BFD sessions, by name. Idempotent.

    One that changed its addresses is another session; new timers are negotiated within the one there is. What is wrong
    with one of them is told by its `fault`, and disturbs no other. They are up only while there is a permit.
    `is_first` and `is_last` tell the parts of one that was cut.
    """

    sessions: Mapping[str, BfdSession]
    is_first: bool = True
    is_last: bool = True


@message(texts)
class Discover(NamedTuple):
    """Find the routers on these links by their Router Advertisements, and tell them of us by ours: on these and no
    others. Idempotent. We say that nobody is to send traffic here by default (router lifetime 0, RFC 4861 §6.2.3).

    `links`: names of interfaces, which may come later. What is heard is told by LinkRouters, and what keeps it from
    being heard. Nothing is sent without a permit.
    """

    links: tuple[str, ...]


@message()
class Stop(NamedTuple):
    """Withdraw everything, say so to members and routers, and end; confirmed right before the end."""


# ---- orders that nobody waits for


@message(number)
class Permit(NamedTuple):
    """Frames may leave while CLOCK_BOOTTIME is before this. 0 = not any more."""

    until: float


@message(number, flag, flag, flag, flag)
class OwnState(NamedTuple):
    """What our heartbeats say of us, for the next three seconds; to be repeated about twice a second, as a permit.

    `contact`: when we last had contact with the API server, or NEVER. `is_serving` is only said while there is a
    permit. A change goes out at once. When this is repeated no more, the wire process says goodbye for us and falls
    silent.
    """

    contact: float
    is_serving: bool
    is_member: bool = True
    is_behind: bool = False
    is_leaving: bool = False


@message(texts, cut="addresses", most=ADDRESSES_PER_PACKET)
class Reannounce(NamedTuple):
    """Announce these again by a burst, those that are announced."""

    addresses: tuple[str, ...]


@message(texts, cut="addresses", most=ADDRESSES_PER_PACKET)
class HandOver(NamedTuple):
    """Another node takes these over: they are answered for by the process alone, and no more by the kernel for it.

    A frozen process answers for none of them then. It holds until the address is announced again, or withdrawn.
    """

    addresses: tuple[str, ...]


@message(text, text)
class Defend(NamedTuple):
    """Send one announcement (RFC 5227 §2.4), if the address is announced there."""

    address: str
    interface: str


@message(text, text, text)
class Ask(NamedTuple):
    """Ask that machine alone whether it uses an address of ours; an answer comes as a Conflict."""

    address: str
    interface: str
    mac: str


@message(texts, flag, cut="addresses", most=ADDRESSES_PER_PACKET)
class AnswerPing(NamedTuple):
    """Answer echo requests for these, those that are announced, on the interfaces where they are; or no more.

    It holds until the address is withdrawn, which ends it, too. What keeps it from being done is told by PingFault.
    """

    addresses: tuple[str, ...]
    is_wanted: bool


ConfirmedOrder = UseInterfaces | Announce | Withdraw | Probe | Heartbeat | Bfd | Discover | Stop
SentOrder = Permit | OwnState | Reannounce | HandOver | Defend | Ask | AnswerPing
Order = ConfirmedOrder | SentOrder


# ---- reports


@message()
class Done(NamedTuple):
    """The order was carried out."""


@message(text)
class Refused(NamedTuple):
    """The order, or part of it, could not be carried out; the message says which part and why."""

    message: str


class Interface(NamedTuple):
    """One network interface as the wire process sees it. `reason` says why it is not usable, and is empty if it is.

    Of a usable one: `networks` that it is on, as 192.0.2.11/24 (an address in it, mostly its own, and the prefix
    length), each with the metric of the kernel's route there by this interface, lower is better; `gateways`, the
    default gateways by it; `ipv6`, whether IPv6 is switched on. Link-local networks and addresses of a host alone (/32,
    /128) are none. IPv4 comes first.

    Of one in use: `kernel_answers`, whether the kernel answers ARP and NDP on it by our program, and `why_not`.
    """

    name: str
    ifindex: int
    mac: str
    up: bool
    usable: bool
    reason: str
    networks: tuple[tuple[str, int], ...] = ()
    gateways: tuple[str, ...] = ()
    ipv6: bool = True
    kernel_answers: bool = False
    why_not: str = ""


_networks = many(row(text, whole))


@message(many(record(Interface, text, whole, text, flag, flag, text, _networks, texts, flag, flag, text)))
class Interfaces(NamedTuple):
    """Every interface, the usable ones first; cut off where it gets long. Told when something of it changed."""

    interfaces: tuple[Interface, ...]


@message(text, text, text)
class Conflict(NamedTuple):
    """Another host claims an address that we announce (RFC 5227 §2.4). Reported at most once a second per address."""

    address: str
    interface: str
    mac: str


@message(text, whole, text, text, flag)
class Answer(NamedTuple):
    """A host used an address that was being probed, or (`is_probe`) probed for it too. Each MAC once in a run."""

    address: str
    run: int
    interface: str
    mac: str
    is_probe: bool


@message(text, whole, whole)
class Probed(NamedTuple):
    """A run of probes is over; all answers were reported before. `sent`: how many frames could be sent."""

    address: str
    run: int
    sent: int


@message(text)
class PingFault(NamedTuple):
    """Why echo requests are not answered though it was ordered, in words; "" = they are, from now on."""

    message: str


_totals = by_name(whole)


@message(by_name(_totals), _totals, _totals, _totals, cut="interfaces", most=ENTRIES_PER_PACKET)
class Counters(NamedTuple):
    """Totals since the wire process started; of all of them, or of some.

    `interfaces`: name -> counter -> total; the counters are received, replies, gratuitous, probes, conflicts, ignored,
    silenced (kept back for want of a permit), failed (the kernel refused to send), dropped (receive buffer full): of
    ARP, and with `ndp_` before the name of NDP. With `ping_` they are of echo requests of both families: received,
    replies, ignored, silenced, failed, and dropped (beyond what is answered in a second).
    `addresses`: address -> replies of this process, only for those that replied since the last report, and not always
    all of them.
    `heartbeats`: packets by what became of them: sent, failed (the kernel refused to send), received (and believed),
    discarded (unread, after a pause of the process), and the kinds of speaker.wire.heartbeat.packets.Dropped.
    `bfd`: packets too: sent, failed, received, and the kinds of speaker.wire.bfd.packets.Discard; empty without BFD.
    """

    interfaces: Mapping[str, Mapping[str, int]]
    addresses: Mapping[str, int]
    heartbeats: Mapping[str, int] = {}
    bfd: Mapping[str, int] = {}


class Member(NamedTuple):
    """Another speaker that is heard now.

    It says of itself: `is_serving` (it announces what it owns), `is_member`, `is_behind` and `is_leaving` (what the
    tiers of ownership ask), `interfaces` on which it can announce, sorted. `contact`: when it last had contact with the
    API server, by the age that its latest packet carried, rather later than earlier; or NEVER. `heard`: when that
    packet came (reports are up to two seconds old). `via`: our interfaces on whose segment it is heard, "" for packets
    sent to our address; sorted. `since`: when it was first heard, without a break since.
    """

    incarnation: str
    interfaces: tuple[str, ...] = ()
    contact: float = 0.0
    heard: float = 0.0
    is_serving: bool = True
    is_member: bool = True
    is_behind: bool = False
    is_leaving: bool = False
    via: tuple[str, ...] = ()
    since: float = 0.0


_member = record(Member, text, texts, number, number, flag, flag, flag, flag, texts, number)


@message(by_name(or_none(_member)), cut="changes", most=ENTRIES_PER_PACKET)
class MemberChanges(NamedTuple):
    """Some of those heard as they are now, by node; None = not heard any more."""

    changes: Mapping[str, Member | None]


@message(by_name(row(number, number)), cut="ages", most=ENTRIES_PER_PACKET)
class AgeChanges(NamedTuple):
    """`contact` and `heard` of some of those heard, by node."""

    ages: Mapping[str, tuple[float, float]]


@message(flag)
class HeartbeatPort(NamedTuple):
    """Another program on this node has the UDP port of the heartbeats, or has it no more. Not told while nobody ever
    had it."""

    is_taken: bool


class BfdState(NamedTuple):
    """How one BFD session stands.

    `state` and `remote_state` are AdminDown, Down, Init or Up. `since`: of the last change of `state`. `has_failed`:
    the path was up and is lost; this is what withdraws routes. It ends when the session is up again, and is never true
    because the peer disabled its session (AdminDown says nothing of the path, RFC 5882 §3.2) or because this node may
    not announce. `reason`: why it went down last, in words. `detect_milliseconds`: after how much silence the peer is
    lost, and `transmit_milliseconds`, how often we send (before jitter), as negotiated; 0 = the peer has not been
    heard. `fault`: why the session cannot run, such as a port in use.
    """

    state: str
    remote_state: str
    since: float
    has_failed: bool
    reason: str
    detect_milliseconds: int
    transmit_milliseconds: int
    fault: str


_bfd_state = record(BfdState, text, text, number, flag, text, whole, whole, text)


@message(by_name(or_none(_bfd_state)), cut="changes", most=ENTRIES_PER_PACKET)
class BfdChanges(NamedTuple):
    """Some of the sessions as they are now, by name; None = there is none of that name any more."""

    changes: Mapping[str, BfdState | None]


class RoutersOn(NamedTuple):
    """The routers that are heard on a link: link-local addresses, the one that was heard first first; 8 at most.

    `fault`: why none can be heard or told of us, such as an interface that is not there; "" = nothing is wrong.
    """

    routers: tuple[str, ...]
    fault: str = ""


@message(by_name(or_none(record(RoutersOn, texts, text))), cut="changes", most=ENTRIES_PER_PACKET)
class LinkRouterChanges(NamedTuple):
    """Some of the links as they are now, by name; None = it is not looked at any more."""

    changes: Mapping[str, RoutersOn | None]


WireReport = (
    Done
    | Refused
    | Interfaces
    | Conflict
    | Answer
    | Probed
    | PingFault
    | Counters
    | MemberChanges
    | AgeChanges
    | HeartbeatPort
    | BfdChanges
    | LinkRouterChanges
)


# ---- reports as the agent's end puts them together


@distinct
class Members(NamedTuple):
    """All other speakers that are heard now, by node.

    Told at once when one is heard, is lost, says goodbye or says something else of itself; also once, mostly empty,
    when heartbeats are configured.
    """

    members: Mapping[str, Member]


@distinct
class Ages(NamedTuple):
    """The same members about every two seconds: nothing is new but `contact` and `heard`."""

    members: Mapping[str, Member]


@distinct
class BfdStates(NamedTuple):
    """All BFD sessions by name, as soon as one of them changed."""

    sessions: Mapping[str, BfdState]


@distinct
class LinkRouters(NamedTuple):
    """The routers on all links where they are looked for, by interface, as soon as one of them changed."""

    links: Mapping[str, RoutersOn]


Report = (
    Interfaces
    | Conflict
    | Answer
    | Probed
    | PingFault
    | Counters
    | HeartbeatPort
    | Members
    | Ages
    | BfdStates
    | LinkRouters
)


def updated(known: Mapping[str, V], changes: Mapping[str, V | None]) -> Mapping[str, V]:
    """A new mapping with the changes; None takes out."""
    merged = dict(known)
    for name, value in changes.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = value
    return merged


def aged(members: Mapping[str, Member], ages: Mapping[str, tuple[float, float]]) -> Mapping[str, Member]:
    """A new mapping with the ages of those that are in it."""
    merged = dict(members)
    for node, (contact, heard) in ages.items():
        if node in merged:
            merged[node] = merged[node]._replace(contact=contact, heard=heard)
    return merged


# ---- from bytes


def decode_order(packet: bytes) -> tuple[int, Order]:
    """The sequence number and the order. Raises MessageError."""
    sequence, message = decode(packet)
    if isinstance(message, Order):
        return sequence, message
    raise MessageError(f"not an order: {type(message).__name__}")


def decode_report(packet: bytes) -> tuple[int, WireReport]:
    """The sequence number and the report. Raises MessageError."""
    sequence, message = decode(packet)
    if isinstance(message, WireReport):
        return sequence, message
    raise MessageError(f"not a report: {type(message).__name__}")
