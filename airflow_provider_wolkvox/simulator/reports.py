"""The reports of calls: which calls each tells of, in which words, and when their rows appear.

To add a report: say what of a call it tells of, write one row's fields, and give it a line in `REPORTS`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta, timezone
from typing import Any, Generic, TypeVar

from airflow_provider_wolkvox.simulator import replies
from airflow_provider_wolkvox.simulator.calls import CallRecord, Event
from airflow_provider_wolkvox.simulator.replies import Envelope, UndocumentedReplies

# GUESS: doc for campaign_3 ("always GMT-5"); the other reports fit it too, and so may the quota's day.
OPERATION_ZONE = timezone(timedelta(hours=-5))

MOST_ROWS = 60_000
MOST_DAYS = 31
_TEN_MINUTES = timedelta(minutes=10)
_SECOND = timedelta(seconds=1)

ReportLag = float | Mapping[str, float]
"""Seconds until rows appear: the same for every report, or by the report's name."""


class ReportError(ValueError):
    """A setting of the reports that can't be; says what can."""


@dataclass(frozen=True, slots=True)
class ReportManner:
    """What the facts leave open about reports, in one place. Every default but the two limits is a GUESS.

    `most_rows` (doc: 60,000) cuts a reply without a word, `most_days` (doc: 31) is the longest window.
    `aux_call_type` is the type_interaction of an aux_call. `hidden_prefix` is a dial prefix that reports
    leave out of phones that begin with it. `totals` names the reports that end with a row of sums. With
    `when_over` a row appears only once what it tells of is over (doc for agent_2: once the agent's state
    has changed again), and `report_lag` is added to that; without, it appears as the phone rings.
    """

    most_rows: int = MOST_ROWS
    most_days: int = MOST_DAYS
    aux_call_type: str = "outbound_ma"
    hidden_prefix: str = ""
    totals: tuple[str, ...] = ("cdr_1", "cdr_5")
    when_over: bool = False

    def __post_init__(self) -> None:
        for name in ("most_rows", "most_days"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ReportError(f"{name} must be a whole number from 1 up, not {value!r}")
        for name in ("aux_call_type", "hidden_prefix"):
            if not isinstance(getattr(self, name), str):
                raise ReportError(f"{name} must be a text, not {getattr(self, name)!r}")
        if not self.aux_call_type:
            raise ReportError("aux_call_type can't be empty")
        if not isinstance(self.when_over, bool):
            raise ReportError(f"when_over must be true or false, not {self.when_over!r}")
        possible = [report.name for report in REPORTS if report.total is not None]
        if not isinstance(self.totals, tuple) or any(name not in possible for name in self.totals):
            raise ReportError(f"totals are for {', '.join(possible)}, not {self.totals!r}")

    def changed(self, changes: Mapping[str, object]) -> ReportManner:
        """Return this with some things put differently; `ReportError` for what can't be."""
        names = [field.name for field in fields(self)]
        unknown = sorted(set(changes) - set(names))
        if unknown:
            raise ReportError(f"no such setting: {', '.join(unknown)}; there is {', '.join(names)}")
        values: dict[str, Any] = dict(changes)
        if isinstance(values.get("totals"), list):
            values["totals"] = tuple(values["totals"])
        return replace(self, **values)

    def shown(self, phone: str) -> str:
        """Return a phone as reports write it."""
        return phone.removeprefix(self.hidden_prefix)


Told = TypeVar("Told", CallRecord, Event)
Fields = dict[str, str]


@dataclass(frozen=True, slots=True)
class Report(Generic[Told]):
    """One report: what of a call has rows in it, how a row is written, and its row of sums, if it can have one.

    `of_agent` means that it is asked for one agent.
    """

    name: str
    tells_of: Callable[[CallRecord], Iterable[Told]]
    written: Callable[[Told, ReportManner], Fields]
    total: Callable[[list[Fields]], Fields] | None = None
    of_agent: bool = False


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


@dataclass(frozen=True, slots=True)
class Sight:
    """What a report is made from: the `calls` that are not held back, and what decides which rows appear `now`.

    To be used under the operation's lock.
    """

    calls: Iterable[CallRecord]
    now: datetime
    lag: Mapping[str, float]
    manner: ReportManner
    replies: UndocumentedReplies


def ask_in_window(report: Report[Told], sight: Sight, parameters: Mapping[str, str]) -> Envelope:
    """Answer a report that is asked for a range of dates, and possibly for one agent."""
    window = _window(parameters, sight)
    if isinstance(window, Envelope):
        return window
    calls = sight.calls
    if report.of_agent:
        calls = (call for call in calls if call.agent_id == parameters["agent_id"])
    return _answer(report, sight, calls, window, replies.NO_ROWS)


def ask_ten_minutes(report: Report[Told], sight: Sight) -> Envelope:
    """Answer a report on the ten minutes that have just gone by."""
    now = sight.now.replace(microsecond=0)
    return _answer(report, sight, sight.calls, Window(now - _TEN_MINUTES, now), sight.replies.no_recent_calls)


def _window(parameters: Mapping[str, str], sight: Sight) -> Window | Envelope:
    try:
        window = Window(_moment(parameters["date_ini"]), _moment(parameters["date_end"]))
    except ValueError:
        return sight.replies.dates_wrong
    if window.last < window.first:
        return sight.replies.dates_reversed
    if window.last - window.first > timedelta(days=sight.manner.most_days):
        return sight.replies.range_too_long
    return window


def _moment(text: str) -> datetime:
    # strptime alone would take single digits and blanks too.
    if not re.fullmatch("[0-9]{14}", text):
        raise ValueError(text)
    return datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=OPERATION_ZONE)


def _answer(
    report: Report[Told], sight: Sight, calls: Iterable[CallRecord], window: Window, if_empty: Envelope
) -> Envelope:
    manner, lag = sight.manner, timedelta(seconds=sight.lag[report.name])
    found = [
        told
        for call in calls
        for told in report.tells_of(call)
        if window.holds(told.begun) and (told.over if manner.when_over else call.begun) + lag <= sight.now
    ]
    if not found:
        return if_empty
    found.sort(key=lambda told: told.begun)
    rows = [report.written(told, manner) for told in found]
    if report.total is not None and report.name in manner.totals:
        rows.append(report.total(rows))
    # GUESS: what is cut is the end, the sums with it, and msg tells what was sent: silently, as the facts say.
    rows = rows[: manner.most_rows]
    return Envelope(200, None, replies.records_found(len(rows)), rows)


# Rows. Field names and their order are doc and seen; what an unknown field holds ("-" or "") is seen for
# each, which report uses which is a GUESS, as are the values of cost and destiny.


def _cdr_1(call: CallRecord, manner: ReportManner) -> Fields:
    what = call.what
    return {
        "agent_name": _agent_name(call.agent_id),
        "date": _date(call.begun),
        "destiny": "-",
        "telephone": manner.shown(call.phone),
        "cost": "0",
        "time_seg": str(what.talk_seconds),
        "time_min": f"{what.talk_seconds / 60:.2f}",
        "cod_act": what.cod_act or "-",
        "description_cod_act": "-",
        "cod_act_2": what.cod_act_2 or "-",
        "description_cod_act_2": "-",
        "type_interaction": call.type_interaction,
        "customer_id": call.customer_id or "-",
        "hang_up": what.hang_up or "-",
        "campaign_id": call.campaign_id or "-",
        "conn_id": call.conn_id,
        "skill_id": call.skill_id or "-",
        "skill_name": "-",
        "agent_id": call.agent_id or "-",
        "comment": "",
    }


def _cdr_5(call: CallRecord, manner: ReportManner) -> Fields:
    return {
        "agent_name": _agent_name(call.agent_id),
        "date": _date(call.begun),
        "destiny": "-",
        "telephone": manner.shown(call.phone),
        "ring_time": str(call.what.ring_seconds),
        # The vendor's page writes "No answer", "Busy" here (doc).
        "result": call.what.result.replace("-", " ").capitalize(),
        "type_interaction": call.type_interaction,
        "customer_id": call.customer_id or "-",
        "campaign_id": call.campaign_id or "-",
        "conn_id": call.conn_id,
        "agent_id": call.agent_id or "-",
    }


def _agent_2(event: Event, manner: ReportManner) -> Fields:
    call = event.call
    return {
        "agent_id": event.agent_id,
        "agent_status": event.status,
        "time": _span(event.begun, event.over),
        "date_ini": _date(event.begun),
        "date_end": _date(event.over),
        "conn_id": call.conn_id if call else "",
        "type_interaction": call.type_interaction if call else "",
        "destiny": "",
        "telephone": manner.shown(call.phone) if call else "",
        "campaign_id": call.campaign_id if call else "",
    }


def _calls_last_10(call: CallRecord, manner: ReportManner) -> Fields:
    return {
        "type_interaction": call.type_interaction,
        # The vendor's page writes "no answer", "answer machine" here (doc).
        "result": call.what.result.replace("-", " ").lower(),
        "date": _date(call.begun),
        "telephone": manner.shown(call.phone),
        "customer_id": call.customer_id,
        "conn_id": call.conn_id,
    }


def _total(*summed: str) -> Callable[[list[Fields]], Fields]:
    def total(rows: list[Fields]) -> Fields:
        values = dict.fromkeys(rows[0], "")
        values["agent_name"] = "TOTAL"
        for name in summed:
            numbers = [float(row[name]) for row in rows]
            values[name] = f"{sum(numbers):.2f}" if "." in rows[0][name] else str(int(sum(numbers)))
        return values

    return total


def _agent_name(agent_id: str) -> str:
    return f"AGENT {agent_id}" if agent_id else "-"


def _date(moment: datetime) -> str:
    return moment.astimezone(OPERATION_ZONE).strftime("%Y-%m-%d %H:%M:%S")


def _span(begun: datetime, over: datetime) -> str:
    minutes, seconds = divmod((over - begun) // _SECOND, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}"


def _connected(call: CallRecord) -> Iterable[CallRecord]:
    return (call,) if call.what.connected else ()


def _not_connected(call: CallRecord) -> Iterable[CallRecord]:
    return () if call.what.connected else (call,)


def _any(call: CallRecord) -> Iterable[CallRecord]:
    return (call,)


def _events(call: CallRecord) -> Iterable[Event]:
    return call.events


CDR_1 = Report("cdr_1", _connected, _cdr_1, _total("cost", "time_seg", "time_min"))
CDR_5 = Report("cdr_5", _not_connected, _cdr_5, _total("ring_time"))
AGENT_2 = Report("agent_2", _events, _agent_2, of_agent=True)
CALLS_LAST_10 = Report("calls_last_10", _any, _calls_last_10)

REPORTS = (CDR_1, CDR_5, AGENT_2, CALLS_LAST_10)


def lag_by_report(given: ReportLag, before: Mapping[str, float] | None = None) -> dict[str, float]:
    """Return the lag of every report; those that a mapping lacks keep theirs. `ReportError` for what is none."""
    names = [report.name for report in REPORTS]
    if not isinstance(given, Mapping):
        given = dict.fromkeys(names, given)
    unknown = sorted(set(given) - set(names))
    if unknown:
        raise ReportError(f"no such report: {', '.join(unknown)}; there is {', '.join(names)}")
    for name, seconds in given.items():
        if not isinstance(seconds, int | float) or isinstance(seconds, bool) or not 0 <= seconds < 1e9:
            raise ReportError(f"the lag of {name} must be a number of seconds from 0 up, not {seconds!r}")
    return {**(before or dict.fromkeys(names, 0.0)), **given}
