"""ReleaseConfirmation: the releases that the speaker of one node has confirmed, and nothing else.

Its name is the node's name, and only that node's speaker writes it. Allocators wait for it before an address may be
given to another Service: so it is written alone and first, and nothing that could be refused shares the write.
"""

from typing import Annotated, ClassVar

from pydantic import Field

from crds.kind import AGE, Column, CustomKind
from crds.markers import AtomicMap, Format, Items, Text
from crds.meta import BerthObject, Model

MOST_CONFIRMED = 4096
"""About 250 KB. What is beyond it is confirmed when others are over: a speaker holds it back until then."""


class ReleaseConfirmationSpec(Model):
    """Empty: there is nothing to configure."""


class ReleaseConfirmationStatus(Model):
    """What one process of the node's speaker has confirmed."""

    incarnation: Annotated[str, Text(max_length=64)] = ""
    """The process that confirmed. It counts only while the node's Speaker names the same one."""
    released: Annotated[
        dict[str, Annotated[int, Field(ge=0), Format("int64")]], Items(maximum=MOST_CONFIRMED), AtomicMap()
    ] = Field(default_factory=dict)  # fmt: skip
    """The uid of an IPAllocation, and the generation of it that was seen: nothing of its address leaves this node any
    more. An entry goes with another confirmation, or half an hour after the IPAllocation."""


class ReleaseConfirmation(BerthObject):
    """The releases that one node's speaker has confirmed. Written by that speaker, read by allocators."""

    KIND: ClassVar[CustomKind] = CustomKind(
        kind="ReleaseConfirmation",
        plural="releaseconfirmations",
        short_names=("rcf",),
        columns=(Column("Incarnation", ".status.incarnation", description="The process that confirmed."), AGE),
    )

    kind: str = "ReleaseConfirmation"
    spec: ReleaseConfirmationSpec = ReleaseConfirmationSpec()
    """Empty: there is nothing to configure."""
    status: ReleaseConfirmationStatus = ReleaseConfirmationStatus()
    """What was confirmed; written by the speaker."""
