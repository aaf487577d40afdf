"""What a DAG file pays for our modules and our tasks, in short; `benchmarks/` measures it at length.

Judged is the least processor time of several children, and how many functions are called: other work on the machine
changes the first hardly and the second not at all. The bounds are wider than the goals, and what a mistake usually
costs (a library at module level, a signature looked at for each task) is wider still.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"

pytest.importorskip("airflow.sdk", reason="the benchmarks are for Airflow's task SDK")


def told_by(script: str) -> dict:
    """What a short run of a benchmark tells; in a process of its own, since it has to find nothing imported."""
    done = subprocess.run(
        [sys.executable, BENCHMARKS / script, "--rounds", "3", "--json"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def imports() -> dict[str, tuple[float, list[str]]]:
    """For each import the least milliseconds of processor time, and the heavy libraries that it brings."""
    return told_by("import_cost.py")


@pytest.fixture(scope="module")
def parses() -> dict:
    return told_by("parse_cost.py")


def test_no_import_of_a_dag_file_takes_30_ms(imports):
    assert {name: cost for name, (cost, _) in imports.items() if cost >= 30} == {}
    # Enough to say something, and what is used most among them.
    assert len(imports) > 10
    assert "from airflow_provider_wolkvox.operators.aux_call import AuxCallOperator" in imports


def test_no_import_of_a_dag_file_brings_a_library_that_it_has_no_use_for(imports):
    assert {name: heavy for name, (_, heavy) in imports.items() if heavy} == {}


@pytest.mark.parametrize("file", ["AuxCallOperator", "mixed"])
def test_200_of_our_tasks_are_parsed_nearly_as_fast_as_200_bash_operators(parses, file):
    at_best = {each["imported"]: each["times_at_best"] for each in parses["figures"] if each["file"] == file}
    assert at_best[True] < 1.6
    assert at_best[False] < 2.2
    assert parses["calls"][file] < 1.4
