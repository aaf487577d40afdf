"""The APIs that tell of the operation as it is: agents and campaigns in real time, lists, customers' records."""

from __future__ import annotations

from datetime import datetime

from airflow_provider_wolkvox.simulator import replies
from airflow_provider_wolkvox.simulator.endpoints import rows
from airflow_provider_wolkvox.simulator.endpoints.reports import Window, read_window, rows_told
from airflow_provider_wolkvox.simulator.replies import Envelope
from airflow_provider_wolkvox.simulator.request import Request, ResponseMode
from airflow_provider_wolkvox.simulator.state.campaigns import State
from airflow_provider_wolkvox.simulator.state.operation import Agent, Operation, Token
from airflow_provider_wolkvox.simulator.state.predictive import Dial, Record
from airflow_provider_wolkvox.simulator.state.reporting import Fields, Sight, Wording

_NOT_DIALLED = "CLEAN"


def real_time_agents(operation: Operation, token: Token, request: Request, mode: ResponseMode) -> Envelope:
    """Tell each agent's state now, and for how many seconds: no call and no phone (doc)."""
    sight = operation.sight()
    found = []
    for agent in operation.agents:
        state = _state(operation, agent, sight)
        if state is not None:
            status, since = state
            found.append(
                {
                    "agent_id": agent.agent_id,
                    "agent_name": sight.directory.agent_name(agent.agent_id),
                    "agent_status": status,
                    "time_state_now": str(max(0, int((sight.now - since).total_seconds()))),
                }
            )
    return _listed(found, sight)


def _state(operation: Operation, agent: Agent, sight: Sight) -> tuple[str, datetime] | None:
    """Return an agent's state and since when, `None` if it is not to be told of.

    GUESS: what is told of an agent who is not logged in, and that a state of the operation's own has its name
    there; the words are doc otherwise.
    """
    since = operation.logged_since(agent.agent_id)
    if not agent.logged_in:
        return (sight.policy.logged_out, since) if sight.policy.logged_out else None
    call = operation.last_call(agent.agent_id)
    if call is not None:
        for event in call.events:
            if event.call is not None and event.begun <= sight.now < event.over:
                return _STATES[event.status], event.begun
        since = max(since, call.finished)
    if agent.on_call:
        return _STATES["TALK"], since
    state, chosen = operation.stations_kept.state(agent.agent_id)
    return sight.directory.agent_states.get(state, "Ready"), max(since, chosen or since)


_STATES = {"RING": "Ring", "TALK": "Talk", "ACW": "ACW"}


def real_time_campaigns(operation: Operation, token: Token, request: Request, mode: ResponseMode) -> Envelope:
    """Tell the counters of every campaign, or of one. With or without an envelope: both were seen."""
    sight, wanted = operation.sight(), request.parameters.get("campaign_id")
    if wanted and operation.campaigns.get(wanted) is None:
        return replies.no_such_campaign(wanted)
    found = [
        _counted(operation, state, sight) for state in operation.campaigns if wanted in (None, "", state.campaign_id)
    ]
    answer = _listed(found, sight)
    return answer.without_envelope() if sight.policy.bare_campaigns and not answer.refuses else answer


def _counted(operation: Operation, state: State, sight: Sight) -> Fields:
    until = sight.until("campaigns")
    counters = operation.campaigns.counters(state, until, sight.directory.hits)
    reached = rows.percent(counters.records - counters.clean, counters.records)
    return {
        "campaign": f"{state.campaign_id} - {state.name} - {state.strategy} ({reached.replace(' ', '')})",
        "status": operation.campaigns.status(state, until, sight.policy.status_when_done),
        "records": str(counters.records),
        "clean": str(counters.clean),
        "dial": str(counters.dial),
        "answer": str(counters.answer),
        "no_answer": str(counters.no_answer),
        "hits": str(counters.hits),
        "penetration_now": reached,
    }


# Lists of `information.php`. GUESS: the names of fields that the facts only describe.


def list_campaigns(operation: Operation, token: Token, request: Request, mode: ResponseMode) -> Envelope:
    """Tell every campaign's name and whether it is `Started` or `Stopped` (doc)."""
    sight = operation.sight()
    found = [
        {
            "campaign_id": state.campaign_id,
            "campaign_name": state.name,
            "type_campaign": state.kind,
            "status": operation.campaigns.status(state, sight.now, sight.policy.status_when_done).capitalize(),
        }
        for state in operation.campaigns
    ]
    return _listed(_asked_for(request, "campaign", "campaign_id", found), sight)


def list_agents(operation: Operation, token: Token, request: Request, mode: ResponseMode) -> Envelope:
    """Tell every agent's name, logged in or not."""
    sight = operation.sight()
    found = [
        {"agent_id": agent.agent_id, "agent_name": sight.directory.agent_name(agent.agent_id)}
        for agent in operation.agents
    ]
    return _listed(_asked_for(request, "agent", "agent_id", found), sight)


def list_activity_codes(operation: Operation, token: Token, request: Request, mode: ResponseMode) -> Envelope:
    """Tell the dispositions with their flags (doc: that there are hit and rpc)."""
    sight = operation.sight()
    found = [
        {"cod_act": code.cod_act, "description": code.name, "hit": str(int(code.hit)), "rpc": str(int(code.rpc))}
        for code in sight.directory.activity_codes
    ]
    return _listed(found, sight)


def get_dnc(operation: Operation, token: Token, request: Request, mode: ResponseMode) -> Envelope:
    """Tell the phones of the do-not-call list, inbound, outbound or all (doc)."""
    sight, wanted = operation.sight(), request.parameters["type"]
    found = [
        {"phone_number": entry.phone_number, "type": entry.type, "date_delete": entry.date_delete}
        for entry in sight.directory.do_not_call
        if wanted in ("all", entry.type)
    ]
    return _listed(found, sight)


def law2300_info(operation: Operation, token: Token, request: Request, mode: ResponseMode) -> Envelope:
    """Tell when a phone was last reached for a company. GUESS: one that is kept without a nit is told for each."""
    sight = operation.sight()
    found = [
        {"phone_number": entry.phone_number, "last_day": entry.last_day, "last_channel": entry.last_channel}
        for entry in sight.directory.law2300
        if entry.phone_number == request.parameters["phone"] and entry.nit in ("", request.parameters["nit"])
    ]
    return _listed(found, sight)


def _asked_for(request: Request, parameter: str, name: str, found: list[Fields]) -> list[Fields]:
    wanted = request.parameters.get(parameter)
    return [row for row in found if not wanted or row[name] == wanted]


# Customers' records, of `campaign.php`


def detail(operation: Operation, token: Token, request: Request, mode: ResponseMode) -> Envelope:
    """Tell each record with its last dial in the window; with `detail=all` those not dialled too.

    That `default` has only rows with a conn_id is doc. GUESS: that the window is for the last dial, that
    records without one are in every window, and that calls by hand do not count.
    """
    campaign_id = request.parameters["campaign_id"]
    state = operation.campaigns.get(campaign_id)
    if state is None or request.parameters["type_campaign"] != state.kind:
        return replies.no_such_campaign(campaign_id)
    sight = operation.sight()
    words = sight.wording()
    window = read_window(request.parameters, sight, words.zone)
    if isinstance(window, Envelope):
        return window
    found = [
        _detailed(record, dials, words)
        for record, dials in _dialled(operation, state, sight.until("detail"))
        if _is_told(dials, window, clean_too=request.parameters["detail"] == "all")
    ]
    return rows_told(found, sight.policy) if found else replies.NO_ROWS


def find_record(operation: Operation, token: Token, request: Request, mode: ResponseMode) -> Envelope:
    """Tell the records of a campaign, customer or phone: any one of the three is enough (doc)."""
    asked = {name: request.parameters.get(name, "") for name in ("campaign_id", "customer_phone", "customer_id")}
    if not any(asked.values()):
        return replies.PARAMETERS_MISSING
    campaign_id = asked["campaign_id"]
    if campaign_id and operation.campaigns.get(campaign_id) is None:
        return replies.no_such_campaign(campaign_id)
    sight = operation.sight()
    words = sight.wording()
    found = [
        {**_customer(record, dials, words), "campaign_id": state.campaign_id}
        for state in operation.campaigns
        if campaign_id in ("", state.campaign_id)
        for record, dials in _dialled(operation, state, sight.until("find_record"))
        if asked["customer_id"] in ("", record.customer_id)
        and (not asked["customer_phone"] or asked["customer_phone"] in map(record.fields.get, rows.TELEPHONES))
    ]
    return _listed(found, sight)


def _dialled(operation: Operation, state: State, until: datetime) -> list[tuple[Record, list[Dial]]]:
    dials: dict[int, list[Dial]] = {}
    for dial in operation.campaigns.dials_of(state.campaign_id, until):
        if dial.over <= until:
            dials.setdefault(dial.record.number, []).append(dial)
    return [(record, dials.get(record.number, [])) for record in state.records]


def _is_told(dials: list[Dial], window: Window, *, clean_too: bool) -> bool:
    return window.holds(dials[-1].begun) if dials else clean_too


def _customer(record: Record, dials: list[Dial], words: Wording) -> Fields:
    last = dials[-1] if dials else None
    return {
        "customer_id": record.customer_id,
        "customer_name": record.fields.get("customer_name", ""),
        **{name: words.phone(record.fields.get(name, "")) for name in rows.TELEPHONES},
        "conn_id": last.conn_id if last else "",
        "result": last.what.result if last else _NOT_DIALLED,
        "date": words.date(last.begun) if last else "",
        "calls": str(len(dials)),
    }


def _detailed(record: Record, dials: list[Dial], words: Wording) -> Fields:
    last = dials[-1] if dials else None
    return {
        **{name: value for name, value in record.fields.items() if name.startswith("customer_")},
        **_customer(record, dials, words),
        "agent_id": last.agent_id if last else "",
        "cod_act": last.what.cod_act if last else "",
        "cod_act_2": last.what.cod_act_2 if last else "",
        "recall": "",
        "comments": "",
        **{name: record.fields.get(name, "") for name in rows.OPTIONS},
    }


def _listed(found: list[Fields], sight: Sight) -> Envelope:
    return rows_told(found, sight.policy) if found else sight.replies.nothing_found
