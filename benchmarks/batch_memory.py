"""What a long batch needs: memory that must not grow with the calls, and the time of each.

    python benchmarks/batch_memory.py [--calls 10000]

One `AuxCallBatchOperator` makes its calls through Airflow's real task runner, whose server is stood in for, so that
ten thousand calls take less than the hours of a deployment: the ledger's messages are made and dropped. The simulator
answers at once, in a process of its own. Memory is the resident set of the task's process.
Goals: from the 500th call to the written results it grows by at most 10 MB; `results_path` holds each call once.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "airflow"))

from batch_rate import rings, simulator, to_simulator
from task_runner import Server, run_try

from airflow_provider_wolkvox.batch import Batch
from airflow_provider_wolkvox.operators.aux_call_batch import AuxCallBatchOperator

FIRST = 500
# A batch tells of its progress 20 times; of 10,000 calls, these are among them.
SHOWN = (FIRST, 2_500, 5_000, 10_000)
GOAL_MB = 10.0


class ForgetfulServer(Server):
    """Answers as Airflow does, and keeps nothing: what it kept would count as the task's memory."""

    def send(self, msg: Any) -> Any:
        answer = self._answer(msg)
        self.store.clear()
        return answer


class Measured(AuxCallBatchOperator):
    """Notes its memory and the time whenever it would tell of its progress."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.noted: dict[int, tuple[float, float]] = {}

    def _progress(self, batch: Batch) -> None:
        self.noted[len(batch.outcomes)] = memory(), time.monotonic()


def memory() -> float:
    return psutil.Process().memory_info().rss / 2**20


def measure(number: int, results: Path) -> dict[str, tuple[float, float]]:
    """Make so many calls; return MB and milliseconds a call at each point."""
    calls = [{"agent_id": f"1000{1 + each % 5}", "customer_phone": f"3{each:09}"} for each in range(number)]
    made: list[Measured] = []

    def operator(dag: Any) -> Measured:
        made.append(
            Measured(task_id="task", calls=calls, results_path=str(results), calling_hours=None, wait_for_agents=False)
        )
        return made[-1]

    with simulator(0) as address:
        os.environ["AIRFLOW_CONN_WOLKVOX_DEFAULT"] = json.dumps(to_simulator(address))
        began = time.monotonic()
        run = run_try(operator, ForgetfulServer(), quiet=True)
        if run.state != "success":
            raise SystemExit(f"the task ended {run.state}: {run.error!r}")
        rung = rings(address)
    if len(rung) != number:
        raise SystemExit(f"{len(rung)} of {number} phones rang")
    points = {}
    since, at = 0, began
    noted = made[0].noted
    for done in [each for each in noted if each in SHOWN or each == number]:
        mb, moment = noted[done]
        points[f"{done:,} calls"] = mb, 1000 * (moment - at) / (done - since)
        since, at = done, moment
    points["results written"] = memory(), 0.0
    return points


def is_complete(results: Path, number: int) -> bool:
    """Tell whether each call has its line, in order, and was accepted."""
    with results.open() as lines:
        told = [json.loads(line) for line in lines]
    return [each["index"] for each in told] == list(range(number)) and {each["state"] for each in told} == {"accepted"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--calls", type=int, default=10_000, help="calls of the batch (default: %(default)s)")
    given = parser.parse_args()
    if given.calls < 2 * FIRST or given.calls % (20 * FIRST):
        parser.error(f"--calls must be a multiple of {20 * FIRST:,}")

    with tempfile.TemporaryDirectory(prefix="batch-bench-") as folder:
        results = Path(folder) / "results.jsonl"
        points = measure(given.calls, results)
        complete = is_complete(results, given.calls)

    print(f"Airflow {version('apache-airflow')}, Python {platform.python_version()}, {os.cpu_count()} cores\n")
    print("| after | memory, MB | ms a call since the line above |")
    print("|---|---:|---:|")
    for point, (mb, spent) in points.items():
        print(f"| {point} | {mb:.1f} | {f'{spent:.2f}' if spent else ''} |")
    at_first, *_, at_last = (mb for mb, spent in points.values())
    flat = at_last - at_first <= GOAL_MB
    print(
        f"\nGoal: from {FIRST} calls to the end at most {GOAL_MB:g} MB more: {at_last - at_first:.1f} MB, ",
        end="",
    )
    print("held." if flat else "MISSED.")
    print(f"Goal: {given.calls:,} results, in order, all accepted: {'held' if complete else 'MISSED'}.")
    return 0 if flat and complete else 1


if __name__ == "__main__":
    raise SystemExit(main())
