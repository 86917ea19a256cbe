"""A real Prometheus scrapes a whole lab by HTTPS, as the chart's ServiceMonitor says; dashboards and alerts ask it."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml

from lab.client import LabClient
from lab.cluster import NAMESPACE, Settings
from lab.net.hosts import CLIENT
from lab.net.netns import CommandFailed
from lab.routers.base import Bfd, RouterSettings
from tests.charts.promql import ALERTS, Expression, of_alerts, of_boards
from tests.charts.rendered import container_of, one, rendered
from tests.e2e import bgp
from tests.e2e.conftest import brought_up

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.slow]

READER = {"kind": "ServiceAccount", "name": "prometheus", "namespace": "default"}
VALUES = {
    **bgp.values(),
    "metrics": {"secure": True, "readers": [READER]},
    "serviceMonitor": {"enabled": True},
}
AT = "http://127.0.0.1:9090/api/v1/"
ASK = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=20).read().decode())"


class Prometheus:
    """On the lab's client. Its jobs are `berth`, and by their names those that may not scrape."""

    def __init__(self, lab: LabClient, directory: Path) -> None:
        self.lab, self.directory = lab, directory
        self.chart = rendered(VALUES, namespace=NAMESPACE)
        self.ports = {
            kind: next(port for port in container_of(one(self.chart, kind))["ports"] if port["name"] == "metrics")
            for kind in ("Deployment", "DaemonSet")
        }

    def start(self) -> None:
        rules = [{"record": f"asked:{name}", "expr": text} for name, text in self.asked().items()]
        (self.directory / "asked.yaml").write_text(yaml.safe_dump({"groups": [{"name": "asked", "rules": rules}]}))
        jobs = [self._job("berth", "prometheus"), self._job("stranger", "stranger"), self._job("nobody", None)]
        config = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(self.directory / "asked.yaml"), str(ALERTS)],
            "scrape_configs": jobs,
        }
        (self.directory / "prometheus.yaml").write_text(yaml.safe_dump(config))
        files = [f"--config.file={self.directory}/prometheus.yaml", f"--storage.tsdb.path={self.directory}/data"]
        self.lab.cluster.start("prometheus", CLIENT, ["prometheus", *files, "--web.listen-address=127.0.0.1:9090"])

    def asked(self) -> dict[str, str]:
        """All that is asked, by a name of its own: each expression, and whether each label is there."""
        found = {f"n{number}": each.text for number, each in enumerate(self.expressions())}
        for each in self.expressions():
            for metric, matchers in each.selectors():
                found |= {f"of:{metric}:{label}": f'count({metric}{{{label}!=""}})' for label in matchers}
        return found

    def expressions(self) -> list[Expression]:
        """Of the dashboards for node1's speaker, and of the alerts."""
        node = self.lab.cluster.topology.nodes[0]
        return [*of_boards(f"{node.ipv4}:{self.ports['DaemonSet']['containerPort']}"), *of_alerts()]

    def answers(self) -> dict[str, list[dict[str, str]]]:
        """The labels of each series that an expression gave, by its name."""
        found: dict[str, list[dict[str, str]]] = {}
        for series in self.ask("query?query=" + quote('{__name__=~"asked:.*"}'))["result"]:
            labels = series["metric"]
            found.setdefault(labels.pop("__name__"), []).append(labels)
        return found

    def scraped(self) -> set[str]:
        """The names of all that has series."""
        found = self.ask("query?query=" + quote('count by (__name__) ({job="berth"})'))["result"]
        return {series["metric"]["__name__"] for series in found}

    def targets(self, job: str) -> list[tuple[str, str]]:
        """Of each, its health and what was wrong."""
        found = self.ask("targets?state=active")["activeTargets"]
        return [(each["health"], each["lastError"]) for each in found if each["scrapePool"] == job]

    def has_rates(self) -> bool | None:
        """Whether each program has been scraped twice, and the expressions evaluated after that."""
        rates = quote('count(rate(process_cpu_seconds_total{job="berth"}[5m])) == 5')
        try:
            are_there = self.ask(f"query?query={rates}")["result"]
            processor = next(f"asked:n{at}" for at, one in enumerate(of_boards()) if one.where.endswith("Processor"))
            return bool(are_there and processor in self.answers()) or None
        except CommandFailed:
            return None  # it starts

    def ask(self, what: str) -> Any:
        """The data of an answer of the API."""
        return json.loads(self.lab.cluster.run(CLIENT, sys.executable, "-c", ASK, AT + what))["data"]

    def _job(self, name: str, account: str | None) -> dict[str, Any]:
        """What the operator makes of the ServiceMonitor, with the token of this account."""
        (endpoint,) = one(self.chart, "ServiceMonitor")["spec"]["endpoints"]
        assert endpoint["tlsConfig"] == {"insecureSkipVerify": True}
        job = {"job_name": name, "scheme": endpoint["scheme"], "tls_config": {"insecure_skip_verify": True}}
        if account is not None:
            self.lab.kubectl("create", "serviceaccount", account)
            token = self.directory / account
            token.write_text(self.lab.kubectl("create", "token", account))
            job["authorization"] = {"credentials_file": str(token)}
        nodes = self.lab.cluster.topology.nodes
        where = {"Deployment": nodes[:2], "DaemonSet": nodes}
        targets = [
            {"targets": [f"{node.ipv4}:{self.ports[kind]['containerPort']}"], "labels": {"pod": f"{kind}-{node.name}"}}
            for kind, places in where.items()
            for node in places
        ]
        return {**job, "static_configs": targets if name == "berth" else targets[-1:]}


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Has scraped all programs, and evaluated all that is asked, while a Service is announced and a session is up."""
    with brought_up(Settings(tmp_path_factory.mktemp("scrapes"), name="scrapes", values=VALUES)) as up:
        up.start_router("bird", settings=RouterSettings(installs=True, bfd=Bfd()))
        lab = LabClient(up)
        lab.all_serve(timeout_seconds=40)
        lab.bfd_profile("fast")
        bgp.peering(lab, bfdProfile="fast")
        lab.pool("lan", "172.30.0.200-172.30.0.209")
        lab.advertise_all()
        lab.bgp_advertisement()
        lab.service("web")
        lab.learned(*lab.addresses("web"), *bgp.NODES)
        bgp.bfd_settled(lab)
        started = Prometheus(lab, up.settings.directory)
        started.start()
        lab.until("all have been scraped twice", started.has_rates, timeout_seconds=40)
        yield started


NOTHING_YET = {
    "Changes of owners",
    "Taken over from others",
    "Nodes without a session that they should have",
    "Writes that failed",
}
"""Panels that are empty while all is well."""


def test_who_may_get_metrics_scrapes_them_and_nobody_else_does(prometheus: Prometheus) -> None:
    told = {job: prometheus.targets(job) for job in ("berth", "stranger", "nobody")}
    assert told["berth"] == [("up", "")] * 5
    assert told["stranger"] == [("down", "server returned HTTP status 403 Forbidden")]
    assert told["nobody"] == [("down", "server returned HTTP status 401 Unauthorized")]


def test_every_expression_can_be_evaluated(prometheus: Prometheus) -> None:
    rules = [rule for group in prometheus.ask("rules")["groups"] for rule in group["rules"]]
    assert len(rules) >= len(prometheus.expressions()) + len(of_alerts())
    assert [(rule["query"], rule.get("lastError")) for rule in rules if rule["health"] != "ok"] == []


def test_every_panel_shows_something_by_the_labels_that_its_legend_names(prometheus: Prometheus) -> None:
    shown = prometheus.answers()
    for number, each in enumerate(of_boards()):
        series = shown.get(f"asked:n{number}", [])
        assert series or each.where.partition(": ")[2] in NOTHING_YET, each.where
        for labels in series:
            assert each.told <= set(labels), each.where


def test_every_metric_and_label_that_is_asked_for_was_scraped(prometheus: Prometheus) -> None:
    shown, known, scraped = prometheus.answers(), prometheus.ask("metadata"), prometheus.scraped()
    for each in prometheus.expressions():
        for metric, matchers in each.selectors():
            assert metric.removesuffix("_bucket") in known, each.where
            missing = {label for label in matchers if f"asked:of:{metric}:{label}" not in shown}
            assert not missing or metric not in scraped, each.where


def test_no_alert_fires_or_is_about_to_while_all_is_well(prometheus: Prometheus) -> None:
    prometheus.lab.until("there is no alert", lambda: prometheus.ask("alerts")["alerts"] == [], timeout_seconds=30)
