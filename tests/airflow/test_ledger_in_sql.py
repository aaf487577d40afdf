"""With a ledger in SQL, what was done is known to every task, run and deployment, on every Airflow."""

from __future__ import annotations

import contextlib
import getpass
import itertools
import json
from datetime import UTC, datetime, timedelta
from unittest import mock

import pytest
from capabilities import needs_ledger
from samples import AGENT, PHONE, TOKEN
from task_runner import Server, run_try
from tries import DAG_ID, RUN_ID

from airflow_provider_wolkvox import at_most_once
from airflow_provider_wolkvox.__main__ import main
from airflow_provider_wolkvox.api import WolkvoxClient
from airflow_provider_wolkvox.calling import Cap
from airflow_provider_wolkvox.cli import calls
from airflow_provider_wolkvox.hooks.wolkvox import WolkvoxHook
from airflow_provider_wolkvox.ledger.configuration import ledger_at
from airflow_provider_wolkvox.ledger.database import engine_of
from airflow_provider_wolkvox.ledger.entry import CallState, Claimed, Intent, Origin, Settlement
from airflow_provider_wolkvox.ledger.sql import SqlLedger
from airflow_provider_wolkvox.operators.agent import HangUpOperator
from airflow_provider_wolkvox.operators.aux_call import AuxCallBatchOperator, AuxCallOperator
from airflow_provider_wolkvox.operators.dial import DialOperator
from airflow_provider_wolkvox.phone import PhoneNumber
from airflow_provider_wolkvox.running_task import can_pause

OTHER_AGENT, OTHER_PHONE = "10002", "3005550102"
ONE_A_DAY = Cap(calls=1, within=timedelta(hours=24))
ONE_AN_HOUR = Cap(calls=1, within=timedelta(hours=1))


@pytest.fixture
def quick(monkeypatch):
    """A task that does not wait for a token in use."""
    monkeypatch.setattr(at_most_once, "LEASE_WAIT", 0.0)


def call(operator=AuxCallOperator, **given):
    arguments = {"task_id": "ring", "agent_id": AGENT, "customer_phone": PHONE, "calling_hours": None, **given}
    return lambda dag: operator(**arguments)


def attempt(make=None, **options):
    """One try by a task of which Airflow itself remembers nothing."""
    return run_try(make or call(), Server(), **options)


def states(ledger):
    return [entry.state for entry in ledger.find()]


def test_a_later_try_returns_the_same_conn_id_although_airflow_remembers_nothing(ledger, simulator, wolkvox_connection):
    first = attempt()
    again = attempt(try_number=2, max_tries=1)

    assert (first.state, again.state) == ("success", "success")
    assert first.xcoms["conn_id"] == again.xcoms["conn_id"] == simulator.calls[0].conn_id
    assert simulator.rings == {PHONE: 1}
    assert states(ledger) == [CallState.ACCEPTED]


def test_another_task_of_the_run_gets_the_first_ones_conn_id_and_says_which_task_called(
    ledger, simulator, wolkvox_connection, everything_said
):
    first = attempt()
    renamed = attempt(call(task_id="ring_after_a_deploy", agent_id=OTHER_AGENT))

    assert renamed.xcoms["conn_id"] == first.xcoms["conn_id"]
    assert simulator.rings == {PHONE: 1}
    said = everything_said()
    assert "This call was already made" in said
    assert "ring, try 1" in said


@pytest.mark.parametrize("spelling", ["300 555 0101", "+57 300 555 0101", "(300) 555-01-01"])
def test_a_customer_is_the_same_however_the_number_is_spelt(ledger, simulator, set_connection, spelling):
    set_connection(extra={"base_url": simulator.base_url, "country": "CO"})
    attempt()
    assert attempt(call(task_id="another", customer_phone=spelling)).state == "success"
    assert sum(simulator.rings.values()) == 1


def test_another_kind_of_call_and_another_customer_are_called(ledger, simulator, wolkvox_connection):
    for make in (call(), call(DialOperator, task_id="dial"), call(task_id="other", customer_phone=OTHER_PHONE)):
        assert attempt(make).state == "success"
    assert simulator.rings == {PHONE: 2, OTHER_PHONE: 1}


def test_a_mapped_list_that_shifted_between_clear_and_rerun_calls_each_customer_once(
    ledger, simulator, wolkvox_connection
):
    a, b, new = PHONE, OTHER_PHONE, "3005550103"
    for number, phone in enumerate((a, b)):
        assert attempt(call(task_id=f"ring_{number}", customer_phone=phone)).state == "success"
    for number, phone in enumerate((new, a, b)):
        run = attempt(call(task_id=f"ring_{number}", customer_phone=phone), try_number=2, max_tries=1)
        assert run.state == "success"
    assert simulator.rings == {a: 1, b: 1, new: 1}


def test_a_call_in_doubt_is_made_by_no_task(ledger, simulator, wolkvox_connection):
    simulator.fault("drop_after_ringing", phone=PHONE)
    first = attempt()
    again = attempt(call(task_id="another"), try_number=2, max_tries=1)

    for run in (first, again):
        assert run.state == "failed"
        assert "The outcome of this call is unknown" in str(run.error)
        assert "airflow wolkvox settle" in str(run.error)
        assert PHONE not in str(run.error)
    assert simulator.rings == {PHONE: 1}
    assert states(ledger) == [CallState.INTENT]


def test_a_call_that_another_task_makes_at_this_moment_is_waited_for_and_then_returned(
    ledger, simulator, wolkvox_connection
):
    key = PhoneNumber.parse(PHONE).key("")
    origin = Origin(namespace="default", dag_id=DAG_ID, run_id=RUN_ID, task_id="another", map_index=-1, try_number=1)
    intent = Intent(
        key=("run", "default", DAG_ID, RUN_ID, "aux_call", key), action="aux_call", origin=origin, customer=key
    )
    claimed = ledger.claim(intent)
    server = Server()

    waits = run_try(call(), server, retries=1)

    assert waits.state in ("up_for_reschedule", "up_for_retry")
    assert not simulator.rings
    ledger.settle(Settlement(claimed=claimed, state=CallState.ACCEPTED, conn_id="10001.0101.1.1"))
    assert run_try(call(), server, try_number=2, retries=1).xcoms["conn_id"] == "10001.0101.1.1"
    assert not simulator.rings


def test_a_rejected_call_is_made_by_a_later_try(ledger, simulator, wolkvox_connection):
    simulator.change_agent(AGENT, on_call=True)
    assert attempt().state == "failed"
    simulator.change_agent(AGENT, on_call=False)
    assert attempt(try_number=2, max_tries=1).state == "success"
    assert simulator.rings == {PHONE: 1}
    [entry] = ledger.find()
    assert [event.state for event in ledger.events(entry.intent_key)] == [
        CallState.INTENT,
        CallState.REFUSED,
        CallState.INTENT,
        CallState.ACCEPTED,
    ]


def test_a_stopped_task_leaves_its_reason_in_the_ledger_and_calls_once_calling_goes_on(
    ledger, simulator, wolkvox_connection
):
    server = Server()
    server.variables["wolkvox_stop"] = "true"
    assert run_try(call(), server).state == "failed"
    [entry] = ledger.find()
    assert (entry.state, entry.reason_code) == (CallState.SKIPPED, "stopped")
    assert "wolkvox_stop" in entry.reason
    assert not simulator.rings
    assert attempt(try_number=2, max_tries=1).state == "success"


# Keys of the author's


def test_two_deployments_with_one_idempotency_key_call_once(ledger, simulator, wolkvox_connection, monkeypatch):
    first = attempt(call(idempotency_key="invoice 17"))
    monkeypatch.setenv("AIRFLOW__WOLKVOX__NAMESPACE", "another deployment")
    second = attempt(call(task_id="another", idempotency_key="invoice 17"))

    assert second.xcoms["conn_id"] == first.xcoms["conn_id"]
    assert simulator.rings == {PHONE: 1}


@pytest.mark.parametrize(
    "other", [{"customer_phone": OTHER_PHONE}, {"agent_id": OTHER_AGENT}, {"operator": DialOperator}]
)
def test_one_idempotency_key_for_two_different_calls_is_an_error_before_any_request(
    ledger, simulator, wolkvox_connection, other
):
    attempt(call(idempotency_key="invoice 17"))
    before = simulator.stats().requests
    run = attempt(call(task_id="another", idempotency_key="invoice 17", **other))

    assert run.state == "failed"
    assert "idempotency_key must not change" in str(run.error)
    assert simulator.stats().requests == before


def test_two_keys_call_a_customer_twice_in_a_run(ledger, simulator, wolkvox_connection):
    for key in ("first", "second"):
        assert attempt(call(task_id=key, idempotency_key=key)).state == "success"
    assert simulator.rings == {PHONE: 2}


def test_a_key_that_a_template_left_empty_calls_nobody(ledger, simulator, wolkvox_connection):
    run = attempt(call(idempotency_key="{{ '' }}"))
    assert run.state == "failed"
    assert "idempotency_key is empty" in str(run.error)
    assert not simulator.rings


@pytest.mark.parametrize("given", [{"idempotency_key": "invoice 17"}, {"cap": ONE_A_DAY}])
@pytest.mark.parametrize("kind", ["single", "batch"])
def test_without_a_ledger_in_sql_what_needs_one_calls_nobody(simulator, wolkvox_connection, kind, given):
    run = attempt((call if kind == "single" else batch)(**given))
    assert run.state == "failed"
    assert "needs a ledger in SQL" in str(run.error)
    assert not simulator.rings


@pytest.mark.parametrize("kind", ["single", "batch"])
def test_without_a_ledger_in_sql_the_log_says_that_nobody_counts_for_the_law(
    simulator, set_connection, everything_said, kind
):
    set_connection(extra={"base_url": simulator.base_url, "country": "CO"})
    assert attempt((call if kind == "single" else batch)()).state == "success"
    assert everything_said().count("Nobody counts how often a customer is called") == 1


# Caps


@pytest.mark.parametrize(("outside_hours", "state"), [("skip", "skipped"), ("fail", "failed")])
def test_a_customer_over_the_cap_is_not_called_by_another_run(
    ledger, simulator, wolkvox_connection, monkeypatch, outside_hours, state
):
    limited = {"cap": [ONE_A_DAY], "outside_hours": outside_hours}
    assert attempt(call(**limited)).state == "success"
    monkeypatch.setenv("AIRFLOW__WOLKVOX__NAMESPACE", "another deployment")
    run = attempt(call(**limited))

    assert run.state == state
    assert simulator.rings == {PHONE: 1}
    latest = next(entry for entry in ledger.find() if entry.state is CallState.SKIPPED)
    assert latest.reason_code == "cap"
    assert timedelta(hours=23) < latest.next_allowed - datetime.now(UTC) <= timedelta(hours=24)


def test_the_law_of_the_connections_country_is_the_cap_unless_the_author_says_otherwise(
    ledger, simulator, set_connection, monkeypatch
):
    set_connection(extra={"base_url": simulator.base_url, "country": "CO"})
    assert attempt(call()).state == "success"
    monkeypatch.setenv("AIRFLOW__WOLKVOX__NAMESPACE", "another deployment")
    assert attempt(call(outside_hours="skip")).state == "skipped"
    assert attempt(call(cap=None)).state == "success"
    assert simulator.rings == {PHONE: 2}


# The token


def test_a_token_that_another_deployment_uses_is_waited_for_and_then_the_slot_given_back(
    ledger, simulator, wolkvox_connection, quick
):
    lease = ledger.take_lease(TOKEN, "another deployment", 60.0)
    server = Server()
    assert run_try(call(), server, retries=1).state in ("up_for_reschedule", "up_for_retry")
    assert not simulator.rings
    ledger.give_back(lease)
    assert run_try(call(), server, try_number=2, retries=1).state == "success"


def test_a_token_is_given_back_whatever_becomes_of_the_call(ledger, simulator, wolkvox_connection):
    for fault in (None, "drop_after_ringing", "server_error"):
        if fault:
            simulator.fault(fault)
        attempt(call(task_id=str(fault), idempotency_key=str(fault)))
        lease = ledger.take_lease(TOKEN, "another deployment", 60.0)
        assert lease.owner == "another deployment", fault
        ledger.give_back(lease)


# A ledger that does not answer


def test_a_ledger_without_tables_means_no_call_and_a_retry(tmp_path, monkeypatch, simulator, wolkvox_connection):
    monkeypatch.setenv("AIRFLOW__WOLKVOX__LEDGER_CONN_ID", f"sqlite:///{tmp_path / 'empty.db'}")
    run = attempt(retries=1)
    assert run.state == "up_for_retry"
    assert "ledger init" in str(run.error)
    assert not simulator.rings


def test_a_ledger_of_an_unknown_connection_means_no_call_and_a_retry(monkeypatch, simulator, wolkvox_connection):
    monkeypatch.setenv("AIRFLOW__WOLKVOX__LEDGER_CONN_ID", "not_there")
    run = attempt(retries=1)
    assert run.state == "up_for_retry"
    assert "'not_there'" in str(run.error)
    assert not simulator.rings


def lose_at(ledger, monkeypatch, method, number=1):
    """Have the database lose its calls right before the ledger is asked something; return what brings them back."""

    def rename(before, after):
        engine = engine_of(f"sqlite:///{ledger_file(ledger)}")
        with engine.connect() as connection, connection.begin():
            connection.exec_driver_sql(f"ALTER TABLE {before} RENAME TO {after}")

    asked = itertools.count(1)
    real = getattr(SqlLedger, method)

    def losing(self, *args, **options):
        if next(asked) == number:
            rename("wolkvox_calls", "lost")
        return real(self, *args, **options)

    monkeypatch.setattr(SqlLedger, method, losing)
    return lambda: rename("lost", "wolkvox_calls")


def ledger_file(ledger):
    return ledger._database._engine.url.database


def test_a_ledger_that_is_lost_after_the_call_does_not_change_what_is_reported(
    ledger, simulator, wolkvox_connection, monkeypatch
):
    bring_back = lose_at(ledger, monkeypatch, "settle")
    run = attempt()
    assert run.state == "success"
    assert run.xcoms["conn_id"] == simulator.calls[0].conn_id
    bring_back()
    assert states(ledger) == [CallState.INTENT]
    again = attempt(try_number=2, max_tries=1)
    assert again.state == "failed"
    assert "is unknown" in str(again.error)
    assert simulator.rings == {PHONE: 1}


@pytest.mark.parametrize("method", ["known", "take_lease", "claim"])
def test_a_ledger_that_is_lost_before_the_call_means_no_call_and_a_retry(
    ledger, simulator, wolkvox_connection, monkeypatch, method
):
    bring_back = lose_at(ledger, monkeypatch, method)
    run = attempt(retries=1)
    assert run.state == "up_for_retry"
    assert "No call was made" in str(run.error)
    assert not simulator.rings
    bring_back()
    assert attempt(try_number=2, retries=1).state == "success"
    assert simulator.rings == {PHONE: 1}


def test_a_run_that_was_due_before_the_ledger_was_restored_calls_nobody(ledger, simulator, wolkvox_connection):
    ledger.restored()
    run = attempt(due=datetime.now(UTC) - timedelta(hours=1))
    assert run.state == "failed"
    assert "restored from a backup" in str(run.error)
    assert not simulator.rings
    assert attempt(call(task_id="later")).state == "success"


def test_an_address_in_place_of_a_connections_id_means_no_call_and_is_not_repeated(
    monkeypatch, simulator, wolkvox_connection
):
    monkeypatch.setenv("AIRFLOW__WOLKVOX__LEDGER_CONN_ID", "postgresql://user:secret@127.0.0.1/ledger")
    run = attempt(retries=1)
    assert run.state == "up_for_retry"
    assert "is an address" in str(run.error)
    assert "secret" not in str(run.error)
    assert not simulator.rings


def test_what_is_no_call_is_told_apart_by_task(ledger, simulator, wolkvox_connection):
    make = lambda name: lambda dag: HangUpOperator(task_id=name, agent_id=AGENT)  # noqa: E731
    attempt()
    simulator.wait_for(lambda sim: sim.rings[PHONE] == 1)
    states = [attempt(make(name)).state for name in ("hang", "hang", "hang_again")]
    assert states[0] == states[1]
    assert len(ledger.find()) == 3


# Batches

PHONES = [f"30055507{number:02d}" for number in range(8)]
CALLS = [{"agent_id": f"1000{1 + number % 5}", "customer_phone": phone} for number, phone in enumerate(PHONES)]
ALL_ONCE = dict.fromkeys(PHONES, 1)


def batch(**given):
    arguments = {"task_id": "ring_all", "calls": CALLS, "calling_hours": None, "wait_for_agents": False, **given}
    return lambda dag: AuxCallBatchOperator(**arguments)


def conn_ids(run):
    return [each["conn_id"] for each in run.xcoms["return_value"]]


def test_a_batch_that_ended_early_goes_on_where_it_was_although_airflow_remembers_nothing(
    ledger, simulator, wolkvox_connection
):
    first = attempt(batch(max_calls=3))
    assert first.xcoms["summary"]["accepted"] == 3
    second = attempt(batch(), try_number=2, max_tries=1)
    again = attempt(batch(task_id="renamed"), try_number=3, max_tries=2)

    assert second.state == again.state == "success"
    assert simulator.rings == ALL_ONCE
    assert conn_ids(second) == conn_ids(again) == [call.conn_id for call in simulator.calls]
    assert simulator.stats().greatest_simultaneous == 1
    assert states(ledger) == [CallState.ACCEPTED] * len(CALLS)


def test_a_batch_and_single_calls_of_one_run_call_each_customer_once(ledger, simulator, wolkvox_connection):
    single = attempt(call(customer_phone=PHONES[4], agent_id="10005"))
    run = attempt(batch())
    other = attempt(call(task_id="later", customer_phone=PHONES[0]))

    assert run.state == other.state == "success"
    assert simulator.rings == ALL_ONCE
    assert conn_ids(run)[4] == single.xcoms["conn_id"]
    assert conn_ids(run)[0] == other.xcoms["conn_id"]


def test_a_batchs_call_in_doubt_is_made_by_nobody_and_the_rest_is(ledger, simulator, wolkvox_connection):
    simulator.fault("drop_after_ringing", phone=PHONES[2])
    first = attempt(batch())
    again = attempt(batch(), try_number=2, max_tries=1)

    for run in (first, again):
        assert run.state == "failed"
        assert run.xcoms["summary"]["unknown"] == 1
        assert run.xcoms["summary"]["accepted"] == len(CALLS) - 1
    assert simulator.rings == ALL_ONCE
    assert states(ledger).count(CallState.INTENT) == 1


def test_a_batch_skips_who_is_over_the_cap_and_the_ledger_says_why(ledger, simulator, wolkvox_connection, monkeypatch):
    assert attempt(call(customer_phone=PHONES[1], cap=ONE_A_DAY)).state == "success"
    monkeypatch.setenv("AIRFLOW__WOLKVOX__NAMESPACE", "another deployment")
    run = attempt(batch(cap=ONE_A_DAY, outside_hours="skip"))

    assert run.state == "success"
    assert [each["state"] for each in run.xcoms["return_value"]].count("skipped") == 1
    assert "at most 1 call within" in run.xcoms["return_value"][1]["reason"]
    assert simulator.rings == ALL_ONCE
    [skipped] = ledger.find(states=[CallState.SKIPPED])
    assert "at most 1 call within" in skipped.reason


def test_a_batch_waits_for_who_is_over_the_cap_and_calls_the_rest(ledger, simulator, wolkvox_connection, monkeypatch):
    assert attempt(call(customer_phone=PHONES[1], cap=ONE_AN_HOUR)).state == "success"
    monkeypatch.setenv("AIRFLOW__WOLKVOX__NAMESPACE", "another deployment")
    run = attempt(batch(cap=ONE_AN_HOUR, outside_hours="wait"))

    # Airflow before 3.1.8 cannot run a task again later that is no sensor.
    assert run.state == ("up_for_reschedule" if can_pause() else "success"), run.error
    assert simulator.rings == ALL_ONCE
    [put_off] = ledger.find(states=[CallState.SKIPPED])
    assert put_off.reason_code == "cap"
    assert timedelta(minutes=59) < put_off.next_allowed - datetime.now(UTC) <= timedelta(hours=1)


def test_a_batch_skips_at_once_who_would_be_allowed_too_late(ledger, simulator, wolkvox_connection, monkeypatch):
    assert attempt(call(customer_phone=PHONES[1], cap=ONE_A_DAY)).state == "success"
    monkeypatch.setenv("AIRFLOW__WOLKVOX__NAMESPACE", "another deployment")
    soon = (datetime.now(UTC) + timedelta(hours=2)).isoformat()
    own = [call | {"call_before": soon} for call in CALLS]
    run = attempt(batch(calls=own, cap=ONE_A_DAY, outside_hours="wait"))

    assert run.state == "success", run.error
    assert run.xcoms["return_value"][1]["state"] == "skipped"
    assert "it would be too late" in run.xcoms["return_value"][1]["reason"]


def test_a_batch_that_fails_outside_of_hours_fails_over_the_cap(ledger, simulator, wolkvox_connection, monkeypatch):
    assert attempt(call(customer_phone=PHONES[1], cap=ONE_A_DAY)).state == "success"
    monkeypatch.setenv("AIRFLOW__WOLKVOX__NAMESPACE", "another deployment")
    run = attempt(batch(cap=ONE_A_DAY, outside_hours="fail"))

    assert run.state == "failed"
    assert "at most 1 call within" in str(run.error)
    assert sum(simulator.rings.values()) <= 2
    reasons = {entry.phone: entry for entry in ledger.find(states=[CallState.SKIPPED])}
    assert reasons[f"***{PHONES[1][-4:]}"].reason_code == "cap"
    assert all("at most 1 call within" in entry.reason for entry in reasons.values())


def test_a_batch_leaves_the_call_that_another_task_is_making_as_that_task_wrote_it(
    ledger, simulator, wolkvox_connection
):
    customer = PhoneNumber.parse(PHONES[3]).key("")
    key = ("run", "default", DAG_ID, RUN_ID, "aux_call", customer)
    intent = Intent(key=key, action="aux_call", origin=Origin(task_id="another"), customer=customer)
    real, claimed = WolkvoxClient.aux_call, []

    def call_while_another_task_claims(hook, *args, **options):
        if not claimed:
            claimed.append(ledger.claim(intent))
        return real(hook, *args, **options)

    with mock.patch.object(WolkvoxClient, "aux_call", call_while_another_task_claims):
        run = attempt(batch(fail_on=()))

    assert isinstance(claimed[0], Claimed)
    # Airflow before 3.1.8 cannot run a task again later that is no sensor.
    assert run.state == ("up_for_reschedule" if can_pause() else "failed"), run.error
    assert [each["customer_phone"] for each in run.xcoms["left"]] == [PHONES[3]]
    assert simulator.rings == {phone: 1 for phone in PHONES if phone != PHONES[3]}
    assert [event.reason_code for event in ledger.events(claimed[0].intent_key)] == [""]
    assert ledger.settle(Settlement(claimed=claimed[0], state=CallState.ACCEPTED, conn_id="1.2.3.4"))
    again = attempt(batch())
    assert again.state == "success"
    assert conn_ids(again)[3] == "1.2.3.4"


def test_a_call_that_another_task_did_not_bring_to_an_end_is_in_doubt_for_a_batch(
    ledger, simulator, wolkvox_connection, monkeypatch
):
    customer = PhoneNumber.parse(PHONES[3]).key("")
    key = ("run", "default", DAG_ID, RUN_ID, "aux_call", customer)
    ledger.claim(Intent(key=key, action="aux_call", origin=Origin(task_id="another"), customer=customer))
    monkeypatch.setattr(at_most_once, "_UNDER_WAY", timedelta(0))
    run = attempt(batch(fail_on=()))
    assert run.xcoms["return_value"][3]["state"] == "unknown"
    assert simulator.rings == {phone: 1 for phone in PHONES if phone != PHONES[3]}


def test_the_reason_of_a_rejected_call_is_not_hidden_by_a_second_one_to_the_same_customer(
    ledger, simulator, wolkvox_connection
):
    rejected = {"agent_id": "99999", "customer_phone": "3005550799"}
    run = attempt(batch(calls=[rejected, rejected], fail_on=()))
    assert [each["state"] for each in run.xcoms["return_value"]] == ["refused", "skipped"]
    [entry] = ledger.find()
    assert entry.state is CallState.REFUSED


def test_a_batch_with_one_key_in_two_deployments_calls_each_customer_once(
    ledger, simulator, wolkvox_connection, monkeypatch
):
    first = attempt(batch(idempotency_key="evening of the 27th"))
    monkeypatch.setenv("AIRFLOW__WOLKVOX__NAMESPACE", "another deployment")
    second = attempt(batch(task_id="same", idempotency_key="evening of the 27th"))

    assert conn_ids(first) == conn_ids(second)
    assert simulator.rings == ALL_ONCE


def test_a_batch_whose_token_another_deployment_uses_gives_its_slot_back_and_comes_again(
    ledger, simulator, wolkvox_connection, quick
):
    lease = ledger.take_lease(TOKEN, "another deployment", 60.0)
    server = Server()
    waits = run_try(batch(), server, retries=1)
    # Airflow before 3.1.8 cannot run a task again later that is no sensor.
    assert waits.state in ("up_for_reschedule", "up_for_retry"), waits.error
    assert not simulator.rings
    ledger.give_back(lease)
    assert run_try(batch(), server, try_number=2, retries=1).state == "success"
    assert simulator.rings == ALL_ONCE
    assert ledger.take_lease(TOKEN, "another deployment", 60.0).owner == "another deployment"


def test_a_batch_whose_token_is_taken_in_the_middle_goes_on_later(ledger, simulator, wolkvox_connection, quick):
    hold, taken = WolkvoxClient.aux_call, []

    def call_and_lose_the_token(hook, *args, **options):
        made = hold(hook, *args, **options)
        if len(simulator.calls) == 3 and not taken:
            # As if this process had been paused for longer than its lease.
            with ledger._database._engine.connect() as connection, connection.begin():
                connection.exec_driver_sql("UPDATE wolkvox_leases SET owner = 'another', number = number + 1")
            taken.append(True)
        return made

    with mock.patch.object(WolkvoxClient, "aux_call", call_and_lose_the_token):
        waits = run_try(batch(), Server(), retries=1)
    assert waits.state in ("up_for_reschedule", "up_for_retry"), waits.error
    assert 3 <= sum(simulator.rings.values()) <= 4
    with ledger._database._engine.connect() as connection, connection.begin():
        connection.exec_driver_sql("UPDATE wolkvox_leases SET owner = '', deadline = 0")
    again = attempt(batch(), try_number=2, max_tries=1)
    assert set(simulator.rings.values()) == {1}
    assert again.xcoms["summary"]["accepted"] == len(CALLS)


def test_a_batch_whose_lease_ran_out_while_it_waited_takes_it_again(ledger, simulator, wolkvox_connection, monkeypatch):
    # A lease that has run out whenever it is looked at.
    monkeypatch.setattr(WolkvoxHook, "token_use", lambda hook: (TOKEN, 0.001))
    assert attempt(batch()).state == "success"
    assert simulator.rings == ALL_ONCE


def test_who_a_batch_could_not_call_stands_in_the_ledger_with_the_reason(ledger, simulator, wolkvox_connection):
    yesterday = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    late = {"agent_id": AGENT, "customer_phone": "3005550799", "call_before": yesterday}
    run = attempt(batch(calls=[*CALLS, late, CALLS[0]]))

    assert run.xcoms["summary"]["skipped"] == 2
    [entry] = ledger.find(states=[CallState.SKIPPED])
    assert entry.phone == "***0799"
    assert "call_before" in entry.reason


@pytest.mark.parametrize("stopped", [False, True])
def test_whom_a_batch_did_not_reach_stands_in_the_ledger_with_the_reason_until_called(
    ledger, simulator, wolkvox_connection, stopped
):
    run = run_try(batch(max_calls=3), Server(variables={"wolkvox_stop": "true"} if stopped else {}))
    why = "wolkvox_stop" if stopped else "max_calls=3 is reached"
    skipped = ledger.find(states=[CallState.SKIPPED])
    assert len(skipped) == len(run.xcoms["left"]) == len(CALLS) - (0 if stopped else 3)
    assert all(why in entry.reason for entry in skipped)
    # A batch that was stopped fails, and tells its results in a file alone.
    told = [each["reason"] for each in run.xcoms.get("return_value", []) if each["state"] == "left"]
    assert told == ([] if stopped else [why] * len(skipped))

    assert attempt(batch(), try_number=2, max_tries=1).state == "success"
    assert states(ledger) == [CallState.ACCEPTED] * len(CALLS)
    assert simulator.rings == ALL_ONCE


@pytest.mark.parametrize("number", range(1, len(CALLS) + 1))
def test_a_ledger_lost_in_the_middle_of_a_batch_ends_it_with_every_ring_known(
    ledger, simulator, wolkvox_connection, monkeypatch, number
):
    bring_back = lose_at(ledger, monkeypatch, "settle_and_claim", number)
    run = attempt(batch(), retries=1)
    assert run.state == "up_for_retry"
    assert sum(simulator.rings.values()) < len(CALLS)
    bring_back()
    again = attempt(batch(max_unknown=None), try_number=2, max_tries=1)
    assert set(simulator.rings.values()) == {1}
    summary = again.xcoms["summary"]
    assert summary["accepted"] + summary["unknown"] == len(CALLS)
    # The call whose answer could not be recorded, and no other.
    assert summary["unknown"] <= 2


# What a person does


@pytest.fixture
def command(migrated_database, monkeypatch, capsys):
    """Run a command about the task `ring`, which this Airflow knows no more; return what it said."""
    monkeypatch.setattr(calls, "_MAY_STILL_CALL", timedelta(0))

    def run(name, *arguments, task_id="ring"):
        capsys.readouterr()
        end = ""
        try:
            main([name, DAG_ID, RUN_ID, task_id, *arguments])
        except SystemExit as ended:
            end = str(ended.code or "")
        return capsys.readouterr().out + end

    return run


def in_doubt(simulator):
    simulator.fault("drop_after_ringing", phone=PHONE)
    return attempt()


def test_a_call_that_a_person_settles_as_made_is_returned_to_every_task(ledger, simulator, wolkvox_connection, command):
    failed = in_doubt(simulator)
    assert f"airflow wolkvox settle {DAG_ID} {RUN_ID} ring" in str(failed.error)
    assert "Settled: accepted" in command("settle", "--conn-id", "10001.0101.1.1")
    for task_id in ("ring", "another"):
        assert attempt(call(task_id=task_id), try_number=2, max_tries=1).xcoms["conn_id"] == "10001.0101.1.1"
    assert simulator.rings == {PHONE: 1}
    [entry] = ledger.find()
    assert getpass.getuser() in ledger.events(entry.intent_key)[-1].actor


def test_a_call_that_a_person_settles_as_not_made_is_made(ledger, simulator, wolkvox_connection, command):
    in_doubt(simulator)
    assert "Settled: not_sent" in command("settle", "--not-made")
    assert attempt(try_number=2, max_tries=1).state == "success"
    assert simulator.rings == {PHONE: 2}


def test_a_call_in_doubt_that_another_task_met_names_the_task_that_made_it(ledger, simulator, wolkvox_connection):
    in_doubt(simulator)
    met = attempt(call(task_id="another"))
    assert f"airflow wolkvox settle {DAG_ID} {RUN_ID} ring" in str(met.error)


def test_a_released_call_is_made_once_more_and_counts_towards_the_cap(ledger, simulator, wolkvox_connection, command):
    attempt()
    assert "Nothing was changed" in command("release")
    assert "Released" in command("release", "--yes")
    assert attempt(call(cap=ONE_A_DAY, outside_hours="skip"), try_number=2, max_tries=1).state == "skipped"
    assert attempt(try_number=3, max_tries=2).state == "success"
    assert simulator.rings == {PHONE: 2}


def test_what_is_not_in_doubt_needs_no_person(ledger, simulator, wolkvox_connection, command):
    simulator.change_agent(AGENT, on_call=True)
    attempt()
    assert "Nothing needs a release" in command("release", "--yes")
    assert "Nothing is in doubt" in command("settle", "--not-made")
    assert "There is no task instance" in command("settle", "--not-made", task_id="unknown")


def test_a_task_of_which_this_airflow_knows_nothing_may_still_be_calling(ledger, command, monkeypatch):
    origin = Origin(namespace="another deployment", dag_id=DAG_ID, run_id=RUN_ID, task_id="elsewhere", try_number=1)
    ledger.claim(Intent(key=("one",), action="aux_call", origin=origin, customer=PHONE, phone="***0101"))
    monkeypatch.setattr(calls, "_MAY_STILL_CALL", timedelta(minutes=10))
    assert "may be calling at this moment" in command("settle", "--not-made", task_id="elsewhere")
    assert states(ledger) == [CallState.INTENT]


def test_check_says_which_ledger_tasks_use_and_finds_one_that_cannot_serve(
    ledger, migrated_database, simulator, wolkvox_connection, monkeypatch, capsys, tmp_path
):
    def check():
        capsys.readouterr()
        with contextlib.suppress(SystemExit):
            main(["check", "-o", "json"])
        [row] = [row for row in json.loads(capsys.readouterr().out) if row["subject"].startswith("ledger")]
        return row

    in_doubt(simulator)
    assert "1 calls in doubt" in check()["subject"]
    assert check()["finding"] == "ok"
    monkeypatch.setenv("AIRFLOW__WOLKVOX__LEDGER_CONN_ID", f"sqlite:///{tmp_path / 'empty.db'}")
    assert "no task can call" in check()["finding"]
    monkeypatch.delenv("AIRFLOW__WOLKVOX__LEDGER_CONN_ID")
    assert "recommended" in check()["subject"]


def test_check_warns_of_another_deployment_with_the_same_namespace(
    ledger, migrated_database, wolkvox_connection, monkeypatch, capsys
):
    def found():
        capsys.readouterr()
        with contextlib.suppress(SystemExit):
            main(["check", "-o", "json"])
        return [row["finding"] for row in json.loads(capsys.readouterr().out) if "namespace" in row["subject"]]

    monkeypatch.setenv("AIRFLOW__WOLKVOX__NAMESPACE", "production")
    assert found() == found() == []
    assert [len(ids) for ids in ledger.deployments(datetime.now(UTC) - timedelta(days=1)).values()] == [1]
    ledger.register("elsewhere", "f" * 32)
    assert found() == []
    ledger.register("production", "f" * 32)
    [warning] = found()
    assert warning.startswith("1 other Airflow deployments use the ledger under it")
    monkeypatch.setenv("AIRFLOW__WOLKVOX__NAMESPACE", "staging")
    assert found() == []


# Moving to it from Airflow's own memory


@needs_ledger
@pytest.mark.parametrize("answered", [True, False])
@pytest.mark.parametrize("make", [call(), batch(max_unknown=None, fail_on=())], ids=["single", "batch"])
def test_what_airflow_itself_remembers_is_taken_over_when_it_is_met(
    tmp_path, simulator, wolkvox_connection, monkeypatch, make, answered
):
    if not answered:
        simulator.fault("drop_after_ringing", times=None)
    server = Server()
    first = run_try(make, server)
    rung = dict(simulator.rings)
    assert rung
    simulator.clear_faults()
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    monkeypatch.setenv("AIRFLOW__WOLKVOX__LEDGER_CONN_ID", url)
    with contextlib.closing(ledger_at(url)) as ledger:
        ledger.init()
        for number in (2, 3):
            again = run_try(make, server, try_number=number, max_tries=number - 1)
            assert simulator.rings == rung
            if answered:
                assert again.xcoms["return_value"] == first.xcoms["return_value"] or conn_ids(again) == conn_ids(first)
        assert set(states(ledger)) == {CallState.ACCEPTED if answered else CallState.INTENT}
        # What a person decides afterwards is not taken back.
        for entry in ledger.find():
            assert ledger.release(entry.intent_key, "a person", "on purpose")
        run_try(make, server, try_number=4, max_tries=3)
    assert simulator.rings == dict.fromkeys(rung, 2)
