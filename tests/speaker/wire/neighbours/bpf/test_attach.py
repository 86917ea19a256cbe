"""Programs at the ingress of real interfaces: beside those of others, through what happens to interfaces, and after a
process that was killed."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import pytest

from lab.net.segment import Host, Segment
from speaker.wire.neighbours.bpf import filters
from speaker.wire.neighbours.bpf.io.attach import (
    AttachError,
    Attachment,
    attach,
    attach_clsact,
    attach_tcx,
    remove_leftovers,
)
from tests.speaker.wire.neighbours.bpf.beside import ACCEPT, MOST_LINKS, Counting, Ingress

pytestmark = pytest.mark.root

Attach = Callable[[int, int], Attachment]
both_ways = pytest.mark.parametrize("way", [attach_tcx, attach_clsact])
CILIUM_PRIORITY = 1
BEFORE = 1 << 3


@pytest.fixture
def ingress(segment: Segment) -> Iterator[Ingress]:
    """Of the first host's eth0; the second host sends."""
    with ExitStack() as stack:
        yield Ingress(segment.hosts[0], segment.hosts[1], stack)


def on(ingress: Ingress, way: Attach, program: Counting) -> Attachment:
    with ingress.host.entered():
        return way(program.descriptor, ingress.index)


def is_in_place(ingress: Ingress, attachment: Attachment) -> bool:
    with ingress.host.entered():
        return attachment.is_in_place()


def close(ingress: Ingress, attachment: Attachment) -> None:
    with ingress.host.entered():
        attachment.close()


# --- beside others


def test_where_the_kernel_has_tcx_that_is_how(ingress: Ingress) -> None:
    ours = ingress.program()
    attachment = on(ingress, attach, ours)
    assert attachment.how == "tcx"
    assert ingress.meets(ours)
    close(ingress, attachment)
    assert not is_in_place(ingress, attachment)
    close(ingress, attachment)
    before = ours.seen
    ingress._sender.send(ingress._frame)
    assert ours.seen == before


def test_by_tcx_programs_before_and_after_ours_and_filters_see_the_frames_too(ingress: Ingress) -> None:
    before, ours, after, filtering = (ingress.program() for _ in range(4))
    ingress.filter(filtering, CILIUM_PRIORITY)
    with ingress.link(after), closing(on(ingress, attach_tcx, ours)), ingress.link(before, BEFORE):
        assert ingress.meets(before, ours, after, filtering)
    assert ingress.meets(filtering)
    assert ingress.names() == ["other-1"]


def test_by_tcx_ours_stands_before_one_that_lets_no_other_see(ingress: Ingress) -> None:
    """As Cilium's does, whichever came first."""
    ours, ending = ingress.program(), ingress.program(ACCEPT)
    with ingress.link(ending), closing(on(ingress, attach_tcx, ours)):
        assert ingress.meets(ours, ending)
    with closing(on(ingress, attach_tcx, ours)), ingress.link(ending):
        assert ingress.meets(ours, ending)


def test_by_clsact_ours_stands_before_one_that_lets_no_other_see(ingress: Ingress) -> None:
    """Also at the highest priority, as Cilium's has it: they share it."""
    ours, ending = ingress.program(), ingress.program(ACCEPT)
    ingress.filter(ending, CILIUM_PRIORITY)
    attachment = on(ingress, attach_clsact, ours)
    assert attachment.how == "clsact"
    assert is_in_place(ingress, attachment)
    assert ingress.names() == [filters.NAME, "other-1"]
    assert ingress.meets(ours, ending)
    close(ingress, attachment)
    assert not is_in_place(ingress, attachment)
    assert ingress.names() == ["other-1"]
    assert ingress.meets(ending)


def test_by_clsact_one_that_comes_before_ours_later_is_told_by_looking(ingress: Ingress) -> None:
    ours, ending, after = ingress.program(), ingress.program(ACCEPT), ingress.program()
    attachment = on(ingress, attach_clsact, ours)
    ingress.filter(after, 0xC000)
    assert is_in_place(ingress, attachment)
    assert ingress.meets(ours, after)
    ingress.filter(ending, CILIUM_PRIORITY)
    assert not is_in_place(ingress, attachment)
    close(ingress, attachment)
    again = on(ingress, attach_clsact, ours)
    assert is_in_place(ingress, again)
    assert ingress.meets(ours, ending)
    close(ingress, again)
    assert ingress.names() == ["other-1", "other-49152"]


def test_a_loader_that_leaves_the_priority_to_the_kernel_comes_after_ours(ingress: Ingress) -> None:
    """As Calico does."""
    ours, other = ingress.program(), ingress.program(ACCEPT)
    attachment = on(ingress, attach_clsact, ours)
    ingress.filter(other, 0)
    assert ingress.names() == [filters.NAME_WITH_CLSACT, "other-0"]
    assert is_in_place(ingress, attachment)
    assert ingress.meets(ours, other)
    close(ingress, attachment)


def test_ours_stands_after_a_filter_that_nothing_may_be_before(ingress: Ingress) -> None:
    ours = ingress.program()
    ingress.host.run(*["tc", "qdisc", "add", "dev", "eth0", "clsact"])
    ingress.host.run(
        *[
            "tc",
            "filter",
            "add",
            "dev",
            "eth0",
            "ingress",
            "prio",
            "1",
            "protocol",
            "ip",
            "u32",
            "match",
            "u32",
            "0",
            "0",
            "flowid",
            "1:1",
        ]
    )
    attachment = on(ingress, attach_clsact, ours)
    assert is_in_place(ingress, attachment)
    assert ingress.meets(ours)
    close(ingress, attachment)


def test_several_of_ours_are_apart_from_each_other(ingress: Ingress) -> None:
    first, second = ingress.program(), ingress.program()
    one, other = on(ingress, attach_clsact, first), on(ingress, attach_clsact, second)
    assert ingress.meets(first, second)
    close(ingress, one)
    assert ingress.meets(second)
    assert is_in_place(ingress, other)
    close(ingress, other)


def test_where_tcx_is_full_ours_goes_to_clsact(ingress: Ingress) -> None:
    """And so it does on an older kernel."""
    ours, other = ingress.program(), [ingress.program() for _ in range(MOST_LINKS)]
    with ExitStack() as stack:
        for one in other:
            stack.enter_context(ingress.link(one))
        attachment = on(ingress, attach, ours)
        assert attachment.how == "clsact"
        assert ingress.meets(ours, *other)
        close(ingress, attachment)


# --- the queueing discipline


def test_clsact_that_was_made_for_ours_goes_with_it(ingress: Ingress) -> None:
    attachment = on(ingress, attach_clsact, ingress.program())
    assert "clsact" in ingress.qdiscs()
    close(ingress, attachment)
    assert "clsact" not in ingress.qdiscs()


def test_of_several_of_ours_the_last_one_takes_clsact_away(ingress: Ingress) -> None:
    first, second = (on(ingress, attach_clsact, ingress.program()) for _ in range(2))
    close(ingress, first)
    assert "clsact" in ingress.qdiscs()
    close(ingress, second)
    assert "clsact" not in ingress.qdiscs()


def test_clsact_that_was_there_stays(ingress: Ingress) -> None:
    ingress.host.run(*["tc", "qdisc", "add", "dev", "eth0", "clsact"])
    close(ingress, on(ingress, attach_clsact, ingress.program()))
    assert "clsact" in ingress.qdiscs()


@pytest.mark.parametrize("parent", [filters.INGRESS, filters.EGRESS])
def test_clsact_stays_with_the_filters_that_others_put_on_it_meanwhile(ingress: Ingress, parent: int) -> None:
    attachment = on(ingress, attach_clsact, ingress.program())
    other = ingress.program()
    ingress.filter(other, 7, parent=parent)
    close(ingress, attachment)
    assert "clsact" in ingress.qdiscs()
    assert parent == filters.EGRESS or ingress.meets(other)


def test_the_older_discipline_ingress_is_used_where_that_is_there(ingress: Ingress) -> None:
    ingress.host.run(*["tc", "qdisc", "add", "dev", "eth0", "ingress"])
    ours = ingress.program()
    attachment = on(ingress, attach_clsact, ours)
    assert is_in_place(ingress, attachment)
    assert ingress.meets(ours)
    close(ingress, attachment)
    assert "qdisc ingress" in ingress.qdiscs()


# --- a process that is killed

KILLED = """
import os, sys, time
from speaker.wire.neighbours.bpf.assembler import PASS_ALL, assemble
from speaker.wire.neighbours.bpf.io import attach, calls
program = calls.load_program(assemble(PASS_ALL), name="killed")
held = getattr(attach, sys.argv[1])(program, int(sys.argv[2]))
print(held.how, flush=True)
time.sleep(60)
"""


def killed(ingress: Ingress, way: str) -> None:
    command = [*ingress.host.prefix, sys.executable, "-c", KILLED, way, str(ingress.index)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() in ("tcx", "clsact")
        process.send_signal(signal.SIGKILL)


def test_by_tcx_nothing_is_left_of_a_process_that_was_killed(ingress: Ingress) -> None:
    killed(ingress, "attach_tcx")
    others = [ingress.program() for _ in range(MOST_LINKS)]
    with ExitStack() as stack:
        for one in others:  # all places are free
            stack.enter_context(ingress.link(one))
        with pytest.raises(AttachError, match="as many programs as there may be"):
            on(ingress, attach_tcx, ingress.program())


def test_what_a_killed_process_left_at_clsact_is_taken_away_and_nobody_elses(ingress: Ingress) -> None:
    other, ours = ingress.program(), ingress.program()
    killed(ingress, "attach_clsact")
    killed(ingress, "attach_clsact")
    ingress.filter(other, CILIUM_PRIORITY)
    with ingress.host.entered():
        assert remove_leftovers(ingress.index) == 2
        assert remove_leftovers(ingress.index) == 0
    assert ingress.names() == ["other-1"]
    attachment = on(ingress, attach_clsact, ours)
    assert ingress.meets(ours, other)
    close(ingress, attachment)


def test_clsact_that_a_killed_process_made_goes_with_what_it_left(ingress: Ingress) -> None:
    with ingress.host.entered():
        assert remove_leftovers(ingress.index) == 0
    killed(ingress, "attach_clsact")
    with ingress.host.entered():
        assert remove_leftovers(ingress.index) == 1
    assert "clsact" not in ingress.qdiscs()


# --- what happens to interfaces


@both_ways
def test_an_interface_that_goes_down_is_renamed_or_gets_another_mac_keeps_the_program(
    ingress: Ingress, way: Attach
) -> None:
    ours = ingress.program()
    attachment = on(ingress, way, ours)
    for line in ("down", "name eth7", "address 02:00:00:00:07:07", "up"):
        name = "eth7" if "eth7" in ingress.host.run("ip", "link") else "eth0"
        ingress.host.run("ip", "link", "set", name, *line.split())
        assert is_in_place(ingress, attachment)
    assert _soon(lambda: ingress.meets(ours))
    close(ingress, attachment)


@both_ways
def test_a_port_of_a_bridge_still_shows_its_frames_and_so_does_the_bridge(ingress: Ingress, way: Attach) -> None:
    """A port's program is asked before the bridge gets the frame: who leaves the port has to take the program away."""
    at_port, at_bridge = ingress.program(), ingress.program()
    attachment = on(ingress, way, at_port)
    for line in ("link add br7 type bridge", "link set eth0 master br7", "link set br7 up"):
        ingress.host.run("ip", *line.split())
    with ingress.host.entered():
        other = way(at_bridge.descriptor, socket.if_nametoindex("br7"))
    assert is_in_place(ingress, attachment)
    assert _soon(lambda: ingress.meets(at_port, at_bridge))
    ingress.host.run("ip", "link", "set", "eth0", "nomaster")
    assert ingress.meets(at_port)
    for one in (attachment, other):
        close(ingress, one)


@both_ways
def test_an_interface_that_went_and_came_again_has_no_program_also_with_the_same_index(
    ingress: Ingress, segment: Segment, way: Attach
) -> None:
    ours = ingress.program()
    attachment = on(ingress, way, ours)
    ingress.host.run("ip", "link", "delete", "eth0")
    assert not is_in_place(ingress, attachment)
    ingress.host.run(*f"ip link add eth0 index {ingress.index} type veth peer name peer".split())
    assert not is_in_place(ingress, attachment)
    close(ingress, attachment)
    again = on(ingress, way, ours)
    assert is_in_place(ingress, again)
    close(ingress, again)


def test_an_interface_that_moves_to_another_namespace_has_no_program_once_it_is_closed(
    ingress: Ingress, segment: Segment
) -> None:
    """As a card that is given to a pod. The link goes with it, where a filter does not; Ports closes what is gone."""
    ours, pod = ingress.program(), segment.hosts[2]
    attachment = on(ingress, attach_tcx, ours)
    ingress.host.run("ip", "link", "set", "eth0", "netns", pod.path, "name", "net1")
    close(ingress, attachment)
    pod.run("ip", "link", "set", "net1", "up")
    ingress._sender.send(ingress._frame)
    assert ours.seen == 0
    assert "clsact" not in pod.run("tc", "qdisc", "show", "dev", "net1")


def test_no_interface_no_program(ingress: Ingress) -> None:
    for way in (attach, attach_tcx, attach_clsact):
        with pytest.raises(AttachError, match=r"\(ENODEV\): the interface is gone"):
            on_index(ingress.host, way, ingress.program(), 4711)
    with ingress.host.entered():
        assert remove_leftovers(4711) == 0


def on_index(host: Host, way: Attach, program: Counting, index: int) -> Attachment:
    with host.entered():
        return way(program.descriptor, index)


def _soon(condition: Callable[[], bool], attempts: int = 10) -> bool:
    """A bridge, and a veth that came up, may take a moment until frames pass."""
    return any(condition() for _ in range(attempts))


# --- rights

TRIES = """
import sys
from speaker.wire.neighbours.bpf.io import attach, calls
from speaker.wire.neighbours.bpf.io.barrier import Barrier
from speaker.wire.neighbours.bpf.io.responder import Responder
interface = int(sys.argv[1])
try:
    barrier, responder = Barrier(), Responder()
    table = responder.new_table()
    print(responder.put(table, bytes(4), is_answered=True), responder.use(interface, bytes(6), table))
    for way in (attach.attach_tcx, attach.attach_clsact):
        held = way(responder.program, interface)
        print(held.how, held.is_in_place())
        held.close()
    print(attach.remove_leftovers(interface))
except (attach.AttachError, calls.BpfError) as error:
    print(error)
"""


def tried_with(ingress: Ingress, *capabilities: str) -> str:
    kept = ",".join(["-all", *(f"+{one}" for one in capabilities)])
    command = [*ingress.host.prefix, "setpriv", f"--bounding-set={kept}", f"--inh-caps={kept}", sys.executable]
    done = subprocess.run(
        [*command, "-c", TRIES, str(ingress.index)], capture_output=True, text=True, check=True, timeout=30
    )
    return done.stdout


def test_the_capabilities_that_the_chart_gives_are_enough_for_all_of_it(ingress: Ingress) -> None:
    said = tried_with(ingress, "bpf", "net_admin").split()
    assert said == ["True", "True", "tcx", "True", "clsact", "True", "0"]


def test_without_net_admin_nothing_is_attached_and_the_capability_is_named(ingress: Ingress) -> None:
    """The program is loaded beforehand, by a process that may."""
    script = (
        "import sys; from speaker.wire.neighbours.bpf.io import attach\n"
        "try: attach.attach_clsact(int(sys.argv[1]), int(sys.argv[2]))\n"
        "except attach.AttachError as error: print(error)"
    )
    program = ingress.program().descriptor
    os.set_inheritable(program, True)
    command = [*ingress.host.prefix, "setpriv", "--bounding-set=-all,+bpf", "--inh-caps=-all,+bpf", sys.executable]
    done = subprocess.run(
        [*command, "-c", script, str(program), str(ingress.index)],
        capture_output=True, text=True, check=True, timeout=30, pass_fds=[program],
    )  # fmt: skip
    assert "(EPERM): the speaker lacks the capability NET_ADMIN" in done.stdout
    assert "clsact" not in ingress.qdiscs()
