"""What the SQL ledger costs: per call, how many a second, and how long its questions take once it is large.

    python benchmarks/ledger_sql.py [--calls 300] [--seconds 3] [--rows 100000] [--processes 1,4,16]

A call is a claim (with a cap) and its settlement. PostgreSQL runs on this machine, on a disk that is written to at each
commit, as it is by default; SQLite is a file. `--rows 10000000` takes some ten minutes to fill.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "dev"))

import services
from services import missing_programs, running_database
from sqlalchemy import text

from airflow_provider_wolkvox.calling.caps import Cap
from airflow_provider_wolkvox.ledger.database import engine_of
from airflow_provider_wolkvox.ledger.entry import CallState, Claimed, Intent, Origin, Settlement
from airflow_provider_wolkvox.ledger.sql import SqlLedger

CAPS = [Cap(2, timedelta(hours=24)), Cap(7, timedelta(days=7))]
ORIGIN = Origin(namespace="default", dag_id="callbacks", run_id="scheduled__1", task_id="ring", try_number=1)


def intent(key: str, customer: int) -> Intent:
    return Intent(
        key=(key,),
        action="aux_call",
        origin=ORIGIN,
        customer=f"300{customer:07}",
        phone="***0101",
        agent_id=f"{10000 + customer % 100}",
        campaign_id=f"{customer % 50}",
        server="0042",
    )


def one_call(ledger: SqlLedger, key: str, customer: int) -> None:
    claimed = ledger.claim(intent(key, customer), CAPS)
    if isinstance(claimed, Claimed):
        ledger.settle(Settlement(claimed=claimed, state=CallState.ACCEPTED, conn_id=key))


def milliseconds(work: Callable[[int], object], times: int) -> list[float]:
    found = []
    for number in range(times):
        began = time.perf_counter()
        work(number)
        found.append((time.perf_counter() - began) * 1000)
    return sorted(found)


def at(share: float, sorted_times: list[float]) -> float:
    return sorted_times[min(int(share * len(sorted_times)), len(sorted_times) - 1)]


def caller(url: str, name: int, seconds: float, begin: object, told: object) -> None:
    with contextlib.closing(SqlLedger(engine_of(url))) as ledger:
        one_call(ledger, f"warm {name} {time.time()}", 9_000_000 + name)
        begin.wait()
        end, made = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            one_call(ledger, f"{name} {time.time_ns()}", random.randrange(10_000_000))
            made += 1
        told.put(made)


def throughput(url: str, processes: int, seconds: float) -> float:
    context = multiprocessing.get_context("spawn")
    begin, told = context.Barrier(processes), context.Queue()
    running = [context.Process(target=caller, args=(url, number, seconds, begin, told)) for number in range(processes)]
    for process in running:
        process.start()
    made = sum(told.get() for _ in running)
    for process in running:
        process.join()
    return made / seconds


def fill(url: str, rows: int) -> None:
    """Write settled calls of the last 400 days, spread over customers, agents, campaigns and DAGs."""
    engine = engine_of(url)
    with engine.connect() as connection, connection.begin():
        connection.execute(
            text(
                """
                INSERT INTO wolkvox_calls (
                    intent_key, attempt_id, state, attempts, action, customer, arguments, phone, agent_id, what,
                    campaign_id, server, namespace, deployment, dag_id, run_id, task_id, map_index, try_number,
                    created_at, intent_at, settled_at, conn_id, reason_code, reason, result, seconds, disposition
                ) SELECT
                    md5('k' || n), md5('a' || n),
                    CASE WHEN n % 5000 = 0 THEN 'intent' WHEN n % 10 = 0 THEN 'skipped' ELSE 'accepted' END,
                    1, 'aux_call', md5('c' || n % :customers), '', '***0101', (10000 + n % 500)::text, '',
                    (n % 300)::text, '0042', 'default', '', 'dag' || n % 20, 'run' || n % 400, 'ring', n % 100, 1,
                    t, t, t, 'conn' || n, '', '', 'ANSWER', 60, ''
                FROM (
                    SELECT n, (EXTRACT(EPOCH FROM clock_timestamp()) * 1000)::bigint
                        - (n::bigint * 34560000000 / :rows) AS t
                    FROM generate_series(1, :rows) n
                ) g
                """
            ),
            {"rows": rows, "customers": max(rows // 10, 1)},
        )
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE wolkvox_calls"))
        # What filling it left to write is no part of what is measured.
        connection.execute(text("CHECKPOINT"))


def questions(ledger: SqlLedger) -> Iterator[tuple[str, Callable[[int], object]]]:
    yield "claim with caps, and settle", lambda n: one_call(ledger, f"q {n} {time.time_ns()}", n)
    yield "known: 100 calls at once", lambda n: ledger.known([intent(f"{n} {each}", each) for each in range(100)])
    yield "page: latest 50", lambda n: ledger.find()
    yield "page: in doubt", lambda n: ledger.find(states=[CallState.INTENT])
    yield "page: of one DAG", lambda n: ledger.find(dag_id=f"dag{n % 20}")
    yield (
        "page: of one campaign, accepted",
        lambda n: ledger.find(campaign_id=str(n % 300), states=[CallState.ACCEPTED]),
    )
    yield "page: of one agent", lambda n: ledger.find(agent_id=str(10000 + n % 500))


@contextlib.contextmanager
def databases(folder: Path) -> Iterator[dict[str, str]]:
    with contextlib.ExitStack() as undo:
        found = {"SQLite": f"sqlite:///{folder / 'ledger.db'}"}
        if not missing_programs("postgresql"):
            # As a server is: what is committed is on the disk.
            for name in ("fsync", "synchronous_commit", "full_page_writes"):
                services.POSTGRES_OPTIONS[name] = "on"
            home = folder / "postgresql"
            home.mkdir()
            folder.chmod(0o711)
            found["PostgreSQL"] = undo.enter_context(running_database("postgresql", home))
        yield found


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--calls", type=int, default=300)
    options.add_argument("--seconds", type=float, default=3.0)
    options.add_argument("--rows", type=int, default=100_000)
    options.add_argument("--processes", default="1,4,16")
    args = options.parse_args()
    with tempfile.TemporaryDirectory() as folder, databases(Path(folder)) as urls:
        print("| database | a call (claim and settle), p50 | p99 |\n|---|--:|--:|")
        for name, url in urls.items():
            with contextlib.closing(SqlLedger(engine_of(url))) as ledger:
                ledger.init()
                times = milliseconds(lambda n: one_call(ledger, f"one {n}", n), args.calls)
            print(f"| {name} | {statistics.median(times):.1f} ms | {at(0.99, times):.1f} ms |", flush=True)
        print("\n| database | processes | calls a second |\n|---|--:|--:|")
        for name, url in urls.items():
            for processes in map(int, args.processes.split(",")):
                print(f"| {name} | {processes} | {throughput(url, processes, args.seconds):.0f} |", flush=True)
        if "PostgreSQL" in urls:
            fill(urls["PostgreSQL"], args.rows)
            print(f"\n| PostgreSQL with {args.rows:,} calls | p50 | p99 |\n|---|--:|--:|")
            with contextlib.closing(SqlLedger(engine_of(urls["PostgreSQL"]))) as ledger:
                for name, ask in questions(ledger):
                    times = milliseconds(ask, args.calls)
                    print(f"| {name} | {statistics.median(times):.1f} ms | {at(0.99, times):.1f} ms |", flush=True)


if __name__ == "__main__":
    main()
