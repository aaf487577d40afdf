"""Many calls in one task: each once, strictly one after the other, whatever happens to the task in between."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from capabilities import needs_ledger
from samples import TOKEN
from task_runner import ProcessKilled, Server, run_try

from airflow_provider_wolkvox.operators import aux_call_batch
from airflow_provider_wolkvox.operators.aux_call import AuxCallBatchOperator
from airflow_provider_wolkvox.simulator import Simulator

PHONES = [f"30055508{number:02d}" for number in range(12)]
CALLS = [{"agent_id": f"1000{1 + number % 5}", "customer_phone": phone} for number, phone in enumerate(PHONES)]
ALL_ONCE = dict.fromkeys(PHONES, 1)


@pytest.fixture
def server() -> Server:
    return Server()


def batch(**arguments):
    usual = {"task_id": "task", "calls": CALLS, "calling_hours": None, "wait_for_agents": False, "fail_on": ()}
    return lambda dag: AuxCallBatchOperator(**{**usual, **arguments})


def states(run) -> list[str]:
    return [each["state"] for each in run.xcoms["return_value"]]


def test_every_customer_is_rung_once_in_order_and_told_of(simulator, wolkvox_connection, server):
    run = run_try(batch(), server)
    assert run.state == "success", run.error
    assert [call.phone for call in simulator.calls] == PHONES
    assert simulator.rings == ALL_ONCE
    assert simulator.stats().greatest_simultaneous == 1
    results = run.xcoms["return_value"]
    assert [each["conn_id"] for each in results] == [call.conn_id for call in simulator.calls]
    assert [each["index"] for each in results] == list(range(len(CALLS)))
    assert {each["customer_phone"] for each in results} == {f"***{phone[-4:]}" for phone in PHONES}
    assert run.xcoms["summary"]["accepted"] == len(CALLS)
    assert run.xcoms["left"] == []


@needs_ledger
def test_the_ledger_costs_one_message_a_call(simulator, wolkvox_connection, server):
    run_try(batch(), server)
    # One begins it, one is for the first call's intent, one comes during each call but the last, one after that, and
    # one proves that the process that reports is still the task's.
    assert server.kinds().count("SetTaskStateStore") == len(CALLS) + 3


@needs_ledger
def test_a_batch_that_is_cleared_rings_nobody_again(simulator, wolkvox_connection, server):
    first = run_try(batch(), server)
    again = run_try(batch(), server, try_number=2, max_tries=1)
    assert again.state == "success", again.error
    assert simulator.rings == ALL_ONCE
    assert [each["conn_id"] for each in again.xcoms["return_value"]] == [
        each["conn_id"] for each in first.xcoms["return_value"]
    ]


@needs_ledger
def test_a_list_that_changed_its_order_and_grew_rings_only_who_is_new(simulator, wolkvox_connection, server):
    spelt = [{**call, "customer_phone": f"+57 {call['customer_phone']}"} for call in CALLS[:6]]
    run_try(batch(calls=spelt), server)
    again = run_try(batch(calls=CALLS[::-1]), server, try_number=2, max_tries=1)
    assert again.state == "success", again.error
    assert sum(simulator.rings.values()) == len(CALLS)
    assert {phone[-10:] for phone in simulator.rings} == set(PHONES)


@needs_ledger
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("number", [0, 1, 5, len(CALLS) - 1, len(CALLS)])
def test_a_batch_killed_at_any_write_goes_on_where_it_was_and_leaves_at_most_two_in_doubt(
    simulator, wolkvox_connection, server, number, when
):
    written, dead = 0, False

    def kill(message, moment):
        nonlocal written, dead
        written += type(message).__name__ == "SetTaskStateStore" and moment == when
        # A dead process says nothing more.
        dead = dead or written == number + 1
        if dead:
            raise ProcessKilled

    server.on_message = kill
    with pytest.raises(ProcessKilled):
        run_try(batch(), server, retries=1, quiet=True)
    server.on_message = lambda message, moment: None
    assert max(simulator.rings.values(), default=0) <= 1

    again = run_try(batch(), server, try_number=2, retries=1)

    assert again.state == "success", again.error
    assert max(simulator.rings.values()) == 1
    told = dict(zip(PHONES, states(again), strict=True))
    assert set(told.values()) <= {"accepted", "unknown"}
    assert list(told.values()).count("unknown") <= 2
    assert {phone for phone in PHONES if told[phone] == "accepted"} <= set(simulator.rings)
    # Nobody is lost: who was not rung is in doubt and told of.
    assert {phone for phone in PHONES if simulator.rings[phone] == 0} <= {
        phone for phone in PHONES if told[phone] == "unknown"
    }


def test_a_call_in_doubt_is_looked_up_and_found(simulator, wolkvox_connection, server):
    simulator.fault("drop_after_ringing", api="aux_call", after=3)
    run = run_try(batch(on_unknown="look_up"), server)
    assert run.state == "success", run.error
    assert set(states(run)) == {"accepted"}
    assert simulator.rings == ALL_ONCE


def test_one_refused_and_one_unknown_call_do_not_stop_the_rest(simulator, wolkvox_connection, server):
    simulator.remove_agent("10003")
    simulator.fault("drop_after_ringing", api="aux_call", after=1)
    run = run_try(batch(), server)
    assert run.state == "success", run.error
    assert states(run).count("refused") == sum(call["agent_id"] == "10003" for call in CALLS)
    assert states(run).count("unknown") == 1
    assert run.xcoms["summary"]["refused"] == states(run).count("refused")
    assert max(simulator.rings.values()) == 1


@needs_ledger
@pytest.mark.parametrize(
    ("fault", "state"),
    [("quota", "failed"), ("bad_token", "failed"), ("api_off", "up_for_retry"), ("busy", "up_for_retry")],
)
def test_what_concerns_every_call_ends_the_batch(simulator, wolkvox_connection, server, quick_resends, fault, state):
    simulator.fault(fault, api="aux_call", after=4, times=None)
    run = run_try(batch(), server, retries=1)
    assert run.state == state
    assert "4 accepted" in str(run.error)
    assert sum(simulator.rings.values()) == 4
    simulator.clear_faults()
    again = run_try(batch(), server, try_number=2, retries=1)
    assert set(states(again)) == {"accepted"}
    assert simulator.rings == ALL_ONCE


@pytest.mark.parametrize("which", ["refused", "unknown"])
def test_an_outcome_that_is_to_stop_the_batch_stops_it(simulator, wolkvox_connection, server, which):
    if which == "refused":
        simulator.remove_agent("10003")
    else:
        simulator.fault("drop_after_ringing", api="aux_call", after=2)
    run = run_try(batch(stop_on=[which]), server, retries=1)
    assert run.state == "failed"
    assert "stop_on" in str(run.error)
    assert sum(simulator.rings.values()) <= 3
    assert len(run.xcoms["left"]) == len(CALLS) - 3


def test_unknown_outcomes_in_a_row_end_the_batch(simulator, wolkvox_connection, server):
    simulator.fault("drop_after_ringing", api="aux_call", after=2, times=None)
    run = run_try(batch(max_unknown=3), server, retries=1)
    assert run.state == "failed"
    assert "max_unknown" in str(run.error)
    assert sum(simulator.rings.values()) == 5


@needs_ledger
@pytest.mark.parametrize("value", ["true", "1", "wolkvox_default", "other, wolkvox_default"])
def test_the_stop_switch_ends_all_calling_within_a_call(simulator, wolkvox_connection, server, value):
    def stop(message, moment):
        if sum(simulator.rings.values()) >= 4:
            server.variables["wolkvox_stop"] = value

    server.on_message = stop
    run = run_try(batch(), server, retries=1)
    assert run.state == "failed"
    assert "wolkvox_stop" in str(run.error)
    assert 4 <= sum(simulator.rings.values()) <= 5
    server.on_message = lambda message, moment: None
    server.variables.clear()
    assert run_try(batch(), server, try_number=2, max_tries=1).state == "success"
    assert simulator.rings == ALL_ONCE


@pytest.mark.parametrize("value", ["false", "0", "", "another_connection"])
def test_a_stop_switch_that_is_off_or_anothers_stops_nobody(
    simulator, wolkvox_connection, set_connection, server, value
):
    set_connection("another_connection")
    server.variables["wolkvox_stop"] = value
    assert run_try(batch(), server).state == "success"
    assert simulator.rings == ALL_ONCE


def test_a_task_that_is_cleared_meanwhile_makes_no_further_call(simulator, wolkvox_connection, server):
    def clear(message, moment):
        if sum(simulator.rings.values()) >= 4:
            server.task_state = "restarting"

    server.on_message = clear
    run = run_try(batch(), server, retries=1)
    assert run.state == "failed"
    assert "no longer running" in str(run.error)
    assert sum(simulator.rings.values()) <= 5


def test_max_calls_ends_in_order_and_hands_on_what_is_left(simulator, wolkvox_connection, server):
    run = run_try(batch(max_calls=5), server)
    assert run.state == "success", run.error
    assert [call.phone for call in simulator.calls] == PHONES[:5]
    assert run.xcoms["left"] == CALLS[5:]
    assert states(run)[5:] == ["left"] * 7
    run_try(batch(calls=run.xcoms["left"]), Server())
    assert simulator.rings == ALL_ONCE


def test_the_pace_is_kept(simulator, wolkvox_connection, server):
    pace, began = timedelta(seconds=0.2), datetime.now(UTC)
    run = run_try(batch(calls=CALLS[:4], pace=pace), server)
    assert run.state == "success", run.error
    assert all(call.at >= began + number * pace for number, call in enumerate(simulator.calls))


def test_who_is_no_number_and_who_stands_twice_is_skipped_with_its_reason(simulator, wolkvox_connection, server):
    calls = [CALLS[0], {"agent_id": "10001", "customer_phone": "12"}, {**CALLS[0], "agent_id": "10002"}, CALLS[1]]
    run = run_try(batch(calls=calls), server)
    assert run.state == "success", run.error
    assert states(run) == ["accepted", "skipped", "skipped", "accepted"]
    assert "2 digits" in run.xcoms["return_value"][1]["reason"]
    assert "calls[0] is to the same number" in run.xcoms["return_value"][2]["reason"]
    assert simulator.rings == dict.fromkeys(PHONES[:2], 1)


@pytest.mark.parametrize("calls", [[{"agent_id": "10001"}], [{**CALLS[0], "phone": "1"}], ["3005550101"]])
def test_a_list_that_is_none_fails_before_any_request(simulator, wolkvox_connection, server, calls):
    run = run_try(batch(calls=calls), server, retries=3)
    assert run.state == "failed"
    assert "No call was made" in str(run.error)
    assert simulator.stats().requests == 0


def test_late_calls_are_skipped_with_their_reason(simulator, wolkvox_connection, server):
    run = run_try(batch(), server, due=datetime.now(UTC) - timedelta(days=2))
    assert run.state == "success", run.error
    assert set(states(run)) == {"skipped"}
    assert "max_age" in run.xcoms["return_value"][0]["reason"]
    assert simulator.stats().requests == 0


def test_results_and_report_are_written(simulator, wolkvox_connection, server, tmp_path):
    results, report = tmp_path / "out" / "results.jsonl", tmp_path / "out" / "report.md"
    run = run_try(batch(results_path=str(results), report_path=str(report)), server)
    assert run.state == "success", run.error
    assert run.xcoms["return_value"] == str(results)
    lines = [json.loads(line) for line in results.read_text().splitlines()]
    assert [line["state"] for line in lines] == ["accepted"] * len(CALLS)
    assert "accepted" in report.read_text()
    for text in (results.read_text(), report.read_text(), json.dumps(server.store)):
        assert not any(phone in text for phone in PHONES)
        assert TOKEN not in text


# Agents


def test_no_agent_gets_two_calls_without_a_free_state_in_between(monkeypatch, set_connection, server):
    with Simulator(tokens=[TOKEN], call_results={}) as sim:
        from airflow_provider_wolkvox.simulator import CallResult

        sim.call_results = CallResult.of("ANSWER", ring_seconds=0, talk_seconds=1, acw_seconds=0)
        set_connection(extra={"base_url": sim.base_url})
        run = run_try(batch(wait_for_agents=True, agent_poll_interval=timedelta(seconds=0.2)), server)
        assert run.state == "success", run.error
        assert set(states(run)) == {"accepted"}
        busy_until: dict[str, datetime] = {}
        for call in sim.calls:
            assert call.at >= busy_until.get(call.agent_id, call.at)
            busy_until[call.agent_id] = call.at + timedelta(seconds=1)


def test_the_calls_of_an_agent_who_stays_busy_are_skipped_while_others_go_on(simulator, wolkvox_connection, server):
    simulator.change_agent("10002", on_call=True)
    calls = CALLS[:5]
    run = run_try(
        batch(
            calls=calls,
            wait_for_agents=True,
            agent_poll_interval=timedelta(seconds=0.1),
            agent_timeout=timedelta(seconds=0.5),
        ),
        server,
    )
    assert run.state == "success", run.error
    assert states(run) == ["accepted", "skipped", "accepted", "accepted", "accepted"]
    assert "agent 10002 was not ready" in run.xcoms["return_value"][1]["reason"]


def test_what_was_looked_at_ahead_is_judged_anew_once_that_is_too_long_ago(
    simulator, wolkvox_connection, server, monkeypatch
):
    monkeypatch.setattr(aux_call_batch, "_LOOK_AHEAD_HOLDS", 3600.0)
    asked = 0

    def stop(message, moment):
        nonlocal asked
        asked += type(message).__name__ == "GetVariable" and moment == "after"
        # The first call was looked at, and the second one while the first was under way.
        if asked == 2 and not server.variables:
            assert simulator.wait_for(lambda sim: sum(sim.rings.values()) == 1)
            server.variables["wolkvox_stop"] = "true"
            monkeypatch.setattr(aux_call_batch, "_LOOK_AHEAD_HOLDS", 0.0)

    server.on_message = stop
    run = run_try(batch(calls=CALLS[:3]), server, retries=1)
    assert run.state == "failed"
    assert "wolkvox_stop" in str(run.error)
    assert sum(simulator.rings.values()) == 1


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"agent_id": "10001", "telefono": PHONES[0]}, "keys that no call has: 'telefono'"),
        ({"agent_id": "10001", "customer_phone": PHONES[0], PHONES[1]: ""}, "keys that no call has: '***0801'"),
        ({"agent_id": "10001", "customer_phone": PHONES[0], "Customer_Phone": PHONES[0]}, "'Customer_Phone'"),
        ({"agent_id": "10001"}, "has no customer_phone"),
        (PHONES[0], "is str, not a mapping"),
    ],
)
def test_what_is_no_call_is_named_with_its_place_and_its_unknown_keys(
    simulator, wolkvox_connection, server, wrong, says
):
    run = run_try(batch(calls=[CALLS[5], wrong]), server)
    assert run.state == "failed"
    assert "calls[1] " in str(run.error)
    assert says in str(run.error)
    assert PHONES[1] not in str(run.error)
    assert not simulator.rings
