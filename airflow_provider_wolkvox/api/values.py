"""The server's strings, made into values.

Every value in a row is a string: `"HH:MM:SS"`, `"34.64 %"`, `"YYYY-MM-DD HH:MM:SS"`, `""` or `"-"` for
nothing [doc]. Where an API is known to misspell a key, or nobody wrote down which of two it uses, several
keys are given and the first one that holds something counts.
"""

from __future__ import annotations

import re
from datetime import datetime, tzinfo
from typing import Any

from airflow_provider_wolkvox.phone import MOST_DIGITS, PhoneNumber

Row = dict[str, Any]

# `id_campaing` and `campaing_id` are real [doc].
CAMPAIGN_ID = ("campaign_id", "campaing_id", "id_campaing", "id_campaign")
# `destiny` and `destinity` are real [doc]. GUESS: they hold the number where there is no `telephone`.
PHONE = ("telephone", "phone_number", "customer_phone", "phone", "destiny", "destinity")

_MOMENT = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", re.ASCII)
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_CLOCK = re.compile(r"(\d+):(\d\d):(\d\d)", re.ASCII)
_NUMBER = re.compile(r"-?\d+(\.\d+)?", re.ASCII)
_GAPS = re.compile("[ _]+")
_DIGITS = re.compile("[0-9]+")
# `10001.0101.1795369706.10001` [doc sample].
_CONN_ID = re.compile(r"[0-9A-Za-z._-]{1,64}")
# Longer than any field that a person fills in; what a server makes longer would fill logs and stores.
_LONGEST = 1_000

# The flags of a disposition [doc].
_FLAGS = {"yes": True, "no": False}


def cleaned(text: str) -> str:
    """Return a server's text as one line that is safe to show and to keep.

    Without control characters, which forge lines of a log or reach a terminal, and without the invisible ones that turn
    the direction of writing; no longer than 1,000 characters.

    :param text: what the server wrote
    """
    text = text[:_LONGEST]
    if not text.isprintable():
        # Blanks of other kinds, the no-break one above all, are blanks.
        text = "".join(each if each.isprintable() else " " if each.isspace() else "" for each in text)
    return text.strip()


def rows_of(data: Any) -> list[Row]:
    """Return an answer's rows, with the sums that it may have at its end.

    :param data: the envelope's `data`; whatever in it is no row is left out
    """
    rows = data if isinstance(data, list) else []
    return [row for row in rows if isinstance(row, dict)]


def first_row(data: Any) -> Row:
    """Return the only row of an answer; reports send it in a list, agent calls as an object.

    :param data: the envelope's `data`; an empty row for anything else
    """
    if isinstance(data, list) and data:
        data = data[0]
    return data if isinstance(data, dict) else {}


def is_sum(row: Row) -> bool:
    """Return whether a `row` holds a report's sums: its `agent_name` is `TOTAL` [doc], in any case [seen]."""
    return word(row, "agent_name") == "total"


def text(row: Row, *keys: str) -> str:
    """Return the first value that is something; empty if none is.

    :param row: as JSON gave it
    :param *keys: where to look, in this order
    """
    for key in keys:
        value = row.get(key)
        # Neither a list nor an object is a text.
        found = cleaned(str(value)) if isinstance(value, str | int | float) else ""
        if found and found != "-":
            return found
    return ""


def digits(row: Row, *keys: str) -> str:
    """Return an id of digits, such as an agent's or a campaign's; empty for anything else, which is no such id.

    Its parameters are as for `text`.
    """
    found = text(row, *keys)
    return found if len(found) <= MOST_DIGITS and _DIGITS.fullmatch(found) else ""


def conn_id(row: Row) -> str:
    """Return wolkvox's id of a call; empty for anything that cannot be one.

    GUESS: ids consist of at most 64 ASCII letters, digits, dots, dashes and underscores, as the vendor's sample does.

    :param row: as for `text`
    """
    value = row.get("conn_id")
    # As it stands: what is left of an id once something was taken out of it is another one.
    found = str(value).strip() if isinstance(value, str | int) and not isinstance(value, bool) else ""
    return found if found != "-" and _CONN_ID.fullmatch(found) else ""


def word(row: Row, *keys: str) -> str:
    """Return a word of wolkvox's own in lower case, such as `out_pre` or `customer`.

    Its parameters are as for `text`.
    """
    return text(row, *keys).lower()


def result(row: Row, *keys: str) -> str:
    """Return a result in upper case with hyphens: endpoints write `no-answer`, `NO ANSWER`, `No answer` [seen].

    Its parameters are as for `text`.
    """
    return _GAPS.sub("-", text(row, *keys).upper())


def phone(row: Row, *keys: str) -> str:
    """Return a number's digits, or as it stands what cannot be one number: nobody dials it, but a list may bar it.

    :param row: as for `text`
    :param *keys: where to look; if none is given, wherever reports are known to keep a number
    """
    found = text(row, *(keys or PHONE))
    try:
        return PhoneNumber.parse(found).digits
    except ValueError:
        return found


def moment(row: Row, key: str, zone: tzinfo) -> datetime | None:
    """Return a time of the server's clock, aware; of an hour that the clock shows twice, the first.

    None if it is not a real time, written `YYYY-MM-DD HH:MM:SS`.

    :param row: as for `text`
    :param key: where it stands
    :param zone: the zone by whose clock the report is written
    """
    found = text(row, key)
    try:
        # Checked first, since `fromisoformat` takes far more than what the server writes.
        return datetime.fromisoformat(found).replace(tzinfo=zone) if _MOMENT.fullmatch(found) else None
    except ValueError:
        return None


def moment_or_day(row: Row, key: str, zone: tzinfo) -> datetime | None:
    """Return a time as `moment` does, and of a day alone, written `YYYY-MM-DD`, its midnight.

    :param row: as for `text`
    :param key: where it stands
    :param zone: as for `moment`
    """
    found = text(row, key)
    return moment({key: f"{found} 00:00:00"} if _DAY.fullmatch(found) else row, key, zone)


def length(row: Row, *keys: str) -> int | None:
    """Return a length in seconds, which comes as `75` or `00:01:15`; None for anything else.

    Its parameters are as for `text`.
    """
    found = text(row, *keys)
    if found.isdecimal():
        return int(found)
    clock = _CLOCK.fullmatch(found)
    if clock is None:
        return None
    hours, minutes, seconds = map(int, clock.groups())
    return hours * 3600 + minutes * 60 + seconds


def count(row: Row, *keys: str) -> int | None:
    """Return a whole number; None if there is none that can be read. Its parameters are as for `text`."""
    try:
        return int(text(row, *keys).replace(",", ""))
    except ValueError:
        return None


def percent(row: Row, *keys: str) -> float | None:
    """Return a percentage such as `34.64 %` as the number before the sign; None if there is none that can be read.

    Its parameters are as for `text`.
    """
    number = text(row, *keys).rstrip("% ").replace(",", ".")
    return float(number) if _NUMBER.fullmatch(number) else None


def flag(row: Row, *keys: str) -> bool | None:
    """Return whether a flag is `yes` [doc]; None for anything but `yes` and `no`. Its parameters are as for `text`."""
    return _FLAGS.get(word(row, *keys))
