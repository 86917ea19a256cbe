"""What a pool says of itself: how full it is, and what is wrong with it."""

from allocator.status.pool import pool_status
from crds.types import IPPool, IPPoolStatus
from tests.allocator.build import decide, ledger, pool, request

NOW = "2026-03-01T00:00:00Z"
LATER = "2026-03-01T00:00:09Z"


def status_of(*objects: IPPool, name: str, previous: IPPoolStatus | None = None, at: str = NOW) -> IPPoolStatus:
    book = ledger(*objects)
    return pool_status(book.pools.by_name[name], book, previous or IPPoolStatus(), at)


def said(status: IPPoolStatus) -> dict[str, tuple[str, str]]:
    return {one.type: (one.status, one.reason) for one in status.conditions}


def test_figures_are_exact_for_ipv6_too() -> None:
    book = ledger(pool("edge", "192.0.2.0/30", "2001:db8::/64"))
    decide(book, request("a", families=["IPv4", "IPv6"], policy="RequireDualStack"))
    status = pool_status(book.pools.by_name["edge"], book, IPPoolStatus(), NOW)
    assert status.ipv4 is not None
    assert status.ipv6 is not None
    assert (status.ipv4.capacity, status.ipv4.allocated, status.ipv4.free) == ("4", 1, "3")
    assert status.used == f"1/4,1/{2**64}"
    assert status.observed_generation == 1
    assert (status.ipv6.capacity, status.ipv6.allocated) == (str(2**64), 1)
    assert status.ipv6.free == str(2**64 - 1)
    assert said(status) == {
        "Ready": ("True", "Valid"),
        "Overlapping": ("False", "NotOverlapping"),
        "Exhausted": ("False", "NotExhausted"),
    }


def test_a_status_that_did_not_change_is_equal_and_times_move_with_the_status_only() -> None:
    first = status_of(pool("edge", "192.0.2.0/30"), name="edge")
    assert status_of(pool("edge", "192.0.2.0/30"), name="edge", previous=first, at=LATER) == first
    overlapping = [pool("edge", "192.0.2.0/30"), pool("late", "192.0.2.0/31", created="2026-09-01T00:00:00Z")]
    second = status_of(*overlapping, name="edge", previous=first, at=LATER)
    times = {one.type: one.last_transition_time for one in second.conditions}
    assert times == {"Ready": NOW, "Overlapping": LATER, "Exhausted": NOW}
    assert said(second)["Overlapping"] == ("True", "PoolsOverlap")


def test_a_pool_that_lost_all_to_an_older_one_is_empty() -> None:
    objects = [pool("edge", "192.0.2.0/30"), pool("late", "192.0.2.0/31", created="2026-09-01T00:00:00Z")]
    assert said(status_of(*objects, name="late"))["Ready"] == ("False", "EmptyPool")


def test_a_pool_with_an_entry_that_can_not_be_read_works_with_the_others() -> None:
    mended = status_of(pool("edge", "192.0.2.0/30"), name="edge")
    assert "Degraded" not in said(mended)
    partly = status_of(pool("edge", "192.0.2.0/30", "nonsense"), name="edge")
    assert said(partly)["Ready"] == ("True", "Valid")
    assert said(partly)["Degraded"] == ("True", "InvalidAddresses")
    again = status_of(pool("edge", "192.0.2.0/30"), name="edge", previous=partly)
    assert said(again)["Degraded"] == ("False", "Valid")
    for bad in (pool("edge", "nonsense"), pool("edge", "192.0.2.0/30", exclude=["nonsense"])):
        nothing = said(status_of(bad, name="edge"))
        assert nothing["Ready"] == ("False", "InvalidAddresses")
        assert "Degraded" not in nothing
