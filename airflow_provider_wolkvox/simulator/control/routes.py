"""What other processes may ask of the simulator itself, as JSON under `/_sim`. Not counted as wolkvox's."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from airflow_provider_wolkvox.simulator.state.calls import CallError, CallRecord, CallResult, results_of
from airflow_provider_wolkvox.simulator.state.campaigns import Campaign, CampaignError, new_state
from airflow_provider_wolkvox.simulator.state.faults import Fault, FaultError, Faults
from airflow_provider_wolkvox.simulator.state.operation import NO_TOKEN_SENT, UNKNOWN_TOKEN, Operation, TokenStats
from airflow_provider_wolkvox.simulator.state.reporting import ReportError, lag_by_report
from airflow_provider_wolkvox.simulator.state.stations import Station
from airflow_provider_wolkvox.simulator.transport.http import Answer

CONTROL_PATH = "/_sim"

_AGENT_STATES = ("logged_in", "has_cut_call", "on_call")


class _ControlError(ValueError):
    """A request to `/_sim` that can't be done; says why and what can."""


class Control:
    """Answers requests under `/_sim`."""

    def __init__(self, operation: Operation, faults: Faults) -> None:
        self._operation = operation
        self._faults = faults
        self._routes: Mapping[str, Callable[[bytes], Any]] = {
            "GET /_sim": self._index,
            "GET /_sim/rings": self._rings,
            "GET /_sim/stats": self._stats,
            "GET /_sim/faults": self._armed,
            "GET /_sim/agents": self._agents,
            "GET /_sim/stations": self._stations,
            "GET /_sim/commands": self._commands,
            "GET /_sim/recalls": self._recalls,
            "GET /_sim/history": self._history,
            "GET /_sim/reports": self._reports,
            "GET /_sim/campaigns": self._campaigns,
            "POST /_sim/reset": self._reset,
            "POST /_sim/faults": self._arm,
            "POST /_sim/agents": self._set_agents,
            "POST /_sim/history": self._add_past_calls,
            "POST /_sim/reports": self._set_reports,
            "POST /_sim/campaigns": self._add_campaign,
            "POST /_sim/call_results": self._set_call_results,
        }

    def answer(self, method: str, path: str, body: bytes) -> Answer:
        """Return the answer to one request; 400 explains what was wrong with it, 404 says what there is."""
        route = self._routes.get(f"{method} {path}")
        if route is None:
            return _json(404, {"error": f"no {method} {path}; there is {', '.join(self._routes)}"})
        try:
            return _json(200, route(body))
        except (_ControlError, FaultError, CallError, ReportError, CampaignError) as error:
            return _json(400, {"error": str(error)})

    def _index(self, _: bytes) -> Any:
        return {"simulator": "wolkvox", "endpoints": list(self._routes)}

    def _rings(self, _: bytes) -> Any:
        with self._operation.lock:
            calls = [{**asdict(call), "at": call.at.isoformat()} for call in self._operation.calls]
            return {"rings": self._operation.rings, "calls": calls}

    def _stats(self, _: bytes) -> Any:
        told: dict[str, Any] = {}
        with self._operation.lock:
            for token in self._operation.tokens:
                stats = self._operation.stats(token.text)
                told[_name_free(stats.token, told)] = _numbers(stats)
            for strangers in (UNKNOWN_TOKEN, NO_TOKEN_SENT):
                stats = self._operation.stats(strangers)
                if stats.requests:
                    told[strangers] = _numbers(stats)
            return {"tokens": told, "dropped_before_reading": self._operation.drops_before_reading}

    def _reset(self, _: bytes) -> Any:
        self._faults.clear()
        self._operation.reset()
        return {"reset": True}

    def _armed(self, _: bytes) -> Any:
        return {"armed": [fault.described() for fault in self._faults.armed]}

    def _arm(self, body: bytes) -> Any:
        described = _read(body)
        if isinstance(described, dict) and described.get("clear") is True and len(described) == 1:
            self._faults.clear()
        else:
            # All are read before any is armed: a mistake in the second must not leave the first behind.
            faults = [Fault.read(each) for each in (described if isinstance(described, list) else [described])]
            for fault in faults:
                self._faults.arm(fault)
        return self._armed(b"")

    def _agents(self, _: bytes) -> Any:
        return {"agents": [asdict(agent) for agent in self._operation.agents]}

    def _set_agents(self, body: bytes) -> Any:
        described = _read(body)
        changes = [_agent_change(each) for each in (described if isinstance(described, list) else [described])]
        for agent_id, states in changes:
            self._operation.change_agent(agent_id, **states)
        return self._agents(b"")

    def _stations(self, _: bytes) -> Any:
        return {"stations": [_standing(station) for station in self._operation.stations]}

    def _commands(self, _: bytes) -> Any:
        commands = [{**asdict(command), "at": command.at.isoformat()} for command in self._operation.commands]
        return {"commands": commands}

    def _recalls(self, _: bytes) -> Any:
        recalls = [{**asdict(recall), "due": recall.due.isoformat()} for recall in self._operation.recalls]
        return {"recalls": recalls}

    def _history(self, _: bytes) -> Any:
        return {"history": [_described(record) for record in self._operation.history]}

    def _add_past_calls(self, body: bytes) -> Any:
        described = _read(body)
        # All are read before any is added, as with faults.
        calls = [_past_call(each) for each in (described if isinstance(described, list) else [described])]
        added = []
        for what, seconds_ago, at, options in calls:
            begun = self._operation.now() - timedelta(seconds=seconds_ago) if at is None else at
            added.append(self._operation.add_past_call(what=what, begun=begun, **options))
        return {"added": [_described(record) for record in added]}

    def _reports(self, _: bytes) -> Any:
        with self._operation.lock:
            return {
                "held": self._operation.reports_held,
                "lag": dict(self._operation.report_lag),
                "cut_calls": self._operation.cut_calls,
                **asdict(self._operation.report_policy),
            }

    def _set_reports(self, body: bytes) -> Any:
        changes = _read(body)
        if not isinstance(changes, dict):
            raise _ControlError(f"give an object with any of {', '.join(self._reports(b''))}")
        with self._operation.lock:
            lag = lag_by_report(changes.pop("lag", {}), self._operation.report_lag)
            held = changes.pop("held", self._operation.reports_held)
            cut_calls = changes.pop("cut_calls", self._operation.cut_calls)
            if not isinstance(held, bool) or not isinstance(cut_calls, bool):
                raise _ControlError("held and cut_calls are true or false")
            self._operation.report_policy = self._operation.report_policy.changed(changes)
            self._operation.report_lag = lag
            self._operation.cut_calls = cut_calls
            if held != self._operation.reports_held:
                (self._operation.hold_reports if held else self._operation.release_reports)()
            return self._reports(b"")

    def _set_call_results(self, body: bytes) -> Any:
        self._operation.call_results = results_of(_given_results(_read(body)))
        return {"call_results": "set"}

    def _campaigns(self, _: bytes) -> Any:
        with self._operation.lock:
            seen = [self._operation.campaign(state.campaign_id) for state in self._operation.campaigns]
        return {"campaigns": [_seen(campaign) for campaign in seen]}

    def _add_campaign(self, body: bytes) -> Any:
        given = _campaign(_read(body))
        rows, started = given.pop("records", []), given.pop("started", False)
        cod_acts = [code.cod_act for code in self._operation.directory.activity_codes]
        state = new_state(given.pop("campaign_id"), cod_acts=cod_acts, **given)
        self._operation.add_campaign(state, rows, started=started)
        return self._campaigns(b"")


_OF_CAMPAIGN = ("name", "kind", "strategy", "agents", "seed", "call_results", "refuse_duplicates", "records", "started")


def _campaign(described: object) -> dict[str, Any]:
    """Return what a described campaign is made from; its values are checked where it is made."""
    form = f"a campaign is an object with campaign_id and any of {', '.join(_OF_CAMPAIGN)}"
    if (
        not isinstance(described, dict)
        or "campaign_id" not in described
        or set(described) - {"campaign_id", *_OF_CAMPAIGN}
    ):
        raise _ControlError(form)
    given = dict(described)
    lists = (given.get("records", []), given.get("agents") or [])
    if not all(isinstance(each, list) for each in lists) or not isinstance(given.get("started", False), bool):
        raise _ControlError(f"{form}; records and agents are lists, and started is true or false")
    if "call_results" in given:
        given["call_results"] = _given_results(given["call_results"])
    return given


def _seen(campaign: Campaign) -> dict[str, Any]:
    names = ("campaign_id", "name", "kind", "strategy", "status", "finished", "added", "batches")
    return {
        **{name: getattr(campaign, name) for name in (*names, "starts", "stops", "recalls")},
        "counters": asdict(campaign.counters),
        "dials": [_described(dial) for dial in campaign.dials],
    }


def _standing(station: Station) -> dict[str, Any]:
    names = ("agent_id", "status", "on_call", "on_hold", "muted")
    return {
        **{name: getattr(station, name) for name in names},
        "hidden": sorted(station.hidden),
        "call": _described(station.call) if station.call else None,
    }


def _given_results(given: object) -> Any:
    if isinstance(given, dict):
        return {str(phone): CallResult.read(each) for phone, each in given.items()}
    if given is not None and not isinstance(given, str | int):
        raise _ControlError("call_results is a result, an object phone -> result, a seed, or null for the usual")
    return given


_PAST_CALL_TEXTS = ("phone", "agent_id", "type_interaction", "conn_id", "campaign_id", "customer_id", "skill_id")


def _past_call(described: object) -> tuple[CallResult, float, datetime | None, dict[str, str]]:
    """Return what became of a described call, how long ago or when it began, and its texts."""
    if not isinstance(described, dict) or not {"phone", "agent_id"} <= set(described):
        raise _ControlError('a past call is an object with "phone" and "agent_id"')
    given = dict(described)
    texts = {name: given.pop(name) for name in _PAST_CALL_TEXTS if name in given}
    if not all(isinstance(text, str) for text in texts.values()):
        raise _ControlError(f"{', '.join(_PAST_CALL_TEXTS)} are texts")
    if not all(texts.get(name, "?") for name in ("phone", "type_interaction")):
        raise _ControlError("phone and type_interaction can't be empty")
    seconds_ago, at = given.pop("seconds_ago", 60.0), given.pop("at", None)
    if not isinstance(seconds_ago, int | float) or isinstance(seconds_ago, bool) or not abs(seconds_ago) < 1e9:
        raise _ControlError("seconds_ago is a number")
    return CallResult.read(given), seconds_ago, None if at is None else _aware(at), texts


def _aware(text: object) -> datetime:
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        moment = None
    if moment is None or moment.utcoffset() is None:
        raise _ControlError('at is a time with its zone, such as "2026-01-31T09:00:00-05:00"')
    return moment


def _described(record: CallRecord) -> dict[str, Any]:
    texts = {name: getattr(record, name) for name in _PAST_CALL_TEXTS}
    return {**texts, **asdict(record.what), "begun": record.begun.isoformat()}


def _agent_change(described: object) -> tuple[str, dict[str, bool]]:
    form = f'an agent is {{"agent_id": "10001"}} with any of {", ".join(_AGENT_STATES)} as true or false'
    if not isinstance(described, dict):
        raise _ControlError(form)
    states = dict(described)
    agent_id = states.pop("agent_id", None)
    if not isinstance(agent_id, str) or not agent_id:
        raise _ControlError(form)
    if any(name not in _AGENT_STATES or not isinstance(value, bool) for name, value in states.items()):
        raise _ControlError(form)
    return agent_id, states


def _read(body: bytes) -> object:
    try:
        return json.loads(body)
    except ValueError as error:
        raise _ControlError(f"the body is no JSON: {error}") from None


def _numbers(stats: TokenStats) -> dict[str, Any]:
    numbers = asdict(stats)
    del numbers["token"]
    return numbers


def _name_free(name: str, taken: Mapping[str, object]) -> str:
    # Two tokens may end alike; masked, they would fall into one.
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name} ({number})"
    return free


def _json(status: int, told: object) -> Answer:
    return Answer(status, (json.dumps(told, indent=4) + "\n").encode())
