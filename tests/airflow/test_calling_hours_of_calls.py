"""A call is made within its customer's hours or not at all, and what keeps it from being made is on record."""

from __future__ import annotations

import itertools
import json
import logging
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from unittest import mock
from uuid import uuid4

import airflow
import pytest
from airflow.providers.common.compat.sdk import DAG
from capabilities import DagSerialization, needs_ledger, needs_pause
from hypothesis import given, settings
from hypothesis import strategies as st
from interruptions import Interruption
from samples import AGENT, PHONE, SERVER, TOKEN
from task_runner import Server, kind_of, run_try

from airflow_provider_wolkvox import running_task
from airflow_provider_wolkvox.calling import CallingHours
from airflow_provider_wolkvox.calling.countries import COUNTRIES
from airflow_provider_wolkvox.ledger import CallState, Entry
from airflow_provider_wolkvox.operators import calling as calling_module
from airflow_provider_wolkvox.operators.aux_call import AuxCallOperator
from airflow_provider_wolkvox.simulator import Simulator

pytestmark = pytest.mark.usefixtures("own_sigterm")

# Mondays to Fridays 07:00-19:00, Saturdays 08:00-15:00, and Bogota is five hours behind UTC.
LAW = CallingHours.for_country("CO", purpose="collection", timezone="America/Bogota")
OWN = CallingHours.weekly({"mon-fri": "09:00-17:00"}, timezone="America/Bogota", holidays=["CO", "2026-11-24"])
NEVER = CallingHours.weekly(
    {"sun": "09:00-10:00"},
    timezone="America/Bogota",
    holidays=[f"{datetime(2026, 11, 1) + timedelta(days=7 * week):%Y-%m-%d}" for week in range(20)],
)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


MONDAY = utc("2026-11-23 15:00")
CLOSING = utc("2026-11-24 00:00")
EVENING = utc("2026-11-24 00:30")
TUESDAY = utc("2026-11-24 12:00")
SATURDAY_NIGHT = utc("2026-11-28 22:00")
NEXT_MONDAY = utc("2026-11-30 12:00")
HOLIDAY = utc("2026-12-08 15:00")


@dataclass
class Clock:
    """The operator's own clock; every other one in the process goes on."""

    at: datetime

    def shown(self) -> type:
        clock = self

        class Shown(datetime):
            @classmethod
            def now(cls, tz=None):
                return clock.at.astimezone(tz)

        return Shown

    @contextmanager
    def installed(self, *modules):
        with ExitStack() as patches:
            for module in modules:
                patches.enter_context(mock.patch.object(module, "datetime", self.shown()))
            yield


@pytest.fixture
def clock():
    clock = Clock(MONDAY)
    with clock.installed(calling_module, running_task):
        yield clock


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture(autouse=True)
def connected(simulator, set_connection):
    """Give the connection to the simulator the extras named; at first a Colombian operation's."""

    def connect(**extra):
        return set_connection(extra={"base_url": simulator.base_url, **extra})

    connect(country="CO")
    return connect


def calling(**arguments):
    arguments = {"task_id": "call", "agent_id": AGENT, "customer_phone": PHONE, **arguments}
    return lambda dag: AuxCallOperator(**arguments)


def attempt(clock, server, *, due=None, **arguments):
    """Run one try of a task that was due right now, unless said otherwise."""
    how = {name: arguments.pop(name) for name in ("try_number", "retries", "max_tries", "around") if name in arguments}
    return run_try(calling(**arguments), server, due=due or clock.at, **how)


def requests(simulator) -> int:
    return sum(simulator.stats(token).requests for token in (TOKEN, "unknown", "none"))


def entry(server) -> dict:
    return server.store["wolkvox_call"]


def older(ti):
    """Take the store away, as it is before 3.3."""
    ti.get_template_context().pop("task_state_store", None)


def assert_nothing_left(simulator, server, *reasons):
    """No request, no ring, no intent, no result; the ledger tells why, and shows no number."""
    assert requests(simulator) == 0
    assert not simulator.rings
    assert server.xcoms in ({}, {"state": "skipped"})
    assert "SetTaskStateStore:intent" not in server.kinds()
    assert entry(server)["state"] == "not_sent"
    for reason in reasons:
        assert reason in entry(server)["reason"]
    assert PHONE not in repr(server.store)


def assert_rang_once(run, simulator, server):
    assert run.state == "success", run.error
    assert simulator.rings == {PHONE: 1}
    assert run.xcoms["conn_id"] == run.xcoms["return_value"] == simulator.calls[0].conn_id
    assert entry(server)["state"] == "accepted"


# Whose hours they are


@pytest.mark.parametrize(
    ("hours", "extra"),
    [
        (LAW, {}),
        (LAW & OWN, {}),
        ("CO", {}),
        ("co", {"timezone": "America/Bogota"}),
        ("connection", {"country": "CO"}),
        ("connection", {"country": " co ", "timezone": " America/Bogota "}),
        ("EC", {"timezone": "America/Bogota"}),
        ("connection", {"country": "PE"}),
    ],
)
def test_a_call_is_made_in_the_hours_and_not_outside_of_them(simulator, connected, clock, server, hours, extra):
    connected(**extra)

    clock.at = HOLIDAY if "CO" in (hours, extra.get("country", "").strip().upper()) else EVENING
    assert attempt(clock, server, calling_hours=hours, outside_hours="skip").state == "skipped"
    assert_nothing_left(simulator, server)

    clock.at = MONDAY
    assert_rang_once(attempt(clock, server, calling_hours=hours), simulator, server)


def test_none_is_any_time_whatever_the_connection_says(simulator, clock, server, caplog):
    clock.at = EVENING
    assert_rang_once(attempt(clock, server, calling_hours=None), simulator, server)
    assert "any hour" not in caplog.text


@pytest.mark.parametrize("extra", [{}, {"country": ""}, {"country": "  "}, {"timezone": "America/Bogota"}])
def test_hours_that_nobody_named_are_any_time_with_one_warning(
    simulator, connected, clock, server, everything_said, extra
):
    connected(**extra)
    simulator.fault("busy", times=2)
    clock.at = EVENING

    with mock.patch("airflow_provider_wolkvox.api.Resend.wait_after", return_value=0.0):
        assert_rang_once(attempt(clock, server), simulator, server)

    said = everything_said()
    assert said.count("Calls are made at any hour") == 1
    assert "'Country'" in said


@pytest.mark.parametrize(
    ("local", "is_open"),
    [("07:59", False), ("08:00", True), ("18:59", True), ("19:00", False), ("19:59", False)],
)
@pytest.mark.parametrize("hours", ["EC", "connection"])
def test_a_country_stands_for_its_law_on_collection_and_on_commerce_at_once(
    simulator, connected, clock, server, local, is_open, hours
):
    # Collection is from 07:00 to 20:00; for commerce nothing but the careful window is known.
    connected(country="EC", timezone="America/Guayaquil")
    clock.at = utc(f"2026-11-24 {local}") + timedelta(hours=5)

    run = attempt(clock, server, calling_hours=hours, outside_hours="fail")

    assert run.state == ("success" if is_open else "failed")
    assert sum(simulator.rings.values()) == is_open


@pytest.mark.parametrize(("zone", "is_open"), [("Asia/Tokyo", False), ("America/Bogota", True)])
def test_a_country_is_reckoned_in_the_connections_time_zone(simulator, connected, clock, server, zone, is_open):
    connected(timezone=zone)
    attempt(clock, server, calling_hours="CO", outside_hours="skip")
    assert sum(simulator.rings.values()) == is_open


@pytest.mark.parametrize("at", [CLOSING - timedelta(microseconds=1), CLOSING, TUESDAY - timedelta(microseconds=1)])
def test_hours_are_kept_to_the_microsecond(simulator, clock, server, at):
    clock.at = at
    attempt(clock, server, calling_hours=LAW)
    assert sum(simulator.rings.values()) == (at < CLOSING)


# Wait


@needs_pause
def test_a_call_outside_of_the_hours_waits_for_the_opening_outside_of_the_lane_and_then_rings_once(
    simulator, clock, server
):
    clock.at = EVENING
    first = attempt(clock, server, retries=0)

    assert first.state == "up_for_reschedule"
    assert server.reschedules() == [TUESDAY]
    assert server.kinds()[-1] == "RescheduleTask"
    assert_nothing_left(simulator, server, "after 19:00", "2026-11-24 12:00:00 UTC")

    clock.at = TUESDAY
    assert_rang_once(attempt(clock, server, due=EVENING, retries=0), simulator, server)
    assert server.reschedules() == [TUESDAY]
    assert requests(simulator) == 1


@needs_pause
def test_waiting_costs_no_try(simulator, clock, server):
    for at in (EVENING, EVENING + timedelta(hours=1), TUESDAY - timedelta(milliseconds=1)):
        clock.at = at
        assert attempt(clock, server, due=EVENING, retries=2).state == "up_for_reschedule"
    assert set(server.reschedules()) == {TUESDAY}
    assert "RetryTask" not in server.kinds()
    assert_nothing_left(simulator, server)


@needs_pause
def test_a_holiday_is_waited_out(simulator, clock, server):
    clock.at = HOLIDAY
    assert attempt(clock, server).state == "up_for_reschedule"
    assert server.reschedules() == [utc("2026-12-09 12:00")]
    assert_nothing_left(simulator, server, "public holiday: Immaculate Conception")


@needs_pause
def test_joint_hours_are_waited_for_until_all_are_open(simulator, clock, server):
    clock.at = EVENING
    assert attempt(clock, server, calling_hours=LAW & OWN, max_age=None).state == "up_for_reschedule"
    assert server.reschedules() == [utc("2026-11-25 14:00")]


@pytest.mark.parametrize("version", ["2.11.2", "3.0.6", "3.1.7"])
def test_where_airflow_lets_no_operator_wait_the_task_fails_and_names_the_sensor(
    simulator, clock, server, monkeypatch, version
):
    monkeypatch.setattr(airflow, "__version__", version)
    clock.at = EVENING

    run = attempt(clock, server, retries=3)

    assert run.state == "failed"
    assert "CallingHoursSensor before it" in str(run.error)
    assert "No phone rang" in str(run.error)
    assert not server.reschedules()
    assert_nothing_left(simulator, server, "after 19:00")


@needs_pause
@pytest.mark.parametrize("version", ["3.1.8", "3.2.0"])
def test_without_a_ledger_a_call_waits_and_rings_once_too(simulator, clock, server, monkeypatch, version):
    monkeypatch.setattr(airflow, "__version__", version)
    clock.at = EVENING
    assert attempt(clock, server, around=older, retries=2).state == "up_for_reschedule"
    assert not simulator.rings
    clock.at = TUESDAY
    assert attempt(clock, server, due=EVENING, around=older, retries=2).state == "success"
    assert simulator.rings == {PHONE: 1}


@pytest.mark.parametrize(
    ("limit", "due"),
    [
        ({"call_before": TUESDAY}, EVENING),
        ({"call_before": "2026-11-24 06:00:00-05:00"}, EVENING),
        ({"call_before": "{{ '2026-11-24 07:00:00-05:00' }}"}, EVENING),
        ({"max_age": timedelta(hours=11)}, EVENING),
        ({"max_age": TUESDAY - EVENING}, EVENING),
        ({}, TUESDAY - timedelta(hours=24)),
    ],
)
def test_a_call_that_would_be_too_late_at_the_opening_fails_at_once_with_that_reason(
    simulator, clock, server, limit, due
):
    clock.at = EVENING

    run = attempt(clock, server, due=due, retries=3, **limit)

    assert run.state == "failed"
    assert "then it would be too late" in str(run.error)
    assert ("call_before" if "call_before" in limit else "max_age") in str(run.error)
    assert not server.reschedules()
    assert_nothing_left(simulator, server, "after 19:00")


def test_the_ledger_tells_that_the_opening_comes_too_late(simulator, clock, server):
    clock.at = EVENING
    attempt(clock, server, call_before=TUESDAY)
    assert "call_before" in entry(server)["reason"]


@needs_pause
@pytest.mark.parametrize(
    "limit",
    [{"call_before": TUESDAY + timedelta(seconds=1)}, {"max_age": TUESDAY - EVENING + timedelta(seconds=1)}],
)
def test_a_call_that_is_just_in_time_at_the_opening_waits_for_it(simulator, clock, server, limit):
    clock.at = EVENING
    assert attempt(clock, server, **limit).state == "up_for_reschedule"
    clock.at = TUESDAY
    assert_rang_once(attempt(clock, server, due=EVENING, **limit), simulator, server)


@needs_pause
def test_a_weekend_is_longer_than_the_usual_max_age_and_says_so_at_once(simulator, clock, server):
    clock.at = SATURDAY_NIGHT
    assert attempt(clock, server).state == "failed"
    assert attempt(clock, server, max_age=None).state == "up_for_reschedule"
    assert server.reschedules() == [NEXT_MONDAY]


def test_a_call_that_is_too_late_already_says_that_and_nothing_of_hours(simulator, clock, server):
    clock.at = EVENING
    run = attempt(clock, server, call_before=EVENING)
    assert run.state == "failed"
    assert "call_before" in str(run.error)
    assert "may not be called now" not in str(run.error)
    assert_nothing_left(simulator, server, "call_before")


@pytest.mark.parametrize("outside", ["wait", "fail"])
def test_hours_that_never_open_fail_the_task_at_once(simulator, clock, server, outside):
    run = attempt(clock, server, calling_hours=NEVER, outside_hours=outside, retries=3)
    assert run.state == "failed"
    assert "nothing opens within 60 days" in str(run.error)
    assert_nothing_left(simulator, server, "nothing opens")


# Skip and fail


def test_a_call_outside_of_the_hours_is_skipped_where_its_author_wants_that(simulator, clock, server, caplog):
    clock.at = EVENING
    run = attempt(clock, server, outside_hours="skip", retries=3)
    assert run.state == "skipped"
    assert not server.reschedules()
    assert_nothing_left(simulator, server, "after 19:00")


def test_a_skip_asks_for_no_opening_that_is_in_time(simulator, clock, server):
    clock.at = EVENING
    assert attempt(clock, server, outside_hours="skip", call_before=TUESDAY).state == "skipped"
    assert_nothing_left(simulator, server)


def test_a_call_outside_of_the_hours_fails_where_its_author_wants_that(simulator, clock, server):
    clock.at = EVENING
    run = attempt(clock, server, outside_hours="fail", retries=3)
    assert run.state == "failed"
    assert "after 19:00 in America/Bogota" in str(run.error)
    assert "next at 2026-11-24 12:00:00 UTC" in str(run.error)
    assert "No phone rang" in str(run.error)
    assert not server.reschedules()
    assert_nothing_left(simulator, server, "after 19:00")


@needs_ledger
@pytest.mark.parametrize("outside", ["skip", "fail"])
def test_what_was_skipped_or_failed_rings_once_when_it_is_cleared_in_the_hours(simulator, clock, server, outside):
    clock.at = EVENING
    attempt(clock, server, outside_hours=outside)
    clock.at, server.ti_id = TUESDAY, uuid4()
    again = attempt(clock, server, due=EVENING, outside_hours=outside, try_number=2, max_tries=1)
    assert_rang_once(again, simulator, server)


@needs_pause
def test_a_store_that_is_down_lets_a_closed_call_wait_all_the_same(simulator, clock, server):
    clock.at = EVENING

    def down_for_writes(message, when):
        server.store_down = kind_of(message).startswith("SetTaskStateStore")

    server.on_message = down_for_writes
    assert attempt(clock, server).state == "up_for_reschedule"
    assert requests(simulator) == 0


# The last look


OUTSIDE = {"wait": "up_for_reschedule", "skip": "skipped", "fail": "failed"}


def moves(clock, server, kind, at):
    """Let the operator's clock jump when Airflow's server has answered a message of a kind."""

    def on_message(message, when):
        if when == "after" and kind_of(message) == kind:
            clock.at = at

    server.on_message = on_message


@needs_pause
@pytest.mark.parametrize("outside", OUTSIDE)
def test_hours_that_close_between_the_first_and_the_last_look_keep_the_call_from_being_sent(
    simulator, clock, server, outside
):
    moves(clock, server, "GetTaskStates", CLOSING)

    run = attempt(clock, server, outside_hours=outside, retries=3)

    assert run.state == OUTSIDE[outside]
    assert server.reschedules() == ([TUESDAY] if outside == "wait" else [])
    assert_nothing_left(simulator, server, "after 19:00")


@needs_ledger
@pytest.mark.parametrize("outside", OUTSIDE)
def test_hours_that_close_during_the_wait_for_a_busy_token_keep_the_call_from_being_sent_again(
    simulator, clock, server, quick_resends, outside
):
    simulator.fault("busy", times=1)
    moves(clock, server, "SetTaskStateStore:refused", EVENING)

    run = attempt(clock, server, outside_hours=outside, retries=3)

    assert run.state == OUTSIDE[outside]
    assert requests(simulator) == 1
    assert not simulator.rings
    assert run.xcoms in ({}, {"state": "skipped"})
    assert server.kinds().count("SetTaskStateStore:intent") == 1
    assert entry(server)["state"] == "not_sent"
    assert "after 19:00" in entry(server)["reason"]
    assert server.reschedules() == ([TUESDAY] if outside == "wait" else [])


@needs_ledger
def test_hours_that_close_while_the_server_is_unreachable_keep_the_call_from_being_sent_again(
    simulator, clock, server, quick_resends
):
    simulator.stop()

    def back_after_closing(message, when):
        if when == "after" and kind_of(message) == "SetTaskStateStore:not_sent" and not server.reschedules():
            if clock.at == MONDAY:
                simulator.start()
            clock.at = EVENING

    server.on_message = back_after_closing
    assert attempt(clock, server).state == "up_for_reschedule"
    assert_nothing_left(simulator, server, "after 19:00")


@needs_ledger
def test_a_call_that_was_stopped_by_the_last_look_rings_once_at_the_opening(simulator, clock, server, quick_resends):
    simulator.fault("busy", times=1)
    moves(clock, server, "SetTaskStateStore:refused", EVENING)
    assert attempt(clock, server).state == "up_for_reschedule"
    server.on_message = lambda message, when: None
    clock.at = TUESDAY
    assert_rang_once(attempt(clock, server, due=MONDAY), simulator, server)


@needs_pause
def test_hours_that_close_at_any_step_of_a_try_let_the_call_out_only_if_its_last_look_is_over(clock, simulator):
    names: list[str] = []
    watched = Server()
    with Interruption("nothing", 0, "before", watched, names=names).armed():
        assert attempt(clock, watched).state == "success"
    assert simulator.rings == {PHONE: 1}
    # The last thing that is said before the hours are asked: the question for the Variable wolkvox_stop.
    last_look = len(names) - names[::-1].index("GetVariable")
    for step, when in itertools.product(range(1, len(names) + 1), ("before", "after")):
        simulator.reset()
        clock.at, server = MONDAY, Server()
        closes = Interruption("nothing", step, when, server)
        with mock.patch.object(closes, "_strike", side_effect=lambda: setattr(clock, "at", EVENING)), closes.armed():
            run = attempt(clock, server, due=MONDAY)
        assert closes.done or step > last_look
        if step > last_look:
            assert run.state == "success", (step, when)
            assert simulator.rings == {PHONE: 1}
        else:
            assert run.state == "up_for_reschedule", (step, when)
            assert_nothing_left(simulator, server, "after 19:00")


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.sampled_from([CLOSING, TUESDAY, MONDAY, EVENING, SATURDAY_NIGHT, HOLIDAY]),
            st.datetimes(datetime(2026, 11, 1), datetime(2027, 2, 1), timezones=st.just(UTC)),
        ),
        min_size=1,
        max_size=3,
    ),
    st.sampled_from([LAW, OWN, LAW & OWN, LAW.in_zones(["America/Bogota", "Asia/Tokyo"])]),
    st.sampled_from(list(OUTSIDE)),
)
def test_at_any_instant_of_the_operators_clock_a_ring_happens_only_in_the_hours(instants, hours, outside):
    """The clock may jump anywhere from one look to the next; the last one counts."""
    first, last = instants[0], instants[-1]
    clock, server = Clock(first), Server()
    with Simulator() as sim, clock.installed(calling_module, running_task), pytest.MonkeyPatch.context() as patch:
        fields = {"conn_type": "wolkvox", "host": SERVER, "password": sim.token, "extra": {"base_url": sim.base_url}}
        patch.setenv("AIRFLOW_CONN_WOLKVOX_DEFAULT", json.dumps(fields))
        moves(clock, server, "GetTaskStates", last)
        make = calling(calling_hours=hours, outside_hours=outside, max_age=None)
        run = run_try(make, server, due=first, quiet=True)

        allowed = hours.is_open(first) and hours.is_open(last)
        assert sum(sim.rings.values()) == sim.stats().requests == allowed
        assert (run.state == "success") == allowed
        if run.state == "up_for_reschedule":
            # At the very instant that it is run again, it is made.
            [clock.at] = server.reschedules()
            assert clock.at == hours.next_open(last if hours.is_open(first) else first)
            server.on_message = lambda message, when: None
            assert run_try(make, server, due=first, quiet=True).state == "success"
            assert sum(sim.rings.values()) == 1


# What was done already


def test_a_call_that_was_accepted_returns_its_conn_id_though_the_hours_are_closed_now(simulator, clock, server):
    run = attempt(clock, server)
    assert_rang_once(run, simulator, server)
    conn_id = run.xcoms["conn_id"]
    for outside in OUTSIDE:
        clock.at, server.ti_id = EVENING, uuid4()
        again = attempt(clock, server, due=MONDAY, outside_hours=outside, try_number=2, max_tries=1)
        assert_rang_once(again, simulator, server)
        assert again.xcoms["conn_id"] == conn_id
    assert not server.reschedules()
    assert requests(simulator) == 1


@needs_ledger
@pytest.mark.parametrize("extra", [{"country": "XX"}, {"country": "EC"}, {"country": "CO", "timezone": "Bogota"}])
def test_a_call_that_was_accepted_returns_its_conn_id_though_its_hours_cannot_be_told_now(
    simulator, connected, clock, server, extra
):
    attempt(clock, server)
    connected(**extra)
    server.ti_id = uuid4()
    assert_rang_once(attempt(clock, server, try_number=2, max_tries=1), simulator, server)


@needs_ledger
@pytest.mark.parametrize("outside", OUTSIDE)
def test_an_unknown_outcome_is_neither_waited_out_nor_skipped(simulator, clock, server, outside):
    simulator.fault("drop_after_ringing")
    attempt(clock, server)
    for at in (EVENING, TUESDAY):
        clock.at, server.ti_id = at, uuid4()
        run = attempt(clock, server, due=at, outside_hours=outside, try_number=2, retries=3)
        assert run.state == "failed"
        assert "outcome of this call is unknown" in str(run.error)
        assert entry(server)["state"] == "intent"
    assert simulator.rings == {PHONE: 1}
    assert requests(simulator) == 1


def test_an_unknown_outcome_is_looked_up_outside_of_the_hours(simulator, clock, server):
    clock.at = EVENING
    server.store["wolkvox_call"] = Entry(CallState.INTENT, 1, datetime.now(UTC), AGENT, "***0101").to_json()
    simulator.add_past_call(PHONE, AGENT, seconds_ago=0, type_interaction="outbound_ma", conn_id="found")
    run = attempt(clock, server, on_unknown="look_up", try_number=2, retries=1)
    assert run.state == "success", run.error
    assert run.xcoms["conn_id"] == "found"
    assert not simulator.rings


def test_a_call_whose_answer_is_lost_as_the_hours_close_stays_unknown(simulator, clock, server):
    simulator.fault("drop_after_ringing")
    moves(clock, server, "SetTaskStateStore:intent", EVENING)
    run = attempt(clock, server)
    assert run.state == "failed"
    assert "outcome of this call is unknown" in str(run.error)
    assert entry(server)["state"] == "intent"
    assert simulator.rings == {PHONE: 1}


# By the number's own clock


MOBILE_OF_ECUADOR = "0991234567"
NEW_YORK = "+1 212 555 0123"
UNKNOWN_ZONE = "12345"


@pytest.mark.parametrize(
    ("at", "is_open"),
    [("12:30", False), ("13:30", False), ("14:00", True), ("23:59", True), ("00:30", False)],
)
def test_a_number_that_may_be_in_two_zones_is_called_when_it_is_open_in_both(
    simulator, connected, clock, server, at, is_open
):
    # 08:00-19:00 in Guayaquil is 13:00-24:00 UTC; the Galapagos are one hour behind it.
    connected(country="EC")
    clock.at = utc(f"2026-11-25 {at}")
    run = attempt(clock, server, customer_phone=MOBILE_OF_ECUADOR, phone_zones=True, outside_hours="fail")
    assert run.state == ("success" if is_open else "failed"), run.error
    assert sum(simulator.rings.values()) == is_open


@needs_pause
def test_a_number_in_two_zones_is_waited_for_until_it_is_open_in_the_later_one(simulator, connected, clock, server):
    connected(country="EC", timezone="America/Guayaquil")
    clock.at = utc("2026-11-25 13:30")
    assert attempt(clock, server, customer_phone=MOBILE_OF_ECUADOR).state == "success"
    other = Server()
    run = attempt(clock, other, customer_phone=MOBILE_OF_ECUADOR, phone_zones=True)
    assert run.state == "up_for_reschedule"
    assert other.reschedules() == [utc("2026-11-25 14:00")]


@pytest.mark.parametrize("hours", ["CO", "connection", LAW])
def test_hours_move_to_the_zone_of_a_number_abroad(simulator, clock, server, hours):
    # 07:00-19:00 by the clock of New York, then five hours behind UTC, and of summer four.
    for at, state in (("2026-07-21 11:30", "success"), ("2026-07-21 23:30", "failed"), ("2026-07-22 12:30", "success")):
        clock.at = utc(at)
        run = attempt(
            clock,
            Server(),
            customer_phone=NEW_YORK,
            phone_zones=True,
            calling_hours=hours,
            outside_hours="fail",
        )
        assert run.state == state, (at, run.error)


@needs_pause
def test_the_number_is_the_rendered_one(simulator, connected, clock, server):
    connected(country="EC")
    clock.at = utc("2026-11-25 13:30")
    run = attempt(clock, server, customer_phone="{{ '0991' }}234567", phone_zones=True)
    assert run.state == "up_for_reschedule"
    assert server.reschedules() == [utc("2026-11-25 14:00")]


def test_the_dial_prefix_changes_nothing_about_a_numbers_zone(simulator, connected, clock, server):
    connected(country="EC", dial_prefix="9")
    clock.at = utc("2026-11-25 14:30")
    assert attempt(clock, server, customer_phone=MOBILE_OF_ECUADOR, phone_zones=True).state == "success"
    assert simulator.rings == {f"9{MOBILE_OF_ECUADOR}": 1}


@needs_pause
def test_a_number_of_no_known_zone_is_reckoned_in_the_connections(simulator, connected, clock, server):
    connected(country="CO", timezone="America/Bogota")
    assert attempt(clock, server, customer_phone=UNKNOWN_ZONE, phone_zones=True).state == "success"
    clock.at = EVENING
    run = attempt(clock, Server(), customer_phone=UNKNOWN_ZONE, phone_zones=True)
    assert run.state == "up_for_reschedule"
    assert simulator.rings == {UNKNOWN_ZONE: 1}


@pytest.mark.parametrize("timezone", [{}, {"timezone": "Asia/Tokyo"}])
def test_a_number_of_no_known_zone_is_reckoned_in_its_hours_own_zone(simulator, connected, clock, server, timezone):
    connected(country="CO", **timezone)
    run = attempt(clock, server, customer_phone=UNKNOWN_ZONE, phone_zones=True, calling_hours=LAW)
    assert run.state == "success", run.error


# What cannot be right


@pytest.mark.parametrize("wrong", ["XX", "", "Colombia", "{{ params.country }}", 57, True, ["CO"], {"country": "CO"}])
def test_an_unknown_country_is_refused_while_the_dag_is_parsed(wrong):
    with pytest.raises(ValueError, match=r"calling hours are known|must be CallingHours"):
        calling(calling_hours=wrong)(None)


def test_an_unknown_country_in_the_dags_default_args_is_refused_while_it_is_parsed():
    with (
        pytest.raises(ValueError, match="no calling hours are known"),
        DAG("callbacks", schedule=None, default_args={"calling_hours": "XX"}),
    ):
        calling()(None)


@pytest.mark.parametrize("wrong", ["", "later", "WAIT", None, True])
def test_an_unknown_outside_hours_is_refused_while_the_dag_is_parsed(wrong):
    with pytest.raises(ValueError, match=r"outside_hours must be one of 'wait', 'skip', 'fail'"):
        calling(outside_hours=wrong)(None)


@pytest.mark.filterwarnings("ignore:Task 'call' was never mapped")
@pytest.mark.parametrize("wrong", [{"calling_hours": "XX"}, {"outside_hours": "later"}])
def test_an_unknown_country_of_a_mapped_task_is_refused_while_the_dag_is_parsed(wrong):
    with pytest.raises(ValueError, match=r"no calling hours are known|must be one of"), DAG("callbacks", schedule=None):
        AuxCallOperator.partial(task_id="call", agent_id=AGENT, **wrong).expand(customer_phone=[PHONE])


def test_a_task_mapped_over_an_unknown_country_is_refused_while_the_dag_is_parsed():
    with DAG("callbacks", schedule=None), pytest.raises(ValueError, match="no calling hours are known"):
        AuxCallOperator.partial(task_id="call", **CALL).expand(calling_hours=["XX"])


BAD = {
    "an unknown country": ({"country": "XX", "timezone": "America/Bogota"}, {}, "known are CO"),
    "a country by its name": ({"country": "Colombia", "timezone": "America/Bogota"}, {}, "known are CO"),
    "a country that is a number": ({"country": 57, "timezone": "America/Bogota"}, {}, "known are CO"),
    "several zones and none given": ({"country": "EC"}, {}, "'Time zone' is empty, and EC has several"),
    "several zones of a country given": ({}, {"calling_hours": "US"}, "'Time zone' is empty, and US has several"),
    "a city for a zone": ({"country": "CO", "timezone": "Bogota"}, {}, "'Bogota' is no time zone"),
    "a zone that is a number": ({"country": "CO", "timezone": -5}, {}, "-5 is no time zone"),
    "no zone is known for the number": (
        {"country": "EC"},
        {"phone_zones": True, "customer_phone": "1234567890123456789"},
        "no time zone is known for the number ***6789",
    ),
    "a number's country has no numbers": (
        {"country": "ZZ"},
        {"phone_zones": True, "calling_hours": LAW},
        "'ZZ' is not a country whose numbers are known",
    ),
}


@pytest.mark.parametrize("outside", OUTSIDE)
@pytest.mark.parametrize("what", BAD)
@pytest.mark.parametrize("at", [MONDAY, EVENING])
def test_what_hinders_the_hours_from_being_told_fails_before_any_request_without_a_retry(
    simulator, connected, clock, server, everything_said, what, outside, at
):
    extra, arguments, message = BAD[what]
    connected(**extra)
    clock.at = at

    run = attempt(clock, server, retries=3, outside_hours=outside, **arguments)

    assert run.state == "failed"
    assert message in str(run.error)
    assert_nothing_left(simulator, server, message)
    said = everything_said() + str(run.error) + repr(server.store)
    assert TOKEN not in said
    assert arguments.get("customer_phone", PHONE) not in said


def test_without_the_extra_a_numbers_zones_fail_the_task_and_name_the_extra(
    simulator, clock, server, monkeypatch, everything_said
):
    monkeypatch.setitem(sys.modules, "phonenumbers", None)

    run = attempt(clock, server, phone_zones=True, retries=3)

    assert run.state == "failed"
    assert "airflow-provider-wolkvox[phones]" in str(run.error)
    assert_nothing_left(simulator, server, "airflow-provider-wolkvox[phones]")
    assert PHONE not in everything_said()


def test_without_the_extra_all_else_works(simulator, clock, server, monkeypatch):
    monkeypatch.setitem(sys.modules, "phonenumbers", None)
    assert_rang_once(attempt(clock, server), simulator, server)


@pytest.mark.parametrize(
    ("field", "extra"), [("'Country'", {"country": "XX"}), ("'Time zone'", {"timezone": "Bogota"})]
)
def test_what_is_wrong_in_a_connection_is_said_of_the_connection(connected, clock, server, field, extra):
    connected(**{"country": "CO", "timezone": "America/Bogota", **extra})
    run = attempt(clock, server)
    assert "wolkvox_default" in str(run.error)
    assert field in str(run.error)


@pytest.mark.parametrize("country", ["XX", "Colombia", "BR"])
def test_an_unknown_country_is_called_unknown_though_no_time_zone_is_given(connected, clock, server, country):
    connected(country=country)
    run = attempt(clock, server)
    assert "no calling hours are known for the country" in str(run.error)


def test_a_country_with_blanks_around_it_is_that_country(simulator, clock, server):
    assert_rang_once(attempt(clock, server, calling_hours=" co "), simulator, server)


def test_numbers_that_cannot_be_dialled_are_refused_in_the_hours_whatever_their_zone(simulator, clock, server):
    for phone in ("{{ '300x5550101' }}", "{{ '+57 300 555 0101 ext 7' }}", "{{ '' }}"):
        run = attempt(clock, server, customer_phone=phone, phone_zones=True, retries=3)
        assert run.state == "failed", phone
        assert entry(server)["state"] == "not_sent"
    assert requests(simulator) == 0


@needs_pause
@pytest.mark.parametrize("outside", OUTSIDE)
def test_no_call_that_is_not_made_shows_token_or_number(simulator, clock, server, everything_said, outside):
    clock.at = EVENING
    run = attempt(clock, server, outside_hours=outside, phone_zones=True)
    assert run.state == OUTSIDE[outside]
    said = everything_said() + str(run.error) + repr(server.store)
    assert "may not be called now" in said
    assert TOKEN not in said
    assert PHONE not in said


# As the DAG's file is parsed and the scheduler reads it


def test_naming_hours_in_a_dag_file_imports_no_heavy_library():
    script = (
        "import sys, airflow.providers.common.compat.sdk as sdk\n"
        "sdk.BaseOperator, sdk.BaseHook, sdk.BaseSensorOperator, sdk.AirflowFailException, sdk.AirflowSkipException\n"
        "heavy = ('requests', 'urllib3', 'holidays', 'phonenumbers', 'sqlalchemy', 'pandas')\n"
        "before = set(sys.modules)\n"
        "from airflow_provider_wolkvox.calling import CallingHours\n"
        "from airflow_provider_wolkvox.operators.aux_call import AuxCallOperator\n"
        "from airflow_provider_wolkvox.sensors.calling_hours import CallingHoursSensor\n"
        "law = CallingHours.for_country('CO', purpose='collection', timezone='America/Bogota')\n"
        "own = law & CallingHours.weekly({'mon': '09:00-10:00'}, timezone='America/Bogota', holidays=['CO'])\n"
        "for number, hours in enumerate((law, own, 'CO', 'connection', None)):\n"
        "    AuxCallOperator(task_id=f't{number}', agent_id='1', customer_phone='12345', calling_hours=hours,\n"
        "                    phone_zones=True)\n"
        "    CallingHoursSensor(task_id=f's{number}', calling_hours=hours, customer_phone='12345')\n"
        "print('#' + ' '.join(name for name in heavy if name in sys.modules and name not in before))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.partition("#")[2].split() == []


HOURS = {"law": LAW, "own": OWN, "joint": LAW & OWN, "country": "CO", "connection": "connection", "none": None}
CALL = {"agent_id": AGENT, "customer_phone": PHONE}


def read_back(dag):
    """A DAG as the scheduler reads it from the database."""
    data = json.loads(json.dumps(DagSerialization.to_dict(dag)))
    DagSerialization.validate_schema(data)
    return DagSerialization.from_dict(data)


@pytest.mark.parametrize("hours", HOURS)
@pytest.mark.parametrize("define", ["plain", "partial", "expand", "default_args"])
def test_the_scheduler_reads_a_dag_with_hours_of_any_kind_and_finds_the_call_in_its_lane(define, hours):
    given = {"calling_hours": HOURS[hours]}
    with DAG("callbacks", schedule=None, default_args=given if define == "default_args" else {}) as dag:
        if define == "partial":
            AuxCallOperator.partial(task_id="call", **given).expand_kwargs([CALL])
        elif define == "expand":
            AuxCallOperator.partial(task_id="call", **CALL).expand(calling_hours=[HOURS[hours]])
        else:
            AuxCallOperator(task_id="call", **CALL, **({} if define == "default_args" else given))

    read = read_back(dag).get_task("call")

    assert (read.pool, read.pool_slots) == ("wolkvox_default", 1)
    # The same DAG twice is one version of it: nothing in its serialised form changes from parse to parse.
    assert DagSerialization.to_dict(dag) == DagSerialization.to_dict(dag)


@needs_pause
@pytest.mark.parametrize("hours", ["law", "own", "joint"])
@pytest.mark.parametrize("define", ["partial", "expand"])
def test_a_mapped_call_keeps_the_hours_it_was_given(simulator, clock, server, define, hours):
    def make(dag):
        if define == "partial":
            return AuxCallOperator.partial(task_id="call", calling_hours=HOURS[hours]).expand_kwargs([CALL])
        return AuxCallOperator.partial(task_id="call", **CALL).expand(calling_hours=[HOURS[hours]])

    def first(ti):
        ti.map_index = 0

    clock.at = EVENING
    run = run_try(make, server, around=first, due=EVENING)
    if hours == "law":
        assert run.state == "up_for_reschedule"
        assert server.reschedules() == [TUESDAY]
    else:
        assert run.state == "failed"
        assert "too late" in str(run.error)
    assert_nothing_left(simulator, server)
    clock.at = MONDAY
    assert_rang_once(run_try(make, server, around=first, due=MONDAY), simulator, server)


@pytest.mark.parametrize("country", COUNTRIES)
def test_every_country_with_a_law_is_taken_while_the_dag_is_parsed(country, caplog):
    with caplog.at_level(logging.WARNING):
        calling(calling_hours=country)(None)
    assert not caplog.records
