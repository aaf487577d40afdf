"""What is shown of calls, to whom and when: the settings of all reports, and what they are made from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import Any

from airflow_provider_wolkvox.simulator.body import shortened, shown
from airflow_provider_wolkvox.simulator.replies import UndocumentedReplies
from airflow_provider_wolkvox.simulator.state.calls import CallRecord
from airflow_provider_wolkvox.simulator.state.directory import Directory

GMT_5 = timezone(timedelta(hours=-5))
"""The zone of campaign_3, always (doc). GUESS: the quota's day begins in it too."""

_REPORTS = ("cdr_1", "cdr_5", "agent_2", "calls_last_10", "agent_14", "act_3", "skill_2")
_OF_CAMPAIGNS = (
    "campaign_1",
    "campaign_2",
    "campaign_3",
    "campaign_4",
    "campaign_5",
    "campaign_15",
    "detail",
    "find_record",
    "campaigns",
)
NAMES = (*_REPORTS, *_OF_CAMPAIGNS)
"""All that tells of calls, by name: what a lag can be given for. `campaigns` are real time's counters."""

_SUMMED = ("cdr_1", "cdr_5", "campaign_1", "campaign_2", "campaign_4")
"""The reports that can have a row of sums."""

MOST_ROWS = 60_000
MOST_DAYS = 31
_SLOWEST_ROW = 3_600
_LARGEST_ROWS, _LARGEST_DAYS = 1_000_000, 36_500
_SECOND = timedelta(seconds=1)

ReportLag = float | Mapping[str, float]
"""Seconds until rows appear: the same for every report, or by the report's name."""


class ReportError(ValueError):
    """A setting of the reports that can't be; says what can."""


@dataclass(frozen=True, slots=True)
class ReportPolicy:
    """What the facts leave open about reports, in one place. Every default but the two limits is a GUESS.

    :param most_rows: rows of a reply, which is cut there without a word; default 60,000 (doc)
    :param most_days: days of the longest window; default 31 (doc)
    :param aux_call_type: the type_interaction of an aux_call; default `outbound_ma`
    :param hidden_prefix: a dial prefix that reports leave out of phones that begin with it; default none
    :param totals: the reports that end with a row of sums, of `cdr_1`, `cdr_5`, `campaign_1`, `campaign_2` and
        `campaign_4`; default the first two
    :param when_over: whether a row appears only once what it tells of is over (doc for agent_2: once the agent's
        state has changed again), to which `report_lag` is added; by default it appears as the phone rings. What a
        campaign dials is always told once it is over, since its end must not be known before.
    :param zone: the zone of every date but campaign_3's and its like, as `-05:00`, the default, or as a name such as
        `America/Bogota`
    :param bare_campaigns: whether real time shows campaigns without an envelope (both seen); by default with one
    :param logged_out: the state that real time shows of an agent who is not logged in, by default `Logout`; if empty,
        it shows no such agent
    :param status_when_done: the status of a campaign that is on with nothing left to dial (seen: it often stays
        `started`, which is the default)
    :param blanks: whether rows have an empty agent_name and destiny, and a cost of "0.00" (seen); by default they have
        the agent's name, "-" and "0"
    :param seconds_per_row: seconds that a reply takes for each of its rows (seen: 109 s for 45,909 rows of `cdr_1`);
        default 0
    :raises ReportError: for what can't be; tells what can
    """

    most_rows: int = MOST_ROWS
    most_days: int = MOST_DAYS
    aux_call_type: str = "outbound_ma"
    hidden_prefix: str = ""
    totals: tuple[str, ...] = ("cdr_1", "cdr_5")
    when_over: bool = False
    zone: str = "-05:00"
    bare_campaigns: bool = False
    logged_out: str = "Logout"
    status_when_done: str = "started"
    blanks: bool = False
    seconds_per_row: float = 0.0

    def __post_init__(self) -> None:
        for name, most in (("most_rows", _LARGEST_ROWS), ("most_days", _LARGEST_DAYS)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
                raise ReportError(f"{name} must be a whole number from 1 to {most}, not {shown(value)}")
        for name in ("aux_call_type", "hidden_prefix", "zone", "logged_out", "status_when_done"):
            if not isinstance(getattr(self, name), str):
                raise ReportError(f"{name} must be a text, not {shown(getattr(self, name))}")
        if not self.aux_call_type:
            raise ReportError("aux_call_type can't be empty")
        slow = self.seconds_per_row
        if not isinstance(slow, int | float) or isinstance(slow, bool) or not 0 <= slow <= _SLOWEST_ROW:
            raise ReportError(
                f"seconds_per_row must be a number of seconds from 0 to {_SLOWEST_ROW}, not {shown(slow)}"
            )
        for name in ("when_over", "bare_campaigns", "blanks"):
            if not isinstance(getattr(self, name), bool):
                raise ReportError(f"{name} must be true or false, not {shown(getattr(self, name))}")
        if not isinstance(self.totals, tuple) or any(name not in _SUMMED for name in self.totals):
            raise ReportError(f"totals are for {', '.join(_SUMMED)}, not {shown(self.totals)}")
        _zone(self.zone)

    def changed(self, changes: Mapping[str, object]) -> ReportPolicy:
        """Return this with some things put differently.

        :param changes: the new values by the names of their fields; `totals` may be a list, as in JSON
        :raises ReportError: for what can't be
        """
        names = [field.name for field in fields(self)]
        unknown = sorted(set(changes) - set(names))
        if unknown:
            raise ReportError(f"no such setting: {shortened(', '.join(unknown))}; there is {', '.join(names)}")
        values: dict[str, Any] = dict(changes)
        if isinstance(values.get("totals"), list):
            values["totals"] = tuple(values["totals"])
        return replace(self, **values)


@lru_cache
def _zone(text: str) -> tzinfo:
    try:
        if text[:1] in "+-":
            return timezone(datetime.strptime(text, "%z").utcoffset() or timedelta(0))
        # Only here, since not every machine has the data that it needs.
        from zoneinfo import ZoneInfo

        return ZoneInfo(text)
    except (ValueError, KeyError, OSError):
        raise ReportError(f'zone must be such as "-05:00" or "America/Bogota", not {shown(text)}') from None


Fields = dict[str, str]
"""A row of a report: every value is a text (seen)."""


@dataclass(frozen=True, slots=True)
class Wording:
    """How values are written: all of them are texts (seen)."""

    policy: ReportPolicy
    directory: Directory = field(default_factory=Directory)
    always_gmt_5: bool = False

    @property
    def zone(self) -> tzinfo:
        """The zone in which dates are read and written."""
        return GMT_5 if self.always_gmt_5 else _zone(self.policy.zone)

    def date(self, moment: datetime) -> str:
        """Return a time of the zone, `YYYY-MM-DD HH:MM:SS`."""
        return moment.astimezone(self.zone).strftime("%Y-%m-%d %H:%M:%S")

    def span(self, begun: datetime, over: datetime) -> str:
        """Return how long something took, `HH:MM:SS`."""
        return written((over - begun) // _SECOND)

    def phone(self, phone: str) -> str:
        """Return a phone, without the prefix that is hidden."""
        return phone.removeprefix(self.policy.hidden_prefix)

    def agent(self, agent_id: str) -> str:
        """Return an agent's name; "-" for nobody's."""
        return "" if self.policy.blanks else self.directory.agent_name(agent_id)

    @property
    def destiny(self) -> str:
        """Where a call went, of which nothing is known."""
        return "" if self.policy.blanks else "-"

    @property
    def cost(self) -> str:
        """What a call cost, of which nothing is known."""
        return "0.00" if self.policy.blanks else "0"

    def disposition(self, cod_act: str) -> str:
        """Return what a disposition is called; "-" for one that the operation lacks."""
        return self.directory.description(cod_act)


@dataclass(frozen=True, slots=True)
class Sight:
    """What a report is made from: the `calls` that are not held back, and what decides which rows appear `now`.

    To be used under the operation's lock.

    :param lag: seconds until rows appear, by the name of each report
    """

    calls: Iterable[CallRecord]
    now: datetime
    lag: Mapping[str, float]
    policy: ReportPolicy
    replies: UndocumentedReplies
    directory: Directory

    def until(self, name: str) -> datetime:
        """Return how far a report has come: what has happened since is not in it yet."""
        return self.now - timedelta(seconds=self.lag[name])

    def wording(self, *, always_gmt_5: bool = False) -> Wording:
        """Return how this operation's values are written."""
        return Wording(self.policy, self.directory, always_gmt_5)


def written(seconds: int) -> str:
    """Return whole seconds as wolkvox writes them, `HH:MM:SS`."""
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}"


def lag_by_report(given: ReportLag, before: Mapping[str, float] | None = None) -> dict[str, float]:
    """Return the lag of every report.

    :param given: seconds for all, or by the names of some
    :param before: seconds by the names of all, kept by those that `given` lacks; default 0 seconds
    :raises ReportError: for a name or a lag that can't be
    """
    if not isinstance(given, Mapping):
        given = dict.fromkeys(NAMES, given)
    unknown = sorted(set(given) - set(NAMES))
    if unknown:
        raise ReportError(f"no such report: {shortened(', '.join(unknown))}; there is {', '.join(NAMES)}")
    for name, seconds in given.items():
        if not isinstance(seconds, int | float) or isinstance(seconds, bool) or not 0 <= seconds < 1e9:
            raise ReportError(f"the lag of {name} must be a number of seconds from 0 up, not {shown(seconds)}")
    return {**(before or dict.fromkeys(NAMES, 0.0)), **given}
