"""Services that share an address and change: they keep it meanwhile, and it follows once they fit together again."""

import itertools
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allocator.claims import Claim, wire_bytes
from allocator.settlement import settled
from crds.ipallocation import MOST_BYTES, MOST_PORTS
from kube.objects import ServiceKey
from tests.allocator.build import address, pool, pools, request, service_body
from tests.allocator.fakeapi import Allocator, Body, FakeApi
from tests.examples import examples

KEY = "berth.dev/sharing-key"
ROOMY = pools(pool("edge", "192.0.2.10-192.0.2.19", sharing="AnyNamespace"))
NAMES = ("a", "b", "c")
KEYS = {name: ServiceKey("default", name) for name in NAMES}
PORTS = {"a": 80, "b": 443, "c": 25}

Change = Callable[[Body], None]


def spec(**fields: Any) -> Change:
    return lambda body: body["spec"].update(fields)


def ports(*numbers: int) -> Change:
    return spec(ports=[{"protocol": "TCP", "port": number} for number in numbers])


def key(value: str | None) -> Change:
    return lambda body: body["metadata"].update(annotations={} if value is None else {KEY: value})


LOCAL = spec(externalTrafficPolicy="Local", selector={"app": "x"})
CLUSTER = spec(externalTrafficPolicy="Cluster")
OTHER_PODS = spec(externalTrafficPolicy="Local", selector={"app": "y"})


@pytest.fixture
def sharing(api: FakeApi) -> Allocator:
    """Three Services at 192.0.2.10, in a pool that has more addresses."""
    return shared_by(api, NAMES)


def shared_by(api: FakeApi, names: Iterable[str]) -> Allocator:
    for name in names:
        api.put_service(service_body(name, ports=[("TCP", PORTS[name])], annotations={KEY: "k"}))
    allocator = Allocator(api, ROOMY)
    allocator.run()
    return allocator


def reason(api: FakeApi, name: str) -> str:
    condition = api.condition(KEYS[name])
    assert condition is not None
    return str(condition["reason"])


def reasons(api: FakeApi) -> list[str]:
    return [reason(api, name) for name in NAMES]


def record(api: FakeApi) -> Body:
    """The only one there is."""
    (body,) = api.allocations.values()
    spec: Body = body["spec"]
    return spec


@pytest.mark.parametrize("together", [False, True], ids=["one after the other", "in one apply"])
@pytest.mark.parametrize(
    ("change", "field", "value"),
    [(key("k2"), "sharingKey", "k2"), (LOCAL, "trafficPolicy", "Local"), (OTHER_PODS, "selector", {"app": "y"})],
    ids=["key", "policy", "selector"],
)
def test_what_all_change_is_changed_at_their_address(
    api: FakeApi, sharing: Allocator, together: bool, change: Change, field: str, value: Any
) -> None:
    if field == "selector":
        for name in NAMES:
            api.edit_service(KEYS[name], LOCAL)
        sharing.run()
    before = record(api)
    for count, name in enumerate(NAMES, start=1):
        api.edit_service(KEYS[name], change)
        if together:
            continue
        sharing.run()
        if count < len(NAMES):
            assert record(api) == before
            assert reasons(api) == ["SharingConflict"] * count + ["Allocated"] * (len(NAMES) - count)
    sharing.run()
    assert reasons(api) == ["Allocated"] * 3
    assert record(api)[field] == value
    assert [api.ingress(KEYS[name]) for name in NAMES] == [["192.0.2.10"]] * 3


def test_ports_that_are_exchanged_in_one_apply_change_hands(api: FakeApi, sharing: Allocator) -> None:
    for name, other in (("a", "b"), ("b", "c"), ("c", "a")):
        api.edit_service(KEYS[name], ports(PORTS[other]))
    sharing.run()
    assert reasons(api) == ["Allocated"] * 3
    assert [[port["port"] for port in one["ports"]] for one in record(api)["holders"]] == [[443], [25], [80]]


def test_one_that_does_not_fit_keeps_no_others_from_settling(api: FakeApi, sharing: Allocator) -> None:
    api.edit_service(KEYS["c"], key("k3"))
    sharing.run()
    for name, other in (("a", "b"), ("b", "a")):
        api.edit_service(KEYS[name], ports(PORTS[other]))
    sharing.run()
    assert reasons(api) == ["Allocated", "Allocated", "SharingConflict"]


def test_who_changes_back_fits_again(api: FakeApi, sharing: Allocator) -> None:
    for change, back in ((key("k2"), key("k")), (LOCAL, CLUSTER), (ports(443, 8080), ports(80))):
        api.edit_service(KEYS["a"], change)
        sharing.run()
        assert reason(api, "a") == "SharingConflict"
        api.edit_service(KEYS["a"], back)
        sharing.run()
        assert reasons(api) == ["Allocated"] * 3
    assert list(api.allocations) == ["v4-192-0-2-10"]


def test_when_the_last_who_wanted_it_so_is_gone_the_others_have_it_their_way(api: FakeApi, sharing: Allocator) -> None:
    for name in ("a", "b"):
        api.edit_service(KEYS[name], LOCAL)
    sharing.run()
    assert reasons(api) == ["SharingConflict", "SharingConflict", "Allocated"]
    api.delete_service(KEYS["c"])
    sharing.run()
    assert (reason(api, "a"), reason(api, "b")) == ("Allocated", "Allocated")
    assert record(api)["trafficPolicy"] == "Local"


def test_those_who_did_nothing_are_never_outvoted(api: FakeApi, sharing: Allocator) -> None:
    for name in ("a", "b"):
        api.edit_service(KEYS[name], key("k2"))
    sharing.run()
    assert reasons(api) == ["SharingConflict", "SharingConflict", "Allocated"]
    assert record(api)["sharingKey"] == "k"


def test_without_a_key_on_any_all_keep_the_address_and_are_told(api: FakeApi, sharing: Allocator) -> None:
    for name in NAMES:
        api.edit_service(KEYS[name], key(None))
    sharing.run()
    assert reasons(api) == ["SharingConflict"] * 3
    assert (len(record(api)["holders"]), record(api)["sharingKey"]) == (3, "k")


def test_services_of_two_namespaces_keep_an_address_and_never_share_it_under_local(api: FakeApi) -> None:
    for namespace, port in (("shop", 443), ("other", 80)):
        api.put_service(service_body("web", namespace=namespace, ports=[("TCP", port)], annotations={KEY: "k"}))
    allocator = Allocator(api, ROOMY)
    allocator.run()
    keys = [ServiceKey(namespace, "web") for namespace in ("shop", "other")]
    for one in keys:
        api.edit_service(one, LOCAL)
    allocator.run()
    for one in keys:
        condition = api.condition(one)
        assert condition is not None
        assert condition["reason"] == "SharingConflict"
        assert api.ingress(one) == ["192.0.2.10"]
    assert record(api)["trafficPolicy"] == "Cluster"


def test_a_group_settles_also_under_the_next_leader(api: FakeApi, sharing: Allocator) -> None:
    for name in NAMES[:2]:
        api.edit_service(KEYS[name], key("k2"))
    sharing.run()
    api.edit_service(KEYS["c"], key("k2"))
    Allocator(api, ROOMY).run()
    assert reasons(api) == ["Allocated"] * 3
    assert record(api)["sharingKey"] == "k2"


def test_what_the_api_server_refuses_of_one_holds_up_no_other_and_is_not_tried_over_and_over(api: FakeApi) -> None:
    allocator = shared_by(api, NAMES)
    api.refuses = lambda spec: any(port["port"] == 6666 for one in spec["holders"] for port in one["ports"])
    for name, change in (("a", ports(6666)), ("b", ports(25)), ("c", ports(443))):
        api.edit_service(KEYS[name], change)
    allocator.run(until=allocator.now + 5)
    assert reasons(api) == ["RecordRefused", "Allocated", "Allocated"]
    assert [[port["port"] for port in one["ports"]] for one in record(api)["holders"]] == [[80], [25], [443]]


def test_a_port_that_a_holder_wanted_in_vain_is_free_to_join_on_when_it_is_given_up(api: FakeApi) -> None:
    allocator = shared_by(api, ("a", "b"))
    api.edit_service(KEYS["a"], ports(443, 8080))
    allocator.run()
    wish = {KEY: "k", "berth.dev/ips": "192.0.2.10"}
    api.put_service(service_body("c", ports=[("TCP", 8080)], annotations=wish))
    allocator.run()
    assert reasons(api) == ["SharingConflict", "Allocated", "SharingConflict"]
    api.edit_service(KEYS["a"], ports(443, 9090))
    allocator.run()
    assert reasons(api) == ["SharingConflict", "Allocated", "Allocated"]


def test_nothing_settles_into_a_record_that_would_be_too_large() -> None:
    names = [f"s{number}" for number in range(8)]
    few = [request(name, ports=[("TCP", number + 1)], annotations={KEY: "k"}) for number, name in enumerate(names)]
    claim = Claim(address("192.0.2.10"), "edge", tuple(one.holder for one in few), "Cluster", "k")
    starts = [number * MOST_PORTS for number in range(8)]
    many = [[("SCTP", start + number) for number in range(MOST_PORTS)] for start in starts]
    wishes = [request(name, ports=some, annotations={KEY: "k"}) for name, some in zip(names, many, strict=True)]
    assert wire_bytes(one.holder for one in wishes) > MOST_BYTES
    assert settled(claim, {one.holder.uid: one for one in wishes}) == claim


# Whatever they change, in whatever order

changes = st.one_of(
    st.sampled_from(["k", "k2", None]).map(key),
    st.sampled_from([LOCAL, CLUSTER, OTHER_PODS]),
    st.sets(st.sampled_from([80, 443, 25, 8080]), min_size=1, max_size=2).map(lambda some: ports(*sorted(some))),
)


@settings(max_examples=examples(100), deadline=None)
@given(st.lists(st.tuples(st.sampled_from(NAMES), changes, st.integers(0, 3), st.booleans()), min_size=1, max_size=12))
@pytest.mark.slow
def test_nobody_moves_and_who_fits_together_in_the_end_shares(
    edits: list[tuple[str, Change, int, bool]],
) -> None:
    """Each edit is followed by some steps of the allocator, or by another allocator."""
    api = FakeApi()
    allocator = shared_by(api, NAMES)
    for name, change, steps, dies in edits:
        api.edit_service(KEYS[name], change)
        allocator.watch()
        for _ in range(steps):
            allocator.step()
        if dies:
            allocator = Allocator(api, ROOMY)
        assert [api.ingress(KEYS[one]) for one in NAMES] == [["192.0.2.10"]] * 3
    allocator.run()
    assert [api.ingress(KEYS[name]) for name in NAMES] == [["192.0.2.10"]] * 3
    wishes = {name: wish(api, name) for name in NAMES}
    if all(fit(one, other) for one, other in itertools.combinations(wishes.values(), 2)):
        assert reasons(api) == ["Allocated"] * 3
    for name in NAMES:
        recorded = next(one for one in record(api)["holders"] if one["name"] == name)
        as_recorded = {port["port"] for port in recorded["ports"]} == wishes[name][2]
        terms = (record(api).get("sharingKey"), (record(api)["trafficPolicy"], record(api)["selector"]))
        fits = terms == wishes[name][:2] and as_recorded and wishes[name][0] is not None
        assert (reason(api, name) == "Allocated") == fits
    before = len(api.log)
    Allocator(api, ROOMY).run()
    assert api.log[before:] == []


Wish = tuple[str | None, tuple[str, Any], set[int]]


def wish(api: FakeApi, name: str) -> Wish:
    """Key, policy with selector, ports."""
    body = api.services[KEYS[name]]
    spec = body["spec"]
    policy = spec["externalTrafficPolicy"]
    selector = spec["selector"] if policy == "Local" else {}
    ports = {port["port"] for port in spec["ports"]}
    return body["metadata"]["annotations"].get(KEY), (policy, selector), ports


def fit(one: Wish, other: Wish) -> bool:
    return one[0] is not None and one[:2] == other[:2] and not one[2] & other[2]
