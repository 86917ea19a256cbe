"""What depends on who answers, once more where the speakers answer: in all other files nodes' kernels do.

That is the owner's death, its clean stop, its standstill with a release meanwhile, and all that of IPv6 which is not so
for IPv4. What a frame is answered with, and what a conflict is, is compared one level below (tests/speaker/wire).
"""

import os
from collections.abc import Iterator

import pytest

from lab.client import LabClient
from lab.cluster import Cluster, Settings
from tests.e2e.conftest import ANSWERS, brought_up
from tests.e2e.test_dual_stack import POOL, test_an_ipv6_address_moves_when_its_owner_is_killed
from tests.e2e.test_failover import (
    owned,
    test_a_clean_stop_leaves_no_request_unanswered,
    test_the_address_of_a_node_that_dies_moves_at_once_and_clients_reach_it,
)
from tests.e2e.test_layer2 import test_a_speaker_frozen_until_others_took_over_is_silent_until_it_knows_better

__all__ = [
    "owned",
    "test_a_clean_stop_leaves_no_request_unanswered",
    "test_a_speaker_frozen_until_others_took_over_is_silent_until_it_knows_better",
    "test_an_ipv6_address_moves_when_its_owner_is_killed",
    "test_the_address_of_a_node_that_dies_moves_at_once_and_clients_reach_it",
]

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.slow, pytest.mark.alone]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Whoever does not answer in the other files does here."""
    values = {"kernelAnswers": "auto" if os.environ.get(ANSWERS) == "off" else "off", "failbackAfterSeconds": 3}
    settings = Settings(tmp_path_factory.mktemp("other"), name="other", values={"speaker": values})
    with brought_up(settings) as up:
        yield up


@pytest.fixture
def web(lab: LabClient) -> LabClient:
    if "sniffer" not in lab.cluster.processes:
        lab.cluster.record_segment()
    lab.all_serve()
    lab.pool("pool", *POOL)
    lab.advertise_all()
    return lab


def test_the_cluster_is_one_where_the_others_answer(web: LabClient) -> None:
    answers = "Kernel" if os.environ.get(ANSWERS) == "off" else "UserSpace"

    def told() -> set[object]:
        """What answers, by the SpeakerReports."""
        interfaces = [one for report in web.reports().values() for one in report.get("interfaces", [])]
        return {one.get("answers") for one in interfaces if one["name"] == "eth0"}

    web.until(f"{answers} answers", lambda: told() == {answers})
