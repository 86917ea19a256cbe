"""Each expression of a dashboard or an alert asks for metrics, labels and states that the programs have."""

import ast
from functools import cache
from pathlib import Path

import pytest

from tests.charts.promql import LABELS_OF_SCRAPES, Expression, declared, of_alerts, of_boards

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent.parent
ALL = [*of_boards(), *of_alerts()]


def labels_of(expression: Expression) -> set[str]:
    """What its series may have."""
    return {label for metric, _ in expression.selectors() for label in declared()[metric]} | LABELS_OF_SCRAPES


@cache
def words() -> set[str]:
    """All texts that stand in the programs: states and reasons are among them."""
    return {
        node.value
        for room in ("allocator", "crds", "kube", "speaker")
        for path in (ROOT / room).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def test_there_are_expressions() -> None:
    assert len(of_boards()) > 40
    assert len(of_alerts()) > 15


def test_metrics_have_the_labels_that_they_are_selected_by() -> None:
    for one in ALL:
        found = list(one.selectors())
        assert found, one.where
        for metric, matchers in found:
            assert metric in declared(), one.where
            assert set(matchers) <= declared()[metric] | LABELS_OF_SCRAPES, one.where


def test_series_have_the_labels_that_they_are_grouped_by() -> None:
    for one in ALL:
        for _, labels in one.groupings():
            assert labels <= labels_of(one), one.where


def test_what_labels_are_compared_with_is_a_word_of_the_programs() -> None:
    for one in ALL:
        for _, matchers in one.selectors():
            for value in (word for text in matchers.values() for word in text.split("|")):
                assert not value.isalpha() or value in words(), one.where


def test_the_labels_that_legends_and_annotations_tell_are_left_in_the_result() -> None:
    for one in ALL:
        groupings = list(one.groupings())
        kept = [labels for word, labels in groupings if word == "by"]
        left = set().union(*kept) if kept else labels_of(one)
        left -= {label for word, labels in groupings if word == "without" for label in labels}
        assert one.told <= left, one.where
