"""`berth check`: what is amiss in a cluster or in files, with codes."""

import argparse
import asyncio
import json
from pathlib import Path
from typing import cast

import pytest
import yaml

from cli.__main__ import main
from cli.check.codes import Code
from cli.check.command import checked, errors
from cli.check.read import CONFIG_MAPS, _version, check_cluster
from cli.check.rules import LEAST_KUBERNETES, Platform, of_platform
from cli.failure import Failed
from cli.waiting import seconds
from cli.workloads import DAEMON_SETS, DEPLOYMENTS
from crds.names import ALLOCATOR_LEASE
from kube.io.client import Client
from kube.resource import IPPOOLS, L2ADVERTISEMENTS, NODES, SPEAKERREPORTS, SPEAKERS
from lab.apiserver.server import ApiServer
from lab.chart import CHART
from tests.cli.setups import BERTH, BINDINGS, EXCLUDE, NODES_THERE, ROLES, Setup

PAGE = Path(__file__).parent.parent.parent / "docs" / "checks.md"


def test_each_code_has_a_section_and_each_section_a_code() -> None:
    sections = [line[3:12] for line in PAGE.read_text().splitlines() if line.startswith("## BERTH")]
    assert sections == [code.number for code in Code]


class TestFiles:
    def check(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], *objects: dict[str, object]
    ) -> tuple[int, list[str]]:
        path = tmp_path / "objects.yaml"
        path.write_text(yaml.safe_dump_all({"apiVersion": "berth.dev/v1beta1", **one} for one in objects))
        code = main(["check", "--output=json", "--files", str(path)])
        return code, [one["code"] for one in json.loads(capsys.readouterr().out)]

    def pool(self, name: str, *addresses: str) -> dict[str, object]:
        return {"kind": "IPPool", "metadata": {"name": name}, "spec": {"addresses": list(addresses)}}

    def ad(self, **spec: object) -> dict[str, object]:
        return {"kind": "L2Advertisement", "metadata": {"name": "lan"}, "spec": spec}

    def test_what_fits_together(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert self.check(tmp_path, capsys, self.pool("edge", "192.0.2.0/24"), self.ad()) == (0, [])

    def test_pools_that_overlap_warn(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        two = (self.pool("a", "192.0.2.0/24"), self.pool("b", "192.0.2.128/25"))
        code, found = self.check(tmp_path, capsys, *two, self.ad())
        assert code in (0, 1)
        assert "BERTH0302" in found

    def test_a_pool_that_nobody_announces_warns(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert self.check(tmp_path, capsys, self.pool("edge", "192.0.2.0/24")) == (0, ["BERTH0304"])

    def test_a_name_that_is_not_there_is_an_error(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        objects = (self.pool("edge", "192.0.2.0/24"), self.ad(ipPools=["edge", "nosuch"]))
        assert self.check(tmp_path, capsys, *objects) == (1, ["BERTH0401"])

    def test_what_does_not_decode_is_an_error(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert self.check(tmp_path, capsys, self.ad(interfaces=7)) == (1, ["BERTH0701"])

    def test_an_object_without_metadata_is_an_error(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert self.check(tmp_path, capsys, {"kind": "IPPool", "metadata": "edge"}) == (1, ["BERTH0701"])

    def test_a_file_that_is_nested_too_deeply_is_one_line(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path = tmp_path / "deep.yaml"
        path.write_text("[" * 5000 + "]" * 5000)
        assert main(["check", "-f", str(path)]) == 2
        assert capsys.readouterr().err == f"berth: {path} can't be read: it is nested too deeply\n"

    def test_a_file_that_is_not_there_is_one_line(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["check", "-f", "/nosuch.yaml"]) == 2
        assert capsys.readouterr().err.startswith("berth: /nosuch.yaml can't be read")


@pytest.mark.parametrize(
    ("text", "is_told"),
    [
        ("mode: ipvs\nipvs:\n  strictARP: false\n", True),
        ('mode: "ipvs"\n', True),
        ("mode: ipvs\nipvs:\n  strictARP: true\n", False),
        ("mode: nftables\n", False),
        ("", False),
    ],
)
def test_ipvs_without_strict_arp(text: str, is_told: bool) -> None:
    assert [one.code for one in of_platform(Platform(text))] == [Code.IPVS] * is_told


@pytest.mark.parametrize(
    ("version", "is_told"),
    [("1.30", True), ("1.9", True), ("1.31", False), ("2.0", False), ("", False), ("x.y", False)],
)
def test_an_api_server_that_does_not_take_our_definitions(version: str, is_told: bool) -> None:
    assert [one.code for one in of_platform(Platform(kubernetes=version))] == [Code.KUBERNETES] * is_told


@pytest.mark.parametrize(
    ("told", "version"), [(b'{"major": "1", "minor": "30+"}', "1.30"), (b"{}", ""), (b"[]", ""), (b"none", "")]
)
def test_the_version_is_what_the_api_server_says(told: bytes, version: str) -> None:
    class Server:
        async def fetch(self, path: str, *, most: int) -> bytes:
            return told[:most] if path == "/version" else b""

    assert asyncio.run(_version(cast("Client", Server()))) == version


def test_the_chart_asks_for_the_same_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["kubeVersion"] == f">={'.'.join(map(str, LEAST_KUBERNETES))}.0-0"


async def codes(setup: Setup, *, is_before: bool = False) -> list[Code]:
    found = await check_cluster(setup.client, BERTH, is_before=is_before)
    return [one.code for one in found if one.code is not Code.NODE_ADDRESSES]


@pytest.mark.slow
@pytest.mark.asyncio(loop_scope="module")
class TestCluster:
    async def test_nothing_is_amiss(self, setup: Setup) -> None:
        assert await codes(setup) == []

    async def test_nodes_that_are_all_excluded(self, setup: Setup) -> None:
        for node in NODES_THERE:
            await setup.client.merge_patch(NODES, node, {"metadata": {"labels": {EXCLUDE: ""}}})
        assert await codes(setup, is_before=True) == [Code.ALL_EXCLUDED]

    async def test_nodes_that_are_all_excluded_and_whose_speakers_ignore_it(self, setup: Setup) -> None:
        for node in NODES_THERE:
            await setup.client.merge_patch(NODES, node, {"metadata": {"labels": {EXCLUDE: ""}}})
        for node in NODES_THERE[1:]:
            await setup.status(SPEAKERS, node, {"ignoresExcludeLabel": True})
        assert Code.ALL_EXCLUDED not in await codes(setup)

    async def test_a_right_that_is_missing(self, setup: Setup) -> None:
        await setup.client.delete(BINDINGS, "berth-speaker")
        await setup.client.delete(ROLES, "berth-speaker")
        assert await codes(setup) == [Code.RIGHTS]

    async def test_a_right_that_secure_metrics_need(self, setup: Setup) -> None:
        container = {"name": "speaker", "image": "berth", "args": ["--metrics-secure"]}
        template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [container]}}
        spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
        labels = {"app.kubernetes.io/component": "speaker"}
        body = {"metadata": {"name": "berth-speaker", "labels": labels}, "spec": spec}
        await setup.client.create(DAEMON_SETS, body, namespace=BERTH)
        (found,) = [one for one in await check_cluster(setup.client, BERTH, is_before=False) if one.code is Code.RIGHTS]
        assert found.message == "it may not create tokenreviews, create subjectaccessreviews"
        assert found.about == "ServiceAccount/berth-speaker"
        await setup.client.delete(DAEMON_SETS, "berth-speaker", namespace=BERTH)

    async def test_a_right_of_an_account_and_a_release_with_other_names(self, setup: Setup) -> None:
        labels = {"app.kubernetes.io/component": "speaker"}
        template = {
            "metadata": {"labels": labels},
            "spec": {"serviceAccountName": "announcer", "containers": [{"name": "speaker", "image": "berth"}]},
        }
        spec = {"selector": {"matchLabels": labels}, "template": template}
        body = {"metadata": {"name": "edge-speaker", "labels": labels}, "spec": spec}
        await setup.client.create(DAEMON_SETS, body, namespace=BERTH)
        try:
            found = [one for one in await check_cluster(setup.client, BERTH, is_before=False)]
            assert [one.about for one in found if one.code is Code.RIGHTS] == ["ServiceAccount/announcer"]
            subjects = [{"kind": "ServiceAccount", "name": "announcer", "namespace": BERTH}]
            await setup.client.merge_patch(BINDINGS, "berth-speaker", {"subjects": subjects})
            assert await codes(setup) == []
        finally:
            await setup.client.delete(DAEMON_SETS, "edge-speaker", namespace=BERTH)

    async def test_a_cluster_without_a_pool(self, setup: Setup) -> None:
        await setup.client.delete(IPPOOLS, "edge")
        assert await codes(setup) == [Code.NO_POOL]

    async def test_where_another_program_announces_no_speaker_is_missed(self, setup: Setup) -> None:
        for node in NODES_THERE:
            await setup.client.delete(SPEAKERS, node)
            await setup.client.delete(SPEAKERREPORTS, f"{node}.0")
        assert await codes(setup) == [Code.SPEAKERS]
        labels = {"app.kubernetes.io/component": "allocator"}
        template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "a", "image": "a"}]}}
        body = {
            "metadata": {"name": "berth-allocator", "labels": labels},
            "spec": {"selector": {"matchLabels": labels}, "template": template},
        }
        await setup.client.create(DEPLOYMENTS, body, BERTH)
        try:
            assert await codes(setup) == []
            told = await setup.explain()
        finally:
            await setup.client.delete(DEPLOYMENTS, "berth-allocator", namespace=BERTH)
        assert (told.causes, [one.reason for one in told.notes]) == ([], ["AnnouncedByOthers"])

    async def test_no_allocator_is_no_fault_before_the_installation(self, setup: Setup) -> None:
        await setup.lease(ALLOCATOR_LEASE, age=90)
        assert await codes(setup) == [Code.ALLOCATOR]
        assert await codes(setup, is_before=True) == []

    async def test_a_pool_that_nothing_covers_and_an_advertisement_for_no_node(self, setup: Setup) -> None:
        await setup.spec(L2ADVERTISEMENTS, "lan", {"ipPools": ["edge"], "nodeSelector": {"matchLabels": {"a": "b"}}})
        await setup.client.create(IPPOOLS, {"metadata": {"name": "two"}, "spec": {"addresses": ["198.51.100.0/24"]}})
        assert await codes(setup) == [Code.NOT_ADVERTISED, Code.SELECTS_NO_NODE]

    async def test_an_advertisement_of_which_a_part_does_nothing(self, setup: Setup) -> None:
        said = {"reason": "UnknownCommunity", "message": "no Community defines blue", "status": "True"}
        degraded = {"type": "Degraded", "lastTransitionTime": "2026-01-02T03:04:05Z", **said}
        await setup.status(L2ADVERTISEMENTS, "lan", {"conditions": [degraded]})
        assert await codes(setup) == [Code.NOT_IN_USE]

    async def test_kube_proxy_in_ipvs_mode(self, setup: Setup) -> None:
        body = {"metadata": {"name": "kube-proxy"}, "data": {"config.conf": "mode: ipvs\n"}}
        await setup.client.create(CONFIG_MAPS, body, "kube-system")
        try:
            assert await codes(setup) == [Code.IPVS]
        finally:
            await setup.client.delete(CONFIG_MAPS, "kube-proxy", namespace="kube-system")

    async def test_before_the_installation_nodes_are_checked_without_definitions(self, tmp_path: Path) -> None:
        async with (
            ApiServer(tmp_path) as bare,
            await Client.connect(str(bare.kubeconfig_path), user_agent="test") as client,
        ):
            await client.create(NODES, {"metadata": {"name": "node1", "labels": {EXCLUDE: ""}}})
            assert await codes(Setup(client), is_before=True) == [Code.ALL_EXCLUDED]


@pytest.mark.slow
@pytest.mark.asyncio(loop_scope="module")
class TestWait:
    async def test_it_ends_when_the_errors_have_gone(self, setup: Setup, capsys: pytest.CaptureFixture[str]) -> None:
        await setup.lease(ALLOCATOR_LEASE, age=90)

        async def mend() -> None:
            while "BERTH0103" not in capsys.readouterr().err:
                await asyncio.sleep(0.05)
            await setup.lease(ALLOCATOR_LEASE)

        async with asyncio.TaskGroup() as group:
            group.create_task(mend())
            found = group.create_task(checked(setup.client, BERTH, False, 60.0))
        assert errors(found.result()) == []

    async def test_when_the_time_is_over_it_shows_what_is_left(self, setup: Setup) -> None:
        await setup.lease(ALLOCATOR_LEASE, age=90)
        assert [one.code for one in errors(await checked(setup.client, BERTH, False, 0.0))] == [Code.ALLOCATOR]

    async def test_an_api_server_that_never_answers_is_one_line(self, tmp_path: Path) -> None:
        async with ApiServer(tmp_path) as gone:
            path = str(gone.kubeconfig_path)
        async with await Client.connect(path, user_agent="test") as client:
            with pytest.raises(Failed, match="does not answer"):
                await checked(client, BERTH, False, 0.0)

    async def test_what_was_found_before_the_api_server_went_away_is_not_the_last_word(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        async with ApiServer(tmp_path) as server:
            client = await Client.connect(str(server.kubeconfig_path), user_agent="test")
            waiting = asyncio.create_task(checked(client, BERTH, False, 4.0))
            while "BERTH0101" not in capsys.readouterr().err:
                await asyncio.sleep(0.05)
        async with client:
            with pytest.raises(Failed, match="does not answer"):
                await waiting


def test_files_are_not_waited_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--wait", "-f", "pools.yaml"]) == 2
    assert capsys.readouterr().err.startswith("berth: --wait asks a cluster")


@pytest.mark.parametrize(("text", "is_so_long"), [("90", 90.0), ("90s", 90.0), ("5m", 300.0), ("1h", 3600.0)])
def test_times_are_written_as_for_kubectl(text: str, is_so_long: float) -> None:
    assert seconds(text) == is_so_long


@pytest.mark.parametrize("text", ["", "soon", "-1s", "1d", "99999999s"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="write 90s"):
        seconds(text)
