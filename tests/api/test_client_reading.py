"""Reports, real-time data and lists come typed, whole, one reply at a time, in the operation's own time."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import logging
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from client_testing import AGENT, ONCE, PHONE, TOKEN, everything_logged, everything_said, requests_seen
from raw_server import BUSY, NO_ROWS, Question, RawServer, always, answer, envelope, refused, replying, rows

from airflow_provider_wolkvox.api import (
    ActivityCode,
    AgentEvent,
    AgentInfo,
    AgentNow,
    ApiUnavailable,
    CampaignInfo,
    CampaignNow,
    CampaignRecord,
    CampaignTotal,
    ConnectedCall,
    Dial,
    DispositionCall,
    DoNotCall,
    Law2300Block,
    NotSent,
    OutcomeUnknown,
    PreviewCall,
    Refused,
    ReportedCall,
    TokenBusy,
    TokenInvalid,
    TokenQuotaExceeded,
    UnconnectedCall,
    WolkvoxClient,
    WolkvoxError,
    sending,
)
from airflow_provider_wolkvox.api.windows import whole
from airflow_provider_wolkvox.simulator import Directory, LastContact, ReportPolicy
from airflow_provider_wolkvox.simulator.state import directory

BOGOTA = ZoneInfo("America/Bogota")
SANTIAGO = ZoneInfo("America/Santiago")
CONN_ID = "10001.0277.1782402643.44005"
SINCE = datetime(2026, 6, 25, 5, tzinfo=UTC)
UNTIL = datetime(2026, 6, 26, 4, 59, 59, tzinfo=UTC)
DATES = {"date_ini": "20260625000000", "date_end": "20260625235959"}
AT = datetime(2026, 6, 25, 10, 50, 43, tzinfo=BOGOTA)

# What is called with which arguments, what it has to ask, a row as the facts describe one, and its record.
STREAMS = {
    "cdr_1": (
        (SINCE, UNTIL),
        ("reports_manager.php", DATES),
        {
            "agent_id": AGENT,
            "agent_name": "Ana",
            "telephone": "+57 300 1234567",
            "conn_id": CONN_ID,
            "date": "2026-06-25 10:50:43",
            "time_seg": "00:01:15",
            "cod_act": "SALE",
            "cod_act_2": "-",
            "type_interaction": "OUT_PRE",
            "customer_id": "C-7",
            "hang_up": "Customer",
            "campaign_id": "32841",
            "skill_id": "",
        },
        ConnectedCall(CONN_ID, AGENT, PHONE, AT, 75, "SALE", "", "out_pre", "C-7", "customer", "32841", ""),
    ),
    "cdr_5": (
        (SINCE, UNTIL),
        ("reports_manager.php", DATES),
        {
            "agent_id": AGENT,
            "telephone": PHONE,
            "conn_id": CONN_ID,
            "date": "2026-06-25 10:50:43",
            "ring_time": "31",
            "result": "No answer",
            "type_interaction": "outbound_ma",
            "customer_id": "C-7",
            "id_campaing": "32841",
        },
        UnconnectedCall(CONN_ID, AGENT, PHONE, AT, 31, "NO-ANSWER", "outbound_ma", "C-7", "32841"),
    ),
    "campaign_3": (
        ("all", SINCE, UNTIL),
        ("reports_manager.php", {"campaign_id": "all", **DATES}),
        {
            "campaing_id": "32841",
            "customer_id": "C-7",
            "customer_name": "José Peña",
            "date": "2026-06-25 10:50:43",
            "destiny": PHONE,
            "result": "answer_machine",
            "conn_id": CONN_ID,
            **{f"opt{number}": f"o{number}" for number in range(1, 12)},
            "opt12": "-",
        },
        Dial(
            "32841",
            "C-7",
            "José Peña",
            AT,
            PHONE,
            "ANSWER-MACHINE",
            CONN_ID,
            (*(f"o{number}" for number in range(1, 12)), ""),
        ),
    ),
    "campaign_5": (
        (32841, SINCE, UNTIL),
        ("reports_manager.php", {"campaign_id": "32841", **DATES}),
        {
            "type_of_row": "CALL",
            "agent_id": AGENT,
            "conn_id": CONN_ID,
            "telephone": PHONE,
            "call_result": "ANSWER",
            "date": "2026-06-25 10:50:43",
            "time": "00:00:09",
            "cod_act": "TIMEOUTACW",
        },
        PreviewCall(AGENT, CONN_ID, PHONE, "ANSWER", AT, 9, "TIMEOUTACW"),
    ),
    "agent_14": (
        (SINCE, UNTIL),
        ("reports_manager.php", DATES),
        {
            "agent_id": AGENT,
            "agent_status": "TALK",
            "date_ini": "2026-06-25 10:50:43",
            "date_end": "2026-06-25 10:51:43",
            "conn_id": CONN_ID,
            "type_interaction": "inbound",
            "telephone": PHONE,
            "campaign_id": "-",
        },
        AgentEvent(AGENT, "TALK", AT, AT + timedelta(minutes=1), CONN_ID, "inbound", PHONE, ""),
    ),
    "act_3": (
        ("cod_act2", SINCE, UNTIL),
        ("reports_manager.php", {"cod_act": "cod_act2", **DATES}),
        {
            "conn_id": CONN_ID,
            "agent_id": AGENT,
            "telephone": PHONE,
            "cod_act": "SALE & more",
            "cod_act_2": "CARD",
            "date": "2026-06-25 10:50:43",
            "time": "75",
            "customer_id": "C-7",
            "campaign_id": "32841",
        },
        DispositionCall(CONN_ID, AGENT, PHONE, "SALE & more", "CARD", AT, 75, "C-7", "32841"),
    ),
    "campaign_detail": (
        ("32841", SINCE, UNTIL),
        (
            "campaign.php",
            {"type_campaign": "predictive", "campaign_id": "32841", "detail": "default", **DATES},
        ),
        {
            "customer_id": "C-7",
            "customer_name": "Ana",
            "tel1": PHONE,
            "tel2": "",
            "tel3": "-",
            "tel10": "300 7654321",
            "agent_id": AGENT,
            "conn_id": CONN_ID,
            "result": "NO ANSWER",
            "cod_act": "SALE",
            "date": "2026-06-25 10:50:43",
            "calls": "3",
            "recall": "-",
            "comments": "later",
        },
        CampaignRecord(
            "C-7", "Ana", (PHONE, "3007654321"), AGENT, CONN_ID, "NO-ANSWER", "SALE", AT, 3, "", "later", "32841"
        ),
    ),
}
LISTS = {
    "calls_last_10": (
        (),
        ("real_time.php", {}),
        {
            "type_interaction": "outbound_ma",
            "result": "busy",
            "date": "2026-06-25 10:50:43",
            "telephone": PHONE,
            "customer_id": "-",
            "conn_id": CONN_ID,
        },
        ReportedCall("calls_last_10", CONN_ID, "10001", PHONE, AT, "outbound_ma", "BUSY", None),
    ),
    "real_time_agents": (
        (),
        ("real_time.php", {}),
        {"agent_id": AGENT, "agent_name": "Ana", "agent_status": "Ready", "time_state_now": "42"},
        AgentNow(AGENT, "Ana", "Ready", 42),
    ),
    "real_time_campaigns": (
        (32841,),
        ("real_time.php", {"campaign_id": "32841"}),
        {
            "campaign": "32841 - COBRO - NORTE - Progressive (10%)",
            "status": "started",
            "records": "1,200",
            "clean": "0",
            "dial": "1300",
            "answer": "400",
            "no_answer": "900",
            "hits": "12",
            "penetration_now": "34.64 %",
        },
        CampaignNow("32841", "COBRO - NORTE", "started", 1200, 0, 1300, 400, 900, 12, 34.64),
    ),
    "campaigns": (
        (),
        ("information.php", {}),
        {"campaign_id": "32841", "campaign_name": "COBRO", "status": "Started"},
        CampaignInfo("32841", "COBRO", "Started"),
    ),
    "agents": (
        (),
        ("information.php", {}),
        {"agent_id": AGENT, "agent_name": "Ana", "agent_status": "Ready"},
        AgentInfo(AGENT, "Ana", "Ready"),
    ),
    "activity_codes": (
        (),
        ("information.php", {}),
        {"cod_act": "SALE", "description_cod_act": "Venta", "type_code": "cod_act1", "hit": "yes", "rpc": "no"},
        ActivityCode("SALE", "Venta", "cod_act1", True, False),
    ),
    "get_dnc": (
        ("outbound",),
        ("information.php", {"type": "outbound"}),
        {"phone_number": PHONE, "type": "Outbound", "date_delete": "2026-06-25 10:50:43"},
        DoNotCall(PHONE, "outbound", AT),
    ),
    "law2300_info": (
        (" 900.123/4 ", "300 1234567"),
        ("information.php", {"nit": "900.123/4", "phone": "3001234567"}),
        {"phone_number": PHONE, "last_day": "2026-06-25 10:50:43", "last_channel": "Whatsapp"},
        Law2300Block(PHONE, AT, "whatsapp"),
    ),
}
TOTALS = {
    name: (
        ("32841", SINCE, UNTIL),
        ("reports_manager.php", {"campaign_id": "32841", **DATES}),
        {key: "No answer", "records": "1,234", "percent": "34.64 %"},
        CampaignTotal(word, 1234, 34.64),
    )
    for name, key, word in [
        ("campaign_1", "result", "NO-ANSWER"),
        ("campaign_2", "cod_act", "No answer"),
        ("campaign_4", "result", "NO-ANSWER"),
    ]
}
METHODS = {**STREAMS, **LISTS, **TOTALS}
# Where the API is not called like the method.
APIS = {
    "campaign_detail": "detail",
    "real_time_agents": "agents",
    "real_time_campaigns": "campaigns",
}

methods = pytest.mark.parametrize("method", METHODS)
# Of the do-not-call list, nothing is left out in silence: tests/test_planning.py.
tolerant_methods = pytest.mark.parametrize("method", [method for method in METHODS if method != "get_dnc"])
streams = pytest.mark.parametrize("method", STREAMS)


def read(client: WolkvoxClient, method: str, *arguments, **options) -> list:
    """Call a method with the arguments of the table, or others, and read its answer to the end."""
    return list(getattr(client, method)(*(arguments or METHODS[method][0]), **options))


# What is asked, what comes


@methods
def test_each_method_asks_its_api_by_get_and_gives_its_rows_as_records(method, connect):
    arguments, (file, parameters), row, record = METHODS[method]
    with RawServer(always(rows(row))) as server:
        found = read(connect(server), method, *arguments)
    assert found == [record]
    asked = server.asked[0]
    assert (asked.method, asked.file, asked.api) == ("GET", file, APIS.get(method, method))
    assert asked.parameters == parameters
    assert server.bodies == [b""]
    assert len(server.asked) == 1


def test_a_record_is_found_by_phone_or_by_customer(connect):
    row = {**STREAMS["campaign_detail"][2], "campaign_id": "777"}
    with RawServer(always(rows(row))) as server:
        client = connect(server, dial_prefix="9")
        by_phone = client.find_record("32841", customer_phone="+57 300 1234567")
        client.find_record(32841, customer_id=" C&7 ")
        client.find_record("32841", customer_phone=PHONE, customer_id="C&7")
        client.find_record("32841")
        [anywhere] = client.find_record(customer_id="C&7")
    assert anywhere.campaign_id == "777"
    assert [record.campaign_id for record in by_phone] == ["777"]
    assert {(asked.file, asked.api) for asked in server.asked} == {("campaign.php", "find_record")}
    assert [asked.parameters for asked in server.asked] == [
        {"campaign_id": "32841", "customer_phone": PHONE},
        {"campaign_id": "32841", "customer_id": "C&7"},
        {"campaign_id": "32841", "customer_phone": PHONE, "customer_id": "C&7"},
        {"campaign_id": "32841"},
        {"customer_id": "C&7"},
    ]


def test_options_of_a_method_are_asked_for(connect):
    with RawServer(always(rows())) as server:
        client = connect(server)
        read(client, "campaign_detail", type_campaign="preview", detail="all")
        client.real_time_campaigns()
        client.get_dnc()
        read(client, "campaign_3", 32841, SINCE, UNTIL)
    parameters = [asked.parameters for asked in server.asked]
    assert (parameters[0]["type_campaign"], parameters[0]["detail"]) == ("preview", "all")
    assert parameters[1:3] == [{}, {"type": "all"}]
    assert parameters[3]["campaign_id"] == "32841"


@pytest.mark.parametrize("report", ["campaign_1", "campaign_2", "campaign_3", "campaign_4", "campaign_5"])
def test_a_report_of_campaigns_is_asked_for_all_of_them(report, connect):
    with RawServer(always(rows())) as server:
        read(connect(server), report, "all", SINCE, UNTIL)
    assert server.asked[0].parameters["campaign_id"] == "all"


def test_values_are_url_encoded(connect):
    with RawServer(always(rows())) as server:
        connect(server).find_record("1", customer_id="ñ a&api=token_info#x+%\r\n")
    first = server.requests[0].split(b"\r\n")[0].decode()
    assert first == (
        "GET /api/v2/campaign.php?api=find_record&campaign_id=1&customer_id=%C3%B1+a%26api%3Dtoken_info%23x%2B%25"
        " HTTP/1.1"
    )


@tolerant_methods
@pytest.mark.parametrize("empty", ["", "-", None, " - "])
def test_nothing_is_an_empty_text_or_none_in_every_field(method, empty, connect):
    _, _, row, record = METHODS[method]
    with RawServer(always(rows(dict.fromkeys(row, empty), {}))) as server:
        found = read(connect(server), method)
    given = {"campaign_detail": "32841", "calls_last_10": "calls_last_10"}.get(method)
    nothing = {None, "", (), ("",) * 12, given}
    for one in found:
        assert type(one) is type(record)
        assert {getattr(one, field.name) for field in dataclasses.fields(one)} <= nothing


@tolerant_methods
def test_a_row_of_sums_and_what_is_no_row_are_dropped(method, connect):
    _, _, row, record = METHODS[method]
    sums = [{**row, "agent_name": name} for name in ("TOTAL", " Total ", "total\t")]
    with RawServer(always(rows(row, *sums, None, "row", ["x"]))) as server:
        assert read(connect(server), method) == [record]


@tolerant_methods
@pytest.mark.parametrize("data", [None, "text", 7, {}, []])
def test_an_answer_without_a_list_of_rows_holds_none(method, data, connect):
    with RawServer(always(answer(envelope(data=data)))) as server:
        assert read(connect(server), method) == []


@methods
def test_the_records_are_frozen(method):
    record = METHODS[method][3]
    field = dataclasses.fields(record)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(record, field, "another")
    assert not hasattr(record, "__dict__")


# Values, made from the server's strings


@pytest.mark.parametrize(
    ("written", "result"),
    [
        ("no-answer", "NO-ANSWER"),
        ("NO ANSWER", "NO-ANSWER"),
        ("No answer", "NO-ANSWER"),
        ("Answer Machine", "ANSWER-MACHINE"),
        ("do_not  call", "DO-NOT-CALL"),
        ("CHANUNAVAIL", "CHANUNAVAIL"),
    ],
)
@pytest.mark.parametrize(
    ("method", "key"),
    [("cdr_5", "result"), ("campaign_3", "result"), ("campaign_5", "call_result"), ("campaign_detail", "result")],
)
def test_the_words_for_results_are_one_word_wherever_they_come_from(method, key, written, result, connect):
    with RawServer(always(rows({"type_of_row": "CALL", key: written}))) as server:
        assert read(connect(server), method)[0].result == result


@pytest.mark.parametrize("key", ["campaign_id", "campaing_id", "id_campaing"])
@pytest.mark.parametrize("method", ["cdr_1", "cdr_5", "campaign_3", "agent_14", "act_3", "campaign_detail"])
def test_a_campaigns_id_is_read_however_its_key_is_misspelt(method, key, connect):
    with RawServer(always(rows({key: "777"}))) as server:
        assert read(connect(server), method)[0].campaign_id == "777"


@pytest.mark.parametrize("key", ["telephone", "destiny", "destinity"])
def test_a_number_is_read_however_its_key_is_misspelt(key, connect):
    with RawServer(always(rows({key: "300-123"}))) as server:
        assert read(connect(server), "campaign_3")[0].phone == "300123"


@pytest.mark.parametrize(
    ("written", "at"),
    [
        ("2026-06-25 10:50:43", AT),
        ("2026-06-25T10:50:43", None),
        ("2026-06-25", None),
        ("2026-02-30 10:50:43", None),
        ("25/06/2026 10:50:43", None),
        ("2026-06-25 10:50:43+00:00", None),
    ],
)
def test_a_time_is_read_as_the_server_writes_it_or_not_at_all(written, at, connect):
    with RawServer(always(rows({"date": written}))) as server:
        assert read(connect(server), "cdr_1")[0].at == at


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("75", 75), (75, 75), ("00:01:15", 75), ("100:00:00", 360_000), ("0", 0), ("1:15", None), ("x", None)],
)
def test_a_length_is_read_in_seconds(written, seconds, connect):
    with RawServer(always(rows({"time_seg": written, "ring_time": written}))) as server:
        client = connect(server)
        assert read(client, "cdr_1")[0].seconds == seconds
        assert read(client, "cdr_5")[0].ring_seconds == seconds


@pytest.mark.parametrize(
    ("written", "percent"), [("34.64 %", 34.64), ("100%", 100), ("0", 0), ("34,64 %", 34.64), ("x %", None)]
)
def test_a_percentage_is_read_as_a_number(written, percent, connect):
    with RawServer(always(rows({"result": "BUSY", "percent": written}))) as server:
        assert read(connect(server), "campaign_1")[0].percent == percent


@pytest.mark.parametrize(
    ("written", "flag"), [("yes", True), ("YES ", True), ("no", False), ("No", False), ("1", None), ("maybe", None)]
)
def test_a_dispositions_flags_are_yes_no_or_unreadable(written, flag, connect):
    with RawServer(always(rows({"cod_act": "A", "hit": written, "rpc": written}))) as server:
        assert connect(server).activity_codes() == [ActivityCode("A", "", "", flag, flag)]


@pytest.mark.parametrize(
    ("title", "campaign_id", "name"),
    [
        ("32841 - NAME - Strategy (50%)", "32841", "NAME"),
        ("32841 - NAME", "32841", "NAME"),
        ("32841 - A - B - Predictive Power (5.5%)", "32841", "A - B"),
        ("32841 - COBRO (10%) MES - Strategy (50%)", "32841", "COBRO (10%) MES"),
        ("32841 - A-B - Strategy (50%)", "32841", "A-B"),
        ("32841 - NAME - Strategy", "32841", "NAME"),
        ("32841 - NAME - Strategy (50 %)", "32841", "NAME"),
        ("32841 - NAME - Power (x2) (50%)", "32841", "NAME"),
        ("32841 - NAME - Strategy (50%) ", "32841", "NAME"),
        ("32841 - NAME -  (50%)", "32841", "NAME"),
        ("32841 - NAME - ", "32841", "NAME"),
        ("32841  -  A - B  -  Strategy (50%)", "32841", "A - B"),
        ("32841 - ", "32841", ""),
        ("NAME", "", "NAME"),
    ],
)
def test_a_campaigns_id_and_name_are_read_from_its_title(title, campaign_id, name, connect):
    with RawServer(always(rows({"campaign": title}))) as server:
        [campaign] = connect(server).real_time_campaigns()
    assert (campaign.campaign_id, campaign.name) == (campaign_id, name)


@pytest.mark.parametrize(
    ("records", "clean", "dial", "finished"),
    [
        ("100", "0", "100", True),
        ("100", "0", "230", True),
        ("100", "1", "230", False),
        ("100", "0", "99", False),
        ("0", "0", "0", False),
        ("", "0", "100", False),
        ("100", "-", "100", False),
        ("100", "0", "many", False),
    ],
)
@pytest.mark.parametrize("status", ["started", "Stopped", ""])
def test_a_campaign_is_finished_when_everything_was_dialled_whatever_its_status_says(
    records, clean, dial, finished, status, connect
):
    row = {"campaign": "1 - A", "status": status, "records": records, "clean": clean, "dial": dial}
    with RawServer(always(rows(row))) as server:
        assert connect(server).real_time_campaigns()[0].is_finished is finished


@pytest.mark.parametrize(
    ("written", "at"),
    [
        ("2026-06-25 10:50:43", AT),
        ("2026-06-25", datetime(2026, 6, 25, tzinfo=BOGOTA)),
        ("0000-00-00 00:00:00", None),
        ("0000-00-00", None),
        ("yesterday", None),
        ("-", None),
    ],
)
def test_when_a_number_was_listed_is_read_with_a_time_of_day_or_without(written, at, connect):
    with RawServer(always(rows({"phone_number": PHONE, "date_delete": written, "last_day": written}))) as server:
        client = connect(server)
        assert client.get_dnc() == [DoNotCall(PHONE, "", at)]
        assert client.law2300_info("900", PHONE) == [Law2300Block(PHONE, at, "")]


@pytest.mark.parametrize(("kind", "is_call"), [("CALL", True), (" call ", True), ("PREVIEW", False), ("TOTAL", False)])
def test_of_a_preview_campaigns_rows_only_those_of_calls_are_calls(kind, is_call, connect):
    row = STREAMS["campaign_5"][2] | {"type_of_row": kind}
    with RawServer(always(rows(row))) as server:
        assert len(read(connect(server), "campaign_5")) == is_call


# Envelopes


def test_a_list_without_an_envelope_is_the_real_time_campaigns_answer(connect):
    body = answer(b'[{"campaign": "32841 - NAME - Strategy (1%)", "status": "started"}]')
    with RawServer(always(body)) as server:
        assert [campaign.campaign_id for campaign in connect(server).real_time_campaigns()] == ["32841"]


@pytest.mark.parametrize("method", [method for method in METHODS if method != "real_time_campaigns"])
def test_a_list_without_an_envelope_is_nobody_elses(method, connect):
    with RawServer(always(answer(b"[{}]"))) as server, pytest.raises(OutcomeUnknown):
        read(connect(server), method)


def test_a_list_under_a_failure_is_no_answer(connect):
    with RawServer(always(answer(b"[{}]", "404 Not Found"))) as server, pytest.raises(OutcomeUnknown):
        connect(server).real_time_campaigns()


@methods
@pytest.mark.parametrize("code", ["", "0", 0])
def test_a_list_without_a_code_is_read_since_the_vendors_samples_show_lists_so(method, code, connect):
    _, _, row, record = METHODS[method]
    with RawServer(always(answer(envelope(code, data=[row])))) as server:
        assert read(connect(server), method) == [record]


@pytest.mark.parametrize("code", ["", "0"])
def test_the_quota_is_read_without_a_code_too(code, connect):
    with RawServer(always(answer(envelope(code, data=[{"token_limit": "5000"}])))) as server:
        assert connect(server).token_info().token_limit == 5000


@methods
@pytest.mark.parametrize(
    "reply",
    [
        answer(envelope("", "BAD REQUEST", data=[{}])),
        answer(envelope("0", False, data=[{}])),
        answer(envelope("", data=[{}]), "202 Accepted"),
        answer(envelope("", data=[{}]), "400 Bad Request"),
        answer(envelope("", data={})),
        answer(envelope("0")),
        answer(envelope("00", data=[{}])),
        answer(b'{"error": null, "data": [{}]}'),
    ],
    ids=["error", "false", "202", "400", "object", "no data", "00", "no key"],
)
def test_an_answer_without_a_code_that_is_no_plain_list_proves_nothing(method, reply, connect):
    with RawServer(always(reply)) as server, pytest.raises(OutcomeUnknown):
        read(connect(server), method)


@methods
@pytest.mark.parametrize("beside", [{}, {"data": None}, {"data": []}])
def test_rows_under_the_name_records_are_not_lost(method, beside, connect):
    _, _, row, record = METHODS[method]
    with RawServer(always(answer(envelope(records=[row], **beside)))) as server:
        assert read(connect(server), method) == [record]


@methods
@pytest.mark.parametrize("msg", ["Validate dates entered", "VALIDATE DATES ENTERED."])
def test_the_404_about_dates_is_an_empty_answer(method, msg, connect):
    with RawServer(always(refused("404", "Not Found", msg))) as server:
        assert read(connect(server), method) == []
        assert len(server.requests) == 1


@methods
@pytest.mark.parametrize(
    ("code", "msg"),
    [
        ("404", "Campaign_id 32841 does not exist in your operation."),
        ("404", ""),
        ("404", "0 records has been added, please validate the data"),
        ("400", "Validate dates entered"),
        ("403", "Validate dates entered"),
    ],
)
def test_any_other_4xx_is_a_refusal_in_the_servers_words(method, code, msg, connect):
    with RawServer(always(refused(code, "Not Found", msg))) as server:
        with pytest.raises(Refused) as caught:
            read(connect(server), method)
        assert (caught.value.api, caught.value.code, caught.value.msg) == (APIS.get(method, method), code, msg)
        assert len(server.requests) == 1


@methods
@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (refused("403", "FORBIDDEN", "TOKEN LIMIT EXCEEDED"), TokenQuotaExceeded),
        (refused("403", "FORBIDDEN", "PLEASE VALIDATE TOKEN"), TokenInvalid),
        (refused("403", "FORBIDDEN", "backup"), ApiUnavailable),
        (answer(b"<html>", "502 Bad Gateway"), OutcomeUnknown),
        (answer(b"<html>"), OutcomeUnknown),
        (b"", OutcomeUnknown),
    ],
    ids=["quota", "token", "off", "502", "html", "closed"],
)
def test_what_ends_a_request_ends_the_reading_and_is_not_asked_again(method, reply, kind, connect):
    def serve(peer):
        peer.request()
        peer.send(reply)

    with RawServer(serve) as server:
        with pytest.raises(WolkvoxError) as caught:
            read(connect(server), method)
        assert type(caught.value) is kind
        assert len(server.requests) == 1


@methods
def test_a_busy_token_is_asked_again(method, connect):
    replies = iter([BUSY, BUSY, rows(METHODS[method][2])])
    with RawServer(replying(lambda question: next(replies))) as server:
        assert read(connect(server), method) == [METHODS[method][3]]
        assert len(server.requests) == 3


@methods
def test_a_token_that_stays_busy_ends_the_reading(method, connect):
    with RawServer(always(BUSY)) as server, pytest.raises(TokenBusy):
        read(connect(server, resend=ONCE), method)


@methods
def test_a_stopped_client_reads_nothing(method, connect):
    with RawServer(always(rows())) as server:
        client = connect(server)
        client.stop()
        with pytest.raises(NotSent):
            read(client, method)
        assert server.received == b""


# Arguments that cannot be right, at the call


NAIVE = datetime(2026, 6, 25)
WRONG_RANGES = [
    ((UNTIL, SINCE), "until must not be before since"),
    ((NAIVE, UNTIL), "time zone"),
    ((SINCE, NAIVE), "time zone"),
    ((SINCE, None), "time zone"),
    (("20260625000000", UNTIL), "time zone"),
    ((date(2026, 6, 25), UNTIL), "time zone"),
]
WRONG = [
    *(
        (method, (*METHODS[method][0][:-2], *ends), {}, why)
        for method in [*STREAMS, *TOTALS]
        for ends, why in WRONG_RANGES
    ),
    *(
        (method, (campaign_id, SINCE, UNTIL), {}, "campaign_id")
        for method in ("campaign_1", "campaign_2", "campaign_3", "campaign_5", "campaign_detail")
        for campaign_id in (
            "",
            "x",
            "12a",
            "1&api=x",
            "32-841",
            "32 841",
            "+1",
            -1,
            None,
            1.5,
            True,
            "*",
            "ALL",
            "１２",
        )
    ),
    ("campaign_detail", ("all", SINCE, UNTIL), {}, "campaign_id"),
    *(
        ("act_3", (group, SINCE, UNTIL), {}, "group must be one of cod_act1, cod_act2")
        for group in ("", "SALE", "101", "cod_act", "COD_ACT1", None, 1)
    ),
    ("campaign_detail", ("1", SINCE, UNTIL), {"type_campaign": "other"}, "type_campaign"),
    ("campaign_detail", ("1", SINCE, UNTIL), {"detail": "some"}, "detail"),
    ("campaign_detail", ("1", SINCE, UNTIL), {"detail": None}, "detail"),
    ("find_record", (), {}, "give campaign_id, customer_phone or customer_id"),
    ("find_record", ("1",), {"customer_phone": "12"}, "customer_phone"),
    ("find_record", ("1",), {"customer_id": " "}, "customer_id"),
    ("find_record", ("all",), {"customer_id": "1"}, "campaign_id"),
    ("real_time_campaigns", ("all",), {}, "campaign_id"),
    ("get_dnc", ("both",), {}, "kind"),
    ("get_dnc", ([],), {}, "kind"),
    ("law2300_info", ("", PHONE), {}, "nit"),
    ("law2300_info", (None, PHONE), {}, "nit"),
    ("law2300_info", (900.0, PHONE), {}, "nit"),
    ("law2300_info", ("1", "12"), {}, "phone"),
]


@pytest.mark.parametrize(("method", "arguments", "options", "why"), WRONG)
def test_an_argument_that_cannot_be_right_is_refused_when_the_method_is_called(
    method, arguments, options, why, connect
):
    with RawServer(always(rows())) as server:
        with pytest.raises(ValueError, match=why):
            # Not read: what is wrong must not wait for the first row.
            getattr(connect(server), method)(*arguments, **options)
        assert server.received == b""


@pytest.mark.parametrize(
    "zone", ["", "Bogota", "America", "GMT-5", "../../etc/passwd", "/etc/localtime", None, 5, "a\0b"]
)
def test_a_time_zone_that_nobody_knows_is_refused(zone):
    with pytest.raises(ValueError, match="timezone"):
        WolkvoxClient("0042", TOKEN, reports_timezone=zone)


# Time


@methods
def test_dates_are_asked_and_times_read_in_the_clients_zone_but_for_campaign_3(method, connect):
    arguments, _, row, record = METHODS[method]
    with RawServer(always(rows(row))) as server:
        found = read(connect(server, reports_timezone="America/Santiago"), method, *arguments)
    gmt_5 = method == "campaign_3"
    zone = BOGOTA if gmt_5 else SANTIAGO
    moments = [
        value
        for value in (getattr(found[0], f.name) for f in dataclasses.fields(record))
        if isinstance(value, datetime)
    ]
    assert all(moment.tzinfo == zone for moment in moments)
    # Santiago is an hour ahead of Bogotá in June.
    if "date_ini" in (asked := server.asked[0].parameters):
        assert asked["date_ini"] == ("20260625000000" if gmt_5 else "20260625010000")
        assert asked["date_end"] == ("20260625235959" if gmt_5 else "20260626005959")


def test_the_look_up_goes_by_the_clients_zone_too(connect):
    row = {**STREAMS["cdr_1"][2], "telephone": PHONE, "type_interaction": "outbound_ma", "conn_id": "10001.1.1.1"}
    with RawServer(replying(lambda asked: rows(row) if asked.api == "cdr_1" else NO_ROWS)) as server:
        at = datetime(2026, 6, 25, 10, 50, 43, tzinfo=SANTIAGO)
        found = connect(server, reports_timezone="America/Santiago").find_call(AGENT, PHONE, at)
    assert found is not None
    assert found.at == at
    assert {asked.parameters.get("date_ini") for asked in server.asked} == {None, "20260625105033"}


def test_the_look_up_reckons_by_instants_when_the_clock_is_put_back(connect):
    # At the end of 4 April the clock goes back from 24:00 to 23:00.
    sent_at = datetime(2026, 4, 4, 23, 50, tzinfo=SANTIAGO)
    until = datetime(2026, 4, 4, 23, 10, fold=1, tzinfo=SANTIAGO)
    shown = ["2026-04-04 23:55:00", "2026-04-05 00:00:00"]  # 5 and 70 minutes later
    call = {"telephone": PHONE, "agent_id": AGENT, "type_interaction": "outbound_ma"}
    calls = [{**call, "conn_id": f"10001.1.{at[-8:-6]}.1", "date": at} for at in shown]

    def reply(asked):
        ini, end = asked.parameters.get("date_ini", ""), asked.parameters.get("date_end", "")
        found = [call for call in calls if ini <= re.sub("[^0-9]", "", call["date"]) <= end]
        return rows(*found) if asked.api == "cdr_1" and found else NO_ROWS

    with RawServer(replying(reply)) as server:
        client = connect(server, reports_timezone="America/Santiago")
        [found] = client.reported_calls(AGENT, PHONE, sent_at, until)
        assert found.at == sent_at + timedelta(minutes=5)
        assert client.find_call(AGENT, PHONE, sent_at).conn_id == "10001.1.23.1"
        del calls[0]
        assert client.find_call(AGENT, PHONE, sent_at) is None


@pytest.mark.parametrize("zone", [UTC, SANTIAGO, ZoneInfo("Asia/Kathmandu")])
def test_the_same_instants_ask_the_same_whatever_zone_they_are_written_in(zone, connect):
    with RawServer(always(rows())) as server:
        read(connect(server), "cdr_1", SINCE.astimezone(zone), UNTIL.astimezone(zone))
    assert server.asked[0].parameters == DATES


# Long ranges


def reported(moments: list[datetime], full: int):
    """Answer as wolkvox does: the rows whose time, as text, lies between the dates; cut, and 404 for none."""
    texts = sorted(f"{at:%Y%m%d%H%M%S}" for at in moments)

    def reply(question):
        ini, end = question.parameters["date_ini"], question.parameters["date_end"]
        found = [text for text in texts if ini <= text <= end][:full]
        return rows(*({"type_of_row": "CALL", "conn_id": text} for text in found)) if found else NO_ROWS

    return replying(reply)


@streams
def test_nothing_is_asked_before_the_first_row_is_wanted_and_then_one_window_at_a_time(method, connect):
    arguments, _, row, record = METHODS[method]
    year = (*arguments[:-2], SINCE, SINCE + timedelta(days=365))
    with RawServer(always(rows(row, row))) as server:
        found = getattr(connect(server), method)(*year)
        assert isinstance(found, Iterator)
        assert server.connections == 0
        assert next(found) == record
        assert len(server.requests) == 1
        next(found)
        assert len(server.requests) == 1
        next(found)
        assert len(server.requests) == 2
        assert len(list(found)) == 2 * 12 - 3
        assert len(server.requests) == 12


@streams
def test_a_long_range_is_read_whole_although_replies_are_cut(method, connect, monkeypatch):
    monkeypatch.setattr(sending, "whole", functools.partial(whole, full=6))
    day = datetime(2026, 6, 1)
    moments = [day + timedelta(hours=5 * number) for number in range(200)]
    arguments = METHODS[method][0][:-2]
    with RawServer(reported(moments, full=6)) as server:
        found = read(
            connect(server), method, *arguments, day.replace(tzinfo=BOGOTA), day.replace(tzinfo=BOGOTA, month=8)
        )
    assert [record.conn_id for record in found] == [f"{at:%Y%m%d%H%M%S}" for at in moments]
    spans = [
        datetime.strptime(asked.parameters["date_end"], "%Y%m%d%H%M%S")
        - datetime.strptime(asked.parameters["date_ini"], "%Y%m%d%H%M%S")
        for asked in server.asked
    ]
    assert max(spans) < timedelta(days=31)


def test_the_hour_that_the_operations_clock_repeats_is_asked_once(connect):
    twice = [datetime(2026, 4, 4, 23, 30)] * 2  # one of each pass; the server tells them not apart
    with RawServer(reported(twice, full=60_000)) as server:
        client = connect(server, reports_timezone="America/Santiago")
        found = read(
            client, "cdr_1", datetime(2026, 4, 4, tzinfo=SANTIAGO), datetime(2026, 4, 5, 23, 59, 59, tzinfo=SANTIAGO)
        )
    assert len(found) == 2
    assert len(server.requests) == 1


def test_a_second_that_fills_a_reply_is_an_error_that_names_it(connect, monkeypatch):
    monkeypatch.setattr(sending, "whole", functools.partial(whole, full=3))
    named = re.escape("single second 2026-06-25 12:00:00 (America/Bogota) holds 3 rows or more")
    with (
        RawServer(reported([datetime(2026, 6, 25, 12)] * 3, full=3)) as server,
        pytest.raises(ValueError, match=named),
    ):
        read(connect(server), "cdr_1")


def test_a_full_reply_is_taken_as_cut_although_its_last_row_is_the_sums(connect, monkeypatch):
    monkeypatch.setattr(sending, "whole", functools.partial(whole, full=3))
    replies = itertools.chain([rows({}, {}, {"agent_name": "TOTAL"})], itertools.repeat(NO_ROWS))
    with RawServer(replying(lambda question: next(replies))) as server:
        assert read(connect(server), "cdr_1") == []
        assert len(server.requests) == 3


def slow(reply, most: timedelta):
    """Answer windows of at most this length, and keep silent about longer ones."""

    def serve(peer):
        while head := peer.request():
            asked = Question.of(head).parameters
            ini, end = (datetime.strptime(asked[name], "%Y%m%d%H%M%S") for name in ("date_ini", "date_end"))
            if end - ini > most:
                peer.hang()
                return
            peer.send(reply(Question.of(head)))

    return serve


HOUR = timedelta(hours=1)


@streams
def test_a_report_that_takes_too_long_is_asked_for_in_halves(method, connect):
    day = datetime(2026, 6, 1)
    moments = [day + number * HOUR for number in range(96)]

    def reply(asked):
        found = [
            at for at in moments if asked.parameters["date_ini"] <= f"{at:%Y%m%d%H%M%S}" <= asked.parameters["date_end"]
        ]
        return rows(*({"type_of_row": "CALL", "conn_id": f"{at:%Y%m%d%H%M%S}"} for at in found))

    since = day.replace(tzinfo=BOGOTA)
    with RawServer(slow(reply, timedelta(days=1))) as server:
        client = connect(server, total_timeout=0.5)
        found = read(client, method, *METHODS[method][0][:-2], since, since + timedelta(days=4, seconds=-1))
    assert [record.conn_id for record in found] == [f"{at:%Y%m%d%H%M%S}" for at in moments]
    # Four days and two days took too long.
    assert len(server.requests) == 2 + 4


def test_totals_of_a_report_that_took_too_long_are_added_up(connect):
    total = rows({"result": "ANSWER", "records": "10", "percent": "100 %"})
    with RawServer(slow(lambda asked: total, 6 * HOUR)) as server:
        found = connect(server, total_timeout=0.5).campaign_1("1", SINCE, SINCE + 12 * HOUR)
    assert found == [CampaignTotal("ANSWER", 20, 100.0)]


def test_a_report_of_less_than_an_hour_is_not_asked_for_in_halves(connect):
    with RawServer(slow(lambda asked: rows(), timedelta(0))) as server:
        with pytest.raises(OutcomeUnknown, match="no whole answer within"):
            read(connect(server, total_timeout=0.2), "cdr_1", SINCE, SINCE + HOUR - timedelta(seconds=1))
        assert len(server.requests) == 1


def test_the_parts_of_a_report_have_a_time_limit_of_their_own(connect):
    with RawServer(slow(lambda asked: rows(), timedelta(0))) as server:
        with pytest.raises(OutcomeUnknown, match=r"no whole answer within 0\.2 s, and its parts took 0\.3 s"):
            read(connect(server, total_timeout=0.2, report_timeout=0.3), "cdr_1")
        assert len(server.requests) == 2


def test_a_failure_of_another_kind_is_no_reason_to_ask_for_halves(connect):
    def serve(peer):
        peer.request()
        peer.reset()

    with RawServer(serve) as server:
        with pytest.raises(OutcomeUnknown):
            read(connect(server), "cdr_1")
        assert len(server.requests) == 1


def test_a_slow_day_of_the_simulator_is_read_whole(sim, connect):
    sim.add_past_calls(48, seconds_ago=86_400)
    sim.report_policy = ReportPolicy(seconds_per_row=0.02)
    now = datetime.now(UTC)
    with connect(sim, total_timeout=0.6) as client:
        found = [*client.cdr_1(now - timedelta(days=1, minutes=1), now)]
    assert len({call.conn_id for call in found}) == 48
    assert sim.stats().requests > 1


def test_a_failure_comes_after_the_rows_that_were_read_before_it(connect):
    replies = iter([rows({"conn_id": "a"}), refused("403", "FORBIDDEN", "TOKEN LIMIT EXCEEDED")])
    with RawServer(replying(lambda question: next(replies))) as server:
        found = connect(server).cdr_1(SINCE, SINCE + timedelta(days=60))
        assert next(found).conn_id == "a"
        with pytest.raises(TokenQuotaExceeded):
            next(found)
        # A generator that failed is over: the rows are not whole, and it does not go on as if they were.
        assert list(found) == []


@pytest.mark.parametrize("method", LISTS)
def test_a_list_that_fills_a_reply_is_not_taken_as_whole(method, connect, monkeypatch):
    monkeypatch.setattr(sending, "FULL_REPLY", 3)
    with RawServer(always(rows({}, {}, {}))) as server, pytest.raises(ValueError, match="rows may be missing"):
        read(connect(server), method)


# Totals


def test_totals_of_several_windows_are_added_up_and_their_shares_computed_anew(connect):
    replies = iter(
        [
            rows(
                {"result": "ANSWER", "records": "30", "percent": "75.00 %"},
                {"result": "BUSY", "records": "10", "percent": "25.00 %"},
                {"result": "TOTAL", "records": "40", "percent": "100.00 %"},
            ),
            NO_ROWS,
            rows(
                {"result": "No answer", "records": "50", "percent": "83.33 %"},
                {"result": "answer", "records": "10", "percent": "16.66 %"},
                {"agent_name": "TOTAL", "records": "60", "percent": "100.00 %"},
            ),
        ]
    )
    with RawServer(replying(lambda question: next(replies))) as server:
        found = connect(server).campaign_1("32841", SINCE, SINCE + timedelta(days=90))
    assert found == [
        CampaignTotal("ANSWER", 40, 40.0),
        CampaignTotal("BUSY", 10, 10.0),
        CampaignTotal("NO-ANSWER", 50, 50.0),
    ]


def test_totals_of_one_window_are_as_the_server_counted_them(connect):
    with RawServer(
        always(rows({"cod_act": "A", "records": "1", "percent": "33.34 %"}, {"cod_act": "B", "records": "x"}))
    ) as server:
        found = connect(server).campaign_2("32841", SINCE, UNTIL)
    assert found == [CampaignTotal("A", 1, 33.34), CampaignTotal("B", None, None)]


def test_words_that_come_in_different_windows_share_the_whole(connect):
    replies = iter([rows({"cod_act": word, "records": "1", "percent": "100 %"}) for word in ("A", "B")])
    with RawServer(replying(lambda question: next(replies))) as server:
        found = connect(server).campaign_2("32841", SINCE, SINCE + timedelta(days=60))
    assert found == [CampaignTotal("A", 1, 50.0), CampaignTotal("B", 1, 50.0)]


def test_a_number_that_cannot_be_read_is_not_counted_as_nothing(connect):
    replies = iter(
        [
            rows({"cod_act": "A", "records": "1"}, {"cod_act": "B", "records": "2"}),
            rows({"cod_act": "A", "records": "x"}),
        ]
    )
    with RawServer(replying(lambda question: next(replies))) as server:
        found = connect(server).campaign_2("32841", SINCE, SINCE + timedelta(days=60))
    assert found == [CampaignTotal("A", None, None), CampaignTotal("B", 2, None)]


def test_totals_of_nothing_have_no_share(connect):
    with RawServer(always(rows({"cod_act": "A", "records": "0", "percent": "0 %"}))) as server:
        found = connect(server).campaign_2("32841", SINCE, SINCE + timedelta(days=60))
    assert found == [CampaignTotal("A", 0, None)]


# Secrets


@pytest.mark.parametrize("customer", ["52123", "1020304050"])
def test_neither_token_nor_number_nor_customer_is_said_at_any_level(customer, connect, caplog):
    for name in (None, "urllib3", "requests", "airflow_provider_wolkvox"):
        caplog.set_level(logging.DEBUG, logger=name)
    echo = refused("404", "Not Found", f"nothing of {PHONE}, {customer} for {TOKEN}")
    replies = itertools.cycle([BUSY, echo])
    said = ""
    with RawServer(replying(lambda question: next(replies))) as server:
        client = connect(server)
        for ask in (
            lambda: client.find_record("32841", customer_phone=PHONE, customer_id=customer),
            lambda: client.law2300_info(customer, PHONE),
        ):
            with pytest.raises(Refused) as caught:
                ask()
            said += everything_said(caught.value)
        assert PHONE.encode() in server.received
    said += everything_logged(caplog.records)
    assert "Sending it again" in said
    assert "nothing of" in said
    assert not re.findall(f"{TOKEN}|{PHONE}|{customer}", said, re.IGNORECASE)


# With the simulator


def test_calls_are_read_from_the_simulators_reports(sim, connect):
    now = datetime.now(UTC)
    client = connect(sim)
    talked = sim.add_past_call(PHONE, AGENT, at=now - timedelta(days=40), type_interaction="outbound_ma")
    sim.add_past_call(PHONE, AGENT, at=now - timedelta(days=2), result="NO-ANSWER")

    [connected] = client.cdr_1(now - timedelta(days=60), now)
    [unconnected] = client.cdr_5(now - timedelta(days=60), now)

    assert (connected.conn_id, connected.agent_id, connected.phone) == (talked.conn_id, AGENT, PHONE)
    assert connected.at == (now - timedelta(days=40)).replace(microsecond=0)
    assert (unconnected.result, unconnected.phone) == ("NO-ANSWER", PHONE)
    assert requests_seen(sim) == 4


def test_the_simulators_calls_are_found_by_the_group_of_their_disposition(sim, connect):
    sim.add_past_call(PHONE, AGENT, cod_act="101")
    sim.add_past_call(PHONE, AGENT, cod_act="101", cod_act_2="102")
    sim.add_past_call(PHONE, AGENT)
    now = datetime.now(UTC)
    client, hour = connect(sim), timedelta(hours=1)
    first, second = ([*client.act_3(group, now - hour, now)] for group in ("cod_act1", "cod_act2"))
    assert [(call.cod_act, call.cod_act_2) for call in first] == [("101", ""), ("101", "102")]
    assert [(call.cod_act, call.cod_act_2) for call in second] == [("101", "102")]


def test_the_simulators_records_are_found_by_any_one_filter(sim, connect):
    for campaign_id, phone in (("1", PHONE), ("2", "573009999999")):
        sim.add_campaign(campaign_id, records=[{"customer_id": "C-7", "tel1": phone}])
    client = connect(sim)
    assert [record.campaign_id for record in client.find_record(customer_id="C-7")] == ["1", "2"]
    assert [record.campaign_id for record in client.find_record(customer_phone=PHONE)] == ["1"]
    assert [record.customer_id for record in client.find_record("2")] == ["C-7"]


def test_the_simulators_lists_are_read(sim, connect):
    sim.directory = Directory(
        activity_codes=(directory.ActivityCode("101", "PROMISE", hit=True, group=2),),
        do_not_call=(directory.DoNotCall(PHONE, date_delete="2030-01-01"),),
        law2300=(LastContact(PHONE, "2026-06-25 10:50:43", "chat", nit="900"),),
    )
    client = connect(sim)
    assert client.activity_codes() == [ActivityCode("101", "PROMISE", "cod_act2", True, False)]
    assert [each.phone for each in client.get_dnc("outbound")] == [PHONE]
    assert client.law2300_info(900, PHONE) == [Law2300Block(PHONE, AT, "chat")]
    assert client.law2300_info("901", PHONE) == []


def test_the_last_ten_minutes_of_the_simulator_are_read(sim, connect):
    client = connect(sim)
    conn_id = client.aux_call(AGENT, PHONE).conn_id
    assert [(call.conn_id, call.agent_id) for call in client.calls_last_10() if call.conn_id == conn_id] == [
        (conn_id, AGENT)
    ]
