"""Whether a customer may be called now, and if not, when next.

Not legal advice: `countries` holds the law as read, with its sources. All windows are the callee's
wall clock, so they follow its changes: on the day a clock is put back, an hour inside a window is
open twice; one that is skipped does not exist.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import Any, ClassVar, Final, TypeAlias
from zoneinfo import ZoneInfo

from airflow_provider_wolkvox.calling.countries import (
    CAREFUL,
    COUNTRIES,
    DAYS,
    SHORT_DAYS,
    Rule,
    Week,
    clock,
    rule_for,
    week,
)
from airflow_provider_wolkvox.phone import shown

HORIZON: Final = timedelta(days=60)
"""How far ahead `next_open` looks. No law here is closed for longer; a list of closed dates can be."""

# Clocks change at most once in this time, so the two ends of a stretch tell whether they did.
_STRETCH: Final = timedelta(hours=6)
_NOT_ZONES: Final = ("posix/", "right/", "localtime", "posixrules", "Factory")


class NeverOpens(ValueError):
    """Nothing opens within the horizon: the windows and the closed dates leave no instant to call at."""


@dataclass(frozen=True, repr=False, slots=True)
class CallingHours:
    """When customers in one time zone may be called.

    Made by `for_country` (the law), `careful` (fits every law here) or `weekly` (your own)::

        hours = CallingHours.for_country("CO", purpose="collection", timezone="America/Bogota")
        hours.is_open(now)      # False
        hours.why_closed(now)   # 'after 19:00 in America/Bogota'
        hours.next_open(now)    # the first instant from now at which it is open

    `hours & other` is open only where both are, and `hours.in_zones(zones)` only where it is open by the
    clock of each zone.

    Immutable, equal and hashable by value. `repr` is an expression that makes it again; so is what
    `serialize` returns, for `deserialize`, in plain JSON.

    :param timezone: the callee's IANA time zone
    :param week: when customers may be called, by the wall clock of that zone
    :param holidays: ISO 3166 codes of the countries whose public holidays are closed, as `holidays` knows them
    :param closed_dates: what is closed besides
    :param rule: the law that all this is from; None for hours that no law sets
    """

    timezone: str
    week: Week
    holidays: tuple[str, ...] = ()
    closed_dates: frozenset[date] = frozenset()
    rule: Rule | None = None

    __version__: ClassVar[int] = 1

    @classmethod
    def for_country(cls, country: str, *, purpose: str, timezone: str) -> CallingHours:
        """Return the hours that a country's law sets for calls of a purpose; `rule` says where from.

        `purpose="requested"`, a call that the customer asked for, is open at any time, holidays too. The
        laws set no window for such a call: the customer did, and only whoever plans the call knows it. A
        window that we made up would be neither the law nor the customer's wish, and could make the call
        miss the hour that was asked for. So say it: bound the call by `call_before`, or give
        `weekly(...)` the hours in which you return calls.

        Where the law only asks for consent, or none was found, the hours are the careful ones, and
        `rule.hours_from` says so.

        :param country: ISO 3166 code: CO, EC, PE, CL, MX or US
        :param purpose: `collection`, `commercial` or `requested`
        :param timezone: the callee's IANA time zone
        :raises ValueError: an unknown country, purpose or time zone; the message lists what is known
        """
        rule = rule_for(country, purpose)
        return cls(_zone(timezone), rule.week, (rule.country,) if rule.holidays else (), rule=rule)

    @classmethod
    def careful(cls, timezone: str, country: str | None = None) -> CallingHours:
        """Return hours that lie inside the law's window of every country here: Mon-Fri 08:00-19:00, no holidays.

        :param timezone: the callee's IANA time zone
        :param country: whose public holidays are closed, any that the `holidays` library knows; without one,
            a holiday in any country of `for_country` is closed, as the callee may be in each
        """
        return cls(_zone(timezone), CAREFUL, tuple(sorted(COUNTRIES)) if country is None else (_country(country),))

    @classmethod
    def weekly(
        cls,
        windows: Mapping[str, str | Iterable[str]],
        *,
        timezone: str,
        holidays: str | Iterable[str | date] | None = None,
    ) -> CallingHours:
        """Return your own hours.

        Example::

            CallingHours.weekly(
                {"mon-fri": ["08:00-12:00", "14:00-18:00"], "sat": "09:00-13:00"},
                timezone="America/Bogota",
                holidays=["CO", "2026-12-24"],
            )

        :param windows: for each day or stretch of days (`mon`, `mon-fri`), its windows: half-open, up to 24:00
        :param timezone: the callee's IANA time zone
        :param holidays: what is closed besides: a country's public holidays by its code, dates, or both
        :raises ValueError: a window that is empty, backwards or overlaps another; an unknown zone or country
        """
        countries: set[str] = set()
        dates: set[date] = set()
        if holidays is not None and not isinstance(holidays, Iterable):
            raise ValueError("holidays must be a country's code, dates, or both in a list")
        for closed in (holidays,) if isinstance(holidays, str) else (holidays or ()):
            if isinstance(closed, date) and not isinstance(closed, datetime):
                dates.add(date(closed.year, closed.month, closed.day))
            elif isinstance(closed, str) and "-" in closed:
                dates.add(_date(closed))
            else:
                countries.add(_country(closed))
        return cls(_zone(timezone), week(windows), tuple(sorted(countries)), frozenset(dates))

    def is_open(self, at: datetime) -> bool:
        """Return whether a customer may be called at an instant.

        :param at: the instant, an aware datetime
        :raises ValueError: the instant has no time zone, or is in a year whose holidays nobody knows
        """
        wall = self._wall(utc(at))
        minute = wall.hour * 60 + wall.minute
        for window in self.week[wall.weekday()]:
            if window.start <= minute < window.end:
                return self._closed_day(wall.date()) is None
        return False

    def why_closed(self, at: datetime) -> str | None:
        """Return why a customer may not be called at an instant, None if it is open.

        :raises ValueError: as for `is_open`
        """
        wall = self._wall(utc(at))
        windows = self.week[wall.weekday()]
        if not windows:
            return f"{DAYS[wall.weekday()]} in {self.timezone}"
        if closed := self._closed_day(wall.date()):
            return closed
        minute = wall.hour * 60 + wall.minute
        if minute < windows[0].start:
            return f"before {clock(windows[0].start)} in {self.timezone}"
        if minute >= windows[-1].end:
            return f"after {clock(windows[-1].end)} in {self.timezone}"
        for window, following in pairwise(windows):
            if window.end <= minute < following.start:
                return f"between {clock(window.end)} and {clock(following.start)} in {self.timezone}"
        return None

    def next_open(self, at: datetime) -> datetime:
        """Return the first instant from `at` on at which it is open: `at` itself, or a later one in UTC.

        In UTC because two times in one zone compare by their wall clocks, wrongly so on the day the
        clocks are put back.

        :raises NeverOpens: nothing opens within `HORIZON`
        :raises ValueError: as for `is_open`
        """
        if self.is_open(at):
            return at
        start = utc(at)
        last = start + HORIZON
        while start < last:
            # Between two changes of the clocks the wall runs like UTC, so its windows can be read off it.
            end = self._until_clocks_change(start)
            offset = self._offset(start)
            opens = self._first_open(_bare(start) + offset, _bare(end) + offset)
            if opens is not None:
                return (opens - offset).replace(tzinfo=UTC)
            start = end
        raise NeverOpens(f"nothing opens within {HORIZON.days} days from {at.isoformat()}: {self!r}")

    def in_zones(self, zones: Iterable[str]) -> Hours:
        """Return these hours by other clocks: open only where they are open in every one of the zones.

        For a customer who may be in any of several zones. Hours that do not follow the customer, such as the
        team's own, are joined afterwards: `law.in_zones(zones) & team`.

        :param zones: IANA time zones, at least one
        :raises ValueError: an unknown zone, or none
        """
        return _joint(replace(self, timezone=_zone(zone)) for zone in _named(zones))

    def __and__(self, other: Hours) -> Hours:
        """Return hours that are open only where both are."""
        return _joint((self, other)) if isinstance(other, (CallingHours, JointHours)) else NotImplemented

    def serialize(self) -> dict[str, Any]:
        """Return what `deserialize` takes, in plain JSON.

        The law is named, not copied: hours `for_country` come back with the law as known there and then.
        """
        if self.rule is not None:
            return {"country": self.rule.country, "purpose": self.rule.purpose, "timezone": self.timezone}
        return {"weekly": self._windows(), "timezone": self.timezone, "holidays": self._closed()}

    @staticmethod
    def deserialize(data: dict[str, Any], version: int = 1) -> CallingHours:
        """Return the hours that `serialize` described.

        :param data: what it returned
        :param version: the form's, which Airflow kept with it
        :raises ValueError: a newer version of this provider wrote it, or it describes what cannot be
        """
        if version > CallingHours.__version__:
            raise ValueError(f"these calling hours were written by a newer version ({version}) of this provider")
        if "country" in data:
            return CallingHours.for_country(data["country"], purpose=data["purpose"], timezone=data["timezone"])
        return CallingHours.weekly(data["weekly"], timezone=data["timezone"], holidays=data["holidays"])

    def __repr__(self) -> str:
        if self.rule is not None:
            return (
                f"CallingHours.for_country({self.rule.country!r}, purpose={self.rule.purpose!r}, "
                f"timezone={self.timezone!r})"
            )
        return f"CallingHours.weekly({self._windows()!r}, timezone={self.timezone!r}, holidays={self._closed()!r})"

    def _windows(self) -> dict[str, list[str]]:
        """Return the week as `weekly` takes it, days of the same windows together."""
        runs: list[list[int]] = []
        for day, windows in enumerate(self.week):
            if not windows:
                continue
            if runs and runs[-1][-1] == day - 1 and self.week[day - 1] == windows:
                runs[-1].append(day)
            else:
                runs.append([day])
        return {
            "-".join(dict.fromkeys((SHORT_DAYS[run[0]], SHORT_DAYS[run[-1]]))): [
                str(window) for window in self.week[run[0]]
            ]
            for run in runs
        }

    def _closed(self) -> list[str]:
        return [*self.holidays, *(day.isoformat() for day in sorted(self.closed_dates))]

    def _closed_day(self, day: date) -> str | None:
        if day in self.closed_dates:
            return f"closed on {day.isoformat()}"
        for country in self.holidays:
            if name := _public_holidays(country, day.year).get(day):
                return f"public holiday: {name} ({country})"
        return None

    def _first_open(self, start: datetime, end: datetime) -> datetime | None:
        """Return the first open time of the wall clock in [start, end), along which no clock changes."""
        midnight = start.replace(hour=0, minute=0, second=0, microsecond=0)
        while midnight < end:
            for window in self.week[midnight.weekday()]:
                opens = max(start, midnight + timedelta(minutes=window.start))
                if opens < min(end, midnight + timedelta(minutes=window.end)):
                    if self._closed_day(midnight.date()) is not None:
                        break
                    return opens
            midnight += timedelta(days=1)
        return None

    def _until_clocks_change(self, start: datetime) -> datetime:
        """Return the next change of the clocks after `start`, or the end of its stretch if there is none in it."""
        start = start.replace(microsecond=0)
        before = self._offset(start)
        if self._offset(start + _STRETCH) == before:
            return start + _STRETCH
        # Clocks change on a whole second: halve until one remains.
        same, changed = 0, int(_STRETCH.total_seconds())
        while changed - same > 1:
            middle = (same + changed) // 2
            if self._offset(start + timedelta(seconds=middle)) == before:
                same = middle
            else:
                changed = middle
        return start + timedelta(seconds=changed)

    def _wall(self, at: datetime) -> datetime:
        return at.astimezone(ZoneInfo(self.timezone))

    def _offset(self, at: datetime) -> timedelta:
        return self._wall(at).utcoffset() or timedelta()


@dataclass(frozen=True, repr=False, slots=True)
class JointHours:
    """Several calling hours at once: open only where all of them are.

    Made by `&` and by `in_zones`::

        hours = law & CallingHours.weekly({"mon-fri": "09:00-17:00"}, timezone="America/Bogota")

    Asked like `CallingHours`. Equal and hashable by value, whatever the order in which they were joined;
    `repr` is an expression that makes it again, and so is what `serialize` returns, for `deserialize`.

    :param all_of: two or more different hours, in the order of their `repr`
    """

    all_of: tuple[CallingHours, ...]

    __version__: ClassVar[int] = 1

    def is_open(self, at: datetime) -> bool:
        """Return whether a customer may be called at an instant.

        :param at: the instant, an aware datetime
        :raises ValueError: as for `CallingHours.is_open`
        """
        return all(hours.is_open(at) for hours in self.all_of)

    def why_closed(self, at: datetime) -> str | None:
        """Return why the first of them that is closed at an instant is, None if it is open.

        :raises ValueError: as for `is_open`
        """
        return next((why for hours in self.all_of if (why := hours.why_closed(at)) is not None), None)

    def next_open(self, at: datetime) -> datetime:
        """Return the first instant from `at` on at which all are open: `at` itself, or a later one in UTC.

        :raises NeverOpens: they are never open together within `HORIZON`
        :raises ValueError: as for `is_open`
        """
        if self.is_open(at):
            return at
        opens = utc(at)
        last = opens + HORIZON
        try:
            # Each may only put it off; where none does, all are open.
            while opens < last:
                earlier = opens
                for hours in self.all_of:
                    opens = hours.next_open(opens)
                if opens == earlier:
                    return opens
        except NeverOpens:
            pass
        raise NeverOpens(f"nothing opens within {HORIZON.days} days from {at.isoformat()}: {self!r}")

    def in_zones(self, zones: Iterable[str]) -> Hours:
        """Return these hours by other clocks: each of them, in every one of the zones.

        :param zones: IANA time zones, at least one
        :raises ValueError: an unknown zone, or none
        """
        zones = _named(zones)
        return _joint(hours.in_zones(zones) for hours in self.all_of)

    def __and__(self, other: Hours) -> Hours:
        """Return hours that are open only where both are."""
        return _joint((self, other)) if isinstance(other, (CallingHours, JointHours)) else NotImplemented

    def serialize(self) -> dict[str, Any]:
        """Return what `deserialize` takes, in plain JSON."""
        return {"all_of": [hours.serialize() for hours in self.all_of]}

    @staticmethod
    def deserialize(data: dict[str, Any], version: int = 1) -> JointHours:
        """Return the hours that `serialize` described; see `CallingHours.deserialize`.

        :raises ValueError: likewise
        """
        if version > JointHours.__version__:
            raise ValueError(f"these calling hours were written by a newer version ({version}) of this provider")
        return JointHours(tuple(CallingHours.deserialize(hours) for hours in data["all_of"]))

    def __repr__(self) -> str:
        return " & ".join(map(repr, self.all_of))


Hours: TypeAlias = CallingHours | JointHours
"""Hours that can be asked when a customer may be called."""


def _joint(together: Iterable[Hours]) -> Hours:
    """Return hours that are open only where all are: each of them once, in an order that hangs on nothing else."""
    single: set[CallingHours] = set()
    for hours in together:
        single.update(hours.all_of if isinstance(hours, JointHours) else (hours,))
    ordered = tuple(sorted(single, key=repr))
    return ordered[0] if len(ordered) == 1 else JointHours(ordered)


def _named(zones: Iterable[str]) -> tuple[str, ...]:
    named = (zones,) if isinstance(zones, str) else tuple(zones)
    if not named:
        raise ValueError("hours in no time zone at all would be open at any time: give at least one zone")
    return named


def utc(at: datetime) -> datetime:
    """Return an instant as a plain datetime in UTC, whatever class (pendulum's too) and zone it comes in.

    :param at: an aware datetime
    :raises ValueError: it has no time zone, or is in the calendar's first or last year
    """
    offset = at.utcoffset() if isinstance(at, datetime) else None
    if offset is None:
        raise ValueError(f"{shown(at)} has no time zone, so it is no instant: give an aware datetime")
    if not 1 < at.year < 9999:
        raise ValueError(f"{shown(at)} is at the calendar's edge: give an instant in the years 2 to 9998")
    wall = datetime(at.year, at.month, at.day, at.hour, at.minute, at.second, at.microsecond, UTC)
    return wall - offset


def _bare(at: datetime) -> datetime:
    return at.replace(tzinfo=None)


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(f"holidays: {shown(text)} is no date such as '2026-12-24'") from None


def _zone(timezone: Any) -> str:
    """Return a time zone's name, from itself or from a zone object that has one."""
    name = getattr(timezone, "key", timezone)
    try:
        if isinstance(name, str) and not name.startswith(_NOT_ZONES):
            return ZoneInfo(name).key
    except (ValueError, OSError, LookupError):  # no such zone, a folder of them, or no path at all
        pass
    raise ValueError(_unknown_zone(name))


def _unknown_zone(name: object) -> str:
    from difflib import get_close_matches
    from zoneinfo import available_timezones

    known = sorted(available_timezones() - set(_NOT_ZONES))
    near = get_close_matches(str(name), known, n=5)
    # A city or a country without its continent is the common mistake.
    near += [zone for zone in known if str(name).lower() in zone.lower().split("/") and zone not in near]
    return (
        f"{shown(name)} is no time zone; "
        + (f"near it are {', '.join(near)}" if near else "one is named like America/Bogota or America/Lima")
        + f" ({len(known)} are known: zoneinfo.available_timezones())"
    )


def _country(code: object) -> str:
    """Return the code of a country whose public holidays are known."""
    name = code.strip().upper() if isinstance(code, str) else ""
    if name in COUNTRIES:
        return name  # all that most DAG files name; `holidays` stays unimported while they are parsed
    from holidays import list_supported_countries

    known = sorted(country for country in list_supported_countries() if len(country) == 2)
    if name not in known:
        raise ValueError(
            f"{shown(code)} is neither a date nor a country whose public holidays are known: {', '.join(known)}"
        )
    return name


@lru_cache(maxsize=512)
def _public_holidays(country: str, year: int) -> Mapping[date, str]:
    """Return a country's public holidays of a year, where they are observed, by the date."""
    from holidays import country_holidays

    # The language is named because the library else follows the machine's locale, and logs would differ.
    found = dict(country_holidays(country, years=year, language="en_US").items())
    if not found:
        raise ValueError(
            f"no public holidays of {country} are known for {year}, so nobody can tell whether a day is one: "
            "not called. Upgrade the `holidays` library, or use CallingHours.weekly(...) without a country"
        )
    return found
