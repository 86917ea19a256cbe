"""Who answered `berth arping`, question by question, and what that means. Pure: sends and reads nothing.

A living node that gives an address up answers until its successor does, so two answer for a moment. Only what lasts
longer than such a hand-over is a conflict.
"""

from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple

from crds.addresses import IPAddress
from crds.wording import listed

ALONE_QUESTIONS = 3
"""After so many in a row that one and the same machine answered alone, it has the address."""
LASTING_SECONDS = 4.0
"""Twice what a hand-over may take (speaker.layer2.handover): several that answer for so long go on to."""
NAMED = 8
"""How many machines a verdict names before it counts the rest."""


class Owner(NamedTuple):
    """Whose a MAC is: an interface of a node with a speaker. `answers`: what answers for Services there, "Kernel" or
    "UserSpace"; "" = not known, or the interface is not in use."""

    node: str
    interface: str
    answers: str = ""


class Meaning(Enum):
    """What the answers say."""

    NOBODY = "nobody answers"
    ONE = "one machine answers"
    HANDED_OVER = "it went from one machine to another, which answers alone now"
    INTERFACES = "several interfaces of one node answer"
    NODES = "several nodes of the cluster answer: their kernels do"
    ALIKE = "several machines answer that have other addresses in common, too: it is one, or their kernels answer"
    STRANGER = "a machine that is no node of the cluster answers, too"
    UNKNOWN = "several machines answer, and it is not known whose they are"


class Answers:
    """`begin` with each question, then `add` its answers. Times are seconds on one clock."""

    def __init__(self) -> None:
        self.macs: list[str] = []
        """All that answered, in the order of their first answers."""
        self.count = 0
        self._questions: list[dict[str, None]] = []
        self._doubles: list[set[str]] = []
        self._several_since: float | None = None

    @property
    def asked(self) -> int:
        """How many questions there were."""
        return len(self._questions)

    def begin(self, now: float) -> None:
        """A question is about to be sent."""
        if self._questions and len(self._questions[-1]) < 2:
            self._several_since = None
        self._questions.append({})
        self._doubles.append(set())
        if self._several_since is None:
            self._several_since = now

    def add(self, mac: str) -> None:
        """One answer to the last question."""
        if mac in self._questions[-1]:
            self._doubles[-1].add(mac)
        self._questions[-1][mac] = None
        self.count += 1
        if mac not in self.macs:
            self.macs.append(mac)

    def must_ask_again(self, now: float) -> bool:
        """Whether it can't be told yet if several have the address, or it is on its way from one to another."""
        return len(self.macs) > 1 and not self._is_settled and not self._lasts(now)

    @property
    def now_there(self) -> list[str]:
        """The machines that answered last, in the order of their first answers; all, where nobody did."""
        last = {mac for question in self._questions[-ALONE_QUESTIONS:] for mac in question}
        return [mac for mac in self.macs if mac in last] or self.macs

    @property
    def twofold(self) -> list[str]:
        """Machines that answered each question twice, at the end, while others answered once: a speaker and a kernel
        do. None where all do, since frames are doubled on the way then."""
        last = self._doubles[-ALONE_QUESTIONS:]
        found = [mac for mac in self.macs if all(mac in doubles for doubles in last)]
        is_proof = len(last) == ALONE_QUESTIONS and len(found) < len(self.now_there)
        return found if is_proof else []

    @property
    def _is_settled(self) -> bool:
        last = [tuple(question) for question in self._questions[-ALONE_QUESTIONS:]]
        return len(last) == ALONE_QUESTIONS and len(set(last)) == 1 and len(last[0]) == 1

    def _lasts(self, now: float) -> bool:
        has_several = bool(self._questions) and len(self._questions[-1]) > 1
        return has_several and self._several_since is not None and now - self._several_since >= LASTING_SECONDS

    def meaning(self, owners: Mapping[str, Owner] | None, also: IPAddress | None = None) -> Meaning:
        """`owners`: whose MACs are nodes', by MAC; None = not known. `also`: another address that all of these answer
        for as well."""
        if not self.macs:
            return Meaning.NOBODY
        if len(self.macs) == 1:
            return Meaning.ONE
        if self._is_settled:
            return Meaning.HANDED_OVER
        if owners is None and self.twofold:
            return Meaning.NODES
        if owners is None:
            return Meaning.ALIKE if also is not None else Meaning.UNKNOWN
        if any(mac not in owners for mac in self.now_there):
            return Meaning.STRANGER
        return Meaning.INTERFACES if len({owners[mac].node for mac in self.now_there}) == 1 else Meaning.NODES

    def verdict(self, address: IPAddress, owners: Mapping[str, Owner] | None, also: IPAddress | None = None) -> str:
        """One line: what it is, and what to do."""
        meaning = self.meaning(owners, also)
        who = [describe(mac, owners) for mac in self.now_there]
        if meaning is Meaning.NOBODY:
            return f"nobody answers for {address} ({self.asked} asked)"
        if meaning is Meaning.ONE:
            return f"{address} is at {who[0]} ({self.asked} asked, {self.count} answered)"
        if meaning is Meaning.HANDED_OVER:
            former = [describe(mac, owners) for mac in self.macs if mac not in self.now_there]
            return f"{address} is at {who[0]}: it was handed over by {listed(former, NAMED)} while it was asked for"
        if meaning is Meaning.NODES and owners is None:
            who = [f"{mac} (twice)" if mac in self.twofold else mac for mac in self.now_there]
        what = f"CONFLICT: {len(who)} machines answer for {address}, for longer than a hand-over takes"
        return f"{what}: {listed(who, NAMED)}: {_advice(meaning, address, also)}"


def describe(mac: str, owners: Mapping[str, Owner] | None) -> str:
    """The MAC and whose it is."""
    if owners is None:
        return mac
    owner = owners.get(mac)
    if owner is None:
        return f"{mac} (no speaker's)"
    by = {"Kernel": ", by the program in its kernel", "UserSpace": ", by its speaker"}.get(owner.answers, "")
    return f"{mac} ({owner.interface} of {owner.node}{by})"


def _advice(meaning: Meaning, address: IPAddress, also: IPAddress | None) -> str:
    choose = "name one of them in `interfaces` of the L2Advertisement"
    match meaning:
        case Meaning.STRANGER:
            return "a machine that is no node of this cluster has it, too. Find it by its hardware address"
        case Meaning.NODES:
            return f"kernels of nodes answer beside the owner. {_quiet_kernels(address)}"
        case Meaning.INTERFACES:
            return f"these are interfaces of one node on this segment: {choose}. {_quiet_kernels(address)}"
        case Meaning.ALIKE:
            return (
                f"they all answer for {also} as well, so these are interfaces of one machine on this segment "
                f"({choose}), or kernels of nodes answer beside the owner. {_quiet_kernels(address)}"
            )
        case _:
            return (
                "another machine has it, too, or kernels of nodes answer beside the owner, or these are interfaces of "
                f"one machine: --kubeconfig tells whose they are. {_quiet_kernels(address)}"
            )


def _quiet_kernels(address: IPAddress) -> str:
    """How to keep kernels from answering. NDP has no such setting: a kernel answers on the interface that has it."""
    if address.version == 6:
        return f"Where a kernel has it on this segment (ip address show to {address}), take it off"
    return (
        "With kube-proxy in IPVS mode set ipvs.strictARP to true in its configuration; where a kernel has it by other "
        f"means (ip route get {address}: local), take it off, or set net.ipv4.conf.all.arp_ignore to 1"
    )
