"""The methods of WolkvoxClient that change campaigns: start, stop, add records, dial records again."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from airflow_provider_wolkvox.api import arguments, values
from airflow_provider_wolkvox.api.campaign_records import AddedRecords
from airflow_provider_wolkvox.api.envelope import Reading
from airflow_provider_wolkvox.api.errors import NotSent, OutcomeUnknown, TokenBusy
from airflow_provider_wolkvox.api.reading import CAMPAIGN_TYPES
from airflow_provider_wolkvox.api.sending import CAMPAIGN, INFORMATION, Sender

# By the vendor's page; spelt like this.
RECALL_FIELDS = frozenset({"Cod_Machine", "cod_rslt1", "cod_rslt2"})
MOST_RECORDS = 10_000

# How lists name a campaign's status, and how an upload does [doc].
_STATUSES = {"started": "start", "stopped": "stop"}


def _took_none(code: str, msg: str) -> bool:
    # An answer that says why each record was refused, under a 404 [seen].
    return code == "404" and msg.lower().startswith("0 records has been added")


# It gives a reason for each of up to 10,000 records [doc].
_OF_AN_UPLOAD = Reading(_took_none, longest=16 * 1024 * 1024)


class CampaignMethods(Sender):
    """Changes campaigns.

    What holds for every method: arguments that cannot be right are a `ValueError` before any request;
    `before_sending` and `before_resending` are as for `WolkvoxClient.aux_call`. A method raises

    - `NotSent`: no byte left this machine in any of the tries; nothing was changed
    - `Refused`: wolkvox said no; nothing was changed
    - `OutcomeUnknown`: wolkvox may have done it; it was not sent again
    """

    def start_campaign(
        self,
        campaign_id: str | int,
        *,
        before_sending: Callable[[], None] = lambda: None,
        before_resending: Callable[[NotSent | TokenBusy], None] = lambda failure: None,
    ) -> None:
        """Start a campaign: wolkvox dials its records from now on [doc].

        :param campaign_id: the campaign, digits
        :raises ValueError: the campaign's id cannot be right; nothing was sent
        :raises Refused: such as `You must turn off a predictive before starting this one` or `The campaign has
            not been started` [seen]

        The rest is as for `CampaignMethods`.
        """
        campaign = {"campaign_id": arguments.campaign_id(campaign_id)}
        self._send("PUT", CAMPAIGN, "start", campaign, before_sending, before_resending)

    def stop_campaign(
        self,
        campaign_id: str | int,
        *,
        before_sending: Callable[[], None] = lambda: None,
        before_resending: Callable[[NotSent | TokenBusy], None] = lambda failure: None,
    ) -> None:
        """Stop a campaign: wolkvox dials none of its records from now on [doc].

        :param campaign_id: the campaign, digits
        :raises ValueError: the campaign's id cannot be right; nothing was sent

        The rest is as for `CampaignMethods`.
        """
        campaign = {"campaign_id": arguments.campaign_id(campaign_id)}
        self._send("PUT", CAMPAIGN, "stop", campaign, before_sending, before_resending)

    def recall_records(
        self,
        campaign_id: str | int,
        field: str,
        value: str,
        *,
        before_sending: Callable[[], None] = lambda: None,
        before_resending: Callable[[NotSent | TokenBusy], None] = lambda failure: None,
    ) -> int:
        """Put a campaign's records back into dialling that hold a value, and return how many they were [doc].

        :param campaign_id: the campaign, digits
        :param field: `Cod_Machine`, `cod_rslt1` or `cod_rslt2`
        :param value: what the field holds, such as `NO-ANSWER`
        :raises ValueError: an argument cannot be right; nothing was sent
        :raises OutcomeUnknown: also where wolkvox accepted it but did not say how many records it changed

        The rest is as for `CampaignMethods`.
        """
        campaign = {"campaign_id": arguments.campaign_id(campaign_id)}
        which = {
            "field": arguments.one_of(field, RECALL_FIELDS, "field"),
            "value": arguments.plain(value, "value"),
        }
        answer = self._send(
            "PUT", CAMPAIGN, "recall_records", campaign, before_sending, before_resending, body=_json(which)
        )
        affected = values.count(values.first_row(answer.data), "affected_records")
        if affected is None and (said := re.match("[0-9]+(?= record)", answer.msg)):
            affected = int(said.group())
        if affected is None:
            raise OutcomeUnknown("recall_records", "wolkvox accepted it but did not say how many records it changed")
        return affected

    def add_records(
        self,
        campaign_id: str | int,
        records: Sequence[Mapping[str, str]],
        *,
        type_campaign: str = "predictive",
        start: bool | None = None,
        before_sending: Callable[[], None] = lambda: None,
        before_resending: Callable[[NotSent | TokenBusy], None] = lambda failure: None,
    ) -> AddedRecords:
        """Add records to a campaign, and return how many wolkvox took [doc].

        That it took none is an answer with its reasons, not an exception, although wolkvox sends it as a 404
        [seen]. Where an answer leaves a count out, GUESS: an accepted one took every record that it does not
        count as an error.

        :param campaign_id: the campaign, digits
        :param records: 1 to 10,000 flat mappings of texts [doc], each with a `customer_id`; the other columns are
            the campaign's own, such as `customer_name`, `tel1` to `tel10`, `opt1` to `opt12`
        :param type_campaign: `predictive`, the default, or `preview`
        :param start: None, the default, leaves a predictive campaign as it is: wolkvox wants its current status along
            with the records [doc], which is read first, for one more request of the quota. True starts the campaign,
            False stops it. A preview campaign takes no status [doc], only None
        :raises ValueError: an argument is invalid; the message names the row; nothing was sent
        :raises NotSent: also where the campaign's current status could not be read; no record was sent
        :raises Refused: such as more records than the licence allows [seen]; none was added

        The rest is as for `CampaignMethods`.
        """
        if start is not None and not isinstance(start, bool):
            raise ValueError("start must be True, False or None")
        is_preview = arguments.one_of(type_campaign, CAMPAIGN_TYPES, "type_campaign") == "preview"
        if is_preview and start is not None:
            raise ValueError("start must be None for a preview campaign, which takes no campaign_status")
        parameters = {"type_campaign": type_campaign, "campaign_id": arguments.campaign_id(campaign_id)}
        rows = _flat(records)
        if start is not None:
            parameters["campaign_status"] = "start" if start else "stop"
        elif not is_preview:
            parameters["campaign_status"] = self._current_status(parameters["campaign_id"])
        answer = self._send(
            "POST",
            CAMPAIGN,
            "add_record",
            parameters,
            before_sending,
            before_resending,
            body=_json(rows),
            reading=_OF_AN_UPLOAD,
        )
        return self._added(answer.data, len(rows), took_none=answer.code == "404")

    def _current_status(self, campaign_id: str) -> str:
        try:
            rows = self._list(INFORMATION, "campaigns")
        except OutcomeUnknown as failure:
            # What is unknown is the answer to a question: no record was handed over.
            raise NotSent("add_record", f"the campaign's current status could not be read ({failure.why})") from None
        found = next((row for row in rows if values.digits(row, *values.CAMPAIGN_ID) == campaign_id), None)
        if found is None:
            raise NotSent(
                "add_record", f"campaign {campaign_id} is not among the campaigns of the operation: correct campaign_id"
            )
        status = _STATUSES.get(values.word(found, "status"))
        if status is None:
            raise NotSent(
                "add_record",
                f"campaign {campaign_id} is neither Started nor Stopped, so its current status cannot be sent along "
                "with the records: give start=True or start=False",
            )
        return status

    def _added(self, data: Any, given: int, *, took_none: bool) -> AddedRecords:
        row = values.first_row(data)
        errors = row.get("array_errors")
        total = values.count(row, "total_registers")
        refused = values.count(row, "total_errors")
        accepted = values.count(row, "total_success")
        total = given if total is None else total
        if took_none:
            accepted = 0
        if accepted is None:
            accepted = max(total - (refused or 0), 0)
        return AddedRecords(
            total=total,
            accepted=accepted,
            refused=max(total - accepted, 0) if refused is None else refused,
            errors=tuple(self._reason(error) for error in errors) if isinstance(errors, list) else (),
        )

    def _reason(self, error: Any) -> str:
        if isinstance(error, dict):
            # {"error": "CUSTOMER_ID is empty, object position 0", "msg": "CUSTOMER_ID is a required field"} [seen].
            said = [text for text in (values.text(error, "error"), values.text(error, "msg")) if text]
            error = ": ".join(said) or error
        text = error if isinstance(error, str) else json.dumps(error, ensure_ascii=False)
        return self._transport.presentable(arguments.without_numbers(text))


def _flat(records: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """Return the records if wolkvox can take them; none of the messages repeats a customer's data."""
    if isinstance(records, (str, bytes, Mapping)) or not isinstance(records, Sequence):
        raise ValueError("records must be a list of mappings")
    if not 1 <= len(records) <= MOST_RECORDS:
        raise ValueError(f"records holds {len(records)} rows; wolkvox takes 1 to {MOST_RECORDS} a request")
    for place, record in enumerate(records):
        if not isinstance(record, Mapping):
            raise ValueError(f"records[{place}] is not a mapping")
        if not all(isinstance(key, str) and key.strip() for key in record):
            raise ValueError(f"records[{place}] has a column without a name")
        for key, value in record.items():
            if not isinstance(value, str):
                raise ValueError(f"records[{place}]: {key} must be text, not {type(value).__name__}")
            try:
                arguments.cell(value, key)
            except ValueError as wrong:
                raise ValueError(f"records[{place}]: {wrong}") from None
        if not record.get("customer_id", "").strip():
            raise ValueError(f"records[{place}] has no customer_id")
    return [{key: arguments.cell(value, key) for key, value in record.items()} for record in records]


def _json(content: Any) -> bytes:
    return json.dumps(content).encode()
