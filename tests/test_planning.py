"""Planning over sockets: reports complete each other, everything that was attempted counts, and nothing is guessed."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from samples import AGENT, PHONE, TOKEN

from airflow_provider_wolkvox.api import NotSent, OutcomeUnknown, Refused, WolkvoxClient
from airflow_provider_wolkvox.calling.callbacks import Reason, Rules
from airflow_provider_wolkvox.planning import plan_callbacks, read_attempts
from airflow_provider_wolkvox.simulator import Directory, DoNotCall, ReportPolicy, Simulator

CAMPAIGN = "32841"
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
SECOND_PHONE = "3005550102"


@pytest.fixture
def sim(simulator) -> Simulator:
    """A wolkvox with a campaign, the calls of which a test puts into the past itself."""
    simulator.add_campaign(CAMPAIGN)
    simulator.add_campaign("7")
    simulator.cut_calls = False
    return simulator


@contextmanager
def reading(sim: Simulator, **options):
    with WolkvoxClient("0042", TOKEN, base_url=sim.base_url, **options) as wolkvox:
        yield wolkvox


def dialled(sim: Simulator, phone: str = PHONE, *, ago: timedelta = HOUR, campaign_id: str = CAMPAIGN, **of):
    """Put a predictive call into the past: a short one that the customer ended, unless told otherwise."""
    given = {"agent_id": AGENT, "result": "ANSWER", **of}
    if given["result"] == "ANSWER":
        given = {"talk_seconds": 5, "hang_up": "customer", **given}
    agent_id = given.pop("agent_id")
    return sim.add_past_call(phone, agent_id, seconds_ago=ago.total_seconds(), campaign_id=campaign_id, **given)


def planned(sim: Simulator, *, back: timedelta = 2 * HOUR, rules: Rules | None = None, dial_prefix: str = "", **how):
    now = datetime.now(UTC)
    with reading(sim, dial_prefix=dial_prefix) as wolkvox:
        return plan_callbacks(
            wolkvox,
            how.pop("campaign_id", CAMPAIGN),
            how.pop("since", now - back),
            how.pop("until", now),
            rules or Rules(),
            now,
            **how,
        )


def called(plan) -> list[tuple[str, str]]:
    return [(callback.agent_id, callback.phone) for callback in plan.callbacks]


# What the reports tell together


def test_a_connected_call_is_one_attempt_with_what_each_report_knows_of_it(sim):
    call = dialled(sim, talk_seconds=9, hang_up="agent", cod_act="101", cod_act_2="7", customer_id="c1")
    with reading(sim) as wolkvox:
        [attempt] = read_attempts(wolkvox, datetime.now(UTC) - 2 * HOUR, datetime.now(UTC))
    assert attempt.at == call.begun.replace(microsecond=0)
    assert (attempt.phone, attempt.agent_id, attempt.conn_id, attempt.result) == (PHONE, AGENT, call.conn_id, "ANSWER")
    assert (attempt.seconds, attempt.hang_up, attempt.cod_act, attempt.cod_act_2) == (9, "agent", "101", "7")
    assert (attempt.campaign_id, attempt.customer_id, attempt.type_interaction) == (CAMPAIGN, "c1", "out_pre")


@pytest.mark.parametrize("result", ["NO-ANSWER", "BUSY", "FAILED", "ABANDON"])
def test_a_call_that_was_not_connected_is_one_attempt(sim, result):
    dialled(sim, result=result, agent_id="")
    with reading(sim) as wolkvox:
        [attempt] = read_attempts(wolkvox, datetime.now(UTC) - 2 * HOUR, datetime.now(UTC))
    assert (attempt.result, attempt.agent_id, attempt.seconds) == (result, "", None)


def test_a_call_without_conn_id_is_one_attempt_too(sim):
    dialled(sim, conn_id="")
    dialled(sim, SECOND_PHONE, conn_id="")
    with reading(sim) as wolkvox:
        attempts = read_attempts(wolkvox, datetime.now(UTC) - 2 * HOUR, datetime.now(UTC))
    assert sorted(attempt.phone for attempt in attempts) == [PHONE, SECOND_PHONE]
    assert all(attempt.agent_id == AGENT and attempt.seconds == 5 for attempt in attempts)


def test_a_machine_that_answered_is_no_person(sim):
    dialled(sim, result="ANSWER-MACHINE", talk_seconds=3, hang_up="customer")
    plan = planned(sim)
    assert called(plan) == []
    assert plan.counts == {Reason.RESULT: 1}


def test_a_machine_of_which_the_campaigns_report_does_not_tell_yet_is_no_person(sim):
    dialled(sim, result="ANSWER-MACHINE", talk_seconds=3, hang_up="customer", ago=timedelta(minutes=2))
    sim.report_lag = {"campaign_3": 300.0}
    assert called(planned(sim)) == []


def test_a_call_of_another_zone_in_the_other_reports_is_still_one_attempt(sim):
    sim.report_policy = ReportPolicy(zone="+01:00")
    dialled(sim)
    with reading(sim, reports_timezone="Africa/Lagos") as wolkvox:
        [attempt] = read_attempts(wolkvox, datetime.now(UTC) - 2 * HOUR, datetime.now(UTC))
    assert abs(attempt.at - (datetime.now(UTC) - HOUR)) < timedelta(seconds=30)


# Who is called back


def test_a_call_that_was_cut_is_called_back_by_the_agent_who_had_it(sim):
    dialled(sim, agent_id="10003")
    assert called(planned(sim)) == [("10003", PHONE)]


def test_every_attempt_of_the_campaign_is_either_called_back_or_skipped_with_a_reason(sim):
    dialled(sim)
    dialled(sim, SECOND_PHONE, result="BUSY", agent_id="")
    dialled(sim, "3005550103", hang_up="agent")
    dialled(sim, "3005550104", talk_seconds=50)
    dialled(sim, "3005550105", campaign_id="7")
    plan = planned(sim, rules=Rules(shorter_than=20, hung_up_by="customer"))
    assert called(plan) == [(AGENT, PHONE)]
    assert plan.counts == {Reason.RESULT: 1, Reason.LENGTH: 1, Reason.HUNG_UP_BY: 1}


@pytest.mark.parametrize("campaign_id", [32841, " 32841 "])
def test_the_campaign_may_be_a_number(sim, campaign_id):
    dialled(sim)
    assert called(planned(sim, campaign_id=campaign_id)) == [(AGENT, PHONE)]


def test_calls_outside_the_range_are_not_called_back_but_count(sim):
    dialled(sim, ago=5 * HOUR)
    dialled(sim, SECOND_PHONE, ago=5 * HOUR)
    dialled(sim, SECOND_PHONE)
    plan = planned(sim)
    assert called(plan) == []
    assert plan.counts == {Reason.MAX_ATTEMPTS: 1}


def test_until_ends_the_range_but_not_what_counts(sim):
    dialled(sim, ago=3 * HOUR)
    dialled(sim, SECOND_PHONE, ago=3 * HOUR)
    dialled(sim, SECOND_PHONE, ago=HOUR)
    plan = planned(sim, back=4 * HOUR, until=datetime.now(UTC) - 2 * HOUR)
    assert called(plan) == [(AGENT, PHONE)]
    assert plan.counts == {Reason.CALLED_BACK: 1}


def test_attempts_of_another_campaign_count(sim):
    dialled(sim)
    dialled(sim, ago=20 * HOUR, campaign_id="7", result="NO-ANSWER", agent_id="")
    dialled(sim, SECOND_PHONE)
    dialled(sim, SECOND_PHONE, ago=25 * HOUR, campaign_id="7", result="NO-ANSWER", agent_id="")
    plan = planned(sim)
    assert called(plan) == [(AGENT, SECOND_PHONE)]
    assert plan.counts == {Reason.MAX_ATTEMPTS: 1}


def test_a_number_that_called_back_itself_is_left_alone(sim):
    dialled(sim)
    sim.add_past_call(PHONE, "10002", seconds_ago=60, type_interaction="inbound")
    assert planned(sim).counts == {Reason.CALLED_BACK: 1}


def test_an_aux_call_is_seen_as_the_callback_that_it_is(sim):
    dialled(sim)
    dialled(sim, SECOND_PHONE)
    with reading(sim) as wolkvox:
        wolkvox.aux_call(AGENT, PHONE)
    plan = planned(sim, rules=Rules(max_attempts=None, within=None))
    assert called(plan) == [(AGENT, SECOND_PHONE)]
    assert plan.counts == {Reason.CALLED_BACK: 1}


@pytest.mark.parametrize("result", ["NO-ANSWER", "BUSY"])
def test_an_aux_call_that_nobody_answered_is_a_callback_too(sim, result):
    sim.call_results = result
    dialled(sim)
    with reading(sim) as wolkvox:
        wolkvox.aux_call(AGENT, PHONE)
    assert planned(sim, rules=Rules(max_attempts=None, within=None)).counts == {Reason.CALLED_BACK: 1}


@pytest.mark.parametrize("result", ["ANSWER", "NO-ANSWER"])
def test_an_aux_call_that_reports_show_as_predictive_is_not_called_back_again(sim, result):
    sim.report_policy = ReportPolicy(aux_call_type="out_pre")
    sim.call_results = result
    dialled(sim)
    with reading(sim) as wolkvox:
        wolkvox.aux_call(AGENT, PHONE)
    assert called(planned(sim)) == []


def test_a_callback_of_which_only_real_time_tells_yet_is_seen(sim):
    dialled(sim)
    sim.report_lag = dict.fromkeys(("cdr_1", "cdr_5", "campaign_3", "agent_2", "agent_14"), 120.0)
    with reading(sim) as wolkvox:
        wolkvox.aux_call(AGENT, PHONE)
    assert called(planned(sim)) == []


def test_a_call_that_no_report_tells_of_yet_is_not_called_back(sim):
    dialled(sim, ago=timedelta(minutes=1))
    sim.report_lag = 300.0
    plan = planned(sim)
    assert called(plan) == []
    assert plan.counts == {}


def test_a_call_that_only_the_campaigns_report_tells_of_is_skipped_for_want_of_an_agent(sim):
    dialled(sim, ago=timedelta(minutes=1))
    sim.report_lag = {"cdr_1": 300.0}
    assert planned(sim).counts == {Reason.NO_AGENT: 1}


def test_the_least_interval_is_kept(sim):
    dialled(sim)
    rules = Rules(least_interval=2 * HOUR)
    assert planned(sim, rules=rules).counts == {Reason.LEAST_INTERVAL: 1}
    assert called(planned(sim, rules=Rules(least_interval=HOUR / 2))) == [(AGENT, PHONE)]


@pytest.mark.parametrize("cap", [{}, {"max_attempts": None, "within": None}])
def test_the_least_interval_is_kept_where_it_reaches_further_back_than_what_is_read(sim, cap):
    dialled(sim, ago=30 * HOUR, campaign_id="7", result="BUSY", agent_id="")
    dialled(sim)
    assert planned(sim, rules=Rules(least_interval=48 * HOUR, **cap)).counts == {Reason.LEAST_INTERVAL: 1}


def test_real_time_and_reports_tell_of_one_call_once(sim):
    call = dialled(sim, ago=timedelta(minutes=2))
    with reading(sim) as wolkvox:
        wolkvox.aux_call("10002", SECOND_PHONE)
        attempts = read_attempts(wolkvox, datetime.now(UTC) - HOUR, datetime.now(UTC))
    assert Counter(attempt.phone for attempt in attempts) == {PHONE: 1, SECOND_PHONE: 1}
    [of_campaign] = [attempt for attempt in attempts if attempt.conn_id == call.conn_id]
    assert (of_campaign.agent_id, of_campaign.campaign_id, of_campaign.seconds) == (AGENT, CAMPAIGN, 5)


def test_a_call_of_which_only_real_time_tells_yet_is_not_called_back_but_counts(sim):
    lag = dict.fromkeys(("cdr_1", "cdr_5", "campaign_3"), 300.0)
    dialled(sim, ago=timedelta(minutes=20))
    dialled(sim, ago=timedelta(minutes=2), result="NO-ANSWER", agent_id="")
    dialled(sim, SECOND_PHONE, ago=timedelta(minutes=2))
    sim.report_lag = lag
    plan = planned(sim)
    assert called(plan) == []
    assert plan.counts == {Reason.MAX_ATTEMPTS: 1}


# The do-not-call list


def test_who_is_on_the_do_not_call_list_is_left_out(sim):
    dialled(sim)
    dialled(sim, SECOND_PHONE)
    sim.directory = Directory(do_not_call=(DoNotCall("573005550101"), DoNotCall(SECOND_PHONE, "inbound")))
    plan = planned(sim)
    assert called(plan) == [(AGENT, SECOND_PHONE)]
    assert plan.counts == {Reason.DO_NOT_CALL: 1}


def test_the_do_not_call_list_may_be_left_out_and_is_then_not_asked_for(sim):
    dialled(sim)
    sim.directory = Directory(do_not_call=(DoNotCall(PHONE),))
    sim.fault("quota", api="get_dnc", times=None)
    assert called(planned(sim, do_not_call=False)) == [(AGENT, PHONE)]


def test_without_its_do_not_call_list_nobody_is_planned(sim):
    dialled(sim)
    sim.fault("server_error", api="get_dnc", times=None)
    with pytest.raises(OutcomeUnknown):
        planned(sim)


# The dial prefix


def test_the_operations_prefix_is_no_part_of_the_number_that_is_called_back(sim):
    dialled(sim, f"9{PHONE}")
    assert called(planned(sim, dial_prefix="9")) == [(AGENT, PHONE)]
    assert called(planned(sim)) == [(AGENT, f"9{PHONE}")]


def test_an_aux_call_with_the_prefix_is_seen_as_the_callback_that_it_is(sim):
    dialled(sim, f"9{PHONE}")
    with reading(sim, dial_prefix="9") as wolkvox:
        wolkvox.aux_call(AGENT, PHONE)
    assert sim.rings == {f"9{PHONE}": 1}
    assert planned(sim, dial_prefix="9").counts == {Reason.CALLED_BACK: 1}


def test_a_number_that_begins_with_the_prefixs_digit_is_not_cut_where_reports_leave_the_prefix_out(sim):
    dialled(sim, "987654321")
    assert called(planned(sim, dial_prefix="9", prefix_in_reports=False)) == [(AGENT, "987654321")]


# What cannot be planned


def test_a_campaign_that_the_operation_does_not_have_is_named(sim):
    with pytest.raises(ValueError, match="no campaign 99999"):
        planned(sim, campaign_id="99999")


def test_a_campaign_without_calls_makes_an_empty_plan(sim):
    plan = planned(sim)
    assert (plan.callbacks, plan.skips) == ((), ())


@pytest.mark.parametrize(
    ("since", "until", "words"),
    [
        (-1, -2, "is before since"),
        (1, 2, "lies in the future"),
    ],
)
def test_a_range_that_cannot_be_is_refused_before_any_request(sim, since, until, words):
    now = datetime.now(UTC)
    with pytest.raises(ValueError, match=words):
        planned(sim, since=now + since * HOUR, until=now + until * HOUR)
    assert sim.stats().requests == 0


def test_an_end_in_the_future_is_the_present(sim):
    dialled(sim)
    assert called(planned(sim, until=datetime.now(UTC) + 9 * DAY)) == [(AGENT, PHONE)]


def test_a_range_of_more_than_31_days_is_read_in_parts(sim):
    numbers = {f"30055502{days:02}": days for days in (0, 15, 30, 31, 32, 45, 61, 62)}
    for phone, days in numbers.items():
        dialled(sim, phone, ago=days * DAY + HOUR)
    plan = planned(sim, back=70 * DAY)
    assert Counter(phone for _, phone in called(plan)) == Counter(numbers.keys())
    # Three parts of three reports, the last ten minutes and the do-not-call list.
    assert sim.stats().requests == 11


@pytest.mark.parametrize("report", ["calls_last_10", "campaign_3", "cdr_1", "cdr_5", "get_dnc"])
@pytest.mark.parametrize(
    ("fault", "failure"), [("drop_after_reading", OutcomeUnknown), ("quota", Refused), ("garbage_body", OutcomeUnknown)]
)
def test_a_report_that_cannot_be_read_makes_no_plan(sim, report, fault, failure):
    dialled(sim)
    sim.fault(fault, api=report, times=None)
    with pytest.raises(failure):
        planned(sim)


def test_a_wolkvox_that_is_gone_makes_no_plan(sim, quick_resends):
    sim.stop()
    with pytest.raises(NotSent):
        planned(sim)


def test_the_token_is_used_by_one_request_at_a_time(sim):
    dialled(sim)
    planned(sim, back=70 * DAY)
    assert sim.stats().greatest_simultaneous == 1


def test_what_is_said_holds_no_number(sim, everything_said):
    dialled(sim)
    dialled(sim, SECOND_PHONE, hang_up="agent")
    plan = planned(sim, rules=Rules(hung_up_by="customer"))
    said = everything_said() + " ".join(skip.why for skip in plan.skips)
    assert "2 calls of campaign" in said
    assert "2 calls count towards limits; 0 numbers on the do-not-call list" in said
    assert PHONE not in said
    assert SECOND_PHONE not in said
    assert TOKEN not in said


# Reports and lists that contradict themselves


def test_a_manual_call_that_was_connected_reached_the_customer_whatever_another_report_says(sim):
    dialled(sim)
    dialled(sim, type_interaction="outbound_ma", campaign_id="", ago=timedelta(minutes=5), talk_seconds=180)
    with reading(sim) as wolkvox:
        real_time = wolkvox.calls_last_10
        wolkvox.calls_last_10 = lambda: [replace(call, result="NO-ANSWER") for call in real_time()]
        attempts = read_attempts(wolkvox, datetime.now(UTC) - 2 * HOUR, datetime.now(UTC))
    assert {attempt.result for attempt in attempts if attempt.type_interaction == "outbound_ma"} == {"ANSWER"}


@pytest.mark.parametrize(
    "data",
    [
        {"phone_number": PHONE, "type": "outbound"},
        {"0": {"phone_number": PHONE}},
        [PHONE],
        [[{"phone_number": PHONE}]],
        PHONE,
        None,
        [{"number": PHONE, "type": "outbound"}],
        [{"phone_number": PHONE}, {"phone_number": ""}],
    ],
)
def test_a_do_not_call_list_that_cannot_be_read_has_nobody_called(sim, data):
    dialled(sim)
    body = json.dumps({"code": "200", "error": None, "msg": "ok", "data": data})
    sim.fault("reply", api="get_dnc", status=200, body=body)
    with pytest.raises(OutcomeUnknown, match="nobody knows who must not be called"):
        planned(sim)


@pytest.mark.parametrize("name", ["phone_number", "telephone"])
def test_a_do_not_call_list_bars_its_numbers_under_any_known_name(sim, name):
    dialled(sim)
    body = json.dumps({"code": "200", "error": None, "msg": "ok", "data": [{name: PHONE, "agent_name": "TOTAL"}]})
    sim.fault("reply", api="get_dnc", status=200, body=body)
    plan = planned(sim)
    assert (called(plan), plan.counts) == ([], {Reason.DO_NOT_CALL: 1})
