"""The writes of `configuration.php`, and `sms.php`: whom not to call, and messages. GUESS: every text."""

from __future__ import annotations

from dataclasses import replace

from airflow_provider_wolkvox.simulator.body import BodyError
from airflow_provider_wolkvox.simulator.endpoints.campaign_control import read_fields
from airflow_provider_wolkvox.simulator.replies import Envelope, no_such_campaign
from airflow_provider_wolkvox.simulator.request import Request, ResponseMode
from airflow_provider_wolkvox.simulator.state.directory import CALL_TYPES, DoNotCall, LastContact
from airflow_provider_wolkvox.simulator.state.operation import Operation, Token


def add_dnc(operation: Operation, token: Token, request: Request, mode: ResponseMode) -> Envelope:
    """Put phones on the do-not-call list. GUESS: campaigns go on dialling them."""
    try:
        given = read_fields(request, "type_call", telephones=list)
    except BodyError:
        return operation.replies.body_wrong
    if given["type_call"] not in CALL_TYPES:
        return operation.replies.body_wrong
    if mode.act:
        today = operation.sight().wording().date(operation.now())
        added = tuple(DoNotCall(phone, given["type_call"], today) for phone in given["telephones"])
        known = {(each.phone_number, each.type) for each in added}
        kept = tuple(each for each in operation.directory.do_not_call if (each.phone_number, each.type) not in known)
        operation.directory = replace(operation.directory, do_not_call=(*kept, *added))
    return Envelope(201, None, "The telephones have been added successfully")


def block_predictive_dnc(operation: Operation, token: Token, request: Request, mode: ResponseMode) -> Envelope:
    """Let a campaign dial these customers no more."""
    try:
        given = read_fields(request, "id_campaing", id_cliente=list)
    except BodyError:
        return operation.replies.body_wrong
    state = operation.campaigns.get(given["id_campaing"])
    if state is None:
        return no_such_campaign(given["id_campaing"])
    if mode.act:
        operation.campaigns.dial_no_more(state, given["id_cliente"], operation.now())
        operation.campaigns_changed()
    return Envelope(202, None, "The customers have been blocked successfully")


def block_law2300(operation: Operation, token: Token, request: Request, mode: ResponseMode) -> Envelope:
    """Note that a company has reached a phone today, by voice (guess)."""
    try:
        given = read_fields(request, "nit", "telephone", "customer_id")
    except BodyError:
        return operation.replies.body_wrong
    if mode.act:
        now = operation.sight().wording().date(operation.now())
        entry = LastContact(given["telephone"], now, nit=given["nit"])
        kept = (
            each
            for each in operation.directory.law2300
            if (each.phone_number, each.nit) != (entry.phone_number, entry.nit)
        )
        operation.directory = replace(operation.directory, law2300=(*kept, entry))
    return Envelope(200, None, "The telephone has been blocked successfully")


def send_sms(operation: Operation, token: Token, request: Request, mode: ResponseMode) -> Envelope:
    """Take a message that nobody gets."""
    try:
        read_fields(request, "telephone", "message")
    except BodyError:
        return operation.replies.body_wrong
    return Envelope(201, None, "The message has been sent successfully")
