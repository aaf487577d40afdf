"""What the ledger costs: milliseconds that a call spends on it, measured inside a task of a real Airflow.

    python benchmarks/ledger_cost.py [--calls 50] [--home DIR]

One task makes, again and again, the steps that a call makes around its request: ask what is known, ask for the task's
own state, claim, settle; with a ledger in SQL also take the token's lease and give it back. Once each with Airflow's
task state store (through the real execution API, SQLite behind it), and with a ledger in SQLite and in PostgreSQL on
this machine. The request to wolkvox is left out. The goal is under 10 ms with PostgreSQL.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import statistics
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "dev"))

from local_airflow import LocalAirflow
from services import running_database

DAG_ID = "ledger_cost"
GOAL = 10.0
# In the order of a call; the names are those that the task returns its milliseconds under.
STEPS = {
    "known": "ask what is known",
    "fence": "ask for one's own state (get_task_states)",
    "take_lease": "take the token's lease",
    "claim": "claim",
    "settle": "settle",
    "give_back": "give the lease back",
}

DAG = f"""
import time

from airflow.sdk import dag, get_current_context, task

from airflow_provider_wolkvox.compat import state_of
from airflow_provider_wolkvox.ledger.configuration import ledger_at
from airflow_provider_wolkvox.ledger.entry import CallState, Intent, Origin, Settlement
from airflow_provider_wolkvox.ledger.task_state import TaskStateLedger


@dag(schedule=None)
def {DAG_ID}():
    @task
    def measure():
        context = get_current_context()
        url = context["dag_run"].conf["url"]
        ledger = ledger_at(url) if url else TaskStateLedger(context["task_state_store"], Origin())
        if url:
            ledger.init()

        def one_call(number):
            phone = str(3005000000 + number)
            intent = Intent(key=(phone,), action="aux_call", origin=Origin(), customer=phone, phone="***0101")
            spent = {{}}

            def timed(name, step):
                began = time.perf_counter()
                found = step()
                spent[name] = (time.perf_counter() - began) * 1000
                return found

            timed("known", lambda: ledger.known([intent]))
            timed("fence", lambda: state_of(context["ti"]))
            lease = timed("take_lease", lambda: ledger.take_lease("token", "bench", 120.0))
            claimed = timed("claim", lambda: ledger.claim(intent, lease=lease, ttl=120.0))
            settlement = Settlement(claimed=claimed, state=CallState.ACCEPTED, conn_id="10001.0101.1760000000.10001")
            timed("settle", lambda: ledger.settle(settlement))
            timed("give_back", lambda: ledger.give_back(lease))
            return spent

        # The first one opens connections and imports what it needs, as each task's first one does.
        return [one_call(number) for number in range(context["dag_run"].conf["calls"] + 1)]

    measure()


{DAG_ID}()
"""


def measured(airflow: LocalAirflow, url: str, calls: int) -> list[dict[str, float]]:
    """Return the milliseconds of each step, a dictionary for each call; the first call is the task's first."""
    run_id = airflow.trigger(DAG_ID, conf={"calls": calls, "url": url})
    if airflow.wait_for_run(DAG_ID, run_id, timeout=60 + calls) != "success":
        raise SystemExit(airflow.task_log(DAG_ID, run_id, "measure"))
    found = airflow.xcom(DAG_ID, run_id, "measure")
    return json.loads(found) if isinstance(found, str) else found


def p95(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=20, method="inclusive")[-1]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--calls", type=int, default=50, help="calls to measure (default: %(default)s)")
    parser.add_argument("--home", type=Path, help="Airflow's home, kept afterwards (default: one that is removed)")
    given = parser.parse_args()
    if given.calls < 2:
        parser.error("--calls must be at least 2")

    print(f"Airflow {version('apache-airflow')}, Python {platform.python_version()}, {os.cpu_count()} cores; ", end="")
    print(f"{given.calls} calls in one task, milliseconds")
    medians = {}
    with contextlib.ExitStack() as undo:
        home = given.home or Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="airflow-bench-")))
        source = home / "source" / "ledger_cost_dag.py"
        source.parent.mkdir(parents=True, exist_ok=True)
        source.write_text(DAG)
        folder = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="wolkvox-postgresql-")))
        folder.chmod(0o755)
        urls = {
            "Airflow's task state store": "",
            "SQLite": f"sqlite:///{home / 'ledger.db'}",
            "PostgreSQL": undo.enter_context(running_database("postgresql", folder)),
        }
        airflow = undo.enter_context(LocalAirflow(home, [source]))
        for name, url in urls.items():
            first, *calls = measured(airflow, url, given.calls)
            print(f"\n{name}\n\n| step | median | p95 | a task's first |")
            print("|---|---:|---:|---:|")
            rows = {
                title: ([call[step] for call in calls], first[step]) for step, title in STEPS.items() if step in first
            }
            rows["**the ledger, per call**"] = ([sum(call.values()) for call in calls], sum(first.values()))
            for title, (spent, at_first) in rows.items():
                print(f"| {title} | {statistics.median(spent):.1f} | {p95(spent):.1f} | {at_first:.1f} |")
            fence = statistics.median(call["fence"] for call in calls)
            medians[name] = statistics.median(sum(call.values()) for call in calls) - fence
    reached = medians["PostgreSQL"] < GOAL
    told = "reached" if reached else "MISSED"
    print(f"\nThe ledger in PostgreSQL, without the task's own state: {medians['PostgreSQL']:.1f} ms a call; ", end="")
    print(f"goal: under {GOAL:.0f} ms: {told}")
    return 0 if reached else 1


if __name__ == "__main__":
    raise SystemExit(main())
