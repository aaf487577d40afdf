"""The reports that tell what became of a call: their rows, their windows, their lag, and the calls that mislead."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import queue
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from simulator_testing import NOON

from airflow_provider_wolkvox.simulator import (
    Agent,
    CallError,
    CallResult,
    Envelope,
    FaultKind,
    ReportError,
    ReportPolicy,
    Simulator,
)

PHONE = "573001234567"
EMPTY = {"code": "404", "error": "Not Found", "msg": "Validate dates entered"}
ALL = ("cdr_1", "cdr_5", "agent_2", "calls_last_10")


@pytest.fixture
def sim(clock) -> Iterator[Simulator]:
    with Simulator(clock=clock) as running:
        yield running


def stamp(moment: datetime) -> str:
    return moment.strftime("%Y%m%d%H%M%S")


def asked(caller, api, seconds=300, agent="10001"):
    """Ask one report for the time around the clock's."""
    now = datetime.fromtimestamp(caller.sim._operation._clock(), NOON.tzinfo)
    if api == "calls_last_10":
        return caller.last_ten()
    extra = {"agent_id": agent} if api == "agent_2" else {}
    return caller.report(api, stamp(now - timedelta(seconds=seconds)), stamp(now + timedelta(seconds=seconds)), **extra)


def rows(got, manual_only=True):
    """Return a report's rows, without sums, and by default of aux_calls alone."""
    if got.status == 404:
        assert got.json == EMPTY
        return []
    assert (got.status, got.json["code"], got.json["error"]) == (200, "200", None)
    assert got.json["msg"] == f"{len(got.json['data'])} records were found"
    assert all(type(value) is str for row in got.json["data"] for value in row.values())
    found = [row for row in got.json["data"] if row.get("agent_name") != "TOTAL"]
    return [row for row in found if not manual_only or row["type_interaction"] == "outbound_ma"]


def seen_in(caller):
    return {api for api in ALL if rows(asked(caller, api))}


# What each report says of a call


def test_an_answered_call_is_in_cdr_1_with_every_field(sim, caller):
    conn_id = caller.aux_call().json["data"]["conn_id"]
    (row,) = rows(asked(caller, "cdr_1"))
    assert row == {
        "agent_name": "AGENT 10001",
        "date": "2026-03-02 12:00:00",
        "destiny": "-",
        "telephone": PHONE,
        "cost": "0",
        "time_seg": "20",
        "time_min": "0.33",
        "cod_act": "-",
        "description_cod_act": "-",
        "cod_act_2": "-",
        "description_cod_act_2": "-",
        "type_interaction": "outbound_ma",
        "customer_id": "1001234567",
        "hang_up": "customer",
        "campaign_id": "32841",
        "conn_id": conn_id,
        "skill_id": "-",
        "skill_name": "-",
        "agent_id": "10001",
        "comment": "",
    }
    assert rows(asked(caller, "cdr_5")) == []


def test_a_call_that_was_not_answered_is_in_cdr_5_with_every_field(sim, caller):
    sim.call_results = "NO-ANSWER"
    conn_id = caller.aux_call().json["data"]["conn_id"]
    (row,) = rows(asked(caller, "cdr_5"))
    assert row == {
        "agent_name": "AGENT 10001",
        "date": "2026-03-02 12:00:00",
        "destiny": "-",
        "telephone": PHONE,
        "ring_time": "30",
        "result": "No answer",
        "type_interaction": "outbound_ma",
        "customer_id": "1001234567",
        "campaign_id": "32841",
        "conn_id": conn_id,
        "agent_id": "10001",
    }
    assert rows(asked(caller, "cdr_1")) == []


def test_the_agents_states_are_in_agent_2_one_after_the_other(sim, caller):
    conn_id = caller.aux_call().json["data"]["conn_id"]
    found = rows(asked(caller, "agent_2"))
    assert found[1] == {
        "agent_id": "10001",
        "agent_status": "TALK",
        "time": "00:00:20",
        "date_ini": "2026-03-02 12:00:08",
        "date_end": "2026-03-02 12:00:28",
        "conn_id": conn_id,
        "type_interaction": "outbound_ma",
        "destiny": "",
        "telephone": PHONE,
        "campaign_id": "32841",
    }
    assert [(row["agent_status"], row["time"]) for row in found] == [
        ("RING", "00:00:08"),
        ("TALK", "00:00:20"),
        ("ACW", "00:00:10"),
    ]
    assert {row["conn_id"] for row in found} == {conn_id}
    assert [row["date_ini"] for row in found[1:]] == [row["date_end"] for row in found[:-1]]
    ready = [row for row in rows(asked(caller, "agent_2"), manual_only=False) if row["agent_status"] == "READY"]
    assert {(row["conn_id"], row["telephone"], row["type_interaction"]) for row in ready} == {("", "", "")}


def test_agent_2_knows_only_the_ring_of_a_call_that_was_not_answered(sim, caller):
    sim.call_results = "BUSY"
    caller.aux_call()
    assert [row["agent_status"] for row in rows(asked(caller, "agent_2"))] == ["RING"]


def test_agent_2_tells_of_the_agent_asked_for_alone(sim, caller):
    caller.aux_call(agent="10001")
    caller.aux_call(agent="10002", phone="5730010")
    assert {row["telephone"] for row in rows(asked(caller, "agent_2", agent="10002"))} == {"5730010"}
    assert asked(caller, "agent_2", agent="99999").json == EMPTY


def test_calls_last_10_has_no_agent_and_every_result(sim, caller):
    sim.call_results = {"5730010": "NO-ANSWER", "5730011": "ANSWER-MACHINE"}
    conn_ids = [caller.aux_call(phone).json["data"]["conn_id"] for phone in (PHONE, "5730010", "5730011")]
    found = rows(caller.last_ten())
    assert found[0] == {
        "type_interaction": "outbound_ma",
        "result": "answer",
        "date": "2026-03-02 12:00:00",
        "telephone": PHONE,
        "customer_id": "1001234567",
        "conn_id": conn_ids[0],
    }
    assert [row["result"] for row in found] == ["answer", "no answer", "answer machine"]
    assert [row["conn_id"] for row in found] == conn_ids


def test_calls_last_10_forgets_a_call_after_ten_minutes(sim, caller, clock):
    caller.aux_call()
    clock.now += 600
    assert len(rows(caller.last_ten())) == 1
    clock.now += 1
    assert rows(caller.last_ten()) == []


def test_the_report_keeps_the_conn_id_that_the_answer_left_out(sim, caller):
    sim.fault("empty_conn_id")
    assert caller.aux_call().json["data"] == {"conn_id": ""}
    (row,) = rows(asked(caller, "cdr_1"))
    assert row["conn_id"] == sim.calls[0].conn_id != ""


def test_sums_end_the_reports_that_have_agent_names(sim, caller):
    sim.call_results = {"5730010": "BUSY", "5730011": "BUSY"}
    for phone in (PHONE, "573009", "5730010", "5730011"):
        caller.aux_call(phone)
    total = asked(caller, "cdr_1").json["data"][-1]
    # Two calls, and the cut ones before all four.
    assert (total["agent_name"], total["time_seg"], total["time_min"]) == ("TOTAL", "60", "0.98")
    assert (total["conn_id"], total["telephone"]) == ("", "")
    total = asked(caller, "cdr_5").json["data"][-1]
    assert (total["agent_name"], total["ring_time"]) == ("TOTAL", "60")
    sim.report_policy = ReportPolicy(totals=())
    assert "TOTAL" not in {row["agent_name"] for row in asked(caller, "cdr_1").json["data"]}


def test_a_prefix_can_be_hidden_and_the_type_changed(caller_of):
    manner = ReportPolicy(hidden_prefix="9", aux_call_type="transfer")
    with Simulator(report_policy=manner) as sim:
        caller = caller_of(sim)
        caller.aux_call("9573001234567")
        assert sim.rings == {"9573001234567": 1}
        assert {row["telephone"] for row in rows(caller.last_ten(), manual_only=False)} == {PHONE}
        assert {row["type_interaction"] for row in rows(caller.last_ten(), manual_only=False)} == {
            "transfer",
            "out_pre",
        }


# What became of the calls


def test_a_function_decides_what_became_of_each_call(sim, caller):
    heard = []

    def result(phone, agent_id, rung_before):
        heard.append((phone, agent_id, rung_before))
        return "BUSY" if rung_before else CallResult.of("ANSWER", talk_seconds=7, hang_up="agent", cod_act="101")

    sim.call_results = result
    caller.aux_call()
    caller.aux_call()
    assert heard == [(PHONE, "10001", 0), (PHONE, "10001", 1)]
    (answered,) = rows(asked(caller, "cdr_1"))
    assert (answered["time_seg"], answered["hang_up"], answered["cod_act"]) == ("7", "agent", "101")
    assert len(rows(asked(caller, "cdr_5"))) == 1


def test_a_seed_ends_the_nth_ring_of_a_phone_always_alike(caller_of):
    def results(phones):
        with Simulator(call_results=7) as sim:
            for phone in phones:
                caller_of(sim).aux_call(phone)
            found = [(record.phone, record.what) for record in sim.history if record.type_interaction == "outbound_ma"]
            return Counter(found)

    phones = [f"57300{number:04}" for number in range(40)]
    assert results(phones) == results(reversed(phones))
    assert len({what.result for _, what in results(phones)}) > 2


@pytest.mark.parametrize("word", ["no-answer", "NO ANSWER", "No answer", "no_answer"])
def test_a_result_may_be_written_as_any_report_writes_it(word):
    assert CallResult.of(word) == CallResult.of("NO-ANSWER")


@pytest.mark.parametrize(
    ("wrong", "explained"),
    [
        (lambda: CallResult.of("ASLEEP"), "the results are ABANDON, ANSWER"),
        (lambda: CallResult.of("ANSWER", seconds=3), "it has result, ring_seconds"),
        (lambda: CallResult.of("ANSWER", talk_seconds=-1), "from 0 to 86400"),
        (lambda: CallResult.of("BUSY", talk_seconds=3), "nobody talks"),
        (lambda: CallResult.of(CallResult.of(), hang_up="nobody"), '"agent", "customer"'),
        (lambda: Simulator(call_results=1.5), "a function or a seed"),
        (lambda: Simulator(call_results={"57": "ASLEEP"}), "the results are"),
        (lambda: Simulator(report_lag={"cdr_9": 1}), "there is cdr_1, cdr_5, agent_2, calls_last_10"),
        (lambda: Simulator(report_lag=-1), "from 0 up"),
        (lambda: Simulator(report_lag=float("nan")), "from 0 up"),
        (lambda: ReportPolicy(most_rows=0), "from 1 to 1000000"),
        (lambda: ReportPolicy(totals=("agent_2",)), "totals are for cdr_1, cdr_5"),
        (lambda: Simulator().add_past_call("", "10001"), "needs a phone"),
        (lambda: Simulator().add_past_call(PHONE, "10001", at=datetime(2026, 1, 1)), "aware"),
    ],
)
def test_what_can_not_be_is_refused_with_what_can(wrong, explained):
    with pytest.raises((CallError, ReportError), match=explained):
        wrong()


def test_a_function_that_fails_rings_nobody_and_is_heard_of(sim, caller, monkeypatch):
    failed = queue.SimpleQueue()
    monkeypatch.setattr(threading, "excepthook", lambda hooked: failed.put(hooked.exc_type))
    sim.call_results = lambda phone, agent_id, rung_before: 1 / 0
    with pytest.raises(http.client.RemoteDisconnected):
        caller.aux_call()
    assert failed.get(timeout=60) is ZeroDivisionError
    assert not sim.rings
    assert not sim.history


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    calls=st.lists(st.tuples(st.sampled_from(["5730010", "5730011", "5730012"]), st.integers(0, 5)), max_size=12),
    seed=st.integers(0, 99),
)
def test_every_rung_phone_has_one_record_per_ring_in_cdr_1_or_cdr_5_once_reports_are_released(
    sim, caller, clock, calls, seed
):
    sim.reset()
    clock.now = NOON.timestamp()
    sim.call_results = seed
    sim.hold_reports()
    for phone, pause in calls:
        caller.aux_call(phone)
        clock.now += pause
    assert not seen_in(caller)
    sim.release_reports()
    connected, other = rows(asked(caller, "cdr_1")), rows(asked(caller, "cdr_5"))
    assert Counter(row["telephone"] for row in connected + other) == sim.rings
    assert Counter(row["conn_id"] for row in connected + other) == Counter(call.conn_id for call in sim.calls)
    assert len(rows(caller.last_ten())) == len(calls)


# Windows


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    moments=st.lists(st.floats(0, 30), max_size=12),
    first=st.integers(0, 30),
    cut=st.integers(0, 15),
    rest=st.integers(1, 15),
)
def test_two_adjacent_windows_together_have_the_rows_of_the_whole(sim, caller, clock, moments, first, cut, rest):
    sim.reset()
    sim.report_policy = ReportPolicy(totals=())
    clock.now = NOON.timestamp() + 60
    for number, moment in enumerate(moments):
        sim.add_past_call(
            PHONE, "10001", at=NOON + timedelta(seconds=moment), result="BUSY" if number % 2 else "ANSWER"
        )
    begin, middle, end = (NOON + timedelta(seconds=first + part) for part in (0, cut, cut + rest))

    def window(api, ini, end):
        extra = {"agent_id": "10001"} if api == "agent_2" else {}
        return rows(caller.report(api, stamp(ini), stamp(end), **extra), manual_only=False)

    for api in ("cdr_1", "cdr_5", "agent_2"):
        whole = window(api, begin, end)
        halves = window(api, begin, middle) + window(api, middle + timedelta(seconds=1), end)
        assert halves == whole
        # A shared second is in both, so that rows there come twice, and none gets lost.
        shared = window(api, begin, middle) + window(api, middle, end)
        assert [row for number, row in enumerate(shared) if row not in shared[:number]] == [
            row for number, row in enumerate(whole) if row not in whole[:number]
        ]


@pytest.mark.parametrize("offset", [0.0, 0.999])
def test_both_ends_of_a_window_belong_to_it_in_whole_seconds(sim, caller, clock, offset):
    clock.now += offset
    caller.aux_call()
    second, one = NOON, timedelta(seconds=1)
    assert len(rows(caller.report("cdr_1", stamp(second), stamp(second)))) == 1
    assert rows(caller.report("cdr_1", stamp(second - one), stamp(second - one))) == []
    assert rows(caller.report("cdr_1", stamp(second + one), stamp(second + one))) == []


def test_dates_are_in_gmt_minus_5_whatever_zone_the_machine_is_in(sim, caller, monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        caller.aux_call()
        assert rows(caller.report("cdr_1", "20260302120000", "20260302120000"))[0]["date"] == "2026-03-02 12:00:00"
        utc = NOON.astimezone(UTC)
        assert rows(caller.report("cdr_1", stamp(utc), stamp(utc))) == []
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("api", ALL)
def test_an_empty_window_is_a_404_without_data_and_no_refusal(sim, caller, api):
    got = asked(caller, api)
    assert (got.status, got.json, list(got.json)) == (404, EMPTY, ["code", "error", "msg"])
    assert sim.stats().refusals == {}
    assert sim.stats().used_today == 1


@pytest.mark.parametrize(
    ("ini", "end", "reply"),
    [
        ("20260302110000", "2026-03-02", "dates_wrong"),
        ("20260302110000", "20260230000000", "dates_wrong"),
        ("20260302110000", " 2026030212000", "dates_wrong"),
        ("20260302130000", "20260302110000", "dates_reversed"),
        ("20260202120000", "20260305120001", "range_too_long"),
    ],
)
@pytest.mark.parametrize("api", ["cdr_1", "cdr_5", "agent_2"])
def test_dates_that_can_not_be_are_answered_as_configured(sim, caller, api, ini, end, reply):
    sim.call_results = {"5730010": "BUSY"}
    caller.aux_call()
    caller.aux_call("5730010")
    extra = {"agent_id": "10001"} if api == "agent_2" else {}
    assert caller.report(api, ini, end, **extra).json == EMPTY
    sim.set_reply(reply, Envelope(400, "BAD REQUEST", "as the real server says"))
    assert caller.report(api, ini, end, **extra).json["msg"] == "as the real server says"
    assert sim.stats().refusals == {"as the real server says": 1}


def test_31_days_are_a_window_and_the_limit_can_be_changed(sim, caller):
    caller.aux_call()
    assert len(rows(caller.report("cdr_1", "20260202120000", "20260305120000"))) == 1
    sim.report_policy = ReportPolicy(most_days=30)
    assert caller.report("cdr_1", "20260202120000", "20260305120000").json == EMPTY


def test_the_reply_for_no_recent_calls_can_be_changed(sim, caller):
    sim.set_reply("no_recent_calls", Envelope(200, None, "0 records were found", []))
    assert caller.last_ten().json["data"] == []
    assert asked(caller, "cdr_1").status == 404


@pytest.mark.parametrize("missing", ["date_ini", "date_end", "agent_id"])
def test_every_parameter_is_required(sim, caller, missing):
    given_ = {"date_ini": "20260302110000", "date_end": "20260302130000", "agent_id": "10001", missing: ""}
    got = caller.report("agent_2", given_.pop("date_ini"), given_.pop("date_end"), **given_)
    assert (got.status, got.json["msg"]) == (400, "SOME PARAMETERS ARE REQUIRED")


def test_a_reply_is_cut_without_a_word_at_the_most_rows_by_default_60_000(sim, caller):
    assert sim.report_policy.most_rows == 60_000
    sim.report_policy = ReportPolicy(most_rows=5)
    for number in range(8):
        sim.add_past_call(f"57300{number}", "10001", seconds_ago=100 - number)
    got = asked(caller, "cdr_1")
    assert [row["telephone"] for row in got.json["data"]] == [f"57300{number}" for number in range(5)]
    assert got.json["msg"] == "5 records were found"
    for seconds, last in [(97, "AGENT 10001"), (96, "TOTAL")]:
        data = asked(caller, "cdr_1", seconds).json["data"]
        assert (len(data), data[-1]["agent_name"]) == (5, last)


def test_reports_are_counted_against_the_quota(caller_of):
    with Simulator(daily_quota=4) as sim:
        caller = caller_of(sim)
        caller.aux_call()
        assert len(seen_in(caller)) == 3
        assert sim.stats().used_today == 4
        for api in ALL:
            assert asked(caller, api).json["msg"] == "TOKEN LIMIT EXCEEDED"
        assert sim.stats().used_today == 4


def test_reports_have_their_own_files_and_are_read_by_get(sim, caller):
    target = "/api/v2/real_time.php?api=cdr_1&date_ini=20260302110000&date_end=20260302130000"
    assert caller.ask("GET", target, caller.headers()).json["msg"] == "THE API YOU WANT TO CONSULT DOES NOT EXIST"
    target = target.replace("real_time", "reports_manager")
    assert caller.ask("POST", target, caller.headers()).status == 405


# Lag


@pytest.mark.parametrize("api", ["cdr_1", "agent_2", "calls_last_10"])
def test_a_row_appears_once_its_reports_lag_is_over(sim, caller, clock, api):
    sim.report_lag = {api: 45}
    caller.aux_call()
    others = {"cdr_1", "agent_2", "calls_last_10"} - {api}
    assert seen_in(caller) == others
    clock.now += 44.9
    assert seen_in(caller) == others
    clock.now += 0.1
    assert seen_in(caller) == others | {api}


def test_one_lag_can_be_given_for_all_and_then_one_be_changed(caller_of):
    with Simulator(report_lag=9) as sim:
        assert set(sim.report_lag.values()) == {9}
        sim.report_lag = {"cdr_5": 3}
        assert sim.report_lag["cdr_5"] == 3
        assert {seconds for name, seconds in sim.report_lag.items() if name != "cdr_5"} == {9}
        caller_of(sim).aux_call()
        assert not seen_in(caller_of(sim))


def test_a_row_can_appear_only_once_what_it_tells_of_is_over(sim, caller, clock):
    sim.report_policy = ReportPolicy(when_over=True)
    caller.aux_call()
    states = []
    for seconds, seen in [(7, 0), (1, 1), (19, 1), (1, 2), (10, 3)]:
        clock.now += seconds
        states = [row["agent_status"] for row in rows(asked(caller, "agent_2"))]
        assert len(states) == seen
        # On the line for 8 + 20 seconds.
        assert bool(rows(asked(caller, "cdr_1"))) is (seen >= 2)
    assert states == ["RING", "TALK", "ACW"]


def test_held_reports_show_the_cut_call_and_not_the_call_until_they_are_released(sim, caller):
    caller.aux_call("5730010")
    sim.hold_reports()
    assert sim.reports_held
    caller.aux_call()
    for api in ("cdr_1", "calls_last_10"):
        seen = rows(asked(caller, api), manual_only=False)
        assert [row["type_interaction"] for row in seen if row["telephone"] == PHONE] == ["out_pre"]
        assert len([row for row in seen if row["telephone"] == "5730010"]) == 2
    sim.release_reports()
    assert not sim.reports_held
    assert {row["telephone"] for row in rows(asked(caller, "cdr_1"))} == {PHONE, "5730010"}
    caller.aux_call("5730011")
    assert len(rows(asked(caller, "cdr_1"))) == 3


def test_reset_forgets_the_history_and_releases_the_reports(sim, caller):
    sim.hold_reports()
    caller.aux_call()
    sim.reset()
    assert not sim.history
    assert not sim.reports_held
    caller.aux_call()
    assert len(rows(asked(caller, "cdr_1"))) == 1


# Calls that mislead


def test_the_cut_predictive_call_comes_up_to_a_minute_before_with_a_conn_id_of_its_own(sim, caller, clock):
    leads = set()
    for number in range(40):
        conn_id = caller.aux_call(f"57300{number:02}").json["data"]["conn_id"]
        cut = next(record for record in sim.history if record.phone == f"57300{number:02}")
        assert (cut.type_interaction, cut.agent_id) == ("out_pre", "10001")
        assert cut.conn_id != conn_id
        assert cut.conn_id.split(".")[2] == str(int(cut.begun.timestamp()))
        leads.add(clock.now - cut.begun.timestamp())
    assert min(leads) >= 20
    assert max(leads) < 60
    assert len(leads) > 20


def test_the_cut_call_is_in_the_reports_and_over_before_the_aux_call(sim, caller):
    caller.aux_call()
    cut, call = rows(asked(caller, "cdr_1"), manual_only=False)
    assert (cut["type_interaction"], cut["telephone"], cut["agent_id"]) == ("out_pre", PHONE, "10001")
    assert (cut["campaign_id"], cut["customer_id"]) == (call["campaign_id"], call["customer_id"])
    events = rows(asked(caller, "agent_2"), manual_only=False)
    assert [row["agent_status"] for row in events] == ["READY", "RING", "TALK", "ACW"] * 2
    assert all(before["date_end"] <= after["date_ini"] for before, after in itertools.pairwise(events))


def test_one_cut_call_is_enough_for_a_minute(sim, caller, clock):
    caller.aux_call()
    caller.aux_call()
    assert Counter(record.type_interaction for record in sim.history) == {"out_pre": 1, "outbound_ma": 2}
    clock.now += 61
    caller.aux_call()
    assert Counter(record.type_interaction for record in sim.history) == {"out_pre": 2, "outbound_ma": 3}


def test_a_cut_call_of_ones_own_is_not_doubled_and_gives_the_call_its_campaign(sim, caller):
    sim.add_past_call(PHONE, "10001", seconds_ago=30, campaign_id="777", customer_id="C-1")
    caller.aux_call()
    assert len(sim.history) == 2
    (row,) = rows(asked(caller, "cdr_1"))
    assert (row["campaign_id"], row["customer_id"]) == ("777", "C-1")


def test_cut_calls_can_be_left_out(caller_of):
    with Simulator(cut_calls=False) as sim:
        caller_of(sim).aux_call()
        assert [record.type_interaction for record in sim.history] == ["outbound_ma"]
        (row,) = rows(asked(caller_of(sim), "cdr_1"))
        assert (row["campaign_id"], row["customer_id"]) == ("-", "-")


def test_any_past_call_can_be_put_into_the_history(sim, caller):
    inbound = sim.add_past_call(
        PHONE, "10002", type_interaction="inbound", seconds_ago=10, skill_id="5", talk_seconds=3
    )
    lost = sim.add_past_call("5730010", "", result="ABANDON", at=NOON - timedelta(seconds=20))
    strange = sim.add_past_call(
        PHONE, "10001", seconds_ago=9, conn_id="", result="BUSY", type_interaction="outbound_ma"
    )
    assert sim.rings == {}
    assert sim.history == (lost, inbound, strange)
    (row,) = rows(asked(caller, "cdr_1"), manual_only=False)
    assert (row["type_interaction"], row["skill_id"], row["time_seg"]) == ("inbound", "5", "3")
    found = rows(asked(caller, "cdr_5"), manual_only=False)
    assert [(row["agent_id"], row["agent_name"], row["conn_id"]) for row in found] == [
        ("-", "-", lost.conn_id),
        ("10001", "AGENT 10001", ""),
    ]
    assert len(rows(caller.last_ten(), manual_only=False)) == 3
    assert asked(caller, "agent_2", agent="10002").json["data"][1]["conn_id"] == inbound.conn_id


def test_past_calls_are_not_held_back_but_lag_like_others(sim, caller):
    sim.hold_reports()
    sim.report_lag = {"cdr_1": 30}
    sim.add_past_call(PHONE, "10001", seconds_ago=31)
    sim.add_past_call("5730010", "10001", seconds_ago=29)
    assert [row["telephone"] for row in rows(asked(caller, "cdr_1"), manual_only=False)] == [PHONE]


def test_a_call_that_was_refused_leaves_no_record(sim, caller):
    sim.add_agent("20001", on_call=True)
    assert caller.aux_call(agent="20001").status == 400
    sim.fault("drop_after_reading")
    with pytest.raises(ConnectionResetError):
        caller.aux_call()
    assert not sim.history


@pytest.mark.parametrize("kind", ["drop_after_ringing", "close_after_ringing", "garbage", "server_error"])
def test_a_call_whose_answer_got_lost_is_found_in_the_reports(sim, caller, kind):
    sim.fault(kind)
    with contextlib.suppress(ConnectionResetError, http.client.HTTPException):
        caller.aux_call()
    (row,) = rows(asked(caller, "cdr_1"))
    assert (row["telephone"], row["conn_id"]) == (PHONE, sim.calls[0].conn_id)


# Faults


@pytest.mark.parametrize("kind", [kind for kind in FaultKind if kind.name not in ("STALL", "STALL_BODY", "LATENCY")])
def test_faults_of_every_kind_hit_reports_and_ring_nobody(sim, caller, kind):
    caller.aux_call()
    before = sim.history
    for api in ALL:
        sim.fault(kind, api=api, **({"interval": 0.0} if kind is FaultKind.DRIP else {}))
        assert caller.token_info().status == 200
        with contextlib.suppress(ConnectionResetError, http.client.HTTPException):
            asked(caller, api)
        assert not sim.faults
    assert sim.rings == {PHONE: 1}
    assert sim.history == before
    assert seen_in(caller) == {"cdr_1", "agent_2", "calls_last_10"}


def test_a_report_can_be_slow_or_stall_in_its_body(sim, caller):
    caller.aux_call()
    sim.fault("stall_body", api="cdr_1", seconds=0.01)
    with pytest.raises(http.client.IncompleteRead):
        asked(caller, "cdr_1")
    sim.fault("stall", api="agent_2", seconds=0.01, agent_id="10001")
    with pytest.raises(http.client.RemoteDisconnected):
        asked(caller, "agent_2")
    assert sim.rings == {PHONE: 1}


def test_int_codes_and_text_null_leave_a_report_right_otherwise(sim, caller):
    caller.aux_call()
    sim.fault("int_codes")
    got = asked(caller, "cdr_1")
    assert (got.json["code"], got.json["data"][1]["telephone"]) == (200, PHONE)


# Over HTTP


def test_reports_are_held_and_released_over_http(sim, caller):
    assert caller.control("POST", "/reports", {"held": True}).json["held"] is True
    caller.aux_call()
    assert rows(asked(caller, "cdr_1")) == []
    assert caller.control("POST", "/reports", {"held": False}).json["held"] is False
    assert len(rows(asked(caller, "cdr_1"))) == 1


def test_the_settings_of_reports_are_read_and_changed_over_http(sim, caller):
    changes = {"lag": {"cdr_1": 5}, "cut_calls": False, "most_rows": 3, "totals": ["cdr_1"], "when_over": True}
    told = caller.control("POST", "/reports", changes).json
    assert told == caller.control("GET", "/reports").json
    lags = told.pop("lag")
    assert lags.pop("cdr_1") == 5
    assert set(lags.values()) == {0}
    assert told == {
        "held": False,
        "cut_calls": False,
        "most_rows": 3,
        "most_days": 31,
        "aux_call_type": "outbound_ma",
        "hidden_prefix": "",
        "totals": ["cdr_1"],
        "when_over": True,
        "zone": "-05:00",
        "bare_campaigns": False,
        "logged_out": "Logout",
        "status_when_done": "started",
        "blanks": False,
        "seconds_per_row": 0.0,
    }
    assert sim.report_policy == ReportPolicy(most_rows=3, totals=("cdr_1",), when_over=True)


@pytest.mark.parametrize(
    "wrong",
    [[], {"lag": "long"}, {"lag": {"cdr_9": 1}}, {"held": "yes"}, {"most_rows": 0}, {"colour": "red"}, {"totals": "x"}],
)
def test_wrong_settings_of_reports_get_400_and_change_nothing(sim, caller, wrong):
    before = caller.control("GET", "/reports").json
    told = {"held": True, "cut_calls": False, **wrong} if isinstance(wrong, dict) else wrong
    assert caller.control("POST", "/reports", told).status == 400
    assert caller.control("GET", "/reports").json == before


def test_past_calls_are_added_and_the_history_read_over_http(sim, caller):
    described = [
        {"phone": PHONE, "agent_id": "10001", "seconds_ago": 40, "talk_seconds": 4},
        {"phone": PHONE, "agent_id": "10002", "at": "2026-03-02T11:59:00-05:00", "result": "busy"},
    ]
    added = caller.control("POST", "/history", described).json["added"]
    caller.aux_call()
    told = caller.control("GET", "/history").json["history"]
    assert [told[1], told[0]] == added
    assert [(call["agent_id"], call["result"], call["talk_seconds"]) for call in told] == [
        ("10002", "BUSY", 0),
        ("10001", "ANSWER", 4),
        ("10001", "ANSWER", 20),
    ]
    assert told[2]["conn_id"] == sim.calls[0].conn_id
    assert told[2]["begun"] == "2026-03-02T17:00:00+00:00"


@pytest.mark.parametrize(
    "wrong",
    [
        7,
        {"phone": PHONE},
        {"phone": "", "agent_id": "1"},
        {"phone": 5, "agent_id": "1"},
        {"phone": PHONE, "agent_id": "1", "type_interaction": ""},
        {"phone": PHONE, "agent_id": "1", "at": "yesterday"},
        {"phone": PHONE, "agent_id": "1", "at": "2026-03-02T11:59:00"},
        {"phone": PHONE, "agent_id": "1", "seconds_ago": "few"},
        {"phone": PHONE, "agent_id": "1", "result": "asleep"},
        {"phone": PHONE, "agent_id": "1", "colour": "red"},
    ],
)
def test_a_wrong_past_call_gets_400_and_none_is_added(sim, caller, wrong):
    right = {"phone": PHONE, "agent_id": "10001"}
    assert caller.control("POST", "/history", [right, wrong]).status == 400
    assert not sim.history


def test_call_results_are_set_over_http(sim, caller):
    told = {"5730010": "BUSY", "5730011": {"result": "ANSWER", "talk_seconds": 3}}
    assert caller.control("POST", "/call_results", told).status == 200
    for phone in ("5730010", "5730011", PHONE):
        caller.aux_call(phone)
    assert [row["result"] for row in rows(caller.last_ten())] == ["busy", "answer", "answer"]
    assert caller.control("POST", "/call_results", '"NO-ANSWER"').status == 200
    caller.aux_call()
    assert rows(caller.last_ten())[-1]["result"] == "no answer"
    for wrong in ('"asleep"', "1.5", "[]", "true", {"57": 3}):
        assert caller.control("POST", "/call_results", wrong).status == 400


def test_agents_of_any_kind_leave_records(caller_of):
    with Simulator(agents=[Agent("12462")]) as sim:
        caller_of(sim).aux_call(agent="12462")
        assert replace(sim.history[-1], conn_id="x").agent_id == "12462"
