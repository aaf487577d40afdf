"""What wolkvox tells of campaigns, as typed records, made once from the server's strings.

Times are aware, in the zone of the report that they come from. What a report leaves empty is an empty
text, or None where the field is no text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Self

from airflow_provider_wolkvox.api import values
from airflow_provider_wolkvox.api.values import CAMPAIGN_ID, Row

OPTIONS = tuple(f"opt{number}" for number in range(1, 13))
PHONES = tuple(f"tel{number}" for number in range(1, 11))

# "32841 - NAME - Strategy (xx%)" [doc]; the name may hold dashes of its own, so the last part is the strategy.
_SEPARATOR = re.compile(r"\s+-(?:\s+|$)")


@dataclass(frozen=True, slots=True)
class Dial:
    """One dial of a predictive campaign: a row of `campaign_3` [doc]. It names no agent.

    :param campaign_id: the campaign
    :param customer_id: the customer's id in the campaign
    :param customer_name: the customer's name
    :param at: when it was dialled; this report is always in GMT-5 [doc]
    :param phone: the number that was dialled, digits only
    :param result: such as `ANSWER`, `NO-ANSWER` or `BUSY`
    :param conn_id: wolkvox's id of the call
    :param options: the campaign's own columns `opt1` to `opt12`, always twelve
    """

    campaign_id: str
    customer_id: str
    customer_name: str
    at: datetime | None
    phone: str
    result: str
    conn_id: str
    options: tuple[str, ...]

    @classmethod
    def from_row(cls, row: Row, zone: tzinfo) -> Self:
        """Make the record from a `row` of `campaign_3`, written by the clock of `zone`."""
        return cls(
            campaign_id=values.digits(row, *CAMPAIGN_ID),
            customer_id=values.text(row, "customer_id"),
            customer_name=values.text(row, "customer_name"),
            at=values.moment(row, "date", zone),
            phone=values.phone(row),
            result=values.result(row, "result"),
            conn_id=values.conn_id(row),
            options=tuple(values.text(row, option) for option in OPTIONS),
        )


@dataclass(frozen=True, slots=True)
class CampaignTotal:
    """How many of a campaign's records came to one end: a row of `campaign_1`, `campaign_2` or `campaign_4` [doc].

    :param word: the result, such as `NO-ANSWER`, or the disposition (`cod_act`) as the operation wrote it
    :param records: how many; None if the report's number cannot be read
    :param percent: their share in percent, 0 to 100
    """

    word: str
    records: int | None
    percent: float | None

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Make the record from a `row` of one of the three reports, whichever of the two words it has."""
        return cls(
            word=values.result(row, "result") or values.text(row, "cod_act"),
            records=values.count(row, "records"),
            percent=values.percent(row, "percent"),
        )


@dataclass(frozen=True, slots=True)
class PreviewCall:
    """A call of a preview campaign: a row of the type `CALL` of `campaign_5` [doc].

    :param agent_id: the agent's extension
    :param conn_id: wolkvox's id of the call
    :param phone: the number that was dialled, digits only
    :param result: such as `ANSWER` or `NO-ANSWER`
    :param at: when it began
    :param seconds: how long it lasted. GUESS: the report's `time` is a length
    :param cod_act: the disposition
    """

    agent_id: str
    conn_id: str
    phone: str
    result: str
    at: datetime | None
    seconds: int | None
    cod_act: str

    @classmethod
    def from_row(cls, row: Row, zone: tzinfo) -> Self:
        """Make the record from a `row` of `campaign_5`, written by the clock of `zone`."""
        return cls(
            agent_id=values.digits(row, "agent_id"),
            conn_id=values.conn_id(row),
            phone=values.phone(row),
            result=values.result(row, "call_result"),
            at=values.moment(row, "date", zone),
            seconds=values.length(row, "time"),
            cod_act=values.text(row, "cod_act"),
        )


@dataclass(frozen=True, slots=True)
class CampaignRecord:
    """A customer in a campaign, and how far wolkvox got: a row of `campaign.php`'s `detail` or `find_record` [doc].

    `find_record` names no agent, disposition or recall; those fields are empty then.

    :param customer_id: the customer's id in the campaign
    :param customer_name: the customer's name
    :param phones: the numbers of `tel1` to `tel10` that are not empty, digits only
    :param agent_id: the agent's extension
    :param conn_id: wolkvox's id of the last call; empty if there was none
    :param result: such as `ANSWER`, or `CLEAN` for not dialled
    :param cod_act: the disposition
    :param at: when the last call was
    :param calls: how often the record was dialled
    :param recall: the server's text about a recall
    :param comments: the agent's comments
    :param campaign_id: the campaign; the one that was asked for where the row names none
    """

    customer_id: str
    customer_name: str
    phones: tuple[str, ...]
    agent_id: str
    conn_id: str
    result: str
    cod_act: str
    at: datetime | None
    calls: int | None
    recall: str
    comments: str
    campaign_id: str

    @classmethod
    def from_row(cls, row: Row, zone: tzinfo, campaign_id: str = "") -> Self:
        """Make the record from a `row` of `detail` or `find_record`, written by the clock of `zone`.

        :param campaign_id: the campaign that was asked for, which counts where the row names none; default none
        """
        numbers = (values.phone(row, phone) for phone in PHONES)
        return cls(
            customer_id=values.text(row, "customer_id"),
            customer_name=values.text(row, "customer_name"),
            phones=tuple(number for number in numbers if number),
            agent_id=values.digits(row, "agent_id"),
            conn_id=values.conn_id(row),
            result=values.result(row, "result"),
            cod_act=values.text(row, "cod_act"),
            at=values.moment(row, "date", zone),
            calls=values.count(row, "calls"),
            recall=values.text(row, "recall"),
            comments=values.text(row, "comments"),
            campaign_id=values.digits(row, *CAMPAIGN_ID) or campaign_id,
        )


@dataclass(frozen=True, slots=True)
class CampaignNow:
    """How far a campaign is at this moment: a row of `real_time.php`'s `campaigns` [doc].

    :param campaign_id: the campaign; empty if it cannot be told from the row
    :param name: its name, without id and strategy
    :param status: as the server writes it; it often stays `started` after the campaign's end [seen]
    :param records: records that were loaded
    :param clean: records that were not dialled yet
    :param dial: records that were dialled
    :param answer: dials that were answered
    :param no_answer: dials that were not
    :param hits: dispositions that count as a success
    :param penetration: percent
    """

    campaign_id: str
    name: str
    status: str
    records: int | None
    clean: int | None
    dial: int | None
    answer: int | None
    no_answer: int | None
    hits: int | None
    penetration: float | None

    @property
    def is_finished(self) -> bool:
        """Whether everything was dialled: there are records, none is left undialled, each was dialled [seen].

        Numbers that cannot be read are not finished; nor is a campaign that is missing from one poll, which
        only the caller can see.
        """
        if self.records is None or self.clean is None or self.dial is None:
            return False
        return self.records > 0 and self.clean == 0 and self.dial >= self.records

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Make the record from a `row`, whose `campaign` is `32841 - NAME - Strategy (xx%)` [doc]."""
        campaign_id, name = _id_and_name(values.text(row, "campaign"))
        return cls(
            campaign_id=campaign_id or values.digits(row, *CAMPAIGN_ID),
            name=name,
            status=values.text(row, "status"),
            records=values.count(row, "records"),
            clean=values.count(row, "clean"),
            dial=values.count(row, "dial"),
            answer=values.count(row, "answer"),
            no_answer=values.count(row, "no_answer"),
            hits=values.count(row, "hits"),
            penetration=values.percent(row, "penetration_now"),
        )


def _id_and_name(title: str) -> tuple[str, str]:
    first, *rest = _SEPARATOR.split(title)
    if not rest or not values.digits({"id": first}, "id"):
        return "", title
    return first, " - ".join(rest[:-1] or rest)


@dataclass(frozen=True, slots=True)
class CampaignInfo:
    """A campaign of the operation: a row of `information.php`'s `campaigns` [doc].

    :param campaign_id: the campaign
    :param name: its name
    :param status: as the server writes it: `Started` or `Stopped` [doc]
    """

    campaign_id: str
    name: str
    status: str

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Make the record from a `row` of `campaigns`."""
        return cls(
            campaign_id=values.digits(row, *CAMPAIGN_ID),
            name=values.text(row, "campaign_name"),
            status=values.text(row, "status"),
        )


@dataclass(frozen=True, slots=True)
class AddedRecords:
    """What wolkvox did with records that were given to a campaign.

    :param total: records that were given
    :param accepted: records that are in the campaign now
    :param refused: records that wolkvox did not take
    :param errors: the server's reasons, numbers of five digits and more masked
    """

    total: int
    accepted: int
    refused: int
    errors: tuple[str, ...]
