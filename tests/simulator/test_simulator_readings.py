"""What can be read of campaigns, agents and lists: every row of each reading API, and the words for nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, timedelta, timezone
from urllib.parse import urlencode

import pytest
from simulator_testing import NOON

from airflow_provider_wolkvox.simulator import (
    ActivityCode,
    Agent,
    CallResult,
    Directory,
    DoNotCall,
    LastContact,
    ReportError,
    ReportPolicy,
    Simulator,
)

BOGOTA = timezone(timedelta(hours=-5))
CAMPAIGN = "40001"
EMPTY = {"code": "404", "error": "Not Found", "msg": "Validate dates entered"}
UNKNOWN = {"code": "404", "error": "Not Found", "msg": "Campaign_id 99999 does not exist in your operation."}
SOLD = CallResult.of("ANSWER", ring_seconds=5, talk_seconds=10, acw_seconds=20, hang_up="agent", cod_act="101")


@pytest.fixture
def sim(clock) -> Iterator[Simulator]:
    with Simulator(clock=clock, agents=["10001"]) as running:
        yield running


def customers(number):
    return [
        {"customer_id": f"c{place}", "customer_name": f"NAME {place}", "tel1": f"57300{place:07}", "opt1": "gold"}
        for place in range(number)
    ]


def ask(caller, file, api, **parameters):
    query = urlencode({"api": api, **parameters})
    return caller.ask("GET", f"/api/v2/{file}.php?{query}", caller.headers())


def day(zone=BOGOTA):
    first = NOON.astimezone(zone).replace(hour=0)
    return {"date_ini": f"{first:%Y%m%d%H%M%S}", "date_end": f"{first + timedelta(days=2):%Y%m%d%H%M%S}"}


def report(caller, api, **parameters):
    return ask(caller, "reports_manager", api, **{**day(), **parameters})


def rows(got):
    assert (got.status, got.json["code"], got.json["error"]) == (200, "200", None)
    assert got.json["msg"] == f"{len(got.json['data'])} records were found"
    assert all(type(value) is str for row in got.json["data"] for value in row.values())
    return got.json["data"]


@pytest.fixture
def one_dial(sim, clock):
    """One customer called, cut and codified."""
    sim.add_campaign(CAMPAIGN, name="DUES", records=customers(1), call_results=SOLD, started=True)
    clock.now += 60
    (dial,) = sim.campaign(CAMPAIGN).dials
    return dial


def written(moment, zone=BOGOTA):
    return moment.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")


# Reports of campaigns


def test_each_dial_is_in_campaign_3_with_its_customer_and_without_its_agent(caller, one_dial):
    (row,) = rows(report(caller, "campaign_3", campaign_id=CAMPAIGN))
    assert row == {
        "campaign_id": CAMPAIGN,
        "customer_id": "c0",
        "customer_name": "NAME 0",
        "customer_last_name": "",
        "id_type": "",
        "date": written(one_dial.begun),
        "telephone": "573000000000",
        "result": "ANSWER",
        "conn_id": one_dial.conn_id,
        "opt1": "gold",
        **{f"opt{number}": "" for number in range(2, 13)},
    }


def test_campaign_reports_can_be_asked_for_all_campaigns(sim, caller, clock):
    for number in ("40001", "40002"):
        sim.add_campaign(number, records=customers(2), started=True)
    clock.now += 3600
    found = rows(report(caller, "campaign_3", campaign_id="all"))
    assert Counter(row["campaign_id"] for row in found) == {"40001": 2, "40002": 2}


def test_the_totals_of_a_campaign_are_by_result_and_by_disposition(sim, caller, clock):
    results = {"573000000000": "NO-ANSWER", "573000000001": SOLD, "573000000002": SOLD}
    sim.add_campaign(CAMPAIGN, records=customers(3), call_results=results, started=True)
    clock.now += 3600
    assert rows(report(caller, "campaign_1", campaign_id=CAMPAIGN)) == [
        {"result": "ANSWER", "records": "2", "percent": "66.67 %"},
        {"result": "NO-ANSWER", "records": "1", "percent": "33.33 %"},
    ]
    assert rows(report(caller, "campaign_2", campaign_id=CAMPAIGN)) == [
        {"cod_act": "101", "records": "2", "percent": "100.00 %"}
    ]
    sim.report_policy = ReportPolicy(totals=("campaign_1",))
    total = rows(report(caller, "campaign_1", campaign_id=CAMPAIGN))[-1]
    assert total == {"result": "TOTAL", "records": "3", "percent": "100.00 %"}


def test_a_preview_campaigns_calls_are_in_campaign_5_with_their_agents(sim, caller, clock):
    sim.add_campaign(CAMPAIGN, kind="preview", records=customers(2), call_results="NO-ANSWER", started=True)
    clock.now += 3600
    told = rows(report(caller, "campaign_5", campaign_id=CAMPAIGN))
    assert [row["type_of_row"] for row in told] == ["PREVIEW", "CALL", "PREVIEW", "CALL", "TOTAL"]
    assert [row["customer_id"] for row in told] == ["c0", "c0", "c1", "c1", ""]
    found = [row for row in told if row["type_of_row"] == "CALL"]
    assert [row["agent_id"] for row in found] == ["10001", "10001"]
    assert (found[0]["call_result"], found[0]["time"], found[0]["cod_act"]) == ("NO ANSWER", "00:00:30", "-")
    assert report(caller, "campaign_3", campaign_id=CAMPAIGN).json == EMPTY


@pytest.mark.parametrize("api", ["campaign_1", "campaign_2", "campaign_3", "campaign_5"])
def test_a_campaign_report_knows_unknown_campaigns_and_empty_windows(sim, caller, api):
    sim.add_campaign(CAMPAIGN, records=customers(1))
    assert report(caller, api, campaign_id="99999").json == UNKNOWN
    assert report(caller, api, campaign_id=CAMPAIGN).json == EMPTY
    assert report(caller, api, campaign_id="all").json == EMPTY
    assert report(caller, api).json["msg"] == "SOME PARAMETERS ARE REQUIRED"


def test_campaign_reports_stay_in_gmt_5_whatever_the_operations_zone_is(sim, caller, one_dial):
    sim.report_policy = ReportPolicy(zone="+02:00")
    (row,) = rows(report(caller, "campaign_3", campaign_id=CAMPAIGN))
    assert row["date"] == written(one_dial.begun)
    (row, _) = rows(report(caller, "cdr_1", **day(timezone(timedelta(hours=2)))))
    assert row["date"] == written(one_dial.begun, timezone(timedelta(hours=2)))


def test_a_zone_can_be_named_and_one_that_is_none_is_refused(sim, caller, one_dial):
    sim.report_policy = ReportPolicy(zone="Asia/Kathmandu")
    (row, _) = rows(report(caller, "cdr_1"))
    assert row["date"] == written(one_dial.begun, timezone(timedelta(hours=5, minutes=45)))
    for wrong in ("Mars/Olympus", "", "+99:00", 5):
        with pytest.raises(ReportError, match="zone"):
            ReportPolicy(zone=wrong)


def test_a_window_is_read_in_the_operations_zone(sim, caller, one_dial):
    sim.report_policy = ReportPolicy(zone="+00:00")
    begun = one_dial.begun.astimezone(UTC)
    exactly = {"date_ini": f"{begun:%Y%m%d%H%M%S}", "date_end": f"{begun:%Y%m%d%H%M%S}"}
    assert len(rows(report(caller, "cdr_1", **exactly))) == 2
    assert report(caller, "campaign_3", campaign_id=CAMPAIGN, **exactly).json == EMPTY


def test_the_calls_with_a_disposition_of_one_group_are_in_act_3(sim, caller, one_dial):
    (row,) = rows(report(caller, "act_3", cod_act="cod_act1"))
    assert (
        row.items()
        >= {
            "conn_id": one_dial.conn_id,
            "agent_id": "10001",
            "agent_name": "AGENT 10001",
            "telephone": "573000000000",
            "customer_id": "c0",
            "cod_act": "101",
            "date": written(one_dial.begun),
            "time": "00:00:15",
            "campaign_id": CAMPAIGN,
        }.items()
    )
    for other in ("cod_act2", "101", "102"):
        assert report(caller, "act_3", cod_act=other).json == EMPTY


def test_a_campaigns_calls_are_in_cdr_1_and_cdr_5_as_out_pre(sim, caller, clock):
    results = {"573000000000": "BUSY", "573000000001": SOLD}
    sim.add_campaign(CAMPAIGN, records=customers(2), call_results=results, started=True)
    clock.now += 3600
    connected, _ = rows(report(caller, "cdr_1"))
    assert (connected["agent_id"], connected["customer_id"], connected["cod_act"]) == ("10001", "c1", "101")
    assert (connected["type_interaction"], connected["hang_up"], connected["time_seg"]) == ("out_pre", "agent", "10")
    assert connected["description_cod_act"] == "PROMISE"
    failed, _ = rows(report(caller, "cdr_5"))
    assert (failed["agent_id"], failed["customer_id"], failed["result"]) == ("-", "c0", "Busy")
    assert sim.rings == {}
    assert sim.calls == ()


def test_a_campaigns_call_is_told_once_it_is_over_and_the_lag_has_gone_by(sim, caller, clock):
    sim.report_lag = {"campaign_3": 100}
    sim.add_campaign(CAMPAIGN, records=customers(1), call_results=SOLD, started=True)
    clock.now += 10
    (dial,) = sim.campaign(CAMPAIGN).dials
    clock.now = dial.over.timestamp() - 1
    assert report(caller, "cdr_1").json == EMPTY
    clock.now += 1
    assert len(rows(report(caller, "cdr_1"))) == 2
    clock.now += 99
    assert report(caller, "campaign_3", campaign_id=CAMPAIGN).json == EMPTY
    clock.now += 1
    assert len(rows(report(caller, "campaign_3", campaign_id=CAMPAIGN))) == 1


# Agents


def test_agent_14_tells_a_state_of_any_agent_once_it_has_changed_again(sim, caller, clock):
    sim.add_campaign(CAMPAIGN, records=customers(1), call_results=SOLD, started=True)
    clock.now += 10
    (dial,) = sim.campaign(CAMPAIGN).dials

    def states(moment):
        clock.now = moment.timestamp()
        got = report(caller, "agent_14")
        return [] if got.status == 404 else [row["agent_status"] for row in rows(got)]

    second = timedelta(seconds=1)
    assert states(dial.answered - second) == []
    assert states(dial.answered) == ["READY"]
    assert states(dial.over - second) == ["READY"]
    assert states(dial.over) == ["READY", "TALK"]
    assert states(dial.finished) == ["READY", "TALK", "ACW"]
    ready, talk, acw = rows(report(caller, "agent_14"))
    assert (ready["date_end"], talk["date_end"]) == (talk["date_ini"], acw["date_ini"])
    assert (ready["conn_id"], talk["conn_id"], talk["campaign_id"]) == ("", dial.conn_id, CAMPAIGN)


def test_real_time_tells_each_agents_state_and_for_how_long(sim, caller, clock):
    sim.add_campaign(CAMPAIGN, records=customers(1), call_results=SOLD, started=True)
    clock.now += 10
    (dial,) = sim.campaign(CAMPAIGN).dials

    def state(moment):
        clock.now = moment.timestamp()
        (row,) = rows(ask(caller, "real_time", "agents"))
        return row["agent_status"], row["time_state_now"]

    assert state(dial.begun) == ("Ready", str(int((dial.begun - NOON).total_seconds())))
    assert state(dial.answered + timedelta(seconds=4)) == ("Talk", "4")
    assert state(dial.over) == ("ACW", "0")
    assert state(dial.finished + timedelta(seconds=9)) == ("Ready", "9")


def test_real_time_follows_a_call_by_hand_even_if_reports_are_held_back(sim, caller, clock):
    sim.hold_reports()
    caller.aux_call()
    seen = []
    for seconds in (0, 8, 20, 10):
        clock.now += seconds
        (row,) = rows(ask(caller, "real_time", "agents"))
        seen.append((row["agent_status"], row["time_state_now"]))
    assert seen == [("Ring", "0"), ("Talk", "0"), ("ACW", "0"), ("Ready", "0")]


def test_real_time_shows_who_is_logged_out_or_leaves_them_out(caller_of, clock):
    agents = [Agent("10001", logged_in=False), Agent("10002", on_call=True)]
    names = Directory(agent_names={"10001": "ANA"})
    with Simulator(clock=clock, agents=agents, directory=names) as sim:
        clock.now += 7
        names = ("agent_id", "agent_name", "agent_status", "time_state_now")
        assert [[row[name] for name in names] for row in rows(ask(caller_of(sim), "real_time", "agents"))] == [
            ["10001", "ANA", "Logout", "7"],
            ["10002", "AGENT 10002", "Talk", "7"],
        ]
        sim.report_policy = ReportPolicy(logged_out="")
        assert [row["agent_id"] for row in rows(ask(caller_of(sim), "real_time", "agents"))] == ["10002"]


def test_the_reports_call_an_agent_by_name(sim, caller, one_dial):
    sim.directory = Directory(agent_names={"10001": "ANA"})
    assert rows(report(caller, "cdr_1"))[0]["agent_name"] == "ANA"


# Campaigns in real time


def test_real_time_counts_a_campaign_with_its_name_and_penetration(sim, caller, clock):
    results = {"573000000000": "NO-ANSWER", "573000000001": SOLD}
    sim.add_campaign(CAMPAIGN, name="DUES", records=customers(3), call_results=results)
    sim.add_campaign("40002")
    assert [row["status"] for row in rows(ask(caller, "real_time", "campaigns"))] == ["stopped", "stopped"]
    caller.ask("PUT", f"/api/v2/campaign.php?api=start&campaign_id={CAMPAIGN}", caller.headers())
    clock.now += 3600
    (row,) = rows(ask(caller, "real_time", "campaigns", campaign_id=CAMPAIGN))
    assert (
        row.items()
        >= {
            "campaign": "40001 - DUES - Progressive (100.00%)",
            "status": "started",
            "records": "3",
            "clean": "0",
            "dial": "3",
            "answer": "2",
            "no_answer": "1",
            "hits": "1",
            "penetration_now": "100.00 %",
        }.items()
    )
    sim.report_policy = ReportPolicy(status_when_done="stopped")
    (row,) = rows(ask(caller, "real_time", "campaigns", campaign_id=CAMPAIGN))
    assert row["status"] == "stopped"


def test_real_time_campaigns_come_bare_if_asked_to(sim, caller):
    sim.add_campaign(CAMPAIGN)
    sim.report_policy = ReportPolicy(bare_campaigns=True)
    (row,) = ask(caller, "real_time", "campaigns").json
    assert row["campaign"] == "40001 - CAMPAIGN 40001 - Progressive (0.00%)"


def test_real_time_campaigns_lag_as_any_report(sim, caller, clock):
    sim.report_lag = {"campaigns": 600}
    sim.add_campaign(CAMPAIGN, records=customers(3), started=True)
    clock.now += 600
    assert rows(ask(caller, "real_time", "campaigns"))[0]["clean"] == "3"
    clock.now += 3600
    assert rows(ask(caller, "real_time", "campaigns"))[0]["clean"] == "0"


def test_real_time_knows_no_unknown_campaign(sim, caller):
    assert ask(caller, "real_time", "campaigns", campaign_id="99999").json == UNKNOWN


# Lists


def test_the_lists_tell_names_states_and_flags(sim, caller):
    sim.directory = Directory({"10001": "ANA"}, (ActivityCode("7", "PAID", hit=True),))
    sim.add_campaign(CAMPAIGN, name="DUES", records=customers(1), started=True)
    sim.add_campaign("40002", kind="preview")
    names = ("campaign_id", "campaign_name", "type_campaign", "status")
    assert [[row[name] for name in names] for row in rows(ask(caller, "information", "campaigns"))] == [
        [CAMPAIGN, "DUES", "predictive", "Started"],
        ["40002", "CAMPAIGN 40002", "preview", "Stopped"],
    ]
    assert len(rows(ask(caller, "information", "campaigns", campaign="40002"))) == 1
    (agent,) = rows(ask(caller, "information", "agents"))
    assert (agent["agent_id"], agent["agent_name"]) == ("10001", "ANA")
    (code,) = rows(ask(caller, "information", "activity_codes"))
    told = [code[name] for name in ("cod_act", "description_cod_act", "hit", "rpc", "type_code")]
    assert told == ["7", "PAID", "yes", "no", "cod_act1"]


def test_the_do_not_call_list_is_told_by_type(sim, caller):
    entries = (DoNotCall("573001", "outbound", "2026-12-31"), DoNotCall("573002", "inbound"))
    sim.directory = Directory(do_not_call=entries)
    outbound = {"phone_number": "573001", "type": "outbound", "date_delete": "2026-12-31"}
    inbound = {"phone_number": "573002", "type": "inbound", "date_delete": ""}
    for wanted, found in [("outbound", [outbound]), ("inbound", [inbound]), ("all", [outbound, inbound])]:
        assert rows(ask(caller, "information", "get_dnc", type=wanted)) == found
    assert ask(caller, "information", "get_dnc").json["msg"] == "SOME PARAMETERS ARE REQUIRED"
    sim.directory = Directory()
    assert ask(caller, "information", "get_dnc", type="all").json == EMPTY


def test_law_2300_is_told_by_company_and_phone(sim, caller):
    sim.directory = Directory(law2300=(LastContact("573001", "2026-03-01", "sms"), LastContact("573002", "x", nit="9")))
    assert rows(ask(caller, "information", "law2300_info", nit="8", phone="573001")) == [
        {"phone_number": "573001", "last_day": "2026-03-01", "last_channel": "sms"}
    ]
    assert ask(caller, "information", "law2300_info", nit="8", phone="573002").json == EMPTY


# Customers' records


def test_detail_tells_each_customer_with_agent_result_and_disposition(sim, caller, one_dial):
    sim.add_campaign("40002", records=customers(1))
    (row,) = rows(
        ask(caller, "campaign", "detail", type_campaign="predictive", campaign_id=CAMPAIGN, detail="default", **day())
    )
    assert {name: row[name] for name in ("customer_id", "customer_name", "tel1", "tel10", "opt1")} == {
        "customer_id": "c0",
        "customer_name": "NAME 0",
        "tel1": "573000000000",
        "tel10": "",
        "opt1": "gold",
    }
    assert (row["agent_id"], row["conn_id"], row["result"]) == ("10001", one_dial.conn_id, "ANSWER")
    assert (row["cod_act"], row["calls"], row["date"]) == ("101", "1", written(one_dial.begun))


def test_detail_has_what_was_not_dialled_only_if_all_is_asked_for(sim, caller):
    sim.add_campaign(CAMPAIGN, records=customers(2))
    asked = {"type_campaign": "predictive", "campaign_id": CAMPAIGN, **day()}
    assert ask(caller, "campaign", "detail", detail="default", **asked).json == EMPTY
    found = rows(ask(caller, "campaign", "detail", detail="all", **asked))
    assert [(row["customer_id"], row["result"], row["conn_id"]) for row in found] == [
        ("c0", "CLEAN", ""),
        ("c1", "CLEAN", ""),
    ]
    wrong = {**asked, "type_campaign": "preview"}
    assert ask(caller, "campaign", "detail", detail="all", **wrong).json["msg"].startswith("Campaign_id 40001 does")
    assert ask(caller, "campaign", "detail", detail="all", **{**asked, "date_ini": "x"}).json == EMPTY


def test_a_record_is_found_by_customer_or_phone(sim, caller, one_dial):
    for asked in (
        {"campaign_id": CAMPAIGN, "customer_id": "c0"},
        {"campaign_id": CAMPAIGN, "customer_phone": "573000000000"},
        {"customer_id": "c0"},
    ):
        (row,) = rows(ask(caller, "campaign", "find_record", **asked))
        assert (row["customer_id"], row["campaign_id"], row["calls"]) == ("c0", CAMPAIGN, "1")
        assert (row["conn_id"], row["result"], row["date"]) == (one_dial.conn_id, "ANSWER", written(one_dial.begun))
    assert ask(caller, "campaign", "find_record", campaign_id=CAMPAIGN, customer_id="c9").json == EMPTY
    assert ask(caller, "campaign", "find_record", campaign_id="99999", customer_id="c0").json == UNKNOWN
    assert ask(caller, "campaign", "find_record").json["msg"] == "SOME PARAMETERS ARE REQUIRED"


# Limits


def test_a_report_of_more_than_sixty_thousand_rows_is_cut(sim, caller):
    sim.add_past_calls(60_001, campaign_id=CAMPAIGN)
    got = report(caller, "campaign_3", campaign_id=CAMPAIGN)
    assert len(got.json["data"]) == 60_000


def test_two_files_may_have_an_api_of_the_same_name_and_others_have_none(sim, caller):
    sim.add_campaign(CAMPAIGN)
    assert set(rows(ask(caller, "real_time", "agents"))[0]) != set(rows(ask(caller, "information", "agents"))[0])
    assert ask(caller, "campaign", "agents").json["msg"] == "THE API YOU WANT TO CONSULT DOES NOT EXIST"
