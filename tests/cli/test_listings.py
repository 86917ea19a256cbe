"""`berth l2 owners`, `berth bgp peers`, `berth bgp routes` and `berth url`: what they show of a cluster."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from allocator.objects import decode_allocation
from allocator.observed import Observed
from allocator.release.speakers import listed_speaker
from allocator.status.slices import decode_slice
from cli.details import decode_report
from cli.listings import owners, peers, routes, urls
from cli.seen import Seen, World
from crds.names import allocation_name
from kube.informer.store import ObjectKey
from kube.objects import decode_service
from tests.allocator.build import service_body

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


def world(**status: Any) -> World:
    """One node, whose report says this, and records of two addresses."""
    report = {"metadata": {"name": "node1.0"}, "spec": {"node": "node1"}, "status": {"incarnation": "a", **status}}
    speaker = {"metadata": {"name": "node1"}, "status": {"incarnation": "a"}}
    key, raw = ObjectKey(None, "node1.0"), json.dumps(report).encode()
    observed = Observed(
        allocations={ObjectKey(None, allocation_name(one)): _record(one) for one in ("192.0.2.10", "192.0.2.9")},
        speakers={ObjectKey(None, "node1"): listed_speaker(json.dumps(speaker).encode())},
        slices={key: decode_slice(raw)},
    )
    return World(Seen(observed, {}, {"node1.0": decode_report(raw)}, NOW))


def _record(address: str) -> Any:
    spec = {
        "address": address,
        "pool": "edge",
        "holders": [{"namespace": "default", "name": "web", "uid": "u", "ports": [{"protocol": "TCP", "port": 80}]}],
    }
    return decode_allocation(json.dumps({"metadata": {"name": allocation_name(address)}, "spec": spec}).encode())


LAYER2 = {"protocols": ["Layer2"], "interfaces": ["eth0"]}
BGP = {"protocols": ["BGP"], "peers": ["tor1", "tor2"]}


def test_owners_are_those_that_announce_on_layer_2() -> None:
    shown = owners(world(announcements={"192.0.2.10": LAYER2, "192.0.2.9": BGP}))
    assert shown == [{"address": "192.0.2.10", "node": "node1", "interfaces": "eth0", "services": "default/web"}]


def test_routes_are_those_that_were_sent_in_the_order_of_addresses() -> None:
    seen = world(announcements={"192.0.2.10": BGP, "192.0.2.9": BGP})
    assert [(row["address"], row["peers"]) for row in routes(seen)] == [
        ("192.0.2.9", "tor1,tor2"),
        ("192.0.2.10", "tor1,tor2"),
    ]
    assert routes(seen, "node2") == []


def test_sessions_say_since_when_and_why_they_are_down() -> None:
    up = {"peer": "tor1", "address": "192.0.2.1", "state": "Established", "since": "2026-01-01T09:30:00Z"}
    down = {"peer": "tor2", "state": "Active", "lastError": "no route to host", "since": "2025-12-30T11:00:00Z"}
    shown = peers(world(bgpSessions=[down, up], bfdSessions=[{"peer": "tor1", "state": "Up"}]))
    assert [(row["peer"], row["state"], row["for"], row["bfd"], row["error"]) for row in shown] == [
        ("tor1", "Established", "2h30m", "Up", ""),
        ("tor2", "Active", "2d1h", "", "no route to host"),
    ]


@pytest.mark.parametrize(
    ("port", "url"),
    [
        ({"port": 80}, "http://192.0.2.10"),
        ({"port": 443}, "https://192.0.2.10"),
        ({"port": 9000}, "tcp://192.0.2.10:9000"),
        ({"port": 9000, "name": "https"}, "https://192.0.2.10:9000"),
        ({"port": 9000, "name": "http-admin"}, "http://192.0.2.10:9000"),
        ({"port": 9000, "name": "x", "appProtocol": "kubernetes.io/h2c"}, "http://192.0.2.10:9000"),
        ({"port": 53, "protocol": "UDP"}, "udp://192.0.2.10:53"),
    ],
)
def test_a_url_has_the_scheme_of_its_port(port: dict[str, Any], url: str) -> None:
    body = service_body(ingress=["192.0.2.10"])
    body["spec"]["ports"] = [port]
    assert urls(decode_service(json.dumps(body).encode())) == [url]


def test_an_ipv6_address_is_in_brackets() -> None:
    body = service_body(ingress=["2001:db8::1"])
    assert urls(decode_service(json.dumps(body).encode())) == ["http://[2001:db8::1]"]
