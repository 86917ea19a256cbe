"""The system call bpf(2): maps and programs by file descriptor, without a library or a compiler.

It knows nothing of what programs do (arp.py, ndp.py) or of what maps hold (maps.py). Descriptors are closed by their
owner. Layouts are those of `union bpf_attr` in linux/bpf.h; what is missing at the end of one is zero to the kernel.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from typing import NamedTuple

from speaker.wire.neighbours.bpf.io.rights import rights
from speaker.wire.neighbours.bpf.refusal import Tried, why

# asm/unistd.h. Of little-endian machines alone: programs compare what they load as such.
_NUMBERS = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "ppc64le": 361}

# enum bpf_cmd
_MAP_CREATE, _MAP_LOOKUP, _MAP_UPDATE, _MAP_DELETE = 0, 1, 2, 3
_PROGRAM_LOAD, _PROGRAM_TEST_RUN = 5, 10

# enum bpf_map_type
HASH, ARRAY, PERCPU_ARRAY, ARRAY_OF_MAPS = 1, 2, 6, 12

NO_PREALLOCATION = 1 << 0  # BPF_F_NO_PREALLOC: a hash takes memory for what is in it, not for all that may be
MAPPED = 1 << 10  # BPF_F_MMAPABLE (5.5): an array that is written as memory

_SCHED_CLS = 3  # enum bpf_prog_type
_LICENCE = b"Apache-2.0\0"  # no helper in use is for GPL programs alone
_INSTRUCTION_BYTES = 8
_LOG_BYTES = 256 * 1024
# What of it goes into a message: the end says which instruction was refused, and why.
_TOLD_LOG_BYTES = 1500
_NAME_BYTES = 15

_MAP = struct.Struct("=IIIIIII16s")  # type, key and value bytes, entries, flags, inner map, NUMA node, name
_ENTRY = struct.Struct("=I4xQQQ")  # map, addresses of key and value, flags
_PROGRAM = struct.Struct("=IIQQIIQII16s")  # type, instructions, licence, log level, size and buffer, version, flags
_RUN = struct.Struct("=IIIIQQII")  # program, result, bytes in and out, frame in and out, repeat, duration

_syscall = ctypes.CDLL(None, use_errno=True).syscall


class BpfError(OSError):
    """The kernel refused a call. The message is a sentence that names what for."""


class Run(NamedTuple):
    """What came of one run of a program: the value that it returned, and the frame as it left it."""

    result: int
    frame: bytes


def bpf(command: int, attributes: ctypes.Array[ctypes.c_char], what: str) -> int:
    """One call. The kernel may write into `attributes`. `what` says in an error what it was for, as "load a program".

    Raises BpfError.
    """
    number = _NUMBERS.get(os.uname().machine)
    if number is None:
        raise BpfError(errno.ENOSYS, f"cannot {what}: bpf(2) has no known number on {os.uname().machine}")
    result: int = _syscall(number, command, attributes, len(attributes))
    if result < 0:
        error = ctypes.get_errno()
        raise BpfError(error, f"cannot {what}: {_why(command, error)}")
    return result


def _why(command: int, error: int) -> str:
    """What of these two is refused says something of the node; else it says something of the call."""
    tried = {_MAP_CREATE: Tried.MAP, _PROGRAM_LOAD: Tried.PROGRAM}.get(command)
    return os.strerror(error) if tried is None else why(tried, error, rights())


def attributes(packed: bytes) -> ctypes.Array[ctypes.c_char]:
    """A `union bpf_attr` for `bpf`."""
    return ctypes.create_string_buffer(packed, len(packed))


# ---- maps


def create_map(
    kind: int, key_bytes: int, value_bytes: int, entries: int, *, name: str, flags: int = 0, inner: int = 0
) -> int:
    """A new map's descriptor. `inner`: for a map of maps, one with the layout that all of them have.

    Raises BpfError.
    """
    packed = _MAP.pack(kind, key_bytes, value_bytes, entries, flags, inner, 0, _name(name))
    return bpf(_MAP_CREATE, attributes(packed), f"create the BPF map {name}")


def put(descriptor: int, key: bytes, value: bytes) -> None:
    """Set an entry, new or not. For a map of maps the value is a descriptor, and this returns only when no program
    runs any more that was running when it began (synchronize_rcu). Raises BpfError: E2BIG when the map is full."""
    _on_entry(_MAP_UPDATE, descriptor, key, value, "change a BPF map")


def has_put(descriptor: int, key: bytes, value: bytes) -> bool:
    """The same; False when there is no room, in the map or in memory. Then nothing has changed. Raises BpfError."""
    try:
        put(descriptor, key, value)
    except BpfError as error:
        if error.errno in (errno.E2BIG, errno.ENOMEM):
            return False
        raise
    return True


def remove(descriptor: int, key: bytes) -> bool:
    """Whether there was such an entry. Raises BpfError."""
    try:
        _on_entry(_MAP_DELETE, descriptor, key, b"", "change a BPF map")
    except BpfError as error:
        if error.errno == errno.ENOENT:
            return False
        raise
    return True


def get(descriptor: int, key: bytes, value_bytes: int) -> bytes | None:
    """The entry's value, None when there is none. Raises BpfError.

    `value_bytes`: of a map with a value for each CPU all of them, each in a multiple of 8.
    """
    value = ctypes.create_string_buffer(value_bytes)
    try:
        _on_entry(_MAP_LOOKUP, descriptor, key, value, "read a BPF map")
    except BpfError as error:
        if error.errno == errno.ENOENT:
            return None
        raise
    return value.raw


def _on_entry(command: int, descriptor: int, key: bytes, value: bytes | ctypes.Array[ctypes.c_char], what: str) -> None:
    key_buffer = ctypes.create_string_buffer(key, len(key))
    held = ctypes.create_string_buffer(value, len(value)) if isinstance(value, bytes) else value
    packed = _ENTRY.pack(descriptor, ctypes.addressof(key_buffer), ctypes.addressof(held) if len(held) else 0, 0)
    bpf(command, attributes(packed), what)


def possible_cpus() -> int:
    """How many values an entry of a map for each CPU has."""
    with open("/sys/devices/system/cpu/possible") as listed:
        return int(listed.read().strip().replace(",", "-").rsplit("-", 1)[-1]) + 1


# ---- programs


def load_program(code: bytes, *, name: str) -> int:
    """The descriptor of a program for tc (BPF_PROG_TYPE_SCHED_CLS). Raises BpfError, with what the verifier said."""
    buffer = ctypes.create_string_buffer(code, len(code))
    licence = ctypes.create_string_buffer(_LICENCE, len(_LICENCE))

    def load(log: ctypes.Array[ctypes.c_char] | None) -> int:
        level, size, log_at = (1, len(log), ctypes.addressof(log)) if log is not None else (0, 0, 0)
        packed = _PROGRAM.pack(
            _SCHED_CLS,
            len(code) // _INSTRUCTION_BYTES,
            ctypes.addressof(buffer),
            ctypes.addressof(licence),
            level,
            size,
            log_at,
            0,
            0,
            _name(name),
        )
        return bpf(_PROGRAM_LOAD, attributes(packed), f"load the BPF program {name}")

    try:
        return load(None)
    except BpfError:
        log = ctypes.create_string_buffer(_LOG_BYTES)
    try:
        return load(log)
    except BpfError as error:
        said = log.value.decode(errors="replace").strip()
        if not said:
            raise
        told = " | ".join(said[-_TOLD_LOG_BYTES:].splitlines())
        message = (
            f"cannot load the BPF program {name}: the kernel's verifier does not take it, please report this: {told}"
        )
        raise BpfError(error.errno, message) from None


def run(program: int, frame: bytes, *, room_bytes: int = 2048) -> Run:
    """Run it once on an Ethernet frame that came in by the loopback device (index 1) of this network namespace.

    The frame goes nowhere. Raises BpfError.
    """
    given = ctypes.create_string_buffer(frame, len(frame))
    left = ctypes.create_string_buffer(room_bytes)
    asked = attributes(
        _RUN.pack(program, 0, len(frame), room_bytes, ctypes.addressof(given), ctypes.addressof(left), 1, 0)
    )
    bpf(_PROGRAM_TEST_RUN, asked, "run a BPF program")
    _, result, _, left_bytes, *_ = _RUN.unpack(asked.raw)
    return Run(result - (1 << 32) if result >> 31 else result, left.raw[:left_bytes])


def _name(name: str) -> bytes:
    return name.encode()[:_NAME_BYTES]
