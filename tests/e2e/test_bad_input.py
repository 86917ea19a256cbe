"""Bad input through the API: the object at fault says what is wrong, nothing else is disturbed, and it heals."""

import pytest

from lab.client import Desk
from lab.net.netns import CommandFailed

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.slow]

GOOD = "172.30.0.200-172.30.0.203"


@pytest.mark.parametrize(
    "entry",
    ["172.30.0.300", "172.30.0.250-172.30.0.240", "172.30.0.200-fd00:30::200", "not an address", "172.30.0.0/33"],
    ids=["malformed", "inverted", "two families", "words", "prefix too long"],
)
def test_a_range_that_is_none_is_refused_at_once(desk: Desk, entry: str) -> None:
    with pytest.raises(CommandFailed, match=r"Invalid value|invalid"):
        desk.pool("bad", entry)


def test_an_empty_pool_says_so_and_the_others_work(desk: Desk) -> None:
    desk.pool("empty", "172.30.0.240", exclude=["172.30.0.240"])
    desk.pool("good", GOOD)
    desk.condition("ippool", "empty", "Ready", "EmptyPool")
    desk.service("web")
    assert desk.addresses("web") == ["172.30.0.200"]


def test_overlapping_pools_name_each_other(desk: Desk) -> None:
    desk.pool("one", GOOD)
    desk.pool("two", "172.30.0.203-172.30.0.210")
    found = desk.condition("ippool", "two", "Overlapping", "PoolsOverlap")
    assert found["status"] == "True"
    assert "one" in found["message"]
    desk.service("web")
    desk.addresses("web")


def test_an_exhausted_pool_leaves_a_service_pending_until_an_address_frees(desk: Desk) -> None:
    desk.pool("small", "172.30.0.200")
    desk.service("first")
    desk.addresses("first")
    desk.service("second")
    condition = desk.condition("service", "second", "berth.dev/Allocated", "PoolExhausted")
    assert condition["status"] == "False"
    desk.event("service", "second", "PoolExhausted")
    desk.condition("ippool", "small", "Exhausted", "NoAddressesLeft")
    desk.delete("service", "first")
    assert desk.addresses("second") == ["172.30.0.200"]
    desk.condition("service", "second", "berth.dev/Allocated", "Allocated")


def test_a_requested_address_outside_every_pool_is_explained(desk: Desk) -> None:
    desk.pool("good", GOOD)
    desk.service("web", {"berth.dev/ips": "203.0.113.9"})
    condition = desk.condition("service", "web", "berth.dev/Allocated", "AddressNotInPool")
    assert "203.0.113.9" in condition["message"]
    desk.event("service", "web", "AddressNotInPool")


def test_a_requested_address_that_another_holds_names_the_holder(desk: Desk) -> None:
    desk.pool("good", GOOD)
    desk.service("first", {"berth.dev/ips": "172.30.0.201"})
    assert desk.addresses("first") == ["172.30.0.201"]
    desk.service("second", {"metallb.io/loadBalancerIPs": "172.30.0.201"})
    condition = desk.condition("service", "second", "berth.dev/Allocated", "AddressInUse")
    assert "first" in condition["message"]
    desk.delete("service", "first")
    assert desk.addresses("second") == ["172.30.0.201"]


def test_two_families_of_a_pool_with_one_are_not_half_given(desk: Desk) -> None:
    desk.pool("good", GOOD)
    desk.service("web", ipFamilyPolicy="RequireDualStack", ipFamilies=["IPv4", "IPv6"])
    desk.condition("service", "web", "berth.dev/Allocated", "FamilyUnavailable")
    assert desk.get("service", "web")["status"]["loadBalancer"] == {}
    desk.pool("six", "fd00:30::200-fd00:30::20f")
    assert desk.addresses("web", count=2) == ["172.30.0.200", "fd00:30::200"]


def test_an_unknown_pool_is_named(desk: Desk) -> None:
    desk.pool("good", GOOD)
    desk.service("web", {"berth.dev/pool": "nowhere"})
    condition = desk.condition("service", "web", "berth.dev/Allocated", "PoolNotFound")
    assert "nowhere" in condition["message"]
    desk.pool("nowhere", "172.30.0.220")
    assert desk.addresses("web") == ["172.30.0.220"]


def test_without_any_pool_a_service_waits_for_one(desk: Desk) -> None:
    desk.service("web")
    desk.condition("service", "web", "berth.dev/Allocated", "NoPools")
    desk.pool("good", GOOD)
    desk.addresses("web")


def test_unknown_fields_are_warned_of_and_break_nothing(desk: Desk) -> None:
    pool = (
        '{"apiVersion": "berth.dev/v1beta1", "kind": "IPPool", "metadata": {"name": "odd"},'
        ' "spec": {"addresses": ["172.30.0.230"], "colour": "blue"}}'
    )
    told = desk.kubectl.run("create", "--validate=warn", "--filename=-", stdin=pool)
    assert told.returncode == 0
    assert 'unknown field "spec.colour"' in told.stderr
    assert "colour" not in desk.get("ippool", "odd")["spec"]
    desk.service("web")
    assert desk.addresses("web") == ["172.30.0.230"]


def test_a_foreign_load_balancer_class_is_never_touched(desk: Desk) -> None:
    desk.pool("good", GOOD)
    desk.service("theirs", loadBalancerClass="example.com/other")
    before = desk.get("service", "theirs")
    desk.service("ours")
    desk.addresses("ours")
    assert desk.get("service", "theirs") == before
    assert "finalizers" not in before["metadata"]


def test_an_advertisement_of_an_unknown_pool_says_so_and_keeps_no_other_from_the_wire(desk: Desk) -> None:
    desk.pool("good", GOOD)
    body = {"ipPools": ["no-such-pool"]}
    desk.kubectl.apply(
        {"apiVersion": "berth.dev/v1beta1", "kind": "L2Advertisement", "metadata": {"name": "lost"}, "spec": body}
    )
    desk.condition("l2advertisement", "lost", "Ready", "UnknownPool")
    desk.advertise_all()
    desk.service("web")
    desk.addresses("web")
    desk.condition("ipallocation", "v4-172-30-0-200", "Announced", "Announcing")
