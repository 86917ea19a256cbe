"""Patterns for names of interfaces."""

import fnmatch
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crds.markers import Text
from crds.rules import InterfacePattern
from speaker.layer2.glob import MOST_CHARACTERS, glob

NAMES = st.text(alphabet="ab0-.!", max_size=8)
SETS = st.builds(
    lambda negation, inner: f"[{negation}{inner}]",
    st.sampled_from(["", "!"]),
    st.sampled_from(["a", "ab", "a-b", "0-9a"]),
)
PATTERNS = st.lists(st.sampled_from(["*", "?", "a", "b", "0", "-", ".", "!"]) | SETS, min_size=1, max_size=8).map(
    "".join
)


@given(PATTERNS, NAMES)
def test_a_pattern_fits_what_a_shell_says(pattern: str, name: str) -> None:
    made = glob(pattern)
    assert made is not None
    assert made.fits(name) is fnmatch.fnmatchcase(name, pattern)


@given(st.text(alphabet=string.printable + "é", max_size=MOST_CHARACTERS + 2), st.text(max_size=15))
def test_any_text_is_a_pattern_or_none_and_never_an_error(pattern: str, name: str) -> None:
    made = glob(pattern)
    assert made is None or made.fits(name) in (True, False)


@pytest.mark.parametrize(
    "pattern", ["", "[", "[]", "[!", "eth[", "[9-0]", "[a-c9-0]", "/", "/eth.*/", "*" * (MOST_CHARACTERS + 1)]
)
def test_what_is_no_pattern_is_none(pattern: str) -> None:
    assert glob(pattern) is None


@pytest.mark.parametrize(("pattern", "name"), [("[!]", "!"), ("[*]", "*"), ("[?]", "?"), ("]", "]"), ("[a-]", "-")])
def test_what_has_a_meaning_can_be_meant_as_it_is(pattern: str, name: str) -> None:
    made = glob(pattern)
    assert made is not None
    assert made.fits(name)


def test_the_worst_pattern_is_compared_in_as_many_steps_as_it_has_characters_for_each_of_the_names() -> None:
    """In an engine that backtracks this takes longer than the universe has."""
    made = glob("*a" * (MOST_CHARACTERS // 2 - 1) + "*b")
    assert made is not None
    assert not made.fits("a" * 4096)


def test_the_api_takes_as_much_as_is_read() -> None:
    [text] = [marker for marker in InterfacePattern.__metadata__ if isinstance(marker, Text)]
    assert text.max_length == MOST_CHARACTERS
