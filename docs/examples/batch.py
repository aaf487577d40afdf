"""All callbacks of a campaign in one task."""

from __future__ import annotations

from datetime import timedelta

import pendulum
from airflow.providers.common.compat.sdk import dag

from airflow_provider_wolkvox.operators.aux_call import AuxCallBatchOperator
from airflow_provider_wolkvox.operators.callbacks import CampaignCallbacksOperator


@dag(schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="America/Bogota"), catchup=False)
def batch():
    callbacks = CampaignCallbacksOperator(task_id="callbacks", campaign_id="32841", since=timedelta(hours=12))
    # --8<-- [start:batch]
    AuxCallBatchOperator(
        task_id="call",
        calls=callbacks.output,
        retries=3,
        report_path="{{ var.value.reports }}/{{ run_id }}.html",
    )
    # --8<-- [end:batch]


batch()
