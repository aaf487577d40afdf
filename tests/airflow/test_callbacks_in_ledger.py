"""With a ledger in SQL a campaign's call is called back once, whatever plans, DAGs and deployments there are."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from samples import AGENT, TOKEN
from task_runner import Server, run_try

from airflow_provider_wolkvox.calling import CallingHours, Rules
from airflow_provider_wolkvox.ledger.entry import CallState
from airflow_provider_wolkvox.operators.aux_call import AuxCallBatchOperator, AuxCallOperator
from airflow_provider_wolkvox.operators.callbacks import CampaignCallbacksOperator
from airflow_provider_wolkvox.simulator import Simulator

CAMPAIGN = "32841"
PHONES = [f"30055506{number:02d}" for number in range(6)]
# Two plans within minutes: the reports do not show yet who was called back.
NO_CAP = Rules(max_attempts=None, within=None)


@pytest.fixture
def past(set_connection):
    """A wolkvox whose campaign has cut some calls, and whose reports show no call made since."""
    with Simulator(tokens=[TOKEN], cut_calls=False) as running:
        set_connection(extra={"base_url": running.base_url})
        running.add_campaign(CAMPAIGN)
        for phone in PHONES:
            running.add_past_call(phone, AGENT, seconds_ago=600, campaign_id=CAMPAIGN, talk_seconds=5)
        running.hold_reports()
        yield running


def plan(rules=NO_CAP):
    run = run_try(
        lambda dag: CampaignCallbacksOperator(
            task_id="callbacks",
            campaign_id=CAMPAIGN,
            since="{{ (data_interval_end - macros.timedelta(hours=2)).isoformat() }}",
            rules=rules,
        ),
        Server(),
    )
    assert run.state == "success", run.error
    return run


def single(callback, number):
    return run_try(
        lambda dag: AuxCallOperator(task_id=f"call_{number}", calling_hours=None, **callback), Server(), quiet=True
    )


def batch(callbacks, **given):
    arguments = {"task_id": "calls", "calls": callbacks, "calling_hours": None, "wait_for_agents": False, **given}
    return run_try(lambda dag: AuxCallBatchOperator(**arguments), Server(), quiet=True)


def test_each_callback_carries_the_key_of_the_call_that_it_answers(past, ledger):
    callbacks = plan().xcoms["return_value"]
    keys = [callback["idempotency_key"] for callback in callbacks]
    assert len(set(keys)) == len(PHONES)
    assert all(key.startswith("wolkvox/0042/32841/") for key in keys)
    assert not any(phone in key for phone in PHONES for key in keys)


def test_without_a_ledger_in_sql_a_callback_has_no_key(past):
    callbacks = plan().xcoms["return_value"]
    assert all(set(callback) == {"agent_id", "customer_phone"} for callback in callbacks)
    assert len(callbacks) == len(PHONES)


def test_who_was_called_back_is_not_chosen_by_a_plan_of_another_deployment_within_minutes(past, ledger, monkeypatch):
    first = plan().xcoms["return_value"]
    for number, callback in enumerate(first[:4]):
        assert single(callback, number).state == "success"
    monkeypatch.setenv("AIRFLOW__WOLKVOX__NAMESPACE", "another deployment")
    second = plan()

    assert {each["customer_phone"] for each in second.xcoms["return_value"]} == {
        each["customer_phone"] for each in first[4:]
    }
    assert second.xcoms["skips"]["called-back"] == 4
    assert len(second.xcoms["return_value"]) + sum(second.xcoms["skips"].values()) == len(PHONES)


@pytest.mark.parametrize("first", ["batch", "single calls"])
def test_two_deployments_that_made_the_same_plan_call_each_customer_once(past, ledger, monkeypatch, first):
    mine, theirs = plan().xcoms["return_value"], plan().xcoms["return_value"]
    assert mine == theirs
    if first == "batch":
        assert batch(mine).state == "success"
    else:
        for number, callback in enumerate(mine):
            assert single(callback, number).state == "success"
    monkeypatch.setenv("AIRFLOW__WOLKVOX__NAMESPACE", "another deployment")
    run = batch(theirs) if first == "single calls" else None
    for number, callback in enumerate(theirs):
        assert single(callback, number).state == "success"
    if run:
        assert run.xcoms["summary"]["accepted"] == len(PHONES)
    assert past.rings == dict.fromkeys(PHONES, 1)


def test_who_is_not_called_back_stands_in_the_ledger_with_the_reason_until_called(past, ledger):
    today = datetime.now(UTC).date()
    closed = CallingHours.weekly(
        {"mon-sun": "00:00-24:00"},
        timezone="UTC",
        holidays=[today, today + timedelta(days=1), today - timedelta(days=1)],
    )
    rules = replace(NO_CAP, limit=4, hours=closed)
    past.add_past_call("3005550688", AGENT, seconds_ago=500, campaign_id=CAMPAIGN, result="NO-ANSWER")
    for _ in range(2):
        assert plan(rules).xcoms["return_value"] == []
    asleep = ledger.find()
    assert {(entry.state, entry.reason_code) for entry in asleep} == {(CallState.SKIPPED, "hours")}
    assert {entry.phone for entry in asleep} == {f"***{phone[-4:]}" for phone in PHONES}
    assert {entry.campaign_id for entry in asleep} == {CAMPAIGN}
    assert all(entry.next_allowed > datetime.now(UTC) for entry in asleep)
    # Said once, not by each plan.
    assert [len(ledger.events(entry.intent_key)) for entry in asleep] == [1] * len(PHONES)

    chosen = plan(replace(rules, hours=None)).xcoms["return_value"]
    assert batch(chosen).state == "success"
    states = {entry.phone: (entry.state, entry.reason_code) for entry in ledger.find()}
    called = {f"***{each['customer_phone'][-4:]}" for each in chosen}
    assert len(called) == 4
    assert states == dict.fromkeys(called, (CallState.ACCEPTED, "")) | {
        f"***{phone[-4:]}": (CallState.SKIPPED, "limit") for phone in PHONES if f"***{phone[-4:]}" not in called
    }


def test_a_callback_in_vain_is_tried_again_only_where_the_rules_say_so(past, ledger):
    twice = replace(NO_CAP, callbacks_per_call=2)
    past.release_reports()
    past.call_results = {PHONES[0]: "NO-ANSWER", PHONES[1]: "BUSY"}
    assert batch(plan(twice).xcoms["return_value"]).state == "success"
    assert plan().xcoms["return_value"] == []

    again = plan(twice).xcoms["return_value"]
    assert [each["customer_phone"] for each in again] == PHONES[:2]
    assert all(each["idempotency_key"].endswith("/2") for each in again)
    assert batch(again, task_id="again").state == "success"
    assert plan(twice).xcoms["return_value"] == []
    assert past.rings == {**dict.fromkeys(PHONES, 1), PHONES[0]: 2, PHONES[1]: 2}


def test_a_callback_that_no_report_shows_yet_is_not_tried_again(past, ledger):
    twice = replace(NO_CAP, callbacks_per_call=2)
    past.call_results = "NO-ANSWER"
    assert batch(plan(twice).xcoms["return_value"]).state == "success"
    assert plan(twice).xcoms["return_value"] == []
    past.release_reports()
    assert len(plan(twice).xcoms["return_value"]) == len(PHONES)


def test_a_call_in_doubt_is_not_chosen_again(past, ledger):
    past.fault("drop_after_ringing", phone=PHONES[0])
    run = batch(plan().xcoms["return_value"])
    assert run.xcoms["summary"]["unknown"] == 1
    assert plan().xcoms["return_value"] == []
    assert past.rings == dict.fromkeys(PHONES, 1)


def test_what_a_batch_left_keeps_its_keys_for_the_next_one(past, ledger):
    callbacks = plan().xcoms["return_value"]
    run = batch(callbacks, max_calls=2)
    assert run.xcoms["left"] == callbacks[2:]
    assert batch(run.xcoms["left"], task_id="rest").state == "success"
    assert past.rings == dict.fromkeys(PHONES, 1)


def test_a_key_in_a_batchs_call_needs_a_ledger_in_sql(past):
    run = batch([{"agent_id": AGENT, "customer_phone": PHONES[0], "idempotency_key": "one"}])
    assert run.state == "failed"
    assert "calls[0]: idempotency_key needs a ledger in SQL" in str(run.error)
    assert not past.rings


def test_a_plan_whose_ledger_does_not_answer_chooses_nobody(past, tmp_path, monkeypatch):
    monkeypatch.setenv("AIRFLOW__WOLKVOX__LEDGER_CONN_ID", f"sqlite:///{tmp_path / 'empty.db'}")
    run = run_try(
        lambda dag: CampaignCallbacksOperator(task_id="callbacks", campaign_id=CAMPAIGN, since="2026-11-27T00:00:00Z"),
        Server(),
        retries=1,
    )
    assert run.state == "up_for_retry"
    assert "ledger init" in str(run.error)
