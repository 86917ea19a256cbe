"""A watch: which events a client gets, in which form, from which version on.

The stream is a queue of encoded lines: the store fills it synchronously, the HTTP side drains it. No sockets here.
"""

from __future__ import annotations

from collections.abc import Callable

from lab.apiserver import status
from lab.apiserver.call import Call
from lab.apiserver.http.views import View, watch_line
from lab.apiserver.status import StatusError
from lab.apiserver.store import Event, EventType, Expired, Record, Store, encode
from lab.apiserver.verbs.lists import Selection

MAXIMUM_BACKLOG = 100_000
"""Events that a client may be behind before its watch is ended."""


class Watch:
    """One client's view of the changes to one resource."""

    def __init__(self, store: Store, call: Call, view: View, wake: Callable[[], None]) -> None:
        self._store = store
        self._view = view
        self._wake = wake
        self._selection = Selection.of(call)
        self._matches = self._selection.matcher() if self._selection.is_partial else None
        self._lines: list[bytes] = []
        self._table = store.table(call.resource.storage)
        self.wants_bookmarks = call.flag("allowWatchBookmarks")
        self.is_over = False
        self.is_cut = False  # end it without a proper end, as a broken connection would
        self._from = self._start(call)
        self._unlisten = self._table.listen(self._on_event, self.end)  # ends when its definition is deleted

    def _start(self, call: Call) -> int:
        """Queue what comes first; returns the version after which events count."""
        version = call.query.get("resourceVersion", "")
        initial = call.query.get("sendInitialEvents")
        if initial is not None:
            _check_initial_events(call)
        wants_state = call.flag("sendInitialEvents") if initial is not None else version in ("", "0")
        if wants_state:
            self._send_state(ends_with_bookmark=initial is not None)
            return self._store.revision
        if version in ("", "0"):
            return self._store.revision
        if not version.isdigit():
            raise status.bad_request(f"resourceVersion: Invalid value: {version!r}: strconv.ParseUint: invalid syntax")
        match self._table.since(int(version)):
            case Expired(oldest):
                self.fail(status.too_old(int(version), oldest))
            case events:
                for event in events:
                    self._consider(event)
        return max(int(version), 0)

    def _send_state(self, *, ends_with_bookmark: bool) -> None:
        for record in self._table.records(self._selection.namespace):
            if self._matches is None or self._matches(record):
                self._lines.append(self._view.line(_added(record), EventType.ADDED))
        if ends_with_bookmark and self.wants_bookmarks:
            self._lines.append(watch_line("BOOKMARK", self._view.bookmark(self._store.revision, initial_end=True)))

    def _on_event(self, event: Event) -> None:
        if event.revision > self._from and not self.is_over:
            self._consider(event)
            if len(self._lines) > MAXIMUM_BACKLOG:
                self.end()
            self._wake()

    def _consider(self, event: Event) -> None:
        if not self._selection.in_scope(event.record.key):
            return
        kind: EventType | None = event.type
        if self._matches is not None:
            kind = self._kind_by_selector(event, self._matches)
        if kind is not None:
            self._lines.append(self._view.line(event, kind))

    def _kind_by_selector(self, event: Event, matches: Callable[[Record], bool]) -> EventType | None:
        """An object that begins or ceases to match comes or goes, whatever happened to it."""
        before = event.previous is not None and matches(event.previous)
        after = event.type is not EventType.DELETED and matches(event.record)
        match before, after:
            case False, True:
                return EventType.ADDED
            case True, True:
                return EventType.MODIFIED
            case True, False:
                return EventType.DELETED
            case _:
                return None

    def bookmark(self) -> None:
        """Tell the client how far it has come; everything up to the present version is queued before."""
        if self._store.revision >= self._from:
            self._lines.append(watch_line("BOOKMARK", self._view.bookmark(self._store.revision, initial_end=False)))

    def fail(self, error: StatusError) -> None:
        """Answer with an ERROR event and end."""
        self._lines.append(watch_line("ERROR", encode(error.body())))
        self.is_over = True

    def end(self, *, cut: bool = False) -> None:
        """End the stream after what is queued; `cut`: break it off, as a dying connection would."""
        self.is_over = True
        self.is_cut = self.is_cut or cut
        self._wake()

    def take(self) -> bytes:
        """All that is queued."""
        lines, self._lines = self._lines, []
        return b"".join(lines)

    def close(self) -> None:
        """Follow the store no more."""
        self._unlisten()


def _added(record: Record) -> Event:
    return Event(EventType.ADDED, record, None)


def _check_initial_events(call: Call) -> None:
    if call.query.get("resourceVersionMatch") != "NotOlderThan":
        message = "Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        cause = {"reason": "FieldValueForbidden", "message": message, "field": "resourceVersionMatch"}
        whole = f"ListOptions.meta.k8s.io is invalid: resourceVersionMatch: {message}"
        details = {"group": "meta.k8s.io", "kind": "ListOptions", "causes": [cause]}
        raise StatusError(422, "Invalid", whole, details)
