"""What wolkvox tells of agents, dispositions and numbers that must not be called, as typed records.

Times are aware, in the zone of the report that they come from. What a report leaves empty is an empty
text, or None where the field is no text.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, tzinfo
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
    """An agent of the operation: a row of `information.php`'s `agents` [doc].

    :param agent_id: the agent's extension
    :param name: the agent's name
    :param status: as the server writes it
    """

    agent_id: str
    name: str
    status: str

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Make the record from a `row` of `agents`."""
        return cls(
            agent_id=values.digits(row, "agent_id"),
            name=values.text(row, "agent_name"),
            status=values.text(row, "agent_status"),
        )


@dataclass(frozen=True, slots=True)
class ActivityCode:
    """A disposition that agents can give: a row of `information.php`'s `activity_codes` [doc].

    :param cod_act: the disposition as calls carry it
    :param name: what it is called
    :param group: the group of dispositions that it belongs to: `cod_act1` or `cod_act2`, as `act_3` takes it
    :param hit: whether it counts as a success; None if the server's word is neither yes nor no
    :param rpc: whether it counts as a contact with the right person; None as above
    """

    cod_act: str
    name: str
    group: str
    hit: bool | None
    rpc: bool | None

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Make the record from a `row` of `activity_codes`."""
        return cls(
            cod_act=values.text(row, "cod_act"),
            name=values.text(row, "description_cod_act"),
            group=values.word(row, "type_code"),
            hit=values.flag(row, "hit"),
            rpc=values.flag(row, "rpc"),
        )


@dataclass(frozen=True, slots=True)
class DoNotCall:
    """A number on a do-not-call list: a row of `information.php`'s `get_dnc` [doc].

    :param phone: the number, digits only
    :param type: `inbound` or `outbound`
    :param date: the list's `date_delete`, of a day alone its midnight; None if there is none. wolkvox describes it as
        the date on which the number was added, against its name, so it decides nothing: a number is on the list,
        whatever its date
    """

    phone: str
    type: str
    date: datetime | None

    @classmethod
    def from_row(cls, row: Row, zone: tzinfo) -> Self:
        """Make the record from a `row` of `get_dnc`, written by the clock of `zone`."""
        return cls(
            phone=values.phone(row),
            type=values.word(row, "type"),
            date=values.moment_or_day(row, "date_delete", zone),
        )


@dataclass(frozen=True, slots=True)
class Law2300Block:
    """When a number was blocked under Colombia's Law 2300, by the operation's own record [doc].

    :param phone: the number, digits only
    :param blocked_at: the list's `last_day`, which is date and time [doc], of a day alone its midnight; None if there
        is none that can be read
    :param channel: how the customer was contacted: `voice`, `chat` or `whatsapp` [doc]
    """

    phone: str
    blocked_at: datetime | None
    channel: str

    @classmethod
    def from_row(cls, row: Row, zone: tzinfo) -> Self:
        """Make the record from a `row` of `law2300_info`, written by the clock of `zone`."""
        return cls(
            phone=values.phone(row, "phone_number"),
            blocked_at=values.moment_or_day(row, "last_day", zone),
            channel=values.word(row, "last_channel"),
        )
