"""Long ranges of time, cut into pieces that the server can answer whole.

wolkvox answers at most 31 days a request, and cuts a reply silently at 60,000 rows [doc]: a full
reply is a truncated one, so its window is halved until none is full.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeVar

Row = TypeVar("Row")

LONGEST_WINDOW = timedelta(days=31)
FULL_REPLY = 60_000

_SECOND = timedelta(seconds=1)


def whole(
    fetch: Callable[[datetime, datetime], Sequence[Row]], since: datetime, until: datetime, *, full: int = FULL_REPLY
) -> Iterator[Row]:
    """Yield every row of a range, each once, oldest window first.

    GUESS: the server takes both ends of a window in, to the second. So the pieces here never share
    a second: each begins one second after the last one's end.

    :param fetch: answers the rows of one window, both ends included
    :param since: the first second, aware
    :param until: the last second, aware
    :param full: rows from which a reply counts as truncated
    :raises ValueError: the range ends before it begins, or one second alone fills a reply
    """
    # In UTC: reckoning in a zone of its own goes by the clock on the wall, which jumps twice a year.
    since, until = (end.astimezone(UTC).replace(microsecond=0) for end in (since, until))
    if until < since:
        raise ValueError(f"the range ends ({until.isoformat()}) before it begins ({since.isoformat()})")
    start = since
    while start <= until:
        end = min(start + LONGEST_WINDOW - _SECOND, until)
        yield from _halved(fetch, start, end, full)
        start = end + _SECOND


def _halved(
    fetch: Callable[[datetime, datetime], Sequence[Row]], start: datetime, end: datetime, full: int
) -> Iterator[Row]:
    rows = fetch(start, end)
    if len(rows) < full:
        yield from rows
        return
    if start == end:
        raise ValueError(f"the single second {start.isoformat()} holds {full} rows or more: it cannot be read whole")
    middle = (start + (end - start) / 2).replace(microsecond=0)
    yield from _halved(fetch, start, middle, full)
    yield from _halved(fetch, middle + _SECOND, end, full)
