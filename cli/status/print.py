"""The state of a cluster as text: what is wrong first."""

from collections.abc import Iterator, Sequence
from typing import Any

from cli.printing import BOLD, GREEN, RED, cell, coloured, table
from cli.status.state import State

MOST_WRONG = 20
MOST_ROWS = 30


def rendered(state: State) -> str:
    """With a newline at the end."""
    return "\n".join(_lines(state)) + "\n"


def _lines(state: State) -> Iterator[str]:
    if not state.wrong:
        yield coloured("All is well.", GREEN)
    for one in state.wrong[:MOST_WRONG]:
        yield f"{coloured('x ' + one.reason, RED)}: {one.message}"
    if len(state.wrong) > MOST_WRONG:
        yield f"  and {len(state.wrong) - MOST_WRONG} more (-o json has all)"
    yield ""
    yield _counted("ADDRESSES", state.addresses)
    yield _counted("SERVICES", state.services)
    for title, rows in (
        ("ALLOCATOR", state.allocators),
        ("SPEAKERS", state.speakers),
        ("POOLS", state.pools),
        ("BGP PEERS", state.peers),
    ):
        if rows:
            yield ""
            yield coloured(title, BOLD)
            yield _table(rows)


def _counted(title: str, counts: dict[str, int]) -> str:
    text = ", ".join(f"{number} {kind}" for kind, number in counts.items()) or "none"
    return f"{coloured(title, BOLD)}   {text}"


def _table(rows: Sequence[dict[str, Any]]) -> str:
    head = [name.upper() for name in rows[0]]
    text = table(head, [[cell(value) for value in row.values()] for row in rows[:MOST_ROWS]], "  ")
    return text if len(rows) <= MOST_ROWS else f"{text}\n  and {len(rows) - MOST_ROWS} more"
