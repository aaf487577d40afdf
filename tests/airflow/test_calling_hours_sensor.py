"""CallingHoursSensor waits for the customers' hours, once, and uses neither a token nor its lane."""

from __future__ import annotations

import json
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from unittest import mock

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowException
from capabilities import AIRFLOW, HAS_TASK_SDK, DagSerialization, sensor_base
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import AGENT, PHONE, TOKEN
from task_runner import Server, run_try
from test_calling_hours_of_calls import (
    CLOSING,
    EVENING,
    HOLIDAY,
    LAW,
    MOBILE_OF_ECUADOR,
    MONDAY,
    NEVER,
    NEXT_MONDAY,
    OWN,
    SATURDAY_NIGHT,
    TUESDAY,
    Clock,
    older,
    read_back,
    requests,
    utc,
)
from test_cli import add_dag, airflow, check, database, parser, set_pool, store_connection  # noqa: F401

from airflow_provider_wolkvox.operators.aux_call import AuxCallOperator
from airflow_provider_wolkvox.sensors import calling_hours
from airflow_provider_wolkvox.sensors.calling_hours import CallingHoursSensor

pytestmark = [
    pytest.mark.usefixtures("own_sigterm"),
    # Said by Airflow's own `airflow dags` where graphviz is not installed.
    pytest.mark.filterwarnings("ignore:Could not import graphviz"),
]


@contextmanager
def ticking(clock):
    """Let the sensor and Airflow's own part of it go by one clock."""
    with (
        clock.installed(calling_hours),
        mock.patch.object(sensor_base.timezone, "utcnow", side_effect=lambda: clock.at),
    ):
        yield


@pytest.fixture
def clock():
    clock = Clock(MONDAY)
    with ticking(clock):
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


@pytest.fixture(autouse=True)
def nothing_is_asked_of_wolkvox(simulator, connected):
    yield
    assert requests(simulator) == 0
    assert not simulator.rings


def waiting(**arguments):
    return lambda dag: CallingHoursSensor(**{"task_id": "wait", **arguments})


def poke(clock, server, *, retries=0, quiet=False, **arguments):
    """Run the sensor once, as the scheduler does when its time has come."""

    def again(ti):
        if HAS_TASK_SDK:
            ti._ti_context_from_server.task_reschedule_count = len(server.reschedules())

    if server.first_rescheduled is None:
        server.first_rescheduled = clock.at
    return run_try(waiting(**arguments), server, due=clock.at, retries=retries, around=again, quiet=quiet)


# How it waits


@pytest.mark.parametrize("hours", ["connection", "CO", "co", LAW, LAW & LAW.in_zones(["America/Lima"])])
def test_in_the_hours_it_succeeds_at_once_and_outside_of_them_it_is_run_again_exactly_when_they_open(
    clock, server, hours
):
    clock.at = EVENING
    assert poke(clock, server, calling_hours=hours).state == "up_for_reschedule"
    [clock.at] = server.reschedules()
    assert clock.at == TUESDAY
    assert poke(clock, server, calling_hours=hours).state == "success"
    assert server.reschedules() == [TUESDAY]


@pytest.mark.parametrize(
    ("at", "opens"),
    [
        (CLOSING, TUESDAY),
        (TUESDAY - timedelta(hours=3), TUESDAY),
        (SATURDAY_NIGHT, NEXT_MONDAY),
        (HOLIDAY, utc("2026-12-09 12:00")),
    ],
)
def test_it_sleeps_through_nights_weekends_and_holidays_in_one_piece(clock, server, at, opens):
    clock.at = at
    poke(clock, server, poke_interval=30)
    assert server.reschedules() == [opens]


def test_the_last_moment_before_the_opening_is_waited_out_too(clock, server):
    clock.at = TUESDAY - timedelta(microseconds=1)
    assert poke(clock, server).state == "up_for_reschedule"
    [again] = server.reschedules()
    assert TUESDAY <= again <= TUESDAY + timedelta(seconds=1)


def test_by_the_real_clock_it_is_never_run_again_before_the_opening(server):
    now = datetime.now(UTC)
    opens = (now + timedelta(hours=2)).replace(minute=0, second=0, microsecond=0)
    hours = LAW.weekly({"mon-sun": f"{opens:%H}:00-{opens:%H}:30"}, timezone="UTC")
    assert run_try(waiting(calling_hours=hours), server).state == "up_for_reschedule"
    [again] = server.reschedules()
    assert opens <= again < opens + timedelta(seconds=5)


@settings(max_examples=40, deadline=None)
@given(
    st.one_of(
        st.sampled_from([CLOSING, TUESDAY, EVENING, SATURDAY_NIGHT, HOLIDAY]),
        st.datetimes(datetime(2026, 11, 1), datetime(2027, 2, 1), timezones=st.just(UTC)),
    ),
    st.sampled_from([LAW, OWN, LAW & OWN]),
)
def test_at_any_instant_it_succeeds_if_the_hours_are_open_and_else_at_the_next_opening(at, hours):
    clock, server = Clock(at), Server()
    with ticking(clock), pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_CONN_WOLKVOX_DEFAULT", json.dumps({"conn_type": "wolkvox"}))
        run = poke(clock, server, calling_hours=hours, quiet=True)
        assert (run.state == "success") == hours.is_open(at)
        if not hours.is_open(at):
            [clock.at] = server.reschedules()
            assert timedelta() <= clock.at - hours.next_open(at) <= timedelta(seconds=1)
            assert poke(clock, server, calling_hours=hours, quiet=True).state == "success"


def test_a_backoff_meant_for_guesses_does_not_move_an_opening_that_is_known(clock, server):
    clock.at = EVENING
    poke(clock, server, exponential_backoff=True)
    assert server.reschedules() == [TUESDAY]


def test_none_succeeds_at_any_time(clock, server, connected):
    connected(country="XX")
    clock.at = EVENING
    assert poke(clock, server, calling_hours=None).state == "success"


@pytest.mark.parametrize("extra", [{}, {"country": " "}])
def test_hours_that_nobody_named_are_any_time_with_a_warning(clock, server, connected, everything_said, extra):
    connected(**extra)
    clock.at = EVENING
    assert poke(clock, server).state == "success"
    # 3.0 prints what it logs.
    times = 2 if AIRFLOW.release[:2] == (3, 0) else 1
    assert everything_said().count("Calls are made at any hour") == times


@pytest.mark.parametrize("phone", [MOBILE_OF_ECUADOR, "{{ '0991' }}234567"])
def test_a_number_that_may_be_in_two_zones_is_waited_for_in_both(clock, server, connected, phone):
    connected(country="EC", timezone="America/Guayaquil")
    clock.at = utc("2026-11-25 13:30")
    assert poke(clock, server).state == "success"
    assert poke(clock, server, customer_phone=phone).state == "up_for_reschedule"
    assert server.reschedules() == [utc("2026-11-25 14:00")]


def test_a_number_that_was_rendered_as_one_is_taken(clock, server):
    def native(dag):
        dag.render_template_as_native_obj = True
        return waiting(customer_phone="{{ 3005550101 }}")(dag)

    assert run_try(native, server).state == "success"


# How it ends otherwise


TWO_HOURS = timedelta(hours=2)


@pytest.mark.parametrize("soft_fail", [False, True])
def test_it_times_out_though_the_hours_open_later(clock, server, soft_fail):
    clock.at = EVENING
    for _ in range(4):
        run = poke(clock, server, timeout=TWO_HOURS, soft_fail=soft_fail)
        if run.state != "up_for_reschedule":
            break
        clock.at = server.reschedules()[-1]
    assert run.state == ("skipped" if soft_fail else "failed")
    assert clock.at < EVENING + 2 * TWO_HOURS


def test_a_timeout_that_is_over_when_it_wakes_in_closed_hours_fails_without_a_retry(clock, server):
    clock.at = EVENING
    poke(clock, server, timeout=TWO_HOURS)
    clock.at = EVENING + TWO_HOURS + timedelta(seconds=1)
    run = poke(clock, server, timeout=TWO_HOURS, retries=3)
    assert run.state == "failed"
    assert "timed out" in str(run.error)


def test_a_timeout_after_the_opening_does_no_harm(clock, server):
    clock.at = EVENING
    for state in ("up_for_reschedule", "success"):
        assert poke(clock, server, timeout=TUESDAY - EVENING + timedelta(minutes=1)).state == state
        clock.at = server.reschedules()[0]
    assert server.reschedules() == [TUESDAY]


BAD = {
    "hours that never open": ({}, {"calling_hours": NEVER}, "nothing opens within 60 days"),
    "an unknown country": ({"country": "XX", "timezone": "America/Bogota"}, {}, "no calling hours are known"),
    "several zones and none given": ({"country": "EC"}, {}, "'Time zone' is empty, and EC has several"),
    "a city for a zone": ({"country": "CO", "timezone": "Bogota"}, {}, "'Bogota' is no time zone"),
    "no zone is known for the number": (
        {"country": "EC"},
        {"customer_phone": "1234567890123456789"},
        "no time zone is known for the number ***6789",
    ),
}


@pytest.mark.parametrize("what", BAD)
@pytest.mark.parametrize("soft_fail", [False, True])
def test_what_cannot_be_right_fails_at_once_without_a_retry(clock, server, connected, everything_said, what, soft_fail):
    extra, arguments, message = BAD[what]
    connected(**extra)
    clock.at = EVENING

    run = poke(clock, server, retries=3, soft_fail=soft_fail, **arguments)

    assert run.state == ("skipped" if soft_fail else "failed")
    if not soft_fail:
        assert message in str(run.error)
    said = everything_said() + str(run.error)
    assert TOKEN not in said
    assert "1234567890123456789" not in said


def test_without_the_extra_a_numbers_zones_fail_it_and_name_the_extra(clock, server, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "phonenumbers", None)
    run = poke(clock, server, customer_phone=PHONE, retries=3)
    assert run.state == "failed"
    assert "airflow-provider-wolkvox[phones]" in str(run.error)


def test_hours_that_are_given_in_full_need_no_connection(clock, server, monkeypatch):
    monkeypatch.delenv("AIRFLOW_CONN_WOLKVOX_DEFAULT")
    assert poke(clock, server, calling_hours=LAW).state == "success"


# Parsed


@pytest.mark.parametrize("wrong", ["XX", "", "{{ params.country }}", 57, True, ["CO"]])
def test_an_unknown_country_is_refused_while_the_dag_is_parsed(wrong):
    with pytest.raises(ValueError, match=r"calling hours are known|must be CallingHours"):
        waiting(calling_hours=wrong)(None)


@pytest.mark.parametrize("how", ["argument", "default_args"])
def test_poke_mode_is_refused_while_the_dag_is_parsed(how):
    given = {"mode": "poke"}
    with (
        pytest.raises((ValueError, AirflowException), match="mode must be one of"),
        DAG("callbacks", schedule=None, default_args=given if how == "default_args" else {}),
    ):
        waiting(**(given if how == "argument" else {}))(None)


HOURS = {"law": LAW, "joint": LAW & OWN, "country": "CO", "connection": "connection", "none": None}


@pytest.mark.parametrize("hours", HOURS)
@pytest.mark.parametrize("mapped", [False, True])
def test_the_scheduler_reads_it_as_a_sensor_in_no_lane_that_may_be_run_again_later(mapped, hours):
    with DAG("callbacks", schedule=None) as dag:
        if mapped:
            CallingHoursSensor.partial(task_id="wait", calling_hours=HOURS[hours]).expand(customer_phone=[PHONE])
        else:
            CallingHoursSensor(task_id="wait", calling_hours=HOURS[hours])

    read = read_back(dag).get_task("wait")

    assert read.pool == "default_pool"
    if not mapped:
        assert read.reschedule
    assert DagSerialization.to_dict(dag) == DagSerialization.to_dict(dag)


def test_a_mapped_one_waits_too(clock, server):
    def first(ti):
        ti.map_index = 0

    clock.at = EVENING
    run = run_try(
        lambda dag: CallingHoursSensor.partial(task_id="wait", calling_hours=LAW).expand(customer_phone=[PHONE]),
        server,
        around=first,
    )
    assert run.state == "up_for_reschedule"
    assert server.reschedules() == [TUESDAY]


@pytest.mark.parametrize("conn_id", ["wolkvox_default", "sales"])
def test_its_pool_is_not_that_of_its_connection(conn_id):
    assert waiting(wolkvox_conn_id=conn_id)(None).pool == "default_pool"
    assert waiting(wolkvox_conn_id=conn_id, pool="patience")(None).pool == "patience"


SENSORS = """
from airflow_provider_wolkvox.sensors.calling_hours import CallingHoursSensor
plain = CallingHoursSensor(task_id="plain", calling_hours="CO", wolkvox_conn_id="wolkvox_default")
mapped = CallingHoursSensor.partial(task_id="mapped", calling_hours="CO", wolkvox_conn_id="wolkvox_default").expand(
    customer_phone=["3005550101"]
)
call = AuxCallOperator(task_id="call", **CALL)
[plain, mapped] >> call
"""


@pytest.fixture
def connected_in_the_database(store_connection, set_pool):  # noqa: F811
    store_connection()
    set_pool("wolkvox_default")


def test_the_check_of_lanes_does_not_take_it_for_a_task_that_uses_the_token(
    connected_in_the_database,
    check,  # noqa: F811
    add_dag,  # noqa: F811
):
    add_dag(SENSORS)
    found = check()
    assert set(found.values()) == {"ok"}
    assert [subject for subject in found if subject.startswith("task ")] == ["task callbacks.call"]


# Before a call


def test_before_a_call_it_has_the_call_made_where_airflow_lets_no_operator_wait(
    clock, server, simulator, monkeypatch, nothing_is_asked_of_wolkvox
):
    import airflow as installed

    from airflow_provider_wolkvox import running_task
    from airflow_provider_wolkvox.operators import calling

    monkeypatch.setattr(installed, "__version__", "2.11.2")
    clock.at = EVENING
    assert poke(clock, server).state == "up_for_reschedule"
    [clock.at] = server.reschedules()
    assert poke(clock, server).state == "success"
    with clock.installed(calling, running_task):
        run = run_try(
            lambda dag: AuxCallOperator(task_id="call", agent_id=AGENT, customer_phone=PHONE),
            Server(),
            due=EVENING,
            around=older,
        )
    assert run.state == "success", run.error
    assert simulator.rings == {PHONE: 1}
    simulator.reset()
