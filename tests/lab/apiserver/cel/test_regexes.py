"""Go's regular expressions in Python."""

from __future__ import annotations

import pytest

from lab.apiserver.cel.regexes import GoRegexError, compile_go


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("^a$", "a", True),
        ("^a$", "a\n", False),  # Python's own $ would match before the newline
        (r"^a\z", "a", True),
        (r"^\d+$", "٣", False),  # ASCII digits only
        ("^[[:alpha:]]+$", "abc", True),
        ("^[[:alpha:]]+$", "ab1", False),
        ("^[$.]+$", "$.", True),
        ("(?P<n>a)b", "ab", True),
        ("(?i)AB", "ab", True),
        ("^[]a]$", "]", True),
        ("^[^]]$", "]", False),
    ],
)
def test_a_pattern_matches_what_go_matches(pattern: str, text: str, matches: bool) -> None:
    assert (compile_go(pattern).search(text) is not None) is matches


@pytest.mark.parametrize("pattern", ["(?=a)", "(?<!a)b", r"(a)\1", "a**", "[a", "(", "a++", r"\pL"])
def test_what_go_refuses_is_refused(pattern: str) -> None:
    with pytest.raises(GoRegexError, match="error parsing regexp"):
        compile_go(pattern)
