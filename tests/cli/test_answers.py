"""What the answers to `berth arping` mean."""

from ipaddress import ip_address

import pytest

from cli.answers import LASTING_SECONDS, Answers, Meaning, Owner, describe
from cli.owners import owners_in

VIP, VIP6 = ip_address("192.0.2.10"), ip_address("2001:db8::10")
A, B, C = (f"02:00:00:00:00:0{number}" for number in (1, 2, 3))
OWNERS = {A: Owner("node1", "eth0"), B: Owner("node2", "eth0")}
TWO_OF_ONE = {A: Owner("node1", "eth0"), B: Owner("node1", "eth1")}


def answered(*questions: tuple[str, ...], every: float = 1.0) -> Answers:
    """Who answered each question; one is asked every so many seconds."""
    answers = Answers()
    for number, macs in enumerate(questions):
        answers.begin(number * every)
        for mac in macs:
            answers.add(mac)
    return answers


def asked_again(answers: Answers, *, seconds: float) -> bool:
    return answers.must_ask_again(seconds)


LASTING = answered(*[(A, B)] * 5)
"""Both answer each time."""


def test_one_machine_however_often_it_answers() -> None:
    answers = answered((A,), (A,), (A,))
    assert not asked_again(answers, seconds=3.0)
    assert answers.meaning(OWNERS) is Meaning.ONE
    assert answers.verdict(VIP, OWNERS) == f"{VIP} is at {A} (eth0 of node1) (3 asked, 3 answered)"


def test_nobody() -> None:
    answers = answered((), (), ())
    assert not asked_again(answers, seconds=3.0)
    assert answers.meaning(None) is Meaning.NOBODY
    assert answers.verdict(VIP, None) == f"nobody answers for {VIP} (3 asked)"


def test_it_is_asked_again_until_one_answers_alone() -> None:
    assert asked_again(answered((A,), (A, B)), seconds=2.0)
    assert asked_again(answered((A,), (A, B), (B,), (B,)), seconds=4.0)
    done = answered((A,), (A, B), (B,), (B,), (B,))
    assert not asked_again(done, seconds=5.0)
    assert done.meaning(OWNERS) is Meaning.HANDED_OVER
    assert done.verdict(VIP, OWNERS) == (
        f"{VIP} is at {B} (eth0 of node2): it was handed over by {A} (eth0 of node1) while it was asked for"
    )


def test_or_until_several_have_answered_for_longer_than_a_hand_over_takes() -> None:
    several = answered((A,), (A, B), (A, B))
    assert asked_again(several, seconds=1.0 + LASTING_SECONDS - 0.1)
    assert not asked_again(several, seconds=1.0 + LASTING_SECONDS)
    broken = answered((A, B), (A,), (A, B))
    assert asked_again(broken, seconds=2.0 + LASTING_SECONDS - 0.1), "it counts from when both answered again"


def test_nodes_that_go_on_answering_are_kernels() -> None:
    assert LASTING.meaning(OWNERS) is Meaning.NODES
    told = LASTING.verdict(VIP, OWNERS)
    assert f"{A} (eth0 of node1), {B} (eth0 of node2): kernels of nodes answer beside the owner" in told
    assert "ipvs.strictARP" in told
    assert "net.ipv4.conf.all.arp_ignore" in told


def test_for_ipv6_no_setting_helps() -> None:
    told = LASTING.verdict(VIP6, OWNERS)
    assert "arp_ignore" not in told
    assert f"ip address show to {VIP6}" in told


def test_two_interfaces_of_one_node_are_no_two_nodes() -> None:
    assert LASTING.meaning(TWO_OF_ONE) is Meaning.INTERFACES
    told = LASTING.verdict(VIP, TWO_OF_ONE)
    assert "these are interfaces of one node on this segment" in told
    assert "`interfaces` of the L2Advertisement" in told


def test_a_stranger_is_named() -> None:
    answers = answered(*[(A, C)] * 5)
    assert answers.meaning(OWNERS) is Meaning.STRANGER
    assert f"{C} (no speaker's): a machine that is no node of this cluster has it, too" in answers.verdict(VIP, OWNERS)


def test_whose_they_are_is_not_known_without_a_cluster() -> None:
    assert LASTING.meaning(None) is Meaning.UNKNOWN
    assert "--kubeconfig" in LASTING.verdict(VIP, None)
    other = ip_address("192.0.2.1")
    assert LASTING.meaning(None, other) is Meaning.ALIKE
    told = LASTING.verdict(VIP, None, other)
    assert "they all answer for 192.0.2.1 as well, so these are interfaces of one machine" in told
    assert "or kernels of nodes answer beside the owner" in told


def test_a_machine_that_answers_twice_has_a_speaker_and_a_kernel_that_answer() -> None:
    owner_too = answered(*[(A, B, B)] * 5)
    assert owner_too.meaning(None) is Meaning.NODES
    told = owner_too.verdict(VIP, None)
    assert f"{A}, {B} (twice): kernels of nodes answer beside the owner" in told
    assert answered(*[(A, A, B, B)] * 5).meaning(None) is Meaning.UNKNOWN, "the network doubles frames"
    assert answered((A, B, B), *[(A, B)] * 4).meaning(None) is Meaning.UNKNOWN, "an announcement came between"
    assert owner_too.meaning({A: OWNERS[A]}) is Meaning.STRANGER, "what the cluster says counts more"


def test_who_has_fallen_silent_is_not_counted_among_those_that_go_on() -> None:
    answers = answered((A, C), (A, B), (A, B), (A, B))
    assert answers.meaning(OWNERS) is Meaning.NODES
    assert C not in answers.verdict(VIP, OWNERS)
    assert answered((A, B), (), (), ()).meaning(OWNERS) is Meaning.NODES, "nobody is left to be told from them"


def test_all_interfaces_of_a_speaker_are_its_nodes() -> None:
    raw = (
        b'{"metadata":{"name":"node1"},"status":{"interfaces":[{"name":"eth0","mac":"02:00:00:00:00:01","up":true},'
        b'{"name":"eth1","mac":"02:00:00:00:00:02","reason":"Down"},{"name":"ib0"}]}}'
    )
    assert dict(owners_in(raw)) == TWO_OF_ONE
    assert dict(owners_in(b'{"metadata":{"name":"node1"},"status":{"interfaces":null}}')) == {}
    with pytest.raises(ValueError, match="Expected"):
        dict(owners_in(b'{"metadata":{"name":"node1"},"status":7}'))


def test_what_answers_on_a_node_is_named_where_its_speaker_tells_it() -> None:
    told = {A: Owner("node1", "eth0", "Kernel"), B: Owner("node2", "eth1", "UserSpace")}
    assert describe(A, told) == f"{A} (eth0 of node1, by the program in its kernel)"
    assert describe(B, told) == f"{B} (eth1 of node2, by its speaker)"
