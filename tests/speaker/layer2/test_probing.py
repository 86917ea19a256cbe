"""Probing before the first announcement: whose answer counts, when it is tried again, and what never starts it."""

from speaker.layer2.probing import PROBE_AGAIN_SECONDS, Probing, Verdict
from speaker.wire.messages import Answer

VIP, ETH0, ETH1 = "192.0.2.10", ("eth0",), ("eth1",)
STRANGER = "02:00:00:00:00:66"


def under_way(probing: Probing) -> int:
    """The run of the one probe that was just asked for."""
    assert not probing.admits("u1", VIP, ETH0)
    ((address, interfaces, run),) = probing.next_probes(10)
    assert (address, interfaces) == (VIP, ETH0)
    return run


def answer(run: int, *, is_probe: bool = False) -> Answer:
    return Answer(VIP, run, "eth0", STRANGER, is_probe)


def test_an_address_that_nobody_answers_for_is_announced_and_not_probed_again() -> None:
    probing = Probing()
    run = under_way(probing)
    assert not probing.admits("u1", VIP, ETH0)
    assert probing.next_probes(10) == []
    assert probing.finished(VIP, run, sent=3)
    assert probing.admits("u1", VIP, ETH0)
    assert probing.admits("u1", VIP, ETH1)


def test_a_strangers_answer_holds_it_back_until_a_later_run_finds_nobody() -> None:
    probing = Probing()
    run = under_way(probing)
    assert probing.answered(answer(run), None, 100.0) is Verdict.IN_USE
    assert probing.is_in_use(VIP)
    assert probing.finished(VIP, run, sent=3) is False
    assert not probing.admits("u1", VIP, ETH0)
    assert not probing.again(100.0 + PROBE_AGAIN_SECONDS - 0.1)
    assert probing.again(100.0 + PROBE_AGAIN_SECONDS)
    ((_, _, second),) = probing.next_probes(10)
    assert second != run
    assert probing.finished(VIP, second, sent=3)


def test_a_stranger_that_probes_too_counts_as_one_that_has_it() -> None:
    """RFC 5227 §2.1.1: two hosts that probe for one address at a time both take it for a conflict."""
    probing = Probing()
    run = under_way(probing)
    assert probing.answered(answer(run, is_probe=True), None, 0.0) is Verdict.IN_USE


def test_a_speakers_probe_at_the_same_time_changes_nothing() -> None:
    probing = Probing()
    run = under_way(probing)
    assert probing.answered(answer(run, is_probe=True), "node-b", 0.0) is None
    assert probing.finished(VIP, run, sent=3)


def test_where_a_speaker_that_was_its_owner_answers_there_is_nothing_to_find_out() -> None:
    probing = Probing()
    probing.owned_by("u1", "node-b")
    run = under_way(probing)
    assert probing.answered(answer(run), "node-b", 0.0) is Verdict.CLEAR
    assert probing.admits("u1", VIP, ETH0)


def test_an_answer_of_a_node_that_never_was_its_owner_is_its_kernels_and_holds_it_back() -> None:
    probing = Probing()
    probing.owned_by("u1", "node-c")
    probing.owned_by("u2", "node-b")
    run = under_way(probing)
    assert probing.answered(answer(run), "node-b", 0.0) is Verdict.IN_USE
    assert not probing.admits("u1", VIP, ETH0)


def test_who_announced_an_older_allocation_was_not_seen_so_any_speaker_may() -> None:
    probing = Probing()
    probing.read_in_full({"u1"})
    run = under_way(probing)
    assert probing.answered(answer(run), "node-b", 0.0) is Verdict.CLEAR


def test_an_allocation_made_anew_is_no_older_one() -> None:
    probing = Probing()
    probing.read_in_full({"u1"})
    probing.owned_by("u1", "node-b")
    probing.forget("u1")
    run = under_way(probing)
    assert probing.answered(answer(run), "node-b", 0.0) is Verdict.IN_USE


def test_a_run_without_a_single_frame_is_repeated() -> None:
    probing = Probing()
    run = under_way(probing)
    assert probing.finished(VIP, run, sent=0) is False
    assert not probing.admits("u1", VIP, ETH0)
    assert len(probing.next_probes(10)) == 1


def test_other_interfaces_are_probed_anew() -> None:
    probing = Probing()
    run = under_way(probing)
    assert not probing.admits("u1", VIP, ETH1)
    ((_, interfaces, second),) = probing.next_probes(10)
    assert interfaces == ETH1
    assert probing.finished(VIP, run, sent=3) is False
    assert probing.answered(answer(run), None, 0.0) is None
    assert probing.finished(VIP, second, sent=3)


def test_after_a_stop_reports_of_the_old_run_count_for_nothing() -> None:
    probing = Probing()
    run = under_way(probing)
    probing.stop(VIP)
    assert probing.answered(answer(run), None, 0.0) is None
    second = under_way(probing)
    assert probing.answered(answer(run), None, 0.0) is None
    assert probing.finished(VIP, run, sent=3) is False
    assert probing.finished(VIP, second, sent=3)


def test_one_that_was_stopped_while_it_waited_is_not_handed_out() -> None:
    probing = Probing()
    probing.admits("u1", VIP, ETH0)
    probing.stop(VIP)
    assert probing.next_probes(10) == []
    assert not probing.held_back()


def test_another_allocation_of_the_address_is_probed_for_itself() -> None:
    probing = Probing()
    assert probing.finished(VIP, under_way(probing), sent=3)
    assert not probing.admits("u2", VIP, ETH0)


def test_what_was_once_announced_is_never_probed_until_the_allocation_is_gone() -> None:
    probing = Probing()
    probing.learn("u1")
    assert probing.admits("u1", VIP, ETH0)
    probing.read_in_full({"u1"})
    assert probing.admits("u1", VIP, ETH0)
    probing.forget("u1")
    assert not probing.admits("u1", VIP, ETH0)


def test_word_of_an_announcement_elsewhere_ends_the_probing() -> None:
    probing = Probing()
    under_way(probing)
    probing.learn("u1")
    assert probing.admits("u1", VIP, ETH0)
    assert not probing.held_back()
