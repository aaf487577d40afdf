"""The commands of docs/first-call.md, in its order, on a real scheduler; only the simulator's port is another."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from local_airflow import LocalAirflow, reserved_port

pytestmark = [pytest.mark.scheduler, pytest.mark.timeout(300)]

CHECKOUT = Path(__file__).resolve().parents[2]
PAGE = (CHECKOUT / "docs" / "first-call.md").read_text()
DAG = "wolkvox_aux_call"


def commands() -> list[list[str]]:
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    return [shlex.split(line) for language, block in blocks if not language for line in block.splitlines()]


def runs(airflow: LocalAirflow) -> set[str]:
    said = airflow.cli("dags", "list-runs", DAG, "-o", "json").stdout
    # The first line may be a warning of Airflow's own, about graphviz.
    return {run["run_id"] for run in json.loads(said[re.search(r"^\[", said, re.MULTILINE).start() :])}


@pytest.fixture
def page(local_airflow: LocalAirflow):
    """Run the page's commands one after the other: each call runs those that begin with some words."""
    assert f'--8<-- "example_dags/{DAG}.py:dag"' in PAGE
    local_airflow.add_dags(CHECKOUT / "example_dags" / f"{DAG}.py")
    local_airflow.cli("connections", "delete", "wolkvox_default", check=False)
    left = commands()

    with reserved_port() as port:

        def here(word: str) -> str:
            return word.replace("8099", str(port))

        def run(*beginning: str) -> str:
            [command] = [each for each in left if each[: len(beginning)] == list(beginning)]
            left.remove(command)
            words = [here(word) for word in command]
            match words:
                case ["airflow", *arguments]:
                    # What else is in this session's Airflow is no business of the page.
                    done = local_airflow.cli(*arguments, check=arguments != ["wolkvox", "check"])
                    return done.stdout
                case ["curl", address]:
                    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(address) as answer:
                        return answer.read().decode()
            raise AssertionError(f"the page has a command that nobody runs here: {command}")

        [simulate] = [each for each in left if each[:2] == ["python", "-m"]]
        left.remove(simulate)
        with subprocess.Popen(
            [sys.executable, *map(here, simulate[1:])], stdout=subprocess.PIPE, text=True
        ) as simulator:
            assert "simulator at" in simulator.stdout.readline()
            run.left = left
            yield run
            simulator.terminate()


def test_who_follows_the_page_has_four_phones_ring_once(local_airflow, page):
    page("airflow", "connections", "add")
    page("airflow", "wolkvox", "sync-pools")
    found = page("airflow", "wolkvox", "check")
    ours = [line for line in found.splitlines() if f"task {DAG}." in line or "connection wolkvox_default" in line]
    assert len(ours) == 3
    assert all(re.search(r"\| ok +\|", line) for line in ours)
    page("airflow", "dags", "unpause")
    before = runs(local_airflow)
    page("airflow", "dags", "trigger")
    [run_id] = runs(local_airflow) - before
    assert local_airflow.wait_for_run(DAG, run_id) == "success"

    rings = json.loads(page("curl"))

    assert set(rings.get("rings", rings).values()) == {1}
    assert len(rings.get("rings", rings)) == 4
    assert page.left == [["pip", "install", "airflow-provider-wolkvox"]]
