"""A long range of time is read in pieces: nothing is left out, nothing comes twice, and a cut reply is noticed."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_wolkvox.api.windows import FULL_REPLY, LONGEST_WINDOW, whole

SECOND = timedelta(seconds=1)
NOON = datetime(2026, 3, 2, 12, tzinfo=timezone(timedelta(hours=-5)))
MADRID = ZoneInfo("Europe/Madrid")


class Report:
    """A report that holds rows at instants, takes both ends of a window in, and cuts a reply at `full` rows."""

    def __init__(self, moments, full: int = FULL_REPLY) -> None:
        self.rows = sorted(enumerate(moments), key=lambda row: row[1])
        self.full = full
        self.asked: list[tuple[datetime, datetime]] = []

    def __call__(self, start: datetime, end: datetime):
        # As on the wire: instants, whatever zone they are written in.
        start, end = start.astimezone(UTC), end.astimezone(UTC)
        self.asked.append((start, end))
        return [row for row in self.rows if start <= row[1] <= end][: self.full]


offsets = st.integers(0, 200 * 86_400)
lengths = st.one_of(
    st.integers(0, 120),
    st.integers(0, 100 * 86_400),
    st.sampled_from([31 * 86_400 + extra for extra in (-2, -1, 0, 1, 2)] + [62 * 86_400 + e for e in (-1, 0, 1)]),
)


@settings(max_examples=200, deadline=None)
@given(
    offset=offsets,
    length=lengths,
    places=st.lists(st.floats(0, 1), max_size=60),
    full=st.integers(7, 30),
    zone=st.sampled_from([UTC, NOON.tzinfo, timezone(timedelta(hours=5, minutes=45))]),
)
def test_every_row_comes_once_oldest_first_and_no_piece_is_longer_than_the_server_takes(
    offset, length, places, full, zone
):
    since = (NOON + timedelta(seconds=offset)).astimezone(zone)
    until = since + timedelta(seconds=length)
    moments = [(since + timedelta(seconds=round(place * length))).astimezone(UTC) for place in places]
    crowded = Counter(moments).most_common(1)
    report = Report(moments, full)
    if crowded and crowded[0][1] >= full:
        with pytest.raises(ValueError, match="single second"):
            list(whole(report, since, until, full=full))
        return

    rows = list(whole(report, since, until, full=full))

    assert rows == report.rows
    assert all(end - start <= LONGEST_WINDOW for start, end in report.asked)
    assert all(since <= start <= end <= until for start, end in report.asked)


@settings(max_examples=100, deadline=None)
@given(offset=offsets, length=lengths)
def test_the_pieces_of_a_range_share_no_second_and_leave_none_out(offset, length):
    since = NOON + timedelta(seconds=offset)
    report = Report([])

    assert list(whole(report, since, since + timedelta(seconds=length))) == []

    assert report.asked[0][0] == since
    assert report.asked[-1][1] == since + timedelta(seconds=length)
    assert all(
        after == before + SECOND for (_, before), (after, _) in zip(report.asked, report.asked[1:], strict=False)
    )


@settings(max_examples=40, deadline=None)
@given(length=st.integers(0, 90), full=st.integers(2, 8), of_a_second=st.integers(1, 999_999))
def test_rows_on_both_sides_of_a_shared_boundary_are_neither_lost_nor_doubled(length, full, of_a_second):
    # A row in every second of the range: wherever a piece ends, two rows stand at the seam.
    moments = [NOON + timedelta(seconds=second) for second in range(length + 1)]
    report = Report(moments, full)
    fraction = timedelta(microseconds=of_a_second)

    rows = list(whole(report, NOON + fraction, moments[-1] + fraction, full=full))

    assert [at for _, at in rows] == moments


def test_a_full_reply_is_thrown_away_and_its_window_halved():
    report = Report([NOON, NOON + SECOND, NOON + 2 * SECOND, NOON + 3 * SECOND], full=3)

    rows = list(whole(report, NOON, NOON + 3 * SECOND, full=3))

    assert [at for _, at in rows] == [NOON + number * SECOND for number in range(4)]
    assert [(start - NOON, end - NOON) for start, end in report.asked] == [
        (timedelta(0), 3 * SECOND),
        (timedelta(0), SECOND),
        (2 * SECOND, 3 * SECOND),
    ]


def test_a_reply_of_one_row_less_than_full_is_taken_as_it_is():
    report = Report([NOON, NOON + SECOND], full=3)

    assert len(list(whole(report, NOON, NOON + SECOND, full=3))) == 2
    assert len(report.asked) == 1


@pytest.mark.parametrize("length", [0, 1, 86_400])
def test_a_single_second_that_fills_a_reply_is_an_error_that_names_it(length):
    report = Report([NOON] * 5, full=5)

    with pytest.raises(ValueError, match="single second 2026-03-02T17:00:00\\+00:00 holds 5 rows or more"):
        list(whole(report, NOON, NOON + timedelta(seconds=length), full=5))


def test_a_range_that_ends_before_it_begins_is_an_error_and_nothing_is_fetched():
    report = Report([])

    with pytest.raises(ValueError, match=r"ends .* before it begins"):
        list(whole(report, NOON, NOON - SECOND))
    assert report.asked == []


def test_a_range_within_one_second_is_that_second():
    report = Report([NOON])

    assert len(list(whole(report, NOON + timedelta(milliseconds=900), NOON + timedelta(milliseconds=100)))) == 1
    assert report.asked == [(NOON, NOON)]


@pytest.mark.parametrize(("days", "pieces"), [(31, 2), (30, 1), (62, 3), (365, 12)])
def test_a_range_of_many_days_is_asked_in_pieces_of_at_most_31(days, pieces):
    report = Report([])

    list(whole(report, NOON, NOON + timedelta(days=days)))

    assert len(report.asked) == pieces
    assert max(end - start for start, end in report.asked) <= LONGEST_WINDOW


def test_the_rows_of_the_first_piece_come_before_the_second_one_is_fetched():
    report = Report([NOON, NOON + timedelta(days=40)])

    rows = whole(report, NOON, NOON + timedelta(days=41))

    assert next(rows)[1] == NOON
    assert len(report.asked) == 1


WALL_CLOCK = (
    "whole() reckons in the zone of its arguments, and Python reckons by the wall clock there: across a change of "
    "the clock a window is an hour longer or shorter. Right: convert both ends to UTC first."
)


def test_no_piece_is_longer_than_31_days_when_the_clock_is_put_back_within_it():
    report = Report([])

    list(whole(report, datetime(2026, 10, 1, tzinfo=MADRID), datetime(2026, 12, 1, tzinfo=MADRID)))

    assert max(end - start for start, end in report.asked) <= LONGEST_WINDOW


def test_the_hour_that_the_clock_repeats_is_a_range_like_any_other():
    since = datetime(2026, 10, 25, 2, 50, tzinfo=MADRID)
    until = datetime(2026, 10, 25, 2, 10, fold=1, tzinfo=MADRID)
    report = Report([since.astimezone(UTC) + timedelta(minutes=10)])

    assert len(list(whole(report, since, until))) == 1


def test_a_full_reply_is_halved_without_loss_or_doubles_in_the_hour_that_the_clock_repeats():
    since = datetime(2026, 10, 25, 2, 0, tzinfo=MADRID)
    until = datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=MADRID)
    moments = [since.astimezone(UTC) + timedelta(minutes=minute) for minute in range(0, 90, 10)]
    report = Report(moments, full=3)

    assert [at for _, at in whole(report, since, until, full=3)] == moments
