"""ExaBGP's configuration for one peer: one process holds one session, so no edit of a peer touches another's.

Pure text. Every field is a number, an address, or checked or encoded: nothing that a user writes in a BGPPeer or a
Secret can say anything else than what its field is for. See docs/decisions/007-exabgp-processes.md.
"""

import re
from binascii import b2a_base64
from collections.abc import Iterator
from math import inf

from speaker.bgp.model import PeerConfig

MAX_PASSWORD_BYTES = 80  # TCP_MD5SIG_MAXKEYLEN, linux/tcp.h
GTSM_TTL = 255  # RFC 5082 §3
INTERFACE_NAME = re.compile(r"[A-Za-z0-9_.:@-]{1,15}")
PLAIN_PATH = re.compile(r"[A-Za-z0-9_./+-]+")


class ConfigError(ValueError):
    """The peer can't be configured; the message says why, in words for its owner."""


def configuration(peer: PeerConfig, *, commands_path: str, events_path: str) -> str:
    """The file. The two paths are FIFOs: ExaBGP reads commands from one and writes events to the other, by itself
    (io/changed.py): they stand where a program would, which is not run. Raises ConfigError."""
    check(peer)
    for path in (commands_path, events_path):
        if not PLAIN_PATH.fullmatch(path):
            raise ConfigError(f"the folder for ExaBGP's pipes has characters in its path that can't be used: {path}")
    return "\n".join(
        [
            "process berth {",
            f"    run /bin/sh {commands_path} {events_path};",
            "    encoder json;",
            "}",
            f"neighbor {peer.peer_address} {{",
            *(f"    {line}" for line in _neighbor(peer)),
            "}",
            "",
        ]
    )


def is_same_session(one: PeerConfig, other: PeerConfig) -> bool:
    """Whether a session that was made by one of them is as the other wants it: all that goes into OPEN (RFC 4271 §4.2,
    RFC 5492), into the connection under it, and into every path is equal. What else differs must not end it."""
    is_alike = (one.peer_address, one.own_path) == (other.peer_address, other.own_path)
    has_like_paths = one.is_confederation_member is other.is_confederation_member
    return is_alike and has_like_paths and list(_neighbor(one)) == list(_neighbor(other))


def base64(text: str) -> str:
    """A password as ExaBGP is given it: its strings can't have quotes in them, and base64 has nothing to quote."""
    return b2a_base64(text.encode(), newline=False).decode()


def outlives_seconds(peer: PeerConfig, agreed_hold_seconds: int | None = None) -> float:
    """How long the router may keep our routes if it hears nothing of our end (RFC 4271 §6.5, RFC 4724 §4.2): by the
    hold time that was agreed, or else by the one that we propose. inf: for ever (hold time 0)."""
    hold = peer.hold_time_seconds if agreed_hold_seconds is None else agreed_hold_seconds
    return (hold or inf) + (peer.graceful_restart_seconds or 0)


def check(peer: PeerConfig) -> None:
    """Raises ConfigError for what can't be configured."""
    source = peer.source_address
    if source is not None and source.version != peer.peer_address.version:
        raise ConfigError(f"source address {source} and peer address {peer.peer_address} are of different families")
    if peer.is_passive and source is None:
        raise ConfigError("a passive session needs a source address to listen on")
    for device in (peer.source_interface, peer.vrf):
        if device is not None and not INTERFACE_NAME.fullmatch(device):
            raise ConfigError(f"the name {device} has characters that can't be used in an interface's name here")
    if not peer.families:
        raise ConfigError("no address family is to be exchanged")
    if peer.multihop_ttl is not None and peer.ttl_security is not None:
        raise ConfigError("multihop and TTL security exclude each other")
    if peer.password is not None:
        _check_password(peer.password)
    if peer.peer_address.version == 6 and peer.peer_address.is_link_local and peer.source_interface is None:
        raise ConfigError(f"{peer.peer_address} is link-local, which needs an interface")


def _check_password(password: str) -> None:
    if not password:
        raise ConfigError("the password is empty")
    if len(password.encode()) > MAX_PASSWORD_BYTES:
        raise ConfigError(f"the password is longer than {MAX_PASSWORD_BYTES} bytes (RFC 2385)")


def _neighbor(peer: PeerConfig) -> Iterator[str]:
    yield f"router-id {peer.router_id};"
    yield f"local-address {peer.source_address or 'auto'};"
    yield f"local-as {peer.session_asn};"
    yield f"peer-as {'auto' if peer.peer_asn is None else peer.peer_asn};"
    yield f"hold-time {peer.hold_time_seconds};"
    yield f"passive {'true' if peer.is_passive else 'false'};"
    yield f"{f'listen {peer.listen_port}' if peer.is_passive else f'connect {peer.peer_port}'};"
    yield from _transport(peer)
    # We send End-of-RIB ourselves, when all is sent; what ExaBGP holds it sends again when a session comes back.
    yield "manual-eor true; group-updates true; adj-rib-in false; adj-rib-out true;"
    restart = peer.graceful_restart_seconds
    yield "capability {"
    yield f"    graceful-restart {'disable' if restart is None else restart};"
    yield f"    nexthop {'enable' if peer.offers_ipv6_next_hops else 'disable'};"
    yield "    asn4 enable; route-refresh enable; multi-session disable; operational disable;"
    yield "    extended-message disable; aigp disable; add-path disable; software-version disable;"
    yield "}"
    yield f"family {{ {' '.join(f'{family.lower()} unicast;' for family in sorted(peer.families))} }}"
    if peer.offers_ipv6_next_hops:
        yield "nexthop { ipv4 unicast ipv6; }"
    # Routes that the router sends are not even parsed: nothing asks for them.
    yield "api { processes [ berth ]; neighbor-changes; negotiated;"
    yield "    send { parsed; update; notification; } receive { packets; notification; } }"


def _transport(peer: PeerConfig) -> Iterator[str]:
    if device := peer.source_interface or peer.vrf:  # an interface in a VRF says that itself
        yield f"source-interface {device};"
    if peer.password is not None:
        yield f"md5-password {base64(peer.password)};"
        yield "md5-base64 true;"
    if peer.ttl_security is not None:
        yield f"outgoing-ttl {GTSM_TTL};"
        yield f"incoming-ttl {GTSM_TTL + 1 - peer.ttl_security};"
    elif peer.multihop_ttl is not None:
        yield f"outgoing-ttl {peer.multihop_ttl};"
    elif not peer.is_internal:
        yield "outgoing-ttl 1;"
