"""What an IPAllocation says: who announces the address, or why nobody does."""

from dataclasses import replace

from allocator.objects import StoredAllocation
from allocator.release.barrier import Awaited
from allocator.status.allocation import differs_in_counts_only
from allocator.status.entries import Announcement
from crds.types import IPAllocationStatus
from tests.allocator.status.records import status_of, stored

NOW = "2026-03-01T00:00:00Z"
ETH0 = Announcement(("Layer2",), ("eth0",))


def after(status: IPAllocationStatus) -> StoredAllocation:
    return replace(stored(), conditions=status.conditions, first_announced=status.first_announced)


def reasons(status: object) -> dict[str, str]:
    return {one.type: one.reason for one in status.conditions}  # type: ignore[attr-defined]


def test_a_record_says_who_announces_or_why_nobody_does() -> None:
    routers = tuple(f"tor{number}" for number in range(6))
    both = Announcement(("BGP", "Layer2"), ("eth0",), routers)
    announced = status_of(stored(), {"n2": ETH0, "n3": both, "n1": Announcement(("BGP",))}, True, (), NOW)
    assert announced.announced_by == ("n1", "n2", "n3")
    assert announced.conditions[0].message == (
        "Announced by n1 (BGP), n2 (Layer2 on eth0), n3 (BGP to tor0, tor1, tor2, tor3 and 2 more; Layer2 on eth0)"
    )
    assert reasons(status_of(stored(), {}, False, (), NOW)) == {"Announced": "NoAdvertisement"}
    assert reasons(status_of(stored(), {}, True, (), NOW)) == {"Announced": "NoEligibleNode"}
    waiting = status_of(stored(releasing=True), {}, True, (Awaited("n3", "it is asleep"),), NOW)
    assert reasons(waiting) == {"Announced": "Releasing", "Withdrawn": "WaitingForSpeakers"}


def by_bgp(count: int, **others: Announcement) -> IPAllocationStatus:
    announcers = {f"node-{number:03}": Announcement(("BGP",), peers=("tor1",)) for number in range(count)}
    return status_of(stored(), announcers | others, True, (), NOW)


def test_of_many_nodes_ten_are_named_and_all_are_counted() -> None:
    status = by_bgp(500)
    assert status.announced_by == tuple(f"node-{number:03}" for number in range(10))
    assert status.announcer_count == 500
    assert status.conditions[0].message.startswith("Announced by node-000 (BGP to tor1), node-001 (BGP to tor1), ")
    assert status.conditions[0].message.endswith("node-009 (BGP to tor1) and 490 more")


def test_who_announces_on_layer_2_is_named_before_all_others() -> None:
    status = by_bgp(500, zeta=ETH0)
    assert status.announced_by == (*(f"node-{number:03}" for number in range(9)), "zeta")
    assert status.conditions[0].message.endswith("node-008 (BGP to tor1), zeta (Layer2 on eth0) and 491 more")


def test_which_of_many_nodes_announce_an_address_is_not_urgent_and_all_else_is() -> None:
    before = by_bgp(500)
    assert differs_in_counts_only(after(before), by_bgp(499))
    assert not differs_in_counts_only(after(before), by_bgp(0))
    assert not differs_in_counts_only(stored(), by_bgp(0)), "it said nothing yet"
    assert not differs_in_counts_only(replace(after(before), first_announced=None), before), "or it is probed again"
    assert not differs_in_counts_only(after(by_bgp(0)), before)
    waiting = status_of(after(before), {}, True, (Awaited("n3", "it is asleep"),), NOW)
    assert not differs_in_counts_only(after(waiting), status_of(after(before), {}, True, (), NOW))
    longer = status_of(after(waiting), {}, True, (Awaited("n3", "it is asleep for 2 s"),), NOW)
    assert differs_in_counts_only(after(waiting), longer), "a thousand releases that wait are no storm of writes"


def test_a_record_does_not_believe_a_node_that_is_silent_and_says_so() -> None:
    taken_over = status_of(stored(), {"n1": ETH0}, True, (), NOW, silent=["n2"])
    assert taken_over.announced_by == ("n1",)
    assert taken_over.conditions[0].message == (
        "Announced by n1 (Layer2 on eth0). n2 announced it, too, and is silent: no speaker runs there, or it is cut off"
    )
    nobody = status_of(stored(), {}, True, (), NOW, silent=["n1", "n2"])
    assert reasons(nobody) == {"Announced": "NoEligibleNode"}
    assert nobody.conditions[0].message.endswith(
        ". n1, n2 announced it, too, and are silent: no speaker runs there, or it is cut off"
    )
