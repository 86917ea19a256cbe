"""How a kind presents itself to the API server and to kubectl: its names and its columns in tables.

No schema: that comes from the types, by crds/schema.py.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Column:
    """One column of `kubectl get`. Columns of priority 1 are shown with `-o wide` only."""

    name: str
    json_path: str
    type: str = "string"
    description: str = ""
    priority: int = 0


AGE = Column("Age", ".metadata.creationTimestamp", "date")


def ready_column() -> Column:
    """The status of condition Ready, which every kind that Berth judges has."""
    return Column("Ready", '.status.conditions[?(@.type=="Ready")].status', description="Whether Berth can use it.")


def degraded_column() -> Column:
    """The status of condition Degraded, where there is one."""
    path = '.status.conditions[?(@.type=="Degraded")].status'
    return Column("Degraded", path, description="Whether a part of it does not work.")


@dataclass(frozen=True)
class CustomKind:
    """Names and presentation of one cluster-scoped kind."""

    kind: str
    plural: str
    short_names: tuple[str, ...]
    columns: tuple[Column, ...]
    selectable: tuple[str, ...] = ()
    """Fields that `kubectl get --field-selector` takes beside the name (KEP-4358)."""

    @property
    def singular(self) -> str:
        """The name for one, as in `kubectl get ippool.berth.dev edge`."""
        return self.kind.lower()
