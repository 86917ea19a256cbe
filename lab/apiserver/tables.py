"""meta.k8s.io/v1 Tables: what `kubectl get` prints, for built-in kinds and for CRDs with printer columns.

It renders objects it is given; selecting, paging and streaming them is the server's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any


class Printer:
    """The columns of one kind, and how a row is made of an object."""

    columns: Sequence[dict[str, Any]]

    def cells(self, obj: dict[str, Any], now: float) -> list[Any]:
        """The cells of one object; `now` is UTC seconds since the epoch (ages)."""
        raise NotImplementedError


def builtin_printer(group: str, resource: str) -> Printer:
    """The printer of a built-in resource (plural name); Name and Age when it has none of its own."""
    raise NotImplementedError


def crd_printer(version: dict[str, Any]) -> Printer:
    """The printer of a CRD version (an entry of spec.versions) from its additionalPrinterColumns."""
    raise NotImplementedError


def table(
    printer: Printer,
    objects: Iterable[dict[str, Any]],
    *,
    now: float,
    metadata: dict[str, Any],
    include_object: str = "Metadata",
    with_columns: bool = True,
) -> dict[str, Any]:
    """A Table. `include_object` is the query parameter: None, Metadata or Object; `metadata` that of the list (resourceVersion, continue).
    A watch wraps a Table of one row in each event (`with_columns` only in the first) with metadata = {"resourceVersion": the object's}."""
    raise NotImplementedError


def wants_table(accept: str) -> bool:
    """Whether an Accept header asks for a Table before anything else that we serve."""
    raise NotImplementedError
