"""Have a predictive campaign dial again whom it did not reach: stop, recall_records, start, finished.

The pool `wolkvox_default` must exist: `airflow wolkvox sync-pools`.
"""

from __future__ import annotations

from datetime import timedelta

import pendulum
from airflow.providers.common.compat.sdk import chain, dag

from airflow_provider_wolkvox.operators.campaign import (
    CampaignRecallOperator,
    CampaignStartOperator,
    CampaignStopOperator,
)
from airflow_provider_wolkvox.sensors.wolkvox import CampaignFinishedSensor

CAMPAIGN = "32841"


@dag(
    schedule=None,  # such as "0 14 * * MON-FRI", once you have seen it run
    start_date=pendulum.datetime(2026, 1, 1, tz="America/Bogota"),
    catchup=False,
    max_active_runs=1,
    default_args={"campaign_id": CAMPAIGN, "retries": 2},
    tags=["wolkvox"],
)
def wolkvox_redial_unanswered():
    chain(
        CampaignStopOperator(task_id="stop"),
        CampaignRecallOperator(task_id="recall", value=["NO-ANSWER", "BUSY"]),
        CampaignStartOperator(task_id="start"),
        CampaignFinishedSensor(task_id="finished", timeout=timedelta(hours=4)),
    )


wolkvox_redial_unanswered()
