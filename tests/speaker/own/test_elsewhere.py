"""A speaker of this node's name on another machine: when it is surely silent, and what ends the wait otherwise."""

import pytest

from crds.fencing import HEARD_SECONDS, OUTLIVED_SLACK_SECONDS, SETTLE_SECONDS, margin_seconds
from crds.speaker import FOREVER_SECONDS
from speaker.fencing import Contact, MemberContacts
from speaker.own.elsewhere import OtherMachines
from speaker.own.predecessor import Elsewhere, LastWord

F = 60
START = 1000.0
OUTLIVED = START + F / 2 + OUTLIVED_SLACK_SECONDS + HEARD_SECONDS
FENCED = START + F + margin_seconds(F)
WITNESSES = frozenset({"own", "b", "c", "d", "e"})


def other(machine: str = "m2", witnesses=WITNESSES, outlives: int = 0) -> Elsewhere:
    return Elsewhere(machine, F, witnesses, outlives)


def others(*words: Elsewhere, machine: str = "m1") -> OtherMachines:
    made = OtherMachines("own")
    made.take(LastWord(elsewhere=words), machine)
    made.registered(START)
    return made


def heard(began: float, *nodes: str) -> MemberContacts:
    return MemberContacts(frozenset("bcde"), {node: Contact(began, began) for node in nodes})


def test_a_predecessor_on_the_same_machine_is_dead() -> None:
    assert not others(other("m1")).may_announce(START, MemberContacts())
    assert not others(other("m1 lasting"), machine="rebooted lasting").may_announce(START, MemberContacts())


def test_one_that_turns_out_to_have_been_this_machine_before_its_reboot_is_dead() -> None:
    made = others(other("old lasting"), other("m3"), machine="rebooted")
    made.known_as("rebooted lasting")
    assert [one.machine for one in made.entries()] == ["m3"]


def test_one_elsewhere_is_silent_when_f_has_passed_and_a_majority_of_its_witnesses_outlived_it() -> None:
    made = others(other())
    assert made.may_announce(OUTLIVED, heard(OUTLIVED, "b", "c", "d"))
    assert made.may_announce(FENCED - 0.1, heard(OUTLIVED, "b", "c", "d"))
    assert not made.may_announce(FENCED, heard(OUTLIVED, "b", "c", "d"))


def test_it_is_given_time_to_hear_of_that() -> None:
    made = others(other())
    late = FENCED + 100
    assert made.may_announce(late, heard(late, "b", "c", "d"))
    assert made.may_announce(late + SETTLE_SECONDS - 0.1, MemberContacts())
    assert not made.may_announce(late + SETTLE_SECONDS, MemberContacts())


@pytest.mark.parametrize(
    ("began", "nodes"),
    [
        (OUTLIVED - 0.1, ("b", "c", "d")),
        (OUTLIVED, ("b", "c")),
        (OUTLIVED, ("own", "b", "c")),
        (OUTLIVED, ("b", "c", "x", "y")),
    ],
)
def test_what_is_no_majority_of_its_witnesses_that_outlived_it_proves_nothing(began, nodes) -> None:
    """An outage of the API server for all looks like that: it may announce for as long as that lasts."""
    made = others(other())
    for second in range(0, 1000, 5):
        assert made.may_announce(FENCED + second, heard(began, *nodes))


def test_its_routers_have_their_time_from_then_on() -> None:
    made = others(other(outlives=105))
    assert made.may_announce(OUTLIVED, heard(OUTLIVED, "b", "c", "d"))
    assert made.may_announce(FENCED + 104.9, MemberContacts())
    assert not made.may_announce(FENCED + 105, MemberContacts())


def test_without_a_promise_only_an_operators_word_ends_it() -> None:
    made = others(other(witnesses=None))
    assert made.may_announce(START + 1e6, heard(START + 1e6, "b", "c", "d", "e"))
    made.all_said_off(START)
    assert not made.may_announce(START, MemberContacts())


def test_a_word_counts_for_the_machine_that_it_names() -> None:
    made = others(other("m2 lasting", witnesses=None), other("m3 lasting", witnesses=None))
    made.said_off({"m3", "lasting"}, START)
    assert made.may_announce(START, MemberContacts())
    assert [one.machine for one in made.entries()] == ["m2 lasting"]


def test_its_routers_have_their_time_after_a_word() -> None:
    made = others(other(witnesses=None, outlives=105))
    made.said_off({"m2"}, START + 10)
    made.said_off({"m2"}, START + 60)
    assert made.may_announce(START + 114.9, MemberContacts())
    assert [one.is_said_off for one in made.entries()] == [True]
    assert not made.may_announce(START + 115, MemberContacts())


def test_a_word_is_enough_where_routers_never_forget() -> None:
    made = others(other(witnesses=None, outlives=FOREVER_SECONDS))
    made.said_off({"m2"}, START)
    assert not made.may_announce(START, MemberContacts())


def test_each_machine_ends_by_its_own_word() -> None:
    made = others(other("m2"), other("m3", witnesses=None))
    assert made.may_announce(OUTLIVED, heard(OUTLIVED, "b", "c", "d"))
    assert made.may_announce(FENCED, MemberContacts())
    assert [one.machine for one in made.entries()] == ["m3"]


def test_it_is_counted_from_the_first_registration_and_known_until_it_ends() -> None:
    """A process that dies while it waits leaves what its successor has to know."""
    made = OtherMachines("own")
    made.take(LastWord(elsewhere=(other(),)), "m1")
    assert made.may_announce(FENCED + 1000, heard(FENCED + 1000, "b", "c", "d"))
    made.registered(START)
    made.registered(START + 500)
    assert made.may_announce(OUTLIVED, heard(OUTLIVED, "b", "c", "d"))
    assert made.entries() == [other()]
    assert not made.may_announce(FENCED, MemberContacts())
    assert made.entries() == []


def test_of_two_words_of_one_machine_the_worse_counts() -> None:
    made = OtherMachines("own")
    made.take(LastWord(elsewhere=(other(outlives=10),)), "m1")
    made.take(LastWord(elsewhere=(other(witnesses=None),)), "m1")
    assert made.entries() == [other(witnesses=None, outlives=10)]
