"""Instructions as bytes, judged by the encoding that the kernel documents."""

import pytest

from speaker.wire.neighbours.bpf import assembler as a


def test_instructions_have_the_encoding_of_the_kernel() -> None:
    assert a.assemble([a.set_value(a.R0, -1)]).hex() == "b7000000ffffffff"
    assert a.assemble([a.copy(a.R6, a.R1)]).hex() == "bf16000000000000"
    assert a.assemble([a.load(a.WORD, a.R2, a.R1, 76)]).hex() == "61124c0000000000"
    assert a.assemble([a.store(a.HALF, a.R10, -2, a.R3)]).hex() == "6b3afeff00000000"
    assert a.assemble([a.call(125)]).hex() == "850000007d000000"


def test_a_jump_goes_to_its_label_past_instructions_of_two_places() -> None:
    code = a.assemble([a.jump_if(a.R1, "==", 0x0608, "end"), a.load_map(a.R1, 7), a.set_value(a.R0, 0), a.leave("end")])
    assert code[:8].hex() == "1501030008060000"
    assert code[8:24].hex() == "18110000070000000000000000000000"


def test_a_jump_goes_backwards_too() -> None:
    code = a.assemble([a.labelled("again", a.set_value(a.R0, 0)), a.jump("again")])
    assert code[8:].hex() == "0500feff00000000"


def test_a_number_with_its_highest_bit_set_is_the_same_32_bits() -> None:
    assert a.assemble([a.set_value(a.R0, 0xFFFFFFFF)]) == a.assemble([a.set_value(a.R0, -1)])


def test_labels_that_are_missing_or_there_twice_are_refused() -> None:
    with pytest.raises(ValueError, match="no such label: end"):
        a.assemble([a.jump("end")])
    with pytest.raises(ValueError, match="a label there twice: end"):
        a.assemble([a.leave("end"), a.leave("end")])
