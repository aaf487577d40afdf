"""Long ranges of time, cut into pieces that the server can answer whole.

wolkvox answers at most 31 days a request, and cuts a reply silently at 60,000 rows [doc]: a full
reply is a truncated one, so its window is halved until none is full. So is the window of a reply that does not come
within the time limit.

The server knows only what the clock on the wall shows in its zone: it compares such times as they are
written. So windows are cut by that clock, too. Cut by instants, the hour that a zone with summer time
repeats would lie in two windows, each of which asks for all rows of both of its passes.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from typing import TypeVar

from airflow_provider_wolkvox.api import arguments

Row = TypeVar("Row")
# A first and a last second.
Window = tuple[datetime, datetime]

LONGEST_WINDOW = timedelta(days=31)
FULL_REPLY = 60_000

_SECOND = timedelta(seconds=1)
_DAY = timedelta(days=1)


def whole(
    fetch: Callable[[datetime, datetime], list[Row] | None],
    since: datetime,
    until: datetime,
    zone: tzinfo,
    *,
    full: int = FULL_REPLY,
) -> Iterator[Row]:
    """Return every row of a range, each once, oldest window first; nothing is fetched before the first is asked for.

    No more than one reply is held at any time, and of that only the rows that are still to come.

    GUESS: the server takes both ends of a window in, to the second. So the pieces here never share
    a second: each begins one second after the last one's end.

    In the hour that the clock shows twice, a row's time does not tell which pass it is of: a range that
    holds a part of one pass gets the rows of the other one's same minutes too. None is lost.

    Once a window has taken too long, no other one of about its length is asked for.

    :param fetch: answers the rows of one window, whose two ends, included, are times of the zone's clock
        without a zone; its list is emptied. None if the window took too long: it is asked for in halves then
    :param since: the first second, aware
    :param until: the last second, aware
    :param zone: the zone whose clock the server goes by
    :param full: rows from which a reply counts as truncated; default 60,000 [doc]
    :raises ValueError: at once: the range ends before it begins, or an end has no zone; while reading:
        one second alone fills a reply
    """
    arguments.instants(since, until)
    return _read(fetch, pieces(since, until, zone), zone, full)


def _read(
    fetch: Callable[[datetime, datetime], list[Row] | None], windows: list[Window], zone: tzinfo, full: int
) -> Iterator[Row]:
    windows.reverse()
    longest = LONGEST_WINDOW
    while windows:
        start, end = windows.pop()
        rows = fetch(start, end) if end - start <= longest else None
        if rows is None:
            # Halves differ by a second, so a limit at the very length would ask for this window's sibling again.
            longest = min(longest, (end - start) * 3 / 4)
        elif len(rows) < full:
            # Each row is let go as it is handed out.
            rows.reverse()
            while rows:
                yield rows.pop()
            continue
        # Before the next one comes.
        del rows
        if start == end:
            raise ValueError(f"the single second {start} ({zone}) holds {full} rows or more: it cannot be read whole")
        middle = (start + (end - start) / 2).replace(microsecond=0)
        windows += [(middle + _SECOND, end), (start, middle)]


def pieces(since: datetime, until: datetime, zone: tzinfo) -> list[Window]:
    """Return the windows of at most 31 days that a range is asked in at first, by the zone's clock.

    :param since: the first second, aware
    :param until: the last second, aware; before `since`, there are no windows
    :param zone: the zone whose clock the server goes by
    """
    windows: list[Window] = []
    for first, last in _shown(since, until, zone):
        start = first
        while start <= last:
            end = min(start + LONGEST_WINDOW - _SECOND, last)
            windows.append((start, end))
            start = end + _SECOND
    return windows


def _shown(since: datetime, until: datetime, zone: tzinfo) -> list[Window]:
    """Return what a zone's clock shows during a range, as stretches that share no second, in their order."""
    start, until = (end.astimezone(UTC).replace(microsecond=0) for end in (since, until))
    stretches: list[Window] = []
    while start <= until:
        end = _before_the_next_change(start, until, zone)
        first, last = _clock(start, zone), _clock(end, zone)
        if stretches and first > stretches[-1][1]:
            # Put forward: the hour that the clock leaves out holds no rows, and need not divide a window.
            first = stretches.pop()[0]
        stretches.append((first, last))
        start = end + _SECOND
    stretches.sort()
    joined = stretches[:1]
    for first, last in stretches[1:]:
        if first <= joined[-1][1] + _SECOND:
            joined[-1] = (joined[-1][0], max(joined[-1][1], last))
        else:
            joined.append((first, last))
    return joined


def _before_the_next_change(start: datetime, until: datetime, zone: tzinfo) -> datetime:
    """Return the last second from `start` on, `until` at the latest, before the clock is put forward or back."""
    offset = start.astimezone(zone).utcoffset()
    while start < until:
        step = min(_DAY, until - start)
        if (start + step).astimezone(zone).utcoffset() == offset:
            start += step
            continue
        seconds = range(int(step.total_seconds()) + 1)
        changed = bisect_left(seconds, True, key=lambda s: (start + s * _SECOND).astimezone(zone).utcoffset() != offset)
        return start + (changed - 1) * _SECOND
    return until


def _clock(instant: datetime, zone: tzinfo) -> datetime:
    return instant.astimezone(zone).replace(tzinfo=None)
