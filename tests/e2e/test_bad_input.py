"""Bad input through the API: the object at fault says what is wrong, nothing else is disturbed, and it heals."""

import json
import time
from pathlib import Path

import pytest

from lab.client import LabClient
from lab.net.netns import CommandFailed
from lab.process import State

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.slow]

GOOD = "172.30.0.200-172.30.0.203"


@pytest.mark.parametrize(
    "entry",
    ["172.30.0.300", "172.30.0.250-172.30.0.240", "172.30.0.200-fd00:30::200", "not an address", "172.30.0.0/33"],
    ids=["malformed", "inverted", "two families", "words", "prefix too long"],
)
def test_a_range_that_is_none_is_refused_at_once(lab: LabClient, entry: str) -> None:
    with pytest.raises(CommandFailed, match=r"Invalid value|invalid"):
        lab.pool("bad", entry)


def test_an_empty_pool_says_so_and_the_others_work(lab: LabClient) -> None:
    lab.pool("empty", "172.30.0.240", exclude=["172.30.0.240"])
    lab.pool("good", GOOD)
    lab.condition("ippool", "empty", "Ready", "EmptyPool")
    lab.service("web")
    assert lab.addresses("web") == ["172.30.0.200"]


def test_overlapping_pools_name_each_other(lab: LabClient) -> None:
    lab.pool("one", GOOD)
    lab.pool("two", "172.30.0.203-172.30.0.210")
    found = lab.condition("ippool", "two", "Overlapping", "PoolsOverlap")
    assert found["status"] == "True"
    assert "one" in found["message"]
    lab.service("web")
    lab.addresses("web")


def test_an_exhausted_pool_leaves_a_service_pending_until_an_address_frees(lab: LabClient) -> None:
    lab.pool("small", "172.30.0.200")
    lab.service("first")
    lab.addresses("first")
    lab.service("second")
    condition = lab.condition("service", "second", "berth.dev/Allocated", "PoolExhausted")
    assert condition["status"] == "False"
    lab.event("service", "second", "PoolExhausted")
    lab.condition("ippool", "small", "Exhausted", "NoAddressesLeft")
    lab.delete("service", "first")
    assert lab.addresses("second") == ["172.30.0.200"]
    lab.condition("service", "second", "berth.dev/Allocated", "Allocated")


def test_a_requested_address_outside_every_pool_is_explained(lab: LabClient) -> None:
    lab.pool("good", GOOD)
    lab.service("web", {"berth.dev/ips": "203.0.113.9"})
    condition = lab.condition("service", "web", "berth.dev/Allocated", "AddressNotInPool")
    assert "203.0.113.9" in condition["message"]
    lab.event("service", "web", "AddressNotInPool")


def test_a_requested_address_that_another_holds_names_the_holder(lab: LabClient) -> None:
    lab.pool("good", GOOD)
    lab.service("first", {"berth.dev/ips": "172.30.0.201"})
    assert lab.addresses("first") == ["172.30.0.201"]
    lab.service("second", {"metallb.io/loadBalancerIPs": "172.30.0.201"})
    condition = lab.condition("service", "second", "berth.dev/Allocated", "AddressInUse")
    assert "first" in condition["message"]
    lab.delete("service", "first")
    assert lab.addresses("second") == ["172.30.0.201"]


def test_two_families_of_a_pool_with_one_are_not_half_given(lab: LabClient) -> None:
    lab.pool("good", GOOD)
    lab.service("web", ipFamilyPolicy="RequireDualStack", ipFamilies=["IPv4", "IPv6"])
    lab.condition("service", "web", "berth.dev/Allocated", "FamilyUnavailable")
    assert lab.get("service", "web")["status"]["loadBalancer"] == {}
    lab.pool("six", "fd00:30::200-fd00:30::20f")
    assert lab.addresses("web", count=2) == ["172.30.0.200", "fd00:30::200"]


def test_an_unknown_pool_is_named(lab: LabClient) -> None:
    lab.pool("good", GOOD)
    lab.service("web", {"berth.dev/pool": "nowhere"})
    condition = lab.condition("service", "web", "berth.dev/Allocated", "PoolNotFound")
    assert "nowhere" in condition["message"]
    lab.pool("nowhere", "172.30.0.220")
    assert lab.addresses("web") == ["172.30.0.220"]


def test_without_any_pool_a_service_waits_for_one(lab: LabClient) -> None:
    lab.service("web")
    lab.condition("service", "web", "berth.dev/Allocated", "NoPools")
    lab.pool("good", GOOD)
    lab.addresses("web")


def test_unknown_fields_are_warned_of_and_break_nothing(lab: LabClient) -> None:
    pool = (
        '{"apiVersion": "berth.dev/v1beta1", "kind": "IPPool", "metadata": {"name": "odd"},'
        ' "spec": {"addresses": ["172.30.0.230"], "colour": "blue"}}'
    )
    told = lab.kubectl.run("create", "--validate=warn", "--filename=-", stdin=pool)
    assert told.returncode == 0
    assert 'unknown field "spec.colour"' in told.stderr
    assert "colour" not in lab.get("ippool", "odd")["spec"]
    lab.service("web")
    assert lab.addresses("web") == ["172.30.0.230"]


def test_a_foreign_load_balancer_class_is_never_touched(lab: LabClient) -> None:
    lab.pool("good", GOOD)
    lab.service("theirs", loadBalancerClass="example.com/other")
    before = lab.get("service", "theirs")
    lab.service("ours")
    lab.addresses("ours")
    assert lab.get("service", "theirs") == before
    assert "finalizers" not in before["metadata"]


def test_an_advertisement_of_an_unknown_pool_says_so_and_keeps_no_other_from_the_wire(lab: LabClient) -> None:
    lab.pool("good", GOOD)
    body = {"ipPools": ["no-such-pool"]}
    lab.kubectl.apply(
        {"apiVersion": "berth.dev/v1beta1", "kind": "L2Advertisement", "metadata": {"name": "lost"}, "spec": body}
    )
    lab.condition("l2advertisement", "lost", "Ready", "UnknownPool")
    lab.advertise_all()
    lab.service("web")
    lab.addresses("web")
    lab.condition("ipallocation", "v4-172-30-0-200", "Announced", "Announcing")


def test_a_node_with_thousands_of_addresses_ends_no_speaker(lab: LabClient, tmp_path: Path) -> None:
    """A kubelet writes its own Node's status, and the other speakers read it: heartbeats go there."""
    lab.pool("good", GOOD)
    lab.advertise_all()
    before = lab.get("node", "node3")["status"]["addresses"]
    many = [{"type": "InternalIP", "address": f"10.{number >> 8}.{number & 255}.77"} for number in range(3500)]
    patch = tmp_path / "patch.json"
    by_file = ("patch", "node", "node3", "--subresource=status", "--type=merge", f"--patch-file={patch}")
    try:
        patch.write_text(json.dumps({"status": {"addresses": [*before, *many]}}))
        lab.cluster.kubectl(*by_file)
        time.sleep(8)  # the order to send heartbeats there follows within half a second, on a machine at rest
        lab.service("web")
        lab.addresses("web")
        lab.delete("service", "web")  # every speaker confirms
        assert {lab.cluster.speaker(name).state for name in ("node1", "node2", "node3")} == {State.RUNNING}
    finally:
        patch.write_text(json.dumps({"status": {"addresses": before}}))
        lab.cluster.kubectl(*by_file)
