"""What the report says of a node's BGP sessions. Pure: makes entries of what the sessions are and what was
decided."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import NamedTuple

from crds.speaker import BGPSessionState
from kube.times import rfc3339_at
from speaker.bgp.model import SessionView
from speaker.own.entries import Entry, bgp_session

MOST_SESSIONS = 256


class SessionEntries:
    """A session that stays in its state keeps the time at which it entered it."""

    def __init__(self) -> None:
        self._known: dict[str, _Known] = {}
        self._has_counted = False
        """Whether a number of routes alone has been shown since they last were looked at."""

    def show(
        self,
        views: Mapping[str, SessionView],
        refused: Mapping[str, str],
        now: str,
        *,
        counts: bool = True,
        started: float = 0.0,
    ) -> list[Entry]:
        """In order of names. `refused`: peers that get no session, and why. `now`: RFC 3339. `started`: seconds since
        1970 at which the monotonic clock was 0. `counts` False: where
        nothing but the number of routes has changed, it is shown once, and then stays until the next time with True:
        while routes come and go it changes all the time. That once goes with what is written of a single route."""
        before, self._known = self._known, {}
        idle = BGPSessionState.Idle
        entries = {name: bgp_session(name, None, idle, last_error=why) for name, why in refused.items()}
        may_count, self._has_counted = counts or not self._has_counted, self._has_counted and not counts
        for name, view in views.items():
            known = before.get(name)
            self._known[name] = followed = _followed(known, view, now, started, counts=may_count)
            if not counts and known is not None and known.view.routes_sent != followed.view.routes_sent:
                self._has_counted = True
            entries[name] = followed.entry
        return [entries[name] for name in sorted(entries)[:MOST_SESSIONS]]


class _Known(NamedTuple):
    view: SessionView
    since: str
    kept_until: str | None
    entry: Entry


def _followed(known: _Known | None, view: SessionView, now: str, started: float, *, counts: bool) -> _Known:
    if known is not None and (known.view == view if counts else _is_same(known.view, view)):
        return known
    since = known.since if known is not None and known.view.since == view.since else now
    kept_until = None if view.kept_until is None else rfc3339_at(started + view.kept_until)
    if known is not None and known.view.kept_until == view.kept_until:
        kept_until = known.kept_until
    return _Known(view, since, kept_until, _entry(view, since, kept_until))


def _is_same(one: SessionView, other: SessionView) -> bool:
    """But for numbers."""
    return _without_counts(one) == _without_counts(other)


def _without_counts(view: SessionView) -> SessionView:
    return replace(view, routes_sent=0, downs=0, families=frozenset())


def _entry(view: SessionView, since: str, kept_until: str | None) -> Entry:
    return bgp_session(
        view.peer,
        view.peer_address,
        view.state,
        since=since,
        routes_sent=view.routes_sent,
        hold_time_seconds=view.hold_time_seconds,
        local_address=view.own_address,
        withdrawn=map(str, view.withdrawn),
        withdrawals_acknowledged_by=view.withdrawals_acknowledged_by,
        routes_kept_until=kept_until,
        last_error=view.last_error,
    )


def by_state(views: Iterable[SessionView]) -> dict[str, int]:
    """How many sessions there are, for the metrics; states without any count too."""
    states = [view.state for view in views]
    return {state.value: states.count(state) for state in BGPSessionState}
