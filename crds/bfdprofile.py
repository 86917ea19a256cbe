"""BFDProfile: how fast the loss of a path to a BGP peer is noticed (RFC 5880)."""

from typing import Annotated, ClassVar

from pydantic import Field

from crds.kind import AGE, Column, CustomKind, ready_column
from crds.markers import Format
from crds.meta import BerthObject, Model, UsedStatus

Interval = Annotated[int, Field(ge=10, le=60000), Format("int32")]


class BFDProfileSpec(Model):
    """Timers and behaviour of the BFD sessions that use the profile."""

    receive_interval_milliseconds: Interval = 300
    """The shortest time between two packets that we are willing to receive, in milliseconds."""
    transmit_interval_milliseconds: Interval = 300
    """The shortest time between two packets that we send, in milliseconds; the peer may ask for more."""
    detect_multiplier: Annotated[int, Field(ge=1, le=255), Format("int32")] = 3
    """How many packets in a row may be missing before the path is down."""
    passive: bool = False
    """Whether to wait for the peer's first packet instead of sending first (RFC 5880 §6.1)."""
    minimum_ttl: Annotated[int, Field(ge=1, le=254), Format("int32")] = Field(254, alias="minimumTTL")
    """The lowest TTL of packets that are accepted from a peer several hops away (RFC 5883). Peers on a connected
    network must always send 255 (RFC 5881)."""


class BFDProfile(BerthObject):
    """Timers of BFD sessions; BGPPeers refer to it by name."""

    KIND: ClassVar[CustomKind] = CustomKind(
        kind="BFDProfile",
        plural="bfdprofiles",
        short_names=("bfdp",),
        columns=(
            Column("Receive-ms", ".spec.receiveIntervalMilliseconds", "integer", "Receive interval in milliseconds."),
            Column(
                "Transmit-ms", ".spec.transmitIntervalMilliseconds", "integer", "Transmit interval in milliseconds."
            ),
            Column("Multiplier", ".spec.detectMultiplier", "integer", "Missing packets until the path is down."),
            Column("Used-By", ".status.usedBy", description="What uses it."),
            ready_column(),
            AGE,
        ),
    )

    kind: str = "BFDProfile"
    spec: BFDProfileSpec = BFDProfileSpec()
    """Timers and behaviour of the BFD sessions that use the profile."""
    status: UsedStatus = UsedStatus()
    """Who uses it; written by the allocator."""
