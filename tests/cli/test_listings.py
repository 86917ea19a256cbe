"""`berth l2 owners`, `berth bgp peers`, `berth bgp routes` and `berth url`: what they show of a cluster."""

import asyncio
import json
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest

from allocator.objects import decode_allocation
from allocator.observed import Observed
from allocator.release.speakers import listed_speaker
from allocator.status.slices import decode_slice
from cli.__main__ import main
from cli.details import decode_report, decode_routes
from cli.listings import owners, peers, urls
from cli.routes import router_view, routes
from cli.seen import Seen, World
from crds.names import allocation_name
from kube.framing import Page
from kube.informer.store import ObjectKey
from kube.io.client import Client
from kube.objects import decode_service
from kube.resource import Resource
from tests.allocator.build import service_body
from tests.cli.setups import Setup

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


def report(incarnation: str = "a", **status: Any) -> dict[str, Any]:
    """A slice of node1."""
    return {"metadata": {"name": "node1.0"}, "spec": {"node": "node1"}, "status": {"incarnation": incarnation} | status}


def told(*reports: dict[str, Any]) -> Any:
    """As they are read for routes."""
    return {str(number): decode_routes(json.dumps(one).encode()) for number, one in enumerate(reports)}


def world(**status: Any) -> World:
    """One node, whose report says this, and records of two addresses."""
    speaker = {"metadata": {"name": "node1"}, "status": {"incarnation": "a"}}
    key, raw = ObjectKey(None, "node1.0"), json.dumps(report(**status)).encode()
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
    assert [(row["address"], row["peers"]) for row in routes(seen, {})] == [
        ("192.0.2.9", "tor1,tor2"),
        ("192.0.2.10", "tor1,tor2"),
    ]
    assert routes(seen, {}, "node2") == []


PATHS: list[dict[str, Any]] = [
    {"name": "a", "peers": ["tor1"], "med": 7, "asPathPrepend": 2, "communities": ["64512:100", "large:64512:1:2"]},
    {"name": "b", "peers": ["tor2"], "nextHop": "192.0.2.101", "localPref": 0, "prefixLength": 24},
]
SESSIONS = [
    {"peer": "tor1", "state": "Established", "localAddress": "198.51.100.9", "withdrawn": ["192.0.2.77/32"]},
    {"peer": "tor2", "state": "Established", "localAddress": "198.51.100.10"},
]


def test_a_route_has_a_line_for_each_way_in_which_it_was_sent() -> None:
    said = {"announcements": {"192.0.2.9": BGP | {"paths": ["a", "b"]}, "192.0.2.10": BGP | {"paths": ["gone"]}}}
    slices = report(**said), report(bgpPaths=PATHS, bgpSessions=SESSIONS), report("former", bgpPaths=[{"name": "gone"}])
    first, second, untold = routes(world(**said), told(*slices))
    assert first == {
        "node": "node1",
        "address": "192.0.2.9",
        "route": "192.0.2.9/32",
        "next hop": "198.51.100.9",
        "local pref": "",
        "med": 7,
        "prepends": 2,
        "communities": "64512:100,large:64512:1:2",
        "bandwidth": "",
        "peers": "tor1",
    }
    assert (second["route"], second["next hop"], second["local pref"], second["peers"]) == (
        "192.0.2.0/24",
        "192.0.2.101",
        0,
        "tor2",
    )
    assert (untold["address"], untold["next hop"], untold["peers"]) == ("192.0.2.10", "", "tor1,tor2")


def test_a_prefix_that_can_not_be_is_shown_as_its_address() -> None:
    said = {"announcements": {"192.0.2.9": BGP | {"paths": ["a"]}}}
    (row,) = routes(world(**said), told(report(**said, bgpPaths=[{"name": "a", "prefixLength": 64}])))
    assert (row["route"], row["next hop"], row["peers"]) == ("192.0.2.9", "self", "tor1,tor2")


def test_the_view_of_routers_has_a_line_for_each_route_of_each_session_and_what_is_not_withdrawn_yet() -> None:
    said = {"announcements": {one: BGP | {"paths": ["a", "b"]} for one in ("192.0.2.9", "192.0.2.10")}}
    lost = {"peer": "tor3", "state": "Connect", "routesKeptUntil": "2026-01-01T12:01:00Z"}
    shown = router_view(world(**said), told(report(**said, bgpPaths=PATHS, bgpSessions=[*SESSIONS, lost])))
    assert [(row["peer"], row["route"], row["state"]) for row in shown] == [
        ("tor1", "192.0.2.9/32", "sent"),
        ("tor1", "192.0.2.10/32", "sent"),
        ("tor1", "192.0.2.77/32", "withdrawn, not acknowledged"),
        ("tor2", "192.0.2.0/24", "sent"),  # an aggregate, once
        ("tor3", "", "no session; may keep routes until 2026-01-01T12:01:00Z"),
    ]


@pytest.mark.slow
@pytest.mark.asyncio(loop_scope="module")
async def test_routes_take_one_list_of_each_kind(
    setup: Setup, kubeconfig: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    read: Counter[str] = Counter()
    list_page = Client.list_page

    async def counted(self: Client, res: Resource, **where: Any) -> Page:
        read[res.full_name] += 1
        return await list_page(self, res, **where)

    monkeypatch.setattr(Client, "list_page", counted)
    await setup.report("node1", announcements={"192.0.2.9": BGP | {"paths": ["a"]}}, bgpPaths=PATHS[:1])
    assert await asyncio.to_thread(main, ["bgp", "routes", "--kubeconfig", kubeconfig]) == 0
    assert "192.0.2.9/32" in capsys.readouterr().out
    assert read["speakerreports.berth.dev"] == 1
    assert set(read.values()) == {1}


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
