"""What one node finds wrong with the configuration, in the words of a condition. Pure.

Layer 2 and BGP find faults (speaker.layer2.desired, speaker.bgp.faults); the own Speaker object shows them.
"""

from dataclasses import dataclass

from crds.conditions import Reason


@dataclass(frozen=True)
class Fault:
    """Something that an operator should change, as a condition of the API says it."""

    reason: Reason
    message: str
    object: str = ""
    """The object at fault as kind and name, such as BGPPeer/tor1; empty when no single object is at fault."""
