"""How long Airflow parses a DAG file with 200 of our tasks, against one with 200 BashOperators.

    python benchmarks/parse_cost.py [--rounds 15] [--tasks 200]

Each parse is what the dag-processor does with a file: a child is forked from a process that has Airflow loaded, and
calls the very function that the dag-processor's child calls: import the file, check the DAG, serialise it. Before it
forks, the dag-processor imports whatever of `airflow.*` the file names, so `BashOperator`'s module, and not ours: that
is measured as it is ("with the import"), and with our modules imported beforehand too. The files take turns; a ratio is
the median of the rounds' own ratios, of processor time, which other work on the machine hardly changes.

Goal: 200 AuxCallOperators take at most 1.2 times as long as 200 BashOperators, once both modules are imported; what an
import costs has a goal of its own (`import_cost.py`). The other lines are told and not judged: the first import of a
process, which the dag-processor repeats for each file, and a file of all kinds of tasks, mapped ones too, for which
BashOperator has no like.
"""

from __future__ import annotations

import argparse
import compileall
import json
import os
import platform
import statistics
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

from forks import Cost, by_turns, counted, in_child

CHECKOUT = Path(__file__).resolve().parents[1]
GOAL = 1.2
JUDGED = "AuxCallOperator"

HEAD = """
import pendulum
from airflow.sdk import DAG
{imports}

with DAG("{name}", schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="America/Bogota"), catchup=False):
"""

BASH = "from airflow.providers.standard.operators.bash import BashOperator"
AUX_CALL = "from airflow_provider_wolkvox.operators.aux_call import AuxCallOperator"
BATCH = "from airflow_provider_wolkvox.operators.aux_call_batch import AuxCallBatchOperator"
CALLBACKS = "from airflow_provider_wolkvox.operators.callbacks import CampaignCallbacksOperator"
SENSORS = "from airflow_provider_wolkvox.sensors.wolkvox import CallOutcomeSensor, CampaignFinishedSensor"
RULES = "from airflow_provider_wolkvox.calling import Rules"

A_CALL = 'AuxCallOperator(task_id=f"call_{n}", agent_id="10001", customer_phone="300 555 0101")'
# One after the other, so that every fifth task is of the same kind.
MIXED = (
    A_CALL.replace(")", ', calling_hours="CO")'),
    """AuxCallOperator.partial(task_id=f"call_{n}", retries=2).expand_kwargs(
        [{"agent_id": "10001", "customer_phone": "300 555 0101"}, {"agent_id": "10002", "customer_phone": "3005550102"}]
    )""",
    'AuxCallBatchOperator(task_id=f"call_{n}", calls="{{ params.calls }}", retries=2)',
    'CampaignFinishedSensor(task_id=f"wait_{n}", campaign_id="32841")',
    """CampaignCallbacksOperator(
        task_id=f"choose_{n}", campaign_id="32841", since="2026-11-22 07:00:00-05:00", rules=Rules(shorter_than=30)
    )""",
)


def of_one_kind(task: str) -> Callable[[int], str]:
    """Return what writes a file's tasks, all alike."""
    return lambda tasks: f"    for n in range({tasks}):\n        {task}\n"


def mixed(tasks: int) -> str:
    """Return a file's tasks, of each kind as many."""
    each = "".join(f"        {task.replace('{n}', f'{{n}}_{k}')}\n" for k, task in enumerate(MIXED))
    return f"    for n in range({tasks // len(MIXED)}):\n" + each


# What is parsed: its imports, and its tasks.
FILES: dict[str, tuple[tuple[str, ...], Callable[[int], str]]] = {
    "BashOperator": ((BASH,), of_one_kind('BashOperator(task_id=f"call_{n}", bash_command="echo 300 555 0101")')),
    "AuxCallOperator": ((AUX_CALL,), of_one_kind(A_CALL)),
    "mixed": ((AUX_CALL, BATCH, CALLBACKS, SENSORS, RULES), mixed),
}
REFERENCE = "BashOperator"


class Parses:
    """Files with tasks in a folder, and how long Airflow takes for each."""

    def __init__(self, folder: Path, tasks: int) -> None:
        """:param tasks: how many are in each file"""
        self.tasks = tasks
        self.files = {}
        for name, (imports, body) in FILES.items():
            self.files[name] = folder / f"{name.lower()}.py"
            self.files[name].write_text(HEAD.format(imports="\n".join(imports), name=name) + body(tasks))

    def cost(self, name: str, *, imported: bool) -> Cost:
        """Return what one parse in a child of its own costs.

        :param imported: whether the file's imports were made before
        """
        imports = FILES[name][0] if imported else (BASH,)
        return in_child(lambda: self.parse(self.files[name]), before=lambda: exec("\n".join(imports)))

    def count_calls(self, name: str) -> int:
        """Return how many functions are called while a file is parsed."""
        return counted(lambda: self.parse(self.files[name]))[1]

    def parse(self, file: Path) -> int:
        """Return how many tasks the dag-processor's own function makes of a file.

        :raises RuntimeError: it made something else of it than expected
        """
        import structlog
        from airflow.dag_processing.processor import DagFileParseRequest, _parse_file

        request = DagFileParseRequest(file=str(file), bundle_path=file.parent, bundle_name="benchmark")
        result = _parse_file(request, structlog.get_logger())
        if result is None or result.import_errors or len(result.serialized_dags) != 1:
            raise RuntimeError(f"not parsed: {result and result.import_errors}")
        found = len(result.serialized_dags[0].data["dag"]["tasks"])
        if found != self.tasks:
            raise RuntimeError(f"{found} tasks instead of {self.tasks}")
        return found


@dataclass(frozen=True)
class Figures:
    """What the parses of one file came to, with the file's imports made beforehand or not.

    :param times: times the reference's processor time: the median of the rounds' own ratios
    :param cpu_ms: median milliseconds of processor time
    :param wall_ms: median milliseconds by the clock on the wall
    """

    file: str
    imported: bool
    times: float
    cpu_ms: float
    wall_ms: float


def measured(parses: Parses, rounds: int) -> list[Figures]:
    """Return what parsing each file came to, the reference first."""
    found = []
    for imported in (False, True):
        costs = by_turns(
            {name: lambda name=name, way=imported: parses.cost(name, imported=way) for name in FILES}, rounds
        )
        reference = costs[REFERENCE]
        for name, ours in costs.items():
            found.append(
                Figures(
                    name,
                    imported,
                    statistics.median(a.cpu_ms / b.cpu_ms for a, b in zip(ours, reference, strict=True)),
                    statistics.median(cost.cpu_ms for cost in ours),
                    statistics.median(cost.wall_ms for cost in ours),
                )
            )
    return found


def calls(parses: Parses) -> dict[str, float]:
    """Return how many times the reference's calls of functions a file takes, its imports made beforehand."""
    counted = {}
    for name, (imports, _) in FILES.items():
        counted[name] = in_child(
            lambda name=name: parses.count_calls(name), before=lambda imports=imports: exec("\n".join(imports))
        ).told
    return {name: number / counted[REFERENCE] for name, number in counted.items()}


def ready(folder: Path) -> None:
    """Load what the dag-processor has loaded before it forks."""
    os.environ.setdefault("AIRFLOW_HOME", str(folder))
    os.environ.setdefault("AIRFLOW__CORE__UNIT_TEST_MODE", "True")
    os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")
    # It says of each file that it is parsed.
    os.environ.setdefault("AIRFLOW__LOGGING__LOGGING_LEVEL", "WARNING")
    compileall.compile_dir(CHECKOUT / "airflow_provider_wolkvox", quiet=1)
    for name in ("airflow.sdk", "airflow.dag_processing.processor", "structlog", "pendulum"):
        import_module(name)
    exec(BASH)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=15, help="parses of each file (default: %(default)s)")
    parser.add_argument("--tasks", type=int, default=200, help="tasks in each file (default: %(default)s)")
    parser.add_argument("--count", action="store_true", help="count calls of functions instead, and print JSON")
    given: Any = parser.parse_args()

    with tempfile.TemporaryDirectory() as place:
        ready(Path(place))
        parses = Parses(Path(place), given.tasks)
        called = calls(parses)
        if given.count:
            print(json.dumps(called))
            return 0
        figures = measured(parses, given.rounds)

    print(f"Python {platform.python_version()}, apache-airflow {version('apache-airflow')}, {os.cpu_count()} cores")
    print(f"{given.tasks} tasks in a file; medians of {given.rounds} parses of each, in processes of their own\n")
    [judged] = (each for each in figures if each.imported and each.file == JUDGED)
    held = judged.times <= GOAL
    print("| file | its imports | CPU ms | wall ms | times BashOperator | |")
    print("|---|---|---:|---:|---:|---|")
    for each in figures:
        verdict = "" if each is not judged else "held" if held else "**missed**"
        when = "beforehand" if each.imported else "while parsed"
        print(f"| {each.file} | {when} | {each.cpu_ms:.1f} | {each.wall_ms:.1f} | {each.times:.2f} | {verdict} |")
    print(f"\nGoal: at most {GOAL:g} times: {judged.times:.2f}, {'held' if held else 'MISSED'}.")
    print(
        f"Functions called: {', '.join(f'{name} {times:.2f}' for name, times in called.items())} times BashOperator's."
    )
    return 0 if held else 1


if __name__ == "__main__":
    raise SystemExit(main())
