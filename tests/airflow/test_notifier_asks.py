"""What a failed task's process asks Airflow's API server for, so that `WolkvoxCallNotifier` has somebody rung."""

from __future__ import annotations

from types import SimpleNamespace
from unittest import mock

import pytest
from airflow.providers.common.compat.sdk import BaseOperator
from capabilities import HAS_TASK_SDK, NO_TASK_SDK
from task_runner import DAG_ID, RUN_ID, Server, run_try

from airflow_provider_wolkvox.notifications.wolkvox import WolkvoxCallNotifier

if not HAS_TASK_SDK:
    pytest.skip(NO_TASK_SDK, allow_module_level=True)

import structlog
from airflow.dag_processing.processor import ToDagProcessor
from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time import comms, task_runner
from pydantic import TypeAdapter

# Any refusal but the one that a run is there already.
REFUSED = getattr(ErrorType, "PERMISSION_DENIED", ErrorType.GENERIC_ERROR)

FAILED = {"dag_id": "d", "run_id": "r", "task_id": "t", "map_index": -1, "try_number": 1}


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
        task_runner.finalize(
            ti, task_runner.TaskInstanceState(run.state), context, structlog.get_logger("task"), run.error
        )
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
            comms.ErrorResponse(error=REFUSED, detail={"message": "not allowed"}),
            f"Nobody is rung: Airflow made no run of 'wolkvox_on_call': {REFUSED.value}, not allowed.",
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
