"""What pools, records and advertisements say of themselves."""

from allocator.claims import Claim, Holder, Recorded, ServiceKey
from allocator.objects import Advertisement, StoredAllocation
from allocator.release.barrier import Awaited
from allocator.release.speakers import Announcement
from allocator.status.allocation import Announcers, advertisement_conditions, allocation_status, is_advertised
from allocator.status.pool import Observation, pool_status
from crds.conditions import ConditionType, Reason
from crds.meta import LabelSelector
from crds.types import IPPool, IPPoolStatus
from tests.allocator.build import address, claim, decide, ledger, pool, pools, request

VIP = address("192.0.2.10")
NOW = "2026-03-01T00:00:00Z"
LATER = "2026-03-01T00:00:09Z"
ETH0 = Announcement(("Layer2",), ("eth0",))


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


def stored(**kwargs: object) -> StoredAllocation:
    return StoredAllocation(VIP, Recorded(claim(**kwargs), "a1", 5, 1))  # type: ignore[arg-type]


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


def test_announcers_tell_for_which_addresses_there_is_news() -> None:
    announcers = Announcers()
    assert announcers.update("n1", {"192.0.2.10": ETH0, "192.0.2.11": ETH0}) == {"192.0.2.10", "192.0.2.11"}
    assert announcers.update("n1", {"192.0.2.10": ETH0}) == {"192.0.2.11"}
    assert announcers.update("n2", {"192.0.2.10": ETH0}) == {"192.0.2.10"}
    assert sorted(announcers.of(VIP)) == ["n1", "n2"]
    assert announcers.update("n1", {}) == {"192.0.2.10"}
    assert sorted(announcers.of(VIP)) == ["n2"]


def advertisement(**fields: object) -> Advertisement:
    values: dict[str, object] = {"pools": (), "pool_selector": None, "service_selector": None, "conditions": ()}
    return Advertisement("L2Advertisement", "ad", "u1", 1, **{**values, **fields})  # type: ignore[arg-type]


def test_an_advertisement_covers_pools_by_name_label_or_all_and_services_by_label() -> None:
    compiled = pools(pool("edge", "192.0.2.0/24", labels={"zone": "a"}))
    holder = Holder(ServiceKey("default", "web"), "u1", (), (("tier", "front"),))
    held = Claim("edge", (holder,))
    zone = LabelSelector.model_validate({"matchLabels": {"zone": "a"}})
    back = LabelSelector.model_validate({"matchLabels": {"tier": "back"}})
    assert is_advertised(held, compiled, [advertisement()])
    assert is_advertised(held, compiled, [advertisement(pools=("edge",))])
    assert is_advertised(held, compiled, [advertisement(pools=("other",), pool_selector=zone)])
    assert not is_advertised(held, compiled, [])
    assert not is_advertised(held, compiled, [advertisement(pools=("other",))])
    assert not is_advertised(held, compiled, [advertisement(service_selector=back)])


def test_an_advertisement_names_the_pool_that_is_not_there() -> None:
    compiled = pools(pool("edge", "192.0.2.0/24"))
    (bad,) = advertisement_conditions(advertisement(pools=("edge", "nope")), compiled, (), None, NOW)
    assert (bad.status, bad.reason) == ("False", "UnknownPool")
    assert "nope" in bad.message
    (good,) = advertisement_conditions(advertisement(pools=("edge",)), compiled, (), None, NOW)
    assert good.reason == "Valid"


def test_an_advertisement_says_which_peer_is_not_there_and_what_speakers_find() -> None:
    compiled = pools(pool("edge", "192.0.2.0/24"))
    told = Observation(ConditionType.Ready, False, Reason.UnknownCommunity, "no Community defines blue (says n1)")
    to_two = advertisement(peers=("tor1", "tor2"))
    (bad,) = advertisement_conditions(to_two, compiled, {"tor1"}, told, NOW)
    assert (bad.status, bad.reason) == ("False", "UnknownPeer")
    assert bad.message.startswith("There is no BGPPeer named tor2:")
    (worse,) = advertisement_conditions(to_two, compiled, {"tor1", "tor2"}, told, NOW)
    assert (worse.reason, worse.message) == ("UnknownCommunity", "no Community defines blue (says n1)")
