"""A passage is found by its shape, once, and changed; where it is not there, the fault is named."""

import ast

import pytest

from tests.mutations.edits import Edit, UnfitError
from tests.mutations.mutation import Mutation, Story
from tests.mutations.planting import MutationError, mutated, planted

FUNCTION = """
def f(a, b):
    if a.size() <= 2 * b:  # too few
        return "few"
    for one in (a, b):
        one.go()
    return max(
        a, b
    )
"""


def changed(*edits: Edit) -> str:
    tree = ast.parse(FUNCTION)
    for edit in edits:
        edit.apply(tree.body[0])
    return ast.unparse(tree)


def test_an_expression_is_replaced_however_it_is_written() -> None:
    assert "return min(a, b)" in changed(Edit("max(a,b)", "min(a, b)"))


def test_a_name_with_a_number_fits_any_expression_and_stands_for_it() -> None:
    assert "if a.size() <= 4 * b:" in changed(Edit("_1 <= 2 * _2", "_1 <= 4 * _2"))
    assert "return max(b, a)" in changed(Edit("max(_1, _2)", "max(_2, _1)"))


def test_such_a_name_is_the_same_wherever_it_stands() -> None:
    with pytest.raises(UnfitError):
        changed(Edit("max(_1, _1)", "_1"))


def test_statements_are_replaced_whatever_their_body_is() -> None:
    text = changed(Edit("if _1 <= 2 * _2:\n    ...", "pass"))
    assert "few" not in text
    assert "pass" in text


def test_an_expression_within_a_list_is_replaced_too() -> None:
    assert "for one in (a, None):" in changed(Edit("(a, b)", "(a, None)"))
    assert "return max(0, b)" in changed(Edit("a", "0", nth=2))


def test_what_is_not_there_or_there_too_often_is_an_error() -> None:
    for edit in (Edit("nowhere()", "None"), Edit("b", "None"), Edit("max(_1, _2)", "None", nth=1)):
        with pytest.raises(UnfitError):
            changed(edit)


def mutation(function: str, edit: Edit) -> Mutation:
    return Mutation("name-of-it", "a rule", function, (edit,), Story(""))


@pytest.mark.parametrize(
    "function",
    [
        "tests.nowhere:f",
        "allocator.backoff:f",
        "kube.backoff:Backoff.nothing",
        "kube.backoff:Backoff",
        "kube.backoff:Backoff.delay_seconds",
    ],
)
def test_a_fault_that_can_not_be_planted_any_more_is_named(function: str) -> None:
    with pytest.raises(MutationError, match="name-of-it"):
        mutated(mutation(function, Edit("no_such_passage()", "None")))


def test_a_fault_is_there_while_it_is_planted_and_not_later() -> None:
    from allocator.stage import Event, Stage, after

    fault = mutation("allocator.stage:after", Edit("TRANSITIONS[stage].get(event, stage)", "Stage.WITHDRAWN"))
    with planted(fault):
        assert after(Stage.MARKED, Event.BARRIER_PASSED) is Stage.WITHDRAWN
    assert after(Stage.MARKED, Event.BARRIER_PASSED) is Stage.PASSED
