"""The API writes that decisions lead to, as values. allocator.controller performs them; each is safe to repeat."""

from dataclasses import dataclass
from typing import Any

from allocator.holders import ServiceKey
from allocator.notices import Notice
from allocator.ranges import Address


@dataclass(frozen=True, slots=True)
class CreateAllocation:
    address: Address
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class PatchAllocation:
    """A merge patch of the main resource; uid and resourceVersion are in it."""

    address: Address
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class DeleteAllocation:
    """After the barrier; uid and resourceVersion are preconditions."""

    address: Address
    uid: str
    resource_version: int


@dataclass(frozen=True, slots=True)
class PatchService:
    """A merge patch of the status subresource; uid and resourceVersion are in it. `notice` is due once it is done."""

    service: ServiceKey
    body: dict[str, Any]
    notice: Notice | None = None


AllocationWrite = CreateAllocation | PatchAllocation | DeleteAllocation
Write = AllocationWrite | PatchService
