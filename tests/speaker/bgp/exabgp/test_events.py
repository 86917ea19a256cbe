"""ExaBGP's lines and what they mean; notifications in words."""

import json
from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crds.addresses import Family
from speaker.bgp.exabgp import events
from speaker.bgp.exabgp.notifications import MAX_WORDS, describe

V4, V6 = ip_network("10.9.0.1/32"), ip_network("fd09::1/128")


def line(kind: str, **neighbor: Any) -> bytes:
    return json.dumps({"exabgp": "5.0.0", "type": kind, "counter": 1, "neighbor": neighbor}).encode()


@pytest.mark.parametrize(
    ("given_line", "event"),
    [
        (b"done\n", events.Answer(True)),
        (b"error", events.Answer(False)),
        (b"refreshing ipv4\n", events.RefreshSent(Family.IPv4)),
        (b"refreshed ipv6\n", events.RefreshBegun(Family.IPv6)),
        (b"refreshed-all ipv4\n", None),
        (b"costly ipv4\n", events.RefreshCostly(Family.IPv4)),
        (b"costly\n", None),
        (b"end-of-rib ipv6\n", events.RouterEndOfRib(Family.IPv6)),
        (b"end-of-rib l2vpn\n", None),
        (b"unacknowledged 28 \n", events.Unacknowledged(28)),
        (b"unacknowledged 0 Connection refused\n", events.Unacknowledged(0, "Connection refused")),
        (line("state", state="connected"), events.Connected()),
        (line("state", state="up"), events.Up()),
        (line("state", state="down", reason="closing connection"), events.Down("closing connection", False)),
        (
            line("state", state="down", reason="closing connection", address={"local": "10.0.0.1", "peer": "10.0.0.2"}),
            events.Down("closing connection", False, "10.0.0.1"),
        ),
        (
            line("state", state="down", reason="notification received (6,2)"),
            events.Down("notification received (6,2)", True),
        ),
        (
            line(
                "negotiated", asn={"peer": 5}, negotiated={"hold_time": 90, "families": ["ipv4 unicast", "l2vpn vpls"]}
            ),
            events.Negotiated(90, frozenset({Family.IPv4}), 5),
        ),
        (
            line(
                "negotiated",
                negotiated={"hold_time": 9, "families": [], "nexthop": ["ipv4 mpls-vpn ipv6", "ipv4 unicast ipv6"]},
            ),
            events.Negotiated(9, frozenset(), ipv6_next_hops=True),
        ),
        (
            line(
                "update",
                direction="send",
                message={
                    "update": {
                        "attribute": {"med": 5},
                        "announce": {"ipv6 unicast": {"fd00::1": [{"nlri": "fd09::1/128"}]}},
                        "withdraw": {"ipv4 unicast": [{"nlri": "10.9.0.1/32"}]},
                    }
                },
            ),
            events.Sent((V6,), (V4,)),
        ),
        (
            line("update", direction="send", message={"eor": {"afi": "ipv6", "safi": "unicast"}}),
            events.EndOfRib(Family.IPv6),
        ),
        (
            line("notification", direction="send", notification={"code": 6, "subcode": 2, "data": "0x05746F756368"}),
            events.Notified("cease: administrative shutdown (6/2): touch", False),
        ),
        (
            line("notification", direction="receive", message={"category": 3, "header": "0x00", "body": "0x0202"}),
            events.Notified("OPEN message error: bad peer AS (2/2)", True),
        ),
        (
            line("notification", direction="receive", message={"body": "0x0602" + "03" + b"moving".hex()}),
            events.Notified("cease: administrative shutdown (6/2): mov", True),
        ),
        (b'{ "type": "notification", "notification": "shutdown" }', events.Ended()),
    ],
)
def test_a_line_means(given_line: bytes, event: events.Event) -> None:
    assert events.parse(given_line) == event


def test_a_peer_of_unknown_as_is_written_as_python_would() -> None:
    written = b'{ "type": "state", "neighbor": { "asn": { "local": 1, "peer": None }, "state": "up" } }'
    assert events.parse(written) == events.Up()


@pytest.mark.parametrize(
    "junk",
    [
        b"",
        b"\xff\xfe",
        b"{",
        b"[1]",
        b"{}",
        b"[" * 100_000,
        b'{"type": 5}',
        b"unacknowledged x",
        b"unacknowledged " + b"1" * 5000,
        line("state", state=5),
        line("notification", direction="receive", message={"body": "0xzz"}),
        line("notification", direction="receive", message={"body": "0x06"}),
        line("update", direction="send", message={"update": {"withdraw": {"ipv4 unicast": [{"nlri": "junk"}]}}}),
        line("update", direction="receive", message={"update": {}}),
    ],
)
def test_junk_means_nothing(junk: bytes) -> None:
    assert events.parse(junk) is None


@given(st.binary() | st.text().map(str.encode))
def test_no_line_raises(junk: bytes) -> None:
    events.parse(junk)
    events.parse(b"{" + junk)
    events.parse(b"unacknowledged " + junk)
    events.parse(line("notification", direction="receive", message={"body": junk.hex()}))


@pytest.mark.parametrize(
    ("code", "subcode", "body", "words"),
    [
        (4, 0, b"", "hold timer expired (4/0)"),
        (6, 10, b"", "cease: BFD down (6/10)"),
        (6, 9, b"\x06\x02", "cease: hard reset (6/9)"),
        (6, 2, b"\x00", "cease: administrative shutdown (6/2)"),
        (6, 4, b"\x09two\nlines", "cease: administrative reset (6/4): two lines"),
        (6, 2, b"\xffshort", "cease: administrative shutdown (6/2): short"),
        (9, 9, b"", "unknown error (9/9)"),
    ],
)
def test_a_notification_in_words(code: int, subcode: int, body: bytes, words: str) -> None:
    assert describe(code, subcode, body) == words


@given(st.binary(max_size=300))
def test_what_a_router_wrote_is_short_and_printable(body: bytes) -> None:
    words = describe(6, 2, body)
    assert words.isprintable()
    assert len(words) < MAX_WORDS + 60
