"""The APIs by name, and the order in which wolkvox's checks are made.

To add an API: write a function like `agentbox.hang` and give it a line in `_NAMED`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from airflow_provider_wolkvox.simulator import replies
from airflow_provider_wolkvox.simulator.endpoints import (
    agentbox,
    campaign_control,
    configuration,
    information,
    real_time,
    records,
    reports,
    rows,
)
from airflow_provider_wolkvox.simulator.endpoints.reports import Report, Told
from airflow_provider_wolkvox.simulator.replies import Envelope
from airflow_provider_wolkvox.simulator.request import Request, ResponseMode
from airflow_provider_wolkvox.simulator.state.calls import CallRecord
from airflow_provider_wolkvox.simulator.state.operation import InFlight, Operation, Token

Answerer = Callable[[Operation, Token, Request, ResponseMode], Envelope]
"""Does what is asked with a token of the operation, unless its mode forbids it, and returns what wolkvox answers.

The APIs' functions in `agentbox`, `campaign_control` and the others are all of this form.
"""


@dataclass(frozen=True, slots=True)
class Api:
    """One API: the file it is in, its method, the parameters it needs, and whether the quota counts it."""

    file: str
    method: str
    needs: tuple[str, ...]
    counted: bool
    answer: Answerer


def _agent_api(method: str, do: Answerer, *needs: str, on_call: bool | None = None) -> Api:
    """Return an API that makes an agent's station do something: only of an agent who is logged in (doc).

    `on_call` is whether the agent must be on a call, or on none. What is done is noted among the commands.
    """

    def answer(operation: Operation, token: Token, request: Request, mode: ResponseMode) -> Envelope:
        agent = operation.agent(request.parameters["agent_id"])
        if agent is None:
            return operation.replies.agent_unknown
        if not agent.logged_in:
            return operation.replies.agent_logged_out
        if on_call is False and operation.is_on_call(agent):
            return operation.replies.agent_on_call
        if on_call is True and not operation.has_call(agent.agent_id):
            return operation.replies.no_active_call
        call = operation.call_meant(agent.agent_id)
        done = do(operation, token, request, mode)
        if mode.act and not done.refuses:
            operation.note_command(request, token, call)
        return done

    # Agent calls need a token but are not counted (doc).
    return Api("agentbox.php", method, ("agent_id", *needs), counted=False, answer=answer)


def _of_dates(report: Report[Told]) -> Api:
    """Return the API of a report that is asked for a range of dates, and maybe for one agent or disposition."""

    def answer(operation: Operation, token: Token, request: Request, mode: ResponseMode) -> Envelope:
        return reports.ask_in_window(report, operation.sight(), request.parameters)

    needs = (*report.needs, "date_ini", "date_end")
    return Api("reports_manager.php", "GET", needs, counted=True, answer=answer)


def _of_campaign(report: Report[CallRecord]) -> Api:
    """Return the API of a report that is asked for the calls of one campaign, or of all."""
    by_dates = _of_dates(report)

    def answer(operation: Operation, token: Token, request: Request, mode: ResponseMode) -> Envelope:
        campaign_id = request.parameters["campaign_id"]
        if campaign_id != rows.ALL and not operation.knows_campaign(campaign_id):
            return replies.no_such_campaign(campaign_id)
        return by_dates.answer(operation, token, request, mode)

    return replace(by_dates, answer=answer)


def _calls_last_10(operation: Operation, token: Token, request: Request, mode: ResponseMode) -> Envelope:
    """Tell of the calls of the last ten minutes, without their agents (doc)."""
    return reports.ask_ten_minutes(rows.CALLS_LAST_10, operation.sight())


def _told(file: str, answer: Answerer, *needs: str) -> Api:
    return Api(file, "GET", needs, counted=True, answer=answer)


def _campaign_15() -> Api:
    """Return the API of all dials of one campaign, which has no dates and its rows under another key (doc)."""

    def answer(operation: Operation, token: Token, request: Request, mode: ResponseMode) -> Envelope:
        if not operation.knows_campaign(request.parameters["campaign_id"]):
            return replies.no_such_campaign(request.parameters["campaign_id"])
        return replace(reports.ask_ever(rows.CAMPAIGN_15, operation.sight(), request.parameters), data_key="records")

    return _told("reports_manager.php", answer, "campaign_id")


def _written(file: str, method: str, answer: Answerer) -> Api:
    return Api(file, method, (), counted=True, answer=answer)


def _done(method: str, answer: Answerer, *needs: str) -> Api:
    return Api("campaign.php", method, needs, counted=True, answer=answer)


_RECALL = ("id_camp", "id_customer", "recall_style")

# By name; a name may stand in two files.
_NAMED: Sequence[tuple[str, Api]] = (
    ("aux_call", _agent_api("POST", agentbox.aux_call, "customer_phone", on_call=False)),
    ("dial", _agent_api("POST", agentbox.dial, "customer_phone", on_call=False)),
    ("transfer", _agent_api("POST", agentbox.transfer, "customer_phone", on_call=True)),
    ("hang", _agent_api("POST", agentbox.hang, on_call=True)),
    ("hold", _agent_api("POST", agentbox.hold, on_call=True)),
    ("mute", _agent_api("POST", agentbox.mute, on_call=True)),
    ("dtmf", _agent_api("POST", agentbox.dtmf, "tones", on_call=True)),
    ("type", _agent_api("POST", agentbox.type_, "cod_act", "cod_act_2")),
    # That there must be a call is doc here, and a GUESS for the others.
    ("hang_type_ready", _agent_api("POST", agentbox.hang_type_ready, "cod_act", on_call=True)),
    ("change_status", _agent_api("POST", agentbox.change_status, "status")),
    ("agent_display", _agent_api("POST", agentbox.agent_display, "display", "button")),
    ("recall", _agent_api("POST", agentbox.recall, *_RECALL, "telefono", "rellamada")),
    ("edit_recall", _agent_api("PUT", agentbox.edit_recall, *_RECALL, "telephone", "recall")),
    ("delete_recall", _agent_api("DELETE", agentbox.delete_recall, *_RECALL, "telephone")),
    ("start", _done("PUT", campaign_control.start, "campaign_id")),
    ("stop", _done("PUT", campaign_control.stop, "campaign_id")),
    (
        "add_record",
        _done("POST", campaign_control.add_record, "type_campaign", "campaign_id"),
    ),
    ("recall_records", _done("PUT", campaign_control.recall_records, "campaign_id")),
    ("codify", _done("PUT", campaign_control.codify, "type_campaign", "campaign_id")),
    ("recall", _done("PUT", campaign_control.recall, "campaign_id")),
    ("speed", _done("PUT", campaign_control.speed, "campaign_id")),
    ("clear_campaign", _done("DELETE", campaign_control.clear_campaign, "type_campaign", "campaign_id")),
    ("remove_record", _done("DELETE", campaign_control.remove_record, "type_campaign", "campaign_id")),
    ("add_dnc", _written("configuration.php", "POST", configuration.add_dnc)),
    ("block_predictive_dnc", _written("configuration.php", "PUT", configuration.block_predictive_dnc)),
    ("block_law2300", _written("configuration.php", "PUT", configuration.block_law2300)),
    ("send_sms", _written("sms.php", "POST", configuration.send_sms)),
    (
        "detail",
        _told("campaign.php", records.detail, "type_campaign", "campaign_id", "date_ini", "date_end", "detail"),
    ),
    ("find_record", _told("campaign.php", records.find_record)),
    ("token_info", _told("information.php", information.token_info)),
    ("campaigns", _told("information.php", information.list_campaigns)),
    ("agents", _told("information.php", information.list_agents)),
    ("activity_codes", _told("information.php", information.list_activity_codes)),
    ("get_dnc", _told("information.php", information.get_dnc, "type")),
    ("law2300_info", _told("information.php", information.law2300_info, "nit", "phone")),
    ("skills", _told("information.php", information.list_skills)),
    ("agents_in_skill", _told("information.php", information.agents_in_skill, "skill_id")),
    ("services", _told("information.php", information.services)),
    ("latency", _told("real_time.php", real_time.latency)),
    ("recall", _told("real_time.php", real_time.recalls, "type")),
    ("agents", _told("real_time.php", real_time.real_time_agents)),
    ("campaigns", _told("real_time.php", real_time.real_time_campaigns)),
    ("calls_last_10", _told("real_time.php", _calls_last_10)),
    ("cdr_1", _of_dates(rows.CDR_1)),
    ("cdr_5", _of_dates(rows.CDR_5)),
    ("agent_2", _of_dates(rows.AGENT_2)),
    ("agent_14", _of_dates(rows.AGENT_14)),
    ("act_3", _of_dates(rows.ACT_3)),
    ("campaign_1", _of_campaign(rows.CAMPAIGN_1)),
    ("campaign_2", _of_campaign(rows.CAMPAIGN_2)),
    ("campaign_3", _of_campaign(rows.CAMPAIGN_3)),
    ("campaign_4", _of_campaign(rows.CAMPAIGN_4)),
    ("campaign_5", _of_campaign(rows.CAMPAIGN_5)),
    ("campaign_15", _campaign_15()),
    ("skill_2", _of_dates(rows.SKILL_2)),
)

APIS: Mapping[tuple[str, str], Api] = {(api.file, name): api for name, api in _NAMED}
"""Every API by its file and name."""

FILES = frozenset({"agentbox.php", "campaign.php", "configuration.php", "customer.php", "information.php"}) | {
    "real_time.php",
    "reports_manager.php",
    "sms.php",
}
"""The files behind `/api/v2/` that exist (doc); any other is a 404 of the web server."""


def answer(operation: Operation, entry: InFlight, request: Request, mode: ResponseMode) -> Envelope:
    """Return what wolkvox answers, after having done it; refusals are counted.

    All under the operation's lock, so that a check still holds when it is acted on.
    """
    with operation.lock:
        envelope = _checked(operation, entry, request, mode)
        if envelope.refuses:
            operation.refused(entry, envelope.msg)
        return envelope


def _checked(operation: Operation, entry: InFlight, request: Request, mode: ResponseMode) -> Envelope:
    # GUESS: this order. Documented is each refusal, not which of two comes first.
    token = entry.token
    if not request.token:
        return replies.NO_TOKEN
    if token is None:
        return replies.BAD_TOKEN
    if not entry.admitted:
        return replies.TOKEN_BUSY
    api = APIS.get((request.file, request.api))
    if api is not None and api.counted and operation.quota_left(token) <= 0:
        return replies.QUOTA_USED_UP
    if operation.maintenance:
        return operation.replies.api_off
    if api is None:
        return replies.NO_SUCH_API
    if api.method != request.method:
        return operation.replies.wrong_method
    if not all(request.parameters.get(name) for name in api.needs):
        return replies.PARAMETERS_MISSING
    if api.counted:
        operation.charge(token)
    return api.answer(operation, token, request, mode)
