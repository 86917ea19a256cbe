"""The page of guarantees names only what is there: tests, rules of the model, planted faults, assumptions."""

import re
from collections.abc import Iterator
from pathlib import Path

from tests.docs.names import defines
from tests.mutations.catalogue import MUTATIONS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "guarantees.md").read_text()
RULES = {path.stem.removeprefix("without-") for path in (ROOT / "docs" / "model" / "traces").glob("without-*.txt")}
NAME = re.compile(r"`([^`]+)`")


def rows() -> Iterator[list[str]]:
    """The cells of each promise, without its number."""
    for line in PAGE.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if re.fullmatch(r"\| \d+ .*\|", line):
            yield cells[1:]


def names(column: int) -> set[str]:
    return {name for cells in rows() for name in NAME.findall(cells[column])}


def test_each_promise_names_a_test_that_is_there() -> None:
    assert len(list(rows())) > 10
    for promise, _, tests, *_ in rows():
        found = NAME.findall(tests)
        assert found, promise
        for name in found:
            path, _, test = name.partition("::")
            assert (ROOT / path).exists(), name
            assert not test or defines((ROOT / path).read_text(), test), name


def test_each_rule_of_the_model_stands_under_a_promise_or_an_assumption() -> None:
    assert names(3) - RULES == set()
    assert RULES - set(NAME.findall(PAGE)) == set()


def test_each_planted_fault_that_is_named_is_planted() -> None:
    assert names(4)
    assert names(4) - MUTATIONS.keys() == set()


def test_each_assumption_that_is_named_is_told() -> None:
    told = set(re.findall(r"^- \*\*(A\d+)\.", PAGE, re.MULTILINE))
    assert {one for cells in rows() for one in re.findall(r"A\d+", cells[1])} == told
