"""A batch asks how its agents are, and what it says of them is so."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from uuid import uuid4

import pytest
from capabilities import needs_ledger
from task_runner import Server, run_try
from test_batch import ALL_ONCE, CALLS, batch, states

from airflow_provider_wolkvox.simulator import CallResult


@pytest.fixture
def server() -> Server:
    return Server()


def waiting(**arguments):
    given = {"agent_poll_interval": timedelta(seconds=0.2), "agent_timeout": timedelta(seconds=3), **arguments}
    return batch(wait_for_agents=True, **given)


@pytest.mark.parametrize("fault", ["api_off", "server_error"])
def test_agents_that_cannot_be_read_are_not_said_to_be_away(simulator, wolkvox_connection, server, fault):
    simulator.fault(fault, api="agents", times=None)
    run = run_try(waiting(agent_timeout=timedelta(seconds=0.5)), server, retries=1)
    assert run.state == "up_for_retry"
    assert "not logged in" not in str(run.xcoms)


def test_an_agent_whose_call_was_refused_gets_the_next(simulator, wolkvox_connection, server):
    calls = [{**call, "agent_id": "10001"} for call in CALLS[:2]]
    refusal = {"code": "404", "error": "NOT FOUND", "msg": "the customer has no cut call", "data": []}
    simulator.fault("reply", api="aux_call", phone=calls[0]["customer_phone"], status=404, body=refusal)
    # Ready for a while, as agents are.
    time.sleep(1.2)
    run = run_try(waiting(calls=calls, agent_timeout=timedelta(minutes=1)), server)
    assert run.state == "success", run.error
    assert states(run) == ["refused", "accepted"]


@needs_ledger
@pytest.mark.parametrize("fault", ["bad_token", "quota"])
def test_a_batch_that_ended_before_its_first_call_is_cleared_and_calls(simulator, wolkvox_connection, server, fault):
    simulator.fault(fault, api="agents", times=1)
    assert run_try(waiting(), server).state == "failed"
    assert not simulator.rings
    server.ti_id = uuid4()
    again = run_try(batch(), server, try_number=2, max_tries=1)
    assert again.state == "success", again.error
    assert simulator.rings == ALL_ONCE


def test_an_agent_who_comes_in_time_gets_their_call_and_others_go_first(simulator, wolkvox_connection, server):
    simulator.call_results = CallResult.of("ANSWER", ring_seconds=0, talk_seconds=0, acw_seconds=0)
    simulator.change_agent("10001", logged_in=False)

    def come() -> None:
        assert simulator.wait_for(lambda sim: len(sim.calls) == 4)
        simulator.change_agent("10001", logged_in=True)

    threading.Thread(target=come).start()
    run = run_try(waiting(calls=CALLS[:5], agent_timeout=timedelta(minutes=1)), server)
    assert run.state == "success", run.error
    assert set(states(run)) == {"accepted"}
    assert [call.agent_id for call in simulator.calls][-1] == "10001"


def test_an_agent_who_never_comes_has_their_calls_skipped_with_that_reason(simulator, wolkvox_connection, server):
    simulator.change_agent("10001", logged_in=False)
    run = run_try(waiting(calls=CALLS[:3], agent_timeout=timedelta(seconds=0.5)), server)
    assert states(run) == ["skipped", "accepted", "accepted"]
    assert "agent 10001 was not " in run.xcoms["return_value"][0]["reason"]


def test_one_request_reads_all_agents_and_at_most_one_an_interval(simulator, wolkvox_connection, server):
    simulator.change_agent("10001", on_call=True)
    run = run_try(
        waiting(calls=CALLS[:5], agent_poll_interval=timedelta(seconds=0.5), agent_timeout=timedelta(seconds=2)), server
    )
    assert states(run)[1:] == ["accepted"] * 4
    assert simulator.stats().requests - len(simulator.calls) <= 7
    assert simulator.stats().greatest_simultaneous == 1


def test_an_interval_of_nothing_is_refused():
    from airflow.providers.common.compat.sdk import DAG

    with DAG("endless", schedule=None) as dag, pytest.raises(ValueError, match="agent_poll_interval"):
        waiting(agent_poll_interval=timedelta(0))(dag)
