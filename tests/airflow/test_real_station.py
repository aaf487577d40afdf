"""What a DAG does at an agent's station, on a real scheduler: from a dial to a recall, and released by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from samples import SERVER
from test_real_scheduler import clear_and_wait

from airflow_provider_wolkvox.simulator import CallResult, Simulator

pytestmark = [pytest.mark.scheduler, pytest.mark.timeout(1800)]

EXAMPLE = Path(__file__).resolve().parents[2] / "example_dags" / "wolkvox_agent_station.py"
DAG, LANE = "wolkvox_agent_station", "wolkvox_default"
AGENT, PHONE, CAMPAIGN = "10001", "3005550801", "40001"


@pytest.fixture(scope="module")
def wolkvox():
    """Customers answer at once and talk until the agent hangs up."""
    with Simulator(agents=[AGENT], call_results=CallResult.of("ANSWER", ring_seconds=0, talk_seconds=3600)) as running:
        running.add_campaign(CAMPAIGN, records=[{"customer_id": "c0", "tel1": PHONE}])
        yield running


@pytest.fixture(scope="module")
def airflow(local_airflow, wolkvox, tmp_path_factory):
    """The session's Airflow with our DAG, its connection and its pool."""
    local_airflow.add_dags(EXAMPLE)
    extra = json.dumps({"base_url": wolkvox.base_url})
    connection = {"conn_type": "wolkvox", "host": SERVER, "password": wolkvox.token, "extra": extra}
    file = tmp_path_factory.mktemp("source") / "connections.json"
    file.write_text(json.dumps({LANE: connection}))
    local_airflow.cli("connections", "import", "--overwrite", str(file))
    local_airflow.cli("wolkvox", "sync-pools")
    return local_airflow


@pytest.fixture(scope="module")
def run_id(airflow):
    run_id = airflow.trigger(DAG)
    assert airflow.wait_for_run(DAG, run_id) == "success"
    return run_id


def test_each_task_does_its_part_once_and_in_the_lane(airflow, wolkvox, run_id):
    assert [command.api for command in wolkvox.commands] == [
        "dial",
        "hang_type_ready",
        "change_status",
        "recall",
        "edit_recall",
        "delete_recall",
    ]
    assert wolkvox.rings == {PHONE: 1}
    assert airflow.xcom(DAG, run_id, "dial", "conn_id") == wolkvox.calls[0].conn_id
    assert not wolkvox.recalls
    assert wolkvox.station(AGENT).status == "2"
    assert wolkvox.stats().greatest_simultaneous == 1
    assert {task.pool for task in airflow.task_instances(DAG, run_id)} == {LANE}


def test_a_dial_that_is_cleared_rings_nobody_until_it_is_released_and_cleared(airflow, wolkvox, run_id):
    conn_id = airflow.xcom(DAG, run_id, "dial")
    assert clear_and_wait(airflow, DAG, run_id, "dial") == "success"
    assert airflow.xcom(DAG, run_id, "dial") == conn_id
    assert wolkvox.rings == {PHONE: 1}

    released = airflow.cli("wolkvox", "release", DAG, run_id, "dial", "--yes")
    assert "accepted in try 1" in released.stdout
    assert PHONE not in released.stdout
    assert clear_and_wait(airflow, DAG, run_id, "dial") == "success"
    assert wolkvox.rings == {PHONE: 2}
    assert airflow.xcom(DAG, run_id, "dial") != conn_id


def test_a_call_in_doubt_is_looked_up_by_a_person(airflow, wolkvox, run_id):
    around = wolkvox.calls[0].at.isoformat()
    found = airflow.cli(
        "wolkvox", "look-up", "--conn-id", LANE, "--agent", AGENT, "--phone", PHONE, "--around", around, "-o", "json"
    )
    assert wolkvox.calls[0].conn_id in {row["conn_id"] for row in json.loads(found.stdout)}
