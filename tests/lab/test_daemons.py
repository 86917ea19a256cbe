"""A router's daemons are started one after the other, each as soon as the one before it answers."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lab.process import Process, ProcessDied
from lab.routers.daemons import Site
from lab.routers.frr import FrrDaemons

pytestmark = pytest.mark.lab

SLEEPS, ENDS = "import time; time.sleep(99)", "pass"


@dataclass(frozen=True)
class SlowSite(Site):
    """A site whose daemons are programs of the test; each answers when it is asked for the second time, or never."""

    asked: list[str] = field(default_factory=list)
    mute: set[str] = field(default_factory=set)

    def run(self, *command: str, stdin: str | None = None, check: bool = True) -> str:
        if command[0] != "vtysh":
            return ""
        self.asked.append(command[4])
        return "FRRouting" if command[4] not in self.mute and self.asked.count(command[4]) % 2 == 0 else ""


class Programs(FrrDaemons):
    """FRR's daemons with the code given for each as their program."""

    code: dict[str, str]

    def _command(self, name: str) -> list[str]:
        return [sys.executable, "-c", self.code[name]]


@pytest.fixture
def daemons(tmp_path: Path) -> Iterator[Programs]:
    def start(name: str, command: Sequence[str]) -> Process:
        process = Process(name, command, log_path=tmp_path / f"{name}.log")
        process.start()
        return process

    with Programs(SlowSite("router", tmp_path, (), start), str(tmp_path)) as made:
        made.code = {"zebra": SLEEPS, "bgpd": SLEEPS}
        yield made


def test_daemons_that_were_killed_start_again_however_long_the_first_takes_to_answer(daemons: Programs) -> None:
    daemons.start({"zebra": "", "bgpd": ""})
    daemons.kill()
    daemons.start({"zebra": "", "bgpd": ""})
    daemons.require_running()


def test_a_daemon_that_ends_while_it_starts_is_told_at_once(daemons: Programs) -> None:
    daemons.code["bgpd"] = ENDS
    assert isinstance(daemons.site, SlowSite)
    daemons.site.mute.add("bgpd")
    with pytest.raises(ProcessDied, match="router-bgpd"):
        daemons.start({"zebra": "", "bgpd": ""})
