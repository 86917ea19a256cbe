"""All types of the API under one import. Nothing is defined here."""

from crds.addresses import Family
from crds.bfdprofile import BFDProfile, BFDProfileSpec
from crds.bgpadvertisement import BGPAdvertisement, BGPAdvertisementSpec
from crds.bgppeer import BGPPeer, BGPPeerSpec, BGPPeerStatus, GracefulRestart, PasswordSecretRef, SessionCount
from crds.community import Community, CommunityAlias, CommunitySpec
from crds.conditions import ConditionType, Reason
from crds.departedspeaker import DepartedSpeaker, DepartedSpeakerSpec
from crds.ipallocation import (
    Holder,
    IPAllocation,
    IPAllocationSpec,
    IPAllocationStatus,
    ServicePort,
    TrafficPolicy,
    TransportProtocol,
)
from crds.ippool import FamilyUsage, IPPool, IPPoolSpec, IPPoolStatus, Strategy
from crds.l2advertisement import L2Advertisement, L2AdvertisementSpec
from crds.meta import (
    BerthObject,
    Condition,
    ConditionedStatus,
    LabelSelector,
    LabelSelectorRequirement,
    Model,
    ObjectMeta,
)
from crds.releaseconfirmation import ReleaseConfirmation, ReleaseConfirmationSpec, ReleaseConfirmationStatus
from crds.speaker import (
    AddressConflict,
    Announcement,
    AnnounceProtocol,
    BFDSession,
    BGPSession,
    Fault,
    FencingPromise,
    HeardSpeaker,
    Interface,
    RememberedRouter,
    Speaker,
    SpeakerSpec,
    SpeakerStatus,
)
from crds.speakerreport import SpeakerReport, SpeakerReportSpec, SpeakerReportStatus

KINDS: tuple[type[BerthObject], ...] = (
    IPPool,
    IPAllocation,
    L2Advertisement,
    BGPAdvertisement,
    BGPPeer,
    BFDProfile,
    Community,
    Speaker,
    ReleaseConfirmation,
    SpeakerReport,
    DepartedSpeaker,
)
"""Every kind of the group, in the order of documentation."""

__all__ = [
    "KINDS",
    "AddressConflict",
    "AnnounceProtocol",
    "Announcement",
    "BFDProfile",
    "BFDProfileSpec",
    "BFDSession",
    "BGPAdvertisement",
    "BGPAdvertisementSpec",
    "BGPPeer",
    "BGPPeerSpec",
    "BGPPeerStatus",
    "BGPSession",
    "BerthObject",
    "Community",
    "CommunityAlias",
    "CommunitySpec",
    "Condition",
    "ConditionType",
    "ConditionedStatus",
    "DepartedSpeaker",
    "DepartedSpeakerSpec",
    "Family",
    "FamilyUsage",
    "Fault",
    "FencingPromise",
    "GracefulRestart",
    "HeardSpeaker",
    "Holder",
    "IPAllocation",
    "IPAllocationSpec",
    "IPAllocationStatus",
    "IPPool",
    "IPPoolSpec",
    "IPPoolStatus",
    "Interface",
    "L2Advertisement",
    "L2AdvertisementSpec",
    "LabelSelector",
    "LabelSelectorRequirement",
    "Model",
    "ObjectMeta",
    "PasswordSecretRef",
    "Reason",
    "ReleaseConfirmation",
    "ReleaseConfirmationSpec",
    "ReleaseConfirmationStatus",
    "RememberedRouter",
    "ServicePort",
    "SessionCount",
    "Speaker",
    "SpeakerReport",
    "SpeakerReportSpec",
    "SpeakerReportStatus",
    "SpeakerSpec",
    "SpeakerStatus",
    "Strategy",
    "TrafficPolicy",
    "TransportProtocol",
]
