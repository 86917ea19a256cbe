"""Where an address in use stands between its decision and its freedom, and what moves it on.

    RESERVED ─sent→ CREATED ─seen→ RECORDED ─mark seen→ MARKED ─barrier passed→ PASSED ─gone→ WITHDRAWN
        └──────────────────────────────────── given up ──────────────────────────────────────┘
    RECORDED, MARKED ─gone→ LOST ─seen→ RECORDED, or ─mark seen→ MARKED

An address is free after WITHDRAWN only. From a stage in which speakers may announce it, the one way there is through
the barrier; or, if nothing but one create was ever sent, by the API server's word that it created nothing.

All transitions are in this table. Whether the Service wants the address is no stage: that is in its claim.
"""

from collections.abc import Mapping
from enum import Enum, auto


class Stage(Enum):
    """What is known of the record of an address, its IPAllocation."""

    RESERVED = auto()
    """There is none, and none was asked for."""
    CREATED = auto()
    """The first create was sent. There may be one."""
    LOST = auto()
    """There was one, or may have been, and none is known of: speakers may announce the address."""
    RECORDED = auto()
    """There is one, for those who hold the address."""
    MARKED = auto()
    """It says `releasing`: speakers withdraw the address, and the barrier waits for them."""
    PASSED = auto()
    """For this very mark the barrier is passed: no speaker can announce the address. The record may go."""
    WITHDRAWN = auto()
    """There is none, and nobody announces the address. It is free once no Service shows it."""


class Event(Enum):
    """What moves an address on."""

    CREATE_SENT = auto()
    CREATE_REFUSED = auto()
    """The API server said for sure that it created nothing."""
    RECORD_SEEN = auto()
    """In a list, a watch or an answer, without `releasing`."""
    MARK_SEEN = auto()
    """A record with `releasing`, of another uid or generation than the one known before."""
    RECORD_GONE = auto()
    """The record that was known is deleted, by us or by hand."""
    BARRIER_PASSED = auto()
    """For the mark that is known."""
    GIVEN_UP = auto()
    """The last holder has left the address."""


EXPOSED = frozenset({Stage.CREATED, Stage.LOST, Stage.RECORDED, Stage.MARKED, Stage.PASSED})
"""A record was, or may have been, there for speakers to see since the last barrier."""

_SEEN: Mapping[Event, Stage] = {Event.RECORD_SEEN: Stage.RECORDED, Event.MARK_SEEN: Stage.MARKED}

TRANSITIONS: Mapping[Stage, Mapping[Event, Stage]] = {
    Stage.RESERVED: {**_SEEN, Event.CREATE_SENT: Stage.CREATED, Event.GIVEN_UP: Stage.WITHDRAWN},
    Stage.CREATED: {**_SEEN, Event.CREATE_SENT: Stage.LOST, Event.CREATE_REFUSED: Stage.RESERVED},
    Stage.LOST: {**_SEEN},
    Stage.RECORDED: {**_SEEN, Event.RECORD_GONE: Stage.LOST},
    Stage.MARKED: {**_SEEN, Event.RECORD_GONE: Stage.LOST, Event.BARRIER_PASSED: Stage.PASSED},
    Stage.PASSED: {**_SEEN, Event.RECORD_GONE: Stage.WITHDRAWN},
    Stage.WITHDRAWN: {**_SEEN, Event.CREATE_SENT: Stage.CREATED},
}
"""Other events change nothing. A second create is sent when the first had no answer, so a refusal of it says nothing
about the first. WITHDRAWN to CREATED: the create was decided before the address was given up."""


def after(stage: Stage, event: Event) -> Stage:
    """The stage that follows; the same one when the event changes nothing."""
    return TRANSITIONS[stage].get(event, stage)
