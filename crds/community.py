"""Community: names for BGP communities, so that advertisements read well."""

from typing import Annotated, ClassVar

from crds.kind import AGE, Column, CustomKind, ready_column
from crds.markers import Items, ListMap
from crds.meta import BerthObject, Model, UsedStatus
from crds.rules import CommunityName, CommunityNumber


class CommunityAlias(Model):
    """A name and the community that it stands for."""

    name: CommunityName
    """The name that BGPAdvertisements use. If two Community objects define it, the one whose name sorts first
    counts."""
    value: CommunityNumber
    """The community: standard (64512:100) or large (large:64512:1:2, RFC 8092)."""


class CommunitySpec(Model):
    """Names for BGP communities."""

    communities: Annotated[tuple[CommunityAlias, ...], Items(1, 256), ListMap("name")]
    """The names and what they stand for."""


class Community(BerthObject):
    """Names for BGP communities."""

    KIND: ClassVar[CustomKind] = CustomKind(
        kind="Community",
        plural="communities",
        short_names=("bgpc",),
        columns=(
            Column("Names", ".spec.communities[*].name", description="The first of the names."),
            Column("Used-By", ".status.usedBy", description="What uses it."),
            ready_column(),
            AGE,
        ),
    )

    kind: str = "Community"
    spec: CommunitySpec
    """Names for BGP communities."""
    status: UsedStatus = UsedStatus()
    """Who uses it; written by the allocator."""
