"""Operators that steer a campaign: start, stop, put records back into dialling, add records."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

from airflow_provider_wolkvox.not_done import Words
from airflow_provider_wolkvox.operators.once import OnceOperator
from airflow_provider_wolkvox.operators.repeatable import RepeatableOperator
from airflow_provider_wolkvox.phone import mask_numbers
from airflow_provider_wolkvox.running_task import release
from airflow_provider_wolkvox.validation import (
    Checks,
    campaign,
    choice,
    optional,
    path,
    rows,
    switch,
    whole_number,
    words,
)

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_wolkvox.ledger.entry import Entry

CampaignType = Literal["predictive", "preview"]

# The vendor's limit for records in one request [doc].
LARGEST_BATCH = 10_000

# Of what is wrong with the records, how much one message tells.
_REASONS_TOLD = 20
# Of the server's reasons, how many a batch keeps: the ledger's entry must stay far below the store's 64 KB.
_REASONS_KEPT = 100


class CampaignStartOperator(RepeatableOperator):
    """Start a campaign; one that wolkvox says no to (two predictives active) fails with wolkvox's words.

    Run again, it starts the campaign again: what it asks for is a state, not a deed. If nobody saw the
    answer, the task fails without a retry, since somebody may have stopped the campaign meanwhile.

    :param campaign_id: the campaign's id, digits (templated)
    :param wolkvox_conn_id: the connection with server code and token; default `wolkvox_default`
    :param max_age: how long after the run was due it may still be started, so that catching up and clearing
        old runs start nothing; default 24 hours, None for any time
    :param pool: another lane than the one named after the connection

    :raises ValueError: when the DAG is parsed: an argument cannot be right
    :raises AirflowFailException: the run is older than `max_age`, wolkvox said no, or nobody saw the answer
    :raises AirflowException: nothing was sent, and a retry may help
    """

    template_fields: Sequence[str] = ("campaign_id", "wolkvox_conn_id")
    checks: ClassVar[Checks] = {"campaign_id": campaign}
    ui_color = "#e7f3ec"

    repeats_in_doubt = False

    def __init__(self, *, campaign_id: str | int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.campaign_id = campaign_id
        self.validate(vars(self))

    def ask(self, before_sending: Callable[[], None]) -> str:
        """Start the campaign."""
        self.hook.get_conn().start_campaign(self.campaign_id, before_sending=before_sending)
        return f"campaign {self.campaign_id} is started"


class CampaignStopOperator(RepeatableOperator):
    """Stop a campaign, however old the run is. Run again, it stops it again.

    :param campaign_id: the campaign's id, digits (templated)
    :param wolkvox_conn_id: the connection with server code and token; default `wolkvox_default`
    :param pool: another lane than the one named after the connection

    :raises ValueError: when the DAG is parsed: an argument cannot be right
    :raises AirflowFailException: wolkvox said no
    :raises AirflowException: nothing was sent or nobody saw the answer, and a retry may help
    """

    template_fields: Sequence[str] = ("campaign_id", "wolkvox_conn_id")
    checks: ClassVar[Checks] = {"campaign_id": campaign}
    ui_color = "#e7f3ec"

    def __init__(self, *, campaign_id: str | int, **kwargs: Any) -> None:
        # Whatever `default_args` say: a campaign that goes on for want of a young run rings people.
        super().__init__(max_age=None, **kwargs)
        self.campaign_id = campaign_id
        self.validate(vars(self))

    def ask(self, before_sending: Callable[[], None]) -> str:
        """Stop the campaign."""
        self.hook.get_conn().stop_campaign(self.campaign_id, before_sending=before_sending)
        return f"campaign {self.campaign_id} is stopped"


class CampaignRecallOperator(OnceOperator):
    """Put a campaign's records with certain results back into dialling; returns how many.

    Done at most once however often the task is run, like a call: a second time would have customers dialled
    again whom the first one's round has reached meanwhile.

    :param campaign_id: the campaign's id, digits (templated)
    :param value: the result or disposition, or several of them; default `"NO-ANSWER"` (templated)
    :param field: where wolkvox is to look for it: `"Cod_Machine"` (default), `"cod_rslt1"` or `"cod_rslt2"`

    `wolkvox_conn_id`, `max_age`, `call_before`, `ledger_retention`, `allow_second_try` and `pool` are as for
    `AuxCallOperator`.

    :raises ValueError: when the DAG is parsed: an argument cannot be right
    :raises AirflowFailException: the records must not be recalled (again), wolkvox said no, or nobody saw the answer
    :raises AirflowException: nothing was sent, and a retry may help
    """

    template_fields: Sequence[str] = ("campaign_id", "value", "wolkvox_conn_id")
    checks: ClassVar[Checks] = {
        "campaign_id": campaign,
        "value": words,
        "field": choice("Cod_Machine", "cod_rslt1", "cod_rslt2"),
    }
    ui_color = "#e7f3ec"

    words = Words(
        request="recall of records",
        for_whom="recall",
        nothing="no record with this value was put back into dialling",
        perhaps="the records may have been put back into dialling",
        look="look at the campaign in wolkvox Manager",
        again="recall them",
    )

    def __init__(
        self,
        *,
        campaign_id: str | int,
        value: str | Sequence[str] = "NO-ANSWER",
        field: str = "Cod_Machine",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.campaign_id = campaign_id
        self.value = value
        self.field = field
        self.validate(vars(self))

    def execute(self, context: Context) -> int:
        """Recall the records of each value, one request after the other."""
        self.begin(context)
        affected = 0
        for number, value in enumerate(self._values()):
            entry = self._recall(number, value, context)
            self.log.info("%s: %s records go back into dialling.", entry.what, entry.answer)
            affected += entry.answer
        return affected

    def _values(self) -> list[str]:
        given = [self.value] if isinstance(self.value, str) else list(self.value or ())
        # Named twice, it would be recalled twice.
        values = list(dict.fromkeys(given))
        if not values or not all(isinstance(value, str) and value.strip() for value in values):
            self.fail(f"value={given!r} holds no result or disposition, or something that is none. Nothing was sent.")
        return values

    def _recall(self, number: int, value: str, context: Context) -> Entry:
        def send(**around: Any) -> dict[str, int]:
            wolkvox = self.hook.get_conn()
            return {"answer": wolkvox.recall_records(self.campaign_id, self.field, value, **around)}

        what = f"campaign {self.campaign_id}, {self.field} {mask_numbers(value)}"
        return self.once(self.intent(context, "recall_records", what=what, index=number), send, context)


class CampaignAddRecordsOperator(OnceOperator):
    """Add records to a campaign, in batches, none of which is ever sent twice; returns what became of them.

    The result: `sent`, `accepted` and `refused` records, and `errors`: the server's reasons, numbers masked, at
    most 100 for each batch. The task fails if no record at all was accepted.

    All records are checked before the first request; if any is wrong, nothing is sent, and the error names the
    first 20 by file, line and column. A batch that wolkvox refuses as a whole (its licence's cap) fails the task
    with wolkvox's words; the batches after it are not sent. So does one whose outcome nobody saw. Run again, the
    task goes on where it was.

    :param campaign_id: the campaign's id, digits (templated)
    :param records: mappings of texts and numbers, each with a `customer_id`; None with a `records_path` (templated)
    :param records_path: instead: a file of them, any path that Airflow's object storage knows, in UTF-8: CSV with a
        header (`.csv`, `.txt`, `.tsv`), else a JSON object in each line (templated)
    :param type_campaign: `"predictive"` (default) or `"preview"`
    :param start: None (default) leaves the campaign as it is, for which its status is read before each batch; True
        starts it, False stops it. A preview campaign takes only None
    :param batch_size: records in one request; default and most 10,000 [doc]

    `wolkvox_conn_id`, `max_age`, `call_before`, `ledger_retention`, `allow_second_try` and `pool` are as for
    `AuxCallOperator`.

    :raises ValueError: when the DAG is parsed: an argument cannot be right
    :raises AirflowFailException: a record cannot be right, and then none was sent; a batch must not be sent (again),
        wolkvox took no record at all, or nobody saw the answer
    :raises AirflowException: nothing was sent, and a retry may help
    """

    template_fields: Sequence[str] = ("campaign_id", "records", "records_path", "wolkvox_conn_id")
    checks: ClassVar[Checks] = {
        "campaign_id": campaign,
        "records": optional(rows),
        "records_path": optional(path),
        "type_campaign": choice(*get_args(CampaignType)),
        "start": optional(switch),
        "batch_size": whole_number(1, LARGEST_BATCH),
    }
    ui_color = "#e7f3ec"

    words = Words(
        request="upload",
        for_whom="records",
        nothing="no record of this batch was added",
        perhaps="the records may have been added",
        look="look at the campaign's records in wolkvox Manager",
        again="add them",
    )

    def __init__(
        self,
        *,
        campaign_id: str | int,
        records: Iterable[Mapping[str, Any]] | str | None = None,
        records_path: str | None = None,
        type_campaign: CampaignType = "predictive",
        start: bool | None = None,
        batch_size: int = LARGEST_BATCH,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.campaign_id = campaign_id
        self.records = records
        self.records_path = records_path
        self.type_campaign = type_campaign
        self.start = start
        self.batch_size = batch_size
        if (records is None) == (records_path is None):
            raise ValueError("give either records or records_path")
        if type_campaign == "preview" and start is not None:
            raise ValueError("start must be None for a preview campaign, which takes no campaign_status")
        self.validate(vars(self))

    def execute(self, context: Context) -> dict[str, Any]:
        """Check all records, then send each batch that was not accepted yet."""
        self.begin(context)
        with self.hook.failing(repeatable=False):
            self.validate_rendered()
            records = list(self._checked())
        result: dict[str, Any] = {"sent": 0, "accepted": 0, "refused": 0, "errors": []}
        for number, first in enumerate(range(0, len(records), self.batch_size)):
            batch = records[first : first + self.batch_size]
            entry = self._add(number, first, batch, len(records), context)
            self.log.info("%s: %s", entry.what, entry.answer)
            for name in result:
                result[name] += entry.answer[name]
        if not result["accepted"]:
            self.fail(
                f"wolkvox accepted none of {result['sent']} records: {'; '.join(result['errors'][:5])}. Correct them, "
                f"then have them sent again. {release(self.words, context)}."
            )
        if result["refused"]:
            self.log.warning("wolkvox refused %d records: %s", result["refused"], "; ".join(result["errors"][:20]))
        return result

    def _add(self, number: int, first: int, batch: list[dict[str, str]], of: int, context: Context) -> Entry:
        def send(**around: Any) -> dict[str, Any]:
            added = self.hook.get_conn().add_records(
                self.campaign_id, batch, type_campaign=self.type_campaign, start=self.start, **around
            )
            return {
                "answer": {
                    "sent": len(batch),
                    "accepted": added.accepted,
                    "refused": added.refused,
                    "errors": list(added.errors[:_REASONS_KEPT]),
                }
            }

        # So that a file which was changed between two tries is not taken for the one that was sent.
        print_of = hashlib.sha256(json.dumps(batch, sort_keys=True).encode()).hexdigest()[:12]
        what = f"campaign {self.campaign_id}, records {first + 1} to {first + len(batch)} of {of} (SHA-256 {print_of})"
        return self.once(self.intent(context, "add_records", what=what, index=number), send, context)

    def _checked(self) -> Iterator[dict[str, str]]:
        """Yield all records as wolkvox takes them.

        :raises ValueError: some that it would not take; the message says which, the first ones of many
        """
        wrong: list[str] = []
        count = 0
        is_empty = True
        for where, record, unreadable in self._read():
            is_empty = False
            checked, reasons = ({}, [unreadable]) if unreadable else _checked(where, record)
            count += len(reasons)
            wrong += reasons[: _REASONS_TOLD - len(wrong)]
            yield checked
        if wrong:
            more = f"; and {count - len(wrong)} more" if count > len(wrong) else ""
            file = f"{self.records_path}: " if self.records_path else ""
            raise ValueError(f"{file}{'; '.join(wrong)}{more}. Nothing was sent")
        if is_empty:
            raise ValueError("there are no records to add. Nothing was sent")

    def _read(self) -> Iterator[tuple[Callable[[str], str], Any, str]]:
        """Yield what tells where a record's fields stand, the record, and why it cannot be read; empty if it can."""
        if self.records_path is None:
            for number, record in enumerate(self.records or (), start=1):
                yield partial(_place, number), record, ""
            return
        from airflow_provider_wolkvox.records_file import read

        try:
            for row in read(self.records_path):
                yield row.where, row.cells, row.wrong
        except ValueError as wrong:
            raise ValueError(f"{wrong}. Nothing was sent") from None


def _place(number: int, name: str = "") -> str:
    return f"record {number}"


def _checked(where: Callable[[str], str], record: Any) -> tuple[dict[str, str], list[str]]:
    """Return a record's fields as wolkvox takes them, and what is wrong with it."""
    from airflow_provider_wolkvox.api.arguments import cell

    if not isinstance(record, Mapping):
        return {}, [f"{where('')} is {type(record).__name__}, not an object"]
    checked: dict[str, str] = {}
    wrong = []
    for name, value in record.items():
        try:
            checked[str(name)] = cell(value, str(name))
        except ValueError as reason:
            wrong.append(f"{where(str(name))}: {reason}")
    if not wrong and not checked.get("customer_id"):
        wrong.append(f"{where('')} has no customer_id, which wolkvox requires")
    return checked, wrong
