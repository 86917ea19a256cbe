"""The other speakers, as the core deals with them: who is heard, where this node stands among them, what it says of it.

Joins speaker.members.view (who lives, who ranks) and speaker.members.heartbeats (whom to listen to). Pure.
"""

from collections.abc import Mapping, Set

from speaker.cluster.state import ClusterState
from speaker.fencing import Contact, MemberContacts
from speaker.members.heartbeats import HeartbeatOptions, Heartbeats, changed_members
from speaker.members.liveness import LeaseNeed
from speaker.members.view import MemberTimes, MemberView, OwnStanding
from speaker.moment import Moment
from speaker.notices import Notices
from speaker.own.entries import heard_speaker
from speaker.own.status import StatusDraft
from speaker.wire.messages import NEVER, Member, OwnState

SHOWN_MEMBERS = 64
SAID_SECONDS = 1.0
"""So often the wire process is told the same again: it believes it for three times as long."""


class Members:
    """`follow` and `begin` with each registration; then `judge` whenever something is new, and twice a second."""

    def __init__(
        self,
        own_node: str,
        incarnation: str,
        times: MemberTimes,
        options: HeartbeatOptions,
        draft: StatusDraft,
        notices: Notices,
    ) -> None:
        self._own_node = own_node
        self._draft = draft
        self._notices = notices
        self.view = MemberView(own_node, times)
        self.heartbeats = Heartbeats(options, own_node, incarnation, notices)
        self._cluster = ClusterState()
        self._need = LeaseNeed(self.view.liveness)
        self._since: dict[str, str] = {}
        self._said: OwnState | None = None
        self._said_at = 0.0
        draft.set("heard", [])

    @property
    def heard(self) -> Mapping[str, Member]:
        """Those whose heartbeats arrive now, by node."""
        return self.view.heard if self.heartbeats.are_on else {}

    def follow(self, cluster: ClusterState) -> None:
        """A new registration: this is what is read of the cluster from now on."""
        self._cluster = cluster

    def begin(self, now: Moment) -> None:
        """It is written: all Leases will be listed anew, and others have taken over meanwhile."""
        self.view.begin(now.monotonic)
        self._need = LeaseNeed(self.view.liveness)

    def members_heard(self, members: Mapping[str, Member], now: Moment) -> bool:
        """Everybody whom the wire process hears now. Whether one is heard again that ran all the time."""
        changed_members(self.view.heard, members, self._notices)
        came_back = self.view.hear(members, now.monotonic)
        self._show(now.text)
        if came_back:
            self._notices.say("info", "heard again", nodes=sorted(came_back))
        return bool(came_back)

    def _show(self, now: str) -> None:
        """Show the members in the Speaker object, without ages: each change of the object goes to every watcher."""
        heard = self.view.heard
        self._since = {node: self._since.get(node, now) for node in heard}
        shown = [
            heard_speaker(node, self._since[node], cut_off=heard[node].is_behind)
            for node in sorted(heard)[:SHOWN_MEMBERS]
        ]
        self._draft.set("heard", shown)

    def judge(self, now: Moment, contact: float, *, others: Set[str] | None) -> OwnStanding:
        """Where this node stands.

        `contact`: when it last had contact with the API server (CLOCK_BOOTTIME). `others`: the other members that
        announce; None before they are known.
        """
        own = self.view.judge(
            now.monotonic,
            now.boottime,
            contact,
            members=others,
            nothing_to_move=not self._cluster.has_allocations,
        )
        self._draft.set("standing", own.standing.value)
        return own

    def own_state(self, contact: float, *, is_serving: bool, now: float) -> OwnState | None:
        """What our heartbeats should say; None when there are none, or when that was said a moment ago.

        `now`: CLOCK_BOOTTIME seconds.
        """
        own = self.view.own
        if not self.heartbeats.are_on:
            return None
        state = OwnState(contact, is_serving, own.is_member, own.is_behind, own.is_leaving)
        if state == self._said and now < self._said_at + SAID_SECONDS:
            return None
        self._said, self._said_at = state, now
        return state

    def unheard(self) -> Set[str]:
        """The nodes with a speaker that is to be reckoned with, and is not heard."""
        return self._known() - self.view.liveness.heard

    def needs_leases(self, now: float) -> bool:
        """Whether Leases are to be watched. To be asked a few times a second, once all of them have been read."""
        return self._need.is_there(self.unheard(), now)

    def for_fencing(self) -> MemberContacts:
        """The same members as speaker.fencing wants to know them.

        A process that has not told yet when it had contact is left out: it must not pass for one that lost it long ago.
        """
        contacts = {
            node: Contact(member.contact, member.heard)
            for node, member in self.view.heard.items()
            if member.contact > NEVER
        }
        return MemberContacts(known=self._known(), contacts=contacts)

    def _known(self) -> frozenset[str]:
        speakers = self._cluster.speakers
        known = (node for node, facts in speakers.items() if not facts.said_goodbye)
        return frozenset(known) - {self._own_node}
