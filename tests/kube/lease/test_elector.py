import pytest
from hypothesis import given
from hypothesis import strategies as st

from kube.lease.elector import ElectionTimes, Elector
from kube.objects import Lease, LeaseSpec, Meta

TIMES = ElectionTimes(lease_duration=15, renew_deadline=10, retry_period=2)


def lease(
    holder: str | None, renew: str = "r0", *, duration: int | None = 15, version: str = "5", turns: int = 3
) -> Lease:
    spec = LeaseSpec(holder, duration, "acquired", renew, turns)
    return Lease(metadata=Meta(name="l", uid="u", resource_version=version), spec=spec)


def elector(identity: str = "me") -> Elector:
    return Elector(identity, TIMES)


def test_a_missing_lease_is_created() -> None:
    one = elector()
    assert one.must_read
    one.observe(None, 0.0)
    claim = one.claim(0.0, "w")
    assert claim is not None
    assert claim.is_new
    assert claim.body["spec"] == {
        "holderIdentity": "me",
        "leaseDurationSeconds": 15,
        "renewTime": "w",
        "acquireTime": "w",
        "leaseTransitions": 0,
    }


def test_a_lease_of_another_is_taken_only_when_it_was_not_seen_to_change_for_its_duration() -> None:
    one = elector()
    one.observe(lease("other"), 100.0)
    assert one.claim(114.9, "w") is None
    one.observe(lease("other", "r1"), 114.9)
    assert one.claim(115.1, "w") is None
    claim = one.claim(130.0, "w")
    assert claim is not None
    assert claim.body["metadata"] == {"uid": "u", "resourceVersion": "5"}
    assert claim.body["spec"]["leaseTransitions"] == 4
    assert claim.body["spec"]["acquireTime"] == "w"


def test_times_inside_the_lease_are_not_compared_with_any_clock() -> None:
    one = elector()
    one.observe(lease("other", "1970-01-01T00:00:00.000000Z"), 100.0)
    assert one.claim(101.0, "2026-01-01T00:00:00.000000Z") is None


def test_the_duration_in_the_lease_counts_and_not_ours() -> None:
    one = elector()
    one.observe(lease("other", duration=60), 100.0)
    assert one.claim(150.0, "w") is None
    assert one.claim(160.0, "w") is not None


@pytest.mark.parametrize("holder", ["", None])
def test_a_released_lease_is_taken_at_once(holder: str | None) -> None:
    one = elector()
    one.observe(lease(holder), 100.0)
    assert one.claim(100.0, "w") is not None


def test_leadership_counts_from_when_the_renewal_was_sent() -> None:
    one = elector()
    one.observe(lease(""), 100.0)
    assert not one.is_leader(100.0)
    one.claimed(lease("me"), 100.0)
    assert one.is_leader(109.9)
    assert not one.is_leader(110.0)
    assert one.leads_until() == 110.0


def test_renewing_keeps_the_acquire_time_and_counts_no_transition() -> None:
    one = elector()
    one.claimed(lease("me", version="9"), 100.0)
    claim = one.claim(102.0, "w")
    assert claim is not None
    assert claim.body["metadata"]["resourceVersion"] == "9"
    assert claim.body["spec"].keys() == {"holderIdentity", "leaseDurationSeconds", "renewTime"}


def test_seeing_another_holder_ends_leadership_at_once() -> None:
    one = elector()
    one.claimed(lease("me"), 100.0)
    one.observe(lease("other", "r9"), 101.0)
    assert one.claim(101.0, "w") is None
    assert not one.is_leader(101.0)


def test_resigning_frees_the_lease_with_a_precondition_and_ends_leadership() -> None:
    one = elector()
    one.claimed(lease("me", version="9"), 100.0)
    patch = one.resign("w")
    assert patch is not None
    assert patch["metadata"] == {"uid": "u", "resourceVersion": "9"}
    assert patch["spec"]["holderIdentity"] == ""
    assert not one.is_leader(100.0)


def test_who_does_not_hold_the_lease_can_not_resign_it() -> None:
    one = elector()
    assert one.resign("w") is None
    one.observe(lease("other"), 100.0)
    assert one.resign("w") is None


@pytest.mark.parametrize("times", [(10, 10, 2), (15, 2, 2), (15, 10, 0)])
def test_times_without_a_margin_are_refused(times: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="leader election"):
        ElectionTimes(*times)


def test_an_empty_identity_is_refused() -> None:
    with pytest.raises(ValueError, match="identity"):
        Elector("", TIMES)


@given(sent=st.floats(0, 100), delay=st.floats(0, 30), look=st.lists(st.floats(0, 40), min_size=1, max_size=10))
def test_a_standby_never_takes_over_before_the_leader_has_stopped(sent: float, delay: float, look: list[float]) -> None:
    """However late the leader's answer and the standby's looks are."""
    leader, standby = elector("a"), elector("b")
    leader.claimed(lease("a", "r1"), sent)
    for moment in sorted(sent + delay + offset for offset in look):
        standby.observe(lease("a", "r1"), moment)
        if standby.claim(moment, "w") is not None:
            assert not leader.is_leader(moment)
