"""Whatever the bytes are, a decoder gives a value or an error of its contract."""

import contextlib
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import examples
from tests.fuzz.decoders import DECODERS, Decoder
from tests.fuzz.inputs import changed, kept

EACH = pytest.mark.parametrize("decoder", DECODERS, ids=[one.name for one in DECODERS])


def decoded(decoder: Decoder, raw: bytes) -> None:
    with contextlib.suppress(*decoder.raises):
        decoder.call(raw)


@EACH
@settings(max_examples=examples(20))
@given(raw=st.binary(max_size=300))
def test_bytes_of_any_kind_are_decoded_or_refused(decoder: Decoder, raw: bytes) -> None:
    decoded(decoder, raw)


@EACH
@settings(max_examples=examples(40))
@given(rng=st.randoms(use_true_random=False))
def test_what_differs_a_little_from_what_is_understood_is_decoded_or_refused(
    decoder: Decoder, rng: random.Random
) -> None:
    decoded(decoder, changed(decoder.corpus, rng))


@EACH
def test_kept_examples_are_decoded_or_refused(decoder: Decoder) -> None:
    for raw in kept(decoder.corpus):
        decoded(decoder, raw)


@EACH
def test_some_kept_example_is_understood(decoder: Decoder) -> None:
    """Else its corpus says nothing about it."""
    results = []
    for raw in kept(decoder.corpus):
        try:
            results.append(decoder.call(raw))
        except decoder.raises:
            continue
    assert any(one is not None for one in results)
