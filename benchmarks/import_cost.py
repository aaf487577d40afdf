"""What importing an operator costs a DAG file.

    python benchmarks/import_cost.py [--processes 15]

Fresh processes; in each, Airflow's own modules are imported first and timed apart, then the operator's.
Goal: under 30 ms on top of `import airflow.sdk`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from importlib.metadata import version

OURS = "airflow_provider_wolkvox.operators.aux_call"
SDK = "airflow.sdk"
COMPAT = "airflow.providers.common.compat.sdk"
GOAL_MS = 30.0

# Libraries that a DAG file has no use for; any of them newly imported by ours would be a mistake.
HEAVY = ("requests", "urllib3", "http.client", "ssl", "holidays", "phonenumbers", "pendulum", "flask", "sqlalchemy")

PROGRAM = """
import importlib, json, sys, time

told = []
for name in sys.argv[1:]:
    before = set(sys.modules)
    started = time.perf_counter()
    importlib.import_module(name)
    told.append([(time.perf_counter() - started) * 1000, sorted(set(sys.modules) - before)])
print("\\n" + json.dumps(told))
"""


def imports(names: list[str], home: str) -> list[tuple[float, list[str]]]:
    """Import modules one after the other in a fresh process; return each one's milliseconds and new modules."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *names],
        env={**os.environ, "AIRFLOW_HOME": home, "AIRFLOW__CORE__UNIT_TEST_MODE": "True"},
        capture_output=True,
        text=True,
        check=True,
    )
    return [(took, new) for took, new in json.loads(done.stdout.splitlines()[-1])]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--processes", type=int, default=15, help="fresh processes each (default: %(default)s)")
    given = parser.parse_args()

    # What was imported before; the last one is what is measured.
    orders = {
        f"after `{SDK}`": [SDK, OURS],
        f"after `{SDK}` and `{COMPAT}`": [SDK, COMPAT, OURS],
        "with nothing before": [OURS],
        f"`{COMPAT}` after `{SDK}`": [SDK, COMPAT],
        f"`{SDK}` alone": [SDK],
    }
    with tempfile.TemporaryDirectory() as home:
        for names in orders.values():  # bytecode and disk caches, once
            imports(names, home)
        runs = {title: [] for title in orders}
        for _ in range(given.processes):
            for title, names in orders.items():
                runs[title].append(imports(names, home)[-1])

    print(f"Python {platform.python_version()}, apache-airflow {version('apache-airflow')}, ", end="")
    print(f"{os.cpu_count()} cores; medians of {given.processes} fresh processes\n")
    print("| import | median ms | least | most | new modules | heavy ones among them |")
    print("|---|---:|---:|---:|---:|---|")
    medians = {}
    for title, found in runs.items():
        times = [took for took, _ in found]
        new = found[0][1]
        heavy = [name for name in HEAVY if name in new]
        medians[title] = statistics.median(times)
        subject = title if title.startswith("`") else f"`{OURS.rpartition('.')[2]}` {title}"
        print(
            f"| {subject} | {medians[title]:.1f} | {min(times):.1f} | {max(times):.1f} | {len(new)} "
            f"| {', '.join(heavy) or 'none'} |"
        )
    after_sdk = medians[f"after `{SDK}`"]
    held = "held" if after_sdk < GOAL_MS else "MISSED"
    print(f"\nGoal: under {GOAL_MS:g} ms after `{SDK}`: {after_sdk:.1f} ms, {held}.")
    brought = runs[f"after `{SDK}`"][0][1]
    ours = [name for name in brought if name.startswith("airflow_provider_wolkvox")]
    print(f"Of ours, {len(ours)} modules: {', '.join(ours)}.")
    others = sorted({".".join(name.split(".")[:4]) for name in brought if name not in ours})
    print(f"Others' modules that it brings after `{SDK}` (to four levels): {', '.join(others) or 'none'}.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
