"""Each planted fault is found by what should find it, and the page of them is true."""

import os
import subprocess
import sys
from collections.abc import Mapping

import pytest

from tests.mutations import __main__ as program
from tests.mutations import finding, lives, page
from tests.mutations.catalogue import MUTATIONS, ROOMS
from tests.mutations.mutation import Story
from tests.mutations.planting import ROOT, mutated
from tests.protocol.stories import stories


@pytest.fixture(scope="module")
def told(request: pytest.FixtureRequest) -> Mapping[str, list[str]]:
    """What `python -m tests.mutations` says of each fault that is asked for here; under "", its errors."""
    here = [one for one in request.session.items if one.path == request.path]
    chosen = [one.callspec.params["name"] for one in here if "told" in getattr(one, "fixturenames", ())]
    done = subprocess.run(
        [sys.executable, "-m", "tests.mutations", *chosen],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )
    found: dict[str, list[str]] = {"": [done.stderr]}
    for line in done.stdout.splitlines():
        name, _, said = line.partition(": ")
        found.setdefault(name, []).append(said)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", MUTATIONS)
def test_a_fault_that_is_planted_is_found(name: str, told: Mapping[str, list[str]]) -> None:
    """By its story or test, and in the life that is known."""
    said = told.get(name, [])
    assert len(said) == 1 + (name in lives.KNOWN), told[""]
    assert all(one.startswith("found by ") for one in said), [*said, *told[""]]


def test_each_fault_can_be_planted() -> None:
    for one in MUTATIONS.values():
        mutated(one)


def test_no_two_faults_have_one_name() -> None:
    assert len(MUTATIONS) == sum(len(room.MUTATIONS) for room in ROOMS)


def test_each_story_that_finds_one_is_told() -> None:
    told = {one.__qualname__.split(".")[0] for one in stories()}
    assert {one.finder.name for one in MUTATIONS.values() if isinstance(one.finder, Story)} <= told


def test_there_is_a_life_that_shows_a_fault_or_a_reason_why_there_is_none() -> None:
    assert not [one.name for one in MUTATIONS.values() if not (one.name in lives.KNOWN or one.finder.why)]


def test_each_life_that_shows_a_fault_is_of_one_that_there_is() -> None:
    assert lives.KNOWN.keys() <= MUTATIONS.keys()


def test_the_page_of_them_is_what_would_be_written() -> None:
    assert page.PATH.read_text() == page.text(), "python -m tests.mutations --write"


@pytest.mark.parametrize("said", ["it never ends", ""])
def test_a_search_for_which_there_is_no_time_finds_nothing(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "_isolated", lambda work, cpu_seconds: said)
    assert finding.lived(MUTATIONS["everybody"], seeds=3) == ""


def test_a_search_that_takes_too_long_ends_no_other(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def never(*_: object) -> str:
        raise finding.FinderError("it took more than 2400 s")

    monkeypatch.setenv("PYTHONHASHSEED", program.FIXED)
    monkeypatch.setattr("sys.argv", ["tests.mutations", "everybody", "withdraw-first", "--seeds", "3"])
    monkeypatch.setattr(program, "prepare", lambda finders: None)
    monkeypatch.setattr(program, "found", lambda one, finder: "a story")
    monkeypatch.setattr(program, "lived", never)
    assert program.main() == 0
    assert "SURVIVED 3 seeds" in capsys.readouterr().out
