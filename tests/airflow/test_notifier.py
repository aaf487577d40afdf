"""`WolkvoxCallNotifier` in a failed task's process, and the DAG that rings; `test_integrations` has a scheduler."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from unittest import mock

import pytest
from airflow.providers.common.compat.sdk import DAG, BaseNotifier, BaseOperator
from capabilities import HAS_TASK_SDK, DagSerialization
from samples import AGENT, PHONE, TOKEN
from task_runner import Server, run_try

from airflow_provider_wolkvox.notifications.wolkvox import WolkvoxCallNotifier, on_call_dag, on_call_run_id
from airflow_provider_wolkvox.operators.dial import DialOperator

FAILED = {"dag_id": "d", "run_id": "r", "task_id": "t", "map_index": -1, "try_number": 1, "task": "d.t"}


class Failing(BaseOperator):
    def execute(self, context):
        raise RuntimeError("the failure of the task itself")


# The one run


@pytest.mark.parametrize("once_per", ["failure", "run"])
@pytest.mark.parametrize("dag_id", ["d", "año.uno-dos", "x" * 250])
def test_a_runs_id_is_one_that_airflow_takes(once_per, dag_id):
    from airflow.configuration import conf

    run_id = on_call_run_id({**FAILED, "dag_id": dag_id, "task_id": "y" * 250}, once_per)
    assert re.fullmatch(conf.get("scheduler", "allowed_run_id_pattern"), run_id)
    assert len(run_id) <= 250
    assert not run_id.startswith(("manual__", "scheduled__", "backfill__", "asset_triggered__"))


@pytest.mark.parametrize("name", ["dag_id", "run_id", "task_id", "map_index", "try_number"])
def test_a_runs_id_is_of_one_failure_alone(name):
    other = {**FAILED, name: 7 if isinstance(FAILED[name], int) else "other"}
    assert on_call_run_id(FAILED, "failure") != on_call_run_id(other, "failure")
    same_run = name not in ("dag_id", "run_id")
    assert (on_call_run_id(FAILED, "run") == on_call_run_id(other, "run")) is same_run


def test_a_callback_that_is_no_tasks_says_so(everything_said):
    WolkvoxCallNotifier()({"dag": None, "run_id": "r"})
    assert "Nobody is rung: this callback is not a task's" in everything_said()


def test_an_option_that_cannot_be_right_is_refused_while_the_dag_is_parsed():
    with pytest.raises(ValueError, match="once_per must be one of 'failure', 'run'"):
        WolkvoxCallNotifier(once_per="week")


# Before 3.0 there is a database instead of a supervisor; its place is taken here.


class TestBefore30:
    @pytest.fixture
    def trigger_dag(self, monkeypatch):
        asked = mock.Mock()
        monkeypatch.setattr("airflow.api.common.trigger_dag.trigger_dag", asked)
        monkeypatch.setitem(sys.modules, "airflow.sdk.execution_time", None)
        return asked

    @staticmethod
    def taken(by_run_id):
        from airflow.exceptions import DagRunAlreadyExists

        run = SimpleNamespace(dag_id="d", run_id=by_run_id, logical_date=None)
        return DagRunAlreadyExists(run, *([] if HAS_TASK_SDK else [None, by_run_id]))

    def notify(self) -> None:
        WolkvoxCallNotifier()({"ti": SimpleNamespace(**FAILED), "dag": None})

    def test_the_database_is_asked_for_the_run_at_a_moment_of_its_own(self, trigger_dag):
        self.notify()
        run_id = on_call_run_id(FAILED, "failure")
        trigger_dag.assert_called_once_with(
            dag_id="wolkvox_on_call", run_id=run_id, conf={"failed": FAILED}, replace_microseconds=False
        )

    def test_the_very_run_is_not_made_twice(self, trigger_dag, everything_said):
        trigger_dag.side_effect = self.taken(on_call_run_id(FAILED, "failure"))
        self.notify()
        assert trigger_dag.call_count == 1
        assert "Nobody is rung again" in everything_said()

    def test_another_run_of_the_same_moment_is_not_taken_for_it(self, trigger_dag, everything_said):
        trigger_dag.side_effect = [self.taken("another"), None]
        self.notify()
        assert trigger_dag.call_count == 2
        assert "The on-call person is rung by run" in everything_said()

    def test_a_database_that_is_down_hides_nothing(self, trigger_dag, everything_said):
        trigger_dag.side_effect = OSError("down")
        self.notify()
        assert "Nobody is known to be rung" in everything_said()


# The DAG that rings


def test_the_on_call_dag_has_one_task_in_its_lane_for_a_short_time():
    dag = on_call_dag(agent_id=AGENT, customer_phone=PHONE, wolkvox_conn_id="on_call")
    data = DagSerialization.to_dict(dag)
    DagSerialization.validate_schema(data)
    [read] = DagSerialization.from_dict(data).tasks
    [ring] = dag.tasks
    assert isinstance(ring, DialOperator)
    assert (dag.dag_id, dag.is_paused_upon_creation, dag.catchup) == ("wolkvox_on_call", False, False)
    assert (read.pool, read.wolkvox_conn_id, read.retries) == ("on_call", "on_call", 2)
    assert (ring.max_age, ring.calling_hours) == (timedelta(minutes=15), None)


def test_its_arguments_are_a_dials():
    dag = on_call_dag(
        "night", agent_id=AGENT, customer_phone="{{ var.value.p }}", retries=0, calling_hours="CO", tags=[]
    )
    [ring] = dag.tasks
    assert (dag.dag_id, ring.retries, ring.calling_hours) == ("night", 0, "CO")
    with pytest.raises(ValueError, match="customer_phone"):
        on_call_dag(agent_id=AGENT, customer_phone="nobody")


def run_on_call(server, **options):
    def ring(dag):
        [made] = on_call_dag(agent_id=AGENT, customer_phone="{{ var.value.on_call_phone }}").tasks
        return DialOperator(
            task_id="ring",
            **{
                name: getattr(made, name)
                for name in ("agent_id", "customer_phone", "max_age", "calling_hours", "customer_name")
            },
        )

    server.variables["on_call_phone"] = PHONE
    return run_try(ring, server, **options)


def test_the_person_is_rung_and_a_run_without_conf_will_do_to_try_it_out(simulator, wolkvox_connection):
    run = run_on_call(Server())
    assert run.state == "success", run.error
    assert simulator.rings == {PHONE: 1}


def test_who_could_not_be_rung_in_time_is_not_rung(simulator, wolkvox_connection, everything_said):
    run = run_on_call(Server(), due=datetime.now(UTC) - timedelta(minutes=16))
    assert run.state == "failed"
    assert "max_age" in str(run.error)
    assert simulator.stats().requests == 0
    said = everything_said()
    assert PHONE not in said
    assert TOKEN not in said


def test_a_notifier_is_one_and_costs_a_dag_file_little():
    assert issubclass(WolkvoxCallNotifier, BaseNotifier)
    with DAG("d", schedule=None, default_args={"on_failure_callback": WolkvoxCallNotifier()}) as dag:
        Failing(task_id="fails")
    DagSerialization.validate_schema(DagSerialization.to_dict(dag))
    program = """
import sys
import airflow.providers.common.compat.sdk as sdk
sdk.BaseNotifier
before = set(sys.modules)
from airflow_provider_wolkvox.notifications import wolkvox
print([name for name in ("requests", "holidays", "phonenumbers") if name in sys.modules and name not in before])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
