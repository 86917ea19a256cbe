"""The writes of the own Speaker object, without a watch of it: what a write alone must notice, and when it is made."""

import pytest

from speaker.fencing import Promise
from speaker.own.requests import RETRY, SPEAKER, Failed, Failure, Found, Look, Own, Request, Write, Wrote
from speaker.own.status import StatusDraft
from speaker.own.writer import ROUTINE_SECONDS, Goal, SpeakerWriter, SupersededError
from tests.speaker.own.store import Store

MANY_STEPS = 1000
CREATE, LOOK = Look(SPEAKER, creates=True), Look(SPEAKER)


class Process:
    """One process's writer at a store, in a time of its own. `removed`: why its registration may not count any more."""

    def __init__(self, store: Store, incarnation: str = "one") -> None:
        self.store = store
        self.now = 100.0
        self.draft, self.promise, self.removed = StatusDraft(), Promise(), list[str]()
        self.fields, self.refusals = self.draft.speaker, self.draft.refusals
        self.writer = SpeakerWriter(incarnation, self.fields, self.promise, self.refusals)

    def step(self) -> bool:
        """One request, if it is time for one, and its outcome."""
        request = self.writer.next_request(self.now)
        if request is not None:
            self.tell(request, self.store.answer(request))
        return request is not None

    def tell(self, request: Request, answer: Own | Failure, **how) -> bool:
        """Whether it was the registration."""
        why = None
        is_registration = False
        if isinstance(answer, Failure):
            why = self.writer.failed(Failed(request, answer, "no", **{"randomness": 1.0} | how), self.now)
        elif isinstance(request, Look):
            why = self.writer.found(Found(request, answer))
        elif isinstance(request, Write):
            is_registration = self.writer.wrote(Wrote(request, answer))
        if why is not None:
            self.removed.append(why)
        return is_registration

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

    def say(self, standing: str = "Waiting") -> None:
        self.fields.set("standing", standing)

    def promise_on(self, *witnesses: str) -> None:
        """None for no promise."""
        fencing = {"promised": bool(witnesses), "fenceAfterSeconds": 60, "witnesses": list(witnesses)}
        self.fields.set("fencing", fencing)


@pytest.fixture
def store() -> Store:
    return Store()


# ---- registering


def test_nothing_is_asked_for_before_the_registration(store) -> None:
    process = Process(store)
    process.say()
    assert not process.step()
    assert process.writer.deadline() is None


def test_a_registration_looks_or_creates_and_says_everything_anew(store) -> None:
    store.create()
    store.status = {"incarnation": "before", "goodbye": True, "interfaces": [1]}
    process = Process(store)
    process.fields.set("interfaces", [])
    process.writer.register()
    assert process.begin() == CREATE
    process.tell(CREATE, store.own)
    write = process.begin()
    status = {"incarnation": "one", "goodbye": False, "interfaces": []}
    assert write == Write(SPEAKER, store.uid, str(store.version), status)
    process.tell(write, store.answer(write))
    assert store.status == status
    assert process.writer.goal is Goal.STATUS


def test_only_the_answer_to_the_registration_counts_as_one(store) -> None:
    process = Process(store)
    process.writer.register()
    process.step()
    write = process.begin()
    assert not process.writer.has_ever_registered
    assert process.tell(write, store.answer(write))
    assert process.writer.has_ever_registered
    process.say()
    write = process.begin()
    assert not process.tell(write, store.answer(write))


def test_one_request_is_under_way_at_a_time(store) -> None:
    process = Process(store)
    process.writer.register()
    process.begin()
    assert process.writer.next_request(process.now + 3600) is None
    assert process.writer.deadline() is None


def test_every_registration_starts_from_a_new_look(store) -> None:
    process = Process(store).register()
    process.writer.register()
    assert process.begin() == CREATE
    process.tell(CREATE, store.own)
    write = process.begin()
    process.tell(write, Failure.CONFLICT)
    assert process.begin() == CREATE
    process.tell(CREATE, store.own)
    write = process.begin()
    store.answer(write)
    process.tell(write, Failure.OTHER)  # it arrived all the same
    assert process.begin() == CREATE
    process.tell(CREATE, store.own)
    process.run()
    assert process.writer.goal is Goal.STATUS


@pytest.mark.parametrize("outcome", ["written", "looked"])
def test_a_registration_does_not_count_by_what_was_under_way_before_it(store, outcome) -> None:
    """What was asked for the status is answered after the registration was asked for: that begins with its own look."""
    process = Process(store).register()
    process.say()
    request = process.begin()
    if outcome == "looked":
        process.tell(request, Failure.CONFLICT)
        request = process.begin()
        assert request == LOOK
    process.writer.register()
    process.tell(request, store.answer(request))
    assert process.writer.goal is Goal.REGISTERED
    assert process.begin() == CREATE


def test_an_earlier_registration_that_is_answered_late_is_not_the_present_one(store) -> None:
    """It was sent before the renewal that the present one waited for."""
    process = Process(store)
    process.writer.register()
    process.step()
    write = process.begin()
    process.writer.register()
    assert not process.tell(write, store.answer(write))
    assert process.writer.goal is Goal.REGISTERED
    process.run()
    assert process.writer.goal is Goal.STATUS


# ---- whose word counts


def test_the_word_of_a_process_that_was_replaced_does_not_count(store) -> None:
    """Its confirmation would be a lie: the successor may announce the address."""
    old = Process(store, "old").register()
    Process(store, "new").register()
    old.say()
    with pytest.raises(SupersededError):
        old.run()
    assert "standing" not in store.status
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
    process.say()
    process.run()
    assert process.removed == ["another one has its name" if makes_another else "it is gone"]
    assert "standing" not in store.status
    assert process.writer.goal is Goal.NOTHING


def test_another_writers_change_is_taken_up_and_survived(store) -> None:
    process = Process(store).register()
    store.touch()
    process.say()
    process.run()
    assert store.status["standing"] == "Waiting"
    assert process.removed == []


def test_a_write_that_arrived_though_its_answer_was_lost_is_taken_up_and_repeated(store) -> None:
    process = Process(store).register()
    process.say()
    write = process.begin()
    store.answer(write)
    process.tell(write, Failure.OTHER)
    process.run()
    assert store.status["standing"] == "Waiting"
    assert not process.fields.stale()
    assert process.removed == []


def test_once_removed_nothing_is_written_but_another_registration(store) -> None:
    process = Process(store).register()
    process.say()
    process.writer.removed()
    assert not process.step()
    assert process.writer.deadline() is None
    process.register().run()
    assert store.status["standing"] == "Waiting"


def test_a_write_that_fails_after_the_removal_is_not_made_again(store) -> None:
    process = Process(store).register()
    process.say()
    write = process.begin()
    process.writer.removed()
    process.tell(write, Failure.GONE)
    assert process.removed == []
    assert process.writer.deadline() is None


# ---- what is written, and when


def test_changes_within_a_moment_share_a_write_since_each_goes_to_every_speaker(store) -> None:
    process = Process(store).register()
    process.say("Waiting")
    process.run(0.0)
    began = process.now
    process.say("Member")
    assert not process.step()
    assert process.writer.deadline() == began + ROUTINE_SECONDS
    process.now = began + ROUTINE_SECONDS
    assert process.step()


def test_after_a_registration_the_rest_is_told_at_once(store) -> None:
    process = Process(store).register()
    process.say()
    process.run(0.0)
    process.writer.register()
    assert process.step()
    assert process.step()
    process.fields.set("conditions", [{"type": "Ready"}])
    assert process.step()
    assert store.status["conditions"] == [{"type": "Ready"}]


def test_nothing_is_written_when_nothing_differs(store) -> None:
    process = Process(store).register()
    process.say("Waiting")
    process.run()
    writes = len(store.writes)
    process.say("Member")
    process.say("Waiting")
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
    process.say()
    process.run(0.0)
    assert store.writes[-1].keys() == {"standing"}
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
    process.say()
    process.tell(process.begin(), Failure.OTHER)
    assert process.writer.deadline() == process.now + RETRY.base_seconds


def test_the_api_server_may_ask_for_more_patience(store) -> None:
    process = Process(store)
    process.writer.register()
    process.tell(process.begin(), Failure.OTHER, retry_after_seconds=7.0)
    assert process.writer.deadline() == process.now + 7.0


def test_a_status_that_failed_waits_no_longer_than_for_the_next_attempt(store) -> None:
    process = Process(store).register()
    process.say()
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
    process.say("Waiting")
    process.tell(process.begin(), Failure.OTHER)
    process.say("Member")
    process.run()
    assert store.status["standing"] == "Member"


def test_a_conflict_is_looked_at_without_delay(store) -> None:
    process = Process(store).register()
    process.say()
    process.tell(process.begin(), Failure.CONFLICT)
    assert process.writer.next_request(process.now) == LOOK


# ---- goodbye


def test_a_goodbye_carries_all_that_is_not_written_yet(store) -> None:
    process = Process(store).register()
    process.say()
    process.fields.set("conditions", [{"type": "Ready"}])
    process.writer.say_goodbye(withdrew_everything=True)
    process.run()
    assert store.status["goodbye"] is True
    assert store.status["standing"] == "Waiting"
    assert store.status["conditions"] == [{"type": "Ready"}]
    assert process.writer.goal is Goal.SAID
    assert not process.step()
    assert process.writer.deadline() is None


def test_one_that_left_routes_with_routers_says_no_goodbye(store) -> None:
    """Releases wait for what it says of itself: how long routers may keep its routes."""
    process = Process(store).register()
    process.fields.set("conditions", [{"type": "Ready"}])
    process.writer.say_goodbye(withdrew_everything=False)
    process.run()
    assert store.status["goodbye"] is False
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
    process.say()
    write = process.begin()
    process.writer.say_goodbye(withdrew_everything=True)
    process.tell(write, store.answer(write) if arrives else Failure.OTHER)
    assert process.writer.goal is Goal.GOODBYE
    process.run()
    assert store.status["goodbye"] is True
    assert store.status["standing"] == "Waiting"


def test_a_process_that_never_registered_has_nothing_to_say_goodbye_to(store) -> None:
    Process(store, "before").register()
    process = Process(store, "one")
    process.writer.say_goodbye(withdrew_everything=True)
    process.run()
    assert store.status["incarnation"] == "before"
    assert store.status["goodbye"] is False
    assert process.writer.goal is Goal.SAID


# ---- what the API server refuses


def test_a_registration_that_is_refused_is_made_without_the_part_that_is_named(store) -> None:
    """A speaker that can't register can't announce, and confirms nothing."""
    process = Process(store)
    process.fields.set("interfaces", [{"name": "eth0"}, {"name": "ib0", "mac": "x" * 59}])
    process.fields.set("standing", "Dancing")
    process.writer.register()
    process.step()
    write = process.begin()
    process.tell(
        write, Failure.REFUSED, causes={"status.interfaces[1].mac": "Too long", "status.standing": "Unsupported"}
    )
    process.run()
    assert process.writer.goal is Goal.STATUS
    assert store.status == {"incarnation": "one", "goodbye": False, "interfaces": [{"name": "eth0"}]}
    told = ["Speaker status.interfaces[1].mac: Too long", "Speaker status.standing: Unsupported"]
    assert process.refusals.told() == told


def test_what_is_refused_without_a_name_goes_on_without_its_largest_part(store) -> None:
    process = Process(store).register()
    process.fields.set("interfaces", [{"name": "x" * 1000}])
    process.say()
    process.promise_on("a" * 2000)
    process.tell(process.begin(), Failure.REFUSED)
    process.run()
    assert "interfaces" not in store.status
    assert store.status["standing"] == "Waiting"
    assert store.status["fencing"]["promised"]


def test_a_promise_that_is_refused_is_taken_back_also_the_predecessors(store) -> None:
    store.create()
    store.status = {"incarnation": "before", "fencing": {"promised": True, "witnesses": ["x"]}}
    process = Process(store)
    process.promise_on("a", "b")
    process.writer.register()
    process.step()
    process.tell(process.begin(), Failure.REFUSED, causes={"status.fencing.witnesses": "Too many"})
    process.run()
    assert "fencing" not in store.status
    assert not process.promise.binding


def test_routers_that_are_refused_stay_as_they_were_and_count_as_not_written(store) -> None:
    """Others go by them when this speaker is gone."""
    process = Process(store)
    process.fields.set("routers", [{"address": "192.0.2.1", "outlivesSeconds": 90}])
    process.register()
    process.fields.set("routers", [{"address": "192.0.2.1", "outlivesSeconds": 2**40}])
    process.tell(process.begin(), Failure.REFUSED, causes={"status.routers[0].outlivesSeconds": "too much"})
    process.run()
    assert store.status["routers"] == [{"address": "192.0.2.1", "outlivesSeconds": 90}]
    assert process.fields.written("routers") != process.fields.get("routers")


def test_what_is_indispensable_is_never_left_out(store) -> None:
    process = Process(store)
    process.writer.register()
    process.step()
    process.tell(process.begin(), Failure.REFUSED, causes={"status.incarnation": "no"})
    process.run()
    assert store.status["incarnation"] == "one"
