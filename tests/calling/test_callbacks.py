"""Each attempt is called back, or is not for a reason; nobody is called against a rule, whatever came before."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import FrozenInstanceError, replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pendulum
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_wolkvox.calling import Attempt, Callback, CallingHours, Reason, Rules, choose
from airflow_provider_wolkvox.calling.callbacks import RESULTS

TICK = timedelta(microseconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

BOGOTA = "America/Bogota"
NOW = datetime(2026, 11, 24, 15, tzinfo=UTC)  # Tuesday, 10:00 in Bogota
LAW = CallingHours.for_country("CO", purpose="collection", timezone=BOGOTA)
PHONE = "3001234567"


def cut(ago=HOUR, **fields):
    """Return a call of a predictive campaign that was cut some time ago."""
    known = {
        "phone": PHONE,
        "at": NOW - ago,
        "result": "ANSWER",
        "agent_id": "10001",
        "campaign_id": "32841",
        "seconds": 12,
        "cod_act": "CUT",
        "hang_up": "customer",
        "type_interaction": "out_pre",
    }
    return Attempt(**{**known, **fields})


def dial(ago, **fields):
    """Return a dial that reached nobody."""
    return cut(ago, **{"result": "NO-ANSWER", "agent_id": "", "seconds": None, "cod_act": "", "hang_up": "", **fields})


def reasons(attempts, rules=None, now=NOW, **known):
    """Return the reason of each attempt, None for those that are called back; in their order."""
    plan = choose(attempts, rules or Rules(), now, **known)
    found = {id(skip.attempt): skip.reason for skip in plan.skips}
    assert len(found) + len(plan.callbacks) == len(attempts)
    return [found.get(id(attempt)) for attempt in attempts]


def only_skip(attempts, rules=None, now=NOW, **known):
    (skip,) = choose(attempts, rules or Rules(), now, **known).skips
    return skip


# What is called back


def test_a_call_that_was_cut_is_called_back_by_the_agent_who_had_it():
    attempt = cut(phone="+57 300 123-4567")
    plan = choose([attempt], Rules(shorter_than=30, hours=LAW), NOW)
    assert plan.callbacks == (Callback("10001", "+573001234567", attempt),)
    assert plan.skips == ()
    assert plan.counts == {}


def test_by_default_only_connected_calls_are_called_back():
    attempts = [cut(phone=f"30012345{n:02d}", result=result) for n, result in enumerate(RESULTS)]
    assert reasons(attempts) == [None if result == "ANSWER" else Reason.RESULT for result in RESULTS]


def test_a_result_is_known_in_each_of_wolkvox_s_spellings():
    rules = Rules(results=["no answer", "Busy"])
    attempts = [
        cut(phone=f"300123456{n}", result=word) for n, word in enumerate(["No answer", "no-answer", "BUSY", "x"])
    ]
    assert reasons(attempts, rules) == [None, None, None, Reason.RESULT]


def test_a_disposition_is_wanted_or_unwanted_by_either_of_the_two():
    attempts = [
        cut(phone="3000000001", cod_act="CUT", cod_act_2=""),
        cut(phone="3000000002", cod_act="", cod_act_2="Cut"),
        cut(phone="3000000003", cod_act="SOLD", cod_act_2="CUT"),
        cut(phone="3000000004", cod_act="TIMEOUTACW", cod_act_2=""),
        cut(phone="3000000005", cod_act="", cod_act_2=""),
    ]
    unwanted = Reason.DISPOSITION
    assert reasons(attempts, Rules(dispositions=["cut"])) == [None, None, None, unwanted, unwanted]
    assert reasons(attempts, Rules(dispositions="CUT", not_dispositions=["SOLD"])) == [None, None, *[unwanted] * 3]
    assert reasons(attempts, Rules(not_dispositions="SOLD")) == [None, None, unwanted, None, None]


@pytest.mark.parametrize("length", [30, 30.0, timedelta(seconds=30)])
def test_only_a_call_that_is_known_to_be_shorter_is_called_back(length):
    attempts = [cut(phone=f"300123456{n}", seconds=seconds) for n, seconds in enumerate([0, 29, 30, 31, None])]
    assert reasons(attempts, Rules(shorter_than=length)) == [None, None, *[Reason.LENGTH] * 3]


def test_only_a_call_that_the_wanted_one_hung_up_is_called_back():
    attempts = [cut(phone=f"300123456{n}", hang_up=who) for n, who in enumerate(["customer", "Agent", ""])]
    assert reasons(attempts, Rules(hung_up_by="customer")) == [None, Reason.HUNG_UP_BY, Reason.HUNG_UP_BY]
    assert reasons(attempts, Rules(hung_up_by="Agent")) == [Reason.HUNG_UP_BY, None, Reason.HUNG_UP_BY]


def test_a_call_of_no_agent_is_not_called_back():
    assert reasons([cut(agent_id="")]) == reasons([cut(agent_id=" ")]) == [Reason.NO_AGENT]


@pytest.mark.parametrize("phone", ["", "anonymous", "123", "3" * 21, "00000000"])
def test_what_cannot_be_dialled_is_not_called_back(phone):
    assert reasons([cut(phone=phone)]) == [Reason.BAD_PHONE]


# One call for a number


def test_of_several_attempts_on_a_number_the_latest_that_fits_stands():
    attempts = [cut(3 * HOUR), cut(2 * HOUR, phone="57" + PHONE), dial(HOUR)]
    plan = choose(attempts, Rules(shorter_than=30, max_attempts=9), NOW)
    assert [callback.attempt for callback in plan.callbacks] == [attempts[1]]
    assert [(skip.attempt, skip.reason) for skip in plan.skips] == [
        (attempts[0], Reason.OTHER_ATTEMPT),
        (attempts[2], Reason.RESULT),
    ]


def test_a_number_that_was_talked_to_since_is_called_back_already():
    talked = cut(10 * MINUTE, seconds=500, cod_act="SOLD")
    assert reasons([cut(), talked], Rules(shorter_than=30, max_attempts=9)) == [Reason.CALLED_BACK, Reason.LENGTH]


@pytest.mark.parametrize(
    "later",
    [
        {"result": "ANSWER", "type_interaction": "outbound_ma", "agent_id": "10002"},
        {"result": "ANSWER", "type_interaction": "inbound", "agent_id": "10002"},
        {"result": "ANSWER", "type_interaction": "out_pre", "agent_id": ""},
        {"result": "ANSWER", "type_interaction": "transfer", "agent_id": "10002"},
        {"result": "NO-ANSWER", "type_interaction": "outbound_ma", "agent_id": "10002"},
        {"result": "BUSY", "type_interaction": "Outbound_MA", "agent_id": ""},
        {"result": "NO-ANSWER", "type_interaction": "", "agent_id": "10002"},
    ],
)
def test_a_number_that_an_agent_called_or_talked_to_since_is_called_back_already(later):
    rules = Rules(max_attempts=9)
    since = dial(10 * MINUTE, **{"phone": "57" + PHONE, "campaign_id": "", **later})
    assert reasons([cut()], rules, history=[since]) == [Reason.CALLED_BACK]
    assert reasons([cut()], rules, history=[replace(since, at=NOW - 2 * HOUR)]) == [None]
    assert reasons([cut()], rules, history=[replace(since, phone="3007654321")]) == [None]


@pytest.mark.parametrize(
    "later",
    [
        {"result": "NO-ANSWER", "type_interaction": "out_pre"},
        {"result": "ABANDON", "type_interaction": "inbound", "agent_id": "10002"},
        {"result": "BUSY", "type_interaction": "out_pre", "agent_id": "10002"},
        {"result": "CLEAN", "type_interaction": "", "agent_id": "10002"},
    ],
)
def test_a_later_attempt_that_reached_nobody_and_was_no_agent_s_does_not_call_back(later):
    assert reasons([cut()], Rules(max_attempts=9), history=[dial(10 * MINUTE, **later)]) == [None]


def test_the_same_call_in_another_report_does_not_call_itself_back():
    conn_id = "10001.4567.1760000000.10001"
    attempt = cut(conn_id=conn_id)
    again = replace(attempt, at=attempt.at + 5 * MINUTE, type_interaction="outbound_ma", campaign_id="")
    assert reasons([attempt], history=[again, again]) == [None]
    assert reasons([attempt], history=[replace(again, conn_id="")]) == [Reason.CALLED_BACK]


def test_a_call_that_is_in_the_campaign_twice_is_called_back_once():
    attempt = cut(conn_id="10001.4567.1760000000.10001")
    assert Counter(reasons([attempt, replace(attempt, agent_id="")])) == {None: 1, Reason.NO_AGENT: 1}
    plan = choose([attempt, attempt, replace(attempt)], Rules(), NOW)
    assert len(plan.callbacks) == 1
    assert plan.counts == {Reason.OTHER_ATTEMPT: 2}


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ("999123456", "51999123456"),
        ("999123456", "9999123456"),
        ("0991234567", "593991234567"),
        ("22345678", "5622345678"),
    ],
)
def test_a_number_of_fewer_than_ten_digits_is_the_same_with_its_country_s_code_or_a_prefix(short, long):
    rules = Rules(max_attempts=9)
    for one, other in ((short, long), (long, short)):
        assert reasons([cut(phone=one)], do_not_call=[other]) == [Reason.DO_NOT_CALL]
        assert reasons([cut(phone=one), cut(2 * HOUR, phone=other)], rules) == [None, Reason.OTHER_ATTEMPT]
    assert reasons([cut(phone="51999123456"), cut(phone="51999123457")], rules) == [None, None]


# Numbers that may not be called


@pytest.mark.parametrize("listed", [PHONE, "57" + PHONE, "+57 300 123-4567", "tel:9" + PHONE, int(PHONE)])
def test_a_number_on_the_list_is_not_called_in_whatever_spelling(listed):
    assert reasons([cut(), cut(phone="3007654321")], do_not_call=["", "x", listed]) == [Reason.DO_NOT_CALL, None]


def test_a_number_that_the_dialler_refused_as_not_to_be_called_is_not_called():
    refused = dial(5 * DAY, result="do not call", campaign_id="7")
    assert reasons([cut()], history=[refused]) == [Reason.DO_NOT_CALL]
    assert reasons([cut(), refused]) == [Reason.DO_NOT_CALL, Reason.RESULT]


# How often


def test_by_default_a_number_has_two_attempts_in_a_day_the_cut_call_and_its_callback():
    assert reasons([cut()]) == [None]
    earlier = dial(5 * HOUR, campaign_id="7")
    assert reasons([cut()], history=[earlier]) == [Reason.MAX_ATTEMPTS]


def test_the_cap_is_one_attempt_a_day_where_the_law_says_so():
    rules = Rules(max_attempts=1)
    assert reasons([cut()], rules) == [Reason.MAX_ATTEMPTS]
    assert only_skip([cut()], rules).next_allowed == cut().at + DAY
    assert reasons([cut()], rules, cut().at + DAY) == [None]


def test_the_window_rolls_across_campaigns_and_an_attempt_leaves_it_at_its_very_end():
    rules = Rules(max_attempts=3, within=7 * DAY)
    first = dial(7 * DAY, campaign_id="other")
    history = [first, dial(3 * DAY, type_interaction="outbound_ma", campaign_id="")]
    assert reasons([cut()], rules, history=history) == [None]
    assert reasons([cut()], rules, NOW - TICK, history=history) == [Reason.MAX_ATTEMPTS]
    skip = only_skip([cut()], rules, NOW - TICK, history=history)
    assert skip.next_allowed == NOW
    assert skip.why == "***4567 is not called back: its number may have 3 attempts within 7 d, and has had them"


@pytest.mark.parametrize(
    "other",
    [
        dial(2 * HOUR, type_interaction="inbound"),
        dial(2 * HOUR, type_interaction="internal call_inb"),
        dial(2 * HOUR, result="CLEAN"),
        dial(2 * HOUR, phone="3007654321"),
    ],
    ids=["inbound", "internal", "not dialled", "another number"],
)
def test_what_was_not_dialled_out_to_the_number_does_not_count(other):
    assert reasons([cut()], history=[other]) == [None]


@pytest.mark.parametrize("result", [word for word in RESULTS if word not in ("CLEAN", "DO-NOT-CALL")])
def test_every_attempt_counts_whatever_came_of_it(result):
    assert reasons([cut()], history=[dial(2 * HOUR, result=result)]) == [Reason.MAX_ATTEMPTS]


def test_a_call_in_two_reports_counts_once():
    attempt = cut(conn_id="10001.4567.1760000000.10001")
    history = [attempt, replace(attempt, campaign_id="", at=attempt.at + MINUTE, cod_act="")]
    assert reasons([attempt], history=history) == [None]
    without_id = cut()
    assert reasons([without_id], history=[without_id, replace(without_id)]) == [None]
    assert reasons([attempt], history=[replace(attempt, conn_id="other", at=attempt.at - MINUTE)]) == [
        Reason.MAX_ATTEMPTS
    ]


def test_no_cap_is_only_by_saying_so():
    busy = [dial(n * MINUTE) for n in range(1, 50)]
    assert reasons([cut()], Rules(max_attempts=None, within=None), history=busy) == [None]


def test_the_interval_runs_from_the_latest_attempt_of_any_campaign():
    rules = Rules(least_interval=30 * MINUTE, max_attempts=9)
    assert reasons([cut(30 * MINUTE)], rules) == [None]
    assert reasons([cut(30 * MINUTE)], rules, NOW - TICK) == [Reason.LEAST_INTERVAL]
    skip = only_skip([cut(2 * HOUR)], rules, history=[dial(10 * MINUTE, campaign_id="other")])
    assert (skip.reason, skip.next_allowed) == (Reason.LEAST_INTERVAL, NOW + 20 * MINUTE)
    assert skip.why == "***4567 is not called back: its number was last dialled less than 30 min ago"
    assert reasons([cut(2 * HOUR)], rules, history=[dial(MINUTE, type_interaction="inbound")]) == [None]


def test_of_two_waits_the_longer_is_the_reason():
    rules = Rules(least_interval=30 * MINUTE, max_attempts=1)
    assert only_skip([cut(10 * MINUTE)], rules).reason is Reason.MAX_ATTEMPTS
    rules = Rules(least_interval=2 * DAY, max_attempts=1)
    assert only_skip([cut(10 * MINUTE)], rules).reason is Reason.LEAST_INTERVAL


# When


def test_outside_the_hours_nobody_is_called_and_the_next_opening_is_told():
    evening = datetime(2026, 11, 28, 15, tzinfo=ZoneInfo(BOGOTA))  # a Saturday
    skip = only_skip([cut()], Rules(hours=LAW), evening)
    assert (skip.reason, skip.next_allowed) == (Reason.HOURS, datetime(2026, 11, 30, 12, tzinfo=UTC))
    assert skip.why == "***4567 is not called back: it is closed: after 15:00 in America/Bogota"


def test_joint_hours_serve_as_well():
    team = CallingHours.weekly({"mon-fri": "11:00-17:00"}, timezone=BOGOTA)
    skip = only_skip([cut()], Rules(hours=LAW & team))
    assert (skip.reason, skip.next_allowed) == (Reason.HOURS, NOW + HOUR)


def test_what_the_cap_lets_at_night_waits_for_the_hours():
    late = cut(at=datetime(2026, 11, 23, 23, 30, tzinfo=UTC))  # 18:30 in Bogota
    skip = only_skip([late], Rules(hours=LAW, max_attempts=1, within=2 * HOUR), datetime(2026, 11, 24, 0, tzinfo=UTC))
    assert skip.reason is Reason.MAX_ATTEMPTS
    assert skip.next_allowed == datetime(2026, 11, 24, 12, tzinfo=UTC)


def test_where_the_hours_never_open_there_is_no_next_time():
    closed = CallingHours.weekly(
        {"mon": "06:00-07:00"}, timezone=BOGOTA, holidays=[date(2026, 11, 1) + n * DAY for n in range(200)]
    )
    for rules in (Rules(hours=closed), Rules(hours=closed, max_attempts=1)):
        assert only_skip([cut()], rules).next_allowed is None


def test_a_number_is_called_only_where_all_its_zones_are_open():
    law = CallingHours.for_country("EC", purpose="collection", timezone="America/Guayaquil")
    now = datetime(2026, 11, 24, 12, 30, tzinfo=UTC)  # 07:30 in Guayaquil, 06:30 in Galapagos
    attempts = [cut(DAY, phone="0991234567"), cut(DAY, phone="022345678")]
    assert reasons(attempts, Rules(hours=law), now) == [None, None]
    plan = choose(attempts, Rules(hours=law, phone_country="EC"), now)
    assert [callback.phone for callback in plan.callbacks] == ["022345678"]
    (skip,) = plan.skips
    assert (skip.reason, skip.next_allowed) == (Reason.HOURS, now + HOUR / 2)
    assert skip.why.endswith("it is closed: before 07:00 in Pacific/Galapagos")


def test_a_number_of_no_known_zone_is_called_only_by_a_default_zone():
    attempts = [cut(phone="+883510000000"), cut()]
    assert reasons(attempts, Rules(hours=LAW, phone_country="co")) == [Reason.ZONE_UNKNOWN, None]
    assert reasons(attempts, Rules(hours=LAW, phone_country="CO", default_zone="America/Lima")) == [None, None]
    tokyo = Rules(hours=LAW, phone_country="CO", default_zone="Asia/Tokyo")
    assert reasons(attempts, tokyo) == [Reason.HOURS, None]


# In which order, and how many


def test_the_earliest_comes_first_unless_the_newest_is_to():
    attempts = [cut(n * HOUR, phone=f"300123456{n}") for n in (2, 3, 1)]
    order = [callback.attempt for callback in choose(attempts, Rules(), NOW).callbacks]
    assert order == [attempts[1], attempts[0], attempts[2]]
    newest = choose(attempts, Rules(newest_first=True), NOW).callbacks
    assert [callback.attempt for callback in newest] == order[::-1]


def test_what_the_priority_names_comes_first_in_its_order():
    attempts = [
        cut(4 * HOUR, phone="3000000001", cod_act="OTHER"),
        cut(3 * HOUR, phone="3000000002", cod_act="", cod_act_2="cut"),
        cut(2 * HOUR, phone="3000000003", result="ABANDON", cod_act=""),
        cut(1 * HOUR, phone="3000000004", cod_act="VIP"),
        cut(HOUR / 2, phone="3000000005", cod_act="CUT"),
    ]
    rules = Rules(results=["ANSWER", "ABANDON"], priority=["VIP", "abandon", "CUT"])
    order = [attempts.index(callback.attempt) for callback in choose(attempts, rules, NOW).callbacks]
    assert order == [3, 2, 1, 4, 0]
    newest = choose(attempts, replace(rules, newest_first=True), NOW).callbacks
    assert [attempts.index(callback.attempt) for callback in newest] == [3, 2, 4, 1, 0]


def test_the_limit_keeps_the_first_and_names_the_rest():
    attempts = [cut(n * HOUR, phone=f"300123456{n}") for n in (3, 2, 1)]
    plan = choose(attempts, Rules(limit=2, newest_first=True), NOW)
    assert [callback.attempt for callback in plan.callbacks] == [attempts[2], attempts[1]]
    assert plan.counts == {Reason.LIMIT: 1}
    assert plan.skips[0].why == "***4563 is not called back: 2 others come first (limit)"


def test_counts_come_in_the_order_of_the_reasons():
    attempts = [dial(HOUR, phone="3001110001"), cut(phone="3001110002", agent_id=""), dial(HOUR, phone="3001110003")]
    counts = choose(attempts, Rules(), NOW).counts
    assert list(counts.items()) == [(Reason.RESULT, 2), (Reason.NO_AGENT, 1)]


# Rules that are wrong or contradict each other


@pytest.mark.parametrize(
    ("rules", "says"),
    [
        ({"results": []}, "results is empty"),
        (
            {"results": ["ANSWERED"]},
            "'ANSWERED' in results is no result of wolkvox: the known ones are ANSWER, NO-ANSWER",
        ),
        ({"results": [""]}, "results holds something that is no word"),
        ({"results": [5]}, "results holds something that is no word"),
        ({"results": ["ANSWER", "do not call"]}, "results holds DO-NOT-CALL: such a number may not be called"),
        ({"results": ["TCPA"]}, "results holds TCPA: such a number may not be called"),
        ({"results": ["clean"]}, "results holds CLEAN, which means not dialled"),
        ({"results": ["BUSY"], "shorter_than": 30}, "results holds BUSY, and shorter_than is given"),
        (
            {"results": ["ANSWER", "NO ANSWER"], "hung_up_by": "agent"},
            "results holds NO-ANSWER, and hung_up_by is given",
        ),
        ({"dispositions": []}, "dispositions is empty"),
        ({"dispositions": ["CUT", "Sold"], "not_dispositions": ["SOLD"]}, "SOLD is both wanted"),
        ({"priority": ["sold"], "not_dispositions": ["SOLD"]}, "SOLD is to come first"),
        ({"priority": [None]}, "priority holds something that is no word"),
        ({"hung_up_by": "nobody"}, "hung_up_by='nobody' is neither 'agent' nor 'customer'"),
        ({"hung_up_by": ""}, "hung_up_by='' is neither"),
        ({"shorter_than": 0}, "shorter_than=0 is no talk time"),
        ({"shorter_than": -timedelta(seconds=1)}, "is no talk time"),
        ({"shorter_than": float("nan")}, "is no talk time"),
        ({"shorter_than": float("inf")}, "is no talk time"),
        ({"shorter_than": True}, "is no talk time"),
        ({"shorter_than": "30"}, "is no talk time"),
        ({"max_attempts": 0}, "max_attempts=0 is not a whole number of at least 1"),
        ({"max_attempts": 1.5}, "max_attempts=1.5 is not a whole number"),
        ({"max_attempts": True}, "max_attempts=True is not a whole number"),
        ({"max_attempts": 3, "within": None}, "max_attempts=3 and within=None: .* None for both to lift it"),
        ({"max_attempts": None}, "max_attempts=None and within=1 day"),
        ({"within": timedelta(0)}, "not above zero"),
        ({"within": -DAY}, "not above zero"),
        ({"within": 86400}, "within=86400 does not say which unit it is in: give a timedelta"),
        ({"within": timedelta.max}, "above ten years"),
        ({"least_interval": -MINUTE}, "is negative"),
        ({"least_interval": 1800}, "least_interval=1800 does not say which unit it is in"),
        ({"limit": 0}, "limit=0 is not a whole number of at least 1"),
        ({"limit": "5"}, "limit='5' is not a whole number"),
        ({"hours": "08:00-19:00"}, "hours='08:00-19:00' are no calling hours"),
        ({"phone_country": "CO"}, "phone_country is given without hours"),
        ({"phone_country": "Colombia", "hours": LAW}, "phone_country='COLOMBIA' is no ISO 3166 code"),
        ({"default_zone": BOGOTA}, "default_zone is given without phone_country"),
        ({"default_zone": BOGOTA, "hours": LAW}, "default_zone is given without phone_country"),
        ({"default_zone": "Bogota", "hours": LAW, "phone_country": "CO"}, "'Bogota' is no time zone"),
    ],
)
def test_rules_that_are_wrong_or_contradict_each_other_are_refused(rules, says):
    with pytest.raises(ValueError, match=says):
        Rules(**rules)


def test_rules_are_equal_by_value_and_cannot_be_changed():
    one, other = (
        Rules(results=["answer", "ABANDON"], shorter_than=30),
        Rules(results=("ABANDON", "ANSWER"), shorter_than=30.0),
    )
    assert one == other
    assert hash(one) == hash(other)
    with pytest.raises(FrozenInstanceError):
        one.limit = 3


def test_what_is_no_instant_is_refused():
    with pytest.raises(ValueError, match="has no time zone, so it is no instant"):
        cut(at=datetime(2026, 11, 24, 10))
    with pytest.raises(ValueError, match="has no time zone, so it is no instant"):
        choose([], Rules(), datetime(2026, 11, 24, 10))


def test_one_number_given_for_a_list_of_numbers_is_refused():
    with pytest.raises(ValueError, match="do_not_call is one text"):
        choose([cut()], Rules(), NOW, do_not_call=PHONE)


def test_an_unknown_country_of_numbers_is_refused():
    with pytest.raises(ValueError, match="'XX' is not a country whose numbers are known"):
        choose([cut()], Rules(hours=LAW, phone_country="XX"), NOW)


def test_nothing_makes_an_empty_plan():
    plan = choose(iter(()), Rules(), NOW, history=iter([cut()]))
    assert (plan.callbacks, plan.skips) == ((), ())


# Instants


def test_an_attempt_keeps_its_instant_whatever_zone_it_is_written_in():
    attempt = cut(at=datetime(2026, 11, 24, 9, tzinfo=ZoneInfo(BOGOTA)))
    assert attempt.at == datetime(2026, 11, 24, 14, tzinfo=UTC)
    assert attempt == cut(at=pendulum.datetime(2026, 11, 24, 9, tz=BOGOTA))
    assert reasons([attempt], now=pendulum.datetime(2026, 11, 24, 10, tz=BOGOTA)) == [None]


def test_an_hour_that_the_wall_shows_twice_is_told_apart():
    new_york = ZoneInfo("America/New_York")
    first = cut(at=datetime(2026, 11, 1, 1, 50, tzinfo=new_york))  # the clocks are put back at 02:00
    now = datetime(2026, 11, 1, 1, 10, tzinfo=new_york, fold=1)  # 20 minutes later
    rules = Rules(least_interval=30 * MINUTE)
    assert only_skip([first], rules, now).next_allowed == first.at + 30 * MINUTE


# No whole number in what may be logged


def test_a_plan_shows_no_whole_number():
    attempts = [cut(), dial(HOUR, phone="3007654321"), cut(phone="3009999999", agent_id="")]
    shown = repr(choose(attempts, Rules(), NOW))
    assert not any(attempt.phone in shown for attempt in attempts)


# For any attempts and any rules: judged by a second implementation, made to be plain


PHONES = [
    "3001234567",
    "573001234567",
    "+57 300 123 4567",
    "3007654321",
    "93007654321",
    "3110000001",
    "991234567",
    "0991234567",
    "593991234567",
    "51991234567",
    "3991234567",
    "91234567",
    "12345",
    "123",
    "none",
    "",
    "0000000000",
]
TYPES = ["out_pre", "outbound_ma", "inbound", "transfer", "internal call", ""]
WORDS = ["CUT", "SOLD", "cut ", ""]

minutes = st.integers(-30, 60 * 24 * 3).map(lambda n: NOW - n * MINUTE)
attempts_of_any_kind = st.builds(
    Attempt,
    phone=st.sampled_from(PHONES),
    at=minutes,
    result=st.sampled_from([*["ANSWER"] * 6, "NO-ANSWER", "BUSY", "ABANDON", "CLEAN", "RECALL", "DO-NOT-CALL", "ODD"]),
    agent_id=st.sampled_from(["10001", "10001", "10002", ""]),
    conn_id=st.sampled_from(["", "", "", "a", "b", "c", "d"]),
    campaign_id=st.sampled_from(["1", "2"]),
    seconds=st.sampled_from([None, 0, 5, 29, 30, 300]),
    cod_act=st.sampled_from(WORDS),
    cod_act_2=st.sampled_from(WORDS),
    hang_up=st.sampled_from(["agent", "customer", ""]),
    type_interaction=st.sampled_from(TYPES),
)
HOURS = [
    None,
    LAW,
    CallingHours.careful(BOGOTA),
    LAW & CallingHours.weekly({"mon-fri": ["08:00-10:00", "10:30-16:00"]}, timezone="America/Mexico_City"),
]


@st.composite
def rules_of_any_kind(draw, limits=(None, 1, 2)):
    cap = draw(st.sampled_from([None, 1, 2, 3, 4]))
    given = {
        "results": draw(st.sampled_from([["ANSWER"], ["ANSWER", "ABANDON"], ["ANSWER", "RECALL"]])),
        "dispositions": draw(st.sampled_from([None, None, ["CUT"]])),
        "not_dispositions": draw(st.sampled_from([[], [], ["SOLD"]])),
        "shorter_than": draw(st.sampled_from([None, None, 30])),
        "hung_up_by": draw(st.sampled_from([None, None, "customer"])),
        "max_attempts": cap,
        "within": None if cap is None else draw(st.sampled_from([HOUR, DAY, 2 * DAY])),
        "least_interval": draw(st.sampled_from([None, timedelta(0), 30 * MINUTE, 5 * HOUR])),
        "hours": draw(st.sampled_from(HOURS)),
        "priority": draw(st.sampled_from([[], ["CUT"], ["ABANDON", "CUT"]])),
        "newest_first": draw(st.booleans()),
        "limit": draw(st.sampled_from(limits)),
    }
    return Rules(**given)


# Of countries whose mobile numbers have nine digits: Peru, Chile, Ecuador.
CODES = ("51", "56", "593")


def tail(phone):
    """Return the digits that tell a customer; of a number with one of the codes, which is longer than ten, the nine."""
    digits = "".join(c for c in phone if c in "0123456789")
    if len(digits) > 10 and any(digits.startswith(code) and len(digits) == len(code) + 9 for code in CODES):
        return digits[-9:].lstrip("0")
    return digits[-10:].lstrip("0")


def pairwise_same(one, other):
    one, other = sorted((tail(one), tail(other)), key=len)
    return one == other or (len(one) in (8, 9) and other.endswith(one))


def same_customers(phone, phones):
    """Return the spellings of a number among others: those that are the same as it, or as one that is."""
    found, grown = {phone}, True
    while grown:
        more = {other for other in phones if other not in found and any(pairwise_same(other, one) for one in found)}
        found |= more
        grown = bool(more)
    return found


def dialable(phone):
    digits = phone.replace(" ", "").removeprefix("+")
    return digits.isdigit() and 5 <= len(digits) <= 20 and digits.strip("0") != ""


def fits(attempt, rules):
    words = {attempt.cod_act.strip().upper(), attempt.cod_act_2.strip().upper()}
    return (
        attempt.result in rules.results
        and (rules.dispositions is None or any(word in words for word in rules.dispositions))
        and not any(word in words for word in rules.not_dispositions)
        and (rules.shorter_than is None or (attempt.seconds is not None and attempt.seconds < 30))
        and (rules.hung_up_by is None or attempt.hang_up == rules.hung_up_by)
        and attempt.agent_id != ""
        and dialable(attempt.phone)
    )


def dialled_out(attempt):
    return attempt.result != "CLEAN" and attempt.type_interaction not in ("inbound", "internal call")


def distinct(attempts):
    """Return when each call was, a call that is told twice only once, by its latest time."""
    calls = {}
    for attempt in attempts:
        same = attempt.conn_id or attempt
        calls[same] = max(calls.get(same, attempt.at), attempt.at)
    return list(calls.values())


def may_be_called(attempt, rules, now, everything, listed):
    """Say whether the rules let the number of an attempt be called for it, the campaign's other attempts aside."""
    spellings = same_customers(attempt.phone, {other.phone for other in everything} | set(listed))
    theirs = [other for other in everything if other.phone in spellings]
    if spellings & set(listed) or any(other.result == "DO-NOT-CALL" for other in theirs):
        return False
    for other in theirs:
        by_agent = other.type_interaction == "outbound_ma" or (
            other.agent_id and other.type_interaction != "out_pre" and dialled_out(other)
        )
        itself = other.conn_id and other.conn_id == attempt.conn_id
        if other.at > attempt.at and not itself and (other.result == "ANSWER" or by_agent):
            return False
    times = distinct([other for other in theirs if dialled_out(other)])
    if rules.max_attempts is not None and sum(at > now - rules.within for at in times) >= rules.max_attempts:
        return False
    if rules.least_interval is not None and any(now < at + rules.least_interval for at in times):
        return False
    return rules.hours is None or rules.hours.is_open(now)


relaxed = settings(deadline=None, max_examples=200)
campaigns = st.lists(attempts_of_any_kind, max_size=12)
histories = st.lists(attempts_of_any_kind, max_size=8)
lists = st.sets(st.sampled_from(PHONES), max_size=1)


@relaxed
@given(campaigns, histories, lists, rules_of_any_kind(), minutes)
def test_no_callback_breaks_a_rule_and_none_that_breaks_no_rule_is_left_out(attempts, history, listed, rules, now):
    plan = choose(attempts, rules, now, history=history, do_not_call=listed)
    everything = attempts + history
    fitting = [attempt for attempt in attempts if fits(attempt, rules)]
    phones = {attempt.phone for attempt in everything} | listed

    for attempt in (callback.attempt for callback in plan.callbacks):
        assert attempt in fitting
        assert may_be_called(attempt, rules, now, everything, listed)
        spellings = same_customers(attempt.phone, phones)
        assert attempt.at == max(other.at for other in fitting if other.phone in spellings)

    called = {callback.attempt for callback in plan.callbacks}
    if rules.limit is None or len(plan.callbacks) < rules.limit:
        for attempt in fitting:
            spellings = same_customers(attempt.phone, phones)
            alike = [other for other in fitting if other.phone in spellings]
            latest = [other for other in alike if other.at == max(one.at for one in alike)]
            if all(may_be_called(other, rules, now, everything, listed) for other in latest):
                assert len(called.intersection(alike)) == 1
            elif not any(may_be_called(other, rules, now, everything, listed) for other in latest):
                assert not called.intersection(alike)


@relaxed
@given(campaigns, histories, lists, rules_of_any_kind(), minutes)
def test_every_attempt_is_exactly_one_callback_or_skip(attempts, history, listed, rules, now):
    plan = choose(attempts, rules, now, history=history, do_not_call=listed)
    outcome = [callback.attempt for callback in plan.callbacks] + [skip.attempt for skip in plan.skips]
    assert Counter(map(id, outcome)) == Counter(map(id, attempts))
    assert sum(plan.counts.values()) == len(plan.skips)
    assert [skip.attempt.at for skip in plan.skips] == sorted(skip.attempt.at for skip in plan.skips)


@relaxed
@given(campaigns, histories, rules_of_any_kind(), minutes)
def test_a_number_is_called_back_at_most_once(attempts, history, rules, now):
    called = [callback.phone for callback in choose(attempts, rules, now, history=history).callbacks]
    assert not any(pairwise_same(one, other) for n, one in enumerate(called) for other in called[:n])
    assert rules.limit is None or len(called) <= rules.limit


@relaxed
@given(campaigns, histories, lists, rules_of_any_kind(), minutes, st.randoms(use_true_random=False))
def test_the_same_attempts_in_any_order_make_the_same_plan(
    attempts, history, listed, rules, now, chance: random.Random
):
    attempts = [replace(attempt, at=attempt.at.replace(minute=0)) for attempt in attempts]  # many at one time
    plan = choose(attempts, rules, now, history=history, do_not_call=listed)
    chance.shuffle(attempts)
    chance.shuffle(history)
    assert choose(attempts, rules, now, history=[*history, *attempts], do_not_call=listed) == plan


@relaxed
@given(campaigns, histories, rules_of_any_kind(limits=(None,)), minutes)
def test_at_the_next_time_it_is_allowed_and_not_before(attempts, history, rules, now):
    for skip in choose(attempts, rules, now, history=history).skips:
        if skip.next_allowed is None:
            assert skip.reason not in (Reason.HOURS, Reason.MAX_ATTEMPTS, Reason.LEAST_INTERVAL)
            continue
        assert skip.next_allowed > now
        then = choose(attempts, rules, skip.next_allowed, history=history)
        assert any(callback.attempt is skip.attempt for callback in then.callbacks)
        before = choose(attempts, rules, skip.next_allowed - TICK, history=history)
        assert not any(callback.attempt is skip.attempt for callback in before.callbacks)


@relaxed
@given(campaigns, histories, rules_of_any_kind(), minutes)
def test_no_reason_tells_more_of_a_number_than_its_last_four_digits(attempts, history, rules, now):
    for skip in choose(attempts, rules, now, history=history).skips:
        digits = "".join(filter(str.isdigit, skip.attempt.phone))
        assert len(digits) < 5 or digits[-5:] not in skip.why
        assert skip.why.startswith("***")


@relaxed
@given(
    st.lists(st.integers(0, 5 * 24 * 60), min_size=1, max_size=12),
    st.integers(1, 4),
    st.sampled_from([HOUR, DAY, 3 * DAY]),
)
def test_a_callback_never_makes_more_attempts_than_the_cap_in_any_stretch(ages, most, within):
    history = [dial(n * MINUTE, campaign_id=str(n % 3)) for n in ages]
    attempt = cut(30 * 24 * HOUR)
    rules = Rules(max_attempts=most, within=within)
    times = [NOW - n * MINUTE for n in set(ages)]  # two dials of one minute and campaign are one told twice
    (skip,) = choose([attempt], rules, NOW, history=history).skips or (None,)
    called = NOW if skip is None else skip.next_allowed
    assert sum(called - within < at <= called for at in times) + 1 <= most
    if skip is not None:
        assert sum(called - TICK - within < at for at in times) >= most


@pytest.mark.parametrize("agent_id", ["{{ 10000 + 1 }}", "10001 or 1", "1e4", "agent", "１０００１"])
def test_an_attempt_whose_agent_is_no_extension_is_skipped(agent_id):
    plan = choose([cut(agent_id=agent_id)], Rules(), NOW)

    assert plan.callbacks == ()
    assert [(skip.reason, skip.why) for skip in plan.skips] == [
        (Reason.NO_AGENT, "***4567 is not called back: the agent on its record is not an extension, which is digits")
    ]
