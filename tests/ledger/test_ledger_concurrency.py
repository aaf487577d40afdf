"""Processes that use one ledger at once: nobody is over a cap, a call is claimed once, a token has one owner."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import race

HERE = Path(__file__).resolve().parent


def results(url: str, mode: str, processes: int = 6) -> list[list]:
    """Return what each process did; they begin together."""
    places = os.pathsep.join([str(HERE), str(HERE.parents[1]), os.environ.get("PYTHONPATH", "")])
    running = [
        subprocess.Popen(
            [sys.executable, str(HERE / "race.py"), url, mode, f"process {number}"],
            env=os.environ | {"PYTHONPATH": places},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(processes)
    ]
    for process in running:
        assert json.loads(process.stdout.readline() or "null") == "ready", process.stderr.read()
    for process in running:
        process.stdin.write("go\n")
        process.stdin.flush()
    done = []
    for process in running:
        told, failed = process.communicate()
        assert process.returncode == 0, failed
        done.append(json.loads(told))
    return done


def test_with_6_processes_and_60_customers_nobody_is_called_more_often_than_a_cap_of_2_allows(url, ledger):
    calls = Counter(customer for made in results(url, "cap") for customer in made)
    assert calls == dict.fromkeys(map(str, range(race.CUSTOMERS)), 2)


def test_a_call_that_6_processes_want_is_made_by_one_of_them(url, ledger):
    rung = Counter(number for made in results(url, "key") for number in made)
    assert set(rung.values()) == {1}
    # Each was asked for 18 times, and refused every second time.
    assert len(rung) > race.KEYS * 0.9


def test_a_tokens_lease_never_has_the_same_number_twice(url, ledger):
    numbers = [number for taken in results(url, "lease", processes=4) for number in taken]
    assert len(numbers) == len(set(numbers)) > race.TURNS // 2
