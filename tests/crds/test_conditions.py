"""Conditions and reasons follow the conventions of the Kubernetes API, and each is explained."""

import ast
import re
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

import pytest

from crds.conditions import ConditionType, Reason

both = pytest.mark.parametrize("enumeration", [ConditionType, Reason])

ROOT = Path(__file__).resolve().parents[2]


@both
def test_members_are_named_as_they_are_written(enumeration: type[StrEnum]) -> None:
    for member in enumeration:
        qualified, _, name = member.value.rpartition("/")
        is_ours_too = qualified and name in enumeration.__members__ and member.name != name
        assert member.name == (f"{name}OnService" if is_ours_too else name)
        assert re.fullmatch("[A-Z][A-Za-z0-9]*", member.name)


@both
def test_members_are_in_alphabetical_order(enumeration: type[StrEnum]) -> None:
    names = [member.name for member in enumeration]
    assert names == sorted(names)


def test_each_is_explained_in_sentences() -> None:
    for member in (*ConditionType, *Reason):
        assert re.search("[.]$", member.doc), member.name
        assert "|" not in member.doc


def test_only_conditions_on_objects_of_others_are_qualified() -> None:
    qualified = [member.value for member in ConditionType if "/" in member.value]
    assert qualified == ["berth.dev/Allocated", "berth.dev/Announced"]


def test_members_are_texts() -> None:
    assert f"{Reason.PoolExhausted}" == "PoolExhausted"
    assert Reason("PoolExhausted") is Reason.PoolExhausted
    assert ConditionType("berth.dev/Allocated") is ConditionType.Allocated


def written_by_the_programs() -> Iterator[tuple[str, str]]:
    """Mentions of members, as ("Reason", "PoolExhausted")."""
    for package in ("allocator", "speaker"):
        texts = (file.read_text() for file in (ROOT / package).rglob("*.py"))
        for text in (text for text in texts if "Reason." in text or "ConditionType." in text):
            for node in ast.walk(ast.parse(text)):
                match node:
                    case ast.Attribute(value=ast.Name(id=name), attr=member):
                        yield name, member


def test_each_is_written_by_one_of_the_programs() -> None:
    written = set(written_by_the_programs())
    assert [
        str(member) for member in (*ConditionType, *Reason) if (type(member).__name__, member.name) not in written
    ] == []
