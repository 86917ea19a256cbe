"""Bounds and retries: what one object, one peer or one refused write may cost all others."""

from tests.mutations.edits import Edit
from tests.mutations.mutation import Mutation, Test

OBJECTS = "speaker.cluster.objects"
TEST_OBJECTS = "tests/speaker/cluster/test_objects.py"
REQUEST = "allocator.request"

MUTATIONS = (
    Mutation(
        "node-addresses",
        "of a Node's thousands of addresses a few count",
        f"{OBJECTS}:_first",
        (Edit("islice(_1, MOST_ADDRESSES_OF_A_FAMILY)", "iter(_1)"),),
        Test(
            f"{TEST_OBJECTS}::test_of_a_nodes_thousands_of_addresses_the_first_two_of_each_family_count",
            "a Node has one address there",
        ),
    ),
    Mutation(
        "speaker-interfaces",
        "of a Speaker's interfaces as many count as a speaker shows",
        f"{OBJECTS}:speaker_from",
        (Edit("_1[:MOST_INTERFACES]", "_1"),),
        Test(
            f"{TEST_OBJECTS}::test_of_a_speakers_interfaces_64_count_and_what_no_interface_is_called_is_left_out",
            "machines have one interface there",
        ),
    ),
    Mutation(
        "mac-length",
        "a hardware address that is none of Ethernet's is left out of the Speaker",
        "speaker.own.entries:interface",
        (Edit("mac if len(mac) == MAC_CHARACTERS else ''", "mac"),),
        Test(
            "tests/speaker/own/test_status.py::test_a_hardware_address_that_is_none_of_ethernets_is_left_out",
            "all interfaces are Ethernet's there",
        ),
    ),
    Mutation(
        "slice-room",
        "a slice of the report takes in what makes one write of a few KB",
        "speaker.own.slices:Slice.has_room_for",
        (Edit("self.size + size <= ROOM_BYTES", "True"),),
        Test(
            "tests/speaker/own/test_slices.py::test_long_entries_fill_a_slice_sooner_and_one_that_grows_moves",
            "there are five Services at most",
        ),
    ),
    Mutation(
        "confirmations-in-parts",
        "many confirmations go in several writes",
        "speaker.own.confirming:ConfirmationWriter._write",
        (Edit("self._released.patch(self._limit)", "self._released.patch(1 << 30)"),),
        Test("tests/speaker/own/test_confirming.py::test_many_go_in_several_writes", "there are five Services at most"),
    ),
    Mutation(
        "pattern-length",
        "a pattern for interfaces has no more characters than can be compared quickly",
        "speaker.layer2.glob:glob",
        (Edit("not 0 < len(pattern) <= MOST_CHARACTERS or '/' in pattern", "not pattern"),),
        Test("tests/speaker/layer2/test_glob.py", "no advertisement names interfaces there"),
    ),
    Mutation(
        "record-ports",
        "a Service that a record can't hold is told so, and holds up nobody",
        f"{REQUEST}:_too_large",
        (Edit("count > most", "False"),),
        Test(
            "tests/allocator/test_cluster_bounds.py::"
            "test_the_most_that_a_record_holds_is_recorded_and_one_more_is_refused_at_the_service",
            "no Service has more than two ports there",
        ),
    ),
    Mutation(
        "mark-alone",
        "the mark of a release is a write of its own",
        "allocator.writes:_correction",
        (
            Edit(
                "{'releasing': True} if claim.releasing else wire_change(recorded.claim, claim)",
                "wire_change(recorded.claim, claim)",
            ),
        ),
        Test("tests/allocator/test_assigner_refusals.py::test_the_mark_of_a_release_is_a_write_of_its_own", ""),
    ),
    Mutation(
        "refused-holder-leaves",
        "a holder whose record is refused leaves alone",
        "allocator.assigner:Assigner.record_refused",
        (Edit("len(suspects) == 1", "False"),),
        Test(
            "tests/allocator/test_assigner_refusals.py::"
            "test_a_service_that_can_not_be_recorded_is_told_so_and_keeps_no_address",
            "",
        ),
    ),
    Mutation(
        "former-finalizer",
        "a finalizer of a former name goes with the release",
        "allocator.ownership:Ownership.finalizers",
        (Edit("self.former_finalizers if former_go else ()", "()"),),
        Test(
            "tests/allocator/test_assigner_finalizers.py::test_a_former_finalizer_goes_with_the_release",
            "no life has another name for the finalizer",
        ),
    ),
    Mutation(
        "doubted-watch",
        "a watch on which nothing came is resumed when another request gets no answer",
        "kube.streams:Streams.doubt",
        (Edit("stream.end()", "None"),),
        Test("tests/kube/test_streams.py::test_a_stream_is_ended_when_nothing_came_since_the_request_was_sent", ""),
    ),
    Mutation(
        "machine-refuses",
        "what the machine refuses of a BGP session's files ends that session, and no other",
        "speaker.bgp.exabgp.io.runner:SessionRunner._live",
        (Edit("why = start_words(str(error), peer)", "raise"),),
        Test(
            "tests/speaker/bgp/exabgp/test_process.py::"
            "test_what_the_machine_refuses_ends_one_session_which_says_so_and_comes_back",
            "sessions are played there",
        ),
    ),
    Mutation(
        "fault-of-ours",
        "a fault of ours in one BGP session ends no other",
        "speaker.bgp.exabgp.io.runner:SessionRunner._live",
        (Edit("why = f'the speaker could not go on with it: {error!r}'", "raise"),),
        Test(
            "tests/speaker/bgp/exabgp/test_process.py::test_a_fault_of_ours_ends_one_session_which_says_so",
            "sessions are played there",
        ),
    ),
    Mutation(
        "kernel-answers",
        "a kernel that answers for an address by itself is told of",
        "speaker.layer2.held:answer_of",
        (Edit("having and ':' not in address and _1", "False"),),
        Test(
            "tests/speaker/layer2/test_held.py::"
            "test_a_kernel_answers_for_any_address_of_its_own_unless_arp_ignore_says_otherwise",
            "there is no kernel there",
        ),
    ),
    Mutation(
        "pool-by-selector",
        "a pool that is gone is chosen by no selector",
        "crds.advertisement:AdvertisementSpec.covers_pool",
        (
            Edit(
                "_1 and labels is not None and self.ip_pool_selector.matches(labels)",
                "_1 and self.ip_pool_selector.matches(labels or {})",
            ),
        ),
        Test("tests/speaker/layer2/test_desired.py", "no advertisement chooses pools there"),
    ),
    Mutation(
        "latin-1",
        "bytes that are no UTF-8 are an error of the contract",
        "kube.errors:error_from_response",
        (
            Edit(
                "try:\n    status = _decode_status(body)\nexcept ValueError:\n    status = Status()",
                "try:\n    status = _decode_status(body)\nexcept msgspec.DecodeError:\n    status = Status()",
            ),
        ),
        Test(
            "tests/kube/test_errors.py::test_a_proxy_that_answers_json_in_latin_1_is_an_error_with_its_code",
            "all answers are in UTF-8 there",
        ),
    ),
    Mutation(
        "left-waits",
        "that a holder left, and is not recorded, is written later each time",
        "allocator.assigner:Assigner.record_refused",
        (Edit("if suspects:\n    ...", "self.queue.add(entry.address)"),),
        Test(
            "tests/allocator/test_assigner_refusals.py::"
            "test_that_a_holder_left_is_written_later_each_time_while_that_is_refused",
            "",
        ),
    ),
    Mutation(
        "failures-wait",
        "a write that fails is tried again later each time",
        "allocator.workqueue:WorkQueue.failed",
        (Edit("BACKOFF.delay_seconds(failures, jitter)", "0.0"),),
        Test(
            "tests/allocator/test_workqueue.py::"
            "test_failures_wait_longer_each_time_up_to_a_limit_and_success_forgets_them",
            "",
        ),
    ),
    Mutation(
        "tried-again",
        "a key whose write failed is looked at again",
        "allocator.workqueue:WorkQueue.failed",
        (Edit("self.add_at(key, now + delay)", "None"),),
        Test(
            "tests/allocator/test_workqueue.py::test_a_failed_key_is_due_at_its_time_and_a_change_does_not_wait_for_it",
            "",
        ),
    ),
    Mutation(
        "conflict-looks",
        "a write of another version's object is followed by a look at it",
        "speaker.own.confirming:ConfirmationWriter.failed",
        (Edit("self._own = None", "None", nth=0),),
        Test("tests/speaker/own/test_confirming.py", ""),
    ),
    Mutation(
        "long-waits",
        "an answer can ask to wait for a minute, and no longer",
        "kube.errors:ApiError.__init__",
        (Edit("min(retry_after_seconds, MOST_RETRY_AFTER_SECONDS)", "retry_after_seconds"),),
        Test("tests/kube/test_errors.py::test_nobody_is_kept_waiting_for_long", "no answer asks to wait there"),
    ),
    Mutation(
        "conflicts-kept",
        "many conflicts take no more room than the status has",
        "speaker.layer2.conflicts:Conflicts._note",
        (Edit("if len(self._sightings) > MOST_CONFLICTS:\n    ...", "pass"),),
        Test(
            "tests/speaker/layer2/test_conflicts.py::test_many_conflicts_take_no_more_room_than_the_status_has",
            "conflicts are few there",
        ),
    ),
)
