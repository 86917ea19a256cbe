"""How large a record gets."""

import json

from allocator.claims import Holder, Port, pairs, wire_allocation, wire_bytes
from crds.ipallocation import MOST_BYTES, MOST_LABELS, MOST_PORTS
from kube.objects import ServiceKey
from tests.allocator.build import claim

ETCD_BYTES = 3 << 19


def longest_holder(number: int) -> Holder:
    """By all that Kubernetes and our definitions take."""
    ports = tuple(Port("SCTP", 60000 - port) for port in range(MOST_PORTS))
    labels = pairs({f"{'d' * 253}/{one:063}": "v" * 63 for one in range(MOST_LABELS)})
    return Holder(ServiceKey("n" * 63, f"{number:063}"), f"{number:036}", ports, labels)


def test_a_record_takes_no_more_bytes_than_is_counted() -> None:
    holders = tuple(longest_holder(number) for number in range(3))
    wire = wire_allocation(claim())["spec"]["holders"]
    longest = [{**wire[0], "uid": one.uid, "namespace": one.key.namespace, "name": one.key.name} for one in holders]
    for written, one in zip(longest, holders, strict=True):
        written["ports"] = [{"protocol": port.protocol, "port": port.port} for port in one.ports]
        written["labels"] = dict(one.labels)
    real = len(json.dumps(longest, separators=(",", ":")))
    assert real <= wire_bytes(holders) <= real + 10_000
    assert wire_bytes(holders[:1]) < MOST_BYTES


def test_the_largest_record_leaves_etcd_room_for_status_and_managed_fields() -> None:
    selector = 400 * MOST_LABELS
    managed_fields = 128 * 300
    status = 10 * 260 + 8 * 33_000
    assert MOST_BYTES + selector + managed_fields + status < ETCD_BYTES
