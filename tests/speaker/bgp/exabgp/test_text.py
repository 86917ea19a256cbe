"""What ExaBGP is told: its configuration and its commands; ExaBGP's own parser is the judge of the former."""

import subprocess
import sys
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crds.addresses import Family
from speaker.bgp.exabgp import commands
from speaker.bgp.exabgp.config import ConfigError, base64, configuration
from speaker.bgp.exabgp.ribout import draining
from speaker.bgp.model import GRACEFUL_SHUTDOWN, PeerConfig, Route

V4, V6 = ip_network("10.9.0.1/32"), ip_network("fd09::1/128")
PEER = PeerConfig(
    name="tor",
    my_asn=64512,
    peer_asn=64513,
    peer_address=IPv4Address("10.0.0.2"),
    router_id=IPv4Address("10.0.0.1"),
    families=frozenset(Family),
)


def text(**changes: Any) -> str:
    return configuration(replace(PEER, **changes), commands_path="/run/bgp/commands", events_path="/run/bgp/events")


@pytest.mark.parametrize(
    ("changes", "lines"),
    [
        ({}, ["local-as 64512;", "peer-as 64513;", "outgoing-ttl 1;", "connect 179;", "local-address auto;"]),
        ({"peer_asn": None}, ["peer-as auto;"]),
        ({"my_asn": 4200000000}, ["local-as 4200000000;"]),
        ({"hold_time_seconds": 0}, ["hold-time 0;"]),
        ({"keepalive_seconds": 5}, ["hold-time 90;"]),
        ({"multihop_ttl": 5}, ["outgoing-ttl 5;"]),
        ({"ttl_security": 2}, ["outgoing-ttl 255;", "incoming-ttl 254;"]),
        ({"password": "a b"}, ["md5-password YSBi;", "md5-base64 true;"]),
        ({"graceful_restart_seconds": 120}, ["graceful-restart 120;"]),
        ({"families": frozenset({Family.IPv6})}, ["family { ipv6 unicast; }"]),
        ({}, ["nexthop disable;"]),
        ({"peer_address": IPv6Address("fd00::2")}, ["nexthop enable;", "nexthop { ipv4 unicast ipv6; }"]),
        (
            {"peer_address": IPv6Address("fd00::2"), "families": frozenset({Family.IPv6})},
            ["nexthop disable;"],
        ),
        ({"source_interface": "eth0.5", "peer_port": 1790}, ["source-interface eth0.5;", "connect 1790;"]),
        (
            {"is_passive": True, "source_address": IPv4Address("10.0.0.1")},
            ["passive true;", "listen 179;", "local-address 10.0.0.1;"],
        ),
    ],
)
def test_each_setting_is_written(changes: dict[str, Any], lines: list[str]) -> None:
    written = text(**changes)
    assert [line for line in lines if line not in written] == []


def test_internal_peers_have_an_ordinary_ttl() -> None:
    assert "ttl" not in text(peer_asn=64512)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"password": ""}, "empty"),
        ({"password": "x" * 81}, "longer than 80 bytes"),
        ({"families": frozenset()}, "no address family"),
        ({"source_interface": "eth0; }"}, "characters"),
        ({"source_address": IPv6Address("fd00::1")}, "different families"),
        ({"is_passive": True}, "source address to listen on"),
        ({"multihop_ttl": 2, "ttl_security": 1}, "exclude each other"),
        ({"peer_address": IPv6Address("fe80::1")}, "needs an interface"),
    ],
)
def test_what_cannot_be_is_refused_in_words(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        text(**changes)


def test_a_folder_with_odd_characters_is_refused() -> None:
    with pytest.raises(ConfigError, match="can't be used"):
        configuration(PEER, commands_path="/run/a b/commands", events_path="/run/a b/events")


@settings(deadline=None)
@given(st.text(min_size=1, max_size=20))
def test_no_password_can_say_anything_else(password: str) -> None:
    assert not set(base64(password)) & set("'\";{}[]#\\ \n")


@pytest.mark.lab
@pytest.mark.parametrize(("theirs", "ours"), [("10.0.0.2", "10.0.0.1"), ("fd00::2", "fd00::1")])
def test_exabgp_takes_every_setting(tmp_path: Path, theirs: str, ours: str) -> None:
    changes: dict[str, Any] = {
        "peer_address": ip_address(theirs),
        "password": """it's "so"; }""",
        "ttl_security": 1,
        "graceful_restart_seconds": 4095,
        "source_interface": "eth0",
        "source_address": ip_address(ours),
        "keepalive_seconds": 1,
    }
    path = tmp_path / "exabgp.conf"
    path.write_text(text(**changes))
    done = subprocess.run(
        [sys.executable, "-m", "exabgp", "validate", str(path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


EXTERNAL, INTERNAL, MEMBER = PEER, replace(PEER, peer_asn=64512), replace(PEER, is_confederation_member=True)
IN_OCTETS = "attribute [ 0x02 0x40 0x03010000fc00 ]"
"""AS_PATH: an AS_CONFED_SEQUENCE (3) of one number, 64512."""


@pytest.mark.parametrize(
    ("route", "peer", "line"),
    [
        (Route(V4), EXTERNAL, "announce attributes next-hop self nlri 10.9.0.1/32"),
        (Route(V6, next_hop=IPv6Address("fd00::1")), EXTERNAL, "announce attributes next-hop fd00::1 nlri fd09::1/128"),
        (Route(V4, local_pref=0), INTERNAL, "announce attributes next-hop self local-preference 0 nlri 10.9.0.1/32"),
        (Route(V4, local_pref=9), EXTERNAL, "announce attributes next-hop self nlri 10.9.0.1/32"),
        (Route(V4, prepend=1), EXTERNAL, "announce attributes next-hop self as-path [ 64512 64512 ] nlri 10.9.0.1/32"),
        (Route(V4, prepend=1), INTERNAL, "announce attributes next-hop self nlri 10.9.0.1/32"),
        (
            Route(V4, med=0, communities=((9, 0), (1, 2)), large_communities=((4, 1, 2),)),
            EXTERNAL,
            "announce attributes next-hop self med 0 community [ 9:0 1:2 ] large-community [ 4:1:2 ] nlri 10.9.0.1/32",
        ),
        (
            Route(V4, link_bandwidth=1e6),
            EXTERNAL,
            "announce attributes next-hop self extended-community [ bandwidth:64512:1000000 ] nlri 10.9.0.1/32",
        ),
        (
            Route(V4, local_pref=9, med=1, prepend=2),
            MEMBER,
            f"announce attributes next-hop self local-preference 9 med 1 {IN_OCTETS} nlri 10.9.0.1/32",
        ),
        (Route(V4, prepend=2), MEMBER, f"announce attributes next-hop self {IN_OCTETS} nlri 10.9.0.1/32"),
    ],
)  # fmt: skip
def test_a_route_in_words(route: Route, peer: PeerConfig, line: str) -> None:
    assert [said for said, _ in commands.announcements([route], peer)] == [line]


def test_a_members_number_has_four_octets() -> None:
    assert commands.confederation_path(4200000002) == "attribute [ 0x02 0x40 0x0301fa56ea02 ]"


def test_routes_with_the_same_attributes_share_lines() -> None:
    many = [Route(ip_network((0x0A000000 + number, 32)), med=number % 2) for number in range(200)]
    lines = list(commands.announcements(many, PEER))
    assert [len(prefixes) for _, prefixes in lines] == [64, 36, 64, 36]
    assert {prefix for _, prefixes in lines for prefix in prefixes} == {route.prefix for route in many}


def test_withdrawals_are_by_family() -> None:
    lines = [line for line, _ in commands.withdrawals({V4, V6})]
    assert lines == [
        "withdraw attributes next-hop 0.0.0.0 nlri 10.9.0.1/32",
        "withdraw attributes next-hop :: nlri fd09::1/128",
    ]


def test_a_draining_route_is_the_last_to_be_preferred() -> None:
    route = draining(Route(V4, local_pref=100, communities=((1, 2),)), is_interior=True)
    assert route.communities == ((1, 2), GRACEFUL_SHUTDOWN)
    assert route.local_pref == 0
    assert draining(Route(V4), is_interior=False).local_pref is None
