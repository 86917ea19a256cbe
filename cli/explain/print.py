"""An explanation as text: what is so, what is wrong in order, then each step."""

from collections.abc import Iterator

from cli.explain.told import MOST_ROWS, Explanation
from cli.printing import BOLD, GREEN, RED, YELLOW, coloured

MARKS = {True: ("+", GREEN), False: ("x", RED), None: ("-", "")}


def rendered(told: Explanation) -> str:
    """With a newline at the end."""
    return "\n".join(_lines(told)) + "\n"


def _lines(told: Explanation) -> Iterator[str]:
    state = coloured("OK", GREEN) if not told.causes else coloured("NOT OK", RED)
    yield f"{coloured(told.what, BOLD)}: {state}{': ' if told.summary else ''}{told.summary}"
    for number, one in enumerate(told.causes, 1):
        yield f"  {number}. {coloured(one.reason, RED)}: {one.message}"
    for one in told.notes:
        yield f"  note: {coloured(one.reason, YELLOW)}: {one.message}"
    for title, rows in told.sections.items():
        yield ""
        yield coloured(title, BOLD)
        width = max(len(row.name) for row in rows[:MOST_ROWS])
        for row in rows[:MOST_ROWS]:
            mark, colour = MARKS[row.holds]
            yield f"  {coloured(mark, colour) if colour else mark} {row.name.ljust(width)}   {row.text}"
        if len(rows) > MOST_ROWS:
            yield f"    and {len(rows) - MOST_ROWS} more"
