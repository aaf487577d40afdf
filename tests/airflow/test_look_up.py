"""A call whose answer nobody saw is looked for in wolkvox's reports, and never rung again for that."""

from __future__ import annotations

import json
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from unittest import mock
from uuid import uuid4

import pytest
from capabilities import needs_ledger
from interruptions import Interruption
from samples import AGENT, time_for
from task_runner import Server
from test_ledger_interruptions import KINDS, PHONE, attempt, call, one_call

from airflow_provider_wolkvox.api import WolkvoxClient, transport
from airflow_provider_wolkvox.ledger import CallState, Entry
from airflow_provider_wolkvox.operators import aux_call, calling, once
from airflow_provider_wolkvox.simulator import Simulator

# Whatever loses the answer of a call that rang.
RINGING_FAULTS = [
    ("drop_after_ringing", {}),
    ("close_after_ringing", {}),
    ("cut_body", {}),
    ("garbage", {}),
    ("garbage_body", {}),
    ("bad_gzip", {}),
    ("server_error", {"status": 502}),
    ("redirect", {"ring": True}),
    ("stall", {}),
    ("stall_body", {}),
]
FIVE_MINUTES = timedelta(minutes=5)


def looking(dag, **arguments):
    return call(dag, on_unknown="look_up", **arguments)


def look(server: Server, interruption: Interruption | None = None, make=looking, **how):
    return attempt(server, interruption, make=make, **how)


def entry(server: Server) -> dict:
    return server.store["wolkvox_call"]


def lose(sim: Simulator, *, rings: bool = True) -> None:
    """Let the next call's answer be lost, after its ring or instead of it."""
    sim.fault("drop_after_ringing" if rings else "drop_after_reading", api="aux_call")
    if not rings:
        # What an aux_call follows is in the reports whether or not it rings.
        sim.add_past_call(PHONE, AGENT, seconds_ago=20)


@contextmanager
def rung_unseen(monkeypatch):
    """What a task leaves that was killed right after its call rang: an intent, and a call in the reports."""
    with one_call(monkeypatch) as (sim, server):
        server.store["wolkvox_call"] = Entry(CallState.INTENT, 1, datetime.now(UTC), AGENT, "***0101").to_json()
        with WolkvoxClient("0042", sim.token, base_url=sim.base_url) as wolkvox:
            wolkvox.aux_call(AGENT, PHONE)
        yield sim, server


def older(ti):
    """Take the store away, as it is before 3.3."""
    ti.get_template_context().pop("task_state_store", None)


@contextmanager
def minutes_later(monkeypatch, minutes: float):
    """Let the operator's clock, and no other, be ahead."""

    class Later(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + timedelta(minutes=minutes)

    with monkeypatch.context() as patch:
        patch.setattr(calling, "datetime", Later)
        patch.setattr(once, "datetime", Later)
        yield


def assert_found(run, sim: Simulator, server: Server) -> None:
    assert run.state == "success", run.error
    assert sim.rings == {PHONE: 1}
    assert run.xcoms["return_value"] == run.xcoms["conn_id"] == sim.calls[0].conn_id == entry(server)["conn_id"]
    assert entry(server)["state"] == "accepted"


def assert_unknown(run, server: Server) -> None:
    assert run.state == "failed"
    assert "outcome of this call is unknown" in str(run.error)
    assert "The phone may have rung" in str(run.error)
    assert "not sent" not in str(run.error).lower()
    assert entry(server)["state"] == "intent"
    assert run.xcoms == {"state": "unknown"}


def assert_waits(run, server: Server) -> None:
    assert run.state == "up_for_reschedule"
    assert entry(server)["state"] == "intent"
    assert not run.xcoms


# Found


@pytest.mark.parametrize(("fault", "options"), RINGING_FAULTS, ids=[name for name, _ in RINGING_FAULTS])
@pytest.mark.parametrize("result", ["ANSWER", "NO-ANSWER"])
def test_a_call_that_rang_and_whose_answer_was_lost_is_found_at_once(monkeypatch, fault, options, result):
    with one_call(monkeypatch) as (sim, server):
        connection = {"base_url": sim.base_url, "total_timeout": time_for(fault)}
        fields = {"conn_type": "wolkvox", "host": "0042", "password": sim.token, "extra": connection}
        monkeypatch.setenv("AIRFLOW_CONN_WOLKVOX_DEFAULT", json.dumps(fields))
        sim.call_results = result
        sim.fault(fault, api="aux_call", **options)
        assert_found(look(server), sim, server)
        assert not server.reschedules()


def test_what_was_found_is_returned_again_by_a_clear_without_a_request(monkeypatch):
    with one_call(monkeypatch) as (sim, server):
        lose(sim)
        assert_found(look(server), sim, server)
        requests = sim.stats().requests
        server.ti_id = uuid4()
        assert_found(look(server, try_number=2, max_tries=1), sim, server)
        assert sim.stats().requests == requests


def test_a_call_with_an_answer_is_not_looked_up(monkeypatch):
    with one_call(monkeypatch) as (sim, server):
        assert_found(look(server), sim, server)
        assert sim.stats().requests == 1


@pytest.mark.parametrize("fault", ["quota", "bad_token", "no_such_api"])
def test_a_refused_call_is_not_looked_up(monkeypatch, fault):
    with one_call(monkeypatch) as (sim, server):
        sim.fault(fault)
        assert look(server).state == "failed"
        assert sim.stats().requests == 1
        assert entry(server)["state"] == "refused"


def test_a_store_that_fails_as_the_find_is_written_costs_another_look_and_no_ring(monkeypatch):
    with rung_unseen(monkeypatch) as (_, server):
        names: list[str] = []
        look(server, Interruption("nothing", 0, "before", server, names=names))
    with rung_unseen(monkeypatch) as (sim, server):
        fails_from = names.index("SetTaskStateStore:accepted") + 1
        first = look(server, Interruption("nothing", 0, "before", server, store_fails_from=fails_from))
        assert first.state == "success"
        assert first.xcoms["conn_id"] == sim.calls[0].conn_id
        assert entry(server)["state"] == "intent"
        server.store_down = False
        assert_found(look(server, try_number=2, max_tries=1), sim, server)


def test_a_task_that_failed_as_unknown_is_looked_up_once_its_author_asks_for_it(monkeypatch):
    with one_call(monkeypatch) as (sim, server):
        lose(sim)
        assert_unknown(attempt(server), server)
        server.ti_id = uuid4()
        assert_found(look(server, try_number=2, max_tries=1), sim, server)


# Not found yet


@needs_ledger
def test_while_reports_lag_the_lane_is_given_back_for_five_minutes_and_then_the_call_is_found(monkeypatch):
    with one_call(monkeypatch) as (sim, server):
        lose(sim)
        sim.hold_reports()
        for looks in (1, 2, 3):
            before = datetime.now(UTC)
            assert_waits(look(server), server)
            assert len(server.reschedules()) == looks
            ahead = server.reschedules()[-1]
            assert before + FIVE_MINUTES <= ahead <= datetime.now(UTC) + FIVE_MINUTES
            assert server.kinds()[-1] == "RescheduleTask"
            assert sim.stats().used_today == 4 * looks
        sim.release_reports()
        assert_found(look(server), sim, server)


@needs_ledger
@pytest.mark.parametrize("retries", [0, 3])
def test_waiting_costs_no_try_and_needs_none(monkeypatch, retries):
    with one_call(monkeypatch) as (sim, server):
        lose(sim)
        sim.hold_reports()
        assert_waits(look(server, retries=retries), server)
        assert "RetryTask" not in server.kinds()
        sim.release_reports()
        assert_found(look(server, retries=retries), sim, server)
        assert entry(server)["try_number"] == 1


@needs_ledger
def test_a_call_that_is_too_late_by_now_is_still_found(monkeypatch):
    with one_call(monkeypatch) as (sim, server):
        soon = datetime.now(UTC) + timedelta(minutes=2)
        make = lambda dag: looking(dag, call_before=soon, max_age=timedelta(minutes=3))  # noqa: E731
        lose(sim)
        sim.hold_reports()
        assert_waits(look(server, make=make), server)
        sim.release_reports()
        with minutes_later(monkeypatch, 10):
            assert_found(look(server, make=make, due=datetime.now(UTC) - timedelta(minutes=1)), sim, server)


@needs_ledger
def test_a_call_that_no_report_shows_in_time_stays_unknown_and_is_never_rung_again(monkeypatch):
    with one_call(monkeypatch) as (sim, server):
        lose(sim)
        sim.hold_reports()
        assert_waits(look(server), server)
        for minutes in (5, 10, 15, 20, 24):
            with minutes_later(monkeypatch, minutes):
                assert_waits(look(server, retries=2), server)
        with minutes_later(monkeypatch, 30.1):
            last = look(server, retries=2)
            assert_unknown(last, server)
            assert "airflow wolkvox release callbacks manual__1 task" in str(last.error)
            for number in (2, 3):
                server.ti_id = uuid4()
                assert_unknown(look(server, try_number=number, max_tries=number, retries=2), server)
        assert sim.rings == {PHONE: 1}
        # A report may show it later still; a person who clears the task then is told so.
        sim.release_reports()
        with minutes_later(monkeypatch, 60):
            assert_found(look(server, try_number=4, max_tries=3), sim, server)


@needs_ledger
@pytest.mark.parametrize(("timeout", "at"), [(30, 26), (4, 0)])
def test_the_last_look_is_at_the_time_out_and_not_minutes_before_it(monkeypatch, timeout, at):
    make = lambda dag: looking(dag, look_up_timeout=timedelta(minutes=timeout))  # noqa: E731
    with one_call(monkeypatch) as (sim, server):
        lose(sim)
        sim.hold_reports()
        with minutes_later(monkeypatch, at):
            first = look(server, make=make)
        assert_waits(first, server)
        until = datetime.fromisoformat(entry(server)["at"]) + timedelta(minutes=timeout)
        assert abs(server.reschedules()[-1] - until) < timedelta(seconds=5)


@needs_ledger
def test_a_call_that_never_rang_is_not_found_stays_unknown_and_rings_nobody(monkeypatch):
    with one_call(monkeypatch) as (sim, server):
        lose(sim, rings=False)
        assert_waits(look(server, retries=2), server)
        with minutes_later(monkeypatch, 31):
            for number in (1, 2, 3):
                assert_unknown(look(server, try_number=number, retries=2), server)
        assert not sim.rings
        assert sim.stats().requests == 1 + 4 * 4


@needs_ledger
@pytest.mark.parametrize("result", ["ANSWER", "NO-ANSWER", "BUSY"])
def test_the_predictive_call_before_it_is_not_mistaken_for_the_call(monkeypatch, result):
    with one_call(monkeypatch) as (sim, server):
        lose(sim, rings=False)
        for seconds in (0, 1, 30):
            sim.add_past_call(PHONE, AGENT, seconds_ago=seconds, result=result)
        assert_waits(look(server), server)
        assert not sim.rings


@needs_ledger
@pytest.mark.parametrize(
    ("fault", "options"),
    [
        ("busy", {}),
        ("quota", {}),
        ("bad_token", {}),
        ("no_token", {}),
        ("api_off", {}),
        ("no_such_api", {}),
        ("server_error", {}),
        ("garbage_body", {}),
        ("drop_after_reading", {}),
        ("drop_before_reading", {}),
        ("reply", {"status": 404, "body": {"code": "404", "error": "Not Found", "msg": "Something else"}}),
        ("reply", {"status": 200, "body": {"code": "200", "error": None, "msg": "", "data": [{"date": "x"}, 7]}}),
    ],
)
def test_reports_that_cannot_be_read_are_waited_for_and_not_taken_as_no_call(monkeypatch, fault, options):
    with one_call(monkeypatch) as (sim, server):
        lose(sim)
        for report in ("calls_last_10", "cdr_1", "cdr_5", "agent_2"):
            sim.fault(fault, api=report, times=None, **options)
        assert_waits(look(server), server)
        assert_waits(look(server), server)
        sim.clear_faults()
        assert_found(look(server), sim, server)


@needs_ledger
def test_a_wolkvox_that_is_gone_is_waited_for(monkeypatch):
    with one_call(monkeypatch) as (sim, server):
        lose(sim)
        sim.hold_reports()
        assert_waits(look(server), server)
        sim.release_reports()
        sim.stop()
        assert_waits(look(server), server)
        with minutes_later(monkeypatch, 31):
            assert_unknown(look(server), server)
        sim.start()
        assert_found(look(server), sim, server)


# Interrupted


@needs_ledger
def test_a_task_that_was_killed_between_request_and_answer_is_looked_up_by_its_retry(monkeypatch):
    with one_call(monkeypatch) as (_, server):
        names: list[str] = []
        look(server, Interruption("nothing", 0, "before", server, names=names))
    for name, when in (("hand over", "after"), ("await answer", "after"), ("SetTaskStateStore:accepted", "before")):
        with one_call(monkeypatch) as (sim, server):
            kill = Interruption("kill", names.index(name) + 1, when, server)
            assert look(server, kill, retries=1) is None
            assert sim.wait_for(lambda sim: sim.rings[PHONE])
            server.ti_id = uuid4()
            assert_found(look(server, try_number=2, retries=1), sim, server)


@pytest.mark.parametrize("kind", KINDS)
def test_an_interruption_at_any_step_of_the_look_up_rings_nobody_and_loses_nothing(monkeypatch, kind):
    names: list[str] = []
    with rung_unseen(monkeypatch) as (sim, server):
        assert_found(look(server, Interruption("nothing", 0, "before", server, names=names)), sim, server)
    assert names.count("hand over") == 4
    seen = set()
    for number, name in enumerate(names, start=1):
        if name in names[: number - 1] and name in names[number:]:
            # The second and third report are asked as the first and the last one are.
            continue
        for when in ("before", "after"):
            with rung_unseen(monkeypatch) as (sim, server):
                interruption = Interruption(kind, number, when, server)
                first = look(server, interruption, retries=1, quiet=True)
                where = f"{kind} {when} {name}"
                # A report without rows is a 404: there, nothing comes after the envelope but an exception.
                assert interruption.done or (when, name) == ("after", "read envelope"), where
                assert first is None or first.state in ("success", "failed", "up_for_retry", "up_for_reschedule"), where
                seen.add(entry(server)["state"])
                server.ti_id = uuid4()
                assert_found(look(server, try_number=2, retries=1, max_tries=2, quiet=True), sim, server)
    # A mark changes nothing for the process that runs on; all else ends it, now before the find and now after it.
    assert seen == {"accepted"} | (set() if kind.startswith("mark") else {"intent"})


@needs_ledger
@pytest.mark.parametrize("failure", [MemoryError, RuntimeError, ValueError])
def test_an_exception_that_nobody_foresaw_after_the_ring_is_an_unknown_outcome(monkeypatch, failure):
    with one_call(monkeypatch) as (sim, server):
        with monkeypatch.context() as patch:
            # Such as a body too large for this machine's memory.
            patch.setattr(transport, "read_envelope", mock.Mock(side_effect=failure))
            look(server, retries=1)
        assert sim.rings == {PHONE: 1}
        second = look(server, try_number=2, retries=1)
        assert sim.rings == {PHONE: 1}
        assert_found(second, sim, server)


@needs_ledger
def test_an_intent_to_ring_one_customer_is_not_settled_with_another_customers_call(monkeypatch):
    neighbour = "3005550202"
    with one_call(monkeypatch) as (sim, server):
        lose(sim, rings=False)
        sim.hold_reports()
        assert_waits(look(server), server)
        sim.add_past_call(neighbour, AGENT, seconds_ago=0, type_interaction="outbound_ma", conn_id="neighbour")
        server.ti_id = uuid4()
        make = lambda dag: aux_call.AuxCallOperator(  # noqa: E731
            task_id="task", agent_id=AGENT, customer_phone=neighbour, on_unknown="look_up"
        )
        run = look(server, make=make, try_number=2, max_tries=1)
        assert run.state != "success"
        assert entry(server)["state"] == "intent"


# Before 3.3


def test_before_3_3_a_lost_call_is_looked_up_once_at_once(monkeypatch):
    with one_call(monkeypatch) as (sim, server):
        lose(sim)
        run = look(server, around=older)
        assert run.state == "success"
        assert run.xcoms["return_value"] == run.xcoms["conn_id"] == sim.calls[0].conn_id
        assert sim.stats().requests == 5
        assert not server.store


def test_before_3_3_a_lost_call_that_no_report_shows_yet_fails_at_once_and_a_later_try_refuses(monkeypatch):
    with one_call(monkeypatch) as (sim, server):
        lose(sim)
        sim.hold_reports()
        first = look(server, around=older, retries=3)
        assert first.state == "failed"
        assert "outcome of this call is unknown" in str(first.error)
        # There is nothing that `release` could change.
        assert "release" not in str(first.error)
        assert not server.reschedules()
        sim.release_reports()
        second = look(server, around=older, try_number=2, retries=3)
        assert second.state == "failed"
        assert "before 3.3" in str(second.error)
        assert sim.rings == {PHONE: 1}


# Parsed


@pytest.mark.parametrize("wrong", ["maybe", "", "LOOK_UP", "lookup", None, True])
def test_an_on_unknown_that_is_neither_fail_nor_look_up_is_refused_while_the_dag_is_parsed(wrong):
    with pytest.raises(ValueError, match=r"on_unknown must be one of 'fail', 'look_up'"):
        aux_call.AuxCallOperator(task_id="task", agent_id=AGENT, customer_phone=PHONE, on_unknown=wrong)


@pytest.mark.parametrize("wrong", [30, 1800.0, "30 minutes", None])
def test_a_look_up_timeout_that_is_no_length_of_time_is_refused_while_the_dag_is_parsed(wrong):
    with pytest.raises((TypeError, ValueError), match="look_up_timeout"):
        aux_call.AuxCallOperator(task_id="task", agent_id=AGENT, customer_phone=PHONE, look_up_timeout=wrong)


# Secrets


@needs_ledger
def test_a_look_up_says_neither_token_nor_number(monkeypatch, everything_said):
    with one_call(monkeypatch) as (sim, server):
        lose(sim)
        sim.fault("busy", api="calls_last_10")
        refusal = {"code": "404", "error": "x", "msg": f"{PHONE} {sim.token}"}
        for report in ("calls_last_10", "cdr_1", "cdr_5", "agent_2"):
            sim.fault("reply", api=report, status=404, body=refusal)
        assert_waits(look(server), server)
        assert_found(look(server), sim, server)
        said = everything_said() + repr(server.store) + repr(server.xcoms)
        assert "reports could not be read" in said
        assert sim.token not in said
        assert PHONE not in said
