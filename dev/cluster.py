"""A whole Airflow cluster on one machine: two schedulers, two Celery workers, PostgreSQL, Redis, and four tokens.

    python dev/cluster.py --calls 400 [--measured 20]

It measures calls per minute through one, two and four lanes, with a task for each call and with a task for each
lane: example_dags/wolkvox_callbacks_by_token.py, as it stands. Then the example makes `--calls` calls through all four
lanes; half way, while a phone rings, the worker that makes that call is killed with everything below it, and later
replaced. The same with `--mapped` calls, a task for each. Then tasks are cleared while they call, and one call takes
so long that Redis delivers its task a second time. Last, a second deployment with a database of its own shares the
ledger and a token, and both call back what the same campaign cut. The ledger is in PostgreSQL. What must hold is told
by the simulator, not by Airflow:

- No phone rang twice.
- A token was used by one request at a time, worker lost or not. (Not where a task is cleared: Airflow gives its slot
  away while the process that holds it lives on.)
- A call that succeeded returns the conn_id of a call that rang that very phone.
- A call that was not accepted says why, in its task's log or its batch's result: it was not made, or its outcome is
  unknown.

The exit status is 1 if any of that did not hold, or if anything failed to start. PostgreSQL and Redis are the
machine's own packages; everything listens on free ports of 127.0.0.1, lives in a temporary directory and is gone
afterwards, however this ends.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import secrets
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import requests
from chaos import QUICK_REACTIONS, SAYS_NO_RING, SAYS_UNKNOWN
from cluster_calls import BATCH, CAMPAIGN, LANES, MAPPED, PLAN, PLAN_TASK, calls_task, configuration
from local_airflow import (
    API_SERVER,
    DAG_PROCESSOR,
    FINISHED,
    SCHEDULER,
    Component,
    LocalAirflow,
    LocalAirflowError,
    Refused,
    TaskInstance,
    is_alive,
)
from services import ServiceError, Services
from sqlalchemy import create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.pool import NullPool

from airflow_provider_wolkvox.simulator import Simulator

HERE = Path(__file__).resolve().parent
EXAMPLE = HERE.parent / "example_dags" / f"{BATCH}.py"
DAG_FILES = (HERE / "cluster_calls.py", HERE / "cluster_dags.py", EXAMPLE)
SERVER = "0042"

# The server's time for a call: long enough that two requests let through together would meet.
SERVER_SECONDS = 0.2
# How long the answer is held back of a call whose worker is killed, or whose task is cleared, while the phone rings.
FLIGHT_SECONDS = 8.0
# Redis's messages are delivered again if no worker has finished them for so long; Airflow's own is a day. A worker
# looks for them every 100 s by default, here every 2 s, so a call of the longer time is delivered twice meanwhile.
VISIBILITY_SECONDS = 10
LOOKS_EVERY_SECONDS = 2
OUTLASTING_SECONDS = 20.0
TOTAL_TIMEOUT = 45.0
SAYS_DELIVERED_TWICE = "ignoring redelivered message"

# A second scheduler and Celery's workers, with options that 3.0 to 3.3 share.
SECOND_SCHEDULER = Component("scheduler-2", SCHEDULER.command, job=SCHEDULER.job)
CONCURRENCY = len(LANES)


def worker(number: int) -> Component:
    """Return a Celery worker that can serve all lanes by itself."""
    name = f"worker-{number}"
    command = ("celery", "worker", "--skip-serve-logs", "--concurrency", str(CONCURRENCY), "--celery-hostname", name)
    return Component(name, command, ready=f"{name} ready.")


WORKERS = (worker(1), worker(2))
COMPONENTS = (API_SERVER, SCHEDULER, SECOND_SCHEDULER, DAG_PROCESSOR, *WORKERS)

# A call by a task of its own takes about 1.5 s; a lost worker is noticed after 15 s.
PATIENCE_PER_CALL = 6.0
PATIENCE = 240.0

# Each lane's customers.
Phones = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class End:
    """How one call ended: `accepted`, `unknown`, `not made`; or `silent`, `lost`, which must not be."""

    lane: str
    phone: str
    end: str
    wrong: str = ""


@dataclass(frozen=True)
class LaneResult:
    """What became of one lane's calls, and what the simulator saw of its token."""

    lane: str
    calls: int
    ends: Counter[str]
    rings: int
    at_once: int


@dataclass(frozen=True)
class Result:
    """What became of one run."""

    name: str
    dag_id: str
    lanes: tuple[LaneResult, ...]
    calls_per_minute: float
    violations: tuple[str, ...]

    @property
    def ends(self) -> Counter[str]:
        return sum((lane.ends for lane in self.lanes), Counter())

    @property
    def calls(self) -> int:
        return sum(lane.calls for lane in self.lanes)

    @property
    def rings(self) -> int:
        return sum(lane.rings for lane in self.lanes)

    @property
    def at_once(self) -> int:
        return max(lane.at_once for lane in self.lanes)


class Cluster:
    """The cluster and its judge: runs are made one after the other, and each phone belongs to one run."""

    def __init__(self, airflow: LocalAirflow, simulator: Simulator, second: LocalAirflow) -> None:
        self.airflow = airflow
        self.simulator = simulator
        self._second = second
        self._runs = itertools.count(1)
        self._workers = list(WORKERS)
        self._rings: Counter[str] = Counter()

    @classmethod
    @contextlib.contextmanager
    def running(cls, tell: Callable[[str], None] = lambda step: None) -> Iterator[Cluster]:
        """Start everything, in a temporary directory; end everything and remove it when the block is left.

        :raises ServiceError: if PostgreSQL or Redis is missing or does not start
        :raises LocalAirflowError: if anything of Airflow does not start
        """
        with contextlib.ExitStack() as undo:
            folder = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="airflow-cluster-")))
            places = {name: folder / name for name in ("services", "airflow", "second")}
            for place in places.values():
                place.mkdir(mode=0o700)
            # PostgreSQL's own user has to pass through.
            folder.chmod(0o711)
            services = undo.enter_context(Services.running(places["services"]))
            tell("PostgreSQL and Redis run")
            tokens = [f"cluster-{secrets.token_hex(8)}" for _ in LANES]
            simulator = undo.enter_context(Simulator(tokens=tokens, latency=SERVER_SECONDS, daily_quota=sys.maxsize))
            ledger = _ledger(services)
            airflow = undo.enter_context(
                LocalAirflow(
                    places["airflow"],
                    DAG_FILES,
                    env={**_settings(services), **ledger},
                    parallelism=4 * len(LANES),
                    components=COMPONENTS,
                    start_timeout=PATIENCE,
                )
            )
            tell(f"{len(COMPONENTS)} components of Airflow run: {', '.join(each.name for each in COMPONENTS)}")
            _connect(airflow, simulator)
            tell(f"{len(LANES)} connections, each with its token and its pool of one slot")
            airflow.cli("wolkvox", "ledger", "init")
            tell("a ledger in PostgreSQL")
            # Started when it is needed: Airflow's one-machine executor, with a SQLite database of its own.
            second = LocalAirflow(
                places["second"],
                DAG_FILES,
                env={**QUICK_REACTIONS, **ledger, "AIRFLOW__WOLKVOX__NAMESPACE": "second"},
                start_timeout=PATIENCE,
            )
            yield cls(airflow, simulator, second)

    # The runs

    def undisturbed(self, dag_id: str, lanes: int, calls_per_lane: int) -> Result:
        """Make calls through some lanes and let nothing go wrong."""
        return self._run("undisturbed", dag_id, LANES[:lanes], calls_per_lane)

    def worker_killed(self, dag_id: str, calls: int, tell: Callable[[str], None] = lambda step: None) -> Result:
        """Make calls through all lanes; half way, while a phone rings, kill the worker that makes the call."""
        each = calls // len(LANES)
        victim = each // 2

        def kill(run_id: str, phones: Phones) -> None:
            process = self._ringing(dag_id, run_id, phones, LANES[0], victim)
            name = self.airflow.component_of(process.pid)
            if name is None:
                raise LocalAirflowError(f"The process {process.pid}, which makes a call, is below no worker.")
            killed = self.airflow.kill(name)
            tell(f"{name} killed after {self.simulator.rings.total()} rings, with {len(killed) - 1} processes below it")
            self._workers.append(worker(len(self._workers) + 1))
            self.airflow.start(self._workers[-1])
            tell(f"{self._workers[-1].name} takes its place")

        return self._run("worker killed", dag_id, LANES, each, slow={LANES[0]: {victim: FLIGHT_SECONDS}}, trouble=kill)

    def cleared(self, dag_id: str, calls_per_lane: int) -> Result:
        """Clear a task in every lane while its phone rings."""
        victim = calls_per_lane // 2

        def clear(run_id: str, phones: Phones) -> None:
            old = [self._ringing(dag_id, run_id, phones, lane, victim) for lane in phones]
            tasks = [_task_of(dag_id, lane, victim) for lane in phones]
            self.airflow.clear(dag_id, run_id, [task if task[1] >= 0 else task[0] for task in tasks])
            self._wait_for_the_end(dag_id, run_id, calls_per_lane)
            for process in old:
                self.airflow.wait_until(lambda gone=process: not is_alive(gone), PATIENCE, "the cleared task ends")

        slow = {lane: {victim: FLIGHT_SECONDS} for lane in LANES}
        return self._run("cleared", dag_id, LANES, calls_per_lane, slow=slow, trouble=clear, frees_slot=True)

    def delivered_twice(self, dag_id: str) -> Result:
        """Make one call that takes longer than Redis waits for the end of a task."""

        def require_second_delivery(run_id: str, phones: Phones) -> None:
            before = self.second_deliveries()
            self.airflow.wait_until(
                lambda: self.second_deliveries() > before,
                2 * OUTLASTING_SECONDS,
                "Redis delivers the running task again",
                evidence=lambda: self._states(dag_id, run_id),
            )

        slow = {LANES[0]: {0: OUTLASTING_SECONDS}}
        return self._run("delivered twice", dag_id, LANES[:1], 1, slow=slow, trouble=require_second_delivery)

    def two_deployments(self, calls: int) -> Result:
        """Have two deployments plan the same callbacks, and both make them, with one token and one ledger."""
        self._forget_run()
        for number in range(calls):
            self.simulator.add_past_call(
                f"39{number:08d}", "10001", seconds_ago=600, campaign_id=CAMPAIGN, talk_seconds=5
            )
        # As if the reports were slow: only the ledger tells what the other one has called.
        self.simulator.hold_reports()
        self.simulator.add_campaign(CAMPAIGN)
        with self._second as second:
            _connect(second, self.simulator)
            # One after the other: what only reads is kept apart by each deployment's own pool alone.
            plans = [self._plan(airflow) for airflow in (self.airflow, second)]
            phones = {LANES[0]: [each["customer_phone"] for each in plans[0]]}
            conf = {"callbacks": [{"wolkvox_conn_id": LANES[0], **each} for each in plans[0]]}
            name = f"run-{next(self._runs)}"
            runs = [airflow.trigger(BATCH, conf=conf, run_id=name) for airflow in (self.airflow, second)]
            for airflow in (self.airflow, second):
                airflow.wait_until(
                    lambda airflow=airflow: airflow.run_state(BATCH, name) in FINISHED,
                    PATIENCE + PATIENCE_PER_CALL * calls,
                    f"{name} has ended in both deployments",
                )
            result = self._judge("two deployments", BATCH, runs[0], phones, frees_slot=False)
            told = [
                [(each["state"], each["conn_id"]) for each in airflow.xcom(BATCH, name, calls_task(LANES[0]))]
                for airflow in (self.airflow, second)
            ]
        violations = list(result.violations)
        if plans[0] != plans[1] or len(plans[0]) != calls:
            violations.append(f"the plans differ: {len(plans[0])} and {len(plans[1])} callbacks of {calls}")
        if told[0] != told[1]:
            differ = [pair for pair in zip(*told, strict=True) if pair[0] != pair[1]]
            violations.append(f"the deployments tell of {len(differ)} calls differently, such as {differ[0]}")
        return replace(result, violations=tuple(violations))

    def _plan(self, airflow: LocalAirflow) -> list[dict[str, str]]:
        run_id = airflow.trigger(PLAN)
        if airflow.wait_for_run(PLAN, run_id, timeout=PATIENCE) != "success":
            raise LocalAirflowError(airflow.task_log(PLAN, run_id, PLAN_TASK))
        callbacks: list[dict[str, str]] = airflow.xcom(PLAN, run_id, PLAN_TASK)
        return callbacks

    def second_deliveries(self) -> int:
        """Return how many messages the workers found to be of tasks that run already."""
        return sum(self.airflow.component_log(each.name).count(SAYS_DELIVERED_TWICE) for each in self._workers)

    def late_rings(self) -> list[str]:
        """Return which phones rang twice over all runs; to be asked when all are over."""
        self._forget_run()
        return [f"{phone} rang {times} times in all" for phone, times in self._rings.items() if times > 1]

    def _run(
        self,
        name: str,
        dag_id: str,
        lanes: Sequence[str],
        calls_per_lane: int,
        *,
        slow: Mapping[str, Mapping[int, float]] | None = None,
        trouble: Callable[[str, Phones], None] | None = None,
        frees_slot: bool = False,
    ) -> Result:
        """Make one DAG run and judge it.

        :param slow: calls whose answer is held back, lane and place in it to seconds
        :param trouble: makes it, while the run is under way
        :param frees_slot: whether it makes Airflow give a lane away while the process that holds it lives on
        """
        self._forget_run()
        run = next(self._runs)
        phones = {
            lane: [f"3{LANES.index(lane) + 1}{run:03d}{call:05d}" for call in range(calls_per_lane)] for lane in lanes
        }
        for lane, held_back in (slow or {}).items():
            for call, seconds in held_back.items():
                self.simulator.fault("latency", phone=phones[lane][call], seconds=seconds)
        run_id = self.airflow.trigger(dag_id, conf=configuration(phones), run_id=f"run-{run}")
        if trouble:
            trouble(run_id, phones)
        self._wait_for_the_end(dag_id, run_id, calls_per_lane)
        return self._judge(name, dag_id, run_id, phones, frees_slot)

    def _forget_run(self) -> None:
        self._rings += self.simulator.rings
        self.simulator.reset()

    def _ringing(self, dag_id: str, run_id: str, phones: Phones, lane: str, call: int) -> psutil.Process:
        """Wait until a phone rings, and return the process that makes the call."""
        self.airflow.wait_until(
            lambda: self.simulator.rings[phones[lane][call]] > 0,
            PATIENCE + PATIENCE_PER_CALL * call,
            f"call {call} of {lane} rings",
            evidence=lambda: self._states(dag_id, run_id),
        )
        pid = self.airflow.task_instance(dag_id, run_id, *_task_of(dag_id, lane, call)).pid
        if pid is None:
            raise LocalAirflowError(f"Airflow knows no process of call {call} of {lane}, although its phone rings.")
        return psutil.Process(pid)

    def _wait_for_the_end(self, dag_id: str, run_id: str, calls_per_lane: int) -> None:
        self.airflow.wait_until(
            lambda: self.airflow.run_state(dag_id, run_id) in FINISHED,
            PATIENCE + PATIENCE_PER_CALL * calls_per_lane,
            f"{run_id} has ended",
            evidence=lambda: self._states(dag_id, run_id),
        )

    def _states(self, dag_id: str, run_id: str) -> Counter[tuple[str, str | None]]:
        return Counter((task.task_id, task.state) for task in self.airflow.task_instances(dag_id, run_id))

    # The judgement

    def _judge(self, name: str, dag_id: str, run_id: str, phones: Phones, frees_slot: bool) -> Result:
        ends = list(self._ends(dag_id, run_id, phones))
        rings, calls = self.simulator.rings, self.simulator.calls
        at_once = {
            lane: self.simulator.stats(token).greatest_simultaneous
            for lane, token in zip(LANES, self.simulator.tokens, strict=True)
        }
        results = tuple(
            LaneResult(
                lane=lane,
                calls=len(numbers),
                ends=Counter(end.end for end in ends if end.lane == lane),
                rings=sum(rings[phone] for phone in numbers),
                at_once=at_once[lane],
            )
            for lane, numbers in phones.items()
        )
        expected = {phone for numbers in phones.values() for phone in numbers}
        violations = [f"{phone} rang {times} times" for phone, times in rings.items() if times > 1]
        violations += [f"{phone} rang, whom nobody was to call" for phone in rings.keys() - expected]
        violations += [f"{end.phone} of {end.lane}: {end.wrong}" for end in ends if end.wrong]
        most = 2 if frees_slot else 1
        violations += [f"{lane} was used by {n} requests at once" for lane, n in at_once.items() if n > most]
        # From ring to ring, so that the beginning and the end of the DAG run are not counted.
        seconds = (calls[-1].at - calls[0].at).total_seconds() if calls else 0.0
        return Result(name, dag_id, results, 60 * (len(calls) - 1) / seconds if seconds else 0.0, tuple(violations))

    def _ends(self, dag_id: str, run_id: str, phones: Phones) -> Iterator[End]:
        """Compare what Airflow says of each call with the phone."""
        tasks = {(task.task_id, task.map_index): task for task in self.airflow.task_instances(dag_id, run_id)}
        rang: dict[str, set[str]] = {phone: set() for numbers in phones.values() for phone in numbers}
        for call in self.simulator.calls:
            rang.setdefault(call.phone, set()).add(call.conn_id)
        for lane, numbers in phones.items():
            told = self._told_by_batch(run_id, lane) if dag_id == BATCH else None
            for place, phone in enumerate(numbers):
                if told is None:
                    end = self._end_of_task(run_id, tasks.get(_task_of(dag_id, lane, place)), rang[phone])
                else:
                    end = _end_in_batch(told.get(place), rang[phone])
                yield End(lane, phone, *end)

    def _told_by_batch(self, run_id: str, lane: str) -> dict[int, Mapping[str, Any]]:
        """Return the batch's result by the calls' places; empty if it has none."""
        try:
            return {told["index"]: told for told in self.airflow.xcom(BATCH, run_id, calls_task(lane))}
        except Refused:
            return {}

    def _end_of_task(self, run_id: str, task: TaskInstance | None, rang: set[str]) -> tuple[str, str]:
        if task is None:
            return "lost", "Airflow has no task for this call"
        if task.state == "success":
            return _accepted(self.airflow.xcom(MAPPED, run_id, task.task_id, map_index=task.map_index), rang)
        if task.state != "failed":
            return "lost", f"ended {task.state}"
        log = self._last_log(run_id, task)
        if any(words in log.lower() for words in SAYS_UNKNOWN):
            return "unknown", ""
        if any(words in log.lower() for words in SAYS_NO_RING):
            return _not_made(rang)
        return "silent", f"failed without a reason in its last log:\n{log[-1500:]}"

    def _last_log(self, run_id: str, task: TaskInstance) -> str:
        try:
            return self.airflow.task_log(MAPPED, run_id, task.task_id, task.try_number, task.map_index)
        except Refused:
            return ""


def _task_of(dag_id: str, lane: str, call: int) -> tuple[str, int]:
    """Return the task id and map index of the task that makes a call."""
    return calls_task(lane), -1 if dag_id == BATCH else call


def _end_in_batch(told: Mapping[str, Any] | None, rang: set[str]) -> tuple[str, str]:
    if told is None or told["state"] == "left":
        return "lost", "the batch does not tell of this call"
    if told["state"] == "accepted":
        return _accepted(told["conn_id"], rang)
    if not told["reason"]:
        return "silent", f"{told['state']}, without a reason"
    return ("unknown", "") if told["state"] == "unknown" else _not_made(rang)


def _accepted(conn_id: str, rang: set[str]) -> tuple[str, str]:
    return "accepted", "" if conn_id in rang else f"succeeded with {conn_id!r}, but these rang: {rang}"


def _not_made(rang: set[str]) -> tuple[str, str]:
    return "not made", "it is told that no phone rang" if rang else ""


def _connect(airflow: LocalAirflow, simulator: Simulator) -> None:
    """Make the connections of all lanes, and their pools."""
    file = airflow.home / "connections.json"
    file.write_text(json.dumps(dict(zip(LANES, _connections(simulator), strict=True))))
    airflow.cli("connections", "import", str(file))
    airflow.cli("wolkvox", "sync-pools")


def _ledger(services: Services) -> dict[str, str]:
    """Return the settings of a ledger in a database of its own on the cluster's server."""
    url = make_url(services.postgres_url)
    engine = create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql("CREATE DATABASE wolkvox_ledger")
    connection_of_ledger = {
        "conn_type": "postgres",
        "host": url.host,
        "port": url.port,
        "login": url.username,
        "password": url.password,
        "schema": "wolkvox_ledger",
        "extra": {"sqlalchemy_scheme": "postgresql+psycopg"},
    }
    return {
        "AIRFLOW__WOLKVOX__LEDGER_CONN_ID": "wolkvox_ledger",
        "AIRFLOW_CONN_WOLKVOX_LEDGER": json.dumps(connection_of_ledger),
    }


def _settings(services: Services) -> dict[str, str]:
    return {
        **QUICK_REACTIONS,
        "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": services.postgres_url,
        # psycopg does both; by default Airflow would want asyncpg as well.
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": services.postgres_url,
        "AIRFLOW__CELERY__BROKER_URL": services.redis_url,
        "AIRFLOW__CELERY__RESULT_BACKEND": f"db+{services.postgres_url}",
        "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__VISIBILITY_TIMEOUT": str(VISIBILITY_SECONDS),
        "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__UNACKED_RESTORE_INTERVAL": str(LOOKS_EVERY_SECONDS),
        "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__UNACKED_RESTORE_THROTTLE": "1",
        # Nobody waits five minutes here for the next try.
        "AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY": "1",
        # A task that a killed worker had taken but not begun is put into the queue again; after 600 s by default.
        "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "30",
        "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "5",
    }


def _connections(simulator: Simulator) -> Iterator[dict[str, str]]:
    extra = json.dumps({"base_url": simulator.base_url, "total_timeout": TOTAL_TIMEOUT})
    for token in simulator.tokens:
        yield {"conn_type": "wolkvox", "host": SERVER, "password": token, "extra": extra}


# The tables

TASK_FOR_EACH = {MAPPED: "call", BATCH: "lane"}
HEADS = (
    "run",
    "a task for each",
    "lane",
    "calls",
    "accepted",
    "unknown*",
    "not made*",
    "rings",
    "at once",
    "violations",
)


def table(results: Iterable[Result]) -> str:
    """Return what became of the calls: a line for each lane of each run, and the sums."""
    rows: list[tuple[object, ...]] = []
    for result in results:
        run = (result.name, TASK_FOR_EACH[result.dag_id])
        rows += [(*run, lane.lane, *_numbers(lane), "") for lane in result.lanes]
        rows.append((*run, "all", *_numbers(result), len(result.violations)))
    return f"{_aligned(HEADS, rows)}\n* with the reason in the task's log or result"


def throughput(results: Iterable[Result]) -> str:
    """Return the calls per minute by the number of lanes."""
    rows = [
        (TASK_FOR_EACH[each.dag_id], len(each.lanes), each.calls, f"{each.calls_per_minute:.0f}") for each in results
    ]
    return _aligned(("a task for each", "lanes", "calls", "calls per minute"), rows)


def _numbers(result: LaneResult | Result) -> tuple[int, ...]:
    ends = result.ends
    return (result.calls, ends["accepted"], ends["unknown"], ends["not made"], result.rings, result.at_once)


def _aligned(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [tuple(heads), *(tuple(map(str, row)) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    return "\n".join("  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]) for line in lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument(
        "--calls", type=int, default=400, help="calls in batches, with a worker killed half way (default: %(default)s)"
    )
    parser.add_argument(
        "--mapped", type=int, default=80, help="calls with a task for each, likewise (default: %(default)s)"
    )
    parser.add_argument(
        "--measured", type=int, default=20, help="calls per lane where throughput is measured (default: %(default)s)"
    )
    given = parser.parse_args()
    if any(calls < 2 * len(LANES) or calls % len(LANES) for calls in (given.calls, given.mapped)):
        parser.error(f"--calls and --mapped have to be multiples of {len(LANES)}, with two calls in each lane")
    if given.measured < 2:
        parser.error("--measured has to be at least 2: speed is measured from ring to ring")
    end_on_signals()

    began = time.monotonic()

    def tell(step: str) -> None:
        print(f"{time.monotonic() - began:6.1f} s  {step}", flush=True)

    measured: list[Result] = []
    disturbed: list[Result] = []
    late: list[str] = []

    def keep(result: Result, results: list[Result]) -> None:
        results.append(result)
        tell(
            f"{result.name}, lanes: {len(result.lanes)}, a task for each {TASK_FOR_EACH[result.dag_id]}: "
            f"{result.calls} calls, {result.rings} rings"
        )
        for violation in result.violations:
            print(f"  VIOLATION: {violation}", flush=True)

    failed = False
    try:
        with Cluster.running(tell) as cluster:
            for dag_id, lanes in itertools.product((MAPPED, BATCH), (1, 2, len(LANES))):
                keep(cluster.undisturbed(dag_id, lanes, given.measured), measured)
            keep(cluster.worker_killed(BATCH, given.calls, tell), disturbed)
            keep(cluster.worker_killed(MAPPED, given.mapped, tell), disturbed)
            for dag_id in (MAPPED, BATCH):
                keep(cluster.cleared(dag_id, calls_per_lane=3), disturbed)
            keep(cluster.delivered_twice(MAPPED), disturbed)
            keep(cluster.two_deployments(given.measured), disturbed)
            tell(f"Redis delivered {cluster.second_deliveries()} messages again while their tasks ran")
            late = cluster.late_rings()
    except KeyboardInterrupt:
        print("Stopped; nothing is left.")
        return 130
    except (ServiceError, LocalAirflowError, requests.RequestException, psutil.Error) as failure:
        print(failure, file=sys.stderr)
        failed = True
    for each in late:
        print(f"VIOLATION: {each}")
    if measured:
        print(f"\n{throughput(measured)}\n\n{table([*measured, *disturbed])}")
    return 1 if failed or late or any(result.violations for result in (*measured, *disturbed)) else 0


def end_on_signals() -> None:
    """Let `kill` and a closed terminal end this as Ctrl-C does: with everything stopped, and nothing in between."""
    names = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def end(number: int, frame: object) -> None:
        for name in names:
            # A second Ctrl-C would break the clearing up.
            signal.signal(name, signal.SIG_IGN)
        raise KeyboardInterrupt

    for name in names:
        signal.signal(name, end)


if __name__ == "__main__":
    sys.exit(main())
