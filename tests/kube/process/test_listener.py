"""A listener that can not be had ends a program with a sentence, not with a traceback."""

import asyncio
import socket
import sys
from types import SimpleNamespace
from typing import cast

import pytest

import allocator.__main__
import speaker.__main__
from kube.io.client import Client
from kube.process.io.listener import Listener
from kube.process.listening import CannotListen, Listening, cannot_listen

NOBODY = cast(Client, None)
"""Is asked by secure listeners alone."""


@pytest.mark.asyncio
@pytest.mark.parametrize("listen", ["127.0.0.1:{taken}", "127.0.0.1:none", "127.0.0.1:70000", "192.0.2.1:80", "x"])
async def test_an_address_that_can_not_be_had_is_told_with_what_to_do(listen: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = listen.format(taken=other.getsockname()[1])
        with pytest.raises(CannotListen, match="give --metrics-listen another HOST:PORT") as told:
            await Listener(why_not_ready=lambda: "", metrics=lambda: b"").serve(Listening(metrics=address), NOBODY)
        assert address in str(told.value)


@pytest.mark.parametrize("program", [allocator.__main__, speaker.__main__])
def test_a_program_that_ends_for_that_says_it_in_one_line(
    program: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(_: object) -> None:
        raise ExceptionGroup("of tasks", [ExceptionGroup("inner", [CannotListen("no port: choose another")])])

    monkeypatch.setattr(program, "run", lambda _: None)
    monkeypatch.setattr(program, "asyncio", SimpleNamespace(run=run))
    monkeypatch.setattr(program, "gc", SimpleNamespace(freeze=lambda: None, set_threshold=lambda *_: None))
    monkeypatch.setattr(program, "configure_logs", lambda *_: None)
    monkeypatch.setattr(sys, "argv", ["program", "--node-name=n1"] if program is speaker.__main__ else ["program"])
    assert program.main() == 2  # type: ignore[attr-defined]
    (line,) = [one for one in "".join(capsys.readouterr()).splitlines() if one]
    assert "no port: choose another" in line


def test_other_errors_are_none_of_these() -> None:
    assert cannot_listen(OSError()) is None
    assert cannot_listen(ExceptionGroup("of tasks", [OSError(), asyncio.QueueFull()])) is None


def test_a_bad_regular_expression_is_told_in_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["speaker", "--node-name=n1", "--exclude-interfaces=["])
    with pytest.raises(SystemExit) as end:
        speaker.__main__.main()
    assert end.value.code == 2
    assert "'[' is no regular expression: unterminated character set" in capsys.readouterr().err
