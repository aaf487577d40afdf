"""Histories: what may happen to calls and to their ledger, at random, judged by the phones' own count.

    python dev/histories.py --number 10000 [--seed 7] [--database postgresql]

Plays the histories of tests/airflow/test_histories.py in as many processes as there are processors, each with a ledger
of its own, and prints what they came to. The exit status is 1 if a phone rang twice for one intended call, a cap was
passed, a ring was lost, or anything else went wrong; then the history is printed. A seed plays the same ones again on
as many processors.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from services import missing_programs, running_database
from sqlalchemy import create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.pool import NullPool

TEST = Path(__file__).resolve().parents[1] / "tests" / "airflow" / "test_histories.py"


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description="Play random histories of calls, and count rings.")
    parser.add_argument("--number", type=int, default=10_000, help="how many histories; default 10000")
    parser.add_argument("--seed", type=int, help="plays the histories of an earlier run again; default at random")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite", help="default sqlite")
    asked = parser.parse_args()
    seed = secrets.randbelow(10**6) if asked.seed is None else asked.seed
    if missing := missing_programs(asked.database) if asked.database != "sqlite" else []:
        parser.error(f"this machine has no {', no '.join(missing)}")
    processes = min(os.cpu_count() or 1, asked.number)
    print(f"{asked.number} histories on {asked.database}, seed {seed}", flush=True)
    began = time.monotonic()
    # Not below a folder of one user alone: PostgreSQL's own has to pass.
    with tempfile.TemporaryDirectory(prefix="wolkvox-histories-") as name, contextlib.ExitStack() as undo:
        folder = Path(name)
        ledgers = undo.enter_context(_ledgers(asked.database, folder, processes))
        with ThreadPoolExecutor(processes) as pool:
            shares = [len(range(each, asked.number, processes)) for each in range(processes)]
            played = list(pool.map(_play, ledgers, shares, range(seed, seed + processes)))
    tally: Counter[str] = Counter()
    for counts, said in played:
        tally.update(counts)
        if said:
            print(said)
    for name, number in {**tally, "seconds": round(time.monotonic() - began)}.items():
        print(f"{name + ':':<15} {number:>8}")
    return 1 if any(said for _, said in played) else 0


@contextlib.contextmanager
def _ledgers(database: str, folder: Path, number: int) -> Iterator[list[str]]:
    """The URLs of as many databases."""
    if database == "sqlite":
        yield [f"sqlite:///{folder / f'ledger-{each}.db'}" for each in range(number)]
        return
    folder.chmod(0o755)
    with running_database(database, folder) as server:
        url = make_url(server)
        engine = create_engine(
            url.set(drivername="postgresql+psycopg"), poolclass=NullPool, isolation_level="AUTOCOMMIT"
        )
        names = [f"ledger_{each}" for each in range(number)]
        with engine.connect() as connection:
            for name in names:
                connection.exec_driver_sql(f"CREATE DATABASE {name}")
        yield [url.set(database=name).render_as_string(hide_password=False) for name in names]


def _play(ledger: str, number: int, seed: int) -> tuple[dict[str, int], str]:
    """Play some histories; return what they came to and, if something was wrong, what was said."""
    with tempfile.NamedTemporaryFile(prefix="wolkvox-tally-") as tally:
        given = {
            "WOLKVOX_HISTORIES": str(number),
            "WOLKVOX_HISTORIES_LEDGER": ledger,
            "WOLKVOX_HISTORIES_TALLY": tally.name,
        }
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "--timeout=0",
            "--show-capture=no",
            f"--hypothesis-seed={seed}",
        ]
        ended = subprocess.run(
            [*command, "-p", "no:cacheprovider", str(TEST)],
            env={**os.environ, **given},
            capture_output=True,
            text=True,
            check=False,
        )
        counts = json.loads(Path(tally.name).read_text() or "{}")
    return counts, f"{ended.stdout}{ended.stderr}" if ended.returncode else ""


if __name__ == "__main__":
    sys.exit(main())
