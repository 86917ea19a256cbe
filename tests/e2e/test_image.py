"""Berth from its container image: as `make image` builds it, with the users, rights and files that the chart gives.

The same cluster is then upgraded: from the former release, where BERTH_PREVIOUS_IMAGE names its image archive, and
else from the same programs under another version number.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path

import pytest

from lab.client import LabClient
from lab.cluster import Cluster, Settings
from lab.demo.narrator import Narrator
from lab.demo.story import Story
from lab.kubelet.image import Image
from lab.poller import AddressPoller
from tests.e2e.conftest import brought_up

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.slow]

ROOT = Path(__file__).parent.parent.parent
PREVIOUS = "BERTH_PREVIOUS_IMAGE"
FORMER = "0.0.1"
BUILD_SECONDS = 600


@pytest.fixture(scope="module")
def archive() -> Path:
    """What `make test` builds beside the tests; waits for it, or builds it. Commits with the same code share it."""
    archive = ROOT / "build/image/tests.tar"
    built = subprocess.run(
        [sys.executable, ROOT / "tools/image", f"--archive={archive}"],
        env={**os.environ, "SOURCE_DATE_EPOCH": "0"},
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    return archive


def version_of(image: Image) -> Path:
    (about,) = (image.root / "opt/berth/lib").glob("berth-*.dist-info/METADATA")
    return about


@pytest.fixture(scope="module")
def former(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Runs what an upgrade starts from."""
    with brought_up(Settings(tmp_path_factory.mktemp("image"), name="image", with_berth=False)) as up:
        image = up.use_image(Path(os.environ.get(PREVIOUS, archive)))
        if PREVIOUS not in os.environ:
            about = version_of(image)
            about.write_text("".join(f"Version: {FORMER}\n" if line.startswith("Version:") else line
                                     for line in about.read_text().splitlines(keepends=True)))  # fmt: skip
        up.install_berth()
        up.start_berth()
        yield up


def told(cluster: Cluster) -> Story:
    """The demo, until a client gets an answer."""
    story = Story(cluster, Narrator())
    cluster.record_segment()
    story.berth_is_ready()
    story.pool_and_advertisement()
    story.service_gets_an_address()
    story.client_reaches_it()
    return story


def status(pid: int) -> dict[str, str]:
    return dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())


def versions(lab: LabClient, version: str) -> list[str]:
    """The nodes whose speakers say that they are of it."""
    sample = f'berth_build_info{{component="speaker",version="{version}"}}'
    return [node.name for node in lab.cluster.topology.nodes if lab.metric(node.name, sample)]


def test_the_demo_holds_and_an_upgrade_under_traffic_leaves_no_request_unanswered(
    former: Cluster, archive: Path
) -> None:
    """Speakers of the former version serve with allocators of this one, and are replaced node by node."""
    lab = LabClient(former)
    with chdir(former.settings.directory):
        story = told(former)
    nodes = [node.name for node in former.topology.nodes]
    if PREVIOUS not in os.environ:
        assert versions(lab, FORMER) == nodes
    image = former.use_image(archive)
    (line,) = (one for one in version_of(image).read_text().splitlines() if one.startswith("Version:"))
    with AddressPoller(former, story.vip.address, interval_seconds=0.02) as poller:
        former.install_berth()
        for index in (1, 2):
            former.allocator(index).stop()
            former.start_allocator(index)
        lab.service("during")
        (given,) = lab.addresses("during")
        lab.until("speakers of the former version announce what the new allocator gives", lambda: lab.announcer(given))
        for node in nodes:
            former.speaker(node).stop()
            former.start_speaker(node)
            lab.all_serve(timeout_seconds=40)
    assert len(poller.requests) > 100
    assert poller.unanswered() == []
    assert versions(lab, line.removeprefix("Version: ")) == nodes
    assert lab.addresses("during") == [given]


def test_the_charts_hooks_do_their_work_from_the_image_with_the_rights_of_their_pods(former: Cluster) -> None:
    """`helm test`, and what keeps `helm uninstall` from leaving Services behind."""
    lab = LabClient(former)
    lab.service("held")
    lab.addresses("held")
    code, said = former.run_hook("Pod", "test", timeout_seconds=100)
    assert code == 0, said
    code, said = former.run_hook("Job", "uninstall")
    assert code != 0
    assert "svc/default/held" in said
    assert "berth uninstall --release" in said


@pytest.mark.parametrize(("name", "user"), [("allocator-1", "65532"), ("speaker-node1", "0")])
def test_programs_have_the_charts_user_and_rights_and_can_write_nothing(former: Cluster, name: str, user: str) -> None:
    pid = former.processes[name].pid
    assert status(pid)["Uid"].split() == [user] * 4
    assert status(pid)["NoNewPrivs"].strip() == "1"
    assert (status(pid)["CapEff"].strip() == "0" * 16) == (user != "0")
    inside = Path(f"/proc/{pid}/root")
    assert "ro" in next(
        line.split()[3].split(",") for line in Path(f"/proc/{pid}/mounts").read_text().splitlines() if " / " in line
    )
    assert {path.name for path in (inside / "usr/bin").iterdir()} == {
        "cat",
        "dash",
        "sh",
        "python",
        "python3",
        "python3.11",
    }


def test_the_image_has_no_more_than_it_may(former: Cluster, archive: Path) -> None:
    """90 MB above the base's Python, uncompressed; and no library for tests."""
    added = former.settings.directory / "images/0/opt/berth"
    assert sum(path.stat().st_size for path in added.rglob("*") if path.is_file()) < 90e6
    assert not [name for name in ("scapy", "pip", "requests", "lab", "tests") if (added / "lib" / name).exists()]


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["/opt/berth/bin/berth", "--help"], "explain"),
        (["/bin/sh", "-c", "exec cat /etc/passwd"], "65532"),
        (["python", "-m", "exabgp", "--help"], "exabgp"),
    ],
    ids=["berth", "sh", "exabgp"],
)
def test_what_the_programs_start_is_in_it(former: Cluster, command: list[str], said: str) -> None:
    root = former.settings.directory / "images/0"
    environment = {"PYTHONPATH": "/opt/berth/lib", "PATH": "/usr/sbin:/usr/bin"}
    done = subprocess.run(["chroot", root, *command], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert said in done.stdout
