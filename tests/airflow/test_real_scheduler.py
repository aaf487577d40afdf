"""What only a real scheduler can prove: lanes hold, cleared tasks ring nobody, old runs ring nobody.

The simulator is the judge: it counts how often each phone rang and how many requests used a token at once.
"""

from __future__ import annotations

import json
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path

import pytest
from capabilities import HAS_LEDGER, HAS_PROVIDER_COMMANDS, needs_ledger
from local_airflow import CommandFailed, LocalAirflow, Refused
from samples import SERVER
from scheduler_dags import (
    AGAIN_LANE,
    AGAIN_MAPPED,
    AGAIN_PHONE,
    CATCHUP_FROM,
    CATCHUP_LANE,
    CATCHUP_PHONE,
    CATCHUP_TO,
    DATA_LANE,
    DATA_PHONE,
    HOURS_LANE,
    LOOK_UP_LANE,
    LOOK_UP_NEXT_PHONE,
    LOOK_UP_PHONE,
    PARALLEL_LANE,
    PARALLEL_MAPPED,
    PARALLEL_PLAIN,
    UNKNOWN_LANE,
    UNKNOWN_PHONE,
    WAITING_LANE,
    WAITING_PHONE,
)

from airflow_provider_wolkvox.simulator import Simulator

pytestmark = [pytest.mark.scheduler, pytest.mark.timeout(1800)]

HERE = Path(__file__).resolve().parent
DAGS = HERE / "scheduler_dags.py"
EXAMPLES = sorted((HERE.parents[1] / "example_dags").glob("*.py"))

EXAMPLE_LANE = "wolkvox_default"
EXAMPLE_PHONES = {"3005550101", "3005550102", "3005550103", "3005550104"}
# Of the example DAGs that are only parsed, and of what other modules' tests run.
BYSTANDERS = (HOURS_LANE, *(f"wolkvox_{name}" for name in ("north", "south", "east", "west", "on_call")))
LANES = (
    EXAMPLE_LANE,
    PARALLEL_LANE,
    AGAIN_LANE,
    CATCHUP_LANE,
    DATA_LANE,
    LOOK_UP_LANE,
    UNKNOWN_LANE,
    WAITING_LANE,
    *BYSTANDERS,
)

# Long enough that two requests let through together would meet; the scheduler starts two within 0.1 s.
SERVER_SECONDS = 0.3
PARALLEL_RUNS = 3


@pytest.fixture(scope="module")
def lanes():
    """A simulator for each lane."""
    running = {conn_id: Simulator(latency=SERVER_SECONDS).start() for conn_id in LANES}
    yield running
    for simulator in running.values():
        simulator.stop()


@pytest.fixture(scope="module")
def airflow(local_airflow, lanes, tmp_path_factory) -> LocalAirflow:
    """The session's Airflow with our DAGs and connections, and a pool for every lane but the waiting one."""
    source = tmp_path_factory.mktemp("source")
    local_airflow.add_dags(DAGS, *EXAMPLES)

    def connect(*conn_ids: str) -> None:
        file = source / "connections.json"
        file.write_text(
            json.dumps(
                {
                    conn_id: {
                        "conn_type": "wolkvox",
                        "host": SERVER,
                        "password": lanes[conn_id].token,
                        "extra": json.dumps({"base_url": lanes[conn_id].base_url}),
                    }
                    for conn_id in conn_ids
                }
            )
        )
        local_airflow.cli("connections", "import", "--overwrite", str(file))

    connect(*(conn_id for conn_id in LANES if conn_id != WAITING_LANE))
    provider_command(local_airflow, "sync-pools")
    connect(WAITING_LANE)
    return local_airflow


def provider_command(airflow: LocalAirflow, *arguments: str, check: bool = True):
    """Run one of the provider's commands, in the way that this Airflow has for them."""
    return (
        airflow.cli("wolkvox", *arguments, check=check)
        if HAS_PROVIDER_COMMANDS
        else airflow.wolkvox(*arguments, check=check)
    )


def log_of(airflow: LocalAirflow, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> str:
    """Return the log of a task's latest try."""
    task = airflow.task_instance(dag_id, run_id, task_id, map_index)
    return airflow.task_log(dag_id, run_id, task_id, task.try_number, map_index)


def clear_and_wait(airflow: LocalAirflow, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> str:
    """Clear one task instance and return its state once it has run again."""
    before = airflow.task_instance(dag_id, run_id, task_id, map_index).try_number
    which = [task_id if map_index < 0 else (task_id, map_index)]
    assert airflow.clear(dag_id, run_id, which)
    task = airflow.wait_for_task(
        dag_id, run_id, task_id, ["success", "failed"], map_index=map_index, try_number=before + 1
    )
    # Whoever clears a task again while the scheduler is closing its run may have the run closed over it:
    # the task then never runs (Airflow on SQLite, which locks no rows).
    airflow.wait_for_run(dag_id, run_id)
    return task.state


def test_the_example_rings_each_customer_once_and_hands_the_conn_ids_on(airflow, lanes):
    run_id = airflow.trigger("wolkvox_aux_call")
    assert airflow.wait_for_run("wolkvox_aux_call", run_id) == "success"

    simulator = lanes[EXAMPLE_LANE]
    assert simulator.rings == dict.fromkeys(EXAMPLE_PHONES, 1)
    assert simulator.stats().greatest_simultaneous == 1

    calls = [("call_one_customer", -1), *(("call_three_customers", index) for index in range(3))]
    pools = {(task.task_id, task.map_index): task.pool for task in airflow.task_instances("wolkvox_aux_call", run_id)}
    assert {call: pools[call] for call in calls} == dict.fromkeys(calls, EXAMPLE_LANE)

    by_phone = {call.phone: call.conn_id for call in simulator.calls}
    rang = [by_phone[phone] for phone in sorted(EXAMPLE_PHONES)]
    for key in ("return_value", "conn_id"):
        assert [airflow.xcom("wolkvox_aux_call", run_id, task, key, index) for task, index in calls] == rang
    assert airflow.xcom("wolkvox_aux_call", run_id, "list_calls") == rang


def test_runs_at_once_with_plain_and_mapped_tasks_use_the_token_one_request_at_a_time(airflow, lanes):
    dag_id, simulator = "scheduler_parallel", lanes[PARALLEL_LANE]
    customers = [f"3006{number:04d}" for number in range(PARALLEL_RUNS)]
    runs = [airflow.trigger(dag_id, conf={"customers": prefix}) for prefix in customers]
    assert [airflow.wait_for_run(dag_id, run_id) for run_id in runs] == ["success"] * PARALLEL_RUNS

    phones = [f"{prefix}{number:02d}" for prefix in customers for number in range(PARALLEL_PLAIN + PARALLEL_MAPPED)]
    assert len(phones) >= 12
    assert simulator.rings == dict.fromkeys(phones, 1)
    stats = simulator.stats()
    assert (stats.greatest_simultaneous, stats.requests, stats.refusals) == (1, len(phones), {})


def test_a_task_without_its_pool_waits_until_check_has_said_why_and_sync_pools_has_made_it(airflow, lanes):
    run_id = airflow.trigger("scheduler_waiting")
    airflow.wait_until(
        lambda: f"non-existent pool '{WAITING_LANE}'" in airflow.scheduler_log(), 60, "the scheduler misses the pool"
    )
    assert airflow.task_instance("scheduler_waiting", run_id, "call").state == "scheduled"

    checked = provider_command(airflow, "check", "--output", "json", check=False)
    assert checked.returncode == 1, checked.stderr
    wrong = [row for row in json.loads(checked.stdout.splitlines()[-1]) if row["finding"] != "ok"]
    assert {row["subject"] for row in wrong} == {
        f"connection {WAITING_LANE}",
        "task scheduler_waiting.call",
    }
    assert all("is missing: tasks would wait for ever" in row["finding"] for row in wrong)

    provider_command(airflow, "sync-pools")
    assert airflow.wait_for_run("scheduler_waiting", run_id) == "success"
    assert lanes[WAITING_LANE].rings == {WAITING_PHONE: 1}
    assert provider_command(airflow, "check", check=False).returncode == 0


def test_what_a_task_returned_is_no_template_in_a_mapped_call(airflow, lanes):
    run_id = airflow.trigger("scheduler_data")
    assert airflow.wait_for_run("scheduler_data", run_id) == "failed"
    states = [airflow.task_instance("scheduler_data", run_id, "call", index).state for index in range(2)]
    assert states == ["success", "failed"]
    assert "agent_id is not digits" in log_of(airflow, "scheduler_data", run_id, "call", 1)
    assert lanes[DATA_LANE].rings == {DATA_PHONE: 1}
    assert lanes[DATA_LANE].stats().requests == 1


def test_every_example_and_dag_is_imported_without_an_error(airflow):
    for dag_id in ("scheduler_parallel", *(file.stem for file in EXAMPLES)):
        airflow.wait_for_dag(dag_id)
    assert airflow.import_errors() == {}
    assert json.loads(airflow.cli("dags", "list-import-errors", "-o", "json").stdout.splitlines()[-1]) == []


def test_no_retry_and_no_clear_calls_again_after_an_unknown_outcome(airflow, lanes):
    dag_id, simulator = "scheduler_unknown", lanes[UNKNOWN_LANE]
    simulator.fault("drop_after_ringing", phone=UNKNOWN_PHONE)
    run_id = airflow.trigger(dag_id)
    assert airflow.wait_for_run(dag_id, run_id) == "failed"
    assert airflow.task_instance(dag_id, run_id, "call").try_number == 1
    assert "The phone may have rung" in log_of(airflow, dag_id, run_id, "call")

    assert clear_and_wait(airflow, dag_id, run_id, "call") == "failed"

    assert simulator.rings == {UNKNOWN_PHONE: 1}
    assert simulator.stats().requests == 1
    log = log_of(airflow, dag_id, run_id, "call")
    assert "the phone may have rung" in log.lower()


@needs_ledger
class TestASucceededTask:
    """Its call was made; whether the phone may ring again is for a person to say."""

    DAG = "scheduler_again"

    @pytest.fixture(scope="class")
    @classmethod
    def run_id(cls, airflow):
        run_id = airflow.trigger(cls.DAG)
        assert airflow.wait_for_run(cls.DAG, run_id) == "success"
        return run_id

    def release(self, airflow, run_id, *where: str, check: bool = True):
        return provider_command(airflow, "release", self.DAG, run_id, *where, check=check)

    def test_that_is_cleared_returns_the_same_conn_id_and_rings_nobody(self, airflow, lanes, run_id):
        conn_id = airflow.xcom(self.DAG, run_id, "plain")

        assert clear_and_wait(airflow, self.DAG, run_id, "plain") == "success"

        assert airflow.xcom(self.DAG, run_id, "plain") == conn_id
        assert airflow.xcom(self.DAG, run_id, "plain", "conn_id") == conn_id
        assert lanes[AGAIN_LANE].rings == dict.fromkeys([AGAIN_PHONE, *AGAIN_MAPPED], 1)
        log = log_of(airflow, self.DAG, run_id, "plain")
        assert "This call was already made: accepted at" in log
        assert f"airflow wolkvox release {self.DAG} {run_id} plain --yes" in log

    def test_is_not_released_without_yes(self, airflow, lanes, run_id):
        shown = self.release(airflow, run_id, "plain", check=False)

        assert shown.returncode == 1
        assert "accepted in try 1" in shown.stdout
        assert "Nothing was changed" in shown.stderr
        assert clear_and_wait(airflow, self.DAG, run_id, "plain") == "success"
        assert lanes[AGAIN_LANE].rings[AGAIN_PHONE] == 1

    def test_rings_again_once_it_is_released_and_cleared(self, airflow, lanes, run_id):
        before = airflow.xcom(self.DAG, run_id, "plain")

        assert "Released" in self.release(airflow, run_id, "plain", "--yes").stdout
        assert lanes[AGAIN_LANE].rings[AGAIN_PHONE] == 1
        assert clear_and_wait(airflow, self.DAG, run_id, "plain") == "success"

        assert lanes[AGAIN_LANE].rings[AGAIN_PHONE] == 2
        assert airflow.xcom(self.DAG, run_id, "plain") != before
        # And what was released is one call: the next clear rings nobody.
        assert clear_and_wait(airflow, self.DAG, run_id, "plain") == "success"
        assert lanes[AGAIN_LANE].rings[AGAIN_PHONE] == 2

    def test_that_is_mapped_is_released_alone(self, airflow, lanes, run_id):
        self.release(airflow, run_id, "mapped", "1", "--yes")

        for map_index in (0, 1):
            assert clear_and_wait(airflow, self.DAG, run_id, "mapped", map_index) == "success"

        assert [lanes[AGAIN_LANE].rings[phone] for phone in AGAIN_MAPPED] == [1, 2]

    def test_that_does_not_exist_cannot_be_released(self, airflow, run_id):
        with pytest.raises(CommandFailed, match="There is no task instance"):
            self.release(airflow, run_id, "plain", "7", "--yes")


def test_catching_up_rings_nobody_and_neither_does_clearing_old_runs(airflow, lanes):
    dag_id, simulator = "scheduler_catchup", lanes[CATCHUP_LANE]
    days = range((CATCHUP_TO - CATCHUP_FROM).days + 1)
    runs = [f"scheduled__{(CATCHUP_FROM + timedelta(days=day)).isoformat()}" for day in days]

    airflow.wait_for_dag(dag_id)
    airflow.unpause(dag_id)
    states = [_wait_for_scheduled_run(airflow, dag_id, run_id) for run_id in runs]

    assert states == ["failed"] * len(runs)
    for run_id in runs:
        _assert_too_late(log_of(airflow, dag_id, run_id, "call"))

    for run_id in runs[:5]:
        assert clear_and_wait(airflow, dag_id, run_id, "call") == "failed"
        log = log_of(airflow, dag_id, run_id, "call")
        if HAS_LEDGER:
            _assert_too_late(log)
        else:
            # Nothing tells there that the first try did not call, so a second one asks no further.
            assert "No call was made in this try" in log
    assert simulator.rings == {}
    assert simulator.stats().requests == 0


def _wait_for_scheduled_run(airflow: LocalAirflow, dag_id: str, run_id: str) -> str:
    def there() -> bool:
        try:
            return bool(airflow.run_state(dag_id, run_id))
        except Refused as refusal:
            if refusal.status != HTTPStatus.NOT_FOUND:
                raise
            # The scheduler makes a run once fewer than `max_active_runs` are active.
            return False

    airflow.wait_until(there, 120, f"the scheduler has made {run_id}")
    return airflow.wait_for_run(dag_id, run_id)


def _assert_too_late(log: str) -> None:
    assert "The call was not made" in log
    assert "max_age" in log
    assert "No phone rang" in log


def test_no_log_holds_a_token_or_a_whole_phone_number(airflow, lanes):
    secrets = {simulator.token for simulator in lanes.values()}
    secrets |= {phone for simulator in lanes.values() for phone in simulator.rings}
    secrets |= {CATCHUP_PHONE}
    assert len(secrets) > 10, "run the whole module: this test reads what the others have left"
    wanted = {secret: secret.encode() for secret in secrets}

    files = [file for file in (airflow.home / "logs").rglob("*") if file.is_file()]
    assert len(files) > 10
    contents = {file: file.read_bytes() for file in files}
    found = [(file, secret) for file, content in contents.items() for secret, text in wanted.items() if text in content]

    assert found == []


@needs_ledger
def test_a_look_up_gives_the_lane_back_between_its_looks_and_finds_the_call_that_rang(airflow, lanes):
    dag_id, simulator = "scheduler_look_up", lanes[LOOK_UP_LANE]
    simulator.hold_reports()
    simulator.fault("drop_after_ringing", phone=LOOK_UP_PHONE)
    run_id = airflow.trigger(dag_id)
    airflow.wait_for_task(dag_id, run_id, "looked_up", ["up_for_reschedule"])
    # No report shows the call yet, and the next one in the lane is made all the same.
    airflow.wait_for_task(dag_id, run_id, "next", ["success"])

    simulator.release_reports()
    assert airflow.wait_for_run(dag_id, run_id) == "success"
    assert simulator.rings == {LOOK_UP_PHONE: 1, LOOK_UP_NEXT_PHONE: 1}
    [rang] = [call.conn_id for call in simulator.calls if call.phone == LOOK_UP_PHONE]
    assert airflow.xcom(dag_id, run_id, "looked_up", "conn_id") == rang
    assert airflow.task_instance(dag_id, run_id, "looked_up").try_number == 1
    assert simulator.stats().greatest_simultaneous == 1
