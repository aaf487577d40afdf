"""One batch against one task for each call: calls a minute through the same scheduler, in a pool of one.

    python benchmarks/batch_against_tasks.py [--rounds 3]

Each way is a DAG run of its own, one after the other, by turns: `AuxCallBatchOperator`, mapped `AuxCallOperator`s, and
the mapped `HttpOperator`s that one would write without this provider. All make the same POST with a server time of
50 ms; the simulator, in a process of its own, notes when each phone rings. A rate is the calls from a run's first ring
to its last by the time between. The scheduler looks for work as often as Airflow's own settings have it: it sleeps for
a second after a round that had nothing to do. `--idle-sleep 0.1` shows what tasks gain from one tuned for them.
Goal: the batch makes at least 15 times as many calls a minute as each other way.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
from importlib.metadata import version

from batch_rate import TOKEN, airflow_with, finish, rate, rings, simulator, to_simulator, versions

SERVER_MS = 50
GOAL = 15.0
BATCH = "AuxCallBatchOperator"
MAPPED = "mapped AuxCallOperator"
HTTP = "mapped HttpOperator"
# The calls of one run, and the DAG that makes them.
CALLS = {BATCH: 100, MAPPED: 10, HTTP: 10}
DAG_IDS = {BATCH: "batch", MAPPED: "mapped", HTTP: "http"}

LANE = "lane"
HTTP_LANE = "http_lane"

DAG = f"""
from airflow.providers.http.operators.http import HttpOperator
from airflow.sdk import dag, get_current_context, task

from airflow_provider_wolkvox.operators.aux_call import AuxCallOperator
from airflow_provider_wolkvox.operators.aux_call_batch import AuxCallBatchOperator


@task
def calls():
    phones = get_current_context()["dag_run"].conf["phones"]
    return [{{"agent_id": "10001", "customer_phone": phone}} for phone in phones]


@task
def endpoints(calls):
    path = "api/v2/agentbox.php?api=aux_call&agent_id={{agent_id}}&customer_phone={{customer_phone}}"
    return [{{"endpoint": path.format(**call)}} for call in calls]


@dag(schedule=None)
def batch():
    AuxCallBatchOperator(
        task_id="call", wolkvox_conn_id="{LANE}", calls=calls(), calling_hours=None, wait_for_agents=False
    )


@dag(schedule=None)
def mapped():
    AuxCallOperator.partial(task_id="call", wolkvox_conn_id="{LANE}", calling_hours=None).expand_kwargs(calls())


@dag(schedule=None)
def http():
    HttpOperator.partial(
        task_id="call",
        http_conn_id="{HTTP_LANE}",
        pool="{HTTP_LANE}",
        method="POST",
        headers={{"wolkvox-token": "{TOKEN}"}},
    ).expand_kwargs(endpoints(calls()))


batch()
mapped()
http()
"""


def measure(rounds: int, idle_sleep: float) -> dict[str, list[float]]:
    """Return the calls a minute of every way, one for each round."""
    rates: dict[str, list[float]] = {way: [] for way in CALLS}
    with contextlib.ExitStack() as undo:
        address = undo.enter_context(simulator(SERVER_MS))
        connections = {LANE: to_simulator(address), HTTP_LANE: {"conn_type": "http", "host": address}}
        setting = {"AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": str(idle_sleep)}
        airflow = undo.enter_context(airflow_with(DAG, connections, connections, **setting))
        for turn in range(rounds):
            for number, way in enumerate(CALLS):
                phones = [f"3{turn:02}{number:02}{call:05}" for call in range(CALLS[way])]
                run_id = airflow.trigger(DAG_IDS[way], conf={"phones": phones})
                finish(airflow, DAG_IDS[way], run_id, timeout=180)
                rung = rings(address)
                rates[way].append(60 * rate([rung[phone] for phone in phones]))
    return rates


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=3, help="runs of each way (default: %(default)s)")
    parser.add_argument(
        "--idle-sleep", type=float, default=1.0, help="[scheduler] scheduler_idle_sleep_time (default: %(default)s)"
    )
    given = parser.parse_args()

    rates = measure(given.rounds, given.idle_sleep)
    print(
        f"{versions()}, apache-airflow-providers-http {version('apache-airflow-providers-http')}; {given.rounds} runs "
        f"of each way, {SERVER_MS} ms of server time, scheduler_idle_sleep_time {given.idle_sleep:g} s\n"
    )
    print("| way | calls a run | calls a minute, median | least, most | batch / this |")
    print("|---|---:|---:|---:|---:|")
    ratios = {}
    for way, found in rates.items():
        ratios[way] = statistics.median(ours / theirs for ours, theirs in zip(rates[BATCH], found, strict=True))
        print(
            f"| {way} | {CALLS[way]} | {statistics.median(found):.0f} | {min(found):.0f}, {max(found):.0f} "
            f"| {ratios[way]:.1f} |"
        )
    print()
    missed = False
    for way, ratio in ratios.items():
        if way != BATCH:
            missed |= ratio < GOAL
            print(f"Goal: batch / {way} >= {GOAL:g}: {ratio:.1f}, {'MISSED' if ratio < GOAL else 'held'}.")
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
