"""Whatever a Service says in any of its fields, the others are served as before, and nothing ends.

Each field of an ordinary Service in turn says each of the things that a text, a number or a list can be at worst. A
real API server refuses most of that; what it takes differs from release to release.
"""

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest

from crds.names import ANNOTATION_IPS, ANNOTATION_POOL, ANNOTATION_SHARING_KEY, allocation_name
from crds.observation import MESSAGE_LIMIT
from crds.schema import object_schema
from crds.types import IPAllocation
from kube.objects import ServiceKey, decode_service
from lab.apiserver.schema.compiled import CompiledSchema
from tests.allocator.build import service_body
from tests.allocator.fakeapi import WEB, FakeApi, settled

STRANGE: list[Any] = [
    "", "a" * 100_000, "\0", "\ud7ff", "10.0.0.1", "192.0.2.11", "192.0.2.10", "fe80::1%" + "z" * 5000,
    "::ffff:10.0.0.1", "٣.٣.٣.٣", "192.0.2.11,192.0.2.12", ",", "," * 100_000, "LoadBalancer", "External",
    "IPv6", "edge", "RequireDualStack", 0, -1, 1, 65536, 2**63 - 1, 2**63, 10**400, 1e308, 0.5, True, None,
    [], {}, [None], {"": ""}, ["IPv4"] * 3000, [{}] * 3000,
]  # fmt: skip


SCHEMA = CompiledSchema(object_schema(IPAllocation))


def ordinary() -> dict[str, Any]:
    made = service_body(
        "strange",
        annotations={ANNOTATION_IPS: "192.0.2.11", ANNOTATION_POOL: "edge", ANNOTATION_SHARING_KEY: "k"},
        labels={"a": "b"},
        ingress=["192.0.2.11"],
        loadBalancerIP="192.0.2.11",
        clusterIPs=["10.96.0.1"],
        healthCheckNodePort=30000,
        externalTrafficPolicy="Local",
    )
    condition = {"type": "berth.dev/Allocated", "status": "True", "reason": "Allocated", "message": "m"}
    made["status"]["conditions"] = [condition | {"lastTransitionTime": "2026-01-01T00:00:00Z"}]
    return made


def places(value: Any, *path: str | int) -> Iterator[tuple[str | int, ...]]:
    """Every field and every item, however deep, but for what names the Service."""
    if path and path[-1] not in ("metadata", "name", "namespace", "uid", "resourceVersion"):
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, *path, key)


def strange_forms(path: tuple[str | int, ...]) -> Iterator[dict[str, Any]]:
    """With each strange thing in that place; and with thousands of what is there, if it is a list."""
    present: Any = ordinary()
    for key in path:
        present = present[key]
    for value in [*STRANGE, *([present * 5000] if isinstance(present, list) else [])]:
        made: Any = copy.deepcopy(ordinary())
        at = made
        for key in path[:-1]:
            at = at[key]
        at[path[-1]] = value
        yield made


def is_a_service(body: dict[str, Any]) -> bool:
    """Whether it decodes, and has what an API server always gives it."""
    try:
        decode_service(json.dumps(body).encode())
    except ValueError:
        return False
    return "type" in body["spec"] and isinstance(body["status"].get("loadBalancer", {}), dict)


def is_refused(spec: dict[str, Any]) -> bool:
    """By the schema of IPAllocations."""
    name = allocation_name(spec["address"])
    record = {"metadata": {"name": name}, "kind": "IPAllocation", "apiVersion": "berth.dev/v1beta1", "spec": spec}
    return bool(SCHEMA.validate(copy.deepcopy(record), None))


@pytest.mark.slow
def test_no_service_ends_an_allocator_or_takes_what_another_one_has() -> None:
    api = FakeApi(refuses=is_refused)
    one = settled(api, "web")
    served, strange = api.ingress(WEB), ServiceKey("default", "strange")
    tried = 0
    for path in places(ordinary()):
        for body in strange_forms(path):
            if not is_a_service(body):
                continue
            if body["spec"]["type"] != "LoadBalancer":
                body["status"]["loadBalancer"] = {}  # as an API server does
            tried += 1
            api.put_service(body)
            one.run(until=one.now + 10)
            assert api.ingress(WEB) == served, path
            condition = api.condition(strange)
            assert condition is None or len(condition["message"]) <= MESSAGE_LIMIT
            del api.services[strange]
            one.run(until=one.now + 10)
            assert [name for name in api.allocations if name != "v4-192-0-2-10"] == [], path
    assert tried > 300
