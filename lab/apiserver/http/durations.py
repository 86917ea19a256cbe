"""Ages as kubectl prints them: `45s`, `3m20s`, `5h`, `12d`."""

from __future__ import annotations

from typing import Any

from lab.apiserver.cel.values import parse_timestamp


def human_duration(seconds: float) -> str:
    """The duration with at most two units, coarser the longer it is (k8s.io/apimachinery duration.HumanDuration)."""
    whole = int(seconds)
    if whole < -1:
        return "<invalid>"
    whole = max(whole, 0)
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if whole < 120:
        return f"{whole}s"
    if minutes < 10:
        return _two(minutes, "m", whole % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return _two(days, "d", hours % 24, "h")
    if days < 730:
        return f"{days}d"
    if days < 8 * 365:
        return _two(days // 365, "y", days % 365, "d")
    return f"{days // 365}y"


def _two(coarse: int, unit: str, fine: int, fine_unit: str) -> str:
    return f"{coarse}{unit}{fine}{fine_unit}" if fine else f"{coarse}{unit}"


def age(timestamp: Any, now: float) -> str:
    """How long ago an RFC 3339 time was; `<unknown>` without one."""
    if not isinstance(timestamp, str):
        return "<unknown>"
    moment = parse_timestamp(timestamp)
    return human_duration(now - moment.timestamp()) if moment is not None else "<unknown>"
