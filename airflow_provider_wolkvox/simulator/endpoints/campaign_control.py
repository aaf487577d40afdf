"""The APIs of `campaign.php` that change a campaign or its records."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

from airflow_provider_wolkvox.simulator import replies
from airflow_provider_wolkvox.simulator.body import BodyError, read_json
from airflow_provider_wolkvox.simulator.endpoints.reports import read_moment
from airflow_provider_wolkvox.simulator.replies import Envelope
from airflow_provider_wolkvox.simulator.request import Request, ResponseMode
from airflow_provider_wolkvox.simulator.state.calls import CallError, CallResult
from airflow_provider_wolkvox.simulator.state.campaigns import MOST_ACTIVE, RECALL_FIELDS, STARTED, STOPPED, State
from airflow_provider_wolkvox.simulator.state.operation import Operation, Token
from airflow_provider_wolkvox.simulator.state.predictive import PREDICTIVE, PREVIEW
from airflow_provider_wolkvox.simulator.state.stations import Recall

_MOST_RECORDS_UP = 10_000
_FASTEST = 100
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

    GUESS: the loading of doubles (see `add_campaign`), what becomes of the
    campaign where some records are refused, and that `campaign_status` is what the campaign is afterwards
    (unless two others are on already, of which the answer says nothing).
    """
    state = _campaign(operation, request)
    if isinstance(state, Envelope):
        return state
    # For a preview campaign there is none (doc).
    wanted = request.parameters.get("campaign_status") or (None if state.kind == PREVIEW else "")
    if wanted == "":
        return replies.PARAMETERS_MISSING
    rows = _json(request)
    if not isinstance(rows, list) or wanted not in (_ON, _OFF, None):
        return operation.replies.body_wrong
    if len(rows) > _MOST_RECORDS_UP:
        return operation.replies.too_many_records
    limit, loaded = operation.record_limit, operation.campaigns.loaded
    if limit is not None and loaded + len(rows) > limit:
        return replies.licence_exceeded(loaded + len(rows), limit)
    refusals = operation.campaigns.refusals(state, rows)
    sound = [row for row, why in zip(rows, refusals, strict=True) if not why]
    data = {
        "total_registers": str(len(rows)),
        "total_success": str(len(sound)),
        "total_errors": str(len(rows) - len(sound)),
        "array_errors": [replies.not_added(place, why) for place, why in enumerate(refusals) if why],
    }
    if not sound:
        return replies.NONE_ADDED.with_data([data])
    if mode.act:
        operation.campaigns.load(state, sound)
        state.batches.append(tuple(row["customer_id"] for row in sound))
        switched = wanted is not None and (wanted == _ON) != (state.since is not None)
        if switched and not (wanted == _ON and _too_many_active(operation, state)):
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
    normalized = value
    if name == "Cod_Machine":
        # A result may be written as any report writes it; a word that is none fits no record.
        with suppress(CallError):
            normalized = CallResult.of(value).result
    found = operation.campaigns.to_recall(state, name, normalized, operation.now())
    if mode.act:
        operation.campaigns.recall(state, found)
        state.recalls += 1
        operation.campaigns_changed()
    return replies.recalled(campaign_id, name, value, normalized, len(found))


def codify(operation: Operation, token: Token, request: Request, mode: ResponseMode) -> Envelope:
    """Give a customer's record its dispositions, so that it is not dialled again (doc)."""
    return _for_customers(operation, request, mode, "codified", "cod_act", "cod_act_2", "comment", "customer_id")


def recall(operation: Operation, token: Token, request: Request, mode: ResponseMode) -> Envelope:
    """Schedule a call to one customer of a campaign. GUESS: it is a recall like those of agents, without an agent."""
    try:
        given = read_fields(request, "recall_date", "recall_telephone", "customer_id")
    except BodyError:
        return operation.replies.body_wrong
    state = _campaign(operation, request)
    if isinstance(state, Envelope):
        return state
    if not state.added[given["customer_id"]]:
        return operation.replies.customer_unknown
    try:
        due = read_moment(given["recall_date"], operation.sight().wording().zone)
    except ValueError:
        return operation.replies.recall_date_wrong
    if mode.act:
        operation.stations_kept.recalls.append(
            Recall(state.campaign_id, given["customer_id"], given["recall_telephone"], "auto", "", "", due)
        )
    return replies.campaign_changed("recall has been scheduled")


def speed(operation: Operation, token: Token, request: Request, mode: ResponseMode) -> Envelope:
    """Set how fast a campaign dials, from 0 to 100 (doc). GUESS: the simulator's dialler does not care."""
    try:
        given = read_fields(request, "speed")
    except BodyError:
        return operation.replies.body_wrong
    state = _campaign(operation, request)
    if isinstance(state, Envelope):
        return state
    if not re.fullmatch("[0-9]{1,3}", given["speed"]) or int(given["speed"]) > _FASTEST:
        return operation.replies.body_wrong
    if mode.act:
        state.speed = int(given["speed"])
    return replies.campaign_changed("speed has been changed")


def clear_campaign(operation: Operation, token: Token, request: Request, mode: ResponseMode) -> Envelope:
    """Take all records out of a campaign, or those whose last dial ended in one way; a 404 if there is none (seen)."""
    state = _campaign(operation, request)
    if isinstance(state, Envelope):
        return state
    result = request.parameters.get("result", "")
    now = operation.now()
    found = operation.campaigns.ended_as(state, result, now) if result else list(state.records)
    if not found:
        return operation.replies.nothing_to_delete
    if mode.act:
        operation.campaigns.remove(state, found)
        operation.campaigns_changed()
    return replies.campaign_changed("records have been deleted")


def remove_record(operation: Operation, token: Token, request: Request, mode: ResponseMode) -> Envelope:
    """Take customers out of a campaign for good, `customer_id` being one or several with commas between (doc)."""
    return _for_customers(operation, request, mode, "deleted", "customer_id")


def _for_customers(operation: Operation, request: Request, mode: ResponseMode, done: str, *names: str) -> Envelope:
    try:
        given = read_fields(request, *names)
    except BodyError:
        return operation.replies.body_wrong
    state = _campaign(operation, request)
    if isinstance(state, Envelope):
        return state
    customers = (
        [each.strip() for each in given["customer_id"].split(",")] if len(names) == 1 else [given["customer_id"]]
    )
    found = [record for record in state.records if record.customer_id in customers]
    if not found:
        return operation.replies.customer_unknown
    if mode.act:
        if "cod_act" in given:
            state.codes[given["customer_id"]] = (given["cod_act"], given["cod_act_2"], given["comment"])
            operation.campaigns.dial_no_more(state, customers, operation.now())
        else:
            operation.campaigns.remove(state, found)
        operation.campaigns_changed()
    return replies.campaign_changed(f"records have been {done}")


def _campaign(operation: Operation, request: Request) -> State | Envelope:
    """Return the campaign that is meant, or that there is none of this id and kind."""
    campaign_id, kind = request.parameters["campaign_id"], request.parameters.get("type_campaign")
    state = operation.campaigns.get(campaign_id)
    if state is None or kind not in (None, state.kind):
        return replies.no_such_campaign(campaign_id)
    return state


def read_fields(request: Request, *texts: str, **others: type) -> dict[str, Any]:
    """Return the fields of a body that is an object of texts, and of lists of texts.

    :raises BodyError: if one is missing or no such, or the body is none
    """
    given = _json(request)
    if not isinstance(given, dict):
        raise BodyError("the body is no object")
    for name in texts:
        # A comment may be empty, and so may a second disposition.
        if not isinstance(given.get(name), str) or not (given[name] or name in ("comment", "cod_act_2")):
            raise BodyError(name)
    for name in others:
        value = given.get(name)
        if not isinstance(value, list) or not value or not all(isinstance(each, str) and each for each in value):
            raise BodyError(name)
    return given


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
