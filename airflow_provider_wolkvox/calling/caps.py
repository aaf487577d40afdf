"""How many calls one customer may get within a length of time, and what the law of a country says of that."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final


@dataclass(frozen=True, slots=True)
class Cap:
    """At most so many calls to one customer in any window of a given length.

    Example::

        Cap(calls=2, within=timedelta(hours=24))

    :param calls: how many, from 1
    :param within: the length of the window, which rolls: it ends at the call that is asked for

    :raises TypeError: `calls` is not an int, or `within` is not a timedelta
    :raises ValueError: one of them is not positive
    """

    calls: int
    within: timedelta

    def __post_init__(self) -> None:
        if isinstance(self.calls, bool) or not isinstance(self.calls, int):
            raise TypeError(f"Cap: calls must be an int, not {type(self.calls).__name__}")
        if not isinstance(self.within, timedelta):
            raise TypeError(f"Cap: within must be a timedelta, not {type(self.within).__name__}")
        if self.calls < 1:
            raise ValueError(f"Cap: calls must be 1 or more, not {self.calls}")
        if self.within <= timedelta(0):
            raise ValueError(f"Cap: within must be positive, not {self.within}")

    def __str__(self) -> str:
        return f"{self.calls} call{'s' if self.calls > 1 else ''} within {self.within}"

    def allows_from(self, calls: Sequence[datetime]) -> datetime | None:
        """Return when the next call is allowed; None if the cap leaves it open, since there were too few.

        :param calls: when the customer was called, latest first; at least the last `calls` of them
        """
        return calls[self.calls - 1] + self.within if len(calls) >= self.calls else None


_ONE_A_DAY: Final = Cap(calls=1, within=timedelta(hours=24))

OF_COUNTRIES: Final[Mapping[str, Cap]] = {
    # Ley 21.320 (Ley 19.496, art. 37), read in November 2026: one telephone contact or visit a week, for collection.
    "CL": Cap(calls=1, within=timedelta(days=7)),
    # Ley 2300 of 2023, art. 3, read in November 2026: after a direct contact, no other on the same day. An unanswered
    # call is none, says the regulator's advisory council; the careful figure counts each call that is asked for.
    "CO": _ONE_A_DAY,
    # LODC, art. 49, read in November 2026: one a day by each channel, for collection.
    "EC": _ONE_A_DAY,
    # Regulation F, 12 CFR 1006.14(b)(2), read in November 2026: 7 within 7 days for each debt.
    "US": Cap(calls=7, within=timedelta(days=7)),
}
"""The careful caps of countries whose law has one, by ISO 3166 code. Not legal advice. For a day of the calendar stands
the length of one, so that no two calls fall on the same day."""


_WRITTEN: Final = re.compile(r"([1-9][0-9]{0,3}) (?:in|within) ([1-9][0-9]{0,3}) (hour|day)s?")


def parse_caps(text: str) -> list[Cap]:
    """Return the caps that a text gives, such as `2 in 24 hours, 5 in 7 days`; none for the text `none`.

    :param text: one or several, between commas
    :raises ValueError: it is something else
    """
    if text.strip().lower() == "none":
        return []
    found = [_WRITTEN.fullmatch(" ".join(part.lower().split())) for part in text.split(",")]
    if not all(found):
        raise ValueError("caps are written such as '2 in 24 hours, 5 in 7 days', or 'none'")
    return [Cap(int(each[1]), timedelta(**{f"{each[3]}s": int(each[2])})) for each in found if each]


def allowed_from(caps: Sequence[Cap], calls: Sequence[datetime], now: datetime) -> tuple[Cap, datetime] | None:
    """Return the cap that forbids a call now and keeps doing so the longest, and when it ends; None if none does.

    :param caps: the caps
    :param calls: when the customer was called, latest first
    :param now: the present instant, aware
    """
    ends = [(cap, end) for cap in caps if (end := cap.allows_from(calls)) is not None and end > now]
    return max(ends, key=lambda each: each[1], default=None)
