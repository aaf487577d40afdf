"""Hours that are joined are open exactly where all of them are, by every clock that may be the customer's."""

from __future__ import annotations

import copy
import json
import pickle
from datetime import UTC, date, datetime, timedelta
from functools import reduce
from operator import and_
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_wolkvox.calling import CallingHours, JointHours, NeverOpens

TICK = timedelta(microseconds=1)
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
BOGOTA = "America/Bogota"

LAW = CallingHours.for_country("CO", purpose="collection", timezone=BOGOTA)
TEAM = CallingHours.weekly({"mon-sat": ["09:00-12:30", "14:00-20:00"]}, timezone=BOGOTA, holidays="2026-11-24")
EARLY = CallingHours.weekly({"mon": "06:00-08:00"}, timezone=BOGOTA)
LATE = CallingHours.weekly({"mon": "08:00-10:00"}, timezone=BOGOTA)


def local(text, zone=BOGOTA):
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


# What they say. Monday to Sunday: 2026-11-23 to 2026-11-29.


def test_the_law_and_the_team_s_own_window_are_open_where_both_are():
    hours = LAW & TEAM
    assert [hours.is_open(local(f"2026-11-23 {time}")) for time in ("08:00", "09:00", "13:00", "18:59", "19:00")] == [
        False,
        True,
        False,
        True,
        False,
    ]
    assert hours.why_closed(local("2026-11-23 09:00")) is None
    assert hours.why_closed(local("2026-11-23 08:00")) == "before 09:00 in America/Bogota"
    assert hours.why_closed(local("2026-11-23 19:30")) == "after 19:00 in America/Bogota"
    assert hours.why_closed(local("2026-11-24 10:00")) == "closed on 2026-11-24"
    assert hours.next_open(local("2026-11-23 19:00")) == local("2026-11-25 09:00")
    assert hours.next_open(local("2026-11-28 15:00")) == local("2026-11-30 09:00")


def test_an_open_instant_is_its_own_next_opening():
    at = local("2026-11-23 10:00")
    assert (LAW & TEAM).next_open(at) is at


def test_a_number_of_two_zones_is_called_only_where_both_are_open():
    law = CallingHours.for_country("EC", purpose="collection", timezone="America/Guayaquil")
    hours = law.in_zones(["America/Guayaquil", "Pacific/Galapagos"])  # an hour apart; 07:00-20:00 in each
    assert hours.next_open(local("2026-11-23 03:00", "America/Guayaquil")) == local("2026-11-23 07:00", "Etc/GMT+6")
    assert hours.why_closed(local("2026-11-23 07:30", "America/Guayaquil")) == "before 07:00 in Pacific/Galapagos"
    assert hours.is_open(local("2026-11-23 19:59", "America/Guayaquil"))
    assert hours.why_closed(local("2026-11-23 20:00", "America/Guayaquil")) == "after 20:00 in America/Guayaquil"


def test_each_of_joint_hours_is_moved_to_each_zone():
    zones = ["America/Lima", "America/Santiago"]
    assert (LAW & TEAM).in_zones(zones) == reduce(
        and_, (hours.in_zones([zone]) for hours in (LAW, TEAM) for zone in zones)
    )


def test_clocks_that_change_in_one_zone_only_move_the_opening():
    hours = CallingHours.careful("America/Phoenix", "US").in_zones(["America/Phoenix", "America/Denver"])
    # Phoenix keeps UTC-7 all year; Denver is an hour ahead of it from 8 March to 1 November 2026.
    assert hours.next_open(local("2026-03-06 05:00", "America/Phoenix")) == local("2026-03-06 08:00", "America/Phoenix")
    assert not hours.is_open(local("2026-03-09 18:00", "America/Phoenix"))  # 19:00 in Denver
    assert hours.next_open(local("2026-03-09 18:00", "America/Phoenix")) == local("2026-03-10 08:00", "America/Phoenix")
    assert hours.is_open(local("2026-11-02 18:59", "America/Phoenix"))


def test_hours_that_never_meet_are_a_clear_error():
    with pytest.raises(NeverOpens, match=r"nothing opens within 60 days from 2026-11-23T05:00:00-05:00: .* & "):
        (EARLY & LATE).next_open(local("2026-11-23 05:00"))
    closed = CallingHours.weekly(
        {"mon": "08:00-10:00"}, timezone=BOGOTA, holidays=[date(2026, 11, 1) + n * DAY for n in range(99)]
    )
    with pytest.raises(NeverOpens, match="nothing opens within 60 days from 2026-11-23T05:00:00-05:00"):
        (closed & LAW).next_open(local("2026-11-23 05:00"))


# What they are as a value


def test_hours_joined_with_themselves_are_the_same_hours():
    assert LAW & LAW == LAW
    assert (LAW & TEAM) & LAW == LAW & TEAM
    assert LAW.in_zones([BOGOTA]) == LAW.in_zones(BOGOTA) == LAW


def test_the_order_of_joining_changes_nothing():
    assert LAW & TEAM == TEAM & LAW
    assert (LAW & TEAM) & EARLY == LAW & (EARLY & TEAM)
    assert len({LAW & TEAM, TEAM & LAW, LAW & EARLY, LAW}) == 3
    assert LAW.in_zones(["America/Lima", BOGOTA]) == LAW.in_zones([BOGOTA, "America/Lima", BOGOTA])


@pytest.mark.parametrize("hours", [LAW & TEAM, LAW.in_zones([BOGOTA, "America/Lima"]) & EARLY], ids=["two", "three"])
def test_joint_hours_are_equal_by_value_through_every_copy(hours):
    copies = [
        eval(repr(hours), {"CallingHours": CallingHours}),
        JointHours.deserialize(json.loads(json.dumps(hours.serialize())), 1),
        pickle.loads(pickle.dumps(hours)),
        copy.deepcopy(hours),
    ]
    assert {hours, *copies} == {hours}


def test_joint_hours_of_a_newer_provider_are_refused():
    with pytest.raises(ValueError, match="newer version"):
        JointHours.deserialize((LAW & TEAM).serialize(), 2)


# What is refused


@pytest.mark.parametrize("hours", [LAW, LAW & TEAM], ids=["one", "joint"])
def test_hours_are_joined_only_with_hours(hours):
    with pytest.raises(TypeError):
        _ = hours & "09:00-17:00"


@pytest.mark.parametrize("hours", [LAW, LAW & TEAM], ids=["one", "joint"])
def test_no_zone_or_an_unknown_one_is_refused(hours):
    with pytest.raises(ValueError, match="at least one zone"):
        hours.in_zones([])
    with pytest.raises(ValueError, match="'Bogota' is no time zone; near it are America/Bogota"):
        hours.in_zones([BOGOTA, "Bogota"])


@pytest.mark.parametrize("ask", ["is_open", "next_open", "why_closed"])
def test_what_is_no_instant_is_refused(ask):
    with pytest.raises(ValueError, match="has no time zone, so it is no instant"):
        getattr(LAW & TEAM, ask)(datetime(2026, 11, 23, 10))


# For any hours, at any instant, on the days the clocks change too


ZONES = ["America/Bogota", "America/New_York", "America/Santiago", "Australia/Lord_Howe", "Africa/Casablanca", "UTC"]
CHANGES = [  # of the clocks, in the zones above, UTC
    "2026-03-08T07:00",
    "2026-11-01T06:00",
    "2026-04-05T03:00",
    "2026-09-06T04:00",
    "2026-04-04T15:00",
    "2026-10-03T15:30",
    "2026-02-15T02:00",
    "2026-03-22T02:00",
]
anytime = st.datetimes(datetime(2020, 1, 1), datetime(2035, 12, 31), timezones=st.just(UTC))
near_a_change = st.builds(
    lambda change, minutes: datetime.fromisoformat(change).replace(tzinfo=UTC) + minutes * MINUTE,
    st.sampled_from(CHANGES),
    st.integers(-2 * 24 * 60, 2 * 24 * 60),
)
instants = anytime | near_a_change


@st.composite
def single_hours(draw):
    windows = {}
    for day in draw(st.sets(st.sampled_from(["mon", "tue", "wed", "thu", "fri", "sat", "sun"]), min_size=4)):
        ends = sorted(draw(st.sets(st.integers(0, 48), min_size=2, max_size=4)))
        ends = [f"{n // 2:02d}:{n % 2 * 30:02d}" for n in ends]
        windows[day] = [f"{start}-{end}" for start, end in zip(ends[::2], ends[1::2], strict=False)]
    return CallingHours.weekly(
        windows, timezone=draw(st.sampled_from(ZONES)), holidays=draw(st.sampled_from(["", "CO"])) or None
    )


several = st.lists(single_hours(), min_size=2, max_size=4)
relaxed = settings(deadline=None, max_examples=200)


@relaxed
@given(several, instants)
def test_joint_hours_are_open_exactly_where_all_are(hours, at):
    joint = reduce(and_, hours)
    assert joint.is_open(at) == all(one.is_open(at) for one in hours)
    assert (joint.why_closed(at) is None) == joint.is_open(at)


@relaxed
@given(several, instants)
def test_the_next_opening_is_open_and_nothing_before_it_is(hours, at):
    joint = reduce(and_, hours)
    try:
        opens = joint.next_open(at)
    except NeverOpens:
        opens = None
    until = opens or at + timedelta(days=59)
    steps = (until - at) / 199
    assert not any(joint.is_open(at + n * steps) for n in range(199) if at + n * steps < until)
    if opens is not None:
        assert all(one.is_open(opens) for one in hours)
        assert joint.next_open(opens) == opens
        assert opens == at or not joint.is_open(opens - TICK)


@relaxed
@given(several, instants)
def test_the_next_opening_is_the_first_that_a_walk_by_the_minute_finds(hours, at):
    joint = reduce(and_, hours)
    walk = at = at.replace(second=0, microsecond=0)
    while not joint.is_open(walk) and walk < at + DAY / 2:
        walk += MINUTE
    try:
        opens = joint.next_open(at)
    except NeverOpens:
        assert walk == at + DAY / 2
    else:
        assert opens == walk if walk < at + DAY / 2 else opens >= walk


@relaxed
@given(single_hours(), st.sets(st.sampled_from(ZONES), min_size=1), instants)
def test_hours_in_several_zones_are_open_exactly_where_each_zone_s_are(hours, zones, at):
    assert hours.in_zones(zones).is_open(at) == all(hours.in_zones([zone]).is_open(at) for zone in zones)
    assert all(zone in repr(hours.in_zones(zones)) for zone in zones)


@relaxed
@given(several, st.permutations(range(4)))
def test_any_order_of_joining_makes_equal_hours_of_equal_hash(hours, order):
    other = [hours[n] for n in order if n < len(hours)]
    assert reduce(and_, hours) == reduce(and_, other)
    assert hash(reduce(and_, hours)) == hash(reduce(and_, other))
