"""A test of a function that calls through the hook: no DAG, and no database."""

from __future__ import annotations


# --8<-- [start:function]
def call_back(agent_id, phone):
    from airflow_provider_wolkvox.hooks.wolkvox import WolkvoxHook

    return WolkvoxHook().aux_call(agent_id, phone).conn_id


def test_the_agent_rings_the_customer(wolkvox_simulator, wolkvox_connection):
    conn_id = call_back("10001", "3005550101")

    [call] = wolkvox_simulator.calls
    assert (call.conn_id, call.api, call.agent_id, call.phone) == (conn_id, "aux_call", "10001", "3005550101")


# --8<-- [end:function]
