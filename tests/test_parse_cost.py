"""What a DAG file pays for our modules and our tasks, in calls of functions; `benchmarks/` measures it in time.

The bounds are wider than what it is today, and what a mistake usually costs (a library at module level, a signature
looked at for each task) is wider still.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"

pytest.importorskip("airflow.sdk", reason="the benchmarks are for Airflow's task SDK")


def counted_by(script: str) -> dict:
    """What a benchmark counts; in a process of its own, since it has to find nothing imported."""
    done = subprocess.run([sys.executable, BENCHMARKS / script, "--count"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def imports() -> dict[str, tuple[int, list[str]]]:
    """For each import the calls of functions, and the heavy libraries that it brings."""
    return counted_by("import_cost.py")


@pytest.fixture(scope="module")
def parses() -> dict[str, float]:
    """For each file how many times BashOperator's calls of functions it takes."""
    return counted_by("parse_cost.py")


def test_no_import_of_a_dag_file_calls_20_000_functions(imports):
    assert {name: calls for name, (calls, _) in imports.items() if calls >= 20_000} == {}
    # Enough to say something, and what is used most among them.
    assert len(imports) > 10
    assert "from airflow_provider_wolkvox.operators.aux_call import AuxCallOperator" in imports


def test_no_import_of_a_dag_file_brings_a_library_that_it_has_no_use_for(imports):
    assert {name: heavy for name, (_, heavy) in imports.items() if heavy} == {}


@pytest.mark.parametrize("file", ["AuxCallOperator", "mixed"])
def test_200_of_our_tasks_are_parsed_with_nearly_as_few_calls_as_200_bash_operators(parses, file):
    assert parses[file] < 1.4
