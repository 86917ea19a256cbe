"""The documents are true and plain: what they name exists, their links lead somewhere, and a line is a sentence."""

import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.docs.commands import bare_names, everywhere
from tests.docs.names import Repository
from tests.docs.prose import Fault, faults_of_layout, faults_of_links

REPOSITORY = Repository(Path(__file__).parents[2])
DOCUMENTS = sorted(REPOSITORY.documents)
NOT_YET_PLAIN = frozenset({"docs/lab.md"})
"""Documents that are still to be written plainly: their layout is not looked at."""


def check(name: str, faults: Iterable[Fault]) -> None:
    if lines := [f"{name}:{line}: {what}" for line, what in faults]:
        pytest.fail("\n".join(lines), pytrace=False)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_what_a_document_names_exists(name: str) -> None:
    check(name, REPOSITORY.faults(REPOSITORY.documents[name]))


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_somewhere(name: str) -> None:
    check(name, faults_of_links(name, REPOSITORY.documents, REPOSITORY.files))


@pytest.mark.parametrize("name", [name for name in DOCUMENTS if name not in NOT_YET_PLAIN])
def test_a_line_is_one_sentence_and_not_too_long(name: str) -> None:
    check(name, faults_of_layout(REPOSITORY.documents[name]))


def test_commands_name_our_kinds_with_their_group() -> None:
    kinds = {".md", ".txt", ".py", ".tpl", ".yaml", ".json"}
    files = [(name, path) for name, path in REPOSITORY.files.items() if path.suffix in kinds]
    told = {name: path.read_text() for name, path in files if not name.startswith("tests/")}
    assert list(everywhere(told)) == []


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("    kubectl delete ippools,communities.berth.dev --all", ["ippools"]),
        ("`kubectl get bgppeer -o yaml` of ippools", ["bgppeer"]),
        ('f"say so: kubectl delete speaker {node}"', ["speaker"]),
        ("kubectl annotate --overwrite speaker NODE a=b", ["speaker"]),
        ("    kubectl -n berth-system get speakers -l app=x   # of speakers", ["speakers"]),
        ('cluster.kubectl("delete", "ippool/routed")', ["ippool"]),
        ("kubectl get ippools.berth.dev; kubectl get berth", []),
        ("kubectl logs daemonset/berth-speaker -c speaker", []),
    ],
)
def test_a_kind_without_its_group_is_found_in_a_command(line: str, found: list[str]) -> None:
    assert list(bare_names(line)) == found


def test_documents_that_the_code_names_exist() -> None:
    for name, text in REPOSITORY.sources.items():
        if not name.startswith("tests/docs/"):
            assert not [path for path in re.findall(r"\bdocs/[\w/-]+\.\w+", text) if path not in REPOSITORY.files], name


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("see speaker/l2/wire.py", "no such file: speaker/l2/wire.py"),
        ("see `lab/cel*.py`", "no such file: lab/cel*.py"),
        ("`tests/docs/test_documents.py::test_it`", "no such test in tests/docs/test_documents.py: test_it"),
        ("`test_nothing_of_this.py`", "no such file: test_nothing_of_this.py"),
        ("`test_documents.py::test_it`", "no such test in tests/docs/test_documents.py: test_it"),
        ("`kube.times.nowhere`", "no such name in kube/times.py: nowhere"),
        ("`kube.nowhere`", "no such module, and no such value of the chart: kube.nowhere"),
        ("`speaker.metrics.adress`", "no such module, and no such value of the chart: speaker.metrics.adress"),
        ("`Nobody.at_home`", "no such class: Nobody"),
        ("`Repository.at_home`", "class Repository has nothing called so: at_home"),
        ("`berth_nothing_total{peer}`", "no such metric: berth_nothing_total"),
        ("    python -m bench.nothing", "no such module: bench.nothing"),
        ("run `make nothing`", "no such target in the Makefile: nothing"),
    ],
)
def test_a_wrong_name_is_found(line: str, fault: str) -> None:
    assert list(REPOSITORY.faults("\n" + line)) == [(2, fault)]


def test_a_short_name_of_several_test_files_is_found() -> None:
    (fault,) = REPOSITORY.faults("`test_conflicts.py`")
    assert fault[1].startswith("several files are called test_conflicts.py, write the path out: tests/")


@pytest.mark.parametrize(
    "line",
    [
        "`speaker.metrics.address`, `kube.times`, `Repository.files`, `make check`, `python -m crds`, `berth_kube_*`",
        "`tests/docs/test_documents.py::test_a_wrong_name_is_found[x]`, `docs/test_documents.py`, docs/decisions/*.md",
        "https://example.org/docs/nothing.md, `IPAllocation.status`, `ApiClient.call_api`",
    ],
)
def test_a_right_name_is_not_found_fault_with(line: str) -> None:
    assert not list(REPOSITORY.faults(line))


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("One. Two.", [(1, "one sentence a line: break it after “One.”")]),
        ("- **A label.** One `code`. `Two` (three.) Four?", [(1, "X."), (1, "three.)")]),
        ("It waits (5 s), e.g. For 5.5 s, at 192.0.2.1 ... Or more.", []),
        ("x" * 121, [(1, "121 characters, at most 120")]),
        ("| " + "x. Y" * 50 + " |", []),
        ("    code. Block. " + "x" * 120, []),
        ("```\nOne. Two.\n```\nThree. Four.", [(4, "Three.")]),
        ("- one\n\n    a. Part of the list", [(3, "a.")]),
        ("Who is dead is silent.", [(1, "name the subject instead of “who”")]),
        ("Who is dead?", []),
    ],
)
def test_faults_of_layout(text: str, faults: list[Fault]) -> None:
    found = list(faults_of_layout(text))
    assert [line for line, _ in found] == [line for line, _ in faults]
    assert all(part in what for (_, what), (_, part) in zip(found, faults, strict=True))


def test_generated_documents_are_as_they_are() -> None:
    assert not list(faults_of_layout("<!-- Made by a program. -->\nOne. Two."))


def test_links_that_lead_nowhere_are_found() -> None:
    documents = {
        "docs/a.md": "[x](b.md#here) [x](b.md#there)\n[x](../c.md) [x](#my-own-heading) [x](https://e.org)",
        "docs/b.md": "## Here",
    }
    assert list(faults_of_links("docs/a.md", documents, documents)) == [
        (1, "no such heading in docs/b.md: #there"),
        (2, "the link leads nowhere: ../c.md"),
        (2, "no such heading in docs/a.md: #my-own-heading"),
    ]
