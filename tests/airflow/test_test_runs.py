"""Test runs (`dags test`, `dag.test()`, `tasks test`) ring nobody unless the connection leads elsewhere."""

from __future__ import annotations

from unittest import mock

import pytest
from capabilities import HAS_TASK_SDK
from samples import AGENT, PHONE
from task_runner import Server, run_try

from airflow_provider_wolkvox.operators.aux_call import AuxCallOperator

WORDS = "This is a test run"


def call(dag):
    return AuxCallOperator(task_id="call", agent_id=AGENT, customer_phone=PHONE)


class InProcessSupervisorComms(Server):
    """What answers a task in `dag.test()` is of a class of this name; a test below runs the real one."""


def run_as_test():
    if HAS_TASK_SDK:
        return run_try(call, InProcessSupervisorComms())
    from airflow.models import TaskInstance

    real = TaskInstance._run_raw_task

    def without_job(self, **options):
        return real(self, **{**options, "job_id": None})

    with mock.patch.object(TaskInstance, "_run_raw_task", without_job):
        return run_try(call, Server())


@pytest.fixture
def real_wolkvox(set_connection):
    """A connection without `base_url`; its token is of no form, so that a test that fails sends nothing either."""
    set_connection(password="no token")


def test_a_test_run_calls_nobody(real_wolkvox):
    result = run_as_test()

    assert result.state == "failed"
    assert WORDS in str(result.error)
    assert "WOLKVOX_ALLOW_TEST_RUNS=1" in str(result.error)


def test_a_test_run_against_a_simulator_calls(wolkvox_connection, simulator):
    assert run_as_test().state == "success"
    assert simulator.rings == {PHONE: 1}


@pytest.mark.parametrize("value", ["0", "true", ""])
def test_only_1_allows_it(real_wolkvox, monkeypatch, value):
    monkeypatch.setenv("WOLKVOX_ALLOW_TEST_RUNS", value)
    assert WORDS in str(run_as_test().error)


def test_who_allows_it_gets_past(real_wolkvox, monkeypatch):
    monkeypatch.setenv("WOLKVOX_ALLOW_TEST_RUNS", "1")
    assert "the token holds a character" in str(run_as_test().error)


def test_a_run_by_a_worker_is_no_test_run(real_wolkvox):
    assert "the token holds a character" in str(run_try(call, Server()).error)
