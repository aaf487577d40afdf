"""The DAG that `cluster.py` runs: in every lane, one call to each customer that the run's configuration names."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import dag, get_current_context, task
from cluster_calls import DAG_ID, LANES, RETRIES, calls_task

from airflow_provider_wolkvox.operators.aux_call import AuxCallOperator


@task
def customers(lane: str) -> list[str]:
    """Return the lane's customers."""
    phones: list[str] = get_current_context()["dag_run"].conf["phones"].get(lane, [])
    return phones


@dag(
    dag_id=DAG_ID,
    schedule=None,
    default_args={"retries": RETRIES, "retry_delay": timedelta(seconds=1)},
)
def cluster():
    for lane in LANES:
        AuxCallOperator.partial(
            task_id=calls_task(lane), wolkvox_conn_id=lane, agent_id="10001", calling_hours=None
        ).expand(customer_phone=customers.override(task_id=f"customers_of_{lane}")(lane))


cluster()
