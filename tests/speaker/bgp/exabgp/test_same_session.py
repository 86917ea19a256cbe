"""Which differences of a peer's configuration need a new session: every field of PeerConfig is named here."""

from dataclasses import fields, replace
from ipaddress import IPv4Address
from typing import Any

import pytest

from crds.addresses import Family
from speaker.bgp.exabgp.config import is_same_session
from speaker.bgp.model import PeerConfig

PEER = PeerConfig(
    name="tor",
    my_asn=64512,
    peer_asn=64513,
    peer_address=IPv4Address("10.0.0.2"),
    router_id=IPv4Address("10.0.0.1"),
    families=frozenset({Family.IPv4}),
)
WAITED_FOR = {"is_passive": True, "source_address": IPv4Address("10.0.0.1")}
IN_OPEN: dict[str, Any] = {  # RFC 4271 §4.2, RFC 4724 §3, RFC 4760 §8
    "my_asn": 64514,
    "router_id": IPv4Address("10.0.0.9"),
    "hold_time_seconds": 30,
    "families": frozenset(Family),
    "graceful_restart_seconds": 120,
    "local_asn": 65010,
}
CHECKED_IN_OPEN: dict[str, Any] = {"peer_asn": None}
IN_ALL_PATHS: dict[str, Any] = {"is_confederation_member": True}
"""Not in OPEN, but in the path of each route that was sent."""
IN_THE_CONNECTION: dict[str, Any] = {  # RFC 2385, RFC 5082
    "peer_address": IPv4Address("10.0.0.3"),
    "peer_port": 1790,
    "source_address": IPv4Address("10.0.0.1"),
    "source_interface": "eth1",
    "vrf": "red",
    "password": "secret",
    "multihop_ttl": 5,
    "ttl_security": 1,
}
WHO_CONNECTS: dict[str, Any] = {"is_passive": True}
AT_ONCE: dict[str, Any] = {"connect_retry_seconds": 60, "keepalive_seconds": 5}
"""In the attempt under way, or the next one."""
NOT_OF_A_SESSION = {
    "name": "another name is another peer",
    "listen_port": "nothing listens, where we connect; see below",
}
NEW_SESSION = IN_OPEN | CHECKED_IN_OPEN | IN_ALL_PATHS | IN_THE_CONNECTION | WHO_CONNECTS


def test_every_field_is_said_to_need_a_new_session_or_not() -> None:
    said = [*NEW_SESSION, *AT_ONCE, *NOT_OF_A_SESSION]
    assert sorted(said) == sorted(field.name for field in fields(PeerConfig))


@pytest.mark.parametrize("field", NEW_SESSION)
def test_what_was_agreed_or_connected_otherwise_needs_a_new_session(field: str) -> None:
    changed = replace(PEER, **{field: NEW_SESSION[field]})
    assert not is_same_session(PEER, changed)
    assert not is_same_session(changed, PEER)


@pytest.mark.parametrize("field", AT_ONCE)
def test_what_is_no_part_of_the_session_leaves_it_alone(field: str) -> None:
    assert is_same_session(PEER, replace(PEER, **{field: AT_ONCE[field]}))


@pytest.mark.parametrize(
    ("peer", "changes", "is_same"),
    [
        pytest.param(WAITED_FOR, {"listen_port": 1790}, False, id="where a peer is waited for"),
        pytest.param({}, {"listen_port": 1790}, True, id="where nothing listens"),
        pytest.param(WAITED_FOR, {"peer_port": 1790}, True, id="where nothing is connected to"),
    ],
)
def test_what_has_no_effect_on_this_session_leaves_it_alone(
    peer: dict[str, Any], changes: dict[str, Any], is_same: bool
) -> None:
    before = replace(PEER, **peer)
    assert is_same_session(before, replace(before, **changes)) is is_same
