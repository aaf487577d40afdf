"""`make demo`: a real Airflow rings four simulated customers, and the simulator says how often each phone rang.

Starts a simulator and an Airflow on free ports of this machine, makes a connection and its pool, runs the
example DAG through the scheduler, prints what happened, and stops everything it started. The exit status
is 0 only if every phone rang exactly once.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from pathlib import Path

from local_airflow import LocalAirflow
from rich.console import Console
from rich.table import Table

from airflow_provider_wolkvox.api.arguments import masked
from airflow_provider_wolkvox.simulator import Simulator

CHECKOUT = Path(__file__).resolve().parents[1]
CONN_ID = "wolkvox_default"
DAG_ID = "wolkvox_aux_call"

# The server's time for a call: long enough that calls would overlap, if the lane let them.
SERVER_SECONDS = 0.2


def main() -> int:
    """Run the demo and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave Airflow's UI running until Ctrl-C")
    keep = parser.parse_args().keep
    # `kill` and a closed terminal end the demo as Ctrl-C does, in the background too: with everything stopped.
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.default_int_handler)

    # Where the output is no terminal (a log, CI), rich would take 80 columns and cut the ids.
    console = Console() if sys.stdout.isatty() else Console(width=120)
    started = time.monotonic()

    def step(what: str) -> None:
        console.print(f"[dim]{time.monotonic() - started:5.1f} s[/dim]  {what}")

    try:
        with Simulator(latency=SERVER_SECONDS) as sim:
            step(f"a wolkvox server for this machine at {sim.base_url}")
            home = CHECKOUT / ".airflow-demo"
            with LocalAirflow(home=home, dags=[CHECKOUT / "example_dags" / "wolkvox_aux_call.py"]) as airflow:
                step(f"a real Airflow at {airflow.api_url}")
                make_connection(airflow, sim)
                step(f"connection {CONN_ID}, and its pool of one slot: airflow wolkvox sync-pools")
                run_id = airflow.trigger(DAG_ID)
                state = airflow.wait_for_run(DAG_ID, run_id)
                step(f"DAG run {run_id}: {state}")
                right = report(console, airflow, sim, run_id) and state == "success"
                if keep:
                    console.print(f"\nAirflow's UI: {airflow.api_url}/dags/{DAG_ID}   (no login; Ctrl-C ends it)")
                    signal.pause()
    except KeyboardInterrupt:
        console.print("Stopped.")
        return 0 if keep else 130
    console.print("Every phone rang exactly once." if right else "[red]Not every phone rang exactly once.[/red]")
    return 0 if right else 1


def make_connection(airflow: LocalAirflow, sim: Simulator) -> None:
    """Put the connection into Airflow's database, and its pool with the provider's own command."""
    connection = {
        "conn_type": "wolkvox",
        "host": "0042",
        "password": sim.token,
        "extra": json.dumps({"base_url": sim.base_url}),
    }
    file = airflow.home / "connection.json"
    file.write_text(json.dumps({CONN_ID: connection}))
    airflow.cli("connections", "import", "--overwrite", str(file))
    airflow.cli("wolkvox", "sync-pools")


def report(console: Console, airflow: LocalAirflow, sim: Simulator, run_id: str) -> bool:
    """Print each call as Airflow and the simulator saw it; return whether all is as it should be."""
    calls = {call.conn_id: call for call in sim.calls}
    table = Table(title="What Airflow reports, and how often the phone rang")
    for column in ("task", "agent", "customer", "conn_id", "state", "rings"):
        table.add_column(column, no_wrap=True)
    all_once = True
    for task in sorted(airflow.task_instances(DAG_ID, run_id), key=lambda task: (task.task_id, task.map_index)):
        if not task.task_id.startswith("call_"):
            continue
        conn_id = None
        if task.state == "success":
            conn_id = airflow.xcom(DAG_ID, run_id, task.task_id, key="conn_id", map_index=task.map_index)
        call = calls.get(conn_id or "")
        rings = sim.rings[call.phone] if call else 0
        all_once &= rings == 1
        name = task.task_id if task.map_index < 0 else f"{task.task_id} [{task.map_index}]"
        shown = (call.agent_id, masked(call.phone)) if call else ("-", "-")
        table.add_row(name, *shown, conn_id or "-", task.state or "-", str(rings))
    console.print(table)
    stats = sim.stats(sim.token)
    console.print(f"Greatest number of simultaneous requests with the token: {stats.greatest_simultaneous}")
    # Judged by the simulator alone: nothing may have rung that no task reports.
    return all_once and set(sim.rings.values()) == {1} and stats.greatest_simultaneous == 1


if __name__ == "__main__":
    sys.exit(main())
