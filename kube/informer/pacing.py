"""Whether an informer lists or watches next, and after what pause.

Pure: from how a list or a watch ended follows what comes next. kube.informer.io.informer does it.

As in client-go's Reflector, a watch that breaks is resumed where it was, which costs the server little, and bookmarks
(KEP-956) keep that place fresh. A list is read again when that can't work
(the history is gone, the request is refused), or seems not to (several breaks without one event; two silences in a row:
a server restored from a backup waits silently for a resourceVersion that it has not reached).
"""

import enum
from dataclasses import dataclass, field

from kube.backoff import Backoff

BARREN_BREAKS_BEFORE_LIST = 5
SILENCES_BEFORE_LIST = 2
REFUSED_LISTS_BEFORE_BELIEF = 3  # lists older than the copy, in a row, until the server's past is believed
LONG_ENOUGH_SECONDS = 5.0  # a quiet watch that stood this long was a good one


class Step(enum.Enum):
    """What to read next."""

    LIST = "List"
    WATCH = "Watch"


class WatchEnd(enum.Enum):
    """How a watch ended; the values are metric labels."""

    CLOSED = "Closed"  # by the server, as asked with timeoutSeconds
    BROKEN = "Broken"  # connection lost, or never made; server busy or in trouble
    IDLE = "Idle"  # silent for too long
    DOUBTED = "Doubted"  # silent while another request got no answer
    GONE = "Gone"  # 410
    REFUSED = "Refused"  # any other answer


@dataclass(slots=True)
class Pacing:
    """Starts with a list, at once."""

    backoff: Backoff = field(default_factory=lambda: Backoff(base_seconds=0.2, cap_seconds=10.0))
    step: Step = Step.LIST
    failures: int = 0
    """In a row, without anything useful in between."""
    _is_paused: bool = False
    _retry_after_seconds: float = 0.0
    _silences: int = 0
    _barren_breaks: int = 0
    _lists_that_went_back: int = 0

    @property
    def may_go_back(self) -> bool:
        """Whether a list older than the copy is to be believed now."""
        return self._lists_that_went_back >= REFUSED_LISTS_BEFORE_BELIEF

    def pause_seconds(self, randomness: float) -> float:
        """How long to wait before `step`."""
        if not self._is_paused:
            return 0.0
        return max(self._retry_after_seconds, self.backoff.delay_seconds(max(0, self.failures - 1), randomness))

    def want_list(self) -> None:
        """Somebody asks for a list, now."""
        self.step = Step.LIST
        self._is_paused = False

    def listed(self) -> None:
        """A list was taken in: a watch comes next, at once."""
        # `failures` stays until a watch works: a list that succeeds and a watch that fails must not take turns at
        # full speed.
        self.step = Step.WATCH
        self._is_paused = False
        self._silences = self._barren_breaks = self._lists_that_went_back = 0

    def list_failed(self, retry_after_seconds: float | None = None) -> None:
        """It is tried again after a pause, or after what the server asked for (Retry-After), if that is longer."""
        self.step = Step.LIST
        self._failed(retry_after_seconds)

    def list_went_back(self) -> None:
        """A list was older than the copy, and was not taken in."""
        self._lists_that_went_back += 1
        self.list_failed()

    def watch_ended(
        self, end: WatchEnd, *, brought_events: bool, lasted_seconds: float, retry_after_seconds: float | None = None
    ) -> None:
        """`brought_events` counts bookmarks too."""
        if brought_events:
            self._silences = self._barren_breaks = 0
        was_good = brought_events or lasted_seconds >= LONG_ENOUGH_SECONDS
        if was_good:
            self.failures = 0
        self._silences += end is WatchEnd.IDLE
        self._barren_breaks += end is WatchEnd.BROKEN and not was_good
        self.step = Step.LIST if self._is_hopeless(end) else Step.WATCH
        if end is WatchEnd.CLOSED and was_good:
            self._is_paused = False
        else:
            self._failed(retry_after_seconds)

    def _is_hopeless(self, end: WatchEnd) -> bool:
        return (
            end in {WatchEnd.GONE, WatchEnd.REFUSED}
            or self._silences >= SILENCES_BEFORE_LIST
            or self._barren_breaks >= BARREN_BREAKS_BEFORE_LIST
        )

    def _failed(self, retry_after_seconds: float | None) -> None:
        self.failures += 1
        self._is_paused = True
        self._retry_after_seconds = retry_after_seconds or 0.0
