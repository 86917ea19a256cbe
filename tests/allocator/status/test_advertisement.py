"""What an advertisement says, and which addresses any of them covers."""

from allocator.claims import Claim, Holder
from allocator.objects import Advertisement
from allocator.status.advertisement import advertisement_conditions, is_advertised, no_speaker
from crds.advertisement import AdvertisementSpec
from crds.conditions import ConditionType, Reason
from crds.meta import LabelSelector
from crds.observation import Observation
from kube.objects import ServiceKey
from tests.allocator.build import address, pool, pools

VIP = address("192.0.2.10")
NOW = "2026-03-01T00:00:00Z"


def advertisement(peers: tuple[str, ...] = (), **spec: object) -> Advertisement:
    return Advertisement("L2Advertisement", "ad", "u1", 1, AdvertisementSpec.model_validate(spec), (), peers)


def test_an_advertisement_covers_pools_by_name_label_or_all_and_services_by_label() -> None:
    compiled = pools(pool("edge", "192.0.2.0/24", labels={"zone": "a"}))
    holder = Holder(ServiceKey("default", "web"), "u1", (), (("tier", "front"),))
    held = Claim(VIP, "edge", (holder,))
    zone = LabelSelector.model_validate({"matchLabels": {"zone": "a"}})
    back = LabelSelector.model_validate({"matchLabels": {"tier": "back"}})
    assert is_advertised(held, compiled, [advertisement()])
    assert is_advertised(held, compiled, [advertisement(ipPools=("edge",))])
    assert is_advertised(held, compiled, [advertisement(ipPools=("other",), ipPoolSelector=zone)])
    assert not is_advertised(held, compiled, [])
    assert not is_advertised(held, compiled, [advertisement(ipPools=("other",))])
    assert not is_advertised(held, compiled, [advertisement(serviceSelector=back)])


def test_no_selector_chooses_a_pool_that_is_gone_as_no_speaker_announces_it_then() -> None:
    held = Claim(VIP, "gone", (Holder(ServiceKey("default", "web"), "u1", ()),))
    everything = LabelSelector()
    assert not is_advertised(held, pools(), [advertisement(ipPoolSelector=everything)])
    assert is_advertised(held, pools(), [advertisement(ipPools=("gone",)), advertisement(ipPoolSelector=everything)])
    assert is_advertised(held, pools(), [advertisement()])


def test_an_advertisement_names_the_pool_that_is_not_there() -> None:
    compiled = pools(pool("edge", "192.0.2.0/24"))
    (bad,) = advertisement_conditions(advertisement(ipPools=("edge", "nope")), compiled, (), None, NOW)
    assert (bad.status, bad.reason) == ("False", "UnknownPool")
    assert "nope" in bad.message
    (good,) = advertisement_conditions(advertisement(ipPools=("edge",)), compiled, (), None, NOW)
    assert good.reason == "Valid"


def test_an_advertisement_says_which_peer_is_not_there_and_what_speakers_find() -> None:
    compiled = pools(pool("edge", "192.0.2.0/24"))
    fault = Observation(ConditionType.Ready, False, Reason.UnknownCommunity, "no Community defines blue (says n1)")
    to_two = advertisement(peers=("tor1", "tor2"))
    (bad,) = advertisement_conditions(to_two, compiled, {"tor1"}, fault, NOW)
    assert (bad.status, bad.reason) == ("False", "UnknownPeer")
    assert bad.message.startswith("There is no BGPPeer named tor2:")
    (worse,) = advertisement_conditions(to_two, compiled, {"tor1", "tor2"}, fault, NOW)
    assert (worse.reason, worse.message) == ("UnknownCommunity", "no Community defines blue (says n1)")


def test_all_that_is_wrong_with_an_advertisement_is_said_at_once() -> None:
    fault = Observation(ConditionType.Ready, False, Reason.InterfaceNotFound, "no eno1 (says n1)")
    wrong = advertisement(peers=("tor1",), ipPools=("nope",))
    (bad,) = advertisement_conditions(wrong, pools(), (), fault, NOW)
    assert (bad.status, bad.reason) == ("False", "UnknownPool")
    for part in ("no pool named nope", "no BGPPeer named tor1", "no eno1 (says n1)"):
        assert part in bad.message


def test_without_a_speaker_no_advertisement_is_in_use() -> None:
    (bad,) = advertisement_conditions(advertisement(), pools(), (), no_speaker(), NOW)
    assert (bad.status, bad.reason) == ("False", "NoSpeaker")
    assert "DaemonSet berth-speaker" in bad.message
