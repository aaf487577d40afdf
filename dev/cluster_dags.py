"""The DAGs that `cluster.py` runs beside the example: a task for each call in every lane, and a plan of callbacks."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import dag, get_current_context, task
from cluster_calls import CAMPAIGN, LANES, MAPPED, PLAN, PLAN_TASK, RETRIES, calls_task

from airflow_provider_wolkvox.calling import Rules
from airflow_provider_wolkvox.operators.aux_call import AuxCallOperator
from airflow_provider_wolkvox.operators.callbacks import CampaignCallbacksOperator


@task
def callbacks_of(lane: str) -> list[dict[str, str]]:
    """Return the lane's calls."""
    callbacks: list[dict[str, str]] = get_current_context()["dag_run"].conf["callbacks"]
    return [
        {name: value for name, value in each.items() if name != "wolkvox_conn_id"}
        for each in callbacks
        if each["wolkvox_conn_id"] == lane
    ]


@dag(dag_id=MAPPED, schedule=None, default_args={"retries": RETRIES})
def mapped():
    for lane in LANES:
        AuxCallOperator.partial(task_id=calls_task(lane), wolkvox_conn_id=lane).expand_kwargs(
            callbacks_of.override(task_id=f"callbacks_{lane}")(lane)
        )


@dag(dag_id=PLAN, schedule=None)
def plan():
    CampaignCallbacksOperator(
        task_id=PLAN_TASK,
        wolkvox_conn_id=LANES[0],
        campaign_id=CAMPAIGN,
        since=timedelta(hours=2),
        rules=Rules(max_attempts=None, within=None),
    )


mapped()
plan()
