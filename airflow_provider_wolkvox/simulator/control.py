"""What other processes may ask of the simulator itself, as JSON under `/_sim`. Not counted as wolkvox's."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from airflow_provider_wolkvox.simulator.faults import Fault, FaultError, Faults
from airflow_provider_wolkvox.simulator.framing import Answer
from airflow_provider_wolkvox.simulator.operation import NO_TOKEN_SENT, UNKNOWN_TOKEN, Operation, TokenStats

CONTROL_PATH = "/_sim"

_AGENT_STATES = ("logged_in", "has_cut_call", "on_call")


class ControlError(ValueError):
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
            "POST /_sim/reset": self._reset,
            "POST /_sim/faults": self._arm,
            "POST /_sim/agents": self._set_agents,
        }

    def answer(self, method: str, path: str, body: bytes) -> Answer:
        """Return the answer to one request; 400 explains what was wrong with it, 404 says what there is."""
        route = self._routes.get(f"{method} {path}")
        if route is None:
            return _json(404, {"error": f"no {method} {path}; there is {', '.join(self._routes)}"})
        try:
            return _json(200, route(body))
        except (ControlError, FaultError) as error:
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


def _agent_change(described: object) -> tuple[str, dict[str, bool]]:
    form = f'an agent is {{"agent_id": "10001"}} with any of {", ".join(_AGENT_STATES)} as true or false'
    if not isinstance(described, dict):
        raise ControlError(form)
    states = dict(described)
    agent_id = states.pop("agent_id", None)
    if not isinstance(agent_id, str) or not agent_id:
        raise ControlError(form)
    if any(name not in _AGENT_STATES or not isinstance(value, bool) for name, value in states.items()):
        raise ControlError(form)
    return agent_id, states


def _read(body: bytes) -> object:
    try:
        return json.loads(body)
    except ValueError as error:
        raise ControlError(f"the body is no JSON: {error}") from None


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
