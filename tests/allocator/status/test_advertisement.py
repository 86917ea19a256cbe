"""What an advertisement says, and which addresses any of them covers."""

from collections.abc import Container
from dataclasses import replace

from allocator.claims import Claim, Holder
from allocator.objects import Advertisement
from allocator.space.pools import Pools
from allocator.status.advertisement import advertisement_status, columns, is_advertised, no_speaker
from crds.advertisement import AdvertisementSpec
from crds.conditions import ConditionType, Reason
from crds.l2advertisement import L2AdvertisementSpec
from crds.meta import Condition, LabelSelector
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


def said(
    one: Advertisement, compiled: Pools, peers: Container[str] = (), *faults: Observation
) -> dict[str, tuple[str, str, str]]:
    """By condition: its status, reason and message."""
    status = advertisement_status(one, compiled, peers, faults, NOW)
    assert status["observedGeneration"] == one.generation
    return {each["type"]: (each["status"], each["reason"], each["message"]) for each in status["conditions"]}


def fault(reason: Reason, message: str) -> Observation:
    return Observation(ConditionType.Ready, False, reason, message)


EDGE = pools(pool("edge", "192.0.2.0/24"))


def test_an_advertisement_names_the_pool_that_is_not_there_and_works_with_its_others() -> None:
    one = said(advertisement(ipPools=("edge", "nope")), EDGE)
    assert one["Ready"][:2] == ("True", "Valid")
    assert one["Degraded"][:2] == ("True", "UnknownPool")
    assert "nope" in one["Degraded"][2]
    assert said(advertisement(ipPools=("edge",)), EDGE).keys() == {"Ready"}
    by_label = advertisement(ipPools=("nope",), ipPoolSelector=LabelSelector())
    assert said(by_label, EDGE)["Ready"][0] == "True"


def test_without_any_pool_or_peer_that_is_there_it_does_not_work() -> None:
    assert said(advertisement(ipPools=("nope", "no")), EDGE)["Ready"][:2] == ("False", "UnknownPool")
    assert said(advertisement(peers=("tor9",)), EDGE, {"tor1"})["Ready"][:2] == ("False", "UnknownPeer")


def test_an_advertisement_says_which_peer_is_not_there_and_what_speakers_find() -> None:
    blue = fault(Reason.UnknownCommunity, "no Community defines blue (says n1)")
    to_two = advertisement(peers=("tor1", "tor2"))
    one = said(to_two, EDGE, {"tor1"}, blue)
    assert one["Ready"][0] == "True"
    assert one["Degraded"][:2] == ("True", "UnknownPeer")
    assert one["Degraded"][2].startswith("There is no BGPPeer named tor2:")
    assert one["Degraded"][2].endswith("; no Community defines blue (says n1)")
    assert said(to_two, EDGE, {"tor1", "tor2"}, blue)["Degraded"][1:] == ("UnknownCommunity", blue.message)


def test_all_that_is_wrong_with_an_advertisement_is_said_at_once() -> None:
    wrong = advertisement(peers=("tor1", "tor2"), ipPools=("nope",))
    one = said(wrong, pools(), {"tor1"}, fault(Reason.UnknownCommunity, "no blue (says n1)"))
    assert one["Ready"][:2] == ("False", "UnknownPool")
    assert "Degraded" not in one
    for part in ("no pool named nope", "no BGPPeer named tor2", "no blue (says n1)"):
        assert part in one["Ready"][2]


def on_interfaces(*names: str) -> Advertisement:
    spec = L2AdvertisementSpec.model_validate({"interfaces": names})
    return Advertisement("L2Advertisement", "ad", "u1", 1, spec, ())


def test_an_interface_that_is_not_there_is_a_part_unless_it_is_the_last_one() -> None:
    missing = [fault(Reason.InterfaceNotFound, name) for name in ("eno1", "eno2")]
    assert said(on_interfaces("eno1", "eth0"), EDGE, (), missing[0])["Ready"][0] == "True"
    assert said(on_interfaces("eno1"), EDGE, (), missing[0])["Ready"][:2] == ("False", "InterfaceNotFound")
    assert said(on_interfaces("eno1", "eno2"), EDGE, (), *missing)["Ready"][0] == "False"
    assert said(on_interfaces("eth0"), EDGE, (), fault(Reason.NoEligibleNode, "m"))["Ready"][0] == "False"


def test_what_was_wrong_and_is_not_any_more_is_said_so() -> None:
    status = advertisement_status(advertisement(ipPools=("edge", "nope")), EDGE, (), (), NOW)
    before = tuple(Condition.model_validate(one) for one in status["conditions"])
    mended = replace(advertisement(ipPools=("edge",)), conditions=before)
    assert said(mended, EDGE)["Degraded"] == ("False", "Valid", "Everything of it works")


def test_tables_show_names_as_text_and_a_star_for_all() -> None:
    assert columns(on_interfaces()) == {"pools": "*", "interfaces": "*"}
    assert columns(on_interfaces("eth0", "ens*"))["interfaces"] == "eth0,ens*"
    several = advertisement(peers=("tor1",), ipPools=("a", "b", "c", "d"))
    assert columns(several) == {"pools": "a,b,c+1", "peers": "tor1"}
    by_label = advertisement(ipPools=("a",), ipPoolSelector=LabelSelector())
    assert columns(by_label)["pools"] == "a,(selector)"


def test_without_a_speaker_no_advertisement_is_in_use() -> None:
    (status, reason, message) = said(advertisement(), pools(), (), no_speaker())["Ready"]
    assert (status, reason) == ("False", "NoSpeaker")
    assert "DaemonSet berth-speaker" in message
