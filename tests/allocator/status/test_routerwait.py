"""Which routers a release waits for, by name and time."""

from allocator.release.barrier import IS_ALIVE, Awaited
from allocator.status.entries import Session
from allocator.status.routerwait import with_routers

UNTIL = "2026-11-28T14:54:20Z"
LOST = Session("second", "Connect", address="172.30.0.253", routes_kept_until=UNTIL)


def test_of_a_node_that_lives_the_routers_that_may_keep_its_route_are_named_and_until_when() -> None:
    waiting = [Awaited("node1", IS_ALIVE), Awaited("node2", IS_ALIVE), Awaited("node3", "it is silent", is_silent=True)]
    first, second, third = with_routers(
        waiting, {"second": {"node1": LOST, "node3": LOST}, "first": {"node1": Session("first", "Established")}}
    )
    assert first.why == f"it waits for BGPPeer second (172.30.0.253), which may keep its route until {UNTIL}"
    assert (second, third) == (waiting[1], waiting[2])
