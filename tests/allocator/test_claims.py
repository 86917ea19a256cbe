"""How large a record gets."""

import json
from dataclasses import replace

from allocator.claims import (
    Claim,
    Holder,
    Port,
    claim_from,
    labels_change,
    labels_of,
    pairs,
    wire_allocation,
    wire_bytes,
    wire_spec,
)
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


def held_by(*keys: str, pool: str = "edge") -> Claim:
    holders = tuple(Holder(ServiceKey(*key.split("/")), key, ()) for key in keys)
    return replace(claim(), pool=pool, holders=holders)


def test_a_record_is_labelled_with_what_its_holders_have_in_common() -> None:
    pool, space, name = "berth.dev/pool", "berth.dev/service-namespace", "berth.dev/service-name"
    assert labels_of(held_by("default/web")) == {pool: "edge", space: "default", name: "web"}
    assert labels_of(held_by("default/a", "default/b")) == {pool: "edge", space: "default"}
    assert labels_of(held_by("one/a", "two/a")) == {pool: "edge", name: "a"}
    assert labels_of(held_by("default/web", pool="p" * 64)) == {space: "default", name: "web"}, "too long for a label"
    assert labels_of(held_by("default/web", pool="")) == {space: "default", name: "web"}


def test_a_change_of_holders_takes_the_label_off_that_is_not_true_any_more() -> None:
    one, two = held_by("default/a"), held_by("default/a", "default/b")
    assert labels_change(one, two) == {"berth.dev/service-name": None}
    assert labels_change(two, one) == {"berth.dev/service-name": "a"}
    assert labels_change(two, two) == {}


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
