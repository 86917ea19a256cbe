"""`berth completion`: what a shell completes."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cli.__main__ import COMMANDS, main
from cli.completion import SHELLS


def script(capsys: pytest.CaptureFixture[str], shell: str) -> str:
    assert main(["completion", shell]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_gets_a_script_that_names_the_commands(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = script(capsys, shell)
    assert all(name in text for name in COMMANDS)


@pytest.mark.parametrize(
    ("typed", "offered"),
    [("expl", "explain"), ("bgp rou", "routes"), ("status --outp", "--output"), ("completion ba", "bash")],
)
def test_a_real_bash_completes(typed: str, offered: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "berth.bash"
    path.write_text(script(capsys, "bash"))
    ask = (
        f"source {path}; COMP_WORDS=(berth {typed}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); "
        'function=$(complete -p berth); function=${function##*-F }; ${function%% *}; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    bash = shutil.which("bash")
    assert bash is not None
    done = subprocess.run([bash, "--norc", "-c", ask], capture_output=True, text=True, check=True)
    assert offered in [line.strip() for line in done.stdout.splitlines()]


def test_another_shell_is_refused_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["completion", "cmd"])
    assert ended.value.code == 2
    assert "choose from" in capsys.readouterr().err


def test_it_works_as_a_process() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cli", "completion", "bash"], capture_output=True, text=True, check=True
    )
    subprocess.run(["bash", "-n"], input=done.stdout, text=True, check=True)
