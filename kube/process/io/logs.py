"""How both programs log: one line an event, to stderr, as text for a terminal or as JSON for a cluster's log store.

What is logged, and when, is for the shells to say; of one message so many lines are written at once, and the rest is
counted (kube.process.logbudget). At level debug all are. What can't be written is lost, and counted, too.
"""

import logging
import sys
import time
from collections.abc import Mapping, MutableMapping
from typing import Any, Literal, TextIO, cast

import structlog

from kube.process.io.lossy import LossyStream
from kube.process.logbudget import LogBudget

LogStyle = Literal["text", "json"]


def configure_logs(style: LogStyle, level: str) -> None:
    """`level` is debug, info, warning or error. Times are UTC."""
    json = structlog.processors.JSONRenderer(default=str)
    renderer = json if style == "json" else structlog.dev.ConsoleRenderer(colors=False)
    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
    lossy = LossyStream(sys.stderr)
    budget = [] if level == "debug" else [_within(LogBudget())]
    structlog.configure(
        processors=[
            *budget,
            _telling_lost(lossy),
            structlog.processors.add_log_level,
            stamp,
            structlog.processors.format_exc_info,
            _plain,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(cast(TextIO, lossy)),
    )


def _within(budget: LogBudget) -> structlog.typing.Processor:
    """Drops the lines that are too many, and says on the next one how many there were."""

    def within(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        left_out = budget.admit(str(event.get("event")), time.monotonic())
        if left_out is None:
            raise structlog.DropEvent
        if left_out:
            event["left_out"] = left_out
        return event

    return within


def _telling_lost(lossy: LossyStream) -> structlog.typing.Processor:
    """Says on a line how many before it could not be written."""

    def telling(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        if lossy.lost:
            event["lost"] = lossy.lost
        return event

    return telling


def _plain(_: Any, __: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """Values as JSON knows them: whatever holds several is a list."""
    return {name: _as_list(value) for name, value in event.items()}


def _as_list(value: Any) -> Any:
    if isinstance(value, set | frozenset):
        return sorted(map(str, value))
    return list(value) if isinstance(value, tuple) else value
