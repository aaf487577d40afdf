"""`WolkvoxHook.aux_call` in a task of an author's own: at most once, where a ledger in SQL remembers it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from airflow.providers.common.compat.sdk import BaseOperator
from samples import AGENT, PHONE, TOKEN
from task_runner import Server, run_try

from airflow_provider_wolkvox import at_most_once
from airflow_provider_wolkvox.hooks.wolkvox import WolkvoxHook
from airflow_provider_wolkvox.ledger.entry import CallState
from airflow_provider_wolkvox.operators.aux_call import AuxCallOperator
from airflow_provider_wolkvox.stop_switch import STOP_SWITCH

OTHER_PHONE = "3005550102"


class OwnTask(BaseOperator):
    """What an author writes: calls several customers, and may fail afterwards."""

    def __init__(self, *, phones=(PHONE,), fails=False, agent_id=AGENT, key=None, **kwargs) -> None:
        super().__init__(**kwargs)
        self.phones, self.fails, self.agent_id, self.key = phones, fails, agent_id, key

    def execute(self, context):
        calls = [WolkvoxHook().aux_call(self.agent_id, phone, idempotency_key=self.key) for phone in self.phones]
        if self.fails:
            raise RuntimeError("something after the call")
        return [call.conn_id for call in calls]


def own(**given):
    return lambda dag: OwnTask(**{"task_id": "own", **given})


def attempt(make=None, **options):
    return run_try(make or own(), Server(), **options)


def test_a_task_that_fails_after_its_call_and_is_retried_calls_once(ledger, simulator, wolkvox_connection):
    for number in (1, 2):
        assert attempt(own(fails=True), try_number=number, retries=2).state == "up_for_retry"
    last = attempt(try_number=3, max_tries=2)

    assert simulator.rings == {PHONE: 1}
    assert last.xcoms["return_value"] == [simulator.calls[0].conn_id]
    [entry] = ledger.find()
    assert (entry.state, entry.agent_id, entry.phone) == (CallState.ACCEPTED, AGENT, "***0101")


def test_several_calls_of_one_task_are_told_apart_by_customer(ledger, simulator, wolkvox_connection):
    first = attempt(own(phones=(PHONE, OTHER_PHONE)))
    again = attempt(own(phones=(OTHER_PHONE, PHONE)), try_number=2, max_tries=1)

    assert simulator.rings == {PHONE: 1, OTHER_PHONE: 1}
    assert again.xcoms["return_value"] == first.xcoms["return_value"][::-1]


def test_an_operators_call_and_that_of_a_hook_are_one(ledger, simulator, wolkvox_connection):
    arguments = {"agent_id": AGENT, "customer_phone": PHONE, "calling_hours": None}
    made = run_try(lambda dag: AuxCallOperator(task_id="ring", **arguments), Server())
    assert attempt().xcoms["return_value"] == [made.xcoms["conn_id"]]
    assert simulator.rings == {PHONE: 1}


def test_a_call_in_doubt_is_not_made_again(ledger, simulator, wolkvox_connection):
    simulator.fault("drop_after_ringing", phone=PHONE)
    for number in (1, 2):
        run = attempt(try_number=number, retries=2)
        # Not up_for_retry: a retry could only meet the same doubt.
        assert run.state == "failed"
        assert "outcome of this call is unknown" in str(run.error)
        assert "airflow wolkvox settle" in str(run.error)
    assert simulator.rings == {PHONE: 1}
    assert [entry.state for entry in ledger.find()] == [CallState.INTENT]


def test_a_call_that_certainly_rang_nobody_is_made_by_the_retry(ledger, simulator, wolkvox_connection):
    simulator.fault("busy", times=None)
    assert attempt(retries=1).state == "up_for_retry"
    simulator.clear_faults()
    assert attempt(try_number=2, max_tries=1).state == "success"
    assert simulator.rings == {PHONE: 1}


def test_the_stop_switch_and_the_cap_of_the_connection_hold(ledger, simulator, set_connection):
    set_connection(extra={"base_url": simulator.base_url, "cap": "1 in 2 hours"})
    stopped = run_try(own(), Server(variables={STOP_SWITCH: "true"}))
    assert stopped.state == "failed"
    assert "wolkvox_stop" in str(stopped.error)
    assert attempt(own(key="first")).state == "success"
    over = attempt(own(key="second"))
    assert over.state == "failed"
    assert "at most 1 call within 2:00:00" in str(over.error)
    assert simulator.rings == {PHONE: 1}
    reasons = {entry.reason_code: entry.next_allowed for entry in ledger.find(states=[CallState.SKIPPED])}
    assert timedelta(hours=1) < reasons["cap"] - datetime.now(UTC) <= timedelta(hours=2)


def test_one_key_for_two_different_calls_is_an_error_before_any_request(ledger, simulator, wolkvox_connection):
    assert attempt(own(key="invoice 17")).state == "success"
    requests = simulator.stats().requests
    other = attempt(own(key="invoice 17", agent_id="10002"))
    assert other.state == "failed"
    assert "another customer or arguments" in str(other.error)
    assert simulator.stats().requests == requests


@pytest.mark.parametrize("key", ["", "  "])
def test_an_empty_key_calls_nobody(ledger, simulator, wolkvox_connection, key):
    run = attempt(own(key=key))
    assert run.state == "failed"
    assert "idempotency_key is empty" in str(run.error)
    assert not simulator.rings


@pytest.mark.parametrize("kind", ["hook", "operator"])
def test_a_number_in_the_agents_place_is_in_the_ledger_no_whole_number(
    ledger, simulator, wolkvox_connection, tmp_path, kind
):
    if kind == "hook":
        run = attempt(own(agent_id=PHONE, phones=(AGENT,)))
    else:
        swapped = {"agent_id": PHONE, "customer_phone": AGENT, "calling_hours": None}
        run = run_try(lambda dag: AuxCallOperator(task_id="ring", **swapped), Server())
    assert run.state == "failed"
    [entry] = ledger.find()
    assert (entry.state, entry.agent_id) == (CallState.REFUSED, "***0101")
    assert PHONE not in str(run.error)
    assert all(PHONE.encode() not in file.read_bytes() for file in tmp_path.glob("ledger.db*"))


def test_a_token_in_use_elsewhere_means_no_call(ledger, simulator, wolkvox_connection, monkeypatch):
    monkeypatch.setattr(at_most_once, "LEASE_WAIT", 0.0)
    ledger.take_lease(TOKEN, "another deployment", 60.0)
    assert attempt(retries=1).state in ("up_for_reschedule", "up_for_retry")
    assert not simulator.rings


def test_without_a_ledger_in_sql_the_log_says_that_nothing_remembers_the_call(
    simulator, wolkvox_connection, everything_said
):
    assert attempt().state == "success"
    assert "Nothing keeps this call from being made again if its task runs again" in everything_said()
    assert simulator.rings == {PHONE: 1}


@pytest.mark.parametrize("configured", [True, False])
def test_outside_of_a_task_nothing_remembers_the_call(
    request, simulator, wolkvox_connection, everything_said, configured
):
    if configured:
        request.getfixturevalue("ledger")
    assert WolkvoxHook().aux_call(AGENT, PHONE).conn_id
    assert "it is not made within a task" in everything_said()
    with pytest.raises(ValueError, match="idempotency_key needs a ledger in SQL within a task"):
        WolkvoxHook().aux_call(AGENT, PHONE, idempotency_key="a key")
    assert simulator.rings == {PHONE: 1}
