"""A program says which writes are refused altogether; one object that a policy refuses does not make it look unable."""

from kube.errors import ApiError, Forbidden, Invalid, Unreachable
from kube.refusals import FORGOTTEN_SECONDS, LASTS_SECONDS, Refusals

KIND = "patch services/status"
RIGHT = Forbidden(403, "Forbidden", 'User "berth" cannot patch resource "services/status" in API group ""')
POLICY = Forbidden(403, "Forbidden", "admission webhook tenants denied the request: no")


def refused(error: ApiError, *, objects: int = 1, seconds: float = LASTS_SECONDS) -> Refusals:
    told = Refusals()
    for at in (0.0, seconds):
        for number in range(objects):
            told.refused(KIND, f"/{number}", error, at)
    return told


def test_a_right_that_is_missing_is_told_once_it_has_lasted() -> None:
    assert refused(RIGHT, seconds=1.0).told(1.0) == ""
    assert refused(RIGHT).told(LASTS_SECONDS) == f"the API server refuses to {KIND}: {RIGHT.message}"


def test_what_a_policy_refuses_counts_when_it_refuses_several_objects() -> None:
    assert refused(POLICY).told(LASTS_SECONDS) == ""
    assert "denied the request" in refused(POLICY, objects=3).told(LASTS_SECONDS)
    assert refused(Invalid(422, "Invalid", "spec.x: Required value"), objects=3).told(LASTS_SECONDS)


def test_one_that_is_accepted_ends_it_and_so_does_time() -> None:
    told = refused(RIGHT)
    assert told.told(LASTS_SECONDS + FORGOTTEN_SECONDS) == ""
    told.accepted(KIND)
    assert told.told(LASTS_SECONDS) == ""


def test_an_outage_is_no_refusal() -> None:
    assert refused(Unreachable(0, "Unreachable", "x"), objects=5).told(LASTS_SECONDS) == ""
