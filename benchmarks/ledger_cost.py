"""What the ledger costs: milliseconds that a call spends on it, measured inside a task of a real Airflow.

    python benchmarks/ledger_cost.py [--calls 50] [--home DIR]

One task makes, again and again, the steps that `AuxCallOperator` makes for each call, through the real
execution API: read the ledger, ask for the task's own state, write the intent, write what came back. The
request to wolkvox is left out. SQLite on this machine stands for the database of a deployment.
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

DAG_ID = "ledger_cost"
# In the order of a call; the names are those that the task returns its milliseconds under.
STEPS = {
    "read": "read the ledger (store.get)",
    "fence": "ask for one's own state (get_task_states)",
    "intend": "write the intent (store.set)",
    "accept": "write what came back (store.set)",
}

DAG = f"""
import time

from airflow.sdk import dag, get_current_context, task

from airflow_provider_wolkvox.ledger import Ledger
from airflow_provider_wolkvox.operators.once import _state_of


@dag(schedule=None)
def {DAG_ID}():
    @task
    def measure():
        context = get_current_context()

        def one_call():
            ledger = Ledger.of(context)
            steps = {{
                "read": ledger.read,
                "fence": lambda: _state_of(context["ti"]),
                "intend": lambda: ledger.intend(agent_id="10001", phone="...0101"),
                "accept": lambda: ledger.accept(conn_id="10001.0101.1760000000.10001"),
            }}
            spent = {{}}
            for name, step in steps.items():
                began = time.perf_counter()
                step()
                spent[name] = (time.perf_counter() - began) * 1000
            return spent

        # The first one opens connections and imports what it needs, as each task's first one does.
        return [one_call() for _ in range(context["dag_run"].conf["calls"] + 1)]

    measure()


{DAG_ID}()
"""


def measured(home: Path, calls: int) -> list[dict[str, float]]:
    """Return the milliseconds of each step, a dictionary for each call; the first call is the task's first."""
    source = home / "source" / "ledger_cost_dag.py"
    source.parent.mkdir(parents=True, exist_ok=True)
    source.write_text(DAG)
    with LocalAirflow(home, [source]) as airflow:
        run_id = airflow.trigger(DAG_ID, conf={"calls": calls})
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

    with contextlib.ExitStack() as undo:
        home = given.home or Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="airflow-bench-")))
        first, *calls = measured(home, given.calls)

    print(f"Airflow {version('apache-airflow')}, Python {platform.python_version()}, {os.cpu_count()} cores; ", end="")
    print(f"{len(calls)} calls in one task, milliseconds\n")
    print("| step | median | p95 | a task's first |")
    print("|---|---:|---:|---:|")
    rows = {title: ([call[step] for call in calls], first[step]) for step, title in STEPS.items()}
    rows["**the ledger, per call**"] = ([sum(call.values()) for call in calls], sum(first.values()))
    for title, (spent, at_first) in rows.items():
        print(f"| {title} | {statistics.median(spent):.1f} | {p95(spent):.1f} | {at_first:.1f} |")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
