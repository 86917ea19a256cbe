"""An IPAllocation as the allocator decodes it is the one that the full type decodes, and neither takes what is none."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allocator.claims import claim_from
from allocator.objects import decode_allocation
from crds.addresses import plain_address
from crds.names import allocation_name
from crds.types import IPAllocation

NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=12)
LABELS = st.dictionaries(NAMES, NAMES, max_size=2)
PORTS = st.fixed_dictionaries({"port": st.integers(1, 65535)}, optional={"protocol": st.sampled_from(["TCP", "SCTP"])})
HOLDERS = st.fixed_dictionaries(
    {"namespace": NAMES, "name": NAMES, "uid": NAMES},
    optional={
        "ports": st.lists(PORTS, max_size=3),
        "labels": LABELS,
        "healthCheckNodePort": st.one_of(st.none(), st.integers(1, 65535)),
        "node": st.one_of(st.none(), NAMES),
    },
)
CONDITIONS = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["Announced", "Withdrawn"]),
        "status": st.sampled_from(["True", "False", "Unknown"]),
        "reason": NAMES,
        "lastTransitionTime": st.just("2026-01-02T03:04:05Z"),
    },
    optional={"message": st.text(max_size=5), "observedGeneration": st.integers(0, 1 << 40)},
)
ADDRESSES = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str).filter(plain_address)
SPECS = st.fixed_dictionaries(
    {"address": ADDRESSES, "pool": NAMES, "holders": st.lists(HOLDERS, max_size=3)},
    optional={
        "trafficPolicy": st.sampled_from(["Cluster", "Local"]),
        "sharingKey": st.one_of(st.none(), NAMES),
        "selector": LABELS,
        "external": st.one_of(st.none(), st.booleans()),
        "releasing": st.booleans(),
        "unknown": st.just({"of": ["a later version"]}),
    },
)
STATUSES = st.fixed_dictionaries(
    {},
    optional={
        "announcedBy": st.lists(NAMES, max_size=3),
        "announcerCount": st.integers(0, 500),
        "conditions": st.lists(CONDITIONS, max_size=2),
        "firstAnnounced": st.one_of(st.none(), st.just("2026-01-02T03:04:05Z")),
        "nodes": NAMES,
    },
)


def encoded(spec: Any, status: Any = None) -> bytes:
    name = allocation_name(spec["address"])
    meta = {"name": name, "uid": "u-1", "resourceVersion": "7", "generation": 3}
    return json.dumps({"metadata": meta, "spec": spec, "status": {} if status is None else status}).encode()


def one(**changes: Any) -> dict[str, Any]:
    holder = {"namespace": "default", "name": "web", "uid": "1", "ports": [{"port": 80}]}
    return {"address": "192.0.2.1", "pool": "edge", "holders": [holder], **changes}


@given(spec=SPECS, status=STATUSES)
def test_it_says_what_the_full_type_says(spec: dict[str, Any], status: dict[str, Any]) -> None:
    raw = encoded(spec, status)
    full, stored = IPAllocation.decode(raw), decode_allocation(raw)
    address = plain_address(spec["address"])
    assert address is not None
    assert stored.claim == claim_from(address, full.spec)
    assert (stored.uid, stored.resource_version, stored.generation) == ("u-1", 7, 3)
    assert stored.conditions == full.status.conditions
    assert stored.announced_by == full.status.announced_by
    assert (stored.announcer_count, stored.first_announced) == (
        full.status.announcer_count,
        full.status.first_announced,
    )


HOLDER = one()["holders"][0]
CONDITION = {"type": "Announced", "status": "True", "reason": "x", "lastTransitionTime": "2026-01-02T03:04:05Z"}


@pytest.mark.parametrize(
    ("spec", "status"),
    [
        (one(pool=None), {}),
        (one(pool=7), {}),
        (one(holders=None), {}),
        (one(holders=[{**HOLDER, "uid": None}]), {}),
        (one(holders=[{"namespace": "default", "name": "web"}]), {}),
        (one(holders=[{**HOLDER, "ports": [{"port": 0}]}]), {}),
        (one(holders=[{**HOLDER, "ports": [{"port": 65536}]}]), {}),
        (one(holders=[{**HOLDER, "ports": [{"port": 80, "protocol": "ICMP"}]}]), {}),
        (one(holders=[{**HOLDER, "labels": {"a": 1}}]), {}),
        (one(holders=[{**HOLDER, "healthCheckNodePort": 0}]), {}),
        (one(trafficPolicy="Nearest"), {}),
        (one(releasing="perhaps"), {}),
        (one(releasing=None), {}),
        (one(), {"announcedBy": "node1"}),
        (one(), {"announcerCount": -1}),
        (one(), {"conditions": None}),
        (one(), {"conditions": [{**CONDITION, "status": "Perhaps"}]}),
        (one(), {"conditions": [{**CONDITION, "lastTransitionTime": None}]}),
    ],
)
def test_neither_takes_what_is_none(spec: dict[str, Any], status: dict[str, Any]) -> None:
    for decode in (IPAllocation.decode, decode_allocation):
        with pytest.raises(ValueError, match=r".+"):
            decode(encoded(spec, status))
