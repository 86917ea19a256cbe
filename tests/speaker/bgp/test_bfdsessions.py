"""What a BFDProfile asks of the wire process, and what the Speaker says of its sessions."""

from ipaddress import ip_address

import pytest

from crds.addresses import Family
from crds.bfdprofile import BFDProfileSpec
from speaker.bgp.bfdsessions import BfdStatus, failed_peers, session_config, sessions_by_state
from speaker.bgp.model import PeerConfig
from speaker.wire.messages import BfdState


def peer(**fields) -> PeerConfig:
    rest = {
        "name": "tor",
        "my_asn": 64512,
        "peer_asn": 64513,
        "peer_address": ip_address("192.0.2.2"),
        "router_id": ip_address("192.0.2.1"),
        "families": frozenset({Family.IPv4}),
    }
    return PeerConfig(**(rest | fields))


def view(state="Up", **fields) -> BfdState:
    rest = {
        "remote_state": "Up",
        "since": 100.25,
        "has_failed": False,
        "reason": "",
        "detect_milliseconds": 900,
        "transmit_milliseconds": 300,
        "fault": "",
    }
    return BfdState(state=state, **(rest | fields))


class TestConfig:
    def test_every_field_of_a_profile_counts(self):
        fields = {
            "receiveIntervalMilliseconds": 100,
            "transmitIntervalMilliseconds": 200,
            "detectMultiplier": 5,
            "passive": True,
            "minimumTTL": 250,
        }
        assert set(fields) == {field.alias or name for name, field in BFDProfileSpec.model_fields.items()}
        config = session_config(peer(), BFDProfileSpec.model_validate(fields))
        assert config[-5:] == (250, 100, 200, 5, True)

    def test_addresses_and_interface_are_the_peers(self):
        config = session_config(
            peer(
                peer_address=ip_address("fe80::2"),
                source_address=ip_address("fe80::1"),
                source_interface="eth0",
                vrf="red",
            ),
            BFDProfileSpec(),
        )
        assert config[:5] == ("fe80::2", "eth0", "fe80::1", "red", False)

    @pytest.mark.parametrize(
        ("fields", "is_multihop"),
        [({}, False), ({"multihop_ttl": 5}, True), ({"ttl_security": 1}, False), ({"ttl_security": 2}, True)],
    )
    def test_it_is_multihop_where_the_bgp_session_is(self, fields, is_multihop):
        assert session_config(peer(**fields), BFDProfileSpec()).is_multihop is is_multihop


def test_only_failed_paths_take_routes_away():
    views = {"up": view(), "never": view("Down"), "lost": view("Down", has_failed=True)}
    assert failed_peers(views) == {"lost"}


def test_sessions_are_counted_by_state():
    assert sessions_by_state({"a": view(), "b": view(), "c": view("Down")}) == {
        "AdminDown": 0,
        "Down": 1,
        "Init": 0,
        "Up": 2,
    }


class TestStatus:
    def test_an_entry_says_what_there_is_to_say(self):
        (entry,) = BfdStatus().show({"tor": view("Down", reason="nothing was heard")}, boot_time=1_700_000_000)
        assert entry["peer"] == "tor"
        assert entry["state"] == "Down"
        assert entry["since"] == "2023-11-14T22:15:00Z"
        assert entry["detectTimeMilliseconds"] == 900
        assert entry["diagnostic"] == "nothing was heard"

    def test_a_session_that_cannot_run_says_why(self):
        (entry,) = BfdStatus().show({"tor": view("Down", fault="UDP port 3784: in use")}, boot_time=0)
        assert "3784" in entry["diagnostic"]

    def test_what_does_not_change_stays_as_it_was_though_the_clock_is_adjusted(self):
        status = BfdStatus()
        first = status.show({"a": view(), "b": view()}, boot_time=1_700_000_000)
        then = status.show({"a": view(), "b": view(transmit_milliseconds=500)}, boot_time=1_700_000_003)
        assert then == first
        changed = status.show({"a": view(since=101.25), "b": view()}, boot_time=1_700_000_003)
        assert changed[0]["since"] != first[0]["since"]
        assert changed[1] == first[1]

    def test_entries_come_in_order_and_go_with_their_sessions(self):
        status = BfdStatus()
        assert [entry["peer"] for entry in status.show({"b": view(), "a": view()}, boot_time=0)] == ["a", "b"]
        assert [entry["peer"] for entry in status.show({"b": view()}, boot_time=0)] == ["b"]
