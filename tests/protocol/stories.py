"""What goes wrong only in one order of things, which chance seldom finds: each story is told to a new world."""

import itertools
from collections.abc import Callable, Iterator

from speaker.own.requests import CONFIRMATION
from tests.protocol.test_world import ALL, World
from tests.protocol.world import Record, Speaker

Story = Callable[[World], None]


def has_ended(world: World, before: Record | None) -> bool:
    """The release of that IPAllocation."""
    assert before is not None
    now = world.api.record
    return now is None or now.uid != before.uid


def contact_comes_back_after_the_fence(world: World) -> None:
    world.some_lose_the_api_server({"n1"}, "none", 75, True, True)
    world.contact_is_back("n1", False, False)
    world.pass_seconds(5)


def an_islander_does_not_hear_that_the_outage_is_over(world: World) -> None:
    """And its agent freezes with a permit just given."""
    world.cut(set(ALL), "none", with_allocators=True)
    world.pass_seconds(75)
    world.cut(set(ALL) - {"n1"}, "both", with_allocators=True)
    world.two_stop_hearing_each_other("n1", "n2")
    world.two_stop_hearing_each_other("n1", "n3")
    world.the_service_is_deleted_and_its_address_wanted_again()
    world.pass_seconds(4)
    world.a_speaker_freezes("n1", 8)
    world.pass_seconds(8)


def of_two_that_are_cut_off_the_other_is_back(world: World) -> None:
    """Both went on, as a majority. The third has outlived them long ago; with the other it is a majority too, of which
    the one that is still cut off has not heard. And its agent freezes with a permit just given."""
    world.cut({"n1", "n2"}, "none")
    world.pass_seconds(75)
    world.cut({"n2"}, "both")
    world.two_stop_hearing_each_other("n1", "n2")
    world.the_service_is_deleted_and_its_address_wanted_again()
    world.pass_seconds(4)
    world.a_speaker_freezes("n1", 8)
    world.pass_seconds(8)


def a_speaker_that_is_cut_off_freezes_before_it_has_to_be_silent(world: World) -> None:
    """Its wire process goes on alone, and no longer than its permit says."""
    world.some_lose_the_api_server({"n1"}, "none", 45, True, True)
    world.a_speaker_freezes("n1", 40)
    world.pass_seconds(40)


def a_speaker_is_called_dead_that_is_not_and_its_wire_process_is_slow(world: World) -> None:
    """Somebody has deleted its Speaker: so nobody waits for it. It sees that, and can't register anew."""
    one = world.speakers["n1"]
    one.is_wire_slow, one.refuses = True, lambda _: True
    del world.api.speakers["n1"]
    world.the_service_is_deleted_and_its_address_wanted_again()
    world.pass_seconds(8)
    one.is_wire_slow = False


def renewals_sent_before_the_outage_arrive_late_in_it(world: World) -> None:
    world.a_watch_lags("n1")
    world.the_service_is_deleted_and_its_address_wanted_again()
    world.pass_seconds(2)
    world.all_lose_the_api_server_and_what_some_had_sent_arrives_late({"n2", "n3"}, 35)


def a_promise_is_made_while_the_lease_has_long_been_silent(world: World) -> None:
    """And its agent freezes with a permit just given."""
    world.two_stop_hearing_each_other("n1", "n2")
    world.two_stop_hearing_each_other("n1", "n3")
    world.pass_seconds(8)
    world.some_lose_the_api_server({"n1"}, "no leases", 75, True, True)
    world.deaf.clear()
    world.pass_seconds(1)
    world.a_speaker_freezes("n1", 6)
    world.pass_seconds(6)


def witnesses_restart_after_they_outlived_us(world: World) -> None:
    world.some_lose_the_api_server({"n1"}, "none", 45, True, True)
    world.some_restart_without_the_api_server({"n2", "n3"}, 0, 40)


def a_confirmation_of_a_process_that_is_dead_arrives_after_its_successors(world: World) -> None:
    """Overwritten, the successor's would be missed until it looks at the object again: it has nothing more to say."""
    one = world.speakers["n1"]
    before = world.api.record
    for each in world.allocators:
        each.link.mode = "no leases"
    one.is_wire_slow = True
    world.the_service_is_deleted_and_its_address_wanted_again()
    world.pass_seconds(1)
    for each in world.allocators:
        each.frozen_until = world.now + 20
    one.link.mode, one.is_wire_slow = "stuck", False
    world.pass_seconds(3)
    one.crash()
    held, one.link.held = one.link.held, []
    one.link.mode = "both"
    one.start(world.now)
    world.pass_seconds(12)
    for effect in held:
        effect()
    world.pass_seconds(10)
    assert has_ended(world, before), "a release waits for a confirmation that was overwritten"


def newcomers_outlive_those_who_are_cut_off(world: World) -> None:
    """They are witnesses of no promise that was made before they came, and those who made one announce on together."""
    world.cut({"n1", "n2", "n3"}, "none")
    world.others_join()
    world.pass_seconds(12)
    world.the_service_is_deleted_and_its_address_wanted_again()
    world.pass_seconds(90)


def the_confirmation_of_an_earlier_release_is_still_there(world: World) -> None:
    """Of another IPAllocation for the same address: it says nothing about this one."""
    one = world.speakers["n1"]
    one.refuses = lambda write: write.target == CONFIRMATION and None in write.status.get("released", {}).values()
    world.the_service_is_deleted_and_its_address_wanted_again()
    world.pass_seconds(8)
    one.is_lagging = True
    world.the_service_is_deleted_and_its_address_wanted_again()
    world.pass_seconds(8)


def a_machine_is_replaced_and_the_old_one_does_not_notice(world: World) -> None:
    """It reads allocations, but not Speakers: its confirmation is not its successor's."""
    world.speakers["n1"].is_blind = True
    new = world.speakers["another n1"] = Speaker(world.api, "n1", "another-machine")
    new.start(world.now)
    world.pass_seconds(12)
    new.is_lagging = True
    world.the_service_is_deleted_and_its_address_wanted_again()
    world.pass_seconds(5)
    new.is_lagging = False
    world.pass_seconds(85)


def a_machine_is_replaced_while_it_is_cut_off_and_announces(world: World) -> None:
    """Nobody said that it is dead: its successor of the same name can't confirm for it."""
    world.cut({"n1"}, "none")
    world.pass_seconds(1)
    new = world.speakers["another n1"] = Speaker(world.api, "n1", "another-machine")
    new.start(world.now)
    world.pass_seconds(12)
    world.the_service_is_deleted_and_its_address_wanted_again()
    world.pass_seconds(90)


def a_machine_is_replaced_and_its_successor_dies_while_it_waits(world: World) -> None:
    """What it waits for is in the Speaker: the next one waits on."""
    world.cut({"n1"}, "none")
    new = world.speakers["another n1"] = Speaker(world.api, "n1", "another-machine")
    new.start(world.now)
    world.pass_seconds(12)
    new.crash()
    new.start(world.now)
    world.pass_seconds(12)
    world.the_service_is_deleted_and_its_address_wanted_again()
    world.pass_seconds(100)


def a_dead_node_is_said_to_be_shut_down(world: World) -> None:
    """No promise has to run out then, and none has to have been made."""
    world.two_stop_hearing_each_other("n1", "n2")
    world.two_stop_hearing_each_other("n1", "n3")
    world.pass_seconds(8)
    world.a_speaker_ends("n1", "crash")
    before = world.api.record
    world.the_service_is_deleted_and_its_address_wanted_again()
    world.pass_seconds(80)
    assert not has_ended(world, before), "nobody has said that it is dead"
    world.an_operator_says_that_a_node_is_shut_down("n1")
    world.pass_seconds(2)
    assert has_ended(world, before), "a release waits for a node that is shut down"


def a_node_is_said_to_be_shut_down_that_does_not_hear_of_it(world: World) -> None:
    """It is alive, and renews its Lease."""
    world.a_watch_lags("n1")
    world.api.out_of_service.add("n1")
    world.the_service_is_deleted_and_its_address_wanted_again()
    world.pass_seconds(40)


def a_node_that_was_said_to_be_shut_down_is_back(world: World) -> None:
    """And in service, while allocators can't read the Leases."""
    world.a_speaker_ends("n1", "crash")
    world.an_operator_says_that_a_node_is_shut_down("n1")
    world.pass_seconds(30)
    for one in world.allocators:
        one.link.mode = "no leases"
    world.a_speaker_starts("n1")
    world.pass_seconds(12)
    world.a_node_is_in_service_again("n1")
    world.pass_seconds(3)
    world.a_watch_lags("n1")
    world.api.out_of_service.add("n1")
    world.the_service_is_deleted_and_its_address_wanted_again()
    world.pass_seconds(6)


def a_wire_process_takes_its_time_to_withdraw(world: World) -> None:
    """No other speaker waits for it, and no allocator can tell that it still answers."""
    world.speakers["n1"].is_wire_slow = True
    world.the_service_is_deleted_and_its_address_wanted_again()
    world.pass_seconds(8)
    world.speakers["n1"].is_wire_slow = False


def everything_but_confirmations_is_refused(world: World) -> None:
    """As when the definitions are older than the speakers: releases end all the same."""
    for each in world.speakers.values():
        each.refuses = lambda write: write.target != CONFIRMATION and "incarnation" not in write.status
    world.others_join()
    world.pass_seconds(5)
    before = world.api.record
    world.the_service_is_deleted_and_its_address_wanted_again()
    world.pass_seconds(8)
    assert has_ended(world, before), "a release waits for what is refused"


def confirmations_are_refused_for_a_while(world: World) -> None:
    for each in world.speakers.values():
        each.refuses = lambda write: write.target == CONFIRMATION
    world.the_service_is_deleted_and_its_address_wanted_again()
    world.pass_seconds(8)


def released_just_when_a_silent_speaker_is_back(silent: int, back: int) -> Story:
    """And the allocators can't read the Leases for a while."""

    def story(world: World) -> None:
        world.some_lose_the_api_server({"n1"}, "none", silent, False, False)
        for one in world.allocators:
            one.link.mode = "no leases"
        world.contact_is_back("n1", False, False)
        world.pass_seconds(back)
        world.a_watch_lags("n1")
        world.the_service_is_deleted_and_its_address_wanted_again()
        world.pass_seconds(6)

    return story


def stories() -> Iterator[Story]:
    yield contact_comes_back_after_the_fence
    yield an_islander_does_not_hear_that_the_outage_is_over
    yield of_two_that_are_cut_off_the_other_is_back
    yield a_speaker_that_is_cut_off_freezes_before_it_has_to_be_silent
    yield a_speaker_is_called_dead_that_is_not_and_its_wire_process_is_slow
    yield renewals_sent_before_the_outage_arrive_late_in_it
    yield a_promise_is_made_while_the_lease_has_long_been_silent
    yield witnesses_restart_after_they_outlived_us
    yield a_confirmation_of_a_process_that_is_dead_arrives_after_its_successors
    yield newcomers_outlive_those_who_are_cut_off
    yield the_confirmation_of_an_earlier_release_is_still_there
    yield a_machine_is_replaced_and_the_old_one_does_not_notice
    yield a_machine_is_replaced_while_it_is_cut_off_and_announces
    yield a_machine_is_replaced_and_its_successor_dies_while_it_waits
    yield a_dead_node_is_said_to_be_shut_down
    yield a_node_is_said_to_be_shut_down_that_does_not_hear_of_it
    yield a_node_that_was_said_to_be_shut_down_is_back
    yield a_wire_process_takes_its_time_to_withdraw
    yield everything_but_confirmations_is_refused
    yield confirmations_are_refused_for_a_while
    for silent, back in itertools.product(range(80, 90), range(1, 5)):
        yield released_just_when_a_silent_speaker_is_back(silent, back)


def tell(story: Story) -> None:
    """Raises AssertionError when it ends badly."""
    world = World()
    world.begin()
    story(world)
    world.teardown()
