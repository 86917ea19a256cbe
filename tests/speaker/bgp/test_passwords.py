"""The passwords of BGPPeers: which one is in use, whatever becomes of the Secret."""

import pytest

from crds.bgppeer import PasswordSecretRef
from speaker.bgp.passwords import Passwords, is_missing

REF = PasswordSecretRef(name="tor")
HUSH = {"tor": {"password": b"hush"}}


@pytest.mark.parametrize(
    "secrets", [{}, {"tor": {}}, {"tor": {"password": b""}}, {"tor": {"other": b"x"}}, {"tor": {"password": b"\xff"}}]
)
def test_without_one_that_can_be_read_the_one_read_last_stays(secrets) -> None:
    passwords = Passwords()
    assert passwords.of("tor", REF, secrets) is None
    assert passwords.of("tor", REF, HUSH) == "hush"
    assert passwords.of("tor", REF, secrets) == "hush"
    assert is_missing(REF, secrets) == (secrets != {})  # else it was not read yet


def test_another_one_that_is_read_takes_its_place() -> None:
    passwords = Passwords()
    passwords.of("tor", REF, HUSH)
    assert passwords.of("tor", REF, {"tor": {"password": b"other"}}) == "other"
    assert passwords.of("tor", REF, {}) == "other"


@pytest.mark.parametrize("ref", [PasswordSecretRef(name="new"), PasswordSecretRef(name="tor", key="new")])
def test_a_peer_that_names_another_secret_or_key_has_none_until_that_is_read(ref) -> None:
    passwords = Passwords()
    passwords.of("tor", REF, HUSH)
    assert passwords.of("tor", ref, HUSH) is None


def test_each_peer_has_its_own_and_one_that_is_gone_is_forgotten() -> None:
    passwords = Passwords()
    passwords.of("tor", REF, HUSH)
    assert passwords.of("tor2", REF, {}) is None
    passwords.forget_others({"tor2"})
    assert passwords.of("tor", REF, {}) is None
