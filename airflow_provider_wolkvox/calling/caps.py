"""How many calls one customer may get within a length of time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta


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


def allowed_from(caps: Sequence[Cap], calls: Sequence[datetime], now: datetime) -> tuple[Cap, datetime] | None:
    """Return the cap that forbids a call now and keeps doing so the longest, and when it ends; None if none does.

    :param caps: the caps
    :param calls: when the customer was called, latest first
    :param now: the present instant, aware
    """
    ends = [(cap, end) for cap in caps if (end := cap.allows_from(calls)) is not None and end > now]
    return max(ends, key=lambda each: each[1], default=None)
