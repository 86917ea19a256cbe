"""A small assembler of eBPF: instructions as values, labels for jumps, and their bytes.

It knows no program and loads nothing. Names are those of Documentation/bpf/standardization/instruction-set.rst: a
register holds 64 bits, `r0` is what a call returns and what the program returns, `r1` to `r5` are the arguments of a
call and are lost by it, `r6` to `r9` survive, `r10` points to the end of 512 bytes of stack.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from struct import Struct
from typing import NamedTuple

R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, R10 = range(11)

_INSTRUCTION = Struct("=BBhi")  # operation, registers, offset, immediate: struct bpf_insn

# Sizes of loads and stores
BYTE, HALF, WORD, DOUBLE = 0x10, 0x08, 0x00, 0x18
_ALU64, _JUMP, _JUMP32 = 0x07, 0x05, 0x06
_FROM_REGISTER = 0x08
_LOAD, _STORE_VALUE, _STORE, _ATOMIC_ADD = 0x61, 0x62, 0x63, 0xC3
_LOAD_DOUBLE_VALUE, _MAP_DESCRIPTOR, _MAP_VALUE = 0x18, 1, 2
_CALL, _EXIT = 0x85, 0x95

_OPERATIONS = {"+": 0x00, "-": 0x10, "*": 0x20, "|": 0x40, "&": 0x50, "<<": 0x60, ">>": 0x70, "^": 0xA0, "=": 0xB0}
_CONDITIONS = {"==": 0x10, ">": 0x20, ">=": 0x30, "&": 0x40, "!=": 0x50, "<": 0xA0, "<=": 0xB0}


class Step(NamedTuple):
    """One instruction. A jump names the label that it goes to; `label` is this instruction's own."""

    operation: int
    to: int = 0
    source: int = 0
    offset: int = 0
    value: int = 0
    goes_to: str = ""
    label: str = ""
    high_value: int | None = None
    """Of an instruction that takes two places: the upper 32 bits of its value."""


def set_value(to: int, value: int) -> Step:
    """A number of 32 bits, with its sign carried on."""
    return Step(_ALU64 | _OPERATIONS["="], to, value=value)


def copy(to: int, source: int) -> Step:
    return Step(_ALU64 | _OPERATIONS["="] | _FROM_REGISTER, to, source)


def compute(to: int, operation: str, value: int) -> Step:
    """`to` = `to` OPERATION a number of 32 bits."""
    return Step(_ALU64 | _OPERATIONS[operation], to, value=value)


def compute_with(to: int, operation: str, source: int) -> Step:
    """`to` = `to` OPERATION `source`."""
    return Step(_ALU64 | _OPERATIONS[operation] | _FROM_REGISTER, to, source)


def load(size: int, to: int, source: int, offset: int) -> Step:
    """What stands `offset` bytes after where `source` points, without a sign."""
    return Step(_LOAD | size, to, source, offset)


def store(size: int, to: int, offset: int, source: int) -> Step:
    """Write `source` at `offset` bytes after where `to` points."""
    return Step(_STORE | size, to, source, offset)


def store_value(size: int, to: int, offset: int, value: int) -> Step:
    return Step(_STORE_VALUE | size, to, offset=offset, value=value)


def add_atomically(to: int, offset: int, source: int) -> Step:
    """Add `source` to the 64 bits there, whoever else does at this moment."""
    return Step(_ATOMIC_ADD | DOUBLE, to, source, offset)


def load_map(to: int, descriptor: int) -> Step:
    """A pointer to the map, as calls want it."""
    return Step(_LOAD_DOUBLE_VALUE, to, _MAP_DESCRIPTOR, value=descriptor, high_value=0)


def load_map_value(to: int, descriptor: int) -> Step:
    """A pointer to the first value of an array, without a look-up."""
    return Step(_LOAD_DOUBLE_VALUE, to, _MAP_VALUE, value=descriptor, high_value=0)


def jump(goes_to: str) -> Step:
    return Step(_JUMP, goes_to=goes_to)


def jump_if(register: int, condition: str, value: int, goes_to: str) -> Step:
    """Compares all 64 bits, without a sign, with a number of 32 bits whose sign is carried on."""
    return Step(_JUMP | _CONDITIONS[condition], register, value=value, goes_to=goes_to)


def jump_if_word(register: int, condition: str, value: int, goes_to: str) -> Step:
    """Compares the lower 32 bits, without a sign."""
    return Step(_JUMP32 | _CONDITIONS[condition], register, value=value, goes_to=goes_to)


def jump_if_than(register: int, condition: str, other: int, goes_to: str) -> Step:
    """Compares two registers."""
    return Step(_JUMP | _CONDITIONS[condition] | _FROM_REGISTER, register, other, goes_to=goes_to)


def call(helper: int) -> Step:
    return Step(_CALL, value=helper)


def leave(label: str = "") -> Step:
    """End the program with the value in r0."""
    return Step(_EXIT, label=label)


def labelled(label: str, step: Step) -> Step:
    return step._replace(label=label)


def assemble(steps: Iterable[Step]) -> bytes:
    """An array of `struct bpf_insn`. Raises ValueError for a label that is missing or there twice."""
    listed = list(steps)
    places = _places(listed)
    code: list[bytes] = []
    place = 0
    for step in listed:
        offset = step.offset
        if step.goes_to:
            if step.goes_to not in places:
                raise ValueError(f"no such label: {step.goes_to}")
            offset = places[step.goes_to] - place - 1
        code.append(_encoded(step, offset))
        place += _length(step)
    return b"".join(code)


def _places(steps: Sequence[Step]) -> dict[str, int]:
    places: dict[str, int] = {}
    place = 0
    for step in steps:
        if step.label in places:
            raise ValueError(f"a label there twice: {step.label}")
        if step.label:
            places[step.label] = place
        place += _length(step)
    return places


def _length(step: Step) -> int:
    return 1 if step.high_value is None else 2


def _encoded(step: Step, offset: int) -> bytes:
    first = _INSTRUCTION.pack(step.operation, step.source << 4 | step.to, offset, _signed(step.value))
    return first if step.high_value is None else first + _INSTRUCTION.pack(0, 0, 0, _signed(step.high_value))


def _signed(value: int) -> int:
    return value - (1 << 32) if value >> 31 == 1 else value


NEXT_PROGRAM = -1
"""TC_ACT_UNSPEC: the frame goes on as if this program were not there."""

PASS_ALL: tuple[Step, ...] = (set_value(R0, NEXT_PROGRAM), leave())
"""A program that lets everything go on: to find out whether one may be attached at all."""
