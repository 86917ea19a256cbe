"""Which nodes' proxies may not have their rules yet."""

from speaker.cluster.objects import Holder
from speaker.cluster.state import ClusterState
from speaker.notices import Line, Notices
from speaker.proxies.questions import Answer, ProxyAnswered, Question
from speaker.proxies.readiness import (
    FOLLOWED_AT_A_TIME,
    LONGEST_WAIT_SECONDS,
    REFUSED_WAIT_SECONDS,
    SETTLED_SECONDS,
    Readiness,
)
from tests.speaker.make import allocation, node, service, slice_of

OWN, OTHER = "node-a", "node-b"
PORT = 30123


class Told:
    """A node's knowledge of proxies, and a cluster to fill: an address with the policy Local, read at first."""

    def __init__(self, *ready: str, ports: tuple[int, ...] = (PORT,), **fields: object) -> None:
        self.now = 100.0
        self.notices = Notices()
        self.readiness = Readiness(OWN, self.notices)
        self.allocation = allocation(is_local=True, **fields)
        self.allocation = _with_ports(self.allocation, ports)
        self.slice = None
        self.begin(*ready)

    def begin(self, *ready: str) -> None:
        self.cluster = ClusterState()
        self.readiness.begin(self.cluster)
        for name, last in ((OWN, 11), (OTHER, 12)):
            self.cluster.set_node(name, node(addresses=(f"172.30.0.{last}", f"fd00::{last}")))
        self.slice = None
        self.endpoints(*ready)
        self.cluster.set_allocation(self.allocation.name, self.allocation)
        self.pass_time(0)

    def endpoints(self, *ready: str, draining: tuple[str, ...] = ()) -> None:
        made = slice_of(ready=ready, draining=draining, is_ipv6=self.allocation.is_ipv6)
        self.cluster.set_slice("default/web-1", self.slice, made)
        self.slice = made
        self.pass_time(0)

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.readiness.update(self.now)

    def say(self, answer: Answer) -> None:
        for question in self.readiness.questions():
            self.readiness.answered(ProxyAnswered(question, answer), self.now)

    def is_awaited(self, name: str = OWN) -> bool:
        return self.readiness.is_awaited(self.allocation, name)

    def warnings(self) -> list[str]:
        return [one.fields["why"] for one in self.notices.take() if isinstance(one, Line) and one.level == "warning"]


def _with_ports(made, ports):
    holders = tuple(Holder(service(), {}, port) for port in ports)
    return type(made)(**{**{name: getattr(made, name) for name in made.__struct_fields__}, "holders": holders})


def test_a_proxy_is_awaited_from_the_new_endpoint_until_it_says_200() -> None:
    told = Told(OTHER)
    assert not told.is_awaited()
    told.endpoints(OWN, OTHER)
    assert told.is_awaited()
    assert told.readiness.questions() == {Question("172.30.0.11", PORT)}
    told.say(Answer.NOT_READY)
    assert told.is_awaited()
    assert told.readiness.take_settled() == []
    told.say(Answer.READY)
    assert not told.is_awaited()
    assert told.readiness.take_settled() == [told.allocation.name]
    assert told.readiness.questions() == frozenset()
    assert told.warnings() == []


def test_nobody_asks_before_it_matters() -> None:
    told = Told(OTHER)
    told.endpoints(OWN, OTHER)
    assert told.readiness.questions() == frozenset()


def test_what_was_there_when_the_address_was_first_seen_is_not_awaited() -> None:
    assert not Told(OWN).is_awaited()
    told = Told(OTHER)
    told.endpoints(OWN, OTHER)
    told.begin(OWN, OTHER)  # as after a restart
    assert not told.is_awaited()


def test_the_address_of_another_life_is_seen_for_the_first_time() -> None:
    told = Told(OTHER)
    told.endpoints(OWN, OTHER)
    told.allocation = _with_ports(allocation(is_local=True, uid="another"), (PORT,))
    told.cluster.set_allocation(told.allocation.name, told.allocation)
    told.pass_time(0)
    assert not told.is_awaited()


def test_the_policy_cluster_awaits_nothing() -> None:
    told = Told(OTHER)
    told.allocation = _with_ports(allocation(is_local=False), (PORT,))
    told.cluster.set_allocation(told.allocation.name, told.allocation)
    told.endpoints(OWN, OTHER)
    assert not told.is_awaited()


def test_where_nothing_listens_it_is_awaited_for_a_second() -> None:
    told = Told(OTHER)
    told.endpoints(OWN, OTHER)
    assert told.is_awaited()
    told.say(Answer.REFUSED)
    told.pass_time(REFUSED_WAIT_SECONDS - 0.1)
    assert told.is_awaited()
    assert told.readiness.deadline() == told.now + 0.1 or told.readiness.deadline() - told.now < 0.11
    told.pass_time(0.11)
    assert not told.is_awaited()
    assert told.readiness.take_settled() == [told.allocation.name]
    assert told.warnings() == ["nothing listens at the healthCheckNodePort"]


def test_a_proxy_that_once_answered_is_awaited_while_it_restarts() -> None:
    told = Told(OTHER)
    told.endpoints(OWN, OTHER)
    assert told.is_awaited()
    told.say(Answer.NOT_READY)
    told.say(Answer.REFUSED)
    told.pass_time(LONGEST_WAIT_SECONDS - 0.1)
    assert told.is_awaited()


def test_after_the_longest_wait_it_is_announced_anyway_and_said() -> None:
    told = Told(OTHER)
    told.endpoints(OWN, OTHER)
    assert told.is_awaited()
    told.say(Answer.NOT_READY)
    told.pass_time(LONGEST_WAIT_SECONDS)
    assert not told.is_awaited()
    assert told.warnings() == ["it does not answer with 200"]


def test_what_nobody_waited_for_ends_without_a_word() -> None:
    told = Told(OTHER)
    told.endpoints(OWN, OTHER)
    told.pass_time(LONGEST_WAIT_SECONDS)
    assert told.warnings() == []


def test_without_a_health_port_or_an_address_of_that_family_nothing_is_awaited() -> None:
    told = Told(OTHER, ports=(0,))
    told.endpoints(OWN, OTHER)
    assert not told.is_awaited()
    told = Told(OTHER)
    told.cluster.set_node(OWN, node(addresses=("fd00::11",)))
    told.endpoints(OWN, OTHER)
    assert not told.is_awaited()


def test_an_ipv6_address_is_asked_about_at_the_nodes_ipv6_address() -> None:
    told = Told(OTHER, address="2001:db8::1")
    told.endpoints(OWN, OTHER)
    assert told.is_awaited()
    assert told.readiness.questions() == {Question("fd00::11", PORT)}


def test_services_that_share_an_address_are_all_asked_about() -> None:
    told = Told(OTHER, ports=(PORT, PORT + 1))
    told.endpoints(OWN, OTHER)
    assert told.is_awaited()
    own = "172.30.0.11"
    assert told.readiness.questions() == {Question(own, PORT), Question(own, PORT + 1)}
    told.readiness.answered(ProxyAnswered(Question(own, PORT), Answer.READY), told.now)
    assert told.is_awaited()
    assert told.readiness.questions() == {Question(own, PORT + 1)}
    told.say(Answer.READY)
    assert not told.is_awaited()


def test_an_endpoint_that_goes_and_comes_again_is_new_again() -> None:
    told = Told(OTHER)
    told.endpoints(OWN, OTHER)
    assert told.is_awaited()
    told.endpoints(OTHER)
    assert not told.is_awaited()
    assert told.readiness.questions() == frozenset()
    told.endpoints(OWN, OTHER)
    assert told.is_awaited()


def test_another_nodes_proxy_is_asked_at_that_node() -> None:
    told = Told(OWN)
    told.endpoints(OTHER, draining=(OWN,))
    assert told.is_awaited(OTHER)
    assert told.readiness.questions() == {Question("172.30.0.12", PORT)}


def test_a_node_stays_new_for_a_moment_after_its_proxy_was_ready() -> None:
    told = Told(OWN)
    told.endpoints(OWN, OTHER)
    assert told.is_awaited(OTHER)
    told.say(Answer.READY)
    assert told.readiness.is_new(told.allocation, OTHER)
    told.readiness.take_settled()
    told.pass_time(SETTLED_SECONDS)
    assert not told.readiness.is_new(told.allocation, OTHER)
    assert told.readiness.take_settled() == [told.allocation.name]
    assert told.readiness.deadline() is None


def test_many_changes_are_taken_in_a_part_at_a_time() -> None:
    told = Told(OTHER)
    for number in range(FOLLOWED_AT_A_TIME + 1):
        made = allocation(f"10.0.{number >> 8}.{number & 255}", is_local=True)
        told.cluster.set_allocation(made.name, made)
    told.pass_time(0)
    assert told.readiness.has_changes
    told.pass_time(0)
    assert not told.readiness.has_changes


def test_a_release_forgets_everything() -> None:
    told = Told(OTHER)
    told.endpoints(OWN, OTHER)
    assert told.is_awaited()
    released = allocation(is_local=True, is_releasing=True)
    told.cluster.set_allocation(released.name, released)
    told.pass_time(0)
    assert told.readiness.questions() == frozenset()
    told.pass_time(LONGEST_WAIT_SECONDS)
    assert told.readiness.deadline() is None
    assert told.readiness.take_settled() == []
    assert told.warnings() == []


def test_a_port_is_asked_once_for_all_addresses_of_its_service() -> None:
    told = Told(OTHER)
    second = _with_ports(allocation("192.0.2.11", is_local=True), (PORT,))
    told.cluster.set_allocation(second.name, second)
    told.pass_time(0)
    told.endpoints(OWN, OTHER)
    assert told.is_awaited()
    assert told.readiness.is_awaited(second, OWN)
    assert told.readiness.questions() == {Question("172.30.0.11", PORT)}
    told.cluster.set_allocation(second.name, None)
    told.pass_time(0)
    assert told.readiness.questions() == {Question("172.30.0.11", PORT)}
    told.say(Answer.READY)
    assert told.readiness.take_settled() == [told.allocation.name]
    assert told.readiness.questions() == frozenset()
