"""Each alert fires for its fault and for nothing else; none fires while all is well; each has its runbook.

The rules are those that the chart renders, and promtool is the judge (Debian's package prometheus).
"""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.charts.rendered import one, rendered

pytestmark = [pytest.mark.slow, pytest.mark.lab]

DOCS = Path(__file__).parent.parent.parent / "docs"
RUNBOOKS = DOCS / "runbooks"
ENABLED = {"prometheusRule": {"enabled": True}}
SEVERITIES = {"critical", "warning", "info"}
EVAL_MINUTES = 40

Series = dict[str, str]
"""By series its values in promtool's notation, one a minute."""


def constant(value: float) -> str:
    return f"{value}+0x{EVAL_MINUTES}"


def growing(by: float) -> str:
    return f"0+{by}x{EVAL_MINUTES}"


POOL = 'pool="lan",family="IPv4"'
NODE = 'instance="n1:7482",pod="berth-speaker-a"'
LEADER = 'berth_kube_leading{lease="berth-allocator",pod="a"}'
STANDBY = 'berth_kube_leading{lease="berth-allocator",pod="b"}'
HEARD, ALIVE = (f'berth_members{{{NODE},state="{state}"}}' for state in ("heard", "alive"))
WRITTEN, LOST = (
    f'berth_kube_requests_total{{{NODE},verb="patch",resource="services",code="{code}"}}' for code in (200, 503)
)
WELL: Series = {
    'berth_addresses{pool="lan",state="Announced"}': constant(70),
    'berth_addresses{pool="lan",state="Releasing"}': constant(1),
    f"berth_pool_addresses{{{POOL}}}": constant(100),
    f"berth_pool_addresses_allocated{{{POOL}}}": constant(71),
    f"berth_pool_addresses_free{{{POOL}}}": constant(29),
    'berth_services_pending{reason="NotWritten"}': constant(0),
    "berth_oldest_release_seconds": constant(5),
    'berth_speakers{state="Alive"}': constant(3),
    'berth_speakers{state="Silent"}': constant(0),
    "berth_speakers_without_promise": constant(0),
    LEADER: constant(1),
    STANDBY: constant(0),
    f"berth_speaker_ready{{{NODE}}}": constant(1),
    f'berth_bgp_session_up{{{NODE},peer="tor"}}': constant(1),
    f'berth_bgp_session_downs_total{{{NODE},peer="tor"}}': constant(2),
    f'berth_bfd_session_up{{{NODE},peer="tor"}}': constant(1),
    HEARD: constant(2),
    ALIVE: constant(3),
    f"berth_heartbeats_sent_total{{{NODE}}}": growing(600),
    f"berth_kernel_answered_addresses{{{NODE}}}": constant(0),
    WRITTEN: growing(600),
    'berth_kube_undecodable_objects_total{resource="services"}': constant(3),
}
FAULTS: list[tuple[str, Series]] = [
    ("BerthAddressNotAnnounced", {'berth_addresses{pool="lan",state="NoAdvertisement"}': constant(4)}),
    ("BerthAddressNotAnnounced", {'berth_addresses{pool="lan",state="NoSpeaker"}': constant(4)}),
    ("BerthServiceWithoutEndpoints", {'berth_addresses{pool="lan",state="NoReadyEndpoint"}': constant(1)}),
    ("BerthAddressConflict", {'berth_addresses{pool="lan",state="Conflicted"}': constant(1)}),
    ("BerthKernelAnswers", {f"berth_kernel_answered_addresses{{{NODE}}}": constant(3)}),
    ("BerthPoolExhausted", {f"berth_pool_addresses_free{{{POOL}}}": constant(0)}),
    ("BerthPoolUsage", {f"berth_pool_addresses_allocated{{{POOL}}}": constant(76)}),
    ("BerthPoolUsage", {f"berth_pool_addresses_allocated{{{POOL}}}": constant(86)}),
    ("BerthPoolUsage", {f"berth_pool_addresses_allocated{{{POOL}}}": constant(96)}),
    ("BerthServicesPending", {'berth_services_pending{reason="PoolExhausted"}': constant(1)}),
    ("BerthWritesRefused", {'berth_services_pending{reason="NotWritten"}': constant(1)}),
    ("BerthWritesRefused", {WRITTEN.replace('"200"', '"403"'): growing(1)}),
    ("BerthReleaseStuck", {"berth_oldest_release_seconds": growing(60)}),
    ("BerthSpeakerNotReady", {f"berth_speaker_ready{{{NODE}}}": constant(0)}),
    ("BerthSpeakerSilent", {'berth_speakers{state="Silent"}': constant(1)}),
    ("BerthNoSpeaker", {'berth_speakers{state="Alive"}': constant(0)}),
    ("BerthNoLeader", {LEADER: constant(0)}),
    ("BerthNoLeader", {LEADER: "_x40", STANDBY: "_x40"}),
    ("BerthTwoLeaders", {STANDBY: constant(1)}),
    ("BerthBGPSessionDown", {f'berth_bgp_session_up{{{NODE},peer="tor"}}': constant(0)}),
    ("BerthBGPFlapping", {f'berth_bgp_session_downs_total{{{NODE},peer="tor"}}': growing(1)}),
    ("BerthBFDSessionDown", {f'berth_bfd_session_up{{{NODE},peer="tor"}}': constant(0)}),
    ("BerthHeartbeatsUnheard", {HEARD: constant(0)}),
    ("BerthPromiseMissing", {"berth_speakers_without_promise": constant(1)}),
    ("BerthAPIErrors", {LOST: growing(60)}),
    ("BerthUndecodableObjects", {'berth_kube_undecodable_objects_total{resource="services"}': growing(1)}),
]
"""What is otherwise than in WELL, and the one alert that fires then."""
NOT_FAULTS: list[Series] = [
    {},
    {HEARD: constant(0), f"berth_heartbeats_sent_total{{{NODE}}}": constant(0)},  # heartbeats are off
    {"berth_speakers_without_promise": constant(1), 'berth_speakers{state="Alive"}': constant(2)},  # no majority of two
    {LEADER: f"1x20 0x{EVAL_MINUTES - 21}", STANDBY: f"0x20 1x{EVAL_MINUTES - 21}"},  # the other one took over
    {LOST: growing(1)},
    {HEARD: constant(1)},
]


def rules(values: dict[str, Any] | None = None) -> dict[str, Any]:
    """The rule file that the chart's PrometheusRule is."""
    spec: dict[str, Any] = one(rendered(values or ENABLED), "PrometheusRule")["spec"]
    return spec


def alerts(values: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    return [rule for group in rules(values)["groups"] for rule in group["rules"]]


def judged(folder: Path, cases: list[tuple[Series, dict[str, int]]], values: dict[str, Any] | None = None) -> str:
    """What promtool finds wrong: in each case exactly these alerts are to fire at the end; empty for nothing."""
    (folder / "rules.yaml").write_text(yaml.safe_dump(rules(values)))
    tests = [
        {
            "interval": "1m",
            "input_series": [{"series": name, "values": given} for name, given in {**WELL, **series}.items()],
            "promql_expr_test": [
                {
                    "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
                    "eval_time": f"{EVAL_MINUTES}m",
                    "exp_samples": [
                        {"labels": f'{{alertname="{name}"}}', "value": count} for name, count in expected.items()
                    ],
                }
            ],
        }
        for series, expected in cases
    ]
    (folder / "tests.yaml").write_text(
        yaml.safe_dump({"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": tests})
    )
    done = subprocess.run(
        ["promtool", "test", "rules", "tests.yaml"], cwd=folder, capture_output=True, text=True, check=False
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


def test_promtool_takes_the_rules(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rules()))
    subprocess.run(["promtool", "check", "rules", str(tmp_path / "rules.yaml")], check=True, capture_output=True)


def test_each_fault_fires_its_alert_and_no_other(tmp_path: Path) -> None:
    assert judged(tmp_path, [(series, {name: 1}) for name, series in FAULTS]) == ""


def test_nothing_fires_while_all_is_well(tmp_path: Path) -> None:
    assert judged(tmp_path, [(series, {}) for series in NOT_FAULTS]) == ""


def set_ups() -> list[tuple[str, str, list[str]]]:
    """Of the document's broken set-ups: name, what the Service says, and the alerts."""
    text = (DOCS / "cli.md").read_text().partition("## Broken set-ups")[2]
    rows = [[cell.strip() for cell in line.split("|")] for line in text.splitlines() if line.startswith("| ")][1:]
    return [(name, says, re.findall(r"Berth[A-Z]\w+", fires)) for _, name, says, _, fires, _ in rows]


def shows(name: str, says: str) -> Series:
    """What is counted then, beside what is well."""
    pending, silent = re.search(r"`Allocated=False (\w+)`", says), re.search(r"`Announced=False (\w+)`", says)
    series = dict(BESIDE.get(name, {}))
    if pending:
        series[f'berth_services_pending{{reason="{pending[1]}"}}'] = constant(1)
    if silent:
        series[f'berth_addresses{{pool="lan",state="{silent[1]}"}}'] = constant(1)
    if silent and silent[1] == "SessionsDown" and name not in WITHOUT_SESSION:
        series[f'berth_bgp_session_up{{{NODE},peer="tor"}}'] = constant(0)
    return series


WITHOUT_SESSION = ("no node wants the router", "advertisement with an unknown router")
STUCK: Series = {"berth_oldest_release_seconds": growing(60)}
SILENT: Series = {'berth_speakers{state="Silent"}': constant(1)}
BESIDE: dict[str, Series] = {
    "full pool": {f"berth_pool_addresses_free{{{POOL}}}": constant(0)},
    "no allocator": {LEADER: constant(0)},
    "definitions missing": {LEADER: constant(0)},
    "deleted while no allocator leads": {LEADER: constant(0)},
    "record refused": {WRITTEN.replace('"200"', '"422"'): growing(1)},
    "speakers that start": {f"berth_speaker_ready{{{NODE}}}": constant(0)},
    "no right to write": {'berth_services_pending{reason="NotWritten"}': constant(1)},
    "no speaker was ever there": {'berth_speakers{state="Alive"}': constant(0)},
    "all speakers dead": {**SILENT, 'berth_speakers{state="Alive"}': constant(0)},
    "speaker dead with the endpoint": SILENT,
    "ipvs": {f"berth_kernel_answered_addresses{{{NODE}}}": constant(1)},
    "conflict": {'berth_addresses{pool="lan",state="Conflicted"}': constant(1)},
    "release stuck": {**STUCK, **SILENT},
    "asks for what is stuck": STUCK,
    "heartbeats blocked": {HEARD: constant(0)},
    "heartbeat port taken": {HEARD: constant(0)},
}
"""What is counted in a set-up that is not a reason of the Service."""


def test_each_broken_set_up_of_the_document_fires_the_alerts_that_it_names(tmp_path: Path) -> None:
    found = set_ups()
    assert len(found) > 30
    assert judged(tmp_path, [(shows(name, says), dict.fromkeys(fires, 1)) for name, says, fires in found]) == ""


def test_a_case_that_expects_too_little_is_found(tmp_path: Path) -> None:
    name, series = FAULTS[0]
    assert name in judged(tmp_path, [(series, {})])


def test_every_alert_has_a_fault_that_it_is_for() -> None:
    assert {rule["alert"] for rule in alerts()} == {name for name, _ in FAULTS}


def test_pools_can_be_excluded(tmp_path: Path) -> None:
    values = {"prometheusRule": {"enabled": True, "excludePools": ["full", "la.*"]}}
    of_pools = [(series, {}) for _, series in FAULTS if 'pool="lan"' in str(series.keys())]
    assert len(of_pools) > 5
    assert judged(tmp_path, of_pools, values) == ""


def test_alerts_can_be_left_out() -> None:
    left = alerts({"prometheusRule": {"enabled": True, "disabledAlerts": ["BerthNoSpeaker", "BerthPoolUsage"]}})
    assert {rule["alert"] for rule in alerts()} - {rule["alert"] for rule in left} == {
        "BerthNoSpeaker",
        "BerthPoolUsage",
    }


def test_a_release_is_stuck_a_minute_after_the_fence_time() -> None:
    (stuck,) = (rule for rule in alerts({**ENABLED, "fenceAfterSeconds": 90}) if rule["alert"] == "BerthReleaseStuck")
    assert stuck["expr"].endswith("> 150")


def test_every_alert_says_what_it_is_and_how_bad_and_where_its_runbook_is() -> None:
    base = "https://docs.example/runbooks"
    for rule in alerts({"prometheusRule": {"enabled": True, "runbooks": f"{base}/"}}):
        name, said = rule["alert"], rule["annotations"]
        assert rule["labels"]["severity"] in SEVERITIES, name
        assert said["summary"].endswith("."), name
        assert said["description"].endswith("."), name
        assert said["runbook_url"] == f"{base}/{name}.md"
        assert (RUNBOOKS / f"{name}.md").read_text().startswith(f"# {name}\n"), name
    assert {path.stem for path in RUNBOOKS.glob("*.md")} == {rule["alert"] for rule in alerts()}
