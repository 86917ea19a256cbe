"""Rules of a release: what an allocator must know before an address is free."""

from tests.mutations.edits import Edit
from tests.mutations.mutation import Mutation, Story, Test

BARRIER, LEASES = "allocator.release.barrier", "allocator.release.barrier:LeaseBook"
OUTLIVED_BY = "leases.outlived_by(speaker.node, speaker.witnesses, after)"

MUTATIONS = (
    Mutation(
        "leases-again",
        "Leases are read once more after the Speakers",
        f"{BARRIER}:_why_not_silent",
        (Edit("leases.silent_until(speaker.node) <= round_.received", "False"),),
        Test(
            "tests/allocator/release/test_barrier.py::"
            "test_leases_must_have_been_read_before_the_speakers_and_after_them",
            "",
        ),
    ),
    Mutation(
        "leases-before",
        "a Lease was silent for so long before the Speakers were listed",
        f"{BARRIER}:_why_not_silent",
        (Edit("min(leases.silent_until(speaker.node), round_.sent)", "leases.silent_until(speaker.node)"),),
        Test(
            "tests/allocator/release/test_barrier.py::"
            "test_leases_must_have_been_read_before_the_speakers_and_after_them",
            "the Speakers are listed each second there",
        ),
    ),
    Mutation(
        "word-contradicted",
        "a node that renews its Lease is not shut down, whatever an operator says",
        f"{BARRIER}:_what_contradicts",
        (Edit("if silent < needed:\n    ...", "pass"),),
        Story("a_node_is_said_to_be_shut_down_that_does_not_hear_of_it"),
    ),
    Mutation(
        "word-after-mark",
        "Leases are read after the mark is known, also where an operator's word counts",
        f"{BARRIER}:_what_contradicts",
        (Edit("leases.silent_until(_1) <= mark.known_at or round_.sent < leases.read_at", "False"),),
        Story("a_node_that_was_said_to_be_shut_down_is_back"),
    ),
    Mutation(
        "ack-uid",
        "a confirmation counts for the uid that it names",
        f"{BARRIER}:_has_confirmed",
        (Edit("_1.get(mark.uid, -1)", "max(_1.values(), default=-1)"),),
        Story("the_confirmation_of_an_earlier_release_is_still_there"),
    ),
    Mutation(
        "ack-generation",
        "a confirmation counts for the generation that it names",
        f"{BARRIER}:_has_confirmed",
        (Edit("_1.get(mark.uid, -1) >= mark.generation", "mark.uid in _1"),),
        Test(
            "tests/allocator/release/test_barrier.py::test_a_confirmation_counts_for_its_uid_and_generation_only",
            "no mark is taken back, so each uid has one generation that is marked",
        ),
    ),
    Mutation(
        "everybody",
        "everybody must have confirmed",
        f"{BARRIER}:_awaited",
        (Edit("round_.speakers", "round_.speakers[1:]"),),
        Story("contact_comes_back_after_the_fence"),
    ),
    Mutation(
        "fresh-list",
        "the Speakers are listed after the mark is known",
        f"{BARRIER}:_awaited",
        (Edit("if round_.sent < mark.known_at:\n    ...", "pass"),),
        Test(
            "tests/allocator/release/test_barrier.py::test_the_speakers_must_have_been_listed_after_the_mark",
            "the loop judges no mark by an earlier list",
        ),
    ),
    Mutation(
        "registered-only",
        "a Speaker by which nobody has registered is not waited for",
        "allocator.release.speakers:SpeakerState.has_registered",
        (Edit("bool(self.incarnation or self.unreadable)", "True"),),
        Test(
            "tests/allocator/release/test_barrier.py::test_a_speaker_by_which_nobody_has_registered_is_not_waited_for",
            "",
        ),
    ),
    Mutation(
        "unreadable",
        "a Speaker that does not decode is waited for",
        f"{BARRIER}:_not_fenced",
        (Edit("if speaker.unreadable:\n    ...", "if speaker.unreadable:\n    return Awaited(speaker.node, '')"),),
        Test(
            "tests/allocator/release/test_barrier.py::"
            "test_a_speaker_whose_status_does_not_decode_is_waited_for_until_it_is_deleted",
            "",
        ),
    ),
    Mutation(
        "outvoting",
        "a majority of the witnesses has outlived who is fenced",
        f"{BARRIER}:_why_not_silent",
        (Edit(OUTLIVED_BY, "dict.fromkeys(speaker.witnesses, -1e9)"),),
        Story("an_islander_does_not_hear_that_the_outage_is_over"),
    ),
    Mutation(
        "settle",
        "a speaker that is fenced had time to hear that it was outlived",
        f"{BARRIER}:_why_not_silent",
        (Edit("_1 >= SETTLE_SECONDS + speaker.outlives_seconds", "_1 >= speaker.outlives_seconds"),),
        Test(
            "tests/allocator/release/test_barrier.py::"
            "test_witnesses_that_lost_the_api_server_along_with_it_and_are_back_just_now_count_only_once_it_can_know",
            "members that are lost are noticed at once there, and permits end before Leases are read often enough",
        ),
    ),
    Mutation(
        "settled-majority",
        "it had that time after a strict majority had outlived it",
        f"{BARRIER}:_why_not_silent",
        (Edit("2 * len(known) <= len(speaker.witnesses)", "4 * len(known) <= len(speaker.witnesses)"),),
        Story("of_two_that_are_cut_off_the_other_is_back"),
    ),
    Mutation(
        "proof",
        "contact is proven by three renewals, not shown by one",
        f"{BARRIER}:_observed",
        (Edit("Proof(ends[0], received)", "Proof(ends[-1], received)"),),
        Story("renewals_sent_before_the_outage_arrive_late_in_it"),
    ),
    Mutation(
        "witnesses",
        "the promise names its witnesses",
        f"{BARRIER}:_why_not_silent",
        (Edit(OUTLIVED_BY, "leases.outlived_by(speaker.node, [one.node for one in round_.speakers], after)"),),
        Story("newcomers_outlive_those_who_are_cut_off"),
    ),
    Mutation(
        "fence-time",
        "a speaker that is fenced was silent for as long as it promised, and as long as this allocator is told",
        f"{BARRIER}:_why_not_silent",
        (Edit("if silent < needed:\n    ...", "pass"),),
        Test("tests/allocator/release/test_barrier.py::test_no_speaker_can_shorten_its_fence", ""),
    ),
    Mutation(
        "lifetime",
        "what routers keep of a speaker comes on top of its silence",
        "allocator.release.speakers:SpeakerState.outlives_seconds",
        (Edit("max(self.routers().values(), default=0)", "0"),),
        Test(
            "tests/allocator/release/test_barrier.py::"
            "test_the_longer_of_both_fences_counts_and_what_routers_keep_on_top",
            "",
        ),
    ),
    Mutation(
        "word-on-another-process",
        "an operator's word on routers counts for the process that it names",
        "allocator.release.speakers:SpeakerState.dropped_routers",
        (Edit("process and process == self.status.incarnation", "True"),),
        Test(
            "tests/allocator/release/test_barrier.py::"
            "test_an_operators_word_says_nothing_of_another_process_than_it_names",
            "",
        ),
    ),
    Mutation(
        "departed",
        "routers of a Speaker that is deleted are waited for",
        f"{BARRIER}:_awaited",
        (Edit("round_.departed", "()"),),
        Test("tests/allocator/release/test_barrier.py::test_routes_outlive_a_speaker_whose_object_is_gone", ""),
    ),
    Mutation(
        "departed-kept",
        "they are waited for also when all allocators have started anew",
        "allocator.release.departures:Departures.unwritten",
        (Edit("uid not in self._stored", "False"),),
        Test(
            "tests/allocator/release/test_departures.py::"
            "test_what_is_remembered_is_written_down_once_with_the_time_that_is_left",
            "",
        ),
    ),
    Mutation(
        "departed-counted",
        "their time is counted from when their Speaker was first seen to be gone",
        "allocator.release.departures:Departures.stored_seen",
        (Edit("self._departed.setdefault(one.uid, one)", "self._departed.pop(one.uid, None)"),),
        Test(
            "tests/allocator/release/test_departures.py::"
            "test_a_process_that_knew_nothing_counts_from_when_it_first_sees_the_object",
            "",
        ),
    ),
    Mutation(
        "lease-there",
        "a Lease that is in no list is not one that is not renewed",
        f"{LEASES}.observe",
        (
            Edit(
                "_LeaseSeen(None, received, sent, proofs=self._seen[node].proofs)",
                "replace(self._seen[node], unchanged_until=sent)",
            ),
        ),
        Test("tests/allocator/release/test_barrier.py::test_a_lease_that_is_not_there_shows_no_silence", ""),
    ),
    Mutation(
        "lease-by-name",
        "a Lease is a speaker's by its name, whatever its labels say",
        "allocator.io.barrierloop:BarrierLoop._poll_leases",
        (
            Edit(
                "self._client.list(LEASES, namespace=self._namespace)",
                "self._client.list(LEASES, namespace=self._namespace, "
                "label_selector='app.kubernetes.io/component=speaker')",
            ),
        ),
        Test(
            "tests/allocator/test_barrierloop.py::test_a_lease_is_a_speakers_by_its_name_whatever_its_labels_say",
            "",
        ),
    ),
    Mutation(
        "quorum-list",
        "the Speakers are listed anew",
        "allocator.io.barrierloop:BarrierLoop._list",
        (Edit("speakers = tuple(_1)", "speakers = tuple(self._speakers.values())"),),
        Test("tests/allocator/test_barrierloop.py::test_a_taint_that_the_watch_shows_is_looked_at_again", ""),
    ),
    Mutation(
        "node-at-list",
        "that a Node is gone counts in the moment in which it was asked for, and not with later confirmations",
        "allocator.io.barrierloop:BarrierLoop._list",
        (Edit("replace(round_, gone_nodes={}, out_of_service={})", "round_"),),
        Test(
            "tests/allocator/test_barrierloop.py"
            "::test_a_node_that_was_gone_when_the_speakers_were_listed_is_asked_for_again",
            "who is dead stays dead there, and whoever comes later reads the mark",
        ),
    ),
    Mutation(
        "uid-passed",
        "a barrier is passed for one mark of one record",
        "allocator.assigner:Assigner.barrier_passed",
        (
            Edit(
                "entry.recorded.mark != (mark.uid, mark.generation)",
                "(entry.recorded.mark or (0, -1))[1] != mark.generation",
            ),
        ),
        Test(
            "tests/allocator/test_assigner_releases.py::"
            "test_a_barrier_that_is_passed_late_says_nothing_about_the_next_record_of_that_address",
            "the loop judges the marks of that very moment, and a mark goes with its record",
        ),
    ),
    Mutation(
        "passed-first",
        "a record is deleted when the barrier is passed, and not before",
        "allocator.writes:record_write",
        (
            Edit(
                "entry.stage, entry.recorded",
                "(Stage.PASSED if entry.stage is Stage.MARKED else entry.stage), entry.recorded",
            ),
        ),
        Test(
            "tests/allocator/test_assigner_releases.py::test_a_barrier_passed_for_an_earlier_generation_does_not_count",
            "",
        ),
    ),
    Mutation(
        "finalizer-last",
        "the finalizer goes after the address",
        "allocator.assigner:Assigner._disown",
        (Edit("any(entry.is_exposed for entry in self.ledger.held_by_uid(uid))", "False"),),
        Test(
            "tests/allocator/test_assigner_releases.py::test_a_deleted_service_stays_until_its_address_is_withdrawn",
            "",
        ),
    ),
    Mutation(
        "free-once-shown-no-more",
        "an address is free once no Service shows it any more",
        "allocator.assigner:Assigner._address_step",
        (Edit("self.services.still_showing(address, entry.claim)", "()"),),
        Test("tests/allocator/test_assigner_adopts.py::test_while_a_status_shows_an_address_the_ledger_keeps_it", ""),
    ),
    Mutation(
        "shown-by-the-terminating",
        "the next leader keeps what a Service shows that is being deleted",
        "allocator.assigner:Assigner.start",
        (Edit("if address not in self.ledger:\n    ...", "pass"),),
        Test(
            "tests/allocator/test_assigner_shown.py::"
            "test_the_next_leader_keeps_the_family_that_a_terminating_service_still_shows",
            "",
        ),
    ),
    Mutation(
        "preconditions",
        "a record is deleted as the one that was judged, by uid and version",
        "allocator.io.writer:Writer._delete",
        (
            Edit(
                "self._client.delete(_1, _2, uid=_3, resource_version=_4)",
                "self._client.delete(_1, _2)",
            ),
        ),
        Test("tests/allocator/test_writer.py::test_a_record_is_deleted_as_the_one_that_was_judged", ""),
    ),
    Mutation(
        "refused-create",
        "a create without an answer may have made a record",
        "allocator.io.writer:Writer._create",
        (Edit("error.code in REFUSALS", "True"),),
        Test("tests/allocator/test_writer.py::test_a_create_without_an_answer_may_have_made_a_record", ""),
    ),
)
