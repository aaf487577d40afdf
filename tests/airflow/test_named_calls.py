"""A list of mapped calls says of each who was to call whom, and what came of it."""

from __future__ import annotations

from uuid import uuid4

import pytest
from airflow.providers.common.compat.sdk import task
from capabilities import needs_ledger
from samples import AGENT, PHONE
from task_runner import Server
from test_only_data import Tried

from airflow_provider_wolkvox.operators.aux_call import AuxCallOperator

pytestmark = pytest.mark.usefixtures("wolkvox_connection", "own_sigterm")

CALL = {"agent_id": AGENT, "customer_phone": PHONE}
NAMED = "10001 → ***0101"


def name_of(tried: Tried) -> str:
    return tried._ti.rendered_map_index


def tried(server=None, call=CALL, **arguments) -> Tried:
    return Tried(
        lambda customers: AuxCallOperator.partial(task_id="call", **arguments).expand_kwargs(customers), [call], server
    )


def test_a_call_that_was_made_is_named_after_agent_and_masked_number(simulator):
    assert name_of(tried()) == f"{NAMED}: accepted"


@pytest.mark.parametrize(
    ("fault", "name"),
    [("drop_after_ringing", "in doubt"), ("quota", "refused"), ("api_off", "refused")],
)
def test_the_name_tells_whether_a_phone_may_have_rung(simulator, fault, name):
    simulator.fault(fault, api="aux_call", times=None)
    assert name_of(tried()) == f"{NAMED}: {name}"


def test_a_call_that_came_too_late_is_named_as_not_made(simulator):
    assert name_of(tried(call_before="2026-01-01T00:00:00-05:00")) == f"{NAMED}: not made"


@needs_ledger
def test_a_call_that_an_earlier_run_made_is_named_so(simulator):
    server = Server()
    tried(server)
    server.ti_id = uuid4()
    assert name_of(tried(server)) == f"{NAMED}: made before"
    assert simulator.rings == {PHONE: 1}


def test_what_stands_in_the_place_of_the_agent_is_not_shown(simulator):
    name = name_of(tried(call={"agent_id": PHONE, "customer_phone": "{{ 1 }}"}))
    assert name == "? → ***: not made"


def test_a_function_s_calls_are_named_too(simulator):
    def mapped(customers):
        @task.wolkvox_call
        def call(customer):
            return customer

        return call.expand(customer=customers).operator

    assert name_of(Tried(mapped, [CALL])) == f"{NAMED}: accepted"


def test_the_author_s_own_name_stands(simulator):
    assert name_of(tried(map_index_template="{{ task.agent_id }}")) == AGENT
