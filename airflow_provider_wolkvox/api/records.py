"""Typed rows, made once from the server's strings."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any


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
        return cls(
            conn_id="" if conn_id is None else str(conn_id).strip(),
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
