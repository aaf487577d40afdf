"""What wolkvox tells of agents, dispositions and numbers that must not be called, as typed records.

Times are aware, in the zone of the report that they come from. What a report leaves empty is an empty
text, or None where the field is no text.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, tzinfo
from typing import Self

from airflow_provider_wolkvox.api import values
from airflow_provider_wolkvox.api.values import CAMPAIGN_ID, Row


@dataclass(frozen=True, slots=True)
class AgentEvent:
    """A state that an agent was in: a row of `agent_14`. It appears only once the state has changed again [doc].

    :param agent_id: the agent's extension
    :param status: as the server writes it: `READY`, `TALK`, `ACW`, `RING` or a state of the operation's own
    :param since: when the state began
    :param until: when it ended
    :param conn_id: wolkvox's id of the call; empty outside of one
    :param type_interaction: such as `out_pre` (predictive), `outbound_ma` (manual), `inbound`
    :param phone: the other side's number, digits only
    :param campaign_id: the campaign
    """

    agent_id: str
    status: str
    since: datetime | None
    until: datetime | None
    conn_id: str
    type_interaction: str
    phone: str
    campaign_id: str

    @classmethod
    def from_row(cls, row: Row, zone: tzinfo) -> Self:
        """Make the record from a `row` of `agent_14`, written by the clock of `zone`."""
        return cls(
            agent_id=values.digits(row, "agent_id"),
            status=values.text(row, "agent_status"),
            since=values.moment(row, "date_ini", zone),
            until=values.moment(row, "date_end", zone),
            conn_id=values.conn_id(row),
            type_interaction=values.word(row, "type_interaction"),
            phone=values.phone(row),
            campaign_id=values.digits(row, *CAMPAIGN_ID),
        )


@dataclass(frozen=True, slots=True)
class AgentNow:
    """What an agent does at this moment: a row of `real_time.php`'s `agents` [doc]. It tells no call or phone.

    :param agent_id: the agent's extension
    :param name: the agent's name
    :param status: as the server writes it here: `Ready`, `Talk`, `ACW` or a state of the operation's own
    :param seconds: how long the agent has been in that state
    """

    agent_id: str
    name: str
    status: str
    seconds: int | None

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Make the record from a `row` of the real-time `agents`."""
        return cls(
            agent_id=values.digits(row, "agent_id"),
            name=values.text(row, "agent_name"),
            status=values.text(row, "agent_status"),
            seconds=values.length(row, "time_state_now"),
        )


@dataclass(frozen=True, slots=True)
class AgentInfo:
    """An agent of the operation: a row of `information.php`'s `agents` [doc; the keys are a GUESS].

    :param agent_id: the agent's extension
    :param name: the agent's name
    :param status: as the server writes it
    """

    agent_id: str
    name: str
    status: str

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Make the record from a `row` of `agents`. GUESS: by whichever of several keys it has."""
        return cls(
            agent_id=values.digits(row, "agent_id", "id"),
            name=values.text(row, "agent_name", "name"),
            status=values.text(row, "agent_status", "status"),
        )


@dataclass(frozen=True, slots=True)
class ActivityCode:
    """A disposition that agents can give: a row of `information.php`'s `activity_codes` [doc; the keys are a GUESS].

    :param cod_act: the disposition as calls carry it
    :param name: what it is called
    :param hit: whether it counts as a success; None if the server's word is neither yes nor no
    :param rpc: whether it counts as a contact with the right person; None as above
    """

    cod_act: str
    name: str
    hit: bool | None
    rpc: bool | None

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Make the record from a `row` of `activity_codes`. GUESS: by whichever of several keys it has."""
        return cls(
            cod_act=values.text(row, "cod_act", "code", "id"),
            name=values.text(row, "name", "description", "cod_act_name"),
            hit=values.flag(row, "hit"),
            rpc=values.flag(row, "rpc"),
        )


@dataclass(frozen=True, slots=True)
class DoNotCall:
    """A number that must not be called: a row of `information.php`'s `get_dnc` [doc].

    :param phone: the number, digits only
    :param type: `inbound` or `outbound`
    :param removed_at: the report's `date_delete`; None if it has none. GUESS: a day without a time of day
        is its midnight
    """

    phone: str
    type: str
    removed_at: datetime | None

    @classmethod
    def from_row(cls, row: Row, zone: tzinfo) -> Self:
        """Make the record from a `row` of `get_dnc`, written by the clock of `zone`."""
        day = values.day(row, "date_delete")
        return cls(
            phone=values.phone(row, "phone_number"),
            type=values.word(row, "type"),
            removed_at=values.moment(row, "date_delete", zone)
            or (datetime.combine(day, time(), zone) if day else None),
        )


@dataclass(frozen=True, slots=True)
class Law2300Contact:
    """When a customer was last contacted, by the operation's own record for Colombia's Law 2300 [doc].

    :param phone: the number, digits only
    :param last_day: the day of the last contact; None if there is none that can be read
    :param last_channel: how, in the server's words
    """

    phone: str
    last_day: date | None
    last_channel: str

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Make the record from a `row` of `law2300_info`."""
        return cls(
            phone=values.phone(row, "phone_number"),
            last_day=values.day(row, "last_day"),
            last_channel=values.text(row, "last_channel"),
        )
