"""Which streams are doubted when a request got no answer."""

import contextlib
from collections.abc import Iterator

import pytest

from kube.streams import REST_SECONDS, Stream, Streams

OPENED, SENT, NOW = 100.0, 200.0, 202.0


class Ended:
    """Streams by name, and which of them were ended."""

    def __init__(self) -> None:
        self.streams = Streams()
        self.names: list[str] = []

    @contextlib.contextmanager
    def open(self, name: str, opened: float = OPENED) -> Iterator[Stream]:
        with self.streams.opened(opened, lambda: self.names.append(name)) as stream:
            yield stream

    def doubt(self) -> list[str]:
        self.streams.doubt(SENT, NOW)
        return self.names


@pytest.mark.parametrize(("heard", "is_ended"), [(None, True), (SENT - 1, True), (SENT, False), (SENT + 1, False)])
def test_a_stream_is_ended_when_nothing_came_since_the_request_was_sent(heard: float | None, is_ended: bool) -> None:
    ended = Ended()
    with ended.open("a") as stream:
        if heard is not None:
            stream.heard = heard
        assert (ended.doubt() == ["a"]) is is_ended
        assert stream.is_doubted is is_ended


def test_a_stream_that_was_opened_after_the_request_was_sent_is_well() -> None:
    ended = Ended()
    with ended.open("a", SENT):
        assert ended.doubt() == []


@pytest.mark.parametrize(("later", "is_ended"), [(REST_SECONDS, True), (REST_SECONDS - 0.1, False)])
def test_streams_are_left_alone_for_a_while_after_others_were_ended(later: float, is_ended: bool) -> None:
    """A server that is slow at every request is to be spared."""
    ended = Ended()
    with ended.open("a"):
        ended.doubt()
    with ended.open("b", NOW):
        again = ended.streams.doubt(NOW + later - 1.0, NOW + later)
        assert (ended.names == ["a", "b"]) is is_ended
        assert again == (None if is_ended else NOW + REST_SECONDS)


def test_each_stream_is_judged_by_itself_and_ended_once() -> None:
    ended = Ended()
    with ended.open("a"), ended.open("b") as heard, ended.open("c"):
        heard.heard = NOW
        assert ended.doubt() == ["a", "c"]
        ended.streams.doubt(SENT, NOW + REST_SECONDS)
        assert ended.names == ["a", "c"]
