"""Whether a call comes too late: the same answer in whatever zone it is asked, and never early again once late."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_wolkvox.calling.lateness import instant, too_late

BOGOTA = timezone(timedelta(hours=-5))
SIX = datetime(2026, 11, 22, 18, tzinfo=BOGOTA)
SECOND = timedelta(seconds=1)

instants = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))
fixed_zones = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
lengths = st.timedeltas(timedelta(0), timedelta(days=400))


class NoOffset(tzinfo):
    def utcoffset(self, at):
        return None


# instant()


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-22 18:00:00-05:00",
        "2026-11-22T18:00:00-05:00",
        "2026-11-22T23:00:00Z",
        "2026-11-22T23:00+00:00",
        "20261122T180000-0500",
        "  2026-11-22 18:00:00-05:00\n",
        "2026-11-23 04:45:00+05:45",
    ],
)
def test_an_instant_is_read_from_its_text_in_any_zone(text):
    assert instant(text, "call_before") == SIX


@pytest.mark.parametrize("text", ["", " ", "tomorrow", "18:00", "None", "1795388400", "2026-02-30T00:00Z", "{{ ds }}"])
def test_a_text_that_is_no_instant_is_refused_with_the_arguments_name_and_an_example(text):
    with pytest.raises(ValueError, match=r"^call_before is no instant such as '2026-11-22 18:00:00-05:00'$"):
        instant(text, "call_before")


@pytest.mark.parametrize(
    "naive",
    [
        "2026-11-22 18:00:00",
        "2026-11-22",
        "20261122",
        datetime(2026, 11, 22, 18),
        datetime(2026, 11, 22, 18, tzinfo=NoOffset()),
        date(2026, 11, 22),
        1795388400,
        None,
    ],
    ids=str,
)
def test_what_has_no_time_zone_is_refused_and_never_read_as_this_machines(naive):
    with pytest.raises(ValueError, match=r"^--around (has no time zone: write one|must be a datetime)"):
        instant(naive, "--around")


@settings(max_examples=100)
@given(at=instants, zone=fixed_zones)
def test_an_instant_and_its_text_are_the_same_instant(at, zone):
    there = at.astimezone(zone)
    assert instant(there, "x") is there
    assert instant(there.isoformat(), "x") == instant(str(there), "x") == at


@settings(max_examples=50)
@given(at=st.datetimes())
def test_no_naive_datetime_is_an_instant(at):
    for value in (at, at.isoformat(), str(at)):
        with pytest.raises(ValueError, match="has no time zone"):
            instant(value, "x")


# too_late()


@pytest.mark.parametrize(
    ("now", "call_before", "due", "max_age", "why"),
    [
        (SIX, None, None, None, None),
        (SIX, None, None, timedelta(0), None),
        (SIX, None, SIX - timedelta(days=3650), None, None),
        (SIX - SECOND, SIX, None, None, None),
        (SIX, SIX, None, None, "(call_before)"),
        (SIX + SECOND, SIX, None, None, "(call_before)"),
        (SIX, None, SIX - timedelta(hours=24) + SECOND, timedelta(hours=24), None),
        (SIX, None, SIX - timedelta(hours=24), timedelta(hours=24), "(max_age)"),
        (SIX, None, SIX - timedelta(hours=25), timedelta(hours=24), "(max_age)"),
        (SIX, None, SIX + timedelta(days=9), timedelta(hours=24), None),
        (SIX, None, SIX, timedelta(0), "(max_age)"),
        (SIX, SIX, SIX - timedelta(days=9), timedelta(hours=24), "(call_before)"),
        (SIX, SIX + SECOND, SIX - timedelta(days=9), timedelta(hours=24), "(max_age)"),
        (SIX, SIX, SIX, None, "(call_before)"),
    ],
)
def test_a_call_is_too_late_from_its_last_instant_on(now, call_before, due, max_age, why):
    said = too_late(now, call_before=call_before, due=due, max_age=max_age)
    assert (said is None) if why is None else said.endswith(why)


def test_the_reason_tells_both_instants_with_their_zones():
    assert too_late(SIX, call_before=SIX - SECOND, due=None, max_age=None) == (
        "it is 2026-11-22 18:00:00-05:00 and this was to be done before 2026-11-22 17:59:59-05:00 (call_before)"
    )
    assert too_late(SIX, call_before=None, due=SIX - timedelta(days=2), max_age=timedelta(days=1)) == (
        "it is 2026-11-22 18:00:00-05:00, and this was due at 2026-11-20 18:00:00-05:00, "
        "1 day, 0:00:00 ago or more (max_age)"
    )


@settings(max_examples=100)
@given(now=instants, later=lengths, call_before=st.none() | instants, due=st.none() | instants, age=st.none() | lengths)
def test_once_too_late_a_call_stays_too_late(now, later, call_before, due, age):
    if too_late(now, call_before=call_before, due=due, max_age=age):
        assert too_late(now + later, call_before=call_before, due=due, max_age=age)


@settings(max_examples=100)
@given(now=instants, due=st.none() | instants, age=st.none() | lengths)
def test_none_switches_each_limit_off(now, due, age):
    assert too_late(now, call_before=None, due=due, max_age=None) is None
    assert too_late(now, call_before=None, due=None, max_age=age) is None


@settings(max_examples=100)
@given(
    now=instants,
    off=st.timedeltas(timedelta(hours=-30), timedelta(hours=30)),
    age=lengths,
    zones=st.tuples(fixed_zones, fixed_zones, fixed_zones),
)
def test_zones_without_a_change_of_the_clock_make_no_difference(now, off, age, zones):
    limit, due = now + off, now + off - age
    here, there, elsewhere = zones
    plain = too_late(now, call_before=limit, due=None, max_age=None)
    assert bool(plain) == (off <= timedelta(0))
    assert bool(plain) == bool(
        too_late(now.astimezone(here), call_before=limit.astimezone(there), due=None, max_age=None)
    )
    assert bool(plain) == bool(
        too_late(now.astimezone(here), call_before=None, due=due.astimezone(elsewhere), max_age=age)
    )


WALL_CLOCK = (
    "due + max_age is reckoned by the wall clock of due's zone: across a change of the clock 24 hours are 23 or 25. "
    "Right: convert to UTC first (the operator's own instants are UTC today, so nothing rings wrongly yet)"
)


def test_a_day_has_24_hours_on_the_day_on_which_the_clock_is_put_back():
    due = datetime(2026, 10, 24, 12, tzinfo=ZoneInfo("Europe/Madrid"))
    now = due.astimezone(UTC) + timedelta(hours=24)
    assert too_late(now, call_before=None, due=due, max_age=timedelta(hours=24))


def test_the_second_half_past_two_of_that_night_is_later_than_the_first_quarter_to_three():
    madrid = ZoneInfo("Europe/Madrid")
    limit = datetime(2026, 10, 25, 2, 45, tzinfo=madrid)
    now = datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=madrid)
    assert too_late(now, call_before=limit, due=None, max_age=None)


def test_the_greatest_max_age_is_no_limit():
    assert too_late(SIX, call_before=None, due=SIX, max_age=timedelta.max) is None
