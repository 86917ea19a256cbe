"""The nightly run of the same decoders."""

import subprocess
import sys
import time

import pytest

from tests.fuzz import inputs
from tests.fuzz.decoders import BY_NAME
from tests.mutations.planting import ROOT


@pytest.mark.slow
def test_a_decoder_is_given_strange_input_for_a_while() -> None:
    command = [sys.executable, "-m", "tests.fuzz", "speaker.wire.bfd.packets.parse", "--seconds", "10", "--jobs", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    name, _, count = done.stdout.strip().partition(": ")
    assert (done.returncode, name) == (0, "speaker.wire.bfd.packets.parse"), done.stdout + done.stderr
    assert int(count.removesuffix(" inputs")) > 100


@pytest.mark.slow
def test_a_run_ends_when_its_time_is_over_and_tells_for_what_none_was_left() -> None:
    """However many decoders there are."""
    began = time.monotonic()
    command = [sys.executable, "-m", "tests.fuzz", "--seconds", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("no time was left for it") >= len(BY_NAME) - 4
    assert time.monotonic() - began < 30


def test_what_is_kept_is_read_again(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(inputs, "CORPORA", tmp_path)
    (tmp_path / "some.txt").write_text("b'\\x00a'\n")
    inputs.kept.cache_clear()
    inputs.keep("some", [b"\xff", b"\x00a"])
    inputs.kept.cache_clear()
    assert inputs.kept("some") == (b"\x00a", b"\xff")
    inputs.kept.cache_clear()
