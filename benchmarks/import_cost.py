"""What importing each module of ours costs a DAG file that has imported `airflow.sdk` before.

    python benchmarks/import_cost.py [--rounds 15]

Measured is whatever a DAG file can have reason to import: every module that the provider's metadata name, and every
import of ours in the example DAGs. Each is made in a process of its own, forked from one that has imported
`airflow.sdk`, with bytecode as pip leaves it. Goal: under 30 ms of processor time each, and none of the libraries that
a DAG file has no use for.
"""

from __future__ import annotations

import argparse
import ast
import compileall
import json
import os
import platform
import statistics
import sys
import tempfile
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

from forks import Cost, by_turns, counted, in_child

CHECKOUT = Path(__file__).resolve().parents[1]
PACKAGE = "airflow_provider_wolkvox"
SDK = "airflow.sdk"
GOAL_MS = 30.0

# Libraries that a DAG file has no use for; any of them newly imported by ours would be a mistake.
HEAVY = ("requests", "urllib3", "http.client", "ssl", "holidays", "phonenumbers", "pendulum", "flask", "sqlalchemy")


def imports() -> list[str]:
    """Return the import statements that are measured."""
    return sorted({*(f"import {module}" for module in named_modules()), *imports_of_examples()})


def named_modules() -> set[str]:
    """Return the modules that the provider's metadata name, whole or by something in them."""
    from airflow_provider_wolkvox.get_provider_info import get_provider_info

    info = get_provider_info()
    kinds = ("hooks", "operators", "sensors", "triggers")
    whole = {module for kind in kinds for entry in info.get(kind, []) for module in entry["python-modules"]}
    objects = [
        *info.get("extra-links", []),
        *info.get("notifications", []),
        *(decorator["class-name"] for decorator in info.get("task-decorators", [])),
    ]
    return whole | {path.rpartition(".")[0] for path in objects}


def imports_of_examples() -> set[str]:
    """Return the imports of ours that the example DAGs make."""
    found = set()
    for file in (CHECKOUT / "example_dags").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == PACKAGE:
                found.add(ast.unparse(node))
    return found


def make(statement: str) -> list[str]:
    """Make an import, and return the names of the modules that are new."""
    before = set(sys.modules)
    exec(statement)
    return sorted(set(sys.modules) - before)


def ready(home: str) -> None:
    """Import what is not measured, and have bytecode at hand, as pip leaves it."""
    os.environ.setdefault("AIRFLOW_HOME", home)
    os.environ.setdefault("AIRFLOW__CORE__UNIT_TEST_MODE", "True")
    compileall.compile_dir(CHECKOUT / PACKAGE, quiet=1)
    # What `@task` itself needs is no cost of ours; on 3.0 it is 30 ms.
    for module in (SDK, f"{SDK}.bases.decorator"):
        import_module(module)


def measured(statements: list[str], rounds: int) -> dict[str, list[Cost]]:
    """Return what each import cost in each round, and which modules were new."""
    return by_turns(
        {statement: lambda statement=statement: in_child(lambda: make(statement)) for statement in statements}, rounds
    )


def counts(statements: list[str]) -> dict[str, tuple[int, list[str]]]:
    """Return how many functions each import calls, and the heavy libraries that it brings."""
    found = {}
    for statement in statements:
        modules, calls = in_child(lambda statement=statement: counted(lambda: make(statement))).told
        found[statement] = calls, heavy_among(modules)
    return found


def heavy_among(modules: list[str]) -> list[str]:
    """Return which of new modules no DAG file has a use for."""
    return [name for name in HEAVY if name in modules]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=15, help="imports of each (default: %(default)s)")
    parser.add_argument("--count", action="store_true", help="count calls of functions instead, and print JSON")
    given = parser.parse_args()

    with tempfile.TemporaryDirectory() as home:
        # Listed by a child, since to ask the metadata is to import some of us.
        statements = in_child(imports).told
        ready(home)
        if given.count:
            print(json.dumps(counts(statements)))
            return 0
        costs = measured(statements, given.rounds)

    print(
        f"Python {platform.python_version()}, apache-airflow {version('apache-airflow')}, {os.cpu_count()} cores; ",
        end="",
    )
    print(f"after `{SDK}`, medians of {given.rounds} processes\n")
    print("| import | wall ms | CPU ms | least CPU ms | new modules | heavy ones among them |")
    print("|---|---:|---:|---:|---:|---|")
    worst = 0.0
    for statement, found in costs.items():
        wall = statistics.median(cost.wall_ms for cost in found)
        cpu = [cost.cpu_ms for cost in found]
        worst = max(worst, statistics.median(cpu))
        shown = statement.replace(f"{PACKAGE}.", "").removeprefix("import ")
        new = found[0].told
        print(
            f"| `{shown}` | {wall:.1f} | {statistics.median(cpu):.1f} | {min(cpu):.1f} | {len(new)} "
            f"| {', '.join(heavy_among(new)) or 'none'} |"
        )
    verdict = "held" if worst < GOAL_MS else "MISSED"
    print(f"\nGoal: under {GOAL_MS:g} ms of processor time each: {worst:.1f} ms, {verdict}.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
