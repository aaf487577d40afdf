"""Calls and a token's quota as typed records, made once from the server's strings.

Times are aware, in the zone of the report that they come from. What a report leaves empty is an empty
text, or None where the field is no text.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any, Self
from zoneinfo import ZoneInfo

from airflow_provider_wolkvox.api import values
from airflow_provider_wolkvox.api.values import CAMPAIGN_ID, Row

log = logging.getLogger(__name__)

# GUESS for all reports but campaign_3, of which the vendor says "always GMT-5": what other reports
# answered fits GMT-5 too. The client's `reports_timezone` is for operations where it does not.
GMT_5 = ZoneInfo("America/Bogota")


@dataclass(frozen=True, slots=True)
class AgentCall:
    """A call of an agent's that wolkvox acted on: made it, transferred it, gave it its disposition.

    :param conn_id: wolkvox's id of the call; empty if the server gave none [seen in the vendor's sample],
        in which case the call was accepted but cannot be followed in the reports by id
    :param agent_id: the agent's extension
    :param accepted_at: when the answer had been read, UTC
    """

    conn_id: str
    agent_id: str
    accepted_at: datetime

    @classmethod
    def from_data(cls, data: Any, agent_id: str, accepted_at: datetime) -> Self:
        """Make the record from an envelope's `data`; anything but an id in it means "no id".

        :param data: `{"conn_id": ...}`, as an object or as the only one of a list [doc]
        :param agent_id: the extension that was asked for: the answer names none [doc]
        :param accepted_at: as for `AgentCall`
        """
        row = values.first_row(data)
        conn_id = values.conn_id(row)
        if not conn_id and row.get("conn_id"):
            log.warning(
                "wolkvox accepted the request, but what it gave for a conn_id cannot be one: it is not kept, and the "
                "call cannot be followed in the reports by its id."
            )
        return cls(conn_id=conn_id, agent_id=agent_id, accepted_at=accepted_at)


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
        row = values.first_row(data)
        return cls(
            description=values.text(row, "description"),
            token_limit=values.count(row, "token_limit"),
            token_use_today=values.count(row, "token_use_today"),
            all_token_today=values.count(row, "all_token_today"),
            available_consumption_options=values.count(row, "available_consumption_options"),
        )


def began(conn_id: str) -> datetime | None:
    """Return when a call began by its `conn_id`, None if that does not tell.

    GUESS: its third part is the Unix time at which the call began, as in the vendor's sample.
    """
    parts = conn_id.split(".")
    known = len(parts) == 4 and re.fullmatch("[0-9]{10}", parts[2])
    return datetime.fromtimestamp(int(parts[2]), UTC) if known else None


@dataclass(frozen=True, slots=True)
class ReportedCall:
    """A call, or an agent's event in it, as one of wolkvox's reports shows it: what a look-up needs of them all.

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
        """When the call itself began: `agent_2` dates the agent's states in it, and `conn_id` holds the call's time."""
        moments = [moment for moment in (self.at, began(self.conn_id)) if moment is not None]
        return min(moments, default=datetime.min.replace(tzinfo=UTC))

    @classmethod
    def from_row(cls, report: str, row: Row, zone: tzinfo = GMT_5) -> Self:
        """Make the record from a row of one of the four reports.

        :param report: which of them it is, by its name
        :param row: as JSON gave it
        :param zone: the zone by whose clock the report is written; default GMT-5
        """
        conn_id = values.conn_id(row)
        return cls(
            report=report,
            conn_id=conn_id,
            agent_id=values.digits(row, "agent_id")
            or values.digits({"agent_id": conn_id.partition(".")[0]}, "agent_id"),
            phone=values.phone(row, "telephone"),
            at=values.moment(row, "date", zone) or values.moment(row, "date_ini", zone),
            type_interaction=values.word(row, "type_interaction"),
            result=values.result(row, "result"),
            seconds=values.length(row, "time_seg"),
        )


@dataclass(frozen=True, slots=True)
class ConnectedCall:
    """A call that was connected: a row of `cdr_1` [doc].

    :param conn_id: wolkvox's id of the call
    :param agent_id: the agent's extension
    :param phone: the other side's number as the operation dialled it, digits only
    :param at: when it began
    :param seconds: how long it lasted
    :param cod_act: the disposition; `TIMEOUTACW` where the agent gave none in time
    :param cod_act_2: the second disposition
    :param type_interaction: such as `out_pre` (predictive), `outbound_ma` (manual), `inbound`
    :param customer_id: the customer's id in the campaign
    :param hang_up: who hung up, `agent` or `customer`
    :param campaign_id: the campaign
    :param skill_id: the skill
    """

    conn_id: str
    agent_id: str
    phone: str
    at: datetime | None
    seconds: int | None
    cod_act: str
    cod_act_2: str
    type_interaction: str
    customer_id: str
    hang_up: str
    campaign_id: str
    skill_id: str

    @classmethod
    def from_row(cls, row: Row, zone: tzinfo) -> Self:
        """Make the record from a `row` of `cdr_1`, written by the clock of `zone`."""
        return cls(
            conn_id=values.conn_id(row),
            agent_id=values.digits(row, "agent_id"),
            phone=values.phone(row),
            at=values.moment(row, "date", zone),
            seconds=values.length(row, "time_seg"),
            cod_act=values.text(row, "cod_act"),
            cod_act_2=values.text(row, "cod_act_2"),
            type_interaction=values.word(row, "type_interaction"),
            customer_id=values.text(row, "customer_id"),
            hang_up=values.word(row, "hang_up"),
            campaign_id=values.digits(row, *CAMPAIGN_ID),
            skill_id=values.text(row, "skill_id"),
        )


@dataclass(frozen=True, slots=True)
class UnconnectedCall:
    """A call that was not connected: a row of `cdr_5` [doc].

    :param conn_id: wolkvox's id of the call
    :param agent_id: the agent's extension
    :param phone: the other side's number as the operation dialled it, digits only
    :param at: when it began
    :param ring_seconds: how long it rang
    :param result: such as `NO-ANSWER` or `BUSY`
    :param type_interaction: such as `out_pre` (predictive), `outbound_ma` (manual), `inbound`
    :param customer_id: the customer's id in the campaign
    :param campaign_id: the campaign
    """

    conn_id: str
    agent_id: str
    phone: str
    at: datetime | None
    ring_seconds: int | None
    result: str
    type_interaction: str
    customer_id: str
    campaign_id: str

    @classmethod
    def from_row(cls, row: Row, zone: tzinfo) -> Self:
        """Make the record from a `row` of `cdr_5`, written by the clock of `zone`."""
        return cls(
            conn_id=values.conn_id(row),
            agent_id=values.digits(row, "agent_id"),
            phone=values.phone(row),
            at=values.moment(row, "date", zone),
            ring_seconds=values.length(row, "ring_time"),
            result=values.result(row, "result"),
            type_interaction=values.word(row, "type_interaction"),
            customer_id=values.text(row, "customer_id"),
            campaign_id=values.digits(row, *CAMPAIGN_ID),
        )


@dataclass(frozen=True, slots=True)
class DispositionCall:
    """A call that was given a disposition: a row of `act_3` [doc].

    :param conn_id: wolkvox's id of the call
    :param agent_id: the agent's extension
    :param phone: the other side's number, digits only
    :param cod_act: the disposition; empty if it has only one of the second group
    :param cod_act_2: the disposition of the second group; empty if it has none
    :param at: when it began
    :param seconds: how long it lasted. GUESS: the report's `time` is a length
    :param customer_id: the customer's id in the campaign
    :param campaign_id: the campaign
    """

    conn_id: str
    agent_id: str
    phone: str
    cod_act: str
    cod_act_2: str
    at: datetime | None
    seconds: int | None
    customer_id: str
    campaign_id: str

    @classmethod
    def from_row(cls, row: Row, zone: tzinfo) -> Self:
        """Make the record from a `row` of `act_3`, written by the clock of `zone`."""
        return cls(
            conn_id=values.conn_id(row),
            agent_id=values.digits(row, "agent_id"),
            phone=values.phone(row),
            cod_act=values.text(row, "cod_act"),
            cod_act_2=values.text(row, "cod_act_2"),
            at=values.moment(row, "date", zone),
            seconds=values.length(row, "time"),
            customer_id=values.text(row, "customer_id"),
            campaign_id=values.digits(row, *CAMPAIGN_ID),
        )
