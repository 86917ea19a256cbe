"""What commands print: tables, colours on a terminal alone, JSON and YAML. Reads and decides nothing."""

import json
import os
import sys
from collections.abc import Sequence
from typing import Any

TABLE = "table"
"""Of --output: for people."""
RED, GREEN, YELLOW, BOLD = "31", "32", "33", "1"


def coloured(text: str, colour: str) -> str:
    """The text in that colour, where standard output is a terminal and NO_COLOR is not set (no-color.org)."""
    is_shown = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return f"\x1b[{colour}m{text}\x1b[0m" if is_shown else text


def table(head: Sequence[str], rows: Sequence[Sequence[str]], indent: str = "") -> str:
    """Columns as wide as they must be, three blanks between them."""
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    lines = ("   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in [head, *rows])
    return "\n".join(f"{indent}{line}".rstrip() for line in lines)


def cell(value: Any) -> str:
    """A value in a table."""
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def structured(value: Any, output: str) -> str:
    """`output`: json or yaml."""
    if output == "yaml":
        import yaml  # on use

        return str(yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=120)).rstrip()
    return json.dumps(value, indent=2, ensure_ascii=False)
