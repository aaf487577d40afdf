"""The APIs of `real_time.php`: agents, campaigns, recalls and connections as they are now."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta

from airflow_provider_wolkvox.simulator import replies
from airflow_provider_wolkvox.simulator.endpoints import rows
from airflow_provider_wolkvox.simulator.endpoints.reports import listed
from airflow_provider_wolkvox.simulator.replies import Envelope
from airflow_provider_wolkvox.simulator.request import Request, ResponseMode
from airflow_provider_wolkvox.simulator.state.calls import CallRecord
from airflow_provider_wolkvox.simulator.state.campaigns import State
from airflow_provider_wolkvox.simulator.state.operation import Agent, Operation, Token
from airflow_provider_wolkvox.simulator.state.reporting import Fields, Sight, written

# An address that is kept for examples.
_IP = "192.0.2.1"


def real_time_agents(operation: Operation, token: Token, request: Request, mode: ResponseMode) -> Envelope:
    """Show each agent's state now, for how many seconds, and its day so far: no call and no phone (doc).

    GUESS: what each number and time counts.
    """
    sight = operation.sight()
    days = _days(sight)
    found = []
    for agent in operation.agents:
        state = _state(operation, agent, sight)
        if state is not None:
            status, since = state
            found.append(
                {
                    "agent_id": agent.agent_id,
                    "agent_name": sight.wording().agent(agent.agent_id),
                    "agent_status": status,
                    **_counts(days.get(agent.agent_id, [])),
                    "time_state_now": str(max(0, int((sight.now - since).total_seconds()))),
                    **_times(days.get(agent.agent_id, []), sight.now - operation.logged_since(agent.agent_id)),
                }
            )
    return listed(found, sight)


def _days(sight: Sight) -> dict[str, list[CallRecord]]:
    """Return the calls of today that are over, by their agents."""
    zone = sight.wording().zone
    today = sight.now.astimezone(zone).date()
    found: dict[str, list[CallRecord]] = {}
    for call in sight.calls:
        if call.finished <= sight.now and call.begun.astimezone(zone).date() == today:
            found.setdefault(call.agent_id, []).append(call)
    return found


def _counts(calls: list[CallRecord]) -> Fields:
    kinds = Counter(_direction(call) for call in calls)
    return {"calls": str(len(calls)), **{kind: str(kinds[kind]) for kind in ("inbound", "outbound", "internal")}}


def _times(calls: list[CallRecord], logged_in: timedelta) -> Fields:
    ring, talk, acw = (
        sum((getattr(call.what, f"{name}_seconds") for call in calls), 0) for name in ("ring", "talk", "acw")
    )
    inbound = sum(call.what.talk_seconds for call in calls if _direction(call) == "inbound")
    login = max(0, int(logged_in.total_seconds()))
    return {
        "ready_time": written(max(0, login - ring - talk - acw)),
        "inbound_time": written(inbound),
        "outbound_time": written(talk - inbound),
        "acw_time": written(acw),
        "ring_time": written(ring),
        "login_time": written(login),
        "aht_time": written((talk + acw) // len(calls) if calls else 0),
        "ocupation": rows.percent(min(login, talk + acw), login),
        "aux_time": written(0),
    }


def _direction(call: CallRecord) -> str:
    kind = call.type_interaction.replace(" ", "")
    return next((way for way in ("inbound", "internal") if kind.startswith(way)), "outbound")


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
    answer = listed(found, sight)
    return answer.without_envelope() if sight.policy.bare_campaigns and not answer.refuses else answer


def _counted(operation: Operation, state: State, sight: Sight) -> Fields:
    until = sight.until("campaigns")
    counters = operation.campaigns.counters(state, until, sight.directory.hits)
    reached = rows.percent(counters.records - counters.clean, counters.records)
    return {
        "campaign": f"{state.campaign_id} - {state.name} - {state.strategy} ({reached.replace(' ', '')})",
        "speed": str(state.speed),
        "status": operation.campaigns.status(state, until, sight.policy.status_when_done),
        "records": str(counters.records),
        "clean": str(counters.clean),
        "dial": str(counters.dial),
        "answer": str(counters.answer),
        "no_answer": str(counters.no_answer),
        # GUESS: the numbers that are in the two before, too, and the two penetrations alike.
        "busy/congestion/failed": str(counters.failed),
        "answer_machine": str(counters.answer_machine),
        "penetration_day": reached,
        "penetration_now": reached,
        "hits": str(counters.hits),
        "calls_x_min": str(counters.last_minute),
        "recycled": str(state.recalls),
        "skill_id": state.skill_id,
    }


def latency(operation: Operation, token: Token, request: Request, mode: ResponseMode) -> Envelope:
    """Show the connections of the agents who are logged in (doc), by agent, by address and by telephone exchange."""
    sight = operation.sight()
    there = [agent for agent in operation.agents if agent.logged_in]
    quality = {"tx_jitter": "1", "rx_jitter": "1", "tx_ploss": "0", "rx_ploss": "0"}
    by_agent = [
        {
            "agent_id": agent.agent_id,
            "latency_ms": "40",
            "ip": _IP,
            "version": "1.0",
            "agent_status": (_state(operation, agent, sight) or ("", None))[0],
            **quality,
            "network_rejection": "0",
            "connection_type": "wifi",
            "platform": "app",
            "last_date": sight.wording().date(sight.now),
        }
        for agent in there
    ]
    if not by_agent:
        return sight.replies.nothing_found
    by_ip = {"ip": _IP, "total_agents": str(len(there)), "average_latency": "40", "maximum": "40", "minimum": "40"}
    by_pbx = [{"user": agent.agent_id, "status": "OK", **quality} for agent in there]
    data = {"by_agent": by_agent, "by_ip": [{**by_ip, "network_rejection": "0"}], "by_pbx": by_pbx}
    return Envelope(200, None, replies.records_found(1), [data])


def recalls(operation: Operation, token: Token, request: Request, mode: ResponseMode) -> Envelope:
    """Show the recalls that are scheduled, all, manual or auto (doc)."""
    sight, wanted = operation.sight(), request.parameters["type"]
    found = [
        {
            "type_recall": each.style,
            "date_recall": sight.wording().date(each.due),
            "phone_number": each.phone,
            "id_campaing": each.campaign_id,
            "id_agent": each.agent_id,
        }
        for each in operation.stations_kept.recalls
        if wanted in ("all", each.style)
    ]
    return listed(found, sight)
