"""`WolkvoxCallNotifier` in a failed task's process, and the DAG that rings; `test_integrations` has a scheduler."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from unittest import mock

import pytest
from airflow.dag_processing.processor import ToDagProcessor
from airflow.sdk import DAG, BaseNotifier, BaseOperator
from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time import comms, task_runner
from airflow.serialization.serialized_objects import DagSerialization
from pydantic import TypeAdapter
from samples import AGENT, PHONE, TOKEN
from task_runner import DAG_ID, RUN_ID, Server, run_try

from airflow_provider_wolkvox.notifications.wolkvox import WolkvoxCallNotifier, on_call_dag, on_call_run_id
from airflow_provider_wolkvox.operators.dial import DialOperator

FAILED = {"dag_id": "d", "run_id": "r", "task_id": "t", "map_index": -1, "try_number": 1, "task": "d.t"}


class Failing(BaseOperator):
    def execute(self, context):
        raise RuntimeError("the failure of the task itself")


class Supervisor(Server):
    """A server that makes runs, or does not."""

    def __init__(self, answer=None, told=comms.ToTask) -> None:
        super().__init__()
        self.body_decoder = TypeAdapter(told)
        self.answer = answer or comms.OKResponse(ok=True)
        self.asked: list[comms.TriggerDagRun] = []

    def _answer(self, msg):
        if not isinstance(msg, comms.TriggerDagRun):
            return super()._answer(msg)
        if any((msg.dag_id, msg.run_id) == (one.dag_id, one.run_id) for one in self.asked):
            return comms.ErrorResponse(error=ErrorType.DAGRUN_ALREADY_EXISTS)
        self.asked.append(msg)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def fail(server, *callbacks, map_index=-1, **options) -> str:
    """Let a task fail, and its callbacks run, as Airflow's own task runner does; return its error's words."""
    ended = []

    def around(ti):
        ti.map_index = map_index
        ended.append(ti)

    run = run_try(
        lambda dag: Failing(task_id="fails", on_failure_callback=list(callbacks)), server, around=around, **options
    )
    [ti] = ended
    with mock.patch.object(task_runner, "SUPERVISOR_COMMS", server, create=True):
        context = ti.get_template_context()
        context["exception"] = run.error
        task_runner.finalize(ti, task_runner.TaskInstanceState(run.state), context, task_runner.log, run.error)
    assert run.state == "failed"
    return str(run.error)


def api_error(status: int, reason: str, message: str) -> AirflowRuntimeError:
    """What the supervisor makes of the API server's refusal."""
    detail = {"status_code": status, "message": reason, "detail": {"detail": {"reason": reason, "message": message}}}
    return AirflowRuntimeError(comms.ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail=detail))


# Asking for a run


def test_a_failed_task_asks_for_one_run_of_the_on_call_dag_and_says_what_failed(everything_said):
    server = Supervisor()
    assert fail(server, WolkvoxCallNotifier()) == "the failure of the task itself"

    [asked] = server.asked
    assert asked.dag_id == "wolkvox_on_call"
    assert asked.conf == {
        "failed": {
            "dag_id": DAG_ID,
            "run_id": RUN_ID,
            "task_id": "fails",
            "map_index": -1,
            "try_number": 1,
            "task": f"{DAG_ID}.fails",
        }
    }
    assert asked.reset_dag_run is False
    assert f"The on-call person is rung by run {asked.run_id} of DAG wolkvox_on_call" in everything_said()


def test_the_same_failure_told_twice_asks_for_the_same_run(everything_said):
    server = Supervisor()
    fail(server, WolkvoxCallNotifier(), WolkvoxCallNotifier())
    assert len(server.asked) == 1
    assert "Nobody is rung again: there is a run" in everything_said()


def test_each_map_index_and_each_try_is_a_failure_of_its_own():
    server = Supervisor()
    fail(server, WolkvoxCallNotifier(), map_index=0)
    fail(server, WolkvoxCallNotifier(), map_index=1)
    fail(server, WolkvoxCallNotifier(), map_index=1, try_number=2)
    assert len({asked.run_id for asked in server.asked}) == 3


def test_once_for_a_run_is_once_however_many_of_its_tasks_fail():
    server = Supervisor()
    for map_index, try_number in ((0, 1), (1, 1), (1, 2)):
        fail(server, WolkvoxCallNotifier(once_per="run"), map_index=map_index, try_number=try_number)
    assert len(server.asked) == 1


def test_the_dags_id_is_a_template():
    server = Supervisor()
    fail(server, WolkvoxCallNotifier(on_call_dag_id="on_call_of_{{ dag.dag_id }}"))
    assert server.asked[0].dag_id == f"on_call_of_{DAG_ID}"


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


# What keeps somebody from being rung is said, and hides nothing


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (
            api_error(404, "Server returned error", "Dag with dag_id: 'wolkvox_on_call' not found"),
            "Nobody is rung: Airflow made no run of 'wolkvox_on_call': API_SERVER_ERROR, Dag with dag_id: "
            "'wolkvox_on_call' not found.",
        ),
        (
            comms.ErrorResponse(error=ErrorType.PERMISSION_DENIED, detail={"message": "not allowed"}),
            "Nobody is rung: Airflow made no run of 'wolkvox_on_call': PERMISSION_DENIED, not allowed.",
        ),
        (AirflowRuntimeError(comms.ErrorResponse()), "Nobody is rung: Airflow made no run of 'wolkvox_on_call'"),
        (EOFError("closed"), "Nobody is known to be rung: Airflow did not say that it made a run of 'wolkvox_on_call'"),
    ],
)
def test_a_refusal_is_logged_with_its_reason(everything_said, answer, reason):
    assert fail(Supervisor(answer), WolkvoxCallNotifier()) == "the failure of the task itself"
    assert reason in everything_said()


def test_a_template_that_cannot_be_rendered_is_logged(everything_said):
    server = Supervisor()
    assert fail(server, WolkvoxCallNotifier(on_call_dag_id="{{ 1 // 0 }}")) == "the failure of the task itself"
    assert server.asked == []
    assert "Nobody is rung: ZeroDivisionError" in everything_said()


def in_dag_processor():
    """The line of a process in which the DAG processor runs callbacks: what is not known there is never answered."""
    return Supervisor(AssertionError("this would wait for ever"), told=ToDagProcessor)


@pytest.mark.parametrize(
    "supervisor", [in_dag_processor, lambda: None, SimpleNamespace], ids=["DAG processor", "none", "dag.test()"]
)
def test_a_process_that_cannot_ask_says_so_and_does_not_ask(everything_said, supervisor):
    context = {"ti": SimpleNamespace(**FAILED), "dag": None}
    line = supervisor()
    with mock.patch.object(task_runner, "SUPERVISOR_COMMS", line, create=True):
        WolkvoxCallNotifier()(context)
    assert getattr(line, "asked", []) == []
    said = everything_said()
    assert "Nobody is rung: this process cannot ask for a run" in said
    assert "trigger_rule='one_failed'" in said


def test_a_callback_that_is_no_tasks_says_so(everything_said):
    WolkvoxCallNotifier()({"dag": None, "run_id": "r"})
    assert "Nobody is rung: this callback is not a task's" in everything_said()


def test_an_option_that_cannot_be_right_is_refused_while_the_dag_is_parsed():
    with pytest.raises(ValueError, match="once_per='week' is none of 'failure', 'run'"):
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

        return DagRunAlreadyExists(SimpleNamespace(dag_id="d", run_id=by_run_id, logical_date=None))

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
import airflow.sdk
from airflow_provider_wolkvox.notifications import wolkvox
print([name for name in ("requests", "holidays", "phonenumbers") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
