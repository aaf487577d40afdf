"""Who is not the task any more reports nothing; whatever else ends a batch, its results are reported."""

from __future__ import annotations

import pytest
from airflow.providers.common.compat.sdk import AirflowTaskTimeout
from capabilities import HAS_TASK_SDK, needs_ledger
from samples import AGENT, PHONE
from test_batch import ALL_ONCE, CALLS, PHONES, batch, states

from airflow_provider_wolkvox.operators.aux_call import AuxCallOperator

if not HAS_TASK_SDK:
    pytest.skip("sets the server's answers, which a task of 2.11 reads from the database", allow_module_level=True)

from uuid import uuid4

from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time import comms
from sdk_runner import Server, kind_of, run_try

pytestmark = pytest.mark.usefixtures("own_sigterm")

RINGS = 4


@pytest.fixture
def server() -> Server:
    return Server()


def down(message=None) -> None:
    raise AirflowRuntimeError(comms.ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail={"status_code": 503}))


def after_rings(simulator, server, do, *, of="GetTaskStates", once=True) -> None:
    """Do something before a message of some kind, once so many phones have rung."""
    done = []

    def on_message(message, when) -> None:
        if when == "before" and kind_of(message).startswith(of) and len(simulator.calls) >= RINGS:
            if once and done:
                return
            done.append(message)
            do(message)

    server.on_message = on_message


def cleared(server):
    def clear(message) -> None:
        server.ti_id = uuid4()

    return clear


def finished_by_another(server):
    def finish(message) -> None:
        server.task_state = "success"

    return finish


REPORTS = {"summary", "left", "return_value"}


@pytest.mark.parametrize("superseded", [pytest.param(cleared, marks=needs_ledger), finished_by_another])
def test_a_batch_whose_task_was_cleared_reports_nothing(simulator, wolkvox_connection, server, tmp_path, superseded):
    after_rings(simulator, server, superseded(server))
    files = {"results_path": str(tmp_path / "results.jsonl"), "report_path": str(tmp_path / "report.md")}
    run = run_try(batch(**files), server, retries=2)
    assert run.state in ("failed", "up_for_retry")
    assert RINGS <= len(simulator.calls) < len(CALLS)
    assert not REPORTS & set(run.xcoms)
    assert list(tmp_path.iterdir()) == []


@needs_ledger
def test_a_batch_that_was_cleared_at_its_very_end_reports_nothing(simulator, wolkvox_connection, server):
    def clear_at_the_end(message, when) -> None:
        if when == "before" and len(simulator.calls) == len(CALLS):
            server.ti_id = uuid4()

    server.on_message = clear_at_the_end
    run = run_try(batch(), server)
    assert run.state == "failed"
    assert "Nothing of this is reported" in str(run.error)
    assert not REPORTS & set(run.xcoms)
    assert simulator.rings == ALL_ONCE


@pytest.mark.parametrize("of", ["GetTaskStates", "GetVariable"])
def test_one_question_that_the_server_does_not_answer_leaves_the_report(simulator, wolkvox_connection, server, of):
    after_rings(simulator, server, down, of=of)
    run = run_try(batch(), server, retries=2)
    assert run.state in ("up_for_retry", "failed")
    rang = len(simulator.calls)
    assert RINGS <= rang < len(CALLS)
    assert run.xcoms["summary"]["accepted"] == rang
    assert [each["customer_phone"] for each in run.xcoms["left"]] == PHONES[rang:]


def test_nobody_is_left_for_the_next_batch_while_the_server_does_not_say_whose_the_task_is(
    simulator, wolkvox_connection, server
):
    after_rings(simulator, server, down, once=False)
    run = run_try(batch(), server, retries=2)
    assert run.state in ("up_for_retry", "failed")
    assert run.xcoms["summary"]["accepted"] == len(simulator.calls)
    assert "left" not in run.xcoms


def test_a_batch_that_runs_into_its_time_limit_reports_who_was_called(simulator, wolkvox_connection, server):
    def time_is_up(message) -> None:
        raise AirflowTaskTimeout("Timeout")

    after_rings(simulator, server, time_is_up)
    run = run_try(batch(), server)
    assert "Timeout" in str(run.error)
    assert run.xcoms["summary"]["accepted"] == len(simulator.calls)


def test_what_fails_while_the_results_are_reported_does_not_hide_why_the_batch_ended(
    simulator, wolkvox_connection, server
):
    simulator.fault("quota", api="aux_call", after=3, times=None)
    server.on_message = lambda message, when: down() if when == "before" and kind_of(message) == "SetXCom" else None
    run = run_try(batch(), server)
    assert run.state == "failed"
    assert "TOKEN LIMIT EXCEEDED" in str(run.error)
    assert "SetXCom" not in server.kinds()


def test_what_fails_while_a_whole_batch_is_reported_fails_the_task(simulator, wolkvox_connection, server):
    server.on_message = lambda message, when: down() if when == "before" and kind_of(message) == "SetXCom" else None
    run = run_try(batch(), server)
    assert run.state == "failed"
    assert simulator.rings == ALL_ONCE


@pytest.mark.parametrize("state", ["success", "failed", "restarting"])
def test_a_call_whose_task_another_try_took_over_meanwhile_is_not_reported(simulator, wolkvox_connection, state):
    server = Server()

    def taken_over(message, when) -> None:
        if when == "before" and len(simulator.calls) == 1:
            server.task_state = state

    server.on_message = taken_over
    run = run_try(lambda dag: AuxCallOperator(task_id="task", agent_id=AGENT, customer_phone=PHONE), server)
    assert run.state == "failed"
    assert "was made: accepted" in str(run.error)
    assert not {"conn_id", "return_value"} & set(run.xcoms)


@needs_ledger
@pytest.mark.parametrize("many", [False, True])
def test_a_task_that_failed_before_its_first_request_calls_once_it_is_cleared(simulator, wolkvox_connection, many):
    server = Server()
    # What Airflow itself pushes for each try, whatever became of it.
    server.xcoms["_link_WolkvoxManagerLink"] = "https://wv0042.wolkvox.com/"
    server.ti_id = uuid4()
    make = batch() if many else lambda dag: AuxCallOperator(task_id="task", agent_id=AGENT, customer_phone=PHONE)
    run = run_try(make, server, try_number=2, max_tries=1)
    assert run.state == "success", run.error
    assert states(run) == ["accepted"] * len(CALLS) if many else simulator.rings == {PHONE: 1}


@needs_ledger
@pytest.mark.parametrize("left", ["return_value", "conn_id"])
def test_a_task_whose_result_is_there_without_a_ledger_still_calls_nobody(simulator, wolkvox_connection, left):
    server = Server()
    server.xcoms[left] = "10001.0101.1795369706.10001"
    server.ti_id = uuid4()
    run = run_try(
        lambda dag: AuxCallOperator(task_id="task", agent_id=AGENT, customer_phone=PHONE),
        server,
        try_number=2,
        max_tries=1,
    )
    assert run.state == "failed"
    assert "its result is in XCom while what was remembered of it is gone" in str(run.error)
    assert not simulator.rings
