"""CampaignCallbacksOperator, judged by what a whole simulated campaign really did."""

from __future__ import annotations

import json
import re
import sys
import time
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import DAG
from capabilities import DagSerialization
from samples import AGENT, PHONE, TOKEN
from task_runner import Server, run_try

from airflow_provider_wolkvox.api import WolkvoxClient
from airflow_provider_wolkvox.calling import CallingHours, Rules
from airflow_provider_wolkvox.operators.aux_call import AuxCallOperator
from airflow_provider_wolkvox.operators.callbacks import CampaignCallbacksOperator
from airflow_provider_wolkvox.simulator import Directory, DoNotCall, Simulator

pytestmark = pytest.mark.usefixtures("own_sigterm")

CAMPAIGN = "32841"
OTHER = "77"
CUT = Rules(shorter_than=20, hung_up_by="customer")
IN_FIVE_HOURS = "{{ data_interval_end + macros.timedelta(hours=5) }}"
TWO_HOURS_AGO = "{{ (data_interval_end - macros.timedelta(hours=2)).isoformat() }}"


def phone_of(number: int) -> str:
    return f"31{number:08}"


def records_of(size: int) -> list[dict[str, str]]:
    return [
        {"customer_id": f"c{number}", "customer_name": f"Customer {number}", "tel1": phone_of(number)}
        for number in range(size)
    ]


def a_day(sim: Simulator, campaign_id: str = CAMPAIGN, size: int = 120, **options) -> None:
    """Let a campaign dial all its records within the past two hours."""
    sim.add_campaign(campaign_id, records=records_of(size), started=True, **{"seed": 11, **options})
    sim.catch_up()
    assert sim.campaign(campaign_id).finished


@pytest.fixture
def past(monkeypatch, set_connection):
    """A wolkvox of nearly two hours ago, until it is told to catch up."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    clock = SimpleNamespace(behind=7000.0)
    with Simulator(tokens=[TOKEN], clock=lambda: time.time() - clock.behind, cut_calls=False) as running:
        set_connection(extra={"base_url": running.base_url})
        running.catch_up = lambda: setattr(clock, "behind", 0.0)
        yield running


@pytest.fixture
def day(past) -> Simulator:
    """The same after a campaign's day."""
    a_day(past)
    return past


@pytest.fixture
def server() -> Server:
    return Server()


def choosing(**arguments):
    given = {"campaign_id": CAMPAIGN, "since": TWO_HOURS_AGO, "rules": CUT, **arguments}
    return lambda dag: CampaignCallbacksOperator(task_id="callbacks", **given)


def chosen(run) -> list[dict[str, str]]:
    assert run.state == "success", run.error
    return run.xcoms["return_value"]


def failed(run) -> str:
    """The words of a task that failed for good."""
    assert run.state == "failed", run
    assert run.xcoms == {}
    return str(run.error)


def truth(sim: Simulator, *, shorter_than: int = 20, hung_up_by: str | None = "customer", most: int = 2):
    """Whom to call back and how many not, worked out from what was really dialled and from nothing else.

    Of each customer the last call that a person answered and cut off; nobody whom a later call of any kind has
    reached, and nobody who was dialled `most` times already.
    """
    dials = defaultdict(list)
    for dial in sim.campaign(CAMPAIGN).dials:
        dials[dial.phone].append(dial)
    found, skipped = [], Counter()
    for of_customer in dials.values():
        fit = []
        for dial in of_customer:
            what = dial.what
            if what.result != "ANSWER":
                skipped["result"] += 1
            elif what.talk_seconds >= shorter_than:
                skipped["length"] += 1
            elif hung_up_by and what.hang_up != hung_up_by:
                skipped["hung-up-by"] += 1
            else:
                fit.append(dial)
        if not fit:
            continue
        skipped["other-attempt"] += len(fit) - 1
        if any(dial.begun > fit[-1].begun and dial.what.result == "ANSWER" for dial in of_customer):
            skipped["called-back"] += 1
        elif len(of_customer) >= most:
            skipped["max-attempts"] += 1
        else:
            found.append(fit[-1])
    found.sort(key=lambda dial: (dial.begun, dial.phone))
    callbacks = [{"agent_id": dial.agent_id, "customer_phone": dial.phone} for dial in found]
    return callbacks, {reason: count for reason, count in skipped.items() if count}


# The whole day


def test_exactly_those_whom_the_campaign_lost_are_returned_and_nobody_is_rung(day, server):
    expected, skipped = truth(day)
    assert len(expected) > 5
    before = day.stats().requests

    run = run_try(choosing(), server)

    assert chosen(run) == expected
    assert run.xcoms["skips"] == skipped
    assert sum(skipped.values()) + len(expected) == len(day.campaign(CAMPAIGN).dials)
    assert day.rings == {}
    assert day.stats().requests == before + 5
    assert day.stats().greatest_simultaneous == 1


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize(("shorter_than", "hung_up_by"), [(6, None), (13, "agent"), (200, "customer")])
def test_other_rules_choose_others(past, server, seed, shorter_than, hung_up_by):
    a_day(past, seed=seed, size=60)
    expected, skipped = truth(past, shorter_than=shorter_than, hung_up_by=hung_up_by)

    run = run_try(choosing(rules=Rules(shorter_than=shorter_than, hung_up_by=hung_up_by)), server)

    assert chosen(run) == expected
    assert run.xcoms["skips"] == skipped
    assert expected


def test_customers_who_were_dialled_again_are_called_back_for_their_last_call_only(monkeypatch, set_connection, server):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    # Well within the two hours that the task looks back, however long the test takes.
    behind = [7000]
    with Simulator(tokens=[TOKEN], clock=lambda: time.time() - behind[0]) as sim:
        set_connection(extra={"base_url": sim.base_url})
        sim.add_campaign(CAMPAIGN, records=records_of(120), seed=11, started=True)
        # An hour is enough for a round.
        behind[0] = 3600
        with WolkvoxClient("0042", TOKEN, base_url=sim.base_url) as wolkvox:
            assert wolkvox.recall_records(CAMPAIGN, "Cod_Machine", "ANSWER")
            assert wolkvox.recall_records(CAMPAIGN, "Cod_Machine", "BUSY")
        behind[0] = 0
        assert sim.campaign(CAMPAIGN).finished
        assert Counter(dial.round for dial in sim.campaign(CAMPAIGN).dials)[2] > 50
        rules = Rules(shorter_than=20, hung_up_by="customer", max_attempts=3)
        expected, skipped = truth(sim, most=3)

        run = run_try(choosing(rules=rules), server)

        assert chosen(run) == expected
        assert run.xcoms["skips"] == skipped


def test_without_rules_every_answered_call_is_called_back(day, server):
    expected, skipped = truth(day, shorter_than=10**6, hung_up_by=None)
    run = run_try(choosing(rules=None), server)
    assert chosen(run) == expected
    assert run.xcoms["skips"] == skipped


def test_the_log_holds_the_head_of_the_plan_with_masked_numbers(day, server, everything_said):
    everything = choosing(rules=None)
    expected, _ = truth(day, shorter_than=10**6, hung_up_by=None)
    run_try(everything, server)
    table = everything_said().partition("The first of them:")[2].partition(" more")[0]
    assert all(f"***{each['customer_phone'][-4:]}" in table for each in expected[:10])
    assert table.endswith(f"and {len(expected) - 10}")
    assert not [each for each in expected if each["customer_phone"] in table]


def test_nothing_lost_is_an_empty_list(past, server):
    a_day(past, call_results="NO-ANSWER", size=10)
    run = run_try(choosing(), server)
    assert chosen(run) == []
    assert run.xcoms["skips"] == {"result": 10}


def test_a_mapped_call_takes_the_list_as_it_is(day, server):
    callbacks = chosen(run_try(choosing(), server))
    for index in (0, len(callbacks) - 1):

        def mapped(ti, index=index):
            ti.map_index = index

        made = lambda dag: AuxCallOperator.partial(task_id="call").expand_kwargs(callbacks)  # noqa: E731
        call = run_try(made, Server(), around=mapped)
        assert call.state == "success", call.error
    assert [(call.agent_id, call.phone) for call in day.calls] == [
        (callbacks[index]["agent_id"], callbacks[index]["customer_phone"]) for index in (0, -1)
    ]


def test_a_dag_of_both_parses_and_survives_a_round_trip():
    with DAG("callbacks", schedule=None) as dag:
        callbacks = choosing()(dag)
        AuxCallOperator.partial(task_id="call").expand_kwargs(callbacks.output)
    data = DagSerialization.to_dict(dag)
    DagSerialization.validate_schema(data)
    read = DagSerialization.from_dict(json.loads(json.dumps(data)))
    assert {read.get_task(task).pool for task in ("callbacks", "call")} == {"wolkvox_default"}


def test_a_mapped_choice_for_several_campaigns_is_in_its_lane_and_keeps_its_rules(day, server):
    def mapped(dag):
        return CampaignCallbacksOperator.partial(task_id="callbacks", since=TWO_HOURS_AGO, rules=CUT).expand(
            campaign_id=[OTHER, CAMPAIGN]
        )

    with DAG("callbacks", schedule=None) as dag:
        mapped(dag)
    data = DagSerialization.to_dict(dag)
    DagSerialization.validate_schema(data)
    assert DagSerialization.from_dict(json.loads(json.dumps(data))).get_task("callbacks").pool == "wolkvox_default"
    run = run_try(mapped, server, around=lambda ti: setattr(ti, "map_index", 1))
    assert chosen(run) == truth(day)[0]


# What was done since


def test_who_was_called_back_already_is_not_returned_again(day, server):
    first = chosen(run_try(choosing(), server))
    with WolkvoxClient("0042", TOKEN, base_url=day.base_url) as wolkvox:
        for callback in first[:3]:
            wolkvox.aux_call(callback["agent_id"], callback["customer_phone"])
    lifted = Rules(shorter_than=20, hung_up_by="customer", max_attempts=None, within=None)
    for rules, reason in ((lifted, "called-back"), (CUT, "called-back")):
        run = run_try(choosing(rules=rules), server)
        assert chosen(run) == first[3:]
        assert run.xcoms["skips"][reason] == 3
    assert set(day.rings.values()) == {1}


@pytest.mark.parametrize("result", ["NO-ANSWER", "BUSY"])
def test_who_was_called_back_in_vain_is_not_returned_again(day, server, result):
    day.call_results = result
    first = chosen(run_try(choosing(), server))
    with WolkvoxClient("0042", TOKEN, base_url=day.base_url) as wolkvox:
        wolkvox.aux_call(first[0]["agent_id"], first[0]["customer_phone"])
    assert chosen(run_try(choosing(), server)) == first[1:]


def test_a_callback_that_the_reports_hold_back_is_seen_once_they_are_released(day, server):
    first = chosen(run_try(choosing(), server))
    day.hold_reports()
    with WolkvoxClient("0042", TOKEN, base_url=day.base_url) as wolkvox:
        wolkvox.aux_call(first[0]["agent_id"], first[0]["customer_phone"])
    # Nothing that wolkvox says tells of that call yet.
    assert chosen(run_try(choosing(), server)) == first
    day.release_reports()
    assert chosen(run_try(choosing(), server)) == first[1:]


def test_attempts_in_another_campaign_count(day, server):
    first = chosen(run_try(choosing(), server))
    for callback in first[:2]:
        day.add_past_call(callback["customer_phone"], "", campaign_id=OTHER, result="NO-ANSWER", seconds_ago=10_000)
    run = run_try(choosing(), server)
    assert chosen(run) == first[2:]
    assert run.xcoms["skips"]["max-attempts"] == 2
    assert (
        chosen(run_try(choosing(rules=Rules(shorter_than=20, hung_up_by="customer", max_attempts=3)), server)) == first
    )


def test_who_is_on_the_do_not_call_list_is_left_out_unless_its_author_says_otherwise(day, server):
    first = chosen(run_try(choosing(), server))
    day.directory = Directory(do_not_call=(DoNotCall(f"57{first[0]['customer_phone']}"),))
    run = run_try(choosing(), server)
    assert chosen(run) == first[1:]
    assert run.xcoms["skips"]["do-not-call"] == 1
    assert chosen(run_try(choosing(do_not_call=False), server)) == first


def test_the_dial_prefix_is_removed_and_put_back_once_by_the_call(past, set_connection, server):
    set_connection(extra={"base_url": past.base_url, "dial_prefix": "9"})
    past.add_campaign(CAMPAIGN)
    past.catch_up()
    past.add_past_call(f"9{PHONE}", AGENT, seconds_ago=60, campaign_id=CAMPAIGN, talk_seconds=5)
    [callback] = chosen(run_try(choosing(), server))
    assert callback == {"agent_id": AGENT, "customer_phone": PHONE}
    run_try(lambda dag: AuxCallOperator(task_id="call", **callback), Server())
    assert past.rings == {f"9{PHONE}": 1}
    assert chosen(run_try(choosing(), server)) == []


def test_reports_without_the_prefix_leave_a_number_whole(past, set_connection, server):
    set_connection(extra={"base_url": past.base_url, "dial_prefix": "9"})
    past.add_campaign(CAMPAIGN)
    past.catch_up()
    past.add_past_call("987654321", AGENT, seconds_ago=60, campaign_id=CAMPAIGN, talk_seconds=5)
    [callback] = chosen(run_try(choosing(prefix_in_reports=False), server))
    assert callback == {"agent_id": AGENT, "customer_phone": "987654321"}


def test_a_limit_keeps_to_what_airflow_can_map(day, server):
    expected, _ = truth(day)
    run = run_try(choosing(rules=Rules(shorter_than=20, hung_up_by="customer", limit=3)), server)
    assert chosen(run) == expected[:3]
    assert run.xcoms["skips"]["limit"] == len(expected) - 3


def test_hours_that_are_closed_leave_everybody_out(day, server):
    in_three_days = (datetime.now(UTC) + timedelta(days=3)).strftime("%a").lower()
    hours = CallingHours.weekly({in_three_days: "08:00-18:00"}, timezone="UTC")
    expected, _ = truth(day)
    run = run_try(choosing(rules=Rules(shorter_than=20, hung_up_by="customer", hours=hours)), server)
    assert chosen(run) == []
    assert run.xcoms["skips"]["hours"] == len(expected)


# The range


@pytest.mark.parametrize(
    "since", [datetime.now(UTC) - timedelta(hours=3), "{{ data_interval_end - macros.timedelta(hours=3) }}"]
)
def test_the_range_may_be_instants_and_templates(day, server, since):
    make = choosing(since=since, until="{{ data_interval_end }}")
    assert chosen(run_try(make, server)) == truth(day)[0]


def test_native_rendering_may_make_instants_of_them(day, server):
    def native(dag):
        dag.render_template_as_native_obj = True
        return choosing(campaign_id="{{ 32841 }}", since="{{ data_interval_end - macros.timedelta(hours=3) }}")(dag)

    assert chosen(run_try(native, server)) == truth(day)[0]


def test_calls_before_the_range_are_not_called_back(day, server):
    dials = day.campaign(CAMPAIGN).dials
    middle = dials[len(dials) // 2].begun
    expected = {dial.phone for dial in dials if dial.begun.replace(microsecond=0) >= middle}
    found = chosen(run_try(choosing(since=middle), server))
    assert {callback["customer_phone"] for callback in found} == expected & {
        callback["customer_phone"] for callback in truth(day)[0]
    }


def test_a_range_of_more_than_31_days_is_read_whole(day, server):
    expected, _ = truth(day)
    for days in (20, 40, 60):
        day.add_past_call(phone_of(900 + days), AGENT, seconds_ago=days * 86_400, campaign_id=CAMPAIGN, talk_seconds=3)
    since = datetime.now(UTC) - timedelta(days=65)
    found = chosen(run_try(choosing(since=since), server))
    old = [{"agent_id": AGENT, "customer_phone": phone_of(900 + days)} for days in (60, 40, 20)]
    assert found == old + expected


@pytest.mark.parametrize("argument", ["since", "until"])
@pytest.mark.parametrize("value", ["yesterday", "2026-11-22 08:00:00", datetime(2026, 11, 22, 8)])
def test_what_is_no_instant_is_refused_while_the_dag_is_parsed(argument, value):
    with pytest.raises(ValueError, match=argument):
        choosing(**{argument: value})(None)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"campaign_id": "99999"}, "no campaign 99999"),
        ({"campaign_id": "{{ none }}"}, "campaign_id is not digits"),
        ({"since": "{{ 'yesterday' }}"}, "is no instant"),
        ({"since": "{{ none }}"}, "is no instant"),
        ({"since": "{{ '2026-11-22 08:00:00' }}"}, "has no time zone"),
        ({"until": "{{ data_interval_end - macros.timedelta(hours=5) }}"}, "is before since"),
        ({"since": IN_FIVE_HOURS, "until": "{{ data_interval_end + macros.timedelta(hours=9) }}"}, "future"),
    ],
)
def test_what_cannot_be_planned_fails_clearly_and_without_a_retry(past, server, arguments, words):
    past.add_campaign(CAMPAIGN)
    assert words in failed(run_try(choosing(**arguments), server, retries=3, quiet=True))


def test_a_beginning_in_the_future_is_said_to_be_one(past, server):
    past.add_campaign(CAMPAIGN)
    assert "future" in failed(run_try(choosing(since=IN_FIVE_HOURS), server, quiet=True))


# Failures


@pytest.mark.parametrize("fault", ["busy", "api_off", "drop_after_reading", "server_error", "garbage_body", "cut_body"])
@pytest.mark.parametrize("api", ["calls_last_10", "campaign_3", "cdr_1", "cdr_5", "get_dnc"])
def test_a_report_that_did_not_come_is_left_to_a_retry(day, server, quick_resends, tmp_path, fault, api):
    path = tmp_path / "plan.jsonl"
    day.fault(fault, api=api, times=None)
    first = run_try(choosing(plan_path=str(path)), server, retries=1, quiet=True)
    assert (first.state, first.xcoms) == ("up_for_retry", {})
    assert not path.exists()

    day.clear_faults()
    assert chosen(run_try(choosing(), server, try_number=2, retries=1)) == truth(day)[0]


@pytest.mark.parametrize(("fault", "words"), [("bad_token", "VALIDATE TOKEN"), ("quota", "TOKEN LIMIT EXCEEDED")])
def test_a_refusal_fails_at_once_and_without_a_retry(past, server, fault, words):
    past.fault(fault, times=None)
    assert words in failed(run_try(choosing(), server, retries=3, quiet=True))
    assert past.stats().requests == 1


def test_rules_that_need_a_library_which_is_not_there_fail_without_a_retry(day, server, monkeypatch):
    monkeypatch.setitem(sys.modules, "phonenumbers", None)
    hours = CallingHours.weekly({"mon-sun": "00:00-24:00"}, timezone="UTC")
    rules = Rules(hours=hours, phone_country="CO")
    assert "phones" in failed(run_try(choosing(rules=rules), server, retries=3, quiet=True))


def test_a_task_outside_its_lane_asks_nothing(past, server):
    def moved(dag):
        task = choosing()(dag)
        task.pool = "elsewhere"
        return task

    assert "outside its lane" in failed(run_try(moved, server, retries=3, quiet=True))
    assert past.stats().requests == 0


# The plan as a file


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_the_plan_has_a_line_for_each_attempt(day, server, tmp_path, scheme):
    path = tmp_path / "plans" / "manual__1.jsonl"
    expected, skipped = truth(day)

    run = run_try(choosing(plan_path=f"{scheme}{tmp_path}/plans/{{{{ run_id }}}}.jsonl"), server)

    assert chosen(run) == expected
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    dials = {dial.conn_id: dial for dial in day.campaign(CAMPAIGN).dials}
    assert sorted(line["conn_id"] for line in lines) == sorted(dials)
    assert [line["callback"] for line in lines if "callback" in line] == expected
    assert Counter(line["skip"] for line in lines if "skip" in line) == skipped
    for line in lines:
        dial = dials[line["conn_id"]]
        assert (line["phone"], line["result"], line["agent_id"]) == (dial.phone, dial.what.result, dial.agent_id)
        assert datetime.fromisoformat(line["at"]) == dial.begun.replace(microsecond=0)
        assert dial.phone not in line.get("why", "")


def test_a_plan_that_was_written_before_is_written_anew(day, server, tmp_path):
    path = tmp_path / "plan.jsonl"
    for _ in range(2):
        run_try(choosing(plan_path=str(path)), server)
    assert len(path.read_text().splitlines()) == len(day.campaign(CAMPAIGN).dials)


def test_without_a_path_no_plan_is_written(day, server, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_try(choosing(), server)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_pushed_without_xcom_push(day, server):
    assert run_try(choosing(do_xcom_push=False), server).xcoms == {}


# What is said


def test_no_whole_number_is_logged_or_a_key(day, server, everything_said, tmp_path):
    run = run_try(choosing(plan_path=str(tmp_path / "plan.jsonl")), server)
    other = run_try(choosing(campaign_id="99999"), Server())
    said = everything_said() + str(other.error)
    assert f"{len(chosen(run))} callbacks. Not called back:" in said
    assert TOKEN not in said
    # The numbers are the list itself, and nothing but the list is pushed with them.
    rest = said.replace(repr(run.xcoms["return_value"]), "")
    for callback in run.xcoms["return_value"]:
        assert callback["customer_phone"] not in rest
    assert not re.search(r"\b31\d{8}\b", rest)
    assert sorted(run.xcoms) == ["chosen", "return_value", "skips"]
    assert all(re.fullmatch("[a-z-]+", reason) for reason in run.xcoms["skips"])
    assert server.store == {}
