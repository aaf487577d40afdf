"""A DAG file that nobody changed is serialised alike by every process, or each parse makes a new version of the DAG."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import json
from airflow.providers.common.compat.sdk import DAG
from capabilities import DagSerialization
from airflow_provider_wolkvox.calling import CallingHours, Rules
from airflow_provider_wolkvox.operators.aux_call import AuxCallOperator
from airflow_provider_wolkvox.operators.callbacks import CampaignCallbacksOperator
from airflow_provider_wolkvox.sensors.calling_hours import CallingHoursSensor

CALLS = [{"agent_id": "10001", "customer_phone": "3005550101"}]
SINCE = "2026-11-22T18:00:00-05:00"

law = CallingHours.for_country("CO", purpose="collection", timezone="America/Bogota")
own = CallingHours.weekly(
    {"mon-fri": ["09:00-12:00", "14:00-17:00"]},
    timezone="America/Bogota",
    holidays={"CO", "PE", "2026-12-24", "2026-12-31"},
)
hours = law & own & CallingHours.careful("America/Lima")
rules = Rules(results={"NO-ANSWER", "BUSY", "FAILED"}, not_dispositions={"sold", "not interested", "wrong number"})
with DAG("callbacks", schedule=None) as dag:
    AuxCallOperator.partial(task_id="call", calling_hours=hours).expand_kwargs(CALLS)
    CallingHoursSensor.partial(task_id="wait", calling_hours=hours).expand(customer_phone=["3005550101"])
    CampaignCallbacksOperator(task_id="callbacks", campaign_id="1", since=SINCE, rules=rules)
    CampaignCallbacksOperator.partial(task_id="mapped_callbacks", since=SINCE, rules=rules).expand(campaign_id=["1"])
tasks = DagSerialization.to_dict(dag)["dag"]["tasks"]
print(json.dumps({task["__var"]["task_id"]: json.dumps(task, sort_keys=True) for task in tasks}))
"""

TASKS = ["call", "wait", "callbacks", "mapped_callbacks"]


def serialised(seed: str) -> dict[str, str]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parent)},
    )
    # Before it, an Airflow that finds an empty home may print words of its own.
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def processes() -> list[dict[str, str]]:
    """What two processes, whose sets have orders of their own, make of the same tasks."""
    return [serialised("1"), serialised("2")]


@pytest.mark.parametrize("task_id", TASKS)
def test_two_processes_serialise_a_task_alike(processes, task_id):
    first, second = processes
    assert first[task_id] == second[task_id]
