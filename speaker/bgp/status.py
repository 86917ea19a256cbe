"""What the report says of a node's BGP sessions. Pure: makes entries of what the sessions are and what was
decided."""

from collections.abc import Iterable, Mapping

from crds.speaker import BGPSessionState
from speaker.bgp.model import SessionView
from speaker.own.entries import Entry, bgp_session

MOST_SESSIONS = 256


class SessionEntries:
    """A session that stays in its state keeps the time at which it entered it."""

    def __init__(self) -> None:
        self._since: dict[str, tuple[float, str]] = {}

    def show(self, views: Mapping[str, SessionView], refused: Mapping[str, str], now: str) -> list[Entry]:
        """In order of names. `refused`: peers that get no session, and why. `now`: RFC 3339."""
        before, self._since = self._since, {}
        idle = BGPSessionState.Idle
        entries = {name: bgp_session(name, None, idle, last_error=why) for name, why in refused.items()}
        for name, view in views.items():
            known = before.get(name)
            self._since[name] = known if known is not None and known[0] == view.since else (view.since, now)
            entries[name] = _entry(view, self._since[name][1])
        return [entries[name] for name in sorted(entries)[:MOST_SESSIONS]]


def _entry(view: SessionView, since: str) -> Entry:
    return bgp_session(
        view.peer,
        view.peer_address,
        view.state,
        since=since,
        routes_sent=view.routes_sent,
        hold_time_seconds=view.hold_time_seconds,
        last_error=view.last_error,
    )


def by_state(views: Iterable[SessionView]) -> dict[str, int]:
    """How many sessions there are, for the metrics; states without any count too."""
    states = [view.state for view in views]
    return {state.value: states.count(state) for state in BGPSessionState}
