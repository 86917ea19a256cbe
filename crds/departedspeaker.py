"""DepartedSpeaker: a Speaker whose object is gone while routers may still send traffic by its routes.

Deleting a Speaker, or its Node, says that it is dead. It does not say so to its routers. The allocator writes down what
they may keep, so that a restart of all allocators forgets nothing, and deletes the object when that time is over.
"""

from typing import Annotated, ClassVar

from crds.kind import AGE, Column, CustomKind
from crds.markers import Items, ListMap, Rule, Text
from crds.meta import BerthObject, Model
from crds.rules import NodeName
from crds.speaker import RememberedRouter


class DepartedSpeakerSpec(Model):
    """What was known of it last."""

    RULES = (Rule("self == oldSelf", "a DepartedSpeaker never changes: delete it when its routers have dropped all"),)

    node: NodeName
    """Its node."""
    incarnation: Annotated[str, Text(max_length=64)] = ""
    """Its process."""
    routers: Annotated[tuple[RememberedRouter, ...], Items(1, 256), ListMap("address")]
    """The routers that may keep its routes, and for how long from the creation of this object on."""


class DepartedSpeaker(BerthObject):
    """Routes of a Speaker that is gone. Written by the allocator, named after the Speaker's uid.

    Releases wait until its time is over. To say that the routers have dropped them, delete it.
    """

    KIND: ClassVar[CustomKind] = CustomKind(
        kind="DepartedSpeaker",
        plural="departedspeakers",
        short_names=("dspk",),
        columns=(
            Column("Node", ".spec.node", description="Its node."),
            Column("Routers", ".spec.routers[*].address", description="The routers that may keep its routes."),
            AGE,
        ),
    )

    kind: str = "DepartedSpeaker"
    spec: DepartedSpeakerSpec
    """What was known of it last; written by the allocator."""
