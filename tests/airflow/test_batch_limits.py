"""What is to end a batch ends it, also where the task runs again on its own."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from unittest import mock
from uuid import uuid4

import pytest
from capabilities import needs_ledger
from task_runner import Server, run_try
from test_batch import ALL_ONCE, CALLS, PHONES, batch, states
from test_calling_hours_of_calls import Clock, utc

from airflow_provider_wolkvox import batch as batch_module
from airflow_provider_wolkvox.calling import CallingHours
from airflow_provider_wolkvox.operators import aux_call_batch


@pytest.fixture
def server() -> Server:
    return Server()


def again(make, server, **how):
    """Run the task as Airflow does after a pause: the same try, with what the store has."""
    server.ti_id = uuid4()
    return run_try(make, server, **how)


@pytest.mark.parametrize(
    ("limits", "most"),
    [({"stop_on": ["unknown"]}, 3), ({"max_unknown": 2}, 4), ({"max_calls": 3}, 3)],
    ids=["stop_on", "max_unknown", "max_calls"],
)
def test_a_pause_for_a_look_up_is_no_way_around_a_limit(simulator, wolkvox_connection, server, limits, most):
    simulator.fault("drop_after_ringing", api="aux_call", after=2, times=None)
    simulator.hold_reports()
    make = batch(on_unknown="look_up", **limits)
    runs = 0
    state = "up_for_reschedule"
    while state == "up_for_reschedule" and runs < 4:
        state = again(make, server).state
        runs += 1
    assert sum(simulator.rings.values()) <= most


def test_why_a_batch_ended_is_said_although_it_pauses(simulator, wolkvox_connection, server, everything_said):
    simulator.fault("drop_after_ringing", api="aux_call", after=1, times=1)
    simulator.fault("quota", api="aux_call", after=3, times=None)
    simulator.hold_reports()
    run = run_try(batch(on_unknown="look_up"), server)
    said = everything_said() + str(run.error)
    assert "quota" in said.lower() or "TOKEN LIMIT" in said.upper()


def test_a_report_that_cannot_be_written_is_no_way_around_a_limit(simulator, wolkvox_connection, server, tmp_path):
    (tmp_path / "file").write_text("")
    simulator.fault("drop_after_ringing", api="aux_call", after=2, times=None)
    run = run_try(batch(max_unknown=2, report_path=str(tmp_path / "file" / "report.md")), server, retries=1)
    assert run.state == "failed"


@needs_ledger
def test_what_was_refused_is_not_asked_for_again_after_each_pause(simulator, wolkvox_connection, server):
    simulator.remove_agent("10003")
    simulator.fault("drop_after_ringing", api="aux_call", times=1)
    simulator.hold_reports()
    make = batch(on_unknown="look_up")
    assert again(make, server).state == "up_for_reschedule"
    with mock.patch.object(aux_call_batch.AuxCallBatchOperator, "find_call", return_value=None):
        requests = simulator.stats().requests
        assert again(make, server).state == "up_for_reschedule"
    assert simulator.stats().requests == requests


@needs_ledger
def test_several_unknown_calls_are_looked_up_over_pauses_and_rung_once(simulator, wolkvox_connection, server):
    for after in (1, 3, 5):
        simulator.fault("drop_after_ringing", api="aux_call", after=after - 1, times=1)
    simulator.hold_reports()
    make = batch(on_unknown="look_up", max_unknown=None)
    for _ in range(2):
        run = again(make, server)
        assert run.state == "up_for_reschedule"
        assert simulator.rings == ALL_ONCE
    simulator.release_reports()
    run = again(make, server)
    assert run.state == "success", run.error
    assert set(states(run)) == {"accepted"}
    assert [each["conn_id"] for each in run.xcoms["return_value"]] == [call.conn_id for call in simulator.calls]
    assert simulator.rings == ALL_ONCE


def test_a_look_up_ends_after_its_time_and_tells_of_the_doubt(simulator, wolkvox_connection, server):
    simulator.fault("drop_after_reading", api="aux_call", after=2, times=1)
    run = run_try(batch(on_unknown="look_up", look_up_timeout=timedelta(0)), server)
    assert run.state == "success", run.error
    assert states(run).count("unknown") == 1


def test_what_is_left_keeps_the_instant_from_which_it_is_too_late(simulator, wolkvox_connection, server):
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    calls = [CALLS[0], {**CALLS[1], "call_before": soon}]
    run = run_try(batch(calls=calls, max_calls=1), server)
    assert run.xcoms["left"] == calls[1:]


# Hours


class Doors:
    """Hours that are open or closed as a test says."""

    def __init__(self) -> None:
        self.closed = False
        self.after: int | None = None
        self.asked = 0
        self.opens = datetime.now(UTC) + timedelta(hours=2)

    def is_open(self, at):
        return self.why_closed(at) is None

    def why_closed(self, at):
        self.asked += 1
        shut = self.closed or (self.after is not None and self.asked > self.after)
        return "the doors are closed" if shut else None

    def next_open(self, at):
        return self.opens


@needs_ledger
@pytest.mark.parametrize("after", range(1, 40, 3))
def test_hours_that_close_at_any_moment_have_the_rest_wait_and_rung_once(simulator, wolkvox_connection, server, after):
    doors = Doors()
    doors.after = after
    make = batch(calls=CALLS[:5], calling_hours=doors)
    run = run_try(make, server)
    assert set(server.store["wolkvox_calls_0"]["lines"]) if simulator.calls else True
    if run.state == "up_for_reschedule":
        doors.after = None
        run = again(make, server)
    assert run.state == "success", run.error
    told = dict(zip(PHONES, states(run), strict=False))
    assert set(simulator.rings.values()) == {1}
    assert set(simulator.rings) == {phone for phone in told if told[phone] == "accepted"}


@needs_ledger
def test_hours_that_close_right_before_a_request_have_the_call_wait_as_well(simulator, wolkvox_connection, server):
    doors = Doors()
    # Asked when the call is chosen, and for the last time with the connection at hand.
    doors.after = 1
    run = run_try(batch(calls=CALLS[:1], calling_hours=doors), server)
    assert not simulator.rings
    assert run.state == "up_for_reschedule"


@needs_ledger
@pytest.mark.parametrize("outside_hours", ["fail"])
def test_a_last_look_that_fails_the_batch_leaves_no_doubt(simulator, wolkvox_connection, server, outside_hours):
    doors = Doors()
    doors.after = 2
    make = batch(calls=CALLS[:2], calling_hours=doors, outside_hours=outside_hours)
    run = run_try(make, server, retries=1)
    assert run.state == "failed"
    assert not simulator.rings
    doors.after = None
    second = run_try(make, server, try_number=2, max_tries=1)
    assert states(second) == ["accepted", "accepted"]


@needs_ledger
@pytest.mark.parametrize("outside_hours", ["skip", "fail", "wait"])
def test_closed_hours_ring_nobody(simulator, wolkvox_connection, server, outside_hours):
    doors = Doors()
    doors.closed = True
    run = run_try(batch(calling_hours=doors, outside_hours=outside_hours), server)
    assert run.state == {"skip": "success", "fail": "failed", "wait": "up_for_reschedule"}[outside_hours]
    if outside_hours == "skip":
        assert set(states(run)) == {"skipped"}
        assert all("closed" in each["reason"] for each in run.xcoms["return_value"])
    assert simulator.stats().requests == 0


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        # Nine in the morning in New York is six in Los Angeles, and four in Honolulu.
        ("2026-11-23 14:00", ["accepted", "skipped", "skipped"]),
        ("2026-11-23 17:00", ["accepted", "accepted", "skipped"]),
        ("2026-11-23 20:00", ["accepted", "accepted", "accepted"]),
        # Half past nine in the evening in New York.
        ("2026-11-24 02:30", ["skipped", "accepted", "accepted"]),
        ("2026-11-24 10:00", ["skipped", "skipped", "skipped"]),
    ],
)
def test_with_phone_zones_each_number_has_its_own_hours(simulator, wolkvox_connection, server, at, expected):
    hours = CallingHours.for_country("US", purpose="commercial", timezone="America/New_York")
    calls = [
        {"agent_id": "10001", "customer_phone": "+1 212 555 0123"},
        {"agent_id": "10002", "customer_phone": "+1 213 555 0123"},
        {"agent_id": "10003", "customer_phone": "+1 808 555 0123"},
    ]
    make = batch(calls=calls, calling_hours=hours, phone_zones=True, outside_hours="skip", max_age=None)
    with Clock(utc(at)).installed(aux_call_batch, batch_module):
        run = run_try(make, server)
    assert run.state == "success", run.error
    assert states(run) == expected


def test_each_calls_own_last_instant_is_kept(simulator, wolkvox_connection, server):
    past, ahead = (datetime.now(UTC) + timedelta(hours=hours) for hours in (-1, 1))
    calls = [
        {**CALLS[0], "call_before": past.isoformat()},
        {**CALLS[1], "call_before": ahead.isoformat()},
        {**CALLS[2], "call_before": ahead},
    ]
    run = run_try(batch(calls=calls), server)
    assert states(run) == ["skipped", "accepted", "accepted"]
    assert "call_before" in json.dumps(run.xcoms["return_value"][0])


# Without a ledger


def older(ti):
    ti.get_template_context().pop("task_state_store", None)


def test_without_a_ledger_a_second_try_refuses_and_nothing_pauses(simulator, wolkvox_connection, server):
    doors = Doors()
    simulator.fault("drop_after_reading", api="aux_call", after=1, times=1)
    simulator.hold_reports()
    make = batch(on_unknown="look_up", calls=CALLS[:3], calling_hours=doors)
    doors.after = 7
    run = run_try(make, server, around=older)
    assert run.state == "success", run.error
    assert "RescheduleTask" not in server.kinds()
    rings = dict(simulator.rings)
    second = run_try(make, server, try_number=2, retries=1, around=older)
    assert second.state == "failed"
    assert "before 3.3" in str(second.error)
    assert simulator.rings == rings
