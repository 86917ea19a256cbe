"""The frame of the `berth` command: what it loads, how it helps, and how it ends."""

import subprocess
import sys

import pytest

from cli import version
from cli.__main__ import COMMANDS, main
from cli.failure import Failed

MOST_MODULES = 160
"""A start of Python has 60 modules, argparse and its own make 120. aiohttp alone brings 400 more."""
LATE = ("aiohttp", "asyncio", "kubernetes", "msgspec", "pydantic", "structlog", "yaml", "ssl", "importlib.metadata")


def loaded_by(*arguments: str) -> set[str]:
    """The modules that a run of the command loads."""
    code = (
        "import sys; from cli.__main__ import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    run = subprocess.run([sys.executable, "-c", code, *arguments], check=True, capture_output=True, text=True)
    return set(run.stderr.split())


@pytest.mark.parametrize("arguments", [[], ["--help"], *([name, "--help"] for name in COMMANDS if name != "lab")])
def test_help_loads_neither_a_client_nor_what_decides(arguments: list[str]) -> None:
    modules = loaded_by(*arguments)
    assert not modules.intersection(LATE)
    assert len(modules) < MOST_MODULES


def test_without_a_command_it_helps(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    out = capsys.readouterr().out
    assert "examples:" in out
    assert all(name in out for name in COMMANDS)


@pytest.mark.parametrize("arguments", [["version"], ["--version"]])
def test_it_tells_its_version(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 0
    assert capsys.readouterr().out == f"berth {version.version()}\n"


def test_as_a_plugin_of_kubectl_it_is_called_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["/usr/local/bin/kubectl-berth"])
    main([])
    assert capsys.readouterr().out.startswith("usage: kubectl berth")


def test_what_could_not_be_done_is_one_line_and_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: object) -> int:
        raise Failed("there is no kubeconfig: name one")

    monkeypatch.setattr(version, "_run", fail)
    assert main(["version"]) == 2
    assert capsys.readouterr().err == "berth: there is no kubeconfig: name one\n"


class TestLab:
    def test_its_name_stands_before_or_after_the_verb(self, capsys: pytest.CaptureFixture[str]) -> None:
        for arguments in (["--name", "nosuch", "status"], ["status", "--name", "nosuch"]):
            assert main(["lab", *arguments]) == 1
            assert "there is no lab nosuch" in capsys.readouterr().err

    def test_the_environment_may_name_it(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("BERTH_LAB", "nosuch")
        assert main(["lab", "status"]) == 1
        assert "there is no lab nosuch" in capsys.readouterr().err

    def test_all_flags_after_kubectl_are_kubectls(self, capsys: pytest.CaptureFixture[str]) -> None:
        arguments = ["-n", "berth-system", "exec", "pod", "--", "ls", "--help"]
        assert main(["lab", "--name", "nosuch", "kubectl", *arguments]) == 1
        assert "there is no lab nosuch" in capsys.readouterr().err
