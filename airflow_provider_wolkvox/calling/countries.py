"""The law on when a customer may be called, as data: each rule with its source and when it was read.

Not legal advice. All hours are the callee's local time. Read in November 2026; a law can change any
day, so whoever calls checks the source. Only national law is here: no state's, province's or city's
(several states of the USA are stricter), and no company's own code.

Where no hours were found, or the law only asks for consent, the rule holds the careful window (the
one that lies inside every country's) and says so in `hours_from`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

from airflow_provider_wolkvox.phone import shown

Purpose: TypeAlias = Literal["collection", "commercial", "requested"]
PURPOSES: Final[tuple[Purpose, ...]] = ("collection", "commercial", "requested")

DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
SHORT_DAYS = tuple(day[:3].lower() for day in DAYS)
_MINUTES_OF_A_DAY = 24 * 60


@dataclass(frozen=True, order=True, slots=True)
class Window:
    """A stretch of a local day, half-open: its first minute is in it, its last is the next one's first.

    :param start: minutes since midnight on the wall clock
    :param end: minutes since midnight, at most 1440 (24:00)
    :raises ValueError: it is empty, runs backwards or leaves its day
    """

    start: int
    end: int

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.end <= _MINUTES_OF_A_DAY:
            raise ValueError(
                f"the window {self} is empty, runs backwards or leaves its day: it must start before it ends, "
                "within 00:00-24:00. Write one that crosses midnight as two, on two days"
            )

    def __str__(self) -> str:
        return f"{clock(self.start)}-{clock(self.end)}"

    @classmethod
    def parse(cls, text: str) -> Window:
        """Return the window that a text describes.

        :param text: two times of a clock of 24 hours, such as "08:00-12:30"
        :raises ValueError: it describes none, or one that cannot be
        """
        start, dash, end = text.partition("-") if isinstance(text, str) else ("", "", "")
        if not dash:
            raise ValueError(f"{shown(text)} is no window such as '08:00-12:30'")
        return cls(_minute(start, text), _minute(end, text))


Week: TypeAlias = tuple[tuple[Window, ...], ...]
"""The windows of Monday to Sunday: sorted, apart from each other; a day without one is closed."""


def clock(minute: int) -> str:
    """Return a time of the day as a clock shows it: 1140 is 19:00.

    :param minute: minutes since midnight
    """
    return f"{minute // 60:02d}:{minute % 60:02d}"


def week(windows: Mapping[str, str | Iterable[str]]) -> Week:
    """Return a week from windows such as `{"mon-fri": ["08:00-12:00", "14:00-18:00"], "sat": "09:00-13:00"}`.

    :param windows: by the day, in English, whole or by three letters, alone or from-to; windows that touch become one
    :raises ValueError: an unknown day; a window that is empty, backwards or overlaps another; no window at all
    """
    if not isinstance(windows, Mapping) or not all(isinstance(texts, str | Iterable) for texts in windows.values()):
        raise ValueError("windows must be a mapping from days to windows, such as {'mon-fri': '08:00-19:00'}")
    days: list[list[Window]] = [[] for _ in DAYS]
    for name, texts in windows.items():
        parsed = [Window.parse(text) for text in ([texts] if isinstance(texts, str) else texts)]
        for day in _days(name):
            days[day] += parsed
    if not any(days):
        raise ValueError("a week without a window is never open: give at least one, such as {'mon-fri': '08:00-19:00'}")
    return tuple(_apart(DAYS[number], day) for number, day in enumerate(days))


def _apart(day: str, windows: Iterable[Window]) -> tuple[Window, ...]:
    apart: list[Window] = []
    for window in sorted(windows):
        if apart and window.start < apart[-1].end:
            raise ValueError(f"the windows {apart[-1]} and {window} of {day} overlap")
        if apart and window.start == apart[-1].end:
            window = Window(apart.pop().start, window.end)
        apart.append(window)
    return tuple(apart)


def _days(name: str) -> range:
    known = f"the days are {', '.join(SHORT_DAYS)}, alone or as 'mon-fri'"
    if not isinstance(name, str):
        raise ValueError(f"{shown(name)} is no day: {known}")
    ends = [_day(part.strip().lower()) for part in name.split("-")]
    if len(ends) > 2 or None in ends:
        raise ValueError(f"{shown(name)} is no day: {known}")
    first, last = ends[0], ends[-1]
    if first is None or last is None or first > last:
        raise ValueError(f"the days {shown(name)} run backwards: a week begins on Monday here; {known}")
    return range(first, last + 1)


def _day(name: str) -> int | None:
    for number, day in enumerate(DAYS):
        if name in (day.lower(), SHORT_DAYS[number]):
            return number
    return None


def _minute(text: str, window: str) -> int:
    hour, colon, minute = text.strip().partition(":")
    plain = (hour + minute).isascii() and (hour + minute).isdigit()
    if not (colon and plain and 1 <= len(hour) <= 2 and len(minute) == 2 and int(minute) < 60):
        raise ValueError(f"{shown(window)} is no window such as '08:00-12:30'")
    return int(hour) * 60 + int(minute)


@dataclass(frozen=True, slots=True)
class Frequency:
    """How often a customer may be called, as a fact; nothing here applies it.

    :param at_most: how many
    :param of: what is counted: every `attempt`, each `direct contact` (a two-way interaction), or `channel`s used
    :param days: in how many days
    :param rolling: True in any so many days, False by the calendar's day or week, None where the law does not say
    :param per: what each count is kept for
    :param says: the fact in words
    """

    at_most: int
    of: Literal["attempt", "direct contact", "channel"]
    days: int
    rolling: bool | None
    per: Literal["customer", "channel", "debt"]
    says: str


@dataclass(frozen=True, slots=True)
class Rule:
    """What one country's law says of calls for one purpose.

    :param country: ISO 3166 code
    :param purpose: what the call is for
    :param week: when the callee may be called, on the callee's own clock
    :param holidays: whether the callee's public holidays are closed
    :param source: the law's name and article
    :param read: the month in which the source was read
    :param sure: how sure the reading is; `none` where no law was found
    :param hours_from: who set the hours: the `law`, we by the `careful` window, or the `customer` by asking
    :param consent_only: whether the law allows such a call only to a customer who has agreed to it
    :param frequency: how often, as facts
    :param note: what else whoever calls should know
    """

    country: str
    purpose: Purpose
    week: Week
    holidays: bool
    source: str
    sure: Literal["high", "medium", "none"]
    hours_from: Literal["law", "careful", "customer"] = "law"
    consent_only: bool = False
    frequency: tuple[Frequency, ...] = ()
    note: str = ""
    read: str = "2026-11"


CAREFUL: Final = week({"mon-fri": "08:00-19:00"})
"""Inside the window of every rule below, on days that are no holiday."""

ALWAYS: Final = week({"mon-sun": "00:00-24:00"})

_CO = Rule(
    "CO",
    "collection",
    week({"mon-fri": "07:00-19:00", "sat": "08:00-15:00"}),
    holidays=True,
    source="Colombia, Ley 2300 de 2023, art. 3",
    sure="high",
    frequency=(
        Frequency(1, "direct contact", 1, False, "customer", "after a direct contact not again the same day"),
        Frequency(1, "channel", 7, False, "customer", "by one channel only in the same week"),
    ),
    note="that only a two-way interaction is a direct contact is the regulator's advisory council's view (medium); "
    "the careful default counts every attempt",
)
_US = Rule(
    "US",
    "commercial",
    week({"mon-sun": "08:00-21:00"}),
    holidays=False,
    source="United States, 47 CFR 64.1200(c)(1)",
    sure="high",
    note="several states are stricter (shorter evenings, no Sundays or holidays): give those as weekly windows",
)


def _no_hours_found(country: str, name: str, note: str = "") -> Rule:
    return Rule(
        country,
        "commercial",
        CAREFUL,
        holidays=True,
        source=f"{name}: no hours for commercial calls found",
        sure="none",
        hours_from="careful",
        note=note,
    )


def _asked_for(country: str, source: str) -> Rule:
    # Medium everywhere: that the exception exists is known, its article was not read country by country.
    return Rule(country, "requested", ALWAYS, holidays=False, source=source, sure="medium", hours_from="customer")


_ALL = (
    _CO,
    replace(_CO, purpose="commercial"),
    _asked_for("CO", "Colombia, Ley 2300 de 2023: its hours do not bind a call that the customer asked for"),
    Rule(
        "EC",
        "collection",
        week({"mon-fri": "07:00-20:00"}),
        holidays=True,
        source="Ecuador, Ley Orgánica de Defensa del Consumidor, art. 49 (2022)",
        sure="high",
        frequency=(Frequency(1, "attempt", 1, False, "channel", "one a day by each channel"),),
    ),
    _no_hours_found("EC", "Ecuador"),
    _asked_for("EC", "Ecuador, Ley Orgánica de Defensa del Consumidor: a call that the customer asked for"),
    Rule(
        "PE",
        "collection",
        week({"mon-fri": "07:00-20:00"}),
        holidays=True,
        source="Peru, Ley 29571, art. 62 b",
        sure="high",
    ),
    Rule(
        "PE",
        "commercial",
        CAREFUL,
        holidays=True,
        source="Peru, Ley 32323 (2025)",
        sure="high",
        hours_from="careful",
        consent_only=True,
        note="only to a customer who has agreed; the law sets no hours for such a call, so they are ours",
    ),
    _asked_for("PE", "Peru, Ley 29571 and Ley 32323: a call that the customer asked for"),
    Rule(
        "CL",
        "collection",
        week({"mon-sat": "08:00-20:00"}),
        holidays=True,
        source="Chile, Ley 19.496, art. 37; Ley 21.320",
        sure="high",
        frequency=(Frequency(1, "attempt", 7, None, "customer", "one call or visit a week"),),
        note="Saturday is a working day (día hábil) here",
    ),
    _no_hours_found("CL", "Chile"),
    _asked_for("CL", "Chile, Ley 19.496: a call that the customer asked for"),
    Rule(
        "MX",
        "collection",
        week({"mon-fri": "07:00-22:00"}),
        holidays=True,
        source="Mexico, CONDUSEF and Profeco, rules for collection agencies",
        sure="medium",
    ),
    _no_hours_found("MX", "Mexico", "the opt-out lists REPEP (Profeco) and REUS (CONDUSEF) bind advertising"),
    _asked_for("MX", "Mexico, CONDUSEF and Profeco: a call that the customer asked for"),
    replace(
        _US,
        purpose="collection",
        source="United States, 12 CFR 1006.6(b)(1) and 1006.14(b) (Regulation F)",
        frequency=(Frequency(7, "attempt", 7, True, "debt", "seven calls in seven days for each debt"),),
    ),
    _US,
    _asked_for("US", "United States, 47 CFR 64.1200 and 12 CFR 1006.6(b): a call that the customer asked for"),
)

RULES: Final[Mapping[tuple[str, str], Rule]] = {(rule.country, rule.purpose): rule for rule in _ALL}
COUNTRIES: Final = tuple(dict.fromkeys(rule.country for rule in _ALL))

ONLY_ZONES: Final[Mapping[str, str]] = {"CO": "America/Bogota", "PE": "America/Lima"}
"""The time zone of the countries here that have one; the others have several."""


def rule_for(country: str, purpose: str) -> Rule:
    """Return the rule for calls of a purpose into a country.

    :param country: ISO 3166 code, one of `COUNTRIES`
    :param purpose: one of `PURPOSES`
    :raises ValueError: no rule is known for them
    """
    code = country.strip().upper() if isinstance(country, str) else country
    if code not in COUNTRIES:
        raise ValueError(
            f"no calling hours are known for the country {shown(country)}: known are {', '.join(COUNTRIES)}. "
            "For any other, use CallingHours.careful(...) or CallingHours.weekly(...)"
        )
    if purpose not in PURPOSES:
        raise ValueError(f"{shown(purpose)} is no purpose of a call: the purposes are {', '.join(PURPOSES)}")
    return RULES[code, purpose]
