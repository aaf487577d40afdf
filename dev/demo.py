"""`make demo`: a real Airflow rings four simulated customers, and the simulator says how often each phone rang.

Starts a simulator and an Airflow on free ports of this machine, makes a connection, its pool and a ledger, runs
the example DAG through the scheduler, prints what happened, and stops everything it started. The exit status
is 0 only if every phone rang exactly once.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

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
    try:
        with progress(console) as steps, Simulator(latency=SERVER_SECONDS) as sim:
            steps.done(f"a wolkvox server for this machine at {sim.base_url}")
            home = CHECKOUT / ".airflow-demo"
            airflow = LocalAirflow(
                home=home,
                dags=[CHECKOUT / "example_dags" / "wolkvox_aux_call.py"],
                env={"AIRFLOW__WOLKVOX__LEDGER_CONN_ID": f"sqlite:///{home / 'wolkvox-ledger.db'}"},
                on_step=steps.waits_for,
            )
            with airflow:
                steps.done(f"a real Airflow at {airflow.api_url}")
                steps.waits_for(f"connection {CONN_ID} and its pool are created")
                make_connection(airflow, sim)
                steps.done(f"connection {CONN_ID}, and its pool of one slot: airflow wolkvox sync-pools")
                steps.waits_for("the ledger's tables are made")
                airflow.cli("wolkvox", "ledger", "init")
                steps.done("a ledger, which remembers every call, in a SQLite file: airflow wolkvox ledger init")
                steps.waits_for(f"DAG {DAG_ID} runs")
                run_id = airflow.trigger(DAG_ID)
                state = airflow.wait_for_run(DAG_ID, run_id)
                steps.done(f"DAG run {run_id}: {state}")
                right = report(console, airflow, sim, run_id) and state == "success"
                if keep:
                    print_what_to_try(console, airflow, sim, run_id)
                    signal.pause()
    except KeyboardInterrupt:
        console.print("Stopped.")
        return 0 if keep else 130
    console.print("Every phone rang exactly once." if right else "[red]Not every phone rang exactly once.[/red]")
    return 0 if right else 1


class Steps:
    """Prints what is done, and while something takes long what it is, at least every `EVERY` seconds."""

    EVERY = 8.0

    def __init__(self, console: Console) -> None:
        self._console = console
        self._started = time.monotonic()
        self._waits_for = ""
        self._printed = threading.Event()

    def done(self, what: str) -> None:
        """Print what is done."""
        self._waits_for = ""
        self._print(what)

    def waits_for(self, what: str) -> None:
        """Print what happens now."""
        self._waits_for = what
        self._print(f"[dim]{what} ...[/dim]")

    def remind(self, ended: threading.Event) -> None:
        """Print what is still going on whenever nothing was printed for a while, until the demo has ended."""
        while not ended.is_set():
            if self._printed.wait(self.EVERY):
                self._printed.clear()
            elif self._waits_for:
                self._print(f"[dim]{self._waits_for}: not yet ...[/dim]")

    def _print(self, what: str) -> None:
        self._console.print(f"[dim]{time.monotonic() - self._started:5.1f} s[/dim]  {what}", highlight=False)
        self._printed.set()


@contextmanager
def progress(console: Console) -> Iterator[Steps]:
    """Keep a person at the terminal informed."""
    steps, ended = Steps(console), threading.Event()
    threading.Thread(target=steps.remind, args=(ended,), daemon=True).start()
    try:
        yield steps
    finally:
        ended.set()


def print_what_to_try(console: Console, airflow: LocalAirflow, sim: Simulator, run_id: str) -> None:
    """Print where to clear a task, and how to see that no phone rings again."""
    run = f"{airflow.api_url}/dags/{DAG_ID}/runs/{quote(run_id)}"
    console.print(
        f"\nAirflow's UI (no login): {run}\n"
        f"Clear this task: {run}/tasks/call_one_customer\n"
        f"Count the rings before and after: curl {sim.base_url}/_sim/rings\n"
        "Ctrl-C ends it all.",
        highlight=False,
        soft_wrap=True,
    )


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
