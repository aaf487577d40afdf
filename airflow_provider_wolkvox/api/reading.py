"""The reading methods of WolkvoxClient: reports, real-time data and lists, named like the APIs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from functools import partial

from airflow_provider_wolkvox.api import arguments
from airflow_provider_wolkvox.api.campaign_records import (
    CampaignInfo,
    CampaignNow,
    CampaignRecord,
    CampaignTotal,
    Dial,
    PreviewCall,
)
from airflow_provider_wolkvox.api.errors import OutcomeUnknown
from airflow_provider_wolkvox.api.operation_records import (
    ActivityCode,
    AgentEvent,
    AgentInfo,
    AgentNow,
    DoNotCall,
    Law2300Block,
)
from airflow_provider_wolkvox.api.records import GMT_5, ConnectedCall, DispositionCall, ReportedCall, UnconnectedCall
from airflow_provider_wolkvox.api.sending import CAMPAIGN, INFORMATION, REAL_TIME, REPORTS, ROWS, Sender, require_whole
from airflow_provider_wolkvox.api.values import word
from airflow_provider_wolkvox.api.windows import Window
from airflow_provider_wolkvox.phone import FEWEST_DIGITS

CAMPAIGN_TYPES = frozenset({"predictive", "preview"})
DETAILS = frozenset({"default", "all"})
# Of dispositions: what agents give as the first and as the second one [doc].
CODE_GROUPS = frozenset({"cod_act1", "cod_act2"})
DNC_KINDS = frozenset({"inbound", "outbound", "all"})


class ReadingMethods(Sender):
    """Reads wolkvox; nothing here changes anything there.

    What holds for every method: each request counts for the daily quota [doc]. Arguments that cannot be right
    are a `ValueError` when the method is called, before any request. While it reads, a method raises

    - `NotSent`: no byte left this machine
    - `Refused`: wolkvox said no; `404 Validate dates entered` is no refusal but an empty answer [seen]
    - `OutcomeUnknown`: no readable answer came
    - `ValueError`: a reply was cut at wolkvox's limit of 60,000 rows and cannot be asked for in parts

    What holds for the methods with `since` and `until`: both are aware instants, both seconds are included
    (GUESS: the server takes both in); ranges of any length are read in windows of 31 days and less. A window that is
    not answered within the client's `total_timeout` is asked for in halves, down to half an hour, as long as all
    requests of the report together take less than its `report_timeout`. The iterators ask for a window only when its
    first row is wanted, and hold one reply at most: a failure can come after rows have been handed out.
    """

    def cdr_1(self, since: datetime, until: datetime) -> Iterator[ConnectedCall]:
        """Return the connected calls of all agents and campaigns, oldest window first [doc].

        :param since: the first instant, aware
        :param until: the last one, aware, included
        :raises ValueError: the range is not one; nothing was sent
        """
        return self._records(REPORTS, "cdr_1", {}, since, until, ConnectedCall.from_row)

    def cdr_5(self, since: datetime, until: datetime) -> Iterator[UnconnectedCall]:
        """Return the calls that were not connected, oldest window first [doc].

        :param since: the first instant, aware
        :param until: the last one, aware, included
        :raises ValueError: the range is not one; nothing was sent
        """
        return self._records(REPORTS, "cdr_5", {}, since, until, UnconnectedCall.from_row)

    def campaign_1(self, campaign_id: str | int, since: datetime, until: datetime) -> list[CampaignTotal]:
        """Return how many of a campaign's records came to each result [doc]; see `campaign_2` for dispositions.

        Over more than 31 days, and where the report takes too long, the totals of the windows are added up per word,
        and the percentages computed anew, in percent of all records, rounded to two places. A record that was dialled
        in two windows may then count in both.

        :param campaign_id: the campaign, digits, or `all`
        :param since: the first instant, aware
        :param until: the last one, aware, included
        :raises ValueError: an argument is invalid; nothing was sent
        """
        return self._totals("campaign_1", campaign_id, since, until)

    def campaign_2(self, campaign_id: str | int, since: datetime, until: datetime) -> list[CampaignTotal]:
        """Return how many of a campaign's records were given each disposition (`cod_act`), as `campaign_1` does [doc].

        :param campaign_id: the campaign, digits, or `all`
        :param since: the first instant, aware
        :param until: the last one, aware, included
        :raises ValueError: an argument is invalid; nothing was sent
        """
        return self._totals("campaign_2", campaign_id, since, until)

    def campaign_3(self, campaign_id: str | int, since: datetime, until: datetime) -> Iterator[Dial]:
        """Return each dial of a predictive campaign, oldest window first [doc].

        Whatever the client's `timezone`, this report is "always GMT-5" [doc].

        :param campaign_id: the campaign, digits, or `all`
        :param since: the first instant, aware
        :param until: the last one, aware, included
        :raises ValueError: an argument cannot be right; nothing was sent
        """
        campaign = {"campaign_id": arguments.campaign_id(campaign_id, or_all=True)}
        return self._records(REPORTS, "campaign_3", campaign, since, until, Dial.from_row, GMT_5)

    def campaign_4(self, campaign_id: str | int, since: datetime, until: datetime) -> list[CampaignTotal]:
        """Return further totals of a campaign, in rows like those of `campaign_1` [doc].

        We have not verified how they differ from those of `campaign_1`.

        :param campaign_id: the campaign, digits, or `all`
        :param since: the first instant, aware
        :param until: the last one, aware, included
        :raises ValueError: an argument is invalid; nothing was sent
        """
        return self._totals("campaign_4", campaign_id, since, until)

    def campaign_5(self, campaign_id: str | int, since: datetime, until: datetime) -> Iterator[PreviewCall]:
        """Return the calls of a preview campaign, oldest window first [doc].

        The report also has a row for each customer's record and one of sums; of its rows only those of the type `CALL`
        are calls [doc].

        :param campaign_id: the campaign, digits, or `all`
        :param since: the first instant, aware
        :param until: the last one, aware, included
        :raises ValueError: an argument is invalid; nothing was sent
        """
        campaign = {"campaign_id": arguments.campaign_id(campaign_id, or_all=True)}
        rows = self._rows(REPORTS, "campaign_5", campaign, since, until)
        return (PreviewCall.from_row(row, self.zone) for row in rows if word(row, "type_of_row") == "call")

    def agent_14(self, since: datetime, until: datetime) -> Iterator[AgentEvent]:
        """Return the states of all agents, oldest window first; each appears once it has ended [doc].

        :param since: the first instant, aware
        :param until: the last one, aware, included
        :raises ValueError: the range is not one; nothing was sent
        """
        return self._records(REPORTS, "agent_14", {}, since, until, AgentEvent.from_row)

    def act_3(self, group: str, since: datetime, until: datetime) -> Iterator[DispositionCall]:
        """Return the calls that were given any disposition of a group, oldest window first [doc].

        wolkvox selects by group, not by disposition: each row names its own `cod_act` and `cod_act_2`.

        :param group: `cod_act1` or `cod_act2`, which the API calls `cod_act`. A disposition's own code is invalid:
            wolkvox might answer it with no rows, which would read as no calls
        :param since: the first instant, aware
        :param until: the last one, aware, included
        :raises ValueError: an argument is invalid; nothing was sent
        """
        wanted = {"cod_act": arguments.one_of(group, CODE_GROUPS, "group")}
        return self._records(REPORTS, "act_3", wanted, since, until, DispositionCall.from_row)

    def campaign_detail(
        self,
        campaign_id: str | int,
        since: datetime,
        until: datetime,
        *,
        type_campaign: str = "predictive",
        detail: str = "default",
    ) -> Iterator[CampaignRecord]:
        """Return a campaign's records with what came of each, oldest window first [doc].

        GUESS: the method is GET. With `detail="all"` it is documented nowhere in which windows a record
        without a call, so without a date, appears: over more than 31 days it may come once for each window.

        :param campaign_id: the campaign, digits
        :param since: the first instant, aware
        :param until: the last one, aware, included
        :param type_campaign: `predictive`, the default, or `preview`
        :param detail: `default`, only records with a `conn_id`, or `all`
        :raises ValueError: an argument cannot be right; nothing was sent
        """
        campaign = arguments.campaign_id(campaign_id)
        parameters = {
            "type_campaign": arguments.one_of(type_campaign, CAMPAIGN_TYPES, "type_campaign"),
            "campaign_id": campaign,
            "detail": arguments.one_of(detail, DETAILS, "detail"),
        }
        record = partial(CampaignRecord.from_row, campaign_id=campaign)
        return self._records(CAMPAIGN, "detail", parameters, since, until, record)

    def find_record(
        self,
        campaign_id: str | int | None = None,
        *,
        customer_phone: str | int | None = None,
        customer_id: str | None = None,
    ) -> list[CampaignRecord]:
        """Return the records that fit all that is given, of one campaign or of all; any one argument is enough [doc].

        :param campaign_id: the campaign, digits; default any
        :param customer_phone: a number as it was loaded: 5 to 20 digits, without `dial_prefix`; default any
        :param customer_id: the customer's id in the campaign; default any
        :raises ValueError: an argument is invalid, or none is given; nothing was sent
        """
        campaign = "" if campaign_id is None else arguments.campaign_id(campaign_id)
        number = "" if customer_phone is None else arguments.phone(customer_phone)
        customer = "" if customer_id is None else arguments.plain(customer_id, "customer_id")
        given = {"campaign_id": campaign, "customer_phone": number, "customer_id": customer}
        wanted = {name: value for name, value in given.items() if value}
        if not wanted:
            raise ValueError("give campaign_id, customer_phone or customer_id")
        rows = self._list(CAMPAIGN, "find_record", wanted, _secrets(number, customer))
        return [CampaignRecord.from_row(row, self.zone, campaign) for row in rows]

    def real_time_agents(self) -> list[AgentNow]:
        """Return what each agent does at this moment [doc]. wolkvox recommends one request every 5 minutes at most."""
        return [AgentNow.from_row(row) for row in self._list(REAL_TIME, "agents")]

    def real_time_campaigns(self, campaign_id: str | int | None = None) -> list[CampaignNow]:
        """Return how far the campaigns are at this moment [doc].

        wolkvox recommends one request every 5 minutes at most. The answer is a bare list by the vendor's
        sample [doc] and has an envelope for live users [seen]: both are read. A campaign that is missing from
        one answer is not finished [seen].

        :param campaign_id: only this one, digits; default all
        :raises ValueError: the campaign's id cannot be right; nothing was sent
        """
        campaign = {} if campaign_id is None else {"campaign_id": arguments.campaign_id(campaign_id)}
        either = replace(ROWS, bare_list=True)
        return [CampaignNow.from_row(row) for row in self._list(REAL_TIME, "campaigns", campaign, reading=either)]

    def calls_last_10(self) -> list[ReportedCall]:
        """Return the calls of the last 10 minutes [doc]; the agent is read from the `conn_id`."""
        rows = self._list(REAL_TIME, "calls_last_10")
        return [ReportedCall.from_row("calls_last_10", row, self.zone) for row in rows]

    def campaigns(self) -> list[CampaignInfo]:
        """Return the operation's campaigns [doc]."""
        return [CampaignInfo.from_row(row) for row in self._list(INFORMATION, "campaigns")]

    def agents(self) -> list[AgentInfo]:
        """Return the operation's agents [doc]."""
        return [AgentInfo.from_row(row) for row in self._list(INFORMATION, "agents")]

    def activity_codes(self) -> list[ActivityCode]:
        """Return the operation's dispositions [doc]."""
        return [ActivityCode.from_row(row) for row in self._list(INFORMATION, "activity_codes")]

    def get_dnc(self, kind: str = "all") -> list[DoNotCall]:
        """Return the numbers of the do-not-call list [doc].

        Each of them is on it, whatever its date.

        :param kind: `inbound`, `outbound` or `all`, the default
        :raises ValueError: there is no such kind, and nothing was sent; or the list fills a whole reply, so
            that numbers may be missing from it: it is not returned then, since they would be called
        :raises OutcomeUnknown: also where an answer has another form, or a row has no number, for the same reason
        """
        kind = arguments.one_of(kind, DNC_KINDS, "kind")
        answer = self._send("GET", INFORMATION, "get_dnc", {"type": kind}, reading=ROWS)
        if answer.code == "404":
            return []
        rows = answer.data if isinstance(answer.data, list) else [None]
        require_whole("get_dnc", len(rows))
        listed = [DoNotCall.from_row(row, self.zone) if isinstance(row, dict) else None for row in rows]
        if not all(each and each.phone for each in listed):
            raise OutcomeUnknown("get_dnc", "its answer is no list of numbers, so nobody knows who must not be called")
        return [each for each in listed if each]

    def law2300_info(self, nit: str | int, phone: str | int) -> list[Law2300Block]:
        """Return when a number was blocked under Colombia's Law 2300, by the operation's own record [doc].

        The list is empty where there is no record.

        :param nit: the company's tax id as it was validated in wolkvox Manager, not the customer's [doc]
        :param phone: the customer's number: 5 to 20 digits, without `dial_prefix`
        :raises ValueError: an argument is invalid; nothing was sent
        """
        parameters = {"nit": arguments.identifier(nit, "nit"), "phone": arguments.phone(phone, "phone")}
        rows = self._list(INFORMATION, "law2300_info", parameters, _secrets(*parameters.values()))
        return [Law2300Block.from_row(row, self.zone) for row in rows]

    def _totals(self, report: str, campaign_id: str | int, since: datetime, until: datetime) -> list[CampaignTotal]:
        campaign = {"campaign_id": arguments.campaign_id(campaign_id, or_all=True)}
        asked: list[Window] = []
        rows = self._rows(REPORTS, report, campaign, since, until, asked=asked)
        # GUESS: a word `TOTAL` is the report's sum, which such a row has no agent's name to say.
        totals = [total for total in map(CampaignTotal.from_row, rows) if total.word.upper() != "TOTAL"]
        return totals if len(asked) == 1 else added_up(totals)


def added_up(totals: list[CampaignTotal]) -> list[CampaignTotal]:
    """Return one total for each word, in the order in which the words first come, and their shares of all.

    What holds a number that could not be read is None, not less than it is.

    :param totals: those of several windows, or of one
    """
    words: dict[str, list[int | None]] = {}
    for total in totals:
        words.setdefault(total.word, []).append(total.records)
    records = {word: _sum(numbers) for word, numbers in words.items()}
    of_all = _sum([*records.values()])
    return [
        CampaignTotal(word, number, round(100 * number / of_all, 2) if number is not None and of_all else None)
        for word, number in records.items()
    ]


def _sum(numbers: list[int | None]) -> int | None:
    return None if None in numbers else sum(number for number in numbers if number is not None)


def _secrets(*texts: str) -> tuple[str, ...]:
    # A shorter text is no one's number, and hiding it would tear the server's words to pieces.
    return tuple(text for text in texts if len(text) >= FEWEST_DIGITS)
