"""Ways in which the ledger's promises were once broken: each stays mended."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import airflow
import pytest
from airflow.exceptions import AirflowNotFoundException
from capabilities import needs_ledger
from samples import AGENT, PHONE
from task_runner import Server, run_try
from test_callbacks_in_ledger import batch as batch_of_callbacks
from test_callbacks_in_ledger import past, plan  # noqa: F401
from test_campaign_operators import CAMPAIGN, SIX, add, added, campaign, dialled, recall, with_  # noqa: F401
from test_own_task import own
from tries import DAG_ID, RUN_ID

from airflow_provider_wolkvox import at_most_once, batch_memory
from airflow_provider_wolkvox.__main__ import main
from airflow_provider_wolkvox.batch import Batch
from airflow_provider_wolkvox.cli import calls as commands
from airflow_provider_wolkvox.hooks.wolkvox import WolkvoxHook
from airflow_provider_wolkvox.ledger.entry import CallState, Intent, NotCalled, Origin, authors_key
from airflow_provider_wolkvox.notifications.wolkvox import on_call_dag
from airflow_provider_wolkvox.operators import aux_call_batch
from airflow_provider_wolkvox.operators.agent import CallDispositionOperator, HangUpOperator
from airflow_provider_wolkvox.operators.aux_call import AuxCallBatchOperator, AuxCallOperator
from airflow_provider_wolkvox.operators.dial import DialOperator
from airflow_provider_wolkvox.operators.recall import ScheduleRecallOperator
from airflow_provider_wolkvox.running_task import can_pause

PHONES = [f"300555010{number}" for number in range(1, 5)]
REJECTED = '{"code": "404", "error": "Not Found", "msg": "agent is out"}'


def call(operator=AuxCallOperator, **given):
    usual = {"task_id": "ring", "agent_id": AGENT, "customer_phone": PHONE, "calling_hours": None}
    return lambda dag: operator(**{**usual, **given})


def batch(number=2, **given):
    calls = [{"agent_id": AGENT, "customer_phone": phone} for phone in PHONES[:number]]
    usual = {"task_id": "batch", "calls": calls, "calling_hours": None, "wait_for_agents": False}
    return lambda dag: AuxCallBatchOperator(**{**usual, **given})


def told(run):
    return [(each["state"], each["reason"]) for each in run.xcoms["return_value"]]


# Identity


def test_a_server_code_with_wv_before_it_is_the_same_server(past, ledger, set_connection, monkeypatch):  # noqa: F811
    first = plan().xcoms["return_value"]
    assert batch_of_callbacks(first).state == "success"
    monkeypatch.setenv("AIRFLOW__WOLKVOX__NAMESPACE", "another deployment")
    set_connection(host="wv0042", extra={"base_url": past.base_url})
    assert plan().xcoms["return_value"] == []
    assert set(past.rings.values()) == {1}


@pytest.mark.parametrize("make", [call(), own(), batch(1)], ids=["operator", "hook", "batch"])
def test_a_connection_that_cannot_be_read_for_a_moment_gives_no_call_another_identity(
    ledger, simulator, wolkvox_connection, monkeypatch, make
):
    real, asked = WolkvoxHook.get_connection, []

    def fails_at_first(self, conn_id):
        asked.append(conn_id)
        if len(asked) == 1:
            raise AirflowNotFoundException("The conn_id isn't defined")
        return real(conn_id)

    simulator.fault("drop_after_ringing")
    server = Server()
    with monkeypatch.context() as patched:
        patched.setattr(WolkvoxHook, "get_connection", fails_at_first)
        first = run_try(make, server, retries=3)
    for number in (2, 3):
        run_try(make, server, try_number=number, retries=3)
    # Airflow 2.11 reads the connection once more before, to warn of others with its token.
    assert first.state == "up_for_retry" or len(asked) > 1
    assert simulator.rings == {PHONE: 1}
    [entry] = ledger.find()
    assert entry.state is CallState.INTENT


@needs_ledger
def test_a_list_that_shifted_while_one_moves_to_the_ledger_calls_nobody(simulator, wolkvox_connection, request):
    servers = [Server(), Server()]
    for number, phone in enumerate(PHONES[:2]):
        assert run_try(call(task_id=f"ring{number}", customer_phone=phone), servers[number]).state == "success"
    request.getfixturevalue("ledger")
    for number, phone in enumerate(reversed(PHONES[:2])):
        moved = call(task_id=f"ring{number}", customer_phone=phone)
        again = run_try(moved, servers[number], try_number=2, max_tries=1)
        assert again.state == "failed"
        assert "is for another customer" in str(again.error)
    assert simulator.rings == dict.fromkeys(PHONES[:2], 1)


@needs_ledger
def test_a_task_cleared_while_it_runs_refuses_on_an_airflow_that_drops_its_memory(
    simulator, wolkvox_connection, monkeypatch
):
    monkeypatch.setattr(airflow, "__version__", "3.4.0")
    simulator.fault("drop_after_ringing", phone=PHONE)
    assert run_try(call(), Server()).state == "failed"
    # A running task that is cleared keeps its max_tries [src]; the store of the new try is empty.
    again = run_try(call(), Server(), try_number=2, max_tries=0)
    assert again.state == "failed"
    assert "drops what is remembered" in str(again.error)
    assert simulator.rings == {PHONE: 1}


def test_another_kind_of_call_may_take_a_key_under_which_nothing_was_sent(ledger, simulator, wolkvox_connection):
    asleep = Intent(
        key=authors_key("the cut call"), action="aux_call", origin=Origin(task_id="plan"), customer="3005550101"
    )
    assert ledger.skip_all([NotCalled(asleep, "hours", "closed")]) == 1
    run = run_try(call(DialOperator, idempotency_key="the cut call"), Server())
    assert run.state == "success", run.error
    [entry] = ledger.find()
    assert (entry.action, entry.state) == ("dial", CallState.ACCEPTED)


# Nobody is left without a call, or without a reason


def test_a_call_that_was_rejected_in_another_run_is_made(ledger, simulator, wolkvox_connection):
    keyed = [{"agent_id": AGENT, "customer_phone": PHONE, "idempotency_key": "cut call 1"}]
    simulator.fault("reply", status=404, body=REJECTED, times=1)
    first = run_try(batch(calls=keyed), Server())
    assert [state for state, _ in told(first)] == ["refused"]
    server = Server()
    server.run_id = "another_run"
    assert told(run_try(batch(calls=keyed), server)) == [("accepted", "")]
    assert simulator.rings == {PHONE: 1}


def test_a_batch_that_loses_its_token_before_a_claimed_call_leaves_nobody_in_doubt(
    ledger, simulator, wolkvox_connection, monkeypatch
):
    monkeypatch.setattr(at_most_once, "LEASE_WAIT", 0.0)
    keeps_pace, passed = Batch._await_turn, []
    monkeypatch.setattr(batch_memory, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + 1000 * len(passed)))

    def loses_the_token(self, following):
        # The pace was longer than the lease, and another deployment has the token since.
        passed.append(True)
        taken = "UPDATE wolkvox_leases SET owner = 'another', number = number + 1, deadline = {now} + 600000"
        ledger._transact(lambda transaction: transaction.change(taken))
        return keeps_pace(self, following)

    with monkeypatch.context() as patched:
        patched.setattr(Batch, "_await_turn", loses_the_token)
        first = run_try(batch(), Server(), retries=1)
    assert first.state == ("up_for_reschedule" if can_pause() else "up_for_retry"), first.error
    assert [entry.state for entry in ledger.find()].count(CallState.INTENT) == 0
    ledger._transact(lambda transaction: transaction.change("UPDATE wolkvox_leases SET owner = '', deadline = 0"))
    again = run_try(batch(), Server(), try_number=2, max_tries=1)
    assert [state for state, _ in told(again)] == ["accepted", "accepted"]
    assert simulator.rings == dict.fromkeys(PHONES[:2], 1)


def test_the_ledger_keeps_the_latest_reason(ledger, simulator, wolkvox_connection):
    server = Server()
    run_try(batch(max_calls=1), server)
    run_try(batch(call_before="2026-01-01T00:00:00Z"), server, try_number=2, max_tries=1)
    [entry] = ledger.find(states=[CallState.SKIPPED])
    assert "call_before" in entry.reason
    assert len(ledger.events(entry.intent_key)) == 2


@pytest.mark.parametrize("how", ["wait", "skip", "older Airflow"])
def test_a_batch_is_not_green_while_another_task_may_be_making_one_of_its_calls(
    ledger, simulator, wolkvox_connection, monkeypatch, how
):
    if how == "older Airflow":
        monkeypatch.setattr(aux_call_batch, "can_pause", lambda: False)
    customer = WolkvoxHook().customer_key(PHONE)
    origin = Origin(namespace="default", dag_id=DAG_ID, run_id=RUN_ID, task_id="killed", try_number=1)
    key = ("run", *origin.of_run, "aux_call", customer)
    ledger.claim(Intent(key=key, action="aux_call", origin=origin, customer=customer))
    run = run_try(batch(outside_hours="skip" if how == "skip" else "wait"), Server(), retries=1)
    waits = how != "older Airflow" and can_pause()
    assert run.state == ("up_for_reschedule" if waits else "up_for_retry"), run.error
    assert simulator.rings == {PHONES[1]: 1}


# Numbers, and what a person or a test run does


def test_a_number_in_the_agents_place_of_a_batch_is_shown_nowhere(ledger, simulator, wolkvox_connection, tmp_path):
    swapped = batch(
        calls=[{"agent_id": PHONE, "customer_phone": "1000100"}],
        wait_for_agents=True,
        agent_timeout=timedelta(seconds=0.2),
        agent_poll_interval=timedelta(seconds=0.1),
        fail_on=(),
    )
    run = run_try(swapped, Server())
    assert run.xcoms["return_value"][0]["agent_id"] == "***0101"
    assert PHONE not in str(run.xcoms)
    assert all(PHONE.encode() not in file.read_bytes() for file in tmp_path.glob("ledger.db*"))


def test_one_call_of_several_is_released_by_its_number(
    ledger, simulator, wolkvox_connection, migrated_database, monkeypatch, capsys
):
    monkeypatch.setattr(commands, "_MAY_STILL_CALL", timedelta(0))
    three = own(phones=tuple(PHONES[:3]))
    assert run_try(three, Server()).state == "success"
    main(["release", DAG_ID, RUN_ID, "own", "--phone-ends", PHONES[1][-4:], "--yes"])
    assert run_try(three, Server(), try_number=2, max_tries=1).state == "success"
    assert simulator.rings == {PHONES[0]: 1, PHONES[1]: 2, PHONES[2]: 1}
    with pytest.raises(SystemExit, match="No call fits --agent and --phone-ends"):
        main(["release", DAG_ID, RUN_ID, "own", "--phone-ends", "9999", "--yes"])
    assert datetime.now(UTC) > ledger.find()[0].at


@pytest.mark.parametrize("configured", [True, False])
def test_a_test_run_of_a_task_of_ones_own_rings_no_real_customer(request, set_connection, monkeypatch, configured):
    from airflow_provider_wolkvox import compat

    if configured:
        request.getfixturevalue("ledger")
    monkeypatch.setattr(compat, "is_test_run", lambda ti: True)
    # Should it come so far after all, nothing leaves this machine.
    monkeypatch.setattr(WolkvoxHook, "get_conn", lambda hook: pytest.fail("a client was made"))
    set_connection()
    run = run_try(own(), Server())
    assert run.state == "failed"
    assert "leads to the real wolkvox" in str(run.error)


# What is no call


def test_an_upload_that_changed_between_two_tries_sends_nothing_again(ledger, campaign):  # noqa: F811
    grown = with_(add, records=[*SIX, {"customer_id": "c6", "tel1": "3005550199"}])
    server = Server()
    assert run_try(add, server).state == "success"
    again = run_try(grown, server, try_number=2, max_tries=1)
    assert again.state == "failed"
    assert "is for another" in str(again.error)
    assert set(added(campaign).values()) == {1}


def test_an_upload_in_doubt_that_changed_between_two_tries_sends_nothing_again(ledger, campaign):  # noqa: F811
    campaign.fault("drop_after_ringing")
    grown = with_(add, records=[*SIX, {"customer_id": "c6", "tel1": "3005550199"}])
    assert run_try(add, Server()).state == "failed"
    first = added(campaign)
    assert run_try(grown, Server(), try_number=2, max_tries=1).state == "failed"
    assert added(campaign) == first


def test_a_recall_of_records_whose_values_changed_their_order_recalls_nothing_again(ledger, dialled):  # noqa: F811
    dialled.fault("drop_after_ringing")
    assert run_try(with_(recall, value=["BUSY", "NO-ANSWER"]), Server()).state == "failed"
    recalls = dialled.campaign(CAMPAIGN).recalls
    again = run_try(with_(recall, value=["NO-ANSWER", "BUSY"]), Server(), try_number=2, max_tries=1)
    assert again.state == "failed"
    assert dialled.campaign(CAMPAIGN).recalls == recalls


def test_a_second_recall_of_a_customer_in_one_run_is_not_taken_for_the_first(ledger, simulator, wolkvox_connection):
    def scheduled(task_id, hours):
        at = (datetime.now(UTC).replace(microsecond=0) + timedelta(hours=hours)).isoformat()
        given = {"agent_id": AGENT, "campaign_id": "32841", "customer_id": "c1", "customer_phone": PHONE}
        return lambda dag: ScheduleRecallOperator(task_id=task_id, at=at, calling_hours=None, **given)

    simulator.add_campaign("32841", records=[{"customer_id": "c1", "tel1": PHONE}])
    first = run_try(scheduled("morning", 2), Server())
    assert first.state == "success", first.error
    second = run_try(scheduled("evening", 9), Server())
    assert second.state == "failed"
    assert "is for another" in str(second.error)
    assert len(simulator.recalls) == 1


@pytest.mark.parametrize(
    "make",
    [
        lambda dag: HangUpOperator(task_id="task", agent_id=PHONE),
        lambda dag: CallDispositionOperator(task_id="task", agent_id=PHONE, cod_act="1", cod_act_2="2"),
        lambda dag: ScheduleRecallOperator(
            task_id="task",
            agent_id=AGENT,
            campaign_id="32841",
            customer_id="c1",
            customer_phone="3005550177",
            at="{{ '" + PHONE + "' }}",
        ),
    ],
)
def test_a_number_in_a_wrong_place_is_not_kept_as_what_was_asked_for(
    ledger, simulator, wolkvox_connection, tmp_path, make
):
    assert run_try(make, Server()).state == "failed"
    assert ledger.find()
    assert all(PHONE.encode() not in file.read_bytes() for file in tmp_path.glob("ledger.db*"))


def test_the_on_call_person_is_rung_for_each_failure_whatever_the_law_says_of_customers(
    ledger, simulator, set_connection
):
    set_connection(extra={"base_url": simulator.base_url, "country": "CO", "timezone": "America/Bogota"})
    [ring] = on_call_dag("on_call", agent_id=AGENT, customer_phone=PHONE).tasks
    for number in range(2):
        server = Server()
        server.run_id = f"failure_{number}"
        run = run_try(call(DialOperator, cap=ring.cap, calling_hours=ring.calling_hours), server)
        assert run.state == "success", run.error
    assert simulator.rings == {PHONE: 2}


def test_after_a_release_only_the_new_doubt_waits_for_a_person(
    ledger, simulator, wolkvox_connection, migrated_database, monkeypatch, capsys
):
    monkeypatch.setattr(commands, "_MAY_STILL_CALL", timedelta(0))
    simulator.fault("drop_after_ringing", times=2)
    assert run_try(call(), Server()).state == "failed"
    main(["release", DAG_ID, RUN_ID, "ring", "--yes"])
    assert ledger.status()["oldest_open"] is None
    assert run_try(call(), Server(), try_number=2, max_tries=1).state == "failed"
    main(["settle", DAG_ID, RUN_ID, "ring", "--conn-id", "1.2.3.4"])
    assert run_try(call(), Server(), try_number=3, max_tries=2).xcoms["conn_id"] == "1.2.3.4"
    assert simulator.rings == {PHONE: 2}


def test_what_a_person_decides_is_not_told_as_done_where_somebody_was_first(
    ledger, simulator, wolkvox_connection, migrated_database, monkeypatch
):
    monkeypatch.setattr(commands, "_MAY_STILL_CALL", timedelta(0))
    simulator.fault("drop_after_ringing")
    run_try(call(), Server())
    [entry] = ledger.find()
    monkeypatch.setattr(
        commands,
        "_by_hand",
        lambda state: ledger.settle_by_person(entry.intent_key, CallState.ACCEPTED, "a colleague", "looked") or "now",
    )
    with pytest.raises(SystemExit, match="It is not in doubt any more"):
        main(["settle", DAG_ID, RUN_ID, "ring", "--not-made"])
    assert ledger.find()[0].state is CallState.ACCEPTED
