"""Run the fast tests as if it were another day and hour: no test may depend on when it runs.

    python dev/clocks.py [--pytest='ARGUMENTS'] [CLOCK ...]

Each clock starts at an instant at which a rule may decide differently: at night, on a Sunday or a public holiday, at
the end of a year, on a leap day, at a change to daylight saving time. libfaketime shifts the wall clock of the tests
and of their child processes, and time advances from there. The monotonic clock is not shifted, so waits and deadlines
are real. Tests that start a scheduler, a browser or a build are left out. Without `faketime`, this script fails and
says what to install.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]

# The instant (UTC) at which each one starts, and the machine's time zone.
CLOCKS = {
    # 03:00 on a Sunday in Bogotá: calling hours are closed until the next day.
    "sunday-night": ("2026-11-29T08:00:00", "UTC"),
    # Noon on the Immaculate Conception, a Tuesday: a public holiday in Colombia and in Chile.
    "holiday-noon": ("2026-12-08T17:00:00", "America/Bogota"),
    # The year changes while the tests run.
    "new-year": ("2026-12-31T23:59:00", "UTC"),
    "leap-day": ("2028-02-29T23:58:00", "UTC"),
    # 18:30 on a Wednesday in Bogotá; already Thursday where the machine is.
    "winter-evening": ("2027-01-13T23:30:00", "Europe/Madrid"),
    # A minute before Chile's clocks go forward, at midnight from Saturday to Sunday.
    "daylight-saving": ("2027-09-05T03:59:00", "America/Santiago"),
}

TESTS = (
    "tests/calling",
    "tests/airflow",
    "tests/api/test_client_agents_simulated.py",
    "tests/api/test_client_reading.py",
    "tests/api/test_client_reports.py",
    "tests/api/test_windows.py",
    "tests/simulator",
    "tests/test_batch_engine.py",
    "tests/test_batch_report.py",
    "tests/test_planning.py",
)
# `time.sleep` waits until an instant of the monotonic clock, which libfaketime 0.9.10 rejects as invalid if it does not
# shift that clock too; `select` waits for a length of time.
SLEEP = """
import select, time

def sleep(seconds):
    if seconds < 0:
        raise ValueError("sleep length must be non-negative")
    select.select([], [], [], seconds)

time.sleep = sleep
"""
OPTIONS = (
    "--quiet",
    "--numprocesses=auto",
    "--maxprocesses=8",
    "--dist=loadfile",
    "-m",
    "not scheduler and not browser and not wheel",
)


def run_under(clock: str, arguments: list[str], modules: Path) -> int:
    """Run the tests from that instant on, and return pytest's exit code.

    :param modules: a folder whose `sitecustomize` every Python imports
    """
    instant, zone = CLOCKS[clock]
    # As an offset from now, so that every child process reads the same clock, whenever it starts.
    offset = (datetime.fromisoformat(instant).replace(tzinfo=UTC) - datetime.now(UTC)).total_seconds()
    environment = {
        **os.environ,
        "TZ": zone,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(modules), os.environ.get("PYTHONPATH")])),
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        # The timestamps of files are not shifted either.
        "NO_FAKE_STAT": "1",
    }
    print(f"=== {clock}: {instant} UTC, on a machine in {zone}", flush=True)
    command = ["faketime", "-f", f"{offset:+.0f}s", sys.executable, "-m", "pytest", *OPTIONS, *(arguments or TESTS)]
    return subprocess.run(command, cwd=CHECKOUT, env=environment, check=False).returncode


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("clocks", nargs="*", metavar="CLOCK", help=f"{', '.join(CLOCKS)} (default: all)")
    parser.add_argument("--pytest", default="", metavar="ARGUMENTS", help="for pytest, instead of the usual files")
    given = parser.parse_args()
    if unknown := set(given.clocks) - set(CLOCKS):
        parser.error(f"No such clock: {', '.join(sorted(unknown))}. The clocks are {', '.join(CLOCKS)}.")
    if not shutil.which("faketime"):
        print("The tests were not run: `faketime` is missing. As root: apt-get install faketime", file=sys.stderr)
        return 1

    with tempfile.TemporaryDirectory() as folder:
        modules = Path(folder)
        (modules / "sitecustomize.py").write_text(SLEEP, encoding="utf-8")
        results = {clock: run_under(clock, shlex.split(given.pytest), modules) for clock in given.clocks or CLOCKS}
    print("=== Results")
    for clock, code in results.items():
        print(f"{'FAILED' if code else 'passed'}  {clock}")
    return 1 if any(results.values()) else 0


if __name__ == "__main__":
    raise SystemExit(main())
