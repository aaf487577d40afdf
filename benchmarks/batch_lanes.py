"""Four tokens against one: batches in lanes of their own, at once, in a real Airflow.

    python benchmarks/batch_lanes.py [--rounds 3]

A round is one batch alone, then four at once, each with a connection, a token and a pool of its own, against one
simulator with a server time of 300 ms, in a process of its own. Only calls made while all four are at work count: how
soon a scheduler starts four tasks is another matter, told as the seconds between the lanes' first rings.
Goal: four lanes make at least 3.8 times the calls of one.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics

from batch_rate import airflow_with, finish, rate, rings, simulator, to_simulator, versions

SERVER_MS = 300
LANES = 4
CALLS = 40
GOAL = 3.8

TOKENS = [f"benchmark-token-{lane}" for lane in range(LANES)]
CONN_IDS = [f"lane_{lane}" for lane in range(LANES)]

DAG_ID = "batch_lanes"
DAG = f"""
from airflow.sdk import dag

from airflow_provider_wolkvox.operators.aux_call_batch import AuxCallBatchOperator


def lanes(number):
    @dag(dag_id=f"{DAG_ID}_{{number}}", schedule=None, render_template_as_native_obj=True)
    def batches():
        for lane in range(number):
            AuxCallBatchOperator(
                task_id=f"lane_{{lane}}",
                wolkvox_conn_id=f"lane_{{lane}}",
                calls=f"{{{{{{{{ dag_run.conf['calls'][{{lane}}] }}}}}}}}",
                calling_hours=None,
                wait_for_agents=False,
            )

    return batches()


one, all_lanes = lanes(1), lanes({LANES})
"""


def phones_of(turn: int, lanes: int) -> list[list[str]]:
    return [[f"3{turn:02}{lanes}{lane}{call:05}" for call in range(CALLS)] for lane in range(lanes)]


def rate_while_all_work(lanes: list[list[float]]) -> float:
    """Return the calls per second of all, by their rings between the last lane's first and the first lane's last."""
    begin, end = max(map(min, lanes)), min(map(max, lanes))
    return sum(rate([at for at in lane if begin <= at <= end]) for lane in lanes)


def measure(rounds: int) -> list[tuple[float, float, float]]:
    """Return for each round the rate of one lane, that of all, and the seconds until all were at work."""
    found = []
    with contextlib.ExitStack() as undo:
        address = undo.enter_context(simulator(SERVER_MS, *TOKENS))
        connections = {conn_id: to_simulator(address, token) for conn_id, token in zip(CONN_IDS, TOKENS, strict=True)}
        airflow = undo.enter_context(airflow_with(DAG, connections, CONN_IDS))
        for turn in range(rounds):
            rates, spread = [], 0.0
            for lanes in (1, LANES):
                asked = phones_of(turn, lanes)
                calls = [[{"agent_id": "10001", "customer_phone": phone} for phone in lane] for lane in asked]
                run_id = airflow.trigger(f"{DAG_ID}_{lanes}", conf={"calls": calls})
                finish(airflow, f"{DAG_ID}_{lanes}", run_id, timeout=180)
                rung = rings(address)
                at = [[rung[phone] for phone in lane] for lane in asked]
                rates.append(rate_while_all_work(at))
                first = [min(lane) for lane in at]
                spread = max(first) - min(first)
            found.append((rates[0], rates[1], spread))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=3, help="rounds (default: %(default)s)")
    given = parser.parse_args()

    found = measure(given.rounds)
    print(f"{versions()}; {CALLS} calls a lane, {SERVER_MS} ms of server time, calls per second\n")
    print(f"| round | 1 lane | {LANES} lanes | ratio | until all {LANES} were at work |")
    print("|---:|---:|---:|---:|---:|")
    for number, (one, all_lanes, spread) in enumerate(found, 1):
        print(f"| {number} | {one:.2f} | {all_lanes:.2f} | {all_lanes / one:.2f} | {spread:.1f} s |")
    ratio = statistics.median(all_lanes / one for one, all_lanes, _ in found)
    print(f"\nGoal: {LANES} lanes / 1 >= {GOAL:g}: {ratio:.2f}, {'held' if ratio >= GOAL else 'MISSED'}.")
    return 0 if ratio >= GOAL else 1


if __name__ == "__main__":
    raise SystemExit(main())
