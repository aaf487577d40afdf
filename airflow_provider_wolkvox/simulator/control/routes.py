"""What other processes may ask of the simulator itself, as JSON under `/_sim`. Not counted as wolkvox's."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from datetime import timedelta
from typing import Any

from airflow_provider_wolkvox.simulator.body import BodyError, read_json, shortened
from airflow_provider_wolkvox.simulator.control.fields import (
    AGENT,
    CAMPAIGN,
    DIRECTORY,
    DO_NOT_CALL,
    LAW_2300,
    PAST_CALL,
    PAST_CALL_TEXTS,
    REPORTS,
    FieldError,
    naming,
    read_call_results,
    read_list,
    read_moment,
    read_object,
)
from airflow_provider_wolkvox.simulator.state.calls import CallError, CallRecord, CallResult, check_moment, results_of
from airflow_provider_wolkvox.simulator.state.campaigns import Campaign, CampaignError, new_state
from airflow_provider_wolkvox.simulator.state.directory import DoNotCall, LastContact
from airflow_provider_wolkvox.simulator.state.faults import Fault, FaultError, Faults
from airflow_provider_wolkvox.simulator.state.operation import NO_TOKEN_SENT, UNKNOWN_TOKEN, Operation, TokenStats
from airflow_provider_wolkvox.simulator.state.reporting import ReportError, lag_by_report
from airflow_provider_wolkvox.simulator.state.stations import Station
from airflow_provider_wolkvox.simulator.transport.http import Answer

CONTROL_PATH = "/_sim"


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
            "GET /_sim/directory": self._directory,
            "POST /_sim/reset": self._reset,
            "POST /_sim/faults": self._arm,
            "POST /_sim/agents": self._set_agents,
            "POST /_sim/history": self._add_past_calls,
            "POST /_sim/reports": self._set_reports,
            "POST /_sim/campaigns": self._add_campaign,
            "POST /_sim/directory": self._set_directory,
            "POST /_sim/call_results": self._set_call_results,
        }

    def answer(self, method: str, path: str, body: bytes) -> Answer:
        """Return the answer to one request; 400 explains what was wrong with it, 404 says what there is."""
        route = self._routes.get(f"{method} {path}")
        if route is None:
            return _json(404, {"error": f"no {shortened(f'{method} {path}')}; there is {', '.join(self._routes)}"})
        try:
            return _json(200, route(body))
        except (BodyError, FieldError, FaultError, CallError, ReportError, CampaignError) as error:
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
        described = read_json(body)
        if isinstance(described, dict) and described.get("clear") is True and len(described) == 1:
            self._faults.clear()
        else:
            # All are read before any is armed: a mistake in the second must not leave the first behind.
            faults = [Fault.read(each) for each in read_list(described)]
            for fault in faults:
                self._faults.arm(fault)
        return self._armed(b"")

    def _agents(self, _: bytes) -> Any:
        return {"agents": [asdict(agent) for agent in self._operation.agents]}

    def _set_agents(self, body: bytes) -> Any:
        # All are read before any is changed, as with faults.
        changes = [read_object(each, "an agent", AGENT, "agent_id") for each in read_list(read_json(body))]
        for change in changes:
            self._operation.change_agent(**change)
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
        # All are read before any is added, as with faults.
        calls = [self._past_call(each) for each in read_list(read_json(body))]
        return {"added": [_described(self._operation.add_past_call(**call)) for call in calls]}

    def _past_call(self, described: object) -> dict[str, Any]:
        given = read_object(described, "a past call", PAST_CALL, "phone", "agent_id", more=True)
        texts = {name: given.pop(name) for name in PAST_CALL_TEXTS if name in given}
        seconds_ago, at = given.pop("seconds_ago", 60.0), given.pop("at", None)
        begun = self._operation.now() - timedelta(seconds=seconds_ago) if at is None else read_moment("at", at)
        check_moment(begun)
        return {**texts, "what": CallResult.read(given), "begun": begun}

    def _reports(self, _: bytes) -> Any:
        with self._operation.lock:
            return {
                "held": self._operation.reports_held,
                "lag": dict(self._operation.report_lag),
                "cut_calls": self._operation.cut_calls,
                **asdict(self._operation.report_policy),
            }

    def _set_reports(self, body: bytes) -> Any:
        changes = read_object(read_json(body), "what is set of reports", REPORTS, more=True)
        with self._operation.lock:
            with naming("lag"):
                lag = lag_by_report(changes.pop("lag", {}), self._operation.report_lag)
            held = changes.pop("held", self._operation.reports_held)
            cut_calls = changes.pop("cut_calls", self._operation.cut_calls)
            self._operation.report_policy = self._operation.report_policy.changed(changes)
            self._operation.report_lag = lag
            self._operation.cut_calls = cut_calls
            if held != self._operation.reports_held:
                (self._operation.hold_reports if held else self._operation.release_reports)()
            return self._reports(b"")

    def _set_call_results(self, body: bytes) -> Any:
        given = read_json(body)
        with naming("call_results"):
            self._operation.call_results = results_of(read_call_results(given))
        return {"call_results": "set"}

    def _directory(self, _: bytes) -> Any:
        directory = self._operation.directory
        return {name: [asdict(each) for each in getattr(directory, name)] for name in DIRECTORY}

    def _set_directory(self, body: bytes) -> Any:
        """Put other lists in the place of those that are given."""
        given = read_object(read_json(body), "what is set of the directory", DIRECTORY)
        lists = {
            "do_not_call": (DoNotCall, DO_NOT_CALL, ("phone_number",)),
            "law2300": (LastContact, LAW_2300, ("phone_number", "last_day")),
        }
        changes: dict[str, Any] = {}
        for name, entries in given.items():
            make, rules, needed = lists[name]
            with naming(name):
                changes[name] = tuple(make(**read_object(each, "an entry", rules, *needed)) for each in entries)
        with self._operation.lock:
            self._operation.directory = replace(self._operation.directory, **changes)
        return self._directory(b"")

    def _campaigns(self, _: bytes) -> Any:
        with self._operation.lock:
            seen = [self._operation.campaign(state.campaign_id) for state in self._operation.campaigns]
        return {"campaigns": [_seen(campaign) for campaign in seen]}

    def _add_campaign(self, body: bytes) -> Any:
        given = read_object(read_json(body), "a campaign", CAMPAIGN, "campaign_id")
        rows, started = given.pop("records", []), given.pop("started", False)
        if "call_results" in given:
            with naming("call_results"):
                given["call_results"] = results_of(read_call_results(given["call_results"]))
        cod_acts = [code.cod_act for code in self._operation.directory.activity_codes]
        state = new_state(given.pop("campaign_id"), cod_acts=cod_acts, **given)
        self._operation.add_campaign(state, rows, started=started)
        return self._campaigns(b"")


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


def _described(record: CallRecord) -> dict[str, Any]:
    texts = {name: getattr(record, name) for name in PAST_CALL_TEXTS}
    return {**texts, **asdict(record.what), "begun": record.begun.isoformat()}


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
