"""What a speaker hears of another one by heartbeats, as a value; what follows from it is decided elsewhere."""

import msgspec


class HeardPeer(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The latest heartbeat of a peer that is heard now.

    `contact`: when it last had contact with the API server, by the age it told, so too late by the time the packet
    took. `heard`: when that packet came. Both are CLOCK_BOOTTIME seconds of this machine. `interfaces`: on which it can
    announce, sorted.
    """

    incarnation: str
    interfaces: tuple[str, ...] = ()
    contact: float = 0.0
    heard: float = 0.0
    is_serving: bool = True
    is_member: bool = True
    is_behind: bool = False
    is_leaving: bool = False

    @property
    def tier(self) -> int:
        """Lower is better: see speaker.members.election.tier."""
        return tier(is_leaving=self.is_leaving, is_behind=self.is_behind, is_member=self.is_member)


def tier(*, is_leaving: bool, is_behind: bool, is_member: bool) -> int:
    """Owners come from the best tier that has a candidate; 0 is the best.

    One that leaves is the last resort; then one that is cut off from the API server while others are not, since what
    it knows grows old; then one that came back lately and waits for its turn (speaker.members.membership).
    """
    return 4 * is_leaving + 2 * is_behind + (not is_member)
