"""Campaigns started, stopped, loaded and recalled by requests, and what a judge can tell of it afterwards."""

from __future__ import annotations

import contextlib
import http.client
import json
from collections import Counter
from collections.abc import Iterator

import pytest

from airflow_provider_wolkvox.simulator import CallResult, CampaignError, Envelope, Simulator

CAMPAIGN = "40001"


@pytest.fixture
def sim(clock) -> Iterator[Simulator]:
    with Simulator(clock=clock) as running:
        yield running


def customers(number, first=0):
    return [
        {"customer_id": f"c{place}", "customer_name": f"NAME {place}", "tel1": f"57300{place:07}", "opt1": "gold"}
        for place in range(first, first + number)
    ]


def changed(caller, method, api, campaign_id=CAMPAIGN, body=None, content_type="application/json", **parameters):
    query = "".join(f"&{name}={value}" for name, value in parameters.items())
    target = f"/api/v2/campaign.php?api={api}&campaign_id={campaign_id}{query}"
    told = body if isinstance(body, str) or body is None else json.dumps(body)
    return caller.ask(method, target, {**caller.headers(), "Content-Type": content_type}, told)


def start(caller, campaign_id=CAMPAIGN):
    return changed(caller, "PUT", "start", campaign_id)


def stop(caller, campaign_id=CAMPAIGN):
    return changed(caller, "PUT", "stop", campaign_id)


def add(caller, rows, status="stop", kind="predictive", **options):
    return changed(caller, "POST", "add_record", body=rows, type_campaign=kind, campaign_status=status, **options)


def recall(caller, value="NO-ANSWER", field="Cod_Machine"):
    return changed(caller, "PUT", "recall_records", body={"field": field, "value": value})


# Starting and stopping


def test_a_campaign_is_started_and_stopped_and_each_is_counted(sim, caller, clock):
    sim.add_campaign(CAMPAIGN, records=customers(3))
    got = start(caller)
    assert (got.status, got.json["code"], got.json["error"]) == (202, "202", None)
    assert got.json["msg"] == "The 40001 campaign_id has been started successfully"
    assert sim.campaign(CAMPAIGN).status == "started"
    assert stop(caller).json["msg"] == "The 40001 campaign_id has been stopped successfully"
    assert start(caller).status == 202
    seen = sim.campaign(CAMPAIGN)
    assert (seen.status, seen.starts, seen.stops) == ("started", 2, 1)


def test_nothing_is_dialled_before_the_start(sim, caller, clock):
    sim.add_campaign(CAMPAIGN, records=customers(3))
    clock.now += 3600
    assert sim.campaign(CAMPAIGN).counters.clean == 3
    start(caller)
    clock.now += 3600
    assert sim.campaign(CAMPAIGN).counters.clean == 0


def test_what_was_not_dialled_when_it_stops_stays_clean_until_it_starts_again(sim, caller, clock):
    sim.add_campaign(CAMPAIGN, records=customers(30), agents=["10001"], started=True)
    clock.now += 120
    stop(caller)
    before = sim.campaign(CAMPAIGN).counters
    assert 0 < before.clean < 30
    clock.now += 36_000
    assert sim.campaign(CAMPAIGN).counters.clean == before.clean
    start(caller)
    clock.now += 36_000
    seen = sim.campaign(CAMPAIGN)
    assert seen.finished
    assert Counter(dial.customer_id for dial in seen.dials) == seen.added


def test_a_third_predictive_campaign_is_not_started_while_two_are_active(sim, caller):
    for number in (1, 2):
        sim.add_campaign(f"4000{number}", records=customers(3), started=True)
    sim.add_campaign("40003", records=customers(3))
    got = start(caller, "40003")
    assert got.status == 404
    assert got.json == {
        "code": "404",
        "error": "Not Found",
        "msg": "You must turn off a predictive before starting this one, you currently have 2 active predictives",
    }
    assert (sim.campaign("40003").status, sim.campaign("40003").starts) == ("stopped", 0)
    assert start(caller, "40001").status == 202
    sim.add_campaign("50001", kind="preview", records=customers(1))
    assert start(caller, "50001").status == 202
    stop(caller, "40001")
    assert start(caller, "40003").status == 202


def test_a_campaign_without_records_is_not_started(sim, caller):
    sim.add_campaign(CAMPAIGN)
    got = start(caller)
    assert (got.status, got.json["msg"]) == (404, "The campaign has not been started, please validate the data")


@pytest.mark.parametrize("deed", [start, stop, recall, lambda caller: add(caller, customers(1))])
def test_a_campaign_that_does_not_exist_is_told_by_its_number(sim, caller, deed):
    got = deed(caller)
    assert got.status == 404
    assert got.json["msg"] == "Campaign_id 40001 does not exist in your operation."


def test_campaign_control_is_counted_against_the_quota(sim, caller):
    sim.add_campaign(CAMPAIGN, records=customers(3))
    start(caller)
    stop(caller)
    assert sim.stats().used_today == 2


# Adding records


def test_records_are_added_and_counted_by_customer_and_batch(sim, caller):
    sim.add_campaign(CAMPAIGN)
    got = add(caller, customers(3))
    assert (got.status, got.json["code"]) == (201, "201")
    assert got.json["msg"] == "All records has been added successfully"
    assert got.json["data"] == [{"total_registers": "3", "total_success": "3", "total_errors": "0", "array_errors": []}]
    add(caller, customers(2, first=2))
    seen = sim.campaign(CAMPAIGN)
    assert seen.added == {"c0": 1, "c1": 1, "c2": 2, "c3": 1}
    assert seen.batches == (("c0", "c1", "c2"), ("c2", "c3"))
    assert [record.fields["opt1"] for record in seen.records] == ["gold"] * 5


def test_a_customer_loaded_twice_is_dialled_twice_unless_doubles_are_refused(sim, caller, clock):
    sim.add_campaign(CAMPAIGN, records=customers(2), started=True)
    add(caller, customers(1), status="start")
    clock.now += 3600
    assert Counter(dial.customer_id for dial in sim.campaign(CAMPAIGN).dials) == {"c0": 2, "c1": 1}
    sim.reset()
    sim.add_campaign(CAMPAIGN, records=customers(2), refuse_duplicates=True)
    got = add(caller, [*customers(1), *customers(1, first=5), *customers(1, first=5)])
    assert [wrong["error"][-1] for wrong in got.json["data"][0]["array_errors"]] == ["0", "2"]
    assert sim.campaign(CAMPAIGN).added == {"c0": 1, "c1": 1, "c5": 1}


NOT_FLAT = "a record is a flat object of texts"


def test_unsound_records_are_refused_one_by_one_and_the_others_added(sim, caller):
    sim.add_campaign(CAMPAIGN)
    got = add(caller, [{"tel1": "573001"}, *customers(1), {"customer_id": "x", "tel1": 573}, {"customer_id": "y"}, 7])
    assert got.status == 201
    assert got.json["data"][0] == {
        "total_registers": "5",
        "total_success": "1",
        "total_errors": "4",
        "array_errors": [
            {
                "error": "CUSTOMER_ID is empty, object position 0",
                "msg": "CUSTOMER_ID is a required field, please validate the data",
            },
            {"error": f"{NOT_FLAT}, object position 2", "msg": NOT_FLAT},
            {"error": "a telephone is required, object position 3", "msg": "a telephone is required"},
            {"error": f"{NOT_FLAT}, object position 4", "msg": NOT_FLAT},
        ],
    }
    assert sim.campaign(CAMPAIGN).batches == (("c0",),)


def test_what_is_said_of_records_added_in_part_can_be_changed(caller_of):
    with Simulator(replies={"records_partly_added": Envelope(200, None, "1 of 2")}) as sim:
        sim.add_campaign(CAMPAIGN)
        got = add(caller_of(sim), [*customers(1), {}])
        assert (got.status, got.json["msg"], got.json["data"][0]["total_errors"]) == (200, "1 of 2", "1")


@pytest.mark.parametrize("rows", [[], [{}], [{"customer_id": "", "tel1": "57"}]])
def test_if_no_record_is_sound_nothing_is_added(sim, caller, rows):
    sim.add_campaign(CAMPAIGN)
    got = add(caller, rows)
    assert (got.status, got.json["msg"]) == (404, "0 records has been added, please validate the data")
    assert got.json["data"][0]["total_success"] == "0"
    assert sim.campaign(CAMPAIGN).batches == ()


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "text/csv", ""])
def test_a_body_that_is_not_sent_as_json_gets_400(sim, caller, content_type):
    sim.add_campaign(CAMPAIGN)
    assert add(caller, json.dumps(customers(1)), content_type=content_type).status == 400
    assert sim.campaign(CAMPAIGN).records == ()


@pytest.mark.parametrize("body", ["", "customer_id,tel1", '{"customer_id": "1"}', "null"])
def test_a_body_that_is_no_array_gets_400(sim, caller, body):
    sim.add_campaign(CAMPAIGN)
    assert add(caller, body).status == 400


def test_ten_thousand_records_go_up_at_once_and_no_more(sim, caller):
    sim.add_campaign(CAMPAIGN)
    assert add(caller, customers(10_001)).status == 400
    assert add(caller, customers(10_000)).status == 201
    assert len(sim.campaign(CAMPAIGN).records) == 10_000


def test_the_licence_caps_the_records_of_all_campaigns_together(caller_of):
    with Simulator(record_limit=10) as sim:
        sim.add_campaign("40002", records=customers(6))
        sim.add_campaign(CAMPAIGN)
        got = add(caller_of(sim), customers(5))
        assert got.status == 404
        assert got.json["msg"] == (
            "You are uploading (11) records to the system. According to quantity active licenses, "
            "You can upload 10 records. Try again."
        )
        assert add(caller_of(sim), customers(4)).status == 201


def test_records_can_be_added_so_that_the_campaign_starts_or_stops(sim, caller):
    sim.add_campaign(CAMPAIGN)
    add(caller, customers(1), status="start")
    assert (sim.campaign(CAMPAIGN).status, sim.campaign(CAMPAIGN).starts) == ("started", 1)
    add(caller, customers(1), status="start")
    assert sim.campaign(CAMPAIGN).starts == 1
    add(caller, customers(1), status="stop")
    assert (sim.campaign(CAMPAIGN).status, sim.campaign(CAMPAIGN).stops) == ("stopped", 1)


# Recalling


def test_records_that_ended_so_are_dialled_once_more_and_the_others_are_not(sim, caller, clock):
    results = {row["tel1"]: "NO-ANSWER" for row in customers(2)}
    sim.add_campaign(CAMPAIGN, records=customers(5), call_results=results, started=True)
    clock.now += 3600
    got = recall(caller, "no answer")
    assert (got.status, got.json["msg"]) == (200, "2 record(s) have been marked for recall successfully")
    assert got.json["data"] == [
        {
            "campaign_id": CAMPAIGN,
            "field": "Cod_Machine",
            "value": "no answer",
            "normalized_value": "NO-ANSWER",
            "affected_records": "2",
        }
    ]
    seen = sim.campaign(CAMPAIGN)
    assert (seen.counters.clean, seen.finished, seen.recalls) == (2, False, 1)
    clock.now += 3600
    seen = sim.campaign(CAMPAIGN)
    assert Counter(dial.customer_id for dial in seen.dials) == {"c0": 2, "c1": 2, "c2": 1, "c3": 1, "c4": 1}
    assert (seen.counters.clean, seen.counters.dial, seen.finished) == (0, 7, True)


def test_a_recalled_record_is_not_recalled_again_before_it_was_dialled(sim, caller, clock):
    sim.add_campaign(CAMPAIGN, records=customers(3), call_results="BUSY", started=True)
    clock.now += 3600
    stop(caller)
    assert recall(caller, "BUSY").json["data"][0]["affected_records"] == "3"
    assert recall(caller, "BUSY").json["data"][0]["affected_records"] == "0"


def test_recalled_records_wait_for_those_never_dialled(sim, caller, clock):
    sim.add_campaign(CAMPAIGN, records=customers(12), agents=["10001"], call_results="BUSY", started=True)
    clock.now += 120
    recall(caller, "BUSY")
    clock.now += 3600
    rounds = [dial.round for dial in sim.campaign(CAMPAIGN).dials]
    assert rounds == sorted(rounds)
    assert set(rounds) == {1, 2}


def test_records_are_recalled_by_disposition_too(sim, caller, clock):
    what = CallResult.of("ANSWER", cod_act="102", cod_act_2="9")
    sim.add_campaign(CAMPAIGN, records=customers(3), call_results=what, started=True)
    clock.now += 3600
    assert recall(caller, "101", "cod_rslt1").json["data"][0]["affected_records"] == "0"
    assert recall(caller, "102", "cod_rslt1").json["data"][0]["affected_records"] == "3"
    clock.now += 3600
    assert recall(caller, "9", "cod_rslt2").json["data"][0]["affected_records"] == "3"
    assert recall(caller, "9", "cod_rslt9").status == 400


@pytest.mark.parametrize(
    "body", ["", "[]", {"field": ["Cod_Machine"], "value": "BUSY"}, {"field": "Cod_Machine"}, {"value": "BUSY"}]
)
def test_a_recall_that_says_not_what_gets_400(sim, caller, body):
    sim.add_campaign(CAMPAIGN, records=customers(1), call_results="BUSY")
    assert changed(caller, "PUT", "recall_records", body=body).status == 400
    assert sim.campaign(CAMPAIGN).recalls == 0


def test_a_recall_of_no_word_that_there_is_finds_nobody(sim, caller):
    sim.add_campaign(CAMPAIGN, records=customers(1))
    assert recall(caller, "ASLEEP").json["msg"] == "0 record(s) have been marked for recall successfully"


# Faults


@pytest.mark.parametrize("kind", ["drop_after_ringing", "close_after_ringing", "cut_body", "garbage"])
def test_an_answer_that_is_lost_leaves_the_deed_done(sim, caller, kind):
    sim.add_campaign(CAMPAIGN, records=customers(1))
    for deed in (start, lambda each: add(each, customers(1, first=1), status="start"), recall, stop):
        sim.fault(kind)
        with pytest.raises((http.client.HTTPException, ConnectionError)):
            deed(caller)
    seen = sim.campaign(CAMPAIGN)
    assert (seen.starts, seen.stops, seen.recalls, seen.batches) == (1, 1, 1, (("c1",),))


@pytest.mark.parametrize("kind", ["drop_before_reading", "drop_after_reading", "busy", "api_off"])
def test_a_request_that_is_lost_or_refused_does_nothing(sim, caller, kind):
    sim.add_campaign(CAMPAIGN, records=customers(1))
    for deed in (start, lambda each: add(each, customers(1)), recall, stop):
        sim.fault(kind)
        with contextlib.suppress(http.client.HTTPException, ConnectionError):
            assert deed(caller).status == 403
    seen = sim.campaign(CAMPAIGN)
    assert (seen.starts, seen.stops, seen.recalls, seen.batches) == (0, 0, 0, ())


def test_an_answer_can_be_mangled_with_nothing_done(sim, caller):
    sim.add_campaign(CAMPAIGN, records=customers(1))
    for deed in (start, lambda each: add(each, customers(1)), recall, stop):
        sim.fault("cut_body", ring=False)
        with pytest.raises(http.client.IncompleteRead):
            deed(caller)
    seen = sim.campaign(CAMPAIGN)
    assert (seen.starts, seen.stops, seen.recalls, seen.batches) == (0, 0, 0, ())


def test_a_fault_can_be_limited_to_one_campaign(sim, caller):
    for number in ("40001", "40002"):
        sim.add_campaign(number, records=customers(1))
    sim.fault("busy", campaign_id="40002")
    assert start(caller, "40001").status == 202
    assert start(caller, "40002").status == 403


# What can be no campaign


@pytest.mark.parametrize(
    ("wrong", "explained"),
    [
        ({"campaign_id": "all"}, "text of digits"),
        ({"campaign_id": "7", "kind": "magic"}, '"predictive" or "preview"'),
        ({"campaign_id": "7", "seed": "x"}, "whole number"),
        ({"campaign_id": "7", "records": [{"customer_id": "1"}]}, "a telephone is required"),
        ({"campaign_id": "40001"}, "a campaign 40001 already"),
    ],
)
def test_what_can_be_no_campaign_is_refused_with_what_can(sim, wrong, explained):
    sim.add_campaign(CAMPAIGN)
    with pytest.raises(CampaignError, match=explained):
        sim.add_campaign(**wrong)
    with pytest.raises(KeyError):
        sim.campaign("7")
