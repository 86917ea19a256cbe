"""Whatever an object says in any of its fields, nothing ends, and what others are served by stays.

Each field of an ordinary object in turn says each of the things that a text, a number or a list can be at worst. What a
decoder refuses never reaches the core; all the rest does, here.
"""

import copy
import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from _pytest.mark.structures import ParameterSet

from speaker.cluster.state import Kind
from speaker.io.watches import WATCHED
from speaker.phases import Phase
from speaker.wire.codec import packets
from speaker.wire.messages import Order, decode_order
from tests.speaker.cores import World
from tests.speaker.make import raw, speaker

ADDRESS = "192.0.2.1"
STRANGE: list[Any] = [
    "", "a" * 100_000, "\0", "\ud7ff\n; announce", "10.0.0.1", "2001:db8::1%" + "z" * 5000, "fe80::1%é", "fe80::1",
    "::ffff:10.0.0.1", "0.0.0.0", "٣.٣.٣.٣", "٣:٣", "65536:1", "large:1:2:4294967296", "1" * 5000 + ":1",
    "/((\\w+)+)+-/", "/ens[0-9]{1,4294967295}/", "[" * 128, "*" * 128, "eth0", "external", "node-a", "2026-11-27",
    0, -1, 1, 65536, 2**31, 2**63 - 1, 2**63, 10**400, 1e308, 0.5, True, None, [], {}, [None], {"": ""},
    ["eth0"] * 3000, ["eth0", "eth0"], [{}] * 3000,
]  # fmt: skip

META = {"name": "x", "uid": "u", "generation": 1, "labels": {"a": "b"}}
SELECTOR = {"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]}
ADVERTISEMENT = {"ipPools": ["edge"], "ipPoolSelector": SELECTOR, "serviceSelector": SELECTOR, "nodeSelector": SELECTOR}
HOLDER = {"namespace": "default", "name": "web", "labels": {"a": "b"}}
INTERFACE = {"name": "eth0", "mac": "02:00:00:00:00:07", "up": True, "usable": True}
CONDITION = {"type": "Ready", "status": "True"}
ENDPOINT = {"nodeName": "node-b", "conditions": {"ready": True, "serving": True, "terminating": False}}
PEER = {
    "myASN": 64512,
    "peerASN": 64513,
    "peerAddress": "10.0.0.9",
    "peerPort": 179,
    "sourceAddress": "10.0.0.1",
    "routerID": "10.0.0.1",
    "holdTimeSeconds": 90,
    "keepaliveTimeSeconds": 30,
    "connectRetrySeconds": 10,
    "passive": False,
    "passwordSecretRef": {"name": "s", "key": "password"},
    "ttlSecurity": 1,
    "gracefulRestart": {"restartTimeSeconds": 120},
    "bfdProfile": "fast",
    "nodeSelector": {"matchLabels": {}},
    "families": ["IPv4", "IPv6"],
}
ORDINARY: dict[Kind, dict[str, Any]] = {
    Kind.ALLOCATION: {
        "metadata": META | {"name": "v4-203-0-113-9"},
        "spec": {"address": "203.0.113.9", "pool": "edge", "holders": [HOLDER], "trafficPolicy": "Local"},
        "status": {"announcedBy": ["node-b"], "firstAnnounced": "2026-11-27T00:00:00Z"},
    },
    Kind.SLICE: {
        "metadata": META | {"namespace": "default", "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4",
        "endpoints": [ENDPOINT],
    },
    Kind.NODE: {
        "metadata": META,
        "spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]},
        "status": {"conditions": [CONDITION], "addresses": [{"type": "InternalIP", "address": "10.0.0.3"}]},
    },
    Kind.SPEAKER: {
        "metadata": META,
        "status": {
            "incarnation": "i",
            "goodbye": False,
            "standing": "Member",
            "interfaces": [INTERFACE],
            "conditions": [CONDITION],
        },
    },
    Kind.POOL: {"metadata": META, "spec": {"duplicateAddressDetection": True}},
    Kind.L2_ADVERTISEMENT: {"metadata": META, "spec": {"interfaces": ["eth0"], **ADVERTISEMENT}},
    Kind.BGP_PEER: {"metadata": META, "spec": PEER},
    Kind.BGP_ADVERTISEMENT: {
        "metadata": META,
        "spec": {"communities": ["64512:100"], "peers": ["tor"], "aggregationLength": 24, "med": 1, **ADVERTISEMENT},
    },
    Kind.COMMUNITY: {"metadata": META, "spec": {"communities": [{"name": "gold", "value": "64512:100"}]}},
    Kind.BFD_PROFILE: {"metadata": META, "spec": {"receiveIntervalMilliseconds": 300, "minimumTTL": 254}},
}
MOVES_ADDRESSES = (Kind.L2_ADVERTISEMENT,)
"""What they say can well decide who owns the address that is served."""


class Wired(World):
    """Its wire process gets the orders as packets."""

    def _order(self, order: Order) -> None:
        for _, packet in packets(order, itertools.count(1)):
            decode_order(packet)
        super()._order(order)


def places(value: Any, *path: str | int) -> Iterator[tuple[str | int, ...]]:
    """Every field and every item, however deep."""
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, *path, key)


def strange_forms(ordinary: dict[str, Any], path: tuple[str | int, ...]) -> Iterator[dict[str, Any]]:
    """The object with each strange thing in that place; and with thousands of what is there, if it is a list."""
    present: Any = ordinary
    for key in path:
        present = present[key]
    for value in [*STRANGE, *([present * 3000] if isinstance(present, list) else [])]:
        made: Any = copy.deepcopy(ordinary)
        at = made
        for key in path[:-1]:
            at = at[key]
        at[path[-1]] = value
        yield made


def watched() -> Iterator[ParameterSet]:
    """Every kind; all but one take too long for `make check`."""
    for kind, _, decode in WATCHED:
        yield pytest.param(kind, decode, id=kind.value, marks=[] if kind is Kind.NODE else [pytest.mark.slow])


@pytest.mark.parametrize(("kind", "decode"), list(watched()))
def test_no_object_of_any_kind_ends_a_speaker_or_takes_what_it_serves(kind: Kind, decode: Any) -> None:
    world = Wired("node-b", "node-c")
    for number in range(1, 9):
        world.allocate(f"192.0.2.{number}")
    world.run(3.0)
    served = world.answers
    assert served
    assert decode(raw(**ORDINARY[kind])) is not None
    for path in places(ORDINARY[kind]):
        names = []
        for number, made in enumerate(strange_forms(ORDINARY[kind], path)):
            try:
                seen = decode(raw(**made))
            except ValueError:
                continue
            names.append(f"x{number}")
            world.observe(kind, names[-1], seen)
            if kind is Kind.NODE:  # heartbeats go to it
                world.observe(Kind.SPEAKER, names[-1], speaker())
        world.run(1.0)
        assert world.core.phase is Phase.SERVING, path
        if kind not in MOVES_ADDRESSES:
            assert world.answers >= served, path
        for name in names:
            world.observe(kind, name, None)
            world.observe(Kind.SPEAKER, name, None)
    world.run(1.0)
    assert world.answers == served
