"""Every request that wolkvox documents is answered in the documented shape: keys, nesting, types.

`tests/data/wolkvox-requests.json` holds what the vendor's public request collection shows of each: method,
parameters, the body's keys, the shape of the reply. A key that it has and the simulator lacks fails.
"""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlencode

import pytest
from simulator_testing import AGENT, NOON, PHONE, Caller, Clock

from airflow_provider_wolkvox.simulator import (
    Directory,
    DoNotCall,
    LastContact,
    ReportPolicy,
    Simulator,
)
from airflow_provider_wolkvox.simulator.endpoints.registry import APIS

FILE = Path(__file__).parents[1] / "data" / "wolkvox-requests.json"
ROWS = json.loads(FILE.read_text(encoding="utf-8"))
PREDICTIVE, PREVIEW = "40001", "40002"
CUSTOMERS = [
    {"customer_id": str(number), "customer_name": f"C{number}", "tel1": f"57300{number}"} for number in range(9)
]

# What an agent can only be asked for during a call.
ON_CALL = {"transfer", "hang", "hold", "mute", "dtmf", "hang_type_ready", "type"}

VALUES = {
    "agent_id": AGENT,
    "customer_phone": PHONE,
    "phone": PHONE,
    "telephone": PHONE,
    "telefono": PHONE,
    "telephones": [PHONE],
    "customer_id": "1",
    "id_customer": "1",
    "id_cliente": ["1"],
    "campaign_id": PREDICTIVE,
    "id_camp": PREDICTIVE,
    "id_campaing": PREDICTIVE,
    "type_campaign": "predictive",
    "campaign_status": "start",
    "skill_id": "5001",
    "date_ini": "20260301000000",
    "date_end": "20260303000000",
    "recall": "20260304090000",
    "rellamada": "20260304090000",
    "recall_date": "20260304090000",
    "recall_telephone": PHONE,
    "recall_style": "manual",
    "name_recall": "",
    "cod_act": "101",
    "cod_act_2": "102",
    "tones": "1#",
    "status": "1",
    "display": "hide",
    "button": "dial",
    "detail": "default",
    "type": "all",
    "type_call": "outbound",
    "nit": "900",
    "field": "Cod_Machine",
    "value": "NO-ANSWER",
    "speed": "50",
}
OF_ONE = {
    "act_3": {"cod_act": "cod_act1"},
    "campaign_5": {"campaign_id": PREVIEW},
    "find_record": {"customer_phone": ""},
}


def sent_with(row, name):
    return OF_ONE.get(row["api"], {}).get(name, VALUES.get(name, "x"))


def body_of(row):
    body = row.get("body")
    if isinstance(body, list):
        return [dict.fromkeys(body[0], "") | {"customer_id": "new", "tel1": PHONE}]
    return None if body is None else {name: sent_with(row, name) for name in body}


@pytest.fixture
def called() -> Simulator:
    """An operation with something to tell of everything."""
    clock = Clock()
    clock.now -= timedelta(hours=2).total_seconds()
    with Simulator(clock=clock, report_policy=ReportPolicy(bare_campaigns=True)) as sim:
        for campaign_id, kind in ((PREDICTIVE, "predictive"), (PREVIEW, "preview")):
            sim.add_campaign(campaign_id, kind=kind, records=CUSTOMERS, seed=1, started=True)
        clock.now = NOON.timestamp()
        sim.add_past_call(PHONE, AGENT, seconds_ago=600, cod_act="101")
        sim.add_past_call(PHONE, "", seconds_ago=300, result="ABANDON", type_interaction="inbound", skill_id="5001")
        sim.directory = Directory(
            do_not_call=(DoNotCall(PHONE),), law2300=(LastContact(PHONE, "2026-03-01 10:00:00", nit="900"),)
        )
        schedule = {"id_camp": PREDICTIVE, "id_customer": "1", "telefono": PHONE, "rellamada": "20260303090000"}
        assert Caller(sim).command("recall", **schedule, recall_style="manual").status == 200
        yield sim


def differences(documented, answered, place="reply"):
    """What the document has and the answer lacks or has as another type."""
    if isinstance(documented, dict):
        if not isinstance(answered, dict):
            return [f"{place} is no object: {answered!r}"]
        return [
            line
            for name, inner in documented.items()
            for line in (
                differences(inner, answered[name], f"{place}.{name}") if name in answered else [f"no {place}.{name}"]
            )
        ]
    if isinstance(documented, list):
        if not isinstance(answered, list) or not answered:
            return [f"{place} is no list of at least one: {answered!r}"]
        return [line for each in answered for line in differences(documented[0], each, f"{place}[]")]
    if documented == "null":
        return [] if answered is None else [f"{place} is not null: {answered!r}"]
    # The vendor's samples have code as a text and as a number; all that was captured has it as a text.
    types = (str, int) if place == "reply.code" else {"str": str, "int": int}[documented]
    return [] if isinstance(answered, types) else [f"{place} is no {documented}: {answered!r}"]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['file']} {row['api']} {'-'.join(row['query'][:3])}")
def test_a_documented_request_is_answered_in_the_documented_shape(called, row):
    caller = Caller(called)
    if row["api"] in ON_CALL:
        called.change_agent(AGENT, on_call=True)
        if row["api"] == "type":
            called.change_agent(AGENT, on_call=False)
    query = {"api": row["api"], **{name: sent_with(row, name) for name in row["query"]}}
    if row["api"] == "add_record" and "campaign_status" not in row["query"]:
        query |= {"type_campaign": "preview", "campaign_id": PREVIEW}
    body = body_of(row)
    headers = {**caller.headers(), **({"Content-Type": "application/json"} if body is not None else {})}
    sent = None if body is None else json.dumps(body)
    got = caller.ask(row["method"], f"/api/v2/{row['file']}?{urlencode(query)}", headers, sent)
    assert got.status == int(row.get("code") or 200) or (row.get("code") == "0" and got.status == 200), got.body
    if "reply" in row:
        assert differences(row["reply"], got.json) == []
        if isinstance(row["reply"], dict):
            assert set(row["reply"]) == set(got.json)


def test_every_api_of_the_collection_is_there_and_every_one_there_has_its_row_or_is_known_from_elsewhere():
    rows = {(row["file"], row["api"]) for row in ROWS}
    assert rows <= set(APIS)
    # The vendor describes it, and its collection has no sample of it.
    assert set(APIS) - rows == {("reports_manager.php", "campaign_15")}


def test_each_request_is_taken_with_the_documented_method_and_needs_no_parameter_that_is_not_documented():
    for row in ROWS:
        api = APIS[row["file"], row["api"]]
        assert api.method == row["method"], row["api"]
        others = {name for each in ROWS if each["api"] == row["api"] for name in each["query"]}
        assert set(api.needs) <= others, row["api"]


# What the new writes do


def write(caller, method, target, body=None):
    headers = {**caller.headers(), "Content-Type": "application/json"}
    return caller.ask(method, f"/api/v2/{target}", headers, None if body is None else json.dumps(body))


@pytest.fixture
def waiting(sim) -> Simulator:
    """A campaign that has dialled nobody yet."""
    sim.add_campaign(PREDICTIVE, records=CUSTOMERS[:3])
    return sim


def dialled(sim):
    campaign = sim.campaign(PREDICTIVE)
    return {record.customer_id for record in campaign.records}, campaign.counters.clean


OF_CAMPAIGN = f"type_campaign=predictive&campaign_id={PREDICTIVE}"


def test_a_customer_who_was_codified_is_not_dialled_and_keeps_the_code(waiting, caller):
    code = {"cod_act": "101", "cod_act_2": "102", "comment": "called back", "customer_id": "1"}
    assert write(caller, "PUT", f"campaign.php?api=codify&{OF_CAMPAIGN}", code).status == 202
    assert dialled(waiting) == ({"0", "1", "2"}, 2)
    query = f"{OF_CAMPAIGN}&detail=all&date_ini=20260301000000&date_end=20260302000000"
    rows = write(caller, "GET", f"campaign.php?api=detail&{query}").json["data"]
    assert [(row["cod_act"], row["comments"]) for row in rows] == [("", ""), ("101", "called back"), ("", "")]
    assert write(caller, "PUT", f"campaign.php?api=codify&{OF_CAMPAIGN}", {**code, "customer_id": "9"}).status == 404
    assert write(caller, "PUT", f"campaign.php?api=codify&{OF_CAMPAIGN}", {"customer_id": "1"}).status == 400


def test_records_are_removed_one_by_one_or_all_and_a_second_time_there_are_none(waiting, caller):
    remove = f"campaign.php?api=remove_record&{OF_CAMPAIGN}"
    assert write(caller, "DELETE", remove, {"customer_id": "0, 2"}).status == 202
    assert dialled(waiting) == ({"1"}, 1)
    assert write(caller, "DELETE", remove, {"customer_id": "0"}).status == 404
    assert write(caller, "DELETE", f"campaign.php?api=clear_campaign&{OF_CAMPAIGN}").status == 202
    assert dialled(waiting) == (set(), 0)
    assert write(caller, "DELETE", f"campaign.php?api=clear_campaign&{OF_CAMPAIGN}").status == 404


def test_customers_who_are_blocked_are_not_dialled(waiting, caller):
    body = {"id_campaing": PREDICTIVE, "id_cliente": ["0", "1"]}
    assert write(caller, "PUT", "configuration.php?api=block_predictive_dnc", body).status == 202
    assert dialled(waiting) == ({"0", "1", "2"}, 1)


def test_phones_that_are_written_to_the_lists_are_read_there(sim, caller):
    body = {"type_call": "outbound", "telephones": ["573001", "573002"]}
    for _ in range(2):
        assert write(caller, "POST", "configuration.php?api=add_dnc", body).status == 201
    rows = write(caller, "GET", "information.php?api=get_dnc&type=all").json["data"]
    assert [row["phone_number"] for row in rows] == ["573001", "573002"]
    assert write(caller, "POST", "configuration.php?api=add_dnc", {**body, "type_call": "both"}).status == 400
    blocked = {"nit": "900", "telephone": "573001", "customer_id": "1"}
    assert write(caller, "PUT", "configuration.php?api=block_law2300", blocked).status == 200
    (row,) = write(caller, "GET", "information.php?api=law2300_info&nit=900&phone=573001").json["data"]
    assert row["last_channel"] == "voice"
    assert write(caller, "GET", "information.php?api=law2300_info&nit=901&phone=573001").status == 404


def test_a_campaigns_recall_is_scheduled_and_shown_in_real_time(waiting, caller):
    body = {"recall_date": "20260304090000", "recall_telephone": PHONE, "customer_id": "1"}
    assert write(caller, "PUT", f"campaign.php?api=recall&campaign_id={PREDICTIVE}", body).status == 202
    (row,) = write(caller, "GET", "real_time.php?api=recall&type=auto").json["data"]
    assert row == {
        "type_recall": "auto",
        "date_recall": "2026-03-04 09:00:00",
        "phone_number": PHONE,
        "id_campaing": PREDICTIVE,
        "id_agent": "",
    }
    assert write(caller, "GET", "real_time.php?api=recall&type=manual").status == 404


@pytest.mark.parametrize(("speed", "status"), [("0", 202), ("100", 202), ("101", 400), ("fast", 400), ("", 400)])
def test_a_speed_is_from_0_to_100(waiting, caller, speed, status):
    assert write(caller, "PUT", f"campaign.php?api=speed&campaign_id={PREDICTIVE}", {"speed": speed}).status == status


def test_records_of_a_preview_campaign_come_without_a_status_and_do_not_switch_it(sim, caller):
    sim.add_campaign(PREVIEW, kind="preview", started=True)
    query = f"campaign.php?api=add_record&type_campaign=preview&campaign_id={PREVIEW}"
    assert write(caller, "POST", query, CUSTOMERS[:1]).status == 201
    assert sim.campaign(PREVIEW).status == "started"
    sim.add_campaign(PREDICTIVE)
    query = f"campaign.php?api=add_record&{OF_CAMPAIGN}"
    assert write(caller, "POST", query, CUSTOMERS[:1]).json["msg"] == "SOME PARAMETERS ARE REQUIRED"


# Live oddities


def test_names_destinies_and_costs_can_be_blank(called):
    query = "reports_manager.php?api=cdr_1&date_ini=20260301000000&date_end=20260303000000"
    rows = write(Caller(called), "GET", query).json["data"][:-1]
    assert {(row["agent_name"] != "", row["destiny"], row["cost"]) for row in rows} == {(True, "-", "0")}
    called.report_policy = ReportPolicy(blanks=True)
    rows = write(Caller(called), "GET", query).json["data"][:-1]
    assert {(row["agent_name"], row["destiny"], row["cost"]) for row in rows} == {("", "", "0.00")}


def test_a_slow_report_takes_as_long_as_it_has_rows(sim, caller):
    sim.add_past_calls(100)
    sim.report_policy = ReportPolicy(seconds_per_row=3_600)
    # Nobody waits for it: a hundred rows take days, and a reply without rows comes at once.
    with caller.connect() as sock:
        token = sim.token
        sock.sendall(f"GET /api/v2/real_time.php?api=calls_last_10 HTTP/1.1\r\nwolkvox-token: {token}\r\n\r\n".encode())
        assert sim.wait_for(lambda sim: sim.stats().requests == 1)
        assert write(caller, "GET", "information.php?api=get_dnc&type=all").status == 404
    assert sim.wait_for(lambda sim: sim.stats().unanswered == 1)


def test_campaign_15_has_its_rows_under_records(called):
    got = write(Caller(called), "GET", f"reports_manager.php?api=campaign_15&campaign_id={PREDICTIVE}").json
    assert set(got) == {"code", "error", "msg", "records"}
    assert {"id_agent", "resultado", "id_call", "rellamada", "history_dial_tel"} <= set(got["records"][0])
