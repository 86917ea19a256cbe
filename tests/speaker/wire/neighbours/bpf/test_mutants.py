"""Each decision of the program in the kernel, left out or turned round, is found by the frames of test_program.py.

Those frames are asked before and after the deadline. What they can't find is named here, with where it is tested.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pytest

from speaker.wire.neighbours.bpf import assembler as a
from speaker.wire.neighbours.bpf import program
from speaker.wire.neighbours.bpf.assembler import Step
from speaker.wire.neighbours.bpf.io import calls
from speaker.wire.neighbours.bpf.io.responder import Responder
from speaker.wire.neighbours.bpf.steps import CONTEXT, DATA, LENGTH, VLAN_PRESENT
from tests.speaker.wire.neighbours.bpf.test_program import (
    ELSEWHERE,
    ELSEWHERE6,
    ETH0,
    ETH1,
    HELD,
    LEFT,
    LOOPBACK,
    OTHER_TABLE,
    PROBED,
    PROBED6,
    QUESTIONS,
    TABLE,
    UNANSWERED,
    boottime,
)

pytestmark = pytest.mark.root

FRAMES = (*QUESTIONS, *LEFT, *UNANSWERED.values())
_CLASS, _CONDITION = 0x07, 0xF0
_JUMPS, _UNCONDITIONAL = (0x05, 0x06), (0x00, 0x80, 0x90)  # BPF_JMP, BPF_JMP32; BPF_JA, BPF_CALL, BPF_EXIT
_OPPOSITES = {0x10: 0x50, 0x20: 0xB0, 0x30: 0xA0}  # BPF_JEQ and JNE, JGT and JLE, JGE and JLT
_OPPOSITES |= {condition: opposite for opposite, condition in _OPPOSITES.items()}


@dataclass(frozen=True)
class Twin:
    """The program, and what it does with the frames, before the deadline and after it."""

    kernel: Responder
    steps: Sequence[Step]
    right: Sequence[calls.Run]

    def is_found(self, at: int, changed: Step) -> bool:
        """Whether the program with another instruction there is refused by the kernel, or does anything else."""
        steps = [*self.steps[:at], changed, *self.steps[at + 1 :]]
        try:
            loaded = calls.load_program(a.assemble(steps), name="changed")
        except calls.BpfError:
            return True
        try:
            return runs(self.kernel, loaded) != self.right
        finally:
            os.close(loaded)


def runs(kernel: Responder, loaded: int) -> list[calls.Run]:
    found: list[calls.Run] = []
    for deadline in (boottime() + 3600, boottime()):
        kernel.set_deadline(deadline)
        found += [calls.run(loaded, frame) for frame in FRAMES]
    return found


@pytest.fixture(scope="module")
def twin() -> Iterator[Twin]:
    kernel = Responder()
    kernel.set_own([ETH0.mac, ETH1.mac])
    for address in HELD:
        kernel.put(TABLE, address, is_answered=True)
    for address in (ELSEWHERE, ELSEWHERE6):
        kernel.put(OTHER_TABLE, address, is_answered=True)
    for address in (PROBED, PROBED6):
        kernel.put(TABLE, address, is_answered=False)
    kernel.use(LOOPBACK, ETH0.mac, TABLE)
    yield Twin(kernel, program.steps(kernel.maps), runs(kernel, kernel.program))
    kernel.close()


def is_decision(step: Step) -> bool:
    return step.operation & _CLASS in _JUMPS and step.operation & _CONDITION not in _UNCONDITIONAL


def never(step: Step) -> Step:
    """It goes on in any case."""
    return a.labelled(step.label, a.copy(step.to, step.to))


def opposite(step: Step) -> Step:
    condition = step.operation & _CONDITION
    return step._replace(operation=step.operation - condition + _OPPOSITES[condition])


UNFOUND: dict[str, Callable[[Step, Step], bool]] = {
    "a helper fails: the kernel has no memory": lambda before, step: is_call(before) and step.value == 0,
    "a frame is in several pieces, or padded (test_on_links)": lambda before, step: (
        step.goes_to in ("arp frame", "ndp option", "ndp frame") or (before.source, before.offset) == (CONTEXT, LENGTH)
    ),
    "a frame is tagged (test_on_links)": lambda before, _: (before.source, before.offset) == (CONTEXT, VLAN_PRESENT),
    "the kernel takes a frame for IPv6 that does not say so": lambda before, step: (
        (before.source, before.offset, step.value) == (DATA, 12, 0xDD86)
    ),
}
"""What these frames can't find, by the instruction before and its own."""


def is_call(step: Step) -> bool:
    """Of a helper that changes the frame: change_tail, pull_data, store_bytes."""
    return step == a.call(step.value) and step.value in (38, 39, 9)


def test_each_decision_left_out_or_turned_round_is_found(twin: Twin) -> None:
    unfound, excused = [], set()
    for at, step in enumerate(twin.steps):
        if not is_decision(step):
            continue
        reasons = {why for why, is_so in UNFOUND.items() if is_so(twin.steps[at - 1], step)}
        excused |= reasons
        changes = [never(step)]
        changes += [opposite(step)] if step.operation & _CONDITION in _OPPOSITES else []
        if not reasons:
            unfound += [(at, changed) for changed in changes if not twin.is_found(at, changed)]
    assert unfound == []
    assert excused == set(UNFOUND)


@pytest.mark.parametrize("wrong", [never, opposite])
def test_a_wrong_comparison_of_the_deadline_is_found_for_each_protocol(
    twin: Twin, wrong: Callable[[Step], Step]
) -> None:
    """Right before the answer leaves."""
    compared = [at for at, step in enumerate(twin.steps) if step == a.jump_if_than(a.R0, ">=", a.R1, "next")]
    assert len(compared) == 2
    for at in compared:
        assert twin.is_found(at, wrong(twin.steps[at]))
