"""One registration of this process as its node's speaker: what proves it, and what ends it. Pure.

A registration begins with a renewal that is sent after its beginning. Everything is read under the number of its
reading, so that what arrives late from an earlier one is not believed.
"""

from speaker.cluster.objects import NodeFacts, SpeakerFacts
from speaker.own.writer import SupersededError


class Registration:
    """`began`: CLOCK_BOOTTIME seconds. `reading`: another number with each reading of the cluster."""

    def __init__(self, node: str, incarnation: str, began: float) -> None:
        self._node = node
        self._incarnation = incarnation
        self.began = began
        self.reading = 1
        self.renewal_sent = float("-inf")
        """When the renewal was sent that this registration follows (CLOCK_BOOTTIME)."""
        self.knows_all = False
        """Whether everything was read and decided on, so that this node can tell whether it is one that returns."""
        self.node_uid = self._speaker_uid = ""

    def begin_anew(self, began: float) -> None:
        """What was known counts no more."""
        self.began = began
        self.reading += 1
        self.knows_all = False

    def renewed(self, sent: float) -> bool:
        """A renewal that was sent then was answered. Whether it is one that a registration may follow."""
        if sent <= self.began:
            return False
        self.renewal_sent = sent
        return True

    def written(self, speaker_uid: str) -> None:
        """The Speaker says so. What is read from now on is newer."""
        self._speaker_uid = speaker_uid
        self.reading += 1

    def why_node_ends_it(self, node: NodeFacts | None) -> str | None:
        """The own Node as observed, None = there is none. Why the registration counts no more; None = it does."""
        return "the Node was deleted" if node is None or node.uid != self.node_uid else None

    def why_speaker_ends_it(self, own: SpeakerFacts | None) -> str | None:
        """The same for the own Speaker. Raises SupersededError when another process has registered.

        What is observed is newer than our registration, since the first list came after it.
        """
        if own is None or own.uid != self._speaker_uid:
            return "the Speaker object was deleted"
        if own.incarnation != self._incarnation:
            raise SupersededError(f"incarnation {own.incarnation} has registered as speaker of {self._node}")
        return "somebody else said goodbye in the Speaker object" if own.said_goodbye else None
