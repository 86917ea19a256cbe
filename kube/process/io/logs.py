"""How both programs log: one line an event, to stderr, as text for a terminal or as JSON for a cluster's log store.

What is logged, and when, is for the shells to say.
"""

import logging
import sys
from typing import Literal

import structlog

LogStyle = Literal["text", "json"]


def configure_logs(style: LogStyle, level: str) -> None:
    """`level` is debug, info, warning or error. Times are UTC."""
    renderer = structlog.processors.JSONRenderer() if style == "json" else structlog.dev.ConsoleRenderer(colors=False)
    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
    structlog.configure(
        processors=[structlog.processors.add_log_level, stamp, structlog.processors.format_exc_info, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
