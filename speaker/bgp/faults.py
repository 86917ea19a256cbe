"""What an operator should change about BGP peers and advertisements, as one node sees it. Pure.

A fault is a setting that has no effect, or another effect than it seems. An address that merely has no route now is
no fault.
"""

from collections.abc import Collection, Iterator, Mapping, Set
from dataclasses import dataclass

from crds.bgpadvertisement import BGPAdvertisementSpec
from crds.bgppeer import BGPPeerSpec
from crds.conditions import Reason
from speaker.bgp.desired import BGPView, PeerClass, RouteSource
from speaker.bgp.model import PeerConfig
from speaker.cluster.faults import Fault
from speaker.cluster.objects import Labels


@dataclass(frozen=True)
class Findings:
    """All that faults are found in.

    `peers`: those of this node; `about_peers`: what is wrong with these, or why others of this node have no session.
    `sources`: by which advertisements addresses make routes, with the IP version; `unions`: the
    advertisements that give one aggregate together.
    `blackhole_fault`: why packets to unused addresses of aggregates are not dropped, in words; "" = they are.
    """

    node: str
    view: BGPView
    specs: Mapping[str, BGPPeerSpec]
    pools: Mapping[str, Labels]
    profiles: Collection[str]
    peers: Mapping[str, tuple[PeerConfig, PeerClass]]
    about_peers: Collection[Fault]
    sources: Set[tuple[int, RouteSource]]
    unions: Set[tuple[str, ...]]
    blackhole_fault: str = ""


def faults_in(found: Findings) -> list[Fault]:
    """Sorted by object, each once."""
    every = {*found.about_peers, *_about_peers(found), *_differences(found)}
    for name, ad in found.view.advertisements.items():
        about = f"BGPAdvertisement/{name}"
        for reason, what in _about_advertisement(found, name, ad):
            every.add(Fault(reason, f"BGPAdvertisement {name}: {what}", about))
    return sorted(every, key=lambda each: (each.object, each.message))


def _about_peers(found: Findings) -> Iterator[Fault]:
    for name, (config, peer_class) in found.peers.items():
        profile = found.specs[name].bfd_profile
        if profile is not None and profile not in found.profiles:
            message = f"BGPPeer {name}: there is no BFDProfile {profile}, so no BFD watches the path"
            yield Fault(Reason.UnknownProfile, message, f"BGPPeer/{name}")
        for family in sorted(config.families - {family for family, _ in peer_class.next_hops}):
            message = (
                f"BGPPeer {name}: node {found.node} has no {family} address on the session's interface and no "
                f"{family} InternalIP, so {family} routes have no next hop"
            )
            yield Fault(Reason.NoNextHop, message, f"BGPPeer/{name}")


def _about_advertisement(found: Findings, name: str, ad: BGPAdvertisementSpec) -> Iterator[tuple[Reason, str]]:
    for peer in ad.peers:
        if peer not in found.specs:
            yield Reason.UnknownPeer, f"there is no BGPPeer {peer}"
    for pool in ad.ip_pools:
        if pool not in found.pools:
            yield Reason.UnknownPool, f"there is no IPPool {pool}"
    selector = ad.ip_pool_selector
    if selector is not None and not ad.ip_pools and not any(map(selector.matches, found.pools.values())):
        yield Reason.UnknownPool, "no IPPool has the labels that ipPoolSelector asks for"
    for text in ad.communities:
        if found.view.community(text) is None:
            yield Reason.UnknownCommunity, f"no Community defines {text}"
    if found.blackhole_fault and any(name in names for names in found.unions):
        yield Reason.NoBlackhole, f"packets to unused addresses of its aggregates may circle: {found.blackhole_fault}"
    for what in (*_ineffective_for_peers(found, name, ad), *_ineffective_for_addresses(found, name, ad)):
        yield Reason.InvalidSpec, what


def _ineffective_for_peers(found: Findings, name: str, ad: BGPAdvertisementSpec) -> Iterator[str]:
    """Attributes that none of its peers is sent."""
    peers = {each: config for each, (config, peer_class) in found.peers.items() if name in peer_class.advertisements}
    told = ", ".join(sorted(peers))
    if peers and ad.local_pref is not None and not any(peer.is_interior for peer in peers.values()):
        yield f"localPref is not sent to {told}: it is for peers in our own AS or confederation"
    if peers and ad.as_path_prepend and all(peer.is_interior for peer in peers.values()):
        yield f"asPathPrepend is not done for {told}: it is for peers outside of our own AS and confederation"


def _ineffective_for_addresses(found: Findings, name: str, ad: BGPAdvertisementSpec) -> Iterator[str]:
    mine = {(version, source.is_local) for version, source in found.sources if name in source.advertisements}
    for version, field, length, longest in (
        (4, "aggregationLength", ad.aggregation_length, 32),
        (6, "aggregationLengthV6", ad.aggregation_length_v6, 128),
    ):
        if length < longest and (version, True) in mine:
            yield f"{field} has no effect on addresses with externalTrafficPolicy Local: they go one by one"
    if ad.weight_by_endpoints and mine and not any(is_local for _, is_local in mine):
        yield "weightByEndpoints has no effect: all its addresses have externalTrafficPolicy Cluster"


def _differences(found: Findings) -> Iterator[Fault]:
    """Advertisements that give one route to one peer and want different attributes: the first one's counts."""
    together = found.unions | {source.advertisements for _, source in found.sources}
    for peer_class in {peer_class for _, peer_class in found.peers.values()}:
        for names in together:
            yield from _losers([name for name in names if name in peer_class.advertisements], found)


def _losers(names: list[str], found: Findings) -> Iterator[Fault]:
    ads = found.view.advertisements
    for field in ("local_pref", "med", "as_path_prepend"):
        said = [(name, value) for name in names if (value := _said(ads[name], field)) is not None]
        for name, value in said[1:]:
            first, counts = said[0]
            if value != counts:
                called = BGPAdvertisementSpec.model_fields[field].alias
                message = (
                    f"BGPAdvertisement {name}: {called} {value} does not count: {first}, whose name sorts first, gives "
                    f"the same route and says {counts}"
                )
                yield Fault(Reason.InvalidSpec, message, f"BGPAdvertisement/{name}")


def _said(ad: BGPAdvertisementSpec, field: str) -> int | None:
    """None = nothing; asPathPrepend says nothing with 0."""
    value: int | None = getattr(ad, field)
    return value or None if field == "as_path_prepend" else value
