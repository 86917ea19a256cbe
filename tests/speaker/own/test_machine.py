"""Which machine it is: the same one is known again after a reboot, and another one is never taken for it."""

import pytest

from kube.objects import NodeSystemInfo
from speaker.own.machine import is_same_machine, machine_text

BOOT, REBOOTED, OTHER = "b" * 36, "c" * 36, "d" * 36


def told(boot_id: str = BOOT, machine_id: str = "m1", system_uuid: str = "s1") -> NodeSystemInfo:
    return NodeSystemInfo(machine_id, system_uuid, boot_id)


def test_a_process_that_starts_again_is_on_the_same_machine() -> None:
    one = machine_text(BOOT, told())
    assert len(one) <= 64
    assert is_same_machine(one, machine_text(BOOT, told()))
    assert is_same_machine(one, machine_text(BOOT, NodeSystemInfo()))


def test_a_machine_that_was_rebooted_is_the_same_by_what_its_kubelet_says() -> None:
    assert is_same_machine(machine_text(BOOT, told()), machine_text(REBOOTED, told(REBOOTED)))


@pytest.mark.parametrize("info", [told(OTHER, "m2"), told(OTHER, "m1", "s2")])
def test_another_machine_is_another_one_also_a_clone_with_the_same_machine_id(info) -> None:
    assert not is_same_machine(machine_text(BOOT, told()), machine_text(OTHER, info))


def test_what_another_machines_kubelet_wrote_into_the_node_does_not_count() -> None:
    """Both write into the Node of that name, one after the other."""
    assert machine_text(BOOT, told(OTHER, "m2", "s2")) == BOOT
    assert not is_same_machine(
        machine_text(BOOT, told(OTHER, "m2", "s2")), machine_text(OTHER, told(OTHER, "m2", "s2"))
    )


def test_without_any_knowledge_all_are_the_same_and_with_it_none_that_says_nothing() -> None:
    assert is_same_machine("", "")
    assert not is_same_machine("", BOOT)
    assert machine_text("", told("")) == ""
