"""Times as objects of the Kubernetes API have them (apimachinery: metav1.Time, metav1.MicroTime).

Pure: the moment is passed in, and must know its time zone. What time it is says kube.io.clock.
"""

import datetime


def rfc3339(moment: datetime.datetime) -> str:
    """metav1.Time: RFC 3339 in UTC, whole seconds."""
    return f"{moment.astimezone(datetime.UTC).replace(tzinfo=None).isoformat(timespec='seconds')}Z"


def rfc3339_at(unix_seconds: float) -> str:
    """metav1.Time of a moment in seconds since 1970."""
    return rfc3339(datetime.datetime.fromtimestamp(unix_seconds, datetime.UTC))


def micro_time(moment: datetime.datetime) -> str:
    """metav1.MicroTime: exactly six digits after the second, or an API server refuses it."""
    return f"{moment.astimezone(datetime.UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"
