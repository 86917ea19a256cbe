"""Three writers together: each outcome finds the writer that asked, and nobody's request waits for another's."""

from speaker.fencing import Promise
from speaker.own.requests import SPEAKER, Failed, Failure, Kind, Look
from speaker.own.status import StatusDraft
from speaker.own.writer import Goal
from speaker.own.writers import OwnWriters
from tests.speaker.own.store import Stores


def registered(stores: Stores) -> OwnWriters:
    """With a release to confirm, in an object that another process wrote last."""
    writers = OwnWriters("one", StatusDraft(), Promise())
    stores.confirmation.create()
    stores.confirmation.status["incarnation"] = "zero"
    writers.speaker.register()
    while writers.speaker.goal is not Goal.STATUS:
        (request,) = writers.next_requests(1.0)
        answer = stores.answer(request)
        assert not writers.take(answer, 1.0)
        (writers.speaker.found if isinstance(request, Look) else writers.speaker.wrote)(answer)
    writers.begin("node")
    return writers


def test_an_outcome_is_for_the_writer_that_asked_though_another_asks_the_same() -> None:
    stores = Stores()
    writers = registered(stores)
    for request in writers.next_requests(2.0):
        assert writers.take(stores.answer(request), 2.0)
    writers.speaker.say_goodbye(withdrew_everything=True)
    of_confirmation, of_speaker, *_ = writers.next_requests(3.0)
    assert of_confirmation == of_speaker == Look(SPEAKER)
    assert not writers.take(stores.answer(of_speaker), 3.0)
    assert writers.confirmation.attempts.request is of_confirmation
    assert writers.take(stores.answer(of_confirmation), 3.0)
    assert writers.confirmation.attempts.request is None


def test_confirmations_come_first_and_wait_for_no_request_of_another() -> None:
    stores = Stores()
    writers = registered(stores)
    writers.speaker.say_goodbye(withdrew_everything=True)
    asked = writers.next_requests(2.0)
    assert [one.target.kind for one in asked] == [Kind.CONFIRMATION, Kind.SPEAKER, Kind.REPORT]
    assert writers.next_requests(2.0) == []
    writers.speaker.failed(Failed(asked[1], Failure.OTHER, "no", randomness=1.0), 2.0)
    assert writers.take(stores.answer(asked[0]), 2.0)
    assert [one.target for one in writers.next_requests(2.0)] == [
        SPEAKER
    ]  # is it still ours? asks that of confirmations
    assert writers.confirmation.attempts.request is not None


def test_one_that_is_registered_no_more_asks_for_nothing() -> None:
    stores = Stores()
    writers = registered(stores)
    writers.end()
    writers.speaker.removed()
    assert writers.next_requests(2.0) == []
    assert writers.deadline() is None
