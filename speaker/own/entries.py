"""What a speaker says of itself, entry by entry, made from the API's own types (crds.speaker). Pure.

Here alone a fact of this process becomes a part of the object, so no field can be misspelt and no text too long.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from crds import speaker
from crds.addresses import IPAddress
from speaker.own.predecessor import Elsewhere

Entry = dict[str, Any]

MOST_MESSAGE_CHARACTERS = 1024
"""As many as a text in the status may have."""
NAMED_PEERS = 4
"""For each address: the rest is counted, or a slice of the report would have room for few addresses."""
MAC_CHARACTERS = 17
"""Of an Ethernet address (IEEE 802); those of InfiniBand and of tunnels are longer, and nothing is announced there."""


def announcement(
    since: str, *, interfaces: Sequence[str] = (), peers: Iterable[str] = (), paths: Sequence[str] = ()
) -> Entry:
    """An address that is announced: on layer 2 on these interfaces, by BGP to these peers, one at least; `paths`: the
    names of its path attributes (bgp_path).

    A part without a value is null, since a merge patch leaves what it does not name as it was. `since`: RFC 3339.
    Of addresses that are announced alike it is one and the same value, which nobody changes.
    """
    return _announcement(since, tuple(interfaces), tuple(sorted(peers)), tuple(paths))


@lru_cache(maxsize=1024)
def _announcement(since: str, interfaces: tuple[str, ...], peers: tuple[str, ...], paths: tuple[str, ...]) -> Entry:
    named = peers[:NAMED_PEERS]
    protocols = ((speaker.AnnounceProtocol.BGP, named), (speaker.AnnounceProtocol.Layer2, interfaces))
    entry = speaker.Announcement(
        protocols=tuple(protocol for protocol, found in protocols if found),
        interfaces=interfaces,
        peers=named,
        peer_count=len(peers) if len(peers) > len(named) else None,
        paths=paths,
        since=since,
    ).to_wire()
    return {"interfaces": None, "peers": None, "peerCount": None, "paths": None} | {
        name: value for name, value in entry.items() if value
    }


def interface(
    name: str,
    mac: str,
    *,
    up: bool,
    usable: bool,
    reason: str,
    networks: Sequence[str] = (),
    gateways: Sequence[str] = (),
    ipv6: bool | None = None,
    answers: speaker.Answerer | None = None,
    answers_reason: str = "",
) -> Entry:
    """A network interface of the node. `reason`: why it is not usable, or not for IPv6.

    `networks` as 192.0.2.11/24; `ipv6` None = not known; `answers` None = it is not in use.
    """
    entry = speaker.Interface(
        name=name,
        mac=mac if len(mac) == MAC_CHARACTERS else "",
        up=up,
        usable=usable,
        reason=_cut(reason),
        networks=tuple(networks),
        gateways=tuple(gateways),
        ipv6=ipv6,
        answers=answers,
        answers_reason=_cut(answers_reason),
    ).to_wire()
    return {name: value for name, value in entry.items() if value != []}


def interface_in_brief(entry: Entry) -> Entry:
    """The same without the reasons: what other speakers and the allocators need to know."""
    return {name: value for name, value in entry.items() if name not in ("reason", "answersReason")}


def interface_in_report(entry: Entry) -> Entry:
    """The same without what the Speaker says of its networks."""
    return {name: value for name, value in entry.items() if name not in ("networks", "gateways", "ipv6")}


def conflict(
    address: str,
    mac: str,
    interface: str,
    *,
    announced: bool,
    first_seen: str,
    last_seen: str,
    count: int,
    node: str = "",
) -> Entry:
    """Another machine that uses an address of ours. `node`: of our nodes the one whose kernel it is; "" = of none."""
    return speaker.AddressConflict(
        address=address,
        mac=mac,
        interface=interface,
        announced=announced,
        first_seen=first_seen,
        last_seen=last_seen,
        count=count,
        node=node or None,
    ).to_wire()


def kernel_answer(address: str, held_on: str, answers_on: str) -> Entry:
    """An address that the node's kernel answers for by itself."""
    return speaker.KernelAnswer(address=address, held_on=held_on, answers_on=answers_on).to_wire()


def unannounced(address: str, reason: str, message: str) -> Entry:
    """Why no node announces an address."""
    return speaker.Unannounced(address=address, reason=reason, message=_cut(message)).to_wire()


def heard_speaker(node: str, since: str, *, cut_off: bool) -> Entry:
    """Another speaker that is heard."""
    return speaker.HeardSpeaker(node=node, since=since, cut_off=cut_off).to_wire()


def bgp_session(
    peer: str,
    address: IPAddress | None,
    state: speaker.BGPSessionState,
    *,
    since: str | None = None,
    routes_sent: int = 0,
    hold_time_seconds: int | None = None,
    local_address: str = "",
    withdrawals_acknowledged_by: speaker.Acknowledger | None = None,
    withdrawn: Iterable[str] = (),
    routes_kept_until: str | None = None,
    last_error: str = "",
) -> Entry:
    """A session with a BGPPeer, or why there is none. `address` None = unknown. A zone is left out of it."""
    entry = speaker.BGPSession(
        peer=peer,
        address=None if address is None else str(address).partition("%")[0],
        local_address=local_address or None,
        state=state,
        since=since,
        routes_sent=routes_sent,
        hold_time_seconds=hold_time_seconds,
        withdrawals_acknowledged_by=withdrawals_acknowledged_by,
        withdrawn=tuple(withdrawn),
        routes_kept_until=routes_kept_until,
        last_error=_cut(last_error),
    ).to_wire()
    return {key: value for key, value in entry.items() if value != []}


def bgp_path(
    name: str,
    *,
    peers: Sequence[str],
    prefix_length: int | None,
    next_hop: IPAddress | None,
    local_pref: int | None,
    med: int | None,
    prepend: int,
    communities: Sequence[str],
    bandwidth: int | None,
) -> Entry:
    """Path attributes with which routes were sent to these peers: speaker.own.paths.Path. A zone is left out."""
    entry = speaker.BGPPath(
        name=name,
        peers=tuple(peers[: speaker.MOST_PATH_PEERS]),
        peer_count=len(peers) if len(peers) > speaker.MOST_PATH_PEERS else None,
        prefix_length=prefix_length,
        next_hop=None if next_hop is None else str(next_hop).partition("%")[0],
        local_pref=local_pref,
        med=med,
        as_path_prepend=prepend or None,
        communities=tuple(communities[: speaker.MOST_PATH_COMMUNITIES]),
        link_bandwidth=bandwidth,
    ).to_wire()
    return {key: value for key, value in entry.items() if value != []}


def router(address: str, outlives_seconds: int) -> Entry:
    """A router that may have routes of this node, and for how long it may keep them after the speaker's end.

    `address`: with its zone, where it has one."""
    return speaker.RememberedRouter(address=address, outlives_seconds=outlives_seconds).to_wire()


def bfd_session(peer: str, state: str, since: str, *, detect_milliseconds: int, diagnostic: str) -> Entry:
    """A BFD session with a BGPPeer. `detect_milliseconds` 0 = not negotiated yet."""
    return speaker.BFDSession(
        peer=peer,
        state=speaker.BFDSessionState(state),
        since=since,
        detect_time_milliseconds=detect_milliseconds or None,
        diagnostic=_cut(diagnostic),
    ).to_wire()


def fault(of: str, reason: str, message: str) -> Entry:
    """What is wrong with another object. `of`: its kind and name, such as BGPPeer/tor1."""
    return speaker.Fault(object=of, reason=reason, message=_cut(message)).to_wire()


def fencing(witnesses: frozenset[str] | None, fence_after_seconds: int) -> Entry:
    """The promise that it makes; None = it makes none."""
    return speaker.FencingPromise(
        promised=witnesses is not None,
        fence_after_seconds=fence_after_seconds,
        witnesses=tuple(sorted(witnesses or ())),
    ).to_wire()


def elsewhere(one: Elsewhere) -> Entry:
    """A speaker of this node's name on another machine, that may still announce."""
    promise = fencing(one.witnesses, max(1, one.fence_after_seconds))
    return {"machine": one.machine, "fencing": promise, "outlivesSeconds": one.outlives_seconds}


def _cut(text: str) -> str:
    return text[:MOST_MESSAGE_CHARACTERS]
