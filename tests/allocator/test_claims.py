"""How large a record gets."""

import json
from dataclasses import replace

from allocator.claims import Holder, Port, claim_from, pairs, wire_allocation, wire_bytes, wire_spec
from crds.ipallocation import MOST_BYTES, MOST_LABELS, MOST_PORTS
from crds.types import IPAllocationSpec
from kube.objects import ServiceKey
from tests.allocator.build import claim

ETCD_BYTES = 3 << 19


def longest_holder(number: int) -> Holder:
    """By all that Kubernetes and our definitions take."""
    ports = tuple(Port("SCTP", 60000 - port) for port in range(MOST_PORTS))
    labels = pairs({f"{'d' * 253}/{one:063}": "v" * 63 for one in range(MOST_LABELS)})
    return Holder(ServiceKey("n" * 63, f"{number:063}"), f"{number:036}", ports, labels, 65535)


def test_a_record_takes_no_more_bytes_than_is_counted() -> None:
    holders = tuple(longest_holder(number) for number in range(3))
    wire = wire_allocation(claim())["spec"]["holders"]
    longest = [{**wire[0], "uid": one.uid, "namespace": one.key.namespace, "name": one.key.name} for one in holders]
    for written, one in zip(longest, holders, strict=True):
        written["ports"] = [{"protocol": port.protocol, "port": port.port} for port in one.ports]
        written["labels"] = dict(one.labels)
        written["healthCheckNodePort"] = one.health_port
    real = len(json.dumps(longest, separators=(",", ":")))
    assert real <= wire_bytes(holders) <= real + 10_000
    assert wire_bytes(holders[:1]) < MOST_BYTES


def test_the_largest_record_leaves_etcd_room_for_status_and_managed_fields() -> None:
    selector = 400 * MOST_LABELS
    managed_fields = 128 * 300
    status = 10 * 260 + 8 * 33_000
    assert MOST_BYTES + selector + managed_fields + status < ETCD_BYTES


def test_a_health_port_comes_back_from_the_record_and_is_absent_where_there_is_none() -> None:
    for port in (0, 30123):
        made = replace(claim(), holders=(replace(claim().holders[0], health_port=port),))
        wire = wire_spec(made)
        assert wire["holders"][0].get("healthCheckNodePort", 0) == port
        assert claim_from(made.address, IPAllocationSpec.model_validate(wire)) == made
