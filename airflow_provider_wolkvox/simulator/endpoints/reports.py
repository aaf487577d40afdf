"""How reports of calls are asked for and answered, and when their rows appear. The reports are in `rows`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Generic, TypeVar

from airflow_provider_wolkvox.simulator import replies
from airflow_provider_wolkvox.simulator.replies import Envelope
from airflow_provider_wolkvox.simulator.state.calls import FIRST_YEAR, LAST_YEAR, CallRecord, Event
from airflow_provider_wolkvox.simulator.state.reporting import Fields, ReportPolicy, Sight, Wording

_TEN_MINUTES = timedelta(minutes=10)

Told = TypeVar("Told", CallRecord, Event)


@dataclass(frozen=True, slots=True)
class Report(Generic[Told]):
    """One report: what of a call has rows in it, and how a row is written.

    `needs` are the parameters it is asked with beyond the dates, and `chosen` the calls that they mean.
    `once_over` means that a row appears only once what it tells of is over, `always_gmt_5` that the zone of
    its dates is no setting. `gathered` makes fewer rows of many, `total` a row of sums.
    """

    name: str
    tells_of: Callable[[CallRecord], Iterable[Told]]
    written: Callable[[Told, Wording], Fields]
    needs: tuple[str, ...] = ()
    chosen: Callable[[CallRecord, Mapping[str, str]], bool] | None = None
    once_over: bool = False
    always_gmt_5: bool = False
    gathered: Callable[[list[Fields]], list[Fields]] | None = None
    total: Callable[[list[Fields]], Fields] | None = None


@dataclass(frozen=True, slots=True)
class Window:
    """A range of whole seconds, both ends in it."""

    first: datetime
    last: datetime

    def holds(self, date: datetime) -> bool:
        """Return whether a row is in the window.

        GUESS, here and nowhere else: a row is found by its `date` (a call's start, in agent_2 the state's
        start), as it is written, in whole seconds, and both ends of the window belong to it.
        """
        return self.first <= date.replace(microsecond=0) <= self.last


def ask_in_window(report: Report[Told], sight: Sight, parameters: Mapping[str, str]) -> Envelope:
    """Answer a report that is asked for a range of dates, and possibly for one agent, campaign or disposition."""
    words = sight.wording(always_gmt_5=report.always_gmt_5)
    window = read_window(parameters, sight, words.zone)
    if isinstance(window, Envelope):
        return window
    calls, chosen = sight.calls, report.chosen
    if chosen is not None:
        calls = (call for call in calls if chosen(call, parameters))
    return _answer(report, sight, calls, window, replies.NO_ROWS)


def ask_ever(report: Report[Told], sight: Sight, parameters: Mapping[str, str]) -> Envelope:
    """Answer a report that is asked for no dates."""
    first, last = (datetime(year, 1, 1, tzinfo=sight.now.tzinfo) for year in (FIRST_YEAR, LAST_YEAR))
    chosen = report.chosen
    calls = [call for call in sight.calls if chosen is None or chosen(call, parameters)]
    return _answer(report, sight, calls, Window(first, last), replies.NO_ROWS)


def ask_ten_minutes(report: Report[Told], sight: Sight) -> Envelope:
    """Answer a report on the ten minutes that have just gone by."""
    now = sight.now.replace(microsecond=0)
    return _answer(report, sight, sight.calls, Window(now - _TEN_MINUTES, now), sight.replies.no_recent_calls)


def read_window(parameters: Mapping[str, str], sight: Sight, zone: tzinfo) -> Window | Envelope:
    """Return the range of dates that is asked for, or what wolkvox says if it can't be."""
    try:
        window = Window(read_moment(parameters["date_ini"], zone), read_moment(parameters["date_end"], zone))
    except ValueError:
        return sight.replies.dates_wrong
    if window.last < window.first:
        return sight.replies.dates_reversed
    if window.last - window.first > timedelta(days=sight.policy.most_days):
        return sight.replies.range_too_long
    return window


def read_moment(text: str, zone: tzinfo) -> datetime:
    """Return the time that `YYYYmmddHHiiss` (doc) means in a zone.

    :raises ValueError: for a text that is no time
    """
    # strptime alone would take single digits and blanks too.
    if not re.fullmatch("[0-9]{14}", text):
        raise ValueError(text)
    moment = datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=zone)
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise ValueError(text)
    return moment


def _answer(
    report: Report[Told], sight: Sight, calls: Iterable[CallRecord], window: Window, if_empty: Envelope
) -> Envelope:
    until, once_over = sight.until(report.name), sight.policy.when_over or report.once_over
    found = [
        told
        for call in calls
        for told in report.tells_of(call)
        if window.holds(told.begun) and (told.over if once_over or call.by_campaign else call.begun) <= until
    ]
    if not found:
        return if_empty
    found.sort(key=lambda told: told.begun)
    words = sight.wording(always_gmt_5=report.always_gmt_5)
    rows = [report.written(told, words) for told in found]
    if report.gathered is not None:
        rows = report.gathered(rows)
    if report.total is not None and report.name in sight.policy.totals:
        rows.append(report.total(rows))
    return rows_told(rows, sight.policy)


def rows_told(rows: list[Fields], policy: ReportPolicy) -> Envelope:
    """Return the answer that holds these rows, or as many as an answer holds.

    GUESS: what is cut is the end, the sums with it, and msg tells what was sent: silently, as the facts say.
    """
    rows = rows[: policy.most_rows]
    return Envelope(200, None, replies.records_found(len(rows)), rows)


def listed(found: list[Fields], sight: Sight) -> Envelope:
    """Return the answer that holds these rows, or what is said if there are none."""
    return rows_told(found, sight.policy) if found else sight.replies.nothing_found
