"""The states that one prefix goes through on its way to one router and back, and what moves it on. Pure.

All transitions are in TRANSITIONS, and nowhere else. What is not there changes nothing.

    Absent -> Announcing -> Announced -> Withdrawing -> Withdrawn -> Absent      the way of most, in one session
    Absent -> Announcing -> Held -> Announcing -> Announced ...                  with a session that is lost in between

Two rules make a state out of what is seen of ExaBGP (docs/decisions/007-exabgp-processes.md):

* A prefix has one change in flight at a time: two of them may leave ExaBGP in the wrong order.
* A withdrawal counts when its UPDATE was reported *and* the router has acknowledged everything: an UPDATE is reported
  before it is written, and a written one is only in the kernel. Its BGP process says so where it answers
  (refreshproof.py), else its TCP.
"""

from collections.abc import Mapping
from enum import Enum, auto

from crds.addresses import Family, family_of
from speaker.bgp.model import Prefix, Route


class RouteState(Enum):
    """What ExaBGP holds of a prefix, and what the router may have of it from the session that is up.

    held            ExaBGP holds a route, and sends it whenever a session comes up
    exposed         the router may have it from this session
    sent            an UPDATE that announces it was reported in this session, and none that withdraws it
    in-flight       a change was written to ExaBGP, and its UPDATE was not reported yet
    unacknowledged  the UPDATE that withdraws it was reported; the router has not acknowledged it yet
    """

    Absent = ""
    Held = "held"  # no session is up that could carry it
    Announcing = "held exposed in-flight"
    Announced = "held exposed sent"
    Replacing = "held exposed sent in-flight"  # by a route with other attributes
    Reannouncing = "held exposed in-flight unacknowledged"  # announced again before its withdrawal was acknowledged
    Withdrawing = "exposed sent in-flight"
    Retracting = "exposed in-flight"  # being withdrawn, and whether it was ever announced in this session is not known
    Withdrawn = "exposed unacknowledged"
    Stray = "exposed sent"  # ExaBGP reported to have announced it, though it was not to

    def __init__(self, facts: str) -> None:
        words = facts.split()
        self.is_held = "held" in words
        self.is_exposed = "exposed" in words
        self.is_sent = "sent" in words
        self.is_in_flight = "in-flight" in words
        self.is_unacknowledged = "unacknowledged" in words

    __hash__ = object.__hash__  # Enum's own is a function in Python, called for each route


class RouteEvent(Enum):
    """What happens to a prefix."""

    AnnounceWritten = auto()
    """A command that announces it was written to ExaBGP. Only while a session is up that carries its family."""
    WithdrawWritten = auto()
    """A command that withdraws it. Only if ExaBGP holds it, and nothing of it is in flight."""
    NewRefused = auto()
    """ExaBGP took nothing of an announcement, and holds nothing of the prefix, as before it."""
    OtherRefused = auto()
    """ExaBGP took nothing of an announcement, and holds the earlier route."""
    AnnounceSent = auto()
    """An UPDATE that announces it was reported."""
    WithdrawSent = auto()
    """An UPDATE that withdraws it was reported."""
    ProbePassed = auto()
    """An End-of-RIB was reported that was asked for after the withdrawal: what was to be sent before it has been."""
    Acknowledged = auto()
    """The router has everything whose UPDATE was reported until now: its process says so, or else its TCP."""
    SessionUp = auto()
    """A session that carries its family. ExaBGP sends what it holds by itself, and leaves withdrawals out of that."""
    SessionUpMeanwhile = auto()
    """The same, before ExaBGP has answered to a withdrawal: it worked that off before or after it sent what it held."""
    SessionLost = auto()
    """What the router may have from this session is an earlier session's from now on."""
    ExaBgpEnded = auto()
    """After SessionLost: the process is dead, and the next one holds nothing."""

    __hash__ = object.__hash__


S, E = RouteState, RouteEvent
TRANSITIONS: Mapping[RouteState, Mapping[RouteEvent, RouteState]] = {
    S.Absent: {
        E.AnnounceWritten: S.Announcing,
        E.SessionUpMeanwhile: S.Retracting,
        E.AnnounceSent: S.Stray,  # by its habits it never does that; if it does, the router has the route
    },
    S.Held: {
        E.WithdrawWritten: S.Absent,  # ExaBGP forgets it, and no session is up in which it could have been sent
        E.NewRefused: S.Absent,
        E.SessionUp: S.Announcing,
        E.AnnounceSent: S.Announced,
        E.ExaBgpEnded: S.Absent,
    },
    S.Announcing: {
        E.AnnounceSent: S.Announced,
        E.NewRefused: S.Absent,  # a route that was not taken is not sent, and there was none before
        # OtherRefused: the earlier route is on its way, since a session came up.
        E.SessionLost: S.Held,
    },
    S.Announced: {
        E.AnnounceWritten: S.Replacing,
        E.WithdrawWritten: S.Withdrawing,
        E.NewRefused: S.Stray,
        E.WithdrawSent: S.Announcing,  # it is to send what it holds, or is ended
        E.SessionLost: S.Held,
    },
    S.Replacing: {
        E.AnnounceSent: S.Announced,
        E.OtherRefused: S.Announced,
        E.NewRefused: S.Stray,
        E.WithdrawSent: S.Announcing,
        E.SessionLost: S.Held,
    },
    S.Reannouncing: {
        E.AnnounceSent: S.Announced,
        E.Acknowledged: S.Announcing,
        E.NewRefused: S.Withdrawn,  # the withdrawal is still to be acknowledged
        E.SessionLost: S.Held,
    },
    S.Withdrawing: {
        E.WithdrawSent: S.Withdrawn,
        # ProbePassed: it was asked for in an earlier session, since what was announced in this one is withdrawn by an
        # UPDATE. Another probe is sent.
        E.SessionLost: S.Absent,
    },
    S.Retracting: {
        E.AnnounceSent: S.Withdrawing,
        E.WithdrawSent: S.Withdrawn,
        E.ProbePassed: S.Withdrawn,  # nothing of it was sent in this session, and nothing will be
        E.SessionLost: S.Absent,
    },
    S.Withdrawn: {
        E.AnnounceWritten: S.Reannouncing,
        E.Acknowledged: S.Absent,  # the one way by which a withdrawal is confirmed
        E.AnnounceSent: S.Stray,
        E.SessionLost: S.Absent,
    },
    S.Stray: {
        E.AnnounceWritten: S.Replacing,
        E.WithdrawSent: S.Withdrawn,
        E.SessionLost: S.Absent,
    },
}

WRITTEN = frozenset({RouteEvent.AnnounceWritten, RouteEvent.WithdrawWritten})


def next_state(state: RouteState, event: RouteEvent) -> RouteState:
    """Total for what ExaBGP does. Raises KeyError for a command of ours that must not be written in this state."""
    row = TRANSITIONS[state]
    return row[event] if event in WRITTEN else row.get(event, state)


class RibEntry:
    """All that is known of one prefix. Compared by identity: there is one for each prefix.

    `wanted`: the route that the router is to have. `held`: the one that ExaBGP holds when it has worked off what was
    written. `refused`: one that it did not take. `unanswered`: commands with this prefix that it has not answered.
    `sent`: the one that an UPDATE was last seen to announce in this session, where that is known.
    `refreshes_before`: how many ROUTE-REFRESHs had been sent in the session when its withdrawal was reported.
    `kept_until`: monotonic seconds until when the router may have it from earlier sessions; 0.0 = it has not.
    """

    __slots__ = (
        "family",
        "held",
        "kept_until",
        "prefix",
        "refreshes_before",
        "refused",
        "sent",
        "state",
        "unanswered",
        "wanted",
    )

    def __init__(self, prefix: Prefix) -> None:
        self.prefix = prefix
        self.family: Family = family_of(prefix)
        self.wanted: Route | None = None
        self.held: Route | None = None
        self.refused: Route | None = None
        self.sent: Route | None = None
        self.state = RouteState.Absent
        self.unanswered = self.refreshes_before = 0
        self.kept_until = 0.0

    @property
    def is_out(self) -> bool:
        """Whether ExaBGP or the router may have it, but for what the router keeps of earlier sessions."""
        return self.state is not RouteState.Absent or self.unanswered > 0

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to know of it."""
        return not (self.is_out or self.wanted or self.refused or self.kept_until)
