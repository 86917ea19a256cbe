"""Whose a Service is, and whether an allocator gave it what it shows."""

import json
from typing import Any

import pytest

from allocator.ownership import Ownership
from allocator.request import DEFAULT_CLASS
from crds.names import FINALIZER
from kube.objects import decode_service
from tests.allocator.build import service, service_body


@pytest.mark.parametrize(
    ("spec", "configured", "expected"),
    [
        ({}, None, True),
        ({"loadBalancerClass": DEFAULT_CLASS}, None, True),
        ({"loadBalancerClass": "example.org/x"}, None, False),
        ({"loadBalancerClass": "example.org/x"}, "example.org/x", True),
        ({}, "example.org/x", False),
        ({"type": "ClusterIP"}, None, False),
        ({"type": "NodePort"}, None, False),
    ],
)
def test_whose_service_it_is(spec: dict[str, Any], configured: str | None, expected: bool) -> None:
    assert Ownership(configured, FINALIZER).is_ours(service("web", **spec)) is expected


@pytest.mark.parametrize(("configured", "name"), [(None, DEFAULT_CLASS), ("example.org/x", "example.org/x")])
def test_a_service_of_the_class_that_it_names_is_surely_ours(configured: str | None, name: str) -> None:
    ownership = Ownership(configured, FINALIZER)
    assert ownership.class_name == name
    assert ownership.is_ours(service("web", loadBalancerClass=ownership.class_name))


def test_a_service_that_is_being_deleted_takes_no_finalizer() -> None:
    body = service_body("web")
    body["metadata"] |= {"deletionTimestamp": "2026-02-01T00:00:00Z", "finalizers": ["example.org/other"]}
    going = decode_service(json.dumps(body).encode())
    assert Ownership(None, FINALIZER).finalizers(going, has_ours=True, former_go=False) is None


ALLOCATED = {"type": "berth.dev/Allocated", "status": "True", "reason": "Allocated", "lastTransitionTime": "2026-01-01"}


@pytest.mark.parametrize(
    ("finalizers", "conditions", "spec", "expected"),
    [
        ([], [], {}, False),
        ([FINALIZER], [], {}, True),
        ([], [ALLOCATED], {}, True),
        ([FINALIZER], [], {"loadBalancerClass": "example.org/x"}, False),
        ([FINALIZER], [ALLOCATED], {"loadBalancerClass": "example.org/x"}, True),
        (["example.org/other"], [], {}, False),
    ],
)
@pytest.mark.parametrize("is_terminating", [False, True])
def test_who_gave_what_it_shows(
    finalizers: list[str], conditions: list[Any], spec: dict[str, Any], expected: bool, is_terminating: bool
) -> None:
    body = service_body("web", **spec)
    body["metadata"] |= {"finalizers": finalizers}
    body["metadata"] |= {"deletionTimestamp": "2026-02-01T00:00:00Z"} if is_terminating else {}
    body["status"]["conditions"] = conditions
    assert Ownership(None, FINALIZER).is_marked(decode_service(json.dumps(body).encode())) is expected
