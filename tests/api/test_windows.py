"""A long range of time is read in pieces: nothing is left out, nothing comes twice, and a cut reply is noticed."""

from __future__ import annotations

import weakref
from collections import Counter
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from airflow_provider_wolkvox.api.windows import FULL_REPLY, LONGEST_WINDOW, whole

SECOND = timedelta(seconds=1)
BOGOTA = ZoneInfo("America/Bogota")
MADRID = ZoneInfo("Europe/Madrid")
SANTIAGO = ZoneInfo("America/Santiago")
NOON = datetime(2026, 3, 2, 12, tzinfo=BOGOTA)


def clock(instant: datetime, zone=BOGOTA) -> datetime:
    """Return what the server writes and compares: the time of its clock, without a zone."""
    return instant.astimezone(zone).replace(tzinfo=None)


class Report:
    """A report that holds rows, takes both ends of a window in, and cuts a reply at `full` rows.

    It knows only what its clock shows: an hour that the clock repeats is one hour to it.
    """

    def __init__(self, moments, full: int = FULL_REPLY, zone=BOGOTA) -> None:
        self.rows = sorted(((number, clock(at, zone)) for number, at in enumerate(moments)), key=lambda row: row[1])
        self.full = full
        self.asked: list[tuple[datetime, datetime]] = []

    def __call__(self, start: datetime, end: datetime):
        assert start.tzinfo is end.tzinfo is None
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
    zone=st.sampled_from([UTC, BOGOTA, timezone(timedelta(hours=5, minutes=45))]),
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
            list(whole(report, since, until, BOGOTA, full=full))
        return

    rows = list(whole(report, since, until, BOGOTA, full=full))

    assert rows == report.rows
    assert all(end - start <= LONGEST_WINDOW for start, end in report.asked)
    assert all(clock(since) <= start <= end <= clock(until) for start, end in report.asked)


@settings(max_examples=100, deadline=None)
@given(offset=offsets, length=lengths)
def test_the_pieces_of_a_range_share_no_second_and_leave_none_out(offset, length):
    since = NOON + timedelta(seconds=offset)
    report = Report([])

    assert list(whole(report, since, since + timedelta(seconds=length), BOGOTA)) == []

    assert report.asked[0][0] == clock(since)
    assert report.asked[-1][1] == clock(since + timedelta(seconds=length))
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

    rows = list(whole(report, NOON + fraction, moments[-1] + fraction, BOGOTA, full=full))

    assert [at for _, at in rows] == [clock(at) for at in moments]


def test_a_full_reply_is_thrown_away_and_its_window_halved():
    report = Report([NOON, NOON + SECOND, NOON + 2 * SECOND, NOON + 3 * SECOND], full=3)

    rows = list(whole(report, NOON, NOON + 3 * SECOND, BOGOTA, full=3))

    assert [at for _, at in rows] == [clock(NOON) + number * SECOND for number in range(4)]
    assert [(start - clock(NOON), end - clock(NOON)) for start, end in report.asked] == [
        (timedelta(0), 3 * SECOND),
        (timedelta(0), SECOND),
        (2 * SECOND, 3 * SECOND),
    ]


def test_a_reply_of_one_row_less_than_full_is_taken_as_it_is():
    report = Report([NOON, NOON + SECOND], full=3)

    assert len(list(whole(report, NOON, NOON + SECOND, BOGOTA, full=3))) == 2
    assert len(report.asked) == 1


@pytest.mark.parametrize("length", [0, 1, 86_400])
def test_a_single_second_that_fills_a_reply_is_an_error_that_names_it(length):
    report = Report([NOON] * 5, full=5)

    with pytest.raises(ValueError, match=r"single second 2026-03-02 12:00:00 \(America/Bogota\) holds 5 rows or more"):
        list(whole(report, NOON, NOON + timedelta(seconds=length), BOGOTA, full=5))


def test_a_range_that_ends_before_it_begins_is_an_error_at_once_and_nothing_is_fetched():
    report = Report([])

    with pytest.raises(ValueError, match=r"ends .* before it begins"):
        whole(report, NOON, NOON - SECOND, BOGOTA)
    assert report.asked == []


@pytest.mark.parametrize("end", [clock(NOON), "20260302120000", None])
def test_an_end_without_a_zone_is_an_error_at_once_and_nothing_is_fetched(end):
    report = Report([])

    for since, until in [(NOON, end), (end, NOON), (end, end)]:
        with pytest.raises(ValueError, match="zone"):
            whole(report, since, until, BOGOTA)
    assert report.asked == []


def test_nothing_is_fetched_before_the_first_row_is_asked_for():
    report = Report([NOON])

    rows = whole(report, NOON, NOON, BOGOTA)

    assert report.asked == []
    assert next(rows)[1] == clock(NOON)


def test_a_range_within_one_second_is_that_second():
    report = Report([NOON])

    tenth = timedelta(milliseconds=100)

    assert len(list(whole(report, NOON + tenth, NOON + 9 * tenth, BOGOTA))) == 1
    assert report.asked == [(clock(NOON), clock(NOON))]


@pytest.mark.parametrize(("days", "pieces"), [(31, 2), (30, 1), (62, 3), (365, 12)])
def test_a_range_of_many_days_is_asked_in_pieces_of_at_most_31(days, pieces):
    report = Report([])

    list(whole(report, NOON, NOON + timedelta(days=days), BOGOTA))

    assert len(report.asked) == pieces
    assert max(end - start for start, end in report.asked) <= LONGEST_WINDOW


def test_the_rows_of_the_first_piece_come_before_the_second_one_is_fetched():
    report = Report([NOON, NOON + timedelta(days=40)])

    rows = whole(report, NOON, NOON + timedelta(days=41), BOGOTA)

    assert next(rows)[1] == clock(NOON)
    assert len(report.asked) == 1


# A server that takes too long


class SlowReport(Report):
    """One that does not answer a window of more than `most` in time."""

    def __init__(self, moments, most: timedelta, full: int = FULL_REPLY) -> None:
        super().__init__(moments, full)
        self.most = most
        self.too_long: list[timedelta] = []

    def __call__(self, start, end):
        if end - start <= self.most:
            return super().__call__(start, end)
        self.asked.append((start, end))
        self.too_long.append(end - start)
        return None


@settings(max_examples=200, deadline=None)
@given(
    length=lengths,
    places=st.lists(st.floats(0, 1), max_size=60),
    share=st.floats(0.02, 1),
    full=st.integers(7, 30),
)
def test_a_report_that_takes_too_long_is_read_whole_in_shorter_windows(length, places, share, full):
    moments = [NOON + timedelta(seconds=round(place * length)) for place in places]
    assume(not moments or Counter(moments).most_common(1)[0][1] < full)
    report = SlowReport(moments, timedelta(seconds=round(share * length)), full)

    rows = list(whole(report, NOON, NOON + timedelta(seconds=length), BOGOTA, full=full))

    assert rows == report.rows
    assert len(set(report.asked)) == len(report.asked)
    # Each time one fails, no window of about its length is asked for any more.
    assert all(after <= before * 3 / 4 for before, after in zip(report.too_long, report.too_long[1:], strict=False))


def test_a_year_of_windows_that_take_too_long_is_not_tried_window_by_window():
    report = SlowReport([NOON], timedelta(days=2))

    assert len(list(whole(report, NOON, NOON + timedelta(days=365), BOGOTA))) == 1

    assert [length // timedelta(days=1) for length in report.too_long] == [30, 15, 7, 3]


# One reply at a time


class Row:
    """Something whose end can be watched."""


def test_a_reply_is_let_go_row_by_row_and_before_the_next_one_is_asked_for():
    alive = weakref.WeakSet()
    most = []

    def fetch(start, end):
        most.append(len(alive))
        rows = [Row() for _ in range(5 if end - start > timedelta(days=1) else 3)]
        alive.update(rows)
        return rows

    left = []
    for row in whole(fetch, NOON, NOON + timedelta(days=3), BOGOTA, full=5):
        del row
        left.append(len(alive))

    # Full replies are dropped before their halves come; of the others only what is still to come is kept.
    assert set(most) == {0}
    assert left == [2, 1, 0] * (len(left) // 3)
    assert len(left) > 6


# A clock that is put forward and back

# Santiago puts its clock back at midnight, so that 23:00 to 24:00 of 4 April comes twice, and forward in September.
BACK = datetime(2026, 4, 5, 3, tzinfo=UTC)
FORWARD = datetime(2026, 9, 6, 4, tzinfo=UTC)
YEAR = 365 * 86_400
near = st.one_of(st.integers(-7500, 7500), st.integers(-YEAR, YEAR))


def repeated(at: datetime, zone=SANTIAGO) -> bool:
    """Return whether the clock shows a time twice."""
    return at.replace(tzinfo=zone, fold=0).utcoffset() > at.replace(tzinfo=zone, fold=1).utcoffset()


def test_the_clock_of_these_tests_is_put_back_and_forward_when_they_say():
    assert clock(BACK, SANTIAGO) == clock(BACK - 3600 * SECOND, SANTIAGO) == datetime(2026, 4, 4, 23)
    assert clock(FORWARD, SANTIAGO) - clock(FORWARD - SECOND, SANTIAGO) == timedelta(hours=1, seconds=1)


@settings(max_examples=400, deadline=None)
@given(
    change=st.sampled_from([BACK, FORWARD]),
    ends=st.tuples(near, near).map(sorted),
    rows=st.lists(near, max_size=60),
    full=st.integers(7, 30),
)
def test_every_row_comes_once_although_the_clock_is_put_back_or_forward_within_the_range(change, ends, rows, full):
    since, until = (change + timedelta(seconds=end) for end in ends)
    moments = [change + timedelta(seconds=row) for row in rows]
    report = Report(moments, full, SANTIAGO)
    within = {number for number, at in enumerate(moments) if since <= at <= until}
    assume(max(Counter(at for _, at in report.rows).values(), default=0) < full)

    found = list(whole(report, since, until, SANTIAGO, full=full))

    numbers = [number for number, _ in found]
    assert len(numbers) == len(set(numbers)), "a row came twice"
    assert within <= set(numbers), "a row was lost"
    # What a range gets beyond its own rows is of the hour that the clock shows twice, and cannot be told from them.
    assert all(number in within or repeated(at) for number, at in found)
    assert all(end - start < LONGEST_WINDOW for start, end in report.asked)


def test_a_window_cut_by_instants_would_double_the_repeated_hour():
    """The test of the test above: what it is there to find can be found."""
    report = Report([BACK - 1800 * SECOND], zone=SANTIAGO)

    by_instants = [
        row
        for start, end in [(BACK - 3600 * SECOND, BACK - SECOND), (BACK, BACK + 3599 * SECOND)]
        for row in report(clock(start, SANTIAGO), clock(end, SANTIAGO))
    ]

    assert len(by_instants) == 2
    assert len(list(whole(report, BACK - 3600 * SECOND, BACK + 3599 * SECOND, SANTIAGO))) == 1


def test_a_year_is_asked_in_pieces_as_if_the_clock_had_not_been_put_forward():
    report = Report([], zone=SANTIAGO)

    list(whole(report, FORWARD - timedelta(days=15), FORWARD + timedelta(days=15), SANTIAGO))

    assert len(report.asked) == 1


def test_no_piece_is_longer_than_31_days_when_the_clock_is_put_back_within_it():
    report = Report([], zone=MADRID)

    list(whole(report, datetime(2026, 10, 1, tzinfo=MADRID), datetime(2026, 12, 1, tzinfo=MADRID), MADRID))

    assert max(end - start for start, end in report.asked) <= LONGEST_WINDOW


def test_a_range_from_one_pass_of_the_repeated_hour_into_the_other_asks_for_what_the_clock_shows_then():
    since = datetime(2026, 10, 25, 2, 50, tzinfo=MADRID)
    until = datetime(2026, 10, 25, 2, 10, fold=1, tzinfo=MADRID)
    report = Report([since.astimezone(UTC) + timedelta(minutes=10)], zone=MADRID)

    assert len(list(whole(report, since, until, MADRID))) == 1
    assert report.asked == [
        (datetime(2026, 10, 25, 2), datetime(2026, 10, 25, 2, 10)),
        (datetime(2026, 10, 25, 2, 50), datetime(2026, 10, 25, 2, 59, 59)),
    ]


def test_a_full_reply_is_halved_without_loss_or_doubles_in_the_hour_that_the_clock_repeats():
    since = datetime(2026, 10, 25, 2, 0, tzinfo=MADRID)
    until = datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=MADRID)
    moments = [since.astimezone(UTC) + timedelta(minutes=minute) for minute in range(0, 90, 10)]
    report = Report(moments, full=3, zone=MADRID)

    assert list(whole(report, since, until, MADRID, full=3)) == report.rows
