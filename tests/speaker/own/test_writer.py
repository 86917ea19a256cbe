"""The writes of the own Speaker object, without a watch of it: what a write alone must notice, and when it is made."""

import pytest

from speaker.fencing import Promise
from speaker.own.status import StatusDraft
from speaker.own.writer import (
    COALESCE_SECONDS,
    ENTRIES_PER_WRITE,
    RETRY,
    ROUTINE_SECONDS,
    ROUTINE_SECONDS_PER_ENTRY,
    Failure,
    Goal,
    Look,
    Own,
    Request,
    SpeakerWriter,
    SupersededError,
    Write,
)
from tests.speaker.own.store import Store

MANY_STEPS = 1000


class Process:
    """One process's writer at a store, in a time of its own. `removed`: why its registration may not count any more."""

    def __init__(self, store: Store, incarnation: str = "one") -> None:
        self.store = store
        self.now = 100.0
        self.draft, self.promise, self.removed = StatusDraft(), Promise(), list[str]()
        self.writer = SpeakerWriter(incarnation, self.draft, self.promise)

    def step(self) -> bool:
        """One request, if it is time for one, and its outcome."""
        request = self.writer.next_request(self.now)
        if request is not None:
            self.tell(request, self.store.answer(request))
        return request is not None

    def tell(self, request: Request, outcome: Own | Failure, **how: float) -> None:
        why = None
        if isinstance(outcome, Failure):
            why = self.writer.failed(outcome, self.now, **{"randomness": 1.0} | how)
        elif isinstance(request, Look):
            why = self.writer.found(outcome)
        else:
            self.writer.wrote(outcome)
        if why is not None:
            self.removed.append(why)

    def run(self, seconds: float = 3600.0) -> "Process":
        """Everything that comes in this time; an outcome comes at once. To its end only if something is to be done."""
        end = self.now + seconds
        for _ in range(MANY_STEPS):
            if self.step():
                continue
            deadline = self.writer.deadline()
            if deadline is None:
                return self
            if deadline >= end:
                self.now = end
                return self
            assert deadline > self.now, "it is never done"
            self.now = deadline
        raise AssertionError("it does not come to rest")

    def register(self) -> "Process":
        self.writer.register()
        return self.run(0.0)

    def begin(self) -> Request:
        """The next request, without an answer."""
        for _ in range(MANY_STEPS):
            request = self.writer.next_request(self.now)
            if request is not None:
                return request
            deadline = self.writer.deadline()
            assert deadline is not None
            self.now = max(self.now, deadline)
        raise AssertionError("there is no request")

    def release(self, uid: str = "uid") -> None:
        self.draft.released.put(uid, 2)

    def announce(self, address: str) -> None:
        self.draft.announcements.put(address, {"protocols": ["Layer2"], "interfaces": ["eth0"]})

    def promise_on(self, *witnesses: str) -> None:
        """None for no promise."""
        fencing = {"promised": bool(witnesses), "fenceAfterSeconds": 60, "witnesses": list(witnesses)}
        self.draft.set("fencing", fencing)


@pytest.fixture
def store() -> Store:
    return Store()


# ---- registering


def test_nothing_is_asked_for_before_the_registration(store) -> None:
    process = Process(store)
    process.release()
    assert not process.step()
    assert process.writer.deadline() is None


def test_a_registration_looks_or_creates_and_clears_what_an_earlier_process_said(store) -> None:
    store.create()
    store.status = {"incarnation": "before", "released": {"u": 1}, "announcements": {"a": {}}, "goodbye": True}
    process = Process(store)
    process.draft.set("interfaces", [])
    process.writer.register()
    assert process.begin() == Look(creates=True)
    process.writer.found(store.own)
    write = process.begin()
    assert write == Write(store.uid, str(store.version), process.draft.registration("one"))
    process.tell(write, store.answer(write))
    assert store.status == {"incarnation": "one", "goodbye": False, "interfaces": []}
    assert process.writer.goal is Goal.STATUS


def test_only_the_answer_to_the_registration_counts_as_one(store) -> None:
    process = Process(store)
    process.writer.register()
    process.step()
    write = process.begin()
    assert not process.writer.has_ever_registered
    assert process.writer.wrote(store.answer(write))
    assert process.writer.has_ever_registered
    process.release()
    write = process.begin()
    assert not process.writer.wrote(store.answer(write))


def test_one_request_is_under_way_at_a_time(store) -> None:
    process = Process(store)
    process.writer.register()
    process.begin()
    assert process.writer.next_request(process.now + 3600) is None
    assert process.writer.deadline() is None


def test_every_registration_starts_from_a_new_look(store) -> None:
    process = Process(store).register()
    process.writer.register()
    assert process.begin() == Look(creates=True)
    process.tell(Look(creates=True), store.own)
    write = process.begin()
    process.tell(write, Failure.CONFLICT)
    assert process.begin() == Look(creates=True)
    process.tell(Look(creates=True), store.own)
    write = process.begin()
    store.answer(write)
    process.tell(write, Failure.OTHER)  # it arrived all the same
    assert process.begin() == Look(creates=True)
    process.tell(Look(creates=True), store.own)
    process.run()
    assert process.writer.goal is Goal.STATUS


@pytest.mark.parametrize("outcome", ["written", "looked"])
def test_a_registration_does_not_count_by_what_was_under_way_before_it(store, outcome) -> None:
    """What was asked for the status is answered after the registration was asked for: that begins with its own look."""
    process = Process(store).register()
    process.release()
    request = process.begin()
    if outcome == "looked":
        process.tell(request, Failure.CONFLICT)
        request = process.begin()
        assert request == Look(creates=False)
    process.writer.register()
    process.tell(request, store.answer(request))
    assert process.writer.goal is Goal.REGISTERED
    assert process.begin() == Look(creates=True)


def test_an_earlier_registration_that_is_answered_late_is_not_the_present_one(store) -> None:
    """It was sent before the renewal that the present one waited for."""
    process = Process(store)
    process.writer.register()
    process.step()
    write = process.begin()
    process.writer.register()
    assert not process.writer.wrote(store.answer(write))
    assert process.writer.goal is Goal.REGISTERED
    process.run()
    assert process.writer.goal is Goal.STATUS


# ---- whose word counts


def test_the_word_of_a_process_that_was_replaced_does_not_count(store) -> None:
    """Its confirmation would be a lie: the successor may announce the address."""
    old = Process(store, "old").register()
    Process(store, "new").register()
    old.release()
    with pytest.raises(SupersededError):
        old.run()
    assert "released" not in store.status
    old.writer.register()
    with pytest.raises(SupersededError):
        old.run()
    assert store.status["incarnation"] == "new"


def test_before_its_first_registration_every_other_process_is_a_predecessor(store) -> None:
    Process(store, "old").register()
    Process(store, "new").register()
    assert store.status["incarnation"] == "new"


@pytest.mark.parametrize("makes_another", [False, True])
def test_a_write_notices_that_the_object_is_gone_or_another(store, makes_another) -> None:
    process = Process(store).register()
    store.delete()
    if makes_another:
        store.create()
    process.release()
    process.run()
    assert process.removed == ["another one has its name" if makes_another else "it is gone"]
    assert "released" not in store.status
    assert process.writer.goal is Goal.NOTHING


def test_another_writers_change_is_taken_up_and_survived(store) -> None:
    process = Process(store).register()
    store.touch()
    process.release()
    process.run()
    assert store.status["released"] == {"uid": 2}
    assert process.removed == []


def test_a_write_that_arrived_though_its_answer_was_lost_is_taken_up_and_repeated(store) -> None:
    process = Process(store).register()
    process.release()
    write = process.begin()
    store.answer(write)
    process.tell(write, Failure.OTHER)
    process.run()
    assert store.status["released"] == {"uid": 2}
    assert not process.draft.is_stale
    assert process.removed == []


def test_once_removed_nothing_is_written_but_another_registration(store) -> None:
    process = Process(store).register()
    process.release()
    process.writer.removed()
    assert not process.step()
    assert process.writer.deadline() is None
    process.register().run()
    assert store.status["released"] == {"uid": 2}


def test_a_write_that_fails_after_the_removal_is_not_made_again(store) -> None:
    process = Process(store).register()
    process.release()
    write = process.begin()
    process.writer.removed()
    process.tell(write, Failure.GONE)
    assert process.removed == []
    assert process.writer.deadline() is None


# ---- what is written, and when


def test_confirmations_of_a_burst_share_a_write_and_overtake_announcements(store) -> None:
    process = Process(store).register()
    process.announce("192.0.2.1")
    process.run(0.0)
    before = len(store.writes)
    process.announce("192.0.2.2")
    for number in range(500):
        process.release(f"uid-{number}")
        process.run(COALESCE_SECONDS / 1000)
    process.run(COALESCE_SECONDS)
    assert len(store.status["released"]) == 500
    assert store.status["announcements"].keys() == {"192.0.2.1"}
    assert len(store.writes) - before == 1
    process.run()
    assert store.status["announcements"].keys() == {"192.0.2.1", "192.0.2.2"}


def test_a_confirmation_is_written_after_the_time_of_a_burst_and_no_later(store) -> None:
    process = Process(store).register()
    asked = process.now
    process.release()
    assert process.writer.next_request(asked) is None
    assert process.writer.deadline() == asked + COALESCE_SECONDS
    assert process.writer.next_request(asked + COALESCE_SECONDS - 0.001) is None
    assert process.writer.next_request(asked + COALESCE_SECONDS) is not None


def test_announcements_are_written_the_less_often_the_larger_the_object_is(store) -> None:
    process = Process(store).register()
    for number in range(1000):
        process.announce(str(number))
    process.run(0.0)
    began = process.now
    process.announce("one more")
    assert not process.step()
    due = began + ROUTINE_SECONDS + 1000 * ROUTINE_SECONDS_PER_ENTRY
    assert process.writer.deadline() == pytest.approx(due)
    process.now = due + 0.001
    assert process.step()


def test_what_goes_with_a_confirmation_when_it_is_due_anyway_shares_its_write(store) -> None:
    process = Process(store).register()
    process.announce("192.0.2.1")
    process.release()
    process.run()
    assert store.writes[-1].keys() == {"released", "announcements"}


def test_after_a_registration_the_rest_is_told_at_once(store) -> None:
    process = Process(store).register()
    process.announce("192.0.2.1")
    process.run(0.0)
    process.writer.register()
    assert process.step()
    assert process.step()
    process.draft.set("conditions", [{"type": "Ready"}])
    assert process.step()
    assert store.status["conditions"] == [{"type": "Ready"}]


def test_a_large_status_goes_in_several_writes(store) -> None:
    process = Process(store).register()
    for number in range(ENTRIES_PER_WRITE + 1):
        process.release(str(number))
    process.run()
    assert len(store.status["released"]) == ENTRIES_PER_WRITE + 1
    assert [len(write["released"]) for write in store.writes[1:]] == [ENTRIES_PER_WRITE, 1]


def test_nothing_is_written_when_nothing_differs(store) -> None:
    process = Process(store).register()
    process.run()
    writes = len(store.writes)
    process.release()
    process.draft.released.drop("uid")
    process.run()
    assert len(store.writes) == writes


# ---- the promise


def test_a_promise_binds_by_what_was_written(store) -> None:
    """Also when the answer was lost; and it binds until its end has arrived for sure."""
    process = Process(store)
    process.promise_on("a", "b")
    process.writer.register()
    process.step()
    assert not process.promise.binding
    write = process.begin()
    assert process.promise.binding == {frozenset("ab")}
    process.tell(write, Failure.OTHER)
    assert process.promise.binding == {frozenset("ab")}
    process.run()
    process.promise_on()
    assert process.promise.binding == {frozenset("ab")}
    process.now += 3600
    write = process.begin()
    assert process.promise.binding == {frozenset("ab")}
    store.answer(write)
    process.tell(write, Failure.OTHER)
    assert process.promise.binding == {frozenset("ab")}
    process.run()
    assert not process.promise.binding
    assert store.status["fencing"]["promised"] is False


def test_a_write_that_says_nothing_of_the_promise_changes_nothing_of_it(store) -> None:
    process = Process(store)
    process.promise_on("a", "b")
    process.register()
    process.announce("192.0.2.1")
    process.run(0.0)
    process.promise_on()
    process.release()
    process.run(2 * COALESCE_SECONDS)
    assert store.writes[-1].keys() == {"released"}
    assert process.promise.binding == {frozenset("ab")}


# ---- failures


def test_failures_are_tried_again_ever_more_seldom_and_success_makes_it_quick_again(store) -> None:
    process = Process(store)
    process.writer.register()
    for failures in range(12):
        request = process.begin()
        process.tell(request, Failure.OTHER)
        due = process.now + RETRY.delay_seconds(failures, 1.0)
        assert process.writer.next_request(due - 0.001) is None
        assert process.writer.deadline() == due
    assert due - process.now == RETRY.cap_seconds
    process.run()
    assert process.writer.goal is Goal.STATUS
    process.release()
    process.tell(process.begin(), Failure.OTHER)
    assert process.writer.deadline() == process.now + RETRY.base_seconds


def test_the_api_server_may_ask_for_more_patience(store) -> None:
    process = Process(store)
    process.writer.register()
    process.tell(process.begin(), Failure.OTHER, retry_after_seconds=7.0)
    assert process.writer.deadline() == process.now + 7.0


def test_a_status_that_failed_waits_no_longer_than_for_the_next_attempt(store) -> None:
    process = Process(store).register()
    for number in range(1000):
        process.announce(str(number))
    process.tell(process.begin(), Failure.OTHER)
    process.now += RETRY.base_seconds
    assert process.step()


def test_delays_differ_by_chance(store) -> None:
    process = Process(store)
    process.writer.register()
    process.tell(process.begin(), Failure.OTHER, randomness=0.0)
    assert process.writer.deadline() == process.now + RETRY.base_seconds / 2


def test_a_write_that_failed_is_made_again_from_the_present_state(store) -> None:
    process = Process(store).register()
    process.announce("192.0.2.1")
    process.tell(process.begin(), Failure.OTHER)
    process.draft.announcements.drop("192.0.2.1")
    process.announce("192.0.2.2")
    process.run()
    assert store.status["announcements"].keys() == {"192.0.2.2"}


def test_a_conflict_is_looked_at_without_delay(store) -> None:
    process = Process(store).register()
    process.release()
    process.tell(process.begin(), Failure.CONFLICT)
    assert process.writer.next_request(process.now) == Look(creates=False)


# ---- goodbye


def test_a_goodbye_carries_all_that_is_not_written_yet_and_the_end_of_all_announcements(store) -> None:
    process = Process(store).register()
    process.announce("192.0.2.1")
    process.run()
    process.release()
    process.draft.set("conditions", [{"type": "Ready"}])
    process.writer.say_goodbye(withdrew_everything=True)
    process.run()
    assert store.status["goodbye"] is True
    assert "announcements" not in store.status
    assert store.status["released"] == {"uid": 2}
    assert store.status["conditions"] == [{"type": "Ready"}]
    assert process.writer.goal is Goal.SAID
    assert not process.step()
    assert process.writer.deadline() is None


def test_one_that_left_routes_with_routers_says_no_goodbye(store) -> None:
    """Releases wait for what it says of itself: how long routers may keep its routes."""
    process = Process(store).register()
    process.announce("192.0.2.1")
    process.run()
    process.draft.set("conditions", [{"type": "Ready"}])
    process.writer.say_goodbye(withdrew_everything=False)
    process.run()
    assert store.status["goodbye"] is False
    assert store.status["announcements"].keys() == {"192.0.2.1"}
    assert store.status["conditions"] == [{"type": "Ready"}]
    assert process.writer.goal is Goal.SAID


@pytest.mark.parametrize("has_failed_before", [False, True])
def test_there_is_no_goodbye_in_an_object_that_is_gone(store, has_failed_before) -> None:
    process = Process(store).register()
    store.delete()
    process.writer.say_goodbye(withdrew_everything=True)
    if has_failed_before:
        process.tell(process.begin(), Failure.OTHER)
    process.run()
    assert process.writer.goal is Goal.SAID
    assert not store.uid
    assert process.writer.deadline() is None


def test_there_is_no_goodbye_in_the_object_of_another_process(store) -> None:
    old = Process(store, "old").register()
    Process(store, "new").register()
    old.writer.say_goodbye(withdrew_everything=True)
    old.run()
    assert old.writer.goal is Goal.SAID
    assert store.status["incarnation"] == "new"
    assert store.status["goodbye"] is False


def test_a_goodbye_survives_another_writers_change_between_its_look_and_its_write(store) -> None:
    process = Process(store).register()
    process.writer.say_goodbye(withdrew_everything=True)
    assert process.step()
    store.touch()
    process.run()
    assert store.status["goodbye"] is True


def test_a_goodbye_is_tried_until_it_is_written(store) -> None:
    process = Process(store).register()
    process.writer.say_goodbye(withdrew_everything=True)
    for _ in range(5):
        process.tell(process.begin(), Failure.OTHER)
        assert process.writer.goal is Goal.GOODBYE
    process.run()
    assert store.status["goodbye"] is True


@pytest.mark.parametrize("arrives", [True, False])
def test_a_write_that_was_under_way_is_not_the_goodbye(store, arrives) -> None:
    process = Process(store).register()
    process.release()
    write = process.begin()
    process.writer.say_goodbye(withdrew_everything=True)
    process.tell(write, store.answer(write) if arrives else Failure.OTHER)
    assert process.writer.goal is Goal.GOODBYE
    process.run()
    assert store.status["goodbye"] is True
    assert store.status["released"] == {"uid": 2}


def test_a_process_that_never_registered_has_nothing_to_say_goodbye_to(store) -> None:
    Process(store, "before").register()
    process = Process(store, "one")
    process.writer.say_goodbye(withdrew_everything=True)
    process.run()
    assert store.status["incarnation"] == "before"
    assert store.status["goodbye"] is False
    assert process.writer.goal is Goal.SAID
