"""Which addresses this node announces on layer 2, on which interfaces, and why not the others.

A function of what is observed: the same view gives the same decision on every node. So of the nodes that agree on the
view exactly one decides to announce. Knows nothing of sockets, of the API, or of whether the speaker may announce at
all (speaker.fencing).

With the policy `Cluster` an address is announced also when its Services have no endpoint: kube-proxy then refuses
connections at once, and a refused connection is better than one that times out.
"""

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import NamedTuple

from crds.conditions import Reason
from crds.l2advertisement import L2AdvertisementSpec
from crds.wording import listed
from speaker.cluster.causes import NO_ENDPOINT, faults_in_node
from speaker.cluster.endpoints import Placement
from speaker.cluster.faults import Fault
from speaker.cluster.networks import Attached
from speaker.cluster.objects import Allocation, Labels, NodeFacts
from speaker.layer2.glob import glob
from speaker.layer2.nearness import NOWHERE, Networks, Rank, Site, Way
from speaker.members.election import best_tier, owner_of, packed

NAMED_NODES = 5
"""How many nodes a message names before it counts the rest."""

NAMED_INTERFACES = 8
"""The same for interfaces."""

NAMED_ADVERTISEMENTS = 3
"""The same for advertisements."""

Reach = Mapping[str, tuple[str, ...]]
"""The nodes that may announce, and on which of their interfaces."""


class Silence(Enum):
    """Why this node does not announce an address."""

    RELEASING = "Releasing"
    """The address is being given back."""
    MALFORMED = "Malformed"
    """The IPAllocation names no valid address."""
    NO_ADVERTISEMENT = "NoAdvertisement"
    """No L2Advertisement covers its pool and Services."""
    NO_ENDPOINT = "NoEndpoint"
    """The policy is Local and there is no endpoint to send traffic to."""
    NO_NODE = "NoEligibleNode"
    """An advertisement covers it, but no node may announce it."""
    OTHER_OWNER = "OtherOwner"
    """Another node owns it."""


@dataclass(frozen=True, slots=True)
class Announce:
    """This node owns the address and answers for it on these interfaces (sorted, never empty); also echo requests, when
    `answers_ping`."""

    interfaces: tuple[str, ...]
    answers_ping: bool = False


@dataclass(frozen=True, slots=True)
class Refrain:
    """This node does not announce the address. `owner` is the node that does, where there is one."""

    silence: Silence
    owner: str | None = None


Decision = Announce | Refrain


class _Kind(NamedTuple):
    """Addresses that are decided on alike, but for the owner and for endpoints."""

    covering: tuple[str, ...]
    is_ipv6: bool
    site: Site


class _Plan(NamedTuple):
    """Who may announce addresses of a kind. `near`: those who are on the address's network, if any is. `able`: of
    these, or else of all, those of the best standing. `best`: of these, those that advertisements prefer; one of them
    is the owner, where endpoints do not matter. `own`: what this node does when it is the owner."""

    reach: Reach
    near: Set[str]
    able: list[str]
    best: list[str]
    own: Announce | None


class Layer2View:
    """What one node sees of the cluster, prepared for deciding on many addresses. Nothing it is given may change later.

    `speakers` maps the nodes whose speakers are alive, own one included, to the interfaces they can announce on;
    `tiers` those that are not of the best one (speaker.cluster.tiers.tier); `attached` says what the interfaces of each
    node are attached to; `own_routes` how this node's kernel ranks its own.
    """

    def __init__(
        self,
        own_node: str,
        *,
        nodes: Mapping[str, NodeFacts],
        speakers: Mapping[str, tuple[str, ...]],
        pools: Mapping[str, Labels],
        advertisements: Mapping[str, L2AdvertisementSpec],
        tiers: Mapping[str, int] | None = None,
        attached: Mapping[str, Mapping[str, Attached]] | None = None,
        own_routes: Mapping[Way, Rank] | None = None,
    ) -> None:
        self._own_node = own_node
        self._nodes = nodes
        self._speakers = speakers
        self._pools = pools
        self._tiers = tiers or {}
        self._advertisements = dict(sorted(advertisements.items()))
        self._eligible = sorted(node for node in speakers if not any(self._faults_of(node)))
        told = attached or {}
        self._networks = Networks({node: told[node] for node in self._eligible if node in told})
        self._own_routes = own_routes or {}
        self._reach_of: dict[tuple[tuple[str, ...], bool], Reach] = {}
        self._plans: dict[_Kind, _Plan] = {}
        self._covering_pool: dict[str, tuple[str, ...]] = {}

    def decide(self, allocation: Allocation, placement: Placement) -> Decision:
        """`placement` matters for the policy Local only."""
        if allocation.is_releasing:
            return _refrain(Silence.RELEASING)
        if not allocation.address:
            return _refrain(Silence.MALFORMED)
        covering = self._covering(allocation)
        if not covering:
            return _refrain(Silence.NO_ADVERTISEMENT)
        if allocation.is_local and placement.is_empty:
            return _refrain(Silence.NO_ENDPOINT)
        address = packed(allocation.address)
        plan = self._plan(_Kind(covering, len(address) != 4, self._networks.site(address)))
        able = self._placed(plan, placement) if allocation.is_local else plan.able
        wanted = allocation.wanted_node
        if wanted and wanted in able:
            elected: str | None = wanted
        else:
            elected = owner_of(address, self._preferred(covering, able) if allocation.is_local else plan.best)
        if elected is None:
            return _refrain(Silence.NO_NODE)
        if elected == self._own_node and plan.own is not None:
            return plan.own
        return _other_owner(elected)

    def _placed(self, plan: _Plan, placement: Placement) -> list[str]:
        """The able ones under the policy Local: a node on another segment with an endpoint is better than one on the
        right segment without."""
        admitted = [node for node in plan.reach if placement.admits(node)]
        return best_tier([node for node in admitted if node in plan.near] or admitted, self._tiers)

    def _preferred(self, covering: tuple[str, ...], able: list[str]) -> list[str]:
        """Those of them that the advertisements want before the others. Of several advertisements the one that ranks a
        node best counts."""
        choosing = [ad for name in covering if (ad := self._advertisements[name]).preferred_node_selectors]
        if not choosing:
            return able
        return best_tier(able, {node: min(ad.preference(self._nodes[node].labels) for ad in choosing) for node in able})

    def _plan(self, kind: _Kind) -> _Plan:
        plan = self._plans.get(kind)
        if plan is None:
            reach = self._reach(kind.covering, is_ipv6=kind.is_ipv6)
            at_site = {node: self._at_site(node, interfaces, kind.site) for node, interfaces in reach.items()}
            near = frozenset(node for node, interfaces in at_site.items() if interfaces)
            able = best_tier(sorted(near) or reach, self._tiers)
            own = self._own_announcement(kind, reach.get(self._own_node, ()), at_site.get(self._own_node, ()))
            plan = self._plans[kind] = _Plan(reach, near, able, self._preferred(kind.covering, able), own)
        return plan

    def _at_site(self, node: str, interfaces: tuple[str, ...], site: Site) -> tuple[str, ...]:
        """Those that are on the address's network; none where nobody's is."""
        if site == NOWHERE:
            return ()
        return tuple(name for name in interfaces if self._networks.is_at(node, name, site))

    def _own_announcement(self, kind: _Kind, reach: tuple[str, ...], at_site: tuple[str, ...]) -> Announce | None:
        """On one interface of those that are on the address's network: two of a node on one segment would both answer,
        and what is sent to the wrong one may be dropped (rp_filter). Where none is, on all."""
        answers_ping = any(self._advertisements[name].answer_ping for name in kind.covering)
        if at_site:
            way = self._networks.best_way(self._own_node, at_site, kind.site, self._own_routes)
            return Announce((way,), answers_ping)
        return Announce(reach, answers_ping) if reach else None

    def _covering(self, allocation: Allocation) -> tuple[str, ...]:
        """The advertisements that cover it; several unite. For a serviceSelector one fitting holder is enough."""
        names = self._covering_pool.get(allocation.pool)
        if names is None:
            labels = self._pools.get(allocation.pool)
            ads = self._advertisements.items()
            names = tuple(name for name, ad in ads if ad.covers_pool(allocation.pool, labels))
            self._covering_pool[allocation.pool] = names
        services = allocation.service_labels()
        return tuple(name for name in names if self._advertisements[name].covers_services(services))

    def _reach(self, covering: tuple[str, ...], *, is_ipv6: bool) -> Reach:
        """For IPv6 an interface counts where IPv6 is switched on: else its node receives nothing that is sent there."""
        reach = self._reach_of.get((covering, is_ipv6))
        if reach is None:
            united: dict[str, set[str]] = {}
            for name in covering:
                for node, interfaces in self._reach_of_one(self._advertisements[name]):
                    fit = [one for one in interfaces if not is_ipv6 or self._networks.has_ipv6(node, one)]
                    if fit:
                        united.setdefault(node, set()).update(fit)
            reach = {node: tuple(sorted(interfaces)) for node, interfaces in united.items()}
            self._reach_of[covering, is_ipv6] = reach
        return reach

    def _reach_of_one(self, ad: L2AdvertisementSpec) -> Iterator[tuple[str, list[str]]]:
        for node in self._eligible:
            if ad.selects_node(self._nodes[node].labels):
                interfaces = [name for name in self._speakers[node] if _names_interface(ad, name)]
                if interfaces:
                    yield node, interfaces

    def _faults_of(self, node: str) -> Iterator[str]:
        """Why that node can announce nothing at all: nothing when it can."""
        yield from faults_in_node(self._nodes.get(node))
        if node not in self._speakers:
            yield "has no live speaker"
        elif not self._speakers[node]:
            yield "has no usable interface"

    def explain(self, allocation: Allocation, placement: Placement) -> Fault | None:
        """Why no node can announce it; None when one does, or when none should."""
        if self._is_silence(allocation, placement, Silence.NO_ADVERTISEMENT):
            return Fault(Reason.NoAdvertisement, f"{allocation.address}: no advertisement covers it")
        cause = self.cause(allocation, placement)
        return None if cause is None else Fault(cause.reason, f"{allocation.address}: {cause.message}")

    def cause(self, allocation: Allocation, placement: Placement) -> Fault | None:
        """The same for the record of the address itself, so without its name; whatever covers it, without an endpoint
        nobody announces it. None also where no L2Advertisement covers it: whether anything else does is not known."""
        if allocation.is_local and placement.is_empty and not allocation.is_releasing:
            return NO_ENDPOINT
        if not self._is_silence(allocation, placement, Silence.NO_NODE):
            return None
        return Fault(Reason.NoEligibleNode, self._why_no_node(allocation, placement))

    def _is_silence(self, allocation: Allocation, placement: Placement, silence: Silence) -> bool:
        match self.decide(allocation, placement):
            case Refrain(found):
                return found is silence
            case _:
                return False

    def _why_no_node(self, allocation: Allocation, placement: Placement) -> str:
        covering = self._covering(allocation)
        if allocation.is_local and not placement.is_everywhere:
            faults = [
                f"{node}, which {self._why_not(node, covering, is_ipv6=allocation.is_ipv6)}"
                for node in sorted(placement.nodes)
            ]
            return f"its only ready endpoints are on {listed(faults, NAMED_NODES, '; ')}"
        if self._nodes and not any(self._is_chosen(node, covering) for node in self._nodes):
            named = listed([f"L2Advertisement {name}" for name in covering], NAMED_ADVERTISEMENTS)
            return f"no Node has the labels that the nodeSelector of {named} asks for"
        chosen = sorted(self._nodes, key=lambda node: (not self._is_chosen(node, covering), node))
        faults = [f"{node} {self._why_not(node, covering, is_ipv6=allocation.is_ipv6)}" for node in chosen]
        return listed(faults, NAMED_NODES, "; ") or "there is no node"

    def _is_chosen(self, node: str, covering: Sequence[str]) -> bool:
        facts = self._nodes.get(node)
        return facts is not None and any(self._advertisements[name].selects_node(facts.labels) for name in covering)

    def why_not(self, node: str, allocation: Allocation) -> str:
        """What keeps that node from an address that some advertisement covers, whatever its endpoints: as in "has no
        live speaker"; empty where nothing does."""
        why = self._why_not(node, self._covering(allocation), is_ipv6=allocation.is_ipv6)
        return "" if why == _CAN else why

    def _why_not(self, node: str, covering: tuple[str, ...], *, is_ipv6: bool) -> str:
        faults = list(self._faults_of(node))
        if node in self._nodes and not self._is_chosen(node, covering):
            faults.append("is not chosen by the nodeSelector")
        elif not faults and node not in self._reach(covering, is_ipv6=False):
            faults.append("has none of the interfaces named")
        elif not faults and node not in self._reach(covering, is_ipv6=is_ipv6):
            faults.append("has IPv6 switched off (disable_ipv6) on all of its interfaces that may announce it")
        return " and ".join(faults) or _CAN

    def answering_ping(self) -> list[str]:
        """The advertisements that want echo requests answered."""
        return [name for name, ad in self._advertisements.items() if ad.answer_ping]

    def faults_in_advertisements(self) -> list[Fault]:
        """Faults for interfaces that no selected node has, and for what is no pattern."""
        return [fault for name, ad in self._advertisements.items() for fault in self._faults_in(name, ad)]

    def _faults_in(self, name: str, ad: L2AdvertisementSpec) -> Iterator[Fault]:
        about = f"L2Advertisement/{name}"
        if self._nodes and not any(ad.selects_node(facts.labels) for facts in self._nodes.values()):
            message = f"L2Advertisement {name}: no Node has the labels that its nodeSelector asks for"
            yield Fault(Reason.NoNodeSelected, message, about)
        selected = [node for node in self._eligible if ad.selects_node(self._nodes[node].labels)]
        for pattern in ad.interfaces:
            if glob(pattern) is None:
                message = (
                    f"L2Advertisement {name}: {pattern} is no name and no pattern: write eth0, or as in a shell "
                    "ens*, eth? or bond[0-9]"
                )
                yield Fault(Reason.InvalidSpec, message, about)
            elif selected and not any(_fits(pattern, one) for node in selected for one in self._speakers[node]):
                has = sorted({one for node in selected for one in self._speakers[node]})
                there = f"; they have {listed(has, NAMED_INTERFACES)}" if has else ""
                message = f"L2Advertisement {name}: no selected node has a usable interface {pattern}{there}"
                yield Fault(Reason.InterfaceNotFound, message, about)
        unable = sorted(node for node, facts in self._nodes.items() if ad.selects_node(facts.labels))
        if unable and not selected:
            faults = [f"{node} {' and '.join(self._faults_of(node))}" for node in unable]
            message = (
                f"L2Advertisement {name}: no node that it chooses can announce: {listed(faults, NAMED_NODES, '; ')}"
            )
            yield Fault(Reason.NoEligibleNode, message, about)


_CAN = "can announce it"


def _names_interface(ad: L2AdvertisementSpec, interface: str) -> bool:
    return not ad.interfaces or any(_fits(pattern, interface) for pattern in ad.interfaces)


def _fits(pattern: str, interface: str) -> bool:
    names = glob(pattern)
    return names is not None and names.fits(interface)


@lru_cache(maxsize=1024)
def _other_owner(node: str) -> Refrain:
    """One value for the thousands of addresses that this node owns."""
    return Refrain(Silence.OTHER_OWNER, node)


@lru_cache(maxsize=64)
def _refrain(silence: Silence) -> Refrain:
    """One value for all addresses of which nobody is the owner."""
    return Refrain(silence)
