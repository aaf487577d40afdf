"""A call is found in whichever report shows it, and no other call is ever taken for it."""

from __future__ import annotations

import functools
import http.client
import logging
import re
import time
from datetime import UTC, datetime, timedelta

import pytest
from client_testing import AGENT, ONCE, PHONE, TOKEN, everything_logged, everything_said, requests_seen

from airflow_provider_wolkvox.api import (
    ApiUnavailable,
    OutcomeUnknown,
    Refused,
    TokenBusy,
    TokenInvalid,
    TokenQuotaExceeded,
    sending,
)
from airflow_provider_wolkvox.api.records import GMT_5, ReportedCall
from airflow_provider_wolkvox.api.values import rows_of
from airflow_provider_wolkvox.api.windows import whole
from airflow_provider_wolkvox.simulator import ReportPolicy, Simulator

REPORTS = ("calls_last_10", "cdr_1", "cdr_5", "agent_2")
MANUAL = "outbound_ma"
NEVER = 1e8  # seconds of lag
# Each report by itself, with a call that it tells of.
ALONE = [
    ("cdr_1", "ANSWER"),
    ("cdr_1", "ANSWER-MACHINE"),
    ("cdr_5", "NO-ANSWER"),
    ("cdr_5", "BUSY"),
    ("agent_2", "ANSWER"),
    ("agent_2", "NO-ANSWER"),
    ("calls_last_10", "ANSWER"),
    ("calls_last_10", "BUSY"),
]


def only(sim: Simulator, report: str) -> None:
    sim.report_lag = {name: 0.0 if name == report else NEVER for name in REPORTS}


def call(sim, wolkvox, phone=PHONE) -> tuple[str, datetime]:
    """Ring a phone; return the call's conn_id and when it was asked for."""
    sent_at = datetime.now(UTC)
    return wolkvox.aux_call(AGENT, phone).conn_id, sent_at


def lost_call(sim, wolkvox, phone=PHONE) -> datetime:
    """Ask for a call that never rings; only its predictive call may be in the reports."""
    sim.fault("drop_after_reading", api="aux_call")
    sent_at = datetime.now(UTC)
    with pytest.raises(OutcomeUnknown):
        wolkvox.aux_call(AGENT, phone)
    sim.add_past_call(phone, AGENT, seconds_ago=25)
    assert not sim.rings
    return sent_at


def around(at: datetime, seconds: float = 300) -> tuple[datetime, datetime]:
    return at - timedelta(seconds=seconds), at + timedelta(seconds=seconds)


# Found


@pytest.mark.parametrize(("report", "result"), ALONE)
@pytest.mark.parametrize(("prefix", "hidden"), [("", ""), ("9", ""), ("9", "9"), ("0057", "0057"), ("", "57")])
def test_an_accepted_call_is_found_in_each_report_by_itself_however_its_number_is_shown(
    sim, connect, report, result, prefix, hidden
):
    sim.call_results = result
    sim.report_policy = ReportPolicy(hidden_prefix=hidden)
    only(sim, report)
    wolkvox = connect(sim, dial_prefix=prefix)
    conn_id, sent_at = call(sim, wolkvox)

    found = wolkvox.find_call(AGENT, PHONE, sent_at)

    assert (found.report, found.conn_id, found.agent_id) == (report, conn_id, AGENT)
    assert found.type_interaction == MANUAL
    assert sim.rings == {prefix + PHONE: 1}


@pytest.mark.parametrize("report", ["cdr_1", "agent_2", "calls_last_10"])
@pytest.mark.parametrize("phone", ["12345", "123456", "1234567", "12345678", "123456789"])
@pytest.mark.parametrize(("prefix", "hidden"), [("", ""), ("9", ""), ("9", "9")])
def test_a_short_number_is_found_with_and_without_the_dial_prefix(sim, connect, report, phone, prefix, hidden):
    sim.report_policy = ReportPolicy(hidden_prefix=hidden)
    only(sim, report)
    wolkvox = connect(sim, dial_prefix=prefix)
    conn_id, sent_at = call(sim, wolkvox, phone)

    assert wolkvox.find_call(AGENT, phone, sent_at).conn_id == conn_id


@pytest.mark.parametrize("written", ["+57 300 123-4567", "(57) 3001234567", 573001234567])
def test_a_number_is_found_in_whatever_way_its_caller_writes_it(sim, connect, written):
    wolkvox = connect(sim)
    conn_id, sent_at = call(sim, wolkvox)
    assert wolkvox.find_call(int(AGENT), written, sent_at).conn_id == conn_id


@pytest.mark.parametrize("report", ["cdr_1", "agent_2"])
@pytest.mark.parametrize("seconds", [-8, 0, 300])
def test_a_call_is_found_although_wolkvoxs_clock_is_a_little_off(connect, report, seconds):
    with Simulator(tokens=[TOKEN], clock=lambda: time.time() + seconds) as sim:
        only(sim, report)
        wolkvox = connect(sim)
        conn_id, sent_at = call(sim, wolkvox)
        assert wolkvox.find_call(AGENT, PHONE, sent_at).conn_id == conn_id


@pytest.mark.parametrize("zone", ["UTC", "America/Bogota", "Asia/Kathmandu", "Pacific/Kiritimati", "America/New_York"])
def test_times_are_wolkvoxs_own_whatever_zone_this_machine_is_in(sim, connect, monkeypatch, zone):
    past = datetime(2026, 11, 1, 5, 30, 7, tzinfo=UTC)  # the hour that New York repeats
    sim.add_past_call(PHONE, AGENT, at=past, type_interaction=MANUAL, conn_id="a")
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        wolkvox = connect(sim)
        rows = wolkvox.reported_calls(AGENT, PHONE, *around(past, 1))
        # As a person far away would write it.
        there = wolkvox.reported_calls(AGENT, PHONE, *(at.astimezone() for at in around(past, 1)))
        conn_id, sent_at = call(sim, wolkvox)
        found = wolkvox.find_call(AGENT, PHONE, sent_at.astimezone())
    finally:
        monkeypatch.undo()
        time.tzset()
    assert rows == there
    assert {row.at for row in rows if row.report == "cdr_1"} == {past}
    assert {row.at.utcoffset() for row in rows} == {timedelta(hours=-5)}
    assert found.conn_id == conn_id
    assert abs(found.at - sent_at) < timedelta(minutes=1)


def test_the_reports_rows_come_typed_and_in_the_order_of_their_times(sim, connect):
    sim.call_results = "NO-ANSWER"
    wolkvox = connect(sim)
    conn_id, sent_at = call(sim, wolkvox)

    rows = wolkvox.reported_calls(AGENT, PHONE, *around(sent_at))

    assert [row.at for row in rows] == sorted(row.at for row in rows)
    shown = {row.report: row for row in rows if row.conn_id == conn_id}
    assert set(shown) == {"calls_last_10", "cdr_5", "agent_2"}
    assert shown["cdr_5"].result == shown["calls_last_10"].result == "NO-ANSWER"
    predictive = next(row for row in rows if row.report == "cdr_1")
    assert (predictive.type_interaction, predictive.seconds, predictive.phone) == ("out_pre", 5, PHONE)


# Not taken for it


@pytest.mark.parametrize("report", REPORTS)
def test_the_predictive_call_that_was_cut_is_never_taken_for_the_call_that_follows_it(sim, connect, report):
    wolkvox = connect(sim)
    sent_at = lost_call(sim, wolkvox)
    only(sim, report)
    assert wolkvox.find_call(AGENT, PHONE, sent_at) is None


@pytest.mark.parametrize("report", [report for report in REPORTS if report != "cdr_5"])
def test_of_both_calls_the_one_that_was_asked_for_is_found(sim, connect, report):
    wolkvox = connect(sim)
    conn_id, sent_at = call(sim, wolkvox)
    only(sim, report)
    types = {row.type_interaction for row in wolkvox.reported_calls(AGENT, PHONE, *around(sent_at))}
    assert types == {"out_pre", MANUAL}
    assert wolkvox.find_call(AGENT, PHONE, sent_at).conn_id == conn_id


@pytest.mark.parametrize(
    "kind",
    [
        "out_pre",
        "OUT_PRE",
        "inbound",
        "internal call",
        "internal call_inb",
        "internal call_que",
        "internalcall",
        "internalcall_inb",
        "internalcall_que",
        "Internal Call_Que",
        "conference",
        "ivr-out",
        "transfer",
        "outbound_ma_inb",
        "a kind that is not documented",
        "-",
    ],
)
@pytest.mark.parametrize("result", ["ANSWER", "NO-ANSWER"])
def test_a_call_of_another_kind_with_the_same_agent_and_phone_is_not_taken_for_it(sim, connect, kind, result):
    wolkvox = connect(sim)
    sent_at = lost_call(sim, wolkvox)
    sim.add_past_call(PHONE, AGENT, seconds_ago=0, type_interaction=kind, result=result)
    assert wolkvox.find_call(AGENT, PHONE, sent_at) is None


@pytest.mark.parametrize("kind", ["outbound_ma", "Outbound_MA", " outbound _ma "])
def test_an_agents_own_call_is_found_whatever_blanks_and_capitals_its_kind_is_written_with(sim, connect, kind):
    sent_at = datetime.now(UTC)
    made = sim.add_past_call(PHONE, AGENT, seconds_ago=0, type_interaction=kind)
    assert connect(sim).find_call(AGENT, PHONE, sent_at).conn_id == made.conn_id


@pytest.mark.parametrize("result", ["ANSWER", "NO-ANSWER"])
@pytest.mark.parametrize(
    ("phone", "agent"),
    [
        (PHONE, "10002"),
        (PHONE, "1000"),
        (PHONE, "110001"),
        ("573001234568", AGENT),
        ("573101234567", AGENT),
        (PHONE[-9:], AGENT),
        (PHONE + "1", AGENT),
    ],
)
def test_another_agents_call_and_another_customers_are_not_taken_for_it(sim, connect, phone, agent, result):
    wolkvox = connect(sim)
    sent_at = lost_call(sim, wolkvox)
    sim.add_past_call(phone, agent, seconds_ago=0, type_interaction=MANUAL, result=result)
    assert wolkvox.find_call(AGENT, PHONE, sent_at) is None


@pytest.mark.parametrize("other", ["1234", "123450", "012345", "812345", "9912345", "912346"])
def test_a_short_number_is_not_taken_for_another_that_it_is_a_part_of(sim, connect, other):
    wolkvox = connect(sim, dial_prefix="9")
    sent_at = lost_call(sim, wolkvox, "12345")
    sim.add_past_call(other, AGENT, seconds_ago=0, type_interaction=MANUAL)
    assert wolkvox.find_call(AGENT, "12345", sent_at) is None


def test_a_manual_call_of_minutes_before_the_request_is_not_taken_for_it(sim, connect):
    wolkvox = connect(sim)
    sent_at = lost_call(sim, wolkvox)
    sim.add_past_call(PHONE, AGENT, seconds_ago=200, type_interaction=MANUAL)
    assert wolkvox.find_call(AGENT, PHONE, sent_at) is None


def test_a_manual_call_long_after_the_request_is_not_taken_for_it(sim, connect):
    sent_at = datetime.now(UTC) - timedelta(minutes=11)
    sim.add_past_call(PHONE, AGENT, seconds_ago=10, type_interaction=MANUAL)
    assert connect(sim).find_call(AGENT, PHONE, sent_at) is None


def test_of_two_manual_calls_the_one_after_the_request_is_found(sim, connect):
    wolkvox = connect(sim)
    sim.add_past_call(PHONE, AGENT, seconds_ago=40, type_interaction=MANUAL, conn_id="earlier")
    conn_id, sent_at = call(sim, wolkvox)
    assert wolkvox.find_call(AGENT, PHONE, sent_at).conn_id == conn_id


def test_an_earlier_manual_call_whose_talk_reaches_into_the_window_is_not_taken_for_it(sim, connect):
    wolkvox = connect(sim)
    sent_at = lost_call(sim, wolkvox)
    sim.add_past_call(PHONE, AGENT, seconds_ago=100, type_interaction=MANUAL, talk_seconds=60)
    assert wolkvox.find_call(AGENT, PHONE, sent_at) is None


def test_a_manual_call_of_seconds_before_the_request_is_not_taken_for_it(sim, connect):
    wolkvox = connect(sim)
    sent_at = lost_call(sim, wolkvox)
    sim.add_past_call(PHONE, AGENT, seconds_ago=30, type_interaction=MANUAL)
    assert wolkvox.find_call(AGENT, PHONE, sent_at) is None


def test_a_call_without_a_conn_id_is_not_found_since_it_could_not_be_followed(sim, connect):
    sent_at = datetime.now(UTC)
    sim.add_past_call(PHONE, AGENT, seconds_ago=0, type_interaction=MANUAL, conn_id="")
    wolkvox = connect(sim)
    assert wolkvox.find_call(AGENT, PHONE, sent_at) is None
    assert {row.report for row in wolkvox.reported_calls(AGENT, PHONE, *around(sent_at))} == {"cdr_1", "agent_2"}


# What the reports answer


@pytest.mark.parametrize("report", REPORTS)
def test_a_row_of_sums_is_no_call_although_it_holds_an_agents_and_a_customers_number(sim, connect, report):
    at = datetime.now(UTC)
    shown = at.astimezone(GMT_5).strftime("%Y-%m-%d %H:%M:%S")
    row = {"agent_id": AGENT, "telephone": PHONE, "date": shown, "type_interaction": MANUAL, "conn_id": "10001.1.1.1"}
    body = {"code": "200", "error": None, "msg": "", "data": [{**row, "agent_name": "TOTAL", "conn_id": "sums"}, row]}
    sim.fault("reply", api=report, body=body)
    assert [call.conn_id for call in connect(sim).reported_calls(AGENT, PHONE, *around(at))] == ["10001.1.1.1"]


@pytest.mark.parametrize("msg", ["Validate dates entered", "VALIDATE DATES ENTERED", "Validate dates entered."])
def test_the_404_about_dates_means_no_rows(sim, connect, msg):
    sim.fault("reply", times=None, status=404, body={"code": "404", "error": "Not Found", "msg": msg})
    wolkvox = connect(sim)
    assert wolkvox.find_call(AGENT, PHONE, datetime.now(UTC)) is None
    assert requests_seen(sim) == 4


@pytest.mark.parametrize("report", REPORTS)
@pytest.mark.parametrize("msg", ["", "Not found", "Campaign_id 1 does not exist in your operation.", "dates"])
def test_any_other_404_is_a_refusal(sim, connect, report, msg):
    sim.fault("reply", api=report, status=404, body={"code": "404", "error": "Not Found", "msg": msg})
    with pytest.raises(Refused) as refused:
        connect(sim).find_call(AGENT, PHONE, datetime.now(UTC))
    assert refused.value.api == report
    assert refused.value.code == "404"


@pytest.mark.parametrize("report", REPORTS)
@pytest.mark.parametrize(
    ("fault", "kind"),
    [("busy", TokenBusy), ("quota", TokenQuotaExceeded), ("bad_token", TokenInvalid), ("api_off", ApiUnavailable)],
)
def test_a_refusal_of_a_report_keeps_its_kind(sim, connect, report, fault, kind):
    sim.fault(fault, api=report)
    with pytest.raises(kind) as refused:
        connect(sim, resend=ONCE).find_call(AGENT, PHONE, datetime.now(UTC))
    assert refused.value.api == report


@pytest.mark.parametrize("report", REPORTS)
def test_a_report_is_asked_again_while_the_token_is_in_use(sim, connect, report):
    wolkvox = connect(sim)
    conn_id, sent_at = call(sim, wolkvox)
    sim.fault("busy", api=report, times=2)
    assert wolkvox.find_call(AGENT, PHONE, sent_at).conn_id == conn_id
    assert requests_seen(sim) == 1 + 4 + 2


@pytest.mark.parametrize("report", REPORTS)
@pytest.mark.parametrize(
    "fault", ["server_error", "drop_after_reading", "garbage", "garbage_body", "cut_body", "bad_gzip", "redirect"]
)
def test_a_report_without_a_readable_answer_is_not_asked_again(sim, connect, report, fault):
    sim.add_past_call("573009999999", AGENT, seconds_ago=0, type_interaction=MANUAL)
    sim.fault(fault, api=report)
    with pytest.raises(OutcomeUnknown) as unknown:
        connect(sim).find_call(AGENT, PHONE, datetime.now(UTC))
    assert unknown.value.api == report
    assert "phone may have rung" not in str(unknown.value)
    assert requests_seen(sim) == len(REPORTS)


@pytest.mark.parametrize("report", REPORTS)
def test_a_call_that_one_report_shows_is_found_although_another_cannot_be_read(sim, connect, report):
    sim.call_results = "NO-ANSWER" if report == "cdr_1" else "ANSWER"
    wolkvox = connect(sim)
    conn_id, sent_at = call(sim, wolkvox)
    sim.fault("server_error", api=report)
    assert wolkvox.find_call(AGENT, PHONE, sent_at).conn_id == conn_id


def test_looking_for_a_call_costs_four_requests_of_the_quota_and_rings_nobody(sim, connect):
    wolkvox = connect(sim)
    _, sent_at = call(sim, wolkvox)
    assert sim.stats().used_today == 0
    wolkvox.find_call(AGENT, PHONE, sent_at)
    assert sim.stats().used_today == 4
    assert sim.stats().greatest_simultaneous == 1
    assert sim.rings == {PHONE: 1}


def test_a_quota_that_is_used_up_ends_the_look_up(connect):
    with Simulator(tokens=[TOKEN], daily_quota=2) as sim:
        with pytest.raises(TokenQuotaExceeded):
            connect(sim).find_call(AGENT, PHONE, datetime.now(UTC))
        assert requests_seen(sim) == len(REPORTS)


# What is asked


@pytest.mark.parametrize(("agent", "phone"), [("", PHONE), ("agent", PHONE), (AGENT, ""), (AGENT, "12"), (AGENT, 1.5)])
def test_an_argument_that_cannot_be_right_is_refused_with_nothing_sent(sim, connect, agent, phone):
    with pytest.raises(ValueError, match=r"agent_id|customer_phone"):
        connect(sim).find_call(agent, phone, datetime.now(UTC))
    assert requests_seen(sim) == 0


def test_a_range_that_ends_before_it_begins_is_refused_with_nothing_sent(sim, connect):
    now = datetime.now(UTC)
    with pytest.raises(ValueError, match="until must not be before since"):
        connect(sim).reported_calls(AGENT, PHONE, now, now - timedelta(minutes=1))
    assert requests_seen(sim) == 0


def test_a_time_without_a_zone_is_refused_with_nothing_sent(sim, connect):
    with pytest.raises(ValueError, match="zone"):
        connect(sim).find_call(AGENT, PHONE, datetime(2026, 11, 22, 18))
    assert requests_seen(sim) == 0


def test_a_report_that_is_cut_is_read_in_halves_until_the_call_is_found(connect, monkeypatch):
    monkeypatch.setattr(sending, "whole", functools.partial(whole, full=3))
    sent_at = datetime.now(UTC) - timedelta(minutes=5)
    with Simulator(tokens=[TOKEN], report_policy=ReportPolicy(most_rows=3)) as sim:
        only(sim, "cdr_1")
        for number in range(8):
            sim.add_past_call("573009999999", "10002", at=sent_at + timedelta(seconds=10 * number))
        last = sim.add_past_call(PHONE, AGENT, at=sent_at + timedelta(seconds=90), type_interaction=MANUAL)
        assert connect(sim).find_call(AGENT, PHONE, sent_at).conn_id == last.conn_id
        assert requests_seen(sim) > 4


def test_a_full_reply_is_taken_as_truncated_although_its_last_row_is_the_sums(sim, connect, monkeypatch):
    monkeypatch.setattr(sending, "whole", functools.partial(whole, full=3))
    rows = [{"agent_name": "A"}, {"agent_name": "B"}, {"agent_name": "TOTAL"}]
    sim.fault("reply", api="cdr_1", body={"code": "200", "error": None, "msg": "", "data": rows})
    connect(sim).find_call(AGENT, PHONE, datetime.now(UTC))
    assert requests_seen(sim) > 4


# Secrets


@pytest.mark.parametrize("echo", [False, True])
def test_neither_token_nor_number_is_said_at_any_level(sim, connect, caplog, capfd, monkeypatch, echo):
    for name in (None, "urllib3", "requests", "airflow_provider_wolkvox"):
        caplog.set_level(logging.DEBUG, logger=name)
    monkeypatch.setattr(http.client.HTTPConnection, "debuglevel", 1)
    wolkvox = connect(sim, dial_prefix="9")
    _, sent_at = call(sim, wolkvox)
    sim.fault("busy", api="cdr_1")
    if echo:
        msg = f"no calls of {PHONE} (9{PHONE}) for {TOKEN}"
        sim.fault("reply", api="agent_2", status=404, body={"code": "404", "error": "Not Found", "msg": msg})
        with pytest.raises(Refused) as refused:
            wolkvox.reported_calls(AGENT, "3009999999", *around(sent_at, 60))
        said = everything_said(refused.value)
    else:
        said = ""
    assert wolkvox.find_call(AGENT, PHONE, sent_at).conn_id
    said += everything_logged(caplog.records) + "".join(capfd.readouterr())
    assert "Sending it again" in said
    assert not re.findall(f"{TOKEN}|{PHONE}", said, re.IGNORECASE)


# Rows, made from the server's strings

ELEVEN = datetime(2026, 11, 22, 23, tzinfo=UTC)


@pytest.mark.parametrize(
    ("row", "field", "value"),
    [
        ({"conn_id": "10001.0277.1782402643.44005"}, "agent_id", "10001"),
        ({"conn_id": "10001.1.1.1", "agent_id": "10002"}, "agent_id", "10002"),
        ({"conn_id": "10001.1.1.1", "agent_id": "-"}, "agent_id", "10001"),
        ({}, "agent_id", ""),
        ({"telephone": "+57 300-123 4567"}, "phone", "573001234567"),
        ({"telephone": 3001234567}, "phone", "3001234567"),
        ({"telephone": "-"}, "phone", ""),
        ({"telephone": None}, "phone", ""),
        ({"result": "No answer"}, "result", "NO-ANSWER"),
        ({"result": "no_answer"}, "result", "NO-ANSWER"),
        ({"result": "-"}, "result", ""),
        ({"type_interaction": "Outbound_MA "}, "type_interaction", "outbound_ma"),
        ({"time_seg": "75"}, "seconds", 75),
        ({"time_seg": 75}, "seconds", 75),
        ({"time_seg": "01:01:15"}, "seconds", 3675),
        ({"time_seg": "0"}, "seconds", 0),
        ({"time_seg": ""}, "seconds", None),
        ({"time_seg": "34.64 %"}, "seconds", None),
        ({"date": "2026-11-22 18:00:00"}, "at", ELEVEN),
        ({"date_ini": "2026-11-22 18:00:00", "date_end": "2026-11-22 19:00:00"}, "at", ELEVEN),
        ({"date": "-", "date_ini": ""}, "at", None),
        ({"date": "22/11/2026"}, "at", None),
    ],
)
def test_a_row_is_read_from_the_servers_strings(row, field, value):
    assert getattr(ReportedCall.from_row("cdr_1", row), field) == value


def test_a_length_of_zero_is_a_length_as_a_number_too():
    assert ReportedCall.from_row("cdr_1", {"time_seg": 0}).seconds == 0


@pytest.mark.parametrize("data", [None, "", "text", 0, {}, [], [None, "row", ["x"]]])
def test_what_is_no_list_of_rows_holds_none(data):
    assert rows_of(data) == []
