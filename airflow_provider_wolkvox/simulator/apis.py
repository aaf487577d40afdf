"""The APIs by name, and the order in which wolkvox's checks are made.

To add an API: write a function like `_aux_call` and give it a line in `APIS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from airflow_provider_wolkvox.simulator import replies, reports
from airflow_provider_wolkvox.simulator.operation import Operation, Token, Visit
from airflow_provider_wolkvox.simulator.replies import Envelope
from airflow_provider_wolkvox.simulator.reports import Report, Told


class ConnIds(Enum):
    """How an accepted call's conn_id is told: given, an empty text (seen), or not at all."""

    GIVEN = "given"
    EMPTY = "empty"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Ask:
    """What a request asks of wolkvox. All parameters of agent calls are in the query string (doc)."""

    method: str
    file: str
    api: str
    parameters: Mapping[str, str]
    token: str | None = field(repr=False)
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Manner:
    """How an answer is to be given: whether an accepted call rings, and how its conn_id is told."""

    ring: bool = True
    conn_ids: ConnIds = ConnIds.GIVEN


@dataclass(frozen=True, slots=True)
class Api:
    """One API: the file it is in, its method, the parameters it needs, and whether the quota counts it."""

    file: str
    method: str
    needs: tuple[str, ...]
    counted: bool
    answer: Callable[[Operation, Token, Ask, Manner], Envelope]


def _aux_call(operation: Operation, token: Token, ask: Ask, manner: Manner) -> Envelope:
    """Ring the customer for the agent, if the agent may (doc: that it must be so; guess: the refusals)."""
    agent_id, phone = ask.parameters["agent_id"], ask.parameters["customer_phone"]
    agent = operation.agent(agent_id)
    if agent is None:
        return operation.replies.agent_unknown
    if not agent.logged_in:
        return operation.replies.agent_logged_out
    if agent.on_call:
        return operation.replies.agent_on_call
    if not agent.has_cut_call:
        return operation.replies.no_cut_call
    conn_id = operation.ring(phone, agent_id, token) if manner.ring else operation.new_conn_id(agent_id, phone)
    told = {ConnIds.GIVEN: {"conn_id": conn_id}, ConnIds.EMPTY: {"conn_id": ""}, ConnIds.MISSING: {}}
    return Envelope(200, None, replies.AUX_CALL_DONE, told[manner.conn_ids])


def _token_info(operation: Operation, token: Token, ask: Ask, manner: Manner) -> Envelope:
    """Tell how much of the quota is used, this request included.

    The fields, that they are text, and what is left = limit - used are doc; that they come as a list of one
    row is a guess, as reports do.
    """
    limit, used = operation.limit_of(token), operation.used_by(token)
    row = {
        "description": token.description,
        "token_limit": str(limit),
        "token_use_today": str(used),
        "all_token_today": str(operation.used_by_all()),
        "available_consumption_options": str(limit - used),
    }
    return Envelope(200, None, replies.TOKEN_INFO_DONE, [row])


def _of_dates(report: Report[Told]) -> Api:
    """Return the API of a report that is asked for a range of dates, and maybe for one agent."""
    needs = ("agent_id", "date_ini", "date_end") if report.of_agent else ("date_ini", "date_end")

    def answer(operation: Operation, token: Token, ask: Ask, manner: Manner) -> Envelope:
        return reports.ask_in_window(report, operation.sight(), ask.parameters)

    return Api("reports_manager.php", "GET", needs, counted=True, answer=answer)


def _calls_last_10(operation: Operation, token: Token, ask: Ask, manner: Manner) -> Envelope:
    """Tell of the calls of the last ten minutes, without their agents (doc)."""
    return reports.ask_ten_minutes(reports.CALLS_LAST_10, operation.sight())


APIS: Mapping[str, Api] = {
    # Agent calls need a token but are not counted (doc).
    "aux_call": Api("agentbox.php", "POST", ("agent_id", "customer_phone"), counted=False, answer=_aux_call),
    "token_info": Api("information.php", "GET", (), counted=True, answer=_token_info),
    "cdr_1": _of_dates(reports.CDR_1),
    "cdr_5": _of_dates(reports.CDR_5),
    "agent_2": _of_dates(reports.AGENT_2),
    "calls_last_10": Api("real_time.php", "GET", (), counted=True, answer=_calls_last_10),
}

FILES = frozenset({"agentbox.php", "campaign.php", "configuration.php", "customer.php", "information.php"}) | {
    "real_time.php",
    "reports_manager.php",
}
"""The files behind `/api/v2/` that exist (doc); any other is a 404 of the web server."""


def answer(operation: Operation, visit: Visit, ask: Ask, manner: Manner) -> Envelope:
    """Return what wolkvox answers, after having done it; refusals are counted.

    All under the operation's lock, so that a check still holds when it is acted on.
    """
    with operation.lock:
        envelope = _checked(operation, visit, ask, manner)
        if envelope.refuses:
            operation.refused(visit, envelope.msg)
        return envelope


def _checked(operation: Operation, visit: Visit, ask: Ask, manner: Manner) -> Envelope:
    # GUESS: this order. Documented is each refusal, not which of two comes first.
    token = visit.token
    if not ask.token:
        return replies.NO_TOKEN
    if token is None:
        return replies.BAD_TOKEN
    if not visit.admitted:
        return replies.TOKEN_BUSY
    api = APIS.get(ask.api)
    if api is not None and api.counted and operation.quota_left(token) <= 0:
        return replies.QUOTA_USED_UP
    if operation.maintenance:
        return operation.replies.api_off
    if api is None or api.file != ask.file:
        return replies.NO_SUCH_API
    if api.method != ask.method:
        return operation.replies.wrong_method
    if not all(ask.parameters.get(name) for name in api.needs):
        return replies.PARAMETERS_MISSING
    if api.counted:
        operation.charge(token)
    return api.answer(operation, token, ask, manner)
