"""What an IPAllocation says: who announces the address, or why nobody does."""

from allocator.objects import StoredAllocation
from allocator.release.barrier import Awaited
from allocator.release.speakers import Announcement
from allocator.status.allocation import allocation_status
from tests.allocator.build import claim

NOW = "2026-03-01T00:00:00Z"
ETH0 = Announcement(("Layer2",), ("eth0",))


def stored(**kwargs: object) -> StoredAllocation:
    return StoredAllocation(claim(**kwargs), "a1", 5, 1)  # type: ignore[arg-type]


def reasons(status: object) -> dict[str, str]:
    return {one.type: one.reason for one in status.conditions}  # type: ignore[attr-defined]


def test_a_record_says_who_announces_or_why_nobody_does() -> None:
    routers = tuple(f"tor{number}" for number in range(6))
    both = Announcement(("BGP", "Layer2"), ("eth0",), routers)
    announced = allocation_status(stored(), {"n2": ETH0, "n3": both, "n1": Announcement(("BGP",))}, True, (), NOW)
    assert announced.announced_by == ("n1", "n2", "n3")
    assert announced.conditions[0].message == (
        "Announced by n1 (BGP), n2 (Layer2 on eth0), n3 (BGP to tor0, tor1, tor2, tor3 and 2 more; Layer2 on eth0)"
    )
    assert reasons(allocation_status(stored(), {}, False, (), NOW)) == {"Announced": "NoAdvertisement"}
    assert reasons(allocation_status(stored(), {}, True, (), NOW)) == {"Announced": "NoEligibleNode"}
    waiting = allocation_status(stored(releasing=True), {}, True, (Awaited("n3", "it is asleep"),), NOW)
    assert reasons(waiting) == {"Announced": "Releasing", "Withdrawn": "WaitingForSpeakers"}
