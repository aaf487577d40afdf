"""Whether a call comes too late to be made."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

# As messages and tables show an instant: `2026-11-22 23:00:00 UTC`, `2026-11-22 18:00:00 -05`.
_BEFORE_ZONE = re.compile(r"\s+(?=(?:UTC|[+-][\d:]{2,6})$)")


def instant(value: datetime | str, name: str) -> datetime:
    """Return an instant from an aware datetime or its text.

    :param value: the one or the other; the text in ISO 8601, or as this provider prints it (`2026-11-22 23:00:00 UTC`)
    :param name: the argument's name, for the message
    :raises ValueError: it is no instant, or has no time zone
    """
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(_BEFORE_ZONE.sub("", value.strip()).replace("UTC", "+00:00"))
        except ValueError:
            # Not repeated: with swapped arguments it would be a customer's number.
            raise ValueError(f"{name} is no instant such as '2026-11-22 18:00:00-05:00'") from None
    if not isinstance(value, datetime):
        raise ValueError(f"{name} must be a datetime or its ISO 8601 text, not {type(value).__name__}")
    if value.tzinfo is None or value.utcoffset() is None:
        raise ValueError(f"{name} has no time zone: write one, such as '2026-11-22 18:00:00-05:00'")
    return value


def too_late(
    now: datetime, *, call_before: datetime | None, due: datetime | None, max_age: timedelta | None
) -> str | None:
    """Return why a call comes too late, None if it does not.

    :param now: the present instant
    :param call_before: the first instant at which the call is too late; None for no such instant
    :param due: when the call was due: the end of what its run stands for
    :param max_age: how long after `due` a call may still be made; None for any time
    """
    # In UTC: comparing and subtracting within one zone goes by the clock on the wall, which jumps twice a year.
    moment = now.astimezone(UTC)
    if call_before is not None and moment >= call_before.astimezone(UTC):
        return f"it is {_shown(now)} and this was to be done before {_shown(call_before)} (call_before)"
    if max_age is not None and due is not None and moment - due.astimezone(UTC) >= max_age:
        return f"it is {_shown(now)}, and this was due at {_shown(due)}, {max_age} ago or more (max_age)"
    return None


def _shown(at: datetime) -> str:
    return at.isoformat(sep=" ", timespec="seconds")
