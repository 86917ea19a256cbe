"""Where an address with the policy Local finds endpoints."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from kube.objects import ServiceKey
from speaker.cluster.endpoints import EndpointIndex, Placement
from tests.speaker.make import service, slice_of


def index_of(**slices):
    index = EndpointIndex()
    for name, facts in slices.items():
        index.replace(name, None, facts)
    return index


def test_the_slices_of_a_service_unite() -> None:
    index = index_of(one=slice_of(ready=("a",)), two=slice_of(ready=("b",)), other=slice_of("mail", ready=("c",)))
    assert index.placement([service()], is_ipv6=False) == Placement(frozenset({"a", "b"}))


def test_each_family_looks_at_its_own_slices() -> None:
    index = index_of(four=slice_of(ready=("a",)), six=slice_of(ready=("b",), is_ipv6=True))
    assert index.placement([service()], is_ipv6=False).nodes == {"a"}
    assert index.placement([service()], is_ipv6=True).nodes == {"b"}


def test_endpoints_that_serve_until_they_end_count_only_when_none_is_ready_anywhere() -> None:
    assert index_of(one=slice_of(ready=("a",), draining=("b",))).placement([service()], False).nodes == {"a"}
    assert index_of(one=slice_of(draining=("b",))).placement([service()], False).nodes == {"b"}
    two = index_of(one=slice_of(draining=("b",)), two=slice_of(ready=("a",)))
    assert two.placement([service()], False).nodes == {"a"}


def test_a_ready_endpoint_without_a_node_counts_for_every_node_and_beats_draining_ones() -> None:
    placement = index_of(one=slice_of(is_ready_unplaced=True, draining=("b",))).placement([service()], False)
    assert placement.is_everywhere
    assert placement.admits("anywhere")
    assert not placement.is_empty


def test_a_draining_endpoint_without_a_node_counts_when_none_is_ready() -> None:
    assert index_of(one=slice_of(is_draining_unplaced=True)).placement([service()], False).is_everywhere
    placed = index_of(one=slice_of(is_draining_unplaced=True, ready=("a",))).placement([service()], False)
    assert not placed.is_everywhere


def of_two_services(web, dns) -> set[str]:
    index = index_of(one=slice_of("web", **web), two=slice_of("dns", **dns))
    return set(index.placement([service("web"), service("dns")], False).nodes)


def test_a_shared_address_belongs_where_each_holder_has_endpoints() -> None:
    """One may have other Pods than the others, until they follow."""
    assert of_two_services({"ready": ("a",)}, {"ready": ("a", "b")}) == {"a"}
    assert of_two_services({"ready": ("a", "b")}, {"ready": ("b",), "draining": ("a",)}) == {"b"}


def test_where_no_node_has_endpoints_of_each_holder_any_that_has_some_will_do() -> None:
    assert of_two_services({"ready": ("a",)}, {"ready": ("b",)}) == {"a", "b"}
    assert of_two_services({"ready": ("a",)}, {}) == {"a"}, "the slices of a new Service come later"
    assert of_two_services({"ready": ("a",)}, {"draining": ("b",)}) == {"a"}, "one is told earlier of a Pod that ends"


def of_two_namespaces(shop, evil) -> Placement:
    index = EndpointIndex()
    for namespace, facts in (("shop", shop), ("evil", evil)):
        index.replace(namespace, None, structs.replace(facts, service=ServiceKey(namespace, "web")))
    return index.placement([ServiceKey("shop", "web"), ServiceKey("evil", "web")], is_ipv6=False)


def test_endpoints_of_two_namespaces_do_not_unite() -> None:
    """On a node with endpoints of one of them kube-proxy drops what is for the other."""
    both = of_two_namespaces(slice_of(ready=("a", "b")), slice_of(ready=("b", "c")))
    assert both == Placement(frozenset({"b"}))
    assert of_two_namespaces(slice_of(ready=("a",)), slice_of(is_ready_unplaced=True)) == Placement(frozenset({"a"}))


def test_where_no_node_has_endpoints_of_both_the_first_namespace_that_has_any_is_served() -> None:
    assert of_two_namespaces(slice_of(ready=("a",)), slice_of(ready=("b",))) == Placement(frozenset({"b"}))
    assert of_two_namespaces(slice_of(ready=("a",)), slice_of()) == Placement(frozenset({"a"}))


def weight(*services, is_ipv6=False, **slices):
    return index_of(**slices).weight([service(name) for name in services or ("web",)], is_ipv6, "a")


def test_a_weight_counts_ready_endpoints_of_one_family_on_one_node() -> None:
    two = slice_of(ready=("a", "b"), several={"a": 2, "b": 9})
    six = slice_of(ready=("a",), several={"a": 7}, is_ipv6=True)
    assert weight(one=two, two=slice_of(ready=("a",)), three=slice_of(ready=("b",)), six=six) == 3
    assert weight(one=two, six=six, is_ipv6=True) == 7


def test_services_that_share_an_address_have_their_endpoints_in_common() -> None:
    slices = {"one": slice_of("web", ready=("a",), several={"a": 2}), "two": slice_of("web-udp", ready=("a",))}
    assert weight("web", "web-udp", **slices) == 2


def test_a_weight_is_one_where_endpoints_only_drain() -> None:
    assert weight(one=slice_of(draining=("a",))) == 1


def test_there_is_no_weight_where_endpoints_do_not_say_where_they_are() -> None:
    assert weight(one=slice_of(ready=("a",), is_ready_unplaced=True)) is None


def test_a_service_without_slices_has_endpoints_nowhere() -> None:
    assert EndpointIndex().placement([service()], False).is_empty


def test_a_slice_that_changes_hands_concerns_both_services() -> None:
    index = index_of(one=slice_of("web", ready=("a",)))
    assert index.replace("one", slice_of("web", ready=("a",)), slice_of("mail", ready=("a",))) == {
        service("web"),
        service("mail"),
    }
    assert index.placement([service("web")], False).is_empty
    assert index.placement([service("mail")], False).nodes == {"a"}


def test_a_change_that_says_the_same_concerns_nobody() -> None:
    index = index_of(one=slice_of(ready=("a",)))
    assert index.replace("one", slice_of(ready=("a",)), slice_of(ready=("a",))) == set()


FACTS = st.one_of(
    st.none(),
    st.builds(
        slice_of,
        st.sampled_from(["web", "mail"]),
        ready=st.lists(st.sampled_from("abc")).map(tuple),
        draining=st.lists(st.sampled_from("abc")).map(tuple),
        is_ipv6=st.booleans(),
        is_ready_unplaced=st.booleans(),
    ),
)


@given(st.lists(st.tuples(st.sampled_from(["one", "two", "three"]), FACTS)))
def test_only_the_last_state_counts_however_it_came_about(changes) -> None:
    index, last = EndpointIndex(), {}
    for name, facts in changes:
        index.replace(name, last.get(name), facts)
        last[name] = facts
    fresh = index_of(**{name: facts for name, facts in last.items() if facts is not None})
    for key in (service("web"), service("mail")):
        for is_ipv6 in (False, True):
            assert index.placement([key], is_ipv6) == fresh.placement([key], is_ipv6)
