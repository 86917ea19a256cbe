"""How this node judges the other speakers, and its own standing among them.

Joins heartbeats, Leases (speaker.members.liveness) and membership. Decides neither which node owns an address
(speaker.layer2.desired does) nor whether this node may announce (speaker.fencing does). Pure: `now` is monotonic
seconds, `boottime` CLOCK_BOOTTIME seconds.
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass

from crds.speaker import Standing
from speaker.cluster.tiers import tier
from speaker.members.election import outranks
from speaker.members.liveness import Liveness
from speaker.members.membership import Behind, Membership
from speaker.wire.messages import Member

CAME_BACK_SECONDS = 5.0
"""For so long after it is heard again a member counts as one that has announced all along."""
REMEMBERED_CLAIMS = 16384
RECENT_SECONDS = 2.0
"""A claim seen within this time before a hand-over shows that the successor already answers."""
CLAIM_SECONDS = 65.0
"""How long a claim of a member that is not heard is believed: a little longer than it takes to repeat it, which is
speaker.wire.neighbours.schedule.REFRESH_SECONDS."""


@dataclass(frozen=True)
class MemberTimes:
    """Seconds."""

    lease_duration: float
    renew: float
    failback: float


@dataclass(frozen=True)
class OwnStanding:
    """What this node says of itself."""

    is_member: bool = True
    is_behind: bool = False
    is_leaving: bool = False

    @property
    def tier(self) -> int:
        return tier(is_leaving=self.is_leaving, is_behind=self.is_behind, is_member=self.is_member)

    @property
    def standing(self) -> Standing:
        """The same in the words of the Speaker object."""
        if self.is_leaving:
            return Standing.Leaving
        if self.is_behind:
            return Standing.Behind
        return Standing.Member if self.is_member else Standing.Waiting


class MemberView:
    """Call `begin` with each registration, then `hear` and `judge` whenever something is new, and twice a second."""

    def __init__(self, own_node: str, times: MemberTimes) -> None:
        self._own_node = own_node
        self._times = times
        self._membership = Membership(times.failback)
        # Two missed renewals, for as long as a Lease lasts.
        self._behind = Behind(fresh_seconds=2 * times.renew, patience_seconds=times.lease_duration)
        self._came_back: dict[str, float] = {}
        self._claims: dict[str, tuple[str, float]] = {}
        self._seen_claims: dict[str, tuple[str, float]] = {}
        self.heard: Mapping[str, Member] = {}
        self._incarnations: dict[str, str] = {}
        self.own = OwnStanding()
        self.liveness = self._new_liveness()

    def begin(self, now: float) -> None:
        """A new registration: all Leases will be listed again, and others have taken over in the meantime."""
        self.liveness = self._new_liveness()
        self.liveness.hear(self.heard.keys(), frozenset(), now)
        self._membership.restart()
        self._claims.clear()
        self.own = OwnStanding(is_leaving=self.own.is_leaving)

    def leave(self) -> None:
        """This speaker is to stop: others shall take over."""
        self.own = OwnStanding(self.own.is_member, self.own.is_behind, is_leaving=True)

    def hear(self, heard: Mapping[str, Member], now: float) -> Set[str]:
        """Take in all members that are heard now. Returns those that are heard again and ran all the time."""
        back = {node for node in self.liveness.lost & heard.keys() if self._is_same(node, heard[node])}
        left = {node for node, one in self.heard.items() if node not in heard and one.is_leaving}
        self._incarnations.update({node: one.incarnation for node, one in heard.items()})
        self._came_back.update(dict.fromkeys(back, now))
        self.heard = heard
        self.liveness.hear(heard.keys(), left, now)
        return back

    def age(self, heard: Mapping[str, Member]) -> None:
        """The members of the last `hear`, of whom nothing is new but when they were heard and had contact."""
        self.heard = heard

    def judge(
        self,
        now: float,
        boottime: float,
        contact: float,
        *,
        members: Set[str] | None,
        nothing_to_move: bool = False,
    ) -> OwnStanding:
        """Where this node stands now.

        `contact`: when it last had contact with the API server (CLOCK_BOOTTIME). `members`: the other nodes that are
        alive and of the standing `Member`; None before they are known.
        """
        contacts = [one.contact for one in self.heard.values() if one.is_serving]
        best_age = boottime - max(contacts, default=float("-inf"))
        behind = self._behind.update(now, boottime - contact, best_age)
        if members is not None:
            self._membership.update(
                now,
                members,
                must_step_back=behind or self.liveness.is_isolated(now),
                nothing_to_move=nothing_to_move,
            )
        self.own = OwnStanding(self._membership.is_member, behind, self.own.is_leaving)
        return self.own

    # ---- claims: members seen to announce addresses that this node holds ----

    def saw_claim(self, address: str, node: str, now: float) -> None:
        """A frame of that member claimed the address."""
        if len(self._seen_claims) > REMEMBERED_CLAIMS:
            self._seen_claims.clear()
        self._seen_claims[address] = (node, now)

    def came_back_lately(self, node: str, now: float) -> bool:
        """Whether that member was lost, is heard again, and ran all the time: it announces what it announced before."""
        return now - self._came_back.get(node, float("-inf")) < CAME_BACK_SECONDS

    def has_claimed(self, node: str, address: str, now: float) -> bool:
        """Whether that member was seen to answer for the address lately: nobody need do it in its place then."""
        never = float("-inf")
        claimant, at = self._seen_claims.get(address, ("", never))
        has_claimed = claimant == node and now - at < RECENT_SECONDS
        was_yielded_to = self._claims.get(address, ("", never))[0] == node
        return has_claimed or was_yielded_to

    def claims_of_lost(self, now: float) -> list[tuple[str, str]]:
        """Addresses that members announced shortly before they were found lost, and who.

        Whoever is cut off may see its successor's frames before it knows that it is.
        """
        lost = self.liveness.lost
        return [
            (address, node)
            for address, (node, at) in self._seen_claims.items()
            if node in lost and now - at < RECENT_SECONDS
        ]

    def yields(self, address: str, node: str, now: float) -> bool:
        """Whether to leave an address to a member that announces it though this node owns it, as far as it knows.

        Only one that is not heard although it lives does so against the rules. Then one of the two is deaf: the one
        that lost most others is; of two alone the one that ranks lower yields.
        """
        if node not in self.liveness.lost:
            return False
        if self.heard or not (self._membership.has_stepped_back or outranks(node, self._own_node, address)):
            return False
        self._claims[address] = (node, now + CLAIM_SECONDS)
        return True

    def claims(self, now: float) -> dict[str, str]:
        """Addresses that are left to members which are not heard, and to whom."""
        self._claims = {
            address: (node, until)
            for address, (node, until) in self._claims.items()
            if now < until and node in self.liveness.lost
        }
        return {address: node for address, (node, _) in self._claims.items()}

    def _is_same(self, node: str, member: Member) -> bool:
        return self._incarnations.get(node) == member.incarnation and member.is_serving

    def _new_liveness(self) -> Liveness:
        return Liveness(self._own_node, duration_seconds=self._times.lease_duration, renew_seconds=self._times.renew)
