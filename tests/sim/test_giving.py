"""Whom allocators may give an address, judged from objects alone."""

import pytest

from tests.sim.api import Body, Key, Stored
from tests.sim.cluster import Cluster
from tests.sim.fate import POLICIES, drawn
from tests.sim.giving import LOOK_BACK_SECONDS, Giving

ADDRESS, NEXT = "192.0.2.10", "192.0.2.11"


class World:
    """A cluster whose objects a test writes, and what was found in it."""

    def __init__(self, **pool: object) -> None:
        self.cluster = Cluster(1)
        self.said: list[str] = []
        self.giving = Giving(self.cluster, self.said.append)
        self.pool(**pool)

    def pool(self, **spec: object) -> None:
        body = {"metadata": {"name": "edge"}, "spec": {"addresses": ["192.0.2.10-192.0.2.12"], **spec}}
        self.giving.changed("ippools", Key("", "edge"), None, Stored(body, 1))

    def service(
        self,
        name: str,
        *,
        key: str | None = None,
        port: int = 80,
        policy: str = "Cluster",
        pool: str | None = None,
        ips: str | None = None,
        shows: str | None = None,
        is_going: bool = False,
    ) -> Body:
        """It exists, and its status shows this address; as a holder."""
        namespace, _, short = name.partition("/")
        asked = {"berth.dev/sharing-key": key, "berth.dev/pool": pool, "berth.dev/ips": ips}
        metadata = {"uid": name, "namespace": namespace, "name": short, "annotations": asked}
        metadata |= {"deletionTimestamp": "now"} if is_going else {}
        spec = {"ports": [{"protocol": "TCP", "port": port}], "externalTrafficPolicy": policy}
        body = {"metadata": metadata, "spec": spec, "status": {}}
        if shows is not None:
            told = [{"type": "berth.dev/Allocated"}]
            body["status"] = {"loadBalancer": {"ingress": [{"ip": shows}]}, "conditions": told}
        self.giving.changed("services", Key(namespace, short), None, Stored(body, 1))
        return {"uid": name, "namespace": namespace, "name": short}

    def leave(self, *holders: Body, releasing: bool = False) -> list[str]:
        """The last one leaves an address. What is wrong with that."""
        known = {"address": ADDRESS, "holders": list(holders)}
        stay = list(holders) if releasing else list(holders[:-1])
        self.said.clear()
        self.giving.left({**known, "holders": stay, "releasing": releasing}, known)
        return self.said

    def give(self, address: str, *holders: Body, joins: bool = False, **spec: object) -> list[str]:
        """The last one becomes a holder; `joins`: the others were there. What is wrong with that."""
        record = {"address": address, "pool": "edge", "holders": list(holders), **spec}
        stored = Stored({"metadata": {"name": address}, "spec": record}, 1)
        self.cluster.api.table("ipallocations").objects[Key("", address)] = stored
        known = {**record, "holders": list(holders[:-1])} if joins else None
        self.said.clear()
        self.giving.became_holders(record, known, [holders[-1]["uid"]])
        return self.said


def test_a_namespace_gets_no_more_of_a_pool_than_its_share() -> None:
    world = World(maxPerNamespace=1)
    assert world.give(ADDRESS, world.service("default/a")) == []
    assert "of which it may have 1" in world.give(NEXT, world.service("default/b"))[0]
    assert world.give("192.0.2.12", world.service("other/a")) == []


def test_what_a_service_leaves_for_another_address_does_not_count() -> None:
    world = World(maxPerNamespace=1)
    holder = world.service("default/a")
    assert world.give(ADDRESS, holder) == []
    assert world.give(NEXT, holder) == []


def test_what_a_service_leaves_to_others_of_its_namespace_counts() -> None:
    world = World(maxPerNamespace=1)
    leaves = world.service("default/a", key="k")
    assert world.give(ADDRESS, leaves, world.service("default/b", key="k", port=443), sharingKey="k") == []
    assert "of which it may have 1" in world.give(NEXT, leaves)[0]


def test_of_two_that_get_an_address_together_one_may_leave_another_for_it() -> None:
    world = World(maxPerNamespace=1)
    comes = world.service("default/a", key="k")
    assert world.give(ADDRESS, comes) == []
    assert world.give(NEXT, comes, world.service("default/b", key="k", port=443), sharingKey="k") == []


def test_what_others_leave_does_not_count_as_soon_as_they_show_it_no_more() -> None:
    world = World(maxPerNamespace=1)
    leaves = world.service("default/a", shows=ADDRESS)
    world.give(ADDRESS, leaves, world.service("other/a"))
    assert "of which it may have 1" in world.give(NEXT, world.service("default/b"))[0]
    world.service("default/a")
    assert world.give(NEXT, world.service("default/b")) == []


def test_what_a_service_named_all_the_time_beside_another_one_counts() -> None:
    world = World(maxPerNamespace=1)
    holder = world.service("default/a", ips=ADDRESS)
    assert world.give(ADDRESS, holder) == []
    world.cluster.world.now = 1.0
    world.service("default/a", ips=f"{NEXT},{ADDRESS}")
    assert "of which it may have 1" in world.give(NEXT, holder)[0]


def test_what_a_status_shows_is_given_to_nobody_else() -> None:
    world = World()
    shows = world.service("default/a", shows=ADDRESS)
    assert world.give(ADDRESS, world.service("other/a")) == ["other/a is given 192.0.2.10: "
        "the status of default/a shows it"]  # fmt: skip
    assert world.give(ADDRESS, shows) == []


def test_who_shows_what_others_hold_joins_them_as_anybody_else() -> None:
    world = World()
    holders = world.service("default/a", key="k"), world.service("other/b", key="k", port=443, shows=ADDRESS)
    assert "are of other namespaces" in world.give(ADDRESS, *holders, joins=True, sharingKey="k")[0]


@pytest.mark.parametrize("releasing", [False, True])
def test_who_leaves_an_address_shows_it_no_more(releasing: bool) -> None:
    world = World()
    stays, leaves = [world.service("default/a")] * (not releasing), "default/b"
    assert world.leave(*stays, world.service(leaves), releasing=releasing) == []
    shown = world.service(leaves, shows=ADDRESS)
    assert world.leave(*stays, shown, releasing=releasing) == ["default/b leaves 192.0.2.10, which its status shows"]
    goes = world.service(leaves, shows=ADDRESS, is_going=True)
    assert bool(world.leave(*stays, goes, releasing=releasing)) is not releasing


def test_no_port_of_an_address_is_shown_by_two_namespaces() -> None:
    world = World()
    world.service("default/a", shows=ADDRESS)
    world.service("default/b", shows=ADDRESS)
    world.service("other/a", shows=ADDRESS, port=443)
    assert not list(world.giving.served_twice())
    world.service("other/b", shows=ADDRESS)
    assert list(world.giving.served_twice()) == ["default/a, other/b show 192.0.2.10, and both have port 80"]


def test_what_a_pool_said_a_moment_ago_counts_for_a_while() -> None:
    world = World()
    world.give(ADDRESS, world.service("default/a"))
    world.pool(maxPerNamespace=1)
    world.cluster.world.now = LOOK_BACK_SECONDS
    assert world.give(NEXT, world.service("default/b")) == []
    world.cluster.world.now += 1.0
    assert world.give("192.0.2.12", world.service("default/c")) != []


def test_an_address_is_of_the_pool_and_the_pool_is_one_that_is_asked_for() -> None:
    world = World()
    assert "does not have it" in world.give("192.0.2.99", world.service("default/a"))[0]
    assert "asked for is ['few']" in world.give(ADDRESS, world.service("default/b", pool="few"))[0]
    assert world.give(ADDRESS, world.service("default/c", pool="few,edge")) == []


@pytest.mark.parametrize("addresses", ["192.0.2.0/28", "192.0.2.10", "192.0.2.9-192.0.2.10"])
def test_a_pool_has_networks_ranges_and_single_addresses(addresses: str) -> None:
    world = World(addresses=["2001:db8::/64", "2001:db8::-2001:db8::1", addresses])
    assert world.give(ADDRESS, world.service("default/a")) == []
    assert "does not have it" in world.give("192.0.2.16", world.service("default/b"))[0]


@pytest.mark.parametrize(
    ("sharing", "name", "why"),
    [
        ("None", "default/b", "lets nobody share"),
        ("SameNamespace", "default/b", ""),
        ("SameNamespace", "other/b", "are of other namespaces"),
        ("AnyNamespace", "other/b", ""),
    ],
)
def test_who_joins_is_one_whom_the_pool_lets_in(sharing: str, name: str, why: str) -> None:
    world = World(sharing=sharing)
    holders = world.service("default/a", key="k"), world.service(name, key="k", port=443)
    said = world.give(ADDRESS, *holders, joins=True, sharingKey="k")
    assert why in said[0] if why else said == []


@pytest.mark.parametrize(
    ("terms", "why"),
    [
        ({"key": "m", "port": 443}, "neither lately for key k"),
        ({"key": "k", "port": 443, "policy": "Local"}, "neither lately for key k and policy Cluster"),
        ({"key": "k", "port": 80}, "has a port of it"),
    ],
)
def test_who_joins_asks_for_the_same_and_has_ports_of_its_own(terms: dict[str, object], why: str) -> None:
    world = World()
    holders = world.service("default/a", key="k"), world.service("default/b", **terms)  # type: ignore[arg-type]
    assert why in world.give(ADDRESS, *holders, joins=True, sharingKey="k")[0]


def test_who_was_there_had_the_terms_at_some_time() -> None:
    world = World()
    holders = world.service("default/a", key="k"), world.service("default/b", key="m", port=443)
    assert world.give(ADDRESS, *holders, joins=True, sharingKey="m") == ["default/b is given 192.0.2.10: "
        "default/a never had the key m"]  # fmt: skip


def test_a_life_with_a_policy_keeps_it() -> None:
    lives = [drawn(seed) for seed in range(1, 200) if seed % POLICIES[0] == POLICIES[1]]
    pools = [step.words for life in lives for step in life if step.act == "pool"]
    assert all(any(word.startswith("sharing=") for word in words) for words in pools)
    assert any("most=1" in words for words in pools)
