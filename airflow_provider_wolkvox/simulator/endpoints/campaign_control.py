"""The APIs of `campaign.php` that change a campaign: start, stop, add_record, recall_records."""

from __future__ import annotations

from contextlib import suppress

from airflow_provider_wolkvox.simulator import replies
from airflow_provider_wolkvox.simulator.body import BodyError, read_json
from airflow_provider_wolkvox.simulator.replies import Envelope
from airflow_provider_wolkvox.simulator.request import Request, ResponseMode
from airflow_provider_wolkvox.simulator.state.calls import CallError, CallResult
from airflow_provider_wolkvox.simulator.state.campaigns import MOST_ACTIVE, RECALL_FIELDS, STARTED, STOPPED, State
from airflow_provider_wolkvox.simulator.state.operation import Operation, Token
from airflow_provider_wolkvox.simulator.state.predictive import PREDICTIVE

_MOST_RECORDS_UP = 10_000
_ON, _OFF = "start", "stop"


def start(operation: Operation, token: Token, request: Request, mode: ResponseMode) -> Envelope:
    """Let a campaign dial. One that is on already is started again without effect (guess)."""
    campaign_id = request.parameters["campaign_id"]
    state = operation.campaigns.get(campaign_id)
    if state is None:
        return replies.no_such_campaign(campaign_id)
    if _too_many_active(operation, state):
        return replies.TOO_MANY_ACTIVE
    # GUESS: that this is the cause of a refusal whose text is known.
    if not state.records:
        return replies.NOT_STARTED
    if mode.act:
        _switch(operation, state, on=True)
    return replies.campaign_switched(campaign_id, STARTED)


def stop(operation: Operation, token: Token, request: Request, mode: ResponseMode) -> Envelope:
    """Let a campaign dial no more; its calls under way go on (guess)."""
    campaign_id = request.parameters["campaign_id"]
    state = operation.campaigns.get(campaign_id)
    if state is None:
        return replies.no_such_campaign(campaign_id)
    if mode.act:
        _switch(operation, state, on=False)
    return replies.campaign_switched(campaign_id, STOPPED)


def add_record(operation: Operation, token: Token, request: Request, mode: ResponseMode) -> Envelope:
    """Load records, all that are sound; a customer that is there already is loaded again.

    GUESS: the loading of doubles (see `add_campaign`), the shape of `array_errors`, what becomes of the
    campaign where some records are refused, and that `campaign_status` is what the campaign is afterwards
    (unless two others are on already, of which the answer says nothing).
    """
    campaign_id, wanted = request.parameters["campaign_id"], request.parameters["campaign_status"]
    state = operation.campaigns.get(campaign_id)
    if state is None or request.parameters["type_campaign"] != state.kind:
        return replies.no_such_campaign(campaign_id)
    rows = _json(request)
    if not isinstance(rows, list) or wanted not in (_ON, _OFF):
        return operation.replies.body_wrong
    if len(rows) > _MOST_RECORDS_UP:
        return operation.replies.too_many_records
    limit, loaded = operation.record_limit, operation.campaigns.loaded
    if limit is not None and loaded + len(rows) > limit:
        return replies.licence_exceeded(loaded + len(rows), limit, limit - loaded)
    refusals = operation.campaigns.refusals(state, rows)
    sound = [row for row, why in zip(rows, refusals, strict=True) if not why]
    data = {
        "total_registers": str(len(rows)),
        "total_success": str(len(sound)),
        "total_errors": str(len(rows) - len(sound)),
        "array_errors": [
            {"register": str(place), "customer_id": _customer_id(row), "error": why}
            for place, (row, why) in enumerate(zip(rows, refusals, strict=True), 1)
            if why
        ],
    }
    if not sound:
        return replies.NONE_ADDED.with_data([data])
    if mode.act:
        operation.campaigns.load(state, sound)
        state.batches.append(tuple(row["customer_id"] for row in sound))
        if (wanted == _ON) != (state.since is not None) and not (wanted == _ON and _too_many_active(operation, state)):
            _switch(operation, state, on=wanted == _ON)
        operation.campaigns_changed()
    done = replies.ALL_ADDED if len(sound) == len(rows) else operation.replies.records_partly_added
    return done.with_data([data])


def recall_records(operation: Operation, token: Token, request: Request, mode: ResponseMode) -> Envelope:
    """Put the records that ended in one way back into dialling. GUESS: what is said if there is none."""
    campaign_id = request.parameters["campaign_id"]
    state = operation.campaigns.get(campaign_id)
    if state is None:
        return replies.no_such_campaign(campaign_id)
    wanted = _json(request)
    name, value = (wanted.get("field"), wanted.get("value")) if isinstance(wanted, dict) else (None, None)
    if not isinstance(name, str) or name not in RECALL_FIELDS or not isinstance(value, str) or not value:
        return operation.replies.body_wrong
    if name == "Cod_Machine":
        # A result may be written as any report writes it; a word that is none fits no record.
        with suppress(CallError):
            value = CallResult.of(value).result
    found = operation.campaigns.to_recall(state, name, value, operation.now())
    if mode.act:
        operation.campaigns.recall(state, found)
        state.recalls += 1
        operation.campaigns_changed()
    return replies.recalled(len(found))


def _too_many_active(operation: Operation, state: State) -> bool:
    """Return whether two other predictive campaigns are on (seen: then a third is not started)."""
    when_done, now = operation.report_policy.status_when_done, operation.now()
    if state.kind != PREDICTIVE or operation.campaigns.status(state, now, when_done) == STARTED:
        return False
    return operation.campaigns.active_predictives(now, when_done) >= MOST_ACTIVE


def _switch(operation: Operation, state: State, *, on: bool) -> None:
    if on:
        state.starts += 1
        state.since = state.since or operation.now()
    else:
        state.stops += 1
        state.since = None
    operation.campaigns_changed()


def _json(request: Request) -> object:
    """Return what the body holds, `None` if it is not sent as JSON (seen: a 400) or is none."""
    if request.content_type.partition(";")[0].strip().lower() != "application/json":
        return None
    try:
        return read_json(request.body)
    except BodyError:
        return None


def _customer_id(row: object) -> str:
    return str(row.get("customer_id", "")) if isinstance(row, dict) else ""
