"""The conditions of a report all have room in its slice 0, however much is wrong."""

from crds.conditions import Reason
from crds.kernelanswers import KernelHolding
from speaker.cluster.faults import Fault
from speaker.own.conditions import Conditions
from speaker.own.slices import ONCE, within
from tests.speaker.make import NOW

LONG_IPV6 = [f"2001:db8:aaaa:bbbb:cccc:dddd:eeee:{number:04x}" for number in range(0xF000, 0xF100)]
NAME = "fifteen-letters"


def test_all_of_them_have_room_however_much_is_wrong() -> None:
    conditions = Conditions()
    conditions.set_announceable([Fault(Reason.NoEligibleNode, "x" * 2000)] * 9, NOW)
    conditions.set_endpoints_placed(LONG_IPV6 * 40, NOW)
    held = [KernelHolding(address, NAME, NAME) for address in LONG_IPV6]
    others = [KernelHolding("192.0.2.1", interface, "eth0") for interface in (NAME[::-1], "kube-ipvs0", "lo")]
    conditions.set_kernel([*held, *others], NOW)
    conditions.set_recorded(["x" * 2000] * 9, NOW)
    conditions.set_members_heard("x" * 2000, set(), [], NOW)
    told = conditions.to_wire()
    assert len(told) == 5
    assert within(told, ONCE["conditions"]) == told
