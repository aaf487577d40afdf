"""A DAG file that nobody changed is serialised alike by every process, or each parse makes a new version of the DAG."""

from __future__ import annotations

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

law = CallingHours.for_country("CO", purpose="collection", timezone="America/Bogota")
own = CallingHours.weekly(
    {"mon-fri": ["09:00-12:00", "14:00-17:00"]},
    timezone="America/Bogota",
    holidays={"CO", "PE", "2026-12-24", "2026-12-31"},
)
hours = law & own & CallingHours.careful("America/Lima")
rules = Rules(results={"NO-ANSWER", "BUSY", "FAILED"}, not_dispositions={"sold", "not interested", "wrong number"})
with DAG("callbacks", schedule=None) as dag:
    DEFINE
print("#" + json.dumps(DagSerialization.to_dict(dag)["dag"]["tasks"], sort_keys=True))
"""

CALL = "[{'agent_id': '10001', 'customer_phone': '3005550101'}]"
SINCE = "since='2026-11-22T18:00:00-05:00'"


def serialised(define: str, seed: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.replace("DEFINE", define)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parent)},
    )
    return done.stdout.partition("#")[2]


@pytest.mark.parametrize(
    "define",
    [
        f"AuxCallOperator.partial(task_id='call', calling_hours=hours).expand_kwargs({CALL})",
        "CallingHoursSensor.partial(task_id='wait', calling_hours=hours).expand(customer_phone=['3005550101'])",
        f"CampaignCallbacksOperator(task_id='callbacks', campaign_id='1', {SINCE}, rules=rules)",
        f"CampaignCallbacksOperator.partial(task_id='callbacks', {SINCE}, rules=rules).expand(campaign_id=['1'])",
    ],
    ids=["mapped call", "mapped sensor", "callbacks", "mapped callbacks"],
)
def test_two_processes_serialise_a_task_alike(define):
    first, second = serialised(define, "1"), serialised(define, "2")
    assert first == second
    assert first
