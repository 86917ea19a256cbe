"""Answers recorded from a kube-apiserver v1.36.2, and some of what stands between it and us."""

import json
from typing import Any

import pytest

from kube.errors import (
    MOST_RETRY_AFTER_SECONDS,
    AlreadyExists,
    ApiError,
    Conflict,
    Forbidden,
    Gone,
    Invalid,
    NotFound,
    ServerError,
    TooManyRequests,
    Unauthorized,
    Unreachable,
    error_from_response,
    is_precondition_failure,
    is_refused_content,
)


def answer(code: int, reason: str, message: str = "m", **details: Any) -> ApiError:
    body: dict[str, Any] = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
    body |= {"message": message, "reason": reason, "details": details, "code": code}
    return error_from_response(code, json.dumps(body).encode())


def immutable_uid() -> ApiError:
    cause = {"reason": "FieldValueInvalid", "message": "field is immutable", "field": "metadata.uid"}
    return answer(422, "Invalid", name="oc", kind="Service", causes=[cause, cause])


@pytest.mark.parametrize(
    ("code", "reason", "expected"),
    [
        (400, "BadRequest", ApiError),
        (401, "Unauthorized", Unauthorized),
        (403, "Forbidden", Forbidden),
        (404, "NotFound", NotFound),
        (409, "Conflict", Conflict),
        (409, "AlreadyExists", AlreadyExists),
        (410, "Expired", Gone),
        (422, "Invalid", Invalid),
        (429, "TooManyRequests", TooManyRequests),
        (500, "InternalError", ServerError),
        (504, "Timeout", ServerError),
    ],
)
def test_each_code_has_its_class(code: int, reason: str, expected: type[ApiError]) -> None:
    error = answer(code, reason)
    assert type(error) is expected
    assert (error.code, error.reason, error.message) == (code, reason, "m")


def test_an_unknown_resource_is_a_plain_text_404() -> None:
    error = error_from_response(404, b"404 page not found\n")
    assert isinstance(error, NotFound)
    assert error.is_unknown_resource
    assert error.message == "404 page not found"


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("/apis/berth.dev/v1beta1/ippools", "ippools.berth.dev"),
        ("/apis/berth.dev/v1beta1/ippools/edge/status", "ippools.berth.dev"),
        ("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", "endpointslices.discovery.k8s.io"),
        ("/api/v1/namespaces/default/services/web", "services"),
        ("/api/v1/namespaces/default", "namespaces"),
    ],
)
def test_what_an_api_server_does_not_know_is_named(path: str, named: str) -> None:
    error = error_from_response(404, b"404 page not found\n", path=path)
    assert str(error) == f"404 UnknownPath: the API server knows no {named}: is the definition installed?"
    assert isinstance(error, NotFound)
    assert error.is_unknown_resource


def test_an_unknown_object_is_not_an_unknown_resource() -> None:
    error = answer(404, "NotFound", 'services "oc" not found', name="oc", kind="services")
    assert isinstance(error, NotFound)
    assert not error.is_unknown_resource


def test_a_proxy_that_answers_html_is_an_error_with_its_code() -> None:
    error = error_from_response(502, b"<html>\xff Bad Gateway</html>")
    assert isinstance(error, ServerError)
    assert error.code == 502


def test_a_proxy_that_answers_json_in_latin_1_is_an_error_with_its_code() -> None:
    error = error_from_response(502, '{"message":"caf\u00e9"}'.encode("latin-1"))
    assert isinstance(error, ServerError)
    assert (error.code, error.message) == (502, '{"message":"caf\ufffd"}')


def test_json_that_is_no_status_is_not_mistaken_for_one() -> None:
    assert isinstance(error_from_response(409, b'{"kind":"Service","reason":"AlreadyExists"}'), Conflict)
    assert not isinstance(error_from_response(409, b'{"kind":"Service","reason":"AlreadyExists"}'), AlreadyExists)


def test_nobody_is_kept_waiting_for_long() -> None:
    assert answer(504, "Timeout", retryAfterSeconds=2**31 - 1).retry_after_seconds == MOST_RETRY_AFTER_SECONDS
    header = float("9" * 400)
    assert error_from_response(429, b"", header).retry_after_seconds == MOST_RETRY_AFTER_SECONDS


def test_retry_after_is_taken_from_the_details_when_no_header_says_it() -> None:
    assert answer(504, "Timeout", retryAfterSeconds=1).retry_after_seconds == 1.0
    assert answer(504, "Timeout").retry_after_seconds is None


def test_details_may_be_missing_or_null() -> None:
    assert error_from_response(409, b'{"kind":"Status","reason":"Conflict"}').causes == ()
    assert error_from_response(409, b'{"kind":"Status","details":{"causes":null}}').causes == ()


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (answer(409, "Conflict", name="oc", kind="services"), True),
        (immutable_uid(), True),
        (answer(422, "Invalid", "the server rejected our request due to an error in our request"), False),
        (answer(422, "Invalid", name="oc", causes=[{"field": "status.loadBalancer.ingress[0].ip"}]), False),
        (
            answer(422, "Invalid", name="oc", causes=[{"field": "metadata.uid"}, {"field": "metadata.finalizers"}]),
            False,
        ),
        (answer(404, "NotFound", name="oc"), False),
        (answer(409, "AlreadyExists", name="oc"), False),
        (Unreachable(0, "Timeout", ""), False),
    ],
)
def test_a_failed_precondition_is_told_from_other_refusals(error: ApiError, expected: bool) -> None:
    assert is_precondition_failure(error) is expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (
            answer(422, "Invalid", causes=[{"reason": "FieldValueTooMany", "message": "m", "field": "spec.holders"}]),
            True,
        ),
        (answer(422, "Invalid"), True),
        (answer(413, "RequestEntityTooLarge"), True),
        (answer(500, "InternalError", "etcdserver: request is too large"), True),
        (immutable_uid(), False),
        (answer(409, "Conflict"), False),
        (answer(403, "Forbidden"), False),
        (answer(500, "InternalError", "etcdserver: leader changed"), False),
        (Unreachable(0, "", "m"), False),
    ],
)
def test_content_that_is_refused_would_be_refused_again(error: ApiError, expected: bool) -> None:
    assert is_refused_content(error) is expected
