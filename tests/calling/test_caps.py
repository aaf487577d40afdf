"""A cap: at most so many calls to one customer within a window that rolls."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_wolkvox.calling import Cap
from airflow_provider_wolkvox.calling.caps import allowed_from, parse_caps

NOW = datetime(2026, 11, 27, 15, tzinfo=UTC)
DAY = timedelta(hours=24)


def ago(*hours: float) -> list[datetime]:
    return [NOW - timedelta(hours=each) for each in hours]


@pytest.mark.parametrize(
    ("calls", "next_allowed"),
    [
        (ago(), None),
        (ago(1), None),
        (ago(1, 25), None),
        (ago(1, 24), None),
        (ago(1, 23), NOW + timedelta(hours=1)),
        (ago(1, 2, 3), NOW + timedelta(hours=22)),
    ],
)
def test_two_calls_within_24_hours_end_24_hours_after_the_second_last(calls, next_allowed):
    over = allowed_from([Cap(calls=2, within=DAY)], calls, NOW)
    assert over == (None if next_allowed is None else (Cap(2, DAY), next_allowed))


def test_of_several_caps_the_one_that_forbids_longest_decides():
    week = Cap(2, timedelta(days=7))
    assert allowed_from([Cap(1, DAY), week], ago(1, 30), NOW) == (week, NOW + timedelta(hours=7 * 24 - 30))
    assert allowed_from([Cap(1, DAY), week], ago(1), NOW) == (Cap(1, DAY), NOW + timedelta(hours=23))
    assert allowed_from([], ago(1), NOW) is None


@pytest.mark.parametrize("calls", [True, "2", 2.0, None])
def test_calls_must_be_an_int(calls):
    with pytest.raises(TypeError, match="calls must be an int"):
        Cap(calls=calls, within=DAY)


@pytest.mark.parametrize(("calls", "within"), [(0, DAY), (-1, DAY), (1, timedelta(0)), (1, -DAY)])
def test_calls_and_window_must_be_positive(calls, within):
    with pytest.raises(ValueError, match="Cap: "):
        Cap(calls=calls, within=within)


def test_the_window_must_be_a_timedelta():
    with pytest.raises(TypeError, match="within must be a timedelta"):
        Cap(calls=1, within=24)


def test_a_cap_reads_as_words():
    assert str(Cap(2, DAY)) == "2 calls within 1 day, 0:00:00"


# As a connection's field has them


@pytest.mark.parametrize(
    ("text", "caps"),
    [
        ("2 in 24 hours", [Cap(2, timedelta(hours=24))]),
        (" 1 within 1 hour ", [Cap(1, timedelta(hours=1))]),
        ("2 in 24 hours, 5 in 7 Days", [Cap(2, timedelta(hours=24)), Cap(5, timedelta(days=7))]),
        ("none", []),
        ("None ", []),
    ],
)
def test_a_text_gives_caps(text, caps):
    assert parse_caps(text) == caps


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2",
        "0 in 24 hours",
        "2 in 0 hours",
        "two in a day",
        "2 in 24 hours;",
        "-1 in 1 day",
        "2/24h",
        "2 in 24 hours,",
        "99999 in 1 day",
    ],
)
def test_a_text_that_gives_no_caps_is_rejected(text):
    with pytest.raises(ValueError, match="caps are written such as"):
        parse_caps(text)


@given(st.text())
def test_whatever_the_text_it_gives_caps_or_says_how_they_are_written(text):
    try:
        found, said = parse_caps(text), ""
    except ValueError as wrong:
        found, said = [], str(wrong)
    assert all(isinstance(cap, Cap) for cap in found)
    assert said.startswith("caps are written such as") or not said
