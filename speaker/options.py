"""How one node's speaker is run, and what follows from it for the right to announce. Values only."""

from dataclasses import dataclass, field

from crds.fencing import WIRE_PERMIT_SECONDS, margin_seconds
from speaker.fencing import Limits
from speaker.members.heartbeats import HeartbeatOptions


@dataclass(frozen=True)
class Options:
    """How to run one node's speaker. `incarnation` is another text at each start of the process. `boot_id`: of the
    running kernel (speaker.own.machine)."""

    node: str
    incarnation: str
    namespace: str
    lease_duration_seconds: int = 6
    renew_seconds: float = 2.0
    fence_after_seconds: int = 60
    failback_seconds: float = 120.0
    bgp_drain_seconds: float = 5.0
    has_blackhole_routes: bool = True
    ignores_exclude_label: bool = False
    drains_when_cordoned: bool = False
    boot_id: str = ""
    heartbeats: HeartbeatOptions = field(default_factory=HeartbeatOptions)

    def fault(self) -> str:
        """What is wrong with these figures; "" when nothing is."""
        if not self.node:
            return "the node's name is missing: whose speaker is this?"
        if not 0 < self.renew_seconds <= self.lease_duration_seconds / 3:
            return "a lease should take at least three renewals"
        if self.failback_seconds < 0:
            return "the failback time is negative"
        if not 0 <= self.bgp_drain_seconds <= 60:
            return "routers should be given 0 to 60 seconds to send traffic elsewhere"
        if self.fence_after_seconds < max(10, 2 * self.lease_duration_seconds):
            return "the fence time should be at least 10 seconds and twice the lease duration"
        return self.heartbeats.fault()

    def limits(self) -> Limits:
        """Peers take over when the Lease runs out, so whoever did not run for so long knows nothing for sure."""
        margin = margin_seconds(self.fence_after_seconds)
        pause = max(WIRE_PERMIT_SECONDS, min(self.lease_duration_seconds, self.fence_after_seconds - margin))
        return Limits(self.fence_after_seconds, pause, margin)
