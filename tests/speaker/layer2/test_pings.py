"""For which addresses echo requests are answered, and what is told of it."""

import pytest

from speaker.layer2.held import Held
from speaker.wire.messages import Announce, AnswerPing, PingFault, UseInterfaces, Withdraw
from tests.speaker.layer2.courses import Node
from tests.speaker.make import advertisement

A, B, SIX = "192.0.2.1", "192.0.2.2", "2001:db8::1"
ETH0 = ("eth0",)
WANTED = advertisement(answerPing=True)


def node(*addresses: str, others: tuple[str, ...] = ()) -> Node:
    made = Node(others=others)
    made.cluster.set_l2_advertisement("all", WANTED)
    for address in addresses:
        made.allocate(address)
    return made


def test_what_is_announced_is_told_to_answer_once() -> None:
    made = node(A)
    assert made.run() == [UseInterfaces(ETH0), Announce(((A, ETH0),)), AnswerPing((A,), True)]
    assert made.run() == []
    made.allocate(SIX)
    assert made.run() == [Announce(((SIX, ETH0),)), AnswerPing((SIX,), True)]


def test_it_waits_for_the_confirmation_that_the_address_is_announced() -> None:
    """An order that nobody waits for may overtake one that somebody does."""
    made = node(A)
    made.decide()
    made.confirm(*made.take())
    announce = made.take()
    assert announce == [Announce(((A, ETH0),))]
    assert made.take() == []
    made.confirm(*announce)
    assert made.take() == [AnswerPing((A,), True)]


def test_nothing_is_said_where_no_advertisement_wants_it() -> None:
    made = Node()
    made.allocate(A)
    assert made.run() == [UseInterfaces(ETH0), Announce(((A, ETH0),))]


def test_it_follows_the_advertisement_and_one_of_several_is_enough() -> None:
    made = node(A)
    made.run()
    made.cluster.set_l2_advertisement("all", advertisement())
    assert made.run() == [AnswerPing((A,), False)]
    made.cluster.set_l2_advertisement("other", WANTED)
    assert made.run() == [AnswerPing((A,), True)]


def test_a_withdrawal_ends_it_and_it_comes_back_with_the_address() -> None:
    made = node(A)
    made.run()
    made.release(A)
    assert made.run() == [Withdraw((A,))]
    made.allocate(A, uid="again")
    assert made.run() == [Announce(((A, ETH0),)), AnswerPing((A,), True)]


def test_a_new_registration_tells_it_again() -> None:
    made = node(A)
    made.run()
    made.begin()
    made.cluster.set_l2_advertisement("all", WANTED)
    made.allocate(A)
    assert made.run()[-2:] == [Announce(((A, ETH0),)), AnswerPing((A,), True)]


def test_what_the_kernel_has_it_answers_by_itself() -> None:
    """As with kube-proxy in IPVS mode: nobody is to get two replies."""
    made = node(A, B)
    made.run()
    made.course.kernel_holds(Held({A: ("kube-ipvs0",)}, {"eth0": 1}))
    assert made.take() == [AnswerPing((A,), False)]
    made.course.kernel_holds(Held({}, {}))
    assert made.take() == [AnswerPing((A,), True)]


@pytest.mark.parametrize("is_wanted", [True, False])
def test_the_advertisements_that_want_it_are_told_why_it_can_not_be(is_wanted: bool) -> None:
    made = node(A)
    made.cluster.set_l2_advertisement("plain", advertisement())
    if not is_wanted:
        made.cluster.set_l2_advertisement("all", advertisement())
    made.run()
    made.course.ping_failed(PingFault("it needs the capability NET_ADMIN"))
    told = made.course.ping_faults()
    assert [one["object"] for one in told] == (["L2Advertisement/all"] if is_wanted else [])
    assert all(one["reason"] == "PingUnanswered" and "NET_ADMIN" in one["message"] for one in told)
    made.course.ping_failed(PingFault(""))
    assert made.course.ping_faults() == []
