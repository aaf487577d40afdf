"""Nobody is called outside the hours: at any instant, in any zone, on any holiday, on the days the clocks change."""

from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys
from dataclasses import FrozenInstanceError
from datetime import UTC, date, datetime, timedelta, timezone
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

import holidays
import pendulum
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_wolkvox.calling import CallingHours, NeverOpens
from airflow_provider_wolkvox.calling.countries import COUNTRIES, PURPOSES

ZONES = {
    "CO": "America/Bogota",
    "EC": "America/Guayaquil",
    "PE": "America/Lima",
    "CL": "America/Santiago",
    "MX": "America/Mexico_City",
    "US": "America/New_York",
}
TICK = timedelta(microseconds=1)
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def law(country, purpose="collection", zone=None):
    return CallingHours.for_country(country, purpose=purpose, timezone=zone or ZONES[country])


def local(zone, text):
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


def utc(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


# The windows, to the second. Monday to Sunday: 2026-11-23 to 2026-11-29.

WORKDAYS = ["2026-11-23", "2026-11-24", "2026-11-25", "2026-11-26", "2026-11-27"]
SATURDAY, SUNDAY = "2026-11-28", "2026-11-29"
WEEK = [*WORKDAYS, SATURDAY, SUNDAY]

TABLE = {  # first open second, last open second, closing second; days that are not named are closed
    ("CO", "collection"): {"07:00:00 18:59:59 19:00:00": WORKDAYS, "08:00:00 14:59:59 15:00:00": [SATURDAY]},
    ("CO", "commercial"): {"07:00:00 18:59:59 19:00:00": WORKDAYS, "08:00:00 14:59:59 15:00:00": [SATURDAY]},
    ("EC", "collection"): {"07:00:00 19:59:59 20:00:00": WORKDAYS},
    ("EC", "commercial"): {"08:00:00 18:59:59 19:00:00": WORKDAYS},
    ("PE", "collection"): {"07:00:00 19:59:59 20:00:00": WORKDAYS},
    ("PE", "commercial"): {"08:00:00 18:59:59 19:00:00": WORKDAYS},
    ("CL", "collection"): {"08:00:00 19:59:59 20:00:00": [*WORKDAYS, SATURDAY]},
    ("CL", "commercial"): {"08:00:00 18:59:59 19:00:00": WORKDAYS},
    ("MX", "collection"): {"07:00:00 21:59:59 22:00:00": WORKDAYS},
    ("MX", "commercial"): {"08:00:00 18:59:59 19:00:00": WORKDAYS},
    ("US", "collection"): {"08:00:00 20:59:59 21:00:00": WEEK},
    ("US", "commercial"): {"08:00:00 20:59:59 21:00:00": WEEK},
}
ROWS = [
    (c, p, day, *seconds.split()) for (c, p), rows in TABLE.items() for seconds, days in rows.items() for day in days
]
SHUT = [(c, p, day) for (c, p), rows in TABLE.items() for day in WEEK if not any(day in days for days in rows.values())]


@pytest.mark.parametrize(("country", "purpose", "day", "first", "last", "closing"), ROWS)
def test_a_day_opens_at_its_first_second_and_closes_at_its_closing_second(country, purpose, day, first, last, closing):
    hours, zone = law(country, purpose), ZONES[country]
    opens, ends, closes = (local(zone, f"{day} {time}") for time in (first, last, closing))
    assert [hours.is_open(at) for at in (opens - TICK, opens, opens + TICK)] == [False, True, True]
    assert [hours.is_open(at) for at in (ends, closes - TICK, closes, closes + SECOND)] == [True, True, False, False]
    assert hours.why_closed(opens - SECOND) == f"before {first[:5]} in {zone}"
    assert hours.why_closed(opens) is None
    assert hours.why_closed(closes) == f"after {closing[:5]} in {zone}"
    assert hours.next_open(opens - timedelta(hours=5)) == opens


@pytest.mark.parametrize(("country", "purpose", "day"), SHUT)
def test_a_day_without_a_window_is_closed_all_day(country, purpose, day):
    hours, zone = law(country, purpose), ZONES[country]
    midnight = local(zone, day)
    assert not any(hours.is_open(midnight + minutes * MINUTE) for minutes in range(0, 24 * 60, 15))
    assert hours.why_closed(midnight + 10 * HOUR) == f"{midnight:%A} in {zone}"


@pytest.mark.parametrize("country", COUNTRIES)
def test_a_call_that_the_customer_asked_for_is_open_at_any_time(country):
    hours = law(country, "requested")
    for text in ("2026-12-25 03:00", "2026-11-29 23:59:59", "2026-11-23 12:00"):
        at = local(ZONES[country], text)
        assert hours.is_open(at)
        assert hours.next_open(at) is at
        assert hours.why_closed(at) is None


# Holidays


HOLIDAYS = [
    ("CO", "2026-01-12", "Epiphany"),  # moved from Tuesday the 6th
    ("CO", "2026-03-23", "Saint Joseph"),
    ("CO", "2026-04-02", "Maundy Thursday"),
    ("CO", "2026-07-13", "Chiquinquir"),  # new by Ley 2578 of June 2026: an older `holidays` does not know it
    ("CO", "2026-07-20", "Independence Day"),
    ("CO", "2026-11-02", "All Saints"),
    ("CO", "2026-11-16", "Independence of Cartagena"),
    ("CO", "2027-01-11", "Epiphany"),
    ("CO", "2027-05-31", "Corpus Christi"),
    ("CO", "2027-07-12", "Chiquinquir"),
    ("CO", "2027-08-07", "Battle of Boyac"),  # a Saturday, else open from 08:00
    ("EC", "2026-02-17", "Carnival"),
    ("EC", "2026-05-25", "Battle of Pichincha"),
    ("EC", "2027-04-30", "Labo"),
    ("EC", "2027-11-03", "Independence of Cuenca"),
    ("PE", "2026-07-28", "Independence Day"),
    ("PE", "2026-10-08", "Battle of Angamos"),
    ("PE", "2027-12-09", "Battle of Ayacucho"),
    ("CL", "2026-04-04", "Holy Saturday"),
    ("CL", "2026-09-18", "Independence Day"),
    ("CL", "2027-06-28", "Saint Peter"),
    ("MX", "2026-11-16", "Revolution Day"),
    ("MX", "2027-02-01", "Constitution Day"),
]


@pytest.mark.parametrize(("country", "day", "name"), HOLIDAYS)
def test_a_public_holiday_is_closed_and_named(country, day, name):
    hours = law(country)
    at = local(ZONES[country], f"{day} 11:00")
    assert not hours.is_open(at)
    reason = hours.why_closed(at)
    assert reason.startswith("public holiday: ")
    assert name in reason
    assert reason.endswith(f"({country})")
    assert hours.next_open(at).astimezone(ZoneInfo(ZONES[country])).date() > date.fromisoformat(day)


def test_a_holiday_that_colombia_moved_to_monday_leaves_its_own_day_open():
    assert law("CO").is_open(local("America/Bogota", "2026-01-06 11:00"))  # Epiphany is kept on the 12th


@pytest.mark.parametrize("day", ["2026-11-26", "2026-12-25", "2027-07-05"])
def test_a_holiday_does_not_close_the_united_states_whose_federal_law_names_none(day):
    at = local("America/New_York", f"{day} 11:00")
    assert law("US").is_open(at)
    assert not CallingHours.careful("America/New_York", country="US").is_open(at)


def test_a_holiday_is_the_callee_s_local_day():
    bogota = law("CO")
    assert bogota.is_open(utc("2026-07-18 19:59:59"))  # Saturday 14:59:59
    assert not bogota.is_open(utc("2026-07-21 03:00"))  # still the 20th in Bogota
    kiritimati = law("CO", zone="Pacific/Kiritimati")  # 14 hours ahead
    assert kiritimati.why_closed(utc("2026-07-19 22:00")) == "public holiday: Independence Day (CO)"  # there, the 20th
    assert kiritimati.is_open(utc("2026-07-20 20:00"))  # there, Tuesday the 21st, 10:00


def test_after_a_long_holiday_it_opens_on_the_next_working_day():
    # Easter 2026: Thursday and Friday closed, Saturday short, Sunday never
    wednesday_evening = local("America/Bogota", "2026-04-01 19:00")
    assert law("CO").next_open(wednesday_evening) == local("America/Bogota", "2026-04-04 08:00")
    assert law("PE").next_open(local("America/Lima", "2026-04-01 20:00")) == local("America/Lima", "2026-04-06 07:00")


def test_own_dates_are_closed_besides_a_country_s_holidays():
    hours = CallingHours.weekly(
        {"mon-sun": "00:00-24:00"}, timezone="America/Bogota", holidays=["CO", "2026-12-24", date(2026, 12, 26)]
    )
    christmas = local("America/Bogota", "2026-12-25 10:00")
    assert hours.why_closed(christmas - DAY) == "closed on 2026-12-24"
    assert hours.why_closed(christmas) == "public holiday: Christmas Day (CO)"
    assert hours.why_closed(christmas + DAY) == "closed on 2026-12-26"
    assert hours.next_open(christmas - DAY) == local("America/Bogota", "2026-12-27 00:00")


def test_a_year_whose_holidays_nobody_knows_is_an_error_rather_than_open():
    with pytest.raises(ValueError, match="no public holidays of CO are known for 2200"):
        law("CO").is_open(local("America/Bogota", "2200-06-02 10:00"))


def test_the_machine_s_language_does_not_change_a_reason():
    code = (
        "from datetime import datetime; from zoneinfo import ZoneInfo;"
        "from airflow_provider_wolkvox.calling import CallingHours as H;"
        "h = H.for_country('CO', purpose='collection', timezone='America/Bogota');"
        "print(h.why_closed(datetime(2026, 12, 25, 10, tzinfo=ZoneInfo('America/Bogota'))))"
    )
    for language in ("es_CO.UTF-8", "en_US.UTF-8", "C"):
        env = {"LANG": language, "LANGUAGE": language, "LC_ALL": language}
        done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
        assert done.stdout == "public holiday: Christmas Day (CO)\n"


# Days on which the clocks change


def test_new_york_opens_at_eight_on_its_wall_on_the_days_its_clocks_change():
    hours = law("US")
    assert hours.next_open(utc("2026-03-07 06:00")) == utc("2026-03-07 13:00")
    assert hours.next_open(utc("2026-03-08 06:00")) == utc("2026-03-08 12:00")  # put forward at 07:00 UTC
    assert hours.next_open(utc("2026-10-31 06:00")) == utc("2026-10-31 12:00")
    assert hours.next_open(utc("2026-11-01 05:00")) == utc("2026-11-01 13:00")  # put back at 06:00 UTC
    assert not hours.is_open(utc("2026-11-01 12:59:59.999999"))
    assert not hours.is_open(utc("2026-11-02 02:00"))


def test_santiago_opens_at_eight_on_its_wall_before_and_after_its_clocks_change():
    hours = law("CL")
    assert hours.next_open(utc("2026-04-01 23:00")) == utc("2026-04-02 11:00")
    assert hours.next_open(utc("2026-04-04 12:00")) == utc("2026-04-06 12:00")  # Holy Saturday, then a longer night
    assert hours.next_open(utc("2026-09-06 03:00")) == utc("2026-09-07 11:00")  # put forward at 04:00 UTC


def weekly(windows, zone, closed=None):
    return CallingHours.weekly(windows, timezone=zone, holidays=closed)


def test_an_hour_that_the_wall_shows_twice_is_open_twice():
    hours = weekly({"sun": "01:15-01:45"}, "America/New_York")
    assert hours.next_open(utc("2026-11-01 04:00")) == utc("2026-11-01 05:15")
    assert hours.next_open(utc("2026-11-01 05:45")) == utc("2026-11-01 06:15")
    assert not hours.is_open(utc("2026-11-01 06:45"))
    assert hours.next_open(utc("2026-11-01 06:45")) == utc("2026-11-08 06:15")


def test_clocks_put_back_into_a_window_open_it_again_at_that_instant():
    hours = weekly({"sun": "00:00-01:30"}, "America/New_York")
    assert hours.is_open(utc("2026-11-01 05:29:59"))
    assert hours.next_open(utc("2026-11-01 05:30")) == utc("2026-11-01 06:00")
    assert hours.next_open(utc("2026-11-01 05:30:00.000001")) == utc("2026-11-01 06:00")


def test_clocks_put_back_over_midnight_bring_the_day_before_back():
    hours = weekly({"sat": "23:00-24:00"}, "America/Santiago")  # Sunday begins, and Saturday 23:00 comes again
    assert hours.is_open(utc("2026-04-05 02:00"))
    assert hours.is_open(utc("2026-04-05 03:00"))
    assert hours.is_open(utc("2026-04-05 03:59:59"))
    assert not hours.is_open(utc("2026-04-05 04:00"))


def test_a_window_that_the_clocks_skip_does_not_open_that_day():
    hours = weekly({"sun": "00:00-01:00"}, "America/Santiago")
    assert hours.next_open(utc("2026-09-05 20:00")) == utc("2026-09-13 03:00")


def test_a_window_whose_beginning_the_clocks_skip_opens_when_they_land_in_it():
    hours = weekly({"sun": "00:30-02:00"}, "America/Santiago")
    assert hours.next_open(utc("2026-09-05 20:00")) == utc("2026-09-06 04:00")


def test_a_time_that_its_zone_shows_twice_is_told_apart_by_its_fold():
    new_york = ZoneInfo("America/New_York")
    hours = weekly({"sun": "01:15-01:45"}, "America/New_York")
    first = datetime(2026, 11, 1, 1, 50, tzinfo=new_york, fold=0)
    assert hours.next_open(first).isoformat() == "2026-11-01T06:15:00+00:00"
    assert hours.next_open(first.replace(fold=1)).isoformat() == "2026-11-08T06:15:00+00:00"


def test_a_zone_far_ahead_of_utc_is_judged_by_its_own_day():
    hours = CallingHours.careful("Pacific/Kiritimati", country="CO")
    assert hours.why_closed(utc("2026-11-27 19:00")) == "Saturday in Pacific/Kiritimati"  # Friday in UTC
    assert hours.is_open(utc("2026-11-29 20:00"))  # Sunday in UTC, Monday 10:00 there
    chatham = CallingHours.careful("Pacific/Chatham", country="CO")  # 13:45 ahead in November
    assert chatham.next_open(utc("2026-11-28 12:00")) == utc("2026-11-29 18:15")


# The windows of one's own


def test_between_two_windows_of_a_day_it_is_closed():
    hours = weekly({"mon-fri": ["08:00-12:00", "14:00-18:00"]}, "America/Bogota")
    noon = local("America/Bogota", "2026-11-23 12:00")
    assert hours.is_open(noon - TICK)
    assert hours.why_closed(noon) == "between 12:00 and 14:00 in America/Bogota"
    assert hours.next_open(noon) == noon + 2 * HOUR


def test_a_window_may_end_at_the_day_s_end_and_the_next_day_s_begin_there():
    hours = weekly({"mon": "22:00-24:00", "tue": "00:00-01:00"}, "America/Bogota")
    midnight = local("America/Bogota", "2026-11-24 00:00")
    assert [hours.is_open(midnight + step) for step in (-TICK, 0 * TICK, HOUR - TICK, HOUR)] == [
        True,
        True,
        True,
        False,
    ]
    assert hours.why_closed(midnight - 3 * HOUR) == "before 22:00 in America/Bogota"


def test_nothing_that_opens_within_sixty_days_is_a_clear_error():
    closed = [date(2026, 1, 1) + n * DAY for n in range(365)]
    hours = weekly({"mon": "08:00-12:00"}, "America/Bogota", closed)
    with pytest.raises(NeverOpens, match="nothing opens within 60 days from 2026-02-02T12:00:00"):
        hours.next_open(utc("2026-02-02 12:00"))
    assert hours.next_open(utc("2026-12-01 12:00")) == local("America/Bogota", "2027-01-04 08:00")


# What is refused


@pytest.mark.parametrize("ask", ["is_open", "next_open", "why_closed"])
@pytest.mark.parametrize("at", [datetime(2026, 11, 23, 10), date(2026, 11, 23), "2026-11-23T10:00:00Z", None])
def test_what_is_no_instant_is_refused(ask, at):
    with pytest.raises(ValueError, match="has no time zone, so it is no instant"):
        getattr(law("CO"), ask)(at)


@pytest.mark.parametrize("at", [datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=timezone(-HOUR))])
def test_the_calendar_s_edges_are_refused(at):
    with pytest.raises(ValueError, match="at the calendar's edge"):
        law("US").next_open(at)


@pytest.mark.parametrize(
    "zone",
    [
        "Bogota",
        "Etc/Unknown",
        "America",
        "",
        "/etc/passwd",
        "../UTC",
        "right/UTC",
        "localtime",
        "America/Bogotá\0",
        None,
        5,
    ],
)
def test_an_unknown_zone_is_refused_when_the_hours_are_made(zone):
    for make in (
        lambda: law("CO", zone=zone) if zone else CallingHours.for_country("CO", purpose="collection", timezone=zone),
        lambda: CallingHours.careful(zone),
        lambda: weekly({"mon": "08:00-12:00"}, zone),
    ):
        with pytest.raises(ValueError, match="is no time zone"):
            make()


def test_an_unknown_zone_is_refused_with_those_near_it():
    with pytest.raises(ValueError, match="'America/Bogata' is no time zone; near it are America/Bogota"):
        CallingHours.careful("America/Bogata")
    with pytest.raises(ValueError, match="America/Bogota"):
        CallingHours.careful("bogota")


@pytest.mark.parametrize("closed", ["XX", "2026-13-01", ["CO", "12/24"], [datetime(2026, 12, 24)], [None], "Colombia"])
def test_what_is_neither_a_known_country_nor_a_date_is_refused_as_a_holiday(closed):
    with pytest.raises(ValueError, match=r"known: AD, AE|is no date such as"):
        weekly({"mon": "08:00-12:00"}, "America/Bogota", closed)


def test_any_country_whose_holidays_are_known_may_be_careful():
    hours = CallingHours.careful("America/Argentina/Buenos_Aires", country="ar")
    assert hours.why_closed(utc("2026-07-09 15:00")).endswith("(AR)")


# What the hours are as a value


MADE = [
    law("CO"),
    law("US", "commercial", "Pacific/Honolulu"),
    law("PE", "requested"),
    CallingHours.careful("America/Bogota"),
    CallingHours.careful("America/Lima", country="PE"),
    weekly({"mon-fri": ["08:00-12:00", "14:00-18:00"], "sat": "09:00-24:00"}, "America/Bogota", ["CO", "2026-12-24"]),
    weekly({"sun": "00:00-00:01"}, "UTC"),
]


@pytest.mark.parametrize("hours", MADE, ids=repr)
def test_hours_are_equal_by_value_through_every_copy(hours):
    copies = [
        eval(repr(hours), {"CallingHours": CallingHours}),
        CallingHours.deserialize(json.loads(json.dumps(hours.serialize())), 1),
        pickle.loads(pickle.dumps(hours)),
        copy.deepcopy(hours),
    ]
    assert {hours, *copies} == {hours}


def test_hours_differ_by_zone_window_holidays_and_purpose():
    made = [
        *MADE,
        law("CO", "commercial"),
        law("CO", zone="America/Lima"),
        weekly({"sun": "00:00-00:01"}, "UTC", "CO"),
        weekly({"sun": "00:00-00:02"}, "UTC"),
    ]
    assert len(set(made)) == len(made)


def test_windows_written_differently_are_the_same_hours():
    one = weekly({"mon": ["08:00-12:00", "12:00-18:00"], "tue": "08:00-18:00"}, "UTC", ["PE", "CO"])
    other = weekly({"mon-tue": "8:00-18:00"}, ZoneInfo("UTC"), ("CO", "PE", "co"))
    assert one == other
    assert repr(one) == "CallingHours.weekly({'mon-tue': ['08:00-18:00']}, timezone='UTC', holidays=['CO', 'PE'])"


def test_the_law_s_hours_read_as_they_were_asked_for():
    expected = "CallingHours.for_country('CO', purpose='collection', timezone='America/Bogota')"
    assert repr(law("CO")) == expected
    assert law("CO").rule.source == "Colombia, Ley 2300 de 2023, art. 3"


def test_hours_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        law("CO").timezone = "UTC"


def test_hours_of_a_newer_provider_are_refused():
    with pytest.raises(ValueError, match="newer version"):
        CallingHours.deserialize(law("CO").serialize(), 2)


def test_a_pendulum_time_and_zone_serve_as_well():
    hours = CallingHours.for_country("CO", purpose="collection", timezone=pendulum.timezone("America/Bogota"))
    assert hours == law("CO")
    evening = pendulum.datetime(2026, 11, 28, 15, tz="America/Bogota")
    assert not hours.is_open(evening)
    assert hours.next_open(evening) == utc("2026-11-30 12:00")
    assert type(hours.next_open(evening)) is datetime


# For any instant, in any zone


ALL_ZONES = sorted(zone for zone in available_timezones() if zone not in ("localtime", "posixrules", "Factory"))
RESTLESS = [  # change by one hour, by half an hour, by two, at midnight, around Ramadan
    "America/New_York",
    "America/Santiago",
    "America/Havana",
    "America/St_Johns",
    "Africa/Cairo",
    "Africa/Casablanca",
    "Antarctica/Troll",
    "Asia/Beirut",
    "Australia/Lord_Howe",
    "Pacific/Chatham",
    "Europe/Madrid",
]


@cache
def changes(zone):
    """Return the hours of 2025 to 2028 in which a zone's clocks change."""
    there, found = ZoneInfo(zone), []
    day, end = utc("2025-01-01 00:00"), utc("2029-01-01 00:00")
    while day < end:
        if day.astimezone(there).utcoffset() != (day + DAY).astimezone(there).utcoffset():
            at = day
            while at.astimezone(there).utcoffset() == (at + HOUR).astimezone(there).utcoffset():
                at += HOUR
            found.append(at)
        day += DAY
    return found


anytime = st.datetimes(datetime(2001, 1, 1), datetime(2099, 12, 31), timezones=st.just(UTC))


@st.composite
def instants_and_zones(draw):
    if draw(st.booleans()):
        return draw(anytime), draw(st.sampled_from(ALL_ZONES))
    zone = draw(st.sampled_from(RESTLESS))
    near = draw(st.timedeltas(-2 * DAY, 2 * DAY) | st.integers(-48, 48).map(lambda n: n * HOUR / 2))
    return draw(st.sampled_from(changes(zone))) + near, zone


@st.composite
def weeks(draw):
    windows = {}
    for day in draw(st.sets(st.sampled_from(["mon", "tue", "wed", "thu", "fri", "sat", "sun"]), min_size=1)):
        ends = sorted(draw(st.sets(st.integers(0, 96), min_size=2, max_size=6)))
        ends = [f"{n // 4:02d}:{n % 4 * 15:02d}" for n in ends]
        windows[day] = [f"{start}-{end}" for start, end in zip(ends[::2], ends[1::2], strict=False)]
    return windows


def allowed(country, purpose, weekday, second, holiday):
    """Say by hand what the law says: Monday is 0, seconds since midnight on the callee's wall."""
    hour = second / 3600
    if purpose == "requested":
        return True
    if country == "US":
        return 8 <= hour < 21
    if holiday or weekday == 6:
        return False
    if country == "CO":
        return 8 <= hour < 15 if weekday == 5 else 7 <= hour < 19
    if purpose == "commercial":
        return weekday < 5 and 8 <= hour < 19
    if country == "CL":
        return 8 <= hour < 20
    return weekday < 5 and 7 <= hour < {"EC": 20, "PE": 20, "MX": 22}[country]


@cache
def calendar(country):
    return holidays.country_holidays(country, years=range(2000, 2101))


def allowed_at(country, purpose, at, zone):
    wall = at.astimezone(ZoneInfo(zone))
    second = wall.hour * 3600 + wall.minute * 60 + wall.second + wall.microsecond / 1e6
    return allowed(country, purpose, wall.weekday(), second, wall.date() in calendar(country))


relaxed = settings(deadline=None, max_examples=400)
few = settings(deadline=None, max_examples=150)


@relaxed
@given(instants_and_zones(), st.sampled_from(COUNTRIES), st.sampled_from(PURPOSES))
def test_it_is_open_exactly_when_the_law_allows_at_any_instant_in_any_zone(case, country, purpose):
    at, zone = case
    hours = law(country, purpose, zone)
    assert hours.is_open(at) == allowed_at(country, purpose, at, zone)
    assert (hours.why_closed(at) is None) == hours.is_open(at)


@relaxed
@given(instants_and_zones(), st.sampled_from(COUNTRIES), st.sampled_from(PURPOSES))
def test_the_careful_hours_are_never_outside_any_country_s_law(case, country, purpose):
    at, zone = case
    if CallingHours.careful(zone).is_open(at) or CallingHours.careful(zone, country).is_open(at):
        assert allowed_at(country, purpose, at, zone)


@relaxed
@given(instants_and_zones(), st.sampled_from(COUNTRIES), st.sampled_from(PURPOSES))
def test_the_next_opening_is_allowed_and_nothing_before_it_is(case, country, purpose):
    at, zone = case
    hours = law(country, purpose, zone)
    opens = hours.next_open(at)
    assert opens >= at
    assert allowed_at(country, purpose, opens, zone)
    steps = (opens - at) / 97
    assert not any(allowed_at(country, purpose, at + n * steps, zone) for n in range(97) if at + n * steps < opens)
    if opens > at:
        assert not allowed_at(country, purpose, opens - TICK, zone)


@few
@given(instants_and_zones(), weeks())
def test_the_next_opening_of_any_week_is_the_first_that_a_walk_by_the_minute_finds(case, windows):
    at, zone = case
    at = at.replace(second=0, microsecond=0)
    hours = weekly(windows, zone)
    opens = hours.next_open(at)
    walk = at
    while not hours.is_open(walk) and walk < at + 2 * DAY:
        walk += MINUTE
    assert opens >= walk
    if walk < at + 2 * DAY:
        assert opens == walk


@relaxed
@given(instants_and_zones(), weeks())
def test_asking_again_at_the_opening_gives_the_opening(case, windows):
    at, zone = case
    hours = weekly(windows, zone)
    opens = hours.next_open(at)
    assert hours.is_open(opens)
    assert hours.next_open(opens) == opens
    if opens > at:
        assert not hours.is_open(at)
        assert not hours.is_open(opens - TICK)


@relaxed
@given(instants_and_zones(), weeks(), st.timedeltas(timedelta(0), timedelta(days=10)))
def test_a_later_instant_never_opens_earlier(case, windows, later):
    at, zone = case
    hours = weekly(windows, zone)
    assert hours.next_open(at) <= hours.next_open(at + later)


@relaxed
@given(instants_and_zones(), weeks(), st.sampled_from(RESTLESS))
def test_the_zone_that_an_instant_is_written_in_changes_nothing(case, windows, written_in):
    at, zone = case
    hours, there = weekly(windows, zone, "CO"), at.astimezone(ZoneInfo(written_in))
    assert hours.is_open(there) == hours.is_open(at)
    assert hours.next_open(there).astimezone(UTC) == hours.next_open(at)


@relaxed
@given(weeks(), st.sampled_from(ALL_ZONES), st.sets(st.sampled_from([*COUNTRIES, "2026-12-24", "2027-01-02"])))
def test_any_week_survives_its_text_and_its_json(windows, zone, closed):
    hours = weekly(windows, zone, closed)
    assert eval(repr(hours), {"CallingHours": CallingHours}) == hours
    again = CallingHours.deserialize(json.loads(json.dumps(hours.serialize())))
    assert again == hours
    assert hash(again) == hash(hours)


# What is imported


def loaded_after(code):
    code = f"import sys\n{code}\nprint(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_lateness_imports_neither_the_hours_nor_the_holidays():
    loaded = loaded_after("import airflow_provider_wolkvox.calling.lateness")
    assert not loaded & {"holidays", "airflow", "pendulum", "airflow_provider_wolkvox.calling.hours"}


def test_making_the_law_s_hours_in_a_dag_file_imports_no_holidays():
    loaded = loaded_after(
        "from airflow_provider_wolkvox.calling import CallingHours\n"
        "CallingHours.for_country('CO', purpose='collection', timezone='America/Bogota')\n"
        "CallingHours.careful('America/Bogota')\n"
        "CallingHours.weekly({'mon': '08:00-12:00'}, timezone='America/Bogota', holidays='CO')"
    )
    assert "airflow_provider_wolkvox.calling.hours" in loaded
    assert not loaded & {"holidays", "airflow", "requests", "pendulum"}


def test_a_name_that_calling_does_not_have_is_an_attribute_error():
    import airflow_provider_wolkvox.calling as calling

    assert {"CallingHours", "NeverOpens", "Rule"} <= set(dir(calling))
    with pytest.raises(AttributeError, match="has no attribute 'CallingHour'"):
        _ = calling.CallingHour
