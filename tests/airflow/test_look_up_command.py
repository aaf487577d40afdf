"""`airflow wolkvox look-up`: a person asks wolkvox's reports for a call."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime, timedelta

import pytest
from airflow.providers.common.compat.sdk import BaseHook
from samples import AGENT, PHONE, TOKEN

from airflow_provider_wolkvox.__main__ import main
from airflow_provider_wolkvox.api import WolkvoxClient

NOTHING = "No report shows a call. That does not prove that the phone did not ring."
OUTSIDE = "The token is used now, outside of its pool: run this while no call is under way."


@pytest.fixture
def look_up(wolkvox_connection, capsys):
    """Run the command; return its exit status, what it printed, and what it said besides."""
    # Airflow says a word of its own when it first reads its configuration; have that over.
    BaseHook.get_connection(wolkvox_connection)

    def run(*arguments: str, **options: str) -> tuple[object, str, str]:
        options = {"agent": AGENT, "phone": PHONE, "around": datetime.now(UTC).isoformat(), **options}
        given = [f"--{name.replace('_', '-')}={value}" for name, value in options.items() if value is not None]
        capsys.readouterr()
        status: object = 0
        try:
            status = main(["look-up", *given, *arguments])
        except SystemExit as end:
            status = end.code
        said = capsys.readouterr()
        error = said.err
        if isinstance(status, str):
            # What Python does with it as the process ends.
            status, error = 1, f"{error}{status}\n"
        assert TOKEN not in said.out + error
        assert PHONE not in said.out + error
        return status, said.out, error

    return run


@pytest.fixture
def rung(simulator) -> str:
    """Ring the customer once, past Airflow; return the call's conn_id."""
    with WolkvoxClient("0042", TOKEN, base_url=simulator.base_url) as wolkvox:
        return wolkvox.aux_call(AGENT, PHONE).conn_id


def test_a_call_is_shown_as_json_with_its_conn_id_and_a_masked_number(look_up, rung):
    status, out, _ = look_up(output="json")

    assert status == 0
    rows = [row for row in json.loads(out) if row["conn_id"] == rung]
    assert {row["report"] for row in rows} == {"calls_last_10", "cdr_1", "agent_2"}
    assert all(row["agent"] == AGENT and row["customer"] == "***0101" for row in rows)
    assert all(row["kind"] == "outbound_ma" and row["began"].endswith(" -05") for row in rows)
    (connected,) = [row for row in rows if row["report"] == "cdr_1"]
    assert str(connected["seconds"]) == "20"


def test_a_call_is_shown_as_a_table(look_up, rung):
    status, out, _ = look_up()

    assert status == 0
    assert all(word in out for word in ("began", "report", "kind", rung, "cdr_1", "***0101", "outbound_ma"))


def test_the_predictive_call_is_shown_too_with_its_kind(look_up, rung):
    _, out, _ = look_up(output="json")
    assert {row["kind"] for row in json.loads(out)} == {"out_pre", "outbound_ma"}


def test_the_rows_of_a_call_stand_together_and_the_calls_in_the_order_in_which_they_began(look_up, rung):
    _, out, _ = look_up(output="json")
    rows = json.loads(out)
    together = [key for key, _ in itertools.groupby(row["conn_id"] for row in rows)]
    assert len(together) == len(set(together)) == 2
    began = [min(row["began"] for row in rows if row["conn_id"] == conn_id) for conn_id in together]
    assert began == sorted(began)


def test_a_time_is_taken_as_it_is_printed(look_up, rung):
    around = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"
    status, out, _ = look_up(around=around, output="json")
    assert status == 0
    began = next(row["began"] for row in json.loads(out) if row["conn_id"] == rung)
    assert look_up(around=began)[0] == 0
    assert len(began) > 2


@pytest.mark.parametrize(("output", "shown"), [("table", NOTHING), ("json", "[]")])
def test_if_no_report_shows_a_call_the_exit_status_is_1_and_nothing_is_claimed(look_up, output, shown):
    status, out, _ = look_up(output=output)
    assert status == 1
    assert out.strip() == shown


@pytest.mark.parametrize(("minutes", "status"), [("5", 1), ("30", 0)])
def test_minutes_say_how_far_before_and_after_to_look(look_up, simulator, minutes, status):
    for ago in (20, -20):
        at = datetime.now(UTC) - timedelta(minutes=40 + ago)
        simulator.add_past_call(PHONE, AGENT, at=at, type_interaction="outbound_ma")
    around = datetime.now(UTC) - timedelta(minutes=40)
    found, out, _ = look_up(around=around.isoformat(), minutes=minutes, output="json")
    assert found == status
    assert {row["report"] for row in json.loads(out)} == (set() if status else {"cdr_1", "agent_2"})


def test_the_time_is_taken_in_the_zone_that_it_is_written_in(look_up, simulator):
    simulator.add_past_call(PHONE, AGENT, at=datetime(2026, 3, 2, 17, tzinfo=UTC), type_interaction="outbound_ma")
    for around in ("2026-03-02T12:00:00-05:00", "2026-03-02T17:00:00Z", "2026-03-02 22:45+05:45"):
        assert look_up(around=around, minutes="1")[0] == 0
    assert look_up(around="2026-03-02T12:00:00Z", minutes="60")[0] == 1


def test_other_agents_and_other_customers_calls_are_not_shown(look_up, simulator):
    simulator.add_past_call(PHONE, "10002", seconds_ago=1)
    simulator.add_past_call("3005550102", AGENT, seconds_ago=1)
    assert look_up()[0] == 1


def test_a_warning_on_stderr_says_that_the_token_is_used_outside_of_its_pool(look_up, rung):
    _, out, err = look_up(output="json")
    assert OUTSIDE in err
    assert OUTSIDE not in out


def test_looking_rings_nobody_and_costs_four_requests(look_up, simulator):
    look_up()
    assert not simulator.rings
    assert simulator.stats().used_today == simulator.stats().requests == 4


@pytest.mark.parametrize("around", ["tomorrow", "", "2026-11-22T07:05:00", "2026-11-22", "07:05"])
def test_a_time_that_is_none_or_has_no_zone_is_refused_with_an_example_and_nothing_sent(look_up, simulator, around):
    status, out, err = look_up(around=around)
    assert status == 2
    assert out == ""
    assert "--around " in err
    assert "such as '2026-11-22 18:00:00-05:00'" in err
    assert simulator.stats().requests == 0


@pytest.mark.parametrize("missing", ["agent", "phone", "around"])
def test_agent_phone_and_time_have_to_be_given(look_up, simulator, missing):
    status, _, err = look_up(**{missing: None})
    assert status == 2
    assert f"--{missing}" in err
    assert simulator.stats().requests == 0


@pytest.mark.parametrize("wrong", [{"phone": "30055501O1"}, {"phone": "12"}, {"agent": "Ana"}, {"agent": ""}])
def test_an_agent_or_a_number_that_cannot_be_right_is_refused_with_nothing_sent(look_up, simulator, wrong):
    status, _, err = look_up(**wrong)
    assert status
    assert "customer_phone" in err or "agent_id" in err
    assert simulator.stats().requests == 0


@pytest.mark.parametrize("fault", ["quota", "bad_token", "api_off", "server_error"])
def test_reports_that_cannot_be_read_are_said_in_one_line_and_not_as_no_call(look_up, simulator, rung, fault):
    simulator.fault(fault, times=None)
    status, out, err = look_up()
    assert status == 2
    assert out == ""
    assert "calls_last_10" in err
    assert NOTHING not in err
    assert "Traceback" not in err


def test_a_report_that_cannot_be_read_does_not_hide_what_the_others_show(look_up, simulator, rung):
    simulator.fault("server_error", api="calls_last_10")
    status, out, _ = look_up()
    assert status == 0
    assert "cdr_1" in out


def test_a_connection_without_a_token_is_said_in_one_line(look_up, set_connection):
    set_connection("empty_one", password=None)
    status, _, err = look_up(conn_id="empty_one")
    assert status
    assert "Connection 'empty_one': the field 'Token' is empty" in err


@pytest.mark.parametrize("how", ["refused", "bad time"])
def test_a_look_up_that_failed_has_another_exit_status_than_one_that_found_nothing(look_up, simulator, how):
    if how == "refused":
        simulator.fault("quota", api="calls_last_10")
    assert look_up(**({"around": "tomorrow"} if how == "bad time" else {}))[0] not in (0, 1)


def test_a_connection_that_does_not_exist_is_said_in_one_line(look_up):
    status, _, err = look_up(conn_id="no_such_connection")
    assert status
    assert "no_such_connection" in err


@pytest.mark.parametrize("minutes", ["inf", "1e12", "-5"])
def test_minutes_that_cannot_be_right_are_refused_with_nothing_sent(look_up, simulator, minutes):
    status, _, _ = look_up(minutes=minutes)
    assert status
    assert simulator.stats().requests == 0
