"""The Variable `wolkvox_stop` ends all calling, single calls too."""

from __future__ import annotations

import pytest
from capabilities import needs_ledger
from samples import AGENT, PHONE
from task_runner import Server, run_try

from airflow_provider_wolkvox.operators.aux_call import AuxCallOperator


def call(dag):
    return AuxCallOperator(task_id="task", agent_id=AGENT, customer_phone=PHONE, calling_hours=None)


@needs_ledger
@pytest.mark.parametrize("value", ["true", "1", "wolkvox_default", "another, wolkvox_default"])
def test_no_call_is_made_while_all_calling_is_stopped(simulator, wolkvox_connection, value):
    server = Server(variables={"wolkvox_stop": value})
    run = run_try(call, server, retries=3)
    assert run.state == "failed"
    assert "wolkvox_stop" in str(run.error)
    assert simulator.stats().requests == 0

    # Cleared once calling goes on.
    server.variables.clear()
    assert run_try(call, server, try_number=2, max_tries=4).state == "success"
    assert simulator.rings == {PHONE: 1}


@pytest.mark.parametrize("value", ["false", "0", "", "another"])
def test_a_switch_that_is_off_or_anothers_stops_nobody(simulator, wolkvox_connection, value):
    assert run_try(call, Server(variables={"wolkvox_stop": value})).state == "success"
    assert simulator.rings == {PHONE: 1}


@needs_ledger
def test_a_call_that_was_made_is_still_told_of(simulator, wolkvox_connection):
    server = Server()
    first = run_try(call, server)
    server.variables["wolkvox_stop"] = "true"
    again = run_try(call, server, try_number=2, max_tries=1)
    assert again.state == "success"
    assert again.xcoms["conn_id"] == first.xcoms["conn_id"]
