"""An agent on a call, a campaign with a customer, and one task of each operator that acts at the agent's station."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from samples import AGENT, PHONE, SERVER, TOKEN
from task_runner import Server

from airflow_provider_wolkvox.api import WolkvoxClient
from airflow_provider_wolkvox.operators.agent import AgentStatusOperator, CallDispositionOperator, HangUpOperator
from airflow_provider_wolkvox.operators.dial import DialOperator
from airflow_provider_wolkvox.operators.recall import (
    DeleteRecallOperator,
    EditRecallOperator,
    ScheduleRecallOperator,
)
from airflow_provider_wolkvox.operators.transfer import TransferOperator
from airflow_provider_wolkvox.simulator import CallResult, Simulator

CAMPAIGN = "40001"
CUSTOMER = "1020304050"
NAME = "Ana Peña"
COMMENT = "pays on Friday"
COLLEAGUE = "10002"
# The customer whom the agent talks with.
TALKING_TO = "3005550999"
AT = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
LATER = AT + timedelta(hours=1)
WHICH = {"agent_id": AGENT, "campaign_id": CAMPAIGN, "customer_id": CUSTOMER, "customer_phone": PHONE}
SECRETS = (TOKEN, PHONE, CUSTOMER, NAME, COMMENT)


@dataclass(frozen=True)
class Case:
    """An operator, what it is given, and what it asks of wolkvox.

    :param deed: whether it is done at most once; else it asks for a state, and may ask again
    :param noun: how its messages call it, if it is a deed
    """

    operator: type
    api: str
    arguments: dict[str, Any]
    deed: bool = True
    noun: str = ""
    before: Callable[[WolkvoxClient], Any] = field(default=lambda client: client.dial(AGENT, TALKING_TO))

    def make(self, dag: Any = None, **arguments: Any) -> Any:
        return self.operator(task_id="task", **{**self.arguments, **arguments})

    def with_(self, **arguments: Any) -> Callable[[Any], Any]:
        return lambda dag: self.make(dag, **arguments)

    def done(self, sim: Simulator) -> int:
        """How often the station did it."""
        return sum(command.api == self.api for command in sim.commands)

    @property
    def secrets(self) -> list[str]:
        """What it is given that nothing may repeat, and the token."""
        return [secret for secret in SECRETS if secret in (TOKEN, *self.arguments.values())]


def nothing(client: WolkvoxClient) -> None:
    """Leave the agent free."""


def scheduled(client: WolkvoxClient) -> None:
    client.recall(*WHICH.values(), AT)


CASES = {
    "dial": Case(
        DialOperator,
        "dial",
        {"agent_id": AGENT, "customer_phone": PHONE, "customer_id": CUSTOMER, "customer_name": NAME},
        noun="call",
        before=nothing,
    ),
    "transfer": Case(TransferOperator, "transfer", {"agent_id": AGENT, "customer_phone": PHONE}, noun="transfer"),
    "hang up": Case(HangUpOperator, "hang", {"agent_id": AGENT}, noun="hang-up"),
    "disposition": Case(
        CallDispositionOperator,
        "type",
        {"agent_id": AGENT, "cod_act": "101", "cod_act_2": "102", "comments": COMMENT},
        noun="disposition",
    ),
    "disposition and hang up": Case(
        CallDispositionOperator,
        "hang_type_ready",
        {"agent_id": AGENT, "cod_act": "101", "comments": COMMENT, "hang_up": True},
        noun="disposition",
    ),
    "schedule recall": Case(ScheduleRecallOperator, "recall", {**WHICH, "at": AT}, noun="recall", before=nothing),
    "status": Case(AgentStatusOperator, "change_status", {"agent_id": AGENT, "status": "2"}, deed=False),
    "edit recall": Case(EditRecallOperator, "edit_recall", {**WHICH, "at": LATER}, deed=False, before=scheduled),
    "delete recall": Case(DeleteRecallOperator, "delete_recall", dict(WHICH), deed=False, before=scheduled),
}
DEEDS = {name: case for name, case in CASES.items() if case.deed}
STATES = {name: case for name, case in CASES.items() if not case.deed}


@contextmanager
def at_the_station(
    monkeypatch: Any, case: Case, *, total_timeout: float = 60.0, **extra: Any
) -> Iterator[tuple[Simulator, Server]]:
    """A wolkvox where the case has something to act on, a connection to it, and a server that knows one task."""
    results = CallResult.of("ANSWER", ring_seconds=0, talk_seconds=3600)
    with Simulator(tokens=[TOKEN], agents=[AGENT, COLLEAGUE], call_results=results) as sim:
        sim.add_campaign(CAMPAIGN, records=[{"customer_id": CUSTOMER, "tel1": PHONE}])
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        extras = {"base_url": sim.base_url, "total_timeout": total_timeout, **extra}
        fields = {"conn_type": "wolkvox", "host": SERVER, "password": TOKEN, "extra": extras}
        monkeypatch.setenv("AIRFLOW_CONN_WOLKVOX_DEFAULT", json.dumps(fields))
        with WolkvoxClient(SERVER, TOKEN, base_url=sim.base_url) as client:
            case.before(client)
        yield sim, Server()


def sent(sim: Simulator) -> int:
    """All requests that reached the simulator, whatever token they carried."""
    return sum(sim.stats(token).requests for token in (TOKEN, "unknown", "none")) + sim.drops_before_reading
