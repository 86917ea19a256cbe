"""bpf(2) against the kernel of this machine."""

import os
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
    with pytest.raises(calls.BpfError, match=r"cannot load the BPF program bad: .*R0 !read_ok"):
        calls.load_program(assemble([leave()]), name="bad")


def test_no_descriptor_is_left_of_a_program_that_was_refused() -> None:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(calls.BpfError):
        calls.load_program(assemble([set_value(R0, 0)]), name="bad")
    assert len(os.listdir("/proc/self/fd")) == before
