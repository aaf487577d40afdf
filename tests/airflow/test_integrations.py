"""What Airflow offers around a call, on a real scheduler: TaskFlow, the link to Manager, assets, and the on-call ring.

The simulator is the judge: it counts how often each phone rang and how many requests used a token at once.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
from integration_dags import MAPPED, ON_CALL_LANE, ON_CALL_PHONE
from local_airflow import LocalAirflow
from samples import SERVER

from airflow_provider_wolkvox.simulator import Simulator

pytestmark = [pytest.mark.scheduler, pytest.mark.timeout(1800)]

HERE = Path(__file__).resolve().parent
EXAMPLES = HERE.parents[1] / "example_dags"
LANE = "wolkvox_default"
ON_CALL_DAG = "integrations_on_call"
CAMPAIGN = "32841"
# Long enough that two requests let through together would meet.
SERVER_SECONDS = 0.3


@pytest.fixture(scope="module")
def simulators():
    """A simulator for each lane."""
    running = {conn_id: Simulator(latency=SERVER_SECONDS).start() for conn_id in (LANE, ON_CALL_LANE)}
    yield running
    for simulator in running.values():
        simulator.stop()


@pytest.fixture
def calls(simulators) -> Simulator:
    simulators[LANE].reset()
    return simulators[LANE]


@pytest.fixture
def on_call(simulators) -> Simulator:
    simulators[ON_CALL_LANE].reset()
    return simulators[ON_CALL_LANE]


@pytest.fixture(scope="module")
def airflow(local_airflow, simulators, tmp_path_factory) -> LocalAirflow:
    """The session's Airflow with our DAGs, connections, pools, and the on-call person's number."""
    names = ("wolkvox_taskflow.py", "wolkvox_watch_campaign.py", "wolkvox_watched.py")
    local_airflow.add_dags(HERE / "integration_dags.py", *(EXAMPLES / name for name in names))
    connect(local_airflow, simulators)
    local_airflow.cli("wolkvox", "sync-pools")
    local_airflow.cli("variables", "set", "on_call_phone", ON_CALL_PHONE)
    return local_airflow


def connect(airflow: LocalAirflow, simulators: dict[str, Simulator]) -> None:
    connections = {
        conn_id: {
            "conn_type": "wolkvox",
            "host": SERVER,
            "password": simulator.token,
            "extra": json.dumps({"base_url": simulator.base_url}),
        }
        for conn_id, simulator in simulators.items()
    }
    file = airflow.home / "connections.json"
    file.write_text(json.dumps(connections))
    airflow.cli("connections", "import", "--overwrite", str(file))


def log_of(airflow: LocalAirflow, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> str:
    """Return the log of a task's latest try."""
    task = airflow.task_instance(dag_id, run_id, task_id, map_index)
    return airflow.task_log(dag_id, run_id, task_id, task.try_number, map_index)


def rung_once_each(airflow: LocalAirflow, dag_id: str, on_call: Simulator, before: set[str], count: int) -> list[str]:
    """Wait for so many new runs of an on-call DAG, and return their ids once each has rung the person."""
    airflow.wait_until(
        lambda: len(run_ids(airflow, dag_id) - before) >= count,
        60,
        f"there are {count} more runs of {dag_id}",
        evidence=lambda: run_ids(airflow, dag_id),
    )
    new = sorted(run_ids(airflow, dag_id) - before)
    assert [airflow.wait_for_run(dag_id, run_id) for run_id in new] == ["success"] * count
    assert on_call.rings == {ON_CALL_PHONE: count}
    assert on_call.stats().greatest_simultaneous == 1
    return new


def run_ids(airflow: LocalAirflow, dag_id: str) -> set[str]:
    return {run["dag_run_id"] for run in airflow._get(f"/dags/{dag_id}/dagRuns", limit=1000)["dag_runs"]}


def test_functions_say_whom_to_call_and_their_tasks_call_in_the_lane(airflow, calls):
    dag_id = "wolkvox_taskflow"
    run_id = airflow.trigger(dag_id)
    assert airflow.wait_for_run(dag_id, run_id) == "success"

    rung = {"3005550110": "10001", "3005550111": "10001", "3005550112": "10002"}
    assert calls.rings == dict.fromkeys(rung, 1)
    assert {call.phone: call.agent_id for call in calls.calls} == rung
    assert calls.stats().greatest_simultaneous == 1
    tasks = {(task.task_id, task.map_index): task for task in airflow.task_instances(dag_id, run_id)}
    made = [("call_back", 0), ("call_back", 1), ("call_back", 2), ("call_the_first", -1)]
    assert {tasks[each].pool for each in made} == {LANE}
    assert [tasks[each].state for each in made] == ["success", "success", "skipped", "success"]
    conn_ids = {call.phone: call.conn_id for call in calls.calls}
    assert airflow.xcom(dag_id, run_id, "call_the_first") == conn_ids["3005550110"]
    assert airflow.xcom(dag_id, run_id, "call_back", "conn_id", 1) == conn_ids["3005550112"]

    # Cleared, the functions run again, and nobody is rung again.
    airflow.clear(dag_id, run_id)
    assert airflow.wait_for_run(dag_id, run_id) == "success"
    assert calls.rings == dict.fromkeys(rung, 1)

    # A simulator has no Manager to go to.
    for task_id, map_index in made:
        links = airflow._get(f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/links", map_index=map_index)
        assert links["extra_links"] == {"wolkvox Manager": None}


@pytest.fixture
def campaign(airflow, simulators):
    """A wolkvox whose campaign was dialled within the hour, which the lane's connection leads to for a while."""
    clock = SimpleNamespace(behind=3600.0)
    records = [{"customer_id": str(number), "tel1": f"30055507{number:02}"} for number in range(20)]
    with Simulator(clock=lambda: time.time() - clock.behind) as running:
        running.add_campaign(CAMPAIGN, records=records, started=True)
        clock.behind = 0.0
        connect(airflow, {LANE: running})
        yield records
        connect(airflow, {LANE: simulators[LANE]})


def test_a_finished_campaign_starts_the_dag_that_is_scheduled_on_it_and_hands_it_its_numbers(airflow, campaign):
    airflow.wait_for_dag("wolkvox_after_campaign")
    airflow.unpause("wolkvox_after_campaign")
    run_id = airflow.trigger("wolkvox_watch_campaign")
    assert airflow.wait_for_run("wolkvox_watch_campaign", run_id) == "success"

    airflow.wait_until(lambda: run_ids(airflow, "wolkvox_after_campaign"), 60, "the second DAG runs")
    [follower] = run_ids(airflow, "wolkvox_after_campaign")
    assert airflow.wait_for_run("wolkvox_after_campaign", follower) == "success"
    told = airflow.xcom("wolkvox_after_campaign", follower, "count")
    assert told == airflow.xcom("wolkvox_watch_campaign", run_id, "finished")
    assert (told["campaign_id"], told["records"]) == (CAMPAIGN, len(campaign))


class TestAPersonOnCall:
    """Is rung by the on-call DAG, which failed tasks ask for runs."""

    DAG = "integrations_failing"

    def test_is_rung_once_for_each_task_that_fails_in_one_request_at_a_time(self, airflow, on_call):
        airflow.wait_for_dag(ON_CALL_DAG)
        before = run_ids(airflow, ON_CALL_DAG)
        run_id = airflow.trigger(self.DAG)
        assert airflow.wait_for_run(self.DAG, run_id) == "failed"

        # One of the four asks twice.
        rung_once_each(airflow, ON_CALL_DAG, on_call, before, MAPPED + 2)

        for task in airflow.task_instances(self.DAG, run_id):
            log = log_of(airflow, self.DAG, run_id, task.task_id, task.map_index)
            assert "RuntimeError: the failure of" in log
            assert "The on-call person is rung by run on_call__integrations_failing." in log
        assert "Nobody is rung again: there is a run on_call__integrations_failing.fails_and_tells_twice" in log_of(
            airflow, self.DAG, run_id, "fails_and_tells_twice"
        )

    def test_is_rung_again_for_a_task_that_was_cleared_and_failed_again(self, airflow, on_call):
        run_id = max(run_ids(airflow, self.DAG))
        before = run_ids(airflow, ON_CALL_DAG)
        assert airflow.clear(self.DAG, run_id, ["fails"])
        airflow.wait_for_task(self.DAG, run_id, "fails", ["failed"], try_number=2)
        rung_once_each(airflow, ON_CALL_DAG, on_call, before, 1)
        assert airflow.wait_for_run(self.DAG, run_id) == "failed"

    def test_is_not_rung_again_by_a_cleared_run_of_the_on_call_dag(self, airflow, on_call):
        for run_id in sorted(run_ids(airflow, ON_CALL_DAG))[:2]:
            airflow.clear(ON_CALL_DAG, run_id)
            assert airflow.wait_for_run(ON_CALL_DAG, run_id) == "success"
        assert on_call.stats().requests == 0

    def test_is_rung_once_for_a_run_whose_tasks_fail_together(self, airflow, on_call):
        dag_id = "integrations_failing_together"
        before = run_ids(airflow, ON_CALL_DAG)
        run_id = airflow.trigger(dag_id)
        assert airflow.wait_for_run(dag_id, run_id) == "failed"
        rung_once_each(airflow, ON_CALL_DAG, on_call, before, 1)
        said = Counter(
            "Nobody is rung again" in log_of(airflow, dag_id, run_id, "fails", number) for number in range(MAPPED)
        )
        assert said == {True: MAPPED - 1, False: 1}

    def test_who_is_not_rung_leaves_a_reason_and_the_tasks_own_failure(self, airflow, on_call):
        dag_id = "integrations_failing_in_vain"
        before = run_ids(airflow, ON_CALL_DAG)
        run_id = airflow.trigger(dag_id)
        assert airflow.wait_for_run(dag_id, run_id) == "failed"

        for task_id, reason in (
            ("fails_without_a_dag", "Nobody is rung: Airflow made no run of 'of_nobody': API_SERVER_ERROR"),
            ("fails_with_a_broken_template", "Nobody is rung: ZeroDivisionError"),
        ):
            log = log_of(airflow, dag_id, run_id, task_id)
            assert "RuntimeError: the failure of the task itself" in log
            assert reason in log
        # The DAG's own callback runs in the DAG processor.
        logs = airflow.home / "logs"
        airflow.wait_until(
            lambda: any(
                "Nobody is rung: this process cannot ask for a run" in file.read_text(errors="replace")
                for file in logs.rglob("*.log")
            ),
            60,
            "the DAG processor's log says why nobody is rung",
        )
        assert run_ids(airflow, ON_CALL_DAG) == before
        assert on_call.stats().requests == 0

    def test_is_rung_by_the_example_once_its_retries_are_over(self, airflow, on_call):
        airflow.wait_for_dag("wolkvox_on_call")
        run_id = airflow.trigger("wolkvox_watched", conf={"balance": 7})
        assert airflow.wait_for_run("wolkvox_watched", run_id) == "failed"
        rung_once_each(airflow, "wolkvox_on_call", on_call, set(), 1)
        assert airflow.task_instance("wolkvox_watched", run_id, "close_the_day").try_number == 2


def test_no_log_holds_a_token_or_a_whole_phone_number(airflow, simulators):
    secrets = {simulator.token.encode() for simulator in simulators.values()}
    secrets |= {ON_CALL_PHONE.encode(), b"3005550110", b"3005550112"}
    files = [file for file in (airflow.home / "logs").rglob("*") if file.is_file()]
    assert len(files) > 10, "run the whole module: this test reads what the others have left"
    contents = {file: file.read_bytes() for file in files}
    assert [(file, secret) for file, content in contents.items() for secret in secrets if secret in content] == []
