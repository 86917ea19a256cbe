"""The writes of the ReleaseConfirmation: at once, alone, and never over what a successor confirmed."""

import pytest

from crds.releaseconfirmation import MOST_CONFIRMED
from speaker.own.confirming import (
    COALESCE_SECONDS,
    ENTRIES_PER_WRITE,
    FORGET_AT_ONCE,
    FORGET_SECONDS,
    LOOK_SECONDS,
    ConfirmationWriter,
)
from speaker.own.patched import PatchedMap
from speaker.own.refused import Refusals
from speaker.own.requests import CONFIRMATION, SPEAKER, Failed, Failure, Found, Look, Request, Write, Wrote
from tests.speaker.own.store import Stores, outcome

MANY_STEPS = 1000
CREATE = Look(CONFIRMATION, creates=True, owner="node")


class Process:
    """One process that is registered; `refuses`: uids that the API server does not take, and whether it names them."""

    def __init__(self, stores: Stores, incarnation: str = "one") -> None:
        self.stores, self.store = stores, stores.confirmation
        self.now = 100.0
        self.released: PatchedMap[int] = PatchedMap(MOST_CONFIRMED)
        self.refusals = Refusals()
        self.refuses: dict[str, bool] = {}
        self.writer = ConfirmationWriter(incarnation, self.released, self.refusals)
        if not stores.speaker.uid:
            stores.speaker.create()
        stores.speaker.status["incarnation"] = incarnation
        self.writer.begin("node")

    def release(self, *uids: str) -> "Process":
        for uid in uids:
            self.released.put(uid, 2)
        return self

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

    def tell(self, request: Request, answer) -> None:
        told = outcome(request, answer) if isinstance(answer, Failure) else answer
        match told:
            case Found():
                self.writer.found(told)
            case Wrote():
                self.writer.wrote(told)
            case Failed():
                self.writer.failed(told, self.now)

    def answer(self, request: Request) -> None:
        bad = [uid for uid in self.refuses if isinstance(request, Write) and uid in request.status["released"]]
        if bad:
            causes = {f"status.released.{uid}": "no" for uid in bad if self.refuses[uid]}
            self.writer.failed(Failed(request, Failure.REFUSED, "422", causes=causes), self.now)
        else:
            self.tell(request, self.stores.answer(request))

    def run(self, seconds: float = 3600.0) -> "Process":
        end = self.now + seconds
        for _ in range(MANY_STEPS):
            request = self.writer.next_request(self.now)
            if request is not None:
                self.answer(request)
                continue
            deadline = self.writer.deadline()
            if deadline is None or deadline > end:
                return self
            self.now = max(self.now, deadline)
        raise AssertionError("it does not come to rest")


@pytest.fixture
def stores() -> Stores:
    return Stores()


def test_nothing_is_asked_for_before_the_registration_or_after_its_end(stores) -> None:
    process = Process(stores).run()
    process.writer.end()
    process.release("u1")
    assert process.writer.next_request(process.now) is None
    assert process.writer.deadline() is None
    assert process.writer.has_said_all


def test_the_object_is_looked_at_in_advance_so_that_a_confirmation_is_one_write(stores) -> None:
    process = Process(stores)
    look = process.begin()
    assert look == CREATE
    process.answer(look)
    process.run()
    assert process.store.uid
    assert process.store.writes == []
    process.release("u1").run()
    assert process.store.writes == [{"incarnation": "one", "released": {"u1": 2}}]
    process.release("u2").run()
    assert process.store.writes[1:] == [{"released": {"u2": 2}}]
    assert stores.released == {"u1": 2, "u2": 2}


def test_the_first_of_a_burst_is_written_at_once_and_the_others_share_a_write_that_is_made_soon(stores) -> None:
    process = Process(stores).run()
    began = process.now
    first = process.release("u1").writer.next_request(began)
    assert first is not None
    process.release("u2")
    process.answer(first)
    assert process.writer.next_request(began) is None
    assert process.writer.deadline() == began + COALESCE_SECONDS
    process.release("u3")
    process.run()
    assert process.store.writes[1:] == [{"released": {"u2": 2, "u3": 2}}]


def test_what_is_over_goes_with_the_next_confirmation_or_after_a_while(stores) -> None:
    process = Process(stores).run().release("u1", "u2").run()
    process.released.drop("u1")
    process.run(FORGET_SECONDS - 1)
    assert len(process.store.writes) == 1
    assert process.writer.has_said_all
    process.release("u3").run(0)
    assert process.store.writes[1:] == [{"released": {"u1": None, "u3": 2}}]
    process.released.drop("u2")
    process.run(FORGET_SECONDS + 1)
    assert process.store.writes[2:] == [{"released": {"u2": None}}]


def test_an_object_that_is_deleted_while_a_release_is_not_over_is_made_again(stores) -> None:
    process = Process(stores).release("u1").run(1)
    stores.confirmation.create()
    assert stores.released == {}
    process.run(LOOK_SECONDS + 1)
    assert stores.released == {"u1": 2}


def test_an_object_that_nobody_touched_is_looked_at_and_not_written_again(stores) -> None:
    process = Process(stores).release("u1").run(10 * LOOK_SECONDS)
    assert len(process.store.writes) == 1
    process.released.drop("u1")
    process.run(LOOK_SECONDS)
    while (request := process.writer.next_request(process.now)) is not None:
        assert isinstance(request, Look)
        process.answer(request)


def test_many_that_are_over_go_at_once(stores) -> None:
    uids = [f"u{number}" for number in range(FORGET_AT_ONCE + 1)]
    process = Process(stores).run().release(*uids).run()
    for uid in uids:
        process.released.drop(uid)
    process.run(1)
    assert process.store.writes[1:] == [{"released": dict.fromkeys(uids)}]


def test_many_go_in_several_writes(stores) -> None:
    process = Process(stores).run().release(*map(str, range(ENTRIES_PER_WRITE + 1))).run()
    assert [len(write["released"]) for write in process.store.writes] == [ENTRIES_PER_WRITE, 1]


def test_what_the_object_has_no_room_for_is_held_back_until_others_go(stores) -> None:
    process = Process(stores).release(*(f"u{n}" for n in range(MOST_CONFIRMED)), "one more").run()
    assert len(stores.released) == MOST_CONFIRMED
    assert "one more" not in stores.released
    process.released.drop("u0")
    process.run()
    assert stores.released["one more"] == 2
    assert len(stores.released) == MOST_CONFIRMED


def test_what_a_predecessor_confirmed_goes_with_the_first_write(stores) -> None:
    Process(stores, "before").release("u1", "u2").run()
    assert stores.released == {"u1": 2, "u2": 2}
    process = Process(stores, "one").run()
    assert stores.released == {}
    process.release("u2").run()
    assert process.store.status == {"incarnation": "one", "released": {"u2": 2}}


def test_what_it_confirmed_itself_stays_when_it_registers_anew(stores) -> None:
    process = Process(stores).release("u1", "gone").run()
    process.writer.end()
    process.released.drop("gone")
    process.writer.begin("node")
    process.run()
    assert stores.released == {"u1": 2}


def test_a_late_write_of_a_predecessor_never_becomes_the_word_of_its_successor(stores) -> None:
    """It would be a lie: the successor may announce what that one had withdrawn."""
    before = Process(stores, "before").release("u1").run()
    late = before.release("u2").begin()
    now = Process(stores, "one").release("u3").run()
    assert stores.confirmation.answer(late) is Failure.CONFLICT
    assert stores.released == {"u3": 2}
    now.release("u4").run()
    assert stores.released == {"u3": 2, "u4": 2}


def test_a_late_write_that_comes_between_look_and_write_is_noticed(stores) -> None:
    before = Process(stores, "before").release("u1").run()
    late = before.release("u2").begin()
    now = Process(stores, "one").run()
    now.release("u3")
    stores.confirmation.answer(late)
    now.run()
    assert stores.confirmation.status == {"incarnation": "one", "released": {"u3": 2}}


def test_who_was_replaced_does_not_overwrite_what_its_successor_confirmed(stores) -> None:
    """Its successor would not notice, and the release would wait for ever."""
    old = Process(stores, "old").run()
    Process(stores, "new").release("u1").run()
    old.release("u2").run()
    assert stores.confirmation.status == {"incarnation": "new", "released": {"u1": 2}}
    assert old.writer.deadline() is None


def test_what_another_process_left_is_replaced_only_after_a_look_at_the_speaker(stores) -> None:
    Process(stores, "before").release("u1").run()
    process = Process(stores, "one")
    process.answer(process.begin())
    assert process.begin() == Look(SPEAKER)
    process.tell(Look(SPEAKER), Failure.GONE)
    process.release("u2").run()
    assert stores.confirmation.status["incarnation"] == "before"


@pytest.mark.parametrize("failure", [Failure.OTHER, Failure.CONFLICT, Failure.GONE])
@pytest.mark.parametrize("arrives", [True, False])
def test_a_write_that_failed_is_made_again_whatever_became_of_it(stores, failure, arrives) -> None:
    process = Process(stores).run()
    write = process.release("u1").begin()
    if arrives:
        stores.confirmation.answer(write)
    if failure is Failure.GONE:
        stores.confirmation.delete()
    process.tell(write, failure)
    process.release("u2").run()
    assert stores.released == {"u1": 2, "u2": 2}


def test_what_was_under_way_before_a_registration_is_not_believed_after_it(stores) -> None:
    process = Process(stores).run()
    write = process.release("u1").begin()
    process.writer.end()
    process.writer.begin("node")
    stores.confirmation.create()  # another object
    process.tell(write, Failure.OTHER)
    process.run()
    assert stores.released == {"u1": 2}


@pytest.mark.parametrize("is_named", [True, False])
def test_one_entry_that_is_refused_holds_no_other_back(stores, is_named) -> None:
    process = Process(stores).run()
    process.refuses["u3"] = is_named
    process.release(*(f"u{n}" for n in range(7))).run(60.0)
    process.release("later").run(60.0)
    assert stores.released.keys() == {"u0", "u1", "u2", "u4", "u5", "u6", "later"}
    assert process.refusals.told()
    del process.refuses["u3"]
    process.run()
    assert "u3" in stores.released


def test_nobody_waits_for_confirmations_that_can_not_be_written(stores) -> None:
    process = Process(stores).run().release("u1")
    assert not process.writer.has_said_all
    write = process.begin()
    assert not process.writer.has_said_all
    process.tell(write, Failure.OTHER)
    assert process.writer.has_said_all
    process.run()
    assert process.writer.has_said_all
