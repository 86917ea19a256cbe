"""Times as objects of the API have them (metav1.Time): RFC 3339 in UTC, to the second."""

from datetime import UTC, datetime

_FORMAT = "%Y-%m-%dT%H:%M:%SZ"


def timestamp() -> str:
    """Now, by the wall clock."""
    return datetime.now(UTC).strftime(_FORMAT)


def timestamp_at(unix_seconds: float) -> str:
    return datetime.fromtimestamp(unix_seconds, UTC).strftime(_FORMAT)
