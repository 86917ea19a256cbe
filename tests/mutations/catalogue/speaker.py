"""Rules of a speaker: what it may have on the wire, what it promises, and what it confirms."""

from tests.mutations.edits import Edit
from tests.mutations.mutation import Mutation, Story, Test

FENCING, RIGHT, CORE = "speaker.fencing", "speaker.fencing:AnnouncementRight", "speaker.core:NodeCore"
CONFIRMING = "speaker.own.confirming:ConfirmationWriter"

MUTATIONS = (
    Mutation(
        "withdraw-first",
        "an address is off the wire before its release is confirmed",
        "speaker.releases:Releases._is_silent",
        (Edit("course.may_be_heard(address, now)", "False"),),
        Story("a_wire_process_takes_its_time_to_withdraw"),
    ),
    Mutation(
        "contact-to-promise",
        "a promise is made in contact with the API server",
        f"{FENCING}:promise_to_make",
        (Edit("now - renewal_sent >= limits.outlived_after_seconds", "False"),),
        Story("a_promise_is_made_while_the_lease_has_long_been_silent"),
    ),
    Mutation(
        "look-back",
        "when contact returns, a speaker looks whether it may have been fenced meanwhile",
        f"{RIGHT}._look_back",
        (Edit("self._lost is None and _1", "False"),),
        Story("contact_comes_back_after_the_fence"),
    ),
    Mutation(
        "silence",
        "a speaker that promised is silent before it is fenced",
        f"{RIGHT}.tick",
        (Edit("self._is_cut_off = now >= deadline", "deadline = 1e9"),),
        Story("contact_comes_back_after_the_fence"),
    ),
    Mutation(
        "sending",
        "a renewal counts from when it was sent",
        f"{RIGHT}._deadline",
        (Edit("self._renewal + _1", "self._renewal + 60 + _1"),),
        Story("contact_comes_back_after_the_fence"),
    ),
    Mutation(
        "margin",
        "a speaker is silent some time before it is fenced",
        f"{FENCING}:Limits.silent_after_seconds",
        (Edit("self.fence_after_seconds - self.margin_seconds", "self.fence_after_seconds"),),
        Test(
            "tests/speaker/test_fencing.py",
            "to outlive somebody and to settle takes longer there than a fence, and clocks differ by 2%",
        ),
    ),
    Mutation(
        "permit",
        "a permit ends when the promise asks for silence",
        f"{RIGHT}.tick",
        (Edit("min(now + WIRE_PERMIT_SECONDS, deadline)", "now + WIRE_PERMIT_SECONDS + 60"),),
        Story("a_speaker_that_is_cut_off_freezes_before_it_has_to_be_silent"),
    ),
    Mutation(
        "island-majority",
        "a speaker that goes on without the API server has a majority that lost it too",
        f"{FENCING}:_is_majority",
        (Edit("2 * len(some & witnesses) > len(witnesses)", "bool(some)"),),
        Story("contact_comes_back_after_the_fence"),
    ),
    Mutation(
        "same-time",
        "these lost it when this speaker did",
        f"{RIGHT}._is_outage_for_all",
        (Edit("self._renewal + _1", "self._renewal + 1000 + _1"),),
        Story("contact_comes_back_after_the_fence"),
    ),
    Mutation(
        "heard-limit",
        "what was said long ago does not count",
        f"{FENCING}:_is_heard",
        (Edit("now - contact.heard <= HEARD_SECONDS", "True"),),
        Story("a_promise_is_made_while_the_lease_has_long_been_silent"),
    ),
    Mutation(
        "start-counts",
        "a witness that restarted counts from its start",
        f"{FENCING}:own_contact",
        (Edit("started if _1 else _2", "0.0 if _1 else _2"),),
        Story("witnesses_restart_after_they_outlived_us"),
    ),
    Mutation(
        "both-promises",
        "a promise binds until the next one has surely arrived",
        f"{FENCING}:Promise.sending",
        (
            Edit("self._possible |= {promised}", "self._possible = frozenset({promised})"),
            Edit("self._lately |= {promised}", "self._lately = frozenset({promised})"),
        ),
        Test(
            "tests/speaker/test_fencing.py::test_a_promise_binds_from_its_sending_until_a_later_one_has_arrived_for_sure",
            "",
        ),
    ),
    Mutation(
        "anew",
        "a speaker that may have been fenced reads everything anew",
        f"{CORE}._anew",
        (Edit("self._begin(now)", "self.right.registered(now.boottime)"),),
        Story("contact_comes_back_after_the_fence"),
    ),
    Mutation(
        "confirmed-by-whom",
        "a confirmation counts in the name of the process that the Speaker names",
        "allocator.release.confirmations:Confirmation.confirmed_by",
        (Edit("self.status.incarnation != incarnation", "False"),),
        Story("a_machine_is_replaced_and_the_old_one_does_not_notice"),
    ),
    Mutation(
        "late-confirmation",
        "a write names the version that it follows",
        f"{CONFIRMING}._write",
        (Edit("Write(CONFIRMATION, own.uid, own.resource_version, status)", 'Write(CONFIRMATION, "", "", status)'),),
        Story("a_confirmation_of_a_process_that_is_dead_arrives_after_its_successors"),
    ),
    Mutation(
        "refused-confirmation",
        "what the API server refused is not confirmed",
        f"{CONFIRMING}.failed",
        (
            Edit(
                "self._refused(failed.request, failed, now)",
                'self._released.confirm(failed.request.status["released"])',
            ),
        ),
        Story("confirmations_are_refused_for_a_while"),
    ),
    Mutation(
        "other-machine",
        "nobody confirms for another machine of the same name",
        f"{CORE}._settle",
        (Edit("not self._is_alone(now)", "False"),),
        Story("a_machine_is_replaced_while_it_is_cut_off_and_announces"),
    ),
    Mutation(
        "other-machine-persists",
        "what is waited for outlives the process that waits",
        "speaker.own.report:Report.judge",
        (Edit("[elsewhere(one) for one in others]", "[]"),),
        Story("a_machine_is_replaced_and_its_successor_dies_while_it_waits"),
    ),
    Mutation(
        "confirmed-alone",
        "a confirmation waits for no other write",
        "speaker.own.writers:OwnWriters.next_requests",
        (
            Edit(
                "self.confirmation.next_request(now)",
                "None if self.speaker.attempts.have_failed else self.confirmation.next_request(now)",
            ),
        ),
        Story("everything_but_confirmations_is_refused"),
    ),
    Mutation(
        "refused-part",
        "what the API server refuses of a write is left out of the next one",
        "speaker.own.writer:SpeakerWriter._refused",
        (Edit("self._fields.refuse(field, _1)", "None"),),
        Test("tests/speaker/own/test_writer.py", ""),
    ),
    Mutation(
        "replaced",
        "a write of a process that was replaced is not the word of its successor",
        "speaker.own.writer:SpeakerWriter._write",
        (Edit("Write(SPEAKER, own.uid, own.resource_version, status)", 'Write(SPEAKER, "", "", status)'),),
        Test("tests/speaker/own/test_writer.py", ""),
    ),
    Mutation(
        "deleted-speaker",
        "a speaker whose object was deleted is dead by somebody's word: it is silent until it has registered anew",
        f"{CORE}._removed",
        (Edit("self.right.lose(Hold.REMOVED, now.boottime)", "None"),),
        Story("a_speaker_is_called_dead_that_is_not_and_its_wire_process_is_slow"),
    ),
    Mutation(
        "unknown-until-withdrawn",
        "an address counts as on the wire until its withdrawal is confirmed",
        "speaker.layer2.orders:WireOrders.may_be_heard",
        (Edit("address in self._on_wire or address in self._wanted", "address in self._wanted"),),
        Story("a_wire_process_takes_its_time_to_withdraw"),
    ),
    Mutation(
        "goodbye-last",
        "goodbye is said when everything is off the wire",
        "speaker.leaving:Leaving.may_say_goodbye",
        (Edit("self._step is not Step.WIRE_STOPPED", "self._step not in (Step.WIRE_STOPPED, Step.STOPPING_WIRE)"),),
        Test("tests/speaker/test_leaving.py", "by then everything is withdrawn, or the last permit has run out"),
    ),
    Mutation(
        "labels-with-each-renewal",
        "each renewal writes the Lease's labels",
        "kube.lease.io.renewer:LeaseRenewer._write",
        (Edit('{"resourceVersion": version, "labels": self._labels}', '{"resourceVersion": version}'),),
        Test("tests/kube/lease/test_renewer.py", ""),
    ),
    Mutation(
        "chain",
        "each renewal names the version that it follows",
        "kube.lease.io.renewer:LeaseRenewer._write",
        (Edit('{"resourceVersion": version, "labels": self._labels}', '{"labels": self._labels}'),),
        Test("tests/kube/lease/test_renewer.py", ""),
    ),
    Mutation(
        "renewal-first",
        "a process registers after a renewal that was sent since it began",
        "speaker.registration:Registration.renewed",
        (Edit("if sent <= self.began:\n    ...", "pass"),),
        Test(
            "tests/speaker/test_core.py",
            "the right to announce asks once more for a renewal that was sent later",
        ),
    ),
)
