"""The DAG that `cluster.py` runs beside the example: in every lane, a task for each call."""

from __future__ import annotations

from airflow.sdk import dag, get_current_context, task
from cluster_calls import LANES, MAPPED, RETRIES, calls_task

from airflow_provider_wolkvox.operators.aux_call import AuxCallOperator


@task
def callbacks_of(lane: str) -> list[dict[str, str]]:
    """Return the lane's calls."""
    callbacks: list[dict[str, str]] = get_current_context()["dag_run"].conf["callbacks"]
    return [
        {"agent_id": each["agent_id"], "customer_phone": each["customer_phone"]}
        for each in callbacks
        if each["wolkvox_conn_id"] == lane
    ]


@dag(dag_id=MAPPED, schedule=None, default_args={"retries": RETRIES})
def mapped():
    for lane in LANES:
        AuxCallOperator.partial(task_id=calls_task(lane), wolkvox_conn_id=lane).expand_kwargs(
            callbacks_of.override(task_id=f"callbacks_{lane}")(lane)
        )


mapped()
