"""Whose question is asked of the API server, how long an answer counts, and what strangers can fill: nothing."""

import pytest

from kube.process.scrapers import (
    ALLOWED_SECONDS,
    MOST_QUESTIONS,
    MOST_TOKENS,
    QUESTIONS_PER_SECOND,
    REFUSED_SECONDS,
    UNANSWERED_SECONDS,
    Scrapers,
    Verdict,
    access_question,
    may_read,
    token_in,
    user_of,
)


def allowed_at(now: float) -> Scrapers:
    scrapers = Scrapers()
    scrapers.learn("good", Verdict.ALLOWED, now)
    return scrapers


@pytest.mark.parametrize(
    ("header", "token"),
    [("Bearer a.b.c", "a.b.c"), ("bearer  x ", "x"), ("Basic eA==", ""), ("", ""), ("Bearer", ""), ("Bearer ", "")],
)
def test_a_token_is_what_stands_behind_the_word_bearer(header: str, token: str) -> None:
    assert token_in(header) == token


def test_without_a_token_nobody_is_asked() -> None:
    assert Scrapers().verdict("", 0.0) is Verdict.NO_TOKEN


def test_a_token_of_any_bytes_is_only_unknown() -> None:
    assert Scrapers().verdict("\udcff", 0.0) is None


@pytest.mark.parametrize(
    ("verdict", "lasts"),
    [(Verdict.ALLOWED, ALLOWED_SECONDS), (Verdict.UNKNOWN, REFUSED_SECONDS), (Verdict.FORBIDDEN, REFUSED_SECONDS)],
)
def test_an_answer_counts_for_a_while(verdict: Verdict, lasts: float) -> None:
    scrapers = Scrapers()
    assert scrapers.verdict("t", 100.0) is None
    scrapers.learn("t", verdict, 100.0)
    assert scrapers.verdict("t", 99.9 + lasts) is verdict
    assert scrapers.verdict("t", 100.0 + lasts) is None


def test_who_was_allowed_stays_so_while_the_api_server_is_silent_and_nobody_else() -> None:
    scrapers = allowed_at(0.0)
    scrapers.learn("bad", Verdict.FORBIDDEN, 0.0)
    assert scrapers.unanswered("good", UNANSWERED_SECONDS - 1) is Verdict.ALLOWED
    assert scrapers.unanswered("good", UNANSWERED_SECONDS) is Verdict.UNANSWERED
    assert scrapers.unanswered("bad", 1.0) is Verdict.UNANSWERED
    assert scrapers.unanswered("new", 1.0) is Verdict.UNANSWERED


def test_a_flood_of_tokens_asks_few_questions_and_keeps_nobody_out_who_was_allowed() -> None:
    scrapers = allowed_at(0.0)
    seconds, asked = 600, 0
    for number in range(seconds * 50):
        now = number / 50
        if scrapers.verdict(f"stranger{number}", now) is None:
            asked += 1
            scrapers.learn(f"stranger{number}", Verdict.UNKNOWN, now)
        if number % 1500 == 0:  # a scrape each 30 s
            verdict = scrapers.verdict("good", now)
            assert verdict in (None, Verdict.ALLOWED)
            scrapers.learn("good", Verdict.ALLOWED, now)
    assert asked <= MOST_QUESTIONS + seconds * QUESTIONS_PER_SECOND
    assert len(scrapers._known) <= MOST_TOKENS
    assert scrapers.verdict("good", float(seconds)) is Verdict.ALLOWED


def test_who_was_refused_makes_room_before_who_was_allowed() -> None:
    scrapers = allowed_at(0.0)
    for number in range(2 * MOST_TOKENS):
        scrapers.learn(f"stranger{number}", Verdict.FORBIDDEN, 1.0 + number / 1000)
    assert len(scrapers._known) == MOST_TOKENS
    assert scrapers.verdict("good", 2.0) is Verdict.ALLOWED


def test_the_user_of_the_token_is_asked_about_as_the_api_server_knows_it() -> None:
    user = user_of(
        b'{"kind":"TokenReview","status":{"authenticated":true,"user":{"username":"system:serviceaccount:m:p",'
        b'"uid":"1","groups":["system:authenticated"],"extra":{"pod":["p-0"]}},"audiences":["x"]}}'
    )
    assert user is not None
    assert access_question(user) == {
        "spec": {
            "user": "system:serviceaccount:m:p",
            "uid": "1",
            "groups": ["system:authenticated"],
            "extra": {"pod": ["p-0"]},
            "nonResourceAttributes": {"path": "/metrics", "verb": "get"},
        }
    }


@pytest.mark.parametrize(
    "answer",
    [
        b"{}",
        b'{"status":{}}',
        b'{"status":{"authenticated":false,"user":{"username":"u"},"error":"expired"}}',
        b'{"status":{"authenticated":true,"user":{}}}',
    ],
)
def test_what_does_not_say_that_a_token_is_somebodys_makes_it_nobodys(answer: bytes) -> None:
    assert user_of(answer) is None


@pytest.mark.parametrize(
    ("answer", "may"),
    [
        (b'{"status":{"allowed":true}}', True),
        (b'{"status":{"allowed":false}}', False),
        (b'{"status":{"allowed":true,"denied":true}}', False),
        (b"{}", False),
    ],
)
def test_only_who_is_allowed_and_not_denied_may_read(answer: bytes, may: bool) -> None:
    assert may_read(answer) is may
