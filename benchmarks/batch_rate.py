"""How fast a batch calls: AuxCallBatchOperator in a task of a real Airflow against a bare loop in that same task.

    python benchmarks/batch_rate.py [--rounds 5]

The task takes turns: a batch, then a `requests.Session` that makes as many of the same POSTs, over connections that
both keep. The simulator, in a process of its own, notes when each phone rings; a rate is the calls from the first ring
to the last by the seconds between. What a batch takes before and after these is told apart. The ledger is in PostgreSQL
(`SQL`), in Airflow's task state store, or nowhere, as on Airflow before 3.3 without one: then the task's state is asked
for before each call, but nothing is written. SQLite on this machine stands for the database of a deployment.
Goals, batch / Session: 0.95 at 100 ms of server time, 0.98 at 300 ms; without ledger 0.9 at 20 ms.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "dev"))

from chaos import quick_settings
from local_airflow import LocalAirflow
from services import running_database

TOKEN = "benchmark-token"
WAYS = ("batch", "Session")


@dataclass(frozen=True)
class Setting:
    """What is measured in one task.

    :param ledger: `SQL`, `store` or `none`
    :param goal: least batch / Session; None where the figure is only told
    :param calls: of one round of one way
    """

    server_ms: int
    ledger: str
    goal: float | None
    calls: int

    @property
    def conn_id(self) -> str:
        return f"server_{self.server_ms}_ms"

    @property
    def task_id(self) -> str:
        return f"{self.conn_id}_{self.ledger}"


SETTINGS = (
    Setting(300, ledger="SQL", goal=0.98, calls=12),
    Setting(300, ledger="store", goal=0.98, calls=12),
    Setting(100, ledger="SQL", goal=0.95, calls=25),
    Setting(100, ledger="store", goal=0.95, calls=25),
    Setting(20, ledger="SQL", goal=None, calls=40),
    Setting(20, ledger="store", goal=None, calls=40),
    Setting(20, ledger="none", goal=0.9, calls=80),
)

DAG_ID = "batch_rate"
LEDGER = "wolkvox_ledger"
DAG = f"""
import os
import time

import requests
from airflow.sdk import chain, dag

from airflow_provider_wolkvox.ledger.configuration import configured_ledger
from airflow_provider_wolkvox.operators.aux_call_batch import AuxCallBatchOperator


class Measured(AuxCallBatchOperator):
    def __init__(self, *, number, size, ledger, rounds, **kwargs):
        super().__init__(calls=[], calling_hours=None, wait_for_agents=False, **kwargs)
        self.number, self.size, self.ledger, self.rounds = number, size, ledger, rounds

    def execute(self, context):
        if self.ledger == "none":
            context = {{**context, "task_state_store": None}}
        if self.ledger == "SQL":
            os.environ["AIRFLOW__WOLKVOX__LEDGER_CONN_ID"] = "{LEDGER}"
            configured_ledger().init()
        connection = self.hook.connection
        session = requests.Session()
        session.headers["wolkvox-token"] = connection.password
        address = connection.extra_dejson["base_url"] + "/api/v2/agentbox.php?api=aux_call"

        def calls(way, turn):
            first = f"3{{self.number}}{{way}}{{turn:02}}"
            return [
                {{"agent_id": f"1000{{1 + call % 5}}", "customer_phone": f"{{first}}{{call:05}}"}}
                for call in range(self.size)
            ]

        def batch(turn):
            self.calls = calls(0, turn)
            super(Measured, self).execute(context)

        def bare_session(turn):
            for call in calls(1, turn):
                where = f"{{address}}&agent_id={{call['agent_id']}}&customer_phone={{call['customer_phone']}}"
                answer = session.post(where, timeout=60)
                answer.raise_for_status()
                answer.json()

        seconds = []
        # The first round opens connections and imports what it needs; it is not counted.
        for turn in range(self.rounds + 1):
            for way in (batch, bare_session)[:: 1 if turn % 2 else -1]:
                began = time.perf_counter()
                way(turn)
                if way is batch:
                    seconds.append(time.perf_counter() - began)
        return seconds


@dag(schedule=None)
def {DAG_ID}():
    # One after the other, so that none disturbs another.
    chain(*(Measured(**each) for each in SETTINGS))


SETTINGS = {{settings}}
{DAG_ID}()
"""


@contextlib.contextmanager
def simulator(server_ms: float, *tokens: str) -> Iterator[str]:
    """Run the simulator in a process of its own and yield its address."""
    options = ["--port", "0", "--quota", "1000000", "--latency", str(server_ms / 1000)]
    for token in tokens or (TOKEN,):
        options += ["--token", token]
    command = [sys.executable, "-m", "airflow_provider_wolkvox.simulator", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            greeting = process.stdout.readline() if process.stdout else ""
            address = greeting.rpartition(" ")[2].strip()
            if not address.startswith("http://"):
                raise SystemExit(f"the simulator did not start: {greeting!r}")
            yield address
        finally:
            process.terminate()


@contextlib.contextmanager
def airflow_with(
    dag: str, connections: Mapping[str, Mapping[str, Any]], pools: Iterable[str], **settings: str
) -> Iterator[LocalAirflow]:
    """Run an Airflow with one DAG, its connections and their pools of one slot.

    :param settings: further variables of every process of this Airflow
    """
    with tempfile.TemporaryDirectory(prefix="airflow-bench-") as folder:
        home = Path(folder)
        source = home / "source" / "measured_dag.py"
        source.parent.mkdir()
        source.write_text(dag)
        with LocalAirflow(home, [source], connections=connections, env={**quick_settings(home), **settings}) as airflow:
            for pool in pools:
                airflow.cli("pools", "set", pool, "1", "a lane")
            yield airflow


def to_simulator(address: str, token: str = TOKEN) -> dict[str, Any]:
    """Return an Airflow connection to a simulator."""
    return {"conn_type": "wolkvox", "host": "0042", "password": token, "extra": {"base_url": address}}


def to_database(url: str) -> dict[str, Any]:
    """Return an Airflow connection to a PostgreSQL."""
    parts = urlsplit(url)
    return {
        "conn_type": "postgres",
        "host": parts.hostname,
        "port": parts.port,
        "login": parts.username,
        "password": parts.password,
        "schema": parts.path.strip("/"),
        "extra": {"sqlalchemy_scheme": "postgresql+psycopg"},
    }


def rings(address: str) -> dict[str, float]:
    """Return when each phone rang, in seconds; none may have rung twice."""
    told = requests.get(f"{address}/_sim/rings", timeout=60).json()
    if max(told["rings"].values(), default=1) > 1:
        raise SystemExit("a phone rang twice")
    return {call["phone"]: datetime.fromisoformat(call["at"]).timestamp() for call in told["calls"]}


def rate(at: list[float]) -> float:
    """Return calls per second from the first ring to the last."""
    return (len(at) - 1) / (max(at) - min(at))


def finish(airflow: LocalAirflow, dag_id: str, run_id: str, timeout: float) -> None:
    """Wait for a run; a task that failed ends the benchmark with its log."""
    if airflow.wait_for_run(dag_id, run_id, timeout=timeout) == "success":
        return
    for task in airflow.task_instances(dag_id, run_id):
        if task.state == "failed":
            raise SystemExit(airflow.task_log(dag_id, run_id, task.task_id, map_index=task.map_index))
    raise SystemExit(f"the run {run_id} of {dag_id} failed")


def measure(rounds: int) -> dict[Setting, tuple[dict[str, list[float]], list[float]]]:
    """Return for each setting the rates of both ways, one for each round, and the seconds of each batch."""
    with contextlib.ExitStack() as undo:
        addresses = {each.conn_id: "" for each in SETTINGS}
        for each in SETTINGS:
            addresses[each.conn_id] = addresses[each.conn_id] or undo.enter_context(simulator(each.server_ms))
        tasks = [
            {
                "task_id": each.task_id,
                "wolkvox_conn_id": each.conn_id,
                "number": number,
                "size": each.calls,
                "ledger": each.ledger,
                "rounds": rounds,
            }
            for number, each in enumerate(SETTINGS)
        ]
        folder = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="wolkvox-postgresql-")))
        folder.chmod(0o755)
        database = undo.enter_context(running_database("postgresql", folder))
        connections = {conn_id: to_simulator(address) for conn_id, address in addresses.items()}
        connections[LEDGER] = to_database(database)
        dag = DAG.replace("{settings}", repr(tasks))
        airflow = undo.enter_context(airflow_with(dag, connections, addresses))
        run_id = airflow.trigger(DAG_ID)
        finish(airflow, DAG_ID, run_id, timeout=600)
        found = {}
        for number, each in enumerate(SETTINGS):
            rung = rings(addresses[each.conn_id])
            rates: dict[str, list[float]] = {way: [] for way in WAYS}
            for way_number, way in enumerate(WAYS):
                for turn in range(1, rounds + 1):
                    at = [at for phone, at in rung.items() if phone.startswith(f"3{number}{way_number}{turn:02}")]
                    if len(at) != each.calls:
                        raise SystemExit(f"{len(at)} of {each.calls} phones rang")
                    rates[way].append(rate(at))
            seconds = airflow.xcom(DAG_ID, run_id, each.task_id)
            found[each] = rates, (json.loads(seconds) if isinstance(seconds, str) else seconds)[1:]
        return found


def versions() -> str:
    """Return what the figures depend on."""
    return (
        f"Airflow {version('apache-airflow')}, Python {platform.python_version()}, "
        f"requests {version('requests')}, {os.cpu_count()} cores"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each way (default: %(default)s)")
    given = parser.parse_args()

    found = measure(given.rounds)
    print(f"{versions()}; medians of {given.rounds} rounds, calls per second\n")
    print(
        "| server time | ledger | batch | requests.Session | batch / Session | least, most | goal | before and after |"
    )
    print("|---:|---|---:|---:|---:|---:|---|---:|")
    missed = False
    for each, (rates, seconds) in found.items():
        batch, session = (statistics.median(rates[way]) for way in WAYS)
        # Rounds are neighbours in time, so each round's own ratio says more than that of the medians.
        ratios = [ours / theirs for ours, theirs in zip(*rates.values(), strict=True)]
        ratio = statistics.median(ratios)
        around = statistics.median(
            spent - each.calls / made for spent, made in zip(seconds, rates["batch"], strict=True)
        )
        held = each.goal is None or ratio >= each.goal
        missed |= not held
        goal = "none" if each.goal is None else f">= {each.goal:g}: {'held' if held else 'MISSED'}"
        print(
            f"| {each.server_ms} ms | {each.ledger} | {batch:.2f} | {session:.2f} | {ratio:.3f} "
            f"| {min(ratios):.3f}, {max(ratios):.3f} | {goal} | {around * 1000:.0f} ms |"
        )
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
