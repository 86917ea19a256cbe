"""Times as the Kubernetes API writes them. Pure: the moment is passed in, and must know its time zone."""

import datetime


def rfc3339(moment: datetime.datetime) -> str:
    """metav1.Time: whole seconds, UTC."""
    return f"{moment.astimezone(datetime.UTC):%Y-%m-%dT%H:%M:%SZ}"


def micro_time(moment: datetime.datetime) -> str:
    """metav1.MicroTime: exactly six digits after the second, or an API server refuses it."""
    return f"{moment.astimezone(datetime.UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
