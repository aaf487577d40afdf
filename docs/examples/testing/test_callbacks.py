"""Tests of a DAG of calls, as its author writes them."""

from __future__ import annotations

# --8<-- [start:rings]
import pytest

pytestmark = pytest.mark.usefixtures("airflow_database")


@pytest.fixture
def callbacks():
    from wolkvox_aux_call import wolkvox_aux_call

    return wolkvox_aux_call()


def test_each_customer_is_rung_once(wolkvox_simulator, wolkvox_connection, callbacks):
    run = callbacks.test()

    assert run.state == "success"
    assert wolkvox_simulator.rings == {f"300555010{n}": 1 for n in (1, 2, 3, 4)}


# --8<-- [end:rings]


# --8<-- [start:faults]
def test_an_answer_that_is_lost_rings_nobody_again(wolkvox_simulator, wolkvox_connection, callbacks):
    wolkvox_simulator.fault("drop_after_ringing", phone="3005550101")

    run = callbacks.test()

    assert run.state == "failed"
    assert wolkvox_simulator.rings["3005550101"] == 1


def test_a_refusal_leaves_the_other_customers_their_calls(wolkvox_simulator, wolkvox_connection, callbacks):
    wolkvox_simulator.fault("quota", agent_id="10002", times=None)

    run = callbacks.test()

    assert run.state == "failed"
    assert wolkvox_simulator.rings == {f"300555010{n}": 1 for n in (1, 3, 4)}


# --8<-- [end:faults]


# --8<-- [start:agents]
def test_an_agent_who_is_logged_out_rings_nobody(wolkvox_simulator, wolkvox_connection, callbacks):
    wolkvox_simulator.change_agent("10003", logged_in=False)

    run = callbacks.test()

    assert run.state == "failed"
    assert "3005550103" not in wolkvox_simulator.rings


# --8<-- [end:agents]


# --8<-- [start:options]
@pytest.mark.parametrize("wolkvox_simulator_options", [{"agents": ["20001"]}])
def test_agents_of_another_operation_ring_nobody(wolkvox_simulator, wolkvox_connection, callbacks):
    assert callbacks.test().state == "failed"
    assert not wolkvox_simulator.rings


# --8<-- [end:options]


# --8<-- [start:connections]
def test_each_connection_has_a_token_of_its_own(wolkvox_simulator, wolkvox_connect):
    from wolkvox_callbacks_by_token import CONNECTIONS, wolkvox_callbacks_by_token

    calls = [
        {"wolkvox_conn_id": wolkvox_connect(conn_id), "agent_id": "10001", "customer_phone": f"30055502{place:02}"}
        for place, conn_id in enumerate(CONNECTIONS)
    ]

    run = wolkvox_callbacks_by_token().test(run_conf={"callbacks": calls})

    assert run.state == "success"
    assert wolkvox_simulator.rings == {call["customer_phone"]: 1 for call in calls}
    assert [wolkvox_simulator.stats(token).requests for token in wolkvox_simulator.tokens] == [1, 1, 1, 1]


# --8<-- [end:connections]
