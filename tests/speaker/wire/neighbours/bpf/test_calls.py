"""bpf(2) against the kernel of this machine."""

import errno
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from speaker.wire.neighbours.bpf.assembler import PASS_ALL, R0, assemble, leave, set_value
from speaker.wire.neighbours.bpf.io import calls

pytestmark = pytest.mark.root


@pytest.fixture
def table() -> Iterator[int]:
    descriptor = calls.create_map(calls.HASH, 4, 8, 2, name="test")
    yield descriptor
    os.close(descriptor)


def test_an_entry_is_there_until_it_is_removed(table: int) -> None:
    assert calls.get(table, b"key1", 8) is None
    calls.put(table, b"key1", b"12345678")
    calls.put(table, b"key1", b"abcdefgh")
    assert calls.get(table, b"key1", 8) == b"abcdefgh"
    assert calls.remove(table, b"key1")
    assert not calls.remove(table, b"key1")


def test_a_full_map_says_so(table: int) -> None:
    calls.put(table, b"key1", bytes(8))
    calls.put(table, b"key2", bytes(8))
    with pytest.raises(calls.BpfError, match="cannot change a BPF map"):
        calls.put(table, b"key3", bytes(8))


def test_a_map_for_each_cpu_has_a_value_for_each() -> None:
    descriptor = calls.create_map(calls.PERCPU_ARRAY, 4, 8, 1, name="test")
    assert calls.get(descriptor, bytes(4), 8 * calls.possible_cpus()) == bytes(8 * calls.possible_cpus())
    os.close(descriptor)


def test_a_program_that_passes_all_leaves_the_frame_as_it_was() -> None:
    program = calls.load_program(assemble(PASS_ALL), name="pass")
    frame = bytes(range(60))
    assert calls.run(program, frame) == calls.Run(-1, frame)
    os.close(program)


def test_what_the_verifier_says_is_in_the_message() -> None:
    with pytest.raises(calls.BpfError, match=r"cannot load the BPF program bad: the kernel's verifier .*R0 !read_ok"):
        calls.load_program(assemble([leave()]), name="bad")


def test_no_descriptor_is_left_of_a_program_that_was_refused() -> None:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(calls.BpfError):
        calls.load_program(assemble([set_value(R0, 0)]), name="bad")
    assert len(os.listdir("/proc/self/fd")) == before


TRIES = """
from speaker.wire.neighbours.bpf.assembler import PASS_ALL, assemble
from speaker.wire.neighbours.bpf.io import calls
try:
    calls.create_map(calls.ARRAY, 4, 8, 1, name="test")
    calls.load_program(assemble(PASS_ALL), name="test")
except calls.BpfError as error:
    print(error.strerror)
"""
SECCOMP = """
import ctypes, struct
def statement(code, value, if_so=0, if_not=0): return struct.pack("HBBI", code, if_so, if_not, value)
program = (
    statement(0x20, 0)  # the number of the call
    + statement(0x15, BPF, if_so=1)
    + statement(0x06, 0x7FFF0000)  # SECCOMP_RET_ALLOW
    + statement(0x06, 0x00050000 | ERRNO)  # SECCOMP_RET_ERRNO
)
held = ctypes.create_string_buffer(program)
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS
filter = ctypes.create_string_buffer(struct.pack("HP", len(program) // 8, ctypes.addressof(held)))
assert libc.prctl(22, 2, filter, 0, 0) == 0  # PR_SET_SECCOMP
"""


def tried(script: str, *prefix: str) -> str:
    command = [*prefix, sys.executable, "-c", script]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout


@pytest.mark.parametrize(
    ("kept", "missing"),
    [("bpf", "capability NET_ADMIN"), ("net_admin", "capability BPF"), ("chown", "capability BPF")],
)
def test_a_missing_capability_is_named(kept: str, missing: str) -> None:
    said = tried(TRIES, "setpriv", f"--bounding-set=-all,+{kept}", f"--inh-caps=-all,+{kept}")
    assert f"the speaker lacks the {missing}" in said
    assert "speaker.kernelAnswers: auto" in said


@pytest.mark.parametrize("refused_with", [errno.EPERM, errno.ENOSYS])
def test_a_seccomp_profile_that_forbids_the_call_is_named(refused_with: int) -> None:
    """As those of container runtimes do, which answer one or the other."""
    number = calls._NUMBERS[os.uname().machine]
    said = tried(SECCOMP.replace("BPF", str(number)).replace(" ERRNO", f" {refused_with}") + TRIES)
    assert said.startswith("cannot create the BPF map test: the container's seccomp profile forbids bpf(2)")
