"""The log's lines of addresses that a node takes over: which, from whom, why; and not more than somebody reads."""

from speaker.batch import Batch
from speaker.cluster.state import Kind
from speaker.layer2.takeovers import LINES_AT_ONCE, OwnerChange, TakeOver, TakeOvers
from speaker.notices import Line
from tests.speaker.cores import World
from tests.speaker.make import node

ADDRESSES = [f"10.0.{number // 250}.{number % 250}" for number in range(5000)]


def taking(addresses: list[str], why: str = "is not heard any more") -> TakeOvers:
    takeovers = TakeOvers()
    for address in addresses:
        takeovers.decided(TakeOver(address, "node-b", why, OwnerChange.NOT_HEARD))
    return takeovers


def test_each_of_a_few_has_a_line_once_it_is_answered_for() -> None:
    takeovers = taking(ADDRESSES[:3])
    assert list(takeovers.confirmed(["192.0.2.99"], 0.0)) == [], "that one is no take-over"
    said = list(takeovers.confirmed(ADDRESSES[:2], 0.0))
    assert said == [TakeOver(one, "node-b", "is not heard any more", OwnerChange.NOT_HEARD) for one in ADDRESSES[:2]]
    assert list(takeovers.confirmed(ADDRESSES[:2], 1.0)) == [], "and is said once"
    takeovers.dropped(ADDRESSES[2])
    assert list(takeovers.confirmed(ADDRESSES[2:3], 2.0)) == []
    assert takeovers.others() is None


def test_of_five_thousand_at_once_ten_have_a_line_and_one_tells_of_the_rest() -> None:
    takeovers = taking(ADDRESSES)
    assert len(list(takeovers.confirmed(ADDRESSES, 0.0))) == LINES_AT_ONCE
    several = takeovers.others()
    assert several is not None
    assert several.number == 5000 - LINES_AT_ONCE
    assert several.such_as == ADDRESSES[LINES_AT_ONCE : LINES_AT_ONCE + 3]
    assert several.why == ["node-b is not heard any more (4990)"]
    assert takeovers.others() is None


def test_all_are_counted_by_reason_whether_a_line_tells_of_them_or_not() -> None:
    takeovers = taking(ADDRESSES)
    list(takeovers.confirmed([*ADDRESSES, "192.0.2.99"], 0.0))
    assert takeovers.take_reasons() == {OwnerChange.NOT_HEARD: 5000}
    assert takeovers.take_reasons() == {}, "and counted once"


def test_later_ones_have_lines_again() -> None:
    takeovers = taking(ADDRESSES[:20])
    assert len(list(takeovers.confirmed(ADDRESSES[:10], 0.0))) == 10
    assert len(list(takeovers.confirmed(ADDRESSES[10:15], 2.0))) == 2


class Listening(World):
    """One that keeps the log's lines of take-overs."""

    said: tuple[Line, ...] = ()

    def turn(self) -> Batch:
        batch = super().turn()
        self.said += tuple(one for one in batch.notices if isinstance(one, Line) and "taken over" in one.event)
        return batch


def lines(world: Listening, seconds: float) -> list[Line]:
    """Said in that time."""
    before = len(world.said)
    world.run(seconds)
    return list(world.said[before:])


def serving_with_another() -> Listening:
    world = Listening("node-b")
    for address in ADDRESSES[:6]:
        world.allocate(address)
    world.run(6.0)
    assert 0 < len(world.answers) < 6, "each has some"
    return world


def test_a_death_a_drained_node_and_a_start_are_told_apart() -> None:
    world = serving_with_another()
    own = set(world.answers)
    world.observe(Kind.NODE, "node-b", node(is_excluded=True))
    said = lines(world, 3.0)
    assert {one.fields["address"] for one in said} == set(ADDRESSES[:6]) - own
    assert {(one.level, one.fields["before"], one.fields["now"]) for one in said} == {("info", "node-b", "node-a")}
    assert {one.fields["why"] for one in said} == {"is excluded by the label"}

    world = serving_with_another()
    world.cut_off.add("node-b")
    world.observe(Kind.SPEAKER, "node-b", None)
    assert {one.fields["why"] for one in lines(world, 15.0)} == {"is not heard any more"}
    assert world.answers == set(ADDRESSES[:6])


def test_what_a_speaker_announces_when_it_starts_is_no_take_over() -> None:
    world = Listening()
    world.allocate("192.0.2.1")
    assert lines(world, 10.0) == []
    assert world.answers == {"192.0.2.1"}
