"""The release barrier: each clause alone, and one address passed from owner to owner while speakers come and go."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from allocator.claims import Claim, Holder
from allocator.objects import StoredAllocation
from allocator.release.barrier import LeaseBook, Mark, Renewed, Round, awaited, describe, has_passed
from allocator.release.confirmations import Confirmation, ConfirmationStatus, decode_confirmation
from allocator.release.departures import Departed, Departures
from allocator.release.speakers import Fencing, Router, SpeakerState, SpeakerStatus, decode_speaker, listed_speaker
from kube.objects import Meta, ServiceKey
from tests.allocator.build import address
from tests.allocator.speakers import FENCE_SECONDS, FakeSpeaker, confirmations, keep_promises, renewals
from tests.examples import examples

VIP = address("192.0.2.10")
MARK = Mark(VIP, "a1", 7, known_at=990.0)
THREE = ("n1", "n2", "n3")
TOR1 = (Router("192.0.2.1", 90),)


def speaker(node: str = "n1", incarnation: str = "i1", **status: Any) -> SpeakerState:
    return SpeakerState(metadata=Meta(name=node), status=SpeakerStatus(incarnation, **status))


def promising(node: str, seconds: int = 60, witnesses: tuple[str, ...] = THREE, **status: Any) -> SpeakerState:
    return speaker(node, fencing=Fencing(promised=True, fence_after_seconds=seconds, witnesses=witnesses), **status)


def confirming(node: str = "n1", incarnation: str = "i1", released: dict[str, int] | None = None) -> Confirmation:
    status = ConfirmationStatus(incarnation, {"a1": 7} if released is None else released)
    return Confirmation(metadata=Meta(name=node), status=status)


ACKED: dict[str, Any] = {"incarnation": "acked"}
"""A process that has confirmed MARK."""
CONFIRMATIONS = {node: confirming(node, "acked") for node in ("n1", "n2", "n3", "n4", "n5", "n6")}


def round_of(
    speakers: Sequence[SpeakerState],
    sent: float = 1001.0,
    gone: Mapping[str, float] | None = None,
    leases: LeaseBook | None = None,
    departed: Sequence[Departed] = (),
    confirmations: Mapping[str, Confirmation] | None = None,
) -> Round:
    by_node = CONFIRMATIONS if confirmations is None else confirmations
    return Round(speakers, sent, sent + 0.1, gone or {}, leases or LeaseBook(), FENCE_SECONDS, departed, by_node)


def book(
    *fresh: str,
    silent: tuple[str, ...] = (),
    seconds: float = 100.0,
    back: float = 0.0,
    until: int = 1000,
    again: bool = True,
) -> LeaseBook:
    """Leases read every 2 s up to the time 1000, and once `again`, when the Speakers are listed: `silent` have not been
    renewed for the last `seconds`; `fresh` are, each time, since `back`."""
    leases = LeaseBook()
    for tick in range(0, until + (3 if again else 1), 2):
        last = min(tick, until - seconds)
        renewed = {n: Renewed(n, str(max(tick, back))) for n in fresh} | {n: Renewed(n, str(last)) for n in silent}
        leases.observe(renewed, float(tick), tick + 0.1)
    return leases


def judged(*speakers: SpeakerState, leases: LeaseBook | None = None, gone: dict[str, float] | None = None) -> list[str]:
    round_ = round_of(speakers, gone=gone, leases=leases)
    return [one.node for one in awaited(MARK, round_)]


def test_without_speakers_nobody_is_waited_for() -> None:
    assert judged() == []


def confirmed(*speakers: SpeakerState, by: tuple[Confirmation, ...]) -> list[str]:
    """Who is still awaited when these ReleaseConfirmations are there."""
    round_ = round_of(speakers, confirmations={one.metadata.name: one for one in by})
    assert has_passed(MARK, round_) is not bool(awaited(MARK, round_))
    return [one.node for one in awaited(MARK, round_)]


@pytest.mark.parametrize(
    ("released", "is_awaited"),
    [({"a1": 7}, False), ({"a1": 8}, False), ({"a1": 6}, True), ({"a2": 7}, True), ({}, True), ({"a1": -1}, True)],
)
def test_a_confirmation_counts_for_its_uid_and_generation_only(released: dict[str, int], is_awaited: bool) -> None:
    assert bool(confirmed(speaker(), by=(confirming(released=released),))) is is_awaited


def test_a_confirmation_counts_for_its_own_node_alone() -> None:
    assert confirmed(speaker("n1"), speaker("n2"), by=(confirming("n1"),)) == ["n2"]
    assert confirmed(speaker("n1"), speaker("n2"), by=(confirming("n1"), confirming("n2"))) == []


def test_what_another_process_of_the_node_has_confirmed_counts_for_nothing() -> None:
    """Its predecessor withdrew; this one may have announced since then."""
    assert confirmed(speaker(incarnation="i2"), by=(confirming(incarnation="i1"),)) == ["n1"]
    assert confirmed(speaker(incarnation="i1"), by=(confirming(incarnation="i2"),)) == ["n1"]
    assert confirmed(speaker(incarnation="i1"), by=(confirming(incarnation=""),)) == ["n1"]


def test_a_confirmation_by_nobody_is_nobodys() -> None:
    assert confirming(incarnation="").confirmed_by("") == {}


def test_a_confirmation_without_a_status_says_nothing() -> None:
    for status in (None, ConfirmationStatus("i1", None)):
        assert confirmed(speaker(), by=(Confirmation(metadata=Meta(name="n1"), status=status),)) == ["n1"]


def test_what_the_process_of_a_speaker_that_is_gone_had_confirmed_its_routers_do_not_have() -> None:
    departures = Departures()
    departures.gone(departing(), 1000.0)
    for incarnation, passes in (("i1", True), ("i2", False)):
        by = {"n1": confirming(incarnation=incarnation)}
        round_ = round_of((), departed=departures.at(1001.0, ()), confirmations=by)
        assert has_passed(MARK, round_) is passes


def test_a_speaker_by_which_nobody_has_registered_is_not_waited_for() -> None:
    """Its object was made, and its process died before it wrote a status; whoever registers by it reads the mark."""
    assert judged(speaker("n1", incarnation="")) == []
    assert judged(speaker("n1", incarnation=""), speaker("n2")) == ["n2"]


def test_a_speaker_whose_status_does_not_decode_is_waited_for_until_it_is_deleted() -> None:
    raw = b'{"metadata":{"name":"n1"},"status":{"incarnation":"i1","goodbye":true,"routers":7}}'
    with pytest.raises(ValueError, match="Expected"):
        decode_speaker(raw)
    odd = listed_speaker(raw)
    assert (odd.node, odd.has_registered) == ("n1", True)
    assert judged(odd) == ["n1"]
    assert judged(odd, gone={"n1": 0.0}) == ["n1"], "nobody knows what its routers have"
    (one,) = awaited(MARK, round_of((odd,)))
    assert "its Speaker can't be read" in one.why


@pytest.mark.parametrize("number", [-1, 0, 2**31 - 1, 2**63, 10**30])
def test_numbers_of_any_size_are_read(number: int) -> None:
    status = {
        "incarnation": "i1",
        "routers": [{"address": "192.0.2.1", "outlivesSeconds": number}],
        "released": {"a1": number},
    }
    raw = msgspec.json.encode({"metadata": {"name": "n1"}, "status": status})
    assert decode_confirmation(raw).confirmed_by("i1") == {"a1": number}
    assert listed_speaker(raw).outlives_seconds == max(0, number)


def test_everybody_must_have_acknowledged() -> None:
    assert judged(speaker("n1", **ACKED), speaker("n2"), speaker("n3")) == ["n2", "n3"]


def test_a_goodbye_and_a_node_that_is_gone_are_enough() -> None:
    assert judged(speaker("n1", goodbye=True)) == []
    assert judged(speaker("n1"), gone={"n1": 900.0}) == []


def out_of_service(*speakers: SpeakerState, leases: LeaseBook, since: float = 900.0, mark: Mark = MARK) -> list[str]:
    """Why those whose Nodes all have the taint are waited for."""
    round_ = replace(round_of(speakers, leases=leases), out_of_service={one.node: since for one in speakers})
    return [one.why for one in awaited(mark, round_)]


TAINTED = "its Node has the taint node.kubernetes.io/out-of-service, but "


@pytest.mark.parametrize("one", [speaker("n3"), promising("n3"), promising("n3", witnesses=("n3",))])
def test_a_node_that_is_said_to_be_shut_down_is_dead_when_its_lease_is_silent(one: SpeakerState) -> None:
    assert out_of_service(one, leases=book(silent=("n3",), seconds=20, again=False)) == []
    assert judged(one, leases=book(silent=("n3",), seconds=20)) == ["n3"], "silence alone is not enough"


def test_a_lease_that_is_renewed_contradicts_who_says_that_the_node_is_shut_down() -> None:
    assert out_of_service(speaker("n3"), leases=book("n3", again=False)) == [
        TAINTED + "its Lease has been silent for 0 of 15 s only"
    ]
    lately = book(silent=("n3",), seconds=12, again=False)
    assert out_of_service(speaker("n3"), leases=lately) == [TAINTED + "its Lease has been silent for 12 of 15 s only"]


def test_a_lease_of_longer_duration_must_be_silent_for_twice_of_it() -> None:
    def slow(duration: int) -> LeaseBook:
        leases = LeaseBook()
        for sent in (900.0, 995.0):
            leases.observe({"n3": Renewed("l3", "a", duration)}, sent, sent)
        return leases

    assert out_of_service(speaker("n3"), leases=slow(47)) == []
    too_short = TAINTED + "its Lease has been silent for 95 of 96 s only"
    assert out_of_service(speaker("n3"), leases=slow(48)) == [too_short]


def test_a_word_that_a_node_is_shut_down_needs_a_lease_that_was_read_since_the_mark() -> None:
    """Its speaker may have come back, renewed, registered and read the address in between."""
    silent = book(silent=("n3",), seconds=100, again=False)
    late = Mark(VIP, "a1", 7, known_at=1000.5)
    assert out_of_service(speaker("n3"), leases=silent, mark=late) == [TAINTED + "its Lease is read once more"]
    assert "its Lease is not there" in out_of_service(speaker("n3"), leases=LeaseBook())[0]


def test_a_word_about_a_node_says_nothing_of_another_machine_that_had_its_name() -> None:
    moved = speaker("n3", elsewhere=({"machine": "old"},))
    assert "another machine" in out_of_service(moved, leases=book(silent=("n3",), again=False))[0]
    assert not decode_speaker(b'{"metadata":{"name":"n3"},"status":{"elsewhere":null}}').was_elsewhere
    assert decode_speaker(b'{"metadata":{"name":"n3"},"status":{"elsewhere":[{"machine":"old"}]}}').was_elsewhere


def test_one_that_confirms_nothing_for_another_machine_is_told_from_one_that_hangs() -> None:
    for elsewhere, why in ((({"machine": "old"},), "for another machine"), ((), "is alive")):
        (one,) = awaited(MARK, round_of((speaker("n3", elsewhere=elsewhere),), leases=book("n3")))
        assert why in one.why


def test_routes_outlive_a_node_that_is_shut_down_from_when_nothing_contradicts_it() -> None:
    """Long silence, and the taint just now; or an old taint, and a Lease that was renewed under it."""
    one = speaker("n3", routers=TOR1)
    assert out_of_service(one, leases=book(silent=("n3",), seconds=500, again=False), since=912.0) == [
        "its Node is out of service, but routers 192.0.2.1 may keep its routes for 1 s"
    ]
    assert out_of_service(one, leases=book(silent=("n3",), seconds=500, again=False), since=911.0) == []
    assert out_of_service(one, leases=book(silent=("n3",), seconds=100, again=False), since=0.0) == [
        "its Node is out of service, but routers 192.0.2.1 may keep its routes for 4 s"
    ]


def test_routes_outlive_a_node_that_is_gone() -> None:
    assert judged(speaker("n1", routers=(Router("192.0.2.1", 120),)), gone={"n1": 901.0}) == ["n1"]
    assert judged(speaker("n1", routers=TOR1), gone={"n1": 901.0}) == []


def departing(uid: str = "s1", *, incarnation: str = "i1", **status: Any) -> SpeakerState:
    named = SpeakerStatus(incarnation, **{"routers": TOR1, **status})
    return SpeakerState(metadata=Meta(name="n1", uid=uid), status=named)


def left_by(gone: SpeakerState, since: float, now: float = 1001.0) -> list[str]:
    departures = Departures()
    departures.gone(gone, since)
    round_ = round_of((speaker("n2", **ACKED),), now, departed=departures.at(now, ()))
    return [one.why for one in awaited(MARK, round_)]


def test_routes_outlive_a_speaker_whose_object_is_gone() -> None:
    assert left_by(departing(), since=921.0) == [
        "its Speaker is gone, but routers 192.0.2.1 may keep its routes for 10 s"
    ]
    assert left_by(departing(), since=911.0) == []


def test_the_advice_is_the_true_next_step_for_each() -> None:
    """Who is not given up yet is given up by deleting its Speaker; for one that is, only its routers are left."""
    departures = Departures()
    departures.gone(departing(), 1000.0)
    round_ = round_of((speaker("n2"),), departed=departures.at(1001.0, ()))
    both = awaited(MARK, round_)
    assert [one.node for one in both] == ["n1", "n2"]
    assert "n1: its Speaker is gone, but routers 192.0.2.1 may keep its routes for 89 s" in describe(VIP, both)
    assert "delete speaker" not in describe(VIP, both), "n2 may be alive"
    only = describe(VIP, both[:1])
    assert only.endswith(
        "Only if its routers surely have no such route any more, say so: kubectl delete departedspeaker.berth.dev s1"
    )
    assert "delete speaker" not in only


def test_routers_of_a_node_that_is_gone_are_named_with_the_word_for_all_of_them() -> None:
    annotations = {"berth.dev/dropped-routers": "i1/192.0.2.9"}
    routers = (Router("192.0.2.9", 300), *TOR1, Router("fe80::1%eth0", 120))
    gone = SpeakerState(
        metadata=Meta(name="n1", uid="s1", annotations=annotations), status=SpeakerStatus("i1", routers=routers)
    )
    waiting = awaited(MARK, round_of((gone,), 1001.0, {"n1": 1000.0}, LeaseBook()))
    assert waiting[0].why == "its Node is gone, but routers 192.0.2.1, fe80::1%eth0 may keep its routes for 119 s"
    assert describe(VIP, waiting).endswith(
        "kubectl annotate --overwrite speaker.berth.dev n1 "
        "berth.dev/dropped-routers=i1/192.0.2.1,192.0.2.9,fe80::1%eth0"
    )


def with_routers(*routers: Router, dropped: str = "", **status: Any) -> SpeakerState:
    annotations = {"berth.dev/dropped-routers": f"i1/{dropped}"} if dropped else {}
    named = SpeakerStatus("i1", routers=routers, **status)
    return SpeakerState(metadata=Meta(name="n1", annotations=annotations), status=named)


def test_the_router_that_keeps_routes_for_longest_is_waited_for() -> None:
    two = with_routers(Router("192.0.2.1", 90), Router("192.0.2.2", 120))
    assert two.outlives_seconds == 120
    assert judged(two, gone={"n1": 882.0}) == ["n1"]
    assert judged(two, gone={"n1": 881.0}) == []
    assert with_routers(Router("192.0.2.1", -5)).outlives_seconds == 0


def test_a_router_that_an_operator_says_has_dropped_the_routes_is_not_waited_for() -> None:
    routers = (Router("192.0.2.1", 2**31 - 1), Router("192.0.2.2", 90))
    assert with_routers(*routers, dropped="192.0.2.1").outlives_seconds == 90
    assert with_routers(*routers, dropped=" 192.0.2.2 , 192.0.2.1").outlives_seconds == 0
    assert with_routers(*routers, dropped="192.0.2.3,all,,").outlives_seconds == 2**31 - 1


@pytest.mark.parametrize("word", ["192.0.2.1", "/192.0.2.1", "i0/192.0.2.1", "i0/i1/192.0.2.1"])
def test_an_operators_word_says_nothing_of_another_process_than_it_names(word: str) -> None:
    left = SpeakerState(
        metadata=Meta(name="n1", annotations={"berth.dev/dropped-routers": word}),
        status=SpeakerStatus("i1", routers=TOR1),
    )
    assert left.outlives_seconds == TOR1[0].outlives_seconds


def test_who_confirmed_or_said_goodbye_before_its_object_went_leaves_nothing() -> None:
    assert left_by(departing(**ACKED), since=1000.0) == []
    assert left_by(departing(), since=1000.0) != []
    assert left_by(departing(goodbye=True), since=1000.0) == []
    assert left_by(speaker("n1"), since=1000.0) == []


WORLD = (speaker("n1", **ACKED), speaker("n2", **ACKED), promising("n3"))


def test_a_silent_speaker_that_promised_is_fenced_when_a_majority_of_its_witnesses_has_outlived_it() -> None:
    assert judged(*WORLD, leases=book("n1", "n2", silent=("n3",))) == []
    assert judged(*WORLD, leases=book("n1", silent=("n2", "n3"))) == ["n3"]
    assert judged(*WORLD, leases=book("n1", "n2", silent=("n3",), seconds=50)) == ["n3"]
    assert judged(*WORLD[:2], speaker("n3"), leases=book("n1", "n2", silent=("n3",))) == ["n3"]


def test_a_promise_that_was_taken_back_counts_for_nothing() -> None:
    taken_back = speaker("n3", fencing=Fencing(promised=False, fence_after_seconds=60, witnesses=THREE))
    assert judged(*WORLD[:2], taken_back, leases=book("n1", "n2", silent=("n3",))) == ["n3"]


def test_half_of_the_witnesses_is_no_majority() -> None:
    two = (WORLD[0], promising("n2", witnesses=("n1", "n2")))
    assert judged(*two, leases=book("n1", silent=("n2",))) == ["n2"]


def test_a_speaker_alone_is_not_outvoted() -> None:
    assert judged(promising("n1", witnesses=("n1",)), leases=book(silent=("n1",))) == ["n1"]


def test_speakers_that_joined_later_are_no_witnesses() -> None:
    """The silent ones may be an island that knows nothing of them, and goes on announcing."""
    joined = tuple(speaker(node, **ACKED) for node in ("n4", "n5", "n6"))
    leases = book("n3", "n4", "n5", "n6", silent=("n1", "n2"))
    assert judged(promising("n1"), promising("n2"), WORLD[0], *joined, leases=leases) == ["n1", "n2"]


def test_witnesses_that_lost_the_api_server_along_with_it_and_are_back_just_now_count_only_once_it_can_know() -> None:
    """An outage of 100 s for all ends. Within the settle time an islander may not have heard that it is over."""
    assert judged(*WORLD, leases=book("n1", "n2", silent=("n3",), back=988.0)) == ["n3"]
    assert judged(*WORLD, leases=book("n1", "n2", silent=("n3",), back=980.0)) == []


def test_contact_shortly_after_the_last_renewal_of_a_speaker_does_not_outlive_it() -> None:
    """That is how an outage for all looks: the others renewed a little later than it did."""
    leases = LeaseBook()
    for tick in range(0, 1001, 2):
        others = {n: Renewed(n, str(min(tick, 930))) for n in ("n1", "n2")}
        leases.observe(others | {"n3": Renewed("n3", str(min(tick, 900)))}, float(tick), tick + 0.1)
    assert judged(*WORLD, leases=leases) == ["n3"]


def test_the_lease_must_have_been_read_since_the_mark() -> None:
    """It may have renewed, registered and read everything since then, before the mark was written."""
    assert judged(*WORLD, leases=book("n1", "n2", silent=("n3",), until=988)) == ["n3"]


def test_leases_must_have_been_read_before_the_speakers_and_after_them() -> None:
    """Or else a promise may have been made, or taken back, in between."""
    assert judged(*WORLD, leases=book("n1", "n2", silent=("n3",), again=False)) == ["n3"]
    leases = book("n1", "n2", silent=("n3",))
    assert awaited(MARK, round_of(WORLD, 1000.05, {}, leases)) == ()
    early = replace(MARK, known_at=900.0)
    (one,) = awaited(early, round_of(WORLD, 952.0, {}, leases))
    assert one.why == "its Lease has been silent for 50 of 60 s"


def test_the_speakers_must_have_been_listed_after_the_mark() -> None:
    with pytest.raises(ValueError, match="before the release"):
        awaited(MARK, Round((), 989.0, 989.1, {}, LeaseBook(), FENCE_SECONDS))


def test_no_speaker_can_shorten_its_fence() -> None:
    odd = promising("n3", -1000, routers=(Router("192.0.2.1", -1000),))
    assert judged(*WORLD[:2], odd, leases=book("n1", "n2", silent=("n3",), seconds=50)) == ["n3"]


def test_the_longer_of_both_fences_counts_and_what_routers_keep_on_top() -> None:
    two = WORLD[:2]
    assert judged(*two, promising("n3", 120), leases=book("n1", "n2", silent=("n3",), seconds=100)) == ["n3"]
    assert judged(*two, promising("n3", 120), leases=book("n1", "n2", silent=("n3",), seconds=130)) == []
    kept = promising("n3", routers=(Router("192.0.2.1", 180),))
    assert judged(*two, kept, leases=book("n1", "n2", silent=("n3",), seconds=230)) == ["n3"]


def fenced_at(stopped: SpeakerState, given_back_at: float) -> int:
    """When a release stops waiting for n3, which renewed its Lease until 700 and gave it back (empty holder) then.

    n1 and n2 are alive. The Leases are read every 2 s, the Speakers in between, and the barrier is judged.
    """
    leases, mark = LeaseBook(), Mark(VIP, "a1", 7, known_at=690.0)
    for tick in range(600, 2000, 2):
        renewed = {n: Renewed(n, f"{n} {tick}") for n in ("n1", "n2")}
        holder = "n3" if tick < given_back_at else ""
        leases.observe({**renewed, "n3": Renewed("n3", f"{holder} {min(tick, 700)}")}, float(tick), tick + 0.1)
        if tick >= 700 and not awaited(mark, round_of((*WORLD[:2], stopped), tick - 1.0, {}, leases)):
            return tick
    raise AssertionError("it is waited for without end")


def test_a_stop_under_graceful_restart_is_waited_for_until_routers_have_forgotten_or_it_is_back() -> None:
    """No goodbye was said, since nothing was withdrawn. That the Lease was given back shortens nothing: its holder was
    alive at that moment, so the silence begins there, and not at the renewal before."""
    stopped = promising("n3", routers=(Router("192.0.2.1", 120),))
    renewed, given_back = fenced_at(stopped, given_back_at=9999.0), fenced_at(stopped, given_back_at=750.0)
    assert 700 + FENCE_SECONDS + 120 <= renewed <= 700 + FENCE_SECONDS + 120 + 10
    assert 750 + FENCE_SECONDS + 120 <= given_back <= 750 + FENCE_SECONDS + 120 + 10
    assert fenced_at(promising("n3", routers=(Router("192.0.2.1", 120),), **ACKED), given_back_at=750.0) == 700


def test_who_was_outlived_long_ago_is_fenced_after_what_routers_keep() -> None:
    kept = promising("n3", routers=(Router("192.0.2.1", 20),))
    leases = LeaseBook()
    for tick in range(0, 1001, 2):
        others = {n: Renewed(n, str(tick)) for n in ("n1", "n2")}
        leases.observe(others | {"n3": Renewed("n3", "0")}, float(tick), tick + 0.1)
        if tick >= 992:
            outcome = awaited(MARK, round_of((*WORLD[:2], kept), tick - 1.5, {}, leases))
    assert [one.node for one in outcome] == ["n3"]
    for tick in range(1002, 1031, 2):
        others = {n: Renewed(n, str(tick)) for n in ("n1", "n2")}
        leases.observe(others | {"n3": Renewed("n3", "0")}, float(tick), tick + 0.1)
        outcome = awaited(MARK, round_of((*WORLD[:2], kept), tick - 1.5, {}, leases))
    assert outcome == ()


def test_silence_is_only_what_our_own_reads_have_proven() -> None:
    leases = LeaseBook()
    leases.observe({"n1": Renewed("l1", "a")}, 0.0, 0.1)
    assert leases.silent_seconds("n1") == 0.0
    leases.observe({"n1": Renewed("l1", "a")}, 500.0, 500.1)
    assert leases.silent_seconds("n1") == pytest.approx(499.9)
    leases.observe({"n1": Renewed("l1", "b")}, 502.0, 502.1)
    assert leases.silent_seconds("n1") == 0.0
    assert leases.silent_seconds("unknown") == 0.0


def test_a_lease_that_is_not_there_shows_no_silence() -> None:
    """Somebody deleted it, and its speaker is about to make it anew."""
    leases = book("n1", "n2", silent=("n3",))
    assert judged(*WORLD, leases=leases) == []
    leases.observe({n: Renewed(n, "1000.5") for n in ("n1", "n2")}, 1000.5, 1000.6)
    (one,) = awaited(MARK, round_of(WORLD, 1001.0, {}, leases))
    assert (one.node, one.why) == ("n3", "its Lease is not there, so nothing shows that it is silent")
    assert leases.silent_seconds("n3") == 0.0


def test_silence_begins_anew_when_a_lease_is_there_again() -> None:
    leases = book("n1", "n2", silent=("n3",), seconds=500)
    leases.observe({n: Renewed(n, "1000.5") for n in ("n1", "n2")}, 1000.5, 1000.6)
    leases.observe({n: Renewed(n, "1002.5") for n in ("n1", "n2", "n3")}, 1002.5, 1002.6)
    leases.observe({n: Renewed(n, "1002.5") for n in ("n1", "n2", "n3")}, 1004.5, 1004.6)
    assert leases.silent_seconds("n3") == pytest.approx(1.9)
    assert judged(*WORLD, leases=leases) == ["n3"]


def outlived(leases: LeaseBook) -> dict[str, float]:
    return dict(leases.outlived_by("n1", ("n1", "n2"), 30.0))


def test_contact_is_proven_by_three_renewals_that_followed_the_first_look() -> None:
    leases = LeaseBook()
    for sent, text in ((0.0, "a"), (30.1, "b"), (32.0, "c"), (34.0, "d")):
        leases.observe({"n1": Renewed("l1", "x"), "n2": Renewed("l2", text)}, sent, sent)
        assert outlived(leases) == {}, "the renewal seen first may have been sent long before"
    leases.observe({"n1": Renewed("l1", "x"), "n2": Renewed("l2", "e")}, 36.0, 36.0)
    assert outlived(leases) == {"n2": 36.0}
    leases.observe({"n1": Renewed("l1", "x"), "n2": Renewed("l2", "f")}, 90.0, 90.0)
    assert outlived(leases) == {"n2": 36.0}, "once and for all"
    leases.observe({"n1": Renewed("l1", "y"), "n2": Renewed("l2", "f")}, 92.0, 92.0)
    assert outlived(leases) == {}


def test_renewals_of_another_lease_prove_nothing_together_with_those_of_the_first() -> None:
    leases = LeaseBook()
    for number, sent in enumerate((40.0, 42.0, 44.0, 46.0, 48.0, 50.0)):
        leases.observe({"n1": Renewed("l1", "x"), "n2": Renewed(f"l{number // 2}", str(sent))}, sent, sent)
    assert outlived(leases) == {}


def test_the_message_names_the_nodes_and_the_way_out() -> None:
    round_ = round_of((speaker("n2"), speaker("n1", **ACKED)))
    message = describe(VIP, awaited(MARK, round_))
    assert "192.0.2.10" in message
    assert "n2: it made no promise" in message
    assert "n1" not in message


@pytest.mark.parametrize(
    ("leases", "is_asked"),
    [
        (LeaseBook(), False),
        (book("n2"), False),
        (book(silent=("n2",), seconds=58), False),
        (book(silent=("n2",), seconds=63), True),
    ],
    ids=["nothing is known", "it is alive", "it is silent for less than the fence time", "it is silent for longer"],
)
def test_nobody_is_asked_to_say_that_a_node_is_dead_before_the_fence_time(leases: LeaseBook, is_asked: bool) -> None:
    message = describe(VIP, awaited(MARK, round_of((speaker("n2"),), leases=leases)))
    assert ("surely off, say so: kubectl delete speaker.berth.dev n2" in message) is is_asked


def test_of_several_nodes_the_silent_one_is_named_in_the_command() -> None:
    leases = book("n1", silent=("n2",))
    message = describe(VIP, awaited(MARK, round_of((speaker("n1"), speaker("n2")), leases=leases)))
    assert "kubectl delete speaker.berth.dev n2" in message
    assert "kubectl delete speaker.berth.dev n1" not in message


def test_a_speaker_is_read_from_the_wire() -> None:
    raw = msgspec.json.encode(
        {
            "metadata": {"name": "n1"},
            "status": {
                "fencing": {"promised": True, "fenceAfterSeconds": 60, "witnesses": ["n1"]},
                "routers": [{"address": "192.0.2.1", "outlivesSeconds": 90}],
                "unknown": 1,
            },
        }
    )
    decoded = decode_speaker(raw)
    assert (decoded.node, decoded.outlives_seconds) == ("n1", 90)
    assert decoded.witnesses == {"n1"}
    assert decode_speaker(b'{"metadata":{"name":"n1"},"status":{"routers":null}}').routers() == {}


NODES = ("n1", "n2", "n3")
nodes = st.sampled_from(NODES)


class HandOver(RuleBasedStateMachine):
    """One address, one owner after the other; the allocator marks, judges, deletes, and gives it to the next."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.speakers = {node: FakeSpeaker(node) for node in NODES}
        self.leases = LeaseBook()
        self.owner = 1
        self.generation: int | None = 1
        self.releasing = False
        self.marked_at = 0.0

    @initialize(count=st.sampled_from([3, 3, 2, 1]))
    def begin(self, count: int) -> None:
        for node in NODES[:count]:
            self.speakers[node].start(self.now)
            self.lists(node)
        self.poll()

    def stored(self) -> list[StoredAllocation]:
        if self.generation is None:
            return []
        holder = Holder(ServiceKey("default", f"s{self.owner}"), f"s{self.owner}", ())
        claim = Claim(VIP, "edge", (holder,), releasing=self.releasing)
        return [StoredAllocation(claim, f"a{self.owner}", 1, self.generation)]

    # The allocator

    @rule()
    def mark(self) -> None:
        if self.generation is not None and not self.releasing:
            self.releasing, self.generation, self.marked_at = True, self.generation + 1, self.now

    @rule()
    def judge_and_hand_over(self) -> None:
        if not self.releasing or self.generation is None:
            return
        listed = [one.state() for one in self.speakers.values() if one.written is not None]
        by_node = confirmations(self.speakers.values())
        round_ = round_of(listed, self.now, leases=self.leases, confirmations=by_node)
        if not awaited(Mark(VIP, f"a{self.owner}", self.generation, self.marked_at), round_):
            self.owner, self.releasing, self.generation = self.owner + 1, False, 1

    @rule()
    def whoever_can_helps(self) -> None:
        """A release as it should be: whatever goes wrong besides must not make it pass too early."""
        self.mark()
        self.everybody_acknowledges()
        self.judge_and_hand_over()
        self.everybody_acknowledges()

    @rule()
    def allocator_restarts(self) -> None:
        self.leases = LeaseBook()

    # Speakers

    @rule(node=nodes)
    def lists(self, node: str) -> None:
        one = self.speakers[node]
        if one.is_running and not one.is_cut:
            if one.written is None or one.is_old(self.now) or not one.has_listed:
                one.start(self.now)
            one.list(self.stored())

    @rule(node=nodes)
    def acknowledges(self, node: str) -> None:
        one = self.speakers[node]
        if one.is_running and not one.is_cut and one.has_listed:
            one.acknowledge()

    @rule()
    def everybody_acknowledges(self) -> None:
        for node in NODES:
            self.lists(node)
            self.acknowledges(node)

    @rule(node=nodes)
    def starts(self, node: str) -> None:
        if not self.speakers[node].is_running and not self.speakers[node].is_cut:
            self.speakers[node].start(self.now)

    @rule(cut=st.sets(nodes, min_size=1, max_size=2), seconds=st.sampled_from([0.0, 20.0, 70.0]))
    def are_cut_off(self, cut: set[str], seconds: float) -> None:
        for node in cut:
            self.speakers[node].is_cut = True
        self.time_passes(seconds)

    @rule(node=nodes)
    def is_back(self, node: str) -> None:
        self.speakers[node].is_cut = False

    @rule(node=nodes, word=st.sampled_from(["goodbye", "crash", "crash and deleted"]))
    def stops(self, node: str, word: str) -> None:
        one = self.speakers[node]
        if word == "goodbye" and one.is_running and not one.is_cut:
            one.say_goodbye()
        elif word != "goodbye":
            one.crash()
            if word.endswith("deleted"):
                one.written = None

    @rule(seconds=st.sampled_from([4.0, 20.0, 46.0, 70.0]))
    def time_passes(self, seconds: float) -> None:
        until = self.now + seconds
        while self.now < until:
            self.now += 2.0
            for one in self.speakers.values():
                if one.is_running and not one.is_cut and not one.is_old(self.now):
                    one.renew(self.now)
            keep_promises(self.speakers.values(), self.now)
            self.poll()

    def poll(self) -> None:
        self.leases.observe(renewals(self.speakers.values()), self.now, self.now)

    @invariant()
    def one_owner_on_the_wire(self) -> None:
        owners = {uid for one in self.speakers.values() for uids in one.on_wire.values() for uid in uids}
        assert len(owners) <= 1, f"{VIP} is announced for {sorted(owners)}"

    def teardown(self) -> None:
        """The faults end, the operator gives up on the dead: the release ends."""
        for one in self.speakers.values():
            one.is_cut = False
            if not one.is_running:
                one.written = None
        self.mark()
        before = self.owner
        self.everybody_acknowledges()
        self.judge_and_hand_over()
        assert self.generation is None or self.owner == before + 1


HandOver.TestCase.settings = settings(max_examples=examples(500), stateful_step_count=20, deadline=None)
TestHandOver = pytest.mark.slow(HandOver.TestCase)
