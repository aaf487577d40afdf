"""Typed rows, made once from the server's strings."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any, Self

# GUESS for all reports but campaign_3, of which the vendor says "always GMT-5": what other reports
# answered fits GMT-5 too.
SERVER_TIME = timezone(timedelta(hours=-5), "GMT-5")


@dataclass(frozen=True, slots=True)
class AuxCall:
    """An auxiliary call that wolkvox accepted.

    :param conn_id: wolkvox's id of the call; empty if the server gave none [seen in the vendor's sample],
        in which case the call was accepted but cannot be followed in the reports by id
    :param agent_id: the agent's extension
    :param accepted_at: when the answer had been read, UTC
    """

    conn_id: str
    agent_id: str
    accepted_at: datetime

    @classmethod
    def from_data(cls, data: Any, agent_id: str, accepted_at: datetime) -> AuxCall:
        """Make the record from an envelope's `data`; anything but an id in it means "no id"."""
        conn_id = _row(data).get("conn_id")
        known = isinstance(conn_id, (str, int)) and not isinstance(conn_id, bool)
        return cls(
            conn_id=str(conn_id).strip() if known else "",
            agent_id=agent_id,
            accepted_at=accepted_at,
        )


@dataclass(frozen=True, slots=True)
class TokenInfo:
    """A token's use of the operation's quota; numbers are None where the server gave none.

    :param description: the name that the token was given in wolkvox Manager
    :param token_limit: requests a day that this token may make
    :param token_use_today: requests that this token made today
    :param all_token_today: requests that all tokens of the operation made today
    :param available_consumption_options: requests that are left for the operation today
    """

    description: str
    token_limit: int | None
    token_use_today: int | None
    all_token_today: int | None
    available_consumption_options: int | None

    @classmethod
    def from_data(cls, data: Any) -> TokenInfo:
        """Make the record from an envelope's `data`."""
        row = _row(data)
        return cls(
            description=str(row.get("description") or ""),
            token_limit=_count(row.get("token_limit")),
            token_use_today=_count(row.get("token_use_today")),
            all_token_today=_count(row.get("all_token_today")),
            available_consumption_options=_count(row.get("available_consumption_options")),
        )


@dataclass(frozen=True, slots=True)
class ReportedCall:
    """A call, or an agent's event in it, as one of wolkvox's reports shows it.

    :param report: the report: `cdr_1` (connected), `cdr_5` (not connected), `agent_2` (an agent's events)
        or `calls_last_10` (the last ten minutes)
    :param conn_id: wolkvox's id of the call; empty if the report gave none
    :param agent_id: the agent's extension; `calls_last_10` names none, there it is the first part of
        `conn_id` [doc sample]
    :param phone: the number as the operation dialled it, digits only
    :param at: when it began; None if the report gave no readable time
    :param type_interaction: such as `out_pre` (predictive), `outbound_ma` (manual), `inbound`
    :param result: such as `ANSWER` or `NO-ANSWER`; empty where the report has none
    :param seconds: how long it lasted; None if the report gave no length
    """

    report: str
    conn_id: str
    agent_id: str
    phone: str
    at: datetime | None
    type_interaction: str
    result: str
    seconds: int | None

    @property
    def began(self) -> datetime:
        """When the call itself began: `agent_2` dates the agent's states in it, and `conn_id` holds the call's time.

        GUESS: the third part of a `conn_id` is the Unix time at which the call began, as in the vendor's sample.
        """
        moments = [] if self.at is None else [self.at]
        parts = self.conn_id.split(".")
        if len(parts) == 4 and re.fullmatch("[0-9]{10}", parts[2]):
            moments.append(datetime.fromtimestamp(int(parts[2]), SERVER_TIME))
        return min(moments, default=datetime.min.replace(tzinfo=SERVER_TIME))

    @classmethod
    def from_row(cls, report: str, row: dict[str, Any]) -> Self:
        """Make the record from a row of one of the four reports."""
        conn_id = _text(row, "conn_id")
        return cls(
            report=report,
            conn_id=conn_id,
            agent_id=_text(row, "agent_id") or conn_id.partition(".")[0],
            phone=re.sub("[^0-9]", "", _text(row, "telephone")),
            at=_moment(row, "date") or _moment(row, "date_ini"),
            type_interaction=_text(row, "type_interaction").lower(),
            result=_result(row),
            seconds=_length(row, "time_seg"),
        )


def rows_of(data: Any) -> list[dict[str, Any]]:
    """Return a report's rows, with the sums that it may have at its end."""
    rows = data if isinstance(data, list) else []
    return [row for row in rows if isinstance(row, dict)]


def is_sum(row: dict[str, Any]) -> bool:
    """Return whether a row holds a report's sums [doc]."""
    return row.get("agent_name") == "TOTAL"


def _text(row: dict[str, Any], key: str) -> str:
    value = row.get(key)
    text = "" if value is None else str(value).strip()
    return "" if text == "-" else text


def _result(row: dict[str, Any]) -> str:
    # The words differ by endpoint: `no-answer`, `NO ANSWER`, `No answer`.
    return re.sub("[ _]+", "-", _text(row, "result").upper())


def _moment(row: dict[str, Any], key: str) -> datetime | None:
    try:
        return datetime.strptime(_text(row, key), "%Y-%m-%d %H:%M:%S").replace(tzinfo=SERVER_TIME)
    except ValueError:
        return None


def _length(row: dict[str, Any], key: str) -> int | None:
    text = _text(row, key)
    if text.isdecimal():
        return int(text)
    clock = re.fullmatch(r"(\d+):(\d\d):(\d\d)", text)
    return sum(int(part) * unit for part, unit in zip(clock.groups(), (3600, 60, 1), strict=True)) if clock else None


def _row(data: Any) -> dict[str, Any]:
    # Reports answer with a list, agent calls with an object; a single row may come either way.
    if isinstance(data, list) and data:
        data = data[0]
    return data if isinstance(data, dict) else {}


def _count(value: Any) -> int | None:
    try:
        return int(str(value).replace(",", "").strip())
    except ValueError:
        return None
