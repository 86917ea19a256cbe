"""What a soak tells at its end, and what counts as a leak."""

import json

from bench.soak.evidence import shown_throughout
from bench.soak.programs import Use, growth, leaks
from bench.soak.report import figures, text
from bench.soak.result import Result
from bench.soak.timing import Times
from bench.soak.watcher import Shown

YOUNG, OLD = Use(1, 100, 60.0, 20), Use(1, 100, 66.0, 40)


def result(**changes: object) -> Result:
    fields: dict[str, object] = {
        "seed": 1, "seconds": 60.0, "acts": {"create": 3}, "faults": {"kill": 2}, "records": 3, "frames": 9,
        "routes": 4, "answers": 5, "ended_by_themselves": {}, "times": {"given": {"none": Times(3, 0.1, 0.2)}},
        "calms": [1.5], "peace_seconds": 2.0, "uses": {"beginning": {"x": YOUNG}, "end": {"x": OLD}},
        "violations": [], "unsettled": [], "left": [], "leaks": [], "left_out": [],
    }  # fmt: skip
    return Result(**{**fields, **changes})  # type: ignore[arg-type]


def test_a_run_without_faults_found_held() -> None:
    assert figures(result())["held"]
    assert text(result()).splitlines()[-1] == "it held"


def test_whatever_was_found_is_counted_and_told_and_the_run_did_not_hold() -> None:
    for kind in ("violations", "unsettled", "left", "leaks"):
        bad = result(**{kind: [f"one of {kind}"] * 30})
        told = json.loads(json.dumps(figures(bad)))
        assert (told["held"], told[kind], len(told["first"][kind])) == (False, 30, 20)
        assert f"{kind}: 30\n  one of {kind}\n" in text(bad)
        assert text(bad).splitlines()[-1] == "IT DID NOT HOLD"


def test_a_process_that_is_another_one_is_marked_in_the_table() -> None:
    same, other = text(result()), text(result(uses={"a": {"x": YOUNG}, "b": {"x": Use(2, 300, 60.0, 20)}}))
    assert "66, 40" in same
    assert "60, 20 new" in other
    assert "new" not in same


def test_growth_is_that_of_one_process() -> None:
    assert growth({"a": YOUNG, "b": YOUNG}, {"a": OLD, "b": Use(1, 200, 99.0, 99)}) == {"a": (10.0, 20)}


def test_memory_leaks_in_long_runs_and_files_in_any() -> None:
    short, long = leaks({"a": YOUNG}, {"a": OLD}, 100.0), leaks({"a": YOUNG}, {"a": OLD}, 1800.0)
    assert short == ["a has 20 more files open"]
    assert long == ["memory of a grew by 10% in 1800 s", *short]


def test_an_address_was_shown_throughout_while_its_service_did_not_change() -> None:
    history = [
        Shown(1, "a", ("192.0.2.1",), (80,)),
        Shown(2, "b", ("192.0.2.2",)),
        Shown(5, "a", ("192.0.2.1",), (81,)),
        Shown(7, "a"),
    ]
    assert shown_throughout(history, ended=9) == {"192.0.2.1": [(1, 5), (5, 7)], "192.0.2.2": [(2, 9)]}
