"""The entries of a SpeakerReport, as far as the allocator reads them; the full types are in crds.speaker."""

import msgspec


class Announcement(msgspec.Struct, frozen=True, gc=False):
    """How one node announces one address."""

    protocols: tuple[str, ...] = ()
    interfaces: tuple[str, ...] = ()
    peers: tuple[str, ...] = ()


class Sighting(msgspec.Struct, frozen=True, gc=False):
    """Another machine that uses an address, as one node sees it. Times and counts are for people, and left out."""

    address: str
    mac: str = ""
    interface: str = ""
    announced: bool = True
    node: str = ""
    """Of our nodes the one whose kernel it is; empty for other machines."""


class KernelEntry(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """An address that a node's kernel answers for by itself."""

    address: str
    held_on: str = ""
    answers_on: str = ""


class Cause(msgspec.Struct, frozen=True, gc=False):
    """Why no node announces an address, as one node sees it."""

    address: str
    reason: str = ""
    message: str = ""


class Session(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """A BGP session of one node, also one that a fault keeps from being tried. Counts are left out, and times but for
    until when the router may keep routes of sessions that have ended; "" = it keeps none, or that is not known."""

    peer: str
    state: str = ""
    last_error: str = ""
    address: str = ""
    routes_kept_until: str = ""
    is_watched: bool = False
    """Whether its BFD session is up."""

    @property
    def is_established(self) -> bool:
        """RFC 4271 §8.2.2."""
        return self.state == "Established"


class Fault(msgspec.Struct, frozen=True, gc=False):
    """What a node finds wrong with an object, which is named as kind and name: BGPPeer/tor1."""

    object: str
    reason: str = ""
    message: str = ""
