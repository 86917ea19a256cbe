"""The conditions that a speaker writes of itself: which are true, since when, and what to do about those that are not.

Words what other modules found; finds nothing itself.
"""

from collections.abc import Iterable, Sequence, Set
from typing import Any

from crds.conditions import ConditionType, Reason
from crds.kernelanswers import KernelHolding, what_to_do
from crds.meta import Condition
from crds.names import ANNOTATION_DEAD_MACHINES
from crds.observation import Observation
from crds.speaker import boot_id_of
from crds.wording import listed
from speaker.cluster.faults import Fault
from speaker.fencing import Hold
from speaker.own.predecessor import Elsewhere

SHOWN = 5
"""How many addresses or objects a message names."""
SHOWN_PLACES = 3
"""How many addresses that the kernel has a message names, and about how many interfaces it gives advice."""
MESSAGE_CHARACTERS = 700
"""All conditions of a report have room in one slice of it."""

_STARTING = {
    Hold.STARTING: "The speaker has registered and is reading the objects.",
    Hold.PAUSED: "The speaker did not run for a while; it reads all objects again before it announces anything.",
    Hold.CUT_OFF: "The speaker was cut off for longer than its promise allows; it reads all objects again.",
    Hold.REMOVED: "The Speaker object or the Node was deleted; the speaker has registered anew.",
    Hold.STOPPING: "The speaker withdraws everything.",
}


class Conditions:
    """The list as it should be in `status.conditions`; lastTransitionTime moves only with the status."""

    def __init__(self) -> None:
        self._by_type: dict[ConditionType, tuple[Observation, Condition]] = {}
        self._wire: list[dict[str, Any]] | None = None

    def to_wire(self) -> list[dict[str, Any]]:
        """Sorted by type. To be read only."""
        if self._wire is None:
            self._wire = [self._by_type[kind][1].to_wire() for kind in sorted(self._by_type)]
        return self._wire

    def set(self, kind: ConditionType, holds: bool, reason: Reason, message: str, now: str) -> None:
        """`now`: RFC 3339."""
        told = Observation(kind, holds, reason, message[:MESSAGE_CHARACTERS])
        before, condition = self._by_type.get(kind, (None, None))
        if told != before:  # they are judged each second, and seldom say anything new
            self._by_type[kind] = (told, told.condition(condition, now))
            self._wire = None

    def set_ready(self, hold: Hold | None, now: str) -> None:
        """Whether this node announces what it owns."""
        if hold is None:
            self.set(ConditionType.Ready, True, Reason.Serving, "The speaker announces what this node owns.", now)
        else:
            self.set(ConditionType.Ready, False, Reason.Starting, _STARTING[hold], now)

    def set_stopped(self, now: str, *, withdrew_routes: bool = True) -> None:
        """The speaker ended cleanly. With BGP graceful restart routers keep its routes for a while."""
        message = "The speaker stopped cleanly after it had withdrawn everything."
        if not withdrew_routes:
            message = "The speaker stopped cleanly. Routers may keep its routes for a while, as graceful restart wants."
        self.set(ConditionType.Ready, False, Reason.Stopped, message, now)

    def set_promise(self, promised: bool, known_members: int, now: str) -> None:
        """Whether allocators may count on this speaker's silence when it is cut off."""
        if promised:
            message = "Cut off, the speaker withdraws everything by itself within the fence time."
            self.set(ConditionType.PromisesFencing, True, Reason.PromiseInForce, message, now)
        elif known_members > 1:
            message = (
                "The speaker hears no majority of the others; releases wait until it is back, or its Node is deleted."
            )
            self.set(ConditionType.PromisesFencing, False, Reason.PeersUnheard, message, now)
        else:
            message = "With fewer than three speakers there is no majority that could tell whether this one is cut off."
            self.set(ConditionType.PromisesFencing, False, Reason.OnlySpeaker, message, now)

    def set_elsewhere(self, node: str, others: Sequence[Elsewhere], now: str) -> None:
        """The speakers of this node on other machines may still announce."""
        unsaid = sorted(boot_id_of(one.machine) for one in others if not one.is_said_off)
        if unsaid:
            message = (
                f"Another machine ran the speaker of {node} before and did not say goodbye. "
                f"Releases wait until it is surely silent. {_how_to_say_off(node, unsaid)}"
            )
        else:
            message = (
                f"Another machine ran the speaker of {node} before, and is off by an operator's word. "
                "Releases wait until no router can have its routes any more."
            )
        self.set(ConditionType.PromisesFencing, False, Reason.OtherMachine, message, now)

    def set_members_heard(self, fault: str, known: Set[str], heard: Iterable[str], now: str) -> None:
        """Whether heartbeats work here. A few dead nodes are no fault of heartbeats; more than half of all nodes
        are."""
        kind = ConditionType.PeersHeard
        if fault:
            self.set(kind, False, Reason.KeysUnusable, f"The keys of the heartbeats can't be used: {fault}", now)
        elif not known:
            self.set(kind, True, Reason.OnlySpeaker, "There is no other speaker to be heard.", now)
        elif 2 * len(known & set(heard)) >= len(known):
            self.set(kind, True, Reason.HearingPeers, "Heartbeats of the other speakers arrive.", now)
        else:
            message = "Fewer than half of the other speakers are heard: do firewalls let the heartbeats' port through?"
            self.set(kind, False, Reason.PeersUnheard, message, now)

    def set_port_taken(self, port: int, now: str) -> None:
        """No heartbeats: another program on this node has their port."""
        message = (
            f"Another program on this node has UDP port {port}, so heartbeats are lost here. "
            f"`ss -lunp 'sport = :{port}'` on the node names it: end it, or give the heartbeats of all speakers "
            "another port (speaker.heartbeat.port in the chart)"
        )
        self.set(ConditionType.PeersHeard, False, Reason.PortTaken, message, now)

    def set_recorded(self, refused: Sequence[str], now: str) -> None:
        """Whether the API server takes all that this speaker writes. `refused`: what it does not, and why."""
        if not refused:
            message = "The API server takes everything that the speaker writes."
            self.set(ConditionType.Recorded, True, Reason.AllRecorded, message, now)
            return
        message = "The API server refuses a part of what the speaker writes, which is left out; are the definitions "
        message += f"in the cluster as new as the speaker? {'; '.join(refused)}"
        self.set(ConditionType.Recorded, False, Reason.PartsRefused, message, now)

    def set_announceable(self, faults: Sequence[Fault], now: str) -> None:
        """Whether every address has a node that may announce it, as far as this speaker sees."""
        if not faults:
            message = "Every address has a node that may announce it."
            self.set(ConditionType.Announceable, True, Reason.AllAnnounceable, message, now)
            return
        message = ". ".join(fault.message for fault in faults[:SHOWN])
        more = ". There are more." if len(faults) > SHOWN else "."
        self.set(ConditionType.Announceable, False, faults[0].reason, message + more, now)

    def set_kernel(self, holdings: Sequence[KernelHolding], now: str) -> None:
        """Whether the node's own kernel answers for addresses that are announced on layer 2."""
        kind = ConditionType.KernelAnswers
        if not holdings:
            message = "The node's kernel answers for no address that is announced on layer 2."
            self.set(kind, False, Reason.KernelSilent, message, now)
            return
        named = [f"{one.address} (on {one.held_on})" for one in holdings]
        places = {(one.held_on, one.answers_on): one for one in reversed(holdings)}
        advice = what_to_do(list(places.values())[:SHOWN_PLACES])
        message = (
            f"The node's kernel has {listed(named, SHOWN_PLACES)} and answers on {holdings[0].answers_on} by itself, "
            f"whichever node is the owner: {advice}."
        )
        self.set(kind, True, Reason.HeldByNode, message, now)

    def set_endpoints_placed(self, unplaced: Sequence[str], now: str) -> None:
        """Whether all endpoints that matter name their node."""
        if not unplaced:
            message = "Every endpoint that decides where an address is announced names its node."
            self.set(ConditionType.EndpointsPlaced, True, Reason.EndpointsNameNodes, message, now)
            return
        message = f"{len(unplaced)} addresses have endpoints without a nodeName, which count for every node: "
        self.set(
            ConditionType.EndpointsPlaced,
            False,
            Reason.EndpointsWithoutNode,
            message + ", ".join(unplaced[:SHOWN]),
            now,
        )


def _how_to_say_off(node: str, boot_ids: Sequence[str]) -> str:
    """Where a boot id is not known (""), the word is about the whole node."""
    if all(boot_ids):
        word = f"{ANNOTATION_DEAD_MACHINES}={','.join(boot_ids)}"
        return (
            "Only if that other machine is surely off, say so by its boot id: "
            f"kubectl annotate --overwrite speaker.berth.dev {node} {word}"
        )
    return (
        "Its boot id is not known. Only if that other machine is surely off, and while this Speaker is Ready, "
        f"say so: kubectl delete speaker.berth.dev {node}"
    )
